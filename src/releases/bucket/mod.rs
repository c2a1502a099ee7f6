//! Every published version of the files, kept in an S3-compatible bucket. See [`Bucket`].
//!
//! ```text
//! <prefix>/<shelf>/blobs/<sha256>                  the bytes
//! <prefix>/<shelf>/releases/<version>/<digest>     the record: the listing
//! <prefix>/<shelf>/clock                           written to ask the store for its time
//! ```

mod client;
mod collect;
mod keys;
mod list;
mod publish;
mod read;
mod records;
mod verify;
mod write;

use std::{
    fmt,
    future::Future,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use object_store::ObjectStore;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use self::{client::Client, keys::Keys};
pub(crate) use self::{
    client::StoreError,
    read::BlobStream,
    records::{BucketRecord, MOST_RECORDS},
};
use crate::{Error, ErrorKind};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The threads that talk to the store. They only wait, and hash what they send.
const WORKERS: usize = 2;

/// An S3-compatible bucket, or another store of [`object_store`], that keeps the files of every
/// published version for all nodes.
///
/// ```
/// use std::sync::Arc;
/// use object_store::memory::InMemory;
/// use tower_static_url::releases::Bucket;
///
/// // In production this is an `AmazonS3`, made by an `AmazonS3Builder`.
/// let bucket = Bucket::new(Arc::new(InMemory::new()), "site")?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let dist = folder.path();
/// # std::fs::write(dist.join("app.css"), "p { color: teal }").unwrap();
/// let manifest = tower_static_url::Manifest::scan(dist)?;
/// let version = &manifest.digest_hex()[..16];
/// assert!(bucket.publish(version, &manifest, [dist])?.is_new());
/// assert_eq!(bucket.list()?[0].version(), version);
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// # What is kept, and how
///
/// ```text
/// <prefix>/<week>/blobs/<sha256>                   the bytes
/// <prefix>/<week>/releases/<version>/<digest>      the record: the listing
/// ```
///
/// - The week is Unix time divided by 604,800 seconds. A release is complete within its week:
///   the first deploy of a week puts the whole tree, the others what has changed.
/// - The record is put last. A publisher that is killed leaves only blobs.
/// - Only whole weeks are deleted, so nothing has to be counted or locked, and any number of
///   nodes may publish while others delete.
/// - Only PUT, GET, HEAD, LIST and DELETE are used, without conditions, and multipart uploads for
///   files of more than 8 MiB. Nodes that only read need `GetObject` and `ListBucket`.
///
/// # Time limits
///
/// The store must answer a question within 2 s, and is asked twice. A change may take 30 s, and
/// is tried four times, as is a question of a publisher that the store answers with an error.
/// Turn the retries of your client off (`RetryConfig`), and let it connect within a second or
/// less, because its defaults let a silent store hold a request for minutes.
///
/// # Executors
///
/// A bucket has two threads of its own, and works from any executor and from none. Its methods
/// block: call them on a thread for blocking work, or before the server starts.
///
/// Clones are cheap and share all state.
#[derive(Clone)]
pub struct Bucket(Arc<Shared>);

struct Shared {
    client: Arc<Client>,
    /// The same store, for methods that block.
    patient: Arc<Client>,
    threads: Handle,
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
}

/// How long a shelf is in use, and what time it is.
#[derive(Clone)]
struct Calendar {
    week: Duration,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Bucket {
    /// Uses a part of a store: the keys that begin with the prefix. An empty prefix means the
    /// whole store. Does not ask the store for anything.
    ///
    /// # Errors
    ///
    /// - [`InvalidReleases`](ErrorKind::InvalidReleases): the prefix is no prefix of keys: it
    ///   has an empty segment, a dot segment or a control character.
    /// - [`Io`](ErrorKind::Io): no thread can be started.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, Error> {
        Self::with_calendar(store, prefix, WEEK, SystemTime::now)
    }

    /// For tests: with weeks of another length, and another clock.
    #[doc(hidden)]
    pub fn with_calendar(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        week: Duration,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let keys = Keys::new(prefix).map_err(|why| {
            Error::new(ErrorKind::InvalidReleases, format!("prefix {prefix:?} {why}"))
        })?;
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(WORKERS).thread_name("static-url-store").enable_all();
        let runtime = runtime.build().map_err(Error::no_thread)?;
        let calendar = Calendar { week, now: Arc::new(now) };
        let client = Arc::new(Client::new(store, keys, calendar));
        let patient = Arc::new(client.patient());
        Ok(Self(Arc::new(Shared {
            client,
            patient,
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
        })))
    }

    /// Runs a future on the threads of the bucket, where the timers and sockets of a store work.
    /// It ends when the last clone of the bucket is dropped, so it should not hold one.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(future)
    }

    /// Awaits, on any executor, what some work with the client returns. The work ends early if
    /// nobody awaits it any longer.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = self.0.spawn(work(Arc::clone(&self.0.client)));
        let mut task = AbortOnDrop(task);
        match (&mut task.0).await {
            Ok(done) => done,
            Err(error) => Err(StoreError::Unavailable(format!("the request has ended: {error}"))),
        }
    }

    /// Waits for some work with the client, and names the bucket in the error.
    fn ask<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.wait(work).map_err(|error| self.error(error))
    }

    fn error(&self, error: StoreError) -> Error {
        Error::new(ErrorKind::Store, format!("{}: {error}", self.name()))
    }

    fn name(&self) -> String {
        let Client { store, keys, .. } = &*self.0.client;
        match keys.prefix().as_ref() {
            "" => store.to_string(),
            prefix => format!("{store}/{prefix}"),
        }
    }

    /// Waits for some work with the client. The calling thread may belong to another runtime,
    /// in which to enter this one panics.
    fn wait<T, F>(&self, work: impl FnOnce(Arc<Client>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = work(Arc::clone(&self.0.patient));
        self.0.spawn(async move { sender.send(work.await) });
        let ended = |_| Err(StoreError::Unavailable("the request has ended".into()));
        receiver.recv().unwrap_or_else(ended)
    }
}

/// Ends the work with the future that awaits it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.threads.spawn(future)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // To wait for a runtime panics inside of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("store", &format_args!("{}", self.0.client.store))
            .field("prefix", &self.0.client.keys.prefix().as_ref())
            .finish()
    }
}
