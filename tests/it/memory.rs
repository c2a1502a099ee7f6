//! Files from memory: what is kept, what is never kept, and what it costs.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use allocation_counter::measure;
use axum::{
    Router,
    body::Body,
    extract::Request as AxumRequest,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
    middleware::map_request,
};
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_http::compression::CompressionLayer;
use tower_static_url::{
    Manifest, StaticUrl, StaticUrlLayer, StaticUrlLayerBuilder, axum::AxumStaticUrl,
};

use crate::support::{
    self, HELLO, ServeDir, Site, YEAR, ask, etag_of, get, gzip, request, tree, wire, write,
};

const MIB: u64 = 1 << 20;

// ---------------------------------------------------------------------------------
// Inner services that count their calls

#[derive(Clone, Debug, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Answers with what a function makes of a request.
#[derive(Clone)]
struct Inner<F> {
    answer: F,
    asked: Asked,
}

impl<F, B> Service<Request<Body>> for Inner<F>
where
    F: Fn(&Request<Body>) -> Response<B>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.asked.note();
        ready(Ok((self.answer)(&request)))
    }
}

fn inner<F>(answer: F) -> (Inner<F>, Asked) {
    let asked = Asked::default();
    (Inner { answer, asked: asked.clone() }, asked)
}

fn listing<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> StaticUrlLayerBuilder {
    StaticUrlLayer::builder("/static").manifest(Manifest::from_files(files).unwrap())
}

/// A layer with a memory, for `hello.txt` alone.
fn hello() -> StaticUrlLayer {
    listing([("hello.txt", HELLO.as_bytes())]).memory_budget(MIB).build().unwrap()
}

/// [`Site`] with a memory, around a router that counts.
fn remembering(site: &Site) -> (AxumStaticUrl<Router>, Asked) {
    let (router, asked) = counting(site.router());
    (site.layer.wrap(router), asked)
}

fn counting(router: Router) -> (Router, Asked) {
    let asked = Asked::default();
    let counter = asked.clone();
    let router = router.layer(map_request(move |request: AxumRequest| {
        counter.note();
        ready(request)
    }));
    (router, asked)
}

fn with_memory(builder: StaticUrlLayerBuilder) -> StaticUrlLayerBuilder {
    builder.memory_budget(MIB)
}

/// A body that gives what it was given.
struct Frames(VecDeque<Result<Frame<Bytes>, io::Error>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn frames(frames: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>) -> Response<Body> {
    Response::new(Body::new(Frames(frames.into_iter().collect())))
}

// ---------------------------------------------------------------------------------
// What memory answers

#[tokio::test]
async fn off_by_default() {
    for (name, site) in [
        ("nothing said", Site::new()),
        ("a budget of nothing", Site::with(|builder| builder.memory_budget(0))),
    ] {
        let (service, asked) = remembering(&site);
        for count in 1..=3 {
            let answer = ask(service.clone(), get(&site.url("v/hello.txt"))).await;
            assert_eq!((&*answer.body, asked.count()), (HELLO.as_bytes(), count), "{name}");
        }
    }
}

#[tokio::test]
async fn what_follows_a_first_answer_is_not_asked_of_the_inner_service() {
    let (own, weak) = (etag_of(HELLO), format!("W/{}", etag_of(HELLO)));
    for (name, method, lines, status, body) in [
        ("again", Method::GET, &[][..], 200, HELLO),
        ("head", Method::HEAD, &[], 200, ""),
        ("first bytes", Method::GET, &[("range", "bytes=0-4")], 206, "hello"),
        ("last bytes", Method::GET, &[("range", "bytes=-5")], 206, "world"),
        ("one byte", Method::GET, &[("range", "bytes=4-4")], 206, "o"),
        ("all bytes", Method::GET, &[("range", "bytes=0-")], 206, HELLO),
        ("several ranges", Method::GET, &[("range", "bytes=0-1,3-4")], 200, HELLO),
        (
            "range if it is this",
            Method::GET,
            &[("range", "bytes=6-"), ("if-range", &own)],
            206,
            "world",
        ),
        (
            "range if it is another",
            Method::GET,
            &[("range", "bytes=6-"), ("if-range", "\"other\"")],
            200,
            HELLO,
        ),
        ("if-match, other", Method::GET, &[("if-match", "\"other\"")], 412, ""),
        ("if-match, weak", Method::GET, &[("if-match", &weak)], 412, ""),
        ("if-match, own", Method::GET, &[("if-match", &own)], 200, HELLO),
        ("if-none-match, any", Method::GET, &[("if-none-match", "*")], 304, ""),
        ("if-none-match, other", Method::GET, &[("if-none-match", "\"other\"")], 200, HELLO),
        (
            "not modified since",
            Method::GET,
            &[("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT")],
            304,
            "",
        ),
        ("head, range", Method::HEAD, &[("range", "bytes=0-4")], 200, ""),
    ] {
        let (warm, cold) = (Site::with(with_memory), Site::new());
        let (service, asked) = remembering(&warm);
        let first = ask(service.clone(), get(&warm.url("v/hello.txt"))).await;
        assert_eq!((&*first.body, asked.count()), (HELLO.as_bytes(), 1), "{name}");

        let second = request(method.clone(), &warm.url("v/hello.txt"), lines);
        let answer = ask(service, second).await;
        assert_eq!(asked.count(), 1, "{name}: asked again");
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, body.as_bytes()), "{name}");

        let expected = cold.send(request(method, &cold.url("v/hello.txt"), lines)).await;
        assert_eq!((answer.status, &answer.body), (expected.status, &expected.body), "{name}");
        assert_eq!(answer.head.headers(), expected.head.headers(), "{name}");
    }
}

#[tokio::test]
async fn what_memory_does_not_answer() {
    let long = "gzip;q=0.5, ".repeat(20);
    for (name, method, path, lines) in [
        ("authorized", Method::GET, "v/hello.txt", &[("authorization", "Basic eDp5")][..]),
        ("authorized head", Method::HEAD, "v/hello.txt", &[("authorization", "Basic eDp5")]),
        ("query", Method::GET, "v/hello.txt?x=y", &[]),
        ("stale", Method::GET, "stale/hello.txt", &[]),
        ("unversioned", Method::GET, "hello.txt", &[]),
        ("unlisted", Method::GET, "v/nothing.txt", &[]),
        ("post", Method::POST, "v/hello.txt", &[]),
        (
            "two lines",
            Method::GET,
            "v/hello.txt",
            &[("accept-encoding", "gzip"), ("accept-encoding", "br")],
        ),
        ("a long line", Method::GET, "v/hello.txt", &[("accept-encoding", &long)]),
        ("beyond the end", Method::GET, "v/hello.txt", &[("range", "bytes=11-")]),
    ] {
        let site = Site::with(with_memory);
        let (service, asked) = remembering(&site);
        for count in [1, 1] {
            ask(service.clone(), get(&site.url("v/hello.txt"))).await;
            assert_eq!(asked.count(), count, "{name}: not kept");
        }
        for count in [2, 3] {
            ask(service.clone(), request(method.clone(), &site.url(path), lines)).await;
            assert_eq!(asked.count(), count, "{name}");
        }
    }
}

#[tokio::test]
async fn a_part_is_only_made_where_the_inner_service_sends_parts() {
    for (name, line, expected) in
        [("says so", Some("bytes"), 1), ("says no", Some("none"), 2), ("says nothing", None, 2)]
    {
        let (inner, asked) = inner(|_: &Request<Body>| {
            let mut response = Response::new(Body::from(HELLO));
            let line = line.map(|line| (header::ACCEPT_RANGES, HeaderValue::from_static(line)));
            response.headers_mut().extend(line);
            response
        });
        let layer = hello();
        let url = layer.prefix().url("hello.txt");
        ask(layer.layer(inner.clone()), get(&url)).await;
        let range = request(Method::GET, &url, &[("range", "bytes=0-4")]);
        ask(layer.layer(inner), range).await;
        assert_eq!(asked.count(), expected, "{name}");
    }
}

/// Without a length, what a HEAD of it says would have to be counted.
#[tokio::test]
async fn a_head_is_only_answered_with_its_length() {
    for (name, has_length, expected) in [("length", true, 1), ("no length", false, 2)] {
        let (inner, asked) = inner(|_: &Request<Body>| {
            let mut response = Response::new(Body::from(HELLO));
            let length = has_length.then(|| (header::CONTENT_LENGTH, HELLO.len().into()));
            response.headers_mut().extend(length);
            response
        });
        let layer = hello();
        let url = layer.prefix().url("hello.txt");
        ask(layer.layer(inner.clone()), get(&url)).await;
        let head = ask(layer.layer(inner), request(Method::HEAD, &url, &[])).await;
        assert_eq!(asked.count(), expected, "{name}");
        let length = if has_length { HELLO.len().to_string() } else { String::new() };
        assert_eq!(head.field("content-length"), length, "{name}");
    }
}

/// It is the server's to say when it has sent something (RFC 9110 §6.6.1).
#[tokio::test]
async fn a_date_is_not_repeated() {
    let (inner, asked) = inner(|_: &Request<Body>| with("date", "Tue, 14 Nov 2023 22:13:20 GMT"));
    let layer = hello();
    let url = layer.prefix().url("hello.txt");
    for (count, expected) in [(1, "Tue, 14 Nov 2023 22:13:20 GMT"), (1, "")] {
        let answer = ask(layer.layer(inner.clone()), get(&url)).await;
        assert_eq!((asked.count(), &*answer.field("date")), (count, expected));
    }
}

// ---------------------------------------------------------------------------------
// What is kept

type MakeResponse = fn() -> Response<Body>;

fn whole() -> Response<Body> {
    let mut response = Response::new(Body::from(HELLO));
    response.headers_mut().insert(header::CONTENT_LENGTH, HELLO.len().into());
    response
}

/// As long as what is listed, by its field.
fn announced(parts: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>) -> Response<Body> {
    let mut response = frames(parts);
    response.headers_mut().insert(header::CONTENT_LENGTH, HELLO.len().into());
    response
}

fn with(name: &'static str, value: &'static str) -> Response<Body> {
    let mut response = whole();
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = whole();
    *response.status_mut() = status;
    response
}

/// Fills memory or not with a first answer, reads at most `frames` of its body, and
/// returns how often the inner service was asked for each of two good answers after it.
async fn asked_after(
    layer: &StaticUrlLayer,
    path: &str,
    first: Request<Body>,
    frames: usize,
    answer: MakeResponse,
) -> [usize; 2] {
    let (broken, _) = inner(move |_: &Request<Body>| answer());
    let response = layer.layer(broken).oneshot(first).await.unwrap();
    let mut body = response.into_body();
    for _ in 0..frames {
        if body.frame().await.is_none() {
            break;
        }
    }
    drop(body);
    let content = if path == "empty.txt" { "" } else { HELLO };
    let (good, asked) = inner(move |_: &Request<Body>| {
        let mut response = Response::new(Body::from(content));
        response.headers_mut().insert(header::CONTENT_LENGTH, content.len().into());
        response
    });
    let mut counts = [0; 2];
    for count in &mut counts {
        let before = asked.count();
        let answer = ask(layer.layer(good.clone()), get(&layer.prefix().url(path))).await;
        *count = asked.count() - before;
        assert_eq!(answer.body, content);
        assert_eq!(answer.field("content-length"), content.len().to_string());
    }
    counts
}

const ALL: usize = usize::MAX;

#[tokio::test]
async fn only_whole_and_right_answers_are_kept() {
    let cases: &[(&str, MakeResponse, usize, [usize; 2])] = &[
        ("good", whole, ALL, [0, 0]),
        ("its end is not asked for", whole, 1, [0, 0]),
        ("in pieces", || announced([data("hello "), data(""), data("world")]), ALL, [0, 0]),
        ("vary on the coding", || with("vary", "Accept-Encoding"), ALL, [0, 0]),
        ("dated", || with("date", "Tue, 14 Nov 2023 22:13:20 GMT"), ALL, [0, 0]),
        ("public", || with("cache-control", "public, max-age=60"), ALL, [0, 0]),
        ("not read", whole, 0, [1, 0]),
        ("of no known length", || frames([data(HELLO)]), ALL, [1, 0]),
        ("read in part", || announced([data("hello "), data("world")]), 1, [1, 0]),
        ("error", || announced([data("hello "), Err(io::ErrorKind::Other.into())]), ALL, [1, 0]),
        (
            "error, then the rest",
            || announced([data("hello "), Err(io::ErrorKind::Other.into()), data("world")]),
            ALL,
            [1, 0],
        ),
        ("shorter", || announced([data("hello worl")]), ALL, [1, 0]),
        ("longer", || announced([data("hello world!")]), ALL, [1, 0]),
        ("longer by a frame", || announced([data(HELLO), data("!")]), ALL, [1, 0]),
        ("other bytes", || announced([data("hello_world")]), ALL, [1, 0]),
        ("other bytes, measured", || Response::new(Body::from("hello_world")), ALL, [1, 0]),
        (
            "trailers",
            || announced([data(HELLO), Ok(Frame::trailers(HeaderMap::new()))]),
            ALL,
            [1, 0],
        ),
        ("part", || with_status(StatusCode::PARTIAL_CONTENT), ALL, [1, 0]),
        ("not found", || with_status(StatusCode::NOT_FOUND), ALL, [1, 0]),
        ("not authoritative", || with_status(StatusCode::from_u16(203).unwrap()), ALL, [1, 0]),
        ("vary on a cookie", || with("vary", "accept-encoding, cookie"), ALL, [1, 0]),
        ("aged", || with("age", "10"), ALL, [1, 0]),
        ("of a connection", || with("connection", "x-hop"), ALL, [1, 0]),
        ("trailers announced", || with("trailer", "x"), ALL, [1, 0]),
        ("upgradable", || with("upgrade", "x"), ALL, [1, 0]),
        ("in a transfer coding", || with("transfer-encoding", "chunked"), ALL, [1, 0]),
        ("kept alive", || with("keep-alive", "timeout=5"), ALL, [1, 0]),
        ("of a proxy", || with("proxy-authenticate", "Basic"), ALL, [1, 0]),
        ("warned of", || with("warning", "110 - \"stale\""), ALL, [1, 0]),
        ("a coding that is not listed", || with("content-encoding", "br"), ALL, [1, 0]),
        // Who answers like this once is asked every time.
        ("cookie", || with("set-cookie", "a=b"), ALL, [1, 1]),
        ("private", || with("cache-control", "max-age=60, private"), ALL, [1, 1]),
        ("no-store", || with("cache-control", "no-store"), ALL, [1, 1]),
        ("vary on everything", || with("vary", "*"), ALL, [1, 1]),
        ("expires", || with("expires", "Tue, 14 Nov 2023 22:13:20 GMT"), ALL, [1, 1]),
    ];
    for &(name, answer, frames, expected) in cases {
        let layer = hello();
        let first = get(&layer.prefix().url("hello.txt"));
        let asked = asked_after(&layer, "hello.txt", first, frames, answer).await;
        assert_eq!(asked, expected, "{name}");
    }
}

#[tokio::test]
async fn only_some_requests_fill_a_place() {
    let long = "identity;q=0.5, ".repeat(20);
    for (name, method, path, lines, expected) in [
        ("plain", Method::GET, "v/hello.txt", &[][..], 0),
        ("conditional", Method::GET, "v/hello.txt", &[("if-none-match", "\"other\"")], 0),
        ("several ranges", Method::GET, "v/hello.txt", &[("range", "bytes=0-1,3-4")], 0),
        ("authorized", Method::GET, "v/hello.txt", &[("authorization", "Basic eDp5")], 1),
        ("query", Method::GET, "v/hello.txt?x", &[], 1),
        ("two lines", Method::GET, "v/hello.txt", &[("accept-encoding", ""); 2], 1),
        ("a long line", Method::GET, "v/hello.txt", &[("accept-encoding", &long)], 1),
        ("a range", Method::GET, "v/hello.txt", &[("range", "bytes=0-")], 1),
        ("head", Method::HEAD, "v/hello.txt", &[], 1),
        ("post", Method::POST, "v/hello.txt", &[], 1),
        ("stale", Method::GET, "stale/hello.txt", &[], 1),
        ("unversioned", Method::GET, "hello.txt", &[], 1),
    ] {
        let layer = hello();
        let path = path.replace("v/", &format!("{}/", layer.prefix().version()));
        let url = format!("/static/{}", path.replace("stale/", "00000000000000aa/"));
        let first = request(method, &url, lines);
        let asked = asked_after(&layer, "hello.txt", first, ALL, whole).await;
        assert_eq!(asked, [expected, 0], "{name}");
    }
}

/// Of an empty file, nothing is read: what was sent is known from its head alone.
#[tokio::test]
async fn an_empty_file_is_only_kept_where_nothing_was_sent() {
    let cases: &[(&str, MakeResponse, usize)] = &[
        ("longer by its field", || with("x", "y"), 0),
        ("longer by its body", || Response::new(Body::from(HELLO)), 0),
        ("longer", || frames([data(HELLO)]), ALL),
    ];
    for &(name, answer, frames) in cases {
        let files = listing([("empty.txt", &b""[..])]);
        let layer = files.memory_budget(MIB).body_digest_limit(0).build().unwrap();
        let first = get(&layer.prefix().url("empty.txt"));
        let asked = asked_after(&layer, "empty.txt", first, frames, answer).await;
        assert_eq!(asked[0], 1, "{name}");
    }
}

/// The head of an answer belongs to its bytes: here it says more than were listed, and
/// the first of them are the listed ones.
#[tokio::test]
async fn what_says_another_length_is_not_kept() {
    let answer = || {
        let mut response = frames([data(HELLO), data(" and more")]);
        response.headers_mut().insert(header::CONTENT_LENGTH, 20.into());
        response
    };
    let layer = hello();
    let first = get(&layer.prefix().url("hello.txt"));
    // What is known to have changed is left to the inner service.
    assert_eq!(asked_after(&layer, "hello.txt", first, 1, answer).await, [1, 1]);
}

/// Its date is not that of the listed one: `no-cache`, until it is as it was again.
#[tokio::test]
async fn a_file_that_was_touched_is_left_to_the_inner_service() {
    let site = Site::with(with_memory);
    let (service, asked) = remembering(&site);
    std::fs::write(site.root.path().join("hello.txt"), HELLO).unwrap();
    for count in 1..=2 {
        let answer = ask(service.clone(), get(&site.url("v/hello.txt"))).await;
        assert_eq!((answer.cache_control(), asked.count()), ("no-cache".into(), count));
    }
    support::write(site.root.path(), "hello.txt", HELLO);
    let answer = ask(service, get(&site.url("v/hello.txt"))).await;
    assert_eq!(answer.cache_control(), YEAR);
}

/// What describes the sent part alone (RFC 9530 §2) cannot be made of what describes the
/// whole.
#[tokio::test]
async fn a_digest_of_the_content_is_not_sent_with_a_part() {
    for name in ["content-digest", "content-md5"] {
        let (inner, _) = inner(|request: &Request<Body>| {
            let mut response = with(name, "of the whole");
            response.headers_mut().insert("accept-ranges", HeaderValue::from_static("bytes"));
            if request.headers().contains_key("range") {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                response.headers_mut().insert(name, HeaderValue::from_static("of the part"));
                let range = HeaderValue::from_static("bytes 0-4/11");
                response.headers_mut().insert("content-range", range);
            }
            response
        });
        let layer = hello();
        let url = layer.prefix().url("hello.txt");
        ask(layer.layer(inner.clone()), get(&url)).await;
        let part = request(Method::GET, &url, &[("range", "bytes=0-4")]);
        assert_eq!(ask(layer.layer(inner), part).await.field(name), "of the part", "{name}");
    }
}

/// Whatever a body's data is made of: here it is in two pieces, of which one goes around the end
/// of its buffer.
#[tokio::test]
async fn other_data_than_bytes_are_kept_too() {
    let (inner, asked) = inner(|_: &Request<Body>| {
        let mut data = VecDeque::from(HELLO.as_bytes()[6..].to_vec());
        HELLO.as_bytes()[..6].iter().rev().for_each(|&byte| data.push_front(byte));
        assert_eq!((data.as_slices().0.len(), data.len()), (6, HELLO.len()), "it is in one piece");
        let mut response = Response::new(Full::new(data));
        response.headers_mut().insert("accept-ranges", HeaderValue::from_static("bytes"));
        response
    });
    let layer = hello();
    let url = layer.prefix().url("hello.txt");
    for (lines, status, body) in [
        (&[][..], 200, HELLO),
        (&[], 200, HELLO),
        (&[("range", "bytes=4-7")], 206, "o wo"),
        (&[], 200, HELLO),
    ] {
        let answer = ask(layer.layer(inner.clone()), request(Method::GET, &url, lines)).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, body.as_bytes()), "{lines:?}");
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, (YEAR.into(), etag_of(HELLO)), "{lines:?}");
        assert_eq!(asked.count(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_file_that_has_changed_on_disk_is_still_the_listed_one() {
    let site = Site::with(with_memory);
    let (service, asked) = remembering(&site);
    let url = site.url("v/hello.txt");
    ask(service.clone(), get(&url)).await;
    support::write(site.root.path(), "hello.txt", "something else");
    let unversioned = ask(service.clone(), get(&site.url("hello.txt"))).await;
    assert_eq!(unversioned.body, "something else");
    assert_eq!(asked.count(), 2);

    let own = etag_of(HELLO);
    for (name, lines, status, body) in [
        ("whole", &[][..], 200, HELLO),
        ("part", &[("range", "bytes=0-4")], 206, "hello"),
        ("conditional", &[("if-none-match", &*own)], 304, ""),
    ] {
        let answer = ask(service.clone(), request(Method::GET, &url, lines)).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, body.as_bytes()), "{name}");
        assert_eq!(answer.cache_control(), YEAR, "{name}");
        assert_eq!(answer.field("etag"), own, "{name}");
    }
    assert_eq!(asked.count(), 2);
}

// ---------------------------------------------------------------------------------
// Codings

/// What is compressed on the way is nobody's file, whether a listed one has that coding or
/// not.
#[tokio::test]
async fn what_is_compressed_on_the_way_is_not_kept() {
    let text = "body { color: teal }\n".repeat(100);
    for (name, has_sibling) in [("alone", false), ("beside a sibling", true)] {
        let root = tree([("app.css", &*text)]);
        if has_sibling {
            write(root.path(), "app.css.gz", gzip(&text));
        }
        let layer = StaticUrlLayer::builder("/static").root(root.path());
        let layer = layer.memory_budget(MIB).build().unwrap();
        let files = ServeDir::new(root.path()).redirect_path_prefix("/static");
        let router = Router::new().nest_service("/static", files).layer(CompressionLayer::new());
        let (router, asked) = counting(router);
        let service = layer.wrap(router);
        let url = layer.prefix().url("app.css");
        let gzip = || request(Method::GET, &url, &[("accept-encoding", "gzip")]);
        let mut expected = 0;
        for is_plain in [false, false, true, false, true] {
            let asking = if is_plain { get(&url) } else { gzip() };
            let answer = ask(service.clone(), asking).await;
            let is_first_plain = is_plain && expected == 2;
            expected += usize::from(!is_plain || is_first_plain);
            assert_eq!(asked.count(), expected, "{name}");
            let coding = if is_plain { "" } else { "gzip" };
            assert_eq!(answer.field("content-encoding"), coding, "{name}");
            assert_eq!(answer.body == *text, is_plain, "{name}");
        }
    }
}

#[tokio::test]
async fn the_coding_is_the_one_that_the_inner_service_chose() {
    let choose = |accept: Option<&str>| match accept {
        None => "gzip",
        Some("") => "br",
        Some("gzip") => "identity",
        Some("br") => "gzip",
        Some("GZIP") => "br",
        Some("br, gzip") => "br",
        _ => "identity",
    };
    let content = |coding| match coding {
        "gzip" => gzip(HELLO),
        "br" => b"as brotli".to_vec(),
        _ => HELLO.into(),
    };
    let (inner, asked) = inner(|request: &Request<Body>| {
        let accept = request.headers().get(header::ACCEPT_ENCODING);
        let coding = choose(accept.map(|accept| accept.to_str().unwrap()));
        let mut response = Response::new(Body::from(content(coding)));
        response.headers_mut().insert("vary", HeaderValue::from_static("accept-encoding"));
        response.headers_mut().insert("accept-ranges", HeaderValue::from_static("bytes"));
        if coding != "identity" {
            let coding = HeaderValue::from_static(coding);
            response.headers_mut().insert("content-encoding", coding);
        }
        response
    });
    let names = [("a.txt", "identity"), ("a.txt.gz", "gzip"), ("a.txt.br", "br")];
    let files = names.map(|(name, coding)| (name, content(coding)));
    let layer = listing(files.each_ref().map(|(name, bytes)| (*name, &**bytes)));
    let layer = layer.memory_budget(MIB).build().unwrap();
    let accepts = [None, Some(""), Some("gzip"), Some("br"), Some("GZIP"), Some("br, gzip")];
    let url = layer.prefix().url("a.txt");
    for round in 0..2 {
        for accept in accepts {
            let line = accept.map(|accept| ("accept-encoding", accept));
            let request = request(Method::GET, &url, line.as_slice());
            let before = asked.count();
            let answer = ask(layer.layer(inner.clone()), request).await;
            let coding = choose(accept);
            assert_eq!(answer.body, content(coding), "{accept:?}");
            assert_eq!(answer.field("etag"), etag_of(content(coding)), "{accept:?}");
            // What one value selects tells nothing of any other.
            assert_eq!(asked.count() - before, 1 - round, "{accept:?}, round {round}");
        }
    }

    // A part is of what `If-Range` names, whatever is chosen for the whole.
    let tag = etag_of(content("gzip"));
    let lines = [("accept-encoding", "gzip"), ("range", "bytes=0-3"), ("if-range", &tag)];
    let before = asked.count();
    let answer = ask(layer.layer(inner), request(Method::GET, &url, &lines)).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (206, &content("gzip")[..4]));
    assert_eq!((answer.field("etag"), asked.count()), (tag, before));
}

// ---------------------------------------------------------------------------------
// Reloads

/// What is on disk at the time of the call, in two frames.
fn from_disk(root: &Path) -> (Inner<impl Fn(&Request<Body>) -> Response<Body> + Clone>, Asked) {
    inner(move |request: &Request<Body>| {
        let name = request.uri().path().strip_prefix("/static/").unwrap();
        let content = Bytes::from(std::fs::read(root.join(name)).unwrap());
        let half = content.len() / 2;
        let halves = [content.slice(..half), content.slice(half..)];
        let mut response = frames(halves.map(|it| Ok(Frame::data(it))));
        response.headers_mut().insert(header::CONTENT_LENGTH, content.len().into());
        response
    })
}

#[tokio::test]
async fn a_new_version_starts_with_an_empty_memory() {
    let root = tree([("hello.txt", HELLO), ("same.txt", "same")]);
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.memory_budget(MIB).build().unwrap();
    let (inner, asked) = from_disk(root.path());
    let before = layer.prefix();
    for name in ["hello.txt", "same.txt", "hello.txt", "same.txt"] {
        ask(layer.layer(inner.clone()), get(&before.url(name))).await;
    }
    assert_eq!(asked.count(), 2);

    support::write(root.path(), "hello.txt", "another text");
    layer.reload().unwrap();
    let after = layer.prefix();
    for (name, url, body, count) in [
        ("stale", before.url("hello.txt"), "another text", 3),
        ("first", after.url("hello.txt"), "another text", 4),
        ("second", after.url("hello.txt"), "another text", 4),
        ("another file", after.url("same.txt"), "same", 5),
        ("stale, once kept", before.url("hello.txt"), "another text", 6),
    ] {
        let answer = ask(layer.layer(inner.clone()), get(&url)).await;
        assert_eq!((&*answer.body, asked.count()), (body.as_bytes(), count), "{name}");
    }
}

#[tokio::test]
async fn a_body_begun_before_a_reload_does_not_reach_the_new_version() {
    let root = tree([("hello.txt", HELLO)]);
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.memory_budget(MIB).build().unwrap();
    let (inner, asked) = from_disk(root.path());
    let before = layer.prefix();
    let begun = layer.layer(inner.clone()).oneshot(get(&before.url("hello.txt"))).await.unwrap();
    support::write(root.path(), "hello.txt", "another text");
    layer.reload().unwrap();
    assert_eq!(begun.into_body().collect().await.unwrap().to_bytes(), HELLO);

    let url = layer.prefix().url("hello.txt");
    for count in [2, 2] {
        let answer = ask(layer.layer(inner.clone()), get(&url)).await;
        assert_eq!((&*answer.body, asked.count()), (&b"another text"[..], count));
        assert_eq!(answer.field("etag"), etag_of("another text"));
    }
}

/// A file that a reload leaves as it is can be kept anew, while somebody still reads it
/// from before.
#[tokio::test]
async fn a_reader_from_before_a_reload_keeps_no_place() {
    let root = tree([("hello.txt", HELLO)]);
    let layer = StaticUrlLayer::builder("/static").root(root.path());
    let layer = layer.memory_budget(MIB).build().unwrap();
    let (inner, asked) = from_disk(root.path());
    let url = layer.prefix().url("hello.txt");
    let begun = layer.layer(inner.clone()).oneshot(get(&url)).await.unwrap();
    layer.reload().unwrap();
    for count in [2, 2] {
        ask(layer.layer(inner.clone()), get(&url)).await;
        assert_eq!(asked.count(), count);
    }
    drop(begun);
}

// ---------------------------------------------------------------------------------
// What it costs

type Sliced = Inner<fn(&Request<Body>) -> Response<Body>>;

/// Any file of `Z`s, by the length that its name says, without an allocation for its
/// content; in pieces of 64 KiB, as `ServeDir` sends it.
fn of_one_letter() -> (Sliced, Asked) {
    static LETTERS: [u8; 2 << 20] = [b'Z'; 2 << 20];
    let answer: fn(&Request<Body>) -> Response<Body> = |request| {
        let name = request.uri().path().rsplit('/').next().unwrap();
        let length = name.split('.').next().unwrap().parse::<usize>().unwrap();
        let content = &LETTERS[..length];
        let pieces = content.chunks(64 << 10).map(|it| Ok(Frame::data(Bytes::from_static(it))));
        let mut response = frames(pieces);
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"inner\""));
        response
    };
    inner(answer)
}

/// `<length>.<number>`
fn letters(lengths: impl IntoIterator<Item = usize>, budget: u64) -> (StaticUrlLayer, Vec<String>) {
    let named = lengths.into_iter().enumerate();
    let files = named.map(|(i, length)| (format!("{length}.{i}"), vec![b'Z'; length]));
    let files = files.collect::<Vec<_>>();
    let listed = files.iter().map(|(name, content)| (&**name, &**content));
    let layer = listing(listed).memory_budget(budget).build().unwrap();
    (layer, files.into_iter().map(|(name, _)| name).collect())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// Reads an answer as a server does: frame by frame.
async fn read<S, B>(service: S, url: &str) -> usize
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: HttpBody,
    B::Error: std::fmt::Debug,
{
    let mut body = Box::pin(service.oneshot(get(url)).await.unwrap().into_body());
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map_or(0, |data| data.remaining());
    }
    length
}

async fn is_kept(layer: &StaticUrlLayer, inner: &Sliced, asked: &Asked, name: &str) -> bool {
    let before = asked.count();
    // It never fills a place.
    ask(layer.layer(inner.clone()), request(Method::HEAD, &layer.prefix().url(name), &[])).await;
    asked.count() == before
}

#[test]
fn what_is_kept_stays_within_the_budget() {
    for (kind, length, count) in [("large", 30 << 10, 300), ("small", 100, 6_000)] {
        let (layer, names) = letters((0..count).map(|_| length), MIB);
        let (inner, asked) = of_one_letter();
        let urls = names.iter().map(|name| layer.prefix().url(name)).collect::<Vec<_>>();
        block_on(async {
            for url in &urls {
                read(layer.layer(inner.clone()), url).await;
            }
        });
        let mut held = 0;
        block_on(async {
            for name in &names {
                held += usize::from(is_kept(&layer, &inner, &asked, name).await) * length;
            }
        });
        assert!(held as u64 <= MIB, "{kind}: {held} bytes are kept");
        let least = if kind == "large" { MIB / 2 } else { MIB / 32 };
        assert!(held as u64 >= least, "{kind}: only {held} bytes are kept");
        println!("{kind}: {held} bytes of content");
    }
}

/// Of a million bytes' budget, with all that is around the bytes.
#[test]
fn the_budget_is_of_real_memory() {
    for (kind, length, count) in [("large", 30 << 10, 300), ("small", 100, 6_000)] {
        let retained = |budget| {
            let (layer, names) = letters((0..count).map(|_| length), budget);
            let (inner, _) = of_one_letter();
            let urls = names.iter().map(|name| layer.prefix().url(name)).collect::<Vec<_>>();
            let info = measure(|| {
                block_on(async {
                    for url in &urls {
                        // The first answer from memory adds to what is kept.
                        for _ in 0..2 {
                            read(layer.layer(inner.clone()), url).await;
                        }
                    }
                });
            });
            info.bytes_current
        };
        let kept = retained(MIB) - retained(0);
        println!("{kind}: {kept} bytes");
        assert!(kept > MIB as i64 / 2, "{kind}: {kept} bytes");
        assert!(kept < MIB as i64 * 5 / 4, "{kind}: {kept} bytes");
    }
}

#[test]
fn a_large_file_is_not_kept() {
    let limit = (MIB / 32) as usize;
    let (layer, names) = letters([limit, limit + 1], MIB);
    let (inner, asked) = of_one_letter();
    block_on(async {
        for (name, expected) in names.iter().zip([true, false]) {
            let length = name.split('.').next().unwrap().parse::<usize>().unwrap();
            assert_eq!(read(layer.layer(inner.clone()), &layer.prefix().url(name)).await, length);
            assert_eq!(is_kept(&layer, &inner, &asked, name).await, expected, "{name}");
        }
    });
}

/// One answer fills the place, and the others pass.
#[test]
fn a_stampede_fills_one_place() {
    const LENGTH: usize = 2 << 20;
    let (layer, names) = letters([LENGTH], 64 * MIB);
    let (inner, asked) = of_one_letter();
    let url = layer.prefix().url(&names[0]);
    let info = measure(|| {
        block_on(async {
            let mut bodies = Vec::new();
            for _ in 0..64 {
                let response = layer.layer(inner.clone()).oneshot(get(&url)).await.unwrap();
                bodies.push(Box::pin(response.into_body()));
            }
            assert_eq!(asked.count(), 64, "nobody waits for another");
            let mut lengths = vec![0; bodies.len()];
            // All at once, frame by frame; the one that fills ends last.
            for _ in 0..=LENGTH.div_ceil(64 << 10) {
                for (body, length) in bodies.iter_mut().zip(&mut lengths).rev() {
                    if let Some(frame) = body.frame().await {
                        let data = frame.unwrap().into_data().unwrap();
                        assert!(data.iter().all(|&byte| byte == b'Z'));
                        *length += data.len();
                    }
                }
            }
            assert!(lengths.iter().all(|&length| length == LENGTH), "{lengths:?}");
            bodies.clear();
            assert_eq!(read(layer.layer(inner.clone()), &url).await, LENGTH);
            assert_eq!(asked.count(), 64, "it is kept");
        });
    });
    let copies = info.bytes_max / LENGTH as u64;
    assert_eq!(copies, 1, "{info:?}");
    assert_eq!(info.bytes_current / LENGTH as i64, 1, "{info:?}");
}

/// Another `Accept-Encoding` selects the same bytes: there is nothing to read anew.
#[test]
fn what_is_kept_is_not_read_again() {
    const LENGTH: usize = 2 << 20;
    let (layer, names) = letters([LENGTH], 64 * MIB);
    let (inner, asked) = of_one_letter();
    let url = layer.prefix().url(&names[0]);
    block_on(read(layer.layer(inner.clone()), &url));
    let again = request(Method::GET, &url, &[("accept-encoding", "br")]);
    let mut again = Some(again);
    let info = measure(|| {
        block_on(async {
            let response = layer.layer(inner.clone()).oneshot(again.take().unwrap()).await.unwrap();
            let mut body = Box::pin(response.into_body());
            while body.frame().await.is_some() {}
        });
    });
    assert_eq!(asked.count(), 2);
    assert!(info.bytes_max < LENGTH as u64 / 4, "{info:?}");
}

/// Where many files are first asked for at once, what is being read is bounded, too; and
/// whatever becomes of the answers, the room is there again afterwards.
#[test]
fn a_stampede_on_many_files_is_bounded() {
    let (layer, names) = letters((0..64).map(|_| 32 << 10), MIB);
    let (inner, asked) = of_one_letter();
    let open = async || {
        let mut bodies = Vec::new();
        for name in &names {
            let request = get(&layer.prefix().url(name));
            bodies.push(layer.layer(inner.clone()).oneshot(request).await.unwrap());
        }
        bodies
    };
    for round in 0..3 {
        let info = measure(|| block_on(async { drop(open().await) }));
        let room = MIB / 4 + 64 * 4096;
        assert!(info.bytes_max < room, "round {round}: {info:?}");
        assert!(info.bytes_max > MIB / 8, "round {round}: {info:?}");
    }
    block_on(async {
        for name in &names[..8] {
            read(layer.layer(inner.clone()), &layer.prefix().url(name)).await;
            assert!(is_kept(&layer, &inner, &asked, name).await, "{name}");
        }
    });
}

/// It says that it is as long as what is listed, and is not.
#[test]
fn what_goes_on_for_longer_takes_no_room() {
    static MORE: [u8; 2 << 20] = [b'Z'; 2 << 20];
    let (inner, _) = inner(|_: &Request<Body>| {
        let pieces = MORE.chunks(64 << 10).map(|it| Ok(Frame::data(Bytes::from_static(it))));
        announced(pieces)
    });
    let layer = hello();
    let url = layer.prefix().url("hello.txt");
    let info = measure(|| assert_eq!(block_on(read(layer.layer(inner), &url)), MORE.len()));
    assert!(info.bytes_max < 64 << 10, "{info:?}");
}

/// A prefix may be kept for long, by a page that waits for the next one; the files of its
/// time need not.
#[test]
fn a_reload_frees_what_was_kept() {
    let (layer, names) = letters((0..16).map(|_| 30 << 10), MIB);
    let (inner, _) = of_one_letter();
    block_on(async {
        for name in &names {
            read(layer.layer(inner.clone()), &layer.prefix().url(name)).await;
        }
    });
    let old = layer.prefix();
    let reload = measure(|| drop(layer.reload().unwrap()));
    assert!(reload.bytes_current < -(16 * 30 * 1024) / 2, "{reload:?}");
    drop(old);
}

/// A proxy's fields are slices of all that it has read with them.
#[test]
fn a_kept_field_keeps_no_buffer() {
    let layer = hello();
    let url = layer.prefix().url("hello.txt");
    let (inner, asked) = inner(|_: &Request<Body>| {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        let mut response = whole();
        let value = HeaderValue::from_maybe_shared(buffer.slice(..10)).unwrap();
        response.headers_mut().insert("x-of-proxy", value);
        response
    });
    let ask_for_it = || {
        let answer = block_on(ask(layer.layer(inner.clone()), get(&url)));
        assert_eq!(answer.field("x-of-proxy"), "x".repeat(10));
    };
    let kept = measure(ask_for_it);
    assert!(kept.bytes_current < 64 << 10, "{kept:?}");
    ask_for_it();
    assert_eq!(asked.count(), 1, "the field is kept");
}

/// Whatever is listed, and whatever the budget is.
#[test]
fn nothing_is_set_aside_that_cannot_be() {
    let (layer, names) = letters([100], u64::MAX);
    let (inner, asked) = of_one_letter();
    block_on(async {
        for _ in 0..2 {
            assert_eq!(read(layer.layer(inner.clone()), &layer.prefix().url(&names[0])).await, 100);
        }
    });
    assert_eq!(asked.count(), 1);
    let built = measure(|| drop(hello())).bytes_max;
    let (layer, _) = letters([1], 1 << 50);
    let large = measure(|| drop(layer.reload().unwrap())).bytes_max;
    assert!(large < built + (64 << 10), "{large} and {built} bytes");
}

// ---------------------------------------------------------------------------------
// On a socket

const LARGE: usize = 300_000;

fn site_with_a_large_file() -> Site {
    let site = Site::with(|builder| builder.memory_budget(64 * MIB));
    support::write(site.root.path(), "large.bin", vec![b'x'; LARGE]);
    site.layer.reload().unwrap();
    site
}

#[test]
fn over_http_1_on_one_connection() {
    let site = site_with_a_large_file();
    let (service, asked) = remembering(&site);
    let server = wire::Server::start(service.map_request(|it: Request<_>| it.map(Body::new)));
    let mut connection = wire::Connection::open(&server);
    for (path, length) in [("v/hello.txt", HELLO.len()), ("v/large.bin", LARGE)] {
        let before = asked.count();
        for method in ["GET", "GET", "HEAD", "GET"] {
            let answer = connection.exchange(method, &site.url(path), &[]);
            let sent = if method == "HEAD" { 0 } else { length };
            assert_eq!((answer.status, answer.body.len()), (200, sent), "{path} {method}");
            assert_eq!(answer.field("content-length"), length.to_string(), "{path} {method}");
            assert_eq!(asked.count(), before + 1, "{path} {method}");
        }
        let part = connection.exchange("GET", &site.url(path), &[("Range", "bytes=-5")]);
        assert_eq!((part.status, part.body.len()), (206, 5), "{path}");
        assert_eq!(asked.count(), before + 1, "{path}");
    }
}

#[test]
fn over_http_2() {
    let site = site_with_a_large_file();
    let (service, asked) = remembering(&site);
    let server = wire::Server::start(service.map_request(|it: Request<_>| it.map(Body::new)));
    for (path, length) in [("v/hello.txt", HELLO.len()), ("v/large.bin", LARGE)] {
        let before = asked.count();
        for round in 0..3 {
            let url = format!("http://localhost{}", site.url(path));
            let request = Request::get(url).body(()).unwrap();
            let answer = wire::exchange_http2(&server, request).unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, length), "{path}");
            assert!(answer.is_complete, "{path}");
            assert_eq!(asked.count(), before + 1, "{path}, round {round}");
        }
    }
}

#[tokio::test]
async fn where_an_outer_router_has_stripped_the_mount() {
    let site = Site::with(with_memory);
    let files = ServeDir::new(site.root.path()).redirect_path_prefix("/static");
    let asked = Asked::default();
    let counter = asked.clone();
    let files = service_fn(move |request: Request<Body>| {
        counter.note();
        files.clone().oneshot(request)
    });
    let nested: StaticUrl<_> = site.layer.nested().layer(files);
    let router = Router::new().nest_service("/static", nested);
    for count in [1, 1, 1] {
        let answer = ask(router.clone(), get(&site.url("v/hello.txt"))).await;
        assert_eq!((&*answer.body, asked.count()), (HELLO.as_bytes(), count));
        assert_eq!((answer.cache_control(), answer.field("etag")), (YEAR.into(), etag_of(HELLO)));
    }
}
