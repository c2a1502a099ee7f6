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
