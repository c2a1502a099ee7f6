//! What do a scan and a reload cost, compared with what they cannot avoid: the walk, the
//! reading, and a fast SHA-256? Compare the rows of one run with each other:
//!
//! - `b_reload_with_nothing_changed` with `a_walk_with_metadata`
//! - `f_scan_of_1_gib_on_1_thread` with `e_openssl_of_1_gib` (which needs the program
//!   `openssl`), and `g_scan_of_1_gib_on_2_threads` with that
//! - `i_scan_of_100_000_files_on_1_thread` with `h_walk_and_read_of_100_000_files`

use std::{
    fs::{self, File},
    io::Read as _,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use divan::{Bencher, black_box};
use tempfile::TempDir;
use tower_static_url::{Manifest, StaticUrlLayer, manifest::Scan};
use walkdir::WalkDir;

const GIB: usize = 1024 * 1024 * 1024;

/// The directory of all trees. Each tree is made by the first row that uses it.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = tree("tree", 10_000, |i| format!("export default {i}").repeat(100));
    // The next scan reads a file again if it was written just before the last scan.
    thread::sleep(Duration::from_secs(3));
    root
});

static ONE_GIB: LazyLock<PathBuf> = LazyLock::new(|| {
    let content = vec![b'x'; GIB.div_ceil(10_000)];
    tree("one-gib", 10_000, |_| &content)
});

static TINY_FILES: LazyLock<PathBuf> =
    LazyLock::new(|| tree("tiny-files", 100_000, |i| format!("export default {i}")));

fn tree<C: AsRef<[u8]>>(name: &str, files: usize, content: impl Fn(usize) -> C) -> PathBuf {
    let root = FOLDER.path().join(name);
    for i in 0..files {
        let folder = root.join(format!("{}", i % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{i}.js")), content(i)).unwrap();
    }
    root
}

/// Removes [`FOLDER`], because a static is never dropped.
struct RemoveFolder;

impl Drop for RemoveFolder {
    fn drop(&mut self) {
        fs::remove_dir_all(FOLDER.path()).unwrap();
    }
}

fn main() {
    let _remove_folder = RemoveFolder;
    divan::main();
}

/// Returns the files below `root`, relative to it.
fn files(root: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(move |entry| entry.path().strip_prefix(root).unwrap().to_owned())
}

fn scan(root: &Path, threads: usize) -> Manifest {
    Scan::new(root).threads(NonZero::new(threads).unwrap()).run().unwrap()
}

#[divan::bench]
fn a_walk_with_metadata(bencher: Bencher<'_, '_>) {
    let root = &*TREE;
    bencher.bench_local(|| {
        let walk = WalkDir::new(root).into_iter();
        walk.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>()
    });
}

#[divan::bench]
fn b_reload_with_nothing_changed(bencher: Bencher<'_, '_>) {
    let layer = StaticUrlLayer::new("/static", &*TREE).unwrap();
    bencher.bench_local(|| layer.reload().unwrap());
}

#[divan::bench]
fn c_reload_with_one_file_changed(bencher: Bencher<'_, '_>) {
    let layer = StaticUrlLayer::new("/static", &*TREE).unwrap();
    let mut version = 0;
    bencher.bench_local(|| {
        version += 1;
        fs::write(TREE.join("0/0.js"), format!("export default {version}")).unwrap();
        black_box(layer.reload().unwrap())
    });
}

#[divan::bench]
fn d_scan(bencher: Bencher<'_, '_>) {
    let root = &*TREE;
    bencher.bench_local(|| Manifest::scan(root).unwrap());
}

/// Hashes all files in one process, on one thread.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn e_openssl_of_1_gib(bencher: Bencher<'_, '_>) {
    let files = files(&ONE_GIB).collect::<Vec<_>>();
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256"]).args(files).current_dir(&*ONE_GIB).stdout(Stdio::null());
    bencher.bench_local(|| {
        let status = openssl.status().expect("this row needs the program `openssl`");
        assert!(status.success(), "openssl: {status}");
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn f_scan_of_1_gib_on_1_thread(bencher: Bencher<'_, '_>) {
    let root = &*ONE_GIB;
    bencher.bench_local(|| scan(root, 1));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn g_scan_of_1_gib_on_2_threads(bencher: Bencher<'_, '_>) {
    let root = &*ONE_GIB;
    bencher.bench_local(|| scan(root, 2));
}

/// Makes the same system calls as a scan, and nothing of their results.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn h_walk_and_read_of_100_000_files(bencher: Bencher<'_, '_>) {
    let root = &*TINY_FILES;
    let mut buffer = vec![0; 128 * 1024];
    bencher.bench_local(|| {
        for path in files(root) {
            let mut file = File::open(root.join(path)).unwrap();
            black_box(file.metadata().unwrap());
            while file.read(&mut buffer).unwrap() > 0 {}
        }
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn i_scan_of_100_000_files_on_1_thread(bencher: Bencher<'_, '_>) {
    let root = &*TINY_FILES;
    bencher.bench_local(|| scan(root, 1));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn j_scan_of_100_000_files_on_2_threads(bencher: Bencher<'_, '_>) {
    let root = &*TINY_FILES;
    bencher.bench_local(|| scan(root, 2));
}
