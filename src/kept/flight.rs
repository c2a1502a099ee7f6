//! How do several requests wait for the same piece of work? They join its flight.

use std::sync::{Arc, OnceLock};

use event_listener::Event;

/// The result of some work on another thread, for everybody who waits for it.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    /// `None` if the work was given up.
    result: OnceLock<Option<T>>,
    has_landed: Event,
}

/// The duty to end a flight. If it is dropped, the flight ends without a result.
#[derive(Debug)]
pub(crate) struct Landing<T>(Arc<Flight<T>>);

impl<T> Flight<T> {
    pub(crate) fn start() -> (Arc<Self>, Landing<T>) {
        let flight = Arc::new(Self { result: OnceLock::new(), has_landed: Event::new() });
        (Arc::clone(&flight), Landing(flight))
    }

    /// Whether somebody is still at work.
    pub(crate) fn is_under_way(&self) -> bool {
        self.result.get().is_none()
    }

    /// Returns the result, if the work is done.
    #[cfg(feature = "object-store")]
    pub(super) fn result(&self) -> Option<&T> {
        self.result.get()?.as_ref()
    }

    /// Ends the flight, if it has not ended.
    fn end(&self, result: Option<T>) {
        if self.result.set(result).is_ok() {
            self.has_landed.notify(usize::MAX);
        }
    }
}

impl<T: Clone> Flight<T> {
    /// Waits for the result. `None` if the work was given up.
    pub(crate) async fn landed(&self) -> Option<T> {
        loop {
            // Before the look, so that no landing is missed in between.
            let landing = self.has_landed.listen();
            if let Some(result) = self.result.get() {
                return result.clone();
            }
            landing.await;
        }
    }
}

impl<T> Landing<T> {
    pub(crate) fn land(self, result: T) {
        self.0.end(Some(result));
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll, Wake, Waker},
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
            assert_eq!(count.0.load(Ordering::Relaxed), 2, "{name}: each is woken once");
            assert_eq!(one.as_mut().poll(cx), Poll::Ready(result), "{name}");
            assert_eq!(other.as_mut().poll(cx), Poll::Ready(result), "{name}");
            assert!(!flight.is_under_way(), "{name}");
        }
    }
}
