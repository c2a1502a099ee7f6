//! The layer over `ServeDir`, on a socket, against an oracle that was written from the
//! text of RFC 9110 alone: a table of requests, and random ones.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::Request as HttpRequest,
    http,
    middleware::{Next, from_fn, map_request},
};
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tower::{Service, ServiceExt as _};
use tower_static_url::{Fingerprinted, StaticUrlLayer, StaticUrlLayerBuilder};

use crate::support::{
    ServeDir, gzip,
    serve_dir::Either,
    wire::{Connection, Reason, Server, latin1},
    write_at,
};

use super::oracle::{
    Mismatch, Outcome, Representation, Request, Resource, Response, Target, answers, imf_fixdate,
    is_edited, judge, loses_its_version, selectable,
};

// ---------------------------------------------------------------------------------
// The site

/// A tree of files, and two servers for it: one with the layer, one without.
struct Site {
    folder: TempDir,
    resources: Vec<Resource>,
    version: String,
    /// Every file is fingerprinted.
    is_fingerprinted: bool,
    backend: Either,
    layered: Server,
    bare: Server,
}

const TEXT: &str = "hello.txt";
const SHEET: &str = "css/app.css";
const NOTHING: &str = "empty.txt";
const BINARY: &str = "big.bin";
/// Not there when the tree is scanned.
const LATE: &str = "late.txt";

/// 2024-02-29 12:34:56
const SHEET_TEXT: &[u8] = b"body { color: teal; background: url(../img/x.png) }\n";

const MODIFIED: i64 = 1_709_210_096;

impl Site {
    fn new() -> Self {
        Self::with(false, Either::default())
    }

    /// One over each backend of `ServeDir`.
    fn both() -> [Self; 2] {
        Either::both().map(|backend| Self::with(false, backend))
    }

    /// The same whose files are fingerprinted, and without a version where others have the current
    /// one.
    fn fingerprinted() -> [Self; 2] {
        Either::both().map(|backend| Self::with(true, backend))
    }

    fn with(is_fingerprinted: bool, backend: Either) -> Self {
        let noise = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
        let resources = vec![
            resource(TEXT, "text/plain", &[("identity", b"hello world")]),
            resource(
                SHEET,
                "text/css",
                &[
                    ("identity", SHEET_TEXT),
                    ("gzip", &gzip(SHEET_TEXT)),
                    ("br", b"\x0b and these for the smallest"),
                ],
            ),
            resource(NOTHING, "text/plain", &[("identity", b"")]),
            resource(
                BINARY,
                "application/octet-stream",
                &[("identity", &noise.collect::<Vec<_>>())],
            ),
        ];
        let folder = tempfile::tempdir().unwrap();
        for resource in &resources {
            for it in &resource.representations {
                let suffix = match it.coding {
                    "gzip" => ".gz",
                    "br" => ".br",
                    _ => "",
                };
                let name = format!("{}{suffix}", resource.path);
                write(&folder.path().join(name), &it.bytes, it.modified);
            }
        }
        let layer = builder(folder.path(), is_fingerprinted).build().unwrap();
        write(&folder.path().join(LATE), b"after the scan", MODIFIED);
        let version = layer.prefix().version().to_owned();
        let layered = serve(layer.wrap(router(folder.path(), &backend)));
        let bare = serve(router(folder.path(), &backend));
        Self { folder, resources, version, is_fingerprinted, backend, layered, bare }
    }

    /// A server that answers from memory, and how often it has asked its inner service.
    fn remembering(&self) -> (Server, Arc<AtomicUsize>) {
        let layer = builder(self.folder.path(), self.is_fingerprinted);
        let layer = layer.memory_budget(16 << 20).build().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let router = router(self.folder.path(), &self.backend).layer(map_request(
            move |request: HttpRequest| {
                counter.fetch_add(1, Ordering::Relaxed);
                ready(request)
            },
        ));
        (serve(layer.wrap(router)), asked)
    }

    /// A server that has not answered anything yet.
    fn cold(&self) -> Server {
        let late = self.folder.path().join(LATE);
        fs::remove_file(&late).unwrap();
        let layer = builder(self.folder.path(), self.is_fingerprinted).build().unwrap();
        write(&late, b"after the scan", MODIFIED);
        serve(layer.wrap(router(self.folder.path(), &self.backend)))
    }

    fn resource(&self, path: &str) -> &Resource {
        self.resources.iter().find(|it| it.path == path).unwrap()
    }

    fn is_listed(&self, path: &str) -> bool {
        self.resources.iter().any(|it| it.path == path)
    }

    fn url(&self, place: Place, path: &str) -> String {
        match place {
            Place::Below(Outcome::Current) if self.is_fingerprinted && self.is_listed(path) => {
                format!("/static/{path}")
            }
            Place::Below(Outcome::Current) => format!("/static/{}/{path}", self.version),
            Place::Below(Outcome::Stale) => format!("/static/{}/{path}", "0".repeat(16)),
            Place::Below(Outcome::Unversioned) => format!("/static/{path}"),
            Place::Outside => format!("/plain/{path}"),
        }
    }
}

fn builder(folder: &Path, is_fingerprinted: bool) -> StaticUrlLayerBuilder {
    let builder = StaticUrlLayer::builder("/static").root(folder);
    let everything = Fingerprinted::from_fn(|path| path.rsplit('/').next());
    if is_fingerprinted { builder.fingerprinted(everything) } else { builder }
}

/// Codings are from one file, hours apart.
fn resource(
    path: &'static str,
    content_type: &'static str,
    codings: &[(&'static str, &[u8])],
) -> Resource {
    let representations = codings.iter().zip(0..).map(|(&(coding, bytes), hours)| {
        Representation::new(coding, bytes, MODIFIED + hours * 3600)
    });
    // `ServeDir` says so of every file, once it looks for pre-compressed siblings.
    let vary = "accept-encoding";
    Resource { path, content_type, vary, representations: representations.collect() }
}

fn write(path: &Path, bytes: &[u8], modified: i64) {
    // Between two seconds, as files are.
    write_at(path, bytes, UNIX_EPOCH + Duration::new(modified as u64, 789_000_000));
}

fn router(folder: &Path, backend: &Either) -> Router {
    let files = |mount: &str| {
        let files = ServeDir::over(backend.clone(), folder).precompressed_gzip().precompressed_br();
        files.redirect_path_prefix(mount)
    };
    let router = Router::new().nest_service("/static", files("/static"));
    router.nest_service("/plain", files("/plain")).layer(from_fn(tell_what_was_asked))
}

/// `ServeDir` refuses every other method in the same words. Here its answer shows for what path
/// it was asked, and has fields that the layer sets in answers of its own.
async fn tell_what_was_asked(request: HttpRequest, next: Next) -> axum::response::Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if !is_edited(method.as_str()) {
        for (name, value) in [
            ("x-asked", &*path),
            ("cache-control", "max-age=60"),
            ("etag", "\"594bd1d1-36\""),
            ("last-modified", "Thu, 29 Feb 2024 12:34:56 GMT"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    response
}

/// A router, with the layer or without, on a socket.
fn serve<S>(service: S) -> Server
where
    S: Service<HttpRequest, Response = axum::response::Response> + Clone + Send + 'static,
    S::Error: Into<Reason>,
    S::Future: Send,
{
    Server::start(service.map_request(|request: http::Request<_>| request.map(Body::new)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Below(Outcome),
    Outside,
}

// ---------------------------------------------------------------------------------
// Asking

/// One request as the oracle has it, and its answer. The connection goes on to the next: an
/// answer that is longer or shorter than it says spoils that one.
fn exchange(connection: &mut Connection, url: &str, request: &Request) -> Response {
    let method = &*request.method;
    let mut head = format!("{method} {url} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    if !["GET", "HEAD"].contains(&method) {
        head.extend(b"Content-Length: 0\r\n");
    }
    for (name, value) in &request.lines {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    connection.write(&head);
    let answer = connection.read(method);
    let answer = answer.unwrap_or_else(|| panic!("{method} {url}: closed without an answer"));
    assert!(answer.is_complete, "{method} {url}: {answer:?}");
    let lines = answer.lines.into_iter().map(|(name, value)| (name, latin1(&value)));
    Response { status: answer.status, lines: lines.collect(), body: answer.body }
}

/// Both servers, each over one connection.
struct Client<'s> {
    site: &'s Site,
    layered: Connection,
    bare: Connection,
    /// By path and `Accept-Encoding`: which coding the server selects (§13.1).
    selected: BTreeMap<(String, Option<Vec<u8>>), String>,
}

impl<'s> Client<'s> {
    fn new(site: &'s Site) -> Self {
        let (layered, bare) = (Connection::open(&site.layered), Connection::open(&site.bare));
        Self { site, layered, bare, selected: BTreeMap::new() }
    }

    /// Asks the layer, or another server with one, and the oracle.
    fn ask(&mut self, ask: &Ask, cold: Option<&Server>) -> (Response, Result<(), Mismatch>) {
        let url = self.site.url(ask.place, ask.path);
        let is_listed = self.site.is_listed(ask.path);
        // The layer is not there for this one.
        let bare_url = match ask.place {
            Place::Below(_) if loses_its_version(&ask.request.method) => {
                self.site.url(Place::Below(Outcome::Unversioned), ask.path)
            }
            Place::Below(_) | Place::Outside => url.clone(),
        };
        let (bare, whole);
        let selected;
        let target = match ask.place {
            Place::Below(outcome) if is_listed && is_edited(&ask.request.method) => {
                selected = self.selected(ask);
                let resource = self.site.resource(ask.path);
                Target::Listed { outcome, resource, selected: &selected }
            }
            Place::Below(_) if !is_edited(&ask.request.method) => {
                bare = exchange(&mut self.bare, &bare_url, &ask.request);
                Target::Untouched { bare: &bare }
            }
            Place::Below(_) if ask.path.starts_with("missing") => Target::Missing,
            Place::Below(_) => {
                bare = exchange(&mut self.bare, &bare_url, &ask.request);
                let mut request = ask.request.clone();
                request.lines.retain(|(name, _)| *name != "Range");
                whole = exchange(&mut self.bare, &bare_url, &request);
                Target::Unlisted { bare: &bare, whole: &whole }
            }
            Place::Outside => {
                bare = exchange(&mut self.bare, &bare_url, &ask.request);
                Target::Untouched { bare: &bare }
            }
        };
        let response = match cold {
            Some(server) => exchange(&mut Connection::open(server), &url, &ask.request),
            None => exchange(&mut self.layered, &url, &ask.request),
        };
        let judgement = judge(&answers(&target, &ask.request), &response);
        (response, judgement)
    }

    fn selected(&mut self, ask: &Ask) -> String {
        let lines = ask.request.lines.iter().filter(|(name, _)| *name == "accept-encoding");
        let lines = lines.cloned().collect::<Vec<_>>();
        let key = (ask.path.to_owned(), lines.first().map(|(_, value)| value.clone()));
        if let Some(selected) = self.selected.get(&key) {
            return selected.clone();
        }
        let request = Request { method: "GET".into(), lines };
        let url = self.site.url(Place::Below(Outcome::Current), ask.path);
        let response = exchange(&mut self.layered, &url, &request);
        let coding = response.lines("content-encoding").first().map_or("identity", |coding| {
            std::str::from_utf8(coding).expect("a content coding is a token")
        });
        let selectable = selectable(self.site.resource(ask.path), &request);
        assert!(selectable.contains(&coding), "{coding} for {key:?}, not of {selectable:?}");
        self.selected.insert(key, coding.to_owned());
        coding.to_owned()
    }
}

#[derive(Clone, Debug)]
struct Ask {
    name: String,
    place: Place,
    path: &'static str,
    request: Request,
}

/// `(field name, field value)`, in the order they are sent in.
type Lines = Vec<(&'static str, Vec<u8>)>;

// ---------------------------------------------------------------------------------
// The table

/// Sets of conditions, from the view of a client that has the representation `it` of a
/// resource.
fn conditions(resource: &Resource, it: &Representation) -> Vec<(&'static str, Lines)> {
    let own = it.tag.clone();
    let weak = format!("W/{own}");
    let foreign = "\"594bd1d1-36\"";
    let siblings = resource.representations.iter().filter(|other| other.coding != it.coding);
    let siblings = siblings.map(|it| it.tag.clone()).collect::<Vec<_>>();
    let all = resource.representations.iter().map(|it| it.tag.clone()).collect::<Vec<_>>();
    let many = format!("{}{own}", "\"0123456789abcdef\", ".repeat(400));
    let exact = imf_fixdate(it.modified);
    let (sooner, later) = (imf_fixdate(it.modified - 1), imf_fixdate(it.modified + 1));
    let future = "Fri, 01 Jan 2100 00:00:00 GMT";
    let unquoted = own.trim_matches('"').to_owned();
    let case = |name, lines: &[(&'static str, &str)]| {
        let lines = lines.iter().map(|&(name, value)| (name, value.as_bytes().to_vec()));
        (name, lines.collect::<Lines>())
    };
    // 2024-02-29 was a Thursday.
    let time = &exact[17..25];
    let (rfc850, asctime) =
        (format!("Thursday, 29-Feb-24 {time} GMT"), format!("Thu Feb 29 {time} 2024"));

    let mut cases = vec![
        case("If-Match, own", &[("If-Match", &own)]),
        case("If-Match, own but weak", &[("If-Match", &weak)]),
        case("If-Match, foreign", &[("If-Match", foreign)]),
        case("If-Match, any", &[("If-Match", "*")]),
        case("If-Match, list", &[("If-Match", &format!("{foreign}, {own}"))]),
        case("If-Match, list without", &[("If-Match", " \"foo\",, \"bar\" ,")]),
        case("If-Match, second line", &[("If-Match", foreign), ("If-Match", &own)]),
        case("If-Match, unquoted", &[("If-Match", &unquoted)]),
        case("If-Match, garbage", &[("If-Match", "garbage")]),
        case("If-Match, empty", &[("If-Match", "")]),
        case("If-Match, own behind garbage", &[("If-Match", &format!("garbage, {own}"))]),
        case("If-Match, any and own", &[("If-Match", &format!("*, {own}"))]),
        case("If-Match, all codings", &[("If-Match", &all.join(", "))]),
        case("If-Match, 8 kB", &[("If-Match", &many)]),
        case("If-Unmodified-Since, same", &[("If-Unmodified-Since", &exact)]),
        case("If-Unmodified-Since, later", &[("If-Unmodified-Since", &later)]),
        case("If-Unmodified-Since, sooner", &[("If-Unmodified-Since", &sooner)]),
        case("If-Unmodified-Since, garbage", &[("If-Unmodified-Since", "yesterday")]),
        case(
            "If-Unmodified-Since, two",
            &[("If-Unmodified-Since", &sooner), ("If-Unmodified-Since", &sooner)],
        ),
        case(
            "If-Unmodified-Since sooner beside If-Match",
            &[("If-Unmodified-Since", &sooner), ("If-Match", &own)],
        ),
        case(
            "If-Unmodified-Since same beside If-Match foreign",
            &[("If-Unmodified-Since", &exact), ("If-Match", foreign)],
        ),
        case("If-None-Match, own", &[("If-None-Match", &own)]),
        case("If-None-Match, own but weak", &[("If-None-Match", &weak)]),
        case("If-None-Match, foreign", &[("If-None-Match", foreign)]),
        case("If-None-Match, any", &[("If-None-Match", "*")]),
        case("If-None-Match, list", &[("If-None-Match", &format!("\"a,b\" ,, W/{foreign},{own}"))]),
        case("If-None-Match, second line", &[("If-None-Match", foreign), ("If-None-Match", &own)]),
        case("If-None-Match, unquoted", &[("If-None-Match", &unquoted)]),
        case("If-None-Match, small w", &[("If-None-Match", &format!("w/{own}"))]),
        case("If-None-Match, garbage", &[("If-None-Match", "garbage")]),
        case("If-None-Match, open quote", &[("If-None-Match", "\"garbage")]),
        case("If-None-Match, empty", &[("If-None-Match", "")]),
        case("If-None-Match, own behind garbage", &[("If-None-Match", &format!("x, {own}"))]),
        case("If-None-Match, any and foreign", &[("If-None-Match", &format!("*, {foreign}"))]),
        case("If-None-Match, all codings", &[("If-None-Match", &all.join(", "))]),
        case("If-None-Match, 8 kB", &[("If-None-Match", &many)]),
        case("If-Modified-Since, same", &[("If-Modified-Since", &exact)]),
        case("If-Modified-Since, same, RFC 850", &[("If-Modified-Since", &rfc850)]),
        case("If-Modified-Since, same, asctime", &[("If-Modified-Since", &asctime)]),
        case("If-Modified-Since, later", &[("If-Modified-Since", &later)]),
        case("If-Modified-Since, sooner", &[("If-Modified-Since", &sooner)]),
        case("If-Modified-Since, future", &[("If-Modified-Since", future)]),
        case("If-Modified-Since, garbage", &[("If-Modified-Since", "Fri, 16 Jul 2021 09:1S GMT")]),
        case(
            "If-Modified-Since, two",
            &[("If-Modified-Since", &exact), ("If-Modified-Since", &exact)],
        ),
        case(
            "If-Modified-Since same beside If-None-Match foreign",
            &[("If-Modified-Since", &exact), ("If-None-Match", foreign)],
        ),
        case(
            "If-Modified-Since same beside If-None-Match garbage",
            &[("If-Modified-Since", &exact), ("If-None-Match", "garbage")],
        ),
        case(
            "If-Modified-Since sooner beside If-None-Match own",
            &[("If-Modified-Since", &sooner), ("If-None-Match", &own)],
        ),
        case("If-Match own, If-None-Match own", &[("If-None-Match", &own), ("If-Match", &own)]),
        case(
            "If-Match foreign, If-None-Match own",
            &[("If-None-Match", &own), ("If-Match", foreign)],
        ),
        case(
            "If-Unmodified-Since sooner, If-None-Match own",
            &[("If-None-Match", &own), ("If-Unmodified-Since", &sooner)],
        ),
        case(
            "If-Unmodified-Since same, If-Modified-Since same",
            &[("If-Unmodified-Since", &exact), ("If-Modified-Since", &exact)],
        ),
    ];
    if let [sibling, ..] = &siblings[..] {
        cases.push(case("If-Match, other coding", &[("If-Match", sibling)]));
        cases.push(case("If-None-Match, other coding", &[("If-None-Match", sibling)]));
        cases.push(case(
            "If-None-Match, other coding, weak",
            &[("If-None-Match", &format!("W/{sibling}"))],
        ));
    }
    cases
}

/// Ranges of a representation with `length` bytes.
fn ranges(length: usize) -> Vec<(String, Lines)> {
    let values = [
        "bytes=0-4".into(),
        "bytes=0-0".into(),
        "bytes=6-".into(),
        "bytes=-5".into(),
        format!("bytes=0-{}", length.saturating_sub(1)),
        format!("bytes={}-", length.saturating_sub(1)),
        format!("bytes=-{length}"),
        "bytes=-35".into(),
        "bytes=-45".into(),
        "bytes=2-999999999".into(),
        "bytes=-999999999".into(),
        format!("bytes={length}-"),
        format!("bytes={length}-{}", length + 4),
        "bytes=-0".into(),
        "bytes=5-2".into(),
        "bytes=0-1,3-4".into(),
        "bytes=0-5, 3-8".into(),
        "bytes=999999990-,-0".into(),
        "bytes=0-4,".into(),
        "bytes= 0-4".into(),
        "BYTES=0-4".into(),
        "bytes=00-04".into(),
        "bytes=0-99999999999999999999999999999999999999999999".into(),
        "bytes=99999999999999999999999999999999999999999999-".into(),
        "bytes=a-b".into(),
        "bytes=0-4,x".into(),
        "bytes=-".into(),
        "bytes=".into(),
        "bytes".into(),
        "bytes:0-4".into(),
        "bytes=-1-5".into(),
        "bytes=+1-5".into(),
        "items=0-4".into(),
        "garbage".into(),
        "".into(),
    ];
    let one = values.map(|value: String| {
        let lines = vec![("Range", value.as_bytes().to_vec())];
        (format!("Range: {value}"), lines)
    });
    let two = vec![("Range", b"bytes=0-1".to_vec()), ("Range", b"bytes=3-4".to_vec())];
    one.into_iter().chain([("Range, two lines".to_owned(), two)]).collect()
}

fn if_ranges(resource: &Resource, it: &Representation) -> Vec<(&'static str, Lines)> {
    let own = it.tag.clone();
    let siblings = resource.representations.iter().filter(|other| other.coding != it.coding);
    let mut cases = vec![
        ("If-Range, own", own.clone()),
        ("If-Range, own but weak", format!("W/{own}")),
        ("If-Range, foreign", "\"594bd1d1-36\"".into()),
        ("If-Range, list", format!("{own}, \"594bd1d1-36\"")),
        ("If-Range, unquoted", own.trim_matches('"').into()),
        ("If-Range, any", "*".into()),
        ("If-Range, garbage", "garbage".into()),
        ("If-Range, empty", "".into()),
        ("If-Range, same date", imf_fixdate(it.modified)),
        ("If-Range, later date", imf_fixdate(it.modified + 1)),
        ("If-Range, sooner date", imf_fixdate(it.modified - 1)),
    ];
    let names = ["If-Range, other coding", "If-Range, third coding"];
    cases.extend(names.into_iter().zip(siblings.map(|it| it.tag.clone())));
    let line = |value: String| vec![("If-Range", value.into_bytes())];
    cases.into_iter().map(|(name, value)| (name, line(value))).collect()
}

/// Every other one is enough where much else varies.
const ENCODINGS: [Option<&str>; 13] = [
    None,
    Some(""),
    Some("identity"),
    Some("*"),
    Some("gzip"),
    Some("br"),
    Some("gzip, br"),
    Some("zstd"),
    Some("br;q=0.5, gzip;q=0.8"),
    Some("gzip;q=0, br;q=0"),
    Some("identity;q=0, gzip"),
    Some("identity;q=0, zstd"),
    Some("x-gzip"),
];

const OUTCOMES: [Outcome; 3] = [Outcome::Current, Outcome::Stale, Outcome::Unversioned];

struct Table {
    asks: Vec<Ask>,
}

impl Table {
    fn new(client: &mut Client<'_>) -> Self {
        let site = client.site;
        let mut table = Self { asks: Vec::new() };
        table.every_condition(client);
        table.every_range(client);
        table.every_method(site);
        table.not_listed(site);
        // What is as unversioned in other sites is as current here.
        let is_named = |ask: &Ask| site.is_fingerprinted && site.is_listed(ask.path);
        let unversioned = Place::Below(Outcome::Unversioned);
        table.asks.retain(|ask| ask.place != unversioned || !is_named(ask));
        table
    }

    fn push(
        &mut self,
        method: &str,
        place: Place,
        path: &'static str,
        encoding: Option<&str>,
        parts: &[(&str, &Lines)],
    ) {
        let encoding = encoding.map(|value| ("accept-encoding", value.as_bytes().to_vec()));
        let lines = encoding.iter().chain(parts.iter().flat_map(|(_, lines)| *lines));
        let request = Request { method: method.to_owned(), lines: lines.cloned().collect() };
        let place_name = match place {
            Place::Below(outcome) => format!("{outcome:?}").to_lowercase(),
            Place::Outside => "outside".into(),
        };
        let encoding = encoding.map(|(_, value)| String::from_utf8(value).unwrap());
        let encoding = encoding.map(|value| format!("Accept-Encoding: {value}"));
        let parts = encoding.into_iter().chain(parts.iter().map(|(name, _)| (*name).to_owned()));
        let parts = parts.collect::<Vec<_>>().join("; ");
        let name = format!("{method} {place_name} {path} [{parts}]");
        self.asks.push(Ask { name, place, path, request });
    }

    /// What the client of this table holds: what it was served for an `Accept-Encoding`.
    fn held<'s>(
        client: &mut Client<'s>,
        path: &'static str,
        encoding: Option<&str>,
    ) -> (&'s Resource, &'s Representation) {
        let lines = encoding.map(|value| ("accept-encoding", value.as_bytes().to_vec()));
        let request = Request { method: "GET".into(), lines: lines.into_iter().collect() };
        let place = Place::Below(Outcome::Current);
        let coding = client.selected(&Ask { name: String::new(), place, path, request });
        let resource = client.site.resource(path);
        (resource, resource.in_coding(&coding).unwrap())
    }

    /// Method × outcome × coding × condition.
    fn every_condition(&mut self, client: &mut Client<'_>) {
        for path in [TEXT, SHEET, NOTHING, BINARY] {
            let encodings = if path == SHEET { &ENCODINGS[..] } else { &ENCODINGS[..1] };
            for &encoding in encodings {
                let (resource, it) = Self::held(client, path, encoding);
                for outcome in OUTCOMES {
                    for method in ["GET", "HEAD"] {
                        let place = Place::Below(outcome);
                        self.push(method, place, path, encoding, &[]);
                        for (name, lines) in conditions(resource, it) {
                            self.push(method, place, path, encoding, &[(name, &lines)]);
                        }
                    }
                }
            }
        }
    }

    /// Method × coding × range, alone, behind an If-Range, and behind a condition.
    fn every_range(&mut self, client: &mut Client<'_>) {
        for path in [TEXT, SHEET, NOTHING, BINARY] {
            let encodings = match path {
                SHEET => ENCODINGS.into_iter().step_by(2).collect(),
                // Without siblings, and with nothing that is acceptable.
                TEXT => vec![None, Some("identity;q=0, gzip")],
                _ => vec![None],
            };
            for encoding in encodings {
                let (resource, it) = Self::held(client, path, encoding);
                let place = Place::Below(Outcome::Current);
                for method in ["GET", "HEAD"] {
                    for (range, lines) in ranges(it.bytes.len()) {
                        self.push(method, place, path, encoding, &[(&range, &lines)]);
                    }
                }
                let some = [0, 3, 10, 11, 14, 15];
                for (range, range_lines) in some.map(|i| ranges(it.bytes.len()).swap_remove(i)) {
                    for (name, lines) in if_ranges(resource, it) {
                        let parts = [(name, &lines), (range.as_str(), &range_lines)];
                        self.push("GET", place, path, encoding, &parts);
                    }
                    for (name, lines) in conditions(resource, it) {
                        let parts = [(range.as_str(), &range_lines), (name, &lines)];
                        self.push("GET", place, path, encoding, &parts);
                    }
                }
                for (name, lines) in if_ranges(resource, it) {
                    self.push("GET", place, path, encoding, &[(name, &lines)]);
                    let (range, range_lines) = ranges(it.bytes.len()).swap_remove(0);
                    let parts = [(name, &lines), (range.as_str(), &range_lines)];
                    for outcome in [Outcome::Stale, Outcome::Unversioned] {
                        self.push("GET", Place::Below(outcome), path, encoding, &parts);
                    }
                    self.push("HEAD", place, path, encoding, &parts);
                    // A precondition is evaluated first.
                    let own = vec![("If-Match", it.tag.clone().into_bytes())];
                    let foreign = vec![("If-Match", b"\"594bd1d1-36\"".to_vec())];
                    let known = vec![("If-None-Match", it.tag.clone().into_bytes())];
                    for (first, first_lines) in
                        [("If-Match, own", own), ("If-Match, foreign", foreign), ("known", known)]
                    {
                        let parts = [(first, &first_lines), parts[0], parts[1]];
                        self.push("GET", place, path, encoding, &parts);
                    }
                }
            }
        }
    }

    fn every_method(&mut self, site: &Site) {
        let resource = site.resource(SHEET);
        let it = &resource.representations[0];
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            for outcome in OUTCOMES {
                let place = Place::Below(outcome);
                self.push(method, place, SHEET, None, &[]);
                for (name, lines) in conditions(resource, it).into_iter().step_by(4) {
                    self.push(method, place, SHEET, Some("gzip"), &[(name, &lines)]);
                }
                let (range, lines) = ranges(it.bytes.len()).swap_remove(0);
                self.push(method, place, SHEET, None, &[(&range, &lines)]);
            }
        }
    }

    /// Missing files, folders, files that came after the scan, and all that is outside.
    fn not_listed(&mut self, site: &Site) {
        // What a client could hold of that file if it was listed.
        let late = resource(LATE, "text/plain", &[("identity", b"after the scan")]);
        let it = &late.representations[0];
        let below = OUTCOMES.map(Place::Below).map(|place| (place, LATE));
        for (place, path) in below.into_iter().chain([(Place::Outside, TEXT)]) {
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                self.push(method, place, path, None, &[]);
                for (name, lines) in conditions(&late, it) {
                    self.push(method, place, path, None, &[(name, &lines)]);
                }
                for (range, lines) in ranges(it.bytes.len()) {
                    self.push(method, place, path, None, &[(&range, &lines)]);
                }
                for (name, lines) in if_ranges(&late, it) {
                    let (range, range_lines) = ranges(it.bytes.len()).swap_remove(0);
                    let parts = [(name, &lines), (range.as_str(), &range_lines)];
                    self.push(method, place, path, None, &parts);
                }
            }
        }
        // Of a file that is listed, and shares nothing with these.
        let text = site.resource(TEXT);
        for place in OUTCOMES.map(Place::Below).into_iter().chain([Place::Outside]) {
            for path in ["missing.txt", "missing/", "css", "css/", "hello.txt/"] {
                for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                    self.push(method, place, path, None, &[]);
                    self.push(method, place, path, Some("gzip, br"), &[]);
                    let some = conditions(text, &text.representations[0]).into_iter().step_by(5);
                    for (name, lines) in some {
                        self.push(method, place, path, None, &[(name, &lines)]);
                    }
                    for (range, lines) in ranges(11).into_iter().step_by(9) {
                        self.push(method, place, path, None, &[(&range, &lines)]);
                    }
                }
            }
        }
        for &encoding in &ENCODINGS {
            self.push("GET", Place::Outside, SHEET, encoding, &[]);
        }
    }
}

/// Everything that was wrong, grouped by what it was.
#[derive(Default)]
struct Mismatches {
    by_kind: BTreeMap<String, Vec<String>>,
}

impl Mismatches {
    fn add(&mut self, name: &str, what: Mismatch) {
        let name = if what.detail.is_empty() {
            name.to_owned()
        } else {
            format!("{name}\n        {}", what.detail)
        };
        self.by_kind.entry(what.kind).or_default().push(name);
    }

    fn assert_none(&self) {
        use std::fmt::Write as _;
        const SHOWN: usize = 6;

        let mut report = String::new();
        let mut kinds = self.by_kind.iter().collect::<Vec<_>>();
        kinds.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
        for (kind, names) in kinds {
            writeln!(report, "{} × {kind}", names.len()).unwrap();
            for name in names.iter().take(SHOWN) {
                writeln!(report, "    {name}").unwrap();
            }
            if let Some(more) = names.len().checked_sub(SHOWN + 1) {
                writeln!(report, "    and {} more", more + 1).unwrap();
            }
        }
        let count = self.by_kind.values().map(Vec::len).sum::<usize>();
        assert!(count == 0, "{count} mismatches\n{report}");
    }
}

#[test]
fn table() {
    Site::both().iter().for_each(assert_table);
}

/// Under their own names, fingerprinted files are what others are under the current version.
#[test]
fn table_of_fingerprinted_files() {
    Site::fingerprinted().iter().for_each(assert_table);
}

fn assert_table(site: &Site) {
    let mut client = Client::new(site);
    let table = Table::new(&mut client);
    let mut mismatches = Mismatches::default();
    let (mut distinct, mut statuses) = (HashSet::new(), BTreeSet::new());
    for ask in &table.asks {
        let (response, judgement) = client.ask(ask, None);
        statuses.insert(response.status);
        distinct.insert((site.url(ask.place, ask.path), ask.request.clone()));
        if let Err(what) = judgement {
            mismatches.add(&ask.name, what);
        }
    }
    mismatches.assert_none();
    assert!(distinct.len() >= 150, "only {} distinct requests", distinct.len());
    for status in [200, 206, 304, 404, 405, 412, 416] {
        assert!(statuses.contains(&status), "{status} was never seen");
    }
}

/// What a 304 says must not depend on a 200 that went before it.
#[test]
fn first_request_of_a_server() {
    let site = Site::new();
    let mut client = Client::new(&site);
    let table = Table::new(&mut client);
    let mut mismatches = Mismatches::default();
    let is_of_interest = |ask: &&Ask| {
        let names = ask.request.lines.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let is_small = [TEXT, SHEET].contains(&ask.path) && names.len() <= 2;
        is_small && ask.place != Place::Outside && names.contains(&"If-None-Match")
    };
    let asks = table.asks.iter().filter(is_of_interest).step_by(7).collect::<Vec<_>>();
    assert!(asks.len() >= 20, "only {} requests", asks.len());
    for ask in asks {
        let (_, judgement) = client.ask(ask, Some(&site.cold()));
        if let Err(what) = judgement {
            mismatches.add(&ask.name, what);
        }
    }
    mismatches.assert_none();
}

/// Memory answers as the inner service would, field for field, and in its place.
#[test]
fn an_answer_from_memory_is_the_inner_services() {
    Site::both().iter().chain(&Site::fingerprinted()).for_each(assert_memory);
}

fn assert_memory(site: &Site) {
    let mut client = Client::new(site);
    let table = Table::new(&mut client);
    let late = site.folder.path().join(LATE);
    fs::remove_file(&late).unwrap();
    let (server, asked) = site.remembering();
    write(&late, b"after the scan", MODIFIED);
    let mut remembering = Connection::open(&server);
    let pairs = site.resources.iter().flat_map(|it| ENCODINGS.map(|encoding| (it, encoding)));
    for (resource, encoding) in pairs {
        let lines = encoding.map(|value| ("accept-encoding", value.as_bytes().to_vec()));
        let request = Request { method: "GET".into(), lines: lines.into_iter().collect() };
        let url = site.url(Place::Below(Outcome::Current), resource.path);
        exchange(&mut remembering, &url, &request);
    }
    let mut recalled = BTreeMap::<_, usize>::new();
    for ask in &table.asks {
        let url = site.url(ask.place, ask.path);
        let expected = exchange(&mut client.layered, &url, &ask.request);
        let before = asked.load(Ordering::Relaxed);
        let response = exchange(&mut remembering, &url, &ask.request);
        assert_eq!(fields(&response), fields(&expected), "{}", ask.name);
        assert_eq!(response.status, expected.status, "{}", ask.name);
        assert!(response.body == expected.body, "{}", ask.name);
        if asked.load(Ordering::Relaxed) == before {
            *recalled.entry((ask.request.method.clone(), response.status)).or_default() += 1;
        }
    }
    for (method, status) in [("GET", 200), ("GET", 206), ("GET", 304), ("GET", 412), ("HEAD", 200)]
    {
        let count = recalled.get(&(method.to_owned(), status));
        assert!(count.is_some_and(|&count| count > 10), "{method} {status}: {recalled:?}");
    }
}

/// All but the date, in an order of their own.
fn fields(response: &Response) -> BTreeSet<(String, Vec<u8>)> {
    let fields = response.lines.iter().filter(|(name, _)| name != "date");
    fields.cloned().collect()
}

/// §9.3.2, field for field; but a HEAD knows no ranges (§14.2).
#[test]
fn head_is_get_without_a_body() {
    let site = Site::new();
    let mut client = Client::new(&site);
    let table = Table::new(&mut client);
    let mut mismatches = Mismatches::default();
    let has_range = |request: &Request| request.lines.iter().any(|(name, _)| *name == "Range");
    for ask in table.asks.iter().filter(|ask| ask.request.method == "GET") {
        let is_listed = site.resources.iter().any(|it| it.path == ask.path);
        if !is_listed || ask.place == Place::Outside || has_range(&ask.request) {
            continue;
        }
        let url = site.url(ask.place, ask.path);
        let get = exchange(&mut client.layered, &url, &ask.request);
        let head = Request { method: "HEAD".into(), lines: ask.request.lines.clone() };
        let head = exchange(&mut client.layered, &url, &head);
        let fields = |response: &Response| {
            let mut fields = response.lines.iter().cloned().collect::<BTreeSet<_>>();
            fields.retain(|(name, _)| name != "date");
            // Of an error without a body: the server adds it, and to a GET alone.
            fields.remove(&("content-length".to_owned(), b"0".to_vec()));
            fields
        };
        let (of_get, of_head) = (fields(&get), fields(&head));
        if (get.status, &of_get) != (head.status, &of_head) {
            let names = of_get.symmetric_difference(&of_head).map(|(name, _)| name.as_str());
            let names = names.collect::<BTreeSet<_>>();
            let kind = format!("GET {} and HEAD {} differ in {names:?}", get.status, head.status);
            let what = Mismatch { kind, detail: String::new() };
            mismatches.add(&ask.name, what);
        }
    }
    mismatches.assert_none();
}

// ---------------------------------------------------------------------------------
// Random requests

/// A field value, of what a client could hold of the resource that it asks for.
#[derive(Clone, Debug)]
enum Value {
    /// Tags, by the number of a coding.
    Tags(Vec<Tag>),
    Any,
    /// Seconds from the modification of a coding.
    Date {
        coding: usize,
        away: i64,
        form: u8,
    },
    Range {
        first: Option<u64>,
        last: Option<u64>,
    },
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Tag {
    Own {
        coding: usize,
        is_weak: bool,
    },
    Foreign {
        opaque: String,
        is_weak: bool,
    },
    /// What is between the commas, and no tag.
    Broken(String),
}

impl Value {
    fn bytes(&self, resource: &Resource) -> Vec<u8> {
        let coding = |i: usize| &resource.representations[i % resource.representations.len()];
        match self {
            Self::Any => b"*".to_vec(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Tags(tags) => {
                let tags = tags.iter().map(|tag| match tag {
                    Tag::Own { coding: i, is_weak: true } => format!("W/{}", coding(*i).tag),
                    Tag::Own { coding: i, is_weak: false } => coding(*i).tag.clone(),
                    Tag::Foreign { opaque, is_weak: true } => format!("W/\"{opaque}\""),
                    Tag::Foreign { opaque, is_weak: false } => format!("\"{opaque}\""),
                    Tag::Broken(text) => text.clone(),
                });
                tags.collect::<Vec<_>>().join(", ").into_bytes()
            }
            Self::Date { coding: i, away, form } => {
                let date = imf_fixdate(coding(*i).modified + away);
                let &[name, day, month, year, time, _] = &date.split(' ').collect::<Vec<_>>()[..]
                else {
                    unreachable!("six words, {date}");
                };
                let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
                let name = days.into_iter().find(|it| name[..3] == it[..3]).unwrap_or("Sunday");
                let short = &name[..3];
                match form {
                    0 => format!("{name}, {day}-{month}-{} {time} GMT", &year[2..]),
                    1 => {
                        format!("{short} {month} {:>2} {time} {year}", day.trim_start_matches('0'))
                    }
                    2 => format!("Mon, {day} {month} {year} {time} GMT"),
                    _ => date.clone(),
                }
                .into_bytes()
            }
            Self::Range { first, last } => {
                let number = |it: &Option<u64>| it.map_or(String::new(), |it| it.to_string());
                format!("bytes={}-{}", number(first), number(last)).into_bytes()
            }
        }
    }
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        3 => (0..3_usize, any::<bool>()).prop_map(|(coding, is_weak)| Tag::Own { coding, is_weak }),
        3 => ("[!#-+.-~]{0,20}", any::<bool>())
            .prop_map(|(opaque, is_weak)| Tag::Foreign { opaque, is_weak }),
        1 => r#"[W/"a, *]{0,12}"#.prop_map(Tag::Broken),
    ]
}

/// Whatever can stand in a field (§5.5), up to 8 kB of it.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20..=0x7e_u8, 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    prop_oneof![
        4 => prop::collection::vec(byte.clone(), 0..40),
        1 => prop::collection::vec(byte, 0..8192),
        2 => r#"[W/"*, a]{0,40}"#.prop_map(String::into_bytes),
        2 => "(bytes|items)?[= ]?[0-9,x -]{0,20}".prop_map(String::into_bytes),
        1 => (1..2000_usize, "[\",]|\"\"|W/|\"a\",|,,")
            .prop_map(|(count, part)| part.repeat(count).into_bytes()),
    ]
}

fn range() -> impl Strategy<Value = Value> {
    let number =
        || prop_oneof![Just(None), (0..70_u64).prop_map(Some), any::<u64>().prop_map(Some)];
    (number(), number()).prop_map(|(first, last)| Value::Range { first, last })
}

fn line() -> impl Strategy<Value = (&'static str, Value)> {
    let list = || prop::collection::vec(tag(), 0..5).prop_map(Value::Tags);
    let date = || {
        let away =
            prop_oneof![3 => Just(0), 2 => -3..=3_i64, 1 => -1_000_000_000..=1_000_000_000_i64];
        (0..3_usize, away, 0..6_u8).prop_map(|(coding, away, form)| Value::Date {
            coding,
            away,
            form,
        })
    };
    let any_value = || prop_oneof![1 => Just(Value::Any), 2 => garbage().prop_map(Value::Bytes)];
    let tags = || prop_oneof![4 => list(), 1 => any_value(), 1 => date()];
    let dates = || prop_oneof![4 => date(), 1 => any_value(), 1 => list()];
    prop_oneof![
        2 => tags().prop_map(|value| ("If-Match", value)),
        3 => tags().prop_map(|value| ("If-None-Match", value)),
        1 => dates().prop_map(|value| ("If-Modified-Since", value)),
        1 => dates().prop_map(|value| ("If-Unmodified-Since", value)),
        2 => prop_oneof![tags(), dates()].prop_map(|value| ("If-Range", value)),
        4 => prop_oneof![3 => range(), 1 => any_value()].prop_map(|value| ("Range", value)),
    ]
}

#[test]
fn random_conditions_and_ranges() {
    Site::both().iter().for_each(assert_random);
}

fn assert_random(site: &Site) {
    let client = RefCell::new(Client::new(site));
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() };
    let strategy = (
        prop_oneof![12 => Just("GET"), 4 => Just("HEAD"), 1 => Just("POST"), 1 => Just("OPTIONS")],
        prop::sample::select(OUTCOMES.to_vec()),
        prop::sample::select(vec![TEXT, SHEET, SHEET, SHEET, NOTHING, BINARY, LATE, "missing.txt"]),
        prop::sample::select(ENCODINGS.to_vec()),
        prop::collection::vec(line(), 1..5),
    );
    let result =
        TestRunner::new(config).run(&strategy, |(method, outcome, path, encoding, lines)| {
            let held = site.resources.iter().find(|it| it.path == path);
            let held = held.unwrap_or_else(|| site.resource(TEXT));
            let encoding = encoding.map(|value| ("accept-encoding", value.as_bytes().to_vec()));
            let lines = lines.iter().map(|(name, value)| (*name, value.bytes(held)));
            let lines = encoding.into_iter().chain(lines).collect();
            let request = Request { method: method.to_owned(), lines };
            let place = Place::Below(outcome);
            let (response, judgement) =
                client.borrow_mut().ask(&Ask { name: String::new(), place, path, request }, None);
            prop_assert!(response.status < 500, "{}", response.status);
            prop_assert!(judgement.is_ok(), "{:?}", judgement.unwrap_err());
            Ok(())
        });
    if let Err(error) = result {
        panic!("{error}");
    }
}
