//! The decision on a request, pure: request head + snapshot → plan. What becomes
//! of the response is the plan's [`Review`].

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::{
    StalePolicy,
    coding::AcceptedCodings,
    conditional::Conditions,
    etag::{EntityTag, tags_in},
    listed::{ListedFile, is_digest},
    path::{Split, rewrite, with_version},
    policy::Content,
    range::{self, RangeEdit},
    review::Review,
    snapshot::Snapshot,
};

/// What the version in a URL below the mount turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Current,
    /// Right shape, not the current one.
    Stale,
    Unversioned,
}

/// What is to be done with a request.
#[expect(clippy::large_enum_variant, reason = "moved once; a box would cost every request more")]
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing of ours: request and response pass untouched.
    Pass,
    /// Answered here.
    Answer(Response<()>),
    /// Goes to the inner service, edited; what comes back is reviewed.
    Forward { edit: RequestEdit, review: Review },
}

/// The part of a request that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

/// What the inner service is asked instead.
#[derive(Debug)]
pub(crate) struct RequestEdit {
    uri: Option<Uri>,
    fields: FieldEdit,
}

/// Who answers to the conditions and ranges of a request.
#[derive(Debug)]
enum FieldEdit {
    /// The inner service.
    Keep,
    /// We: it sees no condition, and only a range that we stand by.
    Own {
        range: RangeEdit,
        /// The only coding that will do.
        coding: Option<&'static str>,
    },
    /// The inner service, but for a `Range` that hangs on a tag of ours.
    DropRange,
}

/// `nested`: an outer router has stripped the mount off the paths that arrive.
pub(crate) fn plan(request: RequestHead<'_>, nested: bool, snapshot: &Arc<Snapshot>) -> Plan {
    let (outcome, rest) = match snapshot.split(nested, request.uri.path()) {
        Split::Outside => return Plan::Pass,
        Split::Odd => (Outcome::Unversioned, None),
        Split::Unversioned { rest } => (Outcome::Unversioned, Some(rest)),
        Split::Versioned { version, rest } if version == snapshot.version() => {
            (Outcome::Current, Some(rest))
        }
        Split::Versioned { rest, .. } => (Outcome::Stale, Some(rest)),
    };
    let file = rest.and_then(|rest| snapshot.find(rest));
    if let Some(answer) = answer(request, snapshot, outcome, rest, file) {
        return Plan::Answer(answer);
    }
    let (fields, expected) = match file {
        _ if !is_ours(request.method) => (FieldEdit::Keep, None),
        Some(file) => own_fields(request, file),
        None if has_digest_range(request.headers) => (FieldEdit::DropRange, None),
        None => (FieldEdit::Keep, None),
    };
    let versioned = rest.filter(|_| outcome != Outcome::Unversioned);
    Plan::Forward {
        edit: RequestEdit {
            uri: versioned.and_then(|rest| rewrite(request.uri, snapshot.base(nested), rest)),
            fields,
        },
        review: Review {
            snapshot: Arc::clone(snapshot),
            nested,
            outcome,
            file: file.cloned(),
            method: request.method.clone(),
            authorized: is_authorized(request),
            conditions: Conditions::of(request.headers),
            accepted: AcceptedCodings::of(request.headers),
            expected,
            uri: request.uri.clone(),
            host: request.headers.get(header::HOST).cloned(),
        },
    }
}

/// Only GET and HEAD are ours; other methods have their URI rewritten, and no
/// error of theirs is kept.
pub(crate) fn is_ours(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

fn is_authorized(request: RequestHead<'_>) -> bool {
    request.headers.contains_key(header::AUTHORIZATION)
}

/// The answer, where the inner service need not be asked.
fn answer(
    request: RequestHead<'_>,
    snapshot: &Snapshot,
    outcome: Outcome,
    rest: Option<&str>,
    file: Option<&Arc<ListedFile>>,
) -> Option<Response<()>> {
    match outcome {
        _ if !is_ours(request.method) => None,
        Outcome::Current => answer_from_memory(request, snapshot, file?),
        Outcome::Stale => answer_stale(snapshot, rest?, request.uri.query()),
        Outcome::Unversioned => None,
    }
}

/// 304 where `If-None-Match` names a tag of the file, and the browser need not have
/// asked. Not where it was told to ask, nor where the file is known to have changed.
fn answer_from_memory(
    request: RequestHead<'_>,
    snapshot: &Snapshot,
    file: &ListedFile,
) -> Option<Response<()>> {
    let (headers, policies) = (request.headers, &snapshot.settings().policies);
    let mut lines = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
    lines.peek()?;
    if file.has_changed() || !policies.current.is_lasting() {
        return None;
    }
    if [header::IF_MATCH, header::IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
    {
        return None;
    }
    let named = file.only_named(tags_in(lines), AcceptedCodings::of(headers))?;
    let learned = file.learned()?;
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    let answered = answer.headers_mut();
    answered.insert(header::ETAG, named.etag.clone());
    learned.write_to(answered);
    let ruling = policies.rule(Outcome::Current, StatusCode::NOT_MODIFIED, Content::AsVersioned);
    ruling.apply(answered, is_authorized(request));
    Some(answer)
}

/// The answer to a stale version that is not to be served. Nobody keeps it: the
/// version may be the current one of the next node asked.
fn answer_stale(snapshot: &Snapshot, rest: &str, query: Option<&str>) -> Option<Response<()>> {
    let mut answer = Response::new(());
    *answer.status_mut() = match snapshot.settings().stale {
        StalePolicy::Serve => return None,
        StalePolicy::NotFound => StatusCode::NOT_FOUND,
        StalePolicy::Redirect => {
            let current = with_version(snapshot.mount(), snapshot.version(), rest, query);
            let location = HeaderValue::from_maybe_shared(Bytes::from(current)).ok()?;
            answer.headers_mut().insert(header::LOCATION, location);
            StatusCode::TEMPORARY_REDIRECT
        }
    };
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

/// What is taken off a request for a listed file, and the tag that a part must
/// have.
fn own_fields(request: RequestHead<'_>, file: &ListedFile) -> (FieldEdit, Option<HeaderValue>) {
    let headers = request.headers;
    let accepted = file.acceptable(headers);
    let own = |range, coding| FieldEdit::Own { range, coding };
    // RFC 9110 §14.2: `Range` means something to GET alone.
    if request.method == Method::HEAD {
        return (own(RangeEdit::Drop, None), None);
    }
    if !headers.contains_key(header::IF_RANGE) || !headers.contains_key(header::RANGE) {
        return (own(range::edit(headers, file.lengths(accepted)), None), None);
    }
    // §13.1.5: a part only of exactly what the client has the rest of. A date does
    // not tell: two versions of a file may have the same.
    let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
    let named =
        tag.and_then(|tag| file.strongly_named(&tag, accepted)).filter(|_| !file.has_changed());
    match named.map(|(coding, it)| (coding, it, range::edit(headers, [it.info.length].into_iter())))
    {
        None | Some((_, _, RangeEdit::Drop)) => (own(RangeEdit::Drop, None), None),
        Some((coding, it, range)) => (own(range, Some(coding)), Some(it.etag.clone())),
    }
}

fn only_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::IF_RANGE).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether `If-Range` carries a tag that only we give to what is not listed, and
/// that the inner service therefore cannot honour.
fn has_digest_range(headers: &HeaderMap) -> bool {
    let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
    tag.is_some_and(|tag| is_digest(&tag))
}

impl RequestEdit {
    pub(crate) fn apply<B>(self, request: &mut Request<B>) {
        if let Some(uri) = self.uri {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        match self.fields {
            FieldEdit::Keep => {}
            FieldEdit::DropRange => {
                headers.remove(header::RANGE);
                headers.remove(header::IF_RANGE);
            }
            FieldEdit::Own { range, coding } => {
                for name in OWN_FIELDS {
                    headers.remove(name);
                }
                range.apply(headers);
                if let Some(coding) = coding {
                    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
                }
            }
        }
    }
}

/// The conditions of RFC 9110 §13.1.
const OWN_FIELDS: [header::HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];
