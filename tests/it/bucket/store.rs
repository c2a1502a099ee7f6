//! A store in memory that counts what it is asked, and does it wrong where a test wants it to.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, memory::InMemory, path::Path,
};
use tower_static_url::releases::Bucket;

pub const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a store is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    pub key: String,
}

/// What the store does instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does as it is asked.
    None,
    /// It does nothing, and says that it is not available.
    Fail,
    /// It does as it is asked, and says that it is not available.
    LoseAnswer,
    /// It does nothing, and answers that it cannot just now.
    Busy,
    /// It says that it is forbidden.
    Deny,
    /// It says that it cannot do such a thing.
    Unsupported,
    /// It never answers.
    Hang,
    /// It says that everything is much longer than it is.
    Exaggerate,
}

/// Decides what the store does with the call of a number, from 0.
type Faults = Box<dyn Fn(usize, &Call) -> Fault + Send + Sync>;

#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    memory: InMemory,
    /// When each key was written by the clock of the test, in nanoseconds since 1970.
    times: Mutex<HashMap<Path, u64>>,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Faults>,
    clock: AtomicU64,
    /// The clock of the store counts in these.
    tick: u64,
}

impl Store {
    /// A store whose clock, which the buckets share, is in the middle of week 2900.
    pub fn new() -> Self {
        Self::with_tick(Duration::from_nanos(1))
    }

    pub fn with_tick(tick: Duration) -> Self {
        let start = WEEK * 2900 + WEEK / 2;
        Self(Arc::new(Inner {
            memory: InMemory::new(),
            times: Mutex::default(),
            calls: Mutex::default(),
            faults: Mutex::new(Box::new(|_, _| Fault::None)),
            clock: AtomicU64::new(start.as_nanos() as u64),
            tick: tick.as_nanos() as u64,
        }))
    }

    /// A bucket as another node has it.
    pub fn bucket(&self) -> Bucket {
        let clock = self.clone();
        let now = move || clock.now();
        Bucket::with_calendar(Arc::new(self.clone()), "site", WEEK, now).unwrap()
    }

    /// A bucket with a clock that is wrong.
    pub fn bucket_ahead(&self, ahead: Duration) -> Bucket {
        let clock = self.clone();
        let now = move || clock.now() + ahead;
        Bucket::with_calendar(Arc::new(self.clone()), "site", WEEK, now).unwrap()
    }

    /// Returns the time, which goes on a little with every look.
    pub fn now(&self) -> SystemTime {
        let nanos = self.0.clock.fetch_add(1000, SeqCst);
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    pub fn advance(&self, by: Duration) {
        self.0.clock.fetch_add(by.as_nanos() as u64, SeqCst);
    }

    /// Counts calls from 0 again, and decides what becomes of them.
    pub fn fail(&self, faults: impl Fn(usize, &Call) -> Fault + Send + Sync + 'static) {
        let mut calls = self.0.calls.lock().unwrap();
        *self.0.faults.lock().unwrap() = Box::new(faults);
        calls.clear();
    }

    pub fn heal(&self) {
        self.fail(|_, _| Fault::None);
    }

    /// Returns the calls since [`fail`](Self::fail).
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str) -> usize {
        self.calls().iter().filter(|call| call.method == method).count()
    }

    /// Returns all keys, without a call.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.block(async |memory| {
            let listed = memory.list(None).map(|object| object.unwrap().location.to_string());
            listed.collect::<Vec<_>>().await
        });
        keys.sort();
        keys
    }

    pub fn read(&self, key: &str) -> Vec<u8> {
        let key = Path::parse(key).unwrap();
        self.block(async |memory| memory.get(&key).await.unwrap().bytes().await.unwrap().to_vec())
    }

    pub fn write(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let key = Path::parse(key).unwrap();
        let bytes = bytes.into();
        self.put(&key, bytes.into()).unwrap();
    }

    pub fn delete(&self, key: &str) {
        let key = Path::parse(key).unwrap();
        self.block(async |memory| memory.delete(&key).await.unwrap());
    }

    /// A store in memory never waits.
    fn block<'s, T>(&'s self, work: impl AsyncFnOnce(&'s InMemory) -> T) -> T {
        let future = std::pin::pin!(work(&self.0.memory));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(done) => done,
            std::task::Poll::Pending => panic!("memory has to be waited for"),
        }
    }

    /// Puts an object and its time, without a moment between.
    fn put(&self, key: &Path, payload: PutPayload) -> Result<PutResult> {
        let mut times = self.0.times.lock().unwrap();
        times.insert(key.clone(), self.ticks());
        self.block(async |memory| memory.put(key, payload).await)
    }

    fn ticks(&self) -> u64 {
        self.0.clock.fetch_add(1000, SeqCst) / self.0.tick * self.0.tick
    }

    fn with_time(&self, mut object: ObjectMeta, fault: Fault) -> ObjectMeta {
        let nanos = self.0.times.lock().unwrap().get(&object.location).copied().unwrap_or(0);
        object.last_modified = (SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)).into();
        if fault == Fault::Exaggerate {
            object.size += 1 << 30;
        }
        object
    }

    fn call(&self, method: &'static str, key: &Path) -> Fault {
        let call = Call { method, key: key.to_string() };
        let mut calls = self.0.calls.lock().unwrap();
        let fault = (self.0.faults.lock().unwrap())(calls.len(), &call);
        calls.push(call);
        fault
    }

    /// Counts a call, and does what is to be done before it.
    async fn before(&self, method: &'static str, key: &Path) -> Result<Fault> {
        match self.call(method, key) {
            Fault::Hang => std::future::pending().await,
            fault => error(fault).map_or(Ok(fault), Err),
        }
    }
}

fn error(fault: Fault) -> Option<Error> {
    let source = || "as the test wants it".into();
    match fault {
        Fault::Fail => Some(Error::Generic { store: "test", source: source() }),
        Fault::Busy => Some(Error::Generic { store: "test", source: "status code: 503".into() }),
        Fault::Deny => Some(Error::PermissionDenied { path: "key".into(), source: source() }),
        Fault::Unsupported => Some(Error::NotSupported { source: source() }),
        _ => None,
    }
}

fn after<T>(fault: Fault, done: T) -> Result<T> {
    match fault {
        Fault::LoseAnswer => Err(error(Fault::Fail).unwrap()),
        _ => Ok(done),
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        key: &Path,
        payload: PutPayload,
        _ignored: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.before("PUT", key).await?;
        after(fault, self.put(key, payload)?)
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.before("BEGIN", key).await?;
        let upload = self.0.memory.put_multipart_opts(key, options).await?;
        let upload = Upload { store: self.clone(), key: key.clone(), upload };
        after(fault, Box::new(upload) as _)
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.before(if options.head { "HEAD" } else { "GET" }, key).await?;
        let mut got = self.0.memory.get_opts(key, options).await?;
        got.meta = self.with_time(got.meta, fault);
        if fault == Fault::Exaggerate {
            got.range = 0..got.meta.size;
        }
        after(fault, got)
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        keys.then(move |key| {
            let store = store.clone();
            async move {
                let key = key?;
                let fault = store.before("DELETE", &key).await?;
                store.0.memory.delete(&key).await?;
                after(fault, key)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.cloned().unwrap_or_default();
        let fault = self.call("LIST", &key);
        let listed = self.0.memory.list(prefix);
        let store = self.clone();
        let listed = listed.map(move |object| Ok(store.with_time(object?, fault)));
        match fault {
            Fault::Hang => stream::pending().boxed(),
            Fault::LoseAnswer => {
                listed.chain(stream::iter([Err(error(Fault::Fail).unwrap())])).boxed()
            }
            fault => match error(fault) {
                Some(error) => stream::iter([Err(error)]).boxed(),
                None => listed.boxed(),
            },
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.before("LIST", &prefix.cloned().unwrap_or_default()).await?;
        after(fault, self.0.memory.list_with_delimiter(prefix).await?)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("nothing is copied");
    }
}

#[derive(Debug)]
struct Upload {
    store: Store,
    key: Path,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        let (store, key) = (self.store.clone(), self.key.clone());
        let put = self.upload.put_part(data);
        Box::pin(async move {
            let fault = store.before("PART", &key).await?;
            put.await?;
            after(fault, ())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.store.before("COMPLETE", &self.key).await?;
        self.store.0.times.lock().unwrap().insert(self.key.clone(), self.store.ticks());
        after(fault, self.upload.complete().await?)
    }

    async fn abort(&mut self) -> Result<()> {
        let fault = self.store.before("ABORT", &self.key).await?;
        after(fault, self.upload.abort().await?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}
