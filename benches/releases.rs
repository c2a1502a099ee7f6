//! What does it cost to publish, compared with what that cannot avoid? Compare the rows of one
//! run with each other, on an idle machine:
//!
//! - `publish` with `cp -r` and the scan together: at most 1.3 times as long
//! - `publish with one file changed` with `cp -rl`, which makes a link of every file too, and
//!   with the walk with metadata. To link 10,000 files alone takes 2.6 times as long as that walk
//!   (on two cores and ext4; four times on one core), so that is the least that a directory with
//!   real files can cost.
//!
//! `cp -r` waits for no disk, and a publisher does: a release that is listed survives a power
//! failure. The row with `sync` has the same promise.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tower_static_url::{Manifest, StaticUrlLayer, manifest::Scan, releases::Releases};
use walkdir::WalkDir;

const FILES: usize = 10_000;
const BYTES: usize = 1024 * 1024 * 1024;
const ROUNDS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    make(&tree);
    sync();
    let mut rows = Rows::default();
    for _ in 0..ROUNDS {
        run(folder.path(), &tree, &mut rows);
    }
    rows.print();
}

fn make(tree: &Path) {
    let mut content = vec![b'x'; BYTES / FILES];
    for i in 0..FILES {
        let directory = tree.join((i % 100).to_string());
        fs::create_dir_all(&directory).unwrap();
        content[..8].copy_from_slice(format!("{i:08}").as_bytes());
        fs::write(directory.join(format!("{i}.js")), &content).unwrap();
    }
}

fn run(folder: &Path, tree: &Path, rows: &mut Rows) {
    let (copy, releases) = (folder.join("copy"), folder.join("releases"));
    rows.time("cp -r", || cp(tree, &copy));
    fs::remove_dir_all(&copy).unwrap();
    sync();
    rows.time("cp -r, then sync", || {
        cp(tree, &copy);
        sync();
    });
    fs::remove_dir_all(&copy).unwrap();
    sync();
    let manifest = rows.time("scan", || Manifest::scan(tree).unwrap());
    let releases_handle = Releases::folder(&releases).unwrap();
    rows.time("publish", || releases_handle.publish("v1", &manifest, [tree]).unwrap());
    rows.time("walk with metadata", || {
        let walk = WalkDir::new(tree).into_iter();
        walk.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    });
    rows.time("cp -rl", || {
        assert!(Command::new("cp").arg("-rl").args([tree, &copy]).status().unwrap().success());
    });
    fs::remove_dir_all(&copy).unwrap();
    let layer = StaticUrlLayer::builder("/static").scan(Scan::new(tree)).build().unwrap();
    fs::write(tree.join("0/0.js"), format!("{:?}", Instant::now())).unwrap();
    rows.time("reload with one file changed", || layer.reload().unwrap());
    let manifest = Manifest::scan(tree).unwrap();
    let published = rows.time("publish with one file changed", || {
        releases_handle.publish("v2", &manifest, [tree]).unwrap()
    });
    assert_eq!((published.copied(), published.linked()), (1, FILES - 1));
    rows.time("publish again", || releases_handle.publish("v2", &manifest, [tree]).unwrap());
    fs::remove_dir_all(&releases).unwrap();
    sync();
}

fn cp(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}

#[derive(Default)]
struct Rows(Vec<(&'static str, Vec<Duration>)>);

impl Rows {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let time = start.elapsed();
        match self.0.iter_mut().find(|(row, _)| *row == name) {
            Some((_, times)) => times.push(time),
            None => self.0.push((name, vec![time])),
        }
        result
    }

    fn print(mut self) {
        for (name, times) in &mut self.0 {
            times.sort();
            println!("{name:32} {times:.3?}");
        }
    }
}
