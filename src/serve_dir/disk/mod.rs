//! Files from the disk, for [`ServeDir`](tower_http::services::ServeDir), without a hop to another
//! thread where the data are in the page cache.
//!
//! For each `GET`, `ServeDir` asks its backend four times: is it a directory, open it, how long is
//! it, read it. Here the first of these opens the file and learns all the rest, and leaves the
//! open file to the next ones.

mod buffers;
mod file;
mod find;
mod hop;
#[cfg(target_os = "linux")]
mod local;
mod metadata;
#[cfg(target_os = "linux")]
mod page_cache;
#[cfg(not(target_os = "linux"))]
#[path = "page_cache_off.rs"]
mod page_cache;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tower_http::services::fs::Backend;

use self::{buffers::Buffers, find::Found, hop::hop, page_cache::PageCache};
pub use self::{file::DiskFile, hop::DiskFuture, metadata::DiskMetadata};

/// A backend for [`ServeDir::with_backend`](tower_http::services::ServeDir::with_backend) that
/// serves files from the disk for a fraction of the usual cost.
///
/// `ServeDir` makes four trips to tokio's blocking pool for each file. With this backend it makes
/// none where the file's data are in the page cache (on Linux), and one for small files elsewhere.
/// Everything else of `ServeDir` stays: media types, ranges, pre-compressed siblings, conditions,
/// fallbacks. [From disk](crate::docs::from_disk) has the figures, and how it works.
///
/// ```
/// use tower_http::services::ServeDir;
/// use tower_static_url::serve_dir::Disk;
///
/// let files = ServeDir::with_backend("assets", Disk::new());
/// ```
///
/// # Differences from `ServeDir::new`
///
/// - What is neither a file nor a directory, such as a FIFO or a device, is not found. `ServeDir`
///   alone waits for a FIFO's writer.
/// - If a file changes while it is sent, the body ends with an error, and the client sees that the
///   response is broken off. `ServeDir` alone goes on with the new bytes. A file that is *replaced*
///   by renaming another one is sent to its end, as it was.
/// - No more is sent than the length that was announced, also if the file grows, or if it is one of
///   those in `/proc` that claim to be empty.
/// - Outside a tokio runtime the calling thread reads the disk, and nothing panics.
#[derive(Default)]
pub struct Disk {
    /// What [`Backend::metadata`] has opened for the [`Backend::open`] that follows. `ServeDir`
    /// clones its backend for each request, so that this belongs to one request.
    opened: Opened,
    shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Debug, Default)]
struct Shared {
    buffers: Buffers,
    page_cache: PageCache,
}

impl Disk {
    /// Creates a backend. Clone it, or the `ServeDir` that has it, to share its read buffers.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    fn with(page_cache: PageCache) -> Self {
        let shared = Shared { page_cache, ..Shared::default() };
        Self { opened: Opened::default(), shared: Arc::new(shared) }
    }
}

impl Clone for Disk {
    /// What one request has opened is not another's.
    fn clone(&self) -> Self {
        Self { opened: Opened::default(), shared: Arc::clone(&self.shared) }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl Backend for Disk {
    type File = DiskFile;
    type Metadata = DiskMetadata;
    type OpenFuture = DiskFuture<DiskFile>;
    type MetadataFuture = DiskFuture<DiskMetadata>;

    fn metadata(&self, path: PathBuf) -> DiskFuture<DiskMetadata> {
        if let Some(metadata) = self.opened.metadata(&path) {
            return DiskFuture::ready(Ok(metadata));
        }
        if let Some(found) = self.shared.page_cache.find(&path) {
            return DiskFuture::ready(
                found.map(|found| self.opened.keep(path, found, &self.shared)),
            );
        }
        let (opened, shared) = (self.opened.share(), Arc::clone(&self.shared));
        hop(move || {
            let found = find::find(&path, &shared)?;
            Ok(opened.keep(path, found, &shared))
        })
    }

    fn open(&self, path: PathBuf) -> DiskFuture<DiskFile> {
        if let Some(file) = self.opened.take(&path) {
            return DiskFuture::ready(Ok(file));
        }
        if let Some(found) = self.shared.page_cache.find(&path) {
            return DiskFuture::ready(found.and_then(|found| found.into_file(&self.shared)));
        }
        let shared = Arc::clone(&self.shared);
        hop(move || find::find(&path, &shared)?.into_file(&shared))
    }
}

/// At most one open file, with the path that led to it. Backends are cloned more often than they
/// are used, so that the first use allocates.
#[derive(Default)]
struct Opened(OnceLock<Arc<Mutex<Kept>>>);

type Kept = Option<(PathBuf, DiskFile)>;

impl Opened {
    /// Keeps the file, if it is one, and returns its metadata.
    fn keep(&self, path: PathBuf, found: Found, shared: &Arc<Shared>) -> DiskMetadata {
        let metadata = found.metadata();
        *self.lock() = found.into_file(shared).ok().map(|file| (path, file));
        metadata
    }

    fn metadata(&self, path: &Path) -> Option<DiskMetadata> {
        let opened = self.lock();
        opened.as_ref().filter(|(kept, _)| is_same(kept, path)).map(|(_, file)| file.stat())
    }

    fn take(&self, path: &Path) -> Option<DiskFile> {
        self.lock().take_if(|(kept, _)| is_same(kept, path)).map(|(_, file)| file)
    }

    /// For another thread, which then keeps what it finds.
    fn share(&self) -> Self {
        Self(OnceLock::from(Arc::clone(self.0.get_or_init(Arc::default))))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.get_or_init(Arc::default).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Byte for byte, which is quicker than by components.
fn is_same(one: &Path, other: &Path) -> bool {
    one.as_os_str() == other.as_os_str()
}

/// What cannot be sent as a file. `ServeDir` answers 404, or asks its fallback.
fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "neither a file nor a directory")
}

#[cfg(test)]
mod tests;
