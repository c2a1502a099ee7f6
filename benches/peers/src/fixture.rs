//! The tree of files that every server serves; the same bytes each time.

use std::{fs, io, path::Path};

/// The URL path, and the folder, below which the files are.
pub(crate) const MOUNT: &str = "static";

/// How many files the tree has, so that it looks like that of a real site.
pub(crate) const FILES: usize = 300;

pub(crate) const HELLO: &str = "hello.txt";
pub(crate) const SMALL: &str = "1k.txt";
pub(crate) const LARGE: &str = "100k.bin";
pub(crate) const MEBIBYTE: &str = "1m.bin";
pub(crate) const TWENTY: &str = "20m.bin";

pub(crate) const MEASURED: [&str; 5] = [HELLO, SMALL, LARGE, MEBIBYTE, TWENTY];
const FILES_PER_FOLDER: usize = 100;

/// Writes `count` files into the folder [`MOUNT`] of `root`, the measured ones among them.
pub(crate) fn write(root: &Path, count: usize) -> io::Result<()> {
    let folder = root.join(MOUNT);
    fs::create_dir_all(&folder)?;
    for name in MEASURED {
        fs::write(folder.join(name), content(name))?;
    }
    (0..count.saturating_sub(MEASURED.len())).try_for_each(|index| write_other(&folder, index))
}

fn write_other(folder: &Path, index: usize) -> io::Result<()> {
    let folder = folder.join(format!("part{}", index / FILES_PER_FOLDER));
    if index.is_multiple_of(FILES_PER_FOLDER) {
        fs::create_dir_all(&folder)?;
    }
    fs::write(
        folder.join(format!("style{index}.css")),
        format!(".style{index} {{ color: teal }}\n"),
    )
}

/// What the measured file of this name has in it.
pub(crate) fn content(name: &str) -> Vec<u8> {
    match name {
        SMALL => b"Sixteen letters\n".repeat(1024 / 16),
        LARGE => noise(100 * 1024),
        MEBIBYTE => noise(1024 * 1024),
        TWENTY => noise(20 * 1024 * 1024),
        _ => b"hello".to_vec(),
    }
}

/// Bytes that no server could shorten (xorshift32).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
