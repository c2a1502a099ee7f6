//! Which files does a directory have? Found out without reading them.

use std::{
    borrow::Cow,
    io,
    path::{MAIN_SEPARATOR_STR, Path, is_separator},
};

use walkdir::{DirEntry, WalkDir};

use crate::{
    Error, ErrorKind,
    manifest::{Scan, tree::is_spellable},
    observe::log,
};

impl Scan {
    /// Returns the logical paths of the files to list, in bytewise order.
    pub(super) fn walk(&self) -> Result<Vec<Box<str>>, Error> {
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
}

/// Replaces the system's path separators by `/`.
fn with_slashes(path: Cow<'_, str>) -> Cow<'_, str> {
    match MAIN_SEPARATOR_STR {
        "/" => path,
        separator => path.replace(separator, "/").into(),
    }
}
