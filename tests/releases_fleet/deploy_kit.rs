//! What is in `examples/deploy`, as far as it can be tried without images of containers: the script
//! as it is; the processes of the compose file and of the systemd unit, with addresses and
//! directories of their own.

mod build;
mod compose;
mod dockerfile;
mod unit;
mod whole_way;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the path of a file of the kit.
fn kit(name: &str) -> PathBuf {
    repository().join("examples/deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(kit(name)).unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `tests/e2e/linters.sh` installs to.
fn installed(path: &str) -> PathBuf {
    repository().join("target/linters").join(path)
}

/// Runs a command, which must succeed, and returns what it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Puts addresses and directories of a test in the place of those in the kit.
fn replaced(text: &str, places: &[(&str, String)]) -> String {
    places.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
