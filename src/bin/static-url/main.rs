//! The command `static-url`: prints the version and the manifest of a directory, tells what
//! has changed, compresses files ahead, publishes, lists, verifies and deletes releases, tells
//! nginx how to serve them, and measures what a deploy costs.
#![forbid(unsafe_code)]

mod args;
mod coding;
mod completions;
mod deltas;
mod diff;
mod draft;
mod identity;
mod man;
mod manifest;
mod manifest_file;
mod nginx;
mod output;
mod place;
mod precompress;
mod prune;
mod publish;
mod releases;
mod sibling;
mod verify;
mod version;
mod withdraw;

use std::{error::Error as _, process::ExitCode};

use clap::Parser as _;
use tower_static_url::{Error, ErrorKind};

use crate::args::{Args, Command};

/// The exit codes that `--help` documents, beside 0, and 2 for wrong arguments.
const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
const VERSION_TAKEN: u8 = 3;
const DAMAGED: u8 = 4;
const DIFFERENT: u8 = 5;
const NAME_KEPT: u8 = 6;

/// What goes to stderr, in one line, and the exit code.
#[derive(Debug)]
struct Failure {
    text: String,
    code: u8,
}

/// What a subcommand has to say besides its output.
enum Done {
    WithSuccess,
    WithDamage,
    Different,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Version(args) => version::run(args),
        Command::Manifest(args) => manifest::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Precompress(args) => precompress::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Releases(args) => releases::run(args),
        Command::Prune(args) => prune::run(args),
        Command::Withdraw(args) => withdraw::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Nginx(args) => nginx::run(args),
        Command::Deltas(args) => deltas::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    };
    match done {
        Ok(Done::WithSuccess) => ExitCode::SUCCESS,
        Ok(Done::WithDamage) => DAMAGED.into(),
        Ok(Done::Different) => DIFFERENT.into(),
        Err(Failure { text, code }) => {
            eprintln!("error: {text}");
            code.into()
        }
    }
}

/// Makes the failure of a command that has found its arguments right.
fn failed(text: String) -> Failure {
    Failure { text, code: FAILED }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { text: one_line(&error), code: code(error.kind()) }
    }
}

/// Formats an error with its cause. A name of a file may have a line feed in it; the library
/// escapes it.
fn one_line(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::VersionTaken => VERSION_TAKEN,
        ErrorKind::InvalidVersion | ErrorKind::MissingVariable => WRONG_ARGUMENTS,
        _ => FAILED,
    }
}
