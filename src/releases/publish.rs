//! How does a release get into the directory? Complete, or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::SystemTime,
};

use data_encoding::HEXLOWER;

use crate::{
    Error, ErrorKind, Manifest,
    manifest::{FileInfo, listing},
    releases::{
        Known, Releases,
        copy::{Copier, Put, Source},
        folder::{
            self, Folder, below, create_file, delete, is_directory, set_read_only, sync_directory,
            unspellable,
        },
        intact::Intact,
    },
    url::check_segment,
};

/// How many files one thread takes at a time, all of one directory.
const BATCH: usize = 32;

/// More threads than cores, because they wait for the disk.
const THREADS_PER_CORE: usize = 4;

/// What [`Releases::publish`], or that of a bucket, has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub(super) version: Box<str>,
    pub(super) is_new: bool,
    pub(super) copied: usize,
    pub(super) linked: usize,
    pub(super) copied_bytes: u64,
}

impl Published {
    /// Returns the version that is now the current one.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the version was not kept already. If it was, at most its time has changed: it is
    /// the current one again.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns the number of files that were copied, because no kept release had their content,
    /// or none of this week in a bucket.
    pub fn copied(&self) -> usize {
        self.copied
    }

    /// Returns the length of the files that were copied, in bytes.
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// Returns the number of files that a kept release had already.
    pub fn linked(&self) -> usize {
        self.linked
    }
}

/// How far [`Releases::publish_with_progress`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub(super) files: usize,
    pub(super) total: usize,
}

impl Progress {
    /// Returns the number of files that are done, from 1. Threads do not wait for each other, so
    /// a call may tell of fewer files than the one before.
    pub fn files(self) -> usize {
        self.files
    }

    /// Returns the number of all files.
    pub fn total(self) -> usize {
        self.total
    }
}

impl Releases {
    /// Publishes a version: puts its files into the directory, where they are kept until the
    /// release is [pruned](Self::prune) or [withdrawn](Self::withdraw). Blocks: call it before
    /// the server starts, or on a thread for blocking work.
    ///
    /// The files that the manifest lists are looked for in the roots; the first root that has
    /// one wins, as in a [scan](crate::manifest::Scan::fallback). Publish what you have just
    /// scanned.
    ///
    /// To publish a version that is kept already makes it the current one again: so does a
    /// rollback, and so does a second node or a restart. Its files are then only looked at, and
    /// are put there again if one is missing.
    ///
    /// A directory that is filled from a bucket gets the release after the bucket has it.
    ///
    /// # Errors
    ///
    /// After an error the directory has the releases that it had before.
    ///
    /// - [`VersionTaken`](ErrorKind::VersionTaken): a kept release of this version has other
    ///   files. That happens to a literal or a build id that was used twice.
    /// - [`ChangedFile`](ErrorKind::ChangedFile): a file differs from the manifest.
    /// - [`InvalidVersion`](ErrorKind::InvalidVersion): the version does not fit in one URL
    ///   segment.
    /// - [`InvalidPath`](ErrorKind::InvalidPath): a path is listed both as a file and as a
    ///   directory, as two roots can have it, or no file can have its name.
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): the manifest has no file.
    /// - [`InvalidManifest`](ErrorKind::InvalidManifest): its listing is longer than 64 MiB.
    /// - [`InvalidReleases`](ErrorKind::InvalidReleases): somebody has put a link or a file in
    ///   place of a directory.
    /// - [`Io`](ErrorKind::Io): a file cannot be read, or the directory cannot be written.
    pub fn publish<P: AsRef<Path>>(
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
    pub fn publish_with_progress<P: AsRef<Path>>(
        &self,
        version: &str,
        manifest: &Manifest,
        roots: impl IntoIterator<Item = P>,
        progress: impl Fn(Progress) + Sync,
    ) -> Result<Published, Error> {
        let roots = roots.into_iter().map(|root| root.as_ref().to_owned()).collect::<Vec<_>>();
        let folder = &self.0.folder;
        let publication = Publication::new(folder, version, manifest, roots, &progress)?;
        #[cfg(feature = "object-store")]
        self.publish_to_bucket(version, manifest, &publication.roots)?;
        self.sweep_if_alone()?;
        let _no_deletion = folder.lock_shared()?;
        self.refresh()?;
        let published = publication.publish(&self.0.known.load_full())?;
        *self.0.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.into());
        self.refresh()?;
        #[cfg(feature = "object-store")]
        self.keep_own_listing(version, &publication.listing)?;
        Ok(published)
    }
}

/// Where a release lies until it is complete.
struct New {
    directory: PathBuf,
    record: PathBuf,
}

/// What is to be published, if it can be.
pub(super) struct Publishable<'p> {
    pub(super) version: &'p str,
    pub(super) manifest: &'p Manifest,
    pub(super) listing: String,
    directories: BTreeSet<&'p str>,
}

/// A release on its way into a folder.
struct Publication<'p> {
    folder: &'p Folder,
    version: &'p str,
    manifest: &'p Manifest,
    listing: String,
    directories: BTreeSet<&'p str>,
    roots: Vec<PathBuf>,
    progress: &'p (dyn Fn(Progress) + Sync),
}

impl<'p> Publishable<'p> {
    /// Checks what can be checked without a look at any file.
    pub(super) fn new(version: &'p str, manifest: &'p Manifest) -> Result<Self, Error> {
        check_segment(version).map_err(|why| {
            Error::new(ErrorKind::InvalidVersion, format!("version {version:?}: {why}"))
        })?;
        if manifest.is_empty() {
            let message = format!("version {version:?} has no files to publish");
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        let directories = directories(manifest)?;
        if directories.contains(version) {
            let message = format!("version {version:?} is also a directory of the tree");
            return Err(Error::new(ErrorKind::InvalidVersion, message));
        }
        let listing = manifest.to_listing();
        if listing.len() as u64 > listing::LONGEST {
            let message = format!("the listing is longer than {} bytes", listing::LONGEST);
            return Err(Error::new(ErrorKind::InvalidManifest, message));
        }
        Ok(Self { version, manifest, listing, directories })
    }
}

/// Checks that a kept release of the same version has the same files.
pub(super) fn check_digest(
    version: &str,
    manifest: &Manifest,
    kept: &[u8; 32],
) -> Result<(), Error> {
    if kept == manifest.digest() {
        return Ok(());
    }
    let message = format!(
        "version {version:?} is taken: a kept release of this version has the tree digest {}, and \
         these files have {}",
        HEXLOWER.encode(kept),
        manifest.digest_hex()
    );
    Err(Error::new(ErrorKind::VersionTaken, message))
}

impl<'p> Publication<'p> {
    fn new(
        folder: &'p Folder,
        version: &'p str,
        manifest: &'p Manifest,
        roots: Vec<PathBuf>,
        progress: &'p (dyn Fn(Progress) + Sync),
    ) -> Result<Self, Error> {
        let release = Publishable::new(version, manifest)?;
        let Publishable { version, manifest, listing, directories } = release;
        Ok(Self { folder, version, manifest, listing, directories, roots, progress })
    }

    fn publish(&self, known: &Known) -> Result<Published, Error> {
        let records = self.folder.record_directory(self.version);
        if folder::exists(&records) {
            folder::check_directory(&records)?;
        }
        let (recorded, now) = (self.recorded(known)?, SystemTime::now());
        let new = New { directory: self.folder.new_path(), record: self.folder.new_path() };
        let counts = Counts::default();
        let published = if recorded.is_some_and(|recorded| self.is_complete(recorded)) {
            self.publish_again(&new, now)
        } else {
            let built = self.build(&new.directory, known, &counts);
            built.and_then(|complete| self.commit(&new, complete))
        };
        if published.is_err() && !self.folder.has_crashed() {
            // The error before tells more than one of the deletion, and a later sweep deletes.
            let _ = (delete(&new.directory), delete(&new.record));
        }
        published?;
        Ok(self.published(recorded.is_none(), &counts))
    }

    fn published(&self, is_new: bool, counts: &Counts) -> Published {
        Published {
            version: self.version.into(),
            is_new,
            copied: counts.copied.load(Relaxed),
            linked: counts.linked.load(Relaxed),
            copied_bytes: counts.bytes.load(Relaxed),
        }
    }

    /// Returns when this release was recorded. Another one of its version is an error.
    fn recorded(&self, known: &Known) -> Result<Option<SystemTime>, Error> {
        let Some(kept) = known.by_version.get(self.version) else { return Ok(None) };
        self.check_digest(&kept.record.digest)?;
        Ok(kept.is_own().then(|| kept.recorded()))
    }

    fn check_digest(&self, kept: &[u8; 32]) -> Result<(), Error> {
        check_digest(self.version, self.manifest, kept)
    }

    /// Whether every file is in its place and looks as it did when it was put there.
    fn is_complete(&self, recorded: SystemTime) -> bool {
        let mut release = Intact::new(self.folder.files().join(self.version), recorded);
        self.manifest.iter().all(|(path, info)| release.file(path, info).is_some())
    }

    /// Puts all files into a new directory, and returns when they were there.
    fn build(&self, directory: &Path, known: &Known, counts: &Counts) -> Result<SystemTime, Error> {
        self.folder.step()?;
        folder::create_directory(directory)?;
        for path in &self.directories {
            let Some(path) = below(directory, path) else { return Err(unspellable(path)) };
            folder::create_directory(&path)?;
        }
        self.folder.step()?;
        self.put_files(directory, known, counts)?;
        let complete = SystemTime::now();
        self.folder.step()?;
        self.sync_directories(directory)?;
        Ok(complete)
    }

    fn put_files(&self, directory: &Path, known: &Known, counts: &Counts) -> Result<(), Error> {
        let sources = Source::read(known.own());
        let copier = Copier::new(directory, &self.roots, &sources);
        let files = self.manifest.iter().collect::<Vec<_>>();
        let batches = batches(&files);
        let next = AtomicUsize::new(0);
        in_parallel(threads(batches.len()), || {
            let mut worker = copier.worker();
            while let Some(batch) = batches.get(next.fetch_add(1, Relaxed)) {
                for (path, info) in *batch {
                    self.folder.step()?;
                    let files = counts.count(worker.put(path, info)?, info);
                    (self.progress)(Progress { files, total: self.manifest.len() });
                }
            }
            Ok(())
        })
    }

    fn sync_directories(&self, directory: &Path) -> Result<(), Error> {
        let directories = self.directories.iter().collect::<Vec<_>>();
        let next = AtomicUsize::new(0);
        in_parallel(threads(directories.len()), || {
            while let Some(path) = directories.get(next.fetch_add(1, Relaxed)) {
                sync_directory(&directory.join(path))?;
            }
            Ok(())
        })?;
        sync_directory(directory)
    }

    /// Gives the directory its final name, and then records it: with the time when it was
    /// complete, so that whatever is written to it from now on is younger.
    fn commit(&self, new: &New, complete: SystemTime) -> Result<(), Error> {
        let _commit = self.folder.lock_commit()?;
        let committed = self.commit_alone(new, complete);
        if committed.is_err() && !self.folder.has_crashed() {
            // Not if a record is in it.
            let _ = fs::remove_dir(self.folder.record_directory(self.version));
        }
        committed
    }

    fn commit_alone(&self, new: &New, complete: SystemTime) -> Result<(), Error> {
        // Another publisher may have been faster.
        let mut recorded = None;
        for record in self.folder.find_records_of(self.version)?.records {
            if let Ok(Some(_)) = record.read() {
                self.check_digest(&record.digest)?;
                recorded = Some(record.published);
            }
        }
        if recorded.is_some_and(|recorded| self.is_complete(recorded)) {
            delete(&new.directory)?;
            return self.record(self.write_record(&new.record)?, &new.record, complete);
        }
        // First what needs room on the disk.
        let record = self.write_record(&new.record)?;
        self.folder.step()?;
        let name = self.folder.files().join(self.version);
        let trash = self.folder.trash_path(self.version);
        if folder::exists(&name) {
            rename(&name, &trash)?;
        }
        self.folder.step()?;
        rename(&new.directory, &name)?;
        self.folder.step()?;
        sync_directory(&self.folder.files())?;
        self.record(record, &new.record, complete)?;
        self.folder.step()?;
        delete(&trash)
    }

    /// Makes a release the newest, if it is not. At that time it was complete.
    fn publish_again(&self, new: &New, complete: SystemTime) -> Result<(), Error> {
        let _commit = self.folder.lock_commit()?;
        if self.folder.newest()?.is_some_and(|newest| *newest.version == *self.version) {
            // The others were superseded when it was published first, not now.
            return Ok(());
        }
        self.record(self.write_record(&new.record)?, &new.record, complete)
    }

    /// Writes the record under another name, and makes a place for it.
    fn write_record(&self, new: &Path) -> Result<File, Error> {
        let directory = self.folder.record_directory(self.version);
        if !is_directory(&directory) {
            folder::create_directory(&directory)?;
            sync_directory(&self.folder.records())?;
        }
        self.folder.step()?;
        let write_error = |error| Error::io("write", new, error);
        let mut file = create_file(new)?;
        file.write_all(self.listing.as_bytes()).map_err(write_error)?;
        set_read_only(&file).and_then(|()| file.sync_all()).map_err(write_error)?;
        Ok(file)
    }

    /// Gives a written record its time, and its name. Needs the lock for commits.
    fn record(&self, record: File, new: &Path, complete: SystemTime) -> Result<(), Error> {
        let time = self.folder.next_time(complete)?;
        // If that does not survive a power failure, the time of writing does, which is as good.
        record.set_modified(time).map_err(|error| Error::io("write", new, error))?;
        self.folder.step()?;
        let directory = self.folder.record_directory(self.version);
        rename(new, &directory.join(self.manifest.digest_hex()))?;
        self.folder.step()?;
        sync_directory(&directory)
    }
}

/// Returns the directories that the files need, those above first.
fn directories(manifest: &Manifest) -> Result<BTreeSet<&str>, Error> {
    let mut directories = BTreeSet::new();
    for (path, _) in manifest.iter() {
        let ends = path.match_indices('/').map(|(end, _)| end);
        // The longest first: if one is known, those above it are too.
        for end in ends.rev() {
            if !directories.insert(&path[..end]) {
                break;
            }
        }
    }
    match directories.iter().find(|directory| manifest.get(directory).is_some()) {
        None => Ok(directories),
        Some(both) => {
            let message = format!("path {both:?} is listed both as a file and as a directory");
            Err(Error::new(ErrorKind::InvalidPath, message))
        }
    }
}

/// Divides files into batches. Threads that write to one directory wait for each other, so batches
/// that follow each other are of different directories, as far as there are any.
fn batches<'b, 'm>(files: &'b [(&'m str, &'m FileInfo)]) -> Vec<&'b [(&'m str, &'m FileInfo)]> {
    let directory = |path: &'m str| path.rsplit_once('/').map(|(directory, _)| directory);
    let directories = files.chunk_by(|(a, _), (b, _)| directory(a) == directory(b));
    let batches = directories.flat_map(|files| files.chunks(BATCH).enumerate());
    let mut batches = batches.collect::<Vec<_>>();
    batches.sort_by_key(|(position, _)| *position);
    batches.into_iter().map(|(_, batch)| batch).collect()
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|error| Error::io("rename", from, error))
}

/// Returns how many threads are of use.
fn threads(tasks: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (cores * THREADS_PER_CORE).min(tasks)
}

/// Runs the same work on several threads.
pub(super) fn in_parallel(
    threads: usize,
    work: impl Fn() -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    thread::scope(|scope| {
        let workers = (1..threads).map(|_| scope.spawn(&work)).collect::<Vec<_>>();
        let mut done = vec![work()];
        for worker in workers {
            done.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done.into_iter().collect()
    })
}

/// What was done with the files so far.
#[derive(Debug, Default)]
struct Counts {
    copied: AtomicUsize,
    linked: AtomicUsize,
    bytes: AtomicU64,
    files: AtomicUsize,
}

impl Counts {
    /// Counts a file, and returns how many there are.
    fn count(&self, put: Put, info: &FileInfo) -> usize {
        let count = match put {
            Put::Linked => &self.linked,
            Put::Copied => {
                self.bytes.fetch_add(info.length(), Relaxed);
                &self.copied
            }
        };
        count.fetch_add(1, Relaxed);
        self.files.fetch_add(1, Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_follow_each_other_are_of_different_directories() {
        let file = |directory: &str, i: usize| (format!("{directory}{i:03}"), "");
        let files = |directory, count| (0..count).map(move |i| file(directory, i));
        for (name, directories, expected) in [
            ("one directory", &[("", 70)][..], &["000+32", "032+32", "064+6"][..]),
            ("small ones", &[("a/", 1), ("b/", 2), ("c/", 1)], &["a/000+1", "b/000+2", "c/000+1"]),
            (
                "large ones",
                &[("a/", 33), ("b/", 65), ("c/", 1)],
                &["a/000+32", "b/000+32", "c/000+1", "a/032+1", "b/032+32", "b/064+1"],
            ),
            ("a directory in another", &[("a/", 1), ("a/b/", 1)], &["a/000+1", "a/b/000+1"]),
        ] {
            let files = directories.iter().flat_map(|&(directory, count)| files(directory, count));
            let manifest = Manifest::from_files(files).unwrap();
            let files = manifest.iter().collect::<Vec<_>>();
            let batches = batches(&files).into_iter();
            let batches = batches.map(|batch| format!("{}+{}", batch[0].0, batch.len()));
            assert_eq!(batches.collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
