//! The service behind the layer. It answers in many ways, and says of its bytes what is
//! so, unless a line of the answer makes it say something else. Its words:
//!
//! ```text
//! 200 … 599                whatever it sends, with this status
//! changed, swapped         the file was edited a second later; swapped: to the same length
//! instant                  within the same second
//! date, etag, servedir     it has Last-Modified; a tag of the content; one of the time
//! weak                     the tag is weak
//! gzip, measured           compressed on the way; measured: with a length
//! unsized                  it says no length
//! whole, bare              ranges are ignored; bare: parts have no Content-Range
//! ```

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::{Frame, SizeHint};

use crate::{
    script::Answer,
    site::{CSS, CSS_GZ, DRIFTED, MODIFIED, asked_for, dir_etag, etag_of, served},
};

/// What it may be told to say besides: nothing about what is in the body.
const SAYABLE: [&str; 9] = [
    "cache-control",
    "cdn-cache-control",
    "content-location",
    "content-type",
    "expires",
    "location",
    "pragma",
    "set-cookie",
    "vary",
];

/// A body that may hide its length.
#[derive(Debug, Default)]
pub(crate) struct Content {
    bytes: Option<Bytes>,
    is_sized: bool,
}

impl Content {
    pub(crate) fn new(bytes: impl Into<Bytes>, is_sized: bool) -> Self {
        Self { bytes: Some(bytes.into()).filter(|bytes| !bytes.is_empty()), is_sized }
    }
}

impl http_body::Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if self.is_sized { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

/// What a line of the answer says in place of what is so.
const CLAIMABLE: [HeaderName; 5] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
];

impl Answer {
    fn has_etag(&self) -> bool {
        self.says("etag") || self.says("servedir")
    }

    /// Whether all that it says of its bytes is so.
    pub(crate) fn is_honest(&self) -> bool {
        !CLAIMABLE.iter().any(|name| self.lines.contains_key(name))
    }
}

/// One content in one coding.
struct Selected {
    bytes: Vec<u8>,
    coding: Option<&'static str>,
    etag: String,
    modified: Duration,
    is_sized: bool,
}

impl Selected {
    fn of(request: &Request<()>, base: &str, answer: &Answer) -> Option<Self> {
        let path = asked_for(request.uri().path(), base)?;
        let takes_gzip = accepts_gzip(request.headers());
        let is_sibling = path == CSS.0 && takes_gzip;
        let content = if is_sibling { CSS_GZ.1 } else { served(&path)? };
        let (content, edited_at) = edit(content, answer);
        let drifted_at = (path == DRIFTED).then(|| MODIFIED + Duration::from_secs(1));
        let modified = edited_at.or(drifted_at).unwrap_or(MODIFIED);
        let etag = own_etag(&content, modified, answer);
        let is_sized = !answer.says("unsized");
        let coding = Some("gzip").filter(|_| is_sibling);
        let plain = Self { bytes: content, coding, etag, modified, is_sized };
        if is_sibling || !takes_gzip || !answer.says("gzip") {
            return Some(plain);
        }
        // As a compressing middleware does: the tag is still the plain form's.
        let bytes = compressed(&plain.bytes);
        Some(Self { bytes, coding: Some("gzip"), is_sized: answer.says("measured"), ..plain })
    }
}

/// What has become of a content since, and when, if it has been edited.
fn edit(content: &[u8], answer: &Answer) -> (Vec<u8>, Option<Duration>) {
    let edited = match content {
        _ if answer.says("changed") => [content, b", changed"].concat(),
        // Of the same length.
        _ if answer.says("swapped") => b"x".repeat(content.len()),
        _ => return (content.into(), None),
    };
    // Later, or within the same second.
    let later = if answer.says("instant") { 1 } else { 1_000_000_000 };
    (edited, Some(MODIFIED + Duration::from_nanos(later)))
}

/// What stands for a content that is compressed on the way.
pub(crate) fn compressed(content: &[u8]) -> Vec<u8> {
    [b"compressed(", content, b")"].concat()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    members.any(|member| member.trim_ascii() == b"gzip")
}

fn own_etag(content: &[u8], modified: Duration, answer: &Answer) -> String {
    let weak = if answer.says("weak") { "W/" } else { "" };
    let tag = match answer.says("servedir") {
        true => dir_etag(modified, content.len()),
        false => etag_of([b"inner ", content].concat()),
    };
    format!("{weak}{tag}")
}

/// The answer to what arrives behind the layer.
pub(crate) fn respond(request: &Request<()>, base: &str, answer: &Answer) -> Response<Content> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let selected = Selected::of(request, base, answer).filter(|_| is_read);
    let mut response = match selected {
        Some(selected) => send(request, selected, answer),
        None => refuse(if is_read { 404 } else { 405 }),
    };
    if let Some(status) = answer.status() {
        *response.status_mut() = status.try_into().expect("three digits are a status");
    }
    for (name, value) in answer.lines.iter().filter(|(name, _)| SAYABLE.contains(&name.as_str())) {
        response.headers_mut().append(name, value.clone());
    }
    for name in CLAIMABLE.iter().filter(|name| answer.lines.contains_key(*name)) {
        response.headers_mut().remove(name);
        let is_length = *name == header::CONTENT_LENGTH;
        let values = answer.lines.get_all(name).into_iter();
        let values = values.filter(|value| !is_length || is_number(value));
        for value in values.take(if is_length { 1 } else { usize::MAX }) {
            response.headers_mut().append(name, value.clone());
        }
    }
    if *request.method() == Method::HEAD || response.status() == 304 || response.status() == 204 {
        *response.body_mut() = Content::new("", true);
    }
    response
}

/// What is none no server lets through, nor several.
fn is_number(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(u8::is_ascii_digit)
        && value.to_str().is_ok_and(|digits| digits.parse::<u64>().is_ok())
}

fn refuse(status: u16) -> Response<Content> {
    let response = Response::builder().status(status);
    response.body(Content::new("nothing here", true)).expect("it is valid")
}

fn send(request: &Request<()>, selected: Selected, answer: &Answer) -> Response<Content> {
    let all = selected.bytes.len();
    let mut response = Response::new(());
    let range = range(request, &selected, answer);
    let (status, range) = match range {
        None => (200, 0..all),
        Some(range) if range.start < range.end && range.end <= all => (206, range),
        Some(_) => (416, 0..0),
    };
    let headers = response.headers_mut();
    let mut say = |name, value: String| {
        headers.insert(name, HeaderValue::from_str(&value).expect("it is valid"));
    };
    match status {
        _ if answer.says("bare") => {}
        206 => say(header::CONTENT_RANGE, format!("bytes {}-{}/{all}", range.start, range.end - 1)),
        416 => say(header::CONTENT_RANGE, format!("bytes */{all}")),
        _ => {}
    }
    let is_sized = selected.is_sized || status != 200;
    if is_sized {
        say(header::CONTENT_LENGTH, range.len().to_string());
        say(header::ACCEPT_RANGES, "bytes".into());
    }
    if let Some(coding) = selected.coding.filter(|_| status != 416) {
        say(header::CONTENT_ENCODING, coding.into());
    }
    if answer.has_etag() && status != 416 {
        say(header::ETAG, selected.etag);
    }
    if answer.says("date") {
        let modified = SystemTime::UNIX_EPOCH + selected.modified;
        say(header::LAST_MODIFIED, httpdate::fmt_http_date(modified));
    }
    *response.status_mut() = status.try_into().expect("three digits are a status");
    let bytes = Bytes::from(selected.bytes).slice(range);
    response.map(|()| Content::new(bytes, is_sized))
}

/// A range that is heeded; unsatisfiable where it is empty.
fn range(
    request: &Request<()>,
    selected: &Selected,
    answer: &Answer,
) -> Option<std::ops::Range<usize>> {
    let all = selected.bytes.len();
    let headers = request.headers();
    let is_of_this = headers.get(header::IF_RANGE).is_none_or(|tag| {
        answer.has_etag() && !answer.says("weak") && tag.as_bytes() == selected.etag.as_bytes()
    });
    let heeds = *request.method() == Method::GET
        && is_of_this
        && selected.is_sized
        // What it is told to call the whole has to be the whole.
        && answer.status() != Some(200)
        && !answer.says("whole");
    let text = headers.get(header::RANGE).filter(|_| heeds)?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some(match (first, last) {
        ("", length) => all.checked_sub(length.parse().ok()?)?..all,
        (first, "") => first.parse().ok()?..all,
        (first, last) => {
            first.parse().ok()?..last.parse::<usize>().ok()?.saturating_add(1).min(all)
        }
    })
}
