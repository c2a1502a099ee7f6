//! What happens when a request arrives? The tower service around the inner one.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use http_body::Body;
use tower_service::Service;

#[cfg(feature = "delta")]
use crate::delta::{self, DeltaPlan};
#[cfg(feature = "releases")]
use crate::kept::{self, KeptPlan};
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

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let snapshot = self.shared.current.handle();
        #[cfg(feature = "delta")]
        if delta::may_ask(&snapshot, request.headers()) {
            return self.call_for_delta(request, snapshot);
        }
        self.call_ordinary(request, snapshot)
    }
}

impl<S> StaticUrl<S> {
    /// Responds without a delta. Inlined, it would copy the request once more.
    fn call_ordinary<ReqBody, ResBody>(
        &mut self,
        mut request: Request<ReqBody>,
        snapshot: Handle,
    ) -> ResponseFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body<Error: Into<BoxError>>,
    {
        let mut plan = plan(RequestHead::of(&request), self.shared.nested, snapshot);
        match &mut plan {
            Plan::Respond(response) => return ResponseFuture::respond(response.take()),
            Plan::Pass { snapshot, outcome } => extend(&mut request, snapshot, *outcome),
            Plan::Forward { edit, exchange } => {
                edit.apply(&mut request, exchange);
                extend(&mut request, exchange.snapshot(), exchange.outcome());
            }
            #[cfg(feature = "releases")]
            Plan::Kept(kept) => return self.call_kept(kept.take(), request),
        }
        let future = self.inner.call(request);
        match plan {
            Plan::Forward { exchange, .. } => ResponseFuture::forward(future, exchange),
            Plan::Pass { snapshot, outcome } if snapshot.tells_version(outcome) => {
                ResponseFuture::pass_with_version(future, snapshot)
            }
            _ => ResponseFuture::pass(future),
        }
    }
}

#[cfg(feature = "delta")]
impl<S> StaticUrl<S> {
    /// Responds with a delta, or as without one. Apart from [`call`](Service::call), which would
    /// not be compiled as well with it.
    #[cold]
    #[inline(never)]
    fn call_for_delta<ReqBody, ResBody>(
        &mut self,
        request: Request<ReqBody>,
        snapshot: Handle,
    ) -> ResponseFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body<Error: Into<BoxError>>,
    {
        let head = RequestHead::of(&request);
        let kept = snapshot.settings().kept.as_ref();
        let plan = kept.and_then(|kept| DeltaPlan::of(head, self.shared.nested, &snapshot, kept));
        let Some(plan) = plan else { return self.call_ordinary(request, snapshot) };
        if let Some(response) = plan.respond(request.uri()) {
            return ResponseFuture::respond(Some(response));
        }
        ResponseFuture::delta(plan, self.call_ordinary(request, snapshot))
    }
}

#[cfg(feature = "releases")]
impl<S> StaticUrl<S> {
    /// Lets a kept release respond, and calls the inner service only if it may turn out that none
    /// does. Apart from [`call`](Service::call), which would not be compiled as well with it.
    #[cold]
    #[inline(never)]
    fn call_kept<ReqBody, ResBody>(
        &mut self,
        kept: Option<Box<KeptPlan>>,
        mut request: Request<ReqBody>,
    ) -> ResponseFuture<S::Future, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body<Error: Into<BoxError>>,
    {
        let (head, extensions) = (RequestHead::of(&request), request.extensions());
        let (kept, instead) = kept::begin(kept, head, extensions, self.shared.nested);
        let otherwise = match instead {
            None => None,
            Some(Plan::Respond(response)) => Some(ResponseFuture::respond(response)),
            Some(Plan::Forward { mut edit, mut exchange }) => {
                edit.apply(&mut request, &mut exchange);
                extend_kept(&mut request, exchange.snapshot(), exchange.outcome());
                Some(ResponseFuture::forward(self.inner.call(request), exchange))
            }
            Some(Plan::Pass { snapshot, outcome }) => {
                extend_kept(&mut request, &snapshot, outcome);
                let future = self.inner.call(request);
                Some(if snapshot.tells_version(outcome) {
                    ResponseFuture::pass_with_version(future, snapshot)
                } else {
                    ResponseFuture::pass(future)
                })
            }
            Some(Plan::Kept(_)) => None,
        };
        ResponseFuture::kept(kept, otherwise)
    }
}

/// [Extends](extend) a request for which a kept release is looked for.
#[cfg(feature = "releases")]
#[inline(never)]
pub(crate) fn extend_kept<B>(
    request: &mut Request<B>,
    snapshot: &Handle,
    outcome: StaticUrlOutcome,
) {
    extend(request, snapshot, outcome);
}

/// Adds the extensions that handlers see.
#[inline(always)]
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
