//! What a manifest keeps in memory for every file.

use std::{fs, num::NonZero};

use tower_static_url::{Manifest, manifest::Scan};

/// Of the bytes that a manifest keeps, how many are there for each file, beside those
/// of its path.
fn bytes_per_file(make: impl FnOnce() -> Manifest) -> f64 {
    let mut made = None;
    let kept = allocation_counter::measure(|| made = Some(make()));
    let manifest = made.unwrap();
    let paths = manifest.iter().map(|(path, _)| path.len()).sum::<usize>();
    (kept.bytes_current as f64 - paths as f64) / manifest.len() as f64
}

#[test]
fn a_scan_keeps_a_hundred_bytes_per_file() {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..100 {
        let folder = root.path().join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("{file}.js")), "").unwrap();
        }
    }
    // Counted is what this thread allocates.
    let scan = Scan::new(root.path()).threads(NonZero::<usize>::MIN);
    let bytes = bytes_per_file(|| scan.run().unwrap());
    assert!((80.0..=100.0).contains(&bytes), "{bytes} bytes per file");
}

#[test]
fn a_listing_keeps_less_than_two_hundred_bytes_per_file() {
    let files = || (0..100_000).map(|i| (format!("folder-{}/{i}.js", i % 100), ""));
    let bytes = bytes_per_file(|| Manifest::from_files(files()).unwrap());
    assert!((80.0..=200.0).contains(&bytes), "{bytes} bytes per file");
}
