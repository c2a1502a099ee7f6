//! What does a browser download after a deploy? What has changed: deltas against the files that
//! it has (RFC 9842, Compression Dictionary Transport).

pub(crate) mod answer;
pub(crate) mod asked;
mod encode;
mod in_flight;
pub(crate) mod pattern;
mod plan;
mod unchanged;
mod upgrade;
pub(crate) mod workshop;

pub use self::upgrade::{Upgrade, UpgradedFile};

pub(crate) use self::{
    in_flight::DeltaInFlight,
    plan::{DeltaPlan, may_ask},
    workshop::Workshop,
};

/// How the layer sends deltas: the settings of
/// [`StaticUrlLayerBuilder::deltas`](crate::StaticUrlLayerBuilder::deltas).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Deltas {
    is_shared: bool,
    memory_budget: u64,
}

/// Room for what is made of a few deploys of a large site.
const DEFAULT_MEMORY_BUDGET: u64 = 64 << 20;

impl Default for Deltas {
    fn default() -> Self {
        Self { is_shared: false, memory_budget: DEFAULT_MEMORY_BUDGET }
    }
}

impl Deltas {
    /// Returns the default settings: deltas are `private`, and take up to 64 MiB of memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets shared caches keep deltas, too: they get the same `Cache-Control` as the whole file.
    /// Default: `private`, so that only the browser itself keeps them.
    ///
    /// Call this only if every shared cache on the way obeys `Vary`, or has
    /// `Available-Dictionary` in its cache key. A cache that does not would give one visitor's
    /// delta to others, and their browsers could not read it. To a browser nothing changes, but
    /// that the tag of a delta gets a 304 only from clients that still have its dictionary: a
    /// cache may ask for somebody else.
    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    /// Sets how many bytes of deltas are kept in memory. Default: 64 MiB. What does not fit is
    /// made again when somebody asks for it; a delta that is larger than a quarter of the budget
    /// is not sent. With 0, only files that have not changed are sent as deltas. To a browser
    /// nothing changes but how long the first byte takes.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }
}
