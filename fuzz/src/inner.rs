//! The service behind the layer. It answers in many ways, and never says of its bytes
//! what is not so.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::{Frame, SizeHint};

use crate::{
    script::Answer,
    site::{CSS, CSS_GZ, asked_for, served},
};

pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

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

/// One content in one coding.
struct Selected {
    bytes: Vec<u8>,
    coding: Option<&'static str>,
    etag: String,
    is_sized: bool,
}

impl Selected {
    fn of(request: &Request<()>, base: &str, answer: &Answer) -> Option<Self> {
        let path = asked_for(request.uri().path(), base)?;
        let content = served(&path)?;
        let is_sized = !answer.says("unsized");
        if path == CSS.0 && accepts_gzip(request.headers()) {
            let (bytes, etag) = (CSS_GZ.1.into(), own_etag(CSS_GZ.1, answer));
            return Some(Self { bytes, coding: Some("gzip"), etag, is_sized });
        }
        let content =
            if answer.says("changed") { format!("{content}, changed") } else { content.into() };
        let etag = own_etag(&content, answer);
        Some(match answer.says("gzip") && accepts_gzip(request.headers()) {
            // As a compressing middleware does: the tag is still the plain form's.
            true => {
                Self { bytes: compressed(&content), coding: Some("gzip"), etag, is_sized: false }
            }
            false => Self { bytes: content.into(), coding: None, etag, is_sized },
        })
    }
}

/// What stands for a content that is compressed on the way.
pub(crate) fn compressed(content: &str) -> Vec<u8> {
    format!("compressed({content})").into()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    members.any(|member| member.trim_ascii() == b"gzip")
}

fn own_etag(content: &str, answer: &Answer) -> String {
    let weak = if answer.says("weak") { "W/" } else { "" };
    let digest = crate::site::etag_of(format!("inner {content}"));
    format!("{weak}{digest}")
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
    if *request.method() == Method::HEAD || response.status() == 304 || response.status() == 204 {
        *response.body_mut() = Content::new("", true);
    }
    response
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
        206 => say(header::CONTENT_RANGE, format!("bytes {}-{}/{all}", range.start, range.end - 1)),
        416 => say(header::CONTENT_RANGE, format!("bytes */{all}")),
        _ => {}
    }
    let is_sized = selected.is_sized || status != 200;
    if is_sized {
        say(header::CONTENT_LENGTH, range.len().to_string());
    }
    if let Some(coding) = selected.coding.filter(|_| status != 416) {
        say(header::CONTENT_ENCODING, coding.into());
    }
    if answer.says("etag") && status != 416 {
        say(header::ETAG, selected.etag);
    }
    if answer.says("date") {
        say(header::LAST_MODIFIED, DATE.into());
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
        answer.says("etag") && !answer.says("weak") && tag.as_bytes() == selected.etag.as_bytes()
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
