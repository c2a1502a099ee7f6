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
use support::{Case, Measure, respond};
use tower::Service;

fn main() {
    divan::main();
}

struct Timed<'b, 'd>(Bencher<'b, 'd>);

impl Measure<()> for Timed<'_, '_> {
    fn measure<S>(self, service: S, request: impl Fn() -> Request<Full<Bytes>>)
    where
        S: Service<Request<Full<Bytes>>, Error = Infallible> + Clone,
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
