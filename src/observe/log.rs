//! What the crate has to say to an operator: WARNs, each once per file, and only
//! with the `tracing` feature.
#![cfg_attr(
    not(feature = "tracing"),
    expect(unused_variables, reason = "without `tracing` there is nobody to tell")
)]

use std::path::Path;

use crate::{manifest::FileInfo, snapshot::file::ResponseHead};

/// A scan found something that can be no static file.
pub(crate) fn left_out(path: &Path, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", path = %path.display(), "left out of the manifest: {why}");
}

/// A response contradicts the manifest.
pub(crate) fn changed(path: &str, listed: &FileInfo, head: &ResponseHead<'_>) {
    #[cfg(feature = "tracing")]
    let field = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        path,
        listed_length = listed.length(),
        length = head.length(),
        listed_modified = listed.modified().map(httpdate::fmt_http_date),
        last_modified = field(http::header::LAST_MODIFIED),
        content_encoding = field(http::header::CONTENT_ENCODING),
        "not what the manifest lists, so `no-cache` instead of `immutable`: the file has changed \
         since it was scanned, or another service answers for it"
    );
}

/// The inner service does not know a listed file.
pub(crate) fn missing(listed: &str, asked: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        listed,
        asked,
        "the manifest lists this file, but the wrapped service answered 404: have both the same \
         root, and does the service expect the mount in the path it is asked for?"
    );
}

/// A watched tree cannot be read as it is; the state stays what it was.
#[cfg(feature = "watch")]
pub(crate) fn not_reloaded(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", %error, "static files not reloaded; trying again");
}

/// After [`not_reloaded`].
#[cfg(feature = "watch")]
pub(crate) fn reloaded_again() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "tower_static_url", "static files could be read again");
}

/// More has happened than could be told, as of a queue that overflowed.
#[cfg(feature = "watch")]
pub(crate) fn events_lost() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "lost track of changes; looking at the whole tree");
}

/// The system cannot watch.
#[cfg(feature = "watch")]
pub(crate) fn polling(error: &notify::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", %error, "cannot watch; looking at the whole tree every second instead");
}
