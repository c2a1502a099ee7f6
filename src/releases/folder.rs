//! How does a directory of releases lie on the disk?
//!
//! ```text
//! files/<version>/<logical path>    the files
//! releases/<version>/<digest>       the record: the listing of the files
//! filled/<version>/<digest>         the listing of a release that is filled from a bucket
//! .static-url                       the name of the format; locked, shared by publishers
//! .static-url-commit                locked while a release gets its final name
//! .new-*  .trash-*                  what a publisher makes, and what is being deleted
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Component, Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Error, ErrorKind};

const MARKER: &str = ".static-url";
const COMMIT: &str = ".static-url-commit";
const FORMAT: &str = "tower-static-url releases 1\n";
/// What a new file system has at its root.
const LOST_AND_FOUND: &str = "lost+found";
const NEW: &str = ".new-";
const TRASH: &str = ".trash-";
/// Before the version, in the name of its trash.
const OF: &str = "-of-";

/// A directory of releases.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    #[cfg(test)]
    pub(super) crash: super::crash::Crash,
}

/// A lock, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Lock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

impl Folder {
    /// Creates the directory, or opens the one that is there. What is complete is only read: it
    /// may lie where nobody can write.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(invalid(path, "is not a directory"));
        }
        fs::create_dir_all(path).map_err(|error| Error::io("create", path, error))?;
        let path = fs::canonicalize(path).map_err(|error| Error::io("find", path, error))?;
        if !is_marked(&path)? {
            mark(&path)?;
        }
        let folder = Self {
            path,
            #[cfg(test)]
            crash: Default::default(),
        };
        for directory in [folder.files(), folder.records()] {
            if !exists(&directory) {
                create_directory(&directory)?;
            }
        }
        folder.check()?;
        Ok(folder)
    }

    /// Opens the directory, if it has releases.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if exists(&path.join(MARKER)) {
            Self::create(path)
        } else {
            Err(invalid(path, "is not a directory of releases (it has no `.static-url`)"))
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory of the files of all releases.
    pub(super) fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// Returns the directory of the records of all releases.
    pub(super) fn records(&self) -> PathBuf {
        self.path.join("releases")
    }

    /// Returns the directory of the listings of what is filled from a bucket.
    pub(super) fn filled(&self) -> PathBuf {
        self.path.join("filled")
    }

    /// Checks that nobody has put a link in place of a directory.
    pub(super) fn check(&self) -> Result<(), Error> {
        let filled = Some(self.filled()).filter(|filled| exists(filled));
        let mut directories = [self.files(), self.records()].into_iter().chain(filled);
        match directories.find(|directory| !is_directory(directory)) {
            None => Ok(()),
            Some(directory) => Err(invalid(&directory, "is not a directory, or is a link to one")),
        }
    }

    /// Returns a path that nobody else uses, for something that is being made.
    pub(super) fn new_path(&self) -> PathBuf {
        self.unique(NEW)
    }

    /// Returns a path that nobody else uses, for the files of a version that are being deleted
    /// or replaced.
    pub(super) fn trash_path(&self, version: &str) -> PathBuf {
        let mut path = self.unique(TRASH).into_os_string();
        path.push(format!("{OF}{version}"));
        path.into()
    }

    /// Returns the version whose files a path of [`trash_path`](Self::trash_path) is for.
    pub(super) fn version_of_trash(path: &Path) -> Option<&str> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(TRASH)?.split_once(OF).map(|(_, version)| version)
    }

    fn unique(&self, prefix: &str) -> PathBuf {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (id, count) = (process::id(), COUNTER.fetch_add(1, Relaxed));
        self.path.join(format!("{prefix}{now}-{id}-{count}"))
    }

    /// Returns what publishers and deletions have left behind. Without the exclusive lock some
    /// of them may still be at work on it.
    pub(super) fn leftovers(&self) -> Result<Vec<PathBuf>, Error> {
        let is_leftover = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.starts_with(NEW.as_bytes()) || name.starts_with(TRASH.as_bytes())
        };
        Ok(entries(&self.path)?.into_iter().filter(is_leftover).collect())
    }

    /// Waits until nobody deletes releases, and keeps them from it. Other publishers and readers
    /// may have this lock at the same time.
    pub(super) fn lock_shared(&self) -> Result<Lock, Error> {
        let path = self.path.join(MARKER);
        let file = open_marker(&path)?;
        file.lock_shared().map_err(|error| Error::io("lock", &path, error))?;
        Ok(Lock(file))
    }

    /// Waits until nobody publishes or deletes, and keeps everybody from it.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        self.lock_with(MARKER, File::lock)
    }

    /// Locks as [`lock`](Self::lock) does, unless that means to wait.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, Error> {
        let mut is_locked = true;
        let lock = self.lock_with(MARKER, |file| match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                is_locked = false;
                Ok(())
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        })?;
        Ok(is_locked.then_some(lock))
    }

    /// Waits until no other publisher gives a release its final name.
    pub(super) fn lock_commit(&self) -> Result<Lock, Error> {
        self.lock_with(COMMIT, File::lock)
    }

    fn lock_with(
        &self,
        name: &str,
        lock: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<Lock, Error> {
        let path = self.path.join(name);
        check_file(&path)?;
        // Whoever locks it is about to write to the directory, and may not be allowed to.
        let file =
            open_to_write(&path).map_err(|error| Error::io("write to", &self.path, error))?;
        lock(&file).map_err(|error| Error::io("lock", &path, error))?;
        Ok(Lock(file))
    }

    /// Lets a test stop here, as a crash would.
    #[inline]
    pub(super) fn step(&self) -> Result<(), Error> {
        #[cfg(test)]
        self.crash.step(&self.path)?;
        Ok(())
    }

    /// Whether a test has stopped, so that nothing may be tidied up.
    pub(super) fn has_crashed(&self) -> bool {
        #[cfg(test)]
        return self.crash.has_happened();
        #[cfg(not(test))]
        false
    }
}

/// Whether the directory is claimed for releases. If it is claimed for something else, that is
/// an error.
fn is_marked(path: &Path) -> Result<bool, Error> {
    let marker = path.join(MARKER);
    if !exists(&marker) {
        return Ok(false);
    }
    let mut text = String::new();
    let read = open_marker(&marker)?.take(FORMAT.len() as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| Error::io("read", &marker, error))?;
    match text.as_str() {
        FORMAT => Ok(true),
        // Whoever created it has stopped before it was written, or is about to write it.
        "" => Ok(false),
        _ => Err(invalid(path, "has releases in another format, or of another program")),
    }
}

/// Claims the directory for releases.
fn mark(path: &Path) -> Result<(), Error> {
    let marker = path.join(MARKER);
    let is_taken = |entry: &PathBuf| entry.file_name().is_some_and(|name| name != LOST_AND_FOUND);
    // Another process may create the marker just now, and does so before anything else.
    if !exists(&marker) && entries(path)?.iter().any(is_taken) && !exists(&marker) {
        let why = "is not empty and was not made for releases (it has no `.static-url`)";
        return Err(invalid(path, why));
    }
    check_file(&marker)?;
    let written = open_to_write(&marker).and_then(|mut file| {
        set_mode(&marker, 0o644)?;
        file.write_all(FORMAT.as_bytes())
    });
    written.map_err(|error| Error::io("write", &marker, error))
}

fn open_marker(path: &Path) -> Result<File, Error> {
    check_file(path)?;
    File::open(path).map_err(|error| Error::io("read", path, error))
}

/// Opens a file, or creates it.
fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Checks that what has the name of a file is one, if there is something.
fn check_file(path: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(invalid(path, "is not a file, or is a link to one"));
    }
    Ok(())
}

pub(super) fn invalid(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::InvalidReleases, format!("{path:?} {why}"))
}

pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether it is a directory, and not a link to one.
pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns what is in a directory, by name.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()
    });
    let mut entries = read.map_err(|error| Error::io("read", path, error))?;
    entries.sort_unstable();
    Ok(entries)
}

/// Creates a file that is not there yet.
pub(super) fn create_file(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    file.map_err(|error| Error::io("create", path, error))
}

/// Creates a directory that everybody may read, if it is not there.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().create(path) {
        Ok(()) => set_mode(path, 0o755).map_err(|error| Error::io("create", path, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_directory(path),
        Err(error) => Err(Error::io("create", path, error)),
    }
}

/// Checks that what has the name of a directory is one. A link to one leads out of the folder.
pub(super) fn check_directory(path: &Path) -> Result<(), Error> {
    if is_directory(path) {
        return Ok(());
    }
    let message = format!("{path:?} is not a directory, and nothing is written through it");
    Err(Error::new(ErrorKind::InvalidReleases, message))
}

/// Sets the permissions of a directory, whatever the process takes away by default.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    return fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    {
        let _ = (path, mode);
        Ok(())
    }
}

/// Lets everybody read an open file, and nobody write it.
pub(super) fn set_read_only(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    return file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444));
    #[cfg(not(unix))]
    {
        let mut permissions = file.metadata()?.permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions)
    }
}

/// Makes the names in a directory survive a power failure.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io("sync", path, error))?;
    let _ = path;
    Ok(())
}

/// Deletes a file or a directory with all that is in it. Links are deleted, never followed.
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    let deleted = if is_directory(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match deleted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("delete", path, error))
        }
        _ => Ok(()),
    }
}

/// Returns the path of a file below a directory, if the logical path has nothing that the
/// system could take for another place.
pub(super) fn below(directory: &Path, logical: &str) -> Option<PathBuf> {
    let path = Path::new(logical);
    let mut components = path.components();
    let is_plain = components.all(|component| matches!(component, Component::Normal(_)));
    is_plain.then(|| directory.join(path))
}

pub(super) fn unspellable(logical: &str) -> Error {
    let message = format!("path {logical:?} is no name of a file on this system");
    Error::new(ErrorKind::InvalidPath, message)
}

/// Returns the metadata of a regular file below a directory. `None` if a link is on the way.
pub(super) fn regular_file(directory: &Path, logical: &str) -> Option<(PathBuf, fs::Metadata)> {
    let path = below(directory, logical)?;
    let mut parents = path.ancestors().skip(1).take_while(|parent| *parent != directory);
    if !parents.all(is_directory) || !is_directory(directory) {
        return None;
    }
    let metadata = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
    Some((path, metadata))
}
