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
    digest::BodyDigest,
    policy::Content,
    review::{BodyEdit, Review},
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

type Unfinished<B> = Box<Digesting<B, <B as Body>::Data, <B as Body>::Error>>;

/// A response whose body is being read.
struct Digesting<B, D, E> {
    review: Review,
    content: Content,
    response: Response<()>,
    digest: BodyDigest<B, D, E>,
}

impl<F, B, D, E> ResponseFuture<F, B, D, E> {
    pub(crate) fn answered(answer: Response<Bytes>) -> Self {
        Self { state: State::Ready { ready: Some(Ready::Answered(answer)) } }
    }

    pub(crate) fn forwarded(future: F, review: Option<Review>) -> Self {
        Self { state: State::Forwarded { future, review } }
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
                    let response = ready!(future.poll(cx))?;
                    match judge(review, response) {
                        Ok(response) => return Poll::Ready(Ok(response)),
                        Err(digesting) => {
                            let ready = Some(Ready::Digesting(digesting));
                            self.as_mut().project().state.set(State::Ready { ready });
                        }
                    }
                }
            }
        }
    }
}

/// The reviewed response, or in `Err` what has to be read first.
fn judge<B: Body>(
    review: &mut Option<Review>,
    mut response: Response<B>,
) -> Result<Reviewed<B>, Unfinished<B>> {
    let length = response.body().size_hint().exact();
    let keeping = review.as_ref().and_then(|it| it.keep(&response, length));
    let edit = review.as_ref().map_or(BodyEdit::Pass, |it| it.edit(&mut response, length));
    let content = match edit {
        BodyEdit::Pass => return Ok(response.map(|body| ResponseBody::kept(body, keeping))),
        BodyEdit::Drop => return Ok(response.map(|_| ResponseBody::empty())),
        BodyEdit::Digest(content) => content,
    };
    let Some((review, length)) = review.take().zip(length) else {
        return Ok(response.map(ResponseBody::inner));
    };
    let (parts, body) = response.into_parts();
    let digest = BodyDigest::new(body, length);
    let response = Response::from_parts(parts, ());
    Err(Box::new(Digesting { review, content, response, digest }))
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
