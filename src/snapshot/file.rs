//! A listed file while it is served: is this response still the bytes that were
//! scanned? Answered without I/O, from what the response says of itself.

use std::{
    borrow::Cow,
    iter, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, StatusCode, header, uri::PathAndQuery};

use crate::{
    header::content_coding::{AcceptedCodings, ContentCoding, IDENTITY, is_same},
    header::etag::{EntityTag, tags_in},
    header::head::{ResponseFields, Said},
    header::preconditions::parse_date,
    header::{detached, number},
    manifest::FileInfo,
    observe::log,
    snapshot::per_thread::Striped,
    url::path_and_query,
};

/// A listed file that has been asked for, with its pre-compressed siblings.
#[derive(Debug)]
pub(crate) struct ServedFile {
    path: Box<str>,
    /// A URL that spells the path as it is means it, for there is no escape in it.
    is_literal: bool,
    identity: Representation,
    siblings: Box<[(&'static str, Representation)]>,
    /// What the inner service is asked for: below the mount, and where an outer router
    /// has stripped it.
    inner_paths: [Striped<Option<PathAndQuery>>; 2],
    /// What a 304 needs that only the inner service knows.
    learned: OnceLock<Learned>,
    must_ask: AtomicBool,
    has_changed: AtomicBool,
    warned_missing: AtomicBool,
}

/// One content coding of a file: what a response with it must look like.
#[derive(Debug)]
pub(crate) struct Representation {
    /// Strong, made of the content (RFC 9110 §8.8.3).
    etag: HeaderValue,
    /// The same to be sent: its references are counted.
    sent_etag: Striped<HeaderValue>,
    pub(crate) info: FileInfo,
    /// The inner service's own tag, once seen on a response that was as scanned.
    inner_etag: OnceLock<HeaderValue>,
    /// The date of `info` as the inner service spells it, once seen.
    inner_date: OnceLock<HeaderValue>,
    /// The inner service has sent a part of something else when asked for this.
    is_out_of_reach: AtomicBool,
}

/// The fields of a 200 that its 304 repeats.
#[derive(Debug)]
pub(crate) struct Learned {
    lines: Box<[(header::HeaderName, HeaderValue)]>,
    said: Said,
}

/// The parts of a response that tell what is in its body.
#[derive(Debug)]
pub(crate) struct ResponseHead<'r> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'r HeaderMap,
    /// What is in `headers`.
    pub(crate) fields: &'r ResponseFields<'r>,
    /// The body's exact length; unknown where the body does not say, and where a HEAD
    /// has none.
    pub(crate) body_length: Option<u64>,
}

/// What a response says of a listed file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'f> {
    /// These are the listed bytes, in some coding; this is their tag.
    Unchanged { etag: Cow<'f, HeaderValue> },
    /// Something it says contradicts the manifest.
    Changed,
    /// It says nothing that could be compared.
    Unproven,
}

impl ServedFile {
    pub(crate) fn new(
        path: &str,
        info: &FileInfo,
        siblings: Box<[(&'static str, Representation)]>,
    ) -> Self {
        Self {
            path: path.into(),
            is_literal: !path.contains('%'),
            identity: Representation::new(info),
            siblings,
            inner_paths: [const { Striped::new() }; 2],
            learned: OnceLock::new(),
            must_ask: AtomicBool::new(false),
            has_changed: AtomicBool::new(false),
            warned_missing: AtomicBool::new(false),
        }
    }

    /// `<base>/<path>`, for a request that spells the path without an escape. Once it is
    /// made it costs no allocation.
    pub(crate) fn inner_path(&self, nested: bool, base: &str) -> Option<PathAndQuery> {
        let known = &self.inner_paths[usize::from(nested)];
        known.get_or_init(|| path_and_query(base, &self.path, None)).clone()
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// The tag of the file as it is, uncompressed.
    pub(crate) fn etag(&self) -> &HeaderValue {
        self.identity.etag()
    }

    /// What an answer may be coded in: what the request accepts, or, where the file
    /// has nothing of that, anything (§12.5.3 leaves it to the server).
    pub(crate) fn acceptable(&self, accepted: AcceptedCodings) -> AcceptedCodings {
        let has_one = self.representations().any(|(coding, _)| accepted.allow(coding));
        if has_one { accepted } else { AcceptedCodings::ANY }
    }

    /// The lengths of what an answer may be of.
    pub(crate) fn lengths(&self, accepted: AcceptedCodings) -> impl Iterator<Item = u64> + Clone {
        let acceptable = self.representations().filter(move |(coding, _)| accepted.allow(coding));
        acceptable.map(|(_, it)| it.info.length)
    }

    fn representations(&self) -> impl Iterator<Item = (&'static str, &Representation)> + Clone {
        let siblings = self.siblings.iter().map(|(coding, sibling)| (*coding, sibling));
        iter::once((IDENTITY, &self.identity)).chain(siblings)
    }

    /// The representation, and its coding, that is byte for byte what `tag` is of,
    /// if the client can read it, and the inner service is not known to have none.
    pub(crate) fn strongly_named(
        &self,
        tag: &EntityTag<'_>,
        accepted: AcceptedCodings,
    ) -> Option<(&'static str, &Representation)> {
        let named = |it: &Representation| it.tag().strong_eq(tag);
        let found =
            self.representations().find(|&(coding, it)| named(it) && accepted.allow(coding));
        found.filter(|(_, it)| !it.is_out_of_reach.load(Ordering::Relaxed))
    }

    /// Notes that asking for a part of what `etag` names gave a part of something
    /// else.
    pub(crate) fn note_other_part(&self, etag: &HeaderValue) {
        for (_, it) in self.representations().filter(|(_, it)| it.etag == etag) {
            it.is_out_of_reach.store(true, Ordering::Relaxed);
        }
    }

    /// The one representation that the tags in some `lines` name and the client can
    /// read. With more than one of them only the inner service can say which is
    /// selected.
    pub(crate) fn only_named<'t, I>(
        &self,
        lines: I,
        accepts: impl Fn(&str) -> bool,
    ) -> Option<&Representation>
    where
        I: IntoIterator<Item = &'t HeaderValue> + Clone,
    {
        let readable = |(coding, it)| accepts(coding).then_some(it);
        // What a browser sends that got the tag from us.
        let mut own = lines.clone().into_iter();
        if let (Some(line), None) = (own.next(), own.next())
            && let Some(named) = self.representations().find(|(_, it)| it.etag == line)
        {
            return readable(named);
        }
        let mut named = tags_in(lines).filter_map(|tag| {
            readable(self.representations().find(|(_, it)| it.tag().weak_eq(&tag))?)
        });
        let first = named.next()?;
        named.all(|other| ptr::eq(first, other)).then_some(first)
    }

    /// Whether a server on the way has made `tag` of ours while it compressed what
    /// we sent: `"<digest>-gzip"`.
    pub(crate) fn is_source_of(&self, tag: &EntityTag<'_>, accepted: AcceptedCodings) -> bool {
        let own = self.identity.tag();
        let suffix = tag.opaque().strip_prefix(own.opaque());
        let suffix = suffix.and_then(|suffix| suffix.strip_prefix(b"-"));
        let coding = suffix.and_then(|coding| std::str::from_utf8(coding).ok());
        coding.is_some_and(|coding| accepted.allow(coding))
    }

    /// Compares a response with the manifest. Says once, or where it `is_verbose` every
    /// time, that they differ.
    pub(crate) fn verify(&self, head: &ResponseHead<'_>, is_verbose: bool) -> Verdict<'_> {
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return self.verify_unsatisfied(head);
        }
        let verdict = match head.coding() {
            ContentCoding::Identity => self.identity.verify(head),
            ContentCoding::Unknown => Verdict::Unproven,
            // What is compressed on the way has no length beforehand.
            ContentCoding::One(coding) if head.length().is_none() => {
                self.identity.verify_compressed(head, coding)
            }
            ContentCoding::One(coding) => match self.sibling(coding) {
                Some(sibling) => sibling.verify(head),
                // Compressed and then measured, or a sibling made after the scan.
                None => Verdict::Unproven,
            },
        };
        let is_known = || self.has_changed.swap(true, Ordering::Relaxed);
        if verdict == Verdict::Changed && (!is_known() || is_verbose) {
            log::changed(&self.path, &self.identity.info, head);
        }
        verdict
    }

    /// A 416 has the length and the date of a representation, but does not say its
    /// coding.
    fn verify_unsatisfied(&self, head: &ResponseHead<'_>) -> Verdict<'_> {
        let mut verdicts = self.representations().map(|(_, it)| it.verify(head));
        let unchanged = verdicts.find(|verdict| matches!(verdict, Verdict::Unchanged { .. }));
        unchanged.unwrap_or(Verdict::Unproven)
    }

    fn sibling(&self, coding: &str) -> Option<&Representation> {
        let found = self.siblings.iter().find(|(name, _)| is_same(coding.as_bytes(), name));
        found.map(|(_, sibling)| sibling)
    }

    /// What the manifest knows of the file in one coding.
    pub(crate) fn info(&self, coding: &str) -> Option<&FileInfo> {
        self.representation(coding).map(|it| &it.info)
    }

    /// The coding of a response that is as long as what is listed in that coding, by the
    /// name that its listing has. What does not say its length may be anything.
    pub(crate) fn coding(&self, head: &ResponseHead<'_>) -> Option<&'static str> {
        let sent = match head.coding() {
            ContentCoding::Identity => IDENTITY,
            ContentCoding::One(coding) => coding,
            ContentCoding::Unknown => return None,
        };
        let mut known = self.representations();
        let (name, it) = known.find(|(name, _)| is_same(sent.as_bytes(), name))?;
        it.has_length(head).filter(|&has| has).map(|_| name)
    }

    fn representation(&self, coding: &str) -> Option<&Representation> {
        self.representations().find(|&(name, _)| name == coding).map(|(_, it)| it)
    }

    /// Whether the inner service is to be asked every time.
    pub(crate) fn must_ask(&self) -> bool {
        self.must_ask.load(Ordering::Relaxed)
    }

    /// Whether a response has ever contradicted the manifest.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Says once, or every time, that the inner service answered 404 for
    /// `<base>/<path>`.
    pub(crate) fn warn_missing(&self, base: &str, is_verbose: bool) {
        if !self.warned_missing.swap(true, Ordering::Relaxed) || is_verbose {
            log::missing(&self.path, &format!("{base}/{}", self.path));
        }
    }

    /// Notes that a response was for one client or one occasion alone: whoever
    /// answers like that is asked every time.
    pub(crate) fn note(&self, fields: &ResponseFields<'_>) {
        if fields.said.personal || fields.expires {
            self.must_ask.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps what a later 304 must repeat of this 200, which was as scanned.
    pub(crate) fn learn(&self, head: &ResponseHead<'_>) {
        self.learned.get_or_init(|| Learned::of(head));
    }

    /// What a 304 can be made of without asking the inner service.
    pub(crate) fn learned(&self) -> Option<&Learned> {
        self.learned.get().filter(|_| !self.must_ask())
    }
}

impl Learned {
    fn of(head: &ResponseHead<'_>) -> Self {
        let repeated = [header::VARY, header::CONTENT_LOCATION, header::CACHE_CONTROL];
        let lines = repeated.into_iter().flat_map(|name| {
            let lines = head.headers.get_all(&name).iter().map(detached);
            lines.map(|line| (name.clone(), line)).collect::<Vec<_>>()
        });
        Self { lines: lines.collect(), said: head.fields.said }
    }

    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        for (name, line) in &self.lines {
            headers.append(name.clone(), line.clone());
        }
    }

    /// What `write_to` writes of who may keep the response.
    pub(crate) fn said(&self) -> Said {
        self.said
    }
}

impl Representation {
    pub(crate) fn new(info: &FileInfo) -> Self {
        Self {
            etag: strong_etag(&info.sha256),
            sent_etag: Striped::new(),
            info: info.clone(),
            inner_etag: OnceLock::new(),
            inner_date: OnceLock::new(),
            is_out_of_reach: AtomicBool::new(false),
        }
    }

    /// The tag, to be sent.
    pub(crate) fn etag(&self) -> &HeaderValue {
        self.sent_etag.get_or_init(|| detached(&self.etag))
    }

    fn tag(&self) -> EntityTag<'_> {
        EntityTag::strong(&self.etag)
    }

    fn verify(&self, head: &ResponseHead<'_>) -> Verdict<'_> {
        let has_length = self.has_length(head);
        let (has_date, has_etag) = (self.has_date(head), self.has_etag(head));
        // Who rewrites a body on its way takes its length away and leaves its date, which
        // alone so proves nothing of a body.
        let is_proof = has_length.or(has_etag).is_some() || head.status == StatusCode::NOT_MODIFIED;
        match both(has_length, both(has_date, has_etag)) {
            Some(true) if is_proof => {
                self.learn_etag(head, has_length);
                Verdict::Unchanged { etag: Cow::Borrowed(self.etag()) }
            }
            Some(false) => Verdict::Changed,
            Some(true) | None => Verdict::Unproven,
        }
    }

    /// The bytes of this file, compressed by someone on the way: the length tells
    /// nothing, and no two runs need give the same bytes, so the tag is weak.
    fn verify_compressed(&self, head: &ResponseHead<'_>, coding: &str) -> Verdict<'_> {
        match both(self.has_date(head), self.has_etag(head)) {
            Some(true) => {
                let etag = self.weak_etag(coding).map(Cow::Owned);
                etag.map_or(Verdict::Unproven, |etag| Verdict::Unchanged { etag })
            }
            Some(false) => Verdict::Changed,
            None => Verdict::Unproven,
        }
    }

    /// `W/"<digest>-gzip"`
    fn weak_etag(&self, coding: &str) -> Option<HeaderValue> {
        let tag = [b"W/\"", self.tag().opaque(), b"-", coding.as_bytes(), b"\""].concat();
        HeaderValue::from_maybe_shared(Bytes::from(tag)).ok()
    }

    fn has_length(&self, head: &ResponseHead<'_>) -> Option<bool> {
        let is_right = |length| length == self.info.length;
        let (said, body) = head.lengths();
        both(said.map(is_right), body.map(is_right))
    }

    fn has_date(&self, head: &ResponseHead<'_>) -> Option<bool> {
        let sent = head.fields.last_modified?;
        if self.inner_date.get() == Some(sent) {
            return Some(true);
        }
        let modified = self.info.modified.and_then(whole_seconds)?;
        let has_date = parse_date(sent) == Some(modified);
        if has_date {
            self.inner_date.get_or_init(|| detached(sent));
        }
        Some(has_date)
    }

    fn has_etag(&self, head: &ResponseHead<'_>) -> Option<bool> {
        let sent = head.fields.etag?;
        match self.inner_etag.get() {
            Some(learned) => Some(sent == learned),
            None => self.has_nanos(sent).filter(|has| !has),
        }
    }

    /// Whether a tag of `ServeDir` has the modification time that was scanned; its
    /// tags are `"<seconds>.<nanoseconds>-<length>"` in hexadecimal digits, and finer
    /// than `Last-Modified`. `None` for any other tag. Should `ServeDir` come to
    /// make other ones, that is all that this says.
    fn has_nanos(&self, tag: &HeaderValue) -> Option<bool> {
        let modified = self.info.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let (seconds, nanos) = (modified.as_secs(), modified.subsec_nanos());
        let tag = tag.to_str().ok()?.strip_prefix(&format!("\"{seconds:x}."))?;
        let sent = tag.strip_suffix(&format!("-{:x}\"", self.info.length))?;
        let is_number = sent.len() == 8 && u32::from_str_radix(sent, 16).is_ok();
        is_number.then(|| sent == format!("{nanos:08x}"))
    }

    fn learn_etag(&self, head: &ResponseHead<'_>, has_length: Option<bool>) {
        let has_coding = head.status != StatusCode::RANGE_NOT_SATISFIABLE;
        if let (Some(true), true, Some(etag)) = (has_length, has_coding, head.fields.etag) {
            self.inner_etag.get_or_init(|| detached(etag));
        }
    }
}

/// `"<64 hexadecimal digits>"`
pub(crate) fn strong_etag(sha256: &[u8; 32]) -> HeaderValue {
    let tag = format!("\"{}\"", HEXLOWER.encode(sha256));
    HeaderValue::from_maybe_shared(Bytes::from(tag)).expect("hexadecimal digits are visible ASCII")
}

/// Whether `tag` looks like one that [`strong_etag`] makes.
pub(crate) fn is_digest(tag: &EntityTag<'_>) -> bool {
    tag.strong_eq(tag)
        && HEXLOWER.decode_len(tag.opaque().len()) == Ok(32)
        && HEXLOWER.decode(tag.opaque()).is_ok()
}

/// Two pieces of evidence, as far as there are any.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one && other),
        _ => one.or(other),
    }
}

/// As `Last-Modified` has it.
fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs()))
}

impl<'r> ResponseHead<'r> {
    pub(crate) fn coding(&self) -> ContentCoding<'r> {
        match self.fields.content_encoding {
            true => ContentCoding::of(self.headers),
            false => ContentCoding::Identity,
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        let (said, body) = self.lengths();
        said.or(body)
    }

    /// The length of the whole representation: what the fields say, and what the body
    /// itself does.
    fn lengths(&self) -> (Option<u64>, Option<u64>) {
        match self.status {
            StatusCode::NOT_MODIFIED => (None, None),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                (self.complete_length(), None)
            }
            _ => (self.content_length(), self.body_length),
        }
    }

    /// `Content-Range: bytes 0-9/1234`, `bytes */1234` (RFC 9110 §14.4)
    fn complete_length(&self) -> Option<u64> {
        let range = self.fields.content_range?.as_bytes();
        number(range.rsplit(|&byte| byte == b'/').next()?)
    }

    fn content_length(&self) -> Option<u64> {
        number(self.fields.content_length?.as_bytes())
    }
}
