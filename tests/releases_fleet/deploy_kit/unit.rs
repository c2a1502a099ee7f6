//! The systemd unit, without systemd as process 1.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use tempfile::TempDir;

use super::{build::Build, read, replaced, run};
use crate::support::{
    demo::{Demo, example_binary, terminate},
    proxy::unused_address,
};

/// In tenths, as `systemd-analyze security` has it. From 20 on it warns.
const EXPOSURE: &str = "--threshold=15";

#[test]
#[ignore = "needs systemd-analyze: tests/e2e/install.sh"]
fn systemd_understands_the_unit() {
    let machine = Machine::new(&Build::first());
    let unit = machine.folder.path().join("static-site@.service");
    fs::write(&unit, replaced(&read("static-site@.service"), &machine.places()[..1])).unwrap();
    run(Command::new("systemd-analyze").arg("verify").arg(&unit));
    run(Command::new("systemd-analyze").args(["security", "--offline=true", EXPOSURE]).arg(&unit));
}

/// Two services share the releases, and a deploy restarts one of them.
#[test]
#[ignore = "runs the demo"]
fn a_deploy_restarts_the_services_one_by_one() {
    let (first, next) = (Build::first(), Build::next());
    let mut machine = Machine::new(&first);
    let (one, two) = (machine.start(), machine.start());
    for node in [&one, &two] {
        first.assert_is_current(node.address);
        first.assert_is_served(node.address);
    }
    // Neither process sees that the link has changed.
    machine.install(&next);
    first.assert_is_served(one.address);

    let one = machine.restart(one);
    next.assert_is_current(one.address);
    first.assert_is_current(two.address);
    for node in [&one, &two] {
        first.assert_is_served(node.address);
        next.assert_is_served(node.address);
    }
    next.assert_is_current(machine.restart(two).address);
}

/// What the unit expects below `/opt` and `/var/lib`.
struct Machine {
    folder: TempDir,
    port: u16,
}

impl Machine {
    fn new(build: &Build) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), port: 0 };
        machine.install(build);
        machine
    }

    fn install(&self, build: &Build) {
        let target = self.folder.path().join(&build.version);
        fs::create_dir_all(target.join("bin")).unwrap();
        symlink(example_binary("deploy"), target.join("bin/deploy")).unwrap();
        symlink(env!("CARGO_BIN_EXE_static-url"), target.join("bin/static-url")).unwrap();
        symlink(build.root(), target.join("dist")).unwrap();
        let (link, new) = (self.current(), self.folder.path().join("new"));
        symlink(target, &new).unwrap();
        fs::rename(new, link).unwrap();
    }

    fn current(&self) -> std::path::PathBuf {
        self.folder.path().join("current")
    }

    fn places(&self) -> [(&'static str, String); 3] {
        let state = self.folder.path().join("state");
        [
            ("/opt/static-site/current", self.current().display().to_string()),
            ("%S", state.display().to_string()),
            ("%i", self.port.to_string()),
        ]
    }

    fn start(&mut self) -> Demo {
        self.port = unused_address().port();
        self.run()
    }

    fn restart(&mut self, mut node: Demo) -> Demo {
        self.port = node.address.port();
        terminate(node.process.child.id());
        assert!(node.process.child.wait().unwrap().success());
        self.run()
    }

    /// As systemd runs a unit of the type `exec`.
    fn run(&self) -> Demo {
        run(&mut self.command("ExecStartPre"));
        let node = Demo::run(self.command("ExecStart"));
        run(&mut self.command("ExecStartPost"));
        node
    }

    fn command(&self, key: &str) -> Command {
        let unit = replaced(&read("static-site@.service"), &self.places());
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let mut words = line.expect(key).split(' ');
        let mut command = Command::new(Path::new(words.next().unwrap()));
        command.args(words).env_clear();
        command
    }
}
