//! What is known of a listed file? Its tags, and what responses have shown about it.

use std::{
    ptr,
    sync::{OnceLock, atomic::Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::PathAndQuery};
#[cfg(all(feature = "memory", feature = "releases"))]
use sha2::{Digest as _, Sha256};

use crate::{
    cdn::is_tagging,
    header::{
        content_coding::{AcceptedCodings, ContentCoding, IDENTITY, is_same},
        detached,
        etag::{EntityTag, tags_in},
        head::InnerCaching,
        targeted::is_targeted,
    },
    manifest::{FileInfo, siblings::Relation},
    observe::event::{self, Changed, Event},
    policy::Match,
    snapshot::{
        evidence::Comparison,
        per_thread::PerThread,
        representation::{ComparisonContext, Finding, Position, Representation, ResponseHead},
    },
    sync::AtomicBool,
    url::path_and_query,
};

/// A listed file that has been requested, with its pre-compressed siblings.
#[derive(Debug)]
pub(crate) struct File {
    path: Box<str>,
    /// The path has no `%`: a URL that contains it unescaped means this file.
    is_literal: bool,
    /// The file has a plain form, which is the first representation. Otherwise only
    /// pre-compressed siblings are listed.
    has_identity: bool,
    representations: Box<[(&'static str, Representation)]>,
    /// The codings of siblings that were made of another content. The inner service must not
    /// select them.
    stale_codings: Box<[&'static str]>,
    /// The path in requests to the inner service: with the mount, and without it for a nested
    /// layer.
    inner_paths: [PerThread<Option<PathAndQuery>>; 2],
    /// The fields of a 304 that only the inner service knows.
    not_modified: OnceLock<NotModifiedFields>,
    /// The inner service must be called for every request.
    must_bypass: AtomicBool,
    has_changed: AtomicBool,
    warned_missing: AtomicBool,
    #[cfg(feature = "delta")]
    dictionary: OnceLock<Box<FileDictionary>>,
}

/// What is known of a file for deltas.
#[cfg(feature = "delta")]
#[derive(Debug, Default)]
struct FileDictionary {
    offer: PerThread<Option<HeaderValue>>,
    fields: OnceLock<HeaderMap>,
}

/// The fields of a 200 that a 304 repeats.
#[derive(Debug)]
pub(crate) struct NotModifiedFields {
    lines: Box<[(HeaderName, HeaderValue)]>,
    caching: InnerCaching,
}

/// Something that a response has shown about a file for the first time; to be
/// [remembered](File::remember).
#[derive(Debug)]
pub(crate) enum Observation {
    /// The response was for one client or one use only, or had `Expires`: the inner service
    /// must be called every time.
    Private,
    /// The response contradicts the manifest. Its fields are for the log.
    Mismatch {
        length: Option<u64>,
        last_modified: Option<HeaderValue>,
        content_encoding: Option<HeaderValue>,
    },
    /// The inner service has answered 404 for this path.
    Missing {
        path: String,
    },
    /// The inner service's own tag of a representation.
    InnerEtag(Position, HeaderValue),
    /// The inner service's spelling of a representation's date.
    InnerDate(Position, HeaderValue),
    NotModified(NotModifiedFields),
    /// A request for a part of the representation with this tag got a part of something else.
    OtherPart {
        wanted: HeaderValue,
    },
}

impl File {
    /// Makes a file of its representations, the plain one first.
    pub(crate) fn new<'i>(
        path: &str,
        representations: impl Iterator<Item = (&'static str, &'i FileInfo)>,
    ) -> Self {
        let is_identity = |(coding, _): &(&str, &FileInfo)| *coding == IDENTITY;
        // By its own name a stale sibling is a file like any other.
        let (stale, counted) = representations
            .partition::<Vec<_>, _>(|one| one.1.relation() == Relation::Stale && !is_identity(one));
        Self {
            path: path.into(),
            is_literal: !path.contains('%'),
            has_identity: counted.first().is_some_and(is_identity),
            representations: counted
                .into_iter()
                .map(|(coding, info)| (coding, Representation::new(info)))
                .collect(),
            stale_codings: stale.into_iter().map(|(coding, _)| coding).collect(),
            inner_paths: [const { PerThread::new() }; 2],
            not_modified: OnceLock::new(),
            must_bypass: AtomicBool::new(false),
            has_changed: AtomicBool::new(false),
            warned_missing: AtomicBool::new(false),
            #[cfg(feature = "delta")]
            dictionary: OnceLock::new(),
        }
    }

    /// Makes a file as [`new`](Self::new) does, of which no response needs to have been seen
    /// before a 304 is made.
    #[cfg(feature = "releases")]
    pub(crate) fn of_listing<'i>(
        path: &str,
        representations: impl Iterator<Item = (&'static str, &'i FileInfo)>,
    ) -> Self {
        let file = Self::new(path, representations);
        let fields = NotModifiedFields::of_listing(file.representations.len());
        Self { not_modified: OnceLock::from(fields), ..file }
    }

    /// Returns `<base>/<path>`, for a request that spells the path without an escape. It is
    /// made once, and later calls allocate nothing.
    pub(crate) fn inner_path(&self, nested: bool, base: &str) -> Option<PathAndQuery> {
        let known = &self.inner_paths[usize::from(nested)];
        known.get_or_init(|| path_and_query(base, &self.path, None)).clone()
    }

    /// Returns the manifest's entry for the file in a coding.
    #[cfg(all(feature = "memory", feature = "releases"))]
    pub(crate) fn listed_in(&self, coding: &str) -> Option<&FileInfo> {
        let mut all = self.representations();
        all.find(|(name, _)| *name == coding).map(|(_, one)| one.info())
    }

    /// Returns a digest of all that is listed of the file. Releases in which a file is the same
    /// share its bytes on the disk, and with them its times.
    #[cfg(all(feature = "memory", feature = "releases"))]
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut listed = format!("{:?}", self.path);
        for (coding, representation) in self.representations() {
            let info = representation.info();
            let (sha256, length, modified) = (info.sha256(), info.length(), info.modified());
            listed.push_str(&format!(" {coding} {sha256:?} {length} {modified:?}"));
        }
        Sha256::digest(listed).into()
    }

    #[cfg(feature = "delta")]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the manifest's entry for the plain file, if it is listed.
    #[cfg(feature = "delta")]
    pub(crate) fn info(&self) -> Option<&FileInfo> {
        self.identity().map(Representation::info)
    }

    /// Returns the offer of the file as a dictionary at its usual URL. It is made once.
    #[cfg(feature = "delta")]
    pub(crate) fn usual_offer(
        &self,
        make: impl Fn() -> Option<HeaderValue>,
    ) -> &Option<HeaderValue> {
        self.dictionary.get_or_init(Box::default).offer.get_or_init(make)
    }

    /// Returns the fields of a response with a delta, as far as they are the same every time.
    #[cfg(feature = "delta")]
    pub(crate) fn delta_fields(&self) -> Option<&HeaderMap> {
        self.dictionary.get()?.fields.get().filter(|_| !self.must_bypass())
    }

    /// Remembers these fields, if they are not known yet.
    #[cfg(feature = "delta")]
    pub(crate) fn remember_delta_fields(&self, make: impl FnOnce() -> Option<HeaderMap>) {
        let dictionary = self.dictionary.get_or_init(Box::default);
        if dictionary.fields.get().is_none()
            && let Some(fields) = make()
        {
            dictionary.fields.get_or_init(|| fields);
        }
    }

    pub(crate) fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// Returns the plain form, if it is listed.
    fn identity(&self) -> Option<&Representation> {
        let first = self.representations.first().filter(|_| self.has_identity);
        first.map(|(_, identity)| identity)
    }

    /// Returns the tag of the plain file, if it is listed.
    pub(crate) fn etag(&self) -> Option<&HeaderValue> {
        self.identity().map(Representation::etag)
    }

    /// Returns the codings of siblings that were made of another content.
    pub(crate) fn stale_codings(&self) -> &[&'static str] {
        &self.stale_codings
    }

    /// Returns the codings that a response may have: those that the request accepts or, if the
    /// file has none of them, any (RFC 9110 §12.5.3 leaves that to the server).
    pub(crate) fn acceptable(&self, accepted: AcceptedCodings) -> AcceptedCodings {
        let has_one = self.representations().any(|(coding, _)| accepted.allow(coding));
        if has_one { accepted } else { AcceptedCodings::ANY }
    }

    /// Returns the lengths of the representations in these codings.
    pub(crate) fn lengths(&self, accepted: AcceptedCodings) -> impl Iterator<Item = u64> + Clone {
        let acceptable = self.representations().filter(move |(coding, _)| accepted.allow(coding));
        acceptable.map(|(_, representation)| representation.info().length())
    }

    fn representations(&self) -> impl Iterator<Item = (&'static str, &Representation)> + Clone {
        self.representations.iter().map(|(coding, one)| (*coding, one))
    }

    fn representation(&self, Position(position): Position) -> Option<&Representation> {
        self.representations.get(position).map(|(_, one)| one)
    }

    /// Returns the coding and representation that `tag` names, compared strongly, if the client
    /// accepts the coding. `None` if the inner service is known not to send this
    /// representation.
    pub(crate) fn strongly_named(
        &self,
        tag: &EntityTag<'_>,
        accepted: AcceptedCodings,
    ) -> Option<(&'static str, &Representation)> {
        let is_named = |named: &Representation| named.tag().strong_eq(tag);
        let mut all = self.representations();
        let found = all.find(|&(coding, named)| is_named(named) && accepted.allow(coding));
        found.filter(|(_, named)| !named.is_out_of_reach.load(Ordering::Relaxed))
    }

    /// Returns the representation that the tags in some `lines` name, if it is the only one
    /// that the client accepts. Among several the inner service must select.
    pub(crate) fn only_named<'t, I>(
        &self,
        lines: I,
        accepts: impl Fn(&str) -> bool,
    ) -> Option<&Representation>
    where
        I: IntoIterator<Item = &'t HeaderValue> + Clone,
    {
        let acceptable = |(coding, named)| accepts(coding).then_some(named);
        // The common case: a browser sends one tag, spelled as the layer has sent it.
        let mut single = lines.clone().into_iter();
        if let (Some(line), None) = (single.next(), single.next())
            && let Some(named) = self.representations().find(|(_, named)| named.is_named(line))
        {
            return acceptable(named);
        }
        let mut named = tags_in(lines).filter_map(|tag| {
            acceptable(self.representations().find(|(_, named)| named.tag().weak_eq(&tag))?)
        });
        let first = named.next()?;
        named.all(|other| ptr::eq(first, other)).then_some(first)
    }

    /// Whether `tag` is the file's own tag with the suffix of an accepted coding, as a server
    /// makes it that compresses the response on its way: `"<digest>-gzip"`.
    pub(crate) fn is_source_of(&self, tag: &EntityTag<'_>, accepted: AcceptedCodings) -> bool {
        let suffix = self.suffix(tag);
        suffix.is_some_and(|coding| accepted.allow(coding))
    }

    /// Returns what follows the digest of the plain file in a tag.
    fn suffix<'t>(&self, tag: &EntityTag<'t>) -> Option<&'t str> {
        let own = self.identity()?.tag();
        let suffix = tag.opaque().strip_prefix(own.opaque())?.strip_prefix(b"-")?;
        std::str::from_utf8(suffix).ok()
    }

    /// Whether the layer makes this tag for the whole file, in whatever coding.
    #[cfg(feature = "delta")]
    pub(crate) fn is_own_tag(&self, tag: &EntityTag<'_>) -> bool {
        let mut all = self.representations();
        all.any(|(_, own)| own.tag().strong_eq(tag)) || self.is_source_of(tag, AcceptedCodings::ANY)
    }

    /// Whether the layer makes this tag for a delta: `W/"<digest>-dcz-<dictionary>"`.
    #[cfg(feature = "delta")]
    pub(crate) fn is_delta_tag(&self, tag: &EntityTag<'_>) -> bool {
        self.suffix(tag).is_some_and(is_delta)
    }

    /// Returns the listed coding of a response and the manifest's entry for it, if the response
    /// has the listed length. A response of unknown length proves nothing.
    pub(crate) fn stored_as(&self, head: &ResponseHead<'_>) -> Option<(&'static str, &FileInfo)> {
        let sent = match head.coding() {
            ContentCoding::Identity => IDENTITY,
            ContentCoding::One(coding) => coding,
            ContentCoding::Unknown => return None,
        };
        let mut known = self.representations();
        let (name, listed) = known.find(|(name, _)| is_same(sent.as_bytes(), name))?;
        listed.length(head).agrees().then(|| (name, listed.info()))
    }

    /// Whether the inner service must be called for every request.
    #[inline]
    pub(crate) fn must_bypass(&self) -> bool {
        self.must_bypass.load(Ordering::Relaxed)
    }

    /// Whether a response has ever contradicted the manifest.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Whether the manifest knows when the file was modified.
    pub(crate) fn has_time(&self) -> bool {
        self.representations.first().is_some_and(|(_, one)| one.info().modified().is_some())
    }

    /// Returns the fields of a 304 that is made without the inner service.
    #[inline]
    pub(crate) fn not_modified_fields(&self) -> Option<&NotModifiedFields> {
        self.not_modified.get().filter(|_| !self.must_bypass())
    }
}

/// Is a response still the listed file?
impl File {
    /// Compares a response with the manifest.
    #[inline]
    pub(crate) fn compare(
        &self,
        head: &ResponseHead<'_>,
        context: ComparisonContext,
    ) -> Finding<'_> {
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return self.compare_unsatisfied(head, context);
        }
        match head.coding() {
            ContentCoding::Unknown => Finding::UNPROVEN,
            ContentCoding::Identity => self
                .identity()
                .map_or(Finding::UNLISTED, |identity| identity.compare(Position(0), head, context)),
            ContentCoding::One(coding) if head.length().is_none() => {
                self.compare_unmeasured(head, coding, context)
            }
            ContentCoding::One(coding) => match self.sibling(coding) {
                Some((position, sibling)) => sibling.compare(position, head, context),
                // Compressed by the inner service, or a sibling that is newer than the scan.
                None => Finding::UNPROVEN,
            },
        }
    }

    /// Compares a response with a coding, but without a length: that was compressed on its way.
    /// Or it is a sibling that a service streams, with the time of the sibling.
    fn compare_unmeasured(
        &self,
        head: &ResponseHead<'_>,
        coding: &str,
        context: ComparisonContext,
    ) -> Finding<'_> {
        let Some(identity) = self.identity() else { return Finding::UNLISTED };
        let found = identity.compare_compressed(head, coding, context);
        let is_other = |(position, sibling): (Position, &Representation)| {
            sibling.compare(position, head, context).matching == Match::Mismatch
        };
        let may_be_sibling = || self.sibling(coding).is_some_and(|sibling| !is_other(sibling));
        if found.matching == Match::Mismatch && may_be_sibling() {
            return Finding::UNPROVEN;
        }
        found
    }

    /// Compares a 416. It has the length and the date of a representation, but not its coding.
    fn compare_unsatisfied(
        &self,
        head: &ResponseHead<'_>,
        context: ComparisonContext,
    ) -> Finding<'_> {
        let all = self.representations().enumerate();
        let mut found = all.map(|(i, (_, one))| one.compare(Position(i), head, context));
        let verified = found.find(|finding| finding.matching == Match::Verified);
        verified.unwrap_or(Finding::UNPROVEN)
    }

    fn sibling(&self, coding: &str) -> Option<(Position, &Representation)> {
        let mut all = self.representations().enumerate().skip(usize::from(self.has_identity));
        let found = all.find(|(_, (name, _))| is_same(coding.as_bytes(), name));
        found.map(|(position, (_, sibling))| (Position(position), sibling))
    }

    /// Compares the digest of a whole body with the listed one of the same coding.
    pub(crate) fn compare_digest(&self, head: &ResponseHead<'_>, sha256: &[u8; 32]) -> Finding<'_> {
        match head.coding() {
            ContentCoding::Identity => self
                .identity()
                .map_or(Finding::UNLISTED, |one| one.compare_digest(Position(0), sha256)),
            ContentCoding::One(coding) => self
                .sibling(coding)
                .map_or(Finding::UNPROVEN, |(at, sibling)| sibling.compare_digest(at, sha256)),
            ContentCoding::Unknown => Finding::UNPROVEN,
        }
    }
}

/// What do responses show about the file?
impl File {
    /// Returns what a response shows that is not known yet. Mostly that is nothing.
    #[inline]
    pub(crate) fn observe(
        &self,
        head: &ResponseHead<'_>,
        finding: &Finding<'_>,
        is_verbose: bool,
    ) -> Vec<Observation> {
        let mut seen = Vec::new();
        if self.is_known(finding) && !head.fields.caching.is_private && !head.fields.expires {
            return seen;
        }
        if (head.fields.caching.is_private || head.fields.expires) && !self.must_bypass() {
            seen.push(Observation::Private);
        }
        match finding.matching {
            Match::Mismatch => seen.extend(self.observe_mismatch(head, is_verbose)),
            Match::Verified => {
                if head.status == StatusCode::OK && self.not_modified.get().is_none() {
                    seen.push(Observation::NotModified(NotModifiedFields::of(head)));
                }
                seen.extend(self.new_inner_etag(head, finding));
                seen.extend(self.new_inner_date(head, finding));
            }
            Match::Unproven | Match::Unlisted => {}
        }
        seen
    }

    /// Whether nothing new can be learned from a response that was compared.
    #[inline]
    fn is_known(&self, finding: &Finding<'_>) -> bool {
        let has_date = finding.comparison.is_some_and(|comparison| comparison.date.agrees());
        let representation = finding.position.and_then(|position| self.representation(position));
        finding.matching == Match::Verified
            && self.not_modified.get().is_some()
            && (!has_date
                || representation
                    .is_some_and(|one| one.knows_inner_etag() && one.knows_inner_date()))
    }

    /// Returns a mismatch: once, or every time if the log is to be verbose.
    fn observe_mismatch(&self, head: &ResponseHead<'_>, is_verbose: bool) -> Option<Observation> {
        let field = |name| head.headers.get(name).cloned();
        (!self.has_changed() || is_verbose).then(|| Observation::Mismatch {
            length: head.length(),
            last_modified: field(header::LAST_MODIFIED),
            content_encoding: field(header::CONTENT_ENCODING),
        })
    }

    /// Returns that the inner service has answered 404 for `<base>/<path>`: once, or every
    /// time if the log is to be verbose.
    pub(crate) fn observe_missing(&self, base: &str, is_verbose: bool) -> Option<Observation> {
        // Of a file without a plain form a client may want what there is not.
        self.identity()?;
        let is_known = self.warned_missing.load(Ordering::Relaxed);
        let path = || format!("{base}/{}", self.path);
        (!is_known || is_verbose).then(|| Observation::Missing { path: path() })
    }

    /// Returns the inner service's tag, if it is new. It belongs to the listed file if length
    /// and date both agreed.
    #[inline]
    fn new_inner_etag(
        &self,
        head: &ResponseHead<'_>,
        finding: &Finding<'_>,
    ) -> Option<Observation> {
        let Comparison { length, date, .. } = finding.comparison?;
        let is_proven = length.agrees() && date.agrees();
        if !is_proven || head.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return None;
        }
        let (position, sent) = (finding.position?, head.fields.etag?);
        let is_known = self.representation(position)?.knows_inner_etag();
        (!is_known).then(|| Observation::InnerEtag(position, detached(sent)))
    }

    #[inline]
    fn new_inner_date(
        &self,
        head: &ResponseHead<'_>,
        finding: &Finding<'_>,
    ) -> Option<Observation> {
        if !finding.comparison?.date.agrees() {
            return None;
        }
        let (position, sent) = (finding.position?, head.fields.last_modified?);
        let is_known = self.representation(position)?.knows_inner_date();
        (!is_known).then(|| Observation::InnerDate(position, detached(sent)))
    }

    /// Remembers what a response has shown, and logs what an operator should know.
    pub(crate) fn remember(&self, observation: Observation) {
        match observation {
            Observation::Private => self.must_bypass.store(true, Ordering::Relaxed),
            Observation::Mismatch { length, last_modified, content_encoding } => {
                self.remember_mismatch(length, last_modified.as_ref(), content_encoding.as_ref());
            }
            Observation::Missing { path } => {
                self.warned_missing.store(true, Ordering::Relaxed);
                event::emit(Event::Missing { listed: &self.path, requested: &path });
            }
            Observation::InnerEtag(position, etag) => {
                if let Some(representation) = self.representation(position) {
                    representation.remember_etag(etag);
                }
            }
            Observation::InnerDate(position, date) => {
                if let Some(representation) = self.representation(position) {
                    representation.remember_date(date);
                }
            }
            Observation::NotModified(fields) => {
                self.not_modified.get_or_init(|| fields);
            }
            Observation::OtherPart { wanted } => {
                let mut all = self.representations();
                if let Some((_, named)) = all.find(|(_, named)| named.is_named(&wanted)) {
                    named.is_out_of_reach.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn remember_mismatch(
        &self,
        length: Option<u64>,
        last_modified: Option<&HeaderValue>,
        content_encoding: Option<&HeaderValue>,
    ) {
        self.has_changed.store(true, Ordering::Relaxed);
        let Some((_, listed)) = self.representations.first() else { return };
        let (path, info) = (&self.path, listed.info());
        let (listed_length, listed_modified) = (info.length(), info.modified());
        event::emit(Event::Changed(Changed {
            path,
            listed_length,
            listed_modified,
            length,
            last_modified,
            content_encoding,
        }));
    }
}

/// Whether the suffix of a tag is that of a delta.
#[cfg(feature = "delta")]
fn is_delta(suffix: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let dictionary = suffix.strip_prefix("dcz-");
    dictionary.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(is_digit))
}

impl NotModifiedFields {
    /// Returns the fields for a file of which no response has been seen, with so many
    /// representations.
    #[cfg(feature = "releases")]
    fn of_listing(representations: usize) -> Self {
        let vary = (header::VARY, HeaderValue::from_static("accept-encoding"));
        let lines = Some(vary).filter(|_| representations > 1).into_iter().collect();
        Self { lines, caching: InnerCaching::default() }
    }

    fn of(head: &ResponseHead<'_>) -> Self {
        let repeated = [header::VARY, header::CONTENT_LOCATION, header::CACHE_CONTROL];
        // A cache replaces its own by those of the 304 (RFC 9111 §3.2).
        let for_cdns = head.headers.keys().filter(|name| is_targeted(name) || is_tagging(name));
        let lines = repeated.iter().chain(for_cdns).flat_map(|name| {
            let lines = head.headers.get_all(name).iter().map(detached);
            lines.map(|line| (name.clone(), line)).collect::<Vec<_>>()
        });
        Self { lines: lines.collect(), caching: head.fields.caching }
    }

    /// Copies the fields, for a thread of its own.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        for (name, line) in &self.lines {
            headers.append(name.clone(), detached(line));
        }
    }

    /// Returns how the fields of `write_to` restrict caching.
    pub(crate) fn caching(&self) -> InnerCaching {
        self.caching
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::evidence::LengthTrust;
    use crate::{
        Manifest,
        header::{
            head::ResponseFields,
            range::{ForwardedRange, Range},
        },
    };
    use std::time::{Duration, SystemTime};

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LENGTH: (&str, &str) = ("content-length", "11");
    const TIME: (&str, &str) = ("last-modified", DATE);
    const TAG: (&str, &str) = ("etag", "\"v1\"");
    const GZIP: (&str, &str) = ("content-encoding", "gzip");
    const BR: (&str, &str) = ("content-encoding", "br");
    const COMPLETE: (&str, &str) = ("content-range", "bytes */11");
    const PART: (&str, &str) = ("content-range", "bytes 0-4/11");

    /// A file of 11 bytes, with a sibling of five.
    fn file() -> File {
        let files = [("a", "hello world"), ("a.br", "coded")];
        let manifest = Manifest::from_files(files).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let info = |path| manifest.get(path).unwrap().clone().with_modified(Some(modified));
        let (plain, sibling) = (info("a"), info("a.br"));
        File::new("a", [(IDENTITY, &plain), ("br", &sibling)].into_iter())
    }

    /// Compares a response. Returns how it matches, the tag that it gets, and what it shows.
    fn see(
        file: &File,
        status: u16,
        lines: &[(&'static str, &str)],
    ) -> (Match, Option<String>, Vec<Observation>) {
        let line = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = lines.iter().map(line).collect::<HeaderMap>();
        let fields = ResponseFields::of(&headers);
        let status = StatusCode::from_u16(status).unwrap();
        let head = ResponseHead { status, headers: &headers, fields: &fields, body_length: None };
        let range = ForwardedRange::Bytes(Range::From { first: 0, last: Some(4) });
        let finding = file.compare(&head, ComparisonContext { range, trust: LengthTrust::Always });
        let etag = finding.etag.as_ref().map(|etag| etag.to_str().unwrap().to_owned());
        (finding.matching, etag, file.observe(&head, &finding, false))
    }

    fn described(seen: &[Observation]) -> String {
        let name = |seen: &Observation| match seen {
            Observation::Private => "private".into(),
            Observation::Mismatch { .. } => "mismatch".into(),
            Observation::Missing { .. } => "missing".into(),
            Observation::InnerEtag(Position(position), _) => format!("tag of {position}"),
            Observation::InnerDate(Position(position), _) => format!("date of {position}"),
            Observation::NotModified(_) => "fields".into(),
            Observation::OtherPart { .. } => "other part".into(),
        };
        seen.iter().map(name).collect::<Vec<String>>().join(", ")
    }

    #[test]
    fn what_a_response_shows() {
        let all = "fields, tag of 0, date of 0";
        let sibling = ("content-length", "5");
        for (name, status, lines, expected) in [
            ("everything", 200, &[LENGTH, TIME, TAG][..], all),
            ("no date", 200, &[LENGTH, TAG], "fields"),
            ("no tag", 200, &[LENGTH, TIME], "fields, date of 0"),
            ("no length", 200, &[TIME, TAG], ""),
            ("a sibling", 200, &[BR, sibling, TIME, TAG], "fields, tag of 1, date of 1"),
            ("an unknown sibling", 200, &[("content-encoding", "gzip"), sibling, TIME, TAG], ""),
            ("a part", 206, &[PART, TIME, TAG], "tag of 0, date of 0"),
            ("not modified", 304, &[TIME, TAG], "date of 0"),
            ("not satisfied", 416, &[COMPLETE, TIME, TAG], "date of 0"),
            ("changed", 200, &[("content-length", "12"), TIME, TAG], "mismatch"),
            ("for one client", 200, &[LENGTH, ("set-cookie", "a=b")], "private, fields"),
            ("with an expiry", 200, &[LENGTH, ("expires", DATE)], "private, fields"),
        ] {
            let file = file();
            let (.., seen) = see(&file, status, lines);
            assert_eq!(described(&seen), expected, "{name}");
            seen.into_iter().for_each(|seen| file.remember(seen));
            let (.., again) = see(&file, status, lines);
            assert_eq!(described(&again), "", "{name}, again");
        }
    }

    /// A service that streams a sibling sends the sibling's time, which is not the file's.
    #[test]
    fn a_streamed_sibling_is_no_contradiction() {
        let later = "Sun, 06 Nov 1994 08:49:38 GMT";
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + seconds);
        let manifest = Manifest::from_files([("a", "hello world"), ("a.br", "coded")]).unwrap();
        let info = |path, time| manifest.get(path).unwrap().clone().with_modified(Some(time));
        let (plain, sibling) = (info("a", at(0)), info("a.br", at(1)));
        let file = File::new("a", [(IDENTITY, &plain), ("br", &sibling)].into_iter());
        for (name, coding, time, expected) in [
            ("of the sibling's time", BR, later, Match::Unproven),
            ("of the file's", BR, DATE, Match::Unproven),
            ("of another", BR, "Sun, 06 Nov 1994 08:49:39 GMT", Match::Mismatch),
            ("in another coding", GZIP, later, Match::Mismatch),
        ] {
            let (found, ..) = see(&file, 200, &[coding, ("last-modified", time)]);
            assert_eq!(found, expected, "{name}");
        }
    }

    /// The inner service's tag, once learned, tells another file of the same length and date.
    #[test]
    fn a_learned_tag_decides() {
        let other = ("etag", "\"v2\"");
        let weak = ("etag", "W/\"v1\"");
        let own = file().etag().unwrap().to_str().unwrap().to_owned();
        let coded = format!("W/{}-gzip\"", own.trim_end_matches('"'));
        let sibling = file().representations[1].1.etag().to_str().unwrap().to_owned();
        let length = ("content-length", "5");
        use Match::{Mismatch, Unproven, Verified};
        for (name, status, lines, matching, etag) in [
            ("the same", 200, &[TIME, TAG][..], Verified, &*own),
            ("another", 200, &[LENGTH, TIME, other], Mismatch, ""),
            ("compressed on its way", 200, &[GZIP, TIME, weak], Verified, &coded),
            ("another, compressed", 200, &[GZIP, TIME, other], Mismatch, ""),
            ("compressed, without a tag", 200, &[GZIP, TIME], Unproven, ""),
            ("the sibling", 200, &[BR, length, TIME, other], Verified, &sibling),
            ("another sibling", 200, &[BR, LENGTH, TIME, TAG], Mismatch, ""),
            ("two codings", 200, &[("content-encoding", "gzip, br"), TAG], Unproven, ""),
        ] {
            let file = file();
            let (.., seen) = see(&file, 200, &[LENGTH, TIME, TAG]);
            seen.into_iter().for_each(|seen| file.remember(seen));
            let (found, found_etag, _) = see(&file, status, lines);
            let found = (found, found_etag.unwrap_or_default());
            assert_eq!(found, (matching, etag.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_representation_out_of_reach_is_named_no_more() {
        let file = file();
        let tags = file.representations().map(|(_, one)| one.etag().clone()).collect::<Vec<_>>();
        let named = |tag: &HeaderValue| {
            let tag = EntityTag::parse(tag.as_bytes()).unwrap();
            file.strongly_named(&tag, AcceptedCodings::ANY).map(|(coding, _)| coding)
        };
        assert_eq!([named(&tags[0]), named(&tags[1])], [Some("identity"), Some("br")]);
        file.remember(Observation::OtherPart { wanted: HeaderValue::from_static("\"x\"") });
        assert_eq!([named(&tags[0]), named(&tags[1])], [Some("identity"), Some("br")]);
        file.remember(Observation::OtherPart { wanted: tags[1].clone() });
        assert_eq!([named(&tags[0]), named(&tags[1])], [Some("identity"), None]);
    }

    #[test]
    fn only_a_path_without_a_percent_is_its_own_url() {
        let manifest = Manifest::from_files([("a", "")]).unwrap();
        let info = manifest.get("a").unwrap();
        for (path, expected) in [("a", true), ("two words", true), ("100%.txt", false)] {
            assert_eq!(
                File::new(path, [(IDENTITY, info)].into_iter()).is_literal(),
                expected,
                "{path}"
            );
        }
    }
}
