//! Measures static file servers against each other: the CPU time that a request costs
//! each of them, on the same files, in the same minutes. See README.md.
//!
//! ```sh
//! sh benches/peers/install.sh
//! cargo run --release -p peers
//! cargo run --release -p peers -- growth
//! cargo run --release -p peers -- cold
//! ```

mod args;
mod client;
mod cold;
mod entrants;
mod fixture;
mod goals;
mod groups;
mod growth;
mod load;
mod processes;
mod rounds;
mod servers;
mod table;

use std::process::ExitCode;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Command, Effort},
    entrants::Entrant,
    groups::Group,
    servers::{Server, Site},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// In clear text, with prior knowledge.
    Http2,
}

/// Enough to keep one worker busy.
const CONNECTIONS: usize = 16;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Help => println!("{}", args::USAGE),
        Command::Serve { server, workers, root } => {
            // The servers in Rust tell the protocol by what a client sends.
            server.run(&Site { root, workers, protocol: Protocol::Http1 })?;
        }
        Command::Cold(effort) => until_stopped(cold::run(effort))?,
        Command::Growth(effort) => until_stopped(growth::run(effort))?,
        Command::Compare { effort, servers, groups } => {
            until_stopped(compare(effort, &servers, &groups))?;
        }
    }
    Ok(())
}

/// To be stopped is an error like any other, so that the servers are stopped, too.
#[tokio::main(flavor = "current_thread")]
async fn until_stopped(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = terminated.recv() => Err("terminated".into()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn compare(effort: Effort, servers: &[Server], groups: &[Group]) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build, and says nothing of the servers in Rust");
    }
    let fixture = tempfile::tempdir()?;
    fixture::write(fixture.path(), fixture::FILES)?;
    let mut goals = None;
    for group in groups {
        eprintln!("{}: {}", group.name, group.title);
        let results = rounds::run(&entrants(&fixture, servers, *group).await?, effort).await?;
        println!("{}", table::render(group.title, &results));
        goals.get_or_insert_with(|| goals::render(&results));
    }
    print!("{}", goals.unwrap_or_default());
    Ok(())
}

async fn entrants(fixture: &TempDir, servers: &[Server], group: Group) -> Result<Vec<Entrant>> {
    let Group { protocol, workers, .. } = group;
    let site = Site { root: fixture.path().to_owned(), workers, protocol };
    let prefix = servers::prefix(&site.root)?;
    let mut entrants = Vec::new();
    for server in servers {
        entrants.push(Entrant::start(*server, &site, &prefix, CONNECTIONS).await?);
    }
    Ok(entrants)
}
