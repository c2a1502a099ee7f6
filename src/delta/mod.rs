//! What does a browser download after a deploy? What has changed: deltas against the files that
//! it has (RFC 9842, Compression Dictionary Transport).

mod encode;
mod unchanged;
mod upgrade;

pub use self::upgrade::{Upgrade, UpgradedFile};

/// The settings of [`StaticUrlLayerBuilder::deltas`](crate::StaticUrlLayerBuilder::deltas).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Deltas {
    is_shared: bool,
    memory_budget: u64,
}

/// What is made of a few deploys of a large site.
const DEFAULT_MEMORY_BUDGET: u64 = 64 << 20;

impl Default for Deltas {
    fn default() -> Self {
        Self { is_shared: false, memory_budget: DEFAULT_MEMORY_BUDGET }
    }
}

impl Deltas {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self::default()
    }
}
