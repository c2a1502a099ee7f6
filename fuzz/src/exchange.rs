//! A request through the layer, and all that can be seen of it from both ends.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, service_fn};
use tower_static_url::{StaticPrefix, StaticUrlLayer, StaticUrlOutcome};

use crate::inner::Content;

/// What has happened.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) asked: Request<()>,
    pub(crate) answer: Response<Bytes>,
    pub(crate) inner: Option<Inner>,
}

/// What the inner service was asked, and has said.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) request: Request<()>,
    pub(crate) response: Response<Bytes>,
    /// What the body knows of its length.
    pub(crate) body_length: Option<u64>,
}

impl Inner {
    pub(crate) fn prefix(&self) -> Option<&StaticPrefix> {
        self.request.extensions().get()
    }

    pub(crate) fn outcome(&self) -> Option<StaticUrlOutcome> {
        self.request.extensions().get().copied()
    }
}

/// Nothing here waits for anything.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for nothing, and is not ready"),
    }
}

pub(crate) fn exchange(
    layer: &StaticUrlLayer,
    asked: Request<()>,
    respond: impl Fn(&Request<()>) -> Response<Content>,
) -> Seen {
    let seen = RefCell::new(None);
    let inner = service_fn(|request: Request<()>| {
        let response = respond(&request);
        let (parts, body) = respond(&request).into_parts();
        let body_length = body.size_hint().exact();
        let body = now(body.collect()).expect("it cannot fail").to_bytes();
        let response_seen = Response::from_parts(parts, body);
        let before = seen.replace(Some(Inner { request, response: response_seen, body_length }));
        assert!(before.is_none(), "the inner service is called twice");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut service = layer.layer(inner);
    let response = now(service.call(asked.clone())).expect("it cannot fail");
    let (parts, body) = response.into_parts();
    let length = body.size_hint().exact();
    let body = now(body.collect()).expect("it cannot fail").to_bytes();
    assert!(length.is_none_or(|length| length == body.len() as u64), "not {length:?} bytes");
    drop(service);
    Seen { asked, answer: Response::from_parts(parts, body), inner: seen.into_inner() }
}

/// The lines of a field, joined as one (RFC 9110 §5.3); empty where there is none.
pub(crate) fn field(headers: &HeaderMap, name: &str) -> String {
    let lines = headers.get_all(name).iter();
    lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>().join(", ")
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> String {
        field(self.answer.headers(), name)
    }

    /// What the inner service has said in that field.
    pub(crate) fn inner_field(&self, name: &str) -> String {
        self.inner.as_ref().map_or(String::new(), |inner| field(inner.response.headers(), name))
    }

    pub(crate) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }
}
