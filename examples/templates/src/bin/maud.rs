//! Links in [maud](https://maud.lambda.xyz) templates, which are Rust: call the prefix.
//!
//! ```sh
//! cargo run -p templates --bin maud
//! ```

use axum::{Router, http::StatusCode, routing::get, serve::ListenerExt as _};
use maud::{DOCTYPE, Markup, html};
use tower_http::services::ServeDir;
use tower_static_url::{Error, StaticPrefix, StaticUrlLayer};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../site");

/// The prefix comes from the request: every link of a page has the same version. Maud escapes
/// what stands in `( )`, so a URL is safe in an attribute.
async fn page(files: StaticPrefix) -> Result<Markup, Failed> {
    let notes = files.paths().filter(|path| path.starts_with("notes/"));
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            title { "Maud" }
            link rel="stylesheet" href=(files.try_url("css/app.css").map_err(failed)?);
            script type="module" src=(files.try_url("js/app.js").map_err(failed)?)
                integrity=[files.integrity("js/app.js")] {}
            main.postcard {
                p data-greeting { "Dear reader, …" }
                ul {
                    @for path in notes {
                        li { a href=(files.display(path)) { (path) } }
                    }
                }
            }
        }
    })
}

/// A wrong path is an error that names the right one, and no broken link.
async fn typo(files: StaticPrefix) -> Result<Markup, Failed> {
    Ok(html! { img src=(files.try_url("img/stmp.svg").map_err(failed)?); })
}

type Failed = (StatusCode, String);

/// An application logs this, and sends a page without the text.
fn failed(error: Error) -> Failed {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub fn router(root: &str) -> Router {
    let files = ServeDir::new(root).redirect_path_prefix("/static");
    Router::new().route("/", get(page)).route("/typo", get(typo)).nest_service("/static", files)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = StaticUrlLayer::new("/static", SITE)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/ and, with a mistake, /typo", listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, layer.wrap(router(SITE)).into_make_service()).await?;
    Ok(())
}
