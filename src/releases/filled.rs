//! What does a directory have of the releases of a bucket? Their listings, and those of their files
//! that somebody has asked for.
//!
//! ```text
//! filled/<version>/<digest>         the listing, of which the time is that of the release
//! files/<version>/<logical path>    the files, as those of the directory's own releases
//! ```

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;

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
    /// Begins to put a file into a release: under a name that nobody serves, and locked, so that
    /// nobody takes it for what a crash has left.
    pub(crate) fn begin_file(&self) -> Result<NewFile, Error> {
        let path = self.0.folder.new_path();
        let file = NewFile { file: create_file(&path)?, path, is_done: false };
        file.file.lock().map_err(|error| Error::io("lock", &file.path, error))?;
        Ok(file)
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
}

impl NewFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Opens the file for those who read what has been written.
    pub(crate) fn reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Gives the file its final name. Its bytes must be those that the release lists. Waits until
    /// nobody deletes releases.
    pub(crate) fn finish(
        mut self,
        releases: &Releases,
        release: &KeptRelease,
        path: &str,
    ) -> io::Result<()> {
        set_read_only(&self.file).and_then(|()| self.file.sync_all())?;
        let _no_deletion = releases.0.folder.lock_shared().map_err(io::Error::other)?;
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

/// Returns the directory with the listing of a release.
fn filled(folder: &Folder, release: &KeptRelease) -> PathBuf {
    folder.filled().join(release.version())
}

impl KeptRelease {
    fn digest_hex(&self) -> String {
        HEXLOWER.encode(&self.record.digest)
    }
}
