//! A snapshot that many threads hold at once.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::snapshot::Snapshot;

/// A snapshot, and so many reference counts of it that threads which run at the same time
/// hardly share one: a count that two of them write to is the dearest part of a request.
#[derive(Debug)]
pub(crate) struct Published {
    snapshot: Arc<Snapshot>,
    handles: Box<[Handle]>,
}

/// A snapshot that somebody holds.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Padded>);

/// With its reference count in a cache line of its own, and in the one that is fetched
/// along with it.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Arc<Snapshot>);

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let handle = |_| Handle(Arc::new(Padded(Arc::clone(&snapshot))));
        Self { handles: (0..cores).map(handle).collect(), snapshot }
    }

    /// For a while that may be long.
    pub(crate) fn handle(&self) -> Handle {
        self.handles[thread_number() % self.handles.len()].clone()
    }
}

impl Deref for Published {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Deref for Handle {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.0
    }
}

/// Threads that are started one after the other have numbers one after the other.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}
