//! What is at a path? Asked where blocking is allowed.

use std::{fs::File, io, path::Path, sync::Arc};

use super::{
    Shared,
    buffers::Part,
    file::{DiskFile, read_part},
    metadata::{DiskMetadata, Kind},
    not_a_file,
};

/// How much is read together with opening a file: what the kernel reads ahead of a first read,
/// so that a request to the disk brings it all.
const FIRST_PART: usize = 128 * 1024;

#[derive(Debug)]
pub(super) enum Found {
    /// With its beginning, if that was read.
    File(File, DiskMetadata, Option<Part>),
    Directory(DiskMetadata),
    /// It is there, and cannot be read.
    Unreadable(DiskMetadata, io::Error),
}

/// Opens a file and reads its beginning.
///
/// What it is comes first: opening a FIFO would wait for a writer, and opening a device can do
/// anything. A directory need not be readable.
pub(super) fn find(path: &Path, shared: &Shared) -> io::Result<Found> {
    let metadata = DiskMetadata::of_std(&std::fs::metadata(path)?);
    shared.page_cache.learn(path, &metadata);
    match metadata.kind {
        Kind::Directory => return Ok(Found::Directory(metadata)),
        Kind::Other => return Err(not_a_file()),
        Kind::File => {}
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Found::Unreadable(metadata, error)),
    };
    // Another file may be there by now.
    let metadata = DiskMetadata::of(&file)?;
    let part = read_part(&file, &metadata, 0, FIRST_PART, &shared.buffers);
    // What went wrong goes wrong again when the body is read.
    Ok(Found::File(file, metadata, part.ok()))
}

impl Found {
    pub(super) fn metadata(&self) -> DiskMetadata {
        match self {
            Self::File(_, metadata, _)
            | Self::Directory(metadata)
            | Self::Unreadable(metadata, _) => *metadata,
        }
    }

    pub(super) fn into_file(self, shared: &Arc<Shared>) -> io::Result<DiskFile> {
        match self {
            Self::File(file, metadata, part) => Ok(DiskFile::new(file, metadata, part, shared)),
            Self::Directory(_) => Err(not_a_file()),
            Self::Unreadable(_, error) => Err(error),
        }
    }
}
