//! The Dockerfile, without the images that it starts from.

use std::{fs, process::Command};

use serde_json::Value;

use super::{installed, kit, read, repository, run};

#[test]
#[ignore = "needs hadolint: tests/e2e/install.sh"]
fn a_linter_has_nothing_to_say() {
    let hadolint = installed("python/bin/hadolint");
    assert_eq!(run(Command::new(hadolint).arg(kit("Dockerfile"))), "");
}

#[test]
fn every_copy_has_a_source() {
    let mut stages = Vec::new();
    for (keyword, rest) in instructions() {
        let words = rest.split_whitespace().collect::<Vec<_>>();
        match &*keyword {
            "FROM" => stages.extend(words.iter().skip(2).map(|&name| name.to_owned())),
            "COPY" => {
                let (_, sources) = words.split_last().unwrap();
                match sources[0].strip_prefix("--from=") {
                    Some(stage) => assert!(stages.contains(&stage.to_owned()), "{rest}"),
                    None => sources.iter().for_each(|source| assert_is_in_context(source)),
                }
            }
            _ => {}
        }
    }
    assert_eq!(stages, ["site", "programs", "compressed"]);
}

fn assert_is_in_context(path: &str) {
    assert!(repository().join(path).exists(), "{path}");
    let is_ignored = ignored().iter().any(|ignored| path.starts_with(ignored));
    assert!(!is_ignored, "{path} is not sent to Docker");
}

/// What is left of the repository, as Docker gets it, is a package with both programs.
#[test]
#[ignore = "runs cargo and tar"]
fn cargo_finds_what_it_is_to_build() {
    let context = tempfile::tempdir().unwrap();
    let excluded = ignored().iter().map(|path| format!("--exclude=./{path}")).collect::<Vec<_>>();
    let archive = context.path().join("archive.tar");
    run(Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .args(excluded)
        .arg("-C")
        .args([repository()])
        .arg("."));
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(context.path()));
    fs::remove_file(archive).unwrap();

    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--offline", "--no-deps", "--format-version", "1"]);
    let metadata = run(metadata.current_dir(context.path()));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "tower-static-url").unwrap();
    let targets = package["targets"].as_array().unwrap();
    let built =
        instructions().into_iter().find(|(_, rest)| rest.contains("cargo build")).unwrap().1;
    for (kind, name) in [("bin", "static-url"), ("example", "deploy")] {
        let is_it = |target: &&Value| target["name"] == name && target["kind"][0] == kind;
        assert_eq!(targets.iter().filter(is_it).count(), 1, "{kind} {name}");
        assert!(built.contains(&format!("--{kind} {name}")), "{built}");
    }
}

/// Returns the command of an instruction, which has the form without a shell.
pub(super) fn command_of(keyword: &str) -> Vec<String> {
    let (_, rest) = instructions().into_iter().rfind(|(it, _)| it == keyword).expect(keyword);
    serde_json::from_str(&rest[rest.find('[').unwrap()..]).unwrap()
}

/// Returns each keyword, and what follows it.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = text.lines().map(|line| line.split_once(' ').expect(line));
    instructions.map(|(keyword, rest)| (keyword.to_owned(), rest.trim().to_owned())).collect()
}

fn ignored() -> Vec<String> {
    read("Dockerfile.dockerignore").lines().map(str::to_owned).collect()
}
