//! What a request costs beside the least that anybody would write instead:
//! `stack` is an extension and two fixed header fields around the same inner service.
//! Compare the rows of one run with each other; the numbers themselves are the
//! machine's.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::{
    Extension,
    body::Body,
    http::{HeaderValue, Request, Response, header},
};
use divan::{Bencher, black_box};
use tower::{Layer as _, Service, ServiceBuilder};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_static_url::{Manifest, StaticUrlLayer};

fn main() {
    divan::main();
}

const CONTENT: &str = "hello world";

/// Answers as `ServeDir` would, without a disk.
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
        let mut response = Response::new(Body::from(CONTENT));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("11"));
        headers.insert(header::ETAG, HeaderValue::from_static("\"6553f100.0-b\""));
        ready(Ok(response))
    }
}

fn layer() -> StaticUrlLayer {
    let manifest = Manifest::from_files([("hello.txt", CONTENT)]).unwrap();
    StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap()
}

fn stack() -> impl Service<Request<Body>, Error = Infallible> {
    let fixed =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    ServiceBuilder::new()
        .layer(tower_http::add_extension::AddExtensionLayer::new(Extension(layer().prefix())))
        .layer(fixed(header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .layer(fixed(header::ETAG, "\"0123456789abcdef\""))
        .service(Inner)
}

fn run<S: Service<Request<Body>>>(
    bencher: Bencher<'_, '_>,
    mut service: S,
    uri: &str,
    etag: Option<&str>,
) {
    let request = || {
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        if let Some(etag) = etag {
            request.headers_mut().insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        }
        request
    };
    bencher.with_inputs(request).bench_local_values(|request| {
        let mut response = pin!(service.call(request));
        black_box(response.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready())
    });
}

#[divan::bench]
fn a_stack(bencher: Bencher<'_, '_>) {
    run(bencher, stack(), "/hello", None);
}

#[divan::bench]
fn b_outside_the_mount(bencher: Bencher<'_, '_>) {
    run(bencher, layer().layer(Inner), "/hello", None);
}

#[divan::bench]
fn c_current(bencher: Bencher<'_, '_>) {
    let layer = layer();
    run(bencher, layer.layer(Inner), &layer.prefix().url("hello.txt"), None);
}

#[divan::bench]
fn d_current_with_query(bencher: Bencher<'_, '_>) {
    let layer = layer();
    run(bencher, layer.layer(Inner), &layer.prefix().url("hello.txt?a=b"), None);
}

#[divan::bench]
fn e_unversioned(bencher: Bencher<'_, '_>) {
    run(bencher, layer().layer(Inner), "/static/hello.txt", None);
}

/// Answered from memory, once the first response has taught the layer its fields.
#[divan::bench]
fn f_not_modified(bencher: Bencher<'_, '_>) {
    let layer = layer();
    let etag = "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\"";
    run(bencher, layer.layer(Inner), &layer.prefix().url("hello.txt"), Some(etag));
}
