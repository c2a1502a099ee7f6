//! May a file of a kept release come from memory? From the memory of the current release, so that
//! there is one budget for all, and what several releases have is stored once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::{
    ResponseBody,
    exchange::{
        Exchange,
        from_memory::{Hit, LookUp},
        request::{Plan, RequestEdit, RequestHead, plan_without_releases},
    },
    header::range::Part,
    kept::{EmptyBody, KeptBody, KeptPlan, shelf::KeptSnapshot},
    manifest::FileIndex,
    memory::{Accept, Memory},
    url::{path_and_query, with_path},
};

/// What takes the place of the service over the releases.
pub(super) enum Found {
    Response(Response<KeptBody>),
    Nothing(Recording),
}

/// Where the service's response is to be stored, if it may be.
pub(super) struct Recording(Option<(Arc<Memory>, Accept)>);

impl KeptPlan {
    /// Whether the current release has the same file, with the same siblings.
    pub(super) fn is_current_too(
        &self,
        opened: &KeptSnapshot,
        path: &str,
        file: FileIndex,
    ) -> bool {
        let (current, kept) = (self.current.files(), opened.handle.files());
        let listed = self.current.find(path).zip(current.zip(kept));
        listed.is_some_and(|(index, (current, kept))| current.parts(index) == kept.parts(file))
    }

    /// Returns what is known to be the response for the same file of the current release.
    pub(super) fn respond_as_current(
        &self,
        opened: &KeptSnapshot,
        rest: &str,
        request: &Request<EmptyBody>,
    ) -> Option<Response<Bytes>> {
        let current = &self.current;
        current.memory()?;
        let base = format!("{}/{}", current.base(self.nested), current.version());
        let uri = with_path(request.uri(), path_and_query(&base, rest, request.uri().query())?);
        let head = RequestHead { uri: &uri, ..RequestHead::of(request) };
        let mut response = match plan_without_releases(head, self.nested, current.clone()) {
            Plan::Respond(response) => response?,
            Plan::Pass { .. } | Plan::Forward { .. } | Plan::Kept(_) => return None,
        };
        if let Some(cdn) = &current.settings().cdn
            && cdn.remove_version(response.headers_mut(), current.version())
        {
            cdn.add_version(response.headers_mut(), opened.handle.version());
        }
        Some(response)
    }

    /// Looks up what the service would send for an edited request. What the current release has
    /// is left to it.
    pub(super) fn look_up(
        &self,
        is_current_too: bool,
        exchange: &Exchange,
        edit: &RequestEdit,
        request: &Request<EmptyBody>,
    ) -> Found {
        let nothing = Found::Nothing(Recording(None));
        let memory = self.current.memory().filter(|_| !is_current_too);
        let Some(memory) = memory else { return nothing };
        let whole = match exchange.look_up_kept(memory, RequestHead::of(request), edit) {
            LookUp::Hit(Hit::Whole(stored)) => stored.part(Part::Whole),
            LookUp::Hit(Hit::Other(response)) => Some(response),
            LookUp::Miss(accept) => {
                return Found::Nothing(Recording(Some((Arc::clone(memory), accept))));
            }
            LookUp::Bypass => None,
        };
        let boxed = |bytes| Box::pin(ResponseBody::<KeptBody>::whole(bytes)) as KeptBody;
        whole.map_or(nothing, |response| Found::Response(response.map(boxed)))
    }
}

impl Recording {
    /// Begins to record a response.
    pub(super) fn record(
        &self,
        exchange: &Exchange,
        response: Response<KeptBody>,
    ) -> Response<KeptBody> {
        let place = self.0.as_ref();
        let recorder =
            place.and_then(|(memory, accept)| exchange.record_kept(memory, accept, &response));
        match recorder {
            None => response,
            recorder => response.map(|body| Box::pin(ResponseBody::recorded(body, recorder)) as _),
        }
    }
}
