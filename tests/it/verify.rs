//! A manifest that a build step has made: the server that loads it hashes nothing, and can check
//! that the files are those of the manifest.
#![cfg(unix)]

use std::{fs, os::unix::fs::symlink};

use tower::ServiceExt as _;
use tower_static_url::{
    ErrorKind, Manifest, StaticUrlLayer,
    manifest::{Scan, Verify},
};

use crate::support::{ServeDir, YEAR, etag_of, later, set_modified, tree, write};

/// The manifest of a build step, without times.
fn built(root: &tempfile::TempDir) -> Manifest {
    Manifest::from_json(Manifest::scan(root.path()).unwrap().to_json()).unwrap()
}

/// The layer is made while the files are not even there.
#[tokio::test]
async fn a_server_with_a_manifest_hashes_nothing() {
    let root = tree([("css/app.css", "teal")]);
    let json = Manifest::scan(root.path()).unwrap().to_json();
    let (dist, away) = (root.path().join("css"), root.path().join("away"));
    fs::rename(&dist, &away).unwrap();
    let manifest = Manifest::from_json(json).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    fs::rename(&away, &dist).unwrap();
    let files = ServeDir::new(root.path()).redirect_path_prefix("/static");
    let router = axum::Router::new().nest_service("/static", files);
    let request = http::Request::get(layer.prefix().url("css/app.css"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let response = layer.wrap(router).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["cache-control"], YEAR);
    assert_eq!(response.headers()["etag"], etag_of("teal"));
}

#[test]
fn what_verify_finds() {
    let fresh = || tree([("css/app.css", "teal"), ("js/app.js", "1"), ("same", "same")]);
    type Edit = fn(&std::path::Path);
    let cases: [(&str, Edit, &str, &str); 10] = [
        ("nothing", |_| {}, "", ""),
        ("another file", |root| write(root, "new", "unlisted"), "", ""),
        (
            "the same length",
            |root| write(root, "css/app.css", "navy"),
            "",
            r#""css/app.css" has other bytes"#,
        ),
        (
            "another length",
            |root| write(root, "js/app.js", "22"),
            r#""js/app.js" has 2 bytes instead of 1"#,
            r#""js/app.js" has 2 bytes instead of 1"#,
        ),
        (
            "a missing file",
            |root| fs::remove_file(root.join("same")).unwrap(),
            r#""same" is missing"#,
            r#""same" is missing"#,
        ),
        (
            "a missing directory",
            |root| fs::remove_dir_all(root.join("js")).unwrap(),
            r#""js/app.js" is missing"#,
            r#""js/app.js" is missing"#,
        ),
        (
            "a file in place of a directory",
            |root| {
                fs::remove_dir_all(root.join("js")).unwrap();
                write(root, "js", "1");
            },
            r#""js/app.js" is missing"#,
            r#""js/app.js" is missing"#,
        ),
        (
            "a directory in place of a file",
            |root| {
                fs::remove_file(root.join("same")).unwrap();
                write(root, "same/x", "1");
            },
            r#""same" is not a file"#,
            r#""same" is not a file"#,
        ),
        (
            "a dangling link",
            |root| {
                fs::remove_file(root.join("same")).unwrap();
                symlink("nowhere", root.join("same")).unwrap();
            },
            r#""same" is missing"#,
            r#""same" is missing"#,
        ),
        (
            "several",
            |root| {
                write(root, "css/app.css", "navy");
                fs::remove_file(root.join("js/app.js")).unwrap();
                write(root, "same", "other");
            },
            r#""js/app.js" is missing, "same" has 5 bytes instead of 4"#,
            r#""css/app.css" has other bytes, "js/app.js" is missing, "same" has 5 bytes instead of 4"#,
        ),
    ];
    for (name, edit, fast, full) in cases {
        let root = fresh();
        let manifest = built(&root);
        edit(root.path());
        for (how, expected) in [(Verify::Fast, fast), (Verify::Full, full)] {
            let verified = manifest.verify(root.path(), how);
            if expected.is_empty() {
                verified.unwrap_or_else(|error| panic!("{name}, {how:?}: {error}"));
                continue;
            }
            let error = verified.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChangedFile, "{name}, {how:?}");
            let path = root.path();
            let message =
                format!("the files below {path:?} are not as the manifest lists them: {expected}");
            assert_eq!(error.to_string(), message, "{name}, {how:?}");
        }
    }
}

#[test]
fn times_count_only_where_the_manifest_has_them() {
    let root = tree([("a", "1")]);
    let (with_times, without) = (Manifest::scan(root.path()).unwrap(), built(&root));
    with_times.verify(root.path(), Verify::Fast).unwrap();
    set_modified(&root.path().join("a"), later(1));
    let error = with_times.verify(root.path(), Verify::Fast).unwrap_err();
    assert!(error.to_string().ends_with(r#""a" has another modification time"#), "{error}");
    with_times.verify(root.path(), Verify::Full).unwrap();
    without.verify(root.path(), Verify::Fast).unwrap();
}

#[test]
fn a_file_is_that_of_the_first_root() {
    let (one, two) = (tree([("a", "1")]), tree([("a", "2"), ("b", "2")]));
    let scan = Scan::new(one.path()).fallback(two.path());
    let manifest = scan.run().unwrap();
    scan.verify(&manifest, Verify::Full).unwrap();
    let error = Scan::new(two.path()).fallback(one.path()).verify(&manifest, Verify::Full);
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with(r#": "a" has other bytes"#), "{error}");
    assert!(error.contains(&format!("{:?} and {:?}", two.path(), one.path())), "{error}");
}

#[test]
fn what_verify_cannot_read() {
    let root = tree([("a", "1"), ("file", "")]);
    let manifest = built(&root);
    for (path, kind) in [("missing", ErrorKind::Io), ("file", ErrorKind::NotADirectory)] {
        for how in [Verify::Fast, Verify::Full] {
            let path = root.path().join(path);
            let error = manifest.verify(&path, how).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
    // Not even root can read this one.
    symlink("/proc/self/mem", root.path().join("unreadable")).unwrap();
    let manifest = Manifest::from_files([("unreadable", "")]).unwrap();
    manifest.verify(root.path(), Verify::Fast).unwrap();
    let error = manifest.verify(root.path(), Verify::Full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("unreadable"), "{error}");
}

#[test]
fn an_error_does_not_name_every_file() {
    let files = (0..100).map(|i| (format!("{i:02}"), "1"));
    let manifest = Manifest::from_files(files).unwrap();
    let root = tree([("00", "1")]);
    let error = manifest.verify(root.path(), Verify::Fast).unwrap_err().to_string();
    assert!(error.contains(r#"them: "01" is missing, "02" is"#), "{error}");
    assert!(error.ends_with(r#""08" is missing, and 91 more"#), "{error}");
}

#[test]
fn a_diff_is_in_order_and_whole() {
    let before = Manifest::from_files([("a", "1"), ("b", "1"), ("c", "1"), ("e", "1")]).unwrap();
    let after = Manifest::from_files([("a", "1"), ("b", "22"), ("d", "1"), ("e", "2")]).unwrap();
    let lengths = |before: &Manifest, after: &Manifest| {
        let diff = before.diff(after).into_iter().map(|difference| {
            let length = |info: Option<&tower_static_url::manifest::FileInfo>| {
                info.map(|info| info.length())
            };
            let (before, after) = (length(difference.before()), length(difference.after()));
            (difference.path().to_owned(), before, after)
        });
        diff.collect::<Vec<_>>()
    };
    let expected = [
        ("b".to_owned(), Some(1), Some(2)),
        ("c".to_owned(), Some(1), None),
        ("d".to_owned(), None, Some(1)),
        ("e".to_owned(), Some(1), Some(1)),
    ];
    assert_eq!(lengths(&before, &after), expected);
    let back = expected.map(|(path, before, after)| (path, after, before));
    assert_eq!(lengths(&after, &before), back);
    assert_eq!(lengths(&after, &after), []);
}
