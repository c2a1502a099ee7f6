//! When is a delta made? Once for each pair of contents, on threads of its own, and not while too
//! many others wait. What was made is kept in bounded memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use rustc_hash::FxBuildHasher;

use crate::{
    delta::{Deltas, encode::HEAD, unchanged::unchanged},
    kept::{
        flight::{Flight, Landing},
        worker::Worker,
    },
};

/// A delta that is larger than the budget divided by this is not sent: each request would make it
/// again.
const LARGEST_SHARE: u64 = 4;

/// What an entry takes besides its delta, in bytes.
const OVERHEAD: usize = 256;

/// Deltas that take more memory than this, in bytes, are made one at a time.
const LARGE: u64 = 64 << 20;

/// How many pairs wait for a thread. More requests get the file as without deltas.
const MOST_WAITING: usize = 256;

/// For how long a pair waits for a thread. After that its requests get the file, too: with many
/// large files before it, a place in the queue is worth nothing to a page that is being loaded.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long a delta that could not be made is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// The same of a delta whose dictionary has not come from the bucket soon. It may still come, and a
/// bucket that is down makes requests wait this seldom.
#[cfg(feature = "object-store")]
const LATE_FOR: Duration = Duration::from_secs(5);

/// The deltas of a layer.
pub(crate) struct Workshop {
    settings: Deltas,
    made: Cache<Pair, Made, Weight, FxBuildHasher>,
    flights: Mutex<HashMap<Pair, Arc<Flight<Made>>, FxBuildHasher>>,
    small: Arc<Worker>,
    large: Arc<Worker>,
    patience: Duration,
}

/// The SHA-256 of the bytes that the client has, and of those that it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) dictionary: [u8; 32],
    pub(crate) content: [u8; 32],
}

/// What has come of a pair.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    /// The content of the response.
    Delta(Bytes),
    /// Not to be tried again before that time.
    Refused(Refusal, Instant),
}

/// Why there is no delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many others are being made.
    Busy,
    /// One of the two contents is too large to be encoded, or the delta to be kept.
    TooLarge,
    /// No release has the dictionary.
    UnknownDictionary,
    /// The delta is not smaller than the file in another coding.
    NotSmaller,
    /// The bytes of the dictionary are not there, or are others.
    NoDictionary,
    /// The same, but they may come from the bucket.
    #[cfg(feature = "object-store")]
    NotHere,
    /// The same of the file.
    NoContent,
    /// The encoder has failed.
    Failed,
}

impl Workshop {
    pub(crate) fn new(settings: Deltas) -> Self {
        let budget = settings.memory_budget.max(1);
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(budget)
            .estimated_items_capacity(1024)
            .build()
            .expect("options fail only where a capacity is missing, and both are set");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            settings,
            made: Cache::with_options(options, Weight, FxBuildHasher, Default::default()),
            flights: Mutex::default(),
            small: Arc::new(Worker::new(cores, MOST_WAITING)),
            large: Arc::new(Worker::new(1, MOST_WAITING)),
            patience: PATIENCE,
        }
    }

    pub(crate) fn settings(&self) -> &Deltas {
        &self.settings
    }

    /// Returns what is known to have come of a pair. The content of an unchanged file is never
    /// looked at, so its delta is made here and now.
    pub(crate) fn get(&self, pair: &Pair, length: u64, now: Instant) -> Option<Made> {
        let made = self.find(pair, now);
        if made.is_some() || !pair.is_unchanged() {
            return made;
        }
        let made = unchanged(&pair.content, length);
        let made = made.map_or(Made::Refused(Refusal::NotSmaller, now + REFUSED_FOR), Made::Delta);
        self.made.insert(*pair, made.clone());
        Some(made)
    }

    /// Returns what has come of a pair, unless that is to be tried again.
    fn find(&self, pair: &Pair, now: Instant) -> Option<Made> {
        let made = self.made.get(pair)?;
        (!matches!(made, Made::Refused(_, until) if until < now)).then_some(made)
    }

    /// Returns the flight to wait for. If nobody is making this delta, `make` does, on another
    /// thread. `memory` is what that takes, in bytes.
    pub(crate) fn join(
        self: &Arc<Self>,
        pair: Pair,
        memory: u64,
        make: impl FnOnce() -> Result<Bytes, Refusal> + Send + 'static,
    ) -> Result<Arc<Flight<Made>>, Refusal> {
        if self.largest() <= HEAD as u64 {
            return Err(Refusal::TooLarge);
        }
        let begun = Instant::now();
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&pair).filter(|flight| flight.is_under_way()) {
            return Ok(Arc::clone(flight));
        }
        let (flight, landing) = Flight::start();
        // It may have landed since somebody has looked for it.
        if let Some(made) = self.find(&pair, begun) {
            landing.land(made);
            return Ok(flight);
        }
        flights.insert(pair, Arc::clone(&flight));
        drop(flights);
        let workshop = Arc::clone(self);
        let worker = if memory > LARGE { &self.large } else { &self.small };
        let job = move || {
            let is_late = begun.elapsed() >= workshop.patience;
            let made = if is_late { Err(Refusal::Busy) } else { make() };
            workshop.land(pair, made, landing);
        };
        if worker.run(job) {
            return Ok(flight);
        }
        self.flights().remove(&pair);
        Err(Refusal::Busy)
    }

    fn land(&self, pair: Pair, made: Result<Bytes, Refusal>, landing: Landing<Made>) {
        let is_too_large = |delta: &Bytes| delta.len() as u64 > self.largest();
        let made = match made {
            Ok(delta) if is_too_large(&delta) => Err(Refusal::TooLarge),
            made => made,
        };
        let is_passing = made.as_ref().is_err_and(|refusal| refusal.is_passing());
        let until = Instant::now() + REFUSED_FOR;
        let made = made.map_or_else(|refusal| Made::Refused(refusal, until), Made::Delta);
        if !is_passing {
            self.made.insert(pair, made.clone());
        }
        // Who comes now finds what was made.
        self.flights().remove(&pair);
        landing.land(made);
    }

    /// Remembers that a dictionary has not come from the bucket soon, unless somebody else has made
    /// the delta.
    #[cfg(feature = "object-store")]
    pub(crate) fn refuse_late(&self, pair: Pair, now: Instant) {
        if self.find(&pair, now).is_none() {
            self.made.insert(pair, Made::Refused(Refusal::NoDictionary, now + LATE_FOR));
        }
    }

    /// Returns the largest delta that is sent, in bytes.
    fn largest(&self) -> u64 {
        self.settings.memory_budget / LARGEST_SHARE
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Pair, Arc<Flight<Made>>, FxBuildHasher>> {
        // A map is whole after each call.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// Whether the next request for the same delta may be luckier.
    fn is_passing(self) -> bool {
        #[cfg(feature = "object-store")]
        if self == Self::NotHere {
            return true;
        }
        self == Self::Busy
    }
}

impl From<Made> for Result<Bytes, Refusal> {
    fn from(made: Made) -> Self {
        match made {
            Made::Delta(delta) => Ok(delta),
            Made::Refused(refusal, _) => Err(refusal),
        }
    }
}

impl Pair {
    pub(crate) fn is_unchanged(&self) -> bool {
        self.dictionary == self.content
    }
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Pair, Made> for Weight {
    fn weight(&self, _: &Pair, made: &Made) -> u64 {
        let delta = match made {
            Made::Delta(delta) => delta.len(),
            Made::Refused(..) => 0,
        };
        (OVERHEAD + delta) as u64
    }
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::{
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        task::{Context, Poll, Wake, Waker},
        thread::Thread,
    };

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Makes one in which nobody is late, however busy the machine is.
    fn workshop(budget: u64) -> Arc<Workshop> {
        let workshop = Workshop::new(Deltas::new().memory_budget(budget));
        Arc::new(Workshop { patience: Duration::MAX, ..workshop })
    }

    fn pair(number: u8) -> Pair {
        Pair { dictionary: [number; 32], content: [0xff; 32] }
    }

    fn refusal(made: Option<Made>) -> Option<Refusal> {
        match made? {
            Made::Delta(_) => None,
            Made::Refused(refusal, _) => Some(refusal),
        }
    }

    #[test]
    fn each_pair_is_made_once() {
        let workshop = workshop(1 << 20);
        let count = Arc::new(AtomicUsize::new(0));
        let (go, gone) = mpsc::channel::<()>();
        let gone = Arc::new(Mutex::new(gone));
        let join = || {
            let (count, gone) = (Arc::clone(&count), Arc::clone(&gone));
            workshop.join(pair(1), 10, move || {
                count.fetch_add(1, SeqCst);
                gone.lock().unwrap().recv().unwrap();
                Ok(Bytes::from_static(b"delta"))
            })
        };
        let flights = [join().unwrap(), join().unwrap(), join().unwrap()];
        go.send(()).unwrap();
        for flight in flights {
            let Some(Made::Delta(delta)) = wait(flight.landed()) else { panic!("no delta") };
            assert_eq!(delta, "delta");
        }
        assert_eq!(count.load(SeqCst), 1);
        let Some(Made::Delta(delta)) = workshop.get(&pair(1), 10, Instant::now()) else {
            panic!("not kept")
        };
        assert_eq!(delta, "delta");
        assert!(workshop.flights().is_empty());
    }

    #[test]
    fn too_many_pairs_are_refused() {
        let workshop = workshop(1 << 20);
        let (go, gone) = mpsc::channel::<()>();
        let gone = Arc::new(Mutex::new(gone));
        let join = |number: usize| {
            let mut pair = pair(0);
            pair.dictionary[..8].copy_from_slice(&number.to_le_bytes());
            let gone = Arc::clone(&gone);
            workshop.join(pair, 10, move || {
                let _ = gone.lock().unwrap().recv();
                Ok(Bytes::new())
            })
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let joined = (0..2 * (cores + MOST_WAITING)).map(join).collect::<Vec<_>>();
        let refused = joined.iter().filter(|flight| flight.is_err()).count();
        // A thread may have taken its job already, or not yet.
        assert!((MOST_WAITING..=MOST_WAITING + 2 * cores).contains(&refused), "{refused}");
        drop(go);
        for flight in joined.into_iter().flatten() {
            assert!(wait(flight.landed()).is_some());
        }
        assert!(workshop.flights().is_empty());
    }

    #[test]
    fn what_is_refused_is_tried_again_after_a_minute() {
        let workshop = workshop(1 << 20);
        let (start, before) =
            (Instant::now(), workshop.join(pair(1), 1, || Err(Refusal::NoDictionary)));
        wait(before.unwrap().landed());
        let after = |seconds| start + Duration::from_secs(seconds);
        let known = |seconds| refusal(workshop.get(&pair(1), 1, after(seconds)));
        assert_eq!([known(0), known(59)], [Some(Refusal::NoDictionary); 2]);
        assert_eq!(known(120), None);
    }

    /// The fetch goes on, so those who ask a little later find the dictionary.
    #[cfg(feature = "object-store")]
    #[test]
    fn what_comes_late_is_tried_again_soon() {
        let (workshop, start) = (workshop(1 << 20), Instant::now());
        workshop.refuse_late(pair(1), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        let known = |seconds| refusal(workshop.get(&pair(1), 1, after(seconds)));
        assert_eq!([known(0), known(5)], [Some(Refusal::NoDictionary); 2]);
        assert_eq!(known(6), None);
    }

    #[test]
    fn a_panic_ends_the_flight() {
        let workshop = workshop(1 << 20);
        let flight = workshop.join(pair(1), 1, || panic!("on purpose")).unwrap();
        assert!(wait(flight.landed()).is_none());
        let flight = workshop.join(pair(1), 1, || Ok(Bytes::new())).unwrap();
        assert!(wait(flight.landed()).is_some(), "somebody else may try");
    }

    /// Many who wait for the same delta may come one after the other, when it is there already.
    #[test]
    fn who_comes_late_finds_what_was_made() {
        let workshop = workshop(1 << 20);
        let made = || Ok(Bytes::from_static(b"delta"));
        wait(workshop.join(pair(1), 1, made).unwrap().landed());
        #[cfg(feature = "object-store")]
        workshop.refuse_late(pair(1), Instant::now());
        let late = workshop.join(pair(1), 1, || panic!("it is made already")).unwrap();
        assert!(matches!(wait(late.landed()), Some(Made::Delta(_))));
        assert!(workshop.flights().is_empty());
    }

    #[test]
    fn who_waits_too_long_for_a_thread_is_refused() {
        let workshop = Workshop::new(Deltas::new());
        let workshop = Arc::new(Workshop { patience: Duration::ZERO, ..workshop });
        let flight = workshop.join(pair(1), 1, || panic!("too late")).unwrap();
        assert_eq!(refusal(wait(flight.landed())), Some(Refusal::Busy));
        assert!(workshop.get(&pair(1), 10, Instant::now()).is_none(), "the next one may try");
    }

    #[test]
    fn nothing_is_made_that_cannot_be_kept() {
        for budget in [0, 1, 160] {
            let made = workshop(budget).join(pair(1), 1, || panic!("{}", "it is not sent"));
            assert_eq!(made.err(), Some(Refusal::TooLarge), "{budget}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let workshop = workshop(100_000);
        for number in 0..200 {
            let delta = Bytes::from(vec![number; 10_000]);
            let flight = workshop.join(pair(number), 1, move || Ok(delta)).unwrap();
            wait(flight.landed());
        }
        assert!(workshop.made.weight() <= 100_000, "{}", workshop.made.weight());
        let too_large = workshop.join(pair(0xfe), 1, || Ok(vec![0; 25_001].into())).unwrap();
        assert_eq!(refusal(wait(too_large.landed())), Some(Refusal::TooLarge));
    }

    #[test]
    fn an_unchanged_file_needs_nobody() {
        let workshop = workshop(1 << 20);
        let same = Pair { dictionary: [7; 32], content: [7; 32] };
        assert!(matches!(workshop.get(&same, 1000, Instant::now()), Some(Made::Delta(_))));
        assert!(workshop.get(&pair(1), 1000, Instant::now()).is_none());
    }
}
