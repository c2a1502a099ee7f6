//! Are all files of all releases still what was published?

use std::{
    collections::HashMap,
    fmt,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::{
    Error, Manifest,
    manifest::FileInfo,
    releases::{
        KeptRelease, Releases,
        index::Searches,
        known::{Known, Sources},
        record::NoRecord,
    },
};

/// Something in a directory or bucket of releases that is not what was published.
/// [`Display`](fmt::Display) shows the path or key, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    path: PathBuf,
    why: Box<str>,
}

impl Damage {
    pub(super) fn new(path: &Path, why: impl Into<Box<str>>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    /// Returns the path of the file or directory, or the key in the bucket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is wrong with it: `is missing`, for example.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.path, self.why)
    }
}

impl Releases {
    /// Reads every file of every release, and returns what is not as it was published: files
    /// that are missing, have other content or are links, files that no release lists, and
    /// records that are damaged. Blocks for as long as it takes to hash all files; nobody can
    /// delete a release meanwhile.
    ///
    /// To mend a damaged release, [publish](Self::publish) it again: what looks as it did when
    /// it was published stays, so [withdraw](Self::withdraw) it first.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list).
    pub fn verify(&self) -> Result<Vec<Damage>, Error> {
        let _no_deletion = self.0.folder.lock_shared()?;
        self.refresh()?;
        let known = self.0.known.load_full();
        let folder = &self.0.folder;
        let sources = Sources {
            folder,
            remotes: Vec::new(),
            wanted: &Searches::default(),
            with_digests: false,
        };
        let (_, ignored) = Known::read(sources, &known)?;
        let damage = |NoRecord { path, why }| Damage::new(&path, why);
        let mut damages = ignored.into_iter().map(damage).collect::<Vec<_>>();
        let mut hashes = Hashes::default();
        for release in known.own() {
            let Ok(Some(manifest)) = release.read_manifest() else { continue };
            let files = manifest.iter();
            damages.extend(files.filter_map(|(path, info)| hashes.check(release, path, info)));
            damages.extend(unlisted(release, &manifest));
        }
        Ok(damages)
    }
}

/// The digests of files that were hashed. Releases share most of them.
#[derive(Default)]
struct Hashes(HashMap<Identity, [u8; 32]>);

/// What distinguishes a file, whatever its name: device and inode, where there are such.
type Identity = (u64, u64);

impl Hashes {
    fn check(&mut self, release: &KeptRelease, path: &str, info: &FileInfo) -> Option<Damage> {
        let Some((file, metadata)) = release.file(path) else {
            return Some(Damage::new(&release.directory().join(path), "is missing, or is a link"));
        };
        if metadata.len() != info.length() {
            let why = format!("has {} bytes instead of {}", metadata.len(), info.length());
            return Some(Damage::new(&file, why));
        }
        match self.hash(&file, &metadata) {
            Ok(digest) if digest == *info.sha256() => None,
            Ok(_) => Some(Damage::new(&file, "has other content than was published")),
            Err(error) => Some(Damage::new(&file, format!("cannot be read: {error}"))),
        }
    }

    fn hash(&mut self, path: &Path, metadata: &Metadata) -> io::Result<[u8; 32]> {
        let identity = identity(metadata);
        if let Some(digest) = identity.and_then(|identity| self.0.get(&identity)) {
            return Ok(*digest);
        }
        let digest = sha256(&mut File::open(path)?, &mut vec![0; 128 * 1024])?;
        if let Some(identity) = identity {
            self.0.insert(identity, digest);
        }
        Ok(digest)
    }
}

fn identity(metadata: &Metadata) -> Option<Identity> {
    #[cfg(unix)]
    return Some({
        use std::os::unix::fs::MetadataExt as _;
        (metadata.dev(), metadata.ino())
    });
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Hashes what is left to read.
pub(super) fn sha256(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<[u8; 32]> {
    let mut sha256 = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(sha256.finalize().into()),
            Ok(read) => sha256.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns what lies in the directory of a release without being listed.
fn unlisted(release: &KeptRelease, manifest: &Manifest) -> Vec<Damage> {
    let walk = WalkDir::new(release.directory()).min_depth(1).into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| !entry.file_type().is_dir());
    let is_listed = |path: &Path| {
        let path = path.strip_prefix(release.directory()).ok()?;
        let path = path.to_str()?.replace(std::path::MAIN_SEPARATOR, "/");
        manifest.get(&path)
    };
    let unlisted = files.filter(|entry| is_listed(entry.path()).is_none());
    unlisted.map(|entry| Damage::new(entry.path(), "is not listed by its release")).collect()
}
