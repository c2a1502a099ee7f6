//! The layer in an axum application: [`StaticPrefix`] is an extractor, and
//! [`StaticUrlLayer::wrap`] wraps a whole router.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll, ready as try_ready},
};

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{ResponseBody, ResponseFuture, StaticPrefix, StaticUrl, StaticUrlLayer};

/// Extracts the prefix that the layer has put into the request. Handlers beside a
/// [nested](StaticUrlLayer::nested) layer need an `Extension(layer.clone())`: they get the
/// current prefix of that layer.
impl<S: Sync> FromRequestParts<S> for StaticPrefix {
    type Rejection = MissingStaticPrefix;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        find(parts).ok_or(MissingStaticPrefix)
    }
}

/// Extracts `None` if no layer is around the handler.
impl<S: Sync> OptionalFromRequestParts<S> for StaticPrefix {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(find(parts))
    }
}

fn find(parts: &Parts) -> Option<StaticPrefix> {
    // An `Extension(layer.prefix())` was made with the router: follow it to the current one.
    let prefix = parts.extensions.get().map(StaticPrefix::follow);
    prefix.or_else(|| parts.extensions.get().map(StaticUrlLayer::prefix))
}

/// The rejection of the [`StaticPrefix`] extractor: no [`StaticUrlLayer`] is around the
/// handler. The response is a 500 whose text explains that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingStaticPrefix;

impl std::fmt::Display for MissingStaticPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "no StaticPrefix in the request: `tower_static_url::StaticUrlLayer` is missing around \
             this handler; wrap the whole router in it, `layer.wrap(router)`, or add \
             `Extension(layer.clone())` beside a nested layer",
        )
    }
}

impl std::error::Error for MissingStaticPrefix {}

impl IntoResponse for MissingStaticPrefix {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl StaticUrlLayer {
    /// Wraps a whole axum `Router`, for `axum::serve`.
    ///
    /// `axum::serve` accepts only axum's own body type. This turns the layer's
    /// [`ResponseBody`] back into it. A body that the layer only passes through is not boxed
    /// a second time.
    ///
    /// ```no_run
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// # use axum::Router;
    /// # use tower_static_url::StaticUrlLayer;
    /// let layer = StaticUrlLayer::new("/static", "assets")?;
    /// let router = Router::new();
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, layer.wrap(router).into_make_service()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// To put other layers around it, such as tower-http's `TraceLayer`, make the result the
    /// fallback of an outer `Router`:
    ///
    /// ```
    /// # use axum::Router;
    /// # use tower_http::trace::TraceLayer;
    /// # use tower_static_url::StaticUrlLayer;
    /// # fn app(layer: StaticUrlLayer, router: Router) -> Router {
    /// Router::new().fallback_service(layer.wrap(router)).layer(TraceLayer::new_for_http())
    /// # }
    /// ```
    ///
    /// [Layer order](crate::docs::layer_order#around-a-wrapped-router) says more.
    pub fn wrap<S>(&self, router: S) -> AxumStaticUrl<S> {
        AxumStaticUrl { inner: self.layer(router) }
    }
}

/// A [`StaticUrl`] whose responses have axum's body; see [`StaticUrlLayer::wrap`].
///
/// This is a service of requests. Give `axum::serve` the result of
/// [`into_make_service`](Self::into_make_service).
#[derive(Clone, Debug)]
pub struct AxumStaticUrl<S> {
    inner: StaticUrl<S>,
}

impl<S> AxumStaticUrl<S> {
    /// Returns a service that `axum::serve` accepts: every connection gets a clone of this
    /// one. If you need the peer's address, call `into_make_service_with_connect_info` of
    /// axum's `ServiceExt` instead.
    pub fn into_make_service(self) -> MakeAxumStaticUrl<S> {
        MakeAxumStaticUrl { service: self }
    }
}

impl<S> Service<Request> for AxumStaticUrl<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AxumResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        AxumResponseFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The response future of [`AxumStaticUrl`].
    #[derive(Debug)]
    pub struct AxumResponseFuture<F> {
        #[pin]
        inner: ResponseFuture<F, Body>,
    }
}

impl<F, E> Future for AxumResponseFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = try_ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(ResponseBody::into_axum)))
    }
}

impl ResponseBody<Body> {
    fn into_axum(self) -> Body {
        match self.into_inner() {
            Ok(body) => body,
            Err(other) => Body::new(other),
        }
    }
}

/// Makes an [`AxumStaticUrl`] for every connection; see [`AxumStaticUrl::into_make_service`].
#[derive(Clone, Debug)]
pub struct MakeAxumStaticUrl<S> {
    service: AxumStaticUrl<S>,
}

impl<S: Clone, T> Service<T> for MakeAxumStaticUrl<S> {
    type Response = AxumStaticUrl<S>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: T) -> Self::Future {
        ready(Ok(self.service.clone()))
    }
}
