//! Is the store asked just now? Not after it has failed several times: then it is left alone for a
//! while, so that requests fail at once instead of waiting for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// So many failures one after the other open the breaker.
const MOST_FAILURES: u32 = 5;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// While the breaker is open.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    /// A request was admitted after the pause.
    is_trying: bool,
}

impl Breaker {
    /// Whether the store may be asked now. After a pause one request may find out for all.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        match &mut state.open {
            None => true,
            Some(open) if now < open.until => false,
            Some(open) => {
                // If nothing is heard of this request, another one is admitted later.
                (open.until, open.is_trying) = (now + open.pause, true);
                true
            }
        }
    }

    pub(crate) fn succeeded(&self) {
        *self.state() = State::default();
    }

    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < MOST_FAILURES {
            return;
        }
        let pause = match state.open {
            None => SHORTEST_PAUSE,
            Some(open) if open.is_trying => (open.pause * 2).min(LONGEST_PAUSE),
            // It had begun before the breaker was opened.
            Some(_) => return,
        };
        state.open = Some(Open { until: now + pause, pause, is_trying: false });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at a time, in milliseconds, and whether the store is asked then.
    enum Event {
        Ask(bool),
        Fail,
        Succeed,
    }
    use Event::{Ask, Fail, Succeed};

    #[test]
    fn when_the_store_is_asked() {
        let five = || [Fail, Fail, Fail, Fail, Fail].map(|fail| (0, fail));
        let opened = |more: Vec<(u64, Event)>| five().into_iter().chain(more).collect::<Vec<_>>();
        for (name, events) in [
            ("at first", vec![(0, Ask(true))]),
            ("after four failures", five().into_iter().skip(1).chain([(0, Ask(true))]).collect()),
            ("after five", opened(vec![(0, Ask(false)), (999, Ask(false)), (1000, Ask(true))])),
            ("one finds out", opened(vec![(1000, Ask(true)), (1001, Ask(false))])),
            ("unless it is lost", opened(vec![(1000, Ask(true)), (2000, Ask(true))])),
            (
                "twice as long",
                opened(vec![
                    (1000, Ask(true)),
                    (1500, Fail),
                    (3499, Ask(false)),
                    (3500, Ask(true)),
                ]),
            ),
            (
                "others fail late",
                opened(vec![(0, Fail), (500, Fail), (999, Ask(false)), (1000, Ask(true))]),
            ),
            (
                "it is there again",
                opened(vec![(1000, Succeed), (1000, Ask(true)), (1000, Ask(true))]),
            ),
            (
                "failures must follow each other",
                vec![
                    (0, Fail),
                    (0, Fail),
                    (0, Fail),
                    (0, Fail),
                    (0, Succeed),
                    (0, Fail),
                    (0, Ask(true)),
                ],
            ),
        ] {
            let (breaker, start) = (Breaker::default(), Instant::now());
            for (at, event) in events {
                let now = start + Duration::from_millis(at);
                match event {
                    Ask(expected) => assert_eq!(breaker.admits(now), expected, "{name}: at {at}"),
                    Fail => breaker.failed(now),
                    Succeed => breaker.succeeded(),
                }
            }
        }
    }

    #[test]
    fn no_pause_is_longer_than_half_a_minute() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.failed(now);
            now += LONGEST_PAUSE;
            assert!(breaker.admits(now));
        }
        breaker.failed(now);
        assert!(!breaker.admits(now + LONGEST_PAUSE - Duration::from_millis(1)));
        assert!(breaker.admits(now + LONGEST_PAUSE));
    }
}
