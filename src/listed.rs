//! A listed file while it is served: is this response still the bytes that were
//! scanned? Answered without I/O, from what the response says of itself.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{log, manifest::FileInfo};

/// The suffixes by which a pre-compressed sibling is known, and the content
/// codings they stand for (as tower-http's `ServeDir` has them).
pub(crate) const SIBLINGS: [(&str, &str); 4] =
    [(".gz", "gzip"), (".br", "br"), (".zst", "zstd"), (".zz", "deflate")];

/// A file of the manifest, with its pre-compressed siblings.
#[derive(Debug)]
pub(crate) struct ListedFile {
    path: Box<str>,
    identity: Representation,
    siblings: Box<[(&'static str, Representation)]>,
    warned_changed: AtomicBool,
    warned_missing: AtomicBool,
}

/// One content coding of a file: what a response with it must look like.
#[derive(Debug)]
pub(crate) struct Representation {
    /// Strong, made of the content (RFC 9110 §8.8.3).
    etag: HeaderValue,
    sha256: [u8; 32],
    length: u64,
    /// Seconds since 1970, as `Last-Modified` has them.
    modified: Option<SystemTime>,
    /// The inner service's own tag, once seen on a response that was as scanned.
    inner_etag: OnceLock<HeaderValue>,
}

/// The parts of a response that tell what is in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'r> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'r HeaderMap,
    /// The body's exact length; unknown where the body does not say, and for HEAD.
    pub(crate) body_length: Option<u64>,
}

/// What a response says of a listed file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// These are the listed bytes, in some coding; this is their tag.
    Unchanged { etag: HeaderValue },
    /// Something it says contradicts the manifest.
    Changed,
    /// It says nothing that could be compared.
    Unproven,
}

impl ListedFile {
    pub(crate) fn new(
        path: &str,
        info: &FileInfo,
        sibling: impl Fn(&str) -> Option<FileInfo>,
    ) -> Self {
        let siblings = SIBLINGS.iter().filter_map(|&(suffix, coding)| {
            let info = sibling(&format!("{path}{suffix}"))?;
            Some((coding, Representation::new(&info)))
        });
        Self {
            path: path.into(),
            identity: Representation::new(info),
            siblings: siblings.collect(),
            warned_changed: AtomicBool::new(false),
            warned_missing: AtomicBool::new(false),
        }
    }

    pub(crate) fn sha256(&self) -> &[u8; 32] {
        &self.identity.sha256
    }

    /// Compares a 2xx or 304 with the manifest.
    pub(crate) fn verify(&self, head: ResponseHead<'_>) -> Verdict {
        let verdict = match (content_coding(head.headers), head.length()) {
            (None, _) => self.identity.verify(head),
            // What is compressed on the way has no length beforehand.
            (Some(coding), None) => self.identity.verify_compressed(head, coding),
            (Some(coding), Some(_)) => match self.sibling(coding) {
                Some(sibling) => sibling.verify(head),
                None => Verdict::Changed,
            },
        };
        if verdict == Verdict::Changed {
            self.warn_changed(head);
        }
        verdict
    }

    fn sibling(&self, coding: &[u8]) -> Option<&Representation> {
        let (_, sibling) = self.siblings.iter().find(|(name, _)| name.as_bytes() == coding)?;
        Some(sibling)
    }

    fn warn_changed(&self, head: ResponseHead<'_>) {
        if !self.warned_changed.swap(true, Ordering::Relaxed) {
            log::changed(&self.path, self.identity.length, head);
        }
    }

    /// Says once that the inner service answered 404 for `<base>/<rest>`.
    pub(crate) fn warn_missing(&self, base: &str, rest: &str) {
        if !self.warned_missing.swap(true, Ordering::Relaxed) {
            log::missing(&self.path, &format!("{base}/{rest}"));
        }
    }
}

impl Representation {
    fn new(info: &FileInfo) -> Self {
        let tag = format!("\"{}\"", HEXLOWER.encode(&info.sha256));
        Self {
            etag: HeaderValue::from_maybe_shared(bytes::Bytes::from(tag))
                .expect("hexadecimal digits are visible ASCII"),
            sha256: info.sha256,
            length: info.length,
            modified: info.modified.and_then(whole_seconds),
            inner_etag: OnceLock::new(),
        }
    }

    fn verify(&self, head: ResponseHead<'_>) -> Verdict {
        let has_length = all_agree(head.lengths().map(|length| length == self.length));
        let has_date = self.has_date(head);
        let has_etag = self.has_etag(head);
        match all_agree([has_length, has_date, has_etag].into_iter().flatten()) {
            Some(true) => {
                self.learn_etag(head, has_length);
                Verdict::Unchanged { etag: self.etag.clone() }
            }
            Some(false) => Verdict::Changed,
            None => Verdict::Unproven,
        }
    }

    /// The bytes of this file, compressed by someone on the way: the length tells
    /// nothing, and no two runs need give the same bytes, so the tag is weak.
    fn verify_compressed(&self, head: ResponseHead<'_>, coding: &[u8]) -> Verdict {
        match all_agree([self.has_date(head), self.has_etag(head)].into_iter().flatten()) {
            Some(true) => {
                self.weak_etag(coding).map_or(Verdict::Unproven, |etag| Verdict::Unchanged { etag })
            }
            Some(false) => Verdict::Changed,
            None => Verdict::Unproven,
        }
    }

    /// `W/"<digest>-gzip"`
    fn weak_etag(&self, coding: &[u8]) -> Option<HeaderValue> {
        let strong = self.etag.as_bytes().strip_suffix(b"\"")?;
        let tag = [b"W/", strong, b"-", coding, b"\""].concat();
        HeaderValue::from_maybe_shared(bytes::Bytes::from(tag)).ok()
    }

    fn has_date(&self, head: ResponseHead<'_>) -> Option<bool> {
        let sent = head.headers.get(header::LAST_MODIFIED)?;
        let date = sent.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok());
        self.modified.map(|modified| date == Some(modified))
    }

    fn has_etag(&self, head: ResponseHead<'_>) -> Option<bool> {
        Some(head.headers.get(header::ETAG)? == self.inner_etag.get()?)
    }

    fn learn_etag(&self, head: ResponseHead<'_>, has_length: Option<bool>) {
        if let (Some(true), Some(etag)) = (has_length, head.headers.get(header::ETAG)) {
            self.inner_etag.get_or_init(|| etag.clone());
        }
    }
}

/// `None` without any evidence.
fn all_agree(evidence: impl IntoIterator<Item = bool>) -> Option<bool> {
    evidence.into_iter().reduce(|all, one| all && one)
}

fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs()))
}

/// The coding of a response, if it has exactly one; a list of codings names no
/// representation that is listed, and is compared as what it is, unknown.
fn content_coding(headers: &HeaderMap) -> Option<&[u8]> {
    let coding = headers.get(header::CONTENT_ENCODING)?.as_bytes();
    (!coding.eq_ignore_ascii_case(b"identity")).then_some(coding)
}

impl<'r> ResponseHead<'r> {
    pub(crate) fn length(&self) -> Option<u64> {
        self.lengths().next()
    }

    /// The length of the whole representation, from every place that tells it.
    fn lengths(&self) -> impl Iterator<Item = u64> + use<'r> {
        let parse = |value: &HeaderValue| value.to_str().ok()?.parse::<u64>().ok();
        let number = |name| self.headers.get(name).and_then(parse);
        let found = match self.status {
            StatusCode::NOT_MODIFIED => [None, None],
            StatusCode::PARTIAL_CONTENT => [self.complete_length(), None],
            _ => [number(header::CONTENT_LENGTH), self.body_length],
        };
        found.into_iter().flatten()
    }

    /// `Content-Range: bytes 0-9/1234` (RFC 9110 §14.4)
    fn complete_length(&self) -> Option<u64> {
        let range = self.headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        range.rsplit_once('/')?.1.parse().ok()
    }
}
