use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::digest::Held;

pin_project! {
    /// The response body of [`StaticUrl`](crate::StaticUrl): the inner service's,
    /// passed through frame by frame; the same after it was held back for its
    /// digest; or nothing.
    ///
    /// `B` is the inner body, `D` and `E` are its data and its error.
    pub struct ResponseBody<B, D, E> {
        #[pin]
        kind: Kind<B, D, E>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B, D, E> {
        Empty,
        Inner {
            #[pin]
            body: B,
        },
        Held { held: Held<B, D, E> },
    }
}

impl<B, D, E> ResponseBody<B, D, E> {
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Empty }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(crate) fn held(held: Held<B, D, E>) -> Self {
        Self { kind: Kind::Held { held } }
    }

    /// The inner service's body, if that is all that this is.
    #[cfg(feature = "axum")]
    pub(crate) fn into_inner(self) -> Result<B, Self> {
        match self.kind {
            Kind::Inner { body } => Ok(body),
            kind => Err(Self { kind }),
        }
    }
}

impl<B: Body> Body for ResponseBody<B, B::Data, B::Error> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProj::Empty => Poll::Ready(None),
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Held { held } => held.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Held { held } => held.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Inner { body } => body.size_hint(),
            Kind::Held { held } => held.size_hint(),
        }
    }
}

impl<B, D, E> fmt::Debug for ResponseBody<B, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
