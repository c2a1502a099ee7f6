//! What happens when the inner service responds? The future of a response.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    ResponseBody,
    delta::DeltaInFlight,
    exchange::{
        Exchange,
        response::{BodyEdit, Pending, ResponseEdit},
    },
    kept::InFlight,
    layer::{body::BoxError, body_digest::BodyDigest},
    snapshot::current::Handle,
};

pin_project! {
    /// The response future of [`StaticUrl`](crate::StaticUrl). `F` is the inner service's
    /// future, and `B` the body of its response.
    pub struct ResponseFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        /// The inner service is not needed.
        Respond { response: Option<Response<Bytes>> },
        /// The response passes unchanged.
        Pass {
            #[pin]
            future: F,
        },
        /// The response gets the header with the version.
        PassWithVersion {
            #[pin]
            future: F,
            snapshot: Handle,
        },
        /// The response will be edited. The exchange is taken if that needs its body.
        Inner {
            #[pin]
            future: F,
            exchange: Option<Exchange>,
        },
        /// The inner service has responded.
        Digesting { digesting: Option<Box<Digesting<B>>> },
        /// A kept release may respond.
        Kept { in_flight: InFlight<F, B> },
        /// A delta may take the place of the response.
        Delta { in_flight: DeltaInFlight<F, B> },
    }
}

/// A response that waits for the digest of its body.
struct Digesting<B> {
    exchange: Exchange,
    pending: Pending,
    response: Response<()>,
    digest: BodyDigest<B>,
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn respond(response: Option<Response<Bytes>>) -> Self {
        Self { state: State::Respond { response } }
    }

    pub(crate) fn pass(future: F) -> Self {
        Self { state: State::Pass { future } }
    }

    /// Passes the response, and adds the header with the version.
    #[cold]
    pub(crate) fn pass_with_version(future: F, snapshot: Handle) -> Self {
        Self { state: State::PassWithVersion { future, snapshot } }
    }

    pub(crate) fn forward(future: F, exchange: Exchange) -> Self {
        Self { state: State::Inner { future, exchange: Some(exchange) } }
    }

    /// Lets a kept release respond first.
    #[cfg(feature = "releases")]
    pub(crate) fn kept(kept: Option<crate::kept::Responding>, otherwise: Option<Self>) -> Self {
        Self { state: State::Kept { in_flight: InFlight::new(kept, otherwise) } }
    }

    /// Lets a delta take the place of the response, if there is one.
    #[cfg(feature = "delta")]
    pub(crate) fn delta(plan: std::sync::Arc<crate::delta::DeltaPlan>, ordinary: Self) -> Self {
        Self { state: State::Delta { in_flight: DeltaInFlight::new(plan, ordinary) } }
    }
}

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: Into<BoxError>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Respond { response } => {
                    let response = response.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(response.map(ResponseBody::whole)));
                }
                StateProj::Pass { future } => {
                    let response = future.poll(cx);
                    return response.map_ok(|response| response.map(ResponseBody::inner));
                }
                StateProj::PassWithVersion { future, snapshot } => {
                    let mut response = ready!(future.poll(cx))?;
                    snapshot.version_field().add_to(response.headers_mut());
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Inner { future, exchange } => {
                    let response = ready!(future.poll(cx))?;
                    match on_response(response, exchange) {
                        Next::Response(response) => return Poll::Ready(Ok(response)),
                        Next::Wait(digesting) => {
                            self.as_mut().project().state.set(State::Digesting { digesting });
                        }
                    }
                }
                StateProj::Digesting { digesting } => return poll_digest(digesting, cx).map(Ok),
                StateProj::Kept { in_flight } => return in_flight.poll(cx),
                StateProj::Delta { in_flight } => return in_flight.poll(cx),
            }
        }
    }
}

/// What to do after the inner service has responded.
enum Next<B> {
    Response(Response<ResponseBody<B>>),
    Wait(Option<Box<Digesting<B>>>),
}

#[inline(always)]
fn on_response<B>(mut response: Response<B>, exchange: &mut Option<Exchange>) -> Next<B>
where
    B: Body<Error: Into<BoxError>>,
{
    let Some(active) = exchange else { return Next::Response(response.map(ResponseBody::inner)) };
    let recorder = active.record(&response);
    let body_length = response.body().size_hint().exact();
    let ResponseEdit { body, observations } = active.on_response(&mut response, body_length);
    active.remember(observations);
    // The inner service must keep serving a file that has changed: nothing of it is stored.
    let recorder = recorder.filter(|_| !active.has_changed());
    match body {
        BodyEdit::Pass => {
            Next::Response(response.map(|body| ResponseBody::recorded(body, recorder)))
        }
        BodyEdit::Drop => Next::Response(response.map(|_| ResponseBody::empty())),
        BodyEdit::Digest(pending) => {
            let digesting = |exchange| Box::new(Digesting::new(exchange, pending, response));
            Next::Wait(exchange.take().map(digesting))
        }
    }
}

fn poll_digest<B>(
    digesting: &mut Option<Box<Digesting<B>>>,
    cx: &mut Context<'_>,
) -> Poll<Response<ResponseBody<B>>>
where
    B: Body<Error: Into<BoxError>>,
{
    let sha256 = match digesting {
        Some(digesting) => ready!(digesting.digest.poll(cx)),
        None => None,
    };
    Poll::Ready(digesting.take().expect(POLLED_AGAIN).finish(sha256))
}

impl<B> Digesting<B>
where
    B: Body<Error: Into<BoxError>>,
{
    fn new(exchange: Exchange, pending: Pending, response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let response = Response::from_parts(parts, ());
        Self { exchange, pending, response, digest: BodyDigest::new(body, pending.length) }
    }

    fn finish(self, sha256: Option<[u8; 32]>) -> Response<ResponseBody<B>> {
        let Self { exchange, pending, mut response, digest } = self;
        let edit = exchange.on_body_digest(&mut response, pending, sha256.as_ref());
        exchange.remember(edit.observations);
        let body = match edit.body {
            BodyEdit::Drop => ResponseBody::empty(),
            BodyEdit::Pass | BodyEdit::Digest(_) => ResponseBody::held(digest.into_held()),
        };
        response.map(|()| body)
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
