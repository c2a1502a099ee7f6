//! Serves a folder of static files below a versioned prefix. The page at `/`
//! links every file by its versioned URL, loads each one once, and shows what the
//! browser took from its cache and what it had to fetch:
//!
//! ```sh
//! cargo run --release --example serve_dir
//! cargo run --release --example serve_dir -- --root DIR --listen ADDR:PORT
//! ```
//!
//! Open the address twice: the second time nothing below the prefix is fetched.
//! Then change a file and start again: the version is new, and so is every URL.

mod args;
mod page;

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use axum::{Router, http::header, response::IntoResponse, routing::get, serve::ListenerExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower_http::services::ServeDir;
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::args::{Args, Command};

const MOUNT: &str = "/static";

/// Served unless `--root` names another folder.
const BUNDLED_SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site");

/// How long a stopping server waits for requests that are under way.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    warn_on_stderr();
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            say(args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(args)) => match run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(message, 1),
        },
        Err(message) => fail(message, 2),
    }
}

/// Shows the warnings of the layer, such as that of a file changed since the scan.
fn warn_on_stderr() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

fn fail(message: impl Display, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

/// Unlike `println!` does not panic where nobody reads, and leaves nothing in a
/// buffer that somebody waits for.
fn say(message: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{message}").and_then(|()| stdout.flush());
}

/// Scans before there is a runtime, which a scan would block.
fn run(args: Args) -> Result<(), String> {
    let layer = StaticUrlLayer::new(MOUNT, &args.root).map_err(|error| error.to_string())?;
    serve(&args, layer)
}

#[tokio::main]
async fn serve(args: &Args, layer: StaticUrlLayer) -> Result<(), String> {
    let Args { root, listen } = args;
    let cannot_listen = |error| format!("cannot listen on {listen}: {error}");
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    announce(root, &layer.prefix(), address);

    let service = layer.wrap(router(root)).into_make_service();
    let server =
        axum::serve(listener.tap_io(send_at_once), service).with_graceful_shutdown(stop_signal());
    tokio::select! {
        served = server.into_future() => served.map_err(|error| error.to_string()),
        () = grace_is_over() => Ok(()),
    }
}

/// A file's head and body leave in two writes. Without this the second waits for
/// the client to acknowledge the first, which takes up to 40 ms. Where it cannot
/// be set, the connection is slow, but not broken.
fn send_at_once(stream: &mut TcpStream) {
    let _ = stream.set_nodelay(true);
}

fn announce(root: &Path, prefix: &StaticPrefix, address: SocketAddr) {
    let (root, version) = (root.display(), prefix.version());
    let files = prefix.paths().len();
    say(format_args!("serving {root} ({files} files, version {version}) at http://{address}/"));
}

/// `ServeDir` knows nothing of versions, nor does the router: the layer goes
/// around all of it.
fn router(root: &Path) -> Router {
    let files = ServeDir::new(root)
        .redirect_path_prefix(MOUNT)
        .precompressed_gzip()
        .precompressed_br()
        .precompressed_zstd();
    let greets = is_bundled_site(root);
    Router::new().route("/", get(move |prefix| index(prefix, greets))).nest_service(MOUNT, files)
}

/// Only of this folder do we know that its style and script fit into our page.
fn is_bundled_site(root: &Path) -> bool {
    match (root.canonicalize(), Path::new(BUNDLED_SITE).canonicalize()) {
        (Ok(root), Ok(bundled)) => root == bundled,
        _ => false,
    }
}

/// The page is never stored: it is what tells a browser of a new version.
async fn index(prefix: StaticPrefix, greets: bool) -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, page::render(&prefix, greets))
}

/// A client that does not finish must not keep a stopped server alive.
async fn grace_is_over() {
    stop_signal().await;
    tokio::time::sleep(GRACE).await;
}

/// Ctrl-C, or the signal by which a service manager asks to stop.
async fn stop_signal() {
    tokio::select! {
        () = ctrl_c() => {}
        () = terminate() => {}
    }
}

/// Where a signal cannot be listened for, it still ends the process in its own way.
async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
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
