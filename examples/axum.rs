//! The smallest server with axum: `cargo run --example axum`. The page links to a file, which a
//! browser keeps for a year and fetches again when it changes and the server is restarted.

use axum::{Router, response::Html, routing::get, serve::ListenerExt as _};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer, axum::AxumStaticUrl};

async fn page(files: StaticPrefix) -> Html<String> {
    Html(format!(r#"<link rel="stylesheet" href="{}">Hello"#, files.display("css/app.css")))
}

/// The layer is around the whole router, and takes the version out of the paths.
pub fn app(layer: &StaticUrlLayer, root: &str) -> AxumStaticUrl<Router> {
    let files = ServeDir::new(root).redirect_path_prefix("/static");
    layer.wrap(Router::new().route("/", get(page)).nest_service("/static", files))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = StaticUrlLayer::new("/static", "examples/site")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, app(&layer, "examples/site").into_make_service()).await?;
    Ok(())
}
