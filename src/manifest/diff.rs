//! In which files do two trees differ?

use std::fmt;

use crate::manifest::{FileInfo, Manifest};

/// A file in which two manifests differ. See [`Manifest::diff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'m> {
    path: &'m str,
    before: Option<&'m FileInfo>,
    after: Option<&'m FileInfo>,
}

impl<'m> Difference<'m> {
    /// Returns the logical path.
    pub fn path(&self) -> &'m str {
        self.path
    }

    /// Returns the entry of the first manifest. `None` if the file was added.
    pub fn before(&self) -> Option<&'m FileInfo> {
        self.before
    }

    /// Returns the entry of the second manifest. `None` if the file was removed.
    pub fn after(&self) -> Option<&'m FileInfo> {
        self.after
    }
}

impl Manifest {
    /// Returns the files that were added, removed or changed from this manifest to another one,
    /// in bytewise order of the paths. There are none if both have the same digest. The files'
    /// times do not matter.
    ///
    /// ```
    /// use tower_static_url::Manifest;
    ///
    /// let before = Manifest::from_files([("app.css", "teal"), ("old.js", "1")])?;
    /// let after = Manifest::from_files([("app.css", "navy"), ("new.js", "1")])?;
    /// let diff = before.diff(&after);
    /// let paths = diff.iter().map(|difference| difference.path());
    /// assert_eq!(paths.collect::<Vec<_>>(), ["app.css", "new.js", "old.js"]);
    /// assert!(diff[1].before().is_none(), "it was added");
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn diff<'m>(&'m self, after: &'m Self) -> Vec<Difference<'m>> {
        let from_here = self.iter().map(|(path, info)| {
            let after = after.get(path);
            Difference { path, before: Some(info), after }
        });
        let is_different = |difference: &Difference<'_>| difference.before != difference.after;
        let added = after.iter().filter(|(path, _)| self.get(path).is_none());
        let added = added.map(|(path, info)| Difference { path, before: None, after: Some(info) });
        let mut differences = from_here.filter(is_different).chain(added).collect::<Vec<_>>();
        differences.sort_unstable_by_key(|difference| difference.path);
        differences
    }
}

/// How many files an error names.
const NAMED: usize = 8;

/// Formats what is wrong with some files, for an error: the first of them, and how many more
/// there are.
pub(crate) struct First<'t, T>(pub(crate) &'t [T]);

impl<T: fmt::Display> fmt::Display for First<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.before, self.after) {
            (None, _) => "was added",
            (_, None) => "was removed",
            _ => "was changed",
        };
        write!(f, "{:?} {what}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_a_few_files() {
        let names = (0..20).map(|i| format!("{i}")).collect::<Vec<_>>();
        for (count, expected) in [
            (0, ""),
            (1, "0"),
            (2, "0, 1"),
            (8, "0, 1, 2, 3, 4, 5, 6, 7"),
            (9, "0, 1, 2, 3, 4, 5, 6, 7, and 1 more"),
            (20, "0, 1, 2, 3, 4, 5, 6, 7, and 12 more"),
        ] {
            assert_eq!(First(&names[..count]).to_string(), expected);
        }
    }
}
