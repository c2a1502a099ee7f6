//! The command `static-url`, as far as it is needed to have releases.

use std::{path::Path, process::Command};

/// Runs the command, which must succeed, and returns its output without the last line feed.
pub(crate) fn static_url(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_static-url"));
    let output = command.args(args).env_remove("STATIC_URL_SALT").output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Publishes a tree, and returns its version.
pub(crate) fn publish(root: &Path, to: &str) -> String {
    let root = root.to_str().unwrap();
    static_url(&["publish", root, "--to", to]);
    static_url(&["version", root])
}
