//! `static-url nginx`: what it prints, and what it refuses.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use super::{
    Output, Site, command, path_of, run, run_command, run_unprivileged, succeed,
    support::{gzip, tree, write},
};

const APP: [&str; 2] = ["--app", "http://localhost"];

#[test]
fn nginx_gets_nothing_that_it_cannot_read() {
    for (folder, app, why) in [
        ("/releases", "127.0.0.1:3000", "is not `http://host:port`"),
        ("/releases", "http://localhost/app", "is not `http://host:port`"),
        ("/releases", "http://localhost; include /etc/passwd", "is not `http://host:port`"),
        ("/releases", "http://", "is not `http://host:port`"),
        ("/$home", "http://localhost", "nginx cannot name a path with '$'"),
        ("/two\nlines", "http://localhost", "nginx cannot name a path with '\\n'"),
        ("s3://bucket", "http://localhost", "s3://"),
    ] {
        let args = ["nginx", folder, "--mount", "/static", "--app", app];
        let Output { code, stdout, stderr } = run(args);
        assert_eq!((code, &*stdout), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(why), "{args:?}: {stderr}");
    }
}

#[test]
fn releases_need_not_be_there_yet() {
    let succeeded = run(["nginx", "here/", "--mount", "/static/", "--app", "https://[::1]:3/"]);
    let here = std::env::current_dir().unwrap().join("here/files");
    for part in [&*format!("root {here:?};"), "proxy_pass https://[::1]:3;", "^/static/("] {
        assert!(succeeded.stdout.contains(part), "{part}: {}", succeeded.stdout);
    }
}

#[test]
fn every_failure_is_one_line_that_names_its_input() {
    let site = Site::new();
    let folder = site.folder();
    site.publish_as("v1");
    let below = |path: &str| site.folder.path().join(path).to_str().unwrap().to_owned();
    for directory in ["empty", "only-ignored", "damaged", "none/files", "none/releases"] {
        fs::create_dir_all(below(directory)).unwrap();
    }
    write(Path::new(&below("only-ignored")), ".env", "");
    write(Path::new(&below("damaged")), ".static-url", "what is this?");
    fs::copy(site.path().join(".static-url"), below("none/.static-url")).unwrap();
    fs::write(below("file"), "").unwrap();
    let [missing, empty, ignored] = ["missing", "empty", "only-ignored"].map(below);
    let [file, damaged, none] = ["file", "damaged", "none"].map(below);
    let real = tree([("a$b/app.css", "")]);
    symlink(real.path().join("a$b"), below("linked")).unwrap();
    let linked = below("linked");
    let (root, mount) = (site.root(), ["--mount", "/static"]);
    for (args, code, what) in [
        (vec!["nginx", &missing], 1, &*missing),
        (vec!["nginx", &empty], 1, &empty),
        (vec!["nginx", &ignored], 1, &ignored),
        (vec!["nginx", &file], 1, &file),
        (vec!["nginx", &damaged], 1, &damaged),
        (vec!["nginx", &none], 1, &none),
        (vec!["nginx", &linked], 1, "nginx cannot name a path with '$'"),
        (vec!["nginx", &file, APP[0], APP[1]], 1, &file),
        (vec!["nginx", &damaged, APP[0], APP[1]], 1, &damaged),
        (vec!["nginx", root, "--literal", "a/b"], 2, "a/b"),
        (vec!["nginx", root, "--literal", "css"], 2, "\"css\" is also a directory"),
        (vec!["nginx", root, "--build-id", ""], 2, "build id"),
        (vec!["nginx", &folder, "--literal", "v1"], 2, "--literal"),
        (vec!["nginx", &folder, "--build-id", "1"], 2, "--build-id"),
        (vec!["nginx", &folder, "--fingerprinted", "vite", APP[0], APP[1]], 2, "--fingerprinted"),
    ] {
        assert_refused(&[&args[..], &mount].concat(), code, what);
    }
    for mount in ["static", "", "/a//b", "/..", "/a b", "/%41", "/a\nb", "/a\"b", "/ü"] {
        assert_refused(&["nginx", root, "--mount", mount], 1, &format!("{mount:?}"));
        assert_refused(&["nginx", &folder, "--mount", mount, APP[0], APP[1]], 1, "mount");
    }
    assert!(!Path::new(&missing).exists(), "nothing is created to be read");
}

fn assert_refused(args: &[&str], code: i32, what: &str) {
    let Output { code: actual, stdout, stderr } = run(args);
    assert_eq!((actual, &*stdout), (code, ""), "{args:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.contains(what), "{args:?}: {stderr}");
}

#[test]
fn wrong_arguments() {
    let site = Site::new();
    for (args, what) in [
        (vec!["nginx", site.root()], "--mount"),
        (vec!["nginx", "--mount", "/static"], "DIR"),
        (vec!["nginx", site.root(), "--mount", "/", "--fingerprinted", "gulp"], "gulp"),
        (vec!["nginx", site.root(), "--mount", "/", "--literal", "1", "--build-id", "1"], "cannot"),
    ] {
        let Output { code, stdout, stderr } = run(&args);
        assert_eq!((code, &*stdout), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(what), "{args:?}: {stderr}");
    }
}

#[test]
fn what_may_not_be_read_is_named() {
    let root = tree([("css/app.css", "teal"), ("secret.txt", "1")]);
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = root.path().join("secret.txt");
    for (path, mode) in [(&*secret, 0o644), (root.path(), 0o755)] {
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        let args = ["nginx", path_of(&root), "--mount", "/static"];
        let Output { code, stdout, stderr } = run_unprivileged(&args);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert_eq!((code, &*stdout), (1, ""), "{path:?}: {stderr}");
        assert!(stderr.contains(path.to_str().unwrap()), "{path:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{path:?}: {stderr}");
    }
}

/// nginx would send it to every browser, for a year.
#[test]
fn a_left_over_gz_is_named() {
    let root = tree([("css/app.css", "teal"), ("alone.gz", "no gzip"), ("b", "")]);
    let folder = tempfile::tempdir().unwrap();
    let releases = folder.path().join("releases").to_str().unwrap().to_owned();
    for (name, bytes, is_refused) in [
        ("its own", gzip("teal"), false),
        ("of other content", gzip("navy"), true),
        ("no gzip", b"teal".to_vec(), true),
        ("cut off", gzip("teal")[..20].to_vec(), true),
        ("two in one", [gzip("teal"), gzip("")].concat(), true),
    ] {
        write(root.path(), "css/app.css.gz", bytes);
        succeed(&["publish", path_of(&root), "--to", &releases]);
        for directory in [path_of(&root), &releases] {
            let Output { code, stderr, .. } = run(["nginx", directory, "--mount", "/static"]);
            assert_eq!(code, i32::from(is_refused), "{name}: {stderr}");
            assert_eq!(
                stderr.contains("css/app.css.gz\" is not of"),
                is_refused,
                "{name}: {stderr}"
            );
        }
    }
}

#[test]
fn the_version_is_that_of_the_command_version() {
    let site = Site::new();
    for (identity, salt) in [
        (&[][..], None),
        (&["--build-id", "abc"], None),
        (&["--literal", "v1.2.3"], None),
        (&[], Some("s3")),
        (&["--build-id", "abc"], Some("s3")),
    ] {
        let say = |args: &[&str]| {
            let mut command = command([args, identity].concat());
            command.envs(salt.map(|salt| ("STATIC_URL_SALT", salt)));
            run_command(command).stdout
        };
        let version = say(&["version", site.root()]);
        let printed = say(&["nginx", site.root(), "--mount", "/static"]);
        let version = version.trim_end();
        assert!(printed.contains(&format!("\n# version {version}.\n")), "{identity:?}: {printed}");
        let location = format!("^/static/{}/", version.replace('.', r"\."));
        assert!(printed.contains(&location), "{identity:?}: {printed}");
    }
}

/// So that a deploy that has changed nothing need not reload nginx.
#[test]
fn the_same_input_gives_the_same_bytes() {
    let site = Site::new();
    write(site.root.path(), "assets/index-Bx7a91Zq.js", "1");
    write(site.root.path(), "assets/index-9fQ2LmXc.js", "2");
    let folder = site.folder();
    site.publish();
    for args in [
        vec!["nginx", site.root(), "--mount", "/static", "--fingerprinted", "vite"],
        vec!["nginx", site.root(), "--mount", "/static", APP[0], APP[1]],
        vec!["nginx", &folder, "--mount", "/static", "--fingerprinted", "vite"],
        vec!["nginx", &folder, "--mount", "/static", APP[0], APP[1]],
    ] {
        let first = succeed(&args);
        write(site.root.path(), "same", "same");
        assert_eq!(succeed(&args), first, "{args:?}");
        assert!(first.ends_with("}\n"), "{first}");
    }
}

/// Browsers have one of the two for a year.
#[test]
fn a_name_with_two_contents_is_no_hash() {
    let site = Site::new();
    write(site.root.path(), "assets/same-9fQ2LmXc.js", "1");
    for content in ["1", "2"] {
        write(site.root.path(), "assets/other-Bx7a91Zq.js", content);
        site.publish();
    }
    let args = ["nginx", &site.folder(), "--mount", "/static", "--fingerprinted", "vite"];
    let printed = succeed(&args);
    assert!(printed.contains(r"    assets/same-9fQ2LmXc\.js"), "{printed}");
    assert!(!printed.contains("Bx7a91Zq"), "{printed}");
}

/// A deploy that turns a link to the next build must not turn it for the version before.
#[test]
fn a_link_is_followed_once() {
    let site = Site::new();
    let link = site.folder.path().join("current");
    symlink(site.root.path(), &link).unwrap();
    let printed = succeed(&["nginx", link.to_str().unwrap(), "--mount", "/static"]);
    let root = fs::canonicalize(site.root.path()).unwrap();
    assert!(printed.contains(&format!("root {root:?};")), "{printed}");
    assert!(!printed.contains("/current"), "{printed}");
}

#[test]
fn half_of_a_configuration_is_a_failure() {
    let site = Site::new();
    let mut full = command(["nginx", site.root(), "--mount", "/static"]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let output = full.stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot write"));
}
