//! Is a file still the one that was hashed? Found out without reading it.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

/// The coarsest resolution of file times (that of FAT).
pub(crate) const COARSEST: Duration = Duration::from_secs(2);

/// The attributes of a file that change when it is written to.
///
/// On Unix this shows even an edit that keeps the length and resets the modification time: the
/// change time, which nobody can set, or the inode is another one. On other systems such an
/// edit is missed.
///
/// Only the start of a SHA-256 of the attributes is stored, because every listed file has a
/// fingerprint. With 15 bytes, an `Option` of it takes 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 15]);

/// The attributes of a file, on any system.
pub(crate) trait Attributes {
    fn length(&self) -> u64;

    fn modified(&self) -> Option<SystemTime>;

    /// The change time or, if the system has none, the creation time.
    fn changed(&self) -> Option<SystemTime>;

    /// Device and inode, or zeros if the system has none.
    fn identity(&self) -> [u64; 2];
}

impl Fingerprint {
    /// Makes a fingerprint of a file that was read at `read_at`. Returns `None` if the file has
    /// no times, or if its last change is too recent: a change after the file was read could
    /// then have the same time.
    pub(crate) fn of(
        file: &impl Attributes,
        read_at: SystemTime,
        coarsest: Duration,
    ) -> Option<Self> {
        let times = [file.modified()?, file.changed()?];
        let last_change = times.into_iter().max()?;
        let is_old_enough = read_at.duration_since(last_change).is_ok_and(|age| age > coarsest);
        is_old_enough.then(|| Self::digest(file, times))
    }

    pub(super) fn to_bytes(self) -> [u8; 15] {
        self.0
    }

    pub(super) fn from_bytes(bytes: [u8; 15]) -> Self {
        Self(bytes)
    }

    fn digest(file: &impl Attributes, times: [SystemTime; 2]) -> Self {
        let [device, inode] = file.identity();
        let [modified, changed] = times.map(nanos);
        let parts = [device.into(), inode.into(), file.length().into(), modified, changed];
        let mut sha256 = Sha256::new();
        for part in parts {
            sha256.update(i128::to_ne_bytes(part));
        }
        let digest = <[u8; 32]>::from(sha256.finalize());
        Self(std::array::from_fn(|i| digest[i]))
    }
}

/// Returns the nanoseconds since 1970, negative before it.
pub(super) fn nanos(time: SystemTime) -> i128 {
    let nanos = |duration: Duration| duration.as_nanos().cast_signed();
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => -nanos(before.duration()),
    }
}

#[cfg(unix)]
impl Attributes for fs::Metadata {
    fn length(&self) -> u64 {
        self.len()
    }

    fn modified(&self) -> Option<SystemTime> {
        self.modified().ok()
    }

    fn changed(&self) -> Option<SystemTime> {
        use std::os::unix::fs::MetadataExt as _;

        change_time(self.ctime(), self.ctime_nsec())
    }

    fn identity(&self) -> [u64; 2] {
        use std::os::unix::fs::MetadataExt as _;

        [self.dev(), self.ino()]
    }
}

#[cfg(not(unix))]
impl Attributes for fs::Metadata {
    fn length(&self) -> u64 {
        self.len()
    }

    fn modified(&self) -> Option<SystemTime> {
        self.modified().ok()
    }

    fn changed(&self) -> Option<SystemTime> {
        self.created().ok()
    }

    fn identity(&self) -> [u64; 2] {
        [0, 0]
    }
}

/// Makes a time of seconds since 1970, negative before it, and of nanoseconds to add to them.
#[cfg(any(unix, test))]
fn change_time(seconds: i64, nanos: i64) -> Option<SystemTime> {
    let nanos = Duration::from_nanos(nanos.try_into().ok()?);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
    time?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    struct File {
        length: u64,
        modified: Option<SystemTime>,
        changed: Option<SystemTime>,
        identity: [u64; 2],
    }

    impl Attributes for File {
        fn length(&self) -> u64 {
            self.length
        }

        fn modified(&self) -> Option<SystemTime> {
            self.modified
        }

        fn changed(&self) -> Option<SystemTime> {
            self.changed
        }

        fn identity(&self) -> [u64; 2] {
            self.identity
        }
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn fingerprint(file: File) -> Option<Fingerprint> {
        Fingerprint::of(&file, at(1000)?, COARSEST)
    }

    /// As a Unix describes it.
    const UNIX: File = File { length: 5, modified: None, changed: None, identity: [3, 7] };

    #[test]
    fn every_attribute_tells() {
        let file = File { modified: at(10), changed: at(20), ..UNIX };
        let before = fingerprint(file);
        assert!(before.is_some());
        assert_eq!(fingerprint(file), before);
        for (name, edited) in [
            ("longer", File { length: 6, ..file }),
            ("modified", File { modified: at(11), ..file }),
            ("modified, and the time set back", File { changed: at(21), ..file }),
            ("another file took its name", File { identity: [3, 8], ..file }),
            ("on another disk", File { identity: [4, 7], ..file }),
        ] {
            assert_ne!(fingerprint(edited), before, "{name}");
        }
    }

    /// As Windows describes it: no inode, and the time at which the file was made.
    #[test]
    fn without_inodes_and_change_times_a_hidden_edit_is_not_seen() {
        let file = File { modified: at(10), changed: at(5), identity: [0, 0], ..UNIX };
        let before = fingerprint(file);
        assert!(before.is_some());
        assert_ne!(fingerprint(File { modified: at(11), ..file }), before, "an edit");
        assert_ne!(fingerprint(File { length: 6, ..file }), before, "a longer file");
        assert_eq!(fingerprint(file), before, "length and time as before: as if untouched");
    }

    #[test]
    fn a_recent_change_has_no_fingerprint() {
        let file = File { modified: at(10), changed: at(20), ..UNIX };
        for (name, file, is_known) in [
            ("old", file, true),
            ("changed long enough ago", File { changed: at(997), ..file }, true),
            ("changed just before", File { changed: at(998), ..file }, false),
            ("modified just before", File { modified: at(999), ..file }, false),
            ("from the future", File { modified: at(2000), ..file }, false),
            ("no time of a change", File { changed: None, ..file }, false),
            ("no time at all", UNIX, false),
        ] {
            assert_eq!(fingerprint(file).is_some(), is_known, "{name}");
        }
    }

    #[test]
    fn change_times() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (name, seconds, nanos, expected) in [
            ("epoch", 0, 0, Some(epoch)),
            ("after", 1, 5, Some(epoch + Duration::new(1, 5))),
            ("before", -1, 0, Some(epoch - Duration::from_secs(1))),
            ("just before", -1, 999_999_999, Some(epoch - Duration::from_nanos(1))),
            ("no nanoseconds", 0, -1, None),
        ] {
            assert_eq!(change_time(seconds, nanos), expected, "{name}");
        }
        assert_eq!(nanos(epoch - Duration::new(1, 5)), -1_000_000_005);
    }
}
