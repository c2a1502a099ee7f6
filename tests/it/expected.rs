//! A node whose version is not the expected one: it refuses to start, or warns, and names the
//! files that differ where it can know them.

use crate::support::ServeDir;
use std::{fs, sync::Arc};

use tempfile::TempDir;
use tower_static_url::{
    Error, ErrorKind, Manifest, StaticUrlLayer, StaticUrlLayerBuilder, UnexpectedPolicy,
    VersionSource, releases::Releases,
};

use crate::{
    bucket::store::Store,
    support::{Warnings, tree, write},
};

/// The version of a tree that is nowhere.
const OTHER: &str = "3f9c2a7be01d4c55";

fn node(root: &TempDir) -> StaticUrlLayerBuilder {
    StaticUrlLayer::builder("/static").root(root.path())
}

fn version(root: &TempDir) -> String {
    Manifest::scan(root.path()).unwrap().digest_hex()[..16].to_owned()
}

fn refuse(builder: StaticUrlLayerBuilder, version: &str) -> Result<StaticUrlLayer, Error> {
    builder.expect_version(version, UnexpectedPolicy::Refuse).build()
}

/// Why a node does not start, after the two versions.
fn why(builder: StaticUrlLayerBuilder, version: &str) -> String {
    let error = refuse(builder, version).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedVersion);
    let text = error.to_string();
    let (versions, why) = text.split_once(", which is expected: ").unwrap();
    assert!(versions.ends_with(&format!(" is not {version:?}")), "{text}");
    why.to_owned()
}

#[test]
fn the_expected_version_is_taken() {
    let root = tree([("app.css", "teal")]);
    let version = version(&root);
    for spelled in [version.clone(), format!("{version}\n"), format!(" {version}\r\n")] {
        let layer = refuse(node(&root), &spelled).unwrap();
        assert_eq!(layer.prefix().version(), version);
    }
    refuse(node(&root).version(VersionSource::literal("v1")), "v1").unwrap();
}

#[test]
fn another_version_is_refused_with_both() {
    let root = tree([("app.css", "teal")]);
    let version = version(&root);
    for expected in [OTHER, "", "v1", &version.to_uppercase(), &version[..15]] {
        let error = refuse(node(&root), expected).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedVersion);
        let start = format!("version {version:?} is not {expected:?}, which is expected: ");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().contains("not known without releases"), "{error}");
    }
}

#[test]
fn a_node_that_warns_serves_what_it_has() {
    let root = tree([("app.css", "teal")]);
    let warnings = Warnings::capture();
    let layer = node(&root).expect_version(OTHER, UnexpectedPolicy::Warn).build().unwrap();
    assert_eq!(layer.prefix().version(), version(&root));
    let lines = warnings.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(OTHER) && lines[0].contains(&version(&root)), "{lines:#?}");
    write(root.path(), "app.css", "navy");
    assert!(layer.reload().unwrap().has_changed());
    assert_eq!(warnings.lines().len(), 1, "only the start is checked");
}

#[test]
fn the_expected_release_tells_which_files_differ() {
    let files = [("css/app.css", "teal"), ("gone.js", "1"), ("same", "same")];
    let (ci, root) = (tree(files), tree(files));
    write(root.path(), "css/app.css", "navy");
    write(root.path(), "come.js", "1");
    fs::remove_file(root.path().join("gone.js")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let releases = || Releases::folder(folder.path().join("releases")).unwrap();
    let opened_before = releases();
    let with = |releases: &Releases| {
        node(&root).releases(releases.clone(), ServeDir::new(releases.files()))
    };
    let unknown = "which files differ is not known, because no release of it was found";
    assert_eq!(why(with(&opened_before), &version(&ci)), unknown);
    let manifest = Manifest::scan(ci.path()).unwrap();
    releases().publish(&version(&ci), &manifest, [ci.path()]).unwrap();
    let expected = "compared with that release, \"come.js\" was added, \"css/app.css\" was \
                    changed, \"gone.js\" was removed";
    for releases in [releases(), opened_before] {
        assert_eq!(why(with(&releases), &version(&ci)), expected);
        assert_eq!(why(with(&releases), OTHER), unknown);
    }
}

#[test]
fn a_bucket_tells_it_too() {
    let (ci, root) = (tree([("app.css", "teal")]), tree([("app.css", "navy")]));
    let store = Store::new();
    let bucket = store.bucket();
    bucket.publish(&version(&ci), &Manifest::scan(ci.path()).unwrap(), [ci.path()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let releases = Releases::folder(folder.path().join("releases")).unwrap();
    let releases = releases.filled_from(Arc::new(store), "site").unwrap();
    let files = ServeDir::new(releases.files());
    let why = why(node(&root).releases(releases, files), &version(&ci));
    assert_eq!(why, "compared with that release, \"app.css\" was changed");
}

#[test]
fn the_same_files_under_another_version() {
    let root = tree([("app.css", "teal")]);
    let folder = tempfile::tempdir().unwrap();
    let releases = Releases::folder(folder.path().join("releases")).unwrap();
    let manifest = Manifest::scan(root.path()).unwrap();
    releases.publish(&version(&root), &manifest, [root.path()]).unwrap();
    let files = ServeDir::new(releases.files());
    let salted = node(&root).salt("secret").releases(releases, files);
    let expected = "the files are the same, so the source of the version or its salt is another";
    assert_eq!(why(salted, &version(&root)), expected);
}

#[test]
fn without_a_list_of_files_there_is_nothing_to_compare() {
    let builder = StaticUrlLayer::builder("/static").version(VersionSource::literal("v1"));
    let why = why(builder, "v2");
    assert_eq!(why, "without a list of the files nothing can be compared");
}
