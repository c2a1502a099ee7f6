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
    exchange::response::{BodyEdit, Review},
    layer::body_digest::BodyDigest,
    policy::Content,
};

pin_project! {
    /// The response future of [`StaticUrl`](crate::StaticUrl).
    ///
    /// `F` is the inner future; `B`, `D` and `E` are as in [`ResponseBody`].
    pub struct ResponseFuture<F, B, D, E> {
        #[pin]
        state: State<F, B, D, E>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, D, E> {
        /// Also where a response waits for the digest of its body.
        Ready { ready: Option<Ready<B, D, E>> },
        Forwarded {
            #[pin]
            future: F,
            review: Option<Review>,
        },
    }
}

enum Ready<B, D, E> {
    Answered(Response<Bytes>),
    Digesting(Box<Digesting<B, D, E>>),
}

/// The response to an inner one with the body `B`.
type Reviewed<B> = Response<ResponseBody<B, <B as Body>::Data, <B as Body>::Error>>;

/// A response whose body is being read.
struct Digesting<B, D, E> {
    review: Review,
    content: Content,
    response: Response<()>,
    digest: BodyDigest<B, D, E>,
}

impl<F, B, D, E> ResponseFuture<F, B, D, E> {
    pub(crate) fn answered(answer: Option<Response<Bytes>>) -> Self {
        Self { state: State::Ready { ready: answer.map(Ready::Answered) } }
    }

    pub(crate) fn passed(future: F) -> Self {
        Self { state: State::Forwarded { future, review: None } }
    }

    pub(crate) fn forwarded(future: F, review: Review) -> Self {
        Self { state: State::Forwarded { future, review: Some(review) } }
    }
}

impl<F, B, Error> Future for ResponseFuture<F, B, B::Data, B::Error>
where
    F: Future<Output = Result<Response<B>, Error>>,
    B: Body,
    B::Data: 'static,
{
    type Output = Result<Response<ResponseBody<B, B::Data, B::Error>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                StateProj::Ready { ready } => return poll_ready(ready, cx).map(Ok),
                StateProj::Forwarded { future, review } => {
                    let mut response = ready!(future.poll(cx))?;
                    let (edit, keeping) = match review {
                        Some(review) => review.judge(&mut response),
                        None => (BodyEdit::Pass, None),
                    };
                    let (content, length) = match edit {
                        BodyEdit::Pass => {
                            let kept = |body| ResponseBody::kept(body, keeping);
                            return Poll::Ready(Ok(response.map(kept)));
                        }
                        BodyEdit::Drop => {
                            return Poll::Ready(Ok(response.map(|_| ResponseBody::empty())));
                        }
                        BodyEdit::Digest { content, length } => (content, length),
                    };
                    let ready = review.take().map(|review| {
                        let digesting = Digesting::new(review, content, response, length);
                        Ready::Digesting(Box::new(digesting))
                    });
                    self.as_mut().project().state.set(State::Ready { ready });
                }
            }
        }
    }
}

fn poll_ready<B>(
    ready: &mut Option<Ready<B, B::Data, B::Error>>,
    cx: &mut Context<'_>,
) -> Poll<Reviewed<B>>
where
    B: Body,
    B::Data: 'static,
{
    let sha256 = match ready {
        Some(Ready::Digesting(digesting)) => ready!(digesting.digest.poll(cx)),
        _ => None,
    };
    let response = match ready.take().expect("a future is not polled after it was ready") {
        Ready::Answered(answer) => answer.map(ResponseBody::recalled),
        Ready::Digesting(digesting) => digesting.finish(sha256),
    };
    Poll::Ready(response)
}

impl<B: Body> Digesting<B, B::Data, B::Error> {
    fn new(review: Review, content: Content, response: Response<B>, length: u64) -> Self {
        let (parts, body) = response.into_parts();
        let response = Response::from_parts(parts, ());
        Self { review, content, response, digest: BodyDigest::new(body, length) }
    }
}

impl<B, D, E> Digesting<B, D, E> {
    fn finish(self, sha256: Option<[u8; 32]>) -> Response<ResponseBody<B, D, E>> {
        let Self { review, content, mut response, digest } = self;
        let body = match review.complete(&mut response, content, sha256.as_ref()) {
            BodyEdit::Drop => ResponseBody::empty(),
            _ => ResponseBody::held(digest.into_held()),
        };
        response.map(|()| body)
    }
}

impl<F, B, D, E> fmt::Debug for ResponseFuture<F, B, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
