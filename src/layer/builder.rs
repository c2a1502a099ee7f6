//! Which settings does a layer have, and what makes one of them?

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Uri, uri::Scheme};
#[cfg(feature = "releases")]
use {
    http::{Request, Response},
    http_body::Body,
    tower_service::Service,
};

use crate::{
    CachePolicy, Cdn, Error, ErrorKind, Fingerprinted, Manifest, StalePolicy, StaticUrlLayer,
    UnexpectedPolicy, UnlistedPolicy, VersionSource,
    layer::{Shared, expected::Expected},
    manifest::Scan,
    policy::Policies,
    snapshot::{
        Settings,
        current::Current,
        evidence::LengthTrust,
        recipe::{FileSource, Recipe},
    },
    url::{Mount, version::StaleShape},
    version_source::Salt,
};
#[cfg(feature = "delta")]
use crate::{Deltas, delta::Workshop};
#[cfg(feature = "releases")]
use crate::{
    EmptyBody,
    kept::{FolderService, Kept},
    releases::Releases,
};

const DEFAULT_BODY_DIGEST_LIMIT: u64 = 1024 * 1024;

/// The settings of a [`StaticUrlLayer`]; [`build`](Self::build) makes the layer.
///
/// Set a [`root`](Self::root), a [`manifest`](Self::manifest) or a [`version`](Self::version).
/// Everything else has a default.
#[derive(Clone, Debug)]
#[must_use]
pub struct StaticUrlLayerBuilder {
    mount: String,
    origin: Option<String>,
    files: FileSource,
    version: VersionSource,
    expected: Option<Expected>,
    salt: Salt,
    policies: Policies,
    stale: StalePolicy,
    cdn: Option<Cdn>,
    body_digest_limit: u64,
    memory_budget: u64,
    development: bool,
    fingerprinted: Option<Fingerprinted>,
    unlisted: UnlistedPolicy,
    stale_shapes: Vec<String>,
    version_header: Option<HeaderName>,
    #[cfg(feature = "releases")]
    releases: Option<(Releases, FolderService)>,
    #[cfg(feature = "delta")]
    deltas: Option<Deltas>,
}

impl StaticUrlLayerBuilder {
    pub(super) fn new(mount: String) -> Self {
        Self {
            mount,
            origin: None,
            files: FileSource::Unknown,
            version: VersionSource::manifest(),
            expected: None,
            salt: Salt::default(),
            policies: Policies::default(),
            stale: StalePolicy::default(),
            cdn: None,
            body_digest_limit: DEFAULT_BODY_DIGEST_LIMIT,
            memory_budget: 0,
            development: false,
            fingerprinted: None,
            unlisted: UnlistedPolicy::default(),
            stale_shapes: Vec::new(),
            version_header: None,
            #[cfg(feature = "releases")]
            releases: None,
            #[cfg(feature = "delta")]
            deltas: None,
        }
    }

    /// Sets the directory of the files. It is scanned when the layer is built, and when it is
    /// [reloaded](StaticUrlLayer::reload). Only the files found there can become `immutable` in
    /// a browser. Replaces a [`manifest`](Self::manifest).
    pub fn root(self, root: impl Into<PathBuf>) -> Self {
        self.scan(Scan::new(root))
    }

    /// Sets the directory of the files as [`root`](Self::root) does, with an ignore rule or a
    /// number of threads of your own.
    pub fn scan(mut self, scan: Scan) -> Self {
        self.files = FileSource::Scanned(scan);
        self
    }

    /// Sets the list of the files, instead of scanning a directory: for embedded files, or for
    /// a manifest that a build step has made. Only listed files can become `immutable` in a
    /// browser. Replaces a [`root`](Self::root).
    ///
    /// With neither a root nor a manifest, the layer trusts your [`version`](Self::version).
    /// Every 200, 206 and 304 under the current version is `immutable`: a browser keeps it for
    /// a year, so its bytes must change only with the version. That is so for a page, too, which
    /// the inner service sends with a 200 in place of a missing file. `ETag`s are the inner
    /// service's, else the [body's digest](Self::body_digest_limit).
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        self.files = FileSource::Listed(manifest);
        self
    }

    /// Sets where the version comes from. Default: [`VersionSource::manifest`], the digest of
    /// the files. A new version gives every file a new URL, and browsers fetch it again. A
    /// version alone, without a list of the files, vouches for every response; see
    /// [`manifest`](Self::manifest).
    pub fn version(mut self, source: VersionSource) -> Self {
        self.version = source;
        self
    }

    /// Sets the version that is expected, such as the one that `static-url version` has printed in
    /// CI, and what to do with another one. Default: any version is taken.
    ///
    /// All nodes must have the same version. A node with other files (half a copy, another build
    /// of the same commit) has another one, and its pages link to it. Browsers whose requests
    /// reach the other nodes then get stale URLs: their files are `no-cache`, fetched once for
    /// each of the two versions, and may be those of two builds. With
    /// [`UnexpectedPolicy::Refuse`] such a node does not start, and no browser meets it. With
    /// [`UnexpectedPolicy::Warn`] it serves what it has.
    ///
    /// If the releases of the builder keep the expected version, the error and the WARN name the
    /// files that differ. Spaces around the version are ignored. It is checked when the layer is
    /// built, not at a [reload](StaticUrlLayer::reload).
    ///
    /// ```
    /// use tower_static_url::{ErrorKind, StaticUrlLayer, UnexpectedPolicy};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # std::fs::write(folder.path().join("app.css"), "teal").unwrap();
    /// # let assets = folder.path();
    /// let builder = StaticUrlLayer::builder("/static").root(assets);
    /// let builder = builder.expect_version("3f9c2a7be01d4c55", UnexpectedPolicy::Refuse);
    /// assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::UnexpectedVersion);
    /// ```
    pub fn expect_version(mut self, version: impl AsRef<str>, policy: UnexpectedPolicy) -> Self {
        self.expected = Some(Expected::new(version.as_ref(), policy));
        self
    }

    /// Sets a secret that is hashed into every version but a literal one. Nobody can then
    /// guess from a URL what its version was made of, such as a time or a release name. Use
    /// the same salt on all nodes. Default: empty. To a browser nothing changes but the URL.
    pub fn salt(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.salt = Salt::new(secret);
        self
    }

    /// Sets the origin of generated URLs, such as `https://cdn.example.com`. Default: none.
    ///
    /// Browsers then fetch the files from that host, which must forward to this server what it
    /// does not have. To a browser that is another origin: module scripts, fonts and
    /// everything with `integrity` need `crossorigin` in the page, and
    /// `Access-Control-Allow-Origin` in the response. Put tower-http's `CorsLayer` around this
    /// layer, so that 304s have that field too.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets the `Cache-Control` of a file under the current version, and of a
    /// [fingerprinted](Self::fingerprinted) file also without one, if it is proven to be the
    /// scanned file. Default: [`CachePolicy::immutable`] for one year. A browser then uses its
    /// copy for a year without asking, even when the user reloads the page.
    ///
    /// Add `no-transform` if a proxy rewrites your files. Use `private` if no shared cache may
    /// keep them.
    pub fn current(mut self, policy: CachePolicy) -> Self {
        self.policies.current = policy;
        self
    }

    /// Sets for how long a browser may use a file under the current version without asking, in
    /// whole seconds. Short for [`current`](Self::current) with [`CachePolicy::immutable`]. If
    /// the age is less than a second, the browser asks every time (`no-cache`).
    pub fn max_age(self, age: Duration) -> Self {
        self.current(CachePolicy::immutable(age))
    }

    /// Sets the `Cache-Control` of URLs without a version. Default: `no-cache`. The browser
    /// then asks every time, and gets a 304 if nothing has changed. If you set a lifetime,
    /// browsers that have such a URL see the change of a deploy only after that time.
    pub fn unversioned(mut self, policy: CachePolicy) -> Self {
        self.policies.unversioned = policy;
        self
    }

    /// Sets what the layer does with a stale version. Default: [`StalePolicy::Serve`]. The
    /// browser then gets the current file with `no-cache`, so that old pages keep working. A
    /// [`CachePolicy`] serves the current file with that policy.
    pub fn stale(mut self, policy: impl Into<StalePolicy>) -> Self {
        self.stale = policy.into();
        self
    }

    /// Adds a shape of stale versions, by an example of one. Call it once for each shape.
    /// Default: only what has the length and the characters of the current version is a stale
    /// version.
    ///
    /// Use it for some days after you have changed what a version looks like: pages that are
    /// still open in a browser then find their files at the old URLs
    /// ([`stale`](Self::stale)), instead of a 404.
    ///
    /// ```
    /// # use tower_static_url::{Manifest, StaticUrlLayer};
    /// # let manifest = Manifest::from_files([("css/app.css", "…")])?;
    /// # let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// let layer = builder
    ///     // From django-static-url: 32 hexadecimal digits.
    ///     .stale_shape("d41d8cd98f00b204e9800998ecf8427e")
    ///     // And from a literal: `v1.2.3`, but also `v2.0.0`.
    ///     .stale_shape("v1.2.3")
    ///     .build()?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// A segment has the shape of an example if it is as long, has the same kinds of characters
    /// (digits, lower case, upper case; or hexadecimal digits only) and the same punctuation. A
    /// listed directory is no version, whatever its name. The example needs a digit, because
    /// most directories have a name without.
    pub fn stale_shape(mut self, example: impl Into<String>) -> Self {
        self.stale_shapes.push(example.into());
        self
    }

    /// Sets what the layer does with a `GET` or `HEAD` that spells no listed file, at any URL
    /// below the mount. Default: [`UnlistedPolicy::Ask`], it asks the inner service.
    ///
    /// With [`UnlistedPolicy::NotFound`] a browser gets a 404 that it does not store
    /// ([`errors`](Self::errors)), and the inner service does not see the request. So an
    /// application that answers every path with its page does not answer for a script that is
    /// gone, a file beside the listed ones cannot be fetched, and scanners cost no disk access.
    ///
    /// Some paths still reach the inner service: the mount itself, directories of listed files,
    /// and paths to which `.html` must be added to spell a listed file. Other methods than `GET`
    /// and `HEAD` always do. A file that is made while the server runs is found after the next
    /// [reload](StaticUrlLayer::reload). With a mount of `/` this has no effect: what is not
    /// listed is the rest of the site there. Needs a [`root`](Self::root) or a
    /// [`manifest`](Self::manifest).
    pub fn unlisted(mut self, policy: UnlistedPolicy) -> Self {
        self.unlisted = policy;
        self
    }

    /// Sets which files are fingerprinted: their own names change with their content, because a
    /// bundler has put a hash into them. Default: none. Needs a [`root`](Self::root) or a
    /// [`manifest`](Self::manifest).
    ///
    /// Such a file needs no version. [`url`](crate::StaticPrefix::url) and its relatives give
    /// its unversioned URL (`/static/assets/index-Bx7a91Zq.js`), and there it has the policy
    /// [`current`](Self::current), if it is listed and unchanged. A browser keeps it for a year,
    /// and after a deploy it fetches only the files that have changed. Everything else has a
    /// version as before. [Bundlers](crate::docs::bundlers) says which rule to choose.
    ///
    /// ```
    /// use tower_static_url::{Fingerprinted, Manifest, StaticUrlLayer};
    ///
    /// let manifest = Manifest::from_files([("assets/index-Bx7a91Zq.js", "…"), ("logo.svg", "…")])?;
    /// let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    /// let prefix = builder.fingerprinted(Fingerprinted::vite()).build()?.prefix();
    ///
    /// assert_eq!(prefix.url("assets/index-Bx7a91Zq.js"), "/static/assets/index-Bx7a91Zq.js");
    /// assert_eq!(prefix.url("logo.svg"), format!("{prefix}logo.svg"));
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// A rule sees only names. If a [reload](StaticUrlLayer::reload) finds other bytes under
    /// the name of a fingerprinted file, the name was no hash of them. The file is then like
    /// any other for the life of this layer, also if it changes back: `no-cache` at its
    /// unversioned URL, and a version in its links. A WARN names the file and the rule. But a
    /// browser that has fetched it before keeps the old bytes for up to a year, and a restart
    /// forgets.
    ///
    /// [`development`](Self::development) does not change this.
    pub fn fingerprinted(mut self, rule: Fingerprinted) -> Self {
        self.fingerprinted = Some(rule);
        self
    }

    /// Sets the `Cache-Control` of errors (4xx and 5xx) below the mount. Default: `no-store`.
    /// The browser then asks again the next time. During a rolling deploy an old node answers
    /// 404 for a new file: if you set a lifetime, browsers believe that 404 for so long.
    pub fn errors(mut self, policy: CachePolicy) -> Self {
        self.policies.errors = policy;
        self
    }

    /// Sets what the layer tells a CDN, apart from browsers: `CDN-Cache-Control` (RFC 9213), and
    /// tags by which a deploy can purge what has changed (`Surrogate-Key`, `Cache-Tag`). Default:
    /// nothing, a CDN follows `Cache-Control`. [CDNs](crate::docs::cdn) has the details.
    ///
    /// To a browser nothing changes but where the answer comes from. With this, it asks the CDN
    /// about the files that have no version, as before, and the CDN answers for a day without
    /// asking your server:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_static_url::{CachePolicy, Cdn, StaticUrlLayer};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # std::fs::write(folder.path().join("app.css"), "").unwrap();
    /// # let assets = folder.path();
    /// let day = CachePolicy::max_age(Duration::from_secs(24 * 60 * 60));
    /// let cdn = Cdn::new().unversioned(day).surrogate_keys("shop");
    /// let layer = StaticUrlLayer::builder("/static").root(assets).cdn(cdn).build()?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// Responses that are for one client (`Authorization`, `Set-Cookie`, `private`, `no-store`,
    /// `Vary: *`) have none of these fields, and a `CDN-Cache-Control` is only on files that are
    /// proven to be the listed ones.
    pub fn cdn(mut self, cdn: Cdn) -> Self {
        self.cdn = Some(cdn);
        self
    }

    /// Sets a response header that tells pages the current version, so that one that is open over
    /// a deploy can notice it. Default: none. [Deploy signals](crate::docs::deploy_signals) says
    /// what a page can do then.
    ///
    /// The header is in every response outside the mount, of any method, status and type, and
    /// below the mount in HTML without a version. It has the version of the prefix in the
    /// request, from which the handler makes its links. If the inner service has set the header
    /// itself, as a proxy does, that is left alone. Handlers beside a [nested](StaticUrlLayer::nested)
    /// layer are not behind it: their responses have no such header.
    ///
    /// To a browser's cache the header means nothing. A page from a cache has the version of when
    /// it was made, or was last confirmed by a 304, which has the header as well. A script of
    /// another origin sees the header only if `Access-Control-Expose-Headers` names it.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_static_url::StaticUrlLayer;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # std::fs::write(folder.path().join("app.css"), "teal").unwrap();
    /// # let assets = folder.path();
    /// let layer = StaticUrlLayer::builder("/static")
    ///     .root(assets)
    ///     .version_header(HeaderName::from_static("static-version"))
    ///     .build()?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    pub fn version_header(mut self, name: HeaderName) -> Self {
        self.version_header = Some(name);
        self
    }

    /// Sets up to how many bytes a body is held back to make an `ETag` from its SHA-256.
    /// Default: 1 MiB; 0 turns it off.
    ///
    /// This is for responses that have no validator: none in the manifest, and no `ETag` or
    /// `Last-Modified` from the inner service. Bodies that are longer, or whose length is not
    /// known beforehand, stream through untouched. With the tag, a browser that asks again
    /// gets a 304 instead of the same bytes.
    pub fn body_digest_limit(mut self, bytes: u64) -> Self {
        self.body_digest_limit = bytes;
        self
    }

    /// Sets how many bytes of listed files the layer may keep in memory. It serves these files
    /// itself under the current version, where their bytes cannot change. Default: 0, every
    /// file comes from the inner service.
    ///
    /// The layer stores a response of the inner service if all of this is true:
    ///
    /// - It is a 200 of the whole file, its length is known beforehand, and its SHA-256 matches
    ///   the manifest. What a `CompressionLayer` has compressed has no such length.
    /// - It is for everybody: the request has no `Authorization`, and the response has no
    ///   `Set-Cookie`, `private` or `no-store`, and no `Vary` on anything but
    ///   `Accept-Encoding`.
    /// - The response has no field that is true only now, such as `Age` or `Expires`.
    /// - The URL has no query.
    /// - The file is not larger than 1/32 of the budget.
    ///
    /// If memory is full, the least useful files make room. Responses that are being recorded
    /// take up to a quarter of the budget in addition; only one response is recorded for each
    /// file at a time. A [reload](StaticUrlLayer::reload) empties the memory.
    ///
    /// To a browser nothing changes: status, fields and bytes are those that the inner service
    /// would send, also for `HEAD`, ranges and conditions. But the inner service is **not
    /// called**: its log shows no line, its rate limit counts nothing, its access control
    /// checks nothing. Use this only for files that everybody may read, or put the access
    /// control around this layer.
    ///
    /// All services of a layer share its memory, whatever the request's host. If an inner
    /// service sends the same files with different fields, give it a layer of its own. Fields
    /// that are not about the file, such as a request's id or its timing, are stored too: add
    /// them around this layer. Add CORS around it as well: its `Vary` keeps every file out of
    /// memory.
    #[cfg(feature = "memory")]
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Lets the layer answer for other releases than its own: for every version that `releases`
    /// keeps, the layer serves that version's files, whichever node has published them. Default:
    /// none, and a URL with another version is [stale](Self::stale).
    ///
    /// `files` is a service over the directory of the releases, usually
    /// `ServeDir::new(releases.files())`. Its requests have the path `/<version>/<logical path>`
    /// and no content; [`EmptyBody`](crate::EmptyBody) is their body. The layers around the inner
    /// service are not around this one: if it should compress, for example, say so here as well.
    ///
    /// ```
    /// use tower_http::services::ServeDir;
    /// use tower_static_url::{StaticUrlLayer, releases::Releases};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (dist, site) = (folder.path().join("dist"), folder.path().join("site"));
    /// # std::fs::create_dir(&dist).unwrap();
    /// # std::fs::write(dist.join("app.js"), "1").unwrap();
    /// let releases = Releases::folder(site)?;
    /// let files = ServeDir::new(releases.files());
    /// let layer = StaticUrlLayer::builder("/static").root(dist).releases(releases, files).build()?;
    /// layer.publish()?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// To a browser, a page never ages: each file that the page links to is there with exactly
    /// its bytes, on old and new nodes, after a deploy and after a rollback, and is kept for a
    /// year as that of the current version is ([`current`](Self::current)). That holds for as
    /// long as the release is kept.
    ///
    /// - A path that a kept release does not list is a 404 with `no-store`, without I/O. There
    ///   are no index pages below the version of a kept release.
    /// - With [`fingerprinted`](Self::fingerprinted), the unversioned URL of a fingerprinted file
    ///   that only an earlier or later release lists is answered from the newest release that
    ///   lists it.
    /// - Each file is read and hashed once before its first response, on a thread of the layer's
    ///   own. From then on its length and modification time tell that it is unchanged. A file
    ///   that is not as listed is a 502 with `no-store` and a WARN, and is not read again for
    ///   60 seconds.
    /// - What other processes publish or withdraw is seen at most 60 seconds later, by the next
    ///   request for which it matters. A request for an unknown version that has the shape of
    ///   one (or for an unknown fingerprinted file) makes the layer look at once, but not more
    ///   than every two seconds; it waits for the answer for up to one second.
    /// - With a memory budget (feature `memory`) files of all versions come from one memory, and
    ///   what several of them have is stored once.
    ///
    /// With a mount of `/`, a path below a kept version that the release does not list belongs
    /// to the rest of the site.
    #[cfg(feature = "releases")]
    pub fn releases<S, B>(mut self, releases: Releases, files: S) -> Self
    where
        S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.releases = Some((releases, FolderService::new(files)));
        self
    }

    /// Lets browsers download deltas after a deploy: what has changed against the files that they
    /// have (RFC 9842). Default: off. Needs [`releases`](Self::releases), from which the old bytes
    /// come.
    ///
    /// To a browser, a file then costs what the deploy has changed in it: some 60 bytes if
    /// nothing has. Chrome, Edge and others with their engine do this since version 130, over
    /// HTTPS and from localhost. All other clients see the same responses as before, with two
    /// more fields: `Use-As-Dictionary`, and `Vary` on `Available-Dictionary`.
    /// [Deltas](crate::docs::deltas) has the details.
    ///
    /// ```
    /// use tower_http::services::ServeDir;
    /// use tower_static_url::{Deltas, StaticUrlLayer, releases::Releases};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (dist, site) = (folder.path().join("dist"), folder.path().join("site"));
    /// # std::fs::create_dir(&dist).unwrap();
    /// # std::fs::write(dist.join("app.js"), "1").unwrap();
    /// let releases = Releases::folder(site)?;
    /// let files = ServeDir::new(releases.files());
    /// let layer = StaticUrlLayer::builder("/static")
    ///     .root(dist)
    ///     .releases(releases, files)
    ///     .deltas(Deltas::new())
    ///     .build()?;
    /// layer.publish()?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// A delta that was made is kept in memory, and sent again without a call of the inner
    /// service: what is said of that at `memory_budget` is true here, too.
    #[cfg(feature = "delta")]
    pub fn deltas(mut self, deltas: Deltas) -> Self {
        self.deltas = Some(deltas);
        self
    }

    /// Prepares the layer for files that change while the server runs. Default: off, also in a
    /// debug build. A common call is `.development(cfg!(debug_assertions))`.
    ///
    /// - Unversioned URLs are `no-cache`, whatever [`unversioned`](Self::unversioned) is set
    ///   to: the browser asks every time.
    /// - [`integrity`](crate::StaticPrefix::integrity) returns `None`: the browser does not
    ///   refuse a file that is half saved, or transformed on its way.
    /// - If the manifest has no modification times ([`from_files`](Manifest::from_files),
    ///   JSON), the length alone does not prove that a file is unchanged. The body is hashed
    ///   first, up to the [`body_digest_limit`](Self::body_digest_limit).
    /// - A WARN about a response is logged every time, not only once.
    /// - A [`root`](Self::root) that is missing or empty is a WARN, not an error: the layer
    ///   starts without files, and takes up what the first build makes. Every link then is
    ///   right as soon as the page is loaded again.
    /// - A file that cannot be read, or whose name is not UTF-8, is left out with a WARN, so
    ///   that it does not keep other edits from the browser.
    ///
    /// Current URLs stay `immutable`: when a file changes, a [reload](StaticUrlLayer::reload)
    /// gives it a new URL.
    pub fn development(mut self, on: bool) -> Self {
        self.development = on;
        self
    }

    /// Makes the layer. Blocks while it scans the [`root`](Self::root), if there is one.
    ///
    /// # Errors
    ///
    /// The text of each error names the offending input.
    ///
    /// - [`InvalidMount`](ErrorKind::InvalidMount): the mount does not start with a slash, has
    ///   an empty or dot segment, or has a character that no path can contain unescaped, such
    ///   as `?`, `#`, `%` or a space. One slash at the end is allowed.
    /// - [`InvalidOrigin`](ErrorKind::InvalidOrigin): the origin is not
    ///   `http://host[:port]` or `https://host[:port]`.
    /// - [`InvalidVersion`](ErrorKind::InvalidVersion): there is no root, manifest or other
    ///   version source; a build id is empty; a literal is not one plain URL segment; a
    ///   directory at the top of the tree has the name of the version; or an example of a stale
    ///   version is not one plain URL segment with a digit in it.
    /// - [`UnexpectedVersion`](ErrorKind::UnexpectedVersion): the version is not the
    ///   [expected](Self::expect_version) one. The text names the files that differ, if the
    ///   releases keep the expected one.
    /// - [`InvalidCachePolicy`](ErrorKind::InvalidCachePolicy): a policy of [`cdn`](Self::cdn) has a
    ///   directive that is allowed in `Cache-Control`, but not in `CDN-Cache-Control`, such as
    ///   `Max-Age=60` or `max-age="60"`.
    /// - [`InvalidCacheTag`](ErrorKind::InvalidCacheTag): the name of the tags of
    ///   [`cdn`](Self::cdn) is empty, longer than 100 characters, or has one that is no ASCII
    ///   letter, digit, `-`, `_` or `.`.
    /// - [`ManifestRequired`](ErrorKind::ManifestRequired): there is neither a root nor a
    ///   manifest, but an option needs one; or there are no releases, but an option needs them.
    /// - [`MissingVariable`](ErrorKind::MissingVariable): the environment variable of the
    ///   version source is not set, is empty, or is not UTF-8.
    /// - [`Io`](ErrorKind::Io): the file of the version source cannot be read.
    /// - With a [`root`](Self::root), the errors of [`Scan::run`](crate::manifest::Scan::run).
    pub fn build(self) -> Result<StaticUrlLayer, Error> {
        self.require_manifest()?;
        #[cfg(feature = "delta")]
        let deltas = self.make_deltas()?;
        let stale_shapes = self.stale_shapes.iter().map(|example| StaleShape::of(example));
        let stale_shapes = stale_shapes.collect::<Result<_, _>>()?;
        let cdn = self.cdn.map(|cdn| cdn.parse(self.development)).transpose()?;
        let settings = Settings {
            mount: Mount::parse(&self.mount)?,
            origin: self.origin.as_deref().map_or(Ok("".into()), parse_origin)?,
            policies: self.policies.in_development(self.development).with_stale(&self.stale),
            stale: self.stale,
            cdn: cdn.map(Arc::new),
            body_digest_limit: self.body_digest_limit,
            memory_budget: self.memory_budget,
            is_development: self.development,
            trust: LengthTrust::of(self.development),
            fingerprinted: self.fingerprinted,
            unlisted: self.unlisted,
            stale_shapes,
            version_header: self.version_header,
            #[cfg(feature = "releases")]
            kept: None,
            #[cfg(feature = "delta")]
            deltas,
        };
        #[cfg(feature = "releases")]
        let settings = settings.with_releases(self.releases, self.files.roots());
        let files = self.files.for_layer(self.development);
        let recipe = Recipe { settings, source: self.version, salt: self.salt, files };
        let current = Arc::new(Current::new(recipe)?);
        self.expected.map_or(Ok(()), |expected| expected.check(&current.handle()))?;
        Ok(StaticUrlLayer { shared: Arc::new(Shared { current, nested: false }) })
    }

    #[cfg(feature = "delta")]
    fn make_deltas(&self) -> Result<Option<Arc<Workshop>>, Error> {
        if self.deltas.is_some() && self.releases.is_none() {
            let message = "`deltas` needs the old files: give the builder `releases`";
            return Err(Error::new(ErrorKind::ManifestRequired, message));
        }
        Ok(self.deltas.clone().map(|deltas| Arc::new(Workshop::new(deltas))))
    }

    /// Checks that there is a list of the files if an option needs one.
    fn require_manifest(&self) -> Result<(), Error> {
        let option = match (&self.files, &self.fingerprinted, self.unlisted) {
            #[cfg(feature = "delta")]
            (FileSource::Unknown, ..) if self.deltas.is_some() => "`deltas`",
            (FileSource::Unknown, Some(_), _) => "`fingerprinted`",
            (FileSource::Unknown, _, UnlistedPolicy::NotFound) => "`unlisted(NotFound)`",
            (FileSource::Unknown, ..) if self.cdn.as_ref().is_some_and(Cdn::needs_manifest) => {
                "`cdn` with a policy for unversioned files"
            }
            _ => return Ok(()),
        };
        let message = format!("{option} needs a root or a manifest, and there is none");
        Err(Error::new(ErrorKind::ManifestRequired, message))
    }
}

#[cfg(feature = "releases")]
impl Settings {
    fn with_releases(
        self,
        releases: Option<(Releases, FolderService)>,
        roots: Vec<PathBuf>,
    ) -> Self {
        let kept = releases.map(|(releases, files)| Kept::new(releases, files, &self, roots));
        let kept = kept.map(Arc::new);
        Self { kept, ..self }
    }
}

/// Parses an origin, and removes a slash at its end: `https://cdn.example.com`.
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
