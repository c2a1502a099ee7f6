//! Where else are the bytes of a file? In the directory, in another release, in the node's own tree.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use crate::{
    manifest::FileInfo,
    releases::{KeptRelease, Releases},
};

const BUFFER: usize = 128 * 1024;

/// A file of a release, and what it should be.
pub(super) struct Wanted<'w> {
    pub(super) release: &'w Arc<KeptRelease>,
    pub(super) path: &'w str,
    pub(super) info: &'w FileInfo,
}

impl Wanted<'_> {
    /// Whether the right bytes are there already.
    pub(super) async fn is_here(&self) -> bool {
        let (release, path) = (Arc::clone(self.release), self.path.to_owned());
        let (sha256, length) = (*self.info.sha256(), self.info.length());
        let hash = spawn_blocking(move || {
            let (file, metadata) = release.file(&path)?;
            (metadata.len() == length).then(|| sha256_of(&file, |_| Ok(())).ok())?
        });
        hash.await.is_ok_and(|hash| hash == Some(sha256))
    }

    /// Takes the file of another release, if it is here and right.
    pub(super) fn take(&self, other: &KeptRelease, path: &str, releases: &Releases) -> bool {
        let Some((from, metadata)) = other.file(path) else { return false };
        let is_right = metadata.len() == self.info.length()
            && sha256_of(&from, |_| Ok(())).is_ok_and(|sha256| sha256 == *self.info.sha256());
        if !is_right {
            return false;
        }
        let is_linked = releases.link_file(&from, self.release, self.path).is_ok();
        is_linked || self.copy(&from, releases).is_ok()
    }

    pub(super) fn copy(&self, from: &Path, releases: &Releases) -> io::Result<()> {
        let mut file = releases.begin_file().map_err(io::Error::other)?;
        let sha256 = sha256_of(from, |bytes| file.write(bytes))?;
        if sha256 != *self.info.sha256() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        file.finish(releases, self.release, self.path)
    }
}

/// Hashes a file, and gives its bytes away meanwhile.
fn sha256_of(path: &Path, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<[u8; 32]> {
    let (mut file, mut sha256, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sha256.finalize().into()),
            Ok(read) => {
                sha256.update(&buffer[..read]);
                take(&buffer[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
