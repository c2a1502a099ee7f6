//! Are the files on the disk those of a manifest that was made elsewhere?

use std::{
    fmt,
    fs::{self, Metadata},
    io,
    path::Path,
};

use crate::{
    Error, ErrorKind, Manifest,
    manifest::{
        FileInfo, Scan,
        diff::First,
        walk::{Found, has_root},
    },
};

/// How [`Manifest::verify`] compares files with their manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verify {
    /// By length, and by modification time if the manifest has one: one of JSON has none. No
    /// file is opened, so this takes a few microseconds for each. An edit that keeps the length
    /// is not found.
    Fast,
    /// By SHA-256. Every listed file is read, on all cores, as by a scan.
    Full,
}

/// A listed file that is not as listed.
struct Wrong {
    path: Box<str>,
    why: Why,
}

enum Why {
    Missing,
    NotAFile,
    Length { listed: u64, found: u64 },
    Time,
    Content,
}

impl Manifest {
    /// Checks that every listed file is below the directory `root`, and is as listed. Blocks:
    /// call it before the server starts. Files that are not listed do not matter: no browser
    /// keeps them without asking.
    ///
    /// A layer that is given a manifest takes its word. Bytes that were changed after it was
    /// made, and kept their length, are cached by browsers for a year under a URL that names
    /// others. A server that stops at this error pins nothing.
    ///
    /// ```
    /// use tower_static_url::{Manifest, manifest::Verify};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let dist = folder.path();
    /// std::fs::write(dist.join("app.css"), "teal").unwrap();
    /// let manifest = Manifest::scan(dist)?;
    /// manifest.verify(dist, Verify::Full)?;
    ///
    /// std::fs::write(dist.join("app.css"), "navy").unwrap();
    /// let error = manifest.verify(dist, Verify::Full).unwrap_err();
    /// assert!(error.to_string().ends_with("\"app.css\" has other bytes"));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`Scan::verify`].
    pub fn verify(&self, root: impl AsRef<Path>, how: Verify) -> Result<(), Error> {
        Scan::new(root.as_ref()).verify(self, how)
    }
}

impl Scan {
    /// Checks that every listed file is below a root of this scan, and is as listed, as
    /// [`Manifest::verify`] does. A file is that of the first root that has its path. The
    /// [ignore rule](Self::ignore) is not asked.
    ///
    /// # Errors
    ///
    /// - [`ChangedFile`](ErrorKind::ChangedFile): a file is missing or is another. The text
    ///   names the first of them.
    /// - [`NotADirectory`](ErrorKind::NotADirectory): a root is not a directory.
    /// - [`Io`](ErrorKind::Io): a root is missing, or a file cannot be read.
    pub fn verify(&self, manifest: &Manifest, how: Verify) -> Result<(), Error> {
        let report = self.findings.report(false);
        for root in &self.roots {
            has_root(root, &report)?;
        }
        let (mut found, mut wrong) = (Found::new(), Vec::new());
        for (path, listed) in manifest.iter() {
            match self.check_metadata(path, listed, how)? {
                Ok(root) => drop(found.insert(path.into(), root)),
                Err(why) => wrong.push(Wrong { path: path.into(), why }),
            }
        }
        if how == Verify::Full {
            let hashed = self.hash_all(found, |_| None, &report)?;
            let is_other = |(path, info): &(Box<str>, FileInfo)| manifest.get(path) != Some(info);
            let others = hashed.files.into_iter().filter(is_other);
            wrong.extend(others.map(|(path, _)| Wrong { path, why: Why::Content }));
            wrong.sort_by(|one, other| one.path.cmp(&other.path));
        }
        if wrong.is_empty() { Ok(()) } else { Err(self.differ(&wrong)) }
    }

    /// Returns the index of the root that has a file, or why it is not the listed one.
    fn check_metadata(
        &self,
        path: &str,
        listed: &FileInfo,
        how: Verify,
    ) -> Result<Result<usize, Why>, Error> {
        for (index, root) in self.roots.iter().enumerate() {
            let file = root.join(path);
            match fs::metadata(&file) {
                Ok(metadata) => return Ok(compare(&metadata, listed, how).map_or(Ok(index), Err)),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(Error::io("read", &file, error)),
            }
        }
        Ok(Err(Why::Missing))
    }

    fn differ(&self, wrong: &[Wrong]) -> Error {
        let (roots, wrong) = (self.shown_roots(), First(wrong));
        let message =
            format!("the files below {roots} are not as the manifest lists them: {wrong}");
        Error::new(ErrorKind::ChangedFile, message)
    }
}

/// Returns why a file is not the listed one, as far as that shows without reading it.
fn compare(found: &Metadata, listed: &FileInfo, how: Verify) -> Option<Why> {
    // To the digest times do not matter.
    let listed_time = listed.modified().filter(|_| how == Verify::Fast);
    let times = listed_time.zip(found.modified().ok());
    if !found.is_file() {
        Some(Why::NotAFile)
    } else if found.len() != listed.length() {
        Some(Why::Length { listed: listed.length(), found: found.len() })
    } else {
        times.is_some_and(|(listed, found)| listed != found).then_some(Why::Time)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.why {
            Why::Missing => write!(f, "{path:?} is missing"),
            Why::NotAFile => write!(f, "{path:?} is not a file"),
            Why::Length { listed, found } => {
                write!(f, "{path:?} has {found} bytes instead of {listed}")
            }
            Why::Time => write!(f, "{path:?} has another modification time"),
            Why::Content => write!(f, "{path:?} has other bytes"),
        }
    }
}
