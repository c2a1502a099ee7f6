//! Is a file still the one that was hashed? Found out without reading it.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

/// The coarsest resolution of file times (that of FAT).
pub(crate) const COARSEST: Duration = Duration::from_secs(2);

/// What the attributes of a file were when it was read, and whether the same attributes now prove
/// that it was not written to since.
///
/// They do not if it was written to just before it was read: a write just after that can leave
/// the same times. Such a file is read again, until one of two things is known of the time at
/// which the last reading began:
///
/// - by the clock, the last change was long before. The time of a change cannot be set, so it does
///   not matter how far ahead the *modification* time is.
/// - the attributes were the same when an earlier reading began, long before. This is for changes
///   from the future: on a file server whose clock is ahead, or after the clock was set back.
///
/// Only the start of a SHA-256 of the attributes is stored, because every listed file has a
/// fingerprint. With 11 bytes, an `Option` of it takes 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fingerprint {
    /// The file is what was read for as long as it has these attributes.
    Proof(Stamp),
    /// The file had these attributes already in this second since 1970, when it was read first.
    SeenSince(Stamp, u32),
}

/// The attributes of a file that change when it is written to, in short.
///
/// On Unix this shows even an edit that keeps the length and resets the modification time: the
/// change time, which nobody can set, or the inode is another one. On other systems such an
/// edit is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([u8; 11]);

/// The attributes of a file, on any system.
pub(crate) trait Attributes {
    fn length(&self) -> u64;

    fn modified(&self) -> Option<SystemTime>;

    /// The change time or, if the system has none, the creation time.
    fn changed(&self) -> Option<SystemTime>;

    /// The time of the last write, which on Unix is the change time: it cannot be set.
    fn last_write(&self) -> Option<SystemTime>;

    /// Device and inode, or zeros if the system has none.
    fn identity(&self) -> [u64; 2];
}

impl Fingerprint {
    /// Makes a fingerprint of a file that was read at `read_at`. `before` is that of the last
    /// time that it was read. Returns `None` if the file has no times.
    pub(crate) fn of(
        file: &impl Attributes,
        read_at: SystemTime,
        coarsest: Duration,
        before: Option<Self>,
    ) -> Option<Self> {
        let is_long_ago = |time| read_at.duration_since(time).is_ok_and(|age| age > coarsest);
        let stamp = Stamp::of(file, read_at)?;
        let first_seen = match before {
            Some(Self::SeenSince(same, second)) if same == stamp => second,
            _ => second_of(read_at),
        };
        let is_proof =
            is_long_ago(file.last_write()?) || end_of(first_seen).is_some_and(is_long_ago);
        Some(if is_proof { Self::Proof(stamp) } else { Self::SeenSince(stamp, first_seen) })
    }

    /// Whether a file that has this stamp now is what was read.
    pub(crate) fn proves(self, now: Stamp) -> bool {
        self == Self::Proof(now)
    }

    pub(crate) fn stamp(self) -> Stamp {
        match self {
            Self::Proof(stamp) | Self::SeenSince(stamp, _) => stamp,
        }
    }
}

impl Stamp {
    pub(super) fn to_bytes(self) -> [u8; 11] {
        self.0
    }

    pub(super) fn from_bytes(bytes: [u8; 11]) -> Self {
        Self(bytes)
    }

    /// Returns `None` if the file has no times.
    ///
    /// It is another one once a time that was ahead of the clock is not ahead any more: a write
    /// at that very moment leaves that very time.
    pub(crate) fn of(file: &impl Attributes, now: SystemTime) -> Option<Self> {
        let [device, inode] = file.identity();
        let is_ahead = file.last_write()? > now;
        let [modified, changed] = [file.modified()?, file.changed()?].map(nanos);
        let identity = [device.into(), inode.into()];
        let parts = [file.length().into(), modified, changed, is_ahead.into()];
        let mut sha256 = Sha256::new();
        for part in identity.into_iter().chain(parts) {
            sha256.update(i128::to_ne_bytes(part));
        }
        let digest = <[u8; 32]>::from(sha256.finalize());
        Some(Self(std::array::from_fn(|i| digest[i])))
    }
}

#[cfg(all(test, feature = "watch"))]
impl Stamp {
    pub(crate) fn from_byte(byte: u8) -> Self {
        Self([byte; 11])
    }
}

/// A second that has no [end](end_of), for times before 1970 and after 2106.
const NO_SECOND: u32 = u32::MAX;

/// Returns the whole seconds since 1970.
fn second_of(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok();
    since.and_then(|since| since.as_secs().try_into().ok()).unwrap_or(NO_SECOND)
}

fn end_of(second: u32) -> Option<SystemTime> {
    let end = Duration::from_secs(u64::from(second) + 1);
    (second != NO_SECOND).then(|| SystemTime::UNIX_EPOCH + end)
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

    fn last_write(&self) -> Option<SystemTime> {
        self.changed()
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

    fn last_write(&self) -> Option<SystemTime> {
        Some(Attributes::modified(self)?.max(self.changed()?))
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

        fn last_write(&self) -> Option<SystemTime> {
            let is_unix = self.identity != WINDOWS.identity;
            if is_unix { self.changed } else { Some(self.modified?.max(self.changed?)) }
        }

        fn identity(&self) -> [u64; 2] {
            self.identity
        }
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Of a file that is read at second 1000.
    fn fingerprint(file: File) -> Fingerprint {
        Fingerprint::of(&file, at(1000).unwrap(), COARSEST, None).unwrap()
    }

    fn stamp(file: File) -> Stamp {
        Stamp::of(&file, at(1000).unwrap()).unwrap()
    }

    /// As a Unix describes it.
    const UNIX: File = File { length: 5, modified: None, changed: None, identity: [3, 7] };
    /// As Windows describes it: no inode, and the time at which the file was made.
    const WINDOWS: File = File { identity: [0, 0], ..UNIX };

    #[test]
    fn every_attribute_tells() {
        let file = File { modified: at(10), changed: at(20), ..UNIX };
        let before = fingerprint(file);
        assert!(before.proves(stamp(file)));
        for (name, edited) in [
            ("longer", File { length: 6, ..file }),
            ("modified", File { modified: at(11), ..file }),
            ("modified, and the time set back", File { changed: at(21), ..file }),
            ("another file took its name", File { identity: [3, 8], ..file }),
            ("on another disk", File { identity: [4, 7], ..file }),
        ] {
            assert!(!before.proves(stamp(edited)), "{name}");
        }
    }

    #[test]
    fn without_inodes_and_change_times_a_hidden_edit_is_not_seen() {
        let file = File { modified: at(10), changed: at(5), ..WINDOWS };
        let before = fingerprint(file);
        assert!(!before.proves(stamp(File { modified: at(11), ..file })), "an edit");
        assert!(!before.proves(stamp(File { length: 6, ..file })), "a longer file");
        assert!(before.proves(stamp(file)), "length and time as before: as if untouched");
    }

    #[test]
    fn a_recent_write_proves_nothing() {
        let unix = File { modified: at(10), changed: at(20), ..UNIX };
        let windows = File { modified: at(10), changed: at(5), ..WINDOWS };
        for (name, file, is_proof) in [
            ("old", unix, true),
            ("changed long enough ago", File { changed: at(997), ..unix }, true),
            ("changed just before", File { changed: at(998), ..unix }, false),
            ("changed in the future", File { changed: at(2000), ..unix }, false),
            ("touched long ago, into the future", File { modified: at(2000), ..unix }, true),
            ("old, on Windows", windows, true),
            ("modified just before, on Windows", File { modified: at(999), ..windows }, false),
            ("modified in the future, on Windows", File { modified: at(2000), ..windows }, false),
            ("made just before, on Windows", File { changed: at(999), ..windows }, false),
        ] {
            assert_eq!(fingerprint(file).proves(stamp(file)), is_proof, "{name}");
        }
        for (name, file) in
            [("no time", UNIX), ("no time of a change", File { changed: None, ..unix })]
        {
            assert_eq!(Fingerprint::of(&file, at(1000).unwrap(), COARSEST, None), None, "{name}");
        }
    }

    /// A write changes times that are ahead, too; so what is the same long after it was seen
    /// first was not written to since.
    #[test]
    fn a_change_from_the_future_is_read_twice() {
        let file = File { modified: at(5000), changed: at(5000), ..UNIX };
        let edited = File { changed: at(5001), ..file };
        for (name, reads, expected) in [
            ("once", &[(file, 1000)][..], false),
            ("twice", &[(file, 1000), (file, 1004)], true),
            ("twice, too soon", &[(file, 1000), (file, 1003)], false),
            ("again and again, and at last", &[(file, 1000), (file, 1002), (file, 1004)], true),
            ("edited between", &[(edited, 1000), (file, 1004)], false),
            (
                "edited between, and read once more",
                &[(edited, 1000), (file, 1004), (file, 1008)],
                true,
            ),
            ("the clock has passed it", &[(file, 1000), (file, 1004), (file, 5001)], false),
            ("the clock has passed it long ago", &[(file, 1000), (file, 5010)], true),
        ] {
            let last = reads.iter().fold(None, |before, (file, second)| {
                Fingerprint::of(file, at(*second).unwrap(), COARSEST, before)
            });
            let (file, now) = reads.last().unwrap();
            let now = Stamp::of(file, at(*now).unwrap()).unwrap();
            assert_eq!(last.unwrap().proves(now), expected, "{name}");
        }
    }

    #[test]
    fn a_time_that_was_ahead_proves_nothing_once_it_has_come() {
        let file = File { modified: at(5000), changed: at(5000), ..UNIX };
        let read = |second, before| Fingerprint::of(&file, at(second).unwrap(), COARSEST, before);
        let proof = read(1004, read(1000, None)).unwrap();
        let is_proven_at = |second| proof.proves(Stamp::of(&file, at(second).unwrap()).unwrap());
        assert!(is_proven_at(4999));
        assert!(!is_proven_at(5000), "it may have been written to just now");
    }

    #[test]
    fn a_fingerprint_is_small() {
        assert_eq!(size_of::<Option<Fingerprint>>(), 16);
    }

    #[test]
    fn seconds_have_ends() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (name, time, expected) in [
            ("the first", epoch, at(1)),
            ("within", epoch + Duration::from_millis(1500), at(2)),
            ("before 1970", epoch - Duration::from_secs(1), None),
            ("after 2106", epoch + Duration::from_secs(1 << 32), None),
        ] {
            assert_eq!(end_of(second_of(time)), expected, "{name}");
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
