//! A scan streams: a large file does not raise memory. Alone in its process, because
//! the peak is the process's.
#![cfg(target_os = "linux")]

use std::fs::{self, File};

use tower_static_url::Manifest;

const MIB: u64 = 1024 * 1024;

/// The peak of resident memory, in KiB (proc(5), `VmHWM`).
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Scans a file of `length` zeros, and returns by how many KiB the peak rose.
fn scan_zeros(length: u64, sha256_starts_with: [u8; 4]) -> u64 {
    let root = tempfile::tempdir().unwrap();
    // A hole: that much to read, and nothing on the disk.
    File::create(root.path().join("large")).unwrap().set_len(length).unwrap();
    fs::write(root.path().join("small"), "x").unwrap();
    Manifest::from_files([("warm", "up")]).unwrap();
    let before = peak_kib();
    let manifest = Manifest::scan(root.path()).unwrap();
    let raised = peak_kib() - before;
    let large = manifest.get("large").unwrap();
    assert_eq!((large.length(), &large.sha256()[..4]), (length, &sha256_starts_with[..]));
    raised
}

// The digests are those of `head -c <length> /dev/zero | sha256sum`.

#[test]
fn a_file_of_256_mib_does_not_raise_memory() {
    let raised = scan_zeros(256 * MIB, [0xa6, 0xd7, 0x2a, 0xc7]);
    assert!(raised < 4 * 1024, "the peak rose by {raised} KiB");
}

#[test]
#[ignore = "reads 4 GiB, which takes a while"]
fn a_file_of_4_gib_does_not_raise_memory() {
    let raised = scan_zeros(4096 * MIB, [0x84, 0x79, 0xe4, 0x39]);
    assert!(raised < 4 * 1024, "the peak rose by {raised} KiB");
}
