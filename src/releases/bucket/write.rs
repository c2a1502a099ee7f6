//! How is something put into a store, or deleted? Slowly if it must be, and looked at when it is
//! not known what has become of it.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::{MultipartUpload, ObjectStoreExt as _, path::Path};
use tokio::time::{sleep, timeout};

use super::{
    Bucket, StoreError,
    client::{Client, PAUSES, modified},
};
use crate::{Error, ErrorKind};

/// A request that changes something may take this long, and longer with many bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The slowest connection that is worth the wait, in bytes per second.
const SLOWEST: u64 = 64 << 10;

/// So many deletions are on their way at once.
const DELETIONS: usize = 32;

/// Until the store has another time, if it counts in seconds.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// What is written to ask the store for its time.
const CLOCK: &[u8] = b"Written to read the time of the store.\n";

impl Client {
    /// Puts a blob. It is the same whoever puts it.
    pub(super) async fn put_blob(&self, key: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        for pause in PAUSES {
            match self.put_once(key, bytes.clone()).await {
                Err(StoreError::Unavailable(_)) => {}
                answer => return answer,
            }
            sleep(pause).await;
            // It may have arrived, and only the answer was lost.
            if self.has(key, length).await.is_ok_and(|is_there| is_there) {
                return Ok(());
            }
        }
        self.put_once(key, bytes).await
    }

    /// Puts a record, which is as new then as the answer says.
    pub(super) async fn put_record(
        &self,
        key: &Path,
        listing: Bytes,
        in_another_second: bool,
    ) -> Result<(), StoreError> {
        if in_another_second {
            sleep(NEXT_SECOND).await;
        }
        insist(|| self.put_once(key, listing.clone())).await
    }

    async fn put_once(&self, key: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let put = self.store.put(key, bytes.into());
        no_bucket(key, self.send(key, length, async { put.await.map(drop) }).await)
    }

    /// Waits until so many bytes have arrived.
    pub(super) async fn send(
        &self,
        key: &Path,
        length: u64,
        sent: impl Future<Output = object_store::Result<()>>,
    ) -> Result<(), StoreError> {
        let patience = PATIENCE + Duration::from_secs(length / SLOWEST);
        match timeout(patience, sent).await {
            Ok(sent) => sent.map_err(|error| StoreError::new(key, &error)),
            Err(_) => {
                let why = format!("no answer to {key} within {} s", patience.as_secs());
                Err(StoreError::Unavailable(why))
            }
        }
    }

    /// Whether a blob is there in its full length.
    pub(super) async fn has(&self, key: &Path, length: u64) -> Result<bool, StoreError> {
        match self.head(key).await {
            Ok(object) => Ok(object.size == length),
            Err(StoreError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins to put a blob in parts.
    pub(super) async fn begin(&self, key: &Path) -> Result<Box<dyn MultipartUpload>, StoreError> {
        insist(|| async {
            let mut upload = None;
            let begin = async {
                upload = Some(self.store.put_multipart(key).await?);
                Ok(())
            };
            no_bucket(key, self.send(key, 0, begin).await)?;
            upload.ok_or_else(|| StoreError::Unavailable("no upload has begun".into()))
        })
        .await
    }

    /// Makes a blob of the parts that were put, or forgets them.
    pub(super) async fn end(
        &self,
        key: &Path,
        mut upload: Box<dyn MultipartUpload>,
        is_good: bool,
    ) -> Result<(), StoreError> {
        if is_good {
            self.send(key, 0, async { upload.complete().await.map(drop) }).await
        } else {
            self.send(key, 0, upload.abort()).await
        }
    }

    /// Deletes some keys. Those that are not there are no error.
    pub(super) async fn delete(&self, keys: Vec<Path>) -> Result<(), StoreError> {
        let mut deletions = stream::iter(keys)
            .map(|key| async move {
                match insist(|| self.send(&key, 0, self.store.delete(&key))).await {
                    Err(StoreError::Missing) => Ok(()),
                    done => done,
                }
            })
            .buffer_unordered(DELETIONS);
        while let Some(done) = deletions.next().await {
            done?;
        }
        Ok(())
    }

    /// Returns the time of the store.
    async fn time(&self, shelf: u64) -> Result<SystemTime, StoreError> {
        let clock = self.keys.clock(shelf);
        insist(|| self.put_once(&clock, Bytes::from_static(CLOCK))).await?;
        Ok(modified(&self.head(&clock).await?))
    }
}

impl Bucket {
    /// Checks that this machine and the store agree to a day about what time it is. If they do
    /// not, a release may be put on a shelf that others collect.
    pub(super) fn check_clock(&self) -> Result<(), Error> {
        let calendar = &self.0.client.calendar;
        let shelf = calendar.shelf((calendar.now)());
        let theirs = self.ask(move |client| async move { client.time(shelf).await })?;
        let ours = (calendar.now)();
        let apart = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
        if apart <= calendar.day() {
            return Ok(());
        }
        // If it stays in a week that nobody uses, that is listed until it is over. In the week of
        // others, these may be about to read it.
        if !calendar.current_shelves(theirs).contains(&shelf) {
            let clock = self.0.client.keys.clock(shelf);
            let _ = self.wait(move |client| async move { client.delete(vec![clock]).await });
        }
        let message = format!(
            "the clock of this machine is {} h {} that of the store {}: set it, because a release \
             is kept by the week in which it was published",
            apart.as_secs() / 3600,
            if ours > theirs { "ahead of" } else { "behind" },
            self.name(),
        );
        Err(Error::new(ErrorKind::ClockSkew, message))
    }
}

/// Tells what it means that something is missing which is to be put there.
fn no_bucket(key: &Path, put: Result<(), StoreError>) -> Result<(), StoreError> {
    match put {
        Err(StoreError::Missing) => {
            Err(StoreError::Wrong(format!("there is no such bucket for {key}")))
        }
        put => put,
    }
}

/// Tries several times, if the store is not available.
async fn insist<T, F>(attempt: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for pause in PAUSES {
        match attempt().await {
            Err(StoreError::Unavailable(_)) => sleep(pause).await,
            answer => return answer,
        }
    }
    attempt().await
}
