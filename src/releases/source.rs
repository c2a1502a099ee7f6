//! Which releases has the bucket, as far as this node knows? It looks every minute, and when
//! somebody asks for a version that it does not know.

use std::{
    collections::{HashMap, HashSet},
    fs,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    time::{Duration, Instant, SystemTime},
};

use object_store::ObjectStore;

use crate::{
    Error, Manifest,
    observe::log,
    releases::{
        Bucket, Folder, KeptRelease, Known, Releases, Shared,
        breaker::Breaker,
        bucket::{BlobStream, BucketRecord, MOST_RECORDS, StoreError},
        budget::{Budget, default_limit},
        folder::delete,
        index,
        known::Remote,
        record::Record,
    },
};

/// How often the node looks at all shelves.
const ALL: Duration = Duration::from_secs(60);

/// How often it looks at all, at most.
const NEWEST: Duration = Duration::from_millis(1900);

/// How often it looks at the neighbour of the newest shelf too, in looks.
const NEIGHBOUR: u32 = 3;

/// For how long a record that is wrong, missing or denied is not read again.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// How many listings are read at the same time.
const LISTINGS: usize = 16;

pub(crate) const NO_ANSWER: &str = "the store has not told yet which releases it has";

/// The bucket that a directory is filled from.
#[derive(Debug)]
pub(crate) struct Source {
    bucket: Bucket,
    breaker: Breaker,
    pub(crate) budget: Budget,
    /// Locked while the bucket is asked what it has.
    looking: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before the bucket has answered.
    records: Option<HashMap<Box<str>, BucketRecord>>,
    has_answered: bool,
    /// An earlier process has seen releases in the bucket.
    had_some: bool,
    looks: u32,
    asked: Option<Instant>,
    asked_for_all: Option<Instant>,
    /// The digests of records that cannot be read, and until when they are left alone.
    wrong: HashMap<[u8; 32], (Instant, StoreError)>,
}

/// What the bucket is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    All,
    Newest { with_neighbour: bool },
}

impl Releases {
    /// Fills the directory from a bucket. From then on the layer answers for every release that
    /// the bucket has: a file comes from the bucket when somebody asks for it first, and lies in
    /// the directory afterwards. [`publish`](Self::publish) puts a release into both.
    ///
    /// The prefix is the part of the store that is used: see [`Bucket::new`]. The credentials of
    /// a node that only serves need not allow more than to read and to list.
    ///
    /// What a browser sees: a page from any node finds its files on every other one, with
    /// `immutable`, for as long as the release is kept. If the store fails, the current version
    /// is served as ever, and an old file that is not in the directory yet is answered 503
    /// `no-store`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use object_store::memory::InMemory;
    /// use tower_static_url::releases::Releases;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path().join("releases");
    /// // In production this is an `AmazonS3`, made by an `AmazonS3Builder`.
    /// let store = Arc::new(InMemory::new());
    /// let releases = Releases::folder(folder)?.filled_from(store, "site")?;
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Bucket::new`], and [`Io`](crate::ErrorKind::Io) if the directory cannot be
    /// read. The store is not asked for anything here.
    pub fn filled_from(self, store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, Error> {
        self.filled_within(store, prefix, default_limit())
    }

    /// Fills the directory as [`filled_from`](Self::filled_from) does, and sets how many bytes the
    /// filled files may take. Default: 2 GiB. What nobody has asked for longest is deleted first;
    /// the releases that this directory has published itself do not count and stay.
    ///
    /// A file that is longer than this is answered 503 `no-store`.
    ///
    /// # Errors
    ///
    /// The same as [`filled_from`](Self::filled_from).
    pub fn filled_within(
        self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        bytes: u64,
    ) -> Result<Self, Error> {
        let bucket = Bucket::new(store, prefix)?;
        let folder = Folder::create(self.0.folder.path())?;
        let budget = Budget::new(bytes, &folder, Instant::now())?;
        let had_some = !folder.find_filled()?.records.is_empty();
        let source = Source::new(bucket, budget, had_some);
        let shared = Arc::new(Shared { source: Some(source), ..Shared::new(folder) });
        let releases = Self(shared);
        releases.read_folder()?;
        // What an earlier process has left when it was killed. If this cannot delete it, the next
        // one may.
        let _ = releases.sweep_if_alone();
        releases.look_regularly();
        Ok(releases)
    }

    /// Looks at the bucket every minute, until the directory is dropped.
    fn look_regularly(&self) {
        let Some(source) = &self.0.source else { return };
        let shared = Arc::downgrade(&self.0);
        let look = |shared: Weak<Shared>| {
            let releases = shared.upgrade().map(Releases)?;
            if let Err(error) = releases.refresh() {
                log::releases_not_refreshed(&error);
            }
            Some(())
        };
        drop(source.bucket.spawn(async move {
            loop {
                let shared = Weak::clone(&shared);
                let looked = tokio::task::spawn_blocking(move || look(shared)).await;
                if matches!(looked, Ok(None)) {
                    return;
                }
                tokio::time::sleep(ALL).await;
            }
        }));
    }

    pub(super) fn publish_to_bucket(
        &self,
        version: &str,
        manifest: &Manifest,
        roots: &[PathBuf],
    ) -> Result<(), Error> {
        let Some(source) = &self.0.source else { return Ok(()) };
        source.bucket.publish(version, manifest, roots)?;
        source.look_again();
        Ok(())
    }

    /// Remembers that the bucket has an own release, so that it is noticed when it has it no
    /// longer.
    pub(super) fn keep_own_listing(&self, version: &str, listing: &str) -> Result<(), Error> {
        match self.kept(version).filter(|_| self.is_filled()) {
            Some(release) => self.0.folder.keep_listing(&release, listing.as_bytes()),
            None => Ok(()),
        }
    }

    pub(crate) fn source(&self) -> Option<&Source> {
        self.0.source.as_ref()
    }

    /// Returns which releases the bucket has. Before it has answered, those that it had when an
    /// earlier process has listed it.
    pub(super) fn remotes(&self) -> Result<Vec<Remote>, Error> {
        let Some(source) = &self.0.source else { return Ok(Vec::new()) };
        if let Some(records) = &source.state().records {
            let folder = &self.0.folder;
            return Ok(records.values().map(|record| remote(folder, record)).collect());
        }
        let filled = self.0.folder.find_filled()?.records.into_iter();
        Ok(filled.map(|record| Remote { record, shelves: Vec::new() }).collect())
    }

    /// Asks the bucket what it has, unless it was asked just now. What it has no longer is
    /// deleted here, too.
    pub(super) fn look_at_bucket(&self) -> Result<(), Error> {
        let Some(source) = &self.0.source else { return Ok(()) };
        // Whoever comes while somebody else looks waits for what he finds.
        let _looking = source.looking.lock().unwrap_or_else(PoisonError::into_inner);
        match source.look(Instant::now(), SystemTime::now()) {
            None => {}
            Some(Question::Newest { .. }) => self.read_folder()?,
            Some(Question::All) => {
                self.delete_withdrawn(source)?;
                self.read_folder()?;
            }
        }
        if !self.0.wanted.load().is_empty() && self.fetch_listings(index::BUDGET) > 0 {
            self.make_index();
        }
        Ok(())
    }

    /// Deletes what the bucket had, and has no longer: it was withdrawn or pruned there.
    fn delete_withdrawn(&self, source: &Source) -> Result<(), Error> {
        let here = self.0.folder.find_filled()?.records;
        let (withdrawn, replaced) = {
            let state = source.state();
            let Some(records) = state.records.as_ref() else { return Ok(()) };
            if records.len() >= MOST_RECORDS {
                return Ok(());
            }
            let is_other = |here: &Record| {
                records.get(&here.version).is_none_or(|record| record.digest != here.digest)
            };
            let is_gone = |here: &Record| !records.contains_key(&here.version);
            here.into_iter().filter(|here| is_other(here)).partition::<Vec<_>, _>(is_gone)
        };
        // The version was published anew, with other files.
        for record in replaced {
            delete(&record.path)?;
        }
        let current = self.0.published.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let withdrawn = withdrawn.iter().filter(|record| current.as_ref() != Some(&record.version));
        let versions = withdrawn.map(|record| &*record.version).collect::<HashSet<_>>();
        if versions.is_empty() {
            return Ok(());
        }
        // If somebody publishes just now, the next look deletes.
        let Some(_alone) = self.0.folder.try_lock()? else { return Ok(()) };
        for version in versions {
            self.remove(version)?;
            source.budget.forget(version);
        }
        Ok(())
    }

    fn make_index(&self) {
        let _alone = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let by_version = self.0.known.load().by_version.clone();
        self.0.known.store(Arc::new(Known::new(by_version, &self.0.wanted.load(), true)));
    }

    /// Fetches the listings that are not here, those of the newest releases first, until all of
    /// them have so many bytes. Blocks. Returns how many were fetched.
    pub(super) fn fetch_listings(&self, bytes: u64) -> usize {
        let (mut left, mut fetched) = (bytes, 0);
        let known = self.0.known.load_full();
        for group in known.newest_first.chunks(LISTINGS) {
            let missing = group.iter().filter(|release| release.listing_length().is_none());
            let fetches = missing.map(|release| {
                let (releases, release) = (self.clone(), Arc::clone(release));
                self.spawn(async move { releases.fetch_listing(&release).await })
            });
            for fetch in fetches.collect::<Vec<_>>() {
                fetched += usize::from(fetch.recv().is_ok_and(|fetched| fetched.is_ok()));
            }
            let lengths = group.iter().filter_map(|release| release.listing_length());
            left = left.saturating_sub(lengths.sum());
            if left == 0 {
                break;
            }
        }
        fetched
    }

    /// Fetches the listing of a release, if it is not here. Blocks.
    pub(super) fn fetch_missing_listing(&self, release: &Arc<KeptRelease>) {
        if release.listing_length().is_none() {
            let (releases, release) = (self.clone(), Arc::clone(release));
            // Without an answer it stays unknown.
            let _ = self.spawn(async move { releases.fetch_listing(&release).await }).recv();
        }
    }

    /// Runs a future on the threads of the bucket, and returns where its result arrives.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        if let Some(source) = &self.0.source {
            drop(source.bucket.spawn(async move { sender.send(future.await) }));
        }
        receiver
    }

    /// Fetches the listing of a release.
    pub(crate) async fn fetch_listing(&self, release: &Arc<KeptRelease>) -> Result<(), StoreError> {
        let Some(source) = &self.0.source else { return Err(StoreError::Missing) };
        let record = source.record(release, Instant::now())?;
        source.admits()?;
        let fetched = source.watch(source.bucket.listing(&record).await);
        let text = fetched.inspect_err(|error| source.note(release, error, Instant::now()))?;
        let (releases, kept) = (self.clone(), Arc::clone(release));
        let stored = tokio::task::spawn_blocking(move || {
            if let Err(malformed) = Manifest::from_listing_text(&text) {
                return Err(StoreError::Wrong(malformed.to_string()));
            }
            let stored = releases.0.folder.keep_listing(&kept, &text);
            stored.map_err(|error| StoreError::Unavailable(error.to_string()))
        });
        let stored = stored.await.map_err(|error| StoreError::Unavailable(error.to_string()));
        stored.flatten().inspect_err(|error| source.note(release, error, Instant::now()))
    }
}

fn remote(folder: &Folder, record: &BucketRecord) -> Remote {
    let BucketRecord { version, digest, shelves, published } = record.clone();
    let path = folder.filled().join(&*version).join(data_encoding::HEXLOWER.encode(&digest));
    Remote { record: Record { version, digest, published, path }, shelves }
}

impl KeptRelease {
    /// Returns how long the listing is, if it is here.
    fn listing_length(&self) -> Option<u64> {
        fs::metadata(&self.record.path).ok().map(|metadata| metadata.len())
    }
}

impl Source {
    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn new(bucket: Bucket, budget: Budget, had_some: bool) -> Self {
        Self {
            bucket,
            breaker: Breaker::default(),
            budget,
            looking: Mutex::default(),
            state: Mutex::new(State { had_some, ..State::default() }),
        }
    }

    /// Asks the bucket which releases it has, if it was not asked just now. Blocks. Returns what
    /// it has answered.
    fn look(&self, now: Instant, time: SystemTime) -> Option<Question> {
        let question = self.state().question(now)?;
        self.admits().ok()?;
        let bucket = self.bucket.clone();
        let answer = self.wait(async move {
            match question {
                Question::All => bucket.records().await,
                Question::Newest { with_neighbour } => {
                    bucket.newest_records(time, with_neighbour).await
                }
            }
        });
        match self.watch(answer) {
            Ok(records) => self.state().learn(question, records, now).then_some(question),
            Err(error) => {
                log::bucket_not_listed(&error);
                None
            }
        }
    }

    /// Whether the bucket has told what it has. Before that, nobody knows on which shelves.
    pub(crate) fn has_answered(&self) -> bool {
        self.state().has_answered
    }

    /// Says that what is known of the bucket is outdated: the next look is at all shelves.
    pub(crate) fn distrust(&self) {
        self.state().asked_for_all = None;
    }

    /// Lets the next look be at all shelves, and at once: this node has changed something.
    pub(super) fn look_again(&self) {
        let mut state = self.state();
        (state.asked, state.asked_for_all) = (None, None);
    }

    /// Waits for the store on the thread that calls.
    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        drop(self.bucket.spawn(async move { sender.send(future.await) }));
        let ended = |_| Err(StoreError::Unavailable("the request has ended".into()));
        receiver.recv().unwrap_or_else(ended)
    }

    /// Opens a file of a release.
    pub(crate) async fn blob(
        &self,
        release: &KeptRelease,
        sha256: &[u8; 32],
        length: u64,
    ) -> Result<BlobStream, StoreError> {
        self.admits()?;
        self.watch(self.bucket.blob(release.shelves(), sha256, length).await)
    }

    /// Takes notice of whether the store answers.
    pub(crate) fn watch<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Err(StoreError::Unavailable(_)) => self.breaker.failed(Instant::now()),
            _ => self.breaker.succeeded(),
        }
        answer
    }

    fn admits(&self) -> Result<(), StoreError> {
        let closed = || StoreError::Unavailable("the store has failed several times".into());
        self.breaker.admits(Instant::now()).then_some(()).ok_or_else(closed)
    }

    /// Returns the record of a release, unless it is known to be wrong.
    fn record(&self, release: &KeptRelease, now: Instant) -> Result<BucketRecord, StoreError> {
        let state = self.state();
        match state.wrong.get(&release.record.digest) {
            Some((until, error)) if now < *until => Err(error.clone()),
            _ if !state.has_answered => Err(StoreError::Unavailable(NO_ANSWER.into())),
            _ => Ok(BucketRecord {
                version: release.version().into(),
                digest: release.record.digest,
                shelves: release.shelves().into(),
                published: release.published,
            }),
        }
    }

    /// Remembers that a record is wrong, missing or denied, and logs it once.
    fn note(&self, release: &KeptRelease, error: &StoreError, now: Instant) {
        if !matches!(error, StoreError::Unavailable(_)) {
            let wrong = (now + WRONG_FOR, error.clone());
            if self.state().wrong.insert(release.record.digest, wrong).is_none() {
                log::wrong_record(release.version(), error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns what to ask for now, if anything.
    fn question(&mut self, now: Instant) -> Option<Question> {
        let is_due = |asked: Option<Instant>, after| {
            asked.is_none_or(|asked| now.saturating_duration_since(asked) >= after)
        };
        if !is_due(self.asked, NEWEST) {
            return None;
        }
        self.asked = Some(now);
        if is_due(self.asked_for_all, ALL - NEWEST) {
            return Some(Question::All);
        }
        self.looks = self.looks.wrapping_add(1);
        Some(Question::Newest { with_neighbour: self.looks.is_multiple_of(NEIGHBOUR) })
    }

    /// Takes what the bucket has answered. Returns whether it counts.
    fn learn(&mut self, question: Question, records: Vec<BucketRecord>, now: Instant) -> bool {
        self.has_answered = true;
        if question == Question::All {
            self.asked_for_all = Some(now);
        }
        let had_some = self.records.as_ref().map_or(self.had_some, |known| !known.is_empty());
        // Who deletes releases leaves the newest ones.
        if records.is_empty() && had_some {
            if question == Question::All {
                log::bucket_is_empty();
            }
            return question != Question::All;
        }
        if question == Question::All {
            let new = records.into_iter().map(|record| (record.version.clone(), record));
            self.records = Some(new.collect());
            return true;
        }
        let mut all = self.records.take().unwrap_or_default();
        for record in records {
            match all.get_mut(&record.version) {
                Some(known) if known.digest == record.digest => known.add(record),
                Some(_) => {}
                None => drop(all.insert(record.version.clone(), record)),
            }
        }
        self.records = Some(all);
        true
    }
}

impl BucketRecord {
    /// Adds what is known of other shelves.
    fn add(&mut self, other: Self) {
        self.shelves.extend(other.shelves);
        self.shelves.sort_unstable_by_key(|shelf| std::cmp::Reverse(*shelf));
        self.shelves.dedup();
        self.published = self.published.max(other.published);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(version: &str, shelf: u64) -> BucketRecord {
        BucketRecord {
            version: version.into(),
            digest: [1; 32],
            shelves: vec![shelf],
            published: SystemTime::UNIX_EPOCH + Duration::from_secs(shelf),
        }
    }

    #[test]
    fn how_often_the_bucket_is_asked() {
        let (mut state, start) = (State::default(), Instant::now());
        let newest = |with_neighbour| Some(Question::Newest { with_neighbour });
        for (seconds, expected) in [
            (0, Some(Question::All)),
            (1, None),
            (2, newest(false)),
            (3, None),
            (4, newest(false)),
            (6, newest(true)),
            (59, Some(Question::All)),
            (61, newest(false)),
        ] {
            let now = start + Duration::from_secs(seconds);
            let question = state.question(now);
            assert_eq!(question, expected, "after {seconds} s");
            if question == Some(Question::All) {
                state.learn(Question::All, vec![], now);
            }
        }
    }

    #[test]
    fn what_the_bucket_has() {
        let (mut state, now) = (State::default(), Instant::now());
        let newest = Question::Newest { with_neighbour: false };
        let mut learn = |question, records| {
            let counts = state.learn(question, records, now);
            let mut known = state.records.iter().flat_map(HashMap::values).collect::<Vec<_>>();
            known.sort_by_key(|record| record.version.clone());
            let known = known.iter().map(|r| (r.version.to_string(), r.shelves.clone()));
            (counts, known.collect::<Vec<_>>())
        };
        let shelves = |known: &[(&str, &[u64])]| {
            let known =
                known.iter().map(|(version, shelves)| (version.to_string(), shelves.to_vec()));
            known.collect::<Vec<_>>()
        };
        let (a, b) = (|| record("a", 7), || record("b", 8));
        assert_eq!(learn(Question::All, vec![]), (true, vec![]), "nothing yet");
        assert_eq!(learn(Question::All, vec![a()]), (true, shelves(&[("a", &[7])])));
        let both = shelves(&[("a", &[7]), ("b", &[8])]);
        assert_eq!(learn(newest, vec![b()]), (true, both.clone()), "a new one");
        assert_eq!(learn(newest, vec![]), (true, both), "the others are on other shelves");
        let again = shelves(&[("a", &[8, 7]), ("b", &[8])]);
        assert_eq!(learn(newest, vec![record("a", 8)]), (true, again.clone()), "on two shelves");
        assert_eq!(learn(Question::All, vec![]), (false, again), "wiped");
        assert_eq!(learn(Question::All, vec![b()]), (true, shelves(&[("b", &[8])])), "withdrawn");
    }

    #[test]
    fn a_bucket_that_was_wiped_while_the_node_was_down() {
        let (mut state, now) = (State { had_some: true, ..State::default() }, Instant::now());
        let newest = Question::Newest { with_neighbour: false };
        for (question, counts) in [(Question::All, false), (newest, true)] {
            assert_eq!(state.learn(question, vec![], now), counts);
            assert!(state.records.is_none(), "what the directory has stays");
        }
        assert!(state.learn(newest, vec![record("a", 7)], now));
        assert_eq!(state.records.map(|records| records.len()), Some(1));
    }
}
