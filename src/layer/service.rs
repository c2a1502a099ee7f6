//! What happens when a request arrives? The tower service around the inner one.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    ResponseBody, ResponseFuture, StaticPrefix, StaticUrlOutcome,
    exchange::request::{Plan, RequestHead, plan},
    layer::{Shared, body::BoxError},
    snapshot::current::Handle,
};

/// The service that [`StaticUrlLayer`](crate::StaticUrlLayer) puts around an inner service.
///
/// Its response body is [`ResponseBody`]. `axum::serve` accepts only axum's own body type: use
/// `StaticUrlLayer::wrap` (`axum` feature) for it.
#[derive(Clone, Debug)]
pub struct StaticUrl<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> StaticUrl<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for StaticUrl<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Error: Into<BoxError>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let head = RequestHead {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        };
        let mut plan = plan(head, self.shared.nested, self.shared.current.handle());
        match &mut plan {
            Plan::Respond(response) => return ResponseFuture::respond(response.take()),
            Plan::Pass { snapshot, outcome } => extend(&mut request, snapshot, *outcome),
            Plan::Forward { edit, exchange } => {
                edit.apply(&mut request, exchange);
                extend(&mut request, exchange.snapshot(), exchange.outcome());
            }
        }
        let future = self.inner.call(request);
        match plan {
            Plan::Forward { exchange, .. } => ResponseFuture::forward(future, exchange),
            Plan::Respond(_) | Plan::Pass { .. } => ResponseFuture::pass(future),
        }
    }
}

/// Adds the extensions that handlers see.
fn extend<B>(request: &mut Request<B>, snapshot: &Handle, outcome: StaticUrlOutcome) {
    let extensions = request.extensions_mut();
    if extensions.is_empty() {
        let made = snapshot.extensions(outcome, |snapshot| {
            let mut extensions = Extensions::new();
            extensions.insert(StaticPrefix::new(snapshot));
            extensions.insert(outcome);
            extensions
        });
        *extensions = made.clone();
        return;
    }
    // With two layers, what is outside this one may be below the other.
    let is_outer =
        outcome == StaticUrlOutcome::Outside && extensions.get::<StaticUrlOutcome>().is_some();
    extensions.insert(StaticPrefix::new(snapshot.clone()));
    if !is_outer {
        extensions.insert(outcome);
    }
}
