//! Saving a file changes its URL, without a restart and without a call.
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tower_static_url::{
    ErrorKind, Manifest, StaticPrefix, StaticUrlLayer, VersionSource,
    manifest::{Scan, is_ignored_by_default},
    watch::Changes,
};

use crate::support::{set_modified, tree};

/// How long a change may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next prefix for which `is_it` holds.
async fn until(changes: &mut Changes, is_it: impl Fn(&StaticPrefix) -> bool) -> StaticPrefix {
    let found = async {
        loop {
            let prefix = changes.changed().await.expect("the watcher is there");
            if is_it(&prefix) {
                return prefix;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the change is seen")
}

/// The prefix of what a scan from nothing finds.
fn fresh(root: &Path) -> StaticPrefix {
    StaticUrlLayer::new("/static", root).unwrap().prefix()
}

async fn until_fresh(changes: &mut Changes, root: &Path) {
    let expected = fresh(root);
    until(changes, |prefix| prefix.as_str() == expected.as_str()).await;
}

#[tokio::test]
async fn edits_of_every_kind_are_seen() {
    let root = tree([("a.css", "1"), ("sub/b.css", "1")]);
    let at = |path: &str| root.path().join(path);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    let before = layer.prefix();

    fs::write(at("a.css"), "2").unwrap();
    until_fresh(&mut changes, root.path()).await;
    assert!(layer.prefix().changed_since(&before).eq(["a.css"]));

    // As editors save: another file takes the name.
    fs::write(at("a.css.new"), "3").unwrap();
    fs::rename(at("a.css.new"), at("a.css")).unwrap();
    until_fresh(&mut changes, root.path()).await;

    fs::write(at("sub/b.css"), "in a folder").unwrap();
    until_fresh(&mut changes, root.path()).await;

    fs::create_dir_all(at("new/deep")).unwrap();
    fs::write(at("new/deep/c.css"), "1").unwrap();
    until_fresh(&mut changes, root.path()).await;
    fs::write(at("new/deep/c.css"), "2").unwrap();
    until_fresh(&mut changes, root.path()).await;

    fs::remove_file(at("new/deep/c.css")).unwrap();
    until_fresh(&mut changes, root.path()).await;
    let expected = ["a.css", "sub/b.css"];
    assert!(layer.prefix().paths().eq(expected));
    assert!(layer.prefix().changed_since(&before).eq(expected));
}

#[tokio::test]
async fn what_changed_before_watching_is_seen() {
    let root = tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let before = layer.prefix();
    fs::write(root.path().join("a"), "2").unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    if changes.prefix().as_str() == before.as_str() {
        until_fresh(&mut changes, root.path()).await;
    }
    assert!(changes.prefix().changed_since(&before).eq(["a"]));
}

/// A file that no rule lists. A layer of [`scanned`] tells of each scan that comes by it.
const MARK: &str = ".mark";

/// A layer over a folder that has a [`MARK`], with what `scanning` makes of each scan.
fn scanned(root: &Path, scanning: impl Fn() + Send + Sync + 'static) -> StaticUrlLayer {
    let scan = Scan::new(root).ignore(move |path| {
        if path == MARK {
            scanning();
        }
        is_ignored_by_default(path)
    });
    StaticUrlLayer::builder("/static").scan(scan).build().unwrap()
}

/// Each version takes a scan, and before each scan nothing has happened for a while: so the
/// time between two scans is a bound on how many there are, and a slow machine only makes it
/// longer.
#[tokio::test]
async fn a_burst_is_few_versions() {
    const QUIET: Duration = Duration::from_millis(50);
    let root = tree([("a", "1"), (MARK, "")]);
    let (tell, scans) = mpsc::channel();
    let layer = scanned(root.path(), move || tell.send(Instant::now()).unwrap());
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    for i in 0..300 {
        fs::write(root.path().join(format!("file-{i}")), "as of a checkout").unwrap();
    }
    until_fresh(&mut changes, root.path()).await;
    // What it has heard of by now is dealt with, too.
    drop(watcher);
    let scans = scans.try_iter().collect::<Vec<_>>();
    assert!(scans.len() >= 2, "one when the layer is built, and one that has seen the files");
    for pair in scans.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= QUIET, "one of {} scans is {pause:?} after another", scans.len());
    }
}

#[tokio::test]
async fn a_folder_emptied_and_filled_again_is_followed() {
    let root = tree([("a.css", "1"), (MARK, "")]);
    let (tell, scans) = mpsc::channel();
    let only_file = root.path().join("a.css");
    let layer = scanned(root.path(), {
        let only_file = only_file.clone();
        move || tell.send(only_file.exists()).unwrap()
    });
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    let before = layer.prefix();
    fs::remove_file(only_file).unwrap();
    // One scan follows the other: once a second one begins in the empty folder, all that
    // comes of the first has come.
    for content in ["once", "twice"] {
        while scans.recv_timeout(PATIENCE).expect("the folder is looked at") {}
        fs::write(root.path().join(MARK), content).unwrap();
    }
    assert_eq!(layer.prefix().as_str(), before.as_str(), "nothing is published of an empty folder");
    fs::write(root.path().join("b.css"), "1").unwrap();
    until_fresh(&mut changes, root.path()).await;
}

#[tokio::test]
async fn a_root_deleted_and_made_anew_is_followed() {
    let parent = tree([("dist/a.css", "1")]);
    let root = parent.path().join("dist");
    let layer = StaticUrlLayer::new("/static", &root).unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    for content in ["2", "3"] {
        fs::remove_dir_all(&root).unwrap();
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.css"), content).unwrap();
        until_fresh(&mut changes, &root).await;
        // Of the new folder later changes are seen, too.
        fs::write(root.join("a.css"), format!("{content}, edited")).unwrap();
        until_fresh(&mut changes, &root).await;
    }
}

#[tokio::test]
async fn touch_to_bust() {
    let root = tree([("touch-me", "")]);
    let file = root.path().join("touch-me");
    let source = VersionSource::file_modified(&file);
    let layer = StaticUrlLayer::builder("/static").version(source).build().unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    let before = layer.prefix();
    set_modified(&file, SystemTime::now());
    until(&mut changes, |prefix| prefix.as_str() != before.as_str()).await;
}

#[test]
fn without_an_async_runtime() {
    let root = tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    let (told, tell) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let parker = thread::current();
        let waker = std::task::Waker::from(Arc::new(Unpark(parker)));
        let mut future = std::pin::pin!(changes.changed());
        loop {
            match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
                std::task::Poll::Ready(prefix) => return told.send(prefix.is_some()).unwrap(),
                std::task::Poll::Pending => thread::park(),
            }
        }
    });
    fs::write(root.path().join("a"), "2").unwrap();
    assert_eq!(tell.recv_timeout(PATIENCE), Ok(true));
    waiter.join().unwrap();
}

struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[tokio::test]
async fn dropping_the_guard_ends_it() {
    let root = tree([("a", "1"), (MARK, "")]);
    // Whoever could scan the folder has a share in this.
    let alive = Arc::new(());
    let layer = scanned(root.path(), {
        let alive = Arc::clone(&alive);
        move || drop(Arc::clone(&alive))
    });
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    let waiting = tokio::spawn(async move { changes.changed().await.is_none() });
    tokio::task::yield_now().await;
    drop(watcher);
    assert!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap());
    fs::write(root.path().join("a"), "2").unwrap();
    assert!(layer.reload().unwrap().has_changed(), "the layer itself goes on");
    drop(layer);
    assert_eq!(Arc::strong_count(&alive), 1, "nobody is left who could reload it");
}

#[tokio::test]
async fn changes_tell_of_what_happens_after_they_are_made() {
    let root = tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let watcher = layer.watch().unwrap();
    let mut early = watcher.changes();
    fs::write(root.path().join("a"), "2").unwrap();
    until_fresh(&mut early, root.path()).await;
    let mut late = watcher.changes();
    let mut pending = std::pin::pin!(late.changed());
    let poll =
        std::future::poll_fn(|cx| std::task::Poll::Ready(pending.as_mut().poll(cx).is_pending()));
    assert!(poll.await);
}

#[test]
fn what_cannot_change_cannot_be_watched() {
    let manifest = Manifest::from_files([("a", "")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    assert_eq!(layer.watch().unwrap_err().kind(), ErrorKind::NothingToWatch);
}
