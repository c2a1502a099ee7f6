//! The script that goes the whole way, as it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use tempfile::tempdir;

use super::kit;
use crate::{
    docs::shell::write_program,
    support::{demo::example_binary, proxy::unused_address},
};

#[test]
#[ignore = "needs npm, nginx and curl: tests/e2e/install.sh"]
fn the_whole_way_of_a_small_site() {
    let output = whole_way(&example_binary("deploy"));
    assert!(output.status.success() && says(&output.stdout, "\ndone\n"), "{output:?}");
}

/// The script would see it if a node did not answer for the other build.
#[test]
#[ignore = "needs npm, nginx and curl: tests/e2e/install.sh"]
fn the_whole_way_fails_where_nodes_share_no_releases() {
    let folder = tempdir().unwrap();
    let forgetful = folder.path().join("forgetful");
    let server = example_binary("deploy");
    let releases = folder.path().join("releases").display().to_string();
    // The last of two options counts.
    let script = format!("exec {} \"$@\" --releases {releases}-$$", server.display());
    write_program(&forgetful, &script);

    let output = whole_way(&forgetful);
    assert!(!output.status.success() && !says(&output.stdout, "\ndone\n"), "{output:?}");
    assert!(says(&output.stderr, "error: /static/"), "{output:?}");
    assert!(says(&output.stderr, "?check: status "), "{output:?}");
}

fn whole_way(server: &Path) -> Output {
    let temporary = tempdir().unwrap();
    // The workers of nginx, another user, come through it.
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("sh");
    command.arg(kit("whole_way.sh")).arg(unused_address().port().to_string());
    command.env("SERVER", server).env("STATIC_URL", env!("CARGO_BIN_EXE_static-url"));
    command.env("TMPDIR", temporary.path()).env_remove("STATIC_URL_SALT");
    let output = command.output().unwrap();
    let left = fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "the script leaves nothing behind: {output:?}");
    output
}

fn says(printed: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(printed).contains(text)
}
