//! Which release has a file? Answered for names without a version and for contents, from the
//! listings of the newest releases.

use std::{collections::HashMap, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{Fingerprinted, manifest::Manifest, releases::KeptRelease};

/// How many bytes of listings are read. What only older releases have is not found.
pub(super) const BUDGET: u64 = 32 << 20;

/// Where files are. Made anew for each set of releases.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The newest release that lists each path. `None` if others list other bytes there.
    by_path: HashMap<Box<str>, Option<Newest>>,
    /// Where each content is, preferably in a release that has all its files here.
    by_digest: FxHashMap<[u8; 32], (Arc<KeptRelease>, Box<str>)>,
}

#[derive(Debug)]
struct Newest {
    release: Arc<KeptRelease>,
    sha256: [u8; 32],
}

impl Index {
    /// Reads listings, those of the newest releases first, for the paths that a rule calls
    /// fingerprinted, and for contents if that is wanted.
    pub(super) fn new(
        newest_first: &[Arc<KeptRelease>],
        rules: &[Fingerprinted],
        with_digests: bool,
    ) -> Self {
        let (mut index, mut left) = (Self::default(), BUDGET);
        if rules.is_empty() && !with_digests {
            return index;
        }
        for release in newest_first {
            // What cannot be read is found out when somebody asks for it.
            let Ok(Some(manifest)) = release.read_manifest() else { continue };
            index.add_paths(release, &manifest, rules);
            if with_digests {
                index.add_digests(release, &manifest);
            }
            left = left.saturating_sub(manifest.listing_length());
            if left == 0 {
                break;
            }
        }
        index
    }

    fn add_paths(
        &mut self,
        release: &Arc<KeptRelease>,
        manifest: &Manifest,
        rules: &[Fingerprinted],
    ) {
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

    fn add_digests(&mut self, release: &Arc<KeptRelease>, manifest: &Manifest) {
        for (path, info) in manifest.iter() {
            let is_better =
                |known: &(Arc<KeptRelease>, Box<str>)| release.is_own() && !known.0.is_own();
            if self.by_digest.get(info.sha256()).is_none_or(is_better) {
                self.by_digest.insert(*info.sha256(), (Arc::clone(release), path.into()));
            }
        }
    }

    #[cfg(feature = "object-store")]
    pub(super) fn find_content(&self, sha256: &[u8; 32]) -> Option<&(Arc<KeptRelease>, Box<str>)> {
        self.by_digest.get(sha256)
    }

    pub(super) fn newest_with(&self, path: &str) -> Option<&Arc<KeptRelease>> {
        self.by_path.get(path)?.as_ref().map(|newest| &newest.release)
    }
}
