//! Which files do the roots of a scan have? Found out without reading them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet, btree_map::Entry},
    fs, io,
    path::{MAIN_SEPARATOR_STR, Path, PathBuf, is_separator},
};

use walkdir::{DirEntry, WalkDir};

use crate::{
    Error, ErrorKind,
    manifest::{
        Scan,
        report::{Finding, Report},
        tree::is_spellable,
    },
};

/// The files to list, by logical path: the index of the root that has each.
pub(super) type Found = BTreeMap<Box<str>, usize>;

impl Scan {
    /// Returns the files to list. Of files with the same path the one of the first root.
    pub(super) fn walk(&self, report: &Report<'_>) -> Result<Found, Error> {
        self.check_roots()?;
        let (mut found, mut hidden) = (Found::new(), HashSet::new());
        for (index, root) in self.roots.iter().enumerate() {
            if !has_root(root, report)? {
                continue;
            }
            let RootWalk { files, directories } = self.walk_root(root, report)?;
            for file in files.into_iter().filter(|file| !hidden.contains(file)) {
                if let Entry::Vacant(entry) = found.entry(file) {
                    entry.insert(index);
                }
            }
            hidden.extend(directories);
        }
        Ok(found)
    }

    /// Checks that no two roots are the same directory.
    fn check_roots(&self) -> Result<(), Error> {
        let mut seen = HashSet::new();
        // One that is missing has its error later.
        let known = self.roots.iter().filter_map(|root| Some((root, fs::canonicalize(root).ok()?)));
        for (root, canonical) in known {
            if !seen.insert(canonical) {
                let message = format!("root {root:?} is given twice");
                return Err(Error::new(ErrorKind::RepeatedRoot, message));
            }
        }
        Ok(())
    }

    fn walk_root(&self, root: &Path, report: &Report<'_>) -> Result<RootWalk, Error> {
        let mut walked = RootWalk::default();
        let walk = WalkDir::new(root).follow_links(true).min_depth(1).into_iter();
        for entry in walk.filter_entry(|entry| !self.ignores(root, entry.path())) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    walked.directories.extend(utf8(relative(root, entry.path())));
                }
                Ok(entry) => walked.files.extend(logical_path(root, &entry, report)?),
                Err(error) => self.leave_out(root, error, report)?,
            }
        }
        Ok(walked)
    }

    /// Whether the ignore rule leaves out a path below a root. The path starts with the root.
    pub(crate) fn ignores(&self, root: &Path, path: &Path) -> bool {
        // Lossy, so that the rule also sees names that are not UTF-8: `.\xff` is a dot-file.
        (self.ignore)(&with_slashes(String::from_utf8_lossy(relative(root, path))))
    }

    /// Leaves out a link that leads nowhere or in a circle. In development also what may not be
    /// read. Any other failure is an error.
    fn leave_out(
        &self,
        root: &Path,
        error: walkdir::Error,
        report: &Report<'_>,
    ) -> Result<(), Error> {
        let path = error.path().unwrap_or(root).to_owned();
        // A circle is found by the walk: the system has no error for it.
        let error = error.into_io_error().unwrap_or_else(|| io::Error::other("a circle"));
        if self.ignores(root, &path) {
            return Ok(());
        }
        let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
        let why = match (is_refused, path.is_symlink()) {
            (false, true) => format!("a link that leads nowhere ({error})"),
            (true, _) if report.is_lenient() && path != root => error.to_string(),
            _ => return Err(Error::io("read", &path, error)),
        };
        report.add(Finding::LeftOut { path, why });
        Ok(())
    }
}

/// What one root has.
#[derive(Default)]
struct RootWalk {
    files: Vec<Box<str>>,
    directories: Vec<Box<str>>,
}

/// Whether the root is there. In development it may be missing from the start.
pub(super) fn has_root(root: &Path, report: &Report<'_>) -> Result<bool, Error> {
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => {
            let message = format!("{root:?} is not a directory");
            Err(Error::new(ErrorKind::NotADirectory, message))
        }
        Err(error) => {
            let missing = Finding::MissingRoot { root: root.into(), why: error.to_string() };
            let is_tolerated = error.kind() == io::ErrorKind::NotFound && report.tolerates(missing);
            if is_tolerated { Ok(false) } else { Err(Error::io("read", root, error)) }
        }
    }
}

/// Removes the root from a path of the walk, which starts with the root as it was given.
fn relative<'p>(root: &Path, path: &'p Path) -> &'p [u8] {
    let path = path.as_os_str().as_encoded_bytes();
    let path = path.strip_prefix(root.as_os_str().as_encoded_bytes()).unwrap_or(path);
    let is_separator = |&&byte: &&u8| is_separator(char::from(byte));
    &path[path.iter().take_while(is_separator).count()..]
}

/// Returns `None` for what cannot be a static file.
fn logical_path(
    root: &Path,
    entry: &DirEntry,
    report: &Report<'_>,
) -> Result<Option<Box<str>>, Error> {
    let path = entry.path();
    let left_out = |why: &str| {
        report.add(Finding::LeftOut { path: PathBuf::from(path), why: why.into() });
        Ok(None)
    };
    if !entry.file_type().is_file() {
        return left_out("not a regular file");
    }
    match utf8(relative(root, path)) {
        Some(logical) if is_spellable(&logical) => Ok(Some(logical)),
        Some(_) => left_out("no URL spells its name safely"),
        None if report.is_lenient() => left_out("its name is not UTF-8"),
        None => Err(Error::new(ErrorKind::InvalidPath, format!("path {path:?} is not UTF-8"))),
    }
}

fn utf8(relative: &[u8]) -> Option<Box<str>> {
    Some(with_slashes(str::from_utf8(relative).ok()?.into()).into())
}

/// Replaces the system's path separators by `/`.
fn with_slashes(path: Cow<'_, str>) -> Cow<'_, str> {
    match MAIN_SEPARATOR_STR {
        "/" => path,
        separator => path.replace(separator, "/").into(),
    }
}
