//! How does a file get into memory? Its response is recorded while it passes.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use http::HeaderMap;
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

use crate::{
    header::stored::fields_to_store,
    manifest::FileInfo,
    memory::{Key, Memory, StoredResponse},
    sync::{Mutex, MutexGuard},
};

/// Responses that are being recorded may take the budget divided by this, in addition to it.
const RECORDING_SHARE: u64 = 4;

/// The keys and bytes that are reserved for responses being recorded.
#[derive(Debug)]
pub(super) struct Reservations {
    limit: u64,
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    keys: FxHashSet<Key>,
    bytes: u64,
}

impl Reservations {
    pub(super) fn new(budget: u64) -> Self {
        Self { limit: budget / RECORDING_SHARE, reserved: Mutex::default() }
    }

    fn reserved(&self) -> MutexGuard<'_, Reserved> {
        // The data is consistent whenever the lock is free, poisoned or not.
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to store a response under a key, and the memory set aside for it.
#[derive(Debug)]
pub(super) struct Reservation {
    reservations: Arc<Reservations>,
    key: Key,
    length: u64,
}

impl Reservation {
    /// Returns `None` if the key is reserved already, or too much is being recorded.
    pub(super) fn make(reservations: &Arc<Reservations>, key: Key, length: u64) -> Option<Self> {
        let mut reserved = reservations.reserved();
        let bytes = reserved.bytes.checked_add(length)?;
        if bytes > reservations.limit || !reserved.keys.insert(key) {
            return None;
        }
        reserved.bytes = bytes;
        drop(reserved);
        Some(Self { reservations: Arc::clone(reservations), key, length })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.reservations.reserved();
        reserved.bytes -= self.length;
        reserved.keys.remove(&self.key);
    }
}

/// A response that is recorded while it passes. It is stored when the recorder is dropped, if
/// it is complete: many readers drop a body after its last byte, without polling for its end.
pub(crate) struct Recorder {
    memory: Arc<Memory>,
    reservation: Reservation,
    expected: [u8; 32],
    headers: HeaderMap,
    sha256: Sha256,
    content: Vec<u8>,
    is_abandoned: bool,
}

impl Recorder {
    pub(super) fn new(
        memory: Arc<Memory>,
        reservation: Reservation,
        headers: &HeaderMap,
        info: &FileInfo,
    ) -> Option<Self> {
        let mut content = Vec::new();
        content.try_reserve_exact(usize::try_from(reservation.length).ok()?).ok()?;
        Some(Self {
            memory,
            reservation,
            expected: *info.sha256(),
            headers: fields_to_store(headers),
            sha256: Sha256::new(),
            content,
            is_abandoned: false,
        })
    }

    /// Records data that passes.
    pub(crate) fn record(&mut self, data: &[u8]) {
        if (self.content.len() + data.len()) as u64 > self.reservation.length {
            return self.abandon();
        }
        self.sha256.update(data);
        self.content.extend_from_slice(data);
    }

    /// Gives up: something other than the file's data has passed.
    pub(crate) fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    fn is_the_file(&mut self) -> bool {
        !self.is_abandoned
            && self.content.len() as u64 == self.reservation.length
            && self.sha256.finalize_reset()[..] == self.expected
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_the_file() {
            let headers = mem::take(&mut self.headers);
            let content = Bytes::from(mem::take(&mut self.content));
            self.memory
                .store(self.reservation.key, StoredResponse::new(headers, content, self.expected));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Manifest,
        memory::{Accept, FileKey, SelectionRef, Variant},
    };

    const CONTENT: &str = "hello world";

    /// A memory, and a manifest with the file to record.
    struct Stage {
        memory: Arc<Memory>,
        manifest: Manifest,
    }

    impl Stage {
        fn new(budget: u64) -> Self {
            let memory = Arc::new(Memory::new(budget).unwrap());
            Self { memory, manifest: Manifest::from_files([("a", CONTENT)]).unwrap() }
        }

        fn key(&self) -> Key {
            Key { file: self.selection().0, variant: Variant { coding: "identity" } }
        }

        fn selection(&self) -> (FileKey, Accept) {
            let file = crate::manifest::FileIndex(0).into();
            (file, SelectionRef::of(file, &HeaderMap::new()).unwrap().to_accept())
        }

        fn record(&self) -> Option<Box<Recorder>> {
            let info = self.manifest.get("a").unwrap();
            let (file, accept) = self.selection();
            self.memory.record(file, &accept, "identity", &HeaderMap::new(), info)
        }

        fn stored(&self) -> Option<Bytes> {
            let stored = self.memory.get(self.key())?;
            Some(stored.part(crate::header::range::Part::Whole)?.into_body())
        }
    }

    #[test]
    fn only_the_whole_file_is_stored() {
        for (name, pieces, is_stored) in [
            ("at once", &[CONTENT][..], true),
            ("in pieces", &["hello", "", " world"], true),
            ("nothing", &[], false),
            ("cut short", &["hello"], false),
            ("too long", &[CONTENT, "!"], false),
            ("other bytes", &["HELLO WORLD"], false),
        ] {
            let stage = Stage::new(1 << 20);
            let mut recorder = stage.record().unwrap();
            pieces.iter().for_each(|piece| recorder.record(piece.as_bytes()));
            assert_eq!(stage.stored(), None, "{name}: before the end");
            drop(recorder);
            assert_eq!(stage.stored().is_some(), is_stored, "{name}");
        }
    }

    #[test]
    fn something_else_than_data_spoils_it() {
        let stage = Stage::new(1 << 20);
        let mut recorder = stage.record().unwrap();
        recorder.record(CONTENT.as_bytes());
        recorder.abandon();
        drop(recorder);
        assert_eq!(stage.stored(), None);
    }

    #[test]
    fn one_at_a_time_fills_a_place() {
        let stage = Stage::new(1 << 20);
        let first = stage.record().unwrap();
        assert!(stage.record().is_none(), "it is being recorded");
        drop(first);
        let mut second = stage.record().expect("the key is free again");
        second.record(CONTENT.as_bytes());
        drop(second);
        assert!(stage.record().is_none(), "it is stored");
    }

    #[test]
    fn what_is_recorded_is_bounded() {
        // A quarter of this is less than one file; a 32nd even more so.
        let stage = Stage::new(11 * 32);
        let reservations = Arc::new(Reservations::new(4 * 20));
        let key = |i| Key { file: crate::manifest::FileIndex(i).into(), ..stage.key() };
        let one = Reservation::make(&reservations, key(1), 11).unwrap();
        assert!(Reservation::make(&reservations, key(2), 11).is_none(), "22 of 20 bytes");
        let small = Reservation::make(&reservations, key(2), 9).unwrap();
        assert!(Reservation::make(&reservations, key(3), u64::MAX).is_none(), "no overflow");
        drop((one, small));
        assert!(Reservation::make(&reservations, key(3), 20).is_some(), "all is given back");
        assert!(Stage::new(11 * 32 - 1).record().is_none(), "a file too large for the budget");
        assert!(stage.record().is_some());
    }

    #[test]
    fn what_is_recorded_while_memory_is_cleared_is_not_kept() {
        let stage = Stage::new(1 << 20);
        let mut recorder = stage.record().unwrap();
        recorder.record(CONTENT.as_bytes());
        stage.memory.clear();
        drop(recorder);
        assert_eq!(stage.stored(), None);
    }

    /// Runs the steps of several threads in many random orders.
    #[cfg(shuttle)]
    mod orders {
        use super::*;

        /// Readers record one file while memory may be cleared: nothing but the file is ever
        /// found, and all reservations end.
        #[test]
        fn shuttle_fill_and_clear() {
            let run = || {
                let stage = Arc::new(Stage::new(1 << 20));
                let fill = |content: &'static str| {
                    let stage = Arc::clone(&stage);
                    move || {
                        if let Some(mut recorder) = stage.record() {
                            shuttle::thread::yield_now();
                            recorder.record(content.as_bytes());
                        }
                        assert!(stage.stored().is_none_or(|stored| stored == CONTENT));
                    }
                };
                let readers = [CONTENT, CONTENT, "hello", "hello WORLD"].map(fill);
                let mut threads = Vec::from(readers.map(shuttle::thread::spawn));
                let cleared = Arc::clone(&stage);
                threads.push(shuttle::thread::spawn(move || cleared.memory.clear()));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                let reserved = stage.memory.reservations.reserved();
                assert_eq!((reserved.bytes, reserved.keys.len()), (0, 0));
                drop(reserved);
                assert_eq!(stage.stored(), None, "memory is cleared for good");
            };
            shuttle::check_random(run, 20_000);
            shuttle::check_pct(run, 20_000, 3);
        }

        /// If memory is not cleared, one of the readers of the whole file stores it.
        #[test]
        fn shuttle_one_reader_fills_the_place() {
            let run = || {
                let stage = Arc::new(Stage::new(1 << 20));
                let recorded = Arc::new(shuttle::sync::atomic::AtomicUsize::new(0));
                let reader = || {
                    let (stage, recorded) = (Arc::clone(&stage), Arc::clone(&recorded));
                    move || {
                        let Some(mut recorder) = stage.record() else { return };
                        recorded.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        recorder.record(CONTENT.as_bytes());
                    }
                };
                let threads = [reader(), reader(), reader()].map(shuttle::thread::spawn);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert!(recorded.load(std::sync::atomic::Ordering::SeqCst) > 0);
                assert_eq!(stage.stored().as_deref(), Some(CONTENT.as_bytes()));
            };
            shuttle::check_random(run, 20_000);
        }
    }
}
