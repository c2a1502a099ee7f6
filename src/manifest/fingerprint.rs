//! Whether a file is still the one that was hashed, told without reading it.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

/// How coarse the times of a file system may be (FAT counts in steps of two seconds).
pub(crate) const COARSEST: Duration = Duration::from_secs(2);

/// What a file system says of a file, and changes when the file is written to.
///
/// On Unix also an edit that keeps the length and sets the modification time back
/// shows: in the change time, which nobody can set, or as another inode. Elsewhere
/// such an edit is not seen.
///
/// Kept is the start of a SHA-256 of all that: one byte less than 16, where an
/// `Option` puts its tag, for there is one of these for every listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 15]);

impl Fingerprint {
    /// `None` where there are no times, and unless the last change was so long before
    /// the file was read that another one, after that, cannot have the same time.
    pub(crate) fn of(
        metadata: &fs::Metadata,
        read_at: SystemTime,
        coarsest: Duration,
    ) -> Option<Self> {
        let times = [metadata.modified().ok()?, other_time(metadata)?];
        let last_change = times.into_iter().max()?;
        let is_settled = read_at.duration_since(last_change).is_ok_and(|age| age > coarsest);
        is_settled.then(|| Self::digest(metadata, times))
    }

    fn digest(metadata: &fs::Metadata, times: [SystemTime; 2]) -> Self {
        let [device, inode] = identity(metadata);
        let [modified, other] = times.map(nanos);
        let parts = [device.into(), inode.into(), metadata.len().into(), modified, other];
        let mut sha256 = Sha256::new();
        for part in parts {
            sha256.update(i128::to_ne_bytes(part));
        }
        let digest = <[u8; 32]>::from(sha256.finalize());
        Self(std::array::from_fn(|i| digest[i]))
    }
}

/// Since 1970, or before it.
fn nanos(time: SystemTime) -> i128 {
    let nanos = |duration: Duration| duration.as_nanos().cast_signed();
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => -nanos(before.duration()),
    }
}

/// When anything of the file changed.
#[cfg(unix)]
fn other_time(metadata: &fs::Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;

    let seconds = metadata.ctime();
    let nanos = Duration::from_nanos(metadata.ctime_nsec().try_into().ok()?);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
    time?.checked_add(nanos)
}

/// When the file was made.
#[cfg(not(unix))]
fn other_time(metadata: &fs::Metadata) -> Option<SystemTime> {
    metadata.created().ok()
}

/// Device and inode.
#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> [u64; 2] {
    use std::os::unix::fs::MetadataExt as _;

    [metadata.dev(), metadata.ino()]
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> [u64; 2] {
    [0, 0]
}
