//! How many instructions does a request cost? Counted by valgrind's callgrind, which gives
//! almost the same number on every run. Fails if a case costs more than its limit, relative to
//! `stack`.
//!
//! ```sh
//! cargo bench --bench instructions
//! ```

mod support;

use std::{env, hint::black_box, process::Command};

use axum::http::Request;
use support::{Body, Case, Measure, StaticService, respond};

/// The limit of each case, relative to [`Case::Stack`]. It is hardly more than the measured
/// value, with some room because the C library takes other paths on other processors, and because an
/// edit anywhere, and where the crate is built, move a case by up to 80 instructions.
///
/// All features are on here. `metrics` without a recorder takes some 90 instructions for each
/// counter: two for a 304, and three for a response from memory.
const LIMITS: [(Case, f64); 16] = [
    (Case::GrowingStack, 1.35),
    (Case::Extension, 0.83),
    (Case::Bare, 0.60),
    (Case::Outside, 0.94),
    (Case::Current, 1.57),
    (Case::CurrentWithQuery, 1.72),
    (Case::CurrentUnlisted, 1.70),
    (Case::CurrentDeclared, 1.63),
    (Case::Unversioned, 1.50),
    (Case::NotModified, 0.80),
    (Case::Remembered, 0.98),
    (Case::CurrentWithDeltas, 2.42),
    (Case::RememberedWithDeltas, 1.10),
    (Case::Delta, 5.30),
    (Case::Page, 1.15),
    (Case::PageWithReleases, 1.25),
];

const REQUESTS: usize = 1000;

fn main() {
    let arguments = env::args().collect::<Vec<_>>();
    match arguments.iter().position(|argument| argument == "--case") {
        Some(at) => run(&arguments[at + 1]),
        None => compare(),
    }
}

fn compare() {
    let stack = instructions(Case::Stack);
    println!("{:20} {stack:6.0}", "Stack");
    let mut is_over = false;
    for (case, limit) in LIMITS {
        let count = instructions(case);
        let ratio = count / stack;
        let remark = if ratio <= limit { "" } else { "  TOO MANY" };
        println!(
            "{:20} {count:6.0}  {ratio:.2}x (at most {limit:.2}x){remark}",
            format!("{case:?}")
        );
        is_over |= ratio > limit;
    }
    assert!(!is_over, "a request costs more instructions than it should");
}

/// Counts the instructions of one request, in a process of its own.
fn instructions(case: Case) -> f64 {
    let this = env::current_exe().expect("a process knows its program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=instructions::counted"])
        .arg(this)
        .args(["--case", &format!("{case:?}")])
        .output()
        .expect("valgrind is needed");
    let log = String::from_utf8_lossy(&output.stderr);
    let total = log.lines().find_map(|line| line.split_once("Collected :"));
    let total = total.and_then(|(_, total)| total.trim().parse::<f64>().ok());
    total.unwrap_or_else(|| panic!("{log}")) / REQUESTS as f64
}

fn run(name: &str) {
    let case = Case::ALL.into_iter().find(|case| format!("{case:?}") == name);
    case.expect("a case by its name").with_service(Repeated);
}

struct Repeated;

impl Measure<()> for Repeated {
    fn measure(
        self,
        mut service: impl StaticService,
        request: impl Fn() -> Request<Body> + Sync + 'static,
    ) {
        // The layer remembers some things from the first response for a file.
        respond(&mut service, request());
        for _ in 0..REQUESTS {
            counted(&mut service, request());
        }
    }
}

#[inline(never)]
fn counted(service: &mut impl StaticService, request: Request<Body>) {
    black_box(respond(service, black_box(request)));
}
