//! Which kept releases are open, and which of their files have been checked?

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;

#[cfg(feature = "object-store")]
use crate::kept::fill::Streaming;
use crate::{
    Manifest,
    kept::{
        Kept,
        flight::{Flight, Landing},
        worker::Worker,
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

/// The same for a file of which it could not be found out.
const UNREADABLE_FOR: Duration = Duration::from_secs(1);

/// About how many bytes the open releases may take.
const BUDGET: usize = 64 << 20;

/// Files that are longer are read by threads of their own, and answered while they come from a
/// bucket.
pub(super) const LARGE: u64 = 64 << 20;

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
    pub(super) release: Arc<KeptRelease>,
    /// The checks under way.
    checks: Mutex<HashMap<FileIndex, Arc<Check>>>,
}

/// A check under way. The error is the status to send.
type Check = Flight<Result<Checked, StatusCode>>;
pub(super) type CheckLanding = Landing<Result<Checked, StatusCode>>;

/// What there is to respond with.
#[derive(Clone, Debug)]
pub(super) enum Checked {
    /// The file.
    File,
    /// What has come of it so far.
    #[cfg(feature = "object-store")]
    Streaming(Arc<Streaming>),
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

/// A release that is being opened. The error is the status to send.
type Opening = Flight<Opened>;
pub(super) type Opened = Result<Arc<KeptSnapshot>, StatusCode>;

/// Files that were not as listed, by version and path.
#[derive(Debug, Default)]
struct WrongFiles {
    files: HashMap<(Box<str>, Box<str>), WrongFile>,
    /// Until when it is not logged again that a file cannot be had now. A store that is down is
    /// one fact, however many files are asked for.
    quiet_until: Option<Instant>,
}

#[derive(Debug)]
struct WrongFile {
    status: StatusCode,
    /// When it may be read again.
    until: Instant,
    /// What has yet to be logged.
    news: Option<Wrong>,
}

impl WrongFiles {
    /// Returns the status to send for a file that is not to be read now.
    fn status(&self, version: &str, path: &str, now: Instant) -> Option<StatusCode> {
        let wrong = self.files.get(&(version.into(), path.into()))?;
        (now < wrong.until).then_some(wrong.status)
    }

    /// Adds a file, with what is to be logged if it is a new one. Returns the status to send.
    fn add(&mut self, version: &str, path: &str, news: Option<Wrong>, now: Instant) -> StatusCode {
        if self.files.len() >= MOST_WRONG {
            self.files.retain(|_, wrong| now < wrong.until);
        }
        let is_full = self.files.len() >= MOST_WRONG;
        let (status, pause) = match &news {
            Some(Wrong { is_unreadable: true, .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, UNREADABLE_FOR)
            }
            _ => (StatusCode::BAD_GATEWAY, WRONG_FOR),
        };
        let until = now + pause;
        let is_known_fact = status == StatusCode::SERVICE_UNAVAILABLE
            && self.quiet_until.is_some_and(|quiet_until| now < quiet_until);
        let news = news.filter(|_| !is_known_fact);
        if status == StatusCode::SERVICE_UNAVAILABLE && !is_known_fact {
            self.quiet_until = Some(now + WRONG_FOR);
        }
        match self.files.entry((version.into(), path.into())) {
            Entry::Occupied(mut known) => {
                let wrong = known.get_mut();
                (wrong.status, wrong.until) = (status, until);
            }
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(new) => drop(new.insert(WrongFile { status, until, news })),
        }
        status
    }

    /// Returns what is to be logged of a version: once.
    fn take_news(&mut self, version: &str) -> Vec<Wrong> {
        let files = self.files.iter_mut().filter(|((of, _), _)| **of == *version);
        files.filter_map(|(_, wrong)| wrong.news.take()).collect()
    }

    fn remove(&mut self, version: &str, path: &str) {
        if !self.files.is_empty() {
            self.files.remove(&(version.into(), path.into()));
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
            self.open_soon(Arc::clone(release), landing);
        });
        let opened = opening.landed().await.unwrap_or(Err(StatusCode::SERVICE_UNAVAILABLE));
        if opened.is_err() {
            self.shelf.forget(release);
        }
        opened
    }

    /// Opens a release on another thread.
    fn open_soon(self: &Arc<Self>, release: Arc<KeptRelease>, landing: Landing<Opened>) {
        let kept = Arc::clone(self);
        self.worker.run(move || match kept.open_now(&release) {
            #[cfg(feature = "object-store")]
            Ok(None) if kept.releases.is_filled() => kept.fetch_and_open(release, landing),
            Ok(None) => landing.land(Err(StatusCode::BAD_GATEWAY)),
            Ok(Some(opened)) => landing.land(Ok(opened)),
            Err(status) => landing.land(Err(status)),
        });
    }

    /// Makes the snapshot. With many files that takes its time. `None` if the listing is not here,
    /// or is spoilt and can be fetched again.
    pub(super) fn open_now(
        &self,
        release: &Arc<KeptRelease>,
    ) -> Result<Option<Arc<KeptSnapshot>>, StatusCode> {
        let manifest = match release.read_manifest() {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(None),
            Err(wrong) => {
                self.releases.log_once(wrong);
                let is_lost = release.is_own() || !self.releases.is_filled();
                return if is_lost { Err(StatusCode::BAD_GATEWAY) } else { Ok(None) };
            }
        };
        self.shelf.weigh(release, &manifest);
        let version = Version::literal(release.version());
        let snapshot = version.and_then(|version| {
            Snapshot::new(self.settings.clone(), version, Some(manifest), None)
        });
        match snapshot {
            Ok(snapshot) => Ok(Some(Arc::new(KeptSnapshot {
                handle: Handle::to_other(snapshot),
                release: Arc::clone(release),
                checks: Mutex::default(),
            }))),
            Err(error) => {
                log::release_not_opened(release.version(), &error);
                Err(StatusCode::BAD_GATEWAY)
            }
        }
    }

    /// Waits until a file is known to have the listed bytes: it is read once, for all requests.
    /// The error is the status to send.
    pub(super) async fn check(
        self: &Arc<Self>,
        opened: &Arc<KeptSnapshot>,
        file: FileIndex,
        current: &Handle,
    ) -> Result<Checked, StatusCode> {
        if opened.files().is_some_and(|files| files.is_made(file)) {
            return Ok(Checked::File);
        }
        if let Some(status) = self.shelf.wrong_status(opened, file, Instant::now()) {
            return Err(status);
        }
        let check = opened.check_or_begin(file, |landing| {
            self.check_soon(Arc::clone(opened), file, current.clone(), landing);
        });
        check.landed().await.unwrap_or(Err(StatusCode::SERVICE_UNAVAILABLE))
    }

    /// Checks a file on another thread. If it is not here, fills it from the bucket.
    fn check_soon(
        self: &Arc<Self>,
        opened: Arc<KeptSnapshot>,
        file: FileIndex,
        current: Handle,
        landing: CheckLanding,
    ) {
        let kept = Arc::clone(self);
        self.worker_for(&opened, file).run(move || {
            let checked = kept.check_now(&opened, file);
            #[cfg(feature = "object-store")]
            if let Err(wrong) = &checked
                && !wrong.is_unreadable
                && kept.releases.is_filled()
            {
                return kept.fill_soon(opened, file, current, landing);
            }
            drop(current);
            landing.land(kept.conclude(&opened, file, checked).map(|()| Checked::File));
        });
    }

    /// Returns the threads for a file: small ones do not wait for large ones.
    fn worker_for(&self, opened: &KeptSnapshot, file: FileIndex) -> &Arc<Worker> {
        let parts = opened.files().map(|files| files.parts(file)).unwrap_or_default();
        let length = parts.iter().map(|(.., info)| info.length()).sum::<u64>();
        if length > LARGE { &self.worker_for_large } else { &self.worker }
    }

    /// Reads a file and its siblings, and takes them for what they should be if they are as
    /// listed.
    pub(super) fn check_now(&self, opened: &KeptSnapshot, file: FileIndex) -> Result<(), Wrong> {
        let Some(files) = opened.files() else { return Ok(()) };
        let parts = files.parts(file);
        let listed = parts.iter().map(|&(_, path, info)| (path, info)).collect::<Vec<_>>();
        let read = read_listed(opened.release.directory(), &listed)?;
        files.make(file, parts.iter().map(|(coding, ..)| *coding).zip(&read));
        Ok(())
    }

    /// Remembers what has come of a check.
    pub(super) fn conclude(
        &self,
        opened: &KeptSnapshot,
        file: FileIndex,
        checked: Result<(), Wrong>,
    ) -> Result<(), StatusCode> {
        let (version, path) = (opened.handle.version(), opened.path(file));
        let concluded = match checked {
            Ok(()) => {
                lock(&self.shelf.wrong).remove(version, path);
                Ok(())
            }
            Err(wrong) => {
                Err(lock(&self.shelf.wrong).add(version, path, Some(wrong), Instant::now()))
            }
        };
        lock(&opened.checks).remove(&file);
        concluded
    }
}

impl KeptSnapshot {
    pub(super) fn files(&self) -> Option<&Files> {
        self.handle.files()
    }

    fn path(&self, file: FileIndex) -> &str {
        self.files().and_then(|files| files.path(file)).unwrap_or_default()
    }

    fn check_or_begin(&self, file: FileIndex, begin: impl FnOnce(CheckLanding)) -> Arc<Check> {
        let mut checks = lock(&self.checks);
        if let Some(check) = checks.get(&file).filter(|check| is_of_use(check)) {
            return Arc::clone(check);
        }
        let (check, landing) = Flight::start();
        checks.insert(file, Arc::clone(&check));
        drop(checks);
        begin(landing);
        check
    }
}

/// Whether a request can join a check.
fn is_of_use(check: &Check) -> bool {
    #[cfg(feature = "object-store")]
    if let Some(Ok(Checked::Streaming(streaming))) = check.result() {
        return streaming.is_under_way();
    }
    check.is_under_way()
}

impl Shelf {
    /// Returns a release that is open or being opened. If it is neither, `begin` opens it.
    fn get_or_begin(
        &self,
        release: &Arc<KeptRelease>,
        begin: impl FnOnce(Landing<Opened>),
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

    fn wrong_status(
        &self,
        opened: &KeptSnapshot,
        file: FileIndex,
        now: Instant,
    ) -> Option<StatusCode> {
        let path = opened.path(file);
        lock(&self.wrong).status(opened.handle.version(), path, now)
    }

    /// Logs each wrong file of a release once. By a request and not by the thread of the check,
    /// for the request's own subscriber.
    pub(super) fn log_news(&self, version: &str) {
        let news = lock(&self.wrong).take_news(version);
        for Wrong { path, why, is_unreadable } in news {
            if is_unreadable {
                log::unavailable_in_release(version, &path, &why);
            } else {
                log::wrong_in_release(version, &path, &why);
            }
        }
    }

    /// Remembers that a file has changed since it was checked. The response has been logged
    /// already.
    pub(super) fn add_changed(&self, opened: &KeptSnapshot, file: FileIndex, now: Instant) {
        lock(&self.wrong).add(opened.handle.version(), opened.path(file), None, now);
    }

    /// Returns the files with some content that open releases list.
    #[cfg(feature = "object-store")]
    pub(super) fn find_content(&self, sha256: &[u8; 32]) -> Vec<(Arc<KeptRelease>, Box<str>)> {
        let slots = lock(&self.open);
        let opened = slots.iter().rev().filter_map(|slot| slot.opening.result()?.as_ref().ok());
        let found = opened.flat_map(|opened| {
            let paths = opened.files().into_iter().flat_map(|files| files.paths_of(sha256));
            paths.map(|path| (Arc::clone(&opened.release), path.into()))
        });
        found.collect()
    }

    #[cfg(feature = "object-store")]
    pub(super) fn forget_version(&self, version: &str) {
        lock(&self.open).retain(|slot| slot.release.version() != version);
    }

    /// Closes a release: its files are checked again when somebody asks for them.
    pub(super) fn forget(&self, release: &KeptRelease) {
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
        let wrong_file = |is_unreadable| {
            Some(Wrong { path: "a".into(), why: "it has other bytes".into(), is_unreadable })
        };
        let news = || wrong_file(false);
        wrong.add("v1", "a", news(), start);
        for (name, version, path, seconds, expected) in [
            ("at once", "v1", "a", 0, true),
            ("at last", "v1", "a", 59, true),
            ("later", "v1", "a", 60, false),
            ("another file", "v1", "b", 0, false),
            ("another version", "v2", "a", 0, false),
        ] {
            let status = wrong.status(version, path, after(seconds));
            assert_eq!(status, expected.then_some(StatusCode::BAD_GATEWAY), "{name}");
        }
        assert_eq!(wrong.take_news("v2"), []);
        assert_eq!(wrong.take_news("v1"), [news().unwrap()], "logged");
        wrong.add("v1", "a", news(), after(60));
        assert_eq!(wrong.take_news("v1"), [], "logged once");
        assert!(wrong.status("v1", "a", after(119)).is_some());
        wrong.remove("v1", "a");
        assert_eq!(wrong.status("v1", "a", after(61)), None);
        wrong.add("v1", "a", news(), after(120));
        assert_eq!(wrong.take_news("v1"), [news().unwrap()], "it had been mended");
    }

    #[test]
    fn a_disk_that_fails_is_asked_again_soon() {
        let (mut wrong, start) = (WrongFiles::default(), Instant::now());
        let news =
            Wrong { path: "a".into(), why: "input/output error".into(), is_unreadable: true };
        assert_eq!(wrong.add("v1", "a", Some(news), start), StatusCode::SERVICE_UNAVAILABLE);
        let status = Some(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(wrong.status("v1", "a", start + Duration::from_millis(999)), status);
        assert_eq!(wrong.status("v1", "a", start + UNREADABLE_FOR), None);
        assert_eq!(wrong.take_news("v1").len(), 1);
        for (path, seconds, logged) in [("b", 59, 0), ("c", 60, 1), ("d", 61, 0)] {
            let now = start + Duration::from_secs(seconds);
            let news = Wrong { path: path.into(), why: "no answer".into(), is_unreadable: true };
            wrong.add("v1", path, Some(news), now);
            assert_eq!(wrong.take_news("v1").len(), logged, "after {seconds} s");
        }
    }

    #[test]
    fn wrong_files_take_little_memory() {
        let (mut wrong, start) = (WrongFiles::default(), Instant::now());
        for i in 0..2 * MOST_WRONG {
            wrong.add("v1", &i.to_string(), None, start);
        }
        assert_eq!(wrong.files.len(), MOST_WRONG);
        wrong.add("v1", "new", None, start + WRONG_FOR);
        assert_eq!(wrong.files.len(), 1);
    }
}
