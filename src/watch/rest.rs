//! Has a file come to rest? A file that is still being written is not taken.

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use crate::manifest::fingerprint::{Attributes as _, Stamp};

/// So many times longer must a file rest that was seen changing while it was waited for.
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
    /// It was seen changing while it was waited for.
    again: bool,
}

impl Rest {
    pub(super) fn new(time: Duration) -> Self {
        let (before, now) = Default::default();
        Self { time, rounds: Mutex::new(Rounds { before, now, began: Moment::now() }) }
    }

    /// Begins to look at the files. Nobody may be looking at the same time.
    pub(super) fn begin(&self) {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.before = std::mem::take(&mut rounds.now);
        rounds.began = Moment::now();
    }

    /// Whether a changed file can be taken. If not, it is waited for.
    pub(super) fn has_come(&self, path: &str, file: &fs::Metadata) -> bool {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let began = rounds.began;
        let Some(stamp) = Stamp::of(file, began.clock) else { return true };
        let age = file.last_write().and_then(|write| began.clock.duration_since(write).ok());
        let moving = self.moving(rounds.before.get(path), stamp, age, began.steady);
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
    /// at last, and `age` is how long ago it was written to, unless that is in the future.
    fn moving(
        &self,
        before: Option<&Moving>,
        stamp: Stamp,
        age: Option<Duration>,
        now: Instant,
    ) -> Option<Moving> {
        let changed = age.and_then(|age| now.checked_sub(age));
        let moving = match before {
            Some(before) if before.stamp == stamp => *before,
            Some(_) => Moving { stamp, since: changed.unwrap_or(now), again: true },
            None => {
                let since = match age {
                    Some(age) if age >= self.time => return None,
                    _ => changed.unwrap_or(now),
                };
                Moving { stamp, since, again: false }
            }
        };
        let is_at_rest = now.saturating_duration_since(moving.since) >= self.needed(&moving);
        (!is_at_rest).then_some(moving)
    }

    fn needed(&self, moving: &Moving) -> Duration {
        if moving.again { self.time.saturating_mul(PATIENCE) } else { self.time }
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
    fn taken(looks: &[(u64, u8, Option<u64>)]) -> Vec<u64> {
        let rest = Rest::new(REST);
        let start = Instant::now() + Duration::from_secs(3600);
        let mut before = None;
        let mut taken = Vec::new();
        for &(at, content, age) in looks {
            let age = age.map(ms);
            before = rest.moving(before.as_ref(), stamp(content), age, start + ms(at));
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
            assert_eq!(taken(looks), expected, "{name}");
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
        assert_eq!(taken(&looks), [last_write + 1000]);
    }

    #[test]
    fn without_a_rest_every_file_is_taken() {
        let rest = Rest::new(Duration::ZERO);
        for age in [Some(Duration::ZERO), None] {
            assert_eq!(rest.moving(None, stamp(1), age, Instant::now()), None, "{age:?}");
        }
    }

    #[test]
    fn a_moving_file_says_when_to_look_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "1").unwrap();
        let hour = Duration::from_secs(3600);
        let rest = Rest::new(hour);
        rest.begin();
        assert!(!rest.has_come("a", &fs::metadata(&path).unwrap()));
        let remaining = rest.remaining().unwrap();
        assert!(remaining <= hour && remaining > hour / 2, "{remaining:?}");
        fs::write(&path, "changed").unwrap();
        rest.begin();
        assert!(!rest.has_come("a", &fs::metadata(&path).unwrap()));
        assert!(rest.remaining().unwrap() > 4 * hour, "it was seen changing");
        rest.begin();
        assert_eq!(rest.remaining(), None, "nobody has asked for it any more");
    }
}
