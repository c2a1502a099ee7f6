//! What is in the files? Hashes them on all cores.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use crate::{
    Error,
    manifest::{
        FileInfo, Scan,
        fingerprint::{Fingerprint, Stamp},
    },
};

/// How many bytes one thread reads at a time. Larger buffers are not faster, and memory must
/// not grow with the files.
const BUFFER: usize = 128 * 1024;

impl Scan {
    pub(super) fn hash_all<'k>(
        &self,
        paths: Vec<Box<str>>,
        known: impl Fn(&str) -> Option<&'k FileInfo> + Sync,
    ) -> Result<BTreeMap<Box<str>, FileInfo>, Error> {
        let next = AtomicUsize::new(0);
        let files = paths.into_iter().map(|path| (path, OnceLock::new())).collect::<Vec<_>>();
        let worker = || self.hash_some(&files, &next, &known);
        thread::scope(|scope| {
            let workers = (1..self.threads.min(files.len())).map(|_| scope.spawn(worker));
            let workers = workers.collect::<Vec<_>>();
            let mut done = vec![worker()];
            for worker in workers {
                done.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done.into_iter().collect::<Result<(), Error>>()
        })?;
        let hashed = files.into_iter().filter_map(|(path, info)| Some((path, info.into_inner()?)));
        Ok(hashed.collect())
    }

    /// Hashes files on one thread, always the `next` one that no other thread has begun.
    fn hash_some<'k>(
        &self,
        files: &[(Box<str>, OnceLock<FileInfo>)],
        next: &AtomicUsize,
        known: impl Fn(&str) -> Option<&'k FileInfo>,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        while let Some((logical, hashed)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = self.root.join(&**logical);
            let known = known(logical);
            let info = match known {
                _ if self.is_to_be_read(logical, &path, known) => self
                    .hash_file(&path, known, &mut buffer)
                    .map_err(|error| Error::io("read", &path, error))?,
                Some(info) => info.clone(),
                None => continue,
            };
            hashed.get_or_init(|| info);
        }
        Ok(())
    }

    /// Whether a file may have changed since it was known, and is at rest. A file without
    /// metadata is to be read too: that gives the error.
    fn is_to_be_read(&self, logical: &str, path: &Path, known: Option<&FileInfo>) -> bool {
        let Ok(metadata) = fs::metadata(path) else { return true };
        let now = Stamp::of(&metadata, SystemTime::now());
        match known.and_then(|info| info.fingerprint).zip(now) {
            Some((before, now)) if before.proves(now) => false,
            // It was read too soon after a write.
            Some((before, now)) if before.stamp() == now => true,
            _ => (self.is_at_rest)(logical, &metadata),
        }
    }

    fn hash_file(
        &self,
        path: &Path,
        known: Option<&FileInfo>,
        buffer: &mut [u8],
    ) -> io::Result<FileInfo> {
        let read_at = SystemTime::now();
        let mut file = File::open(path)?;
        // Read before the content, so that a write meanwhile shows as another time.
        let metadata = file.metadata()?;
        let mut sha256 = Sha256::new();
        let mut length = 0;
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(read) => {
                    sha256.update(&buffer[..read]);
                    length += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FileInfo {
            sha256: sha256.finalize().into(),
            length,
            modified: metadata.modified().ok(),
            fingerprint: Fingerprint::of(
                &metadata,
                read_at,
                self.coarsest,
                known.and_then(|info| info.fingerprint),
            ),
        })
    }
}
