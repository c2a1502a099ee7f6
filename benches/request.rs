//! How long does a request take, compared with the least that you would write instead (`stack`:
//! an extension and two fixed header fields around the same inner service)? Also with many
//! requests under way at once, and on two threads compared with one.
//!
//! All cases of a table take turns in every round, because the speed of a shared machine
//! varies. Compare the rows of one table with each other: the absolute numbers depend on the
//! machine.

mod support;

use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use axum::http::Request;
use support::{Body, Case, Inner, Measure, PATH, StaticService, is_ready, layer, respond};
use tower::Layer as _;

const ROUNDS: usize = 2000;
/// The number of requests in a row; few enough for the processor's caches.
const REQUESTS: u32 = 64;

const ROUNDS_ON_THREADS: usize = 50;
/// How often each thread makes [`REQUESTS`] in a round, since starting a thread takes long.
const BATCHES: u32 = 200;

fn main() {
    let requests =
        Case::ALL.map(|case| row(format!("{case:?}"), 0, case.with_service(OnOneThread)));
    compare("a request", ROUNDS, requests.into());
    let trees = [10, 1_000, 100_000].map(|files| {
        let layer = layer(files);
        let request = Case::Current.requests_to(layer.prefix().url(PATH));
        row(files.to_string(), 0, OnOneThread.measure(layer.layer(Inner), request))
    });
    compare("a current URL, of so many listed files", ROUNDS, trees.into());
    let cases = [Case::Bare, Case::Stack, Case::Outside, Case::Current];
    let in_flight = cases.into_iter().enumerate().flat_map(|(i, case)| {
        [(1, case.with_service(OnOneThread)), (REQUESTS, case.with_service(InFlight))]
            .map(|(requests, turn)| row(format!("{case:?}, {requests}"), 2 * i, turn))
    });
    compare("a request, alone or among others under way", ROUNDS, in_flight.collect());
    let cases = [Case::Bare, Case::Stack, Case::Current, Case::NotModified, Case::Remembered];
    let threads = cases.into_iter().enumerate().flat_map(|(i, case)| {
        [1, 2].map(|threads| {
            row(format!("{case:?}, {threads}"), 2 * i, case.with_service(OnThreads(threads)))
        })
    });
    compare("a request, on one thread or on two", ROUNDS_ON_THREADS, threads.collect());
}

struct Row {
    name: String,
    /// The index of the row with which this one is compared.
    base: usize,
    turn: Turn,
}

/// Measures the time of one request, once.
type Turn = Box<dyn FnMut() -> Duration>;

fn row(name: String, base: usize, turn: Turn) -> Row {
    Row { name, base, turn }
}

fn compare(title: &str, rounds: usize, mut rows: Vec<Row>) {
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..rounds {
        for (row, times) in rows.iter_mut().zip(&mut times) {
            times.push((row.turn)().as_secs_f64() * 1e9);
        }
    }
    println!("\n{title}\n{:>20}      time   quiet   ratio", "");
    let times = times.into_iter().map(Quantiles::of).collect::<Vec<_>>();
    for (row, Quantiles { median, quiet }) in rows.iter().zip(&times) {
        let ratio = quiet / times[row.base].quiet;
        println!("{:>20} {median:6.0} ns {quiet:4.0} ns   {ratio:.2}x", row.name);
    }
}

struct Quantiles {
    median: f64,
    /// The 5th percentile: the time while nothing else uses the machine.
    quiet: f64,
}

impl Quantiles {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_unstable_by(f64::total_cmp);
        Self { median: times[times.len() / 2], quiet: times[times.len() / 20] }
    }
}

struct OnOneThread;

impl Measure<Turn> for OnOneThread {
    fn measure(
        self,
        mut service: impl StaticService,
        request: impl Fn() -> Request<Body> + Sync + 'static,
    ) -> Turn {
        Box::new(move || {
            let requests = (0..REQUESTS).map(|_| request()).collect::<Vec<_>>();
            let start = Instant::now();
            for request in requests {
                black_box(respond(&mut service, request));
            }
            start.elapsed() / REQUESTS
        })
    }
}

/// Makes all requests before the first response is polled.
struct InFlight;

impl Measure<Turn> for InFlight {
    fn measure(
        self,
        mut service: impl StaticService,
        request: impl Fn() -> Request<Body> + Sync + 'static,
    ) -> Turn {
        Box::new(move || {
            let requests = (0..REQUESTS).map(|_| request()).collect::<Vec<_>>();
            let mut under_way = Vec::with_capacity(requests.len());
            let start = Instant::now();
            under_way.extend(requests.into_iter().map(|request| service.call(request)));
            for response in under_way {
                black_box(is_ready(response));
            }
            start.elapsed() / REQUESTS
        })
    }
}

/// Clones the service for each request, as hyper does. The difference between one thread and
/// two is the cost of memory that they share.
struct OnThreads(u32);

impl Measure<Turn> for OnThreads {
    fn measure(
        self,
        service: impl StaticService,
        request: impl Fn() -> Request<Body> + Sync + 'static,
    ) -> Turn {
        Box::new(move || {
            let ready = AtomicU32::new(0);
            let batch = |number: u32| {
                let requests = (0..REQUESTS).map(|_| request()).collect::<Vec<_>>();
                ready.fetch_add(1, Ordering::SeqCst);
                while ready.load(Ordering::SeqCst) < (number + 1) * self.0 {
                    spin_loop();
                }
                let start = Instant::now();
                for request in requests {
                    black_box(respond(&mut service.clone(), request));
                }
                start.elapsed() / REQUESTS
            };
            let batches = || (0..BATCHES).map(batch).sum::<Duration>() / BATCHES;
            thread::scope(|scope| {
                let threads = (0..self.0).map(|_| scope.spawn(batches)).collect::<Vec<_>>();
                let times = threads.into_iter().map(|thread| thread.join().unwrap());
                times.sum::<Duration>() / self.0
            })
        })
    }
}
