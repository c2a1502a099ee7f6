//! What replaces deltas without the `delta` feature? A type without values: no response is one.

use std::{
    convert::Infallible,
    marker::PhantomData,
    task::{Context, Poll},
};

use http::Response;

use crate::ResponseBody;

pub(crate) enum DeltaInFlight<F, B> {
    #[expect(dead_code, reason = "it has no value")]
    Never(Infallible, PhantomData<(F, B)>),
}

impl<F, B> DeltaInFlight<F, B> {
    pub(crate) fn poll<E>(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, E>> {
        match *self {
            Self::Never(never, _) => match never {},
        }
    }
}
