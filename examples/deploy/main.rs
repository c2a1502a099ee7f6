//! A server to deploy: several nodes of it run behind nginx, and a deploy replaces one after the
//! other.
//!
//! ```sh
//! static-url publish dist --to /var/lib/site/releases
//! cargo run --release --example deploy -- --dist dist --releases /var/lib/site/releases
//! ```
//!
//! `examples/deploy/whole_way.sh` builds a site and deploys it twice, with this server as its
//! nodes. The same directory has a Dockerfile, a compose file and a systemd unit.
//!
//! Four things make a program one that can be deployed: it answers for every release, it listens
//! only when it can answer, it says at `/healthz` what it is, and on `SIGTERM` it takes no more
//! connections, completes what is under way, and ends.

use std::{
    env,
    error::Error,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::Html,
    routing::get,
    serve::ListenerExt as _,
};
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};
use tokio::{net::TcpListener, signal};
use tower_http::services::ServeDir;
use tower_static_url::{Fingerprinted, StaticPrefix, StaticUrlLayer, releases::Releases};

const USAGE: &str = "\
Usage: deploy --dist DIR --releases DIR [--bucket s3://BUCKET/PREFIX] [--listen ADDR:PORT]
       deploy --check ADDR:PORT

  --dist DIR           what the build has written
  --releases DIR       where the files of all releases lie
  --bucket URL         the bucket that has them all, if the nodes share no directory;
                       credentials and AWS_ENDPOINT come from the environment
  --listen ADDR:PORT   where to listen [default: 127.0.0.1:3000]
  --check ADDR:PORT    wait until the server there says that it is well: a container has no curl
                       to ask with";

/// The `base` in `vite.config.js`.
const MOUNT: &str = "/static";

/// How long a server that was told to end waits for slow clients.
const GRACE: Duration = Duration::from_secs(5);

/// How long a server may take to start, and then to answer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Args {
    dist: PathBuf,
    releases: PathBuf,
    bucket: Option<String>,
    listen: String,
}

enum Command {
    Serve(Args),
    Check(SocketAddr),
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    match arguments() {
        Some(Command::Serve(args)) => serve(args).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Check(address)) => check(address).map(|()| ExitCode::SUCCESS),
        None => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Returns what to do, or `None` if the arguments are not understood.
fn arguments() -> Option<Command> {
    let (mut dist, mut releases, mut bucket) = (None, None, None);
    let mut listen = "127.0.0.1:3000".into();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?;
        match argument.as_str() {
            "--dist" => dist = Some(value.into()),
            "--releases" => releases = Some(value.into()),
            "--bucket" => bucket = Some(value),
            "--listen" => listen = value,
            "--check" => return value.parse().ok().map(Command::Check),
            _ => return None,
        }
    }
    Some(Command::Serve(Args { dist: dist?, releases: releases?, bucket, listen }))
}

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    // If it is a link that a deploy changes, this process stays with what it names now.
    let dist = fs::canonicalize(&args.dist)?;
    let mut releases = Releases::folder(&args.releases)?;
    if let Some(url) = &args.bucket {
        releases = releases.filled_from(store(url)?, prefix(url))?;
    }
    let kept = compressed(ServeDir::new(releases.files()));
    let layer = StaticUrlLayer::builder(MOUNT)
        .root(&dist)
        .fingerprinted(Fingerprinted::vite())
        .releases(releases, kept)
        .build()?;

    let router = router(&dist, &layer.prefix())?;
    let listener = TcpListener::bind(&args.listen).await?;
    println!("serving {} at http://{}/", layer.prefix().version(), listener.local_addr()?);
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    let server = axum::serve(listener, layer.wrap(router).into_make_service())
        .with_graceful_shutdown(told_to_end());
    tokio::select! {
        served = server.into_future() => Ok(served?),
        () = async { told_to_end().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

/// Which page of the application a path stands for is decided in the browser.
fn router(dist: &Path, files: &StaticPrefix) -> Result<Router, Box<dyn Error>> {
    let page = versioned(&fs::read_to_string(dist.join("index.html"))?, files);
    let page = ([(header::CACHE_CONTROL, "no-cache")], Html(page));
    let version = ([(header::CACHE_CONTROL, "no-store")], files.version().to_owned());
    let dist = ServeDir::new(dist).append_index_html_on_directories(false);
    Ok(Router::new()
        .route("/healthz", get(version))
        .nest("/api", api())
        .nest_service(MOUNT, compressed(dist))
        .fallback(page))
}

fn api() -> Router {
    Router::new()
        .route("/greeting", get(async || "Hello from the server."))
        .fallback(StatusCode::NOT_FOUND)
}

/// `static-url precompress` has made these.
fn compressed(files: ServeDir) -> ServeDir {
    files.precompressed_gzip().precompressed_br().precompressed_zstd()
}

/// Puts the version into the links of the page that Vite has built. Those of chunks stay as they
/// are, since a chunk has a hash in its name.
fn versioned(page: &str, files: &StaticPrefix) -> String {
    let mut parts = page.split("\"/static/");
    let mut versioned = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once('"').unwrap_or((part, ""));
        versioned.extend(["\"", &files.url(path), "\"", rest]);
    }
    versioned
}

/// Returns the bucket that a URL names, with what the environment says of credentials and
/// endpoint.
fn store(url: &str) -> Result<Arc<dyn ObjectStore>, Box<dyn Error>> {
    let store = AmazonS3Builder::from_env()
        .with_url(url)
        // The layer asks again by itself.
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

/// Waits for Ctrl-C, or for the signal by which Docker and systemd end a process.
async fn told_to_end() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate() => {}
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => _ = terminate.recv().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}

/// Fails unless a server is at an address soon, and says that it is well.
fn check(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let end = Instant::now() + PATIENCE;
    let mut connection = loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(connection) => break connection,
            Err(error) if Instant::now() > end => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let head = answer.lines().next().unwrap_or_default();
    if head == "HTTP/1.1 200 OK" { Ok(()) } else { Err(format!("{address}: {head}").into()) }
}
