//! Which kept releases are open, and which of their files have been checked?

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;

use crate::{
    Manifest,
    kept::{
        Kept,
        flight::{Flight, Landing},
    },
    manifest::{
        FileIndex,
        stored::{Wrong, read_listed},
    },
    observe::log,
    releases::KeptRelease,
    snapshot::{Snapshot, current::Handle, files::Files},
    url::version::Version,
};

/// For how long a file that was wrong is not read again.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// About how many bytes the open releases may take.
const BUDGET: usize = 64 << 20;

/// How many releases may be open.
const MOST_OPEN: usize = 256;

/// How many bytes a listed file takes, besides its path.
const FILE: usize = 200;

/// How many wrong files are remembered.
const MOST_WRONG: usize = 10_000;

/// A kept release as a snapshot, of which those files are made that have been checked.
#[derive(Debug)]
pub(super) struct KeptSnapshot {
    pub(super) handle: Handle,
    release: Arc<KeptRelease>,
    /// The checks under way.
    checks: Mutex<HashMap<FileIndex, Arc<Flight<bool>>>>,
}

/// Kept releases as snapshots, the ones that were used last.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The one that was used last is last.
    open: Mutex<Vec<Slot>>,
    wrong: Mutex<WrongFiles>,
}

#[derive(Debug)]
struct Slot {
    release: Arc<KeptRelease>,
    opening: Arc<Opening>,
    weight: usize,
}

/// A release that is being opened. `None` if that is not possible.
type Opening = Flight<Option<Arc<KeptSnapshot>>>;

/// Files that were not as listed, by version and path.
#[derive(Debug, Default)]
struct WrongFiles(HashMap<(Box<str>, Box<str>), WrongFile>);

#[derive(Debug)]
struct WrongFile {
    /// When it may be read again.
    until: Instant,
    /// What has yet to be logged.
    news: Option<Wrong>,
}

impl WrongFiles {
    fn has(&self, version: &str, path: &str, now: Instant) -> bool {
        self.0.get(&(version.into(), path.into())).is_some_and(|wrong| now < wrong.until)
    }

    /// Adds a file, with what is to be logged if it is a new one.
    fn add(&mut self, version: &str, path: &str, news: Option<Wrong>, now: Instant) {
        if self.0.len() >= MOST_WRONG {
            self.0.retain(|_, wrong| now < wrong.until);
        }
        let is_full = self.0.len() >= MOST_WRONG;
        let until = now + WRONG_FOR;
        match self.0.entry((version.into(), path.into())) {
            Entry::Occupied(mut known) => known.get_mut().until = until,
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(new) => drop(new.insert(WrongFile { until, news })),
        }
    }

    /// Returns what is to be logged of a version: once.
    fn take_news(&mut self, version: &str) -> Vec<Wrong> {
        let files = self.0.iter_mut().filter(|((of, _), _)| **of == *version);
        files.filter_map(|(_, wrong)| wrong.news.take()).collect()
    }

    fn remove(&mut self, version: &str, path: &str) {
        if !self.0.is_empty() {
            self.0.remove(&(version.into(), path.into()));
        }
    }
}

impl Kept {
    /// Returns a release as a snapshot. The error is the status to send.
    pub(super) async fn open(
        self: &Arc<Self>,
        release: &Arc<KeptRelease>,
    ) -> Result<Arc<KeptSnapshot>, StatusCode> {
        let opening = self.shelf.get_or_begin(release, |landing| {
            let (kept, release) = (Arc::clone(self), Arc::clone(release));
            self.worker.run(move || landing.land(kept.open_now(release)));
        });
        match opening.landed().await {
            Some(opened) => opened.ok_or(StatusCode::BAD_GATEWAY),
            None => {
                self.shelf.forget(release);
                Err(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Makes the snapshot. With many files that takes its time.
    fn open_now(&self, release: Arc<KeptRelease>) -> Option<Arc<KeptSnapshot>> {
        let manifest = match release.read_manifest() {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return None,
            Err(wrong) => {
                log::no_record(&wrong.path, &wrong.why);
                return None;
            }
        };
        self.shelf.weigh(&release, &manifest);
        let version = Version::literal(release.version());
        let snapshot = version.and_then(|version| {
            Snapshot::new(self.settings.clone(), version, Some(manifest), None)
        });
        match snapshot {
            Ok(snapshot) => {
                let handle = Handle::to_other(snapshot);
                Some(Arc::new(KeptSnapshot { handle, release, checks: Mutex::default() }))
            }
            Err(error) => {
                log::release_not_opened(release.version(), &error);
                None
            }
        }
    }

    /// Waits until a file is known to have the listed bytes: it is read once, for all requests.
    /// The error is the status to send.
    pub(super) async fn check(
        self: &Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
    ) -> Result<(), StatusCode> {
        if opened.files().is_some_and(|files| files.is_made(file)) {
            return Ok(());
        }
        if self.shelf.is_wrong(opened, file, Instant::now()) {
            return Err(StatusCode::BAD_GATEWAY);
        }
        let check = opened.check_or_begin(file, |landing| {
            let (kept, opened) = (Arc::clone(self), Arc::clone(opened));
            self.worker.run(move || landing.land(kept.check_now(&opened, file, Instant::now())));
        });
        match check.landed().await {
            Some(true) => Ok(()),
            Some(false) => Err(StatusCode::BAD_GATEWAY),
            None => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Reads a file and its siblings. Returns whether all of them are as listed.
    fn check_now(&self, opened: &KeptSnapshot, file: FileIndex, now: Instant) -> bool {
        let Some(files) = opened.files() else { return false };
        let (version, path) = (opened.handle.version(), opened.path(file));
        let parts = files.parts(file);
        let listed = parts.iter().map(|&(_, path, info)| (path, info)).collect::<Vec<_>>();
        let is_right = match read_listed(opened.release.directory(), &listed) {
            Ok(read) => {
                lock(&self.shelf.wrong).remove(version, path);
                let codings = parts.iter().map(|(coding, ..)| *coding);
                files.make(file, codings.zip(&read));
                true
            }
            Err(wrong) => {
                lock(&self.shelf.wrong).add(version, path, Some(wrong), now);
                false
            }
        };
        lock(&opened.checks).remove(&file);
        is_right
    }
}

impl KeptSnapshot {
    fn files(&self) -> Option<&Files> {
        self.handle.files()
    }

    fn path(&self, file: FileIndex) -> &str {
        self.files().and_then(|files| files.path(file)).unwrap_or_default()
    }

    fn check_or_begin(
        &self,
        file: FileIndex,
        begin: impl FnOnce(Landing<bool>),
    ) -> Arc<Flight<bool>> {
        let mut checks = lock(&self.checks);
        if let Some(check) = checks.get(&file).filter(|check| check.is_under_way()) {
            return Arc::clone(check);
        }
        let (check, landing) = Flight::start();
        checks.insert(file, Arc::clone(&check));
        drop(checks);
        begin(landing);
        check
    }
}

impl Shelf {
    /// Returns a release that is open or being opened. If it is neither, `begin` opens it.
    fn get_or_begin(
        &self,
        release: &Arc<KeptRelease>,
        begin: impl FnOnce(Landing<Option<Arc<KeptSnapshot>>>),
    ) -> Arc<Opening> {
        let mut slots = lock(&self.open);
        if let Some(known) = slots.iter().position(|slot| slot.release.is_same(release)) {
            let slot = slots.remove(known);
            let opening = Arc::clone(&slot.opening);
            slots.push(slot);
            return opening;
        }
        let (opening, landing) = Flight::start();
        slots.push(Slot { release: Arc::clone(release), opening: Arc::clone(&opening), weight: 0 });
        make_room(&mut slots);
        drop(slots);
        begin(landing);
        opening
    }

    /// Says how much an open release weighs.
    fn weigh(&self, release: &KeptRelease, manifest: &Manifest) {
        let weight = manifest.iter().map(|(path, _)| path.len() + FILE).sum();
        let mut slots = lock(&self.open);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.release.is_same(release)) {
            slot.weight = weight;
        }
        make_room(&mut slots);
    }

    fn is_wrong(&self, opened: &KeptSnapshot, file: FileIndex, now: Instant) -> bool {
        let path = opened.path(file);
        lock(&self.wrong).has(opened.handle.version(), path, now)
    }

    /// Logs each wrong file of a release once. By a request and not by the thread of the check,
    /// for the request's own subscriber.
    pub(super) fn log_news(&self, version: &str) {
        let news = lock(&self.wrong).take_news(version);
        for Wrong { path, why } in news {
            log::wrong_in_release(version, &path, &why);
        }
    }

    /// Forgets an open release, because one of its files has changed since it was checked.
    pub(super) fn put_away(&self, opened: &KeptSnapshot, file: FileIndex, now: Instant) {
        let path = opened.path(file);
        // The response has been logged already.
        lock(&self.wrong).add(opened.handle.version(), path, None, now);
        self.forget(&opened.release);
    }

    fn forget(&self, release: &KeptRelease) {
        lock(&self.open).retain(|slot| !slot.release.is_same(release));
    }
}

/// Closes the releases that were used longest ago, if all together take too much.
fn make_room(slots: &mut Vec<Slot>) {
    let mut weight = slots.iter().map(|slot| slot.weight).sum::<usize>();
    let mut count = slots.len();
    let too_many = slots.iter().take(count.saturating_sub(1)).take_while(|slot| {
        let is_over = weight > BUDGET || count > MOST_OPEN;
        if is_over {
            weight -= slot.weight;
            count -= 1;
        }
        is_over
    });
    let too_many = too_many.count();
    slots.drain(..too_many);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is consistent after each call, so a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_left_alone_for_a_minute() {
        let (mut wrong, start) = (WrongFiles::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let news = || Some(Wrong { path: "a".into(), why: "it has other bytes".into() });
        wrong.add("v1", "a", news(), start);
        for (name, version, path, seconds, expected) in [
            ("at once", "v1", "a", 0, true),
            ("at last", "v1", "a", 59, true),
            ("later", "v1", "a", 60, false),
            ("another file", "v1", "b", 0, false),
            ("another version", "v2", "a", 0, false),
        ] {
            assert_eq!(wrong.has(version, path, after(seconds)), expected, "{name}");
        }
        assert_eq!(wrong.take_news("v2"), []);
        assert_eq!(wrong.take_news("v1"), [news().unwrap()], "logged");
        wrong.add("v1", "a", news(), after(60));
        assert_eq!(wrong.take_news("v1"), [], "logged once");
        assert!(wrong.has("v1", "a", after(119)));
        wrong.remove("v1", "a");
        assert!(!wrong.has("v1", "a", after(61)));
        wrong.add("v1", "a", news(), after(120));
        assert_eq!(wrong.take_news("v1"), [news().unwrap()], "it had been mended");
    }

    #[test]
    fn wrong_files_take_little_memory() {
        let (mut wrong, start) = (WrongFiles::default(), Instant::now());
        for i in 0..2 * MOST_WRONG {
            wrong.add("v1", &i.to_string(), None, start);
        }
        assert_eq!(wrong.0.len(), MOST_WRONG);
        wrong.add("v1", "new", None, start + WRONG_FOR);
        assert_eq!(wrong.0.len(), 1);
    }
}
