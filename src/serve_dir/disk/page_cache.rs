//! What can be had without waiting for a disk? Linux tells, and gives it.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2},
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::{
    find::Found,
    local::Local,
    metadata::{DiskMetadata, Kind},
    not_a_file,
};

/// `NONBLOCK` and `NOCTTY` are for what turns out to be no file: a FIFO without a writer, a device.
const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Since Linux 5.12, and not where a sandbox forbids it.
static CAN_OPEN: LazyLock<bool> = LazyLock::new(|| {
    let opened = openat2(CWD, "/", OPEN, Mode::empty(), ResolveFlags::CACHED);
    matches!(opened, Ok(_) | Err(Errno::AGAIN))
});

#[derive(Debug, Default)]
pub(super) struct PageCache {
    local: Local,
    #[cfg(test)]
    off: bool,
}

impl PageCache {
    /// As other systems are.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// What is at the path, if that is known without asking a disk or a network.
    pub(super) fn find(&self, path: &Path) -> Option<io::Result<Found>> {
        if !self.local.is_usual() || !*CAN_OPEN || !self.can_read() {
            return None;
        }
        let file = match openat2(CWD, path, OPEN, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => File::from(file),
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => return Some(Err(error.into())),
            // Not in the cache, or not to be opened: a directory that may not be listed, a socket,
            // too many open files.
            Err(_) => return None,
        };
        let metadata = match DiskMetadata::of(&file) {
            Ok(metadata) => metadata,
            Err(error) => return Some(Err(error)),
        };
        // Asked before anything else, since it might be a file system of another kind.
        if !self.local.has(metadata.device) {
            return None;
        }
        Some(match metadata.kind {
            Kind::File => Ok(Found::File(file, metadata, None)),
            Kind::Directory => Ok(Found::Directory(metadata)),
            Kind::Other => Err(not_a_file()),
        })
    }

    /// Remembers where the path has led, for the next ones.
    pub(super) fn learn(&self, path: &Path, metadata: &DiskMetadata) {
        self.local.learn(path, metadata.device);
    }

    pub(super) fn can_read(&self) -> bool {
        #[cfg(test)]
        return !self.off;
        #[cfg(not(test))]
        true
    }

    /// Reads what is in memory. `None` if nothing is, or the file system does not know.
    pub(super) fn read(
        &self,
        file: &File,
        bytes: &mut [u8],
        offset: u64,
    ) -> Option<io::Result<usize>> {
        match preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Some(Ok(count)),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                None
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl DiskMetadata {
    /// A third of the time that the standard library takes, which asks for more.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_stat(&fstat(file)?))
    }

    fn of_stat(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
        let modified = if stat.st_mtime < 0 {
            UNIX_EPOCH.checked_sub(seconds)
        } else {
            UNIX_EPOCH.checked_add(seconds)
        };
        // Less than a second, whatever its type is on this machine.
        let nanoseconds = Duration::new(0, stat.st_mtime_nsec as u32);
        let modified: Option<SystemTime> =
            modified.and_then(|seconds| seconds.checked_add(nanoseconds));
        Self { kind, len: stat.st_size as u64, modified, device: stat.st_dev }
    }
}
