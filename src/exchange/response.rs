//! How is a response edited? Exchange + response head → edits.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use percent_encoding::{CONTROLS, percent_encode};

use crate::{
    cdn::Sent,
    exchange::{
        ClientConditions, Exchange, MethodKind,
        redirect::{RequestedUrl, restore_version},
    },
    header::{
        content_coding::ContentCoding,
        etag::EntityTag,
        head::{InnerCaching, ResponseFields},
        preconditions::Evaluation,
        range::ForwardedRange,
        set_etag,
    },
    memory::{Accept, FileKey, Memory, Recorder},
    observe::event::{self, Event},
    policy::{Match, is_error, is_redirect, is_whole_or_part},
    snapshot::{
        Place,
        file::{File, Observation},
        representation::{ComparisonContext, Finding, ResponseHead, strong_etag},
    },
    url::{Division, StaticUrlOutcome},
};

/// What remains to be done with a response once its head has been edited.
#[derive(Debug)]
pub(crate) struct ResponseEdit {
    pub(crate) body: BodyEdit,
    /// To be [remembered](Exchange::remember).
    pub(crate) observations: Vec<Observation>,
}

/// What to do with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEdit {
    Pass,
    /// Send the response without content.
    Drop,
    /// Hold it back until its digest is known, for [`Exchange::on_body_digest`].
    Digest(Pending),
}

/// A response whose body has yet to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The length of the body in bytes.
    pub(crate) length: u64,
    matching: Match,
    /// The digest decides whether this is the listed file.
    is_proof: bool,
}

impl From<BodyEdit> for ResponseEdit {
    fn from(body: BodyEdit) -> Self {
        Self { body, observations: Vec::new() }
    }
}

impl Exchange {
    /// Edits the head of a response. `body_length` is the exact length of the body, if the
    /// body knows it.
    pub(crate) fn on_response<B>(
        &self,
        response: &mut Response<B>,
        body_length: Option<u64>,
    ) -> ResponseEdit {
        if !self.target.method.is_get_or_head() {
            return BodyEdit::Pass.into();
        }
        self.tell_version(response);
        let fields = ResponseFields::of(response.headers());
        let caching = fields.caching;
        if self.target.outcome == StaticUrlOutcome::Outside {
            return self.on_foreign_response(response, caching).into();
        }
        let head = self.head(response, &fields, body_length);
        let (finding, mut observations) = self.examine(&head);
        if let Some(pending) = self.wanted_digest(&head, &finding) {
            return ResponseEdit { body: BodyEdit::Digest(pending), observations };
        }
        let Finding { matching, etag, .. } = finding;
        self.emit_if_unproven(matching);
        if let Some(wanted) = self.missed_part(head.status, etag.as_deref()) {
            observations.push(Observation::OtherPart { wanted: wanted.clone() });
            response.headers_mut().remove(header::ETAG);
            let status = StatusCode::PRECONDITION_FAILED;
            let body = self.without_content(response, status, matching, caching);
            return ResponseEdit { body, observations };
        }
        let etag = etag.filter(|_| !caching.is_private).map(Cow::into_owned);
        if let Some(etag) =
            etag.or_else(|| weak_if_compressed(&head).filter(|_| !caching.is_private))
        {
            set_etag(response.headers_mut(), etag);
        }
        ResponseEdit { body: self.finish(response, matching, caching), observations }
    }

    /// Completes a response whose body was hashed. There is no digest if the body failed, or
    /// did not have the announced length.
    pub(crate) fn on_body_digest<B>(
        &self,
        response: &mut Response<B>,
        pending: Pending,
        sha256: Option<&[u8; 32]>,
    ) -> ResponseEdit {
        let fields = ResponseFields::of(response.headers());
        let caching = fields.caching;
        let Some(sha256) = sha256 else {
            self.emit_if_unproven(pending.matching);
            return self.set_cache_control(response, pending.matching, caching).into();
        };
        let file = self.file().filter(|_| pending.is_proof);
        let head = self.head(response, &fields, Some(pending.length));
        let hashed = file.map(|file| (file, file.compare_digest(&head, sha256)));
        let is_development = self.is_development();
        let observations = hashed
            .as_ref()
            .map_or_else(Vec::new, |(file, finding)| file.observe(&head, finding, is_development));
        let matching = hashed.map_or(pending.matching, |(_, finding)| finding.matching);
        self.emit_if_unproven(matching);
        // Unlisted bytes keep the inner service's tag, if they have one.
        if matching == Match::Verified || fields.etag.is_none() {
            response.headers_mut().insert(header::ETAG, strong_etag(sha256));
        }
        ResponseEdit {
            body: self.evaluate_preconditions(response, matching, caching),
            observations,
        }
    }

    /// Edits a response from memory as one from the inner service.
    #[cfg(feature = "memory")]
    pub(crate) fn on_stored_response(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        let length = response.body().len() as u64;
        let ResponseEdit { body, observations } = self.on_response(&mut response, Some(length));
        self.remember(observations);
        match body {
            BodyEdit::Drop => response.map(|_| Bytes::new()),
            BodyEdit::Pass | BodyEdit::Digest(_) => response,
        }
    }

    fn emit_if_unproven(&self, matching: Match) {
        if matching == Match::Unproven && self.target.file.is_some() {
            event::emit(Event::Unproven);
        }
    }

    /// Remembers what a response has shown about the file.
    #[inline]
    pub(crate) fn remember(&self, observations: Vec<Observation>) {
        if observations.is_empty() {
            return;
        }
        for observation in observations {
            if let Some(file) = self.file() {
                file.remember(observation);
            }
        }
    }

    /// Whether a response has ever contradicted the manifest's entry for the file.
    pub(crate) fn has_changed(&self) -> bool {
        self.file().is_some_and(File::has_changed)
    }

    /// Begins to record a response, if it may be the whole file. Call this before the response
    /// is edited.
    pub(crate) fn record<B: Body>(&self, response: &Response<B>) -> Option<Box<Recorder>> {
        let accept = self.stored_for.as_ref()?;
        self.record_in(self.snapshot.memory()?, self.target.file?.into(), accept, response)
    }

    /// Begins to record a response as [`record`](Self::record) does.
    pub(crate) fn record_in<B: Body>(
        &self,
        memory: &Arc<Memory>,
        key: FileKey,
        accept: &Accept,
        response: &Response<B>,
    ) -> Option<Box<Recorder>> {
        let fields = ResponseFields::of(response.headers());
        if response.status() != StatusCode::OK || fields.caching.is_private {
            return None;
        }
        let file = self.file()?;
        let head = self.head(response, &fields, response.body().size_hint().exact());
        let (coding, info) = file.stored_as(&head)?;
        memory.record(key, accept, coding, response.headers(), info)
    }

    #[inline]
    fn head<'r, B>(
        &self,
        response: &'r Response<B>,
        fields: &'r ResponseFields<'r>,
        body_length: Option<u64>,
    ) -> ResponseHead<'r> {
        // A response to `HEAD` has an empty body, or one that knows the length of `GET`'s.
        let is_known = |&length: &u64| self.target.method == MethodKind::Get || length > 0;
        ResponseHead {
            status: response.status(),
            headers: response.headers(),
            fields,
            body_length: body_length.filter(is_known),
        }
    }

    /// Adds the header with the version, if the layer has one, to what may be a page: to everything
    /// outside the mount, and below it to HTML without a version.
    #[inline]
    fn tell_version<B>(&self, response: &mut Response<B>) {
        let outcome = self.target.outcome;
        let is_outside = outcome == StaticUrlOutcome::Outside;
        if (is_outside || outcome == StaticUrlOutcome::Unversioned)
            && self.snapshot.version_field().is_set()
            && (is_outside || is_html(response.headers()))
        {
            self.snapshot.version_field().add_to(response.headers_mut());
        }
    }

    /// Edits a response of the rest of the site: only errors. The path starts like a version,
    /// so an error may be about a file that another node has.
    fn on_foreign_response<B>(
        &self,
        response: &mut Response<B>,
        caching: InnerCaching,
    ) -> BodyEdit {
        if is_error(response.status()) {
            let edit = self.snapshot.settings().policies.foreign_error();
            edit.apply(response.headers_mut(), caching, self.target.is_authorized);
        }
        BodyEdit::Pass
    }

    /// Compares a response with the listed file, and returns what it shows about the file.
    #[inline]
    fn examine(&self, head: &ResponseHead<'_>) -> (Finding<'_>, Vec<Observation>) {
        let status = head.status;
        let is_comparable = is_whole_or_part(status) || status == StatusCode::RANGE_NOT_SATISFIABLE;
        let file = self.file();
        let Some(file) = file.filter(|_| is_comparable) else {
            let is_missing = status == StatusCode::NOT_FOUND;
            let missing = file.filter(|_| is_missing).and_then(|file| {
                let base = self.snapshot.base(self.target.nested);
                file.observe_missing(base, self.is_development())
            });
            // No file is sent with such a status, but what is sent may be of one.
            let finding = if file.is_some() && status.is_success() {
                Finding::UNPROVEN
            } else {
                Finding::without_comparison(self.match_unlisted(head))
            };
            return (finding, missing.into_iter().collect());
        };
        // Which of the two is right, the file or what was compressed? No cache may pin either.
        if self.target.accepts_stale_coding {
            return (Finding::UNPROVEN, Vec::new());
        }
        let is_development = self.is_development();
        let trust = self.snapshot.settings().trust;
        let context = ComparisonContext { range: self.target.range, trust };
        let finding = file.compare(head, context);
        let observations = file.observe(head, &finding, is_development);
        (finding, observations)
    }

    /// Returns how a response counts that cannot be compared with a listed file. Without a
    /// manifest, the user who declared the version vouches for every response, except for a
    /// 206 without a forwarded `Range` or without a valid `Content-Range`.
    fn match_unlisted(&self, head: &ResponseHead<'_>) -> Match {
        let is_part_expected = head.status != StatusCode::PARTIAL_CONTENT
            || (self.target.range != ForwardedRange::None && head.is_part());
        match (self.snapshot.has_manifest(), is_part_expected) {
            (true, _) => Match::Unlisted,
            (false, true) => Match::Verified,
            (false, false) => Match::Unproven,
        }
    }

    /// Returns what to hash: a body without a validator, or one that only its digest can prove
    /// to be the listed file.
    #[inline]
    fn wanted_digest(&self, head: &ResponseHead<'_>, finding: &Finding<'_>) -> Option<Pending> {
        let limit = self.snapshot.settings().body_digest_limit;
        let is_proof = finding.needs_digest();
        let has_validator = finding.etag.is_some()
            || head.fields.etag.is_some()
            || head.fields.last_modified.is_some();
        let is_wanted = (is_proof || !has_validator)
            && self.target.method == MethodKind::Get
            && head.status == StatusCode::OK
            && limit > 0
            && head.length() == head.body_length
            && !head.fields.caching.is_private;
        let length = head.body_length.filter(|&length| is_wanted && length <= limit)?;
        Some(Pending { length, matching: finding.matching, is_proof })
    }

    /// Returns the tag of an `If-Range` that matched, if the response is a part of something
    /// else. Once that is remembered, no range is forwarded for this tag.
    fn missed_part(&self, status: StatusCode, etag: Option<&HeaderValue>) -> Option<&HeaderValue> {
        let wanted = self.conditions.as_ref()?.if_range.as_ref()?;
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        (is_part && etag != Some(wanted)).then_some(wanted)
    }

    /// Edits everything but the tag, which is set already.
    fn finish<B>(
        &self,
        response: &mut Response<B>,
        matching: Match,
        caching: InnerCaching,
    ) -> BodyEdit {
        let status = response.status();
        if is_redirect(status) {
            self.restore_location(response.headers_mut());
        }
        if status == StatusCode::NOT_MODIFIED {
            // A 304 need not have it (RFC 9110 §15.4.5), and must not have the length of the
            // empty body (§8.6).
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        match self.target.file {
            Some(_) => self.evaluate_preconditions(response, matching, caching),
            None => self.set_cache_control(response, matching, caching),
        }
    }

    /// Evaluates the conditions that the inner service did not see. The response has its
    /// validators already.
    fn evaluate_preconditions<B>(
        &self,
        response: &mut Response<B>,
        matching: Match,
        caching: InnerCaching,
    ) -> BodyEdit {
        let status = response.status();
        // RFC 9110 §13.2.1: only if the response without conditions is a 2xx. A 416 would be
        // one without the range, and `Range` is evaluated last (§13.2.2).
        let is_conditional = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
        let Some(conditions) = self.conditions.as_ref().filter(|_| is_conditional) else {
            return self.set_cache_control(response, matching, caching);
        };
        let evaluation = conditions.evaluate(response.headers());
        let is_file = matching == Match::Verified && !caching.is_private;
        let other = (evaluation == Evaluation::Proceed && is_file)
            .then(|| self.named_in_another_coding(conditions))
            .flatten();
        if let Some(etag) = other {
            response.headers_mut().insert(header::ETAG, etag);
            self.without_content(response, StatusCode::NOT_MODIFIED, matching, caching);
            #[cfg(feature = "delta")]
            self.restrict_delta(response.headers_mut());
            return BodyEdit::Drop;
        }
        let status = match evaluation {
            Evaluation::Proceed => return self.set_cache_control(response, matching, caching),
            Evaluation::NotModified => StatusCode::NOT_MODIFIED,
            Evaluation::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        };
        self.without_content(response, status, matching, caching)
    }

    /// Returns the tag of the client's copy, if that is the listed file in another coding than
    /// the inner service has selected, and the client still accepts that coding.
    fn named_in_another_coding(&self, conditions: &ClientConditions) -> Option<HeaderValue> {
        let file = self.file()?;
        let ClientConditions { preconditions, accepted, .. } = conditions;
        let made_of_it = |tag: &EntityTag<'_>| file.is_source_of(tag, *accepted);
        #[cfg(feature = "delta")]
        let made_of_it = |tag: &EntityTag<'_>| made_of_it(tag) || self.has_delta(tag);
        if let Some(tag) = preconditions.none_match().find(made_of_it) {
            // A weak one is the layer's own, of bytes that were compressed on the way.
            return if tag.is_weak() { tag.to_value() } else { file.etag().cloned() };
        }
        // The same rule as for a 304 without the inner service.
        let accepts = |coding: &str| accepted.allow(coding);
        let named = file.only_named(preconditions.none_match_lines(), accepts);
        named.filter(|_| self.names_content()).map(|named| named.etag().clone())
    }

    /// Replaces a response by one without content (RFC 9110 §15.4.5, §15.5.13). It keeps all
    /// fields but those that describe the content, and only the stronger of two validators.
    fn without_content<B>(
        &self,
        response: &mut Response<B>,
        status: StatusCode,
        matching: Match,
        caching: InnerCaching,
    ) -> BodyEdit {
        *response.status_mut() = status;
        for name in CONTENT_FIELDS {
            response.headers_mut().remove(name);
        }
        if response.headers().contains_key(header::ETAG) {
            response.headers_mut().remove(header::LAST_MODIFIED);
        }
        self.set_cache_control(response, matching, caching);
        BodyEdit::Drop
    }

    fn set_cache_control<B>(
        &self,
        response: &mut Response<B>,
        matching: Match,
        caching: InnerCaching,
    ) -> BodyEdit {
        let policies = &self.snapshot.settings().policies;
        let outcome = match matching {
            Match::Verified if self.names_content() => StaticUrlOutcome::Current,
            _ => self.target.outcome,
        };
        let edit = policies.cache_control(outcome, response.status(), matching);
        edit.apply(response.headers_mut(), caching, self.target.is_authorized);
        if self.snapshot.settings().cdn.is_some() {
            self.tell_cdn(response, outcome, matching, caching);
        }
        #[cfg(feature = "delta")]
        if self.snapshot.settings().deltas.is_some() {
            self.offer(response, matching, caching);
        }
        BodyEdit::Pass
    }

    /// Adds the fields for a CDN. Apart, because most layers have none.
    #[cold]
    #[inline(never)]
    fn tell_cdn<B>(
        &self,
        response: &mut Response<B>,
        outcome: StaticUrlOutcome,
        matching: Match,
        caching: InnerCaching,
    ) {
        let Some(cdn) = &self.snapshot.settings().cdn else { return };
        let (version, status) = (self.snapshot.version(), response.status());
        let is_authorized = self.target.is_authorized;
        let sent = Sent { version, outcome, status, matching, caching, is_authorized };
        cdn.add_to(response.headers_mut(), sent);
    }

    fn restore_location(&self, headers: &mut HeaderMap) {
        // Without a removed version there is no original.
        let Some(original) = &self.original else { return };
        let path = original.uri.path();
        let Some(Division { version, rest, .. }) = self.snapshot.divide(self.target.nested, path)
        else {
            return;
        };
        let (mount, authority) = (self.snapshot.mount(), original.authority());
        let requested = RequestedUrl { mount, version, rest, authority };
        let restored = headers.get(header::LOCATION).and_then(|location| {
            // A URI reference is ASCII (RFC 3986 §2), but some services send other bytes.
            let location = Cow::from(percent_encode(location.as_bytes(), CONTROLS));
            let is_version = |segment: &str| self.snapshot.is_version(segment);
            let is_below =
                |path: &str| matches!(self.snapshot.locate(false, path), Place::Below(_));
            let restored = restore_version(&location, requested, is_version, is_below)?;
            HeaderValue::from_maybe_shared(Bytes::from(restored)).ok()
        });
        if let Some(location) = restored {
            headers.insert(header::LOCATION, location);
        }
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let start = media_type.and_then(|media_type| media_type.get(.."text/html".len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
}

/// Returns the inner service's tag as a weak one, if the response was compressed on its way:
/// the compressed bytes must not share a strong tag with the plain ones.
fn weak_if_compressed(head: &ResponseHead<'_>) -> Option<HeaderValue> {
    if head.coding() == ContentCoding::Identity || head.length().is_some() {
        return None;
    }
    let strong = head.fields.etag.filter(|etag| etag.as_bytes().starts_with(b"\""))?;
    let weak = [b"W/", strong.as_bytes()].concat();
    HeaderValue::from_maybe_shared(Bytes::from(weak)).ok()
}

/// The fields that describe the content (RFC 9110 §8.3 – §8.6, §14.3, §14.4).
const CONTENT_FIELDS: [header::HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Manifest, StaticUrlLayer, StaticUrlLayerBuilder,
        exchange::Target,
        header::{content_coding::AcceptedCodings, preconditions::Preconditions},
    };
    use StaticUrlOutcome::{Current, Outside, Stale, Unversioned};

    const YEAR: &str = "public, max-age=31536000, immutable";
    const CONTENT: &str = "hello world";

    fn builder() -> StaticUrlLayerBuilder {
        let manifest = Manifest::from_files([("a", CONTENT)]).unwrap();
        StaticUrlLayer::builder("/static").manifest(manifest)
    }

    /// Makes an exchange for a path, listed or not.
    fn exchange(builder: StaticUrlLayerBuilder, outcome: StaticUrlOutcome, path: &str) -> Exchange {
        let snapshot = builder.build().unwrap().current().handle();
        let target = Target {
            nested: false,
            outcome,
            file: snapshot.find(path),
            method: MethodKind::Get,
            is_authorized: false,
            range: ForwardedRange::None,
            accepts_stale_coding: false,
        };
        Exchange::new(
            snapshot,
            target,
            None,
            None,
            #[cfg(feature = "delta")]
            None,
        )
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let response = Response::builder().status(status);
        let add = |response: http::response::Builder, &(name, value): &(&str, &str)| {
            response.header(name, value)
        };
        fields.iter().fold(response, add).body(()).unwrap()
    }

    fn field<'r>(response: &'r Response<()>, name: &str) -> &'r str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn tag() -> String {
        let sha256 = *Manifest::from_files([("a", CONTENT)]).unwrap().get("a").unwrap().sha256();
        strong_etag(&sha256).to_str().unwrap().to_owned()
    }

    #[test]
    fn outcome_and_response_to_cache_control_and_tag() {
        let tag = &*tag();
        let right = &[("content-length", "11")][..];
        let wrong = &[("content-length", "12"), ("etag", "\"inner\"")][..];
        let date_only = &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")][..];
        for (name, outcome, path, status, fields, cache_control, etag) in [
            ("as scanned", Current, "a", 200, right, YEAR, tag),
            ("changed", Current, "a", 200, wrong, "no-cache", "\"inner\""),
            ("unproven", Current, "a", 200, date_only, "no-cache", ""),
            ("not listed", Current, "b", 200, wrong, "no-cache", "\"inner\""),
            ("not found", Current, "a", 404, right, "no-store", ""),
            ("stale", Stale, "a", 200, right, "no-cache", tag),
            ("stale and changed", Stale, "a", 200, wrong, "no-cache", "\"inner\""),
            ("unversioned", Unversioned, "a", 200, right, "no-cache", tag),
            ("unversioned and changed", Unversioned, "a", 200, wrong, "no-cache", "\"inner\""),
            ("an error", Unversioned, "b", 500, &[], "no-store", ""),
            ("a redirect", Current, "b", 302, &[], "no-cache", ""),
            ("outside", Outside, "", 200, wrong, "", "\"inner\""),
            ("an error outside", Outside, "", 404, &[], "no-store", ""),
            ("a part that nobody requested", Current, "a", 206, &[], "no-cache", ""),
            ("no status of a file", Unversioned, "a", 203, right, "no-cache", ""),
        ] {
            let mut response = response(status, fields);
            let edit = exchange(builder(), outcome, path).on_response(&mut response, None);
            assert_eq!(edit.body, BodyEdit::Pass, "{name}");
            assert_eq!(response.status().as_u16(), status, "{name}");
            let found = (field(&response, "cache-control"), field(&response, "etag"));
            assert_eq!(found, (cache_control, etag), "{name}");
        }
    }

    #[test]
    fn a_mismatch_is_observed_once() {
        let exchange = exchange(builder(), Current, "a");
        for expected in [1, 0] {
            let mut response = response(200, &[("content-length", "12"), ("etag", "\"a\"")]);
            let edit = exchange.on_response(&mut response, None);
            let is_mismatch = |seen: &&Observation| matches!(seen, Observation::Mismatch { .. });
            assert_eq!(edit.observations.iter().filter(is_mismatch).count(), expected);
            assert_eq!(exchange.has_changed(), expected == 0, "nothing is remembered meanwhile");
            exchange.remember(edit.observations);
            assert!(exchange.has_changed());
        }
    }

    #[test]
    fn bodies_without_a_validator_are_hashed() {
        let limit = |bytes| builder().body_digest_limit(bytes);
        for (name, builder, path, fields, length, is_hashed) in [
            ("no validator", builder(), "b", &[][..], Some(5), true),
            ("unknown length", builder(), "b", &[], None, false),
            ("its own tag", builder(), "b", &[("etag", "\"a\"")], Some(5), false),
            ("its own date", builder(), "b", &[("last-modified", "x")], Some(5), false),
            ("for one client", builder(), "b", &[("set-cookie", "a=b")], Some(5), false),
            (
                "not the announced length",
                builder(),
                "b",
                &[("content-length", "4")],
                Some(5),
                false,
            ),
            ("as long as may be", limit(5), "b", &[], Some(5), true),
            ("too long", limit(4), "b", &[], Some(5), false),
            ("turned off", limit(0), "b", &[], Some(0), false),
            ("proven", builder(), "a", &[], Some(11), false),
            ("changed", builder(), "a", &[], Some(12), true),
            (
                "in development",
                builder().development(true),
                "a",
                &[("etag", "\"a\"")],
                Some(11),
                true,
            ),
        ] {
            let edit =
                exchange(builder, Current, path).on_response(&mut response(200, fields), length);
            assert_eq!(matches!(edit.body, BodyEdit::Digest(_)), is_hashed, "{name}");
        }
    }

    #[test]
    fn in_development_the_bytes_decide() {
        let sha256 = |content: &str| {
            *Manifest::from_files([("a", content)]).unwrap().get("a").unwrap().sha256()
        };
        let own = strong_etag(&sha256("HELLO WORLD")).to_str().unwrap().to_owned();
        for (name, fields, content, cache_control, etag) in [
            ("as listed", &[][..], CONTENT, YEAR, tag()),
            ("as listed, with a tag", &[("etag", "\"x\"")], CONTENT, YEAR, tag()),
            ("edited", &[], "HELLO WORLD", "no-cache", own),
            ("edited, with a tag", &[("etag", "\"x\"")], "HELLO WORLD", "no-cache", "\"x\"".into()),
        ] {
            let exchange = exchange(builder().development(true), Current, "a");
            let mut response = response(200, fields);
            let BodyEdit::Digest(pending) = exchange.on_response(&mut response, Some(11)).body
            else {
                panic!("{name}: the body is not hashed")
            };
            let edit = exchange.on_body_digest(&mut response, pending, Some(&sha256(content)));
            assert_eq!(edit.body, BodyEdit::Pass, "{name}");
            let found = (field(&response, "cache-control"), field(&response, "etag"));
            assert_eq!(found, (cache_control, &*etag), "{name}");
        }
        // The body has failed, or was longer than announced.
        let exchange = exchange(builder().development(true), Current, "a");
        let mut response = response(200, &[]);
        let BodyEdit::Digest(pending) = exchange.on_response(&mut response, Some(11)).body else {
            panic!("the body is not hashed")
        };
        exchange.on_body_digest(&mut response, pending, None);
        assert_eq!((field(&response, "cache-control"), field(&response, "etag")), ("no-cache", ""));
    }

    /// A client that has the file in another coding than the selected one is told so with the
    /// tag of what it has.
    #[test]
    fn a_304_names_the_copy_that_the_client_has() {
        let digest = tag();
        let opaque = digest.trim_matches('"');
        let coded = |weakness: &str| format!("{weakness}\"{opaque}-gzip\"");
        for (name, sent, expected) in [
            ("compressed by the layer's inner service", coded("W/"), coded("W/")),
            ("compressed around the layer", coded(""), digest.clone()),
            ("the file itself", digest.clone(), digest.clone()),
        ] {
            let mut exchange = exchange(builder(), Current, "a");
            let fields = [(header::IF_NONE_MATCH, &*sent), (header::ACCEPT_ENCODING, "gzip")];
            let headers = fields.map(|(name, value)| (name, value.parse().unwrap()));
            let headers = HeaderMap::from_iter(headers);
            exchange.conditions = Some(Box::new(ClientConditions {
                preconditions: Preconditions::of(&headers),
                accepted: AcceptedCodings::of(&headers),
                if_range: None,
            }));
            let mut response = response(200, &[("content-length", "11")]);
            let edit = exchange.on_response(&mut response, None);
            assert_eq!((edit.body, response.status().as_u16()), (BodyEdit::Drop, 304), "{name}");
            assert_eq!(field(&response, "etag"), expected, "{name}");
        }
    }

    fn with_conditions(mut exchange: Exchange, fields: &[(&str, &str)]) -> Exchange {
        let parse = |&(name, value): &(&str, &str)| {
            (header::HeaderName::try_from(name).unwrap(), value.parse().unwrap())
        };
        let headers = fields.iter().map(parse).collect::<HeaderMap>();
        exchange.conditions = Some(Box::new(ClientConditions {
            preconditions: Preconditions::of(&headers),
            accepted: AcceptedCodings::of(&headers),
            if_range: headers.get(header::IF_RANGE).cloned(),
        }));
        exchange
    }

    /// A body without a length of its own may be that of a response to `HEAD`.
    #[test]
    fn lengths_of_bodies() {
        use MethodKind::{Get, Head};
        for (name, method, length, cache_control, is_mismatch) in [
            ("GET, the listed length", Get, Some(11), YEAR, false),
            ("GET, another", Get, Some(12), "no-cache", true),
            ("GET, empty", Get, Some(0), "no-cache", true),
            ("GET, unknown", Get, None, "no-cache", false),
            ("HEAD, the listed length", Head, Some(11), YEAR, false),
            ("HEAD, another", Head, Some(12), "no-cache", true),
            ("HEAD, empty", Head, Some(0), "no-cache", false),
            ("HEAD, unknown", Head, None, "no-cache", false),
        ] {
            let mut exchange = exchange(builder().body_digest_limit(0), Current, "a");
            exchange.target.method = method;
            let mut response = response(200, &[]);
            let edit = exchange.on_response(&mut response, length);
            assert_eq!(field(&response, "cache-control"), cache_control, "{name}");
            let seen = |seen: &Observation| matches!(seen, Observation::Mismatch { .. });
            assert_eq!(edit.observations.iter().any(seen), is_mismatch, "{name}");
        }
    }

    #[test]
    fn only_a_404_shows_that_a_file_is_missing() {
        for (name, path, status, expected) in [
            ("not found", "a", 404, true),
            ("not listed", "b", 404, false),
            ("gone", "a", 410, false),
            ("failed", "a", 500, false),
            ("redirected", "a", 302, false),
            ("found", "a", 200, false),
        ] {
            let exchange = exchange(builder(), Current, path);
            let edit = exchange.on_response(&mut response(status, &[]), Some(11));
            let seen = |seen: &Observation| matches!(seen, Observation::Missing { .. });
            assert_eq!(edit.observations.iter().any(seen), expected, "{name}");
        }
    }

    /// The inner service's own lifetime stays where it cannot pin wrong bytes to a URL.
    #[test]
    fn whose_lifetime_counts() {
        let own = "max-age=3600";
        for (name, path, status, length, expected) in [
            ("as listed", "a", 200, Some(11), own),
            ("another status of a listed file", "a", 203, Some(11), "no-cache"),
            ("changed", "a", 200, Some(12), "no-cache"),
            ("a redirect", "a", 302, None, own),
            ("not listed", "b", 200, Some(5), own),
            ("another status, not listed", "b", 203, Some(5), own),
        ] {
            let builder = builder().body_digest_limit(0);
            let exchange = exchange(builder, Unversioned, path);
            let mut response = response(status, &[("cache-control", own)]);
            exchange.on_response(&mut response, length);
            assert_eq!(field(&response, "cache-control"), expected, "{name}");
        }
    }

    /// Without a manifest, the user who declared the version vouches for what is sent.
    #[test]
    fn parts_of_a_declared_version() {
        let part = &[("content-range", "bytes 0-1/9")][..];
        let unsatisfied = &[("content-range", "bytes */9")][..];
        for (name, status, range, fields, expected) in [
            ("the whole", 200, ForwardedRange::None, &[][..], YEAR),
            ("the whole instead of a part", 200, ForwardedRange::Unparsed, &[], YEAR),
            ("a part", 206, ForwardedRange::Unparsed, part, YEAR),
            ("a part that nobody requested", 206, ForwardedRange::None, part, "no-cache"),
            ("a part of what?", 206, ForwardedRange::Unparsed, &[], "no-cache"),
            ("no part", 206, ForwardedRange::Unparsed, unsatisfied, "no-cache"),
        ] {
            let version = crate::VersionSource::literal("v1");
            let builder = StaticUrlLayer::builder("/static").version(version);
            let mut exchange = exchange(builder, Current, "a");
            exchange.target.range = range;
            let mut response = response(status, fields);
            exchange.on_response(&mut response, None);
            assert_eq!(field(&response, "cache-control"), expected, "{name}");
        }
    }

    /// A client must not get a part of other bytes than those of which it has the rest.
    #[test]
    fn a_part_of_something_else_is_refused() {
        let (own, other) = (&*tag(), "\"other\"");
        let part = &[("content-range", "bytes 0-4/11"), ("content-length", "5")][..];
        let wrong = &[("content-range", "bytes 0-4/12"), ("etag", "\"x\"")][..];
        for (name, if_range, status, fields, expected) in [
            ("of the file", Some(own), 206, part, 206),
            ("of a changed file", Some(own), 206, wrong, 412),
            ("of another representation", Some(other), 206, part, 412),
            ("the whole instead", Some(other), 200, &[("content-length", "11")], 200),
            ("without a condition", None, 206, wrong, 206),
        ] {
            let mut exchange = exchange(builder(), Current, "a");
            let first = crate::header::range::Range::From { first: 0, last: Some(4) };
            exchange.target.range = ForwardedRange::Bytes(first);
            let condition = if_range.map(|if_range| ("if-range", if_range));
            let exchange = with_conditions(exchange, &Vec::from_iter(condition));
            let mut response = response(status, fields);
            let edit = exchange.on_response(&mut response, None);
            assert_eq!(response.status().as_u16(), expected, "{name}");
            let is_refused = expected == 412;
            assert_eq!(edit.body == BodyEdit::Drop, is_refused, "{name}");
            let remembered = |seen: &Observation| matches!(seen, Observation::OtherPart { .. });
            assert_eq!(edit.observations.iter().any(remembered), is_refused, "{name}");
            if is_refused {
                let names = ["etag", "content-range", "content-length"];
                assert_eq!(names.map(|name| field(&response, name)), [""; 3], "{name}");
                assert_eq!(field(&response, "cache-control"), "no-store", "{name}");
            }
        }
    }

    #[test]
    fn only_a_304_loses_its_length() {
        for (status, expected) in [(304, ""), (200, "11")] {
            let mut response = response(status, &[("content-length", "11")]);
            exchange(builder(), Current, "a").on_response(&mut response, None);
            assert_eq!(field(&response, "content-length"), expected, "{status}");
        }
    }

    #[test]
    fn conditions_are_evaluated_on_what_would_be_a_success() {
        let own = tag();
        let own = &*own;
        let gzip = format!("{}-gzip\"", own.trim_end_matches('"'));
        let gzip = &*gzip;
        let listed = &[("content-length", "11")][..];
        let changed = &[("content-length", "12"), ("etag", "\"x\"")][..];
        let private = &[("content-length", "11"), ("set-cookie", "a=b")][..];
        let unsatisfied = &[("content-range", "bytes */11")][..];
        for (name, status, fields, conditions, expected) in [
            ("the client has it", 200, listed, &[("if-none-match", own)][..], 304),
            ("the client has another", 200, listed, &[("if-none-match", "\"x\"")], 200),
            ("it must be another", 200, listed, &[("if-match", "\"x\"")], 412),
            ("a 416", 416, unsatisfied, &[("if-none-match", own)], 304),
            ("a 416 of another", 416, unsatisfied, &[("if-match", "\"x\"")], 412),
            ("an error", 404, listed, &[("if-none-match", "*")], 404),
            ("an error, if it is another", 500, &[], &[("if-match", "\"x\"")], 500),
            ("a redirect", 302, &[], &[("if-match", "\"x\"")], 302),
            ("compressed around the layer", 200, listed, &[("if-none-match", gzip)], 304),
            ("the same, changed", 200, changed, &[("if-none-match", gzip)], 200),
            ("the same, for one client", 200, private, &[("if-none-match", gzip)], 200),
            (
                "the same, but a failed precondition",
                200,
                listed,
                &[("if-none-match", gzip), ("if-match", "\"x\"")],
                412,
            ),
            (
                "the same, no longer accepted",
                200,
                listed,
                &[("if-none-match", gzip), ("accept-encoding", "br")],
                200,
            ),
        ] {
            let exchange = with_conditions(exchange(builder(), Current, "a"), conditions);
            let mut response = response(status, fields);
            let edit = exchange.on_response(&mut response, None);
            assert_eq!(response.status().as_u16(), expected, "{name}");
            assert_eq!(edit.body == BodyEdit::Drop, status != expected, "{name}");
        }
    }

    /// A client that has the pre-compressed sibling still has it when the inner service selects
    /// the file itself. Without a version only the selected one counts.
    #[test]
    fn a_304_for_a_sibling() {
        let manifest = || Manifest::from_files([("a", CONTENT), ("a.br", "coded")]).unwrap();
        let sibling = strong_etag(manifest().get("a.br").unwrap().sha256());
        let sibling = sibling.to_str().unwrap();
        let own = tag();
        for (name, outcome, tags, accept, expected) in [
            ("current", Current, sibling.to_owned(), "br", 304),
            ("unversioned", Unversioned, sibling.to_owned(), "br", 200),
            ("stale", Stale, sibling.to_owned(), "br", 200),
            ("no longer accepted", Current, sibling.to_owned(), "gzip", 200),
            ("beside the file's", Current, format!("{sibling}, {own}"), "br", 304),
        ] {
            let builder = StaticUrlLayer::builder("/static").manifest(manifest());
            let conditions = [("if-none-match", &*tags), ("accept-encoding", accept)];
            let exchange = with_conditions(exchange(builder, outcome, "a"), &conditions);
            let mut response = response(200, &[("content-length", "11")]);
            exchange.on_response(&mut response, None);
            assert_eq!(response.status().as_u16(), expected, "{name}");
            let is_named = expected == 304 && tags == sibling;
            let etag = if is_named { sibling } else { &*own };
            assert_eq!(field(&response, "etag"), etag, "{name}");
        }
    }

    #[test]
    fn a_tag_of_compressed_bytes_is_weak() {
        let gzip = ("content-encoding", "gzip");
        for (name, fields, length, expected) in [
            ("compressed on its way", &[gzip, ("etag", "\"x\"")][..], None, "W/\"x\""),
            ("weak already", &[gzip, ("etag", "W/\"x\"")], None, "W/\"x\""),
            ("no tag", &[gzip, ("etag", "x")], None, "x"),
            ("of known length", &[gzip, ("etag", "\"x\""), ("content-length", "9")], None, "\"x\""),
            ("a body of known length", &[gzip, ("etag", "\"x\"")], Some(9), "\"x\""),
            ("not compressed", &[("etag", "\"x\"")], None, "\"x\""),
            ("for one client", &[gzip, ("etag", "\"x\""), ("set-cookie", "a=b")], None, "\"x\""),
        ] {
            let mut response = response(200, fields);
            exchange(builder(), Current, "b").on_response(&mut response, length);
            assert_eq!(field(&response, "etag"), expected, "{name}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_version() {
        let version = builder().build().unwrap().prefix().version().to_owned();
        let below = format!("/static/{version}/docs/");
        for (name, status, requested, location, expected) in [
            ("a directory", 301, Some("docs"), "/static/docs/", &*below),
            ("elsewhere", 302, Some("docs"), "/login", "/login"),
            ("no redirect", 201, Some("docs"), "/static/docs/", "/static/docs/"),
            ("not modified", 304, Some("docs"), "/static/docs/", "/static/docs/"),
            ("without a version", 301, None, "/static/docs/", "/static/docs/"),
        ] {
            let mut exchange = exchange(builder(), Current, "docs");
            exchange.original = requested.map(|path| crate::exchange::Original {
                uri: format!("/static/{version}/{path}").parse().unwrap(),
                host: None,
            });
            let mut response = response(status, &[("location", location)]);
            exchange.on_response(&mut response, None);
            assert_eq!(field(&response, "location"), expected, "{name}");
        }
    }
}
