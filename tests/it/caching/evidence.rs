//! Is it the listed file? What a response shows of that, in every combination; and what was
//! learned from an earlier one.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer};

use super::{embedded, listing};
use crate::support::{
    Answer, HELLO, Warnings, YEAR, ask, etag_of, get, later, mtime, request, set_modified, tree,
};

// ---------------------------------------------------------------------------------
// Every combination

/// What one property of a response shows of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    Agrees,
    Disagrees,
    Absent,
}

use Evidence::{Absent, Agrees, Disagrees};

const ALL: [Evidence; 3] = [Agrees, Disagrees, Absent];

/// The inner service's own tag, and what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    None,
    /// Nothing is known of it.
    Foreign,
    /// That of a response that was as scanned, and another one after such a response.
    Learned,
    OtherThanLearned,
    /// As `ServeDir` makes them, of the time that was scanned and of another within its second.
    OfServeDir,
    OfServeDirLater,
}

const TAGS: [Tag; 6] = [
    Tag::None,
    Tag::Foreign,
    Tag::Learned,
    Tag::OtherThanLearned,
    Tag::OfServeDir,
    Tag::OfServeDirLater,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    /// As it lies beside the file, and is listed.
    Sibling,
    /// On the way, and so of no known length.
    Gzip,
    /// The same, measured afterwards: nothing is listed in that coding.
    MeasuredGzip,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    status: u16,
    coding: Coding,
    length: Evidence,
    date: Evidence,
    tag: Tag,
}

/// What the response turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Match {
    Verified,
    Mismatch,
    Unproven,
}

const ZIPPED: &str = "zipped";

/// One file, modified between two seconds, as files are; and its sibling, if it has one.
fn scanned_with(sibling: Option<&'static str>) -> (TempDir, StaticUrlLayer) {
    let sibling = sibling.map(|content| ("hello.txt.br", content));
    let files = [("hello.txt", HELLO)].into_iter().chain(sibling).collect::<Vec<_>>();
    let root = tree(files.iter().copied());
    for (path, _) in files {
        set_modified(&root.path().join(path), mtime() + Duration::from_nanos(5));
    }
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    (root, layer)
}

fn scanned() -> (TempDir, StaticUrlLayer) {
    scanned_with(None)
}

/// As `ServeDir` spells time and length.
fn of_serve_dir(nanos: u32, length: usize) -> String {
    let seconds = mtime().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("\"{seconds:x}.{nanos:08x}-{length:x}\"")
}

impl Tag {
    fn line(self, listed: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Foreign | Self::Learned => Some("\"own\"".into()),
            Self::OtherThanLearned => Some("\"new\"".into()),
            Self::OfServeDir => Some(of_serve_dir(5, listed.len())),
            Self::OfServeDirLater => Some(of_serve_dir(6, listed.len())),
        }
    }

    /// Without times, nothing is learned, and nothing can be spelled.
    fn shows(self, has_times: bool) -> Evidence {
        match self {
            Self::None | Self::Foreign => Absent,
            _ if !has_times => Absent,
            Self::Learned | Self::OfServeDir => Agrees,
            Self::OtherThanLearned | Self::OfServeDirLater => Disagrees,
        }
    }

    fn is_after_another(self) -> bool {
        [Self::Learned, Self::OtherThanLearned].contains(&self)
    }
}

impl Sent {
    /// The content that is listed in its coding.
    fn listed(self) -> &'static str {
        if self.coding == Coding::Sibling { ZIPPED } else { HELLO }
    }

    /// A response that shows all this, without a word of the layer's.
    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        match self.date {
            Agrees => response = response.header("last-modified", date(0)),
            Disagrees => response = response.header("last-modified", date(1)),
            Absent => {}
        }
        if let Some(tag) = self.tag.line(self.listed()) {
            response = response.header("etag", tag);
        }
        match self.coding {
            Coding::Identity => {}
            Coding::Sibling => response = response.header("content-encoding", "br"),
            Coding::Gzip | Coding::MeasuredGzip => {
                response = response.header("content-encoding", "gzip");
            }
        }
        let length = match (self.coding, self.length) {
            (Coding::Gzip, _) | (_, Absent) => None,
            // It may be as long as the file by chance.
            (Coding::MeasuredGzip, Agrees) => Some(HELLO.len()),
            (Coding::MeasuredGzip, Disagrees) => Some(7),
            (Coding::Identity | Coding::Sibling, Agrees) => Some(self.listed().len()),
            (Coding::Identity | Coding::Sibling, Disagrees) => Some(self.listed().len() + 1),
        };
        if let Some(length) = length {
            match self.status {
                206 => {
                    response = response.header("content-range", format!("bytes 0-4/{length}"));
                }
                416 => response = response.header("content-range", format!("bytes */{length}")),
                _ => response = response.header("content-length", length),
            }
        }
        let has_body = [200, 206].contains(&self.status);
        response.body(if has_body { unsized_body() } else { Body::empty() }).unwrap()
    }

    fn is_measured(self) -> bool {
        // A 304 has no body whose length it could tell.
        self.length != Absent && self.status != 304 && self.coding != Coding::Gzip
    }

    /// The rule, as the contract has it: one piece that disagrees, and the file has changed; a
    /// date alone proves nothing of a body.
    fn expected(self, has_times: bool) -> Match {
        // Nothing can be compared with what was measured after it had been compressed.
        if self.coding == Coding::MeasuredGzip && self.is_measured() {
            return Match::Unproven;
        }
        let length = if self.is_measured() { self.length } else { Absent };
        let date = if has_times { self.date } else { Absent };
        let pieces = [length, date, self.tag.shows(has_times)];
        if pieces.contains(&Disagrees) {
            return Match::Mismatch;
        }
        let [length, date, tag] = pieces.map(|piece| piece == Agrees);
        let is_verified = match self.status {
            304 => length || date || tag,
            206 => length,
            _ => length || tag,
        };
        if is_verified { Match::Verified } else { Match::Unproven }
    }
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(later(seconds))
}

fn unsized_body() -> Body {
    Body::from_stream(Body::from("some bytes").into_data_stream())
}

async fn answered(layer: &StaticUrlLayer, request: Request<Body>, sent: Sent) -> Answer {
    let inner = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(sent.response()) });
    ask(layer.layer(inner), request).await
}

#[tokio::test]
async fn every_combination() {
    use Coding::{Gzip, Identity, MeasuredGzip, Sibling};
    let mut counts = HashMap::<_, usize>::new();
    for has_times in [true, false] {
        for (length, date) in ALL.iter().flat_map(|&it| ALL.map(|date| (it, date))) {
            for (status, tag) in [200, 206, 304].iter().flat_map(|&it| TAGS.map(|tag| (it, tag))) {
                for coding in [Identity, Sibling, Gzip, MeasuredGzip] {
                    let sent = Sent { status, coding, length, date, tag };
                    // Only by its length it is known to be the sibling.
                    if coding == Sibling && !sent.is_measured() {
                        continue;
                    }
                    assert_is_judged(has_times, sent).await;
                    *counts.entry(sent.expected(has_times)).or_default() += 1;
                }
            }
        }
    }
    assert!(counts.len() == 3 && counts.values().all(|&count| count > 100), "{counts:?}");
}

async fn assert_is_judged(has_times: bool, sent: Sent) {
    let name = format!("{sent:?}, with times: {has_times}");
    let sibling = (sent.coding == Coding::Sibling).then_some(ZIPPED);
    let (_root, layer) = if has_times {
        let (root, layer) = scanned_with(sibling);
        (Some(root), layer)
    } else {
        let sibling = sibling.map(|content| ("hello.txt.br", content));
        let files = [("hello.txt", HELLO)].into_iter().chain(sibling);
        let manifest = Manifest::from_files(files).unwrap();
        (None, StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap())
    };
    let url = layer.prefix().url("hello.txt");
    if sent.tag.is_after_another() {
        // Each coding has a tag of its own; what is compressed on the way has the file's.
        let coding = if sibling.is_some() { Coding::Sibling } else { Coding::Identity };
        let whole = Sent { status: 200, coding, length: Agrees, ..sent };
        answered(&layer, get(&url), Sent { date: Agrees, tag: Tag::Learned, ..whole }).await;
    }
    let warnings = Warnings::capture();
    let lines = [("range", "bytes=0-4")];
    let lines = if sent.status == 206 { &lines[..] } else { &[] };
    let answer = answered(&layer, request("GET", &url, lines), sent).await;
    assert_eq!(answer.status.as_u16(), sent.status, "{name}");
    let matching = sent.expected(has_times);
    let etag = match (matching, sent.coding) {
        (Match::Mismatch | Match::Unproven, _) => own_tag(sent),
        (Match::Verified, Coding::Identity | Coding::Sibling) => etag_of(sent.listed()),
        (Match::Verified, Coding::Gzip | Coding::MeasuredGzip) => tag_on_the_way(),
    };
    let cache_control = if matching == Match::Verified { YEAR } else { "no-cache" };
    assert_eq!((&*answer.cache_control(), answer.field("etag")), (cache_control, etag), "{name}");
    let has_warned = warnings.lines().iter().any(|line| line.contains("has changed"));
    assert_eq!(has_warned, matching == Match::Mismatch, "{name}: {:?}", warnings.lines());
}

fn tag_on_the_way() -> String {
    format!("W/{}-gzip\"", etag_of(HELLO).trim_end_matches('"'))
}

/// The inner service's own, which is weak where somebody has compressed the bytes.
fn own_tag(sent: Sent) -> String {
    let own = sent.tag.line(sent.listed()).unwrap_or_default();
    let is_weak = sent.coding != Coding::Identity && !sent.is_measured() && !own.is_empty();
    if is_weak { format!("W/{own}") } else { own }
}

/// A 416 is kept by nobody; but its tag is the file's only if the file is what it is about.
#[tokio::test]
async fn every_unsatisfied_range() {
    let combinations = ALL.iter().flat_map(|&it| ALL.map(|date| (it, date)));
    let combinations = combinations.flat_map(|it| TAGS.map(|tag| (it, tag)));
    for ((length, date), tag) in combinations {
        let sent = Sent { status: 416, coding: Coding::Identity, length, date, tag };
        let (_root, layer) = scanned();
        let url = layer.prefix().url("hello.txt");
        if sent.tag.is_after_another() {
            let whole =
                Sent { status: 200, length: Agrees, date: Agrees, tag: Tag::Learned, ..sent };
            answered(&layer, get(&url), whole).await;
        }
        let request = request("GET", &url, &[("range", "bytes=99-")]);
        let answer = answered(&layer, request, sent).await;
        let is_verified = sent.expected(true) == Match::Verified;
        let expected = if is_verified { etag_of(HELLO) } else { own_tag(sent) };
        assert_eq!(
            (&*answer.cache_control(), answer.field("etag")),
            ("no-store", expected),
            "{sent:?}"
        );
    }
}

// ---------------------------------------------------------------------------------
// What is learned

/// The inner service's tag is known once it was on a response of which length and date were
/// right, and only then.
#[tokio::test]
async fn a_tag_is_learned_from_length_and_date_together() {
    let right = Sent {
        status: 200,
        coding: Coding::Identity,
        length: Agrees,
        date: Agrees,
        tag: Tag::Learned,
    };
    let part = Sent { status: 206, ..right };
    let compressed = Sent { coding: Coding::Gzip, length: Absent, date: Absent, ..right };
    for (name, before, lines, is_learned) in [
        ("whole", right, &[][..], true),
        ("part", part, &[("range", "bytes=0-4")], true),
        ("no date", Sent { date: Absent, ..right }, &[], false),
        ("no length", Sent { length: Absent, ..right }, &[], false),
        ("another date", Sent { date: Disagrees, ..right }, &[], false),
        ("another length", Sent { length: Disagrees, ..right }, &[], false),
        ("no body", Sent { status: 304, ..right }, &[], false),
        ("a part that nobody asked for", part, &[], false),
        ("an unsatisfied range", Sent { status: 416, ..right }, &[("range", "bytes=99-")], false),
        ("compressed", Sent { date: Agrees, ..compressed }, &[], false),
    ] {
        let (_root, layer) = scanned();
        let url = layer.prefix().url("hello.txt");
        answered(&layer, request("GET", &url, lines), before).await;
        let answer = answered(&layer, get(&url), compressed).await;
        let expected = if is_learned { tag_on_the_way() } else { "W/\"own\"".into() };
        let cache_control = if is_learned { YEAR } else { "no-cache" };
        assert_eq!(
            (&*answer.cache_control(), answer.field("etag")),
            (cache_control, expected),
            "{name}"
        );
        // What was not learned contradicts nothing.
        let other = answered(&layer, get(&url), Sent { tag: Tag::OtherThanLearned, ..right }).await;
        let cache_control = if is_learned { "no-cache" } else { YEAR };
        assert_eq!(other.cache_control(), cache_control, "{name}");
    }
}

/// Who compresses on the way may make the tag weak, or not; plain bytes have it as it was.
#[tokio::test]
async fn a_learned_tag_is_known_again_behind_a_compressor() {
    for (name, line, coding, is_known) in [
        ("as it was", "\"own\"", Some("gzip"), true),
        ("weak", "W/\"own\"", Some("gzip"), true),
        ("another", "\"new\"", Some("gzip"), false),
        ("with the coding's name", "\"own-gzip\"", Some("gzip"), false),
        ("plain", "\"own\"", None, true),
        ("plain and weak", "W/\"own\"", None, false),
    ] {
        let (_root, layer) = scanned();
        let url = layer.prefix().url("hello.txt");
        let send = async |lines: &[(&'static str, &str)], body: fn() -> Body| {
            let inner = service_fn(|_: Request<Body>| {
                let response =
                    lines.iter().fold(Response::builder(), |it, (k, v)| it.header(*k, *v));
                let response = response.body(body()).unwrap();
                async { Ok::<_, Infallible>(response) }
            });
            ask(layer.layer(inner), get(&url)).await
        };
        send(&[("etag", "\"own\""), ("last-modified", &date(0))], || Body::from(HELLO)).await;
        let coding = coding.map(|coding| ("content-encoding", coding));
        let lines = [("etag", line)].into_iter().chain(coding).collect::<Vec<_>>();
        let answer = send(&lines, unsized_body).await;
        let cache_control = if is_known { YEAR } else { "no-cache" };
        assert_eq!(answer.cache_control(), cache_control, "{name}");
    }
}

/// A manifest without times has no date that could agree.
#[tokio::test]
async fn without_times_nothing_is_learned() {
    let layer = embedded();
    let url = layer.prefix().url("hello.txt");
    let plain = Sent {
        status: 200,
        coding: Coding::Identity,
        length: Agrees,
        date: Agrees,
        tag: Tag::Learned,
    };
    let compressed = Sent { coding: Coding::Gzip, length: Absent, ..plain };
    for (sent, cache_control, etag) in [
        (plain, YEAR, etag_of(HELLO)),
        (compressed, "no-cache", "W/\"own\"".into()),
        // Another tag says nothing either.
        (Sent { tag: Tag::OtherThanLearned, ..plain }, YEAR, etag_of(HELLO)),
        (Sent { tag: Tag::OtherThanLearned, ..compressed }, "no-cache", "W/\"new\"".into()),
    ] {
        let answer = answered(&layer, get(&url), sent).await;
        assert_eq!(
            (&*answer.cache_control(), answer.field("etag")),
            (cache_control, etag),
            "{sent:?}"
        );
    }
}

// ---------------------------------------------------------------------------------
// In development, without times

/// Built from bytes, while the inner service reads the disk: as embedded files in a debug build.
fn developing(files: &[(&str, &str)], limit: Option<u64>) -> StaticUrlLayer {
    let manifest = Manifest::from_files(files.iter().copied()).unwrap();
    let builder = StaticUrlLayer::builder("/static").manifest(manifest).development(true);
    match limit {
        Some(limit) => builder.body_digest_limit(limit).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

/// An edit that keeps the length.
const EDITED: &str = "HELLO WORLD";

#[tokio::test]
async fn in_development_the_bytes_themselves_are_compared() {
    const OWN: (&str, &str) = ("etag", "\"own\"");
    const COOKIE: (&str, &str) = ("set-cookie", "a=b");
    const DATE: (&str, &str) = ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT");
    const BR: (&str, &str) = ("content-encoding", "br");
    let (old, new, longer) = (etag_of(HELLO), etag_of(EDITED), etag_of("an edit that is longer"));
    let zipped = etag_of("zipped");
    for (name, fields, body, cache_control, etag, is_changed) in [
        ("the same", &[][..], HELLO, YEAR, &*old, false),
        ("the same, with a tag", &[OWN], HELLO, YEAR, &old, false),
        ("the same, with a date", &[DATE], HELLO, YEAR, &old, false),
        ("another", &[], EDITED, "no-cache", &new, true),
        ("another, with a tag", &[OWN], EDITED, "no-cache", "\"own\"", true),
        ("another, with a date", &[DATE], EDITED, "no-cache", &new, true),
        ("longer", &[], "an edit that is longer", "no-cache", &longer, true),
        ("longer, with a tag", &[OWN], "an edit that is longer", "no-cache", "\"own\"", true),
        ("in a listed coding", &[BR], "zipped", YEAR, &zipped, false),
        ("in that coding, another", &[BR, OWN], "ZIPPED", "no-cache", "\"own\"", true),
        // Nothing is held back of what is for one client.
        ("for one client", &[COOKIE], HELLO, "no-cache", "", false),
        ("another length than it says", &[("content-length", "10")], HELLO, "no-cache", "", true),
    ] {
        for base in ["", "/static/00000000000000aa/", "/static/"] {
            let layer = developing(&[("hello.txt", HELLO), ("hello.txt.br", "zipped")], None);
            let is_current = base.is_empty();
            let base = if is_current { layer.prefix().to_string() } else { base.to_owned() };
            // It adds no word of its own where nothing wrong can be pinned.
            let is_silent = base == "/static/" && fields == [COOKIE];
            let cache_control = match is_current {
                true => cache_control,
                false if is_silent => "",
                false => "no-cache",
            };
            let warnings = Warnings::capture();
            for count in 1..=2 {
                let name = format!("{base} {name}, {count}");
                let url = format!("{base}hello.txt");
                let answer = super::answered(&layer, get(&url), 200, fields, body).await;
                assert_eq!(
                    (answer.status.as_u16(), &*answer.body),
                    (200, body.as_bytes()),
                    "{name}"
                );
                let got = (answer.cache_control(), answer.field("etag"));
                assert_eq!(got, (cache_control.to_owned(), etag.to_owned()), "{name}");
                let expected = if is_changed { count } else { 0 };
                assert_eq!(warnings.lines().len(), expected, "{name}: every WARN is repeated");
            }
        }
    }
}

/// What cannot be hashed proves nothing by its length, and streams as it is.
#[tokio::test]
async fn in_development_nothing_else_will_do() {
    const PART: &[(&str, &str)] = &[("range", "bytes=0-4")];
    const LENGTH: &[(&str, &str)] = &[("content-length", "11")];
    const RANGE: &[(&str, &str)] = &[("content-range", "bytes 0-4/11")];
    let old = etag_of(HELLO);
    for (name, method, lines, status, fields, limit, cache_control, etag) in [
        ("as long as the limit", "GET", &[][..], 200, &[][..], 11, YEAR, &*old),
        ("longer than the limit", "GET", &[], 200, &[], 10, "no-cache", ""),
        ("turned off", "GET", &[], 200, &[], 0, "no-cache", ""),
        ("HEAD", "HEAD", &[], 200, LENGTH, 11, "no-cache", ""),
        ("a part", "GET", PART, 206, RANGE, 11, "no-cache", ""),
        ("no body", "GET", &[], 304, &[], 11, "no-cache", ""),
    ] {
        let layer = developing(&[("hello.txt", HELLO)], Some(limit));
        let request = request(method, &layer.prefix().url("hello.txt"), lines);
        let answer = super::answered(&layer, request, status, fields, HELLO).await;
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, (cache_control.to_owned(), etag.to_owned()), "{name}");
    }
    let layer = developing(&[("hello.txt", HELLO)], None);
    let unsized_one = Sent {
        status: 200,
        coding: Coding::Identity,
        length: Absent,
        date: Agrees,
        tag: Tag::Foreign,
    };
    for coding in [Coding::Identity, Coding::Gzip] {
        let sent = Sent { coding, ..unsized_one };
        let answer = answered(&layer, get(&layer.prefix().url("hello.txt")), sent).await;
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, ("no-cache".to_owned(), own_tag(sent)), "{coding:?}");
    }
    // A body that is shorter than it says has no digest, and one that fails has none.
    for rest in [None, Some("broken")] {
        let inner = service_fn(|_: Request<Body>| async move {
            let body = CutOff { data: Some("hello"), error: rest };
            Ok::<_, Infallible>(Response::new(body))
        });
        let request = get(&layer.prefix().url("hello.txt"));
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert!(!response.headers().contains_key("etag"));
        let body = response.into_body().collect().await.map(|it| it.to_bytes());
        assert_eq!(
            body.map_err(|it| it.to_string()),
            rest.map_or(Ok("hello".into()), |it| Err(it.into()))
        );
    }
}

/// It says that it is as long as the file.
struct CutOff {
    data: Option<&'static str>,
    error: Option<&'static str>,
}

impl http_body::Body for CutOff {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let data = self.data.take().map(|it| Ok(Frame::data(Bytes::from_static(it.as_bytes()))));
        Poll::Ready(data.or_else(|| self.error.take().map(Err)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(HELLO.len() as u64)
    }
}

#[tokio::test]
async fn in_development_conditions_are_evaluated_on_what_is_there_now() {
    let (old, new) = (&*etag_of(HELLO), &*etag_of(EDITED));
    for (name, body, lines, status, etag) in [
        ("unchanged, known", HELLO, ("if-none-match", old), 304, old),
        ("unchanged, unknown", HELLO, ("if-none-match", new), 200, old),
        ("unchanged, matched", HELLO, ("if-match", old), 200, old),
        ("unchanged, not matched", HELLO, ("if-match", new), 412, old),
        ("edited, the old one known", EDITED, ("if-none-match", old), 200, new),
        ("edited, known", EDITED, ("if-none-match", new), 304, new),
        ("edited, the old one matched", EDITED, ("if-match", old), 412, new),
        ("edited, matched", EDITED, ("if-match", new), 200, new),
    ] {
        let layer = developing(&[("hello.txt", HELLO)], None);
        for (url, pinned) in
            [(layer.prefix().url("hello.txt"), YEAR), ("/static/hello.txt".into(), "no-cache")]
        {
            let name = format!("{url} {name}");
            let answer =
                super::answered(&layer, request("GET", &url, &[lines]), 200, &[], body).await;
            assert_eq!((answer.status.as_u16(), &*answer.field("etag")), (status, etag), "{name}");
            let expected = match status {
                412 => "no-store",
                _ if body == HELLO => pinned,
                _ => "no-cache",
            };
            assert_eq!(answer.cache_control(), expected, "{name}");
            assert_eq!(answer.body, if status == 200 { body } else { "" }, "{name}");
        }
    }
}

/// Neither a 304 nor a file comes from memory where only the inner service can tell whether
/// the file has changed; with times, both do as ever.
#[tokio::test]
async fn in_development_the_inner_service_is_asked_every_time() {
    let (root, _) = scanned();
    let json = listing().to_json();
    let builder = || StaticUrlLayer::builder("/static").memory_budget(1 << 20);
    for (name, builder, is_development, asked) in [
        ("from files", builder().manifest(listing()), true, 3),
        ("from JSON", builder().manifest(Manifest::from_json(&json).unwrap()), true, 3),
        ("from files, in production", builder().manifest(listing()), false, 1),
        ("scanned", builder().root(root.path()), true, 1),
    ] {
        for lines in [&[][..], &[("if-none-match", &*etag_of(HELLO))]] {
            let layer = builder.clone().development(is_development).build().unwrap();
            let calls = AtomicUsize::new(0);
            let inner = service_fn(|_: Request<Body>| {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, Infallible>(Response::new(Body::from(HELLO))) }
            });
            for _ in 0..3 {
                let request = request("GET", &layer.prefix().url("hello.txt"), lines);
                let answer = ask(layer.layer(inner), request).await;
                let status = if lines.is_empty() { 200 } else { 304 };
                let got = (answer.status.as_u16(), answer.cache_control(), answer.field("etag"));
                assert_eq!(got, (status, YEAR.into(), etag_of(HELLO)), "{name} {lines:?}");
            }
            assert_eq!(calls.into_inner(), asked, "{name} {lines:?}");
        }
    }
}
