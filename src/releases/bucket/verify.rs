//! Does a bucket have all blobs of all releases, as they were published?

use std::{
    collections::{BTreeMap, HashMap},
    path::Path as FilePath,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

use super::{Bucket, BucketRecord, StoreError, client::Client};
use crate::{Error, Manifest, releases::Damage};

/// So many blobs are read at once.
const READS: usize = 16;

impl Bucket {
    /// Reads every blob of every release once, and returns what is not as it was published:
    /// blobs that are missing or have other content, and records that are damaged. Blocks for as
    /// long as it takes to read all of the bucket.
    ///
    /// To mend a damaged release, delete the keys that are damaged, [withdraw](Self::withdraw)
    /// the release and [publish](Self::publish) it again.
    ///
    /// # Errors
    ///
    /// The same as [`list`](Self::list).
    pub fn verify(&self) -> Result<Vec<Damage>, Error> {
        self.ask(|client| async move { client.verify().await })
    }
}

impl Client {
    async fn verify(self: Arc<Self>) -> Result<Vec<Damage>, StoreError> {
        let mut damages = Vec::new();
        // By key, so that each is read once, and in an order that a person can follow.
        let mut blobs = BTreeMap::<Path, ([u8; 32], u64)>::new();
        for record in self.all_records().await? {
            for shelf in &record.shelves {
                let on_shelf = BucketRecord { shelves: vec![*shelf], ..record.clone() };
                match self.parsed(&on_shelf).await {
                    Ok(manifest) => blobs.extend(self.blobs_of(*shelf, &manifest)),
                    Err(StoreError::Missing) => {}
                    Err(StoreError::Wrong(_)) => {
                        let key = self.keys.record(*shelf, &record.version, &record.digest);
                        damages.push(damage(&key, "is not the listing whose SHA-256 is its name"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let checks = blobs.into_iter().map(|(key, (sha256, length))| {
            let client = Arc::clone(&self);
            async move { client.check(&key, &sha256, length).await }
        });
        let mut checks = stream::iter(checks).buffered(READS);
        while let Some(checked) = checks.next().await {
            damages.extend(checked?);
        }
        Ok(damages)
    }

    fn blobs_of(&self, shelf: u64, manifest: &Manifest) -> HashMap<Path, ([u8; 32], u64)> {
        let blobs = manifest.iter().map(|(_, info)| (*info.sha256(), info.length()));
        blobs.map(|blob| (self.keys.blob(shelf, &blob.0), blob)).collect()
    }

    async fn check(
        &self,
        key: &Path,
        sha256: &[u8; 32],
        length: u64,
    ) -> Result<Option<Damage>, StoreError> {
        // Once more if the connection is lost in the middle.
        let hash = self.retry(|| self.hash(key, length)).await;
        match hash {
            Ok(hash) if hash == *sha256 => Ok(None),
            Ok(_) => Ok(Some(damage(key, "has other content than was published"))),
            Err(StoreError::Missing) => Ok(Some(damage(key, "is missing"))),
            Err(StoreError::Wrong(why)) => Ok(Some(damage(key, &format!("is wrong: {why}")))),
            Err(error) => Err(error),
        }
    }

    async fn hash(&self, key: &Path, length: u64) -> Result<[u8; 32], StoreError> {
        let mut pieces = self.open(std::slice::from_ref(key), length).await?;
        let (mut sha256, mut given) = (Sha256::new(), 0);
        while let Some(piece) = pieces.next().await? {
            given += piece.len() as u64;
            sha256.update(&piece);
        }
        match given {
            given if given < length => Err(super::client::cut_off(given, length)),
            given if given > length => Err(super::client::too_long(length)),
            _ => Ok(sha256.finalize().into()),
        }
    }
}

fn damage(key: &Path, why: &str) -> Damage {
    Damage::new(FilePath::new(key.as_ref()), why)
}
