//! How do several requests wait for the same piece of work? They join its flight.

use std::{
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// The result of some work on another thread, for everybody who waits for it.
#[derive(Debug)]
pub(super) struct Flight<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
enum State<T> {
    Waiting(Vec<Waker>),
    /// `None` if the work was given up.
    Landed(Option<T>),
}

/// The duty to end a flight. If it is dropped, the flight ends without a result.
#[derive(Debug)]
pub(super) struct Landing<T>(Arc<Flight<T>>);

impl<T> Flight<T> {
    pub(super) fn start() -> (Arc<Self>, Landing<T>) {
        let flight = Arc::new(Self { state: Mutex::new(State::Waiting(Vec::new())) });
        (Arc::clone(&flight), Landing(flight))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // The state is consistent whenever the lock is free, poisoned or not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is still at work.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(*self.state(), State::Waiting(_))
    }
}

impl<T: Clone> Flight<T> {
    /// Waits for the result. `None` if the work was given up.
    pub(super) async fn landed(&self) -> Option<T> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *self.state() {
            State::Landed(result) => Poll::Ready(result.clone()),
            State::Waiting(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Landing<T> {
    pub(super) fn land(self, result: T) {
        self.0.end(Some(result));
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

impl<T> Flight<T> {
    /// Ends the flight, if it has not ended.
    fn end(&self, result: Option<T>) {
        let mut state = self.state();
        if let State::Waiting(wakers) = &mut *state {
            let wakers = mem::take(wakers);
            *state = State::Landed(result);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn everybody_gets_the_result() {
        for (name, result) in [("landed", Some(7)), ("given up", None)] {
            let (flight, landing) = Flight::start();
            let count = Arc::new(Count::default());
            let waker = Waker::from(Arc::clone(&count));
            let cx = &mut Context::from_waker(&waker);
            let (mut one, mut other) = (pin!(flight.landed()), pin!(flight.landed()));
            for _ in 0..3 {
                assert!(one.as_mut().poll(cx).is_pending(), "{name}");
                assert!(other.as_mut().poll(cx).is_pending(), "{name}");
            }
            assert!(flight.is_under_way(), "{name}");
            match result {
                Some(result) => landing.land(result),
                None => drop(landing),
            }
            assert_eq!(count.0.load(Ordering::Relaxed), 1, "{name}: one task is woken once");
            assert_eq!(one.as_mut().poll(cx), Poll::Ready(result), "{name}");
            assert_eq!(other.as_mut().poll(cx), Poll::Ready(result), "{name}");
            assert!(!flight.is_under_way(), "{name}");
        }
    }
}
