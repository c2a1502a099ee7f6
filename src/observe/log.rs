//! What does the layer log of its set-up, with the `tracing` feature? A WARN for what an operator
//! should mend.
#![cfg_attr(
    not(feature = "tracing"),
    expect(unused_variables, reason = "without `tracing` nothing is logged")
)]

use std::path::{Path, PathBuf};

/// A scan found something that cannot be served as a static file.
pub(crate) fn left_out(path: &Path, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", path = %path.display(), "left out of the manifest: {why}");
}

/// In development, a scan did not find its root.
pub(crate) fn missing_root(root: &Path, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", root = %root.display(), "no static files yet, the directory is missing: {why}");
}

/// In development, a scan did not find any file.
pub(crate) fn no_files(roots: &[PathBuf]) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", ?roots, "no static files yet, there is nothing to list");
}

/// A pre-compressed file is not of the file beside it.
pub(crate) fn stale_sibling(sibling: &str, file: &str, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        sibling,
        file,
        "the pre-compressed file does not belong to the file beside it ({why}), so \
         that no cache may use it without asking: compress the file again, or delete what is left over"
    );
}

/// A style sheet has a link that leaves the tree.
pub(crate) fn climbing_link(path: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        path,
        "the style sheet has a relative link that leaves the tree (`../`): below a version it \
         leads one segment too far down; let it start with `/`, or move what it links into the \
         tree"
    );
}

/// The digests of a scan are not kept, or those that were kept are of no use.
pub(crate) fn not_remembered(path: &Path, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", path = %path.display(), "digests are not remembered: {why}");
}

/// The version is not the expected one.
pub(crate) fn unexpected_version(message: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "{message}");
}

/// A file whose name should change with its content has changed under the same name.
pub(crate) fn not_fingerprinted(path: &str, rule: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        path,
        rule,
        "this fingerprinted file has kept its name and changed its bytes, so from now on it has a \
         version like other files: browsers that have it may keep the old bytes for as long as \
         the policy for current files lets them"
    );
}

/// Something in a directory of releases is no record.
#[cfg(feature = "releases")]
pub(crate) fn no_record(path: &Path, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", path = %path.display(), "ignored among the records of releases: it {why}");
}

/// Something in a bucket of releases is neither a record nor a blob.
#[cfg(feature = "object-store")]
pub(crate) fn odd_key(key: &str, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", key, "ignored in the bucket of releases: the key {why}");
}

/// A bucket cannot be asked which releases it has.
#[cfg(feature = "object-store")]
pub(crate) fn bucket_not_listed(error: &crate::releases::bucket::StoreError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "the releases of the bucket cannot be listed; those that are known stay: {error}");
    let _ = error;
}

/// A bucket that had releases has none.
#[cfg(feature = "object-store")]
pub(crate) fn bucket_is_empty() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "the bucket has no releases any more; those that are known stay, as far as their files are here");
}

/// The files of a release that nobody asks for cannot be deleted.
#[cfg(feature = "object-store")]
pub(crate) fn not_emptied(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "files that were filled from the bucket cannot be deleted: {error}");
    let _ = error;
}

/// The record of a release cannot be read from the bucket.
#[cfg(feature = "object-store")]
pub(crate) fn wrong_record(version: &str, error: &crate::releases::bucket::StoreError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", version, "the bucket does not give the listing of a release; it is asked again in a minute: {error}");
    let _ = (version, error);
}

/// A file of a kept release is not what the release lists.
#[cfg(feature = "releases")]
pub(crate) fn wrong_in_release(version: &str, path: &str, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        version,
        path,
        "the file of a kept release is not what the release lists ({why}), so the answer is 502: \
         remove the release and publish it again"
    );
}

/// A file of a kept release cannot be read now. Later it may.
#[cfg(feature = "releases")]
pub(crate) fn unavailable_in_release(version: &str, path: &str, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "tower_static_url",
        version,
        path,
        "the file of a kept release cannot be read now ({why}), so the answer is 503"
    );
    let _ = (version, path, why);
}

/// A kept release cannot be served.
#[cfg(feature = "releases")]
pub(crate) fn release_not_opened(version: &str, error: &crate::Error) {
    #[cfg(feature = "tracing")]
    let error = error as &dyn std::error::Error;
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", version, error, "cannot serve a kept release");
}

/// The records of the releases cannot be read. The layer serves those that it knows.
#[cfg(feature = "releases")]
pub(crate) fn releases_not_refreshed(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    let error = error as &dyn std::error::Error;
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", error, "cannot read which releases are kept");
}

/// The service over the directory of releases has failed.
#[cfg(feature = "releases")]
pub(crate) fn kept_service_failed(
    version: &str,
    path: &str,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", version, path, %error, "the service of the kept releases failed");
}

/// A watched tree cannot be read. The layer serves as before.
#[cfg(feature = "watch")]
pub(crate) fn not_reloaded(error: &crate::Error) {
    #[cfg(feature = "tracing")]
    let error = error as &dyn std::error::Error;
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", error, "cannot reload the static files; trying again every second");
}

/// A watched tree can be read again, after [`not_reloaded`].
#[cfg(feature = "watch")]
pub(crate) fn reloaded_again() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "tower_static_url", "static files reloaded again");
}

/// Events were lost, as when a queue overflows.
#[cfg(feature = "watch")]
pub(crate) fn events_lost() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", "lost track of changes; scanning the whole tree");
}

/// The system cannot watch.
#[cfg(feature = "watch")]
pub(crate) fn polling(error: &notify::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_static_url", %error, "cannot watch, so the whole tree is scanned every second instead: {}", remedy(error));
}

/// Returns what to do if the system cannot watch.
#[cfg(all(feature = "watch", any(test, feature = "tracing")))]
fn remedy(error: &notify::Error) -> &'static str {
    /// Too many open files: on Linux also too many programs that watch.
    const EMFILE: i32 = 24;
    let is_linux = cfg!(any(target_os = "linux", target_os = "android"));
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch if is_linux => {
            "raise the limit of watched directories (`sysctl fs.inotify.max_user_watches=524288`), \
             leave directories out with `Scan::ignore`, or choose the interval with \
             `WatchOptions::poll`"
        }
        notify::ErrorKind::Io(error) if is_linux && error.raw_os_error() == Some(EMFILE) => {
            "raise the limit of watching programs (`sysctl fs.inotify.max_user_instances=512`) or \
             of open files (`ulimit -n`), or choose the interval with `WatchOptions::poll`"
        }
        _ => "choose the interval with `WatchOptions::poll`",
    }
}

#[cfg(all(test, feature = "watch"))]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_system_that_cannot_watch_has_a_remedy() {
        let io = |code| notify::ErrorKind::Io(std::io::Error::from_raw_os_error(code));
        for (name, kind, expected) in [
            ("too many watches", notify::ErrorKind::MaxFilesWatch, "max_user_watches"),
            ("too many watchers", io(24), "max_user_instances"),
            ("not implemented", io(38), "choose"),
        ] {
            let remedy = remedy(&notify::Error::new(kind));
            assert!(remedy.contains(expected), "{name}: {remedy}");
            assert!(remedy.contains("WatchOptions::poll"), "{name}: {remedy}");
        }
    }
}
