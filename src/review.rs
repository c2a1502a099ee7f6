//! The decision on a response, pure: plan + response head → edits.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    coding::{AcceptedCodings, ContentCoding},
    conditional::{Conditions, Evaluation, Validators},
    etag::EntityTag,
    listed::{ListedFile, ResponseHead, Verdict, strong_etag},
    location::{self, Asked, restore_version},
    path::Split,
    plan::{Outcome, is_ours},
    policy::{Content, is_error, is_personal, is_redirect, is_whole_or_part},
    snapshot::Snapshot,
};

/// What the response will be judged by.
#[derive(Debug)]
pub(crate) struct Review {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) nested: bool,
    pub(crate) outcome: Outcome,
    pub(crate) file: Option<Arc<ListedFile>>,
    pub(crate) method: Method,
    pub(crate) authorized: bool,
    pub(crate) conditions: Conditions,
    pub(crate) accepted: AcceptedCodings,
    /// `If-Range` was kept for this tag: a part of anything else is no answer.
    pub(crate) expected: Option<HeaderValue>,
    /// What the client asked for, and of whom.
    pub(crate) uri: Uri,
    pub(crate) host: Option<HeaderValue>,
}

/// What becomes of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEdit {
    Pass,
    /// The response has none any more.
    Drop,
    /// It is collected, and its digest given to [`Review::complete`], together with
    /// what was known of the content.
    Digest(Content),
}

impl Review {
    /// Sets what is ours in a response. `body_length` is what the body itself knows
    /// of its length.
    pub(crate) fn edit<B>(&self, response: &mut Response<B>, body_length: Option<u64>) -> BodyEdit {
        let status = response.status();
        if !is_ours(&self.method) {
            if is_error(status) {
                self.rule(response, Content::Unlisted);
            }
            return BodyEdit::Pass;
        }
        if status == StatusCode::NOT_FOUND {
            self.warn_if_listed();
        }
        if is_redirect(status) {
            self.restore_location(response.headers_mut());
        }
        let (content, etag) = self.examine(response, body_length);
        if status == StatusCode::PARTIAL_CONTENT && self.is_other_part(etag.as_ref()) {
            response.headers_mut().remove(header::ETAG);
            return self.conclude(response, StatusCode::PRECONDITION_FAILED, content);
        }
        let is_ours = etag.is_some() && !is_personal(response.headers());
        if let Some(etag) = etag.filter(|_| is_ours) {
            response.headers_mut().insert(header::ETAG, etag);
        } else if self.wants_digest(response, body_length) {
            return BodyEdit::Digest(content);
        }
        if !is_ours {
            weaken_if_compressed(response, body_length);
        }
        match self.file {
            Some(_) => self.settle(response, content),
            None => {
                self.rule(response, content);
                BodyEdit::Pass
            }
        }
    }

    /// Whether a part is of something else than `If-Range` was kept for. Once that has
    /// happened, the range is not asked for again.
    fn is_other_part(&self, etag: Option<&HeaderValue>) -> bool {
        let Some(expected) = self.expected.as_ref().filter(|&it| Some(it) != etag) else {
            return false;
        };
        if let Some(file) = &self.file {
            file.note_other_part(expected);
        }
        true
    }

    /// Completes a response whose body turned out to have this digest, or none.
    pub(crate) fn complete<B>(
        &self,
        response: &mut Response<B>,
        content: Content,
        sha256: Option<&[u8; 32]>,
    ) -> BodyEdit {
        let Some(sha256) = sha256 else {
            self.rule(response, content);
            return BodyEdit::Pass;
        };
        response.headers_mut().insert(header::ETAG, strong_etag(sha256));
        self.settle(response, content)
    }

    /// What is in the body, and the tag of that.
    fn examine<B>(
        &self,
        response: &Response<B>,
        body_length: Option<u64>,
    ) -> (Content, Option<HeaderValue>) {
        let (status, headers) = (response.status(), response.headers());
        let is_comparable = is_whole_or_part(status) || status == StatusCode::RANGE_NOT_SATISFIABLE;
        let Some(file) = self.file.as_ref().filter(|_| is_comparable) else {
            let is_declared = !self.snapshot.has_manifest();
            return (if is_declared { Content::AsVersioned } else { Content::Unlisted }, None);
        };
        file.note(headers);
        // To HEAD a body is left out, or is what GET would have.
        let body_length = body_length.filter(|&length| self.method != Method::HEAD || length > 0);
        match file.verify(ResponseHead { status, headers, body_length }, self.is_verbose()) {
            Verdict::Unchanged { etag } => {
                if status == StatusCode::OK {
                    file.learn(headers);
                }
                (Content::AsVersioned, Some(etag))
            }
            Verdict::Changed | Verdict::Unproven => (Content::Doubtful, None),
        }
    }

    /// Whether nobody has a validator for this response, and it is one whose body
    /// may be held back until its digest is known.
    fn wants_digest<B>(&self, response: &Response<B>, body_length: Option<u64>) -> bool {
        let headers = response.headers();
        let limit = self.snapshot.settings().body_digest_limit;
        let head = ResponseHead { status: response.status(), headers, body_length };
        self.method == Method::GET
            && response.status() == StatusCode::OK
            && limit > 0
            && body_length.is_some_and(|length| length <= limit)
            && head.length() == body_length
            && !headers.contains_key(header::ETAG)
            && !headers.contains_key(header::LAST_MODIFIED)
            && !is_personal(headers)
    }

    /// Evaluates the conditions that the inner service did not see, on a response
    /// that has its validators.
    fn settle<B>(&self, response: &mut Response<B>, content: Content) -> BodyEdit {
        let status = response.status();
        // §13.2.1: only where the answer without conditions is a 2xx, or would be
        // one without the range, which comes last.
        if !status.is_success() && status != StatusCode::RANGE_NOT_SATISFIABLE {
            self.rule(response, content);
            return BodyEdit::Pass;
        }
        let evaluation = self.evaluate(response.headers());
        let is_ours = content == Content::AsVersioned && !is_personal(response.headers());
        let other = (evaluation == Evaluation::Proceed && is_ours)
            .then(|| self.named_otherwise())
            .flatten();
        if let Some(etag) = other {
            response.headers_mut().insert(header::ETAG, etag);
            return self.conclude(response, StatusCode::NOT_MODIFIED, content);
        }
        match evaluation {
            Evaluation::NotModified => self.conclude(response, StatusCode::NOT_MODIFIED, content),
            Evaluation::PreconditionFailed => {
                self.conclude(response, StatusCode::PRECONDITION_FAILED, content)
            }
            Evaluation::Proceed => {
                self.rule(response, content);
                BodyEdit::Pass
            }
        }
    }

    fn evaluate(&self, headers: &HeaderMap) -> Evaluation {
        let etag = headers.get(header::ETAG);
        self.conditions.evaluate(Validators {
            etag: etag.and_then(|etag| EntityTag::parse(etag.as_bytes())),
            last_modified: headers.get(header::LAST_MODIFIED),
        })
    }

    /// The tag of what the client has, where that is the listed file in another
    /// coding than the selected one, and one that the client can still read.
    fn named_otherwise(&self) -> Option<HeaderValue> {
        let file = self.file.as_ref()?;
        let is_made_of_ours = |tag| file.is_source_of(&tag, self.accepted);
        if self.conditions.none_match().any(is_made_of_ours) {
            return Some(file.etag().clone());
        }
        // As where the answer comes from memory.
        let is_current = self.outcome == Outcome::Current;
        let named = file.only_named(self.conditions.none_match(), self.accepted);
        named.filter(|_| is_current).map(|it| it.etag.clone())
    }

    /// Replaces a response by one without content (§15.4.5, §15.5.13): it keeps all
    /// but what describes the content, and the weaker of two validators.
    fn conclude<B>(
        &self,
        response: &mut Response<B>,
        status: StatusCode,
        content: Content,
    ) -> BodyEdit {
        *response.status_mut() = status;
        for name in OF_CONTENT {
            response.headers_mut().remove(name);
        }
        if response.headers().contains_key(header::ETAG) {
            response.headers_mut().remove(header::LAST_MODIFIED);
        }
        self.rule(response, content);
        BodyEdit::Drop
    }

    fn rule<B>(&self, response: &mut Response<B>, content: Content) {
        let status = response.status();
        let ruling = self.snapshot.settings().policies.rule(self.outcome, status, content);
        ruling.apply(response.headers_mut(), self.authorized);
    }

    fn warn_if_listed(&self) {
        if let (Some(file), Split::Versioned { rest, .. } | Split::Unversioned { rest }) =
            (&self.file, self.split())
        {
            file.warn_missing(self.snapshot.base(self.nested), rest, self.is_verbose());
        }
    }

    fn is_verbose(&self) -> bool {
        self.snapshot.settings().development
    }

    fn split(&self) -> Split<'_> {
        self.snapshot.split(self.nested, self.uri.path())
    }

    fn restore_location(&self, headers: &mut HeaderMap) {
        let Split::Versioned { version, rest } = self.split() else { return };
        let asked = Asked {
            mount: self.snapshot.mount(),
            version,
            rest,
            authority: location::authority(&self.uri, self.host.as_ref()),
        };
        let restored = headers.get(header::LOCATION).and_then(|location| {
            let location = std::str::from_utf8(location.as_bytes()).ok()?;
            let restored = restore_version(location, asked, |it| self.snapshot.is_version(it))?;
            HeaderValue::from_maybe_shared(Bytes::from(restored)).ok()
        });
        if let Some(location) = restored {
            headers.insert(header::LOCATION, location);
        }
    }
}

/// Makes the inner service's tag weak where somebody has compressed the bytes on the
/// way, so that they do not share a strong one with the plain bytes.
fn weaken_if_compressed<B>(response: &mut Response<B>, body_length: Option<u64>) {
    let (status, headers) = (response.status(), response.headers());
    let head = ResponseHead { status, headers, body_length };
    if ContentCoding::of(headers) == ContentCoding::Identity || head.length().is_some() {
        return;
    }
    let strong = headers.get(header::ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""));
    let weak = strong.map(|etag| [b"W/", etag.as_bytes()].concat());
    if let Some(Ok(weak)) = weak.map(|tag| HeaderValue::from_maybe_shared(Bytes::from(tag))) {
        response.headers_mut().insert(header::ETAG, weak);
    }
}

/// What describes content that is not there (RFC 9110 §8.3 – §8.6, §14.3, §14.4).
const OF_CONTENT: [header::HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
];
