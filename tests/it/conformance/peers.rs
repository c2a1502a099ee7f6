//! What other static file servers promise in their tests, as far as it applies to a static
//! URL: WhiteNoise, Plug.Static, Rack (`Files`, `Static`, `ConditionalGet`, `ETag`), send,
//! sirv, actix-files, and `ServeDir` itself. Each case names those that assert the same of
//! themselves; the cases are ours.

use std::{
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    response::IntoResponse,
    routing::get as route,
};
use tempfile::TempDir;
use tower_http::{
    services::{
        self,
        fs::{Backend, DefaultServeDirFallback},
    },
    set_header::SetResponseHeaderLayer,
};
use tower_static_url::{StaticUrlLayer, serve_dir::Embedded};

use crate::support::{
    Answer, ServeDir, YEAR, ask, etag_of, get, gzip, is_digest, request, write_at,
};

const TEXT: &str = "hello world";
const SHEET: &str = "body { color: teal }";
const SHEET_BR: &str = "stands for the brotlied sheet, longer";

/// Saturday, 15 Nov 2014 12:45:26 GMT
const MODIFIED: u64 = 1_416_055_526;

// ---------------------------------------------------------------------------------
// Cases

/// A request, and what is expected of the answer.
#[derive(Clone, Debug)]
struct Case {
    name: &'static str,
    /// Whose tests say so.
    asserted_by: &'static str,
    method: &'static str,
    /// `@` stands for the prefix.
    url: String,
    lines: Vec<(&'static str, String)>,
    /// One of these.
    status: Vec<u16>,
    /// `None`: the field is absent.
    fields: Vec<(&'static str, Option<String>)>,
    not: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    /// Only of files that have a date.
    is_of_date: bool,
}

fn case(name: &'static str, asserted_by: &'static str) -> Case {
    Case {
        name,
        asserted_by,
        method: "GET",
        url: "@hello.txt".into(),
        lines: Vec::new(),
        status: vec![200],
        fields: Vec::new(),
        not: Vec::new(),
        body: None,
        is_of_date: false,
    }
}

impl Case {
    fn url(self, url: impl Into<String>) -> Self {
        Self { url: url.into(), ..self }
    }

    fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }

    fn status(self, status: u16) -> Self {
        Self { status: vec![status], ..self }
    }

    fn or_status(mut self, status: u16) -> Self {
        self.status.push(status);
        self
    }

    fn is(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, Some(value.into())));
        self
    }

    fn other_than(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.not.push((name, value.into()));
        self
    }

    fn has_no(mut self, names: &[&'static str]) -> Self {
        self.fields.extend(names.iter().map(|name| (*name, None)));
        self
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    /// A 304, with all that it must have of the 200 (RFC 9110 §15.4.5).
    fn not_modified(self, tag: &str) -> Self {
        self.status(304)
            .body("")
            .is("etag", tag)
            .is("cache-control", YEAR)
            .is("vary", "accept-encoding")
            .has_no(&["content-type", "content-length", "content-encoding", "content-range"])
    }

    fn failed(self) -> Self {
        self.status(412).body("").is("cache-control", "no-store")
    }

    fn part(self, range: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len().to_string();
        self.status(206).is("content-range", range).is("content-length", length).body(body)
    }

    fn whole(self) -> Self {
        self.status(200).has_no(&["content-range"]).is("content-length", "11").body(TEXT)
    }

    fn of_date(self) -> Self {
        Self { is_of_date: true, ..self }
    }

    /// Asks a layer that has not seen any request before: over the files on a disk, and over the
    /// same files in memory.
    async fn run(&self, site: &Site) -> Result<(), String> {
        let layer = site.layer();
        let service = layer.wrap(router(site.folder.path()));
        self.judge(&ask(service, self.request(layer.prefix().as_str())).await)?;
        if self.is_of_date {
            return Ok(());
        }
        let embedded = Embedded::from_files(content()).unwrap();
        let manifest = embedded.manifest().unwrap();
        let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
        let service = layer.wrap(router_of(services::ServeDir::with_backend("", embedded)));
        let answer = ask(service, self.request(layer.prefix().as_str())).await;
        self.judge(&answer).map_err(|wrong| format!("embedded: {wrong}"))
    }

    fn request(&self, prefix: &str) -> Request<Body> {
        let lines = self.lines.iter().map(|(name, value)| (*name, &**value));
        request(self.method, &self.url.replace('@', prefix), &lines.collect::<Vec<_>>())
    }

    fn judge(&self, answer: &Answer) -> Result<(), String> {
        let mut wrong = Vec::new();
        if !self.status.contains(&answer.status.as_u16()) {
            wrong.push(format!("status {}, not {:?}", answer.status, self.status));
        }
        for (name, expected) in &self.fields {
            let found = field(answer, name);
            if found != *expected {
                wrong.push(format!("{name}: {found:?}, not {expected:?}"));
            }
        }
        for (name, value) in &self.not {
            if field(answer, name).as_ref() == Some(value) {
                wrong.push(format!("{name}: {value}"));
            }
        }
        if let Some(body) = self.body.as_ref().filter(|body| answer.body != **body) {
            wrong.push(format!("body {:?}, not {body:?}", answer.body));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("{} ({}): {}", self.name, self.asserted_by, wrong.join("; ")))
    }
}

/// All lines of a field.
fn field(answer: &Answer, name: &str) -> Option<String> {
    answer.head.headers().contains_key(name).then(|| answer.field(name))
}

fn date(away: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(MODIFIED.checked_add_signed(away).unwrap());
    httpdate::fmt_http_date(time)
}

// ---------------------------------------------------------------------------------
// The site

struct Site {
    folder: TempDir,
}

fn content() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("hello.txt", TEXT.into()),
        ("css/app.css", SHEET.into()),
        ("css/app.css.gz", gzip(SHEET)),
        ("css/app.css.br", SHEET_BR.into()),
        ("empty.txt", Vec::new()),
        ("docs/index.html", "<h1>Docs</h1>".into()),
        ("only.js.gz", "stands for a gzipped script".into()),
        ("with space.txt", "space".into()),
        ("f\u{fc}nke.txt", "f\u{fc}nke".into()),
        ("you+me.txt", "plus".into()),
        ("a..b/c..txt", "dots".into()),
        ("name.with.dots.txt", "dots".into()),
        ("new\nline.txt", "line".into()),
    ]
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let modified = UNIX_EPOCH + Duration::new(MODIFIED, 500);
        for (path, content) in content() {
            write_at(&folder.path().join(path), content, modified);
        }
        Self { folder }
    }

    fn layer(&self) -> StaticUrlLayer {
        StaticUrlLayer::new("/static", self.folder.path()).unwrap()
    }
}

fn router(folder: &Path) -> Router {
    router_of(ServeDir::new(folder))
}

fn router_of<B>(files: services::ServeDir<DefaultServeDirFallback, B>) -> Router
where
    B: Backend,
    B::File: 'static,
{
    let files = files.precompressed_gzip().precompressed_br().redirect_path_prefix("/static");
    Router::new().nest_service("/static", files).route("/about", route(|| async { "about" }))
}

async fn assert_all(cases: Vec<Case>) {
    let site = Site::new();
    let mut wrong = Vec::new();
    for case in cases {
        wrong.extend(case.run(&site).await.err());
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}

// ---------------------------------------------------------------------------------
// Files and paths

#[tokio::test]
async fn files() {
    assert_all(vec![
        case("a file", "all")
            .body(TEXT)
            .is("content-type", "text/plain")
            .is("content-length", "11")
            .is("accept-ranges", "bytes")
            .is("etag", etag_of(TEXT))
            .is("cache-control", YEAR),
        case("a file's date", "all").is("last-modified", date(0)).of_date(),
        case("the tag is a quoted string", "Plug.Static, ServeDir").is("etag", etag_of(TEXT)),
        case("a file without content", "send, ServeDir")
            .url("@empty.txt")
            .body("")
            .is("content-length", "0")
            .is("etag", etag_of("")),
        case("HEAD has the length and no body", "WhiteNoise, Rack, send, actix-files, ServeDir")
            .method("HEAD")
            .body("")
            .is("content-type", "text/plain")
            .is("content-length", "11")
            .is("etag", etag_of(TEXT)),
        case("HEAD of a coding", "ServeDir")
            .method("HEAD")
            .url("@css/app.css")
            .with("accept-encoding", "gzip")
            .body("")
            .is("content-encoding", "gzip")
            .is("content-length", gzip(SHEET).len().to_string())
            .is("vary", "accept-encoding"),
        case("an encoded space", "Plug.Static, sirv, actix-files, ServeDir")
            .url("@with%20space.txt")
            .body("space"),
        case("encoded letters", "Rack, actix-files, ServeDir").url("@h%65llo%2Etxt").whole(),
        case("encoded UTF-8", "sirv, ServeDir").url("@f%C3%BCnke.txt").body("f\u{fc}nke"),
        case("an encoded line feed", "actix-files").url("@new%0Aline.txt").body("line"),
        case("a plus means itself", "Rack").url("@you+me.txt").body("plus"),
        case("dots in a name", "Rack, send")
            .url("@a..b/c..txt")
            .body("dots")
            .is("cache-control", YEAR),
        case("several dots", "send").url("@name.with.dots.txt").body("dots"),
        case("a query names no other file", "Plug.Static")
            .url("@hello.txt?vsn=d")
            .whole()
            .is("cache-control", YEAR),
        case("a folder's index", "WhiteNoise, sirv, Rack, ServeDir")
            .url("@docs/")
            .body("<h1>Docs</h1>")
            .is("content-type", "text/html"),
        case("other paths pass through", "WhiteNoise, Plug.Static, Rack")
            .url("/about")
            .body("about")
            .has_no(&["cache-control", "etag"]),
    ])
    .await;
}

#[tokio::test]
async fn nothing_there() {
    let nothing = |name, asserted_by, url: &str| {
        case(name, asserted_by).url(url).status(404).is("cache-control", "no-store").has_no(&[
            "etag",
            "last-modified",
            "content-encoding",
        ])
    };
    assert_all(vec![
        nothing("no such file", "all", "@missing.txt"),
        nothing("no such file, HEAD", "Rack", "@missing.txt").method("HEAD").body(""),
        nothing("no such file, coded", "ServeDir", "@missing.txt").with("accept-encoding", "gzip"),
        nothing("no such file, conditions", "Rack", "@missing.txt")
            .with("if-none-match", "*")
            .with("if-modified-since", date(0)),
        nothing("a file is no folder", "ServeDir", "@hello.txt/"),
        nothing("below a file", "ServeDir", "@hello.txt/more"),
        nothing("a folder without index", "Rack, ServeDir", "@css/"),
        nothing("a name without its extension", "send", "@hello"),
        nothing("up and out", "WhiteNoise, Rack, sirv, actix-files", "@../Cargo.toml"),
        nothing("up and out, encoded", "Rack, actix-files", "@%2e%2e/%2E%2e/Cargo.toml"),
        nothing("up and in again, encoded", "Plug.Static", "@css/%2e%2e/hello.txt"),
        nothing("an encoded slash", "sirv, actix-files", "@css%2fapp.css"),
        nothing("an encoded NUL", "Plug.Static, actix-files, ServeDir", "@hello.txt%00"),
        nothing("a NUL and another extension", "Plug.Static", "@hello.txt%00.html"),
        nothing("a drive", "WhiteNoise, Plug.Static, ServeDir", "@c:/windows/win.ini"),
        nothing("no UTF-8", "send, ServeDir", "@weird_%c3%28_path"),
        nothing("encoded in no way", "send", "@%zz"),
        nothing("very many segments", "WhiteNoise", &format!("@{}x", "blah/".repeat(500))),
        nothing("a sibling with no original", "ServeDir, sirv", "@only.js"),
    ])
    .await;
}

#[tokio::test]
async fn folders_and_methods() {
    let site = Site::new();
    let prefix = site.layer().prefix().as_str().to_owned();
    assert_all(vec![
        case("a folder without its slash", "WhiteNoise, send, actix-files, ServeDir")
            .url("@docs")
            .status(307)
            .is("location", format!("{prefix}docs/"))
            .is("cache-control", "no-cache")
            .has_no(&["etag"]),
        case("a condition changes no redirect", "Rack")
            .url("@docs")
            .with("if-none-match", "*")
            .status(307),
        case("no redirect leaves the host", "send")
            .url(format!("{prefix}/docs"))
            .status(404)
            .has_no(&["location"]),
        case("POST", "WhiteNoise, Rack, actix-files, ServeDir")
            .method("POST")
            .status(405)
            .is("allow", "GET,HEAD")
            .has_no(&["cache-control", "etag"]),
        case("POST with a condition", "Rack")
            .method("POST")
            .with("if-none-match", etag_of(TEXT))
            .status(405),
        case("PUT with a condition that fails", "actix-files")
            .method("PUT")
            .with("if-match", "\"594bd1d1-36\"")
            .status(405),
    ])
    .await;
}

// ---------------------------------------------------------------------------------
// Codings

#[tokio::test]
async fn codings() {
    let sheet = |name, asserted_by, accept: Option<&str>| {
        let case = case(name, asserted_by).url("@css/app.css");
        let case = case.is("vary", "accept-encoding").is("content-type", "text/css");
        match accept {
            Some(accept) => case.with("accept-encoding", accept),
            None => case,
        }
    };
    let plain =
        |case: Case| case.body(SHEET).is("etag", etag_of(SHEET)).has_no(&["content-encoding"]);
    let coded = |case: Case, coding: &str, body: &[u8]| {
        case.body(body)
            .is("etag", etag_of(body))
            .is("content-encoding", coding)
            .is("content-length", body.len().to_string())
            .is("cache-control", YEAR)
    };
    let gzipped = |case| coded(case, "gzip", &gzip(SHEET));
    let br = |case| coded(case, "br", SHEET_BR.as_bytes());
    assert_all(vec![
        plain(sheet("nothing said", "WhiteNoise, Plug.Static, ServeDir", None)),
        plain(sheet("none wanted", "WhiteNoise, Rack", Some(""))),
        plain(sheet("identity", "ServeDir", Some("identity"))),
        plain(sheet("any", "WhiteNoise", Some("*"))),
        plain(sheet("an unknown one", "Plug.Static, actix-files", Some("zstd"))),
        plain(sheet("refused", "actix-files", Some("zstd;q=1, gzip;q=0"))),
        gzipped(sheet("gzip", "all", Some("gzip"))),
        br(sheet("br", "Plug.Static, sirv, ServeDir", Some("br"))),
        br(sheet("both", "Plug.Static, sirv", Some("gzip, br"))),
        br(sheet("the better one", "actix-files", Some("gzip;q=0.6,br;q=0.8,*"))),
        gzipped(sheet("the one that is there", "ServeDir", Some("zstd, gzip"))),
        case("a file without siblings", "Plug.Static, Rack, ServeDir")
            .with("accept-encoding", "gzip")
            .whole()
            .is("vary", "accept-encoding")
            .has_no(&["content-encoding"]),
        case("a sibling is a file too", "actix-files")
            .url("@css/app.css.gz")
            .body(gzip(SHEET))
            .is("content-type", "application/gzip")
            .is("cache-control", YEAR)
            .has_no(&["content-encoding"]),
        case("a sibling without original", "ServeDir, sirv")
            .url("@only.js")
            .with("accept-encoding", "gzip")
            .body("stands for a gzipped script")
            .is("content-encoding", "gzip")
            .is("etag", etag_of("stands for a gzipped script"))
            .is("cache-control", YEAR)
            .is("vary", "accept-encoding"),
        gzipped(sheet("another coding's date", "Rack", Some("gzip")))
            .with("if-modified-since", date(-100)),
        case("a coding's own tag", "Plug.Static")
            .url("@css/app.css")
            .with("accept-encoding", "gzip")
            .with("if-none-match", etag_of(gzip(SHEET)))
            .not_modified(&etag_of(gzip(SHEET))),
        case("a coding's own date", "Rack")
            .url("@css/app.css")
            .with("accept-encoding", "gzip")
            .with("if-modified-since", date(0))
            .not_modified(&etag_of(gzip(SHEET)))
            .of_date(),
    ])
    .await;
}

// ---------------------------------------------------------------------------------
// Conditions

#[tokio::test]
async fn conditions() {
    let foreign = "\"594bd1d1-36\"";
    let own = etag_of(TEXT);
    let weak = format!("W/{own}");
    assert_all(vec![
        case("If-None-Match", "all").with("if-none-match", &own).not_modified(&own),
        case("If-None-Match, HEAD", "Plug.Static, ServeDir")
            .method("HEAD")
            .with("if-none-match", &own)
            .not_modified(&own),
        case("If-None-Match, other", "all").with("if-none-match", foreign).whole(),
        case("If-None-Match, weak", "ServeDir")
            .with("if-none-match", weak.clone())
            .not_modified(&own),
        case("If-None-Match, list", "ServeDir")
            .with("if-none-match", format!("{foreign}, {own}, \"third\""))
            .not_modified(&own),
        case("If-None-Match, any", "ServeDir").with("if-none-match", "*").not_modified(&own),
        case("If-None-Match, no tag", "actix-files")
            .with("if-none-match", "miss_etag")
            .with("if-modified-since", date(0))
            .whole(),
        case("If-Modified-Since", "all")
            .with("if-modified-since", date(0))
            .not_modified(&own)
            .of_date(),
        case("If-Modified-Since, sooner", "all").with("if-modified-since", date(-100)).whole(),
        case("If-Modified-Since, mangled", "WhiteNoise")
            .with("if-modified-since", "Fri, 16 Jul 2021 09:09:1626426577S GMT")
            .whole(),
        case("If-Modified-Since, another form", "Rack")
            .with("if-modified-since", "2014-11-15 12:45:26 +0000")
            .whole(),
        case("If-Modified-Since, too short", "Rack").with("if-modified-since", "1234").whole(),
        case("the tag overrules the date", "WhiteNoise, Rack, actix-files")
            .with("if-none-match", foreign)
            .with("if-modified-since", date(0))
            .whole(),
        case("the tag overrules the date, hit", "Rack, ServeDir")
            .with("if-none-match", &own)
            .with("if-modified-since", "Fri, 09 Aug 1996 14:21:40 GMT")
            .not_modified(&own),
        case("both hit", "Rack")
            .with("if-none-match", &own)
            .with("if-modified-since", date(0))
            .not_modified(&own),
        case("If-Match", "send, ServeDir").with("if-match", &own).whole(),
        case("If-Match, list", "send").with("if-match", format!("\"a\", \"b\", {own}")).whole(),
        case("If-Match, any", "send, ServeDir").with("if-match", "*").whole(),
        case("If-Match, other", "send, ServeDir").with("if-match", " \"a\",, \"b\" ,").failed(),
        case("If-Match, weak", "ServeDir").with("if-match", weak).failed(),
        case("If-Match overrules the date", "ServeDir")
            .with("if-match", foreign)
            .with("if-unmodified-since", "Fri, 01 Jan 2100 00:00:00 GMT")
            .failed(),
        case("If-Unmodified-Since", "send, actix-files, ServeDir")
            .with("if-unmodified-since", date(0))
            .whole(),
        case("If-Unmodified-Since, later", "actix-files")
            .with("if-unmodified-since", date(100))
            .whole(),
        case("If-Unmodified-Since, sooner", "send, actix-files, ServeDir")
            .with("if-unmodified-since", date(-60))
            .failed()
            .of_date(),
        case("If-Unmodified-Since, no date", "send").with("if-unmodified-since", "foo").whole(),
    ])
    .await;
}

/// Where we mean to answer differently than those who are named.
#[tokio::test]
async fn on_purpose() {
    let whole = |name, differs, range: &str| case(name, differs).with("range", range).whole();
    assert_all(vec![
        case("a date after ours proves nothing", "not WhiteNoise, Rack, actix-files, ServeDir")
            .with("if-modified-since", date(100))
            .whole(),
        whole("a reversed range is ignored", "Rack; not actix-files, ServeDir", "bytes=10-5"),
        whole("no range is ignored", "send; not ServeDir", "bad_format"),
        whole("a bad range is ignored", "Plug.Static; not ServeDir", "bytes=-1-15"),
        whole("two ranges are the whole", "Plug.Static, send; not Rack, ServeDir", "bytes=0-0,2-2"),
        whole("two ranges are not made one", "not send", "bytes=1-2,3-5"),
        case("a range to the end is one", "sirv, actix-files; not Plug.Static")
            .with("range", "bytes=0-")
            .part("bytes 0-10/11", TEXT),
        case("HEAD knows no ranges", "not ServeDir")
            .method("HEAD")
            .with("range", "bytes=0-4")
            .is("content-length", "11")
            .has_no(&["content-range"]),
        case("a versioned URL has a tag", "not Plug.Static").is("etag", etag_of(TEXT)),
    ])
    .await;
}

// ---------------------------------------------------------------------------------
// Ranges

#[tokio::test]
async fn ranges() {
    let range = |name, asserted_by, range: &str| case(name, asserted_by).with("range", range);
    let beyond = |name, asserted_by, it: &str| {
        range(name, asserted_by, it)
            .status(416)
            .is("content-range", "bytes */11")
            .is("cache-control", "no-store")
            .has_no(&["content-encoding"])
    };
    assert_all(vec![
        range("the start", "all", "bytes=0-4")
            .part("bytes 0-4/11", "hello")
            .is("content-type", "text/plain")
            .is("accept-ranges", "bytes")
            .is("etag", etag_of(TEXT))
            .is("cache-control", YEAR)
            .is("vary", "accept-encoding"),
        range("one byte", "send", "bytes=0-0").part("bytes 0-0/11", "h"),
        range("the middle", "all", "bytes=2-5").part("bytes 2-5/11", "llo "),
        range("the rest", "send, sirv", "bytes=6-").part("bytes 6-10/11", "world"),
        range("the end", "WhiteNoise, Plug.Static, send", "bytes=-3").part("bytes 8-10/11", "rld"),
        range("all of it", "sirv", "bytes=0-10").part("bytes 0-10/11", TEXT),
        range("over the end", "all", "bytes=6-100000").part("bytes 6-10/11", "world"),
        range("more than all of the end", "WhiteNoise, Rack", "bytes=-100000")
            .status(206)
            .or_status(200)
            .body(TEXT),
        beyond("from the end on", "Rack, send", "bytes=11-50"),
        beyond("far beyond", "all", "bytes=10000-11000"),
        beyond("nothing of the end", "Rack", "bytes=-0"),
        range("another unit", "send, Rack", "items=0-4").whole(),
        range("no unit", "send", "asdf").whole(),
        range("no `=`", "Plug.Static", "bytes").whole(),
        range("no range", "Rack", "bytes=").whole(),
        range("no number", "Plug.Static, Rack", "bytes=-").whole(),
        range("no number either", "Plug.Static", "bytes=nope").whole(),
        range("hexadecimal", "Plug.Static", "bytes=00-FF").whole(),
        range("no dash", "Rack", "bytes=123,456").whole(),
        range("reversed", "Rack", "bytes=5-4").whole(),
        range("of nothing", "Rack", "bytes=0-1234").url("@empty.txt").or_status(416).body(""),
        range("known", "Plug.Static", "bytes=0-1")
            .with("if-none-match", etag_of(TEXT))
            .not_modified(&etag_of(TEXT)),
        range("of a coding", "Rack", "bytes=0-4")
            .url("@css/app.css")
            .with("accept-encoding", "gzip")
            .part(&format!("bytes 0-4/{}", gzip(SHEET).len()), &gzip(SHEET)[..5])
            .is("content-encoding", "gzip")
            .is("etag", etag_of(gzip(SHEET))),
        range("of a file without codings", "actix-files", "bytes=0-4")
            .with("accept-encoding", "gzip")
            .part("bytes 0-4/11", "hello")
            .has_no(&["content-encoding"]),
        range("beyond a coding", "ServeDir", "bytes=10000-")
            .url("@css/app.css")
            .with("accept-encoding", "gzip")
            .status(416)
            .is("content-range", format!("bytes */{}", gzip(SHEET).len()))
            .has_no(&["content-encoding", "content-type"]),
        range("If-Range, same tag", "send", "bytes=0-0")
            .with("if-range", etag_of(TEXT))
            .part("bytes 0-0/11", "h"),
        range("If-Range, other tag", "send", "bytes=0-0").with("if-range", "\"0\"").whole(),
        range("If-Range, other date", "send", "bytes=0-0").with("if-range", date(-20)).whole(),
        range("If-Range, neither", "send", "bytes=0-0").with("if-range", "foo").whole(),
    ])
    .await;
}

/// sirv: an answer to a range leaves nothing behind for the next request.
#[tokio::test]
async fn a_range_does_not_stick() {
    let site = Site::new();
    let service = site.layer().wrap(router(site.folder.path()));
    let prefix = site.layer().prefix();
    let part = case("a part", "sirv").with("range", "bytes=0-4").part("bytes 0-4/11", "hello");
    for case in [part, case("the whole", "sirv").whole()] {
        case.judge(&ask(service.clone(), case.request(prefix.as_str())).await).unwrap();
    }
}

// ---------------------------------------------------------------------------------
// What changes

/// sirv in `dev`, WhiteNoise with `autorefresh`: files are served as they are now; and a
/// URL that names other bytes does not pin them.
#[tokio::test]
async fn files_that_change() {
    let site = Site::new();
    let layer = site.layer();
    let url = |path: &str| format!("{}{path}", layer.prefix());
    fs::write(site.folder.path().join("hello.txt"), "hello, new world").unwrap();
    fs::write(site.folder.path().join("late.txt"), "late").unwrap();
    fs::remove_file(site.folder.path().join("you+me.txt")).unwrap();
    for (name, path, status, body, policy) in [
        ("changed", "hello.txt", 200, "hello, new world", "no-cache"),
        ("added", "late.txt", 200, "late", "no-cache"),
        ("removed", "you+me.txt", 404, "", "no-store"),
        ("neither", "with%20space.txt", 200, "space", YEAR),
    ] {
        let service = layer.wrap(router(site.folder.path()));
        let answer = ask(service, get(&url(path))).await;
        let found = (answer.status.as_u16(), &*answer.body, answer.cache_control());
        assert_eq!(found, (status, body.as_bytes(), policy.to_owned()), "{name}");
        assert_eq!(is_digest(&answer.field("etag")), policy == YEAR, "{name}");
    }
}

/// send: a 304 keeps what is not about the content that it lacks.
#[tokio::test]
async fn fields_of_a_304() {
    let site = Site::new();
    let layer = site.layer();
    let set = |name: header::HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let expires = "Sun, 15 Nov 2015 12:45:26 GMT";
    let service = layer.wrap(
        router(site.folder.path())
            .layer(set(header::CONTENT_LOCATION, "/static/hello.txt"))
            .layer(set(header::EXPIRES, expires))
            .layer(set(header::CONTENT_LANGUAGE, "en")),
    );
    // Once asked of the inner service, once known, and once with what only it can judge.
    for value in [etag_of(TEXT), etag_of(TEXT), "*".to_owned()] {
        let case = case("If-None-Match", "send")
            .with("if-none-match", value)
            .not_modified(&etag_of(TEXT))
            .is("content-location", "/static/hello.txt")
            .is("expires", expires)
            .has_no(&["content-language"]);
        let answer = ask(service.clone(), case.request(layer.prefix().as_str())).await;
        case.judge(&answer).unwrap();
    }
}

/// Rack::ETag and Rack::ConditionalGet: a handler without validators gets one.
#[tokio::test]
async fn handlers() {
    const PAGE: &str = "Hello, World!";
    let with = |name: header::HeaderName, value: &'static str| {
        let headers = [(name, HeaderValue::from_static(value))];
        route(move || async move { (headers, PAGE).into_response() })
    };
    let router = Router::new()
        .route("/static/plain", route(|| async { PAGE }))
        .route("/static/tagged", with(header::ETAG, "\"abc\""))
        .route("/static/dated", with(header::LAST_MODIFIED, "Sat, 15 Nov 2014 12:45:26 GMT"))
        .route("/static/no-cache", with(header::CACHE_CONTROL, "no-cache, must-revalidate"))
        .route("/static/no-store", with(header::CACHE_CONTROL, "no-store"))
        .route("/static/denied", route(|| async { (StatusCode::UNAUTHORIZED, "denied") }));
    let site = Site::new();
    let layer = site.layer();
    let digest = etag_of(PAGE);
    let mut wrong = Vec::new();
    for case in [
        case("has no tag", "Rack").url("@plain").body(PAGE).is("etag", &digest),
        // What it is of cannot be seen then; but it is not of nothing.
        case("has no tag, HEAD", "Rack")
            .method("HEAD")
            .url("@plain")
            .body("")
            .other_than("etag", etag_of("")),
        case("has no tag, known", "Rack")
            .url("@plain")
            .with("if-none-match", &digest)
            .status(304)
            .body("")
            .is("etag", &digest)
            .has_no(&["content-type", "content-length"]),
        case("has no tag, other", "Rack")
            .url("@plain")
            .with("if-none-match", "\"4321\"")
            .body(PAGE)
            .is("etag", &digest),
        case("has a tag", "Rack").url("@tagged").body(PAGE).is("etag", "\"abc\""),
        case("has a date", "Rack").url("@dated").body(PAGE).has_no(&["etag"]),
        case("has a policy", "Rack")
            .url("@no-cache")
            .body(PAGE)
            .is("etag", &digest)
            .is("cache-control", "no-cache, must-revalidate"),
        case("is to be kept by nobody", "none").url("@no-store").body(PAGE).has_no(&["etag"]),
        case("is an error", "Rack").url("@denied").status(401).body("denied").has_no(&["etag"]),
    ] {
        let request = case.request(layer.prefix().as_str());
        let answer = ask(layer.wrap(router.clone()), request).await;
        wrong.extend(case.judge(&answer).err());
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}
