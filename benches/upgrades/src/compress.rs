//! How does a build step prepare files? It compresses them once, as well as it can.

use std::{
    collections::HashMap,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use data_encoding::HEXLOWER;
use tower_static_url::Manifest;

use crate::Result;

const LEVEL: i32 = 19;

/// Puts a compressed form beside each file of a tree, if it is smaller. What was compressed is
/// kept in `work`.
pub(crate) fn compress(tree: &Path, work: &Path) -> Result<()> {
    let kept = work.join("zstd-19");
    fs::create_dir_all(&kept)?;
    let manifest = Manifest::scan(tree)?;
    let paths = files(&manifest);
    let contents = paths.iter().filter_map(|path| {
        let file = manifest.get(path)?;
        Some((kept.join(HEXLOWER.encode(file.sha256())), tree.join(path)))
    });
    let missing = contents.filter(|(kept, _)| !kept.exists()).collect::<HashMap<_, _>>();
    compress_all(&missing.into_iter().collect::<Vec<_>>())?;
    for path in paths {
        let Some(file) = manifest.get(path) else { continue };
        let compressed = kept.join(HEXLOWER.encode(file.sha256()));
        let sibling = tree.join(format!("{path}.zst"));
        if fs::metadata(&compressed)?.len() < file.length() && !sibling.exists() {
            fs::copy(compressed, sibling)?;
        }
    }
    Ok(())
}

/// Returns the paths of a tree, but not those that are compressed forms of others.
pub(crate) fn files(manifest: &Manifest) -> Vec<&str> {
    let is_form = |path: &str| {
        let file = [".gz", ".br", ".zst", ".zz"].iter().find_map(|form| path.strip_suffix(form));
        file.is_some_and(|file| manifest.get(file).is_some())
    };
    manifest.iter().map(|(path, _)| path).filter(|path| !is_form(path)).collect()
}

/// Compresses files on all cores.
fn compress_all(files: &[(PathBuf, PathBuf)]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || -> std::io::Result<()> {
        while let Some((kept, file)) = files.get(next.fetch_add(1, Relaxed)) {
            let partial = kept.with_extension("partial");
            fs::write(&partial, zstd::bulk::compress(&fs::read(file)?, LEVEL)?)?;
            fs::rename(partial, kept)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let workers = (0..count).map(|_| scope.spawn(worker)).collect::<Vec<_>>();
        let results = workers.into_iter().map(|worker| worker.join().expect("no thread panics"));
        Ok(results.collect::<std::io::Result<()>>()?)
    })
}
