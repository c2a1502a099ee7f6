//! What the tests share: a tree of files, and one request with its answer.
#![allow(dead_code, reason = "every test binary uses another part")]

#[cfg(unix)]
pub mod counter;
pub mod counters;
pub mod demo;
#[cfg(unix)]
pub mod disk;
#[cfg(unix)]
pub mod proxy;
pub mod serve_dir;
#[cfg(unix)]
pub mod store;
pub mod wire;

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::Once,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::{Service, ServiceExt as _};
use tower_static_url::{StaticUrlLayer, StaticUrlLayerBuilder};

pub use self::serve_dir::ServeDir;

pub const YEAR: &str = "public, max-age=31536000, immutable";

/// The modification time of every file that [`tree`] writes.
pub fn mtime() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// So many seconds after [`mtime`].
pub fn later(seconds: u64) -> SystemTime {
    mtime() + Duration::from_secs(seconds)
}

pub fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    write_at(&root.join(path), content, mtime());
}

/// Writes a file, and the directories above it, with a modification time of its own.
pub fn write_at(path: &Path, content: impl AsRef<[u8]>, modified: SystemTime) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    set_modified(path, modified);
}

pub fn set_modified(path: &Path, modified: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

pub fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(root.path(), path, content);
    }
    root
}

pub const HELLO: &str = "hello world";
pub const SHEET: &str = "body { color: teal }";

/// A `.gz` of this content, as it lies beside it.
pub fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content.as_ref()).unwrap();
    gzip.finish().unwrap()
}

/// A small site, with the names that are hard to spell.
pub fn site() -> TempDir {
    let root = tree([
        ("css/app.css", SHEET),
        ("docs/index.html", "<h1>docs</h1>"),
        ("hello.txt", HELLO),
        ("with space.txt", "space"),
        ("100%.txt", "percent"),
        ("semi;colon.txt", "semicolon"),
        ("plus+plus.txt", "plus"),
        ("hash#tag.txt", "hash"),
        ("question?.txt", "question"),
        ("fünke.txt", "tobias"),
        ("2024/year.txt", "a real folder"),
        ("0123456789abcdef/real.txt", "a folder shaped like a version"),
    ]);
    write(root.path(), "css/app.css.gz", gzip(SHEET));
    root
}

/// [`site`] under the layer as the README has it: around a whole router.
pub struct Site {
    pub root: TempDir,
    pub layer: StaticUrlLayer,
}

impl Site {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder) -> Self {
        let root = site();
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        Self { layer: settings(builder).build().unwrap(), root }
    }

    pub fn router(&self) -> Router {
        let files =
            ServeDir::new(self.root.path()).redirect_path_prefix("/static").precompressed_gzip();
        Router::new().nest_service("/static", files)
    }

    /// Where a path that starts with `v/` has the current version, and one that
    /// starts with `stale/` another.
    pub fn url(&self, path: &str) -> String {
        let version = self.layer.prefix().version().to_owned();
        let path = path.replacen("v/", &format!("{version}/"), usize::from(path.starts_with("v/")));
        let stale = "00000000000000aa/";
        let path = path.replacen("stale/", stale, usize::from(path.starts_with("stale/")));
        format!("/static/{path}")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(&self.url(path))).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        ask(self.layer.wrap(self.router()), request).await
    }
}

/// A response that has been read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub head: Response<()>,
    pub body: Bytes,
}

impl Answer {
    /// The lines of a field, joined by ` | `; empty where there is none.
    pub fn field(&self, name: &str) -> String {
        let lines = self.head.headers().get_all(name).iter();
        lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
    }

    pub fn cache_control(&self) -> String {
        self.field("cache-control")
    }
}

pub async fn ask<S, B>(service: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, head: Response::from_parts(parts, ()), body }
}

pub fn get(uri: &str) -> Request<Body> {
    request(Method::GET, uri, &[])
}

/// A request with these field lines, and without a body.
pub fn request<M>(method: M, uri: &str, lines: &[(&str, &str)]) -> Request<Body>
where
    M: TryInto<Method>,
    M::Error: Into<axum::http::Error>,
{
    let request = Request::builder().method(method).uri(uri);
    let request = lines.iter().fold(request, |it, (name, value)| it.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

/// `"<64 hexadecimal digits>"`
pub fn etag_of(content: impl AsRef<[u8]>) -> String {
    use sha2::Digest as _;
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(content)))
}

/// Whether a tag is made of a digest, as those of the layer are and those of `ServeDir` are
/// not: weak or strong, with the name of a coding or without.
pub fn is_digest(tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/").trim_matches('"');
    let digits = opaque.as_bytes().get(..64);
    digits.is_some_and(|digits| digits.iter().all(|byte| b"0123456789abcdef".contains(byte)))
}

thread_local! {
    /// What this thread has logged since it has begun to [capture](Warnings::capture).
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What is logged on this thread, as long as it lives.
pub struct Warnings(());

impl Warnings {
    /// One subscriber for the whole process, which sorts by thread: scoped ones of
    /// several threads disagree about what is worth logging at all.
    pub fn capture() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::TRACE)
                .with_writer(|| Writer)
                .init();
        });
        LOGGED.set(Some(Vec::new()));
        Self(())
    }

    /// The warnings.
    pub fn lines(&self) -> Vec<String> {
        self.all().into_iter().filter(|line| line.contains(" WARN ")).collect()
    }

    /// Everything that the layer says.
    pub fn all(&self) -> Vec<String> {
        let logged = LOGGED.with_borrow(|logged| logged.clone().unwrap_or_default());
        let logged = String::from_utf8(logged).unwrap();
        let own = logged.lines().filter(|line| line.contains(" tower_static_url: "));
        own.map(str::to_owned).collect()
    }
}

impl Drop for Warnings {
    fn drop(&mut self) {
        LOGGED.set(None);
    }
}

struct Writer;

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| {
            if let Some(logged) = logged {
                logged.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
