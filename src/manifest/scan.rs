//! How is a manifest made of a directory? Walk it, then hash the files on all cores.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    num::NonZero,
    path::{MAIN_SEPARATOR_STR, Path, PathBuf, is_separator},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::{
    Error, ErrorKind, Manifest,
    manifest::{
        FileInfo,
        fingerprint::{COARSEST, Fingerprint},
        tree::is_spellable,
    },
    observe::log,
};

/// How many bytes one thread reads at a time. Larger buffers are not faster, and memory must
/// not grow with the files.
const BUFFER: usize = 128 * 1024;

/// A scan of a directory, with its settings.
///
/// It lists every regular file below the root, except for those that match the
/// [ignore rule](Self::ignore). It follows symbolic links, as tower-http's `ServeDir` does.
///
/// It leaves out, with a WARN (`tracing` feature):
///
/// - links to nowhere, and links to a directory that they are in
/// - pipes, sockets and devices
/// - names with a backslash, which no URL spells safely
///
/// The digest of the result depends only on names and bytes: not on times, permissions, the
/// location of the root, or the order in which the system lists a directory.
///
/// ```no_run
/// use tower_static_url::manifest::{Scan, is_ignored_by_default};
///
/// let manifest = Scan::new("assets")
///     .ignore(|path| is_ignored_by_default(path) || path.ends_with(".scss"))
///     .run()?;
/// # Ok::<(), tower_static_url::Error>(())
/// ```
#[derive(Clone)]
pub struct Scan {
    root: PathBuf,
    ignore: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    threads: usize,
    /// The coarsest resolution of the file system's times.
    coarsest: Duration,
}

/// The default ignore rule: a file or directory whose name
///
/// - starts with a dot (`.git`, `.DS_Store`, Vim's `.app.css.swp`),
/// - ends with `~`,
/// - starts and ends with `#` (Emacs), or
/// - is `Thumbs.db` or `desktop.ini`.
///
/// An ignored file is not listed, but the inner service may still serve it. By default a
/// browser asks before each use of its copy (`no-cache`), and a change of the file changes no
/// version.
pub fn is_ignored_by_default(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.')
        || name.ends_with('~')
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        || ["Thumbs.db", "desktop.ini"].contains(&name)
}

impl Scan {
    /// Returns a scan of the directory `root` with the default settings. Nothing is read
    /// before [`run`](Self::run).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            ignore: Arc::new(is_ignored_by_default),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            coarsest: COARSEST,
        }
    }

    /// Replaces the [default ignore rule](is_ignored_by_default). The rule gets the path of
    /// each file and directory, relative to the root, with `/` between the segments, and
    /// returns `true` to leave it out. Nothing below an ignored directory is listed.
    pub fn ignore(mut self, rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.ignore = Arc::new(rule);
        self
    }

    /// Sets the number of threads that hash. Default: the number of cores.
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = threads.get();
        self
    }

    /// Walks the tree and hashes its files. Blocks: call it before the server starts, or on a
    /// thread for blocking work. Memory does not grow with the size of the files.
    ///
    /// # Errors
    ///
    /// - [`NotADirectory`](ErrorKind::NotADirectory): the root is not a directory.
    /// - [`Io`](ErrorKind::Io): the root is missing; or a file or directory cannot be read, or
    ///   vanished during the scan.
    /// - [`InvalidPath`](ErrorKind::InvalidPath): a name is not UTF-8.
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): there is no file to list. Nearly always
    ///   that is the wrong directory.
    pub fn run(&self) -> Result<Manifest, Error> {
        self.rescan(|_| None)
    }

    /// Returns the same as [`run`](Self::run), but reads only the files that may have changed
    /// since an earlier scan. `known` returns the entry of that scan for a path.
    pub(crate) fn rescan<'k>(
        &self,
        known: impl Fn(&str) -> Option<&'k FileInfo> + Sync,
    ) -> Result<Manifest, Error> {
        let metadata = fs::metadata(&self.root);
        if !metadata.map_err(|error| Error::io("read", &self.root, error))?.is_dir() {
            let message = format!("{:?} is not a directory", self.root);
            return Err(Error::new(ErrorKind::NotADirectory, message));
        }
        let paths = self.walk()?;
        if paths.is_empty() {
            let message = format!("no files to list below {:?}", self.root);
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        Ok(Manifest::from_checked(self.hash_all(paths, known)?))
    }

    /// Returns the logical paths of the files to list, in bytewise order.
    fn walk(&self) -> Result<Vec<Box<str>>, Error> {
        let mut paths = Vec::new();
        let walk = WalkDir::new(&self.root).follow_links(true).min_depth(1);
        for entry in walk.into_iter().filter_entry(|entry| !self.ignores(entry.path())) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => paths.extend(self.logical_path(&entry)?),
                Err(error) => self.skip_broken_link(error)?,
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }

    fn ignores(&self, path: &Path) -> bool {
        // Lossy, so that the rule also sees names that are not UTF-8: `.\xff` is a dot-file.
        (self.ignore)(&with_slashes(String::from_utf8_lossy(self.relative(path))))
    }

    /// Removes the root from a path of the walk, which starts with the root as it was given.
    fn relative<'p>(&self, path: &'p Path) -> &'p [u8] {
        let path = path.as_os_str().as_encoded_bytes();
        let path = path.strip_prefix(self.root.as_os_str().as_encoded_bytes()).unwrap_or(path);
        let is_separator = |&&byte: &&u8| is_separator(char::from(byte));
        &path[path.iter().take_while(is_separator).count()..]
    }

    /// Returns `None` for what cannot be a static file.
    fn logical_path(&self, entry: &DirEntry) -> Result<Option<Box<str>>, Error> {
        let path = entry.path();
        if !entry.file_type().is_file() {
            log::left_out(path, "not a regular file");
            return Ok(None);
        }
        let relative = str::from_utf8(self.relative(path)).map_err(|_| {
            Error::new(ErrorKind::InvalidPath, format!("path {path:?} is not UTF-8"))
        })?;
        let logical = with_slashes(relative.into());
        if !is_spellable(&logical) {
            log::left_out(path, "no URL spells its name safely");
            return Ok(None);
        }
        Ok(Some(logical.into()))
    }

    /// Leaves out a link that leads nowhere or in a circle. Any other failure is an error.
    fn skip_broken_link(&self, error: walkdir::Error) -> Result<(), Error> {
        let path = error.path().unwrap_or(&self.root).to_owned();
        // A circle is found by the walk: the system has no error for it.
        let error = error.into_io_error().unwrap_or_else(|| io::Error::other("a circle"));
        if self.ignores(&path) {
            return Ok(());
        }
        if error.kind() == io::ErrorKind::PermissionDenied || !path.is_symlink() {
            return Err(Error::io("read", &path, error));
        }
        log::left_out(&path, &format!("a link that leads nowhere ({error})"));
        Ok(())
    }

    fn hash_all<'k>(
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
            let info = match known(logical).filter(|info| self.is_same(&path, info)) {
                Some(info) => info.clone(),
                None => self
                    .hash_file(&path, &mut buffer)
                    .map_err(|error| Error::io("read", &path, error))?,
            };
            hashed.get_or_init(|| info);
        }
        Ok(())
    }

    /// Whether the file is still the one that was hashed. Without metadata it counts as another
    /// one: reading it gives the error.
    fn is_same(&self, path: &Path, info: &FileInfo) -> bool {
        let metadata = fs::metadata(path).ok();
        let now = metadata.and_then(|metadata| self.fingerprint(&metadata, SystemTime::now()));
        now.is_some() && now == info.fingerprint
    }

    fn hash_file(&self, path: &Path, buffer: &mut [u8]) -> io::Result<FileInfo> {
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
            fingerprint: self.fingerprint(&metadata, read_at),
        })
    }

    fn fingerprint(&self, metadata: &fs::Metadata, read_at: SystemTime) -> Option<Fingerprint> {
        Fingerprint::of(metadata, read_at, self.coarsest)
    }
}

/// Replaces the system's path separators by `/`.
fn with_slashes(path: Cow<'_, str>) -> Cow<'_, str> {
    match MAIN_SEPARATOR_STR {
        "/" => path,
        separator => path.replace(separator, "/").into(),
    }
}

#[cfg(feature = "watch")]
impl Scan {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, ignore: _, threads, coarsest: _ } = self;
        f.debug_struct("Scan").field("root", root).field("threads", threads).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs::FileTimes, os::unix::fs::MetadataExt as _};

    /// A change to the files `a`, `b` and `c` between two scans.
    #[derive(Clone, Debug)]
    enum Edit {
        Write {
            file: usize,
            byte: u8,
        },
        /// As `Write`, but the modification time is set back.
        WriteUnseen {
            file: usize,
            byte: u8,
        },
        Touch {
            file: usize,
        },
        Delete {
            file: usize,
        },
        Rename {
            from: usize,
            to: usize,
        },
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (0..3_usize, 0..3_u8).prop_map(|(file, byte)| Edit::Write { file, byte }),
            (0..3_usize, 0..3_u8).prop_map(|(file, byte)| Edit::WriteUnseen { file, byte }),
            (0..3_usize).prop_map(|file| Edit::Touch { file }),
            (0..3_usize).prop_map(|file| Edit::Delete { file }),
            (0..3_usize, 0..3_usize).prop_map(|(from, to)| Edit::Rename { from, to }),
        ]
    }

    fn apply(edit: &Edit, root: &Path) -> io::Result<()> {
        let path = |file: usize| root.join(["a", "b", "c"][file]);
        match *edit {
            Edit::Write { file, byte } => fs::write(path(file), [byte]),
            Edit::WriteUnseen { file, byte } => {
                let modified = fs::metadata(path(file))?.modified()?;
                fs::write(path(file), [byte])?;
                File::options().write(true).open(path(file))?.set_modified(modified)
            }
            Edit::Touch { file } => {
                let times = FileTimes::new().set_modified(SystemTime::now());
                File::options().write(true).open(path(file))?.set_times(times)
            }
            Edit::Delete { file } => fs::remove_file(path(file)),
            Edit::Rename { from, to } => fs::rename(path(from), path(to)),
        }
    }

    /// Waits until the clock of the file system has ticked, so that the next change has another
    /// time.
    fn tick(root: &Path) {
        let probe = root.join(".probe");
        let change_time = || {
            fs::write(&probe, "").unwrap();
            let metadata = fs::metadata(&probe).unwrap();
            (metadata.ctime(), metadata.ctime_nsec())
        };
        let before = change_time();
        while change_time() == before {}
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_rescan_is_a_scan(edits in proptest::collection::vec(edit(), 1..12)) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            for name in ["a", "b", "c", "stays"] {
                fs::write(root.join(name), "0").unwrap();
            }
            let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
            tick(root);
            let mut known = scan.run().unwrap();
            for edit in &edits {
                tick(root);
                // An edit that fails, as of a file that is gone, changes nothing.
                let _ = apply(edit, root);
                tick(root);
                let again = scan.rescan(|path| known.get(path)).unwrap();
                prop_assert_eq!(&again, &scan.run().unwrap(), "after {:?}", edit);
                known = again;
            }
        }
    }

    #[test]
    fn a_root_may_be_spelled_in_any_way() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        fs::write(folder.path().join("tree/a"), "").unwrap();
        std::os::unix::fs::symlink("tree", folder.path().join("link")).unwrap();
        for spelling in ["tree", "tree/", "tree//", "./tree/.", "tree/../tree", "link", "link/"] {
            let root = format!("{}/{spelling}", folder.path().display());
            let manifest = Scan::new(&root).run().unwrap();
            let paths = manifest.iter().map(|(path, _)| path).collect::<Vec<_>>();
            assert_eq!(paths, ["a"], "{spelling}");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a"), "content").unwrap();
        let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
        tick(root);
        let manifest = scan.run().unwrap();
        let lie = FileInfo { sha256: [7; 32], ..manifest.get("a").unwrap().clone() };
        let digest = |manifest: Manifest| *manifest.get("a").unwrap().sha256();
        assert_eq!(digest(scan.rescan(|_| Some(&lie)).unwrap()), [7; 32]);
        tick(root);
        fs::write(root.join("a"), "content").unwrap();
        assert_ne!(digest(scan.rescan(|_| Some(&lie)).unwrap()), [7; 32]);
    }

    #[test]
    fn a_file_changed_just_now_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "content").unwrap();
        let scan = Scan::new(folder.path());
        let info = scan.run().unwrap().get("a").unwrap().clone();
        assert_eq!(info.fingerprint, None, "it may change again at the same time");
        let metadata = fs::metadata(folder.path().join("a")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(3);
        assert!(scan.fingerprint(&metadata, later).is_some());
    }
}
