//! What did the pages of a kept release link to? Its snapshot, for handlers.

use std::{sync::Arc, time::Instant};

use crate::{
    kept::{
        Kept,
        refresh::{FRESH, FRESH_FOR_UNKNOWN},
    },
    snapshot::current::Handle,
};

impl Kept {
    /// Returns a kept release as a snapshot. A version that is not known may have been published a
    /// moment ago.
    pub(crate) async fn snapshot(self: &Arc<Self>, version: &str) -> Option<Handle> {
        let is_known = self.releases.kept(version).is_some();
        let fresh = if is_known { FRESH } else { FRESH_FOR_UNKNOWN };
        if let Some(refresh) = self.refresh_after(Instant::now(), fresh) {
            refresh.landed().await;
        }
        let release = self.releases.kept(version)?;
        Some(self.open(&release).await.ok()?.handle.clone())
    }
}
