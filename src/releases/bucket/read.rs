//! How are the listings and files of a release read? From the newest shelf that has them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    Bucket, BucketRecord, StoreError,
    client::{Client, Pieces, cut_off, too_long},
};
use crate::manifest::listing;

/// So many pieces of a blob wait for a slow reader.
const PIECES: usize = 2;

/// The bytes of a blob, exactly as many as were asked for, or an error. Nothing has hashed them.
pub(crate) struct BlobStream {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    length: u64,
    given: u64,
    has_ended: bool,
    pump: AbortHandle,
}

impl Bucket {
    /// Returns the listing of a release: the text whose SHA-256 is the digest.
    pub(crate) async fn listing(&self, record: &BucketRecord) -> Result<Bytes, StoreError> {
        let record = record.clone();
        self.run(|client| async move { client.listing(&record).await }).await
    }

    /// Opens the blob of a file on the first of some shelves that has it.
    pub(crate) async fn blob(
        &self,
        shelves: &[u64],
        sha256: &[u8; 32],
        length: u64,
    ) -> Result<BlobStream, StoreError> {
        let keys = &self.0.client.keys;
        let keys = shelves.iter().map(|shelf| keys.blob(*shelf, sha256)).collect::<Vec<_>>();
        let pieces =
            self.run(move |client| async move { client.open(&keys, length).await }).await?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let pump = self.spawn(pump(pieces, sender)).abort_handle();
        Ok(BlobStream { pieces: receiver, length, given: 0, has_ended: false, pump })
    }
}

impl Client {
    pub(super) async fn listing(&self, record: &BucketRecord) -> Result<Bytes, StoreError> {
        let mut search = Search::default();
        for shelf in &record.shelves {
            let key = self.keys.record(*shelf, &record.version, &record.digest);
            if let Some(text) = search.found(self.proven_text(&key, &record.digest).await)? {
                return Ok(text);
            }
        }
        Err(search.failed)
    }

    async fn proven_text(&self, key: &Path, digest: &[u8; 32]) -> Result<Bytes, StoreError> {
        let text = self.retry(|| self.text(key)).await?;
        let is_right = <[u8; 32]>::from(Sha256::digest(&text)) == *digest;
        let why = || format!("{key} is not the text whose SHA-256 is its name");
        if is_right { Ok(text) } else { Err(StoreError::Wrong(why())) }
    }

    async fn text(&self, key: &Path) -> Result<Bytes, StoreError> {
        let got = self.get_once(key).await?;
        if got.length > listing::LONGEST {
            let why = format!("{key} is longer than {} bytes", listing::LONGEST);
            return Err(StoreError::Wrong(why));
        }
        got.pieces.collect(got.length).await
    }

    /// Opens the first object that has the right length.
    pub(super) async fn open(&self, keys: &[Path], length: u64) -> Result<Pieces, StoreError> {
        let mut search = Search::default();
        for key in keys {
            if let Some(pieces) = search.found(self.open_one(key, length).await)? {
                return Ok(pieces);
            }
        }
        Err(search.failed)
    }

    async fn open_one(&self, key: &Path, length: u64) -> Result<Pieces, StoreError> {
        let got = self.get(key).await?;
        let why = || format!("{key} has {} bytes instead of {length}", got.length);
        if got.length == length { Ok(got.pieces) } else { Err(StoreError::Wrong(why())) }
    }
}

/// The search for something good on several shelves. If one has something wrong and no other
/// one is right, that is the error.
struct Search {
    failed: StoreError,
}

impl Default for Search {
    fn default() -> Self {
        Self { failed: StoreError::Missing }
    }
}

impl Search {
    /// Returns `None` if the next shelf may have it.
    fn found<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(good) => return Ok(Some(good)),
            Err(StoreError::Missing) => {}
            Err(wrong @ StoreError::Wrong(_)) => self.failed = wrong,
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// Waits for the store where its timers and sockets work, whoever waits for the pieces.
async fn pump(mut pieces: Pieces, sender: mpsc::Sender<Result<Bytes, StoreError>>) {
    while let Some(piece) = pieces.next().await.transpose() {
        let is_last = piece.is_err();
        if sender.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        let item = match piece {
            Some(Ok(piece)) if piece.len() as u64 > self.length - self.given => {
                Some(Err(too_long(self.length)))
            }
            None if self.given < self.length => Some(Err(cut_off(self.given, self.length))),
            piece => piece,
        };
        match &item {
            Some(Ok(piece)) => self.given += piece.len() as u64,
            _ => self.has_ended = true,
        }
        Poll::Ready(item)
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use futures_util::StreamExt as _;
    use object_store::{ObjectStoreExt as _, memory::InMemory};
    use std::{future::Future, time::SystemTime};

    fn bucket(objects: &[(String, Vec<u8>)]) -> (Bucket, std::sync::Arc<InMemory>) {
        let store = std::sync::Arc::new(InMemory::new());
        let bucket = Bucket::new(store.clone(), "site").unwrap();
        for (key, bytes) in objects {
            let (store, key, bytes) = (store.clone(), Path::from(key.as_str()), bytes.clone());
            let put = async move { store.put(&key, bytes.into()).await };
            bucket.wait(|_| async { put.await.map_err(|error| panic!("{error}")) }).unwrap();
        }
        (bucket, store)
    }

    /// Awaits on the threads of the bucket.
    fn wait<T: Send + 'static>(
        bucket: &Bucket,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        bucket.wait(|_| future)
    }

    fn manifest() -> Manifest {
        Manifest::from_files([("app.css", "p {}"), ("app.js", "run()")]).unwrap()
    }

    fn record(shelves: &[u64]) -> BucketRecord {
        BucketRecord {
            version: "v1".into(),
            digest: *manifest().digest(),
            shelves: shelves.into(),
            published: SystemTime::UNIX_EPOCH,
        }
    }

    fn key(shelf: u64) -> String {
        format!("site/{shelf}/releases/v1/{}", manifest().digest_hex())
    }

    #[test]
    fn listings() {
        let text = manifest().to_listing().into_bytes();
        let mut flipped = text.clone();
        flipped[3] ^= 1;
        let (good, cut) = ((key(7), text.clone()), (key(8), text[..9].to_vec()));
        for (name, objects, expected) in [
            ("there", vec![good.clone()], Ok(())),
            ("on the older shelf", vec![good.clone()], Ok(())),
            ("good on the older shelf", vec![good, cut.clone()], Ok(())),
            ("on no shelf", vec![], Err(StoreError::Missing)),
            ("truncated", vec![cut], Err(StoreError::Wrong(String::new()))),
            ("empty", vec![(key(8), vec![])], Err(StoreError::Wrong(String::new()))),
            ("flipped", vec![(key(8), flipped)], Err(StoreError::Wrong(String::new()))),
        ] {
            let (bucket, _store) = bucket(&objects);
            let reader = bucket.clone();
            let listing = wait(&bucket, async move { reader.listing(&record(&[8, 7])).await });
            match (listing, expected) {
                (Ok(listing), Ok(())) => assert_eq!(listing, text, "{name}"),
                (Err(StoreError::Wrong(why)), Err(StoreError::Wrong(_))) => {
                    assert!(why.contains(&key(8)), "{name}: {why}");
                }
                (listing, expected) => assert_eq!(listing.map(drop), expected, "{name}"),
            }
        }
    }

    #[test]
    fn blobs() {
        let sha256 = [7; 32];
        let key = |shelf| format!("site/{shelf}/blobs/{}", "07".repeat(32));
        for (name, objects, expected) in [
            ("there", vec![(key(3), b"bytes".to_vec())], Ok(())),
            ("short on one shelf", vec![(key(3), b"bytes".to_vec()), (key(4), vec![])], Ok(())),
            ("nowhere", vec![], Err("Missing")),
            ("longer", vec![(key(4), b"more bytes".to_vec())], Err("Wrong")),
            ("shorter", vec![(key(4), b"byte".to_vec())], Err("Wrong")),
        ] {
            let (bucket, _store) = bucket(&objects);
            let reader = bucket.clone();
            let read = async move {
                let stream = reader.blob(&[4, 3], &sha256, 5).await?;
                stream
                    .map(|piece| piece.map(|piece| piece.to_vec()))
                    .collect::<Vec<_>>()
                    .await
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()
            };
            match (wait(&bucket, read), expected) {
                (Ok(pieces), Ok(())) => assert_eq!(pieces.concat(), b"bytes", "{name}"),
                (Err(error), Err(kind)) => {
                    assert!(format!("{error:?}").starts_with(kind), "{name}: {error:?}");
                }
                (read, _) => panic!("{name}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_stream_that_is_too_long_or_too_short_is_an_error() {
        for (name, pieces, expected) in [
            ("exact", vec!["by", "tes"], 2),
            ("nothing", vec![], 0),
            ("too short", vec!["by", "te"], 2),
            ("too long", vec!["by", "tes!"], 1),
            ("longer later", vec!["by", "tes", "!"], 2),
        ] {
            let (bucket, _store) = bucket(&[]);
            let (sender, receiver) = mpsc::channel(9);
            for piece in &pieces {
                sender.try_send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
            }
            drop(sender);
            let pump = bucket.spawn(async {}).abort_handle();
            let stream =
                BlobStream { pieces: receiver, length: 5, given: 0, has_ended: false, pump };
            let read = async move { Ok(stream.collect::<Vec<_>>().await) };
            let read = wait(&bucket, read).unwrap();
            let good = read.iter().filter(|piece| piece.is_ok()).count();
            assert_eq!(good, expected, "{name}");
            assert_eq!(read.iter().any(Result::is_err), name != "exact", "{name}");
        }
    }

    #[test]
    fn records_of_a_store() {
        let odd = ["site/8/releases/v1/abc", "site/x/releases/v1", "site/clock", "sites/9/a"];
        let mut objects = odd.map(|key| (key.to_owned(), vec![])).to_vec();
        objects.extend([(key(7), b"1".to_vec()), (key(8), b"1".to_vec())]);
        let (bucket, _store) = bucket(&objects);
        let reader = bucket.clone();
        let found = wait(&bucket, async move {
            let week = super::super::WEEK;
            let now = SystemTime::UNIX_EPOCH + week * 8 + week / 2;
            Ok((reader.newest_records(now, true).await?, reader.records().await?))
        });
        let (newest, all) = found.unwrap();
        assert_eq!(newest.iter().map(|r| &r.shelves[..]).collect::<Vec<_>>(), [[8]]);
        assert_eq!(all.iter().map(|r| &r.shelves[..]).collect::<Vec<_>>(), [[8, 7]]);
        assert_eq!((&all[0].digest, &*all[0].version), (manifest().digest(), "v1"));
    }
}
