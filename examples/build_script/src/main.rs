//! A server that starts without hashing a file: its manifest was made when it was compiled.
//!
//! ```sh
//! cargo run -p build-script              # serves examples/site
//! cargo run -p build-script -- DIR       # a copy of it, as a deploy makes one
//! ```

use std::{env, error::Error, path::PathBuf};

use axum::{Router, response::Html, routing::get};
use tower_http::services::ServeDir;
use tower_static_url::{Manifest, StaticPrefix, StaticUrlLayer, manifest::Verify, serve_dir::Disk};

/// What `build.rs` has made.
const MANIFEST: &str = include_str!(concat!(env!("OUT_DIR"), "/static-files.json"));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../site");
    let dist = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| here.into()));
    let (layer, router) = app(dist)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, layer.wrap(router).into_make_service()).await?;
    Ok(())
}

fn app(dist: PathBuf) -> Result<(StaticUrlLayer, Router), tower_static_url::Error> {
    let manifest = Manifest::from_json(MANIFEST)?;
    // Do the files belong to this program? By their lengths; `Full` reads them.
    manifest.verify(&dist, Verify::Fast)?;
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build()?;
    let files = ServeDir::with_backend(dist, Disk::new()).redirect_path_prefix("/static");
    let router = Router::new().route("/", get(page)).nest_service("/static", files);
    Ok((layer, router))
}

async fn page(files: StaticPrefix) -> Html<String> {
    Html(format!("<!doctype html><link rel=stylesheet href={}>Hello", files.url("css/app.css")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, extract::Request};
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn files_are_served_as_the_build_script_found_them() {
        let dist = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../site"));
        let scanned = StaticUrlLayer::new("/static", &dist).unwrap();
        let (layer, router) = app(dist).unwrap();
        assert_eq!(layer.prefix().as_str(), scanned.prefix().as_str());
        let request = Request::get(layer.prefix().url("css/app.css")).body(Body::empty()).unwrap();
        let response = layer.wrap(router).oneshot(request).await.unwrap();
        let policy = &response.headers()["cache-control"];
        assert_eq!(policy, "public, max-age=31536000, immutable");
    }

    #[test]
    fn a_server_does_not_start_with_other_files() {
        let error = app(env!("CARGO_MANIFEST_DIR").into()).unwrap_err();
        assert!(error.to_string().contains("\"css/app.css\" is missing"), "{error}");
    }
}
