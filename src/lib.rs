//! Static files that are cached for a year, and still change the moment you deploy.
//!
//! [`StaticUrlLayer`] gives a tree of files a new URL whenever its content changes:
//!
//! ```text
//! GET /static/3f9c2a7be01d4c55/css/app.css      what the page links to, cached for a year
//! GET /static/css/app.css                       what the wrapped service sees
//! ```
//!
//! The version stands in a path *segment*, so relative links keep it and no file is
//! rewritten. The layer wraps any [`Service`](tower_service::Service) of HTTP
//! requests, adds `Cache-Control` and `ETag`, answers conditional requests, and puts
//! a [`StaticPrefix`] into the extensions of every request, to link with.
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
//! - *manifest*: the list of files, with their digests
//! - *current*, *stale*, *unversioned*, *outside*: what the version of a URL turned
//!   out to be: the current one; of the right shape, but another; none; not below
//!   the mount at all
//!
//! # Which URLs are ours
//!
//! Paths are compared raw, byte for byte. A segment right after the mount is a
//! version only if it has exactly the shape of the current one; a folder at the top
//! of a scanned tree never is one, whatever it is called. Only one version is
//! removed. What follows must be a plain path: with a `.` or `..` segment, an empty
//! one, a backslash, or one of these (or a slash or NUL) behind a percent-escape, a
//! request passes as it came, and counts as unversioned and unlisted.
//!
//! # What a response gets
//!
//! Only GET and HEAD are ours. Requests with other methods are rewritten, and their
//! responses left alone, but for errors.
//!
//! | URL | inner response | `Cache-Control` | `ETag` |
//! |---|---|---|---|
//! | current, listed and unchanged; or no manifest | 200, 206, 304 | `public, max-age=31536000, immutable` | the file's digest |
//! | current, not listed or changed | 2xx, 304 | `no-cache` | the inner service's, else the body's digest |
//! | stale | 2xx, 304 | `no-cache` | as unversioned |
//! | unversioned | 2xx, 304 | `no-cache` | the file's digest if listed and unchanged, else as above |
//! | any below the mount | 3xx | `no-cache`; `Location` keeps the version | |
//! | any below the mount | 4xx, 5xx | `no-store` | |
//! | outside | any | untouched | untouched |
//!
//! [`StaticUrlLayerBuilder`] has the settings, [`CachePolicy`] the field values.
//!
//! What the inner service says about caching stays where that is safe. A
//! `Cache-Control` of its own is kept, but on stale URLs, changed files and errors
//! only if it is at least as strict as ours; what was `private` stays so. To a
//! response with `Set-Cookie`, `Vary: *`, `private` or `no-store` we add no
//! permission and no tag. A request with `Authorization` gets `private` instead of
//! `public`.
//!
//! # Validators
//!
//! The tag of a listed file is strong and made of its content, so that all nodes
//! agree and a rollback is safe. Each pre-compressed sibling in the tree
//! (`app.css.gz`, `.br`, `.zst`, `.zz`) has its own.
//!
//! For listed files the layer owns all conditions ([RFC 9110 §13]): the inner service
//! does not see them, because its validators are not ours. `If-Modified-Since`
//! counts for exactly the date that was sent, and `If-Range` for a strong tag alone:
//! two versions of a file may well have one date. If the wrapped service turns out to
//! have sent a part of something else than `If-Range` names, the client gets a 412
//! instead; from then on that range is not asked for again, and the file sent whole.
//!
//! What is not listed keeps the inner service's validators, and its handling of
//! conditions. Without any, the SHA-256 of a body of known size becomes its tag (up to
//! a limit, [`body_digest_limit`](StaticUrlLayerBuilder::body_digest_limit)); a HEAD
//! has no body to make one of.
//!
//! `Range` reaches the inner service in the one spelling that everybody understands;
//! what is malformed, of another unit, or several ranges at once, is ignored. HEAD
//! knows no ranges.
//!
//! # Files from memory
//!
//! With a [`memory_budget`](StaticUrlLayerBuilder::memory_budget) the layer answers for
//! listed files itself, under the current version, where their bytes cannot change. The
//! answers are those of the inner service, which is then not called. Off by default.
//!
//! # Where to put it
//!
//! - **Around a whole axum `Router`**, with `StaticUrlLayer::wrap`: the version is
//!   gone before axum routes. `Router::layer` runs after routing ([axum#1120]): there
//!   the layer serves what is behind a `nest_service`, whose wildcard matches with
//!   the version, but no route that is spelled out is found with it.
//! - **Inside a `nest`**, which strips the mount: [`StaticUrlLayer::nested`].
//! - **Around `ServeDir`** or anything else, with `ServiceBuilder`, and with a mount
//!   that the service expects in the path.
//! - **Compression belongs inside** the layer. `CompressionLayer` around it leaves our
//!   strong tag on bytes that it has changed, so that the compressed and the plain
//!   form have the same: revalidation works, but a client could put parts of both
//!   together. Inside, what it makes gets a weak tag that names the coding.
//! - **Two layers**, each with its mount, work one around the other. A request then
//!   carries the prefix of the inner one.
//!
//! [RFC 9110 §13]: https://www.rfc-editor.org/rfc/rfc9110#section-13
//! [axum#1120]: https://github.com/tokio-rs/axum/issues/1120
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::panic, clippy::unwrap_used))]

#[cfg(feature = "axum")]
mod axum;
mod error;
mod exchange;
mod header;
mod layer;
pub mod manifest;
mod memory;
mod observe;
mod policy;
mod prefix;
mod snapshot;
mod url;
mod version_source;
#[cfg(feature = "watch")]
mod watch;

#[cfg(feature = "axum")]
pub use crate::axum::{AxumResponseFuture, AxumStaticUrl, MakeAxumStaticUrl, MissingStaticPrefix};
#[cfg(feature = "watch")]
pub use crate::watch::{Changes, Watcher};
pub use crate::{
    error::{Error, ErrorKind},
    layer::{
        Reload, StalePolicy, StaticUrlLayer, StaticUrlLayerBuilder, body::ResponseBody,
        future::ResponseFuture, service::StaticUrl,
    },
    manifest::Manifest,
    policy::CachePolicy,
    prefix::{DisplayUrl, StaticPrefix},
    version_source::VersionSource,
};

/// The examples of the README are tests.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
