//! Which listed files are in memory, so that the inner service is not called for them?
//!
//! Memory stores the response of the inner service before the layer's edits. Later it stands in
//! for that service, and is edited as the service's response would be. (For the whole file
//! without conditions the edits give the same result every time, and are made once.) A response
//! is stored only if its SHA-256 matches the manifest.

pub(crate) mod fill;
pub(crate) mod key;
pub(crate) mod stored;

use std::{fmt, sync::Arc};

use http::HeaderMap;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use rustc_hash::FxBuildHasher;

use self::fill::{Reservation, Reservations};
pub(crate) use self::{
    fill::Recorder,
    key::{Accept, FileKey, Key, Selection, SelectionRef, Variant},
    stored::StoredResponse,
};
use crate::{header::stored::may_be_stored, manifest::FileInfo};

/// A file larger than the budget divided by this is not stored: it would displace too many
/// others.
const LARGEST_SHARE: u64 = 32;

/// The budget divided by this is for [`Selection`]s.
const SELECTIONS_SHARE: u64 = 8;

/// The number of locks. Each guards its part of the budget, which must be large enough for
/// several of the largest files.
const SHARDS: usize = 8;

/// Roughly the bytes of an entry in addition to its content and header fields.
const OVERHEAD: usize = 512;
const SELECTION_OVERHEAD: usize = 128;

pub(crate) struct Memory {
    budget: u64,
    responses: Cache<Key, Arc<StoredResponse>, Weight, FxBuildHasher>,
    selections: Cache<Selection, &'static str, Weight, FxBuildHasher>,
    reservations: Arc<Reservations>,
}

impl Memory {
    /// Makes a memory with a budget in bytes. `None` for a budget of 0.
    pub(crate) fn new(budget: u64) -> Option<Self> {
        let cache = |share: u64| {
            OptionsBuilder::new()
                .shards(SHARDS)
                .weight_capacity(share)
                // A guess at the number of entries; the index grows if there are more.
                .estimated_items_capacity(usize::try_from(share / (16 * 1024)).unwrap_or(0).max(64))
                .build()
                .expect("options fail only where a capacity is missing, and both are set")
        };
        let selections = (budget / SELECTIONS_SHARE).max(1);
        let [responses, selections] = [cache(budget.checked_sub(selections)?), cache(selections)];
        Some(Self {
            budget,
            responses: Cache::with_options(responses, Weight, FxBuildHasher, Default::default()),
            selections: Cache::with_options(selections, Weight, FxBuildHasher, Default::default()),
            reservations: Arc::new(Reservations::new(budget)),
        })
    }

    /// Removes everything, and stores nothing from now on. Called when the snapshot is no
    /// longer current, because a handle may keep it alive for long.
    pub(crate) fn clear(&self) {
        self.responses.set_capacity(0);
        self.selections.set_capacity(0);
    }

    /// Returns the coding that the inner service is known to select.
    #[inline]
    pub(crate) fn selected(&self, wanted: SelectionRef<'_>) -> Option<&'static str> {
        self.selections.get(&wanted)
    }

    /// Returns the response that the inner service would send.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<Arc<StoredResponse>> {
        self.responses.get(&key)
    }

    /// Begins to record a response in the coding that the inner service has selected, if it
    /// may be stored. Only one response is recorded for a key at a time.
    pub(crate) fn record(
        self: &Arc<Self>,
        file: FileKey,
        accept: &Accept,
        coding: &'static str,
        headers: &HeaderMap,
        info: &FileInfo,
    ) -> Option<Box<Recorder>> {
        if info.length() > self.budget / LARGEST_SHARE
            || !may_be_stored(headers, &["accept-encoding"])
        {
            return None;
        }
        self.selections.insert(Selection::new(file, accept), coding);
        let key = Key { file, variant: Variant { coding } };
        if self.responses.contains_key(&key) {
            return None;
        }
        let reservation = Reservation::make(&self.reservations, key, info.length())?;
        Recorder::new(Arc::clone(self), reservation, headers, info).map(Box::new)
    }

    fn store(&self, key: Key, response: StoredResponse) {
        self.responses.insert(key, Arc::new(response));
    }
}

/// Weighs entries in bytes.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<StoredResponse>> for Weight {
    fn weight(&self, _: &Key, response: &Arc<StoredResponse>) -> u64 {
        (OVERHEAD + response.weight()) as u64
    }
}

impl Weighter<Selection, &'static str> for Weight {
    fn weight(&self, selection: &Selection, _: &&'static str) -> u64 {
        (SELECTION_OVERHEAD + selection.weight()) as u64
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("budget", &self.budget).finish_non_exhaustive()
    }
}
