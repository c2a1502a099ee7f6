//! The smallest server with hyper alone, without a router: `cargo run --example hyper`. With a
//! mount of `/` the files lie beside the page, and what is not a file goes to the page.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

/// The layer has put the prefix into the extensions of the request.
async fn page<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let files = request.extensions().get::<StaticPrefix>().expect("the layer is around this");
    let page = format!(r#"<link rel="stylesheet" href="{}">Hello"#, files.display("css/app.css"));
    let mut response = Response::new(Full::from(page));
    if request.uri().path() != "/" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let html = hyper::header::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert("content-type", html);
    Ok(response)
}

/// The layer is around everything: it takes the version out of the paths.
pub async fn serve(
    listener: TcpListener,
    layer: StaticUrlLayer,
    root: &str,
) -> std::io::Result<()> {
    let files = ServeDir::new(root).append_index_html_on_directories(false);
    let service = TowerToHyperService::new(layer.layer(files.fallback(service_fn(page))));
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let (builder, io) = (Builder::new(TokioExecutor::new()), TokioIo::new(connection));
            if let Err(error) = builder.serve_connection(io, service).await {
                eprintln!("{error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = StaticUrlLayer::new("/", "examples/site")?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, layer, "examples/site").await?;
    Ok(())
}
