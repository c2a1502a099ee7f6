use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{ResponseBody, plan::Review};

pin_project! {
    /// The response future of [`StaticUrl`](crate::StaticUrl).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Answered { answer: Option<Response<()>> },
        Forwarded {
            #[pin]
            future: F,
            review: Option<Review>,
        },
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn answered(answer: Response<()>) -> Self {
        Self { state: State::Answered { answer: Some(answer) } }
    }

    pub(crate) fn forwarded(future: F, review: Option<Review>) -> Self {
        Self { state: State::Forwarded { future, review } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().state.project() {
            StateProj::Answered { answer } => {
                let answer = answer.take().expect("a future is not polled after it is ready");
                answer.map(|()| ResponseBody::empty())
            }
            StateProj::Forwarded { future, review } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(review) = review {
                    let body_length = response.body().size_hint().exact();
                    review.edit(&mut response, body_length);
                }
                response.map(ResponseBody::inner)
            }
        };
        Poll::Ready(Ok(response))
    }
}
