//! What a request costs in allocations, counted exactly. Alone in its process, because
//! of its allocator.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use axum::{
    body::Body,
    http::{Request, Response},
};
use tower::{Layer as _, Service};
use tower_static_url::{Manifest, StaticUrlLayer};

/// A service that answers from prepared parts.
#[derive(Clone)]
struct Inner;

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::from("hello"))))
    }
}

/// Allocations from the call until the response is there.
fn allocations<S>(service: &mut S, uri: &str) -> u64
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let mut request = Some(request);
    let info = measure(|| {
        let mut response = pin!(service.call(request.take().unwrap()));
        let response = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // What it holds is freed after it was counted.
        assert!(response.is_ready());
    });
    info.count_total
}

#[test]
fn a_body_that_passes_through_is_not_boxed_for_axum() {
    let manifest = Manifest::from_files([("a", "hello")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    for uri in ["/", &layer.prefix().url("a"), "/static/a"] {
        // The first response of a file teaches the layer something.
        allocations(&mut layer.layer(Inner), uri);
        let plain = allocations(&mut layer.layer(Inner), uri);
        assert_eq!(allocations(&mut layer.wrap(Inner), uri), plain, "{uri}");
        println!("{uri}: {plain}, of which the inner service {}", allocations(&mut Inner, uri));
    }
}
