//! What is fetched from a bucket is counted. Alone in its process, because other threads fetch it,
//! and count with the recorder of the process.

#[path = "support/mod.rs"]
mod support;

use std::{process::Command, sync::Arc};

use axum::Router;
use futures_util::StreamExt as _;
use object_store::{ObjectStore as _, ObjectStoreExt as _, memory::InMemory};
use sha2::{Digest as _, Sha256};
use tower_http::services::ServeDir;
use tower_static_url::{
    Manifest, StaticUrlLayer,
    releases::{Bucket, Releases},
};

use crate::support::{
    ask,
    counters::{Counters, read},
    demo::example_binary,
    get, tree,
};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_filled() {
    let store = Arc::new(InMemory::new());
    let files = [("app.js", "old"), ("same.js", "same"), ("lost.js", "lost")];
    let (old, root) = (tree(files), tree([("app.js", "new"), ("other.js", "same")]));
    let manifest = Manifest::scan(old.path()).unwrap();
    let bucket = Bucket::new(store.clone(), "site").unwrap();
    let version = &manifest.digest_hex()[..16];
    bucket.publish(version, &manifest, [old.path()]).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let releases = Releases::folder(folder.path().join("releases")).unwrap();
    let releases = releases.filled_from(store.clone(), "site").unwrap();
    let kept = ServeDir::new(releases.files());
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let layer = builder.releases(releases, kept).build().unwrap();
    let app = layer.wrap(Router::new().nest_service("/static", ServeDir::new(root.path())));

    let counters = Counters::new().of_process();
    let send = |path: &str| ask(app.clone(), get(&format!("/static/{version}/{path}")));
    for path in ["app.js", "app.js", "same.js"] {
        assert_eq!(send(path).await.status, 200, "{path}");
    }
    delete(&store, &data_encoding::HEXLOWER.encode(&Sha256::digest("lost"))).await;
    assert_eq!(send("lost.js").await.status, 502);
    let mut seen = read(&counters);
    seen.retain(|name, _| !name.starts_with("requests"));
    let expected = [
        ("filled_bytes_total", 3),
        (r#"filled_files_total{from="bucket"}"#, 1),
        (r#"filled_files_total{from="failed"}"#, 1),
        (r#"filled_files_total{from="node"}"#, 1),
        (r#"release_responses_total{from="directory"}"#, 3),
        (r#"release_responses_total{from="failed"}"#, 1),
    ];
    assert_eq!(seen, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

/// Deletes the blob with this digest.
async fn delete(store: &InMemory, digest: &str) {
    let mut objects = store.list(None);
    while let Some(object) = objects.next().await {
        let key = object.unwrap().location;
        if key.as_ref().ends_with(digest) {
            store.delete(&key).await.unwrap();
        }
    }
}

/// The picture in the docs is drawn from what two layers count.
#[test]
fn the_picture_of_a_rolling_deploy() {
    let drawn = Command::new(example_binary("rolling_deploy")).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let picture = include_str!("../src/docs/rolling_deploy.svg");
    let is_same = String::from_utf8(drawn.stdout).unwrap() == picture;
    assert!(is_same, "cargo run --example rolling_deploy > src/docs/rolling_deploy.svg");
}
