//! How does a release get into the directory? Complete, or not at all.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use rustc_hash::FxHashMap;

use crate::{
    Error, ErrorKind, Manifest,
    manifest::{FileInfo, listing},
    releases::{
        KeptRelease, Known, Releases,
        folder::{self, Folder, below, delete, is_directory, set_read_only, sync_directory},
        verify::sha256,
    },
    url::check_segment,
};

/// How many bytes one thread reads at a time.
const BUFFER: usize = 128 * 1024;

/// How many files one thread takes at a time. They are neighbours, and threads that write to one
/// directory wait for each other.
const BATCH: usize = 32;

/// More threads than cores, because they wait for the disk.
const THREADS_PER_CORE: usize = 4;

/// What [`Releases::publish`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    version: Box<str>,
    is_new: bool,
    copied: usize,
    linked: usize,
    copied_bytes: u64,
}

impl Published {
    /// Returns the version that is now the current one.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the version was not kept already. If it was, only its time has changed: it is
    /// the current one again.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns the number of files that were copied, because no kept release had their content.
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
    files: usize,
    total: usize,
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
        let roots = roots.into_iter().map(|root| root.as_ref().to_owned()).collect();
        let folder = &self.0.folder;
        let publication = Publication::new(folder, version, manifest, roots, &progress)?;
        self.sweep_if_alone()?;
        let _no_deletion = folder.lock_shared()?;
        self.refresh()?;
        let published = publication.publish(&self.0.known.load_full())?;
        self.refresh()?;
        Ok(published)
    }
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

impl<'p> Publication<'p> {
    /// Checks what can be checked without the disk.
    fn new(
        folder: &'p Folder,
        version: &'p str,
        manifest: &'p Manifest,
        roots: Vec<PathBuf>,
        progress: &'p (dyn Fn(Progress) + Sync),
    ) -> Result<Self, Error> {
        check_segment(version).map_err(|why| {
            Error::new(ErrorKind::InvalidVersion, format!("version {version:?}: {why}"))
        })?;
        if manifest.is_empty() {
            let message = format!("version {version:?} has no files to publish");
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        let directories = directories(manifest)?;
        let listing = manifest.to_listing();
        if listing.len() as u64 > listing::LONGEST {
            let message = format!("the listing is longer than {} bytes", listing::LONGEST);
            return Err(Error::new(ErrorKind::InvalidManifest, message));
        }
        Ok(Self { folder, version, manifest, listing, directories, roots, progress })
    }

    fn publish(&self, known: &Known) -> Result<Published, Error> {
        let is_recorded = self.is_recorded(known)?;
        if is_recorded && self.is_complete() {
            let _commit = self.folder.lock_commit()?;
            self.record()?;
            return Ok(self.published(false, &Counts::default()));
        }
        let directory = self.folder.new_path();
        let counts = Counts::default();
        let built = self.build(&directory, known, &counts);
        let committed = built.and_then(|()| self.commit(&directory));
        if committed.is_err() && !self.folder.has_crashed() {
            // The error before tells more than one of the deletion, and a later sweep deletes.
            let _ = delete(&directory);
        }
        committed?;
        Ok(self.published(!is_recorded, &counts))
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

    /// Whether this release is kept. Another one of its version is an error.
    fn is_recorded(&self, known: &Known) -> Result<bool, Error> {
        let Some(kept) = known.by_version.get(self.version) else { return Ok(false) };
        self.check_digest(&kept.record.digest)?;
        Ok(true)
    }

    fn check_digest(&self, kept: &[u8; 32]) -> Result<(), Error> {
        if kept == self.manifest.digest() {
            return Ok(());
        }
        let message = format!(
            "version {:?} is taken: a kept release of this version has the tree digest {}, and \
             these files have {}",
            self.version,
            HEXLOWER.encode(kept),
            self.manifest.digest_hex()
        );
        Err(Error::new(ErrorKind::VersionTaken, message))
    }

    /// Whether every file is in its place and looks as it did when it was put there.
    fn is_complete(&self) -> bool {
        let release = Intact::new(self.folder.files().join(self.version));
        release.is_some_and(|mut release| {
            self.manifest.iter().all(|(path, info)| release.file(path, info).is_some())
        })
    }

    /// Puts all files into a new directory.
    fn build(&self, directory: &Path, known: &Known, counts: &Counts) -> Result<(), Error> {
        self.folder.step()?;
        folder::create_directory(directory)?;
        for path in &self.directories {
            let Some(path) = below(directory, path) else { return Err(unspellable(path)) };
            folder::create_directory(&path)?;
        }
        self.folder.step()?;
        let files = self.manifest.iter().collect::<Vec<_>>();
        let (next, by_digest) = (AtomicUsize::new(0), OnceLock::new());
        let batches = files.chunks(BATCH).collect::<Vec<_>>();
        in_parallel(batches.len(), || {
            let mut worker = Worker {
                publication: self,
                directory,
                releases: known.newest_first.iter().map(intact).collect(),
                by_digest: &by_digest,
                counts,
                buffer: vec![0; BUFFER],
            };
            while let Some(batch) = batches.get(next.fetch_add(1, Relaxed)) {
                worker.put_all(batch)?;
            }
            Ok(())
        })?;
        self.folder.step()?;
        self.sync_directories(directory)?;
        set_modified(directory, SystemTime::now())
    }

    fn sync_directories(&self, directory: &Path) -> Result<(), Error> {
        let directories = self.directories.iter().collect::<Vec<_>>();
        let next = AtomicUsize::new(0);
        in_parallel(directories.len(), || {
            while let Some(path) = directories.get(next.fetch_add(1, Relaxed)) {
                sync_directory(&directory.join(path))?;
            }
            Ok(())
        })?;
        sync_directory(directory)
    }

    /// Gives the complete directory its final name, and then records it.
    fn commit(&self, directory: &Path) -> Result<(), Error> {
        let _commit = self.folder.lock_commit()?;
        // Another publisher may have been faster.
        let mut is_recorded = false;
        for record in self.folder.find_records_of(self.version)?.records {
            if let Ok(Some(_)) = record.read() {
                self.check_digest(&record.digest)?;
                is_recorded = true;
            }
        }
        if is_recorded && self.is_complete() {
            delete(directory)?;
            return self.record();
        }
        self.folder.step()?;
        let name = self.folder.files().join(self.version);
        let trash = self.folder.trash_path();
        if folder::exists(&name) {
            rename(&name, &trash)?;
        }
        self.folder.step()?;
        rename(directory, &name)?;
        self.folder.step()?;
        sync_directory(&self.folder.files())?;
        self.record()?;
        self.folder.step()?;
        delete(&trash)
    }

    /// Writes the record, or writes it again with the time of now. Needs the lock for commits.
    fn record(&self) -> Result<(), Error> {
        let directory = self.folder.record_directory(self.version);
        let record = directory.join(self.manifest.digest_hex());
        if !is_directory(&directory) {
            folder::create_directory(&directory)?;
            sync_directory(&self.folder.records())?;
        }
        self.folder.step()?;
        let new = self.folder.new_path();
        let write_error = |error| Error::io("write", &new, error);
        let mut file = create(&new)?;
        file.write_all(self.listing.as_bytes()).map_err(write_error)?;
        file.set_modified(self.folder.next_time()?).map_err(write_error)?;
        set_read_only(&file).and_then(|()| file.sync_all()).map_err(write_error)?;
        self.folder.step()?;
        rename(&new, &record)?;
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

fn unspellable(path: &str) -> Error {
    let message = format!("path {path:?} is no name of a file on this system");
    Error::new(ErrorKind::InvalidPath, message)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|error| Error::io("rename", from, error))
}

fn create(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    file.map_err(|error| Error::io("create", path, error))
}

/// Sets the modification time of a directory.
fn set_modified(path: &Path, time: SystemTime) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(windows)]
    {
        /// Without it Windows opens no directory.
        const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
        use std::os::windows::fs::OpenOptionsExt as _;
        options.write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    }
    let set = options.open(path).and_then(|directory| directory.set_modified(time));
    set.map_err(|error| Error::io("set the time of", path, error))
}

/// Runs the same work on several threads.
fn in_parallel(tasks: usize, work: impl Fn() -> Result<(), Error> + Sync) -> Result<(), Error> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (cores * THREADS_PER_CORE).min(tasks);
    thread::scope(|scope| {
        let workers = (1..threads).map(|_| scope.spawn(&work)).collect::<Vec<_>>();
        let mut done = vec![work()];
        for worker in workers {
            done.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done.into_iter().collect()
    })
}

#[derive(Debug, Default)]
struct Counts {
    files: AtomicUsize,
    copied: AtomicUsize,
    linked: AtomicUsize,
    bytes: AtomicU64,
}

/// The files of a kept release that look as they did when they were put there: nobody has
/// written to them since.
struct Intact {
    directory: PathBuf,
    /// When the directory was complete. No file is younger.
    completed: SystemTime,
    /// The directories below it that are no links.
    directories: HashSet<PathBuf>,
}

fn intact(release: &Arc<KeptRelease>) -> (&Arc<KeptRelease>, Option<Intact>) {
    (release, Intact::new(release.directory.clone()))
}

impl Intact {
    fn new(directory: PathBuf) -> Option<Self> {
        let metadata = fs::symlink_metadata(&directory).ok().filter(fs::Metadata::is_dir)?;
        let completed = metadata.modified().ok()?;
        Some(Self { directory, completed, directories: HashSet::new() })
    }

    /// Returns where a file lies, if it is regular, read-only, as long as it should be, not
    /// younger than the release, and not behind a link.
    fn file(&mut self, path: &str, info: &FileInfo) -> Option<PathBuf> {
        let path = below(&self.directory, path)?;
        if !self.has_directory(path.parent()?) {
            return None;
        }
        let metadata = fs::symlink_metadata(&path).ok()?;
        let is_intact = metadata.is_file()
            && metadata.len() == info.length()
            && metadata.permissions().readonly()
            && metadata.modified().is_ok_and(|modified| modified <= self.completed);
        is_intact.then_some(path)
    }

    fn has_directory(&mut self, path: &Path) -> bool {
        if path == self.directory || self.directories.contains(path) {
            return true;
        }
        let is_there =
            path.parent().is_some_and(|parent| self.has_directory(parent)) && is_directory(path);
        if is_there {
            self.directories.insert(path.into());
        }
        is_there
    }
}

/// Where each content is: the index of a release, and the path there.
type ByDigest<'k> = FxHashMap<&'k [u8; 32], (usize, &'k str)>;

/// One of the threads that put files into a new directory.
struct Worker<'w, 'k> {
    publication: &'w Publication<'w>,
    directory: &'w Path,
    /// The newest first.
    releases: Vec<(&'k Arc<KeptRelease>, Option<Intact>)>,
    /// Made when the first file is not where it was.
    by_digest: &'w OnceLock<ByDigest<'k>>,
    counts: &'w Counts,
    buffer: Vec<u8>,
}

impl<'k> Worker<'_, 'k> {
    fn put_all(&mut self, files: &[(&str, &FileInfo)]) -> Result<(), Error> {
        let Publication { folder, progress, manifest, .. } = self.publication;
        for (path, info) in files {
            folder.step()?;
            self.put(path, info)?;
            let files = self.counts.files.fetch_add(1, Relaxed) + 1;
            progress(Progress { files, total: manifest.len() });
        }
        Ok(())
    }

    fn put(&mut self, path: &str, info: &FileInfo) -> Result<(), Error> {
        let to = below(self.directory, path).ok_or_else(|| unspellable(path))?;
        // A link can fail for many reasons: too many of them, a file system that has none. A
        // copy is as good, and tells what is wrong if it fails too.
        if self.kept(path, info).is_some_and(|kept| fs::hard_link(kept, &to).is_ok()) {
            self.counts.linked.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.copy(path, info, &to)?;
        self.counts.copied.fetch_add(1, Relaxed);
        self.counts.bytes.fetch_add(info.length(), Relaxed);
        Ok(())
    }

    /// Returns where a kept release has the content, usually at the same path.
    fn kept(&mut self, path: &str, info: &FileInfo) -> Option<PathBuf> {
        if let Some((newest, intact)) = self.releases.first_mut()
            && newest.manifest.get(path) == Some(info)
            && let Some(path) = intact.as_mut().and_then(|intact| intact.file(path, info))
        {
            return Some(path);
        }
        let releases = || self.releases.iter().map(|(release, _)| *release);
        let by_digest = self.by_digest.get_or_init(|| by_digest(releases()));
        let &(release, path) = by_digest.get(info.sha256())?;
        self.releases[release].1.as_mut()?.file(path, info)
    }

    /// Copies a file, and hashes what has arrived.
    fn copy(&mut self, path: &str, info: &FileInfo, to: &Path) -> Result<(), Error> {
        let from = self.publication.source(path)?;
        let read_error = |error| Error::io("read", &from, error);
        let source = File::open(&from).map_err(read_error)?;
        let modified = source.metadata().and_then(|metadata| metadata.modified());
        let mut target = create(to)?;
        // A byte more than it should have is enough to see that it has changed. The system
        // copies within the kernel, and shares the blocks where the file system can.
        let mut limited = source.take(info.length().saturating_add(1));
        let copied = io::copy(&mut limited, &mut target);
        let length = copied.map_err(|error| copy_error(&from, error))?;
        let write_error = |error| Error::io("write", to, error);
        let digest = target.rewind().and_then(|()| sha256(&mut target, &mut self.buffer));
        let digest = digest.map_err(write_error)?;
        if length != info.length() || digest != *info.sha256() {
            return Err(changed(&from, path));
        }
        if let Ok(modified) = modified {
            // A time in the future would look like a later change.
            let modified = modified.min(SystemTime::now());
            target.set_modified(modified).map_err(write_error)?;
        }
        set_read_only(&target).and_then(|()| target.sync_all()).map_err(write_error)
    }
}

impl Publication<'_> {
    /// Returns the file of the first root that has one.
    fn source(&self, path: &str) -> Result<PathBuf, Error> {
        let mut files = self.roots.iter().filter_map(|root| below(root, path));
        let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        files.find(is_file).ok_or_else(|| {
            let roots = self.roots.iter().map(|root| format!("{root:?}")).collect::<Vec<_>>();
            let message = match &*roots {
                [] => format!("no kept release has the content of {path:?}, and no root is given"),
                roots => format!("the file {path:?} is not in {} any more", roots.join(" or ")),
            };
            Error::new(ErrorKind::ChangedFile, message)
        })
    }
}

fn by_digest<'k>(releases: impl Iterator<Item = &'k Arc<KeptRelease>>) -> ByDigest<'k> {
    let mut by_digest = ByDigest::default();
    for (index, release) in releases.enumerate() {
        for (path, info) in release.manifest.iter() {
            by_digest.entry(info.sha256()).or_insert((index, path));
        }
    }
    by_digest
}

fn copy_error(from: &Path, error: io::Error) -> Error {
    Error::io("copy", from, error)
}

fn changed(from: &Path, path: &str) -> Error {
    let message = format!(
        "{from:?} is not the file that the manifest lists as {path:?}: it has changed since the scan"
    );
    Error::new(ErrorKind::ChangedFile, message)
}
