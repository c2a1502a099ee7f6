//! Which snapshot is current, and how does another one take its place?

use std::{
    ops::Deref,
    sync::{Arc, OnceLock, PoisonError, Weak},
    time::Instant,
};

use arc_swap::ArcSwap;
use http::Extensions;

#[cfg(feature = "watch")]
use crate::manifest::scan::AtRest;
use crate::{
    Error,
    observe::event::{self, Event},
    snapshot::{
        Snapshot,
        per_thread::{self, PerThread},
        recipe::Recipe,
    },
    sync::Mutex,
    url::StaticUrlOutcome,
};
#[cfg(feature = "releases")]
use crate::{ErrorKind, releases, snapshot::files::Files};

/// The current snapshot, and the recipe for the next one.
#[derive(Debug)]
pub(crate) struct Current {
    published: ArcSwap<Published>,
    recipe: Recipe,
    /// Locked while a snapshot is made, so that no older one is published after it.
    reloading: Mutex<()>,
    /// Notified when a snapshot is published.
    #[cfg(feature = "watch")]
    pub(crate) reloaded: event_listener::Event,
}

/// A published snapshot, with handles to it for each thread.
#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    handles: PerThread<Handle>,
}

/// A reference to a snapshot. It can be held for any time.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Padded>);

/// Aligned so that each handle's reference count has a cache line of its own, and the next one
/// too, which processors fetch along with it.
#[derive(Debug)]
#[repr(align(128))]
struct Padded {
    snapshot: Arc<Snapshot>,
    /// The extensions of a request with each outcome, to be cloned.
    extensions: [OnceLock<Extensions>; StaticUrlOutcome::COUNT],
    /// Where to find a later snapshot. Empty in the handle of a request.
    #[cfg(feature = "axum")]
    current: Weak<Current>,
}

impl Current {
    pub(crate) fn new(recipe: Recipe) -> Result<Self, Error> {
        let published = ArcSwap::from_pointee(Published::new(recipe.make(None)?));
        Ok(Self {
            published,
            recipe,
            reloading: Mutex::new(()),
            #[cfg(feature = "watch")]
            reloaded: event_listener::Event::new(),
        })
    }

    /// Returns the current snapshot. A request calls this only once, and uses the same snapshot
    /// to its end.
    #[inline]
    pub(crate) fn handle(&self) -> Handle {
        // The guard is dropped at once: each thread has only few fast ones, and a request may
        // be under way for long.
        self.published.load().handle().clone()
    }

    /// Returns the current snapshot as [`handle`](Self::handle) does, in a handle that can also
    /// find later snapshots.
    pub(crate) fn followed_handle(self: &Arc<Self>) -> Handle {
        let snapshot = Arc::clone(&self.published.load().snapshot);
        Handle::new(snapshot, Arc::downgrade(self))
    }

    /// Makes a new snapshot and publishes it. After an error the old one stays current. Returns
    /// the snapshots before and after.
    pub(crate) fn reload(&self) -> Result<(Handle, Handle), Error> {
        self.replace(|old| self.recipe.make(Some(old)))
    }

    fn replace(
        &self,
        make: impl FnOnce(&Snapshot) -> Result<Snapshot, Error>,
    ) -> Result<(Handle, Handle), Error> {
        let begun = Instant::now();
        let replaced = self.make_and_publish(make);
        event::emit(match &replaced {
            Ok((old, new)) => {
                Event::Reloaded { took: begun.elapsed(), is_new: old.version() != new.version() }
            }
            Err(_) => Event::NotReloaded,
        });
        replaced
    }

    fn make_and_publish(
        &self,
        make: impl FnOnce(&Snapshot) -> Result<Snapshot, Error>,
    ) -> Result<(Handle, Handle), Error> {
        // The lock guards no data, so a panic leaves nothing inconsistent.
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.published.load_full();
        let new = Arc::new(Published::new(make(&old.snapshot)?));
        self.published.store(Arc::clone(&new));
        if let Some(memory) = old.snapshot.memory() {
            memory.clear();
        }
        #[cfg(feature = "watch")]
        self.reloaded.notify(usize::MAX);
        Ok((old.handle().clone(), new.handle().clone()))
    }
}

#[cfg(feature = "releases")]
impl Current {
    /// Publishes the current snapshot to the releases.
    pub(crate) fn publish(&self) -> Result<releases::Published, Error> {
        let handle = self.handle();
        let error = |message| Err(Error::new(ErrorKind::ManifestRequired, message));
        let Some(kept) = &handle.settings().kept else {
            return error("there are no releases to publish to: give the builder `releases`");
        };
        let manifest = handle.files().map(Files::to_manifest);
        let (Some(manifest), Some(scan)) = (manifest, self.recipe.scan()) else {
            return error("`publish` needs a root, and there is none");
        };
        self.recipe.source.check_publishable()?;
        kept.releases().publish(handle.version(), &manifest, scan.roots())
    }
}

#[cfg(feature = "watch")]
impl Current {
    /// [Reloads](Self::reload), but takes only those changed files that are at rest. The others
    /// stay in the manifest as they were.
    pub(crate) fn reload_what_is_at_rest(&self, is_at_rest: AtRest) -> Result<(), Error> {
        let recipe = self.recipe.of_what_is_at_rest(is_at_rest);
        self.replace(|old| recipe.make(Some(old))).map(drop)
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

impl Published {
    fn new(snapshot: Snapshot) -> Self {
        per_thread::prepare();
        Self { snapshot: Arc::new(snapshot), handles: PerThread::new() }
    }

    fn handle(&self) -> &Handle {
        self.handles.get_or_init(|| Handle::new(Arc::clone(&self.snapshot), Weak::new()))
    }
}

impl Handle {
    #[cfg_attr(
        not(feature = "axum"),
        expect(unused_variables, reason = "only axum's extractor follows a handle")
    )]
    fn new(snapshot: Arc<Snapshot>, current: Weak<Current>) -> Self {
        Self(Arc::new(Padded {
            snapshot,
            extensions: [const { OnceLock::new() }; StaticUrlOutcome::COUNT],
            #[cfg(feature = "axum")]
            current,
        }))
    }

    /// Makes a handle to a snapshot that is not current.
    #[cfg(feature = "releases")]
    pub(crate) fn to_other(snapshot: Snapshot) -> Self {
        Self::new(Arc::new(snapshot), Weak::new())
    }

    /// Returns the extensions of a request with this outcome. A clone of them costs less than
    /// to insert each into a new map. The first call makes them, with a handle to put there.
    pub(crate) fn extensions(
        &self,
        outcome: StaticUrlOutcome,
        make: impl FnOnce(Self) -> Extensions,
    ) -> &Extensions {
        // Another handle than this one, which would keep itself alive.
        let other = || Self::new(Arc::clone(&self.0.snapshot), Weak::new());
        self.0.extensions[outcome as usize].get_or_init(|| make(other()))
    }

    /// Returns the snapshot that is current now, if this handle can be
    /// [followed](Current::followed_handle); else this one.
    #[cfg(feature = "axum")]
    pub(crate) fn follow(&self) -> Self {
        self.0.current.upgrade().map_or_else(|| self.clone(), |current| current.followed_handle())
    }
}

impl Deref for Handle {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticUrlLayer;

    fn current(root: &std::path::Path) -> Arc<Current> {
        let layer = StaticUrlLayer::new("/static", root).unwrap();
        Arc::clone(layer.current())
    }

    #[test]
    fn a_handle_keeps_its_snapshot() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "1").unwrap();
        let current = current(root.path());
        let before = current.handle();
        std::fs::write(root.path().join("a"), "2").unwrap();
        let (old, new) = current.reload().unwrap();
        assert_eq!(old.version(), before.version());
        assert_ne!(new.version(), before.version());
        assert_eq!(current.handle().version(), new.version());
    }

    #[test]
    fn a_failed_reload_leaves_everything_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "1").unwrap();
        let current = current(root.path());
        let before = current.handle().version().to_owned();
        std::fs::remove_file(root.path().join("a")).unwrap();
        current.reload().unwrap_err();
        assert_eq!(current.handle().version(), before);
    }

    #[cfg(feature = "axum")]
    #[test]
    fn only_a_followed_handle_follows() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "1").unwrap();
        let current = current(root.path());
        let (request, kept) = (current.handle(), current.followed_handle());
        std::fs::write(root.path().join("a"), "2").unwrap();
        let (before, after) = current.reload().unwrap();
        assert_eq!(request.follow().version(), before.version(), "a request sees one snapshot");
        assert_eq!(kept.version(), before.version());
        assert_eq!(kept.follow().version(), after.version());
        std::fs::write(root.path().join("a"), "3").unwrap();
        let (_, last) = current.reload().unwrap();
        assert_eq!(kept.follow().follow().version(), last.version());
    }

    /// Requests arrive while several threads reload: no thread sees an older snapshot after a
    /// newer one, and no snapshot is lost.
    #[cfg(shuttle)]
    #[test]
    fn shuttle_swap() {
        use crate::url::version::Version;

        fn number(snapshot: &Snapshot) -> u32 {
            snapshot.version()[1..].parse().unwrap()
        }

        fn next(old: &Snapshot) -> Result<Snapshot, Error> {
            shuttle::thread::yield_now();
            let version = Version::literal(&format!("v{:04}", number(old) + 1))?;
            Snapshot::new(old.settings().clone(), version, None, Some(old))
        }

        const RELOADS: u32 = 2;
        let run = || {
            let literal = crate::VersionSource::literal("v0000");
            let layer = StaticUrlLayer::builder("/static").version(literal).build().unwrap();
            let current = Arc::clone(layer.current());
            let reloading = || {
                let current = Arc::clone(&current);
                move || {
                    for _ in 0..RELOADS {
                        let (before, after) = current.replace(next).unwrap();
                        assert_eq!(number(&after), number(&before) + 1);
                    }
                }
            };
            let requesting = || {
                let current = Arc::clone(&current);
                move || {
                    let mut newest = 0;
                    for _ in 0..4 {
                        let seen = number(&current.handle());
                        assert!(newest <= seen, "{seen} after {newest}");
                        newest = seen;
                        shuttle::thread::yield_now();
                    }
                }
            };
            let reloads = [reloading(), reloading(), reloading()].map(shuttle::thread::spawn);
            let requests = [requesting(), requesting()].map(shuttle::thread::spawn);
            reloads.into_iter().chain(requests).for_each(|thread| thread.join().unwrap());
            assert_eq!(number(&current.handle()), 3 * RELOADS);
        };
        shuttle::check_random(run, 5_000);
        shuttle::check_pct(run, 5_000, 3);
    }

    #[cfg(feature = "watch")]
    #[test]
    fn from_where_a_new_version_can_come() {
        use crate::{Manifest, VersionSource};
        let root = tempfile::tempdir().unwrap();
        let build = root.path().join("build");
        std::fs::write(&build, "1").unwrap();
        let (directory, file) = (Some(root.path()), Some(&*build));
        let literal = || VersionSource::literal("v1");
        let builder = || StaticUrlLayer::builder("/static");
        let manifest = || Manifest::from_files([("a", "")]).unwrap();
        for (name, builder, expected) in [
            ("a tree", builder().root(root.path()), (directory, None)),
            (
                "a tree and a literal",
                builder().root(root.path()).version(literal()),
                (directory, None),
            ),
            (
                "a tree and a file",
                builder().root(root.path()).version(VersionSource::file_modified(&build)),
                (directory, file),
            ),
            ("a file", builder().version(VersionSource::file_modified(&build)), (None, file)),
            ("a list", builder().manifest(manifest()), (None, None)),
            ("a literal", builder().version(literal()), (None, None)),
        ] {
            let layer = builder.build().unwrap();
            let recipe = layer.current().recipe();
            let directory = recipe.scan().map(|scan| &*scan.roots()[0]);
            assert_eq!((directory, recipe.source.file()), expected, "{name}");
        }
    }
}
