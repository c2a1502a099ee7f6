//! Has a file come to rest? A file that is still being written is not taken.

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use crate::manifest::fingerprint::{Attributes as _, Stamp};

/// So many times longer must a file rest that is open for writing, or was seen changing while it
/// was waited for.
const PATIENCE: u32 = 5;

/// The files that were not at rest when they were looked at.
#[derive(Debug)]
pub(super) struct Rest {
    /// How long a file must rest.
    time: Duration,
    rounds: Mutex<Rounds>,
}

/// The moving files, by logical path.
#[derive(Debug)]
struct Rounds {
    /// Of the round before.
    before: HashMap<Box<str>, Moving>,
    /// Of this round.
    now: HashMap<Box<str>, Moving>,
    /// The files that somebody has written to and not closed yet, as far as is known.
    open: HashSet<String>,
    began: Moment,
}

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    clock: SystemTime,
    steady: Instant,
}

/// A file that is not at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moving {
    stamp: Stamp,
    /// When it changed last, as far as is known.
    since: Instant,
    is_open: bool,
    /// It was seen changing while it was waited for.
    again: bool,
}

/// What a look at a file finds.
#[derive(Clone, Copy, Debug)]
struct Found {
    stamp: Stamp,
    /// How long ago the file was written to, unless that is in the future.
    age: Option<Duration>,
    is_open: bool,
}

impl Rest {
    pub(super) fn new(time: Duration) -> Self {
        let (before, now, open) = Default::default();
        Self { time, rounds: Mutex::new(Rounds { before, now, open, began: Moment::now() }) }
    }

    /// Begins to look at the files, of which some are still open for writing. Nobody may be
    /// looking at the same time.
    pub(super) fn begin(&self, open: HashSet<String>) {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.before = std::mem::take(&mut rounds.now);
        rounds.open = open;
        rounds.began = Moment::now();
    }

    /// Whether a changed file can be taken. If not, it is waited for.
    pub(super) fn has_come(&self, path: &str, file: &fs::Metadata) -> bool {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let began = rounds.began;
        let Some(stamp) = Stamp::of(file, began.clock) else { return true };
        let age = file.last_write().and_then(|write| began.clock.duration_since(write).ok());
        let is_open = rounds.open.contains(path);
        let found = Found { stamp, age, is_open };
        let moving = self.moving(rounds.before.get(path), found, began.steady);
        if let Some(moving) = moving {
            rounds.now.insert(path.into(), moving);
        }
        moving.is_none()
    }

    /// Returns how long to wait until the first of the moving files may have come to rest.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        rounds
            .now
            .values()
            .map(|moving| self.needed(moving).saturating_sub(now - moving.since))
            .min()
    }

    /// Returns the state of a file if it is not at rest. `before` is its state when it was looked
    /// at last.
    fn moving(&self, before: Option<&Moving>, found: Found, now: Instant) -> Option<Moving> {
        let Found { stamp, age, is_open } = found;
        let changed = age.and_then(|age| now.checked_sub(age)).unwrap_or(now);
        let moving = match before {
            Some(before) if before.stamp == stamp => Moving { is_open, ..*before },
            _ => Moving { stamp, since: changed, is_open, again: before.is_some() },
        };
        let is_at_rest = now.saturating_duration_since(moving.since) >= self.needed(&moving);
        (!is_at_rest).then_some(moving)
    }

    fn needed(&self, moving: &Moving) -> Duration {
        if moving.again || moving.is_open { self.time.saturating_mul(PATIENCE) } else { self.time }
    }
}

impl Moment {
    fn now() -> Self {
        Self { clock: SystemTime::now(), steady: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(200);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn stamp(content: u8) -> Stamp {
        Stamp::from_byte(content)
    }

    /// Looks at one file again and again: when, what it is then, and how long ago it was written
    /// to, unless that is in the future. Returns at which looks it was taken.
    fn taken(is_open: bool, looks: &[(u64, u8, Option<u64>)]) -> Vec<u64> {
        let rest = Rest::new(REST);
        let start = Instant::now() + Duration::from_secs(3600);
        let mut before = None;
        let mut taken = Vec::new();
        for &(at, content, age) in looks {
            let found = Found { stamp: stamp(content), age: age.map(ms), is_open };
            before = rest.moving(before.as_ref(), found, start + ms(at));
            if before.is_none() {
                taken.push(at);
            }
        }
        taken
    }

    #[test]
    fn a_file_is_taken_at_rest() {
        for (name, looks, expected) in [
            ("saved and left alone", &[(200, 1, Some(200))][..], &[200][..]),
            ("saved just now", &[(0, 1, Some(0)), (199, 1, Some(199))], &[]),
            (
                "saved just now, and looked at later",
                &[(0, 1, Some(0)), (200, 1, Some(200))],
                &[200],
            ),
            (
                "saved once more while it rested",
                &[(0, 1, Some(0)), (150, 2, Some(10)), (350, 2, Some(210)), (1140, 2, Some(1000))],
                &[1140],
            ),
            (
                "a copy, seen after each half second",
                &[
                    (500, 1, Some(90)),
                    (1000, 2, Some(10)),
                    (1500, 3, Some(50)),
                    (1800, 3, Some(350)),
                    (2450, 3, Some(1000)),
                ],
                &[2450],
            ),
            ("a time in the future", &[(0, 1, None), (199, 1, None), (200, 1, None)], &[200]),
            (
                "a copy with times in the future",
                &[(0, 1, None), (200, 2, None), (400, 2, None), (1200, 2, None)],
                &[1200],
            ),
            ("two edits with a rest between", &[(0, 1, Some(300)), (500, 2, Some(250))], &[0, 500]),
        ] {
            assert_eq!(taken(false, looks), expected, "{name}");
        }
    }

    /// A write each 100 ms for six seconds, with a stall now and then. The thread looks half a
    /// second after a first event, or when nothing has happened for 200 ms.
    #[test]
    fn a_slow_copy_is_taken_once() {
        let mut looks = Vec::new();
        let mut last_write = 0;
        for write in 0..60_u64 {
            let stall = if write % 16 == 15 { 400 } else { 0 };
            last_write = write * 100 + stall;
            if write % 5 == 4 {
                looks.push((last_write + 50, u8::try_from(write).unwrap(), Some(50)));
            }
        }
        looks.push((last_write + 1000, 59, Some(1000)));
        assert_eq!(taken(false, &looks), [last_write + 1000]);
    }

    #[test]
    fn an_open_file_is_waited_for_longer() {
        for (name, looks, expected) in [
            ("a stall", &[(500, 1, Some(300)), (700, 2, Some(20))][..], &[][..]),
            ("a long stall", &[(500, 1, Some(300)), (1200, 1, Some(1000))], &[1200]),
            ("the last write long ago", &[(0, 1, Some(1000))], &[0]),
        ] {
            assert_eq!(taken(true, looks), expected, "{name}");
        }
        let rest = Rest::new(REST);
        let now = Instant::now() + Duration::from_secs(3600);
        let found = Found { stamp: stamp(1), age: Some(ms(300)), is_open: true };
        let open = rest.moving(None, found, now).unwrap();
        let closed = Found { is_open: false, ..found };
        assert_eq!(rest.moving(Some(&open), closed, now), None, "it was closed meanwhile");
    }

    #[test]
    fn without_a_rest_every_file_is_taken() {
        let rest = Rest::new(Duration::ZERO);
        for age in [Some(Duration::ZERO), None] {
            let found = Found { stamp: stamp(1), age, is_open: true };
            assert_eq!(rest.moving(None, found, Instant::now()), None, "{age:?}");
        }
    }

    #[test]
    fn a_moving_file_says_when_to_look_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "1").unwrap();
        let hour = Duration::from_secs(3600);
        let rest = Rest::new(hour);
        rest.begin(HashSet::new());
        assert!(!rest.has_come("a", &fs::metadata(&path).unwrap()));
        let remaining = rest.remaining().unwrap();
        assert!(remaining <= hour && remaining > hour / 2, "{remaining:?}");
        fs::write(&path, "changed").unwrap();
        rest.begin(HashSet::new());
        assert!(!rest.has_come("a", &fs::metadata(&path).unwrap()));
        assert!(rest.remaining().unwrap() > 4 * hour, "it was seen changing");
        rest.begin(HashSet::new());
        assert_eq!(rest.remaining(), None, "nobody has asked for it any more");
    }
}
