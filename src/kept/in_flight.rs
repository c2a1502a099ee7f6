//! What becomes of a response that a kept release may give? It is made first, and if it turns out
//! that there is none, the request goes on as one like any other.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::{
    ResponseBody, ResponseFuture,
    exchange::request::{Plan, RequestHead, plan_without_releases},
    kept::{EmptyBody, KeptPlan, KeptResponse, refuse, service::KeptBody, unshared::Unshared},
    layer::body::BoxError,
};

/// A response under way.
pub(crate) struct InFlight<F, B>(Box<Stages<F, B>>);

struct Stages<F, B> {
    kept: Option<Responding>,
    otherwise: Option<Pin<Box<ResponseFuture<F, B>>>>,
}

/// The future of a kept release's response.
pub(crate) type Responding = Unshared<Option<KeptResponse>>;

/// Begins to respond for a kept release. If it may turn out that none responds, returns a plan for
/// that case, too.
pub(crate) fn begin(
    kept: Option<Box<KeptPlan>>,
    head: RequestHead<'_>,
    extensions: &Extensions,
    nested: bool,
) -> (Option<Responding>, Option<Plan>) {
    let Some(kept) = kept else { return (None, None) };
    let instead =
        kept.is_uncertain.then(|| plan_without_releases(head, nested, kept.current.clone()));
    let mut request = Request::new(EmptyBody);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    *request.extensions_mut() = extensions.clone();
    let responding = Responding::new(kept.respond(request));
    (Some(responding), instead)
}

impl<F, B> InFlight<F, B> {
    /// `otherwise` has not been polled before it is known that no release responds.
    pub(crate) fn new(kept: Option<Responding>, otherwise: Option<ResponseFuture<F, B>>) -> Self {
        Self(Box::new(Stages { kept, otherwise: otherwise.map(Box::pin) }))
    }
}

impl<F, B, E> InFlight<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: Into<BoxError>>,
{
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, E>> {
        let Stages { kept, otherwise } = &mut *self.0;
        if let Some(responding) = kept {
            let response = ready!(responding.poll(cx));
            *kept = None;
            if let Some(response) = response {
                return Poll::Ready(Ok(response.map(ResponseBody::kept)));
            }
        }
        match otherwise {
            Some(otherwise) => otherwise.as_mut().poll(cx),
            // The release has been withdrawn.
            None => Poll::Ready(Ok(refuse(StatusCode::NOT_FOUND).map(ResponseBody::kept))),
        }
    }
}

/// The body of a response from a kept release.
pub(crate) struct Content(Mutex<Box<ResponseBody<KeptBody>>>);

impl Content {
    pub(crate) fn new(body: ResponseBody<KeptBody>) -> Self {
        Self(Mutex::new(Box::new(body)))
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut **body).poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

impl<F, B> fmt::Debug for InFlight<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").finish_non_exhaustive()
    }
}
