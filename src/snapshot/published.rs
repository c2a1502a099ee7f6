//! A snapshot that many threads hold at once.

use std::{ops::Deref, sync::Arc};

use crate::{
    snapshot::Snapshot,
    snapshot::per_thread::{self, Striped},
};

/// A snapshot, and how others come to hold it.
#[derive(Debug)]
pub(crate) struct Published {
    snapshot: Arc<Snapshot>,
    handles: Striped<Handle>,
}

/// A snapshot that somebody holds, for as long as they like.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Padded>);

/// With its reference count in a cache line of its own, and in the one that is fetched
/// along with it.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Arc<Snapshot>);

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        per_thread::prepare();
        Self { snapshot: Arc::new(snapshot), handles: Striped::new() }
    }

    pub(crate) fn handle(&self) -> Handle {
        let handle = || Handle(Arc::new(Padded(Arc::clone(&self.snapshot))));
        self.handles.get_or_init(handle).clone()
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
