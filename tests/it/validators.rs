//! Validators where the differential test cannot look: answers from memory, codings
//! made on the way, drift under `If-Range`, digests of bodies.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::compression::CompressionLayer;
use tower_static_url::{Manifest, ResponseBody, StaticUrlLayer};

use crate::support::{
    self, Answer, HELLO, SHEET, ServeDir, Site, YEAR, ask, etag_of, gzip, is_digest, mtime,
    request, tree,
};

/// An inner service that counts its calls, and gives every one the same answer.
struct Inner {
    calls: Arc<AtomicUsize>,
    layer: StaticUrlLayer,
    lines: HeaderMap,
}

impl Inner {
    fn new(lines: &[(&str, &str)]) -> Self {
        let manifest = Manifest::from_files([("hello.txt", HELLO)]).unwrap();
        let parse = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        Self {
            calls: Arc::default(),
            layer: StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap(),
            lines: lines.iter().map(parse).collect(),
        }
    }

    /// The answer, and how often the inner service was called for it.
    async fn ask(&self, method: &str, lines: &[(&str, &str)]) -> (Answer, usize) {
        let before = self.calls.load(Ordering::Relaxed);
        let service = service_fn(|_: Request<Body>| {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let mut response = Response::new(Body::from(HELLO));
            *response.headers_mut() = self.lines.clone();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let url = self.layer.prefix().url("hello.txt");
        let answer = ask(self.layer.layer(service), request(method, &url, lines)).await;
        (answer, self.calls.load(Ordering::Relaxed) - before)
    }
}

#[tokio::test]
async fn a_304_comes_from_memory_once_its_fields_are_known() {
    let tag = etag_of(HELLO);
    let inner = Inner::new(&[
        ("vary", "accept-encoding"),
        ("content-location", "/hello"),
        ("cache-control", "public, max-age=60"),
        ("x-powered-by", "nobody"),
    ]);
    let (first, calls) = inner.ask("GET", &[("if-none-match", &tag)]).await;
    assert_eq!((first.status.as_u16(), calls), (304, 1), "nothing is known yet");
    for (name, method, lines) in [
        ("the tag", "GET", &[("if-none-match", &*tag)][..]),
        ("HEAD", "HEAD", &[("if-none-match", &*tag)]),
        ("weakened by a compressor", "GET", &[("if-none-match", &*format!("W/{tag}"))]),
        ("in a list", "GET", &[("if-none-match", &*format!("\"x\", {tag}"))]),
        ("on a second line", "GET", &[("if-none-match", "\"x\""), ("if-none-match", &*tag)]),
        (
            "beside If-Modified-Since",
            "GET",
            &[("if-none-match", &*tag), ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        ),
        ("beside a range", "GET", &[("if-none-match", &*tag), ("range", "bytes=99-")]),
    ] {
        let (answer, calls) = inner.ask(method, lines).await;
        assert_eq!((answer.status.as_u16(), calls), (304, 0), "{name}");
        assert_eq!(answer.field("etag"), tag, "{name}");
        assert_eq!(answer.field("vary"), "accept-encoding", "{name}");
        assert_eq!(answer.field("content-location"), "/hello", "{name}");
        assert_eq!(answer.cache_control(), "public, max-age=60", "{name}");
        assert_eq!((answer.head.headers().len(), answer.body.len()), (4, 0), "{name}");
    }
    for (name, lines, status) in [
        ("no condition", &[][..], 200),
        ("any", &[("if-none-match", "*")], 304),
        ("another tag", &[("if-none-match", "\"x\"")], 200),
        ("If-Match first", &[("if-none-match", &*tag), ("if-match", "\"x\"")], 412),
        (
            "If-Unmodified-Since first",
            &[("if-none-match", &*tag), ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            304,
        ),
    ] {
        let (answer, calls) = inner.ask("GET", lines).await;
        assert_eq!((answer.status.as_u16(), calls), (status, 1), "{name}");
    }
}

#[tokio::test]
async fn a_304_from_memory_is_private_to_the_authorized() {
    let inner = Inner::new(&[]);
    inner.ask("GET", &[]).await;
    let tag = etag_of(HELLO);
    let everybody = [("if-none-match", &*tag)];
    let authorized = [("if-none-match", &*tag), ("authorization", "Basic eA==")];
    for (name, lines, expected) in [
        ("first", &authorized[..], "private, max-age=31536000, immutable"),
        ("everybody", &everybody, "public, max-age=31536000, immutable"),
        ("after everybody", &authorized, "private, max-age=31536000, immutable"),
        ("everybody again", &everybody, "public, max-age=31536000, immutable"),
    ] {
        let (answer, calls) = inner.ask("GET", lines).await;
        assert_eq!((answer.status.as_u16(), calls), (304, 0), "{name}");
        assert_eq!(answer.cache_control(), expected, "{name}");
    }
}

#[tokio::test]
async fn who_answers_one_client_alone_is_always_asked() {
    for lines in [
        [("set-cookie", "a=b")],
        [("cache-control", "private")],
        [("cache-control", "no-store")],
        [("vary", "*")],
        [("expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
    ] {
        let inner = Inner::new(&lines);
        for _ in 0..3 {
            let (_, calls) = inner.ask("GET", &[("if-none-match", &etag_of(HELLO))]).await;
            assert_eq!(calls, 1, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn what_a_browser_is_told_to_ask_for_is_asked_for() {
    let site = Site::with(|builder| builder.max_age(Duration::ZERO));
    let url = site.url("v/hello.txt");
    let again =
        async || site.send(request("GET", &url, &[("if-none-match", &etag_of(HELLO))])).await;
    site.get("v/hello.txt").await;
    assert_eq!(
        (again().await.status.as_u16(), again().await.cache_control()),
        (304, "no-cache".into())
    );
    fs::write(site.root.path().join("hello.txt"), "an edit").unwrap();
    assert_eq!((again().await.status.as_u16(), &*again().await.body), (200, &b"an edit"[..]));
}

#[tokio::test]
async fn a_file_known_to_have_changed_is_not_answered_from_memory() {
    let site = Site::new();
    let url = site.url("v/hello.txt");
    site.get("v/hello.txt").await;
    fs::write(site.root.path().join("hello.txt"), "an edit").unwrap();
    site.get("v/hello.txt").await;
    let again = site.send(request("GET", &url, &[("if-none-match", &etag_of(HELLO))])).await;
    assert_eq!((again.status.as_u16(), again.cache_control()), (200, "no-cache".into()));
}

#[tokio::test]
async fn the_304_from_memory_is_the_304_of_serve_dir() {
    let site = Site::new();
    for (path, coding) in
        [("v/hello.txt", ""), ("v/css/app.css", "gzip"), ("v/css/app.css", "identity")]
    {
        let url = site.url(path);
        let whole = site.send(request("GET", &url, &[("accept-encoding", coding)])).await;
        let etag = whole.field("etag");
        let conditional =
            || request("GET", &url, &[("accept-encoding", coding), ("if-none-match", &etag)]);
        let from_memory = site.send(conditional()).await;
        // A disk that has lost the file is not asked.
        let moved = site.root.path().join("moved");
        fs::rename(site.root.path().join(path.trim_start_matches("v/")), &moved).unwrap();
        let blind = site.send(conditional()).await;
        fs::rename(&moved, site.root.path().join(path.trim_start_matches("v/"))).unwrap();
        // A new process has learned nothing yet.
        let fresh = StaticUrlLayer::new("/static", site.root.path()).unwrap();
        let asked = ask(fresh.wrap(site.router()), conditional()).await;
        for answer in [&from_memory, &blind, &asked] {
            assert_eq!(answer.status.as_u16(), 304, "{path} {coding}");
            assert_eq!(answer.head.headers().len(), 3, "{:?}", answer.head.headers());
            for field in ["etag", "cache-control", "vary"] {
                assert_eq!(answer.field(field), whole.field(field), "{path} {coding} {field}");
            }
        }
    }
}

#[tokio::test]
async fn a_tag_of_another_coding_is_good_where_the_client_can_read_it() {
    let site = Site::new();
    let (identity, gzip) = (etag_of("body { color: teal }"), etag_of(gzip(SHEET)));
    let both = format!("{identity}, {gzip}");
    for learned in [false, true] {
        if learned {
            site.get("v/css/app.css").await;
        }
        for (name, accept, tags, status, etag) in [
            ("own", "gzip", &gzip, 304, &gzip),
            ("identity where gzip is preferred", "gzip", &identity, 304, &identity),
            ("gzip where it cannot be read", "identity", &gzip, 200, &identity),
            ("gzip where it is refused", "gzip;q=0", &gzip, 200, &identity),
            ("identity where it is refused", "gzip, identity;q=0", &identity, 200, &gzip),
            ("both, gzip is selected", "gzip", &both, 304, &gzip),
            ("both, identity is selected", "br", &both, 304, &identity),
        ] {
            let lines = [("accept-encoding", accept), ("if-none-match", &**tags)];
            let answer = site.send(request("GET", &site.url("v/css/app.css"), &lines)).await;
            assert_eq!((answer.status.as_u16(), &answer.field("etag")), (status, etag), "{name}");
        }
    }
}

const LONG: &str = "long enough to be compressed, and then some more of it";

#[tokio::test]
async fn compressed_inside_the_layer() {
    let long = LONG.repeat(50);
    let root = tree([("a.txt", &*long)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let router = Router::new()
        .nest_service("/static", ServeDir::new(root.path()))
        .layer(CompressionLayer::new());
    let url = layer.prefix().url("a.txt");
    let send = async |lines: &[(&str, &str)]| {
        ask(layer.wrap(router.clone()), request("GET", &url, lines)).await
    };
    let gzip = ("accept-encoding", "gzip");
    let whole = send(&[gzip]).await;
    let weak = whole.field("etag");
    assert!(weak.starts_with("W/\"") && weak.ends_with("-gzip\""), "{weak}");

    let again = send(&[gzip, ("if-none-match", &weak)]).await;
    assert_eq!(
        (again.status.as_u16(), again.field("vary"), again.cache_control()),
        (304, "accept-encoding".into(), YEAR.into())
    );
    // Compressed bytes need not be the same twice.
    assert_eq!(send(&[gzip, ("if-match", &weak)]).await.status.as_u16(), 412);
    let part = send(&[gzip, ("range", "bytes=0-4"), ("if-range", &weak)]).await;
    assert_eq!((part.status.as_u16(), part.field("content-range")), (200, String::new()));
    // The client can no longer read what it has.
    assert_eq!(
        send(&[("if-none-match", &weak), ("accept-encoding", "br")]).await.status.as_u16(),
        200
    );
}

#[tokio::test]
async fn compressed_outside_the_layer() {
    let long = LONG.repeat(50);
    let root = tree([("a.txt", &*long)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let router = Router::new().nest_service("/static", ServeDir::new(root.path()));
    let service = || CompressionLayer::new().layer(layer.layer(router.clone()));
    let url = layer.prefix().url("a.txt");
    let send = async |lines: &[(&str, &str)]| ask(service(), request("GET", &url, lines)).await;
    let gzip = ("accept-encoding", "gzip");
    let whole = send(&[gzip]).await;
    assert_eq!(whole.field("content-encoding"), "gzip");
    let etag = whole.field("etag");
    // What other compressors make of a tag (nginx weakens it, Apache names the coding).
    let named = format!("{}-gzip\"", etag.trim_end_matches('"'));
    for tag in [etag.clone(), format!("W/{etag}"), named.clone(), format!("W/{named}")] {
        assert_eq!(send(&[gzip, ("if-none-match", &tag)]).await.status.as_u16(), 304, "{tag}");
    }
    let unreadable = send(&[("accept-encoding", "br"), ("if-none-match", &named)]).await;
    assert_eq!(unreadable.status.as_u16(), 200);
}

#[tokio::test]
async fn no_part_of_another_version() {
    let long = "0123456789".repeat(10);
    let root = tree([("a.bin", &*long)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let files = ServeDir::new(root.path());
    let router = Router::new().nest_service("/static", files);
    let url = layer.prefix().url("a.bin");
    let resume = async |validator: &str| {
        let lines = [("range", "bytes=10-19"), ("if-range", validator)];
        ask(layer.wrap(router.clone()), request("GET", &url, &lines)).await
    };
    let part = resume(&etag_of(&long)).await;
    assert_eq!((part.status.as_u16(), part.cache_control()), (206, YEAR.into()));
    let date = httpdate::fmt_http_date(mtime());
    for other in ["\"x\"", &format!("W/{}", etag_of(&long)), &date, "garbage"] {
        assert_eq!(resume(other).await.status.as_u16(), 200, "{other}");
    }

    // The disk has another version now, of the same length: nobody knew before the
    // inner service was asked, and it answers with a part of the wrong file.
    let path = root.path().join("a.bin");
    support::write_at(&path, long.replace('0', "X"), support::later(1));
    let part = resume(&etag_of(&long)).await;
    assert_eq!(
        (part.status.as_u16(), part.cache_control(), part.body.len()),
        (412, "no-store".into(), 0)
    );
    // From then on it is known.
    let whole = resume(&etag_of(&long)).await;
    assert_eq!(
        (whole.status.as_u16(), whole.cache_control(), whole.body.len()),
        (200, "no-cache".into(), 100)
    );
}

#[tokio::test]
async fn a_part_that_cannot_be_had_is_refused_only_once() {
    // `ServeDir` is not told to serve what is compressed with deflate.
    let site = Site::new();
    support::write(site.root.path(), "hello.txt.zz", "deflated");
    let layer = StaticUrlLayer::new("/static", site.root.path()).unwrap();
    let url = layer.prefix().url("hello.txt");
    let resume = async |tag: &str| {
        let lines = [("range", "bytes=0-2"), ("if-range", tag)];
        ask(layer.wrap(site.router()), request("GET", &url, &lines)).await
    };
    let refused = resume(&etag_of("deflated")).await;
    assert_eq!((refused.status.as_u16(), refused.field("etag")), (412, String::new()));
    for _ in 0..2 {
        assert_eq!(resume(&etag_of("deflated")).await.status.as_u16(), 200);
    }
    assert_eq!(
        resume(&etag_of(HELLO)).await.status.as_u16(),
        206,
        "another coding is not concerned"
    );
}

#[tokio::test]
async fn two_lines_of_if_range_are_none() {
    let site = Site::new();
    let tag = etag_of(HELLO);
    let lines = [("range", "bytes=0-2"), ("if-range", &*tag), ("if-range", &*tag)];
    let answer = site.send(request("GET", &site.url("v/hello.txt"), &lines)).await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn what_is_for_one_client_has_no_tag_of_ours() {
    let site = Site::new();
    let cookie = tower_http::set_header::SetResponseHeaderLayer::overriding(
        HeaderName::from_static("set-cookie"),
        HeaderValue::from_static("a=b"),
    );
    let tag = etag_of("body { color: teal }");
    let made_of_it = format!("{}-gzip\"", tag.trim_end_matches('"'));
    for tag in [&tag, &made_of_it] {
        let lines = [("accept-encoding", "gzip"), ("if-none-match", &**tag)];
        let router = site.router().layer(cookie.clone());
        let inner = request("GET", "/static/css/app.css", &[("accept-encoding", "gzip")]);
        let inner = ask(router.clone(), inner).await;
        let answer =
            ask(site.layer.wrap(router), request("GET", &site.url("v/css/app.css"), &lines)).await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.field("etag"), inner.field("etag"));
        assert!(!is_digest(&answer.field("etag")), "{}", answer.field("etag"));
    }
}

#[tokio::test]
async fn unlisted_bytes_compressed_on_the_way_have_a_weak_tag() {
    let site = Site::new();
    let long = LONG.repeat(50);
    support::write(site.root.path(), "unlisted.txt", &long);
    let router = site.router().layer(CompressionLayer::new());
    let send = async |lines: &[(&str, &str)]| {
        ask(site.layer.wrap(router.clone()), request("GET", &site.url("v/unlisted.txt"), lines))
            .await
    };
    let (plain, gzip) = (send(&[]).await, send(&[("accept-encoding", "gzip")]).await);
    assert_eq!(gzip.field("content-encoding"), "gzip");
    assert_eq!(gzip.field("etag"), format!("W/{}", plain.field("etag")));
    let again = [("accept-encoding", "gzip"), ("if-none-match", &*gzip.field("etag"))];
    assert_eq!(send(&again).await.status.as_u16(), 304);
}

#[tokio::test]
async fn a_changed_file_is_judged_by_the_inner_services_validators() {
    let site = Site::new();
    fs::write(site.root.path().join("hello.txt"), "changed on disk").unwrap();
    let url = site.url("v/hello.txt");
    let now = site.get("v/hello.txt").await;
    let (etag, date) = (now.field("etag"), now.field("last-modified"));
    for (lines, status) in [
        (("if-none-match", &*etag), 304),
        (("if-none-match", &*etag_of(HELLO)), 200),
        (("if-match", &*etag), 200),
        (("if-match", &*etag_of(HELLO)), 412),
        (("if-modified-since", &*date), 304),
    ] {
        let answer = site.send(request("GET", &url, &[lines])).await;
        assert_eq!(answer.status.as_u16(), status, "{lines:?}");
        let cache_control = if status == 412 { "no-store" } else { "no-cache" };
        assert_eq!(answer.cache_control(), cache_control, "{lines:?}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let site = Site::new();
    for (path, lines) in [
        ("v/hello.txt", &[][..]),
        ("v/css/app.css", &[("accept-encoding", "gzip")]),
        ("stale/hello.txt", &[]),
        ("hello.txt", &[]),
        ("v/docs", &[]),
        ("v/docs/", &[]),
        ("v/missing", &[]),
        ("v/hello.txt", &[("if-none-match", "*")]),
        ("v/hello.txt", &[("if-match", "\"x\"")]),
    ] {
        let get = site.send(request("GET", &site.url(path), lines)).await;
        let head = site.send(request("HEAD", &site.url(path), lines)).await;
        assert_eq!(head.status, get.status, "{path} {lines:?}");
        assert_eq!(head.head.headers(), get.head.headers(), "{path} {lines:?}");
        assert!(head.body.is_empty());
    }
    // A service that leaves the body of a HEAD to the server.
    let (head, _) = Inner::new(&[]).ask("HEAD", &[]).await;
    assert_eq!((head.cache_control(), head.field("etag")), (YEAR.into(), etag_of(HELLO)));
    // §14.2: a range means nothing to HEAD.
    let head =
        site.send(request("HEAD", &site.url("v/hello.txt"), &[("range", "bytes=0-4")])).await;
    assert_eq!((head.status.as_u16(), head.field("content-length")), (200, "11".into()));
}

// What nobody has a validator for

/// A body of some frames, that says it has `hint` bytes.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
    hint: Option<u64>,
    polled: Arc<AtomicUsize>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        // Every other poll is pending, as of a slow source.
        if self.polled.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        self.hint.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::trailers(HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())])))
}

/// A response with the frames given, seen through a layer that lists another file;
/// and how often its body was polled before it was answered.
async fn unlisted(
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    hint: Option<u64>,
    lines: &[(&str, &str)],
    limit: Option<u64>,
) -> (Response<ResponseBody<Frames>>, usize) {
    let manifest = Manifest::from_files([("other.txt", "")]).unwrap();
    let mut builder = StaticUrlLayer::builder("/static").manifest(manifest);
    if let Some(limit) = limit {
        builder = builder.body_digest_limit(limit);
    }
    let layer = builder.build().unwrap();
    let polled = Arc::new(AtomicUsize::new(0));
    let body = Frames { frames: frames.into(), hint, polled: Arc::clone(&polled) };
    let body = std::sync::Mutex::new(Some(body));
    let inner = service_fn(|_: Request<Body>| {
        let body = body.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let response = layer.layer(inner).oneshot(request("GET", "/static/a", lines)).await.unwrap();
    let polled = polled.load(Ordering::Relaxed);
    (response, polled)
}

fn field(response: &Response<impl Sized>, name: &str) -> String {
    response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().into())
}

#[tokio::test]
async fn a_body_nobody_has_a_tag_for_gets_its_digest() {
    let frames = || vec![data("hello"), data(" "), data("world"), trailers()];
    let (response, _) = unlisted(frames(), Some(11), &[], None).await;
    assert_eq!(
        (field(&response, "etag"), field(&response, "cache-control")),
        (etag_of(HELLO), "no-cache".into())
    );
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(11));
    assert!(!http_body::Body::is_end_stream(response.body()));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x"], "y");
    assert_eq!(collected.to_bytes(), HELLO);

    for (lines, status) in [
        (("if-none-match", &*etag_of(HELLO)), 304),
        (("if-none-match", "\"x\""), 200),
        (("if-match", &*etag_of(HELLO)), 200),
        (("if-match", "\"x\""), 412),
    ] {
        let (response, _) = unlisted(frames(), Some(11), &[lines], None).await;
        assert_eq!(response.status().as_u16(), status, "{lines:?}");
        let cache_control = if status == 412 { "no-store" } else { "no-cache" };
        assert_eq!(field(&response, "cache-control"), cache_control);
        let is_empty = http_body::Body::is_end_stream(response.body());
        assert_eq!(is_empty, status != 200, "{lines:?}");
    }
}

#[tokio::test]
async fn what_is_not_digested_streams_untouched() {
    for (name, hint, limit) in [
        ("no known size", None, None),
        ("larger than the limit", Some(11), Some(10)),
        ("turned off", Some(11), Some(0)),
        ("larger than the default limit", Some(1024 * 1024 + 1), None),
    ] {
        let (response, polled) =
            unlisted(vec![data("hello"), data(" world")], hint, &[], limit).await;
        assert_eq!((field(&response, "etag"), polled), (String::new(), 0), "{name}");
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), hint, "{name}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), HELLO, "{name}");
    }
    let (response, _) = unlisted(vec![data("hello world")], Some(11), &[], Some(11)).await;
    assert_eq!(field(&response, "etag"), etag_of(HELLO), "exactly the limit");
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_at_once() {
    let layer = Inner::new(&[]).layer;
    let endless = service_fn(|_: Request<Body>| async {
        let frames = std::iter::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"x")));
        let stream = Body::from_stream(tokio_stream(frames));
        Ok::<_, Infallible>(Response::new(stream))
    });
    let response =
        layer.layer(endless).oneshot(request("GET", "/static/events", &[])).await.unwrap();
    assert_eq!(field(&response, "etag"), "");
    let mut body = response.into_body();
    for _ in 0..1000 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    }
}

/// A stream of an iterator, which is always ready.
fn tokio_stream<T>(items: impl Iterator<Item = T> + Unpin) -> impl futures_core::Stream<Item = T> {
    struct Iter<I>(I);
    impl<I: Iterator + Unpin> futures_core::Stream for Iter<I> {
        type Item = I::Item;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
            Poll::Ready(self.0.next())
        }
    }
    Iter(items)
}

#[tokio::test]
async fn an_error_stays_an_error() {
    let (response, _) =
        unlisted(vec![data("hello"), Err("broken"), data("never")], Some(11), &[], None).await;
    assert_eq!((response.status().as_u16(), field(&response, "etag")), (200, String::new()));
    assert_eq!(field(&response, "cache-control"), "no-cache");
    let mut body = std::pin::pin!(response.into_body());
    let hint = http_body::Body::size_hint(&*body);
    assert_eq!((hint.lower(), hint.upper()), (5, None), "more was to come");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(!http_body::Body::is_end_stream(&*body), "the error is still to come");
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_lies_about_its_length_passes_as_it_is() {
    for (name, hint) in [("longer", 5), ("shorter", 20)] {
        let (response, _) =
            unlisted(vec![data("hello"), data(" world"), trailers()], Some(hint), &[], None).await;
        assert_eq!(field(&response, "etag"), "", "{name}");
        let collected = response.into_body().collect().await.unwrap();
        assert!(collected.trailers().is_some(), "{name}");
        assert_eq!(collected.to_bytes(), HELLO, "{name}");
    }
}

#[tokio::test]
async fn a_request_given_up_while_its_body_is_read_drops_it() {
    struct Stuck(#[expect(dead_code, reason = "dropped with the body")] Arc<()>);
    impl http_body::Body for Stuck {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(5)
        }
    }
    let alive = Arc::new(());
    let inner = service_fn(|_: Request<Body>| {
        let body = Stuck(Arc::clone(&alive));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let response = Inner::new(&[]).layer.layer(inner).oneshot(request("GET", "/static/a", &[]));
    let mut response = tokio_test_task(response);
    assert!(response.poll().is_pending());
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(response);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A future that is polled by hand.
fn tokio_test_task<F: Future>(future: F) -> ByHand<F> {
    ByHand(Box::pin(future))
}

struct ByHand<F>(Pin<Box<F>>);

impl<F: Future> ByHand<F> {
    fn poll(&mut self) -> Poll<F::Output> {
        self.0.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
    }
}

#[tokio::test]
async fn a_digest_never_yields_a_splice() {
    // The inner service has no validators, and answers `Range` whatever `If-Range` says.
    let layer = Inner::new(&[]).layer;
    let asked = Arc::new(std::sync::Mutex::new(HeaderMap::new()));
    let inner = service_fn(|request: Request<Body>| {
        *asked.lock().unwrap() = request.headers().clone();
        let is_part = request.headers().contains_key("range");
        let mut response = Response::new(Body::from(if is_part { "wor" } else { HELLO }));
        if is_part {
            *response.status_mut() = axum::http::StatusCode::PARTIAL_CONTENT;
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    for (validator, status) in
        [(&*etag_of(HELLO), 200), (&*etag_of("old"), 200), ("\"its own\"", 206)]
    {
        let lines = [("range", "bytes=6-8"), ("if-range", validator)];
        let answer = ask(layer.layer(inner), request("GET", "/static/a", &lines)).await;
        assert_eq!(answer.status.as_u16(), status, "{validator}");
        assert_eq!(asked.lock().unwrap().contains_key("if-range"), status == 206);
    }
}
