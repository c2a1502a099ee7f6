//! What a scan and a reload cost, beside the walk that both must do. Compare the rows
//! of one run with each other.

use std::{fs, path::Path, sync::LazyLock, thread, time::Duration};

use divan::{Bencher, black_box};
use tempfile::TempDir;
use tower_static_url::{Manifest, StaticUrlLayer};
use walkdir::WalkDir;

const FILES: usize = 10_000;

static TREE: LazyLock<TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    for i in 0..FILES {
        let folder = root.path().join(format!("{}", i % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{i}.js")), format!("export default {i}").repeat(100))
            .unwrap();
    }
    // A file that was written just now is read again by the next scan.
    thread::sleep(Duration::from_secs(3));
    root
});

fn main() {
    LazyLock::force(&TREE);
    divan::main();
}

fn root() -> &'static Path {
    TREE.path()
}

#[divan::bench]
fn a_walk_with_metadata(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let walk = WalkDir::new(root()).into_iter();
        walk.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    });
}

#[divan::bench]
fn b_reload_with_nothing_changed(bencher: Bencher<'_, '_>) {
    let layer = StaticUrlLayer::new("/static", root()).unwrap();
    bencher.bench_local(|| layer.reload().unwrap());
}

#[divan::bench]
fn c_reload_with_one_file_changed(bencher: Bencher<'_, '_>) {
    let layer = StaticUrlLayer::new("/static", root()).unwrap();
    let mut version = 0;
    bencher.bench_local(|| {
        version += 1;
        fs::write(root().join("0/0.js"), format!("export default {version}")).unwrap();
        black_box(layer.reload().unwrap())
    });
}

#[divan::bench]
fn d_scan(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Manifest::scan(root()).unwrap());
}
