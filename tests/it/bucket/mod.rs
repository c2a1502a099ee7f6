//! Releases in a bucket: complete or not there, whatever the store and other publishers do, and
//! deleted a week at a time.

mod collect;
mod faults;
mod publish;
pub mod store;

use std::path::Path;

use tempfile::TempDir;
use tower_static_url::{
    Error, Manifest,
    releases::{Bucket, Published},
};

use self::store::{Fault, Store, WEEK};
use crate::support::tree;

/// A tree with a file of its own, and some that all trees have.
fn build(own: &str) -> TempDir {
    tree([("own", own), ("same", "same"), ("same-again", "same"), ("js/app.js", "run()")])
}

fn publish(bucket: &Bucket, root: &Path) -> Result<Published, Error> {
    let manifest = Manifest::scan(root).unwrap();
    bucket.publish(&manifest.digest_hex()[..16], &manifest, [root])
}

fn publish_as(bucket: &Bucket, version: &str, root: &Path) -> Result<Published, Error> {
    bucket.publish(version, &Manifest::scan(root).unwrap(), [root])
}

/// The kept versions, the newest first, as another node sees them.
fn versions(store: &Store) -> Vec<String> {
    let releases = store.bucket().list().unwrap();
    releases.iter().map(|release| release.version().to_owned()).collect()
}

/// Checks that every release has all its blobs.
fn assert_whole(store: &Store, when: &str) {
    let damages = store.bucket().verify().unwrap();
    assert_eq!(damages, [], "{when}");
}
