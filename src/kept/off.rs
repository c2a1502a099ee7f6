//! What replaces the kept releases without the `releases` feature? Types without values: no
//! request is for one.

use std::{
    convert::Infallible,
    marker::PhantomData,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};

use crate::{ResponseBody, layer::body::BoxError};

pub(crate) enum InFlight<F, B> {
    #[expect(dead_code, reason = "it has no value")]
    Never(Infallible, PhantomData<(F, B)>),
}

pub(crate) enum Content {}

impl Content {
    pub(crate) fn poll_frame(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match *self {}
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match *self {}
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match *self {}
    }
}

impl<F, B> InFlight<F, B> {
    pub(crate) fn poll<E>(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, E>> {
        match *self {
            Self::Never(never, _) => match never {},
        }
    }
}
