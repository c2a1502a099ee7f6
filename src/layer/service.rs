use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    ResponseBody, ResponseFuture, StaticPrefix,
    exchange::request::{Place, Plan, RequestHead, plan},
    layer::Shared,
    layer::body::carries_bytes,
};

/// The service that [`StaticUrlLayer`](crate::StaticUrlLayer) makes of an inner one.
///
/// Its response body is [`ResponseBody`]; `axum::serve` takes only axum's own, for
/// which there is `StaticUrlLayer::wrap` (`axum` feature).
#[derive(Clone, Debug)]
pub struct StaticUrl<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> StaticUrl<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for StaticUrl<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    ResBody::Data: 'static,
{
    type Response = Response<ResponseBody<ResBody, ResBody::Data, ResBody::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, ResBody::Data, ResBody::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let head = RequestHead {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        };
        let place =
            Place { nested: self.shared.nested, carries_bytes: carries_bytes::<ResBody::Data>() };
        let mut plan = plan(head, place, self.shared.snapshot());
        let snapshot = match &mut plan {
            Plan::Answer(answer) => return ResponseFuture::answered(answer.take()),
            Plan::Pass(snapshot) => snapshot,
            Plan::Forward { edit, review } => {
                edit.apply(&mut request, review);
                &review.snapshot
            }
        };
        request.extensions_mut().insert(StaticPrefix::new(snapshot.handle()));
        let future = self.inner.call(request);
        match plan {
            Plan::Forward { review, .. } => ResponseFuture::forwarded(future, review),
            Plan::Answer(_) | Plan::Pass(_) => ResponseFuture::passed(future),
        }
    }
}
