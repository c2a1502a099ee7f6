//! Saving a file changes its URL, without a restart and without a call.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tower_static_url::{
    ErrorKind, Manifest, StaticPrefix, StaticUrlLayer, VersionSource,
    manifest::{Scan, is_ignored_by_default},
    watch::{Changes, WatchOptions},
};

use crate::support::{Site, Warnings, set_modified, tree};

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

/// A folder in which shell scripts edit a tree.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(script: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.run(script);
        folder
    }

    fn run(&self, script: &str) {
        let mut shell = Command::new("sh");
        let status = shell.args(["-euc", script]).current_dir(self.0.path()).status().unwrap();
        assert!(status.success(), "{script}");
    }

    fn layer(&self, root: &str) -> StaticUrlLayer {
        StaticUrlLayer::new("/static", self.0.path().join(root)).unwrap()
    }
}

/// Makes a tree by the first script, and watches it. After each of the other ones, waits until
/// the layer has what a scan from nothing finds.
async fn each_edit_is_seen(name: &str, root: &str, scripts: &[&str]) {
    let folder = Folder::new(scripts[0]);
    let layer = folder.layer(root);
    let options = WatchOptions::default().rest(Duration::from_millis(20));
    let watcher = layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    for script in &scripts[1..] {
        let before = changes.prefix().as_str().to_owned();
        folder.run(script);
        println!("{name}: {script}");
        let expected = folder.layer(root).prefix();
        assert_ne!(expected.as_str(), before, "the edit makes a new version");
        until(&mut changes, |prefix| prefix.as_str() == expected.as_str()).await;
    }
}

#[tokio::test]
async fn what_is_behind_a_link_is_followed() {
    for (name, root, scripts) in [
        (
            "a link to a file",
            "root",
            &[
                "mkdir root out; echo 1 > out/a.css; ln -s ../out/a.css root",
                "echo 2 > out/a.css",
                "echo 3 > out/new; mv out/new out/a.css",
                "ln -s ../out/b.css root/new; echo 4 > out/b.css; mv root/new root/a.css",
                "echo 5 > out/b.css",
            ][..],
        ),
        (
            "a link to a link to a file in a folder behind a link",
            "root",
            &[
                "mkdir -p root 1 2; echo 1 > 1/a; echo 2 > 2/a; ln -s 1 x; ln -s x/a y; ln -s ../y root/a",
                "echo edited > 1/a",
                "ln -sfn 2 x",
                "echo edited again > 2/a",
                "echo other > other; ln -sfn other y",
                "echo edited > other",
            ],
        ),
        (
            "a new link to a folder",
            "root",
            &[
                "mkdir -p root out/deep; echo 1 > root/x; echo 1 > out/a.css; echo 1 > out/deep/b",
                "ln -s ../out root/pkg",
                "echo 2 > out/a.css",
                "echo 2 > out/deep/b",
                "mkdir out/new; echo 1 > out/new/c",
                "echo 2 > out/new/c",
            ],
        ),
        (
            "a link to a folder, swapped",
            "root",
            &[
                "mkdir -p root 1 2; echo 1 > 1/a; echo 2 > 2/a; ln -s ../1 root/pkg",
                "ln -s ../2 root/.new; mv -T root/.new root/pkg",
                "echo edited > 2/a",
                "mv 2 3; ln -sfn ../3 root/pkg; echo moved > 3/a",
                "echo again > 3/a",
            ],
        ),
        (
            "a link to nowhere, and then to something",
            "root",
            &[
                "mkdir -p root; echo 1 > root/x; ln -s ../out/deep/a root/a; ln -s a root/b",
                "mkdir -p out/deep; echo 1 > out/deep/a",
                "echo 2 > out/deep/a",
                "rm -r out",
                "mkdir -p out/deep; echo 3 > out/deep/a",
            ],
        ),
        (
            "links in circles",
            "root",
            &[
                "mkdir -p root/sub; echo 1 > root/x; ln -s o root/o; ln -s .. root/sub/up; ln -s . root/self",
                "echo 2 > root/x",
                "ln -s ../.. root/sub/far; echo 1 > root/sub/y",
                "echo 2 > root/sub/y",
            ],
        ),
    ] {
        each_edit_is_seen(name, root, scripts).await;
    }
}

#[tokio::test]
async fn a_root_is_followed_wherever_it_goes() {
    for (name, root, scripts) in [
        (
            "a link above the root, swapped",
            "current/public",
            &[
                "mkdir -p r/1/public r/2/public r/3/public; for i in 1 2 3; do echo $i > r/$i/public/a; done
                 ln -s r/1 current",
                "ln -s r/2 new; mv -T new current",
                "echo edited > r/2/public/a",
                "rm current; ln -s r/3 current",
                "echo edited too > r/3/public/a",
            ][..],
        ),
        (
            "links to links above the root",
            "latest/dist",
            &[
                "mkdir -p r/1/dist r/2/dist; echo 1 > r/1/dist/a; echo 2 > r/2/dist/a
                 mkdir links; ln -s ../r/1 links/current; ln -s links/current latest",
                "ln -s ../r/2 links/new; mv -T links/new links/current",
                "echo edited > r/2/dist/a",
                "ln -s r/1 new; mv -T new latest; echo back > r/1/dist/a",
                "echo back again > r/1/dist/a",
            ],
        ),
        (
            "the root is a link",
            "dist",
            &[
                "mkdir 1 2; echo 1 > 1/a; echo 2 > 2/a; ln -s 1 dist",
                "echo edited > 1/a",
                "ln -sfn 2 dist",
                "echo edited > 2/a",
                "rm dist; mkdir dist; echo no link > dist/a",
                "echo edited > dist/a",
            ],
        ),
        (
            "the root made anew",
            "dist",
            &[
                "mkdir dist; echo 1 > dist/a",
                "rm -r dist; mkdir dist; echo 2 > dist/a",
                "echo 3 > dist/a",
                "mkdir new; echo 4 > new/a; mv dist old; mv new dist",
                "echo 5 > dist/a",
                "rm -r dist; mv old dist",
                "echo 7 > dist/a",
            ],
        ),
        (
            "folders far above the root renamed",
            "a/b/c/dist",
            &[
                "mkdir -p a/b/c/dist new/b/c/dist; echo 1 > a/b/c/dist/x; echo 2 > new/b/c/dist/x",
                "mv a old; mv new a",
                "echo 3 > a/b/c/dist/x",
                "rm -r a; mkdir -p a/b/c/dist; echo 4 > a/b/c/dist/x",
                "echo 5 > a/b/c/dist/x",
            ],
        ),
    ] {
        each_edit_is_seen(name, root, scripts).await;
    }
}

#[tokio::test]
async fn whatever_happens_in_a_tree_is_seen() {
    for (name, scripts) in [
        (
            "saved by a rename",
            &[
                "mkdir root; echo 1 > root/a; echo 1 > root/b",
                "echo 2 > root/.a.swp; mv root/.a.swp root/a",
                "mv root/a root/a~; echo 3 > root/a",
                "echo outside > new; mv new root/b",
            ][..],
        ),
        (
            "folders renamed",
            &[
                "mkdir -p root/css/deep; echo 1 > root/css/a; echo 1 > root/css/deep/b",
                "mv root/css root/styles",
                "echo 2 > root/styles/deep/b",
                "mv root/styles/deep root/deep",
                "echo 3 > root/deep/b",
                "mv root/deep root/.deep",
                "mv root/.deep root/deep; echo 4 > root/deep/b",
                "echo 5 > root/deep/b",
            ],
        ),
        (
            "a file becomes a folder, and a folder a file",
            &[
                "mkdir root; echo 1 > root/a; echo 1 > root/x",
                "rm root/a; mkdir root/a; echo 1 > root/a/b",
                "echo 2 > root/a/b",
                "rm -r root/a; echo 3 > root/a",
                "echo 4 > root/a",
                "rm root/a; mkdir other; echo 5 > other/b; ln -s ../other root/a",
                "echo 6 > other/b",
            ],
        ),
        (
            "a folder made anew",
            &[
                "mkdir -p root/css/x; echo 1 > root/css/x/a; echo 1 > root/b",
                "rm -r root/css; mkdir -p root/css/x; echo 2 > root/css/x/a",
                "echo 3 > root/css/x/a",
                "mkdir -p new/x; echo 4 > new/x/a; mv root/css old; mv new root/css",
                "echo 5 > root/css/x/a",
                "rm -r root/css",
            ],
        ),
    ] {
        each_edit_is_seen(name, "root", scripts).await;
    }
}

/// Each folder is filled right after it was made, in one go with the folders above it.
#[tokio::test]
async fn no_file_of_a_new_folder_is_missed() {
    let root = tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let options = WatchOptions::default().rest(Duration::ZERO);
    let watcher = layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    for i in 0..30 {
        let directory = root.path().join(format!("{i}/deep/deeper"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("a"), "1").unwrap();
        until_fresh(&mut changes, root.path()).await;
    }
}

/// A write through another name of the file sends no event to the folder, like a write through
/// a memory map, on another machine, or below an overlay.
#[tokio::test]
async fn polling_needs_no_events() {
    let folder = Folder::new("mkdir root other; echo 1 > root/a; ln root/a other/a");
    let layer = folder.layer("root");
    let options = WatchOptions::default().poll(Duration::from_millis(10)).rest(Duration::ZERO);
    let watcher = layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    let root = folder.0.path().join("root");
    for script in [
        "echo 2 > other/a",
        // Of the same length, and with the time set back.
        "touch -r root/a time; echo 3 > other/a; touch -r time root/a",
        "mkdir root/new; echo 1 > root/new/b",
    ] {
        folder.run(script);
        until_fresh(&mut changes, &root).await;
    }
}

/// Needs root, and a kernel that has overlays.
#[tokio::test]
#[ignore = "needs root and overlayfs"]
async fn an_overlay_edited_below_is_polled() {
    let folder = Folder::new(
        "mkdir lower upper work merged; echo 1 > lower/a
         mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged",
    );
    let layer = folder.layer("merged");
    let options = WatchOptions::default().poll(Duration::from_millis(50));
    let watcher = layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    folder.run("echo 2 > lower/a");
    let expected = folder.layer("lower").prefix();
    until(&mut changes, |prefix| prefix.as_str() == expected.as_str()).await;
    drop(watcher);
    folder.run("umount merged");
}

#[test]
fn an_interval_of_zero_is_refused() {
    let root = tree([("a", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let options = WatchOptions::default().poll(Duration::ZERO);
    let error = layer.watch_with(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInterval);
    assert!(error.to_string().contains("poll interval 0s"), "{error}");
}

/// The test writes the next piece when the last one was looked at. A machine so slow that the
/// file rests meanwhile proves nothing.
#[tokio::test]
async fn a_slow_copy_is_one_version() {
    const REST: Duration = Duration::from_secs(1);
    let root = tree([("a", "1"), ("big", ""), (MARK, "")]);
    let (tell, scans) = mpsc::channel();
    let layer = scanned(root.path(), move || _ = tell.send(()));
    let options = WatchOptions::default().poll(Duration::from_millis(5)).rest(REST);
    let watcher = layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    let before = layer.prefix();
    let mut copy = fs::File::create(root.path().join("big")).unwrap();
    for _ in 0..60 {
        let written = Instant::now();
        copy.write_all(&[0; 1000]).unwrap();
        scans.try_iter().for_each(drop);
        // The second one begins after the write, and the third one after its end.
        for _ in 0..3 {
            scans.recv_timeout(PATIENCE).expect("the folder is looked at");
        }
        if written.elapsed() >= REST {
            return;
        }
        assert_eq!(layer.prefix().as_str(), before.as_str());
    }
    let after = changes.changed().await.unwrap();
    assert_eq!(after.as_str(), fresh(root.path()).as_str(), "it is the whole file");
    assert!(after.changed_since(&before).eq(["big"]));
}

/// A copy may stall for longer than a file must rest, but then it is still open.
#[tokio::test]
async fn an_open_file_must_rest_for_longer() {
    const REST: Duration = Duration::from_millis(100);
    let root = tree([("big", "1"), (MARK, "")]);
    let (tell, scans) = mpsc::channel();
    let layer = scanned(root.path(), move || _ = tell.send(()));
    let watcher = layer.watch_with(WatchOptions::default().rest(REST)).unwrap();
    let mut changes = watcher.changes();
    for _ in ["when the layer was built", "when watching began"] {
        scans.recv_timeout(PATIENCE).expect("the folder is looked at");
    }
    // Ends after the scan that is under way.
    layer.reload().unwrap();
    let mut copy = fs::File::options().append(true).open(root.path().join("big")).unwrap();
    let written = Instant::now();
    copy.write_all(b"2").unwrap();
    until_fresh(&mut changes, root.path()).await;
    // The file system's clock may be some milliseconds late.
    assert!(written.elapsed() >= 4 * REST, "taken after {:?}", written.elapsed());
    copy.write_all(b"3").unwrap();
    drop(copy);
    until_fresh(&mut changes, root.path()).await;
}

#[tokio::test]
async fn a_file_that_never_rests_keeps_nobody_waiting() {
    let hour = Duration::from_secs(3600);
    let site = Site::new();
    let root = site.root.path();
    let options = WatchOptions::default().rest(hour);
    let watcher = site.layer.watch_with(options).unwrap();
    let mut changes = watcher.changes();
    let before = site.layer.prefix();
    for content in ["1", "2"] {
        fs::write(root.join("hello.txt"), format!("growing {content}")).unwrap();
        fs::remove_file(root.join(if content == "1" { "100%.txt" } else { "plus+plus.txt" }))
            .unwrap();
        let after = changes.changed().await.unwrap();
        assert!(after.get("hello.txt").is_some(), "listed as it was");
        assert!(after.changed_since(&before).all(|path| path != "hello.txt"));
        let answer = site.get("v/hello.txt").await;
        assert_eq!(answer.body, format!("growing {content}"));
        assert_eq!(answer.cache_control(), "no-cache");
    }
}

#[tokio::test]
async fn touch_to_bust_through_links() {
    let folder = Folder::new(
        "mkdir 1 2; touch -d @1 1/touch-me; touch -d @2 2/touch-me; ln -s 1 current; ln -s current/touch-me version",
    );
    let source = VersionSource::file_modified(folder.0.path().join("version"));
    let layer = StaticUrlLayer::builder("/static").version(source).build().unwrap();
    let watcher = layer.watch().unwrap();
    let mut changes = watcher.changes();
    for script in [
        "touch -d @3 1/touch-me",
        "ln -sfn 2 current",
        "touch 2/touch-me",
        "touch -d @5 new; mv new version",
    ] {
        folder.run(script);
        let before = changes.prefix().as_str().to_owned();
        until(&mut changes, |prefix| prefix.as_str() != before).await;
    }
}

/// Runs itself where only a few directories can be watched.
#[test]
#[ignore = "needs unshare, and a system that allows user namespaces"]
fn a_limit_is_told_once_and_then_the_tree_is_polled() {
    const LIMITED: &str = "WATCHES_ARE_LIMITED";
    if std::env::var_os(LIMITED).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(at_the_limit());
    }
    let test = "watch::a_limit_is_told_once_and_then_the_tree_is_polled";
    let script = "echo 3 > /proc/sys/user/max_inotify_watches; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-euc", script, "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(["--include-ignored", "--exact", test]);
    let output = command.env(LIMITED, "").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
}

async fn at_the_limit() {
    let root = tree([("a/x", "1"), ("b/x", "1"), ("c/x", "1"), ("d/x", "1")]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let warnings = Warnings::capture();
    let watcher = layer.watch().unwrap();
    let warning = warnings.lines().join("\n");
    assert_eq!(warnings.lines().len(), 1, "{warning}");
    assert!(warning.contains("sysctl fs.inotify.max_user_watches="), "{warning}");
    assert!(warning.contains("WatchOptions::poll"), "{warning}");
    let mut changes = watcher.changes();
    for content in ["2", "3"] {
        fs::write(root.path().join("d/x"), content).unwrap();
        until_fresh(&mut changes, root.path()).await;
    }
}

#[tokio::test]
async fn each_of_several_roots_is_followed() {
    let folder = Folder::new(
        "mkdir own 1 2; echo own > own/a; echo 1 > 1/a; echo 1 > 1/b; echo 2 > 2/b; ln -s 1 theirs",
    );
    let layer = || {
        let [own, theirs] = ["own", "theirs"].map(|root| folder.0.path().join(root));
        let scan = Scan::new(own).fallback(theirs);
        StaticUrlLayer::builder("/static").scan(scan).build().unwrap()
    };
    let watched = layer();
    let watcher = watched.watch_with(WatchOptions::default().rest(Duration::ZERO)).unwrap();
    let mut changes = watcher.changes();
    for script in [
        "echo edited > own/a",
        "echo edited > 1/b",
        "echo hides > own/b",
        "rm own/b",
        "ln -s 2 new; mv -T new theirs",
        "echo edited > 2/b",
        "mv own old; cp -r old own; echo new > own/c",
        "echo edited > own/c",
    ] {
        folder.run(script);
        let expected = layer().prefix();
        until(&mut changes, |prefix| prefix.as_str() == expected.as_str()).await;
    }
}

/// As of a bundler that starts after the server.
#[tokio::test]
async fn a_first_build_is_taken_up() {
    for made in
        ["", "mkdir packages", "mkdir -p packages/site/dist", "mkdir real; ln -s real packages"]
    {
        let folder = Folder::new(made);
        let root = folder.0.path().join("packages/site/dist");
        let builder = StaticUrlLayer::builder("/static").root(&root).development(true);
        let layer = builder.build().unwrap();
        let watcher = layer.watch_with(WatchOptions::default().rest(Duration::ZERO)).unwrap();
        let mut changes = watcher.changes();
        folder.run("mkdir -p packages/site/dist; echo 1 > packages/site/dist/a.css");
        until_fresh(&mut changes, &root).await;
        folder.run("echo 2 > packages/site/dist/a.css");
        until_fresh(&mut changes, &root).await;
    }
}
