//! When does the layer look for releases that others have published or withdrawn? When a request
//! needs to know. Only a directory that is filled from a bucket looks by itself as well.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    kept::{
        Kept,
        flight::{Flight, Landing},
    },
    observe::log,
};

/// For how long what is known of the releases is good enough.
pub(super) const FRESH: Duration = Duration::from_secs(60);

/// The same for a request with a version that nobody knows.
pub(super) const FRESH_FOR_UNKNOWN: Duration = Duration::from_secs(2);

/// How long a request waits at most.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Refresh {
    start: Instant,
    /// When the last refresh began, in milliseconds after the start. Written with the lock, and
    /// read without it: most requests need no refresh, and must not wait for each other.
    began: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last refresh has not ended. It can be under way for longer than somebody waits.
    is_running: bool,
    flight: Option<Arc<Flight<()>>>,
}

impl Refresh {
    /// What is known is that of `now`. Yet the first request with an unknown version makes the
    /// layer look: it may come long after.
    pub(super) fn new(now: Instant) -> Self {
        let start = now.checked_sub(FRESH_FOR_UNKNOWN).unwrap_or(now);
        let state = Mutex::new(State { is_running: false, flight: None });
        Self { start, began: AtomicU64::new(0), state }
    }

    /// Returns the refresh for which to wait, if what is known is older than `fresh`. If it has
    /// yet to be begun, `begin` does that.
    pub(super) fn join(
        &self,
        now: Instant,
        fresh: Duration,
        begin: impl FnOnce(Landing<()>),
    ) -> Option<Arc<Flight<()>>> {
        let is_joined = fresh < FRESH;
        if !is_joined && !self.is_older(now, fresh) {
            return None;
        }
        let mut state = self.state();
        if state.is_running || !self.is_older(now, fresh) {
            let flight = state.flight.as_ref().filter(|flight| is_joined && flight.is_under_way());
            return flight.map(Arc::clone);
        }
        let (flight, landing) = Flight::start();
        *state = State { is_running: true, flight: Some(Arc::clone(&flight)) };
        self.began.store(self.since_start(now), Relaxed);
        drop(state);
        begin(landing);
        Some(flight)
    }

    /// Whether what is known is at least that old.
    fn is_older(&self, now: Instant, age: Duration) -> bool {
        let began = self.began.load(Relaxed);
        self.since_start(now).saturating_sub(began) >= millis(age)
    }

    fn since_start(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.start))
    }

    /// Says that the refresh that was begun has ended.
    pub(super) fn end(&self) {
        self.state().is_running = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unlike `as_millis`, in 64 bits.
fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000) + u64::from(duration.subsec_millis())
}

impl Kept {
    /// Returns the refresh for which to wait, if what is known is older than `fresh`.
    pub(super) fn refresh_after(
        self: &Arc<Self>,
        now: Instant,
        fresh: Duration,
    ) -> Option<Arc<Flight<()>>> {
        self.refresh.join(now, fresh, |landing| {
            let kept = Arc::clone(self);
            let thread = thread::Builder::new().name("static-url-releases".into());
            // If no thread can be started, the landing is dropped, and nobody waits.
            if thread.spawn(move || kept.refresh_now(landing)).is_err() {
                self.refresh.end();
            }
        })
    }

    /// Reads the records again, and ends the flight after a second at the latest.
    fn refresh_now(self: Arc<Self>, landing: Landing<()>) {
        let (done, is_done) = mpsc::channel::<()>();
        let patience = thread::Builder::new().name("static-url-patience".into());
        // Without this thread nobody waits.
        let _ = patience.spawn(move || {
            let _ = is_done.recv_timeout(PATIENCE);
            landing.land(());
        });
        /// Ends the refresh, whatever happens.
        struct End<'k>(&'k Kept);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.refresh.end();
            }
        }
        let end = End(&self);
        if let Err(error) = self.releases.refresh() {
            log::releases_not_refreshed(&error);
        }
        drop(end);
        drop(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn how_often() {
        let start = Instant::now();
        let refresh = Refresh::new(start);
        let mut begun = 0;
        for (name, seconds, fresh, expected) in [
            ("known, at the start", 0, FRESH, 0),
            ("unknown, at the start", 0, FRESH_FOR_UNKNOWN, 1),
            ("unknown, soon after", 1, FRESH_FOR_UNKNOWN, 1),
            ("unknown, later", 2, FRESH_FOR_UNKNOWN, 2),
            ("known, after that", 61, FRESH, 2),
            ("known, a minute after that", 62, FRESH, 3),
            ("before that, as seen by another thread", 60, FRESH_FOR_UNKNOWN, 3),
        ] {
            let flight = refresh.join(after(seconds, start), fresh, |landing| {
                begun += 1;
                landing.land(());
                refresh.end();
            });
            assert_eq!(begun, expected, "{name}");
            assert!(flight.is_none_or(|flight| !flight.is_under_way()), "{name}");
        }
    }

    #[test]
    fn one_at_a_time() {
        let start = Instant::now();
        let refresh = Refresh::new(start);
        let mut held = Vec::new();
        let mut join = |seconds, fresh| {
            refresh.join(after(seconds, start), fresh, |landing| held.push(landing))
        };
        let first = join(2, FRESH_FOR_UNKNOWN).unwrap();
        let second = join(2, FRESH_FOR_UNKNOWN).unwrap();
        assert!(Arc::ptr_eq(&first, &second), "others wait for the same one");
        assert!(join(2, FRESH).is_none(), "a known release needs none");
        let long_after = join(100, FRESH_FOR_UNKNOWN).unwrap();
        assert!(Arc::ptr_eq(&first, &long_after), "it has not ended");
        held.drain(..).for_each(|landing| landing.land(()));
        let next = refresh.join(after(200, start), FRESH, |_| panic!("it has not ended"));
        assert!(next.is_none(), "nobody waits for a refresh that takes too long");
        refresh.end();
        assert!(refresh.join(after(200, start), FRESH, drop).is_some());
    }
}
