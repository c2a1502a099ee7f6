//! Which release has a file? Answered for names without a version, for contents and for
//! dictionaries, from the listings of the newest releases.

#[cfg(feature = "delta")]
use std::hash::{Hash as _, Hasher as _};
use std::{collections::HashMap, sync::Arc};

use rustc_hash::FxHashMap;
#[cfg(feature = "delta")]
use rustc_hash::FxHasher;

use crate::{Fingerprinted, manifest::Manifest, releases::KeptRelease};

/// How many bytes of listings are read. What only older releases have is not found.
pub(super) const BUDGET: u64 = 32 << 20;

/// What layers look for besides versions.
#[derive(Clone, Debug, Default)]
pub(super) struct Searches {
    /// The paths that these rules call fingerprinted.
    pub(super) rules: Vec<Fingerprinted>,
    /// The dictionaries that have a name under these rules, or without one.
    #[cfg(feature = "delta")]
    pub(super) dictionaries: Vec<Option<Fingerprinted>>,
}

impl Searches {
    pub(super) fn is_empty(&self) -> bool {
        #[cfg(feature = "delta")]
        if !self.dictionaries.is_empty() {
            return false;
        }
        self.rules.is_empty()
    }
}

/// What a file is called in all its versions: its logical path, without the part that is a hash.
/// It stands for that text, and another may have the same. That does not matter: what a name
/// finds is a content whose digest was asked for.
#[cfg(feature = "delta")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DictionaryName(u64);

#[cfg(feature = "delta")]
impl DictionaryName {
    pub(crate) fn of(path: &str, rule: Option<&Fingerprinted>) -> Self {
        let mut hasher = FxHasher::default();
        match rule.and_then(|rule| rule.position(path)) {
            // Two texts are never one to a hasher, so no path without a hash has this name.
            Some(hash) => (&path[..hash.start], &path[hash.end..]).hash(&mut hasher),
            None => path.hash(&mut hasher),
        }
        Self(hasher.finish())
    }
}

/// Where files are. Made anew for each set of releases.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The newest release that lists each path. `None` if others list other bytes there.
    by_path: HashMap<Box<str>, Option<Newest>>,
    /// Where each content is, preferably in a release that has all its files here.
    by_digest: FxHashMap<[u8; 32], FoundFile>,
    /// Where each content is that a file once had, in the same order of preference.
    #[cfg(feature = "delta")]
    dictionaries: FxHashMap<(DictionaryName, [u8; 32]), FoundFile>,
}

/// A release, and a logical path that it lists.
type FoundFile = (Arc<KeptRelease>, Box<str>);

#[derive(Debug)]
struct Newest {
    release: Arc<KeptRelease>,
    sha256: [u8; 32],
}

impl Index {
    /// Reads listings, those of the newest releases first, for what is wanted, and for contents.
    pub(super) fn new(
        newest_first: &[Arc<KeptRelease>],
        wanted: &Searches,
        with_digests: bool,
    ) -> Self {
        let (mut index, mut left) = (Self::default(), BUDGET);
        if wanted.is_empty() && !with_digests {
            return index;
        }
        for release in newest_first {
            // What cannot be read is found out when somebody asks for it.
            let Ok(Some(manifest)) = release.read_manifest() else { continue };
            index.add_paths(release, &manifest, &wanted.rules);
            #[cfg(feature = "delta")]
            index.add_dictionaries(release, &manifest, &wanted.dictionaries);
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
            if self.by_digest.get(info.sha256()).is_none_or(|known| is_better(release, known)) {
                self.by_digest.insert(*info.sha256(), (Arc::clone(release), path.into()));
            }
        }
    }

    #[cfg(feature = "delta")]
    fn add_dictionaries(
        &mut self,
        release: &Arc<KeptRelease>,
        manifest: &Manifest,
        rules: &[Option<Fingerprinted>],
    ) {
        for (path, info) in manifest.iter() {
            for rule in rules {
                let key = (DictionaryName::of(path, rule.as_ref()), *info.sha256());
                if self.dictionaries.get(&key).is_none_or(|known| is_better(release, known)) {
                    self.dictionaries.insert(key, (Arc::clone(release), path.into()));
                }
            }
        }
    }

    #[cfg(feature = "object-store")]
    pub(super) fn find_content(&self, sha256: &[u8; 32]) -> Option<&FoundFile> {
        self.by_digest.get(sha256)
    }

    #[cfg(feature = "delta")]
    pub(super) fn find_dictionary(
        &self,
        name: DictionaryName,
        sha256: &[u8; 32],
    ) -> Option<&FoundFile> {
        self.dictionaries.get(&(name, *sha256))
    }

    pub(super) fn newest_with(&self, path: &str) -> Option<&Arc<KeptRelease>> {
        self.by_path.get(path)?.as_ref().map(|newest| &newest.release)
    }
}

/// Whether a release, older than the one that is known to have some content, is preferred to it:
/// only because all its files are here.
fn is_better(older: &KeptRelease, known: &FoundFile) -> bool {
    older.is_own() && !known.0.is_own()
}

#[cfg(all(test, feature = "delta"))]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use sha2::{Digest as _, Sha256};
    use tempfile::TempDir;

    use super::*;
    use crate::releases::{Releases, record::Record};

    const OWN: bool = true;
    const REMOTE: bool = false;

    /// A version, whether its files are here, and what it lists.
    type Published<'r> = (&'r str, bool, &'r [(&'r str, &'r str)]);

    /// Writes the listings of releases, which are the newest first.
    fn releases(folder: &TempDir, all: &[Published<'_>]) -> Vec<Arc<KeptRelease>> {
        let release = |(i, &(version, is_own, files)): (usize, &Published<'_>)| {
            let manifest = Manifest::from_files(files.iter().copied()).unwrap();
            let path = folder.path().join(version);
            fs::write(&path, manifest.to_listing()).unwrap();
            let published = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - i as u64);
            let (version, digest) = (version.into(), *manifest.digest());
            Arc::new(KeptRelease::new(Record { version, digest, published, path }, is_own))
        };
        all.iter().enumerate().map(release).collect()
    }

    fn wanted(rules: &[Option<&Fingerprinted>]) -> Searches {
        let dictionaries = rules.iter().map(|rule| rule.cloned()).collect();
        Searches { rules: Vec::new(), dictionaries }
    }

    /// Returns the version and the path of what is found.
    fn find(
        index: &Index,
        path: &str,
        rule: Option<&Fingerprinted>,
        content: &str,
    ) -> Option<String> {
        let sha256 = Sha256::digest(content).into();
        let found = index.find_dictionary(DictionaryName::of(path, rule), &sha256);
        found.map(|(release, path)| format!("{}/{path}", release.version()))
    }

    #[test]
    fn names() {
        let (vite, parcel) = (Fingerprinted::vite(), Fingerprinted::parcel());
        let name = |path: &str, rule| DictionaryName::of(path, rule);
        let plain = |path: &str| DictionaryName::of(path, None);
        for (what, one, other, expected) in [
            (
                "another hash",
                name("assets/index-Bx7a91Zq.js", Some(&vite)),
                name("assets/index-9fQ2LmXc.js", Some(&vite)),
                true,
            ),
            (
                "another stem",
                name("assets/index-Bx7a91Zq.js", Some(&vite)),
                name("assets/about-9fQ2LmXc.js", Some(&vite)),
                false,
            ),
            (
                "another extension",
                name("assets/index-Bx7a91Zq.js", Some(&vite)),
                name("assets/index-9fQ2LmXc.css", Some(&vite)),
                false,
            ),
            (
                "another rule",
                name("assets/index-Bx7a91Zq.js", Some(&vite)),
                name("assets/index-Bx7a91Zq.js", Some(&parcel)),
                false,
            ),
            (
                "a path that looks like the rest of a name",
                name("assets/index-Bx7a91Zq.js", Some(&vite)),
                plain("assets/index-.js"),
                false,
            ),
            ("the same path", plain("app.js"), name("app.js", Some(&vite)), true),
            ("no rule", plain("assets/a-Bx7a91Zq.js"), plain("assets/a-9fQ2LmXc.js"), false),
        ] {
            assert_eq!(one == other, expected, "{what}");
        }
    }

    #[test]
    fn dictionaries() {
        let folder = tempfile::tempdir().unwrap();
        let vite = Fingerprinted::vite();
        let releases = releases(
            &folder,
            &[
                ("v3", REMOTE, &[("app.js", "new"), ("assets/a-9fQ2LmXc.js", "A2")]),
                ("v2", OWN, &[("app.js", "old"), ("assets/a-Bx7a91Zq.js", "A1"), ("b.js", "old")]),
                ("v1", OWN, &[("app.js", "old"), ("assets/a-Bx7a91Zq.js", "A1"), ("c.js", "new")]),
                ("v0", OWN, &[("app.js", "new")]),
            ],
        );
        let index = Index::new(&releases, &wanted(&[None, Some(&vite)]), false);
        let rule = Some(&vite);
        let new_name = "assets/a-CyV8b0Ar.js";
        for (what, path, rule, content, expected) in [
            ("the newest", "app.js", rule, "old", Some("v2/app.js")),
            ("one that is here, rather than newer", "app.js", rule, "new", Some("v0/app.js")),
            ("only in the bucket", new_name, rule, "A2", Some("v3/assets/a-9fQ2LmXc.js")),
            ("another hash", new_name, rule, "A1", Some("v2/assets/a-Bx7a91Zq.js")),
            ("without the rule", new_name, None, "A1", None),
            ("without a rule", "app.js", None, "old", Some("v2/app.js")),
            ("the content of another path", "b.js", rule, "new", None),
            ("no content", "app.js", rule, "other", None),
            ("no path", "d.js", rule, "old", None),
        ] {
            assert_eq!(find(&index, path, rule, content).as_deref(), expected, "{what}");
        }
        // One entry for each content of a name, however many releases list it. Without a rule,
        // two names more are two entries more.
        assert_eq!(index.dictionaries.len(), 6 + 2);
        assert_eq!(Index::new(&releases, &wanted(&[None]), false).dictionaries.len(), 6);
        assert_eq!(Index::new(&releases, &wanted(&[Some(&vite)]), false).dictionaries.len(), 6);
    }

    #[test]
    fn without_dictionaries_no_listing_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let releases = releases(&folder, &[("v1", OWN, &[("app.js", "old")])]);
        assert!(wanted(&[]).is_empty() && !wanted(&[None]).is_empty());
        let index = Index::new(&releases, &wanted(&[]), false);
        assert!(index.dictionaries.is_empty() && index.dictionaries.capacity() == 0);
        let rules = vec![Fingerprinted::vite()];
        let index = Index::new(&releases, &Searches { rules, ..Searches::default() }, true);
        assert!(index.dictionaries.is_empty() && index.dictionaries.capacity() == 0);
    }

    #[test]
    fn what_is_published_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let releases = Releases::folder(folder.path().join("releases")).unwrap();
        let publish = |version: &str, content: &str| {
            let root = folder.path().join(version);
            fs::create_dir(&root).unwrap();
            fs::write(root.join("app.js"), content).unwrap();
            releases.publish(version, &Manifest::scan(&root).unwrap(), [&root]).unwrap();
        };
        let name = DictionaryName::of("app.js", None);
        let find = |content: &str| {
            let found = releases.find_dictionary(name, &Sha256::digest(content).into());
            found.map(|(release, path)| (release.version().to_owned(), path))
        };
        publish("v1", "old");
        assert_eq!(find("old"), None, "nobody wants any");
        releases.find_dictionaries_by(None);
        assert_eq!(find("old"), Some(("v1".into(), "app.js".into())));
        publish("v2", "new");
        assert_eq!(find("new"), Some(("v2".into(), "app.js".into())));
        releases.remove("v1").unwrap();
        releases.refresh().unwrap();
        assert_eq!(find("old"), None, "deleted");
    }
}
