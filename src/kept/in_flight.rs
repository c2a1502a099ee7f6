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
use http::{Response, StatusCode, request::Parts};
use http_body::{Body, Frame, SizeHint};

use crate::{
    ResponseBody, ResponseFuture,
    kept::{KeptPlan, KeptResponse, refuse, service::KeptBody},
    layer::body::BoxError,
};

/// A response under way.
pub(crate) struct InFlight<F, B>(Box<Stages<F, B>>);

struct Stages<F, B> {
    /// In a lock that nobody ever waits for, because the user's futures need not be `Sync`.
    kept: Option<Mutex<Pin<Box<dyn Future<Output = Option<KeptResponse>> + Send>>>>,
    otherwise: Option<Pin<Box<ResponseFuture<F, B>>>>,
}

impl<F, B> InFlight<F, B> {
    /// `otherwise` has not been polled before it is known that no release responds.
    pub(crate) fn new(
        plan: KeptPlan,
        parts: Parts,
        otherwise: Option<ResponseFuture<F, B>>,
    ) -> Self {
        let kept = Some(Mutex::new(Box::pin(plan.respond(parts)) as Pin<Box<_>>));
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
            let responding = responding.get_mut().unwrap_or_else(PoisonError::into_inner);
            let response = ready!(responding.as_mut().poll(cx));
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
