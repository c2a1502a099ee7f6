//! How does a release get into a bucket? Its blobs first and its record last, so that a crash
//! leaves only blobs.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

use super::{Bucket, StoreError, client::Client, records::Found};
use crate::{
    Error, Manifest,
    manifest::FileInfo,
    releases::{
        Progress, Published,
        copy::{changed, source},
        publish::{Publishable, check_digest, in_parallel},
    },
};

/// So many blobs are on their way at once.
const PUTS: usize = 32;

/// The longest blob that is put in one piece. Longer ones are put in parts of this length.
const PART: u64 = 8 << 20;

/// No store takes more parts than 10,000.
const MOST_PARTS: u64 = 9_000;

/// So many bytes of files are in memory at once.
const MEMORY: u64 = 64 << 20;

/// How often a blob of many parts is put.
const ATTEMPTS: usize = 3;

/// How often the record is put until the store lists it as the newest one.
const RECORDS: usize = 3;

impl Bucket {
    /// Publishes a version: puts its files into the bucket, where they are kept until the
    /// release is [pruned](Self::prune). Blocks: call it before the server starts, on a thread
    /// for blocking work, or let the command `static-url publish` do it before a rollout.
    ///
    /// The files that the manifest lists are looked for in the roots; the first root that has
    /// one wins, as in a [scan](crate::manifest::Scan::fallback). Publish what you have just
    /// scanned.
    ///
    /// Only what the bucket does not have is put there; but what was put in another week counts
    /// for nothing, so the first deploy of a week puts the whole tree. To publish a version that
    /// is kept already makes it the current one again: so does a rollback. Any number of nodes
    /// may publish at the same time, the same version or different ones.
    ///
    /// A file of more than 8 MiB is put in parts. What an interrupted publisher leaves of it is
    /// deleted by a lifecycle rule for incomplete uploads, if your bucket has one.
    ///
    /// # Errors
    ///
    /// After an error the bucket has the releases that it had before, and perhaps some blobs
    /// more, which the next call makes use of. But see `VersionTaken`.
    ///
    /// - [`VersionTaken`](crate::ErrorKind::VersionTaken): a kept release of this version has other
    ///   files. That happens to a literal or a build id that was used twice. If both are
    ///   published at the very same time, neither may succeed until the version is
    ///   [withdrawn](Self::withdraw).
    /// - [`ChangedFile`](crate::ErrorKind::ChangedFile): a file differs from the manifest.
    /// - [`InvalidVersion`](crate::ErrorKind::InvalidVersion),
    ///   [`InvalidPath`](crate::ErrorKind::InvalidPath),
    ///   [`EmptyManifest`](crate::ErrorKind::EmptyManifest) and
    ///   [`InvalidManifest`](crate::ErrorKind::InvalidManifest): as
    ///   [`Releases::publish`](crate::releases::Releases::publish).
    /// - [`ClockSkew`](crate::ErrorKind::ClockSkew): this machine and the store disagree by more
    ///   than a day about what time it is.
    /// - [`Store`](crate::ErrorKind::Store): the store does not answer, denies, or is no store.
    /// - [`Io`](crate::ErrorKind::Io): a file cannot be read.
    pub fn publish<P: AsRef<FilePath>>(
        &self,
        version: &str,
        manifest: &Manifest,
        roots: impl IntoIterator<Item = P>,
    ) -> Result<Published, Error> {
        self.publish_with_progress(version, manifest, roots, |_| {})
    }

    /// Publishes as [`publish`](Self::publish) does, and calls `progress` after each file, on
    /// several threads.
    ///
    /// # Errors
    ///
    /// The same as [`publish`](Self::publish).
    pub fn publish_with_progress<P: AsRef<FilePath>>(
        &self,
        version: &str,
        manifest: &Manifest,
        roots: impl IntoIterator<Item = P>,
        progress: impl Fn(Progress) + Sync,
    ) -> Result<Published, Error> {
        let release = Publishable::new(version, manifest)?;
        let roots = roots.into_iter().map(|root| root.as_ref().to_owned()).collect();
        let shelf = self.0.client.calendar.shelf((self.0.client.calendar.now)());
        let counts = Counts::default();
        Publication { bucket: self, release, roots, shelf, progress: &progress, counts }.publish()
    }
}

/// A release on its way into a bucket.
struct Publication<'p> {
    bucket: &'p Bucket,
    release: Publishable<'p>,
    roots: Vec<PathBuf>,
    shelf: u64,
    progress: &'p (dyn Fn(Progress) + Sync),
    counts: Counts,
}

/// What was done with the files so far.
#[derive(Default)]
struct Counts {
    files: AtomicUsize,
    put: AtomicUsize,
    bytes: AtomicU64,
}

/// A blob that the shelf does not have.
struct Blob<'p> {
    /// One of the files with these bytes.
    path: &'p str,
    info: &'p FileInfo,
    /// How many files have them.
    files: usize,
}

impl Publication<'_> {
    fn publish(&self) -> Result<Published, Error> {
        let found = self.bucket.ask(|client| async move { client.found().await })?;
        self.check_digests(&found)?;
        let is_new = found.iter().all(|found| *found.key.version != *self.release.version);
        let is_there = self.is_there(&found);
        if is_there && self.is_newest(&found) {
            self.count(self.release.manifest.len());
            return Ok(self.published(is_new));
        }
        self.bucket.check_clock()?;
        if is_there {
            self.count(self.release.manifest.len());
            self.put_record()?;
            return Ok(self.published(is_new));
        }
        self.put_blobs()?;
        // That may have taken hours, and another node may have put the same record. To put it
        // again would make it younger than one of another digest, of which the older counts.
        let found = self.found_nearby()?;
        self.check_digests(&found)?;
        if !(self.is_there(&found) && self.is_newest(&found)) {
            self.put_record()?;
        }
        Ok(self.published(is_new))
    }

    fn published(&self, is_new: bool) -> Published {
        let Counts { put, bytes, files } = &self.counts;
        let copied = put.load(Relaxed);
        let is_put = copied > 0 || is_new;
        Published {
            version: self.release.version.into(),
            is_new,
            copied,
            linked: if is_put { files.load(Relaxed) - copied } else { 0 },
            copied_bytes: bytes.load(Relaxed),
        }
    }

    /// Counts files that are done.
    fn count(&self, files: usize) {
        if files == 0 {
            return;
        }
        let files = self.counts.files.fetch_add(files, Relaxed) + files;
        (self.progress)(Progress { files, total: self.release.manifest.len() });
    }

    /// Checks that the bucket has no other files under this version.
    fn check_digests(&self, found: &[Found]) -> Result<(), Error> {
        let mut mine = found.iter().filter(|found| *found.key.version == *self.release.version);
        let check = |found: &Found| {
            check_digest(self.release.version, self.release.manifest, &found.key.digest)
        };
        mine.try_for_each(check)
    }

    /// Whether the shelf has the record.
    fn is_there(&self, found: &[Found]) -> bool {
        found.iter().any(|found| {
            found.key.shelf == self.shelf && *found.key.version == *self.release.version
        })
    }

    /// Whether no other release was published after this one.
    fn is_newest(&self, found: &[Found]) -> bool {
        let newest = found.iter().max_by_key(|found| (found.written, &found.key.version));
        newest.is_some_and(|newest| *newest.key.version == *self.release.version)
    }

    /// Returns the records on all shelves that a publisher may use just now.
    fn found_nearby(&self) -> Result<Vec<Found>, Error> {
        let shelf = self.shelf;
        let shelves = [shelf.checked_sub(1), Some(shelf), shelf.checked_add(1)];
        self.bucket.ask(move |client| async move {
            let mut found = Vec::new();
            for shelf in shelves.into_iter().flatten() {
                found.extend(client.records_on(shelf).await?);
            }
            Ok(found)
        })
    }

    /// Puts all blobs that the shelf does not have.
    fn put_blobs(&self) -> Result<(), Error> {
        let shelf = self.shelf;
        let there = self.bucket.ask(move |client| async move { client.blobs_on(shelf).await })?;
        let missing = self.missing(&there);
        self.count(
            self.release.manifest.len() - missing.iter().map(|blob| blob.files).sum::<usize>(),
        );
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let memory = Memory::new(MEMORY);
        in_parallel(PUTS.min(missing.len()), || {
            while let Some(blob) = missing.get(next.fetch_add(1, Relaxed)) {
                // Of several errors one is enough, and the sooner the better.
                if has_failed.load(Relaxed) {
                    break;
                }
                self.put_blob(blob, &memory).inspect_err(|_| has_failed.store(true, Relaxed))?;
                self.counts.put.fetch_add(1, Relaxed);
                self.counts.bytes.fetch_add(blob.info.length(), Relaxed);
                self.count(blob.files);
            }
            Ok(())
        })
    }

    /// Returns what the shelf does not have, or not in its full length.
    fn missing(&self, there: &HashMap<[u8; 32], u64>) -> Vec<Blob<'_>> {
        let mut missing = HashMap::<&[u8; 32], Blob<'_>>::new();
        for (path, info) in self.release.manifest.iter() {
            if there.get(info.sha256()) != Some(&info.length()) {
                let new = || Blob { path, info, files: 0 };
                missing.entry(info.sha256()).or_insert_with(new).files += 1;
            }
        }
        let mut missing = missing.into_values().collect::<Vec<_>>();
        missing.sort_unstable_by_key(|blob| blob.path);
        missing
    }

    fn put_blob(&self, blob: &Blob<'_>, memory: &Memory) -> Result<(), Error> {
        let Blob { path, info, .. } = *blob;
        let from = source(&self.roots, path)?;
        let key = self.bucket.0.client.keys.blob(self.shelf, info.sha256());
        if info.length() > PART {
            return self.put_large(&from, blob, &key, memory);
        }
        let _memory = memory.take(info.length());
        let mut reader = Reader::open(&from, info)?;
        let bytes = reader.read(info.length())?;
        if !reader.is_as_listed(info)? {
            return Err(changed(&from, path));
        }
        self.bucket.ask(move |client| async move { client.put_blob(&key, bytes).await })
    }

    /// Puts a blob in parts, the whole of it again if something goes wrong.
    fn put_large(
        &self,
        from: &FilePath,
        blob: &Blob<'_>,
        key: &Path,
        memory: &Memory,
    ) -> Result<(), Error> {
        let length = blob.info.length();
        let mut failed = StoreError::Missing;
        for _ in 0..ATTEMPTS {
            match self.put_parts(from, blob, key, memory)? {
                Ok(()) => return Ok(()),
                // Missing is what the store has forgotten of the parts.
                Err(error @ (StoreError::Unavailable(_) | StoreError::Missing)) => failed = error,
                Err(error) => return Err(self.bucket.error(error)),
            }
            // It may be there, and only the answer was lost.
            let key = key.clone();
            let look = |client: Arc<Client>| async move { client.has(&key, length).await };
            if self.bucket.wait(look).is_ok_and(|is_there| is_there) {
                return Ok(());
            }
        }
        Err(self.bucket.error(failed))
    }

    fn put_parts(
        &self,
        from: &FilePath,
        blob: &Blob<'_>,
        key: &Path,
        memory: &Memory,
    ) -> Result<Result<(), StoreError>, Error> {
        let length = blob.info.length();
        let part = part_length(length);
        let _memory = memory.take(part);
        let mut reader = Reader::open(from, blob.info)?;
        let (key, to) = (key.clone(), key.clone());
        let mut upload = match self.bucket.wait(|c| async move { c.begin(&to).await }) {
            Ok(upload) => upload,
            Err(error) => return Ok(Err(error)),
        };
        let mut put = Ok(());
        let mut left = length;
        while left > 0 && put.is_ok() {
            let bytes = reader.read(part.min(left))?;
            left -= part.min(left);
            let (sent, key) = (upload.put_part(bytes.into()), key.clone());
            put = self.bucket.wait(|client| async move { client.send(&key, part, sent).await });
        }
        let is_as_listed = reader.is_as_listed(blob.info)?;
        let is_good = put.is_ok() && is_as_listed;
        let end = |client: Arc<Client>| async move { client.end(&key, upload, is_good).await };
        let ended = self.bucket.wait(end);
        match (put, is_as_listed) {
            (Ok(()), false) => Err(changed(from, blob.path)),
            (put, _) => Ok(put.and(ended)),
        }
    }

    /// Puts the record, until the store lists this release as the current one.
    fn put_record(&self) -> Result<(), Error> {
        let Publishable { version, manifest, listing, .. } = &self.release;
        let key = self.bucket.0.client.keys.record(self.shelf, version, manifest.digest());
        let listing = Bytes::from(listing.clone());
        for is_again in (0..RECORDS).map(|count| count > 0) {
            let (key, listing) = (key.clone(), listing.clone());
            self.bucket.ask(move |client| async move {
                client.put_record(&key, listing, is_again).await
            })?;
            let found = self.found_nearby()?;
            self.check_digests(&found)?;
            if !self.must_be_put_again(&found) {
                return Ok(());
            }
        }
        let is_listed = |found: &Found| *found.key.version == **version;
        if self.found_nearby()?.iter().any(is_listed) {
            return Ok(());
        }
        let why = format!("it does not list {key}, which it has taken");
        Err(self.bucket.error(StoreError::Wrong(why)))
    }

    /// Whether the record is not listed, or another one was put within the same second: many
    /// stores tell no shorter times apart.
    fn must_be_put_again(&self, found: &[Found]) -> bool {
        let is_mine = |found: &&Found| *found.key.version == *self.release.version;
        let mine = found.iter().filter(is_mine).map(|found| found.written).max();
        let newest = found.iter().map(|found| found.written).max();
        mine.is_none() || mine == newest && !self.is_newest(found)
    }
}

/// Returns the length of the parts of a blob. It does not grow with blobs of up to 70 GiB.
fn part_length(length: u64) -> u64 {
    PART.max((length / MOST_PARTS).next_multiple_of(1 << 20))
}

/// A file that is read and hashed.
struct Reader<'r> {
    path: &'r FilePath,
    file: io::Take<File>,
    sha256: Sha256,
    length: u64,
}

impl<'r> Reader<'r> {
    fn open(path: &'r FilePath, info: &FileInfo) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
        // A byte more than it should have is enough to see that it has changed.
        let file = file.take(info.length().saturating_add(1));
        Ok(Self { path, file, sha256: Sha256::new(), length: 0 })
    }

    /// Reads so many bytes, or fewer if there are no more.
    fn read(&mut self, length: u64) -> Result<Bytes, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let read = self.file.by_ref().take(length).read_to_end(&mut bytes);
        read.map_err(|error| Error::io("read", self.path, error))?;
        self.sha256.update(&bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.into())
    }

    /// Whether what was read is what the manifest lists, and all of the file.
    fn is_as_listed(&mut self, info: &FileInfo) -> Result<bool, Error> {
        let has_ended = self.read(1)?.is_empty();
        let sha256 = <[u8; 32]>::from(self.sha256.clone().finalize());
        Ok(has_ended && self.length == info.length() && sha256 == *info.sha256())
    }
}

/// A bound on the bytes in memory.
struct Memory {
    free: Mutex<u64>,
    freed: Condvar,
    total: u64,
}

/// Some bytes, until they are free again.
struct Taken<'m> {
    memory: &'m Memory,
    bytes: u64,
}

impl Memory {
    fn new(total: u64) -> Self {
        Self { free: Mutex::new(total), freed: Condvar::new(), total }
    }

    /// Waits until so many bytes are free, or all.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let bytes = bytes.min(self.total);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free < bytes);
        *free.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Taken { memory: self, bytes }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.memory.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_fit() {
        for (length, expected) in
            [(PART + 1, PART), (1 << 30, PART), (70 << 30, PART), (1 << 40, 117 << 20)]
        {
            assert_eq!(part_length(length), expected, "{length}");
            assert!(length.div_ceil(part_length(length)) <= 10_000, "{length}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let memory = Memory::new(10);
        let (in_use, most) = (AtomicU64::new(0), AtomicU64::new(0));
        in_parallel(8, || {
            for bytes in 1..=100 {
                let taken = memory.take(bytes);
                let now = in_use.fetch_add(taken.bytes, Relaxed) + taken.bytes;
                most.fetch_max(now, Relaxed);
                in_use.fetch_sub(taken.bytes, Relaxed);
            }
            Ok(())
        })
        .unwrap();
        assert!(most.into_inner() <= 10);
        assert_eq!(*memory.free.lock().unwrap(), 10);
    }
}
