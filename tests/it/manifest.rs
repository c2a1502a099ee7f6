//! Scanning: the tree digest and its vectors, what is listed, what is an error.
#![cfg(unix)]

use std::{
    error::Error as _,
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
    error(Manifest::scan(at("file")), ErrorKind::NotADirectory, &at("file"));
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
    let json = r#"{"format":1,"digest":"6de5a63dae55b0c415bc940dc653532792f91b4175ae984e1edbcbe13983a57c","files":{"a.txt":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","length":3},"fünke":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","length":0}}}"#;
    assert_eq!(serde_json::to_string(&manifest).unwrap(), json);
    assert_eq!(serde_json::from_str::<Manifest>(json).unwrap(), manifest);
    let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(value(&manifest.to_json()), value(json));
    let reversed = Manifest::from_files([("fünke", ""), ("a.txt", "abc")]).unwrap();
    assert_eq!(reversed.to_json(), manifest.to_json(), "the same files give the same text");

    // Read from whatever holds it, and in whatever order its files are.
    let written = manifest.to_json();
    let read = [
        Manifest::from_json(&written),
        Manifest::from_json(written.as_str()),
        Manifest::from_json(written.as_bytes()),
        Manifest::from_json(written.clone().into_bytes()),
        Manifest::from_json(json),
    ];
    for read in read.map(Result::unwrap) {
        assert!(read.iter().eq(manifest.iter()));
        assert_eq!(read.digest(), manifest.digest());
    }

    // A scan's times belong to its disk: the version is the same without them.
    let root = tree([("a.txt", "abc")]);
    let scanned = Manifest::scan(root.path()).unwrap();
    let read = Manifest::from_json(scanned.to_json()).unwrap();
    assert_eq!(read, scanned);
    assert_eq!(read.get("a.txt").unwrap().modified(), None);
}

const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A manifest of `a.txt`, which holds `abc`, with these fields for it.
fn json_with(fields: &str) -> String {
    let digest = "700024b2606081b55419184270babd59581ec70ca64247625a9153ff80648b17";
    format!(r#"{{"format":1,"digest":"{digest}","files":{{"a.txt":{{{fields}}}}}}}"#)
}

/// A later version of the crate may know more of a file.
#[test]
fn unknown_fields_of_a_file_are_ignored() {
    let expected = Manifest::from_files([("a.txt", "abc")]).unwrap();
    for fields in [
        format!(r#""sha256":"{SHA}","length":3"#),
        format!(r#""length":3,"sha256":"{SHA}","lenght":4"#),
        format!(r#""type":{{"sha256":null}},"sha256":"{SHA}","length":3,"tags":["a",1]"#),
    ] {
        assert_eq!(Manifest::from_json(json_with(&fields)).unwrap(), expected, "{fields}");
    }
}

#[test]
fn bad_json_names_what_is_bad() {
    let good = json_with(&format!(r#""sha256":"{SHA}","length":3"#));
    let digest = &*Manifest::from_json(&good).unwrap().digest_hex();
    let file = |path: &str| format!(r#""{path}":{{"sha256":"{SHA}","length":3}}"#);
    let files = |files: &str| format!(r#"{{"format":1,"digest":"{digest}","files":{{{files}}}}}"#);
    let other = "0".repeat(64);
    for (name, json, kind, message) in [
        (
            "another format",
            good.replace("\"format\":1", "\"format\":2"),
            ErrorKind::InvalidManifest,
            "manifest format 2 is not 1".to_owned(),
        ),
        ("no files", files(""), ErrorKind::EmptyManifest, "a manifest without files".to_owned()),
        (
            "no digest of a file",
            good.replace(SHA, "ba78"),
            ErrorKind::InvalidManifest,
            r#"path "a.txt" has no SHA-256"#.to_owned(),
        ),
        (
            "in capitals",
            good.replace(SHA, &SHA.to_uppercase()),
            ErrorKind::InvalidManifest,
            r#"path "a.txt" has no SHA-256"#.to_owned(),
        ),
        (
            "up and out",
            files(&file("../a")),
            ErrorKind::InvalidPath,
            r#"path "../a" has a dot segment"#.to_owned(),
        ),
        (
            "listed twice",
            files(&[file("a.txt"), file("a.txt")].join(",")),
            ErrorKind::InvalidPath,
            r#"path "a.txt" is listed twice"#.to_owned(),
        ),
        (
            "twice, with an escape, and another between",
            files(&[file("a/b"), file("c"), file(r"a\u002fb")].join(",")),
            ErrorKind::InvalidPath,
            r#"path "a/b" is listed twice"#.to_owned(),
        ),
        (
            "another digest",
            good.replace(digest, &other),
            ErrorKind::InvalidManifest,
            format!("manifest digest {other:?} is not that of its files, {digest:?}"),
        ),
        (
            "a digest in capitals",
            good.replace(digest, &digest.to_uppercase()),
            ErrorKind::InvalidManifest,
            format!(
                "manifest digest {:?} is not that of its files, {digest:?}",
                digest.to_uppercase()
            ),
        ),
        (
            "no digest",
            good.replace(digest, ""),
            ErrorKind::InvalidManifest,
            format!("manifest digest \"\" is not that of its files, {digest:?}"),
        ),
    ] {
        let error = Manifest::from_json(&json).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, message.clone()), "{name}");
        assert!(error.source().is_none(), "{name}");
        let error = serde_json::from_str::<Manifest>(&json).unwrap_err();
        assert!(error.to_string().contains(&message), "{name}: {error}");
    }
    // Whatever is added up is no more than a disk has.
    for lengths in [["9223372036854775808", "0"], ["9223372036854775807", "1"]] {
        let [a, b] = lengths.map(|length| format!(r#"{{"sha256":"{SHA}","length":{length}}}"#));
        let json = files(&format!(r#""a":{a},"b":{b}"#));
        let error = Manifest::from_json(&json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidManifest);
        let path = if lengths[1] == "0" { "a" } else { "b" };
        assert_eq!(error.to_string(), format!("path {path:?} has a length that no file has"));
    }
    // A file that is another one shows in the digest, too.
    let longer = json_with(&format!(r#""sha256":"{SHA}","length":4"#));
    let error = Manifest::from_json(longer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidManifest);
    assert!(error.to_string().contains("is not that of its files"), "{error}");
}

/// What is not of the format is told by the reader of JSON, as the source of the error.
#[test]
fn what_is_no_manifest_in_json_has_a_source() {
    let good = json_with(&format!(r#""sha256":"{SHA}","length":3"#));
    for (name, json, source) in [
        ("nothing", String::new(), "EOF while parsing a value"),
        ("no JSON", "not JSON".into(), "expected ident"),
        ("cut off", good[..good.len() - 1].into(), "EOF while parsing an object"),
        ("more", format!("{good} {good}"), "trailing characters"),
        ("a list", "[]".into(), "invalid"),
        ("unknown field", good.replacen('{', r#"{"root":"/srv","#, 1), "unknown field `root`"),
        ("field twice", good.replacen('{', r#"{"format":1,"#, 1), "duplicate field `format`"),
        ("no format", good.replacen(r#""format":1,"#, "", 1), "missing field `format`"),
        ("no digest", good.replacen(r#""digest":"#, r#""format":"#, 1), "duplicate field"),
        ("no files", r#"{"format":1,"digest":""}"#.into(), "missing field `files`"),
        ("files in a list", r#"{"format":1,"digest":"","files":[]}"#.into(), "a map of paths"),
        ("no length", json_with(&format!(r#""sha256":"{SHA}""#)), "missing field `length`"),
        ("no SHA-256", json_with(r#""length":3"#), "missing field `sha256`"),
        ("less than nothing", good.replace(":3}", ":-3}"), "expected u64"),
        ("half a byte", good.replace(":3}", ":2.5}"), "expected u64"),
    ] {
        let error = Manifest::from_json(&json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidManifest, "{name}");
        assert_eq!(error.to_string(), "not a manifest in JSON", "{name}");
        let cause = error.source().and_then(|it| it.downcast_ref::<serde_json::Error>());
        let cause = cause.unwrap_or_else(|| panic!("{name}: {error:?} has no source")).to_string();
        assert!(cause.contains(source), "{name}: {cause}");
        assert!(format!("{error:?}").contains(source), "{name}: {error:?}");
    }
    let error = Manifest::from_json(b"\xff\xfe").unwrap_err();
    assert!(error.source().is_some_and(|it| it.is::<serde_json::Error>()), "{error:?}");
}

#[test]
fn a_version_cannot_be_a_folder_of_the_tree() {
    let root = tree([("v1/a", "")]);
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let error =
        builder.version(tower_static_url::VersionSource::literal("v1")).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidVersion);
    assert_eq!(error.to_string(), r#"version "v1" is also a directory of the tree"#);
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
        let read = Manifest::from_json(scanned.to_json()).unwrap();
        prop_assert!(read.iter().eq(scanned.iter()));
        prop_assert_eq!(read.digest(), scanned.digest());
    }
}

// ---------------------------------------------------------------------------------
// Digests that are kept between runs

/// Lets the clock tick, so that what was written counts as old: a scan trusts no file that may
/// still be written to at the same time.
fn age(root: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            set_modified(entry.path(), long_ago);
        }
    }
}

/// What is odd about a file with digests is a WARN, and never an error.
#[test]
fn an_odd_file_of_digests_is_not_used() {
    let root = tree([("app.css", "p{}"), ("a/b.js", "1")]);
    age(root.path());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digests");
    let expected = Manifest::scan(root.path()).unwrap();
    let whole = {
        Scan::new(root.path()).remember(&path).run().unwrap();
        fs::read(&path).unwrap()
    };
    let newer = [b"tower-static-url digests 2\n", &whole[27..]].concat();
    for (name, content) in [
        ("empty", &b""[..]),
        ("truncated", &whole[..whole.len() / 2]),
        ("from the future", &newer),
        ("something else", b"{\"files\": []}"),
        ("not even text", b"\xff\xfe\x00"),
    ] {
        fs::write(&path, content).unwrap();
        let warnings = Warnings::capture();
        let manifest = Scan::new(root.path()).remember(&path).run().unwrap();
        assert_eq!(manifest, expected, "{name}");
        let lines = warnings.lines();
        assert_eq!(lines.len(), 1, "{name}: {lines:#?}");
        assert!(lines[0].contains(path.to_str().unwrap()), "{name}: {lines:#?}");
        assert_eq!(fs::read(&path).unwrap(), whole, "{name}: it is made anew");
    }
    let missing = folder.path().join("missing/digests");
    for path in [folder.path(), &missing] {
        let warnings = Warnings::capture();
        assert_eq!(Scan::new(root.path()).remember(path).run().unwrap(), expected);
        assert!((1..=2).contains(&warnings.lines().len()), "{:#?}", warnings.lines());
    }
    // The first scan of all has nothing to say.
    let warnings = Warnings::capture();
    Scan::new(root.path()).remember(folder.path().join("new")).run().unwrap();
    assert_eq!(warnings.lines(), [""; 0]);
}

#[test]
fn digests_are_not_kept_in_the_tree() {
    let root = tree([("app.css", "p{}"), ("a/b.js", "1")]);
    for inside in ["digests", "a/digests", "a/../digests"] {
        let path = root.path().join(inside);
        error(Scan::new(root.path()).remember(&path).run(), ErrorKind::InvalidPath, &path);
    }
    for ignored in [".digests", "a/.digests"] {
        Scan::new(root.path()).remember(root.path().join(ignored)).run().unwrap();
    }
}

// ---------------------------------------------------------------------------------
// Links that leave the tree

#[test]
fn a_style_sheet_that_leaves_the_tree_is_named() {
    let root = tree([
        ("css/app.css", "a{b:url(../img/x.png)}"),
        ("css/deep/above.css", "a{b:url(../../../media/x.png)}"),
        ("above.css", "@import '../x.css';"),
        ("app.js", "import '../../x.js'"),
    ]);
    let warnings = Warnings::capture();
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    for count in 1..=2 {
        let lines = warnings.lines();
        assert_eq!(lines.len(), 2, "scan {count}: {lines:#?}");
        for path in ["path=\"above.css\"", "path=\"css/deep/above.css\""] {
            assert_eq!(lines.iter().filter(|line| line.contains(path)).count(), 1, "{lines:#?}");
        }
        layer.reload().unwrap();
    }
    write(root.path(), "above.css", "@import 'x.css';");
    layer.reload().unwrap();
    write(root.path(), "above.css", "@import '../y.css';");
    layer.reload().unwrap();
    assert_eq!(warnings.lines().len(), 3, "it is news again");
}

#[cfg(unix)]
#[test]
fn digests_behind_a_link_into_the_tree_are_in_the_tree() {
    let (root, state) = (tree([("app.css", "p{}")]), tempfile::tempdir().unwrap());
    symlink(state.path(), root.path().join("state")).unwrap();
    let path = state.path().join("digests");
    let scan = Scan::new(root.path()).remember(&path);
    scan.run().unwrap();
    error(scan.run(), ErrorKind::InvalidPath, &path);
}
