//! The decision on a response, pure: plan + response head → edits.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use http_body::Body;
use percent_encoding::{CONTROLS, percent_encode};

use crate::{
    exchange::redirect::{Asked, restore_version},
    exchange::request::Asking,
    header::content_coding::{AcceptedCodings, ContentCoding},
    header::etag::EntityTag,
    header::head::{ResponseFields, Said},
    header::preconditions::{Conditions, Evaluation, Validators},
    memory::{Choice, Keeping},
    policy::{Content, is_error, is_redirect, is_whole_or_part},
    snapshot::current::CurrentSnapshot,
    snapshot::file::{ResponseHead, ServedFile, Verdict, strong_etag},
    snapshot::files::FileIndex,
    url::Outcome,
};

/// What the response will be judged by.
#[derive(Debug)]
pub(crate) struct Review {
    pub(crate) snapshot: CurrentSnapshot,
    subject: Subject,
    /// Most requests have none, and should not move the room for them around.
    terms: Option<Box<Terms>>,
    /// For what the response may be kept, where it is the whole file.
    choice: Option<Choice>,
    /// What the client asked for, where the inner service is asked for something else,
    /// and of which `Host`.
    pub(crate) uri: Option<Uri>,
    pub(crate) host: Option<HeaderValue>,
}

/// What was asked for, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) nested: bool,
    pub(crate) outcome: Outcome,
    pub(crate) file: Option<FileIndex>,
    pub(crate) asking: Asking,
    pub(crate) authorized: bool,
}

/// On what terms a client wants an answer.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) conditions: Conditions,
    pub(crate) accepted: AcceptedCodings,
    /// `If-Range` was kept for this tag: a part of anything else is no answer.
    pub(crate) expected: Option<HeaderValue>,
}

/// What becomes of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEdit {
    Pass,
    /// The response has none any more.
    Drop,
    /// So many bytes are collected, and their digest given to [`Review::complete`],
    /// together with what was known of the content.
    Digest {
        content: Content,
        length: u64,
    },
}

impl Review {
    pub(crate) fn new(
        snapshot: CurrentSnapshot,
        subject: Subject,
        terms: Option<Box<Terms>>,
        choice: Option<Choice>,
    ) -> Self {
        Self { snapshot, subject, terms, choice, uri: None, host: None }
    }

    /// Begins to keep a response, if it shall be kept, and sets in it what is ours.
    pub(crate) fn judge<B: Body>(
        &self,
        response: &mut Response<B>,
    ) -> (BodyEdit, Option<Box<Keeping>>) {
        let length = response.body().size_hint().exact();
        let keeping = self.keep(response, length);
        (self.edit(response, length), keeping)
    }

    /// Sets what is ours in a response. `body_length` is what the body itself knows
    /// of its length.
    fn edit<B>(&self, response: &mut Response<B>, body_length: Option<u64>) -> BodyEdit {
        let status = response.status();
        let fields = ResponseFields::of(response.headers());
        let head = ResponseHead {
            status,
            headers: response.headers(),
            fields: &fields,
            // To HEAD a body is left out, or is what GET would have.
            body_length: body_length
                .filter(|&length| self.subject.asking == Asking::Get || length > 0),
        };
        let said = fields.said;
        if self.subject.asking == Asking::Otherwise {
            return match is_error(status) {
                true => self.rule(response, Content::Unlisted, said),
                false => BodyEdit::Pass,
            };
        }
        if status == StatusCode::NOT_FOUND {
            self.warn_if_listed();
        }
        let (content, etag) = self.examine(&head);
        if status == StatusCode::PARTIAL_CONTENT && self.is_other_part(etag.as_deref()) {
            response.headers_mut().remove(header::ETAG);
            return self.conclude(response, StatusCode::PRECONDITION_FAILED, content, said);
        }
        match etag {
            Some(etag) if !said.personal => {
                response.headers_mut().insert(header::ETAG, etag.into_owned());
            }
            _ => {
                if let Some(length) = self.wants_digest(&head) {
                    return BodyEdit::Digest { content, length };
                }
                if let Some(weak) = weak_if_compressed(&head) {
                    response.headers_mut().insert(header::ETAG, weak);
                }
            }
        }
        if is_redirect(status) {
            self.restore_location(response.headers_mut());
        }
        if status == StatusCode::NOT_MODIFIED {
            // Of a body that is not there (§15.4.5 asks for no such field).
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        match self.subject.file {
            Some(_) => self.settle(response, content, said),
            None => self.rule(response, content, said),
        }
    }

    /// The response to what memory has in place of the inner service.
    pub(crate) fn edit_recalled(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        let length = response.body().len() as u64;
        match self.edit(&mut response, Some(length)) {
            BodyEdit::Drop => response.map(|_| Bytes::new()),
            BodyEdit::Pass | BodyEdit::Digest { .. } => response,
        }
    }

    /// Begins to keep the response, which is not edited yet, if it may be the file.
    fn keep<B>(&self, response: &Response<B>, body_length: Option<u64>) -> Option<Box<Keeping>> {
        let choice = self.choice.as_ref()?;
        let (status, headers) = (response.status(), response.headers());
        let fields = ResponseFields::of(headers);
        if status != StatusCode::OK || fields.said.personal {
            return None;
        }
        let file = self.snapshot.served(choice.file())?;
        let coding =
            file.coding(&ResponseHead { status, headers, fields: &fields, body_length })?;
        self.snapshot.memory()?.keep(choice, coding, headers, file)
    }

    /// Whether a part is of something else than `If-Range` was kept for. Once that has
    /// happened, the range is not asked for again.
    fn is_other_part(&self, etag: Option<&HeaderValue>) -> bool {
        let expected = self.terms.as_ref().and_then(|terms| terms.expected.as_ref());
        let Some(expected) = expected.filter(|&it| Some(it) != etag) else { return false };
        if let Some(file) = self.file() {
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
        let said = ResponseFields::of(response.headers()).said;
        let Some(sha256) = sha256 else { return self.rule(response, content, said) };
        response.headers_mut().insert(header::ETAG, strong_etag(sha256));
        self.settle(response, content, said)
    }

    /// What is in the body, and the tag of that.
    fn examine(&self, head: &ResponseHead<'_>) -> (Content, Option<Cow<'_, HeaderValue>>) {
        let status = head.status;
        let is_comparable = is_whole_or_part(status) || status == StatusCode::RANGE_NOT_SATISFIABLE;
        let Some(file) = self.file().filter(|_| is_comparable) else {
            let is_declared = !self.snapshot.has_manifest();
            return (if is_declared { Content::AsVersioned } else { Content::Unlisted }, None);
        };
        file.note(head.fields);
        match file.verify(head, self.is_verbose()) {
            Verdict::Unchanged { etag } => {
                if status == StatusCode::OK {
                    file.learn(head);
                }
                (Content::AsVersioned, Some(etag))
            }
            Verdict::Changed | Verdict::Unproven => (Content::Doubtful, None),
        }
    }

    /// The length of the body, if nobody has a validator for this response, and it is
    /// one whose body may be held back until its digest is known.
    fn wants_digest(&self, head: &ResponseHead<'_>) -> Option<u64> {
        let limit = self.snapshot.settings().body_digest_limit;
        let is_wanted = self.subject.asking == Asking::Get
            && head.status == StatusCode::OK
            && limit > 0
            && head.length() == head.body_length
            && head.fields.etag.is_none()
            && head.fields.last_modified.is_none()
            && !head.fields.said.personal;
        head.body_length.filter(|&length| is_wanted && length <= limit)
    }

    /// Evaluates the conditions that the inner service did not see, on a response
    /// that has its validators.
    fn settle<B>(&self, response: &mut Response<B>, content: Content, said: Said) -> BodyEdit {
        let status = response.status();
        // §13.2.1: only where the answer without conditions is a 2xx, or would be
        // one without the range, which comes last.
        let is_open = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
        let Some(terms) = self.terms.as_ref().filter(|_| is_open) else {
            return self.rule(response, content, said);
        };
        let evaluation = terms.evaluate(response.headers());
        let is_ours = content == Content::AsVersioned && !said.personal;
        let other = (evaluation == Evaluation::Proceed && is_ours)
            .then(|| self.named_otherwise(terms))
            .flatten();
        if let Some(etag) = other {
            response.headers_mut().insert(header::ETAG, etag);
            return self.conclude(response, StatusCode::NOT_MODIFIED, content, said);
        }
        let status = match evaluation {
            Evaluation::Proceed => return self.rule(response, content, said),
            Evaluation::NotModified => StatusCode::NOT_MODIFIED,
            Evaluation::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        };
        self.conclude(response, status, content, said)
    }

    /// The tag of what the client has, where that is the listed file in another
    /// coding than the selected one, and one that the client can still read.
    fn named_otherwise(&self, terms: &Terms) -> Option<HeaderValue> {
        let file = self.file()?;
        let is_made_of_ours = |tag| file.is_source_of(&tag, terms.accepted);
        if terms.conditions.none_match().any(is_made_of_ours) {
            return Some(file.etag().clone());
        }
        // As where the answer comes from memory.
        let is_current = self.subject.outcome == Outcome::Current;
        let accepts = |coding: &str| terms.accepted.allow(coding);
        let named = file.only_named(terms.conditions.none_match_lines(), accepts);
        named.filter(|_| is_current).map(|it| it.etag().clone())
    }

    /// Replaces a response by one without content (§15.4.5, §15.5.13): it keeps all
    /// but what describes the content, and the weaker of two validators.
    fn conclude<B>(
        &self,
        response: &mut Response<B>,
        status: StatusCode,
        content: Content,
        said: Said,
    ) -> BodyEdit {
        *response.status_mut() = status;
        for name in OF_CONTENT {
            response.headers_mut().remove(name);
        }
        if response.headers().contains_key(header::ETAG) {
            response.headers_mut().remove(header::LAST_MODIFIED);
        }
        self.rule(response, content, said);
        BodyEdit::Drop
    }

    fn rule<B>(&self, response: &mut Response<B>, content: Content, said: Said) -> BodyEdit {
        let status = response.status();
        let ruling = self.snapshot.settings().policies.rule(self.subject.outcome, status, content);
        ruling.apply(response.headers_mut(), said, self.subject.authorized);
        BodyEdit::Pass
    }

    fn warn_if_listed(&self) {
        if let Some(file) = self.file() {
            file.warn_missing(self.snapshot.base(self.subject.nested), self.is_verbose());
        }
    }

    /// What the inner service calls the file.
    pub(crate) fn inner_path(&self) -> Option<PathAndQuery> {
        self.file()?.inner_path(self.subject.nested, self.snapshot.base(self.subject.nested))
    }

    fn file(&self) -> Option<&ServedFile> {
        self.snapshot.served(self.subject.file?).map(|file| &**file)
    }

    fn is_verbose(&self) -> bool {
        self.snapshot.settings().development
    }

    /// Of whom the client asks: what the target says, else the `Host` field (RFC 9110
    /// §7.1).
    fn authority(&self) -> Option<&str> {
        let target = self.uri.as_ref().and_then(Uri::authority).map(Authority::as_str);
        target.or_else(|| self.host.as_ref()?.to_str().ok())
    }

    fn restore_location(&self, headers: &mut HeaderMap) {
        // Kept where a version was taken off.
        let Some(uri) = &self.uri else { return };
        let Some((_, version, rest)) = self.snapshot.divide(self.subject.nested, uri.path()) else {
            return;
        };
        let asked =
            Asked { mount: self.snapshot.mount(), version, rest, authority: self.authority() };
        let restored = headers.get(header::LOCATION).and_then(|location| {
            // What is not ASCII has no place in a URI reference (RFC 3986 §2), and is sent.
            let location = Cow::from(percent_encode(location.as_bytes(), CONTROLS));
            let restored = restore_version(&location, asked, |it| self.snapshot.is_version(it))?;
            HeaderValue::from_maybe_shared(Bytes::from(restored)).ok()
        });
        if let Some(location) = restored {
            headers.insert(header::LOCATION, location);
        }
    }
}

impl Terms {
    fn evaluate(&self, headers: &HeaderMap) -> Evaluation {
        let etag = headers.get(header::ETAG);
        self.conditions.evaluate(Validators {
            etag: etag.and_then(|etag| EntityTag::parse(etag.as_bytes())),
            last_modified: headers.get(header::LAST_MODIFIED),
        })
    }
}

/// The inner service's tag made weak, where somebody has compressed the bytes on the
/// way, so that they do not share a strong one with the plain bytes.
fn weak_if_compressed(head: &ResponseHead<'_>) -> Option<HeaderValue> {
    if head.coding() == ContentCoding::Identity || head.length().is_some() {
        return None;
    }
    let strong = head.fields.etag.filter(|etag| etag.as_bytes().starts_with(b"\""))?;
    let weak = [b"W/", strong.as_bytes()].concat();
    HeaderValue::from_maybe_shared(Bytes::from(weak)).ok()
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
