//! What does a user of tower see? The layer, its builder, and the service, future and body that
//! it makes.

pub(crate) mod body;
pub(crate) mod body_digest;
pub(crate) mod builder;
pub(crate) mod expected;
pub(crate) mod future;
pub(crate) mod service;

use std::{path::PathBuf, sync::Arc};

use tower_layer::Layer;

use crate::{Error, StaticPrefix, StaticUrl, StaticUrlLayerBuilder, snapshot::current::Current};

/// The layer: gives the files below a mount a versioned prefix. See the [crate docs](crate).
///
/// Clones are cheap and share all state: a [reload](Self::reload) of one is a reload of all.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_http::services::ServeDir;
/// use tower_static_url::StaticUrlLayer;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # std::fs::write(folder.path().join("app.css"), "").unwrap();
/// # let assets = folder.path();
/// let layer = StaticUrlLayer::new("/static", assets)?;
/// println!("URLs start with {}", layer.prefix());
///
/// // For axum's `nest_service("/static", files)`, which strips the mount.
/// let files = ServeDir::new(assets).redirect_path_prefix("/static");
/// let files = ServiceBuilder::new().layer(layer.nested()).service(files);
/// # Ok::<(), tower_static_url::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticUrlLayer {
    shared: Arc<Shared>,
}

/// What a service needs from its layer, behind one pointer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) current: Arc<Current>,
    /// An outer router has stripped the mount from the request paths.
    pub(crate) nested: bool,
}

impl StaticUrlLayer {
    /// Makes a layer for the files of the directory `root`, served below the URL path `mount`.
    /// This is the set-up for production: the version is the
    /// [tree digest](crate::manifest#the-tree-digest), and all settings have their defaults.
    /// Blocks while it scans the directory.
    ///
    /// # Errors
    ///
    /// The same as [`StaticUrlLayerBuilder::build`].
    pub fn new(mount: &str, root: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(mount).root(root).build()
    }

    /// Returns a builder for a layer with settings of your own. `mount` is the URL path under
    /// which the files live: `/static`, or `/`. It is checked by
    /// [`build`](StaticUrlLayerBuilder::build).
    pub fn builder(mount: impl Into<String>) -> StaticUrlLayerBuilder {
        StaticUrlLayerBuilder::new(mount.into())
    }

    /// Returns the current prefix, to make links outside of a request.
    pub fn prefix(&self) -> StaticPrefix {
        StaticPrefix::new(self.shared.current.followed_handle())
    }

    /// Returns the same layer for use inside an outer router that strips the mount from the
    /// path, as axum's `nest` and `nest_service` do. There it matches `/<version>/…`, and still
    /// generates the same URLs. The inner service must put the mount into its redirects itself:
    /// for `ServeDir`, call `redirect_path_prefix`.
    ///
    /// Handlers elsewhere in the router are not behind this layer, and find no prefix in their
    /// requests. Add an `Extension(layer.clone())` for them: the [`StaticPrefix`] extractor
    /// takes the current prefix from it.
    pub fn nested(&self) -> Self {
        let current = Arc::clone(&self.shared.current);
        Self { shared: Arc::new(Shared { current, nested: true }) }
    }

    /// Scans the directory again, evaluates the version source again, and publishes the result
    /// for all services of this layer and of its clones. Blocks: call it on a thread for
    /// blocking work.
    ///
    /// Requests under way end with the version with which they began. Every later request sees
    /// only the new one. To a browser a new version means new URLs: it fetches the files again
    /// with the next page that it loads.
    ///
    /// Only files that may have changed are read: those whose length, modification time, change
    /// time or inode differs, and those that had changed less than two seconds before they were
    /// last read. Windows has no inodes and no change times: there an edit that keeps length
    /// and modification time is missed.
    ///
    /// ```
    /// # use tower_static_url::StaticUrlLayer;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let assets = folder.path();
    /// # std::fs::write(assets.join("app.css"), "p { color: teal }").unwrap();
    /// let layer = StaticUrlLayer::new("/static", assets)?;
    /// std::fs::write(assets.join("app.css"), "p { color: navy }").unwrap();
    /// let reload = layer.reload()?;
    /// assert_ne!(reload.before().version(), reload.after().version());
    /// assert_eq!(layer.prefix().version(), reload.after().version());
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`StaticUrlLayerBuilder::build`]. After an error the layer serves as before.
    pub fn reload(&self) -> Result<Reload, Error> {
        let (before, after) = self.shared.current.reload()?;
        Ok(Reload { before: StaticPrefix::new(before), after: StaticPrefix::new(after) })
    }

    /// Publishes the current version and its files to the [`releases`] of the builder. From then
    /// on every node that uses the same releases answers for this version, also after the files
    /// of the [root](StaticUrlLayerBuilder::root) have changed.
    ///
    /// Blocks while it copies what the releases do not have yet: call it before the server
    /// starts, or on a thread for blocking work. Call it again after a [reload](Self::reload)
    /// that has changed the version. Nodes with the same files may publish at the same time.
    ///
    /// To a browser, the URLs that pages link to now are good for as long as the release is
    /// kept.
    ///
    /// [`releases`]: StaticUrlLayerBuilder::releases
    ///
    /// # Errors
    ///
    /// - [`ManifestRequired`](crate::ErrorKind::ManifestRequired): the layer has no root, so
    ///   there are no files to copy; or the builder was given no releases.
    /// - [`NotPublishable`](crate::ErrorKind::NotPublishable): the version is made of the start
    ///   of the process or of a file's time, so other nodes with the same files have another.
    /// - The errors of [`Releases::publish`](crate::releases::Releases::publish).
    #[cfg(feature = "releases")]
    pub fn publish(&self) -> Result<crate::releases::Published, Error> {
        self.shared.current.publish()
    }
}

#[cfg(any(feature = "watch", test))]
impl StaticUrlLayer {
    pub(crate) fn current(&self) -> &Arc<Current> {
        &self.shared.current
    }
}

impl<S> Layer<S> for StaticUrlLayer {
    type Service = StaticUrl<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StaticUrl::new(inner, Arc::clone(&self.shared))
    }
}

/// The result of [`StaticUrlLayer::reload`].
#[derive(Clone, Debug)]
pub struct Reload {
    before: StaticPrefix,
    after: StaticPrefix,
}

impl Reload {
    /// Returns the prefix before the reload.
    pub fn before(&self) -> &StaticPrefix {
        &self.before
    }

    /// Returns the prefix after the reload. It is the same as before if nothing has changed.
    pub fn after(&self) -> &StaticPrefix {
        &self.after
    }

    /// Returns whether the prefix has changed, and with it the URL of every file that is not
    /// [fingerprinted](StaticUrlLayerBuilder::fingerprinted).
    pub fn has_changed(&self) -> bool {
        self.before.as_str() != self.after.as_str()
    }
}
