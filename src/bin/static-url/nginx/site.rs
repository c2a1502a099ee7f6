//! What is there to be served? Read when the configuration is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tower_static_url::{
    Fingerprinted, Manifest,
    releases::{Release, Releases},
};

use super::args::{Nginx, check};
use crate::{Failure, args::Files, coding::Coding, failed, identity::Tree};

/// The files that URLs without a version lead to, and their version.
pub(super) struct Site {
    pub(super) mount: String,
    /// Where the files are, without links in its own path.
    pub(super) root: String,
    pub(super) version: String,
    /// The directories at the top of the tree, which are no versions.
    pub(super) directories: BTreeSet<String>,
    pub(super) fingerprinted: Vec<Group>,
}

/// Fingerprinted files that are in one directory.
pub(super) struct Group {
    pub(super) root: String,
    pub(super) paths: Vec<String>,
}

/// A directory of releases.
pub(super) struct Kept {
    pub(super) folder: String,
    /// The directory with one directory for each version.
    pub(super) files: String,
    /// Directories of the newest release that are called like a kept one. The file wins that has
    /// exactly this path.
    pub(super) no_versions: BTreeSet<String>,
}

impl Site {
    pub(super) fn of_tree(mount: &str, args: &Nginx) -> Result<Self, Failure> {
        let files = Files { directories: vec![args.directory.clone()], remember: None };
        let Tree { manifest, version } = Tree::scan(&files, &args.identity)?;
        // So that a link that a deploy turns to the next build changes nothing here.
        let root = fs::canonicalize(&args.directory)
            .map_err(|error| failed(format!("cannot find {:?}: {error}", args.directory)))?;
        check(&root).map_err(|why| failed(format!("{root:?}: {why}")))?;
        check_siblings(&root, &manifest)?;
        let root = name(&root);
        let is_listed = |path: &str| has_hash(&args.fingerprinted, path);
        let paths = manifest.iter().map(|(path, _)| path.to_owned());
        let paths = paths.filter(|path| is_listed(path)).collect();
        let fingerprinted = vec![Group { root: root.clone(), paths }];
        let directories = directories(&manifest);
        Ok(Self { mount: mount.into(), root, version, directories, fingerprinted })
    }

    pub(super) fn of_releases(mount: &str, args: &Nginx) -> Result<(Self, Kept), Failure> {
        let mut kept = Kept::open(&args.directory)?;
        let releases = Releases::open(&args.directory)?.list()?;
        let Some(newest) = releases.first() else {
            return Err(failed(format!("no release is kept in {:?}: publish one", args.directory)));
        };
        let root = kept.root(newest);
        check_siblings(Path::new(&root), newest.manifest())?;
        let directories = directories(newest.manifest());
        let versions = releases.iter().map(|release| release.version().to_owned()).collect();
        kept.no_versions = directories.intersection(&versions).cloned().collect();
        let fingerprinted = kept.fingerprinted(&releases, &args.fingerprinted);
        let (mount, version) = (mount.to_owned(), newest.version().to_owned());
        Ok((Self { mount, root, version, directories, fingerprinted }, kept))
    }
}

impl Kept {
    /// Opens a directory of releases. It need not be there yet.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        if folder.exists() {
            Releases::open(folder)?;
        }
        let files = name(&folder.join("files"));
        Ok(Self { folder: name(folder), files, no_versions: BTreeSet::new() })
    }

    fn root(&self, release: &Release) -> String {
        format!("{}/{}", self.files, release.version())
    }

    /// Returns where each fingerprinted file is: in the newest release that lists it, if all that
    /// list it have the same bytes there. Otherwise its name is no hash of them.
    fn fingerprinted(&self, releases: &[Release], rules: &[Fingerprinted]) -> Vec<Group> {
        let mut seen = BTreeMap::<&str, (usize, Option<&[u8; 32]>)>::new();
        for (index, release) in releases.iter().enumerate() {
            for (path, info) in release.manifest().iter().filter(|(path, _)| has_hash(rules, path))
            {
                let (_, digest) = seen.entry(path).or_insert((index, Some(info.sha256())));
                *digest = digest.filter(|digest| *digest == info.sha256());
            }
        }
        let of = |index: usize| {
            let own =
                seen.iter().filter(|(_, (first, digest))| *first == index && digest.is_some());
            own.map(|(path, _)| (*path).to_owned()).collect()
        };
        let groups = releases.iter().enumerate();
        groups.map(|(index, it)| Group { root: self.root(it), paths: of(index) }).collect()
    }
}

fn has_hash(rules: &[Fingerprinted], path: &str) -> bool {
    rules.iter().any(|rule| rule.hash(path).is_some())
}

fn directories(manifest: &Manifest) -> BTreeSet<String> {
    let directories = manifest.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0));
    directories.map(str::to_owned).collect()
}

/// The arguments are UTF-8, and so is what was made of them.
fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Checks that each `.gz` has the content of the file beside it: nginx sends it unseen.
fn check_siblings(root: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let siblings = manifest.iter().filter_map(|(path, _)| {
        let of = path.strip_suffix(Coding::Gzip.suffix())?;
        manifest.get(of).map(|_| (root.join(path), root.join(of)))
    });
    for (sibling, file) in siblings {
        if !is_of(&sibling, &file) {
            let remedy = "delete it, or run `static-url precompress`";
            let text = format!("{sibling:?} is not of {file:?}, and nginx would send it: {remedy}");
            return Err(failed(text));
        }
    }
    Ok(())
}

fn is_of(sibling: &PathBuf, file: &PathBuf) -> bool {
    let compared =
        || -> io::Result<bool> { Coding::Gzip.is_of(File::open(sibling)?, File::open(file)?) };
    compared().unwrap_or(false)
}
