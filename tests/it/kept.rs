//! Every version that is kept gives its own bytes, from every node, whatever is current there.

use std::{convert::Infallible, fs, path::Path};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, Response, header},
};
use proptest::prelude::*;
use tempfile::TempDir;
use tower::{ServiceExt as _, service_fn};
use tower_http::services::ServeDir;
use tower_static_url::{
    EmptyBody, ErrorKind, Fingerprinted, StalePolicy, StaticPrefix, StaticUrlLayer,
    StaticUrlLayerBuilder, StaticUrlOutcome, UnlistedPolicy, VersionSource, releases::Releases,
};

use crate::support::{Answer, Warnings, YEAR, ask, etag_of, get, gzip, request, tree, write};

/// A directory of releases, and a node for each tree that is served.
struct Fleet {
    folder: TempDir,
}

/// A server with a tree of its own.
struct Node {
    root: TempDir,
    layer: StaticUrlLayer,
}

impl Fleet {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Opens the releases as a process does.
    fn releases(&self) -> Releases {
        Releases::folder(self.folder.path().join("releases")).unwrap()
    }

    fn file(&self, version: &str, path: &str) -> std::path::PathBuf {
        self.releases().files().join(version).join(path)
    }

    /// Starts a node that knows what has been published before.
    fn node(&self, root: TempDir) -> Node {
        self.node_with(root, |builder| builder)
    }

    fn node_with(
        &self,
        root: TempDir,
        settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
    ) -> Node {
        let releases = self.releases();
        let files = ServeDir::new(releases.files()).precompressed_gzip();
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = settings(builder.releases(releases, files)).build().unwrap();
        Node { root, layer }
    }

    /// Publishes a tree, and returns its prefix.
    fn publish(&self, root: TempDir) -> String {
        let node = self.node(root);
        node.layer.publish().unwrap();
        node.layer.prefix().to_string()
    }
}

impl Node {
    fn router(&self) -> Router {
        let files = ServeDir::new(self.root.path()).precompressed_gzip();
        Router::new().nest_service("/static", files.redirect_path_prefix("/static"))
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(get(url)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        ask(self.layer.wrap(self.router()), request).await
    }
}

/// What a response says of itself.
fn said(answer: &Answer) -> (u16, String, String) {
    (answer.status.as_u16(), answer.cache_control(), answer.field("etag"))
}

fn is_file(answer: &Answer, content: &str) {
    assert_eq!(said(answer), (200, YEAR.into(), etag_of(content)), "{answer:?}");
    assert_eq!(answer.body, content.as_bytes());
}

fn is_refused(answer: &Answer, status: u16) {
    assert_eq!(said(answer), (status, "no-store".into(), String::new()), "{answer:?}");
    assert!(answer.body.is_empty());
}

const OLD: [(&str, &str); 3] = [("app.js", "old"), ("css/app.css", "p {}"), ("gone.js", "gone")];
const NEW: [(&str, &str); 3] = [("app.js", "new!"), ("css/app.css", "p {}"), ("come.js", "come")];

/// A deploy and a rollback: whatever a node has, every page's links give that page's bytes.
#[tokio::test]
async fn each_version_gives_its_own_bytes_from_every_node() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.publish(tree(OLD)), fleet.publish(tree(NEW)));
    for current in [OLD, NEW] {
        let node = fleet.node(tree(current));
        for (prefix, files) in [(&old, OLD), (&new, NEW)] {
            for (path, content) in files {
                for _ in 0..2 {
                    is_file(&node.get(&format!("{prefix}{path}")).await, content);
                }
            }
        }
        is_refused(&node.get(&format!("{old}come.js")).await, 404);
        is_refused(&node.get(&format!("{new}gone.js")).await, 404);
    }
}
