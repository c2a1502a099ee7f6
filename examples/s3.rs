//! One node of several, which share nothing but an S3-compatible bucket:
//!
//! ```sh
//! export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_REGION=eu-central-1
//! static-url publish dist --to s3://bucket/site                    # once, before the rollout
//! cargo run --release --example s3 -- dist s3://bucket/site        # on every node
//! ```
//!
//! A store of your own needs `AWS_ENDPOINT=http://127.0.0.1:8333 AWS_ALLOW_HTTP=true` as well.
//!
//! A page from any node finds its files on every other one, also during the rollout and after a
//! rollback. The node needs credentials that may read and list, no more.
//!
//! `object_store` with its feature `aws` is a dependency of the example, not of the layer: yours
//! may have `gcp` or `azure`, or be a client of your own.

use std::{env, error::Error, process::ExitCode, sync::Arc};

use axum::{Router, response::Html, routing::get};
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer, releases::Releases, serve_dir::Disk};

const USAGE: &str = "\
Usage: s3 DIST s3://BUCKET/PREFIX [ADDR:PORT [DIRECTORY]]

  DIST        the files of the current version
  ADDR:PORT   where to listen [default: 127.0.0.1:3000]
  DIRECTORY   where files from the bucket lie [default: target/s3-releases]";

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let mut arguments = arguments.iter().map(String::as_str);
    let (Some(dist), Some(url)) = (arguments.next(), arguments.next()) else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let listen = arguments.next().unwrap_or("127.0.0.1:3000");
    let directory = arguments.next().unwrap_or("target/s3-releases");

    // Beside the build, not in it. It may be deleted whenever the node does not run.
    let releases = Releases::folder(directory)?.filled_from(store(url)?, prefix(url))?;
    let kept = ServeDir::with_backend(releases.files(), Disk::new());
    let layer = StaticUrlLayer::builder("/static").root(dist).releases(releases, kept).build()?;

    let files = ServeDir::with_backend(dist, Disk::new());
    let router = Router::new().route("/", get(page)).nest_service("/static", files);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("serving {dist} at http://{}/", listener.local_addr()?);
    axum::serve(listener, layer.wrap(router).into_make_service()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn page(files: StaticPrefix) -> Html<String> {
    Html(format!("<title>{0}</title>A page of the version {0}.", files.version()))
}

/// Returns the bucket that a URL names, with what the environment says of credentials and
/// endpoint.
fn store(url: &str) -> Result<Arc<dyn ObjectStore>, Box<dyn Error>> {
    let store = AmazonS3Builder::from_env()
        .with_url(url)
        // Whoever is there answers sooner, and nobody waits for minutes: the layer asks again
        // by itself.
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), "500ms")
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()?;
    Ok(Arc::new(store))
}

/// Returns what follows the name of the bucket.
fn prefix(url: &str) -> &str {
    let path = url.strip_prefix("s3://").unwrap_or(url);
    path.split_once('/').map_or("", |(_bucket, prefix)| prefix)
}
