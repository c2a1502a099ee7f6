//! A build of the site as npm makes it, without npm.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use tempfile::TempDir;
use tower_static_url::Manifest;

use super::{repository, run};
use crate::{
    command::static_url,
    support::{
        YEAR,
        wire::{Answer, Connection},
    },
};

pub(super) struct Build {
    root: TempDir,
    pub(super) version: String,
    /// Each URL that a page of this build may have, and its bytes.
    urls: Vec<(String, Vec<u8>)>,
}

impl Build {
    /// The one that is committed.
    pub(super) fn first() -> Self {
        Self::of(committed())
    }

    /// After an edit: one chunk has another name, and the favicon other bytes under its name.
    pub(super) fn next() -> Self {
        let root = committed();
        let favicon = root.path().join("favicon.svg");
        let edited = fs::read_to_string(&favicon).unwrap() + "<!-- Edited. -->\n";
        fs::write(favicon, edited).unwrap();
        let assets = root.path().join("assets");
        let names = fs::read_dir(&assets).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let about = names.find(|name| name.starts_with("about-")).unwrap();
        fs::remove_file(assets.join(about)).unwrap();
        fs::write(assets.join("about-Bx7a91Zq.js"), "export const content = () => 'Next';")
            .unwrap();
        Self::of(root)
    }

    fn of(root: TempDir) -> Self {
        static_url(&["precompress", root.path().to_str().unwrap()]);
        let version = static_url(&["version", root.path().to_str().unwrap()]);
        let mut urls = Vec::new();
        let manifest = Manifest::scan(root.path()).unwrap();
        let is_compressed = |path: &str| [".gz", ".br", ".zst"].iter().any(|it| path.ends_with(it));
        for (path, _) in manifest.iter().filter(|(path, _)| !is_compressed(path)) {
            let bytes = fs::read(root.path().join(path)).unwrap();
            if path.starts_with("assets/") {
                urls.push((format!("/static/{path}"), bytes.clone()));
            }
            urls.push((format!("/static/{version}/{path}"), bytes));
        }
        Self { root, version, urls }
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Whether a server has this build.
    pub(super) fn assert_is_current(&self, address: SocketAddr) {
        assert_eq!(get(address, "/healthz").text(), self.version);
        let page = get(address, "/settings/profile").text();
        let link = format!("\"/static/{}/favicon.svg\"", self.version);
        assert!(page.contains(&link), "{link} is not in {page}");
    }

    /// Whether a server gives each URL of this build its own bytes, for a year.
    pub(super) fn assert_is_served(&self, address: SocketAddr) {
        for (url, bytes) in &self.urls {
            let answer = get(address, url);
            assert_eq!((answer.status, &*answer.cache_control()), (200, YEAR), "{url}");
            assert_eq!(answer.body, *bytes, "{url}");
        }
    }
}

fn committed() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let dist = repository().join("examples/spa/web/dist/.");
    run(Command::new("cp").arg("-R").arg(dist).arg(root.path()));
    root
}

fn get(address: SocketAddr, url: &str) -> Answer {
    Connection::to(address).exchange("GET", url, &[])
}
