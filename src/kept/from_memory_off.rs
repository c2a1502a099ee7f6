//! What replaces memory for kept releases without the `memory` feature? Nothing is stored.

use bytes::Bytes;
use http::{Request, Response};

use crate::{
    exchange::{Exchange, request::RequestEdit},
    kept::{EmptyBody, KeptBody, KeptPlan, shelf::KeptSnapshot},
    manifest::FileIndex,
};

pub(super) enum Found {
    #[expect(dead_code, reason = "nothing is found")]
    Response(Response<KeptBody>),
    Nothing(Recording),
}

pub(super) struct Recording;

impl KeptPlan {
    pub(super) fn is_current_too(&self, _: &KeptSnapshot, _: &str, _: FileIndex) -> bool {
        false
    }

    pub(super) fn respond_as_current(
        &self,
        _: &KeptSnapshot,
        _: &str,
        _: &Request<EmptyBody>,
    ) -> Option<Response<Bytes>> {
        None
    }

    pub(super) fn look_up(
        &self,
        _: bool,
        _: &Exchange,
        _: &RequestEdit,
        _: &Request<EmptyBody>,
    ) -> Found {
        Found::Nothing(Recording)
    }
}

impl Recording {
    pub(super) fn record(&self, _: &Exchange, response: Response<KeptBody>) -> Response<KeptBody> {
        response
    }
}
