//! Files that are part of the program, through `ServeDir` itself.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    path::Path,
    sync::{Arc, RwLock},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use bytes::Bytes;
use proptest::prelude::*;
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_http::services::{
    ServeDir,
    fs::{Backend, DefaultServeDirFallback},
};
use tower_static_url::{
    StaticUrlLayer, StaticUrlLayerBuilder, UnlistedPolicy, serve_dir::Embedded,
};

use crate::support::{
    Answer, HELLO, SHEET, YEAR, ask,
    demo::{Demo, example_binary, http_client},
    etag_of, get, gzip, request, tree,
};

// ---------------------------------------------------------------------------------
// The site

const GREETING: &str = "<h1>docs</h1>";

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("css/app.css", SHEET.into()),
        ("css/app.css.gz", gzip(SHEET)),
        ("docs/index.html", GREETING.into()),
        ("hello.txt", HELLO.into()),
        ("empty.txt", Vec::new()),
        ("with space.txt", "space".into()),
        ("100%.txt", "percent".into()),
        ("fünke.txt", "tobias".into()),
        ("hash#tag.txt", "hash".into()),
        ("0123456789abcdef/real.txt", "a folder shaped like a version".into()),
    ]
}

/// Both ways to hand over files.
fn sources() -> [(&'static str, Embedded); 2] {
    let by_path = files().into_iter().collect::<BTreeMap<_, _>>();
    let paths = by_path.keys().copied().collect::<Vec<_>>();
    let find = move |path: &str| by_path.get(path).cloned();
    [
        ("from_files", Embedded::from_files(files()).unwrap()),
        ("from_fn", Embedded::from_fn(paths, find).unwrap()),
    ]
}

fn builder(embedded: &Embedded) -> StaticUrlLayerBuilder {
    StaticUrlLayer::builder("/static").manifest(embedded.manifest().unwrap())
}

fn router(embedded: &Embedded) -> Router {
    let files = ServeDir::with_backend("", embedded.clone());
    let files = files.precompressed_gzip().redirect_path_prefix("/static");
    Router::new().nest_service("/static", files)
}

// ---------------------------------------------------------------------------------
// What each request gets

/// A request, and what is expected of the answer. `{v}` stands for the current version.
struct Case {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    lines: Vec<(&'static str, String)>,
    status: u16,
    /// An empty value: the field is absent.
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn case(name: &'static str, path: &'static str) -> Case {
    let (lines, fields) = Default::default();
    Case { name, method: "GET", path, lines, status: 200, fields, body: Vec::new() }
}

impl Case {
    fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn is(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A file that the layer vouches for, with a tag made of its content.
    fn current(self, content: &str) -> Self {
        self.is("cache-control", YEAR).is("etag", etag_of(content)).body(content)
    }

    /// A file that is asked for again.
    fn asked_for_again(self, content: &str) -> Self {
        self.is("cache-control", "no-cache").is("etag", etag_of(content)).body(content)
    }

    fn error(self, status: u16) -> Self {
        self.status(status).is("cache-control", "no-store")
    }

    async fn assert(&self, source: &str, embedded: &Embedded) {
        let name = format!("{source}: {}", self.name);
        let layer = builder(embedded).build().unwrap();
        let version = layer.prefix().version().to_owned();
        let spelled = |text: &str| text.replace("{v}", &version);
        let lines = self.lines.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>();
        let request = request(self.method, &format!("/static/{}", spelled(self.path)), &lines);
        let answer = ask(layer.wrap(router(embedded)), request).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (self.status, &*self.body), "{name}");
        for (field, value) in &self.fields {
            assert_eq!(answer.field(field), spelled(value), "{name}: {field}");
        }
        // The program does not know when the file was written.
        assert_eq!(answer.field("last-modified"), "", "{name}");
    }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let own = etag_of(HELLO);
    let (coded, coded_tag) = (gzip(SHEET), etag_of(gzip(SHEET)));
    let hello = |name| case(name, "{v}/hello.txt");
    let sheet = |name| case(name, "{v}/css/app.css").is("vary", "accept-encoding");
    vec![
        hello("current").current(HELLO).is("content-type", "text/plain").is("content-length", "11").is("accept-ranges", "bytes"),
        hello("HEAD").method("HEAD").current(HELLO).is("content-length", "11").body(""),
        case("unversioned", "hello.txt").asked_for_again(HELLO),
        case("stale", "00000000000000aa/hello.txt").asked_for_again(HELLO),
        case("empty", "{v}/empty.txt").current("").is("content-length", "0"),
        case("a folder shaped like a version", "0123456789abcdef/real.txt").asked_for_again("a folder shaped like a version"),

        case("space", "{v}/with%20space.txt").current("space"),
        case("percent", "{v}/100%25.txt").current("percent"),
        case("no ASCII", "{v}/f%C3%BCnke.txt").current("tobias"),
        case("hash", "{v}/hash%23tag.txt").current("hash"),

        hello("a part").with("range", "bytes=0-4").current(HELLO).status(206).is("content-range", "bytes 0-4/11").is("content-length", "5").body("hello"),
        hello("the end").with("range", "bytes=-5").current(HELLO).status(206).is("content-range", "bytes 6-10/11").body("world"),
        hello("beyond the end").with("range", "bytes=11-").error(416).is("content-range", "bytes */11"),
        hello("If-Range").with("range", "bytes=0-4").with("if-range", &*own).current(HELLO).status(206).body("hello"),
        hello("If-Range, other").with("range", "bytes=0-4").with("if-range", "\"other\"").current(HELLO),
        hello("If-Range, date").with("range", "bytes=0-4").with("if-range", "Sun, 06 Nov 1994 08:49:37 GMT").current(HELLO),
        hello("a part, HEAD").method("HEAD").with("range", "bytes=0-4").is("cache-control", YEAR),

        hello("If-None-Match").with("if-none-match", &*own).current(HELLO).status(304).body(""),
        case("If-None-Match, unversioned", "hello.txt").with("if-none-match", &*own).asked_for_again(HELLO).status(304).body(""),
        hello("If-None-Match, other").with("if-none-match", "\"other\"").current(HELLO),
        hello("If-Match, other").with("if-match", "\"other\"").error(412),
        hello("If-Match").with("if-match", &*own).current(HELLO),
        hello("If-Modified-Since").with("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT").current(HELLO),

        sheet("identity").current(SHEET).is("content-type", "text/css").is("content-encoding", ""),
        sheet("a sibling").with("accept-encoding", "gzip").status(200).is("cache-control", YEAR).is("etag", &*coded_tag).is("content-encoding", "gzip").is("content-type", "text/css").body(&*coded),
        sheet("a sibling, HEAD").method("HEAD").with("accept-encoding", "gzip").is("etag", &*coded_tag).is("content-length", coded.len().to_string()),
        sheet("a sibling, known").with("accept-encoding", "gzip").with("if-none-match", &*coded_tag).status(304).is("etag", &*coded_tag),
        sheet("a part of a sibling").with("accept-encoding", "gzip").with("range", "bytes=0-1").status(206).is("etag", &*coded_tag).is("content-encoding", "gzip").body(&coded[..2]),
        sheet("a sibling for who refuses it").with("accept-encoding", "gzip;q=0").current(SHEET),
        hello("no sibling").with("accept-encoding", "gzip").current(HELLO).is("content-encoding", ""),

        case("a directory", "{v}/docs").status(307).is("location", "/static/{v}/docs/").is("cache-control", "no-cache"),
        case("a directory, unversioned", "docs").status(307).is("location", "/static/docs/").is("cache-control", "no-cache"),
        case("its index", "{v}/docs/").is("content-type", "text/html").is("cache-control", "no-cache").body(GREETING),
        case("the index itself", "{v}/docs/index.html").current(GREETING),
        case("a directory without index", "{v}/css/").error(404),
        case("the root without index", "{v}/").error(404),

        case("missing", "{v}/gone.js").error(404),
        case("below a file", "{v}/hello.txt/more").error(404),
        case("a file with a slash", "{v}/hello.txt/").error(404),
        case("other case", "{v}/HELLO.txt").error(404),
        case("climbing", "{v}/css/../hello.txt").error(404),
        case("climbing, escaped", "{v}/css/%2e%2e/hello.txt").error(404),
        case("NUL", "{v}/hello.txt%00").error(404),
        case("not UTF-8", "{v}/%ff").error(404),
        hello("POST").method("POST").status(405),
    ]
}

#[tokio::test]
async fn what_each_request_gets() {
    for (source, embedded) in sources() {
        for case in cases() {
            case.assert(source, &embedded).await;
        }
    }
}

#[tokio::test]
async fn a_file_of_many_reads_arrives_whole() {
    let noise = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    let noise = noise.collect::<Vec<_>>();
    let embedded = Embedded::from_files([("noise.bin", noise.clone())]).unwrap();
    let layer = builder(&embedded).build().unwrap();
    let url = layer.prefix().url("noise.bin");
    for (range, status, expected) in
        [("", 200, &noise[..]), ("bytes=99999-299998", 206, &noise[99_999..299_999])]
    {
        let request = request("GET", &url, &[("range", range)]);
        let answer = ask(layer.wrap(router(&embedded)), request).await;
        assert!(answer.status == status && answer.body == expected, "{range}: {}", answer.status);
        assert_eq!(answer.cache_control(), YEAR, "{range}");
    }
}

#[tokio::test]
async fn unlisted_files_are_not_asked_for() {
    let (_, embedded) = &sources()[0];
    let layer = builder(embedded).unlisted(UnlistedPolicy::NotFound).build().unwrap();
    let shell = service_fn(async |_: Request<Body>| Ok(Response::new(Body::from("shell"))));
    let files = ServeDir::with_backend("", embedded.clone()).fallback(shell);
    let app = layer.wrap(Router::new().nest_service("/static", files));
    let prefix = layer.prefix();
    for (path, status, cache_control) in [
        ("gone.js", 404, "no-store"),
        ("css/app.css", 200, YEAR),
        ("docs/", 200, "no-cache"),
        // The folder exists, and its page does not.
        ("css/", 200, "no-cache"),
    ] {
        let answer = ask(app.clone(), get(&format!("{prefix}{path}"))).await;
        let found = (answer.status.as_u16(), answer.cache_control());
        assert_eq!(found, (status, cache_control.to_owned()), "{path}");
    }
}

/// By `ServeDir` itself, as trees on a disk are.
#[tokio::test]
async fn one_tree_over_another() {
    let [front, back] = ["front", "back"];
    let own = Embedded::from_files([("a.txt", front.as_bytes())]).unwrap();
    let shared = [("a.txt", back.as_bytes()), ("b.txt", back.as_bytes())];
    let shared = Embedded::from_files(shared).unwrap();
    let files = ServeDir::with_backend("", own).fallback(ServeDir::with_backend("", shared));
    for (path, expected) in [("/a.txt", front), ("/b.txt", back)] {
        assert_eq!(ask(files.clone(), get(path)).await.body, expected, "{path}");
    }
}

// ---------------------------------------------------------------------------------
// A debug build

/// `rust-embed` reads the disk in a debug build: the bytes change after the manifest was made.
#[tokio::test]
async fn an_edit_shows_in_development() {
    let (old, new, longer) = ("p{color:teal}", "p{color:navy}", "p { color: navy }");
    for is_development in [true, false] {
        let content = Arc::new(RwLock::new(Some(old)));
        let shared = Arc::clone(&content);
        let find = move |path: &str| {
            let content = shared.read().unwrap().filter(|_| path == "app.css")?;
            Some(Cow::Owned(content.into()))
        };
        let embedded = Embedded::from_fn(["app.css"], find).unwrap();
        let layer = builder(&embedded).development(is_development).build().unwrap();
        let app = layer.wrap(router(&embedded));
        let current = layer.prefix().url("app.css");
        for edit in [Some(new), Some(longer), None, Some(new)] {
            // Only in development is the length no proof.
            if !is_development && edit.is_some_and(|edit| edit.len() == old.len()) {
                continue;
            }
            *content.write().unwrap() = edit;
            let old_tag = etag_of(old);
            for url in [&*current, "/static/app.css", "/static/00000000000000aa/app.css"] {
                for lines in [&[][..], &[("if-none-match", &*old_tag)]] {
                    let name = format!("{is_development} {edit:?} {url} {lines:?}");
                    if url == current && !lines.is_empty() && !is_development && edit.is_none() {
                        continue;
                    }
                    let answer = ask(app.clone(), request("GET", url, lines)).await;
                    let (status, cache_control) = match edit {
                        Some(_) => (200, "no-cache"),
                        None => (404, "no-store"),
                    };
                    let found = (answer.status.as_u16(), answer.cache_control());
                    assert_eq!(found, (status, cache_control.to_owned()), "{name}");
                    assert_eq!(answer.body, edit.unwrap_or_default(), "{name}");
                    assert_ne!(answer.field("etag"), old_tag, "{name}");
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------
// The same files on a disk

/// How `ServeDir` is set.
#[derive(Clone, Copy, Debug)]
struct Options {
    index: bool,
    redirect: bool,
    html: bool,
    gzip: bool,
    fallback: bool,
}

type Service = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn service<B>(files: ServeDir<DefaultServeDirFallback, B>, options: Options) -> Service
where
    B: Backend,
    B::File: 'static,
{
    let files = files
        .append_index_html_on_directories(options.index)
        .redirect_to_trailing_slash(options.redirect)
        .html_as_default_extension(options.html);
    let files = if options.gzip { files.precompressed_gzip() } else { files };
    if options.fallback {
        let fallback = service_fn(async |request: Request<Body>| {
            let response = Response::builder().status(StatusCode::IM_A_TEAPOT);
            Ok(response.body(Body::from(request.uri().path().to_owned())).unwrap())
        });
        boxed(files.fallback(fallback))
    } else {
        boxed(files)
    }
}

fn boxed<S, B>(service: S) -> Service
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
}

/// Everything but dates and tags.
fn comparable(answer: &Answer) -> (StatusCode, Vec<(String, String)>, String) {
    let fields = answer.head.headers().keys().map(|name| name.as_str());
    let fields = fields.filter(|name| !["last-modified", "etag"].contains(name));
    let fields = fields.map(|name| (name.to_owned(), answer.field(name)));
    (answer.status, fields.collect(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// Files, which no directory is called like: `ServeDir` opens a directory `a.css.gz` on a disk, and
/// then cannot read it.
fn trees() -> impl Strategy<Value = BTreeMap<String, String>> {
    let directory = prop::sample::select(vec!["d/", "e e/", "f.css/", "ü%/"]);
    let directories = prop::collection::vec(directory, 0..3).prop_map(|all| all.concat());
    let file = prop::sample::select(vec![
        "a",
        "a.html",
        "b.css",
        "b.css.gz",
        "index.html",
        "ü.txt",
        "100%.js",
        ".x",
    ]);
    let path = (directories, file).prop_map(|(directories, file)| directories + file);
    prop::collection::btree_map(path, "[a-z]{0,12}", 1..10)
}

/// A path that is often one of a tree, and often not. Without a NUL: a disk answers `HEAD` with a
/// 500 then.
fn request_paths() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "d",
        "d/",
        "e%20e",
        "e%20e/",
        "f.css",
        "f.css/",
        "%C3%BC%25/",
        "%64/",
        "a",
        "a/",
        "a.html",
        "b.css",
        "b.css.gz",
        "index.html",
        "%C3%BC.txt",
        "100%25.js",
        ".x",
        "",
        "/",
        ".",
        "./",
        "..",
        "../",
        "%2e%2e/",
        "%2f",
        "%5c",
        "%ff",
        "%",
        "a%2fb",
        "no",
        "no.css",
    ]);
    let segments = prop::collection::vec(segment, 0..4);
    segments.prop_map(|segments| format!("/{}", segments.concat()))
}

type Lines = Vec<(&'static str, &'static str)>;

fn requests() -> impl Strategy<Value = (&'static str, String, Lines)> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "POST"]);
    let line = prop::sample::select(vec![
        ("accept-encoding", "gzip"),
        ("accept-encoding", "gzip;q=0.5, identity"),
        ("accept-encoding", "br"),
        ("range", "bytes=0-2"),
        ("range", "bytes=-3"),
        ("range", "bytes=9-"),
        ("range", "bytes=0-0,2-2"),
    ]);
    (method, request_paths(), prop::collection::vec(line, 0..3))
}

fn options() -> impl Strategy<Value = Options> {
    any::<[bool; 5]>().prop_map(|[index, redirect, html, gzip, fallback]| Options {
        index,
        redirect,
        html,
        gzip,
        fallback,
    })
}

proptest! {
    #[test]
    fn embedded_files_are_served_as_from_a_disk(
        files in trees(),
        options in options(),
        requests in prop::collection::vec(requests(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tree(files.iter().map(|(path, content)| (&**path, &**content)));
        let on_disk = service(ServeDir::new(folder.path()), options);
        let files = files.into_iter().map(|(path, content)| (path, content.into_bytes()));
        let embedded = Embedded::from_files(files).unwrap();
        let embedded = service(ServeDir::with_backend("", embedded), options);
        for (method, path, lines) in requests {
            let send = |service: &Service| {
                let request = request(method, &path, &lines);
                comparable(&runtime.block_on(ask(service.clone(), request)))
            };
            prop_assert_eq!(send(&embedded), send(&on_disk), "{} {} {:?}", method, path, lines);
        }
    }
}

/// A directory is no sibling, and no index, whatever it is called.
#[tokio::test]
async fn a_directory_is_not_opened() {
    let files = ["a.css", "a.css.gz/b", "docs/index.html/c"].map(|path| (path, SHEET.as_bytes()));
    let embedded = Embedded::from_files(files).unwrap();
    let service = ServeDir::with_backend("", embedded).precompressed_gzip();
    for (path, status) in [("/a.css", 200), ("/docs/", 404), ("/docs/index.html/c", 200)] {
        let request = request("GET", path, &[("accept-encoding", "gzip")]);
        let answer = ask(service.clone(), request).await;
        let found = (answer.status.as_u16(), answer.field("content-encoding"));
        assert_eq!(found, (status, String::new()), "{path}");
    }
}

/// A backend with a root has the files below it.
#[tokio::test]
async fn a_root_within_the_tree() {
    let embedded = Embedded::from_files(files()).unwrap();
    for (root, path, status) in [
        ("docs", "/index.html", 200),
        ("docs", "/hello.txt", 404),
        ("docs/", "/", 200),
        ("none", "/index.html", 404),
        ("/docs", "/index.html", 404),
        ("..", "/hello.txt", 404),
    ] {
        let answer = ask(ServeDir::with_backend(root, embedded.clone()), get(path)).await;
        assert_eq!(answer.status, status, "{root} {path}");
    }
}

// ---------------------------------------------------------------------------------
// The examples

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site");

/// Each example is one binary, and serves every file that its page links to.
#[tokio::test]
async fn the_examples_serve_their_files() {
    // Examples are built as these tests are, and `rust-embed` reads the disk in a debug build.
    let from_disk = if cfg!(debug_assertions) { "no-cache" } else { YEAR };
    for (example, cache_control) in [("rust_embed", from_disk), ("include_dir", YEAR)] {
        let mut command = std::process::Command::new(example_binary(example));
        // It needs no file beside it.
        command.arg("127.0.0.1:0").current_dir(std::env::temp_dir());
        let demo = Demo::run(command);
        let send = async |path: &str| {
            ask(http_client(), get(&format!("http://{}{path}", demo.address))).await
        };

        let page = String::from_utf8(send("/").await.body.to_vec()).unwrap();
        let links = page.split('"').filter(|text| text.starts_with("/static/"));
        let links = links.collect::<Vec<_>>();
        let version = links[0].split('/').nth(2).unwrap();
        let scanned = StaticUrlLayer::new("/static", SITE).unwrap();
        assert_eq!(version, scanned.prefix().version(), "{example}");
        for (link, path, content_type) in [
            (links[0], "css/app.css", "text/css"),
            (links[1], "js/app.js", "text/javascript"),
            (links[2], "img/stamp.svg", "image/svg+xml"),
        ] {
            let answer = send(link).await;
            assert!(link.ends_with(path), "{example}: {link}");
            assert_eq!(answer.body, fs::read(Path::new(SITE).join(path)).unwrap(), "{example}");
            let fields = ["content-type", "cache-control"].map(|name| answer.field(name));
            assert_eq!(fields, [content_type, cache_control], "{example}: {link}");
        }
        let gone = send(&format!("/static/{version}/gone.js")).await;
        assert_eq!((gone.status.as_u16(), gone.cache_control()), (404, "no-store".into()));
        let folder = send(&format!("/static/{version}/notes")).await;
        assert_eq!(folder.field("location"), format!("/static/{version}/notes/"), "{example}");
    }
}

/// A function may have any reason to find nothing.
#[test]
fn a_source_that_has_lost_a_file() {
    let find = |_: &str| None::<&[u8]>;
    let embedded = Embedded::from_fn(["a.css"], find).unwrap();
    let error = embedded.manifest().unwrap_err();
    assert_eq!(error.to_string(), r#"the embedded file "a.css" is listed, but not found"#);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let opened = runtime.block_on(embedded.open("./a.css".into()));
    assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::NotFound);
}
