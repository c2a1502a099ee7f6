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
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, service_fn};
use tower_static_url::{StaticPrefix, StaticUrlLayer};

use crate::inner::Content;

/// What has happened.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) asked: Request<()>,
    pub(crate) answer: Response<Bytes>,
    /// What the inner service was asked, and has said.
    pub(crate) inner: Option<(Request<()>, Response<Bytes>)>,
    pub(crate) prefix: Option<StaticPrefix>,
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
        let body = now(body.collect()).expect("it cannot fail").to_bytes();
        let before = seen.replace(Some((request, Response::from_parts(parts, body))));
        assert!(before.is_none(), "the inner service is called twice");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut service = layer.layer(inner);
    let response = now(service.call(asked.clone())).expect("it cannot fail");
    let (parts, body) = response.into_parts();
    let body = now(body.collect()).expect("it cannot fail").to_bytes();
    drop(service);
    let inner = seen.into_inner();
    let prefix = inner.as_ref().and_then(|(request, _)| request.extensions().get().cloned());
    Seen { asked, answer: Response::from_parts(parts, body), inner, prefix }
}

/// The lines of a field, joined as one (RFC 9110 §5.3); empty where there is none.
pub(crate) fn field(headers: &HeaderMap, name: &str) -> String {
    let lines = headers.get_all(name).iter();
    lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>().join(", ")
}

/// Whether a `Cache-Control` has a directive, in lower case.
pub(crate) fn has_directive(cache_control: &str, directive: &str) -> bool {
    let cache_control = cache_control.to_ascii_lowercase();
    let mut directives = cache_control.split(',').map(str::trim);
    directives.any(|it| it == directive)
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> String {
        field(self.answer.headers(), name)
    }

    /// What the inner service has said in that field.
    pub(crate) fn inner_field(&self, name: &str) -> String {
        self.inner.as_ref().map_or(String::new(), |(_, response)| field(response.headers(), name))
    }

    pub(crate) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }
}
