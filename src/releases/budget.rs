//! Which releases must make room? Those that nobody has asked for longest, if what was filled from a
//! bucket takes too much.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use walkdir::WalkDir;

use crate::{
    Error,
    releases::folder::{Folder, exists},
};

/// How many bytes the files of a bucket's releases may take.
const BUDGET: u64 = 2 << 30;

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
