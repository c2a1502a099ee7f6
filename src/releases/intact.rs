//! Has nobody written to a kept file since it was published? Told by its metadata alone.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{manifest::FileInfo, releases::folder::below};

/// The files of a kept release that look as they did when they were put there: nobody has
/// written to them since.
pub(super) struct Intact {
    directory: PathBuf,
    /// When the release was recorded. No file is younger, and no directory has got or lost a file
    /// since. Copies keep these times, if they keep any; whoever writes into the directory of the
    /// files leaves the record as it is.
    recorded: SystemTime,
    /// Whether a directory is as it was. All those above it are.
    directories: HashMap<PathBuf, bool>,
}

impl Intact {
    /// `directory` has the files of a release that was recorded at a time.
    pub(super) fn new(directory: PathBuf, recorded: SystemTime) -> Self {
        // A record from the future proves nothing.
        let recorded = recorded.min(SystemTime::now());
        Self { directory, recorded, directories: HashMap::new() }
    }

    /// Returns where a file lies, if it is regular, read-only, as long as it should be, not
    /// younger than the release, and not behind a link.
    pub(super) fn file(&mut self, path: &str, info: &FileInfo) -> Option<PathBuf> {
        let path = below(&self.directory, path)?;
        if !self.is_intact_directory(path.parent()?) {
            return None;
        }
        let metadata = fs::symlink_metadata(&path).ok()?;
        let is_intact = metadata.is_file()
            && metadata.len() == info.length()
            && metadata.permissions().readonly()
            && self.is_old(&metadata);
        is_intact.then_some(path)
    }

    fn is_intact_directory(&mut self, path: &Path) -> bool {
        if let Some(&is_intact) = self.directories.get(path) {
            return is_intact;
        }
        let is_below_intact = path == self.directory
            || path.parent().is_some_and(|parent| self.is_intact_directory(parent));
        let is_intact = is_below_intact
            && fs::symlink_metadata(path).is_ok_and(|it| it.is_dir() && self.is_old(&it));
        self.directories.insert(path.into(), is_intact);
        is_intact
    }

    /// Whether nobody has written to it since the release was recorded.
    fn is_old(&self, metadata: &fs::Metadata) -> bool {
        metadata.modified().is_ok_and(|modified| modified <= self.recorded)
    }
}
