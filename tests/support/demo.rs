//! The example as its own process, and other programs.

use std::{
    env,
    io::{BufRead as _, BufReader, Lines},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use axum::body::Body;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// The example, as somebody would run it.
pub struct Demo {
    pub address: SocketAddr,
    pub process: Process,
}

impl Demo {
    /// It stays with the files as they are now.
    pub fn start(root: &Path) -> Self {
        Self::run(Self::command("--no-watch", root))
    }

    pub fn start_watching(root: &Path) -> Self {
        Self::run(Self::command("--watch", root))
    }

    /// Serves a single-page application that Vite has built.
    pub fn start_spa(dist: &Path) -> Self {
        let mut command = Command::new(example_binary("spa"));
        command.args(["--listen", "127.0.0.1:0", "--dist"]).arg(dist);
        Self::run(command)
    }

    /// Serves the pages of the example with htmx.
    pub fn start_htmx(files: &Path) -> Self {
        let mut command = Command::new(example_binary("htmx"));
        command.args(["--listen", "127.0.0.1:0", "--files"]).arg(files);
        Self::run(command)
    }

    pub fn command(option: &str, root: &Path) -> Command {
        let mut command = Command::new(example_binary("serve_dir"));
        command.args([option, "--listen", "127.0.0.1:0", "--root"]).arg(root);
        command
    }

    pub fn run(mut command: Command) -> Self {
        let mut process = Process::start(&mut command);
        let line = process.read_line_with(" at http://");
        let address = line.trim_end().trim_end_matches('/').rsplit('/').next().unwrap();
        Self { address: address.parse().expect(&line), process }
    }

    pub fn restart(self, root: &Path) -> Self {
        drop(self);
        Self::start(root)
    }
}

/// Beside the folder of this test. A run of one test alone does not build the
/// examples, and an old one would tell lies.
pub fn example_binary(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile_folder = test.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.arg("--target-dir").arg(profile_folder.parent().unwrap());
    if profile_folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the example does not build");
    profile_folder.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// Ends with its handle, also when an assertion fails.
pub struct Process {
    pub child: Child,
    /// Kept open: who writes into a closed pipe dies of it.
    stdout: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout: Some(stdout) }
    }

    pub fn read_line_with(&mut self, part: &str) -> String {
        let mut lines = self.stdout.iter_mut().flatten().map(Result::unwrap);
        lines.find(|line| line.contains(part)).expect("the process ends too early")
    }

    /// For who writes more than a pipe holds. Ends with the process.
    pub fn ignore_stdout(&mut self) {
        let stdout = self.stdout.take();
        thread::spawn(|| stdout.into_iter().flatten().for_each(drop));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a process to end.
pub fn terminate(pid: u32) {
    let kill = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid.to_string()]).status();
    assert!(kill.unwrap().success(), "no process {pid}");
}

pub type HttpClient = Client<HttpConnector, Body>;

pub fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}
