//! A build of the site, and what its URLs must give.

use std::{fs, path::Path};

use tempfile::TempDir;
use tower_static_url::{Manifest, releases::Bucket};

use crate::support::{
    store::{OWNER, Store, shared},
    tree, write,
};

/// The prefix of the keys in the bucket.
pub(crate) const PREFIX: &str = "site";

pub(crate) struct Edition {
    root: TempDir,
    pub(crate) version: String,
    /// Each URL that a page of this build may have, and its bytes.
    pub(crate) urls: Vec<(String, Vec<u8>)>,
}

impl Edition {
    pub(crate) fn new(number: u8) -> Self {
        let root = tree([
            // Of one length, and all of one time: only the bytes tell.
            ("css/app.css", &*format!("body {{ color: #{number:06} }}")),
            ("css/same.css", "p { margin: 0 }"),
            (&format!("js/only-{number}.js"), "only()"),
            // A bundler has put a hash into the name.
            (&format!("assets/chunk-Bx7a91Z{number}.js"), &format!("chunk({number})")),
        ]);
        write(root.path(), "big.bin", large(number));
        Self::of(root)
    }

    /// With more files than one can ask for at a time.
    pub(crate) fn of(root: TempDir) -> Self {
        let manifest = Manifest::scan(root.path()).unwrap();
        let version = manifest.digest_hex()[..16].to_owned();
        let mut urls = Vec::new();
        for (path, _) in manifest.iter() {
            let bytes = fs::read(root.path().join(path)).unwrap();
            if path.starts_with("assets/") {
                urls.push((format!("/static/{path}"), bytes.clone()));
            }
            urls.push((format!("/static/{version}/{path}"), bytes));
        }
        Self { root, version, urls }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("/static/{}/{path}", self.version)
    }

    pub(crate) fn bytes(&self, path: &str) -> &[u8] {
        let url = self.url(path);
        let (_, bytes) = self.urls.iter().find(|(other, _)| *other == url).expect(&url);
        bytes
    }

    /// Publishes as a CI job would, past the counter.
    pub(crate) async fn publish(&self, store: &Store) {
        let (address, version) = (store.address(), self.version.clone());
        let root = self.root().to_owned();
        let publish = move || {
            let bucket = Bucket::new(shared(address, OWNER), PREFIX).unwrap();
            let manifest = Manifest::scan(&root).unwrap();
            bucket.publish(&version, &manifest, [&root]).unwrap();
        };
        tokio::task::spawn_blocking(publish).await.unwrap();
    }
}

/// Some hundred kilobytes that no other number has.
pub(crate) fn large(number: u8) -> Vec<u8> {
    let mut state = u64::from(number) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..40_000).flat_map(|_| next().to_le_bytes()).collect()
}
