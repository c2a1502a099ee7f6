//! The command `static-url`, as a shell runs it: its output, its exit codes, and what it leaves
//! behind.
#![cfg(unix)]

#[path = "command/diff.rs"]
mod diff;
#[path = "command/manifest.rs"]
mod manifest;
#[path = "command/nginx.rs"]
mod nginx;
#[path = "command/nginx_alone/mod.rs"]
mod nginx_alone;
#[path = "command/precompress.rs"]
mod precompress;
mod support;

use std::{
    ffi::OsStr,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{tree, write};
use tempfile::TempDir;
use tower_static_url::Manifest;

fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_static-url"));
    command.args(args).env_remove("STATIC_URL_SALT");
    command
}

struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run_command(mut command: Command) -> Output {
    let output = loop {
        match command.output() {
            // Another thread has started a process while this one was writing the program.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    Output {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    run_command(command(args))
}

/// Runs the command as somebody who may not do everything, which root may.
fn run_unprivileged(args: &[&str]) -> Output {
    use std::os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    };
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy.path().join("static-url");
    fs::copy(env!("CARGO_BIN_EXE_static-url"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(args);
    if fs::metadata(copy.path()).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    run_command(command)
}

/// Nothing longer than half a KiB can be written here.
fn on_a_full_disk(args: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_static-url")).args(args);
    run_command(shell)
}

/// Runs the command, which must succeed, and returns its output.
fn succeed(args: &[&str]) -> String {
    let Output { code, stdout, stderr } = run(args);
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    stdout
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeed(&[args, &["--json"]].concat())).unwrap()
}

/// A tree to publish, and where to.
struct Site {
    root: TempDir,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let root = tree([("css/app.css", "p { color: teal }"), ("same", "same")]);
        Self { root, folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    fn folder(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("releases")
    }

    fn publish(&self) -> Value {
        json(&["publish", self.root(), "--to", &self.folder()])
    }

    fn publish_as(&self, version: &str) {
        succeed(&["publish", self.root(), "--to", &self.folder(), "--literal", version]);
    }

    fn versions(&self) -> Vec<String> {
        let releases = json(&["releases", &self.folder()]);
        let releases = releases.as_array().unwrap().iter();
        releases.map(|release| release["version"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn version_is_what_the_layer_has() {
    let site = Site::new();
    let digest = Manifest::scan(site.root.path()).unwrap().digest_hex();
    assert_eq!(succeed(&["version", site.root()]), format!("{}\n", &digest[..16]));
    let expected = json!({ "version": digest[..16], "digest": digest, "files": 2, "bytes": 21 });
    assert_eq!(json(&["version", site.root()]), expected);
    assert_eq!(succeed(&["version", site.root(), "--literal", "v1"]), "v1\n");
    // The example of FIPS 180-4: SHA-256("abc").
    assert_eq!(succeed(&["version", site.root(), "--build-id", "abc"]), "ba7816bf8f01cfea\n");
    let mut salted = command(["version", site.root(), "--build-id", "abc"]);
    salted.env("STATIC_URL_SALT", "s3");
    let expected = "2:s3abc";
    let expected = support::etag_of(expected)[1..17].to_owned();
    assert_eq!(run_command(salted).stdout.trim_end(), expected);
    let other = tree([("same", "other"), ("more", "")]);
    let both = json(&["version", site.root(), other.path().to_str().unwrap()]);
    assert_eq!((&both["files"], &both["bytes"]), (&json!(3), &json!(21)));
}

#[test]
fn digests_are_remembered_outside_of_the_tree() {
    let site = Site::new();
    let file = site.folder.path().join("digests");
    let version = succeed(&["version", site.root()]);
    for _ in 0..2 {
        let args = ["version", site.root(), "--remember", file.to_str().unwrap()];
        assert_eq!(succeed(&args), version);
        assert!(file.exists());
    }
    let inside = format!("{}/digests", site.root());
    let Output { code, stderr, .. } = run(["version", site.root(), "--remember", &inside]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&inside), "{stderr}");
}

#[test]
fn a_release_from_its_publication_to_its_end() {
    let site = Site::new();
    let version = site.publish()["version"].as_str().unwrap().to_owned();
    write(site.root.path(), "css/app.css", "p { color: navy }");
    let line = succeed(&["publish", site.root(), "--to", &site.folder()]);
    assert!(
        line.ends_with("  published: 1 file copied (17 bytes), 1 shared with other releases\n"),
        "{line}"
    );
    assert_eq!(site.versions()[1..], [version.as_str()]);
    let releases = succeed(&["releases", &site.folder()]);
    assert!(releases.contains("  current\n"), "{releases}");
    assert!(releases.contains(&format!("{version}  2 files, 21 bytes  published ")), "{releases}");
    assert!(releases.contains("  superseded "), "{releases}");
    write(site.root.path(), "css/app.css", "p { color: teal }");
    let line = succeed(&["publish", site.root(), "--to", &site.folder()]);
    let again = "  was published before, and is the current release again\n";
    assert_eq!(line, format!("{version}{again}"));
    assert_eq!(site.versions()[0], version);
    let verified = succeed(&["verify", &site.folder()]);
    assert_eq!(verified, "all files are as they were published\n");
    let withdrawn = succeed(&["withdraw", &version, &site.folder()]);
    assert_eq!(withdrawn, format!("{version}  withdrawn\n"));
    assert_eq!(site.versions().len(), 1);
}

#[test]
fn publish_as_json() {
    let site = Site::new();
    let published = site.publish();
    assert_eq!(published["digest"].as_str().unwrap()[..16], published["version"]);
    for (field, expected) in [
        ("new", json!(true)),
        ("copied", json!(2)),
        ("copied_bytes", json!(21)),
        ("linked", json!(0)),
    ] {
        assert_eq!(published[field], expected, "{field}");
    }
    assert_eq!(site.publish()["new"], json!(false));
}

#[test]
fn prune_is_a_dry_run_unless_told() {
    let site = Site::new();
    for version in ["v1", "v2", "v3"] {
        write(site.root.path(), "same", version);
        site.publish_as(version);
    }
    let folder = site.folder();
    assert_eq!(succeed(&["prune", &folder]), "nothing to delete\n");
    let strict = ["prune", &*folder, "--days", "0", "--newest", "1"];
    let shown = succeed(&strict);
    assert!(shown.starts_with("would delete v2  2 files"), "{shown}");
    assert!(shown.ends_with("nothing is deleted yet: add `--yes`\n"), "{shown}");
    assert_eq!(json(&strict)["deleted"], json!(false));
    assert_eq!(site.versions(), ["v3", "v2", "v1"]);
    let pruned = json(&[&strict[..], &["--yes"]].concat());
    assert_eq!(pruned["deleted"], json!(true));
    assert_eq!(pruned["releases"][1]["version"], json!("v1"));
    assert_eq!(site.versions(), ["v3"]);
}

#[test]
fn a_version_that_is_taken_and_damage_have_exit_codes() {
    let site = Site::new();
    site.publish_as("v1");
    write(site.root.path(), "same", "other");
    let folder = site.folder();
    let taken = run(["publish", site.root(), "--to", &folder, "--literal", "v1"]);
    assert_eq!(taken.code, 3);
    assert!(taken.stderr.starts_with("error: version \"v1\" is taken"), "{}", taken.stderr);
    let kept = site.path().join("files/v1/same");
    fs::remove_file(&kept).unwrap();
    let damaged = run(["verify", &*folder]);
    assert_eq!((damaged.code, &*damaged.stderr), (4, ""));
    assert_eq!(damaged.stdout, format!("{kept:?} is missing, or is a link\n"));
    let damaged = run(["verify", &*folder, "--json"]);
    assert_eq!(damaged.code, 4);
    let expected = json!([{ "path": kept, "why": "is missing, or is a link" }]);
    assert_eq!(serde_json::from_str::<Value>(&damaged.stdout).unwrap(), expected);
}

#[test]
fn every_failure_is_one_line_that_names_its_input() {
    let site = Site::new();
    let (root, folder) = (site.root().to_owned(), site.folder());
    let below = |path: &str| site.folder.path().join(path).to_str().unwrap().to_owned();
    write(&site.folder.path().join("other's"), "something", "");
    fs::write(site.folder.path().join("file"), "").unwrap();
    let (others, file, missing) = (below("other's"), below("file"), below("missing"));
    site.publish_as("v1");
    for (args, code, what) in [
        (vec!["version", &missing], 1, &*missing),
        (vec!["version", &file], 1, &file),
        (vec!["version", &root, "--literal", "a/b"], 2, "a/b"),
        (vec!["version", &root, "--build-id", ""], 2, "build id"),
        (vec!["publish", &missing, "--to", &folder], 1, &missing),
        (vec!["publish", &root, "--to", &others], 1, &others),
        (vec!["publish", &root, "--to", &file], 1, &file),
        (vec!["releases", &missing], 1, &missing),
        (vec!["releases", &others], 1, &others),
        (vec!["prune", &missing, "--yes"], 1, &missing),
        (vec!["withdraw", "v2", &folder], 1, "v2"),
        (vec!["withdraw", "..", &folder], 1, ".."),
        (vec!["verify", &others], 1, &others),
    ] {
        let Output { code: actual, stdout, stderr } = run(&args);
        assert_eq!((actual, &*stdout), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        assert!(stderr.contains(what), "{args:?}: {stderr}");
    }
    assert!(!Path::new(&missing).exists(), "nothing is created to be read");
    assert_eq!(site.versions(), ["v1"]);
}

/// A store without a server: a directory in the form of a bucket.
fn store(site: &Site) -> String {
    fs::create_dir(site.folder.path().join("bucket")).unwrap();
    format!("file://{}/bucket", site.folder.path().to_str().unwrap())
}

fn versions_of(url: &str) -> Vec<String> {
    let releases = json(&["releases", url]);
    let releases = releases.as_array().unwrap().iter();
    releases.map(|release| release["version"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_release_in_a_store_from_its_publication_to_its_end() {
    let site = Site::new();
    let url = store(&site);
    let publish = |version| succeed(&["publish", site.root(), "--to", &url, "--literal", version]);
    assert_eq!(json(&["releases", &url]), json!([]));
    let line = publish("v1");
    assert_eq!(line, "v1  published: 2 files copied (21 bytes), 0 shared with other releases\n");
    write(site.root.path(), "same", "other");
    let published = json(&["publish", site.root(), "--to", &url, "--literal", "v2"]);
    assert_eq!((&published["new"], &published["copied"]), (&json!(true), &json!(1)));
    let taken = run(["publish", site.root(), "--to", &url, "--literal", "v1"]);
    assert_eq!(taken.code, 3);
    assert!(taken.stderr.starts_with(&format!("error: {url}: version \"v1\"")), "{}", taken.stderr);
    write(site.root.path(), "same", "same");
    assert_eq!(publish("v1"), "v1  was published before, and is the current release again\n");
    assert_eq!(versions_of(&url), ["v1", "v2"]);
    assert!(succeed(&["releases", &url]).contains("v1  2 files, 21 bytes  published "));
    assert_eq!(succeed(&["verify", &url]), "all files are as they were published\n");
    let strict = ["prune", &*url, "--days", "0", "--newest", "1", "--yes"];
    assert_eq!(succeed(&strict), "nothing to delete\n", "nothing of this week");
    assert_eq!(succeed(&["withdraw", "v2", &url]), "v2  withdrawn\n");
    assert_eq!(versions_of(&url), ["v1"]);
    let gone = run(["withdraw", "v2", &url]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains(&url) && gone.stderr.contains("\"v2\""), "{}", gone.stderr);
    let bucket = site.folder.path().join("bucket");
    let week = fs::read_dir(&bucket).unwrap().map(|entry| entry.unwrap().path());
    let blobs = week.map(|week| week.join("blobs")).find(|blobs| blobs.is_dir()).unwrap();
    for blob in fs::read_dir(blobs).unwrap() {
        fs::write(blob.unwrap().path(), "xxxx").unwrap();
    }
    let damaged = run(["verify", &*url]);
    assert_eq!((damaged.code, damaged.stdout.lines().count()), (4, 2), "{}", damaged.stdout);
}

/// Runs the command with keys for S3 and an endpoint.
fn run_s3(args: &[&str], endpoint: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = command(args);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"AWS_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_ENDPOINT", endpoint).env("AWS_METADATA_ENDPOINT", endpoint);
    command.env("NO_PROXY", "127.0.0.1").envs(variables.iter().copied());
    run_command(command)
}

const KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "sesame"), ("AWS_ALLOW_HTTP", "true")];

/// A store that allows nothing to anybody.
fn denying_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let xml =
        "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>No.</Message></Error>";
    let length = xml.len();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{xml}"
    );
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // The head of a request without a body comes in one piece.
            let _ = connection.read(&mut [0; 8192]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_store_that_cannot_be_reached_is_one_line_that_names_it() {
    let site = Site::new();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let denying = denying_store();
    let (refusing, silent) =
        (format!("http://{refusing}"), format!("http://{}", silent.local_addr().unwrap()));
    let url = "s3://bucket/site";
    let publish = ["publish", site.root(), "--to", url];
    for (name, args, endpoint, variables, what) in [
        ("refused", &publish[..], &refusing, &KEYS[..], "refused"),
        ("refused, to read", &["releases", url], &refusing, &KEYS, "refused"),
        ("refused, to prune", &["prune", url, "--yes"], &refusing, &KEYS, "refused"),
        ("refused, to verify", &["verify", url], &refusing, &KEYS, "refused"),
        ("silent", &publish, &silent, &KEYS, "no answer within 2 s"),
        ("denied", &publish, &denying, &KEYS, "403 Forbidden: AccessDenied: No."),
        ("denied, to read", &["releases", url], &denying, &KEYS, "LIST"),
        ("plain HTTP", &publish, &refusing, &KEYS[..2], "AWS_ALLOW_HTTP=true"),
        ("no credentials", &publish, &refusing, &KEYS[2..], "AWS_ACCESS_KEY_ID"),
    ] {
        let start = Instant::now();
        let Output { code, stdout, stderr } = run_s3(args, endpoint, variables);
        assert_eq!((code, &*stdout), (1, ""), "{name}: {stderr}");
        assert!(!stderr.contains("AmazonS3"), "{name}: {stderr}");
        assert!(stderr.starts_with("error: s3://bucket/site: "), "{name}: {stderr}");
        assert!(stderr.contains(what), "{name}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
        assert!(!stderr.contains("sesame"), "{name}: {stderr}");
        assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn a_url_that_names_no_store_is_a_wrong_argument() {
    let site = Site::new();
    for (url, shown) in [
        ("memory:///site", "memory:///site"),
        ("https://example.com/site", "https://example.com/site"),
        ("ftp://me:sesame@example.com/site?sig=sesame", "ftp://me@example.com/site"),
        ("s3://", "s3://"),
        ("://", "://"),
        ("s3://bucket/a//b", "s3://bucket/a//b"),
        ("s3://bucket/%00", "s3://bucket/%00"),
    ] {
        for args in [&["publish", site.root(), "--to", url][..], &["releases", url]] {
            let Output { code, stderr, stdout } = run_s3(args, "http://127.0.0.1:1", &KEYS);
            assert_eq!((code, &*stdout), (2, ""), "{args:?}: {stderr}");
            assert!(stderr.starts_with(&format!("error: {shown}: ")), "{args:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
            assert!(!stderr.contains("sesame"), "{args:?}: {stderr}");
        }
    }
}

#[test]
fn an_interrupted_publisher_leaves_only_blobs_in_a_store() {
    let site = Site::new();
    let url = store(&site);
    succeed(&["publish", site.root(), "--to", &url, "--literal", "v1"]);
    for i in 0..500 {
        write(site.root.path(), &format!("many/{i}"), format!("{i}").repeat(10_000));
    }
    let blobs = || {
        let weeks = fs::read_dir(site.folder.path().join("bucket")).unwrap();
        let blobs = weeks.filter_map(|week| fs::read_dir(week.unwrap().path().join("blobs")).ok());
        blobs.map(Iterator::count).sum::<usize>()
    };
    let mut publish = command(["publish", site.root(), "--to", &*url, "--literal", "v2"]);
    let mut child = publish.stdout(Stdio::null()).spawn().unwrap();
    while blobs() < 10 && child.try_wait().unwrap().is_none() {}
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let has_finished = child.wait().unwrap().success();
    let expected = if has_finished { &["v2", "v1"][..] } else { &["v1"] };
    let versions = versions_of(&url);
    assert!(versions == expected || versions == ["v2", "v1"], "{versions:?}");
    succeed(&["verify", &url]);
    succeed(&["publish", site.root(), "--to", &url, "--literal", "v2"]);
    assert_eq!(versions_of(&url), ["v2", "v1"]);
    succeed(&["verify", &url]);
}

const COMMANDS: [&str; 13] = [
    "deltas",
    "version",
    "manifest",
    "diff",
    "precompress",
    "publish",
    "releases",
    "prune",
    "withdraw",
    "verify",
    "nginx",
    "completions",
    "man",
];

#[test]
fn wrong_arguments_and_help() {
    for args in [&[][..], &["publish"], &["version"], &["nonsense"], &["prune", "x", "--days", "y"]]
    {
        assert_eq!(run(args).code, 2, "{args:?}");
    }
    assert!(succeed(&["--help"]).contains("Exit codes:\n  0  done\n"));
    for command in [
        "version", "publish", "releases", "prune", "withdraw", "verify", "nginx", "deltas",
        "manifest",
    ] {
        let help = succeed(&[command, "--help"]);
        assert!(help.contains(&format!("Examples:\n  static-url {command} ")), "{help}");
    }
}

#[test]
fn manual_pages() {
    let page = succeed(&["man"]);
    assert!(page.contains(".TH static-url 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!("static\\-url\\-{command}(1)")), "{command}: {page}");
        let page = succeed(&["man", command]);
        let source = concat!("\"static-url ", env!("CARGO_PKG_VERSION"), "\"");
        let title = format!(".TH static-url-{command} 1  {source}");
        assert!(page.contains(&title), "{page}");
        assert!(page.contains("Examples:"), "{page}");
    }
    let Output { code, stderr, .. } = run(["man", "nonsense"]);
    assert_eq!((code, &*stderr), (2, "error: there is no command \"nonsense\"\n"));
}

/// As bash asks for them.
#[test]
fn completions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = succeed(&["completions", shell]);
        assert!(COMMANDS.iter().all(|command| text.contains(command)), "{shell}: {text}");
        if shell == "bash" {
            fs::write(&file, text).unwrap();
        }
    }
    for (words, expected) in
        [("static-url pub", "publish"), ("static-url diff --rel", "--releases")]
    {
        let script = format!(
            "source {file:?}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             function=$(complete -p static-url | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             \"$function\" static-url \"${{COMP_WORDS[COMP_CWORD]}}\" x; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{output:?}");
    }
    let Output { code, stderr, .. } = run(["completions", "cmd"]);
    assert!(code == 2 && stderr.contains("cmd"), "{stderr}");
}

#[test]
fn a_closed_output_is_no_failure() {
    let site = Site::new();
    site.publish();
    let mut command = command(["releases", &*site.folder()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_publisher_that_is_killed_leaves_nothing_that_is_listed() {
    let site = Site::new();
    site.publish_as("v1");
    for i in 0..200 {
        write(site.root.path(), &format!("many/{i}"), format!("{i}").repeat(10_000));
    }
    let is_at_work = || {
        let entries = fs::read_dir(site.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name())
            .any(|name| name.as_encoded_bytes().starts_with(b".new-"))
    };
    let mut publish = command(["publish", site.root(), "--to", &*site.folder(), "--literal", "v2"]);
    let mut child = publish.stdout(Stdio::null()).spawn().unwrap();
    while !is_at_work() && child.try_wait().unwrap().is_none() {}
    child.kill().unwrap();
    let has_finished = child.wait().unwrap().success();
    let expected = if has_finished { &["v2", "v1"][..] } else { &["v1"] };
    let versions = site.versions();
    assert!(versions == expected || versions == ["v2", "v1"], "{versions:?}");
    succeed(&["verify", &site.folder()]);
    site.publish_as("v2");
    assert!(!is_at_work());
    assert_eq!(site.versions(), ["v2", "v1"]);
    succeed(&["verify", &site.folder()]);
}

#[test]
fn a_folder_may_be_given_as_a_link() {
    let site = Site::new();
    site.publish_as("v1");
    let link = site.folder.path().join("link");
    symlink(site.path(), &link).unwrap();
    let releases = json(&["releases", link.to_str().unwrap()]);
    assert_eq!(releases[0]["version"], json!("v1"));
}

/// Releases that belong to somebody else can be read, and are not changed.
#[test]
fn somebody_elses_releases() {
    use std::os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    };
    let site = Site::new();
    site.publish_as("v1");
    let set_modes = |file: u32, directory: u32| {
        for entry in walkdir::WalkDir::new(site.folder.path()).contents_first(directory != 0o555) {
            let entry = entry.unwrap();
            let mode = if entry.file_type().is_dir() { directory } else { file };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set_modes(0o444, 0o555);
    // Root may write everywhere.
    let is_root = fs::metadata(site.folder.path()).unwrap().uid() == 0;
    let folder = site.folder();
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy.path().join("static-url");
    fs::copy(env!("CARGO_BIN_EXE_static-url"), &program).unwrap();
    fs::set_permissions(site.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).env_remove("STATIC_URL_SALT");
        if is_root {
            command.uid(65534).gid(65534);
        }
        run_command(command)
    };
    for args in [&["releases", &folder][..], &["verify", &folder], &["prune", &folder]] {
        let Output { code, stderr, .. } = run(args);
        assert_eq!((code, &*stderr), (0, ""), "{args:?}");
    }
    let new = ["publish", site.root(), "--to", &folder, "--literal", "v2"];
    for args in [&new[..], &["prune", &folder, "--yes"], &["withdraw", "v1", &folder]] {
        let Output { code, stderr, .. } = run(args);
        let canonical = fs::canonicalize(&folder).unwrap();
        let expected =
            format!("error: cannot write to {canonical:?}: Permission denied (os error 13)\n");
        assert_eq!((code, stderr), (1, expected), "{args:?}");
    }
    set_modes(0o644, 0o755);
    assert_eq!(site.versions(), ["v1"]);
}

/// A script of 20 kB that can hardly be compressed, and the same with a line more.
fn scripts() -> (String, String) {
    let mut state = 1_u32;
    let next = |_| {
        // A linear congruential generator, whose high bits are good enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + (state >> 26) as u8)
    };
    let old = (0..20_000).map(next).collect::<String>();
    let new = format!("{old}one new line");
    (old, new)
}

fn path_of(tree: &TempDir) -> &str {
    tree.path().to_str().unwrap()
}

#[test]
fn what_a_deploy_costs() {
    let (old, new) = scripts();
    let before = tree([("app.js", &*old), ("same", &old)]);
    let after = tree([("app.js", &*new), ("same", &old), ("new", "new")]);
    write(after.path(), "two\nlines", "text ".repeat(1000));
    let shown = succeed(&["deltas", path_of(&before), path_of(&after)]);
    let lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(lines[0], ["whole", "zstd", "sent"]);
    for (line, end) in [
        (1, "bytes app.js (delta)"),
        (2, "KiB 62 bytes same (delta)"),
        (3, "bytes two\\nlines (no dictionary)"),
        (4, "3 bytes 3 bytes 3 bytes new (no dictionary)"),
        (5, " % of zstd"),
    ] {
        assert!(lines[line].join(" ").ends_with(end), "{line}: {shown}");
    }
    assert!(lines.len() == 6 && lines[5].join(" ").contains(" bytes 4 files: "), "{shown}");
}

#[test]
fn what_a_deploy_costs_as_json() {
    let (old, new) = scripts();
    let before = tree([("assets/app-Bx7a91Zq.js", &*old), ("same", &old)]);
    let after = tree([("assets/app-9fQ2LmXc.js", &*new), ("same", &old)]);
    let args = ["deltas", path_of(&before), path_of(&after)];
    let file = |args: &[&str]| json(args)["files"][0].clone();
    let app = file(&args);
    assert_eq!(app["path"], json!("assets/app-9fQ2LmXc.js"));
    assert_eq!((&app["dictionary"], &app["delta"]), (&Value::Null, &Value::Null));
    assert_eq!((&app["whole"], &app["sent"]), (&json!(20_012), &app["zstd"]));
    let args = [&args[..], &["--fingerprinted", "webpack", "--fingerprinted", "vite"]].concat();
    let app = file(&args);
    assert_eq!(app["dictionary"], json!("assets/app-Bx7a91Zq.js"));
    assert!(app["sent"].as_u64().unwrap() < 400, "{app}");
    assert_eq!((&app["sent"], &app["cached"]), (&app["delta"], &json!(false)));
    let total = &json(&args)["total"];
    assert_eq!((&total["files"], &total["whole"]), (&json!(2), &json!(40_012)));
    assert_eq!(total["sent"].as_u64(), app["sent"].as_u64().map(|sent| sent + 62));
    let args = ["deltas", path_of(&after), path_of(&after), "--fingerprinted", "vite"];
    let app = file(&args);
    assert_eq!((&app["sent"], &app["cached"]), (&json!(0), &json!(true)));
}

#[test]
fn what_a_deploy_of_kept_releases_costs() {
    let site = Site::new();
    let (old, new) = scripts();
    write(site.root.path(), "app.js", old);
    site.publish_as("v1");
    write(site.root.path(), "app.js", new);
    site.publish_as("v2");
    let folder = site.folder();
    let deltas = json(&["deltas", "v1", "v2", "--releases", &folder]);
    assert_eq!(deltas["files"][0]["dictionary"], json!("app.js"));
    assert!(deltas["files"][0]["sent"].as_u64().unwrap() < 400, "{deltas}");
    assert_eq!(deltas["total"]["files"], json!(3));
    let file = site.path().join("files/v1/app.js");
    fs::remove_file(&file).unwrap();
    let Output { code, stderr, .. } = run(["deltas", "v1", "v2", "--releases", &folder]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: cannot read ") && stderr.contains("v1/app.js"), "{stderr}");
}

#[test]
fn what_cannot_be_measured_is_one_line() {
    let site = Site::new();
    site.publish_as("v1");
    let (folder, root) = (site.folder(), site.root());
    let missing = site.folder.path().join("missing").to_str().unwrap().to_owned();
    let file = site.root.path().join("same").to_str().unwrap().to_owned();
    let empty = tempfile::tempdir().unwrap();
    for (args, code, what) in [
        (vec!["deltas", &missing, root], 1, &*missing),
        (vec!["deltas", root, &missing], 1, &missing),
        (vec!["deltas", &file, root], 1, &file),
        (vec!["deltas", root, path_of(&empty)], 1, path_of(&empty)),
        (vec!["deltas", "v1", "v2", "--releases", &folder], 1, "\"v2\" is kept in"),
        (vec!["deltas", "..", "v1", "--releases", &folder], 1, "\"..\""),
        (vec!["deltas", "v1", "v1", "--releases", &missing], 1, &missing),
        (vec!["deltas", "v1", "v1", "--releases", root], 1, root),
    ] {
        let Output { code: actual, stdout, stderr } = run(&args);
        assert_eq!((actual, &*stdout), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(what), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
    for (args, what) in [
        (&["deltas", root][..], "NEW"),
        (&["deltas", "v1", "v2", "--releases", "s3://bucket/site"], "not of a store"),
        (&["deltas", root, root, "--fingerprinted", "gulp"], "the known ones: vite, webpack"),
    ] {
        let Output { code, stdout, stderr } = run(args);
        assert_eq!((code, &*stdout), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(what), "{args:?}: {stderr}");
    }
    assert!(!Path::new(&missing).exists(), "nothing is created to be read");
}
