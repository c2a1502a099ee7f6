//! What does a directory have of the releases of a bucket? Their listings, and those of their files
//! that somebody has asked for.
//!
//! ```text
//! filled/<version>/<digest>         the listing, of which the time is that of the release
//! files/<version>/<logical path>    the files, as those of the directory's own releases
//! ```

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use walkdir::WalkDir;

use crate::{
    Error,
    releases::{
        KeptRelease, Releases,
        folder::{
            self, Folder, below, create_file, delete, exists, set_read_only, sync_directory,
            unspellable,
        },
        record::Found,
    },
};

/// How many bytes the files of a bucket's releases may take.
const BUDGET: u64 = 2 << 30;

impl Folder {
    /// Returns the listings that are here already.
    pub(super) fn find_filled(&self) -> Result<Found, Error> {
        match exists(&self.filled()) {
            true => self.find_records_in(&self.filled()),
            false => Ok(Found::default()),
        }
    }

    /// Keeps a listing, so that the store need not be asked for it again.
    pub(super) fn keep_listing(&self, release: &KeptRelease, text: &[u8]) -> Result<(), Error> {
        let directory = filled(self, release);
        folder::create_directory(&self.filled())?;
        folder::create_directory(&directory)?;
        let new = self.new_path();
        let write_error = |error| Error::io("write", &new, error);
        let mut file = create_file(&new)?;
        let written = file.write_all(text).and_then(|()| {
            file.set_modified(release.published)?;
            set_read_only(&file)?;
            file.sync_all()
        });
        let to = directory.join(release.digest_hex());
        let kept = written.map_err(write_error).and_then(|()| {
            fs::rename(&new, &to).map_err(|error| Error::io("rename", &new, error))?;
            sync_directory(&directory)
        });
        if kept.is_err() {
            let _ = delete(&new);
        }
        kept
    }
}

impl Releases {
    /// Begins to put a file into a release: under a name that nobody serves.
    pub(crate) fn begin_file(&self) -> Result<NewFile, Error> {
        let path = self.0.folder.new_path();
        let lock = self.0.folder.lock_shared()?;
        Ok(NewFile { file: create_file(&path)?, path, is_done: false, _no_deletion: lock })
    }

    /// Puts a file of another release into a release, without a copy. Its bytes are not looked
    /// at.
    pub(crate) fn link_file(
        &self,
        from: &Path,
        release: &KeptRelease,
        path: &str,
    ) -> io::Result<()> {
        let _no_deletion = self.0.folder.lock_shared().map_err(io::Error::other)?;
        let new = self.0.folder.new_path();
        fs::hard_link(from, &new)?;
        let placed = self.place(&new, release, path);
        if placed.is_err() {
            let _ = fs::remove_file(&new);
        }
        placed
    }

    /// Makes empty files of some lengths, as a release has them, below a name that no version has.
    pub(crate) fn placeholders(&self, files: &[(&str, u64)]) -> Result<Placeholders, Error> {
        let new = self.0.folder.new_path();
        let name = new.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let directory = self.0.folder.files().join(&name);
        folder::create_directory(&directory)?;
        let placeholders = Placeholders { name, directory, modified: whole_seconds() };
        for (path, length) in files {
            let path = below(&placeholders.directory, path).ok_or_else(|| unspellable(path))?;
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let file = File::create_new(&path)?;
                file.set_len(*length)?;
                file.set_modified(placeholders.modified)
            });
            made.map_err(|error| Error::io("create", &path, error))?;
        }
        Ok(placeholders)
    }

    /// Deletes the files that were filled into a release. Those of an own release stay.
    pub(crate) fn empty(&self, version: &str) -> Result<(), Error> {
        let folder = &self.0.folder;
        // So that nobody publishes it just now.
        let _commit = folder.lock_commit()?;
        let files = folder.files().join(version);
        if exists(&folder.record_directory(version)) || !exists(&files) {
            return Ok(());
        }
        let trash = folder.trash_path(version);
        fs::rename(&files, &trash).map_err(|error| Error::io("rename", &files, error))?;
        delete(&trash)
    }

    /// Whether the listing of a release is here. If it is not, the release has been withdrawn, and
    /// so are its files.
    pub(crate) fn has_listing(&self, release: &KeptRelease) -> bool {
        let (folder, digest) = (&self.0.folder, release.digest_hex());
        let listings = [folder.record_directory(release.version()), filled(folder, release)];
        listings.iter().any(|listings| exists(&listings.join(&digest)))
    }

    /// Gives a complete file its final name, unless the release has been withdrawn. Needs the
    /// shared lock.
    fn place(&self, from: &Path, release: &KeptRelease, path: &str) -> io::Result<()> {
        if !self.has_listing(release) {
            return Err(io::Error::other("the release has been withdrawn"));
        }
        // A publisher may put the whole release there just now.
        let commit = self.0.folder.lock_commit().map_err(io::Error::other)?;
        let name = below(release.directory(), path).ok_or(io::ErrorKind::InvalidFilename)?;
        let parents = name.ancestors().skip(1);
        let parents = parents.take_while(|parent| *parent != release.directory());
        let mut directories = parents.collect::<Vec<_>>();
        directories.push(release.directory());
        for directory in directories.into_iter().rev() {
            folder::create_directory(directory).map_err(io::Error::other)?;
        }
        fs::rename(from, &name)?;
        drop(commit);
        name.parent().map_or(Ok(()), |parent| sync_directory(parent).map_err(io::Error::other))
    }
}

/// A file on its way into a release. If it is dropped, it is deleted.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    is_done: bool,
    _no_deletion: folder::Lock,
}

impl NewFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Opens the file for those who read what has been written.
    pub(crate) fn reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Gives the file its final name. Its bytes must be those that the release lists.
    pub(crate) fn finish(
        mut self,
        releases: &Releases,
        release: &KeptRelease,
        path: &str,
    ) -> io::Result<()> {
        set_read_only(&self.file).and_then(|()| self.file.sync_all())?;
        releases.place(&self.path, release, path)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_done {
            // A publisher deletes what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Empty files with the names and lengths of others. They are deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Placeholders {
    name: String,
    directory: PathBuf,
    modified: SystemTime,
}

impl Placeholders {
    /// Returns the name of their directory, beside those of versions.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn modified(&self) -> SystemTime {
        self.modified
    }
}

impl Drop for Placeholders {
    fn drop(&mut self) {
        // A publisher deletes what is left.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Every file system can store it.
fn whole_seconds() -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

/// How much is filled, and what is emptied if it is too much: what nobody has asked for longest.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    filled: Mutex<HashMap<Box<str>, Usage>>,
}

#[derive(Debug)]
struct Usage {
    bytes: u64,
    asked: Instant,
}

impl Budget {
    /// Starts with what earlier processes have filled.
    pub(super) fn new(limit: u64, folder: &Folder, now: Instant) -> Result<Self, Error> {
        let mut filled = HashMap::new();
        for record in folder.find_filled()?.records {
            if !exists(&folder.record_directory(&record.version)) {
                let bytes = length_of_files(&folder.files().join(&*record.version));
                filled.insert(record.version, Usage { bytes, asked: now });
            }
        }
        Ok(Self { limit, filled: Mutex::new(filled) })
    }

    /// Says that somebody asks for a file of a release.
    pub(crate) fn ask(&self, version: &str, now: Instant) {
        if let Some(usage) = self.filled().get_mut(version) {
            usage.asked = now;
        }
    }

    /// Makes room for a file of a release, and returns which releases must be emptied for it.
    /// `None` if there can be no room.
    pub(crate) fn add(&self, version: &str, bytes: u64, now: Instant) -> Option<Vec<Box<str>>> {
        if bytes > self.limit {
            return None;
        }
        let mut filled = self.filled();
        let mut total = filled.values().map(|usage| usage.bytes).sum::<u64>();
        let mut emptied = Vec::new();
        while total.saturating_add(bytes) > self.limit {
            // The release itself only if there is no other one.
            let oldest = filled.iter().filter(|(_, usage)| usage.bytes > 0);
            let oldest = oldest.min_by_key(|(name, usage)| (***name == *version, usage.asked));
            let Some(oldest) = oldest.map(|(version, _)| version.clone()) else { break };
            total -= filled.remove(&oldest).map_or(0, |usage| usage.bytes);
            emptied.push(oldest);
        }
        let usage = filled.entry(version.into()).or_insert(Usage { bytes: 0, asked: now });
        usage.bytes += bytes;
        Some(emptied)
    }

    /// Says that a file that was added is not there after all.
    pub(crate) fn remove(&self, version: &str, bytes: u64) {
        if let Some(usage) = self.filled().get_mut(version) {
            usage.bytes = usage.bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn forget(&self, version: &str) {
        self.filled().remove(version);
    }

    fn filled(&self) -> MutexGuard<'_, HashMap<Box<str>, Usage>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn default_limit() -> u64 {
    BUDGET
}

fn length_of_files(directory: &Path) -> u64 {
    let entries = WalkDir::new(directory).into_iter().filter_map(Result::ok);
    let files = entries.filter_map(|entry| entry.metadata().ok().filter(fs::Metadata::is_file));
    files.map(|metadata| metadata.len()).sum()
}

/// Returns the directory with the listing of a release.
fn filled(folder: &Folder, release: &KeptRelease) -> PathBuf {
    folder.filled().join(release.version())
}

impl KeptRelease {
    fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.record.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_makes_room() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (name, filled, add, expected) in [
            ("there is room", &[("a", 4, 1)][..], ("b", 6), Some(&[][..])),
            ("too large for all", &[("a", 4, 1)], ("b", 11), None),
            ("the one asked for longest ago", &[("a", 4, 2), ("b", 4, 1)], ("c", 4), Some(&["b"])),
            ("two of them", &[("a", 4, 2), ("b", 4, 1)], ("c", 9), Some(&["b", "a"])),
            ("not the release itself", &[("a", 4, 1), ("b", 4, 2)], ("a", 4), Some(&["b"])),
            ("but if it is alone", &[("a", 8, 1)], ("a", 4), Some(&["a"])),
            ("empty ones make no room", &[("a", 0, 1), ("b", 9, 2)], ("c", 4), Some(&["b"])),
        ] {
            let budget = Budget { limit: 10, filled: Mutex::default() };
            for &(version, bytes, asked) in filled {
                assert_eq!(budget.add(version, bytes, at(0)), Some(vec![]), "{name}");
                budget.ask(version, at(asked));
            }
            let emptied = budget.add(add.0, add.1, at(9));
            let expected = expected.map(|emptied| emptied.iter().map(|&v| v.into()).collect());
            assert_eq!(emptied, expected, "{name}");
        }
    }
}
