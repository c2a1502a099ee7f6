//! What becomes of a response that a delta may take the place of? It is made first, as without
//! deltas, because only that shows which fields it has, and whether it is the file.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;

use crate::{
    ResponseBody, ResponseFuture,
    delta::{answer::length, plan::DeltaPlan},
    kept::unshared::Unshared,
    layer::body::BoxError,
};

/// A response under way.
pub(crate) struct DeltaInFlight<F, B>(Box<Stages<F, B>>);

struct Stages<F, B> {
    plan: Arc<DeltaPlan>,
    ordinary: Pin<Box<ResponseFuture<F, B>>>,
    /// The ordinary response, and the delta that takes its place.
    waiting: Option<(Response<ResponseBody<B>>, Making)>,
}

type Making = Unshared<Option<Bytes>>;

impl<F, B> DeltaInFlight<F, B> {
    pub(crate) fn new(plan: Arc<DeltaPlan>, ordinary: ResponseFuture<F, B>) -> Self {
        Self(Box::new(Stages { plan, ordinary: Box::pin(ordinary), waiting: None }))
    }
}

impl<F, B, E> DeltaInFlight<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: Into<BoxError>>,
{
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, E>> {
        let Stages { plan, ordinary, waiting } = &mut *self.0;
        if waiting.is_none() {
            let response = ready!(ordinary.as_mut().poll(cx))?;
            if !plan.is_for(&response) {
                return Poll::Ready(Ok(response));
            }
            let making = Making::new(Arc::clone(plan).delta(length(response.headers())));
            *waiting = Some((response, making));
        }
        let Some((_, making)) = waiting else { return Poll::Pending };
        let delta = ready!(making.poll(cx));
        let Some((response, _)) = waiting.take() else { return Poll::Pending };
        Poll::Ready(Ok(plan.replace(response, delta)))
    }
}

impl DeltaPlan {
    /// Puts a delta, if there is one, in the place of the ordinary response.
    pub(crate) fn replace<B>(
        &self,
        ordinary: Response<ResponseBody<B>>,
        delta: Option<Bytes>,
    ) -> Response<ResponseBody<B>> {
        let Some(delta) = delta else { return ordinary };
        let (mut parts, _) = ordinary.into_parts();
        let response = self.answer(std::mem::take(&mut parts.headers), delta);
        let (edited, body) = response.into_parts();
        parts.headers = edited.headers;
        Response::from_parts(parts, ResponseBody::whole(body))
    }

    /// Puts a delta, if there is one, in the place of a response of a kept release.
    pub(crate) async fn replace_soon<B>(
        self: Arc<Self>,
        ordinary: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        if !self.is_for(&ordinary) {
            return ordinary;
        }
        let delta = Arc::clone(&self).delta(length(ordinary.headers())).await;
        self.replace(ordinary, delta)
    }
}
