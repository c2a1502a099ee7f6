//! What a request costs beside the least that anybody would write instead (`stack`: an
//! extension and two fixed header fields around the same inner service), and on two
//! threads beside one. Compare the rows of one run with each other; the numbers
//! themselves are the machine's.

mod support;

use std::convert::Infallible;

use axum::http::Request;
use bytes::Bytes;
use divan::{Bencher, black_box};
use http_body_util::Full;
use support::{Case, Inner, Measure, PATH, layer, respond};
use tower::{Layer as _, Service};

fn main() {
    divan::main();
}

struct Timed<'b, 'd>(Bencher<'b, 'd>);

impl Measure<()> for Timed<'_, '_> {
    fn measure<S>(self, service: S, request: impl Fn() -> Request<Full<Bytes>> + Sync)
    where
        S: Service<Request<Full<Bytes>>, Error = Infallible> + Clone + Send + Sync,
    {
        let mut service = service;
        self.0
            .with_inputs(request)
            .bench_local_values(|request| black_box(respond(&mut service, request)));
    }
}

#[divan::bench(args = Case::ALL)]
fn request(bencher: Bencher<'_, '_>, case: Case) {
    case.with_service(Timed(bencher));
}

/// Time of one request on each of so many threads, the service cloned for each as hyper
/// does. What all threads share shows as the difference.
#[divan::bench(args = [Case::Stack, Case::Current, Case::NotModified], threads = [1, 2])]
fn threads(bencher: Bencher<'_, '_>, case: Case) {
    case.with_service(Cloned(bencher));
}

struct Cloned<'b, 'd>(Bencher<'b, 'd>);

impl Measure<()> for Cloned<'_, '_> {
    fn measure<S>(self, service: S, request: impl Fn() -> Request<Full<Bytes>> + Sync)
    where
        S: Service<Request<Full<Bytes>>, Error = Infallible> + Clone + Send + Sync,
    {
        self.0
            .with_inputs(request)
            .bench_values(|request| black_box(respond(&mut service.clone(), request)));
    }
}

/// A hit, in trees of so many listed files.
#[divan::bench(args = [10, 1_000, 100_000])]
fn files(bencher: Bencher<'_, '_>, files: usize) {
    let layer = layer(files);
    let request = Case::Current.requests_to(layer.prefix().url(PATH));
    Timed(bencher).measure(layer.layer(Inner), request);
}
