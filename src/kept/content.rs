//! Where are the bytes of a listed file? In the directory of releases, or in the tree. Whoever
//! needs them reads them, and compares their digest.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use crate::{kept::Kept, releases::KeptRelease};

/// Some content, and where it may be.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    sha256: [u8; 32],
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
enum Place {
    Release(Arc<KeptRelease>, Box<str>),
    Tree(PathBuf),
}

impl Content {
    pub(crate) fn in_release(release: &Arc<KeptRelease>, path: Box<str>, sha256: [u8; 32]) -> Self {
        Self { sha256, places: vec![Place::Release(Arc::clone(release), path)] }
    }

    /// Reads the content, if it has at most so many bytes and is where it should be. Blocks.
    pub(crate) fn read(&self, most: u64) -> Option<Vec<u8>> {
        let found = self.places.iter().filter_map(|place| place.find());
        let mut contents = found.filter_map(|path| read(&path, most));
        contents.find(|content| Sha256::digest(content)[..] == self.sha256)
    }
}

impl Place {
    fn find(&self) -> Option<PathBuf> {
        match self {
            Self::Release(release, path) => release.file(path).map(|(path, _)| path),
            Self::Tree(path) => Some(path.clone()),
        }
    }
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    // To open anything but a regular file may take for ever.
    let length = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    let length = usize::try_from(length).ok().filter(|_| length <= most)?;
    let mut content = Vec::with_capacity(length + 1);
    File::open(path).ok()?.take(most + 1).read_to_end(&mut content).ok()?;
    (content.len() == length).then_some(content)
}

impl Kept {
    /// Returns where the bytes of a file of a release may be.
    pub(crate) fn find_content(&self, version: &str, path: &str, sha256: [u8; 32]) -> Content {
        let release = self.releases.kept(version);
        let release = release.map(|release| Place::Release(release, path.into()));
        let tree = self.roots.iter().map(|root| Place::Tree(root.join(path)));
        Content { sha256, places: release.into_iter().chain(tree).collect() }
    }
}

#[cfg(feature = "object-store")]
mod bring {
    use std::time::{Duration, Instant};

    use super::{Arc, Content, Kept, KeptRelease, Place};
    use crate::{kept::flight::Flight, snapshot::current::Handle};

    /// How long a request waits for a dictionary. It is of use for later ones, too.
    const PATIENCE: Duration = Duration::from_secs(1);

    impl Kept {
        /// Whether some content of a release may come from the bucket.
        pub(crate) fn may_bring(&self, content: &Content) -> bool {
            let first = content.places.first();
            let is_own =
                |place: &Place| matches!(place, Place::Release(release, _) if release.is_own());
            self.releases.is_filled() && !first.is_none_or(is_own)
        }

        /// Fetches some content of a release from the bucket. Returns whether it came soon.
        pub(crate) async fn bring(self: &Arc<Self>, content: &Content, current: &Handle) -> bool {
            let Some(Place::Release(release, path)) = content.places.first() else { return false };
            let (kept, current) = (Arc::clone(self), current.clone());
            let (release, path) = (Arc::clone(release), path.clone());
            let (flight, landing) = Flight::start();
            let bringing = async move { kept.bring_file(&release, &path, &current).await };
            self.releases.spawn(async move {
                if tokio::time::timeout(PATIENCE, bringing).await == Ok(Some(())) {
                    landing.land(());
                }
            });
            flight.landed().await.is_some()
        }

        async fn bring_file(
            self: &Arc<Self>,
            release: &Arc<KeptRelease>,
            path: &str,
            current: &Handle,
        ) -> Option<()> {
            if let Some(source) = self.releases.source() {
                source.budget.ask(release.version(), Instant::now());
            }
            let mut opened = self.open(release).await.ok()?;
            let index = opened.handle.find(path)?;
            // It was checked when it was here, and then deleted to make room.
            if opened.files().is_some_and(|files| files.is_made(index))
                && !is_here(release, path).await
            {
                self.shelf.forget(release);
                opened = self.open(release).await.ok()?;
            }
            self.check(&opened, index, current).await.ok().map(drop)
        }
    }

    async fn is_here(release: &Arc<KeptRelease>, path: &str) -> bool {
        let (release, path) = (Arc::clone(release), Box::<str>::from(path));
        let found = tokio::task::spawn_blocking(move || release.file(&path).is_some());
        found.await.unwrap_or(false)
    }
}
