//! A shell that is open for the whole test, so that it knows the servers that it has started.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::support::demo::example_binary;

/// Printed after the output of commands, with their exit code.
const DONE: &str = "done-with-code:";

pub(super) struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    pub(super) fn start(path: &OsString, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.current_dir(folder).env("PATH", path).env_remove("STATIC_URL_SALT");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What it has started ends with it.
        command.process_group(0);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        writeln!(stdin, "exec 2>&1; trap 'echo {DONE}$?' EXIT").unwrap();
        Self { child, stdin, stdout }
    }

    /// Runs commands, which must succeed, and returns what they print. Servers that they leave
    /// running say something as well.
    pub(super) fn run(&mut self, commands: &str) -> String {
        writeln!(self.stdin, "{commands}\necho {DONE}$?").unwrap();
        let (said, code) = self.read();
        assert_eq!(code, "0", "{commands}: {said}");
        said
    }

    /// Runs commands, of which one must end the shell, and returns what they print.
    pub(super) fn run_to_its_end(&mut self, commands: &str) -> String {
        writeln!(self.stdin, "{commands}").unwrap();
        let (said, code) = self.read();
        assert!(code != "0" && !self.child.wait().unwrap().success(), "{commands}: {said}");
        said
    }

    fn read(&mut self) -> (String, String) {
        let mut said = String::new();
        for line in self.stdout.by_ref().map(Result::unwrap) {
            match line.strip_prefix(DONE) {
                Some(code) => return (said, code.to_owned()),
                None if line.starts_with("serving ") => {}
                None => said.extend([&*line, "\n"]),
            }
        }
        panic!("the shell has ended: {said}")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// Returns a `PATH` that finds the programs of this crate first, in `bin` below a folder.
pub(super) fn path(folder: &Path) -> OsString {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).unwrap();
    let demo = example_binary("serve_dir");
    // In a debug build it watches its files, which may come to rest after they are served.
    let demo = format!("exec {} --no-watch \"$@\"", demo.display());
    write_program(&programs.join("serve_dir"), &demo);
    let command = env!("CARGO_BIN_EXE_static-url");
    write_program(&programs.join("static-url"), &format!("exec {command} \"$@\""));
    let own = env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin", "/sbin"].map(Into::into);
    env::join_paths([programs].into_iter().chain(env::split_paths(&own)).chain(servers)).unwrap()
}

pub(crate) fn write_program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
