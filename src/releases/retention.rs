//! Which releases are kept, and for how long?

use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long [`Releases::prune`](crate::releases::Releases::prune) keeps a release that
/// another one has superseded.
///
/// Default: 30 days after it was superseded, and always the ten newest versions. Age counts from
/// then, not from when a file was made: a chunk that has not changed for a year is as young as
/// the last page that linked to it. An open tab finds its files for as long as their release is
/// kept.
///
/// ```
/// use std::time::Duration;
/// use tower_static_url::releases::Retention;
///
/// let a_week = Retention::default().age(Duration::from_secs(7 * 24 * 60 * 60)).newest(3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    age: Duration,
    newest: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: 30 * DAY, newest: 10 }
    }
}

impl Retention {
    /// Sets how long after it was superseded a release is kept. Default: 30 days. Choose longer
    /// than the oldest tab or cached page may live.
    pub fn age(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    /// Sets how many versions are kept whatever their age, beginning with the one that was
    /// published last. Default: 10. The last one is kept even with 0.
    pub fn newest(self, newest: usize) -> Self {
        Self { newest, ..self }
    }

    /// Returns for each release, the newest first, whether it has expired. `superseded` has
    /// when that was, and `None` for the current one.
    pub(super) fn expired(
        &self,
        superseded: impl IntoIterator<Item = Option<SystemTime>>,
        now: SystemTime,
    ) -> Vec<bool> {
        // The future counts as now: a clock was wrong.
        let age = |superseded| now.duration_since(superseded).unwrap_or_default();
        let is_old = |superseded: SystemTime| age(superseded) >= self.age;
        let superseded = superseded.into_iter().enumerate();
        superseded.map(|(i, time)| i >= self.newest && time.is_some_and(is_old)).collect()
    }
}

/// Returns when each release was superseded: when the next one was published. `published` has
/// the newest first.
pub(super) fn superseded(published: &[SystemTime]) -> impl Iterator<Item = Option<SystemTime>> {
    std::iter::once(None).chain(published.iter().copied().map(Some)).take(published.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many days before now.
    fn ago(days: u32) -> SystemTime {
        now() - days * DAY
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    #[test]
    fn what_has_expired() {
        let retention = |days: u32, newest| Retention::default().age(days * DAY).newest(newest);
        for (name, retention, published, expected) in [
            ("none", retention(30, 10), &[][..], &[][..]),
            ("one, however old", retention(0, 0), &[9000], &[false]),
            ("superseded today", retention(30, 0), &[0, 9000], &[false, false]),
            ("superseded long ago", retention(30, 0), &[40, 50], &[false, true]),
            ("to the day", retention(30, 0), &[0, 29, 30, 31], &[false, false, false, true]),
            ("among the newest", retention(30, 2), &[40, 50, 60], &[false, false, true]),
        ] {
            let published = published.iter().map(|&days| ago(days)).collect::<Vec<_>>();
            let expired = retention.expired(superseded(&published), now());
            assert_eq!(expired, expected, "{name}");
        }
        let future = Some(now() + DAY);
        assert_eq!(retention(0, 0).expired([None, future], now()), [false, true], "now");
        assert_eq!(retention(1, 0).expired([None, future], now()), [false, false], "not old");
    }

    #[test]
    fn the_default_keeps_ten_and_thirty_days() {
        let published = (0..12).map(|i| ago(100 + i)).collect::<Vec<_>>();
        let expired = Retention::default().expired(superseded(&published), now());
        assert_eq!(expired.iter().position(|&is_expired| is_expired), Some(10));
        assert_eq!(expired.len(), 12);
    }
}
