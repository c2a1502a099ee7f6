//! What the disk knows of a file.

use std::{fs::File, io, time::SystemTime};

use tower_http::services::fs::Metadata;

/// What [`Disk`](super::Disk) tells `ServeDir` of a file or directory.
#[derive(Clone, Copy, Debug)]
pub struct DiskMetadata {
    pub(super) kind: Kind,
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
    /// The file system's.
    #[cfg(target_os = "linux")]
    pub(super) device: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Other,
}

impl Metadata for DiskMetadata {
    fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.modified.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl DiskMetadata {
    /// # Errors
    ///
    /// If the file has another length or modification time by now. Both are in the `ETag` that
    /// `ServeDir` has sent for it.
    pub(super) fn expect_unchanged(&self, file: &File) -> io::Result<()> {
        let now = Self::of(file)?;
        if (now.len, now.modified) == (self.len, self.modified) {
            return Ok(());
        }
        Err(io::Error::other("the file has changed while it was sent"))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_std(&file.metadata()?))
    }

    pub(super) fn of_std(metadata: &std::fs::Metadata) -> Self {
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        Self {
            kind,
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(target_os = "linux")]
            device: std::os::linux::fs::MetadataExt::st_dev(metadata),
        }
    }
}
