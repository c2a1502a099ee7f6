//! Whether a file is still the one that was hashed, told without reading it.

use std::{
    fs,
    time::{Duration, SystemTime},
};

/// How coarse the times of a file system may be (FAT counts in steps of two seconds).
pub(crate) const COARSEST: Duration = Duration::from_secs(2);

/// What a file system says of a file, and changes when the file is written to.
///
/// On Unix also an edit that keeps the length and sets the modification time back
/// shows: in the change time, which nobody can set, or as another inode. Elsewhere
/// such an edit is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    length: u64,
    modified: SystemTime,
    identity: Identity,
}

impl Fingerprint {
    /// `None` where there are no times.
    pub(crate) fn of(metadata: &fs::Metadata) -> Option<Self> {
        let (modified, identity) = (metadata.modified().ok()?, Identity::of(metadata)?);
        Some(Self { length: metadata.len(), modified, identity })
    }

    /// Whether the last change was so long before the file was read that another
    /// one, after that, cannot have the same time.
    pub(crate) fn is_settled(&self, read_at: SystemTime, coarsest: Duration) -> bool {
        let changed = self.identity.last_change();
        let last_change = changed.map_or(self.modified, |changed| changed.max(self.modified));
        read_at.duration_since(last_change).is_ok_and(|age| age > coarsest)
    }
}

#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    changed_seconds: i64,
    changed_nanos: i64,
}

#[cfg(unix)]
impl Identity {
    fn of(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;

        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed_seconds: metadata.ctime(),
            changed_nanos: metadata.ctime_nsec(),
        })
    }

    fn last_change(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.changed_seconds.try_into().ok()?);
        let nanos = Duration::from_nanos(self.changed_nanos.try_into().ok()?);
        SystemTime::UNIX_EPOCH.checked_add(seconds + nanos)
    }
}

#[cfg(not(unix))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    created: SystemTime,
}

#[cfg(not(unix))]
impl Identity {
    fn of(metadata: &fs::Metadata) -> Option<Self> {
        Some(Self { created: metadata.created().ok()? })
    }

    fn last_change(&self) -> Option<SystemTime> {
        Some(self.created)
    }
}
