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
#[cfg(feature = "releases")]
use crate::{
    exchange::request::plan_without_releases,
    kept::{InFlight, KeptPlan},
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

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let head = RequestHead::of(&request);
        let plan = plan(head, self.shared.nested, self.shared.current.handle());
        self.carry_out(plan, request)
    }
}

impl<S> StaticUrl<S> {
    #[inline(always)]
    fn carry_out<ReqBody, ResBody>(
        &mut self,
        mut plan: Plan,
        mut request: Request<ReqBody>,
    ) -> ResponseFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body<Error: Into<BoxError>>,
    {
        match &mut plan {
            Plan::Respond(response) => return ResponseFuture::respond(response.take()),
            #[cfg(feature = "releases")]
            Plan::Kept(kept) => return self.call_kept(kept.take(), request),
            Plan::Pass { snapshot, outcome } => extend(&mut request, snapshot, *outcome),
            Plan::Forward { edit, exchange } => {
                edit.apply(&mut request, exchange);
                extend(&mut request, exchange.snapshot(), exchange.outcome());
            }
        }
        let future = self.inner.call(request);
        match plan {
            Plan::Forward { exchange, .. } => ResponseFuture::forward(future, exchange),
            _ => ResponseFuture::pass(future),
        }
    }

    /// Lets a kept release respond. The inner service is needed only if none may do so.
    #[cfg(feature = "releases")]
    #[cold]
    #[inline(never)]
    fn call_kept<ReqBody, ResBody>(
        &mut self,
        kept: Option<Box<KeptPlan>>,
        request: Request<ReqBody>,
    ) -> ResponseFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body<Error: Into<BoxError>>,
    {
        let Some(kept) = kept else { return ResponseFuture::respond(None) };
        let (parts, body) = request.into_parts();
        let otherwise = kept.is_uncertain.then(|| {
            let request = Request::from_parts(parts.clone(), body);
            let (nested, snapshot) = (self.shared.nested, kept.current().clone());
            let plan = plan_without_releases(RequestHead::of(&request), nested, snapshot);
            self.carry_out(plan, request)
        });
        ResponseFuture::kept(InFlight::new(*kept, parts, otherwise))
    }
}

/// Adds the extensions that handlers see.
pub(crate) fn extend<B>(request: &mut Request<B>, snapshot: &Handle, outcome: StaticUrlOutcome) {
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
