//! Does a crash at any step leave nothing half done? Lets a test stop a publisher anywhere.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::Error;

/// When a folder stops.
#[derive(Debug)]
pub(super) struct Crash {
    steps_left: AtomicUsize,
    has_happened: AtomicBool,
}

impl Default for Crash {
    fn default() -> Self {
        Self { steps_left: AtomicUsize::new(usize::MAX), has_happened: AtomicBool::new(false) }
    }
}

impl Crash {
    /// Lets this many more steps be made.
    pub(super) fn after(&self, steps: usize) {
        self.steps_left.store(steps, SeqCst);
        self.has_happened.store(false, SeqCst);
    }

    pub(super) fn has_happened(&self) -> bool {
        self.has_happened.load(SeqCst)
    }

    pub(super) fn step(&self, path: &Path) -> Result<(), Error> {
        let left = self.steps_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left.is_ok() && !self.has_happened() {
            return Ok(());
        }
        self.has_happened.store(true, SeqCst);
        Err(Error::io("go on after a crash in", path, io::Error::other("a test")))
    }
}
