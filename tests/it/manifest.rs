//! Scanning: the tree digest and its vectors, what is listed, what is an error.
#![cfg(unix)]

use std::{
    fs::{self, File},
    num::NonZero,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tower_static_url::{
    Error, ErrorKind, Manifest, StaticUrlLayer,
    manifest::{Scan, is_ignored_by_default},
};

use crate::support::{self, Warnings, set_modified, tree, write};

/// Trees and their digests, as `src/manifest/tree-digest.sh` prints them.
fn vectors() -> Vec<(&'static [(&'static str, &'static str)], &'static str)> {
    vec![
        (&[("a.txt", "abc")], "700024b2606081b55419184270babd59581ec70ca64247625a9153ff80648b17"),
        (&[("empty", "")], "321c170892f91e2156548aad6413871b764f0aaa0531e990b62944467b8e9f77"),
        (
            // Bytewise: `a-b/x` and `a.x` come before `a/b`.
            &[
                ("a/b", "1"),
                ("a-b/x", "2"),
                ("a.x", "3"),
                ("Z", "4"),
                ("fünke.txt", "5"),
                ("ab", "6"),
                ("with space", "7\n"),
            ],
            "27a604abd5b37dc407077c12dcce848f2c1bc7a1c2f3b84c668c29583a6bb6aa",
        ),
    ]
}

fn paths(manifest: &Manifest) -> Vec<&str> {
    manifest.iter().map(|(path, _)| path).collect()
}

fn error(result: Result<Manifest, Error>, kind: ErrorKind, path: &Path) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error} does not name {path:?}");
}

#[test]
fn tree_digest_vectors() {
    for (files, digest) in vectors() {
        let root = tree(files.iter().copied());
        assert_eq!(Manifest::scan(root.path()).unwrap().digest_hex(), digest, "{files:?} scanned");
        assert_eq!(Manifest::from_files(files.iter().copied()).unwrap().digest_hex(), digest);
        let reversed = Manifest::from_files(files.iter().rev().copied()).unwrap();
        assert_eq!(reversed.digest_hex(), digest, "{files:?} the other way round");
    }
}

#[test]
#[ignore = "needs a POSIX shell with find and sha256sum"]
fn tree_digest_of_the_documented_script() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/tree-digest.sh");
    let digest = |root: &Path| {
        let output = Command::new("sh").arg(script).arg(root).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    for (files, expected) in vectors() {
        assert_eq!(digest(tree(files.iter().copied()).path()), expected, "{files:?}");
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(digest(&sources), Manifest::scan(&sources).unwrap().digest_hex());
    let site = support::site();
    write(site.path(), ".hidden/file", "");
    write(site.path(), "backup~", "");
    write(site.path(), "#autosave#", "");
    assert_eq!(digest(site.path()), Manifest::scan(site.path()).unwrap().digest_hex());
}

#[test]
fn digest_is_of_names_and_bytes_alone() {
    let one = tree([("a", "1"), ("b/c", "2"), ("b/d", "3")]);
    let other = tree([("b/d", "3"), ("b/c", "2"), ("a", "1")]);
    set_modified(&other.path().join("a"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    fs::set_permissions(other.path().join("b/c"), fs::Permissions::from_mode(0o444)).unwrap();
    let (one, other) = (Manifest::scan(one.path()).unwrap(), Manifest::scan(other.path()).unwrap());
    assert_eq!(one.digest(), other.digest());
    for changed in [
        &[("a", "1"), ("b/c", "2"), ("b/d", "4")][..],
        &[("a", "1"), ("b/c", "2"), ("b/e", "3")],
        &[("a", "1"), ("b/c", "2")],
        &[("a", "1"), ("b/c", "2"), ("b/d", "3"), ("e", "")],
        &[("a", "1b"), ("b/c", "2"), ("b/d", "3")],
    ] {
        let changed = Manifest::from_files(changed.iter().copied()).unwrap();
        assert_ne!(changed.digest(), one.digest(), "{changed:?}");
    }
}

#[test]
fn ignore_rule() {
    for (path, expected) in [
        ("app.css", false),
        (".git", true),
        ("css/.app.css.swp", true),
        ("css/app.css~", true),
        ("#app.css#", true),
        ("#", false),
        ("Thumbs.db", true),
        ("img/desktop.ini", true),
        ("a.b", false),
    ] {
        assert_eq!(is_ignored_by_default(path), expected, "{path}");
    }
    let root = tree([("a.css", ""), (".git/config", ""), ("b/.c", ""), ("b/d", ""), ("e.map", "")]);
    assert_eq!(paths(&Manifest::scan(root.path()).unwrap()), ["a.css", "b/d", "e.map"]);
    let scan = Scan::new(root.path());
    let all = scan.clone().ignore(|_| false).run().unwrap();
    assert_eq!(paths(&all), [".git/config", "a.css", "b/.c", "b/d", "e.map"]);
    let some = scan.ignore(|path| path == "b" || path.ends_with(".map")).run().unwrap();
    assert_eq!(paths(&some), [".git/config", "a.css"]);
}

#[test]
fn links() {
    let root = tree([("a/file", "1")]);
    let outside = tree([("deep/file", "2")]);
    let at = |path: &str| root.path().join(path);
    symlink(at("a/file"), at("to-file")).unwrap();
    symlink(outside.path(), at("to-folder")).unwrap();
    symlink(at("a"), at("a/loop")).unwrap();
    symlink(root.path(), at("a/loop-to-root")).unwrap();
    symlink(at("itself"), at("itself")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    symlink(at("nowhere"), at(".#lock-of-emacs")).unwrap();
    let warnings = Warnings::capture();
    let manifest = Manifest::scan(root.path()).unwrap();
    assert_eq!(paths(&manifest), ["a/file", "to-file", "to-folder/deep/file"]);
    let lines = warnings.lines();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for left_out in ["a/loop", "a/loop-to-root", "itself", "dangling"] {
        assert!(lines.iter().any(|line| line.contains(left_out)), "{left_out}: {lines:#?}");
    }
}

#[test]
fn a_root_behind_a_link_is_a_root() {
    let root = tree([("a", "1")]);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    symlink(root.path(), &link).unwrap();
    assert_eq!(Manifest::scan(link).unwrap(), Manifest::scan(root.path()).unwrap());
}

#[test]
fn pipes_and_unspellable_names_are_left_out() {
    let root = tree([("a", "1"), ("back\\slash", "")]);
    assert!(Command::new("mkfifo").arg(root.path().join("pipe")).status().unwrap().success());
    let warnings = Warnings::capture();
    assert_eq!(paths(&Manifest::scan(root.path()).unwrap()), ["a"]);
    assert_eq!(warnings.lines().len(), 2);
}

#[test]
fn bad_roots() {
    let root = tree([("file", ""), ("empty/.hidden", "")]);
    let at = |path: &str| root.path().join(path);
    error(Manifest::scan(at("missing")), ErrorKind::Io, &at("missing"));
    error(Manifest::scan(at("file")), ErrorKind::NotAFolder, &at("file"));
    error(Manifest::scan(at("empty")), ErrorKind::EmptyManifest, &at("empty"));
}

#[test]
fn a_name_that_is_not_utf8_is_an_error() {
    let root = tree([("a", "")]);
    File::create(root.path().join(std::ffi::OsStr::from_bytes(b"b\xff"))).unwrap();
    let error = Manifest::scan(root.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPath);
    assert!(error.to_string().contains(r"b\xFF"), "{error}");
}

#[test]
fn an_unreadable_file_is_an_error_with_its_path() {
    // Root may read everything, but not even root can read a directory entry whose
    // file is gone: `/proc/self/mem` at address 0 fails for everybody.
    let root = tree([("a", "")]);
    symlink("/proc/self/mem", root.path().join("unreadable")).unwrap();
    error(Manifest::scan(root.path()), ErrorKind::Io, &root.path().join("unreadable"));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let files = (0..100).map(|i| (format!("{}/{i}", i % 7), format!("{i}").repeat(i * 50)));
    let files = files.collect::<Vec<_>>();
    let root = tree(files.iter().map(|(path, content)| (&**path, &**content)));
    let expected = Manifest::from_files(files).unwrap();
    for threads in [1, 2, 3, 64, 1000] {
        let scan = Scan::new(root.path()).threads(NonZero::new(threads).unwrap());
        assert_eq!(scan.run().unwrap().digest(), expected.digest(), "{threads}");
    }
}

#[test]
fn what_is_known_of_a_file() {
    let root = tree([("a", "abc")]);
    let manifest = Manifest::scan(root.path()).unwrap();
    let info = manifest.get("a").unwrap();
    assert_eq!((info.length(), info.modified()), (3, Some(support::mtime())));
    assert_eq!(info.sha256()[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!((manifest.len(), manifest.get("b")), (1, None));
}

#[test]
fn listed_paths_must_be_plain() {
    for (path, why) in [
        ("", "has an empty segment"),
        ("/a", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("a//b", "has an empty segment"),
        ("a/../b", "has a dot segment"),
        (".", "has a dot segment"),
        ("a\\b", "has a character that no URL spells safely"),
        ("a\0", "has a character that no URL spells safely"),
    ] {
        let error = Manifest::from_files([(path, "")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
        assert_eq!(error.to_string(), format!("path {path:?} {why}"));
    }
    let twice = Manifest::from_files([("a", "1"), ("a", "2")]).unwrap_err();
    assert_eq!(twice.to_string(), r#"path "a" is listed twice"#);
    let none = Manifest::from_files::<&str, &str>([]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::EmptyManifest);
}

#[test]
fn json_there_and_back() {
    let manifest = Manifest::from_files([("a.txt", "abc"), ("fünke", "")]).unwrap();
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(
        json,
        r#"{"format":1,"files":{"a.txt":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","length":3},"fünke":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","length":0}}}"#
    );
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);

    // A scan's times belong to its disk: the version is the same without them.
    let root = tree([("a.txt", "abc")]);
    let scanned = Manifest::scan(root.path()).unwrap();
    let read: Manifest = serde_json::from_str(&serde_json::to_string(&scanned).unwrap()).unwrap();
    assert_eq!(read.digest(), scanned.digest());
    assert_eq!(read.get("a.txt").unwrap().modified(), None);
}

#[test]
fn bad_json_names_what_is_bad() {
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (json, message) in [
        (r#"{"format":2,"files":{}}"#.to_owned(), "manifest format 2 is not 1"),
        (r#"{"format":1,"files":{}}"#.to_owned(), "a manifest without files"),
        (
            r#"{"format":1,"files":{"a":{"sha256":"ba78","length":3}}}"#.to_owned(),
            r#"path "a" has no SHA-256"#,
        ),
        (
            format!(r#"{{"format":1,"files":{{"../a":{{"sha256":"{sha}","length":3}}}}}}"#),
            r#"path "../a" has a dot segment"#,
        ),
        (
            format!(r#"{{"format":1,"files":{{"a":{{"sha256":"{sha}","lenght":3}}}}}}"#),
            "unknown field `lenght`",
        ),
    ] {
        let error = serde_json::from_str::<Manifest>(&json).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_version_cannot_be_a_folder_of_the_tree() {
    let root = tree([("v1/a", "")]);
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let error =
        builder.version(tower_static_url::VersionSource::literal("v1")).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidVersion);
    assert_eq!(error.to_string(), r#"version "v1" is also a folder of the tree"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scanned_and_embedded_agree(
        files in proptest::collection::btree_map("[a-c]{1,2}(/[a-e0-9 ü.-]{1,3}[f-h])?", "[a-z]{0,40}", 1..12),
    ) {
        let root = tempfile::tempdir().unwrap();
        // A name cannot be a file and a folder.
        let is_folder = |path: &str| files.keys().any(|other| other.starts_with(&format!("{path}/")));
        let files = files.iter().filter(|(path, _)| !is_folder(path)).collect::<Vec<_>>();
        let files = files.into_iter().filter(|(path, _)| !path.contains("/.")).collect::<Vec<_>>();
        prop_assume!(!files.is_empty());
        for (path, content) in &files {
            write(root.path(), path, content);
        }
        let embedded = Manifest::from_files(files).unwrap();
        let scanned = Manifest::scan(root.path()).unwrap();
        prop_assert_eq!(scanned.digest(), embedded.digest());
    }
}
