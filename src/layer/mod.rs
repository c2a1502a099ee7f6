pub(crate) mod body;
pub(crate) mod body_digest;
pub(crate) mod future;
pub(crate) mod service;

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};
use tower_layer::Layer;

use crate::{
    CachePolicy, Error, ErrorKind, Manifest, StaticPrefix, StaticUrl, VersionSource,
    manifest::Scan,
    policy::Policies,
    snapshot::Settings,
    snapshot::current::{CurrentSnapshot, Files, Recipe, State},
    url::Mount,
    version_source::Salt,
};

/// 1 MiB.
const DEFAULT_BODY_DIGEST_LIMIT: u64 = 1024 * 1024;

/// Gives the files below a mount a versioned prefix; see the [crate docs](crate).
///
/// A clone is cheap and shares everything.
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
/// println!("linking below {}", layer.prefix());
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

/// What a service needs of its layer, behind one pointer.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Arc<State>,
    pub(crate) nested: bool,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> CurrentSnapshot {
        self.state.snapshot()
    }
}

impl StaticUrlLayer {
    /// The production default: scans the folder `root`, and versions `mount` by
    /// the [tree digest](crate::manifest#the-tree-digest). Blocks while it scans.
    ///
    /// # Errors
    ///
    /// As [`Manifest::scan`] and [`StaticUrlLayerBuilder::build`].
    pub fn new(mount: &str, root: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(mount).root(root).build()
    }

    /// A layer for the files below `mount`, the URL path under which they live:
    /// `/static`, or `/`. Nothing is checked before
    /// [`build`](StaticUrlLayerBuilder::build).
    pub fn builder(mount: impl Into<String>) -> StaticUrlLayerBuilder {
        StaticUrlLayerBuilder {
            mount: mount.into(),
            origin: None,
            files: Files::Unknown,
            version: VersionSource::manifest(),
            salt: Salt::default(),
            policies: Policies::default(),
            stale: StalePolicy::default(),
            body_digest_limit: DEFAULT_BODY_DIGEST_LIMIT,
            memory_budget: 0,
            development: false,
        }
    }

    /// The current prefix, to link outside of a request.
    pub fn prefix(&self) -> StaticPrefix {
        StaticPrefix::new(self.shared.snapshot().handle())
    }

    /// The same layer for a place where an outer router has stripped the mount off
    /// the path, as axum's `nest` and `nest_service` do: there it matches
    /// `/<version>/…`, and generates the same URLs. The inner service is the one that
    /// must know the mount in its redirects, as `ServeDir` does with
    /// `redirect_path_prefix`. Handlers elsewhere in the router see no prefix; give
    /// them [`prefix`](Self::prefix) in their state.
    pub fn nested(&self) -> Self {
        let state = Arc::clone(&self.shared.state);
        Self { shared: Arc::new(Shared { state, nested: true }) }
    }

    /// Looks again at what the version was made of (the folder is scanned, the
    /// variable or the file's time is read) and publishes the new state, for all
    /// services of this layer and of its clones. Requests under way end as they
    /// began; every later one sees the new state and nothing of the old.
    ///
    /// Of a folder only the files are read that may have changed: those of which
    /// the length, the modification or change time or the inode is another, or that
    /// were changed within two seconds before they were last read. (Without inodes
    /// and change times, on Windows, an edit that keeps length and modification time
    /// is not seen.) Blocks: call it on a thread for blocking work.
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
    /// As [`StaticUrlLayerBuilder::build`]. The state stays what it was.
    pub fn reload(&self) -> Result<Reload, Error> {
        let (before, after) = self.shared.state.reload()?;
        Ok(Reload {
            before: StaticPrefix::new(before.handle()),
            after: StaticPrefix::new(after.handle()),
        })
    }
}

#[cfg(feature = "watch")]
impl StaticUrlLayer {
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.shared.state
    }
}

impl<S> Layer<S> for StaticUrlLayer {
    type Service = StaticUrl<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StaticUrl::new(inner, Arc::clone(&self.shared))
    }
}

/// What [`StaticUrlLayer::reload`] has replaced.
#[derive(Clone, Debug)]
pub struct Reload {
    before: StaticPrefix,
    after: StaticPrefix,
}

impl Reload {
    /// The prefix before.
    pub fn before(&self) -> &StaticPrefix {
        &self.before
    }

    /// The prefix now; the same, if nothing has changed.
    pub fn after(&self) -> &StaticPrefix {
        &self.after
    }

    /// Whether URLs are other ones now.
    pub fn has_changed(&self) -> bool {
        self.before.as_str() != self.after.as_str()
    }
}

/// What a URL with a stale version gets: the version has the right shape, but is
/// not the current one. An old page asks for it, or, while a deploy rolls, a new
/// page that has reached an old node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StalePolicy {
    /// The file as it is now, `no-cache`: old pages keep working, and the browser
    /// asks again the next time. The default.
    #[default]
    Serve,
    /// A 307 to the current URL, `no-store`. The browser fetches (and keeps) the
    /// file under the version that the answering node has. Two nodes with two
    /// versions can send a client back and forth until the deploy is through.
    Redirect,
    /// 404, `no-store`: for those who would rather see an old page broken than
    /// with new files.
    NotFound,
}

/// Makes a [`StaticUrlLayer`]. Every setting but the files or the version has a
/// default.
#[derive(Clone, Debug)]
#[must_use]
pub struct StaticUrlLayerBuilder {
    mount: String,
    origin: Option<String>,
    files: Files,
    version: VersionSource,
    salt: Salt,
    policies: Policies,
    stale: StalePolicy,
    body_digest_limit: u64,
    memory_budget: u64,
    development: bool,
}

impl StaticUrlLayerBuilder {
    /// Scans this folder when the layer is built, and when it is
    /// [reloaded](StaticUrlLayer::reload).
    pub fn root(self, root: impl Into<PathBuf>) -> Self {
        self.scan(Scan::new(root))
    }

    /// As [`root`](Self::root), with an ignore rule or a number of threads of your
    /// own.
    pub fn scan(mut self, scan: Scan) -> Self {
        self.files = Files::Scanned(scan);
        self
    }

    /// Knows the files from this manifest. Only what it lists can become
    /// `immutable`.
    ///
    /// Without a manifest the version is declared, not scanned: every 200, 206 and
    /// 304 under the current version is `immutable`, on your word that its bytes
    /// change only with the version, and `ETag`s are the inner service's.
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        self.files = Files::Listed(manifest);
        self
    }

    /// Where the version comes from; by default the manifest's digest.
    pub fn version(mut self, source: VersionSource) -> Self {
        self.version = source;
        self
    }

    /// Is hashed into every version but a literal one, so that nobody can tell
    /// from a URL what it was made of (a time, a release name). Give the same to
    /// all nodes. By default empty.
    pub fn salt(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.salt = Salt::new(secret);
        self
    }

    /// Goes in front of generated URLs, and nowhere else:
    /// `https://cdn.example.com` makes browsers fetch from that host, which must
    /// ask this one for what it does not have. To a browser that is another origin:
    /// module scripts, fonts and everything with `integrity` need `crossorigin` in the
    /// page, and `Access-Control-Allow-Origin` in the answer (tower-http's `CorsLayer`,
    /// around this layer so that 304s have it too).
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// For how long a browser may use a file under the current version without
    /// asking: `public, max-age=…, immutable`. By default one year, as long as any
    /// cache keeps anything. Below a second that is `no-cache`.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.policies.current = CachePolicy::immutable(age);
        self
    }

    /// What URLs without a version get. By default `no-cache`: the browser asks
    /// every time, and a 304 answers if nothing has changed. Whatever lifetime is
    /// given here is how long a deploy takes to reach those who link without the
    /// version.
    pub fn unversioned(mut self, policy: CachePolicy) -> Self {
        self.policies.unversioned = policy;
        self
    }

    /// What a stale version gets.
    pub fn stale(mut self, policy: StalePolicy) -> Self {
        self.stale = policy;
        self
    }

    /// What errors (4xx and 5xx) below the mount get. By default `no-store`. Think
    /// of the deploy that rolls: an old node answers 404 to the URL of a new file,
    /// and for as long as this says, that is what the browser knows of it.
    pub fn errors(mut self, policy: CachePolicy) -> Self {
        self.policies.errors = policy;
        self
    }

    /// Up to how many bytes a body is held back to make an `ETag` of its SHA-256,
    /// where neither the manifest nor the inner service has a validator for it: by
    /// default 1 MiB, 0 turns it off. The body must say its exact length; longer
    /// ones, and those that do not say it, stream through untouched. With the tag a
    /// browser that asks again gets a 304 instead of the same bytes.
    pub fn body_digest_limit(mut self, bytes: u64) -> Self {
        self.body_digest_limit = bytes;
        self
    }

    /// Keeps up to so many bytes of listed files in memory, and answers for them itself
    /// under the current version, where their bytes cannot change. By default 0: every
    /// file comes from the inner service.
    ///
    /// A place is filled with what the inner service has really sent: a whole 200 of
    /// which the SHA-256 is the manifest's, with nothing in it that is for one client
    /// (`Authorization` in the request; `Set-Cookie`, `private`, `no-store`, or a `Vary` on
    /// more than the coding in the response), to a URL without a query, and as long as the
    /// response says beforehand. The least useful files make room, a file of more than 1/32
    /// of the budget is not kept, and one response at a time fills a place, in at most a
    /// quarter of the budget on top, while others pass as ever. A
    /// [reload](StaticUrlLayer::reload) starts with an empty memory.
    ///
    /// To a browser nothing changes: status, fields and bytes are those that the inner
    /// service would give, also for HEAD, ranges and conditions. But the inner service is
    /// **not called** for such an answer: its log shows no line, its rate limit counts
    /// nothing, its access control is not asked. Do not use this where the files are not
    /// for everybody, unless that is decided around this layer. All services of a layer share
    /// its memory, for whatever host they are asked: an inner service that gives the same
    /// files other fields needs a layer of its own. Fields that are not about the file (a
    /// request's id, its timing) are remembered with it: add them around this layer, and CORS,
    /// too, whose `Vary` keeps every file out. It needs bodies whose data
    /// are [`Bytes`](bytes::Bytes), as those of `ServeDir` and axum are; with others it does
    /// nothing.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// For development, while files change under a running server: unversioned URLs
    /// are `no-cache` whatever [`unversioned`](Self::unversioned) says, so that the
    /// browser asks every time; [`integrity`](StaticPrefix::integrity) gives nothing,
    /// so that it refuses no file that is half saved or transformed on the way; and
    /// every WARN is repeated. Current URLs are `immutable` as ever: that is what a
    /// new version is for. By default off, also in a debug build; a common call is
    /// `.development(cfg!(debug_assertions))`.
    pub fn development(mut self, on: bool) -> Self {
        self.development = on;
        self
    }

    /// Reads and hashes what has to be, and makes the layer. Blocks if that is a
    /// [`root`](Self::root).
    ///
    /// # Errors
    ///
    /// Each names what was given:
    ///
    /// - [`InvalidMount`](ErrorKind::InvalidMount): the mount does not start with a
    ///   slash, has an empty or dot segment, or a character (`?`, `#`, `%`, a
    ///   space) that cannot stand in a path as itself. One slash at the end is
    ///   fine.
    /// - [`InvalidOrigin`](ErrorKind::InvalidOrigin): the origin is not
    ///   `http://host[:port]` or `https://host[:port]`.
    /// - [`InvalidVersion`](ErrorKind::InvalidVersion): there is neither a manifest
    ///   nor another version source; a literal is not one plain URL segment, or is
    ///   also a folder at the top of the tree.
    /// - [`MissingVariable`](ErrorKind::MissingVariable), [`Io`](ErrorKind::Io): the
    ///   variable or file of the version source is not there.
    /// - With a [`root`](Self::root): as [`Scan::run`](crate::manifest::Scan::run).
    pub fn build(self) -> Result<StaticUrlLayer, Error> {
        let settings = Settings {
            mount: Mount::parse(&self.mount)?,
            origin: self.origin.as_deref().map_or(Ok("".into()), parse_origin)?,
            policies: self.policies.in_development(self.development),
            stale: self.stale,
            body_digest_limit: self.body_digest_limit,
            memory_budget: self.memory_budget,
            development: self.development,
        };
        let recipe = Recipe { settings, source: self.version, salt: self.salt, files: self.files };
        let state = Arc::new(State::new(recipe)?);
        Ok(StaticUrlLayer { shared: Arc::new(Shared { state, nested: false }) })
    }
}

/// `https://cdn.example.com`, without a slash at the end.
fn parse_origin(origin: &str) -> Result<Box<str>, Error> {
    let invalid =
        |why: &str| Error::new(ErrorKind::InvalidOrigin, format!("origin {origin:?}: {why}"));
    let uri = origin.parse::<Uri>().map_err(|error| invalid(&error.to_string()))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(invalid("is not `http(s)://host[:port]`"));
    };
    let is_http = [&Scheme::HTTP, &Scheme::HTTPS].contains(&scheme);
    let port = authority.as_str().strip_prefix(authority.host());
    let has_port = port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some());
    if !is_http || authority.host().is_empty() || !has_port {
        return Err(invalid("is not `http(s)://host[:port]`"));
    }
    if uri.path() != "/" || uri.query().is_some() || origin.contains('#') {
        return Err(invalid("has more than a scheme, a host and a port"));
    }
    Ok(format!("{scheme}://{authority}").into())
}
