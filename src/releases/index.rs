//! Which release has a file? Answered for names without a version, from the listings of the
//! newest releases.

use std::{collections::HashMap, sync::Arc};

use crate::{Fingerprinted, manifest::Manifest, releases::KeptRelease};

/// How many bytes of listings are read. What only older releases have is not found.
const BUDGET: u64 = 32 << 20;

/// Where files are. Made anew for each set of releases.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The newest release that lists each path. `None` if others list other bytes there.
    by_path: HashMap<Box<str>, Option<Newest>>,
}

#[derive(Debug)]
struct Newest {
    release: Arc<KeptRelease>,
    sha256: [u8; 32],
}

impl Index {
    /// Reads listings, those of the newest releases first, for the paths that a rule calls
    /// fingerprinted.
    pub(super) fn new(newest_first: &[Arc<KeptRelease>], rules: &[Fingerprinted]) -> Self {
        let (mut index, mut left) = (Self::default(), BUDGET);
        if rules.is_empty() {
            return index;
        }
        for release in newest_first {
            // What cannot be read is found out when somebody asks for it.
            let Ok(Some(manifest)) = release.read_manifest() else { continue };
            index.add(release, &manifest, rules);
            left = left.saturating_sub(manifest.listing_length());
            if left == 0 {
                break;
            }
        }
        index
    }

    fn add(&mut self, release: &Arc<KeptRelease>, manifest: &Manifest, rules: &[Fingerprinted]) {
        let is_wanted = |path: &str| rules.iter().any(|rule| rule.position(path).is_some());
        for (path, info) in manifest.iter().filter(|(path, _)| is_wanted(path)) {
            match self.by_path.get_mut(path) {
                Some(newest) => drop(newest.take_if(|newest| newest.sha256 != *info.sha256())),
                None => {
                    let newest = Newest { release: Arc::clone(release), sha256: *info.sha256() };
                    self.by_path.insert(path.into(), Some(newest));
                }
            }
        }
    }

    pub(super) fn newest_with(&self, path: &str) -> Option<&Arc<KeptRelease>> {
        self.by_path.get(path)?.as_ref().map(|newest| &newest.release)
    }
}
