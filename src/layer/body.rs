use std::{
    any::{Any, TypeId},
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{layer::body_digest::Held, memory::Keeping};

pin_project! {
    /// The response body of [`StaticUrl`](crate::StaticUrl): the inner service's,
    /// passed through frame by frame; the same after it was held back for its
    /// digest; a file from memory; or nothing.
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
        Kept {
            #[pin]
            body: B,
            keeping: Box<Keeping>,
        },
        Recalled { data: Option<D> },
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

    /// What passes through is kept for others, if there is a place for it.
    pub(crate) fn kept(body: B, keeping: Option<Box<Keeping>>) -> Self {
        match keeping {
            Some(keeping) => Self { kind: Kind::Kept { body, keeping } },
            None => Self::inner(body),
        }
    }

    pub(crate) fn held(held: Held<B, D, E>) -> Self {
        Self { kind: Kind::Held { held } }
    }

    /// A body of bytes; only for data that [are bytes](carries_bytes).
    pub(crate) fn recalled(bytes: Bytes) -> Self
    where
        D: 'static,
    {
        let data = Some(bytes).filter(|bytes| !bytes.is_empty()).and_then(as_data);
        Self { kind: Kind::Recalled { data } }
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
            KindProj::Kept { body, keeping } => {
                let frame = ready!(body.poll_frame(cx));
                keeping.take_in(&frame);
                Poll::Ready(frame)
            }
            KindProj::Recalled { data } => Poll::Ready(data.take().map(|it| Ok(Frame::data(it)))),
            KindProj::Held { held } => held.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Inner { body } | Kind::Kept { body, .. } => body.is_end_stream(),
            Kind::Recalled { data } => data.is_none(),
            Kind::Held { held } => held.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Inner { body } | Kind::Kept { body, .. } => body.size_hint(),
            Kind::Recalled { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.remaining() as u64))
            }
            Kind::Held { held } => held.size_hint(),
        }
    }
}

impl<B, D, E> fmt::Debug for ResponseBody<B, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

/// Whether data of this type can be made of bytes.
pub(crate) fn carries_bytes<D: 'static>() -> bool {
    TypeId::of::<D>() == TypeId::of::<Bytes>()
}

/// Bytes as the data of a body, if that is what its data are.
fn as_data<D: 'static>(bytes: Bytes) -> Option<D> {
    let mut bytes = Some(bytes);
    let data = (&mut bytes as &mut dyn Any).downcast_mut::<Option<D>>()?;
    data.take()
}
