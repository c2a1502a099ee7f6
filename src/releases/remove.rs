//! How does a release leave the directory? Its record first, so that nothing half deleted is
//! listed.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::SystemTime,
};

use crate::{
    Error, ErrorKind,
    releases::{
        Release, Releases, Retention,
        folder::{Folder, delete, entries, exists, is_directory, sync_directory},
        known,
    },
    url::check_segment,
};

impl Releases {
    /// Returns the releases that [`prune`](Self::prune) would delete now. Deletes nothing.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list).
    pub fn expired(&self, retention: &Retention) -> Result<Vec<Release>, Error> {
        self.refresh()?;
        let own = self.0.known.load().own().cloned().collect::<Vec<_>>();
        let releases = known::list(&own);
        let superseded = releases.iter().map(Release::superseded);
        let expired = retention.expired(superseded, SystemTime::now());
        let releases = releases.into_iter().zip(expired);
        Ok(releases.filter(|(_, is_expired)| *is_expired).map(|(release, _)| release).collect())
    }

    /// Deletes the releases that are not to be kept any longer, and returns them. Waits until
    /// nobody publishes.
    ///
    /// A browser that still has a page of such a release gets what every unknown version gets.
    ///
    /// If the directory is filled from a bucket, deletes in the bucket first. Returned are the
    /// releases that this directory has published.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list); and [`Io`](ErrorKind::Io) if a file cannot be deleted.
    /// The next call goes on where this one has stopped.
    pub fn prune(&self, retention: &Retention) -> Result<Vec<Release>, Error> {
        let folder = &self.0.folder;
        #[cfg(feature = "object-store")]
        if let Some(source) = self.source() {
            source.bucket().prune(retention)?;
            source.look_again();
        }
        let _alone = folder.lock()?;
        // Age counts from now for what was superseded in the future.
        folder.next_time(SystemTime::now())?;
        let expired = self.expired(retention)?;
        for release in &expired {
            self.remove(release.version())?;
        }
        self.sweep()?;
        self.refresh()?;
        Ok(expired)
    }

    /// Deletes a release at once, whatever its age and whatever state it is in: one with a
    /// secret in it, for example. Waits until nobody publishes.
    ///
    /// Files that other releases list too stay there. What browsers and other caches have, they
    /// keep: tell your CDN to forget the URLs.
    ///
    /// # Errors
    ///
    /// [`NotKept`](ErrorKind::NotKept): no release of this version is kept. Else the same as
    /// [`prune`](Self::prune).
    pub fn withdraw(&self, version: &str) -> Result<(), Error> {
        let folder = &self.0.folder;
        // Before anything that has to be waited for.
        #[cfg(feature = "object-store")]
        let was_in_bucket = self.withdraw_from_bucket(version)?;
        #[cfg(not(feature = "object-store"))]
        let was_in_bucket = false;
        let _alone = folder.lock()?;
        folder.check()?;
        let is_kept = check_segment(version).is_ok()
            && [folder.record_directory(version), folder.files().join(version)]
                .iter()
                .any(|path| exists(path));
        if !is_kept && !was_in_bucket {
            let message = format!("no release of version {version:?} is kept");
            return Err(Error::new(ErrorKind::NotKept, message));
        }
        self.remove(version)?;
        #[cfg(feature = "object-store")]
        if let Some(source) = self.source() {
            source.budget.forget(version);
        }
        self.sweep()?;
        self.refresh()
    }

    /// Returns whether the bucket had the release.
    #[cfg(feature = "object-store")]
    fn withdraw_from_bucket(&self, version: &str) -> Result<bool, Error> {
        let Some(source) = self.source() else { return Ok(false) };
        let withdrawn = source.bucket().withdraw(version);
        source.look_again();
        match withdrawn {
            Err(error) if error.kind() == ErrorKind::NotKept => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Ok(true),
        }
    }

    /// Deletes a release. Needs the exclusive lock.
    pub(super) fn remove(&self, version: &str) -> Result<(), Error> {
        let folder = &self.0.folder;
        let mut trash = Vec::new();
        // With all records of the version: one that was ignored must not take its place.
        let listings = folder.filled().join(version);
        for path in [folder.record_directory(version), listings, folder.files().join(version)] {
            folder.step()?;
            if exists(&path) {
                let to = folder.trash_path(version);
                fs::rename(&path, &to).map_err(|error| Error::io("rename", &path, error))?;
                sync_directory(path.parent().unwrap_or(&path))?;
                trash.push(to);
            }
        }
        for trash in trash {
            folder.step()?;
            delete(&trash)?;
        }
        Ok(())
    }

    /// Deletes what a crash has left, if nobody publishes just now.
    pub(super) fn sweep_if_alone(&self) -> Result<(), Error> {
        match self.0.folder.try_lock()? {
            Some(_alone) => self.sweep(),
            None => Ok(()),
        }
    }

    /// Deletes what a crash has left. Needs the exclusive lock.
    fn sweep(&self) -> Result<(), Error> {
        let folder = &self.0.folder;
        folder.check()?;
        for leftover in folder.leftovers()?.into_iter().filter(|path| !is_in_use(path)) {
            folder.step()?;
            if !self.put_back(&leftover)? {
                delete(&leftover)?;
            }
        }
        // Files without a record: who published them has stopped just before it, or who deleted
        // them just after it. What is no directory was put there by somebody else.
        for files in entries(&folder.files())?.iter().filter(|path| is_directory(path)) {
            let records = folder.records().join(files.file_name().unwrap_or_default());
            let listings = folder.filled().join(files.file_name().unwrap_or_default());
            if is_empty(&records)? && is_empty(&listings)? {
                folder.step()?;
                delete(files)?;
            }
        }
        for records in entries(&folder.records())?.iter().filter(|path| is_directory(path)) {
            // Only if it is empty.
            let _ = fs::remove_dir(records);
        }
        Ok(())
    }

    /// Puts the files of a recorded version back, if a crash came while they were replaced.
    fn put_back(&self, trash: &Path) -> Result<bool, Error> {
        let folder = &self.0.folder;
        let Some(version) = Folder::version_of_trash(trash) else { return Ok(false) };
        let files = folder.files().join(version);
        if exists(&files) || is_empty(&folder.record_directory(version))? {
            return Ok(false);
        }
        fs::rename(trash, &files).map_err(|error| Error::io("rename", trash, error))?;
        Ok(true)
    }
}

/// Whether somebody still writes to a file: it is locked then.
fn is_in_use(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let locked = || File::open(path).map(|file| file.try_lock());
    is_file && matches!(locked(), Ok(Err(TryLockError::WouldBlock)))
}

/// Whether there is no such directory, or nothing in it.
fn is_empty(directory: &Path) -> Result<bool, Error> {
    match exists(directory) {
        true if is_directory(directory) => Ok(entries(directory)?.is_empty()),
        exists => Ok(!exists),
    }
}
