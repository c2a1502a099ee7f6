//! Static files that are cached for a year, and still change the moment you deploy.
//!
//! [`StaticUrlLayer`] gives a tree of files a new URL whenever its content changes:
//!
//! ```text
//! GET /static/3f9c2a7be01d4c55/css/app.css      what the page links to, cached for a year
//! GET /static/css/app.css                       what the wrapped service sees
//! ```
//!
//! The version is a path *segment*: relative links between the files keep it, and no file is
//! rewritten. The layer wraps any [`Service`](tower_service::Service) of HTTP requests. It adds
//! `Cache-Control` and `ETag` to responses, answers conditional requests, and puts a
//! [`StaticPrefix`] into the extensions of every request, from which handlers make their links.
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_http::services::ServeDir;
//! use tower_static_url::{StaticPrefix, StaticUrlLayer};
//! # use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("app.css"), "body { color: teal }")?;
//! # let assets = folder.path();
//! let layer = StaticUrlLayer::new("/static", assets)?;
//! let router = Router::new()
//!     .route("/", get(async |files: StaticPrefix| files.url("app.css")))
//!     .nest_service("/static", ServeDir::new(assets).redirect_path_prefix("/static"));
//! let app = layer.wrap(router); // axum::serve(listener, app.into_make_service())
//!
//! let request = axum::extract::Request::get(layer.prefix().url("app.css"));
//! let response = app.oneshot(request.body(Default::default())?).await?;
//! let policy = &response.headers()["cache-control"];
//! assert_eq!(policy, "public, max-age=31536000, immutable");
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! - *mount*: the URL path under which the files live, `/static`
//! - *version*: the segment after the mount; by default 16 hexadecimal digits
//! - *prefix*: mount + version, `/static/3f9c2a7be01d4c55/`
//! - *logical path*: what a file is called inside the tree, `css/app.css`
//! - *manifest*: the list of files, with their digests
//! - *outcome*: how the version in a URL was recognized: *current*, *kept* (that of another
//!   known release), *stale* (the right shape, but unknown), *unversioned*, or *outside* the
//!   mount
//! - *fingerprinted*: a file whose own name changes with its content, as bundlers make them:
//!   `assets/index-Bx7a91Zq.js`
//!
//! # Which URLs belong to the layer
//!
//! Paths are compared raw, byte for byte.
//!
//! - A segment right after the mount is a version if it is the current one, or has exactly the
//!   same shape (or that of an [earlier one](StaticUrlLayerBuilder::stale_shape)). A directory at
//!   the top of the tree is never a version, whatever its name.
//! - The version of a [kept release](docs::deploys) is a version whatever its
//!   shape, unless the tree lists the literal path.
//! - The layer removes only one version, and only from `GET`, `HEAD` and `OPTIONS` requests.
//! - The rest must be a plain path. A request passes unchanged, and counts as unversioned and
//!   unlisted, if the rest has an empty segment, a `.` or `..` segment, a backslash, or a
//!   percent-escape that hides a dot segment, a slash, a backslash or a NUL.
//!
//! With a mount of `/` and a manifest, only the listed files and the directories of listed
//! files are below the mount; see [layer order](docs::layer_order#a-mount-of-).
//!
//! # What a response gets
//!
//! Only the responses to `GET` and `HEAD` are edited.
//!
//! | URL | inner response | `Cache-Control` | `ETag` |
//! |---|---|---|---|
//! | current, file listed and unchanged | 200, 206, 304 | `public, max-age=31536000, immutable` | the file's digest |
//! | current, layer without a manifest | 200, 206, 304 | `public, max-age=31536000, immutable` | the inner service's, else the body's digest |
//! | current, file not listed or changed | 2xx, 304 | `no-cache` | the inner service's, else the body's digest |
//! | kept, file in that release | 200, 206, 304 | as current | the digest of that release's file |
//! | stale | 2xx, 304 | `no-cache` | as unversioned |
//! | unversioned, [fingerprinted](StaticUrlLayerBuilder::fingerprinted) file, listed and unchanged | 200, 206, 304 | as current | the file's digest |
//! | unversioned | 2xx, 304 | `no-cache` | the file's digest if listed and unchanged, else as above |
//! | any below the mount | 3xx | `no-cache`; `Location` keeps the version | |
//! | any below the mount | 4xx, 5xx | `no-store` | |
//! | outside | any | untouched | untouched |
//!
//! [Caching](docs::caching) explains each row, whose `Cache-Control` wins, and how the layer knows
//! that a file is unchanged. [`StaticUrlLayerBuilder`] has the settings, and [`CachePolicy`] the
//! `Cache-Control` values.
//!
//! # Pages
//!
//! - [Caching](docs::caching): what each response gets and why
//! - [Deploys](docs::deploys): rolling deploys, stale versions, several nodes, CDNs
//! - [CDNs](docs::cdn): pull or upload, what to purge, fonts and modules from another origin
//! - [The whole way](docs::whole_way): from `npm` to two nodes behind nginx, and through a deploy, in
//!   one script
//! - [Deltas](docs::deltas): after a deploy a browser downloads what has changed
//! - [Layer order](docs::layer_order): routers and nests, compression, CORS, two layers
//! - [Templates](docs::templates): links in askama, maud, minijinja and tera
//! - [Deploy signals](docs::deploy_signals): how an open page notices a deploy
//! - [Development](docs::development): watching, live reload, bundlers in watch mode
//! - [Choosing a source](docs::choosing_a_source) of the version
//! - [Files from memory](docs::files_from_memory)
//! - [From disk](docs::from_disk): a backend for `ServeDir` that does not hop to another thread
//! - [Embedded files](docs::embedded_files): one binary with its files; manifests from bytes and
//!   from JSON
//! - [What not to version](docs::what_not_to_version): service workers, feeds, bundlers' hashes
//! - [Bundlers](docs::bundlers): names with a hash in them, applications with one page
//! - [Import maps and preloading](docs::preloading): modules by name, `Link` fields
//! - [Limits](docs::limits): what the layer cannot do, and what you can do about it
//! - [Coming from elsewhere](docs::moving): `ServeDir` with a header layer, WhiteNoise, memory-serve;
//!   [from django-static-url](docs::django)
//! - [Questions](docs::faq)
//!
//! # Features
//!
//! All are off by default. A feature only adds: it changes nothing that works without it.
//!
//! - `axum`: [`StaticPrefix`] as an extractor, and an `axum` module with `StaticUrlLayer::wrap`
//! - `cli`: the command `static-url`, which prints the version and the manifest of a directory,
//!   compresses its files ahead, compares trees, publishes, lists, verifies and deletes releases,
//!   and measures what a deploy costs: `static-url --help`
//! - `delta`: `StaticUrlLayerBuilder::deltas`, to send what a deploy has changed in place of whole
//!   files (RFC 9842)
//! - `memory`: `StaticUrlLayerBuilder::memory_budget`, to serve files from memory
//! - `metrics`: a `metrics` module with counters of what the layer does
//! - `object-store`: `releases::Bucket`, which keeps the files of every published version in an
//!   S3-compatible bucket, through the `object_store` crate, of which you turn on `aws`, `gcp` or
//!   `azure`
//! - `releases`: a `releases` module with `Releases`, which keeps the files of every published
//!   version, and `StaticUrlLayerBuilder::releases`, to answer for all of them
//! - `serde`: manifests to and from JSON, and `Serialize` for [`StaticPrefix`]
//! - `serve-dir`: a `serve_dir` module with backends for the `ServeDir` of tower-http: `Disk` serves
//!   files from disk without a hop to another thread, `Embedded` those that are part of the program
//! - `tracing`: a WARN for each file that has changed since the scan, is not found by the inner
//!   service, or cannot be listed; the outcome of each request at DEBUG, and in its span
//! - `watch`: a `watch` module with `StaticUrlLayer::watch`
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::panic, clippy::unwrap_used))]

#[cfg(feature = "axum")]
pub mod axum;
mod cdn;
#[cfg(feature = "delta")]
mod delta;
#[cfg(not(feature = "delta"))]
#[path = "delta/off.rs"]
mod delta;
#[cfg(any(doc, doctest))]
pub mod docs;
mod error;
mod exchange;
mod fingerprinted;
mod header;
#[cfg(feature = "releases")]
mod kept;
#[cfg(not(feature = "releases"))]
#[path = "kept/off.rs"]
mod kept;
mod layer;
pub mod manifest;
#[cfg(feature = "memory")]
mod memory;
#[cfg(not(feature = "memory"))]
#[path = "memory/off.rs"]
mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
mod observe;
mod policy;
mod prefix;
#[cfg(feature = "releases")]
pub mod releases;
#[cfg(feature = "serve-dir")]
pub mod serve_dir;
mod snapshot;
mod sync;
mod url;
mod version_source;
#[cfg(feature = "watch")]
pub mod watch;

#[cfg(feature = "delta")]
pub use crate::delta::{Deltas, Upgrade, UpgradedFile};
#[cfg(feature = "releases")]
pub use crate::kept::EmptyBody;
pub use crate::{
    cdn::Cdn,
    error::{Error, ErrorKind},
    fingerprinted::Fingerprinted,
    layer::{
        Reload, StaticUrlLayer, body::ResponseBody, builder::StaticUrlLayerBuilder,
        expected::UnexpectedPolicy, future::ResponseFuture, service::StaticUrl,
    },
    manifest::tree::Manifest,
    policy::{CachePolicy, StalePolicy, UnlistedPolicy},
    prefix::{
        DisplayUrl, StaticPrefix,
        import_map::ImportMap,
        preload::{Preload, PreloadAs, Preloads},
    },
    url::StaticUrlOutcome,
    version_source::VersionSource,
};

/// Compiles and runs the examples of the README.
#[cfg(all(doctest, feature = "axum", feature = "memory"))]
#[doc = include_str!("../README.md")]
struct Readme;
