//! How is a response compared with one content coding of a listed file?

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{
    header::{
        content_coding::ContentCoding,
        detached,
        etag::EntityTag,
        head::ResponseFields,
        number,
        preconditions::parse_date,
        range::{ContentRange, ForwardedRange},
    },
    manifest::FileInfo,
    policy::Match,
    snapshot::{
        evidence::{Coding, Comparison, Evidence, LengthTrust},
        per_thread::PerThread,
    },
    sync::AtomicBool,
};

/// One content coding of a file: what a response with it must look like.
#[derive(Debug)]
pub(crate) struct Representation {
    /// A strong tag, made from the content (RFC 9110 §8.8.3).
    etag: HeaderValue,
    /// Copies of the tag to send. Per thread, because sending one counts a reference.
    sent_etag: PerThread<HeaderValue>,
    /// The fields of a 304 without the inner service, for a request without `Authorization`.
    not_modified: PerThread<HeaderMap>,
    info: FileInfo,
    /// The inner service's own tag, from a response that was proven to be the scanned file.
    inner_etag: OnceLock<HeaderValue>,
    /// The date of `info` in the inner service's spelling.
    inner_date: OnceLock<HeaderValue>,
    /// The inner service has sent a part of another representation instead of this one.
    pub(crate) is_out_of_reach: AtomicBool,
}

/// The parts of a response that describe its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'r> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'r HeaderMap,
    /// The fields in `headers` that matter.
    pub(crate) fields: &'r ResponseFields<'r>,
    /// The body's exact length. `None` if the body does not know it, and for the empty body of
    /// a response to `HEAD`.
    pub(crate) body_length: Option<u64>,
}

/// What a comparison must know in addition to the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ComparisonContext {
    pub(crate) range: ForwardedRange,
    pub(crate) trust: LengthTrust,
}

/// The result of comparing a response with a file.
#[derive(Debug)]
pub(crate) struct Finding<'f> {
    pub(crate) matching: Match,
    /// The tag of the response's content, if it is verified.
    pub(crate) etag: Option<Cow<'f, HeaderValue>>,
    /// The representation with which the response was compared.
    pub(super) position: Option<Position>,
    pub(super) comparison: Option<Comparison>,
}

impl Finding<'_> {
    /// Whether only the digest of the body can prove anything: the length agrees, but is not
    /// trusted.
    #[inline]
    pub(crate) fn needs_digest(&self) -> bool {
        let has_untrusted_length =
            |comparison: Comparison| !comparison.is_length_trusted && comparison.length.agrees();
        self.matching == Match::Unproven && self.comparison.is_some_and(has_untrusted_length)
    }

    /// The response could not be compared.
    pub(crate) const UNPROVEN: Self = Self::without_comparison(Match::Unproven);

    /// There is no file with which to compare the response.
    pub(crate) const UNLISTED: Self = Self::without_comparison(Match::Unlisted);

    pub(crate) const fn without_comparison(matching: Match) -> Self {
        Self { matching, etag: None, position: None, comparison: None }
    }
}

/// The position of a representation among those of its file. The uncompressed file is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(super) usize);

impl Representation {
    pub(crate) fn new(info: &FileInfo) -> Self {
        Self {
            etag: strong_etag(info.sha256()),
            sent_etag: PerThread::new(),
            not_modified: PerThread::new(),
            info: info.clone(),
            inner_etag: OnceLock::new(),
            inner_date: OnceLock::new(),
            is_out_of_reach: AtomicBool::new(false),
        }
    }

    pub(crate) fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Returns the tag to send.
    pub(crate) fn etag(&self) -> &HeaderValue {
        self.sent_etag.get_or_init(|| detached(&self.etag))
    }

    /// Returns the fields of a 304 without the inner service. They are made once, because they
    /// are the same every time.
    pub(crate) fn not_modified(&self, make: impl Fn() -> HeaderMap) -> HeaderMap {
        self.not_modified.get_or_init(make).clone()
    }

    pub(crate) fn tag(&self) -> EntityTag<'_> {
        EntityTag::strong(&self.etag)
    }

    /// Whether `line` is exactly the tag as it is sent.
    pub(crate) fn is_named(&self, line: &HeaderValue) -> bool {
        self.etag == line
    }

    pub(crate) fn knows_inner_etag(&self) -> bool {
        self.inner_etag.get().is_some()
    }

    pub(crate) fn knows_inner_date(&self) -> bool {
        self.inner_date.get().is_some()
    }

    /// Remembers the inner service's own tag. Later responses are compared with it.
    pub(crate) fn remember_etag(&self, etag: HeaderValue) {
        self.inner_etag.get_or_init(|| etag);
    }

    pub(crate) fn remember_date(&self, date: HeaderValue) {
        self.inner_date.get_or_init(|| date);
    }

    /// Compares a response that has the stored bytes of this representation.
    #[inline]
    pub(crate) fn compare(
        &self,
        position: Position,
        head: &ResponseHead<'_>,
        context: ComparisonContext,
    ) -> Finding<'_> {
        let comparison = self.comparison(head, context, Coding::Stored);
        let matching = comparison.evaluate();
        let etag = (matching == Match::Verified).then(|| Cow::Borrowed(self.etag()));
        let (position, comparison) = (Some(position), Some(comparison));
        Finding { matching, etag, position, comparison }
    }

    /// Compares a response that was compressed on its way to the layer. Two compressions need
    /// not give the same bytes, so its tag is weak.
    pub(crate) fn compare_compressed(
        &self,
        head: &ResponseHead<'_>,
        coding: &str,
        context: ComparisonContext,
    ) -> Finding<'_> {
        let matching = self.comparison(head, context, Coding::OnTheWay).evaluate();
        let weak = || self.weak_etag(coding).map(Cow::Owned);
        let etag = if matching == Match::Verified { weak() } else { None };
        Finding { matching, etag, ..Finding::UNPROVEN }
    }

    /// Compares the digest of a whole body with that of this representation.
    pub(crate) fn compare_digest(&self, position: Position, sha256: &[u8; 32]) -> Finding<'_> {
        let is_same = self.info.sha256() == sha256;
        let matching = if is_same { Match::Verified } else { Match::Mismatch };
        let etag = is_same.then(|| Cow::Borrowed(self.etag()));
        Finding { matching, etag, position: Some(position), ..Finding::UNPROVEN }
    }

    #[inline]
    fn comparison(
        &self,
        head: &ResponseHead<'_>,
        context: ComparisonContext,
        coding: Coding,
    ) -> Comparison {
        let date = self.date(head);
        Comparison {
            status: head.status,
            coding,
            length: self.length(head).and(head.part(context.range)),
            date,
            tag: self.inner_tag(head, coding),
            is_range_forwarded: context.range != ForwardedRange::None,
            is_length_trusted: match context.trust {
                LengthTrust::Always => true,
                LengthTrust::WithTime => self.info.modified().is_some(),
                #[cfg(feature = "releases")]
                LengthTrust::WithDate => date.agrees(),
            },
        }
    }

    /// Returns `W/"<digest>-gzip"`, or the same with another coding.
    fn weak_etag(&self, coding: &str) -> Option<HeaderValue> {
        let tag = [b"W/\"", self.tag().opaque(), b"-", coding.as_bytes(), b"\""].concat();
        HeaderValue::from_maybe_shared(Bytes::from(tag)).ok()
    }

    #[inline]
    pub(crate) fn length(&self, head: &ResponseHead<'_>) -> Evidence {
        let is_right = |length| length == self.info.length();
        let (field, body) = head.lengths();
        Evidence::of(field.map(is_right)).and(Evidence::of(body.map(is_right)))
    }

    #[inline]
    fn date(&self, head: &ResponseHead<'_>) -> Evidence {
        let Some(sent) = head.fields.last_modified else { return Evidence::Absent };
        if self.inner_date.get() == Some(sent) {
            return Evidence::Agrees;
        }
        let Some(modified) = self.info.modified() else { return Evidence::Absent };
        let sent = parse_date(sent);
        Evidence::of(match whole_seconds(modified) {
            Some(modified) => Some(sent == Some(modified)),
            // HTTP has no dates before 1970, but a later one is of another file.
            None => sent.filter(|&sent| sent > SystemTime::UNIX_EPOCH).map(|_| false),
        })
    }

    #[inline]
    fn inner_tag(&self, head: &ResponseHead<'_>, coding: Coding) -> Evidence {
        let Some(sent) = head.fields.etag else { return Evidence::Absent };
        let agrees = match self.inner_etag.get() {
            Some(remembered) => Some(is_same_tag(sent, remembered, coding)),
            None => self.is_spelled_by(sent),
        };
        // A weak tag proves no bytes, unless it is weak because they were compressed.
        let is_weak = coding == Coding::Stored && sent.as_bytes().starts_with(b"W/");
        Evidence::of(agrees.filter(|&agrees| !(agrees && is_weak)))
    }

    /// Whether a tag of `ServeDir` has the scanned length and modification time, to the
    /// nanosecond. Returns `None` for any other tag.
    fn is_spelled_by(&self, tag: &HeaderValue) -> Option<bool> {
        let modified = self.info.modified()?;
        let sent = parse_serve_dir_tag(tag.to_str().ok()?)?;
        // `ServeDir` has no tag for a file from before 1970, so this one is of another.
        let scanned = modified.duration_since(SystemTime::UNIX_EPOCH).ok();
        Some(scanned.is_some_and(|since| sent == (since, self.info.length())))
    }
}

/// Parses a tag of `ServeDir`, `"<seconds>.<nanoseconds>-<length>"` in hexadecimal digits, into
/// the modification time since 1970 and the length.
fn parse_serve_dir_tag(tag: &str) -> Option<(Duration, u64)> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let (seconds, rest) = opaque.split_once('.')?;
    let (nanos, length) = rest.split_once('-')?;
    let is_hex = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = |digits: &str| u64::from_str_radix(Some(digits).filter(is_hex)?, 16).ok();
    let nanos = u32::try_from(number(nanos).filter(|_| nanos.len() == 8)?).ok()?;
    let time =
        Duration::from_secs(number(seconds)?).checked_add(Duration::from_nanos(nanos.into()))?;
    Some((time, number(length)?))
}

/// Whether two tags of the inner service are the same. A service that compresses on the way
/// may have made one weak.
fn is_same_tag(sent: &HeaderValue, remembered: &HeaderValue, coding: Coding) -> bool {
    if sent == remembered {
        return true;
    }
    let tags = EntityTag::parse(sent.as_bytes()).zip(EntityTag::parse(remembered.as_bytes()));
    coding == Coding::OnTheWay && tags.is_some_and(|(sent, other)| sent.weak_eq(&other))
}

/// Makes the strong tag of a digest: `"<64 hexadecimal digits>"`.
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

/// Truncates a time to whole seconds, like `Last-Modified`.
fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs()))
}

impl<'r> ResponseHead<'r> {
    #[inline]
    pub(crate) fn coding(&self) -> ContentCoding<'r> {
        if self.fields.content_encoding {
            ContentCoding::of(self.headers)
        } else {
            ContentCoding::Identity
        }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        let (field, body) = self.lengths();
        field.or(body)
    }

    /// Returns the length of the whole representation, according to the fields and to the body.
    #[inline]
    fn lengths(&self) -> (Option<u64>, Option<u64>) {
        match self.status {
            StatusCode::NOT_MODIFIED => (None, None),
            StatusCode::PARTIAL_CONTENT => {
                let range = self.content_range().filter(|range| range.part.is_some());
                (range.map(|range| range.complete), None)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                (self.content_range().map(|range| range.complete), None)
            }
            _ => (self.content_length(), self.body_length),
        }
    }

    /// Whether a valid `Content-Range` says which part it is.
    pub(crate) fn is_part(&self) -> bool {
        self.content_range().is_some_and(|range| range.part.is_some())
    }

    /// Whether a part is one of the requested bytes, and as long as it says.
    fn part(&self, range: ForwardedRange) -> Evidence {
        let part = self
            .content_range()
            .and_then(|content_range| Some((content_range.part?, content_range.complete)));
        let Some(((first, last), complete)) = part.filter(|_| self.is_partial()) else {
            return Evidence::Absent;
        };
        let is_whole = |length: Option<u64>| length.is_none_or(|it| it == last - first + 1);
        let is_inside = match range {
            ForwardedRange::Bytes(range) => range.covers((first, last), complete),
            ForwardedRange::None | ForwardedRange::Unparsed => true,
        };
        let agrees = is_whole(self.content_length()) && is_whole(self.body_length) && is_inside;
        if agrees { Evidence::Absent } else { Evidence::Disagrees }
    }

    fn is_partial(&self) -> bool {
        self.status == StatusCode::PARTIAL_CONTENT
    }

    #[inline]
    fn content_range(&self) -> Option<ContentRange> {
        ContentRange::parse(self.fields.content_range?)
    }

    #[inline]
    fn content_length(&self) -> Option<u64> {
        number(self.fields.content_length?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use Evidence::{Absent, Agrees, Disagrees};

    /// 0x6553f101 seconds and 0x1c8 nanoseconds after 1970, and 11 bytes.
    fn representation(has_time: bool) -> Representation {
        let info = Manifest::from_files([("a", "hello world")]).unwrap().get("a").unwrap().clone();
        let time = SystemTime::UNIX_EPOCH + Duration::new(0x6553_f101, 0x1c8);
        Representation::new(&info.with_modified(has_time.then_some(time)))
    }

    /// What the tag, the date and the length of a response show.
    fn evidence(
        representation: &Representation,
        coding: Coding,
        lines: &[(&'static str, &str)],
    ) -> [Evidence; 3] {
        let line = |&(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = lines.iter().map(line).collect::<HeaderMap>();
        let fields = ResponseFields::of(&headers);
        let head = ResponseHead {
            status: StatusCode::OK,
            headers: &headers,
            fields: &fields,
            body_length: None,
        };
        let context = ComparisonContext { range: ForwardedRange::None, trust: LengthTrust::Always };
        let Comparison { length, date, tag, .. } =
            representation.comparison(&head, context, coding);
        [tag, date, length]
    }

    #[test]
    fn tags_of_serve_dir() {
        let file = representation(true);
        for (name, coding, etag, expected) in [
            ("spells it", Coding::Stored, "\"6553f101.000001c8-b\"", Agrees),
            ("the same, compressed", Coding::OnTheWay, "\"6553f101.000001c8-b\"", Agrees),
            ("made weak, compressed", Coding::OnTheWay, "W/\"6553f101.000001c8-b\"", Agrees),
            ("made weak", Coding::Stored, "W/\"6553f101.000001c8-b\"", Absent),
            ("other nanoseconds", Coding::Stored, "\"6553f101.000001c9-b\"", Disagrees),
            ("other nanoseconds, weak", Coding::Stored, "W/\"6553f101.000001c9-b\"", Disagrees),
            ("another second", Coding::Stored, "\"6553f102.000001c8-b\"", Disagrees),
            ("another length", Coding::Stored, "\"6553f101.000001c8-c\"", Disagrees),
            ("too few digits", Coding::Stored, "\"6553f101.1c8-b\"", Absent),
            ("no digits", Coding::Stored, "\"6553f101.0000zzzz-b\"", Absent),
            ("of another service", Coding::Stored, "\"v1\"", Absent),
            ("no tag", Coding::Stored, "6553f101.000001c8-b", Absent),
        ] {
            assert_eq!(evidence(&file, coding, &[("etag", etag)])[0], expected, "{name}");
        }
        let without_time = representation(false);
        let spelled = [("etag", "\"6553f101.000001c8-b\"")];
        assert_eq!(evidence(&without_time, Coding::Stored, &spelled)[0], Absent);
    }

    #[test]
    fn learned_tags() {
        let file = representation(true);
        file.remember_etag(HeaderValue::from_static("\"v1\""));
        file.remember_etag(HeaderValue::from_static("\"v2\""));
        for (name, coding, etag, expected) in [
            ("the same", Coding::Stored, "\"v1\"", Agrees),
            ("the same, compressed", Coding::OnTheWay, "\"v1\"", Agrees),
            ("made weak, compressed", Coding::OnTheWay, "W/\"v1\"", Agrees),
            ("made weak", Coding::Stored, "W/\"v1\"", Disagrees),
            ("another", Coding::Stored, "\"v2\"", Disagrees),
            ("another, compressed", Coding::OnTheWay, "\"v2\"", Disagrees),
            ("one of `ServeDir`", Coding::Stored, "\"6553f101.000001c8-b\"", Disagrees),
        ] {
            assert_eq!(evidence(&file, coding, &[("etag", etag)])[0], expected, "{name}");
        }
        let weak = representation(true);
        weak.remember_etag(HeaderValue::from_static("W/\"v1\""));
        let same = [("etag", "W/\"v1\"")];
        assert_eq!(evidence(&weak, Coding::Stored, &same)[0], Absent, "weak tags prove no bytes");
        assert_eq!(evidence(&weak, Coding::OnTheWay, &same)[0], Agrees);
    }

    #[test]
    fn dates_and_lengths() {
        let file = representation(true);
        let date = "Tue, 14 Nov 2023 22:13:21 GMT";
        for (name, lines, expected) in [
            ("nothing", &[][..], [Absent, Absent]),
            ("the date", &[("last-modified", date)], [Agrees, Absent]),
            (
                "another date",
                &[("last-modified", "Tue, 14 Nov 2023 22:13:22 GMT")],
                [Disagrees, Absent],
            ),
            ("no date", &[("last-modified", "yesterday")], [Disagrees, Absent]),
            ("the length", &[("content-length", "11")], [Absent, Agrees]),
            ("another length", &[("content-length", "12")], [Absent, Disagrees]),
            ("no length", &[("content-length", "x")], [Absent, Absent]),
            ("both", &[("last-modified", date), ("content-length", "11")], [Agrees, Agrees]),
        ] {
            assert_eq!(evidence(&file, Coding::Stored, lines)[1..], expected, "{name}");
        }
        let without_time = representation(false);
        assert_eq!(evidence(&without_time, Coding::Stored, &[("last-modified", date)])[1], Absent);
        without_time.remember_date(HeaderValue::from_static("Tue, 14 Nov 2023 22:13:21 GMT"));
        assert_eq!(evidence(&without_time, Coding::Stored, &[("last-modified", date)])[1], Agrees);
    }

    /// Compares a response to a request for the bytes from the second on.
    fn compared<'f>(
        file: &'f Representation,
        status: u16,
        is_development: bool,
        lines: &[(&'static str, &str)],
        body_length: Option<u64>,
    ) -> Finding<'f> {
        use crate::header::range::Range;
        let line = |&(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = lines.iter().map(line).collect::<HeaderMap>();
        let fields = ResponseFields::of(&headers);
        let status = StatusCode::from_u16(status).unwrap();
        let head = ResponseHead { status, headers: &headers, fields: &fields, body_length };
        let range = ForwardedRange::Bytes(Range::From { first: 2, last: None });
        file.compare(
            Position(0),
            &head,
            ComparisonContext { range, trust: LengthTrust::of(is_development) },
        )
    }

    #[test]
    fn lengths_and_parts() {
        let range = |text: &'static str| ("content-range", text);
        let length = |text: &'static str| ("content-length", text);
        let part = range("bytes 2-5/11");
        for (name, status, lines, body_length, expected) in [
            ("the whole", 200, &[length("11")][..], None, Agrees),
            ("a longer body", 200, &[length("11")], Some(12), Disagrees),
            ("only a body", 200, &[], Some(11), Agrees),
            ("a range beside the whole", 200, &[part, length("11")], None, Agrees),
            (
                "a wrong range beside the whole",
                200,
                &[range("bytes 0-1/11"), length("11")],
                None,
                Agrees,
            ),
            ("a part", 206, &[part], None, Agrees),
            ("as long as it says", 206, &[part, length("4")], Some(4), Agrees),
            ("a longer field", 206, &[part, length("5")], None, Disagrees),
            ("a longer field than the body", 206, &[part, length("5")], Some(4), Disagrees),
            ("a longer body than the field", 206, &[part, length("4")], Some(5), Disagrees),
            ("a shorter body", 206, &[part], Some(3), Disagrees),
            ("bytes that were not requested", 206, &[range("bytes 1-5/11")], None, Disagrees),
            ("a part of something longer", 206, &[range("bytes 2-5/12")], None, Disagrees),
            ("no range", 206, &[length("4")], Some(4), Absent),
            ("an unsatisfied range", 206, &[range("bytes */11")], None, Absent),
            ("not modified", 304, &[length("12")], Some(0), Absent),
            ("not satisfied", 416, &[range("bytes */11"), length("9")], Some(9), Agrees),
            ("not satisfied by another", 416, &[range("bytes */12")], None, Disagrees),
        ] {
            let file = representation(true);
            let finding = compared(&file, status, false, lines, body_length);
            assert_eq!(finding.comparison.unwrap().length, expected, "{name}");
        }
    }

    /// In development an edit may keep the length of a file without a time.
    #[test]
    fn which_bodies_must_be_hashed() {
        let length = ("content-length", "11");
        let tag = ("etag", "\"v1\"");
        for (name, has_time, is_development, lines, expected) in [
            ("the listed length", false, true, &[length][..], true),
            ("no length", false, true, &[], false),
            ("another length", false, true, &[("content-length", "12")], false),
            ("a known tag", false, true, &[length, tag], false),
            ("a time", true, true, &[length], false),
            ("no development", false, false, &[length], false),
            ("no development, no length", false, false, &[], false),
        ] {
            let file = representation(has_time);
            file.remember_etag(HeaderValue::from_static("\"v1\""));
            let finding = compared(&file, 200, is_development, lines, None);
            assert_eq!(finding.needs_digest(), expected, "{name}");
        }
    }

    #[test]
    fn a_digest_is_proof() {
        let file = representation(false);
        for (name, sha256, matching, etag) in [
            ("the same", *file.info().sha256(), Match::Verified, Some(file.etag())),
            ("another", [0; 32], Match::Mismatch, None),
        ] {
            let finding = file.compare_digest(Position(1), &sha256);
            assert_eq!(finding.matching, matching, "{name}");
            assert_eq!(finding.etag.as_deref(), etag, "{name}");
            assert_eq!(finding.position, Some(Position(1)), "{name}");
        }
    }

    /// HTTP has no dates before 1970. A file system has.
    #[test]
    fn files_from_before_1970() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let info = representation(true).info().clone().with_modified(Some(early));
        let file = Representation::new(&info);
        for (name, line, expected) in [
            ("the first date", ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"), Absent),
            ("the second", ("last-modified", "Thu, 01 Jan 1970 00:00:01 GMT"), Disagrees),
            ("no date", ("last-modified", "yesterday"), Absent),
        ] {
            assert_eq!(evidence(&file, Coding::Stored, &[line])[1], expected, "{name}");
        }
        let spelled = [("etag", "\"0.00000000-b\"")];
        assert_eq!(evidence(&file, Coding::Stored, &spelled)[0], Disagrees);
    }

    #[test]
    fn tags_that_are_digests() {
        let digits = "0123456789abcdef".repeat(4);
        for (name, tag, expected) in [
            ("a digest", format!("\"{digits}\""), true),
            ("a weak one", format!("W/\"{digits}\""), false),
            ("with a coding", format!("\"{digits}-gzip\""), false),
            ("short", format!("\"{}\"", &digits[1..]), false),
            ("half as long", format!("\"{}\"", &digits[32..]), false),
            ("in capitals", format!("\"{}\"", digits.to_uppercase()), false),
            ("no digits", format!("\"{}\"", "x".repeat(64)), false),
            ("empty", "\"\"".into(), false),
        ] {
            assert_eq!(is_digest(&EntityTag::parse(tag.as_bytes()).unwrap()), expected, "{name}");
        }
    }
}
