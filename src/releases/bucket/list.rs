//! Which releases does a bucket show to a person?

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::{Bucket, BucketRecord, StoreError, client::Client};
use crate::{
    Error, Manifest,
    releases::{Release, retention},
};

/// So many listings are read at once.
const READS: usize = 16;

impl Bucket {
    /// Returns the kept releases, the one that was published last first, but not more than the
    /// 10,000 newest. Reads the listing of each; what is not one is left out, with a WARN.
    ///
    /// # Errors
    ///
    /// [`Store`](crate::ErrorKind::Store): the store does not answer, denies, or is no store.
    pub fn list(&self) -> Result<Vec<Release>, Error> {
        self.ask(|client| async move {
            let records = client.all_records().await?;
            client.releases(records, |_| true).await
        })
    }
}

impl Client {
    /// Reads the listings of those of all releases that are wanted. `records` has the newest
    /// first.
    pub(super) async fn releases(
        self: &Arc<Self>,
        records: Vec<BucketRecord>,
        is_wanted: impl Fn(&BucketRecord) -> bool,
    ) -> Result<Vec<Release>, StoreError> {
        let published = records.iter().map(|record| record.published).collect::<Vec<_>>();
        let releases = records.into_iter().zip(retention::superseded(&published));
        let wanted = releases.filter(|(record, _)| is_wanted(record)).collect::<Vec<_>>();
        let reads = wanted.into_iter().map(|(record, superseded)| {
            let client = Arc::clone(self);
            async move {
                let manifest = client.manifest(&record).await?;
                let release = manifest.map(|manifest| Release {
                    version: record.version,
                    digest: record.digest,
                    published: record.published,
                    superseded,
                    manifest: Arc::new(manifest),
                });
                Ok(release)
            }
        });
        let mut reads = stream::iter(reads).buffered(READS);
        let mut releases = Vec::new();
        while let Some(read) = reads.next().await {
            releases.extend(read?);
        }
        Ok(releases)
    }

    /// Reads a listing. `None` if it was deleted meanwhile or is none, which is logged.
    async fn manifest(&self, record: &BucketRecord) -> Result<Option<Manifest>, StoreError> {
        match self.parsed(record).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(StoreError::Missing) => Ok(None),
            Err(StoreError::Wrong(why)) => {
                let shelf = record.shelves.first().copied().unwrap_or_default();
                let key = self.keys.record(shelf, &record.version, &record.digest);
                self.log_odd_key(&key, &format!("has no listing: {why}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn parsed(&self, record: &BucketRecord) -> Result<Manifest, StoreError> {
        let text = self.listing(record).await?;
        Manifest::from_listing_text(&text).map_err(|malformed| {
            let digest = record.digest_hex();
            StoreError::Wrong(format!("{}/{digest} {malformed}", record.version))
        })
    }
}
