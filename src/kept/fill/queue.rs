//! Who waits for files from the bucket? Not too many, and each content is on its way once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Semaphore;

use crate::kept::{
    fill::Failure,
    flight::{Flight, Landing},
};

/// How many files come from the bucket at the same time.
const MOST_RUNNING: usize = 16;

/// How many of them may be large, and take long.
const MOST_LARGE: usize = 8;

/// How many requests for other files and listings wait for these.
const MOST_WAITING: usize = 256;

/// The files under way.
#[derive(Debug)]
pub(in crate::kept) struct Fills {
    pub(super) running: Semaphore,
    /// Of those that run, so that small files do not wait for large ones.
    pub(super) large: Semaphore,
    /// Apart, so that listings wait for no files.
    pub(super) listings: Semaphore,
    waiting: AtomicUsize,
    by_digest: Mutex<HashMap<[u8; 32], Arc<Flight<()>>>>,
}

impl Fills {
    pub(in crate::kept) fn new() -> Self {
        Self {
            running: Semaphore::new(MOST_RUNNING),
            large: Semaphore::new(MOST_LARGE),
            listings: Semaphore::new(MOST_RUNNING),
            waiting: AtomicUsize::new(0),
            by_digest: Mutex::default(),
        }
    }

    /// Counts who waits for a file. Too many are not let in.
    pub(super) fn wait(&self) -> Result<Waiting<'_>, Failure> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Relaxed) >= MOST_RUNNING + MOST_WAITING {
            return Err(Failure::Unavailable("too many files are on their way".into()));
        }
        Ok(waiting)
    }

    /// Waits until nobody else fills the same content, and keeps others from it.
    pub(super) async fn alone(&self, sha256: &[u8; 32]) -> Alone<'_> {
        loop {
            let other = {
                let mut flights = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner);
                match flights.get(sha256) {
                    Some(flight) => Arc::clone(flight),
                    None => {
                        let (flight, landing) = Flight::start();
                        flights.insert(*sha256, flight);
                        return Alone { fills: self, sha256: *sha256, _landing: landing };
                    }
                }
            };
            other.landed().await;
        }
    }
}

/// One request more that waits, until it is dropped.
pub(super) struct Waiting<'f>(&'f AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The right to fill some content, until it is dropped.
pub(super) struct Alone<'f> {
    fills: &'f Fills,
    sha256: [u8; 32],
    _landing: Landing<()>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut flights = self.fills.by_digest.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.sha256);
    }
}
