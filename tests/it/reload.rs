//! The state is made anew while services run: whole, or not at all.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use tower::Layer as _;
use tower_static_url::{
    ErrorKind, Manifest, StaticPrefix, StaticUrlLayer, VersionSource, manifest::Scan,
};

use crate::support::{self, HELLO, ServeDir, Site, YEAR, ask, etag_of, is_digest, mtime, tree};

#[tokio::test]
async fn a_change_is_a_new_version_everywhere() {
    let site = Site::new();
    let nested = site.layer.nested();
    let service = site.layer.wrap(site.router());
    let before = site.layer.prefix();
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);

    support::write(site.root.path(), "hello.txt", "another text");
    let reload = site.layer.clone().reload().unwrap();
    assert!(reload.has_changed());
    assert_eq!(reload.before().as_str(), before.as_str());
    let after = site.layer.prefix();
    assert_eq!(reload.after().as_str(), after.as_str());
    assert_eq!(nested.prefix().as_str(), after.as_str(), "derived layers follow");
    assert_ne!(
        before.integrity("hello.txt"),
        after.integrity("hello.txt"),
        "a prefix never changes"
    );

    for (url, cache_control) in
        [(after.url("hello.txt"), YEAR), (before.url("hello.txt"), "no-cache")]
    {
        let answer = ask(service.clone(), support::get(&url)).await;
        assert_eq!(
            (&*answer.body, answer.cache_control()),
            (&b"another text"[..], cache_control.into())
        );
        assert_eq!(answer.field("etag"), etag_of("another text"));
    }
}

#[tokio::test]
async fn without_a_change_nothing_changes() {
    let site = Site::new();
    let version = site.layer.prefix().version().to_owned();
    let reload = site.layer.reload().unwrap();
    assert!(!reload.has_changed());
    assert_eq!(site.layer.prefix().version(), version);
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);
}

#[tokio::test]
async fn files_come_and_go() {
    let site = Site::new();
    support::write(site.root.path(), "new.txt", "new");
    fs::remove_file(site.root.path().join("hello.txt")).unwrap();
    site.layer.reload().unwrap();
    assert_eq!(site.get("v/new.txt").await.cache_control(), YEAR);
    let prefix = site.layer.prefix();
    assert!(prefix.try_url("new.txt").is_ok() && prefix.try_url("hello.txt").is_err());
}

#[tokio::test]
async fn a_file_that_had_changed_is_as_scanned_again() {
    let site = Site::new();
    support::write(site.root.path(), "hello.txt", "changed, other length");
    assert_eq!(site.get("v/hello.txt").await.cache_control(), "no-cache");
    site.layer.reload().unwrap();
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);
}

#[tokio::test]
async fn a_file_put_back_as_it_was_is_trusted_again() {
    let site = Site::new();
    let warnings = support::Warnings::capture();
    for _ in 0..2 {
        support::write(site.root.path(), "hello.txt", "changed, other length");
        assert_eq!(site.get("v/hello.txt").await.cache_control(), "no-cache");
        support::write(site.root.path(), "hello.txt", HELLO);
        site.layer.reload().unwrap();
    }
    assert_eq!(warnings.lines().len(), 2, "the second change is news");
}

#[tokio::test]
async fn a_sibling_that_comes_later_is_listed_with_its_file() {
    let site = Site::new();
    support::write(site.root.path(), "hello.txt.gz", support::gzip(HELLO));
    let lines = [("accept-encoding", "gzip")];
    let gzip = || site.send(support::request("GET", &site.url("v/hello.txt"), &lines));
    assert_eq!(gzip().await.cache_control(), "no-cache");
    site.layer.reload().unwrap();
    assert_eq!(
        (gzip().await.cache_control(), gzip().await.field("etag")),
        (YEAR.into(), etag_of(support::gzip(HELLO)))
    );
}

#[tokio::test]
async fn what_fails_changes_nothing() {
    let site = Site::new();
    let before = site.layer.prefix();
    let moved = site.root.path().with_extension("moved");
    fs::rename(site.root.path(), &moved).unwrap();
    let gone = site.layer.reload().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Io, "{gone}");
    fs::create_dir(site.root.path()).unwrap();
    let empty = site.layer.reload().unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::EmptyManifest, "a bundler has just emptied it");
    assert_eq!(site.layer.prefix().as_str(), before.as_str());
    fs::remove_dir(site.root.path()).unwrap();
    fs::rename(&moved, site.root.path()).unwrap();
    assert!(!site.layer.reload().unwrap().has_changed());
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);
}

#[test]
fn every_source_is_asked_again() {
    let root = tree([("touch", ""), ("a.scss", ""), ("a.css", "")]);
    let touch = root.path().join("touch");
    let layer = StaticUrlLayer::builder("/static")
        .version(VersionSource::file_modified(&touch))
        .build()
        .unwrap();
    assert!(!layer.reload().unwrap().has_changed());
    support::set_modified(&touch, support::later(1));
    assert!(layer.reload().unwrap().has_changed());
    fs::rename(&touch, root.path().join("gone")).unwrap();
    assert_eq!(layer.reload().unwrap_err().kind(), ErrorKind::Io);

    let scan = Scan::new(root.path()).ignore(|path| path.ends_with(".scss"));
    let layer = StaticUrlLayer::builder("/static").scan(scan).build().unwrap();
    support::write(root.path(), "a.scss", "ignored");
    assert!(!layer.reload().unwrap().has_changed(), "the rule stays");
    support::write(root.path(), "a.css", "listed");
    assert!(layer.reload().unwrap().has_changed());

    for source in
        [VersionSource::literal("v1"), VersionSource::build_id("x"), VersionSource::process_start()]
    {
        let layer = StaticUrlLayer::builder("/static").version(source).build().unwrap();
        assert!(!layer.reload().unwrap().has_changed());
    }
    let manifest = Manifest::from_files([("a", "")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    assert!(!layer.reload().unwrap().has_changed());
}

/// Within the second that `Last-Modified` can tell, and before anything was learned:
/// the tag of `ServeDir` tells.
#[tokio::test]
async fn an_edit_within_the_second_of_the_scan_shows_at_the_first_request() {
    let site = Site::new();
    let path = site.root.path().join("hello.txt");
    support::write_at(&path, HELLO.to_uppercase(), mtime() + Duration::from_nanos(1));
    let answer = site.get("v/hello.txt").await;
    assert_eq!(
        (answer.cache_control(), &*answer.body),
        ("no-cache".into(), HELLO.to_uppercase().as_bytes())
    );
}

const VERSIONS: u64 = 300;

fn content(version: u64) -> String {
    format!("this is version {version:08}")
}

/// Puts a version into place as a deploy does: at once, and with its own time.
fn deploy(root: &Path, version: u64) {
    let draft = root.join(".draft");
    support::write_at(&draft, content(version), support::later(version));
    fs::rename(&draft, root.join("a.txt")).unwrap();
}

/// Several tasks ask for whatever is current, while hundreds of versions are published.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_under_load() {
    let root = tempfile::tempdir().unwrap();
    deploy(root.path(), 0);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let page = |prefix: StaticPrefix| async move { prefix.url("a.txt") };
    let router =
        Router::new().route("/", get(page)).nest_service("/static", ServeDir::new(root.path()));
    // What each version's URL stands for.
    let contents = Arc::new(Mutex::new(HashMap::new()));
    let note = |version: u64| {
        let manifest = Manifest::from_files([("a.txt", content(version))]).unwrap();
        let prefix =
            StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap().prefix();
        contents.lock().unwrap().insert(prefix.url("a.txt"), content(version));
    };
    (0..=VERSIONS).for_each(note);

    let stop = Arc::new(AtomicBool::new(false));
    // The URLs that somebody was told to keep.
    let pinned = Arc::new(Mutex::new(HashSet::new()));
    let hammer = |_| {
        let (layer, router, contents) = (layer.clone(), router.clone(), Arc::clone(&contents));
        let (stop, pinned) = (Arc::clone(&stop), Arc::clone(&pinned));
        tokio::spawn(async move {
            let mut last = layer.prefix().url("a.txt");
            while !stop.load(Ordering::Relaxed) {
                let page = ask(layer.wrap(router.clone()), support::get("/")).await;
                let current = String::from_utf8(page.body.to_vec()).unwrap();
                for url in [&current, &last] {
                    let answer = ask(layer.layer(router.clone()), support::get(url)).await;
                    assert_eq!(answer.status.as_u16(), 200);
                    let etag = answer.field("etag");
                    assert!(!is_digest(&etag) || etag == etag_of(&answer.body), "{answer:?}");
                    match answer.cache_control().as_str() {
                        YEAR => {
                            assert_eq!(answer.body, contents.lock().unwrap()[url], "{answer:?}");
                            assert_eq!(etag, etag_of(&answer.body));
                            pinned.lock().unwrap().insert(url.clone());
                        }
                        other => assert_eq!(other, "no-cache"),
                    }
                }
                last = current;
            }
        })
    };
    let hammers = (0..4).map(hammer).collect::<Vec<_>>();
    let (publisher, root_path) = (layer.clone(), root.path().to_owned());
    let published = tokio::task::spawn_blocking(move || {
        // For hammers that have failed, not for slow ones.
        let end = Instant::now() + Duration::from_secs(60);
        for version in 1..=VERSIONS {
            deploy(&root_path, version);
            assert!(publisher.reload().unwrap().has_changed());
            // Most versions are gone before anybody has seen them; some must be seen.
            let url = publisher.prefix().url("a.txt");
            while version % 10 == 0 && !pinned.lock().unwrap().contains(&url) {
                assert!(Instant::now() < end, "nobody is told to keep version {version}");
                thread::yield_now();
            }
        }
    });
    published.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.await.unwrap();
    }
    let answer = ask(layer.wrap(router), support::get(&layer.prefix().url("a.txt"))).await;
    assert_eq!(
        (&*answer.body, answer.cache_control()),
        (content(VERSIONS).as_bytes(), YEAR.into())
    );
}
