//! Which files of a snapshot are fingerprinted? Those that the rule matches, until one of them
//! changes and keeps its name.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use indexmap::IndexMap;

use crate::{
    Fingerprinted,
    manifest::{FileIndex, FileInfo},
    observe::log,
};

/// How many files that are gone are remembered, in case they come back with other bytes.
const MOST_GONE: usize = if cfg!(test) { 1 << 8 } else { 1 << 16 };

/// The fingerprinted files of a snapshot. Without a rule there are none, and this takes no
/// memory.
#[derive(Debug, Default)]
pub(crate) struct FingerprintedFiles {
    /// By index. Empty if no file is fingerprinted.
    files: Box<[bool]>,
    /// `None` until something has happened.
    history: Option<Arc<History>>,
}

/// What earlier snapshots had under the names of fingerprinted files.
#[derive(Clone, Debug, Default)]
struct History {
    /// Files that are or were gone, in the order in which they went.
    gone: IndexMap<Name, Content>,
    /// Names that have stood for different contents.
    lost: HashSet<Name>,
}

/// The hash of a path. A name is remembered for as long as the layer lives, so it must be small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name(u64);

/// The start of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content(u64);

impl FingerprintedFiles {
    /// Finds the files that `rule` matches, and that have had one content only. `old` and
    /// `before` are those and the files of the snapshot before.
    pub(crate) fn find<'f>(
        rule: &Fingerprinted,
        listed: impl Iterator<Item = (&'f str, Option<&'f FileInfo>)>,
        old: &Self,
        gone: impl Iterator<Item = (&'f str, &'f FileInfo)>,
        before: impl Fn(&str) -> Option<&'f FileInfo>,
    ) -> Self {
        let mut found = Self { files: [].into(), history: old.history.clone() };
        for (path, info) in gone.filter(|(path, _)| rule.position(path).is_some()) {
            found.history_mut().remember(path, info);
        }
        let files = listed.map(|(path, info)| {
            let name = rule.position(path).map(|_| Name::of(path));
            name.zip(info).is_some_and(|(name, info)| {
                found.keeps_name(rule, (path, name), info, before(path))
            })
        });
        let files = files.collect::<Box<_>>();
        if files.contains(&true) {
            found.files = files;
        }
        found
    }

    /// Whether there was never another content under the name. Logs when that ends.
    fn keeps_name(
        &mut self,
        rule: &Fingerprinted,
        (path, name): (&str, Name),
        now: &FileInfo,
        before: Option<&FileInfo>,
    ) -> bool {
        let history = self.history.as_deref();
        if history.is_some_and(|history| history.lost.contains(&name)) {
            return false;
        }
        let gone = || history.and_then(|history| history.gone.get(&name).copied());
        let known = before.map(Content::of).or_else(gone);
        let is_kept = known.is_none_or(|known| known == Content::of(now));
        if !is_kept {
            self.history_mut().lost.insert(name);
            log::not_fingerprinted(path, rule.name(path));
        }
        is_kept
    }

    fn history_mut(&mut self) -> &mut History {
        Arc::make_mut(self.history.get_or_insert_default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    #[inline]
    pub(crate) fn contains(&self, FileIndex(file): FileIndex) -> bool {
        self.files.get(file) == Some(&true)
    }

    /// Whether these are the same as of another list of the same files.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl History {
    /// Remembers a file that is gone. If there are too many, forgets the one that went first.
    fn remember(&mut self, path: &str, info: &FileInfo) {
        if self.gone.len() >= MOST_GONE {
            self.gone.drain(..MOST_GONE / 2);
        }
        self.gone.insert(Name::of(path), Content::of(info));
    }
}

impl Name {
    fn of(path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Content {
    fn of(info: &FileInfo) -> Self {
        let start = info.sha256().first_chunk().expect("a SHA-256 has 32 bytes");
        Self(u64::from_ne_bytes(*start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    /// Finds the fingerprinted files among files that follow others.
    fn find(
        listed: &Manifest,
        before: Option<(&Manifest, &FingerprintedFiles)>,
    ) -> FingerprintedFiles {
        let nothing = FingerprintedFiles::default();
        let old = before.map_or(&nothing, |(_, old)| old);
        let before = before.map(|(manifest, _)| manifest);
        let gone = before.into_iter().flat_map(Manifest::iter);
        let gone = gone.filter(|(path, _)| listed.get(path).is_none());
        let rule = Fingerprinted::parcel();
        let infos = listed.iter().map(|(path, info)| (path, Some(info)));
        FingerprintedFiles::find(&rule, infos, old, gone, |path| before?.get(path))
    }

    fn manifest<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Manifest {
        Manifest::from_files(files).unwrap()
    }

    #[test]
    fn by_index() {
        let listed =
            manifest([("a.js", ""), ("b.0a1b2c3d.js", ""), ("c.js", ""), ("d.0a1b2c3d.js", "")]);
        let found = find(&listed, None);
        let contains = [0, 1, 2, 3, 4].map(|i| found.contains(FileIndex(i)));
        assert_eq!(contains, [false, true, false, true, false]);
        assert!(!found.is_empty() && found.history.is_none());
        let none = find(&manifest([("a.js", ""), ("c.js", "")]), None);
        assert!(none.is_empty() && !none.contains(FileIndex(0)));
    }

    #[test]
    fn the_files_that_went_first_are_forgotten() {
        let name = |i: usize| format!("{i}.0a1b2c3d.js");
        let all = (0..=MOST_GONE).map(|i| (name(i), "old"));
        let all = Manifest::from_files(all).unwrap();
        let first = find(&all, None);
        let others = manifest([("index.html", "")]);
        let second = find(&others, Some((&all, &first)));
        let gone = &second.history.as_ref().unwrap().gone;
        assert_eq!(gone.len(), MOST_GONE / 2 + 1);
        // They are listed in bytewise order, so "0…" was the first to go, and "9…" the last.
        for (path, is_forgotten) in [(name(0), true), (name(99), false)] {
            let back = manifest([(&*path, "new")]);
            let third = find(&back, Some((&others, &second)));
            assert_eq!(third.contains(FileIndex(0)), is_forgotten, "{path}");
        }
    }

    #[test]
    fn a_name_stays_lost_while_others_are_forgotten() {
        let path = "a.0a1b2c3d.js";
        let [old, new] = ["old", "new"].map(|content| manifest([(path, content)]));
        let first = find(&old, None);
        let second = find(&new, Some((&old, &first)));
        assert!(first.contains(FileIndex(0)) && second.is_empty());
        assert!(!second.is_same(&first));
        let third = find(&old, Some((&new, &second)));
        assert!(third.is_empty() && third.is_same(&second));
    }
}
