//! Measures what visitors download when real front ends are upgraded: everything, compressed,
//! and what the layer sends to a browser that has the old files. See README.md.
//!
//! ```sh
//! cargo run --release -p upgrades
//! cargo run --release -p upgrades -- bootstrap three
//! ```

mod app;
mod browser;
mod compress;
mod fetch;
mod goals;
mod pairs;
mod send;
mod site;
mod table;
mod tree;

use std::{path::PathBuf, process::ExitCode};

use crate::{
    fetch::Registry,
    pairs::{PAIRS, Pair, Source},
    send::Sent,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the pairs of these names, or all. Returns whether they are as good as they should be.
fn run(names: &[String]) -> Result<bool> {
    if let Some(name) = names.iter().find(|name| PAIRS.iter().all(|pair| pair.name != **name)) {
        let known = PAIRS.iter().map(|pair| pair.name).collect::<Vec<_>>().join(", ");
        return Err(format!("there is no pair {name:?}; the known ones: {known}").into());
    }
    let is_wanted = |pair: &&Pair| names.is_empty() || names.iter().any(|name| name == pair.name);
    let mut rows = Vec::new();
    for pair in PAIRS.iter().filter(is_wanted) {
        eprintln!("{}", pair.title());
        let sent = measure(pair).map_err(|error| format!("{}: {error}", pair.title()))?;
        rows.push((pair.title(), sent));
    }
    println!("{}", table::render(&rows));
    Ok(goals::report(&rows))
}

fn measure(pair: &Pair) -> Result<Sent> {
    let work = work().join(pair.name);
    let [old, new] = match pair.source {
        Source::Npm(package) => pair.versions.map(|version| {
            let unpacked = fetch::unpacked(Registry::Npm, package, version, &work)?;
            tree::lay_out(&unpacked, pair.directories, version, &work)
        }),
        Source::PyPi(package) => pair.versions.map(|version| {
            let unpacked = fetch::unpacked(Registry::PyPi, package, version, &work)?;
            tree::lay_out(&unpacked, pair.directories, version, &work)
        }),
        Source::App => pair.versions.map(|edition| app::build(edition, &work)),
    };
    send::measure(&old?, &new?, pair.rule.map(|rule| rule()), &work)
}

/// Where packages are kept between runs.
fn work() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/upgrades")
}
