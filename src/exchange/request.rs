//! What is done with a request? Request head + snapshot → plan.

use std::mem;
#[cfg(feature = "releases")]
use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery,
};

#[cfg(feature = "memory")]
use crate::exchange::from_memory::LookUp;
use crate::{
    cdn::Sent,
    exchange::{ClientConditions, Exchange, MethodKind, Original, Target, names_content},
    header::{
        content_coding::AcceptedCodings,
        etag::EntityTag,
        head::{InnerCaching, RequestFields},
        preconditions::Preconditions,
        range::{self, ForwardedRange, RangeEdit},
    },
    observe::event::{self, Event},
    policy::{Match, StalePolicy, UnlistedPolicy},
    snapshot::{
        Below, Place, Snapshot,
        current::Handle,
        file::{File, NotModifiedFields},
        representation::is_digest,
    },
    url::{StaticUrlOutcome, path_and_query, with_path, with_version},
};
#[cfg(feature = "releases")]
use crate::{
    kept::{self, KeptPlan},
    manifest::FileIndex,
};

/// What to do with a request. A plan is large, and moving it costs more than most of the
/// decision: use it through a reference.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Request and response pass unchanged.
    Pass { snapshot: Handle, outcome: StaticUrlOutcome },
    /// The inner service is not called. An `Option`, so that the response can be taken out
    /// through a reference.
    Respond(Option<Response<Bytes>>),
    /// The edited request goes to the inner service, and its response will be edited.
    Forward { edit: RequestEdit, exchange: Exchange },
    /// A kept release may have to respond.
    #[cfg(feature = "releases")]
    Kept(Option<Box<KeptPlan>>),
}

/// The parts of a request on which the plan depends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

impl<'r> RequestHead<'r> {
    #[inline]
    pub(crate) fn of<B>(request: &'r Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

/// The changes to a request before it goes to the inner service.
#[derive(Debug)]
pub(crate) struct RequestEdit {
    path: PathEdit,
    pub(super) fields: FieldEdit,
}

#[derive(Debug)]
enum PathEdit {
    Keep,
    /// Replace it by the file's own, which the file stores. [`RequestEdit::apply`] gets it from
    /// there, so that the plan, which is moved several times, stays small.
    OfFile,
    To(PathAndQuery),
}

/// Who evaluates the conditions and ranges of a request.
#[derive(Debug)]
pub(super) enum FieldEdit {
    /// The inner service; or the request has none.
    Keep,
    /// The layer. The inner service sees no condition, and a `Range` only if it is safe.
    Strip(Box<StrippedFields>),
    /// The inner service, but without a `Range` whose `If-Range` has a tag of the layer.
    DropRange,
}

#[derive(Debug)]
pub(super) struct StrippedFields {
    pub(super) range: RangeEdit,
    /// The only coding in which the inner service may respond.
    pub(super) coding: Option<&'static str>,
}

/// A request below the mount, parsed.
pub(super) struct IncomingRequest<'r> {
    pub(super) head: RequestHead<'r>,
    nested: bool,
    pub(super) method: MethodKind,
    pub(super) fields: RequestFields,
    pub(super) below: Below<'r, 'r>,
}

/// Decides what to do with a request. `nested` means that an outer router has stripped the
/// mount from its path.
#[inline(always)]
pub(crate) fn plan(head: RequestHead<'_>, nested: bool, snapshot: Handle) -> Plan {
    decide(head, nested, snapshot, true)
}

/// Decides what to do with a request that no kept release answers.
#[cfg(feature = "releases")]
pub(crate) fn plan_without_releases(head: RequestHead<'_>, nested: bool, snapshot: Handle) -> Plan {
    decide(head, nested, snapshot, false)
}

/// One function for both: two copies of it would be two calls of whatever it does.
#[cfg_attr(not(feature = "releases"), expect(unused_mut))]
pub(crate) fn decide(
    head: RequestHead<'_>,
    nested: bool,
    snapshot: Handle,
    with_releases: bool,
) -> Plan {
    let method = MethodKind::of(head.method);
    let mut below = match snapshot.locate(nested, head.uri.path()) {
        Place::Below(below) => below,
        Place::Outside { is_version_shaped } => {
            #[cfg(feature = "releases")]
            if with_releases
                && kept::may_be_below(&snapshot, method)
                && let Some(kept) = kept::find_outside(&snapshot, head, is_version_shaped)
            {
                return Plan::Kept(Some(kept));
            }
            if is_version_shaped && method.is_get_or_head() {
                return forward_foreign(head, method, snapshot);
            }
            return Plan::Pass { snapshot, outcome: StaticUrlOutcome::Outside };
        }
    };
    #[cfg(feature = "releases")]
    if with_releases && below.outcome != StaticUrlOutcome::Current && snapshot.has_releases() {
        if method == MethodKind::Options {
            kept::remove_version(&snapshot, nested, head, &mut below);
        } else if method.is_get_or_head()
            && let Some(kept) = kept::find(&snapshot, nested, head, &below)
        {
            return Plan::Kept(Some(kept));
        }
    }
    if with_releases {
        let (outcome, version, uri) = (below.outcome, snapshot.version(), head.uri);
        event::emit(Event::Request { outcome, version, uri });
    }
    if method == MethodKind::Other {
        let outcome = below.outcome;
        return Plan::Pass { snapshot, outcome };
    }
    let incoming =
        IncomingRequest { head, nested, method, fields: RequestFields::of(head.headers), below };
    let response = incoming.response(&snapshot);
    if response.is_some() {
        return Plan::Respond(response);
    }
    let (conditions, fields) = incoming.conditions(&snapshot);
    #[cfg(feature = "delta")]
    let spelled = if snapshot.settings().deltas.is_some() { incoming.spelled() } else { None };
    #[cfg(feature = "memory")]
    let stored_for = match incoming.look_up(&snapshot, &fields) {
        LookUp::Miss(accept) => Some(accept),
        LookUp::Bypass => None,
        LookUp::Hit(hit) => {
            let target = incoming.target(&fields);
            return hit.into_plan(Exchange::new(
                snapshot,
                target,
                conditions,
                None,
                #[cfg(feature = "delta")]
                spelled,
            ));
        }
    };
    #[cfg(not(feature = "memory"))]
    let stored_for = None;
    let path = incoming.edit_path(snapshot.base(nested));
    let target = incoming.target(&fields);
    let edit = RequestEdit { path, fields };
    let exchange = Exchange::new(
        snapshot,
        target,
        conditions,
        stored_for,
        #[cfg(feature = "delta")]
        spelled,
    );
    Plan::Forward { edit, exchange }
}

/// Returns a 304 for a file of a kept release, if what is listed is enough for it.
#[cfg(feature = "releases")]
pub(crate) fn not_modified(
    head: RequestHead<'_>,
    snapshot: &Snapshot,
    index: FileIndex,
    listed: &Arc<File>,
) -> Option<Response<Bytes>> {
    let file = Some((index, listed));
    let below = Below { outcome: StaticUrlOutcome::Current, rest: None, is_literal: false, file };
    let (method, fields) = (MethodKind::of(head.method), RequestFields::of(head.headers));
    let incoming = IncomingRequest { head, nested: false, method, fields, below };
    incoming.not_modified_response(snapshot)
}

/// Forwards a request for the rest of the site whose path starts like a version. Its response
/// is edited if it is an error.
fn forward_foreign(head: RequestHead<'_>, method: MethodKind, snapshot: Handle) -> Plan {
    let target = Target {
        nested: false,
        outcome: StaticUrlOutcome::Outside,
        file: None,
        method,
        is_authorized: head.headers.contains_key(header::AUTHORIZATION),
        range: ForwardedRange::None,
        accepts_stale_coding: false,
    };
    let edit = RequestEdit { path: PathEdit::Keep, fields: FieldEdit::Keep };
    let exchange = Exchange::new(
        snapshot,
        target,
        None,
        None,
        #[cfg(feature = "delta")]
        None,
    );
    Plan::Forward { edit, exchange }
}

impl<'r> IncomingRequest<'r> {
    fn file(&self) -> Option<&'r File> {
        self.below.file.map(|(_, file)| &**file)
    }

    fn target(&self, fields: &FieldEdit) -> Target {
        let range = match fields {
            FieldEdit::Keep if self.fields.range => ForwardedRange::Unparsed,
            FieldEdit::Keep | FieldEdit::DropRange => ForwardedRange::None,
            FieldEdit::Strip(stripped) => stripped.range.forwarded(),
        };
        Target {
            nested: self.nested,
            outcome: self.below.outcome,
            file: self.below.file.map(|(index, _)| index),
            method: self.method,
            is_authorized: self.fields.authorization,
            range,
            accepts_stale_coding: !fields.names_coding() && self.accepts_stale_coding(),
        }
    }

    /// Whether the client accepts the coding of a sibling that was made of another content.
    /// Without an `Accept-Encoding` no inner service compresses.
    pub(super) fn accepts_stale_coding(&self) -> bool {
        let Some(file) = self.file().filter(|file| !file.stale_codings().is_empty()) else {
            return false;
        };
        let headers = self.head.headers;
        let accepted = AcceptedCodings::of(headers);
        self.method.is_get_or_head()
            && headers.contains_key(header::ACCEPT_ENCODING)
            && file.stale_codings().iter().any(|coding| accepted.allow(coding))
    }

    /// Removes the version from the path.
    fn edit_path(&self, base: &str) -> PathEdit {
        let is_versioned = self.below.outcome != StaticUrlOutcome::Unversioned;
        let Some(rest) = self.below.rest.filter(|_| is_versioned) else {
            return PathEdit::Keep;
        };
        match (self.below.file, self.head.uri.query()) {
            (Some(_), None) if self.below.is_literal => PathEdit::OfFile,
            (_, query) => path_and_query(base, rest, query).map_or(PathEdit::Keep, PathEdit::To),
        }
    }

    /// Returns the response, if it can be made without the inner service.
    fn response(&self, snapshot: &Snapshot) -> Option<Response<Bytes>> {
        match self.below.outcome {
            _ if !self.method.is_get_or_head() => None,
            _ if self.is_refused(snapshot) => Some(self.not_found_response(snapshot)),
            _ if self.names_content(snapshot) => self.not_modified_response(snapshot),
            StaticUrlOutcome::Stale => {
                stale_response(snapshot, self.below.rest?, self.head.uri.query())
            }
            StaticUrlOutcome::Current
            | StaticUrlOutcome::Kept
            | StaticUrlOutcome::Unversioned
            | StaticUrlOutcome::Outside => None,
        }
    }

    #[inline]
    pub(super) fn names_content(&self, snapshot: &Snapshot) -> bool {
        let file = self.below.file.map(|(index, _)| index);
        names_content(snapshot, self.below.outcome, file)
    }

    /// Whether the path spells no listed file, and the inner service is not asked for others.
    #[inline]
    fn is_refused(&self, snapshot: &Snapshot) -> bool {
        self.below.file.is_none()
            && snapshot.settings().unlisted == UnlistedPolicy::NotFound
            && !snapshot.may_answer(&self.below)
    }

    #[cold]
    fn not_found_response(&self, snapshot: &Snapshot) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        let policies = &snapshot.settings().policies;
        let (outcome, status) = (self.below.outcome, response.status());
        let edit = policies.cache_control(outcome, status, Match::Unlisted);
        let is_authorized = self.fields.authorization;
        let caching = InnerCaching::default();
        edit.apply(response.headers_mut(), caching, is_authorized);
        if let Some(cdn) = &snapshot.settings().cdn {
            let (version, matching) = (snapshot.version(), Match::Unlisted);
            let sent = Sent { version, outcome, status, matching, caching, is_authorized };
            cdn.add_to(response.headers_mut(), sent);
        }
        response
    }

    /// Returns a 304, if `If-None-Match` has a tag of the file and the policy lets caches use
    /// their copy without asking. Where caches must ask, and if the file is known to have
    /// changed, only the inner service can tell.
    fn not_modified_response(&self, snapshot: &Snapshot) -> Option<Response<Bytes>> {
        self.known_not_modified(snapshot).inspect(|_| event::emit(Event::NotModified))
    }

    #[inline]
    fn known_not_modified(&self, snapshot: &Snapshot) -> Option<Response<Bytes>> {
        let is_simple = self.fields.if_none_match && !self.fields.precondition;
        let file = self.file().filter(|file| is_simple && !must_bypass(file, snapshot))?;
        let policies = &snapshot.settings().policies;
        if file.has_changed() || !policies.current.is_lasting() || self.accepts_stale_coding() {
            return None;
        }
        let lines = self.head.headers.get_all(header::IF_NONE_MATCH);
        let accepts = |coding: &str| AcceptedCodings::is_one(self.head.headers, coding);
        let remembered = file.not_modified_fields()?;
        let named = file.only_named(&lines, accepts);
        #[cfg(feature = "delta")]
        if named.is_none() {
            return self.not_modified_delta(snapshot, remembered);
        }
        let named = named?;
        let make = || self.not_modified_headers(snapshot, named.etag().clone(), remembered);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        let is_authorized = self.fields.authorization;
        *response.headers_mut() = if is_authorized { make() } else { named.not_modified(make) };
        if snapshot.settings().cdn.is_some() {
            self.tell_cdn(snapshot, response.headers_mut(), remembered);
        }
        Some(response)
    }

    /// Gives a 304 the fields for a CDN that the 200 has. What is remembered of a file outlives
    /// the version, which these fields name.
    #[cold]
    pub(super) fn tell_cdn(
        &self,
        snapshot: &Snapshot,
        headers: &mut HeaderMap,
        remembered: &NotModifiedFields,
    ) {
        let Some(cdn) = &snapshot.settings().cdn else { return };
        let sent = Sent {
            version: snapshot.version(),
            outcome: StaticUrlOutcome::Current,
            status: StatusCode::NOT_MODIFIED,
            matching: Match::Verified,
            caching: remembered.caching(),
            is_authorized: self.fields.authorization,
        };
        cdn.add_to(headers, sent);
    }

    pub(super) fn not_modified_headers(
        &self,
        snapshot: &Snapshot,
        etag: HeaderValue,
        remembered: &NotModifiedFields,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, etag);
        remembered.write_to(&mut headers);
        let status = StatusCode::NOT_MODIFIED;
        let policies = &snapshot.settings().policies;
        let edit = policies.cache_control(StaticUrlOutcome::Current, status, Match::Verified);
        edit.apply(&mut headers, remembered.caching(), self.fields.authorization);
        #[cfg(feature = "delta")]
        self.vary_as_offered(snapshot, &mut headers);
        headers
    }

    /// Returns the client's conditions, and who evaluates them.
    fn conditions(&self, snapshot: &Snapshot) -> (Option<Box<ClientConditions>>, FieldEdit) {
        if !self.fields.has_conditional() || !self.method.is_get_or_head() {
            return (None, FieldEdit::Keep);
        }
        let headers = self.head.headers;
        let (preconditions, accepted) = (Preconditions::of(headers), AcceptedCodings::of(headers));
        let (fields, if_range) = self.strip_fields(accepted, snapshot);
        (Some(Box::new(ClientConditions { preconditions, accepted, if_range })), fields)
    }

    /// Returns what to strip from a request for a listed file, and the tag of an `If-Range`
    /// that matched: only a part with this tag may be sent.
    fn strip_fields(
        &self,
        accepted: AcceptedCodings,
        snapshot: &Snapshot,
    ) -> (FieldEdit, Option<HeaderValue>) {
        let headers = self.head.headers;
        let Some(file) = self.file() else {
            let edit =
                if has_digest_range(headers) { FieldEdit::DropRange } else { FieldEdit::Keep };
            return (edit, None);
        };
        let accepted = file.acceptable(accepted);
        // RFC 9110 §14.2: `Range` is defined for `GET` only.
        if self.method == MethodKind::Head {
            return (strip(RangeEdit::Drop, None), None);
        }
        if self.fields.if_range && self.fields.range {
            // Only the whole body can be hashed, and no part would be verified.
            let is_hashed = is_hashed_first(file, snapshot);
            let stripped = || strip_if_range(headers, file, accepted);
            return if is_hashed { (strip(RangeEdit::Drop, None), None) } else { stripped() };
        }
        (strip(range::edit(headers, file.lengths(accepted)), None), None)
    }
}

fn strip(range: RangeEdit, coding: Option<&'static str>) -> FieldEdit {
    FieldEdit::Strip(Box::new(StrippedFields { range, coding }))
}

/// Keeps a `Range` only if its `If-Range` is the strong tag of a representation, and then asks
/// for exactly that one. RFC 9110 §13.1.5: the client must not get a part of other bytes than
/// those of which it has the rest. A date does not prove that, because two versions of a file
/// may have the same date.
fn strip_if_range(
    headers: &HeaderMap,
    file: &File,
    accepted: AcceptedCodings,
) -> (FieldEdit, Option<HeaderValue>) {
    let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
    let named = tag.and_then(|tag| file.strongly_named(&tag, accepted));
    let named = named.filter(|_| !file.has_changed()).map(|(coding, named)| {
        (coding, named, range::edit(headers, [named.info().length()].into_iter()))
    });
    match named {
        None | Some((_, _, RangeEdit::Drop)) => (strip(RangeEdit::Drop, None), None),
        Some((coding, named, range)) => (strip(range, Some(coding)), Some(named.etag().clone())),
    }
}

/// Whether the inner service must be called, whatever is known of the file. In development
/// only its response shows that a file without a modification time has changed.
pub(crate) fn must_bypass(file: &File, snapshot: &Snapshot) -> bool {
    file.must_bypass() || is_hashed_first(file, snapshot)
}

/// Whether only the digest of a body proves that it is the file's.
fn is_hashed_first(file: &File, snapshot: &Snapshot) -> bool {
    snapshot.settings().is_development && !file.has_time()
}

/// Returns the response to a stale URL, unless the policy is to serve the file. It is
/// `no-store`, because the version may be the current one on the next node.
fn stale_response(snapshot: &Snapshot, rest: &str, query: Option<&str>) -> Option<Response<Bytes>> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = match snapshot.settings().stale {
        StalePolicy::Serve | StalePolicy::ServeWith(_) => return None,
        StalePolicy::NotFound => StatusCode::NOT_FOUND,
        StalePolicy::Redirect => {
            let current = with_version(snapshot.mount(), snapshot.version(), rest, query);
            let location = HeaderValue::from_maybe_shared(Bytes::from(current)).ok()?;
            response.headers_mut().insert(header::LOCATION, location);
            StatusCode::TEMPORARY_REDIRECT
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// Returns `If-Range`, unless it has several lines.
fn only_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::IF_RANGE).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// Whether `If-Range` has a tag that the layer made from the digest of a body. The inner
/// service does not know such a tag, and cannot evaluate it.
fn has_digest_range(headers: &HeaderMap) -> bool {
    let tag = only_line(headers).and_then(|line| EntityTag::parse(line.as_bytes()));
    tag.is_some_and(|tag| is_digest(&tag))
}

impl RequestEdit {
    /// Leaves the path to somebody else.
    #[cfg(feature = "releases")]
    pub(crate) fn keep_path(&mut self) {
        self.path = PathEdit::Keep;
    }

    /// Edits the request. If that changes its path, keeps the original in `exchange`.
    pub(crate) fn apply<B>(&mut self, request: &mut Request<B>, exchange: &mut Exchange) {
        let path = match mem::replace(&mut self.path, PathEdit::Keep) {
            PathEdit::Keep => None,
            PathEdit::OfFile => exchange.inner_path(),
            PathEdit::To(path) => Some(path),
        };
        if let Some(path) = path {
            let inner = with_path(request.uri(), path);
            let uri = mem::replace(request.uri_mut(), inner);
            exchange.original = Some(Original::new(uri, request.headers()));
        }
        let headers = request.headers_mut();
        if exchange.target.accepts_stale_coding {
            exchange.refuse_stale_codings(headers);
        }
        match mem::replace(&mut self.fields, FieldEdit::Keep) {
            FieldEdit::Keep => {}
            FieldEdit::DropRange => {
                headers.remove(header::RANGE);
                headers.remove(header::IF_RANGE);
            }
            FieldEdit::Strip(stripped) => stripped.apply(headers),
        }
    }
}

impl FieldEdit {
    /// Whether the inner service may respond in one coding only.
    fn names_coding(&self) -> bool {
        matches!(self, Self::Strip(stripped) if stripped.coding.is_some())
    }
}

impl StrippedFields {
    fn apply(self, headers: &mut HeaderMap) {
        for name in CONDITIONAL_FIELDS {
            headers.remove(name);
        }
        self.range.apply(headers);
        if let Some(coding) = self.coding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
        }
    }
}

impl Exchange {
    /// Returns the path under which the inner service has the file.
    fn inner_path(&self) -> Option<PathAndQuery> {
        let nested = self.target.nested;
        self.file()?.inner_path(nested, self.snapshot.base(nested))
    }

    /// Lets the inner service send the bytes of the file. Whatever else it sends is unproven.
    fn refuse_stale_codings(&self, headers: &mut HeaderMap) {
        let accepted = AcceptedCodings::of(headers);
        let stale = self.file().map_or(&[][..], File::stale_codings);
        headers.insert(header::ACCEPT_ENCODING, accepted.without(stale));
    }
}

/// The conditions of RFC 9110 §13.1.
const CONDITIONAL_FIELDS: [header::HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CachePolicy, Manifest, StaticUrlLayer, StaticUrlLayerBuilder, VersionSource};

    const STALE: &str = "v8.8.8";

    fn builder(mount: &str) -> StaticUrlLayerBuilder {
        let manifest = Manifest::from_files([("css/app.css", "body"), ("two words", "")]).unwrap();
        let version = VersionSource::literal("v1.2.3");
        StaticUrlLayer::builder(mount).manifest(manifest).version(version)
    }

    /// Plans a request. Returns `pass`, `response <status>`, or the path and the conditional
    /// fields of the forwarded request; and its outcome.
    fn planned(
        builder: StaticUrlLayerBuilder,
        nested: bool,
        request: http::request::Builder,
    ) -> (String, Option<StaticUrlOutcome>) {
        let layer = builder.build().unwrap();
        let mut request = request.body(()).unwrap();
        let head = RequestHead {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        };
        match plan(head, nested, layer.current().handle()) {
            Plan::Pass { outcome, .. } => ("pass".into(), Some(outcome)),
            #[cfg(feature = "releases")]
            Plan::Kept(_) => unreachable!("there are no releases"),
            Plan::Respond(answer) => {
                (format!("response {}", answer.unwrap().status().as_u16()), None)
            }
            Plan::Forward { mut edit, mut exchange } => {
                edit.apply(&mut request, &mut exchange);
                let fields = ["range", "if-range", "if-match", "if-none-match", "accept-encoding"];
                let line = |name: &str| {
                    let value = request.headers().get(name)?.to_str().unwrap();
                    Some(format!(" {name}: {value}"))
                };
                let fields = fields.into_iter().filter_map(line).collect::<String>();
                (format!("{}{fields}", request.uri()), Some(exchange.outcome()))
            }
        }
    }

    fn get(uri: &str) -> http::request::Builder {
        Request::get(uri)
    }

    #[test]
    fn paths_and_methods() {
        use StaticUrlOutcome::{Current, Outside, Stale, Unversioned};
        for (name, method, uri, expected, outcome) in [
            ("current", "GET", "/static/v1.2.3/css/app.css", "/static/css/app.css", Current),
            ("query", "GET", "/static/v1.2.3/css/app.css?a", "/static/css/app.css?a", Current),
            ("escaped", "GET", "/static/v1.2.3/two%20words", "/static/two%20words", Current),
            ("not listed", "GET", "/static/v1.2.3/x", "/static/x", Current),
            ("HEAD", "HEAD", "/static/v1.2.3/css/app.css", "/static/css/app.css", Current),
            ("OPTIONS", "OPTIONS", "/static/v1.2.3/css/app.css", "/static/css/app.css", Current),
            ("POST", "POST", "/static/v1.2.3/css/app.css", "pass", Current),
            ("QUERY", "QUERY", "/static/v1.2.3/css/app.css", "pass", Current),
            ("stale", "GET", "/static/v8.8.8/css/app.css", "/static/css/app.css", Stale),
            ("unversioned", "GET", "/static/css/app.css", "/static/css/app.css", Unversioned),
            ("odd", "GET", "/static/v1.2.3/../x", "/static/v1.2.3/../x", Unversioned),
            ("outside", "GET", "/other", "pass", Outside),
            ("looks like the mount", "GET", "/staticfoo/v1.2.3/x", "pass", Outside),
        ] {
            let request = Request::builder().method(method).uri(uri);
            let planned = planned(builder("/static"), false, request);
            assert_eq!(planned, (expected.into(), Some(outcome)), "{name}");
        }
        let nested = planned(builder("/static"), true, get("/v1.2.3/css/app.css"));
        assert_eq!(nested, ("/css/app.css".into(), Some(Current)));
    }

    #[test]
    fn the_rest_of_a_site_is_outside_a_mount_of_the_root() {
        use StaticUrlOutcome::{Current, Outside, Stale, Unversioned};
        for (name, method, uri, expected, outcome) in [
            ("current", "GET", "/v1.2.3/css/app.css", "/css/app.css", Current),
            ("stale", "GET", "/v8.8.8/css/app.css", "/css/app.css", Stale),
            ("unversioned", "GET", "/css/app.css", "/css/app.css", Unversioned),
            ("a directory", "GET", "/v1.2.3/css", "/css", Current),
            ("not listed", "GET", "/v1.2.3/edit", "/v1.2.3/edit", Outside),
            ("another's version", "GET", "/v8.8.8/edit", "/v8.8.8/edit", Outside),
            ("another's version alone", "GET", "/v8.8.8", "/v8.8.8", Outside),
            ("the same, POST", "POST", "/v8.8.8/delete", "pass", Outside),
            ("an API", "GET", "/api/items", "pass", Outside),
            ("the root without a page", "GET", "/", "pass", Outside),
            ("odd", "GET", "/css/../x", "pass", Outside),
        ] {
            let request = Request::builder().method(method).uri(uri);
            let planned = planned(builder("/"), false, request);
            assert_eq!(planned, (expected.into(), Some(outcome)), "{name}");
        }
    }

    #[test]
    fn conditional_fields() {
        let etag = "\"230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5\"";
        assert_eq!(
            Manifest::from_files([("a", "body")]).unwrap().get("a").map(|info| {
                crate::snapshot::representation::strong_etag(info.sha256())
                    .to_str()
                    .unwrap()
                    .to_owned()
            }),
            Some(etag.into())
        );
        let file = "/static/v1.2.3/css/app.css";
        for (name, uri, fields, expected) in [
            (
                "a range",
                file,
                &[("range", "BYTES=0-1")][..],
                "/static/css/app.css range: bytes=0-1",
            ),
            ("several", file, &[("range", "bytes=0-1,3-3")], "/static/css/app.css"),
            ("if-match", file, &[("if-match", "\"x\"")], "/static/css/app.css"),
            ("if-none-match", file, &[("if-none-match", "\"x\"")], "/static/css/app.css"),
            (
                "if-range with the file's tag",
                file,
                &[("range", "bytes=1-"), ("if-range", etag)],
                "/static/css/app.css range: bytes=1- accept-encoding: identity",
            ),
            (
                "if-range with another tag",
                file,
                &[("range", "bytes=1-"), ("if-range", "\"x\"")],
                "/static/css/app.css",
            ),
            (
                "if-range with a date",
                file,
                &[("range", "bytes=1-"), ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")],
                "/static/css/app.css",
            ),
            (
                "of an unlisted file",
                "/static/x",
                &[("if-match", "\"x\""), ("range", "lines=1")],
                "/static/x range: lines=1 if-match: \"x\"",
            ),
            (
                "with a digest for an unlisted file",
                "/static/x",
                &[("range", "bytes=0-1"), ("if-range", etag)],
                "/static/x",
            ),
            ("outside", "/x", &[("range", "bytes=0-1,3-3")], "pass"),
        ] {
            let request = fields
                .iter()
                .fold(get(uri), |request, (name, value)| request.header(*name, *value));
            assert_eq!(planned(builder("/static"), false, request).0, expected, "{name}");
        }
    }

    #[test]
    fn stale_versions() {
        let uri = format!("/static/{STALE}/css/app.css");
        for (name, policy, method, expected) in [
            ("served", StalePolicy::Serve, "GET", "/static/css/app.css"),
            ("with a policy", CachePolicy::no_store().into(), "GET", "/static/css/app.css"),
            ("redirected", StalePolicy::Redirect, "GET", "response 307"),
            ("redirected, HEAD", StalePolicy::Redirect, "HEAD", "response 307"),
            ("refused", StalePolicy::NotFound, "GET", "response 404"),
            ("OPTIONS", StalePolicy::NotFound, "OPTIONS", "/static/css/app.css"),
            ("POST", StalePolicy::NotFound, "POST", "pass"),
        ] {
            let request = Request::builder().method(method).uri(&*uri);
            assert_eq!(
                planned(builder("/static").stale(policy), false, request).0,
                expected,
                "{name}"
            );
        }
    }

    /// A layer whose file has been requested once.
    mod after_one_response {
        use super::*;
        use crate::exchange::response::BodyEdit;
        use std::time::SystemTime;

        const FILE: &str = "/static/v1.2.3/a";
        const LISTED: &[(&str, &str)] = &[("content-length", "5")];

        fn builder(has_times: bool) -> StaticUrlLayerBuilder {
            let files = [("a", "hello"), ("two words", "hello")];
            let manifest = Manifest::from_files(files).unwrap();
            let modified = has_times.then_some(SystemTime::UNIX_EPOCH);
            let with_time = |(path, info): (&str, &crate::manifest::FileInfo)| {
                (path.into(), info.clone().with_modified(modified))
            };
            let manifest = Manifest::from_checked(manifest.iter().map(with_time).collect());
            let version = VersionSource::literal("v1.2.3");
            StaticUrlLayer::builder("/static").manifest(manifest).version(version)
        }

        fn tag() -> String {
            let manifest = Manifest::from_files([("a", "hello")]).unwrap();
            let sha256 = manifest.get("a").unwrap().sha256();
            let tag = crate::snapshot::representation::strong_etag(sha256);
            tag.to_str().unwrap().to_owned()
        }

        fn request(method: &str, fields: &[(&str, &str)]) -> Request<()> {
            let request = Request::builder().method(method).uri(FILE);
            let add = |request: http::request::Builder, &(name, value): &(&str, &str)| {
                request.header(name, value)
            };
            fields.iter().fold(request, add).body(()).unwrap()
        }

        fn plan_of(layer: &StaticUrlLayer, method: &str, fields: &[(&str, &str)]) -> Plan {
            let request = request(method, fields);
            let (method, uri, headers) = (request.method(), request.uri(), request.headers());
            plan(RequestHead { method, uri, headers }, false, layer.current().handle())
        }

        /// Sends a request that the inner service answers with 200 and these fields.
        fn visit(layer: &StaticUrlLayer, fields: &[(&str, &str)]) {
            let Plan::Forward { exchange, .. } = plan_of(layer, "GET", &[]) else {
                panic!("nothing is known of the file yet")
            };
            let add = |response: http::response::Builder, &(name, value): &(&str, &str)| {
                response.header(name, value)
            };
            let response = fields.iter().fold(Response::builder(), add);
            let mut response = response.body(()).unwrap();
            let edit = exchange.on_response(&mut response, Some(5));
            exchange.remember(edit.observations);
            if let BodyEdit::Digest(pending) = edit.body {
                let manifest = Manifest::from_files([("a", "hello")]).unwrap();
                let sha256 = manifest.get("a").unwrap().sha256();
                let edit = exchange.on_body_digest(&mut response, pending, Some(sha256));
                exchange.remember(edit.observations);
            }
        }

        #[test]
        fn a_304_is_made_only_where_the_copy_is_known_to_be_right() {
            let tag = &*tag();
            let named = ("if-none-match", tag);
            let lasting = || builder(false);
            let development = |has_times| builder(has_times).development(true);
            let asking = || builder(false).current(CachePolicy::no_cache());
            let changed = &[("content-length", "6")][..];
            let private = &[("content-length", "5"), ("set-cookie", "a=b")][..];
            for (name, builder, seen, method, fields, is_304) in [
                ("the file's tag", lasting(), LISTED, "GET", &[named][..], true),
                ("HEAD", lasting(), LISTED, "HEAD", &[named], true),
                ("OPTIONS", lasting(), LISTED, "OPTIONS", &[named], false),
                ("another tag", lasting(), LISTED, "GET", &[("if-none-match", "\"x\"")], false),
                ("no condition", lasting(), LISTED, "GET", &[], false),
                ("a precondition", lasting(), LISTED, "GET", &[named, ("if-match", "*")], false),
                (
                    "a date beside it",
                    lasting(),
                    LISTED,
                    "GET",
                    &[named, ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
                    true,
                ),
                (
                    "a refused coding",
                    lasting(),
                    LISTED,
                    "GET",
                    &[named, ("accept-encoding", "gzip, identity;q=0")],
                    false,
                ),
                ("a changed file", lasting(), changed, "GET", &[named], false),
                ("a file for one client", lasting(), private, "GET", &[named], false),
                ("caches must ask", asking(), LISTED, "GET", &[named], false),
                ("with a time", builder(true), LISTED, "GET", &[named], true),
                ("development, with a time", development(true), LISTED, "GET", &[named], true),
                ("development, no time", development(false), LISTED, "GET", &[named], false),
            ] {
                let layer = builder.build().unwrap();
                visit(&layer, seen);
                let response = match plan_of(&layer, method, fields) {
                    Plan::Respond(response) => response,
                    _ => None,
                };
                assert_eq!(response.is_some(), is_304, "{name}");
                let Some(response) = response else { continue };
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{name}");
                let field = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
                assert_eq!(field("etag"), tag, "{name}");
                assert_eq!(field("cache-control"), "public, max-age=31536000, immutable", "{name}");
            }
        }

        #[test]
        fn a_304_repeats_what_the_inner_service_says() {
            let layer = builder(false).build().unwrap();
            visit(
                &layer,
                &[
                    ("content-length", "5"),
                    ("cache-control", "public, max-age=60"),
                    ("vary", "accept-encoding"),
                    ("content-type", "text/css"),
                ],
            );
            let tag = tag();
            for (name, authorization, expected) in [
                ("anybody", None, "public, max-age=60"),
                ("an authorized client", Some("Basic YTpi"), "private, max-age=60"),
            ] {
                let authorization = authorization.map(|value| ("authorization", value));
                let fields = [Some(("if-none-match", &*tag)), authorization];
                let fields = fields.into_iter().flatten().collect::<Vec<_>>();
                let Plan::Respond(Some(response)) = plan_of(&layer, "GET", &fields) else {
                    panic!("{name}: no 304")
                };
                let lines = ["cache-control", "vary", "content-type"].map(|name| {
                    response.headers().get(name).map_or("", |line| line.to_str().unwrap())
                });
                assert_eq!(lines, [expected, "accept-encoding", ""], "{name}");
            }
        }

        /// In development only the whole body proves that a file without a time is the listed
        /// one.
        #[test]
        fn a_part_is_requested_only_if_it_can_be_proven() {
            let tag = &*tag();
            let part = ("range", "bytes=1-");
            for (name, builder, method, fields, expected) in [
                ("a range", builder(false), "GET", &[part][..], "bytes=1-"),
                ("a range, HEAD", builder(false), "HEAD", &[part], ""),
                ("if-range", builder(false), "GET", &[part, ("if-range", tag)], "bytes=1-"),
                ("if-range without a range", builder(false), "GET", &[("if-range", tag)], ""),
                (
                    "development, with a time",
                    builder(true).development(true),
                    "GET",
                    &[part, ("if-range", tag)],
                    "bytes=1-",
                ),
                (
                    "development, no time",
                    builder(false).development(true),
                    "GET",
                    &[part, ("if-range", tag)],
                    "",
                ),
            ] {
                let layer = builder.build().unwrap();
                let Plan::Forward { mut edit, mut exchange } = plan_of(&layer, method, fields)
                else {
                    panic!("{name}: not forwarded")
                };
                let mut request = request(method, fields);
                edit.apply(&mut request, &mut exchange);
                let range = request.headers().get("range");
                assert_eq!(range.map_or("", |range| range.to_str().unwrap()), expected, "{name}");
                assert!(!request.headers().contains_key("if-range"), "{name}");
            }
        }
    }

    #[test]
    fn options_keeps_its_fields() {
        let request = Request::options("/static/v1.2.3/css/app.css").header("if-match", "*");
        let planned = planned(builder("/static"), false, request);
        assert_eq!(planned.0, "/static/css/app.css if-match: *");
    }

    #[test]
    fn where_a_stale_url_is_redirected() {
        for (name, uri, expected) in [
            ("a file", "/static/v8.8.8/css/app.css", "/static/v1.2.3/css/app.css"),
            ("with a query", "/static/v8.8.8/x?a=b", "/static/v1.2.3/x?a=b"),
            ("a directory", "/static/v8.8.8/", "/static/v1.2.3/"),
        ] {
            let layer = builder("/static").stale(StalePolicy::Redirect).build().unwrap();
            let request = get(uri).body(()).unwrap();
            let (method, uri, headers) = (request.method(), request.uri(), request.headers());
            let head = RequestHead { method, uri, headers };
            let Plan::Respond(Some(response)) = plan(head, false, layer.current().handle()) else {
                panic!("{name}: not redirected")
            };
            assert_eq!(response.headers()["location"], expected, "{name}");
            assert_eq!(response.headers()["cache-control"], "no-store", "{name}");
        }
    }

    /// What a 206 is compared with.
    #[test]
    fn the_forwarded_range_is_known() {
        use crate::header::range::Range;
        let (listed, unlisted) = ("/static/v1.2.3/css/app.css", "/static/v1.2.3/x");
        let bytes = ForwardedRange::Bytes(Range::From { first: 1, last: None });
        for (name, uri, range, expected) in [
            ("none", listed, None, ForwardedRange::None),
            ("of a listed file", listed, Some("bytes=1-"), bytes),
            ("dropped", listed, Some("bytes=0-1,3-3"), ForwardedRange::None),
            ("none, not listed", unlisted, None, ForwardedRange::None),
            ("not listed", unlisted, Some("bytes=1-"), ForwardedRange::Unparsed),
        ] {
            let layer = builder("/static").build().unwrap();
            let mut request = get(uri).body(()).unwrap();
            if let Some(range) = range {
                request.headers_mut().insert(header::RANGE, HeaderValue::from_static(range));
            }
            let (method, uri, headers) = (request.method(), request.uri(), request.headers());
            let head = RequestHead { method, uri, headers };
            let Plan::Forward { exchange, .. } = plan(head, false, layer.current().handle()) else {
                panic!("{name}: not forwarded")
            };
            assert_eq!(exchange.target.range, expected, "{name}");
        }
    }
}
