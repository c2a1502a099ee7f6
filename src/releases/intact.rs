//! Has nobody written to a kept file since it was published? Told by its metadata alone.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    manifest::FileInfo,
    releases::folder::{below, is_directory},
};

/// The files of a kept release that look as they did when they were put there: nobody has
/// written to them since.
pub(super) struct Intact {
    directory: PathBuf,
    /// When the directory was complete. No file is younger.
    completed: SystemTime,
    /// The directories below it that are no links.
    directories: HashSet<PathBuf>,
}

impl Intact {
    pub(super) fn new(directory: PathBuf) -> Option<Self> {
        let metadata = fs::symlink_metadata(&directory).ok().filter(fs::Metadata::is_dir)?;
        let completed = metadata.modified().ok()?;
        Some(Self { directory, completed, directories: HashSet::new() })
    }

    /// Returns where a file lies, if it is regular, read-only, as long as it should be, not
    /// younger than the release, and not behind a link.
    pub(super) fn file(&mut self, path: &str, info: &FileInfo) -> Option<PathBuf> {
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
