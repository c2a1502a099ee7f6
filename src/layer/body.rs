//! Which bytes does a response have? Those of the inner service, or those that replace them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{kept::Content, layer::body_digest::Held, memory::Recorder};

/// The error of a [`ResponseBody`]: the inner body's, boxed.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The response body of [`StaticUrl`](crate::StaticUrl).
    ///
    /// It is the body `B` of the inner service, passed through frame by frame or held back
    /// until its digest was known; or a file from memory, or of another release; or empty.
    ///
    /// Its data are [`Bytes`]. If the data of `B` are `Bytes` already, that costs nothing;
    /// else they are copied.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner {
            #[pin]
            body: B,
        },
        Recorded {
            #[pin]
            body: B,
            recorder: Box<Recorder>,
        },
        Whole { data: Option<Bytes> },
        Held { held: Held<B> },
        Kept { content: Content },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Whole { data: None } }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// Passes the body through, and records it if there is a recorder.
    pub(crate) fn recorded(body: B, recorder: Option<Box<Recorder>>) -> Self {
        match recorder {
            Some(recorder) => Self { kind: Kind::Recorded { body, recorder } },
            None => Self::inner(body),
        }
    }

    pub(crate) fn held(held: Held<B>) -> Self {
        Self { kind: Kind::Held { held } }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        let data = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { kind: Kind::Whole { data } }
    }

    #[cfg(feature = "releases")]
    pub(crate) fn kept(body: ResponseBody<crate::kept::KeptBody>) -> Self {
        Self { kind: Kind::Kept { content: Content::new(body) } }
    }

    /// Returns the inner service's body, if it passes through without being recorded or held.
    #[cfg(feature = "axum")]
    pub(crate) fn into_inner(self) -> Result<B, Self> {
        match self.kind {
            Kind::Inner { body } => Ok(body),
            kind => Err(Self { kind }),
        }
    }
}

/// An empty body. Layers that answer themselves, as tower-http's `CorsLayer` does, ask for it.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

/// Polls the next frame, and turns its data and error into the types of [`ResponseBody`].
pub(super) fn poll_inner<B>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    let frame = ready!(body.poll_frame(cx)).map(|frame| match frame {
        Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
        Err(error) => Err(error.into()),
    });
    Poll::Ready(frame)
}

fn record(recorder: &mut Recorder, frame: &Option<Result<Frame<Bytes>, BoxError>>) {
    let Some(frame) = frame else { return };
    match frame.as_ref().ok().and_then(Frame::data_ref) {
        Some(data) => recorder.record(data),
        // An error has cut the file short, and stored responses have no trailers.
        None => recorder.abandon(),
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => poll_inner(body, cx),
            KindProj::Recorded { body, recorder } => {
                let frame = ready!(poll_inner(body, cx));
                record(recorder, &frame);
                Poll::Ready(frame)
            }
            KindProj::Whole { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Held { held } => held.poll_frame(cx),
            KindProj::Kept { content } => content.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } | Kind::Recorded { body, .. } => body.is_end_stream(),
            Kind::Whole { data } => data.is_none(),
            Kind::Held { held } => held.is_end_stream(),
            Kind::Kept { content } => content.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } | Kind::Recorded { body, .. } => body.size_hint(),
            Kind::Whole { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Kind::Held { held } => held.size_hint(),
            Kind::Kept { content } => content.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
