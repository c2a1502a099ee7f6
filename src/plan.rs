//! The decision, pure: request head + snapshot → plan; plan + response head →
//! edits of the response. Knows neither tower nor an async runtime.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    StalePolicy,
    listed::{ListedFile, ResponseHead, Verdict},
    location::{self, Asked, restore_version},
    path::{Split, rewrite, with_version},
    policy::{Content, is_error, is_personal, is_redirect, is_whole_or_part},
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
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing of ours: request and response pass untouched.
    Pass,
    /// Answered here.
    Answer(Response<()>),
    /// Goes to the inner service, at another URI where one is given; what comes
    /// back is reviewed.
    Forward { uri: Option<Uri>, review: Review },
}

/// The part of a request that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

/// What the response will be judged by.
#[derive(Debug)]
pub(crate) struct Review {
    snapshot: Arc<Snapshot>,
    nested: bool,
    outcome: Outcome,
    file: Option<Arc<ListedFile>>,
    method: Method,
    authorized: bool,
    /// What the client asked for, and of whom.
    uri: Uri,
    host: Option<HeaderValue>,
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
    if let (Outcome::Stale, Some(rest), true) = (outcome, rest, is_ours(request.method))
        && let Some(answer) = answer_stale(snapshot, rest, request.uri.query())
    {
        return Plan::Answer(answer);
    }
    let versioned = rest.filter(|_| outcome != Outcome::Unversioned);
    Plan::Forward {
        uri: versioned.and_then(|rest| rewrite(request.uri, snapshot.base(nested), rest)),
        review: Review {
            snapshot: Arc::clone(snapshot),
            nested,
            outcome,
            file: rest.and_then(|rest| snapshot.find(rest)).cloned(),
            method: request.method.clone(),
            authorized: request.headers.contains_key(header::AUTHORIZATION),
            uri: request.uri.clone(),
            host: request.headers.get(header::HOST).cloned(),
        },
    }
}

/// Only GET and HEAD are ours; other methods have their URI rewritten, and no
/// error of theirs is kept.
fn is_ours(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
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

impl Review {
    /// Sets the header fields that are ours. `body_length` is what the body itself
    /// knows of its length.
    pub(crate) fn edit<B>(&self, response: &mut Response<B>, body_length: Option<u64>) {
        let status = response.status();
        if !is_ours(&self.method) && !is_error(status) {
            return;
        }
        if status == StatusCode::NOT_FOUND {
            self.warn_if_listed();
        }
        if is_redirect(status) {
            self.restore_location(response.headers_mut());
        }
        let (content, etag) = self.examine(response, body_length);
        let headers = response.headers_mut();
        if let Some(etag) = etag.filter(|_| !is_personal(headers)) {
            headers.insert(header::ETAG, etag);
        }
        let ruling = self.snapshot.settings().policies.rule(self.outcome, status, content);
        ruling.apply(headers, self.authorized);
    }

    /// What is in the body, and the tag of that.
    fn examine<B>(
        &self,
        response: &Response<B>,
        body_length: Option<u64>,
    ) -> (Content, Option<HeaderValue>) {
        let (status, headers) = (response.status(), response.headers());
        let Some(file) = self.file.as_ref().filter(|_| is_whole_or_part(status)) else {
            let is_declared = !self.snapshot.has_manifest();
            return (if is_declared { Content::AsVersioned } else { Content::Unlisted }, None);
        };
        let body_length = body_length.filter(|_| self.method != Method::HEAD);
        match file.verify(ResponseHead { status, headers, body_length }) {
            Verdict::Unchanged { etag } => (Content::AsVersioned, Some(etag)),
            Verdict::Changed | Verdict::Unproven => (Content::Doubtful, None),
        }
    }

    fn warn_if_listed(&self) {
        let Some(file) = self.file.as_ref().filter(|_| is_ours(&self.method)) else { return };
        if let Split::Versioned { rest, .. } | Split::Unversioned { rest } = self.split() {
            file.warn_missing(self.snapshot.base(self.nested), rest);
        }
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
