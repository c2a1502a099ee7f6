//! Which responses may a browser use as dictionaries? It says so in `Use-As-Dictionary` (RFC 9842
//! §2.1): whole files that every cache may keep.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    delta::{
        Workshop,
        answer::{dictionary_in_tag, is_for_everybody, restrict, vary_as_delta},
        asked::asked_dictionary,
        pattern::use_as_dictionary,
    },
    exchange::{
        Exchange, Target,
        request::{IncomingRequest, RequestHead},
    },
    header::{
        USE_AS_DICTIONARY,
        etag::{EntityTag, tags_in},
        head::InnerCaching,
    },
    manifest::FileIndex,
    observe::event::{self, DeltaEvent, Event},
    policy::Match,
    snapshot::{
        Below, Snapshot,
        file::{File, NotModifiedFields},
    },
    url::StaticUrlOutcome,
};

impl Exchange {
    /// Lets a browser use the response as a dictionary, if it is the whole of a file that is
    /// offered. A 304 must select as the 200 does.
    #[cold]
    pub(super) fn offer<B>(
        &self,
        response: &mut Response<B>,
        matching: Match,
        caching: InnerCaching,
    ) {
        let is_file = matching == Match::Verified && self.names_content();
        let is_public = !caching.is_private && !self.target.is_authorized;
        let status = response.status();
        if !is_file || !is_public || !is_offered_with(status) {
            return;
        }
        let headers = response.headers_mut();
        if !is_for_everybody(headers) {
            return;
        }
        let Some(offer) = self.offer_value() else { return };
        vary_as_delta(headers);
        if status == StatusCode::OK {
            headers.insert(USE_AS_DICTIONARY, offer);
            let path = self.file().map_or("", File::path);
            event::emit(Event::Delta { path, event: DeltaEvent::Offered });
        }
    }

    fn offer_value(&self) -> Option<HeaderValue> {
        let Target { outcome, file, .. } = self.target;
        let (index, file) = (file?, self.file()?);
        offer_value(&self.snapshot, (index, file), outcome, self.spelled.as_deref())
    }

    /// Whether every request for the file whose response may come from memory gets this offer.
    #[cfg(feature = "memory")]
    pub(crate) fn has_usual_offer(&self) -> bool {
        let Target { outcome, file, .. } = self.target;
        self.snapshot.settings().deltas.is_none()
            || file.is_some_and(|file| {
                self.spelled.is_none() && is_usual(&self.snapshot, file, outcome)
            })
    }
}

impl IncomingRequest<'_> {
    /// Returns how the client spells the path, if that is not the logical path.
    #[cold]
    pub(super) fn spelled(&self) -> Option<Box<str>> {
        self.below.file?;
        spelled(&self.below).map(Box::from)
    }

    /// Lets a 304 select as the 200 does that it stands for.
    pub(super) fn vary_as_offered(&self, snapshot: &Snapshot, headers: &mut HeaderMap) {
        let is_offered = self.below.file.is_some_and(|(index, _)| snapshot.is_offered(index));
        if is_offered && !self.fields.authorization && is_for_everybody(headers) {
            vary_as_delta(headers);
        }
    }

    /// Returns a 304, if `If-None-Match` has the tag of a delta that makes the file.
    pub(super) fn not_modified_delta(
        &self,
        snapshot: &Snapshot,
        remembered: &NotModifiedFields,
    ) -> Option<Response<Bytes>> {
        let (_, file) = self.below.file?;
        let deltas = snapshot.settings().deltas.as_ref()?;
        let lines = self.head.headers.get_all(header::IF_NONE_MATCH);
        let is_named = |tag: &EntityTag<'_>| {
            file.is_delta_tag(tag)
                && (!deltas.settings().is_shared() || can_be_read(self.head, tag))
        };
        let tag = tags_in(&lines).find(is_named)?.to_value()?;
        let mut headers = self.not_modified_headers(snapshot, tag, remembered);
        self.tell_cdn(snapshot, &mut headers, remembered);
        be_of_delta(&mut headers, deltas);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = headers;
        Some(response)
    }
}

/// Whether a client can read the delta with this tag. A shared cache that has the delta may ask
/// with its tag for any client, and after a 304 would send it (RFC 9111 §4.3.1).
fn can_be_read(head: RequestHead<'_>, tag: &EntityTag<'_>) -> bool {
    let dictionary = asked_dictionary(head.method, head.headers);
    dictionary.is_some_and(|sha256| tag.opaque().ends_with(dictionary_in_tag(&sha256).as_bytes()))
}

/// Gives a 304 the fields of the delta that it stands for.
fn be_of_delta(headers: &mut HeaderMap, deltas: &Workshop) {
    vary_as_delta(headers);
    if !deltas.settings().is_shared() {
        restrict(headers);
    }
}

impl Exchange {
    /// Whether a tag is that of a delta which the client has and can read. That a delta is
    /// shared may mean that it cannot, and the request is not at hand any more.
    pub(super) fn has_delta(&self, tag: &EntityTag<'_>) -> bool {
        let deltas = self.snapshot.settings().deltas.as_ref();
        deltas.is_some_and(|deltas| !deltas.settings().is_shared())
            && self.names_content()
            && self.file().is_some_and(|file| file.is_delta_tag(tag))
    }

    /// Gives a 304 the fields of a delta, if it has the tag of one.
    pub(super) fn restrict_delta(&self, headers: &mut HeaderMap) {
        let Some(deltas) = &self.snapshot.settings().deltas else { return };
        let tag = headers.get(header::ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes()));
        if tag.is_some_and(|tag| self.file().is_some_and(|file| file.is_delta_tag(&tag))) {
            be_of_delta(headers, deltas);
        }
    }
}

/// Whether a whole file (200) is offered, or its response repeated (304).
fn is_offered_with(status: StatusCode) -> bool {
    status == StatusCode::OK || status == StatusCode::NOT_MODIFIED
}

/// Returns the offer for a request below the mount.
pub(crate) fn offer_of(snapshot: &Snapshot, below: &Below<'_, '_>) -> Option<HeaderValue> {
    let (index, file) = below.file?;
    offer_value(snapshot, (index, file), below.outcome, spelled(below))
}

/// Returns how the client spells a path that is not the logical path itself.
pub(super) fn spelled<'p>(below: &Below<'_, 'p>) -> Option<&'p str> {
    below.rest.filter(|_| !below.is_literal)
}

/// Returns the offer of a file, if it has one. `spelled` is the path as the client sends it, if it
/// is not the logical path.
fn offer_value(
    snapshot: &Snapshot,
    (index, file): (FileIndex, &File),
    outcome: StaticUrlOutcome,
    spelled: Option<&str>,
) -> Option<HeaderValue> {
    if !snapshot.is_offered(index) {
        return None;
    }
    let make = || {
        let rest = spelled.unwrap_or_else(|| file.path());
        let has_version = outcome != StaticUrlOutcome::Unversioned;
        use_as_dictionary(snapshot.mount(), has_version, rest, snapshot.hash(index))
    };
    if spelled.is_none() && is_usual(snapshot, index, outcome) {
        return file.usual_offer(make).clone();
    }
    make()
}

/// Whether the URL is the one that the layer gives to the file.
fn is_usual(snapshot: &Snapshot, file: FileIndex, outcome: StaticUrlOutcome) -> bool {
    (outcome == StaticUrlOutcome::Unversioned) == snapshot.is_fingerprinted(file)
}
