//! An open file, read from the page cache by the thread that sends it, and from the disk by
//! another.

use std::{
    fs::File,
    future::{Ready, ready},
    io::{self, SeekFrom},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as or_pending},
};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs;

use super::{
    Shared,
    buffers::{self, Buffers, Part},
    hop::{DiskFuture, hop},
    metadata::DiskMetadata,
};

/// How much one task reads before others have their turn. A file in the page cache never makes
/// it wait, and a fast client would have the thread for itself.
const TURN: usize = 1024 * 1024;

/// A file that [`Disk`](super::Disk) has opened.
#[derive(Debug)]
pub struct DiskFile {
    file: Arc<File>,
    /// As it was when the file was opened.
    metadata: DiskMetadata,
    /// Of the byte that is read next.
    offset: u64,
    /// What comes next, if it was read already.
    part: Option<Part>,
    /// What comes next, once it is read.
    hop: Option<DiskFuture<Part>>,
    /// Bytes until others have their turn.
    turn: usize,
    shared: Arc<Shared>,
}

impl DiskFile {
    pub(super) fn new(
        file: File,
        metadata: DiskMetadata,
        part: Option<Part>,
        shared: &Arc<Shared>,
    ) -> Self {
        let (file, shared) = (Arc::new(file), Arc::clone(shared));
        Self { file, metadata, offset: 0, part, hop: None, turn: TURN, shared }
    }

    pub(super) fn stat(&self) -> DiskMetadata {
        self.metadata
    }

    /// The announced length is the limit, whatever the file has become.
    fn left(&self) -> usize {
        usize::try_from(self.metadata.len.saturating_sub(self.offset)).unwrap_or(usize::MAX)
    }

    /// Reads into the caller's buffer, if that need not wait.
    fn read_cached(&mut self, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let page_cache = &self.shared.page_cache;
        if !page_cache.can_read() {
            return None;
        }
        let bytes = buffer.initialize_unfilled_to(self.left().min(buffer.remaining()));
        let count = page_cache.read(&self.file, bytes, self.offset)?;
        Some(count.and_then(|count| checked(count, &self.file, &self.metadata)).map(|count| {
            buffer.advance(count);
            self.turn = self.turn.saturating_sub(count);
            self.offset += count as u64;
        }))
    }

    /// Reads in another thread.
    fn read_later(&self) -> DiskFuture<Part> {
        let (file, metadata, offset) = (Arc::clone(&self.file), self.metadata, self.offset);
        let buffers = self.shared.buffers.clone();
        hop(move || read_part(&file, &metadata, offset, buffers::LENGTH, &buffers))
    }

    fn copy_part(&mut self, buffer: &mut ReadBuf<'_>) -> Option<()> {
        let part = self.part.as_mut()?;
        let bytes = part.bytes();
        let bytes = &bytes[..bytes.len().min(buffer.remaining())];
        buffer.put_slice(bytes);
        let count = bytes.len();
        self.offset += count as u64;
        part.advance(count);
        if part.bytes().is_empty() {
            self.part = None;
        }
        Some(())
    }
}

impl AsyncRead for DiskFile {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left() == 0 || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.copy_part(buffer).is_some() {
                return Poll::Ready(Ok(()));
            }
            if let Some(hop) = &mut this.hop {
                let part = or_pending!(Pin::new(hop).poll(cx));
                this.hop = None;
                this.turn = TURN;
                this.part = Some(part?);
                continue;
            }
            if this.turn == 0 {
                this.turn = TURN;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match this.read_cached(buffer) {
                Some(result) => return Poll::Ready(result),
                None => this.hop = Some(this.read_later()),
            }
        }
    }
}

/// Reads are told where to read, so that there is nothing to do for a seek.
impl AsyncSeek for DiskFile {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let this = self.get_mut();
        let offset = match position {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => this.offset.checked_add_signed(delta),
            SeekFrom::End(delta) => this.metadata.len.checked_add_signed(delta),
        };
        let offset = offset.ok_or(io::ErrorKind::InvalidInput)?;
        if offset != this.offset {
            this.part = this.part.take().and_then(|part| part.skip(this.offset, offset));
            this.hop = None;
            this.offset = offset;
        }
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.offset))
    }
}

impl fs::File for DiskFile {
    type Metadata = DiskMetadata;
    type MetadataFuture<'a> = Ready<io::Result<DiskMetadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.metadata))
    }
}

/// Reads at most so much of what follows, waiting for it.
pub(super) fn read_part(
    file: &File,
    metadata: &DiskMetadata,
    offset: u64,
    limit: usize,
    buffers: &Buffers,
) -> io::Result<Part> {
    let left = usize::try_from(metadata.len.saturating_sub(offset)).unwrap_or(usize::MAX);
    buffers.fill(|bytes| {
        let wanted = left.min(limit).min(bytes.len());
        let count = loop {
            match read_at(file, &mut bytes[..wanted], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        checked(count, file, metadata)
    })
}

/// Returns how much was read, unless the file has changed since it was opened: no body joins the
/// beginning of one version and the end of another, or ends early without an error.
fn checked(count: usize, file: &File, metadata: &DiskMetadata) -> io::Result<usize> {
    metadata.expect_unchanged(file)?;
    if count == 0 && metadata.len > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(count)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}
