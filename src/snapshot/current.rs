//! What the services of one layer have in common, and how it is made anew while
//! they run.

#[cfg(feature = "watch")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::{
    Error, Manifest, VersionSource,
    manifest::Scan,
    snapshot::published::Published,
    snapshot::{Settings, Snapshot},
    version_source::Salt,
};

/// The current snapshot, and what it was made from.
#[derive(Debug)]
pub(crate) struct State {
    current: ArcSwap<Published>,
    recipe: Recipe,
    /// Held while a snapshot is made, so that no older one is published after it.
    reloading: Mutex<()>,
    /// Notified of every snapshot.
    #[cfg(feature = "watch")]
    pub(crate) published: event_listener::Event,
}

/// A snapshot as one request holds it. Unlike a reference count, which all threads
/// would have to share, this costs no more the more cores there are.
pub(crate) type CurrentSnapshot = Guard<Arc<Published>>;

/// From what a snapshot is made, every time.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) settings: Settings,
    pub(crate) source: VersionSource,
    pub(crate) salt: Salt,
    pub(crate) files: Files,
}

/// Where the list of files comes from.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    Unknown,
    Scanned(Scan),
    Listed(Manifest),
}

impl State {
    pub(crate) fn new(recipe: Recipe) -> Result<Self, Error> {
        let current = ArcSwap::from_pointee(Published::new(recipe.make(None)?));
        Ok(Self {
            current,
            recipe,
            reloading: Mutex::new(()),
            #[cfg(feature = "watch")]
            published: event_listener::Event::new(),
        })
    }

    /// The snapshot for one request, which must ask only once.
    pub(crate) fn snapshot(&self) -> CurrentSnapshot {
        self.current.load()
    }

    /// Makes a snapshot anew and publishes it whole, or nothing of it. Returns the
    /// one before and the one after.
    pub(crate) fn reload(&self) -> Result<(Arc<Published>, Arc<Published>), Error> {
        // Nothing is half done when a panic poisons it: the lock guards no data.
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let new = Arc::new(Published::new(self.recipe.make(Some(&old))?));
        self.current.store(Arc::clone(&new));
        if let Some(memory) = old.memory() {
            memory.retire();
        }
        #[cfg(feature = "watch")]
        self.published.notify(usize::MAX);
        Ok((old, new))
    }
}

#[cfg(feature = "watch")]
impl State {
    /// The folder and the file that a new version can come from.
    pub(crate) fn sources(&self) -> (Option<&Path>, Option<&Path>) {
        let folder = match &self.recipe.files {
            Files::Scanned(scan) => Some(scan.root()),
            Files::Unknown | Files::Listed(_) => None,
        };
        (folder, self.recipe.source.file())
    }
}

impl Recipe {
    fn make(&self, old: Option<&Snapshot>) -> Result<Snapshot, Error> {
        let manifest = match &self.files {
            Files::Unknown => None,
            Files::Scanned(scan) => Some(scan.rescan(|path| old?.info(path))?),
            Files::Listed(manifest) => Some(manifest.clone()),
        };
        let tree = manifest.as_ref().map(Manifest::digest);
        let version = self.source.resolve(&self.salt, tree)?;
        Snapshot::new(self.settings.clone(), version, manifest, old)
    }
}
