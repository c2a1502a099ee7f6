//! Serves a directory of static files below a versioned prefix. The page at `/`
//! links every file by its versioned URL, loads each one once, and shows what the
//! browser took from its cache and what it had to fetch:
//!
//! ```sh
//! cargo run --release --example serve_dir
//! cargo run --release --example serve_dir -- --root DIR --listen ADDR:PORT
//! cargo run --release --example serve_dir -- --help
//! ```
//!
//! Open the address twice: the second time nothing below the prefix is fetched.
//! Then change a file and restart the server: the version is new, and so is every URL.
//! With `--releases DIR --publish`, pages from before the restart still find their files, and
//! with `--deltas` as well, the browser fetches only what has changed in each file.
//! With `--watch`, the default in a debug build, no restart is needed, and the open page
//! shows the change within a second.

mod args;
mod changes;
mod kept;
mod page;

use std::{
    convert::Infallible,
    error::Error,
    fmt::Display,
    fs,
    io::{self, IsTerminal as _, Write as _},
    iter,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt as _,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_http::services::ServeDir;
use tower_static_url::{
    Deltas, StaticPrefix, StaticUrlLayer, UnlistedPolicy,
    manifest::Scan,
    releases::Releases,
    serve_dir::Disk,
    watch::{WatchOptions, Watcher},
};

use crate::{
    args::{Args, Command},
    changes::Feed,
    kept::Kept,
    page::Options,
};

const MOUNT: &str = "/static";

/// Served unless `--root` names another directory.
const BUNDLED_SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site");

/// How long `--poll` waits between two scans.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the page waits for the store of the releases.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Prints a line. Unlike `println!`, it does not panic if the output is closed, and flushes
/// the output.
fn say(message: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{message}").and_then(|()| stdout.flush());
}

/// Scans the files before it starts the runtime, which the scan would block.
fn run(args: Args) -> Result<(), String> {
    let Site { layer, watcher, kept } = site(&args).map_err(|error| with_causes(&*error))?;
    let runtime = Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    let releases = kept.as_ref().map(|kept| kept.releases.clone());
    let served = runtime.block_on(serve(&args, layer, watcher, releases));
    // A read that hangs, such as that of a pipe, must not keep a stopped server alive.
    runtime.shutdown_background();
    served
}

/// Formats an error and its causes in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

struct Site {
    layer: StaticUrlLayer,
    watcher: Option<Watcher>,
    kept: Option<Kept>,
}

fn site(args: &Args) -> Result<Site, Box<dyn Error>> {
    let kept = kept::open(args)?;
    let releases = kept.as_ref().map(|kept| &kept.releases);
    let mut builder = StaticUrlLayer::builder(MOUNT)
        .scan(scan(args))
        .memory_budget(args.memory)
        .development(args.watch);
    if let Some(rule) = &args.fingerprinted {
        builder = builder.fingerprinted(rule.clone());
    }
    if args.unlisted_404 {
        builder = builder.unlisted(UnlistedPolicy::NotFound);
    }
    if let Some(releases) = releases {
        let files = ServeDir::with_backend(releases.files(), Disk::new())
            .precompressed_gzip()
            .precompressed_br()
            .precompressed_zstd();
        builder = builder.releases(releases.clone(), files);
    }
    if args.deltas {
        builder = builder.deltas(Deltas::new());
    }
    let layer = builder.build()?;
    if args.publish {
        layer.publish().map_err(|error| kept::explain(args, &error))?;
    }
    let options = WatchOptions::default();
    let options = if args.poll { options.poll(POLL_INTERVAL) } else { options };
    let watcher = args.watch.then(|| layer.watch_with(options)).transpose()?;
    Ok(Site { layer, watcher, kept })
}

fn scan(Args { roots, remember, .. }: &Args) -> Scan {
    let (first, others) = roots.split_first().expect("the arguments have a root");
    let scan = others.iter().fold(Scan::new(first), Scan::fallback);
    match remember {
        Some(path) => scan.remember(path),
        None => scan,
    }
}

async fn serve(
    Args { roots, listen, .. }: &Args,
    layer: StaticUrlLayer,
    watcher: Option<Watcher>,
    releases: Option<Releases>,
) -> Result<(), String> {
    let cannot_listen = |error| format!("cannot listen on {listen}: {error}");
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    announce(roots, &layer.prefix(), address);

    let feed = watcher.as_ref().map(|watcher| Feed::start(&layer, watcher));
    let service = layer.wrap(router(roots, feed, releases)).into_make_service();
    let server = axum::serve(listener.tap_io(send_at_once), service)
        .with_graceful_shutdown(stop_watching(watcher));
    tokio::select! {
        served = server.into_future() => served.map_err(|error| error.to_string()),
        () = grace_is_over() => Ok(()),
    }
}

/// Turns off Nagle's algorithm. A response's head and body are two writes, and the second would
/// wait up to 40 ms for the client to acknowledge the first. If this fails, the connection is
/// only slow.
fn send_at_once(stream: &mut TcpStream) {
    let _ = stream.set_nodelay(true);
}

fn announce(roots: &[PathBuf], prefix: &StaticPrefix, address: SocketAddr) {
    let roots = roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>();
    let (roots, version) = (roots.join(" and "), prefix.version());
    let files = prefix.paths().count();
    say(format_args!("serving {roots} ({files} files, version {version}) at http://{address}/"));
}

/// Neither `ServeDir` nor the router knows about versions: the layer wraps the whole router.
fn router(roots: &[PathBuf], feed: Option<Feed>, releases: Option<Releases>) -> Router {
    let files = roots.iter().rev().fold(not_found(), |others, root| {
        let files = ServeDir::with_backend(root, Disk::new())
            .redirect_path_prefix(MOUNT)
            .precompressed_gzip()
            .precompressed_br()
            .precompressed_zstd()
            .fallback(others);
        BoxCloneSyncService::new(files.map_response(|response| response.map(Body::new)))
    });
    let options = Options { greets: is_bundled_site(roots), follows: feed.is_some() };
    let router = Router::new()
        .route("/", get(move |prefix| index(prefix, options, releases.clone())))
        .nest_service(MOUNT, files);
    match feed {
        Some(feed) => router.route("/changes", get(move || feed.clone().events())),
        None => router,
    }
}

type Files = BoxCloneSyncService<Request, Response, Infallible>;

/// Behind the last root there is nothing.
fn not_found() -> Files {
    BoxCloneSyncService::new(service_fn(async |_| Ok(StatusCode::NOT_FOUND.into_response())))
}

/// Whether this is the bundled site or a copy of it: only its style and script fit into the
/// page.
fn is_bundled_site(roots: &[PathBuf]) -> bool {
    let [root] = roots else { return false };
    let index = fs::read(root.join("index.html"));
    index.is_ok_and(|index| index == include_bytes!("../site/index.html"))
}

/// The page is `no-store`: it links to the current version, and an old copy would not.
async fn index(
    prefix: StaticPrefix,
    options: Options,
    releases: Option<Releases>,
) -> impl IntoResponse {
    let kept = match releases {
        Some(releases) => Some(versions(releases).await),
        None => None,
    };
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, page::render(&prefix, kept.as_deref(), options))
}

/// Returns the kept versions, the one that was published last first. If the store does not tell
/// soon, those that were kept when it was last seen.
async fn versions(releases: Releases) -> Vec<String> {
    let known = releases.clone();
    let looked = tokio::task::spawn_blocking(move || releases.list());
    let _ = tokio::time::timeout(PATIENCE, looked).await;
    known.versions()
}

/// Drops the [`Watcher`], which ends the event streams that pages would keep open.
async fn stop_watching(watcher: Option<Watcher>) {
    stop_signal().await;
    drop(watcher);
}

/// Ends some time after the stop signal: a slow client must not keep a stopped server alive.
async fn grace_is_over() {
    stop_signal().await;
    tokio::time::sleep(GRACE).await;
}

/// Waits for Ctrl-C, or for the signal by which a service manager stops a process.
async fn stop_signal() {
    tokio::select! {
        () = ctrl_c() => {}
        () = terminate() => {}
    }
}

/// If this cannot listen for the signal, the signal ends the process as usual.
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
