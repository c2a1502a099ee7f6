//! Watching the files of a running server: save a file, and its URL changes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::{
    Error, ErrorKind, StaticPrefix, StaticUrlLayer, observe::log, snapshot::current::Current,
};

/// How long it must be quiet for a burst of events to be over. Editors save a file in several
/// steps, and a checkout or a bundler writes many files.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that a burst is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time until the next attempt after a failed reload, and between two scans on a system
/// that cannot watch.
const RETRY: Duration = Duration::from_secs(1);

impl StaticUrlLayer {
    /// Reloads the layer whenever its files change, until you drop the returned [`Watcher`].
    ///
    /// Watches the scanned directory, and the file whose time is the version. Runs on a
    /// thread of its own, without an async runtime. A browser gets the new URLs with the next
    /// page that it loads; use [`Watcher::changes`] to tell pages that are already open.
    ///
    /// A burst of changes causes one reload: once nothing has happened for 50 ms, and at most
    /// half a second after the first change. Changes made between building the layer and this
    /// call are picked up too.
    ///
    /// If the tree cannot be read (a file is half saved, a bundler has emptied or removed the
    /// directory), the layer keeps serving the previous version and tries again every second.
    /// If the system cannot watch (a limit is reached), the layer logs a WARN and scans the
    /// tree every second instead.
    ///
    /// ```
    /// # use tower_static_url::StaticUrlLayer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let assets = folder.path();
    /// # std::fs::write(assets.join("app.css"), "p { color: teal }")?;
    /// let layer = StaticUrlLayer::new("/static", assets)?;
    /// let watcher = layer.watch()?;
    /// let mut changes = watcher.changes();
    /// # let before = layer.prefix();
    /// std::fs::write(assets.join("app.css"), "p { color: navy }")?;
    /// if let Some(prefix) = changes.changed().await {
    ///     println!("linking below {prefix} now");
    /// #   assert_ne!(prefix.as_str(), before.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`NothingToWatch`](ErrorKind::NothingToWatch): the layer neither scans a directory
    ///   nor takes its version from a file's time.
    /// - [`Io`](ErrorKind::Io): the current directory is unknown, or no thread can be
    ///   started.
    pub fn watch(&self) -> Result<Watcher, Error> {
        let (events, received) = channel();
        let watch = Watch::new(Arc::clone(self.current()), events.clone())?;
        // Reloads once at the start: files may have changed since the layer was built.
        let _ = events.send(Signal::Changed);
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name("tower-static-url watch".into())
            .spawn(move || watch.run(&received))
            .map_err(|error| Error::io("start a thread to watch", Path::new(""), error))?;
        let changes = Changes { layer: self.clone(), seen: self.prefix(), is_over };
        Ok(Watcher { events, thread: Some(thread), changes })
    }
}

/// Keeps a layer [watching](StaticUrlLayer::watch) until you drop it. Dropping it blocks until
/// a reload under way has finished.
#[derive(Debug)]
#[must_use = "watching stops when this is dropped"]
pub struct Watcher {
    events: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
    changes: Changes,
}

impl Watcher {
    /// Returns a receiver of every new version from now on.
    pub fn changes(&self) -> Changes {
        Changes { seen: self.changes.layer.prefix(), ..self.changes.clone() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.changes.is_over.store(true, Ordering::Release);
        // Fails if the thread has ended already.
        let _ = self.events.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.changes.layer.current().reloaded.notify(usize::MAX);
    }
}

/// Receives new versions, on any async runtime; see [`Watcher::changes`].
#[derive(Clone, Debug)]
pub struct Changes {
    layer: StaticUrlLayer,
    seen: StaticPrefix,
    is_over: Arc<AtomicBool>,
}

impl Changes {
    /// Returns the prefix that [`changed`](Self::changed) returned last. Before the first
    /// call it is the prefix that was current when this receiver was made. Compare the next
    /// one with it to [list the changed files](StaticPrefix::changed_since).
    pub fn prefix(&self) -> &StaticPrefix {
        &self.seen
    }

    /// Waits until the prefix differs from [`prefix`](Self::prefix), and returns the new one.
    /// Skips versions that were replaced before you called. Returns `None` once the
    /// [`Watcher`] is dropped. Cancel safe: dropping the future loses no version.
    pub async fn changed(&mut self) -> Option<StaticPrefix> {
        loop {
            let listener = self.layer.current().reloaded.listen();
            let current = self.layer.prefix();
            if current.as_str() != self.seen.as_str() {
                self.seen = current.clone();
                return Some(current);
            }
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            listener.await;
        }
    }
}

/// A message to the watching thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// A watched file has changed, or may have.
    Changed,
    /// The directory itself may have been replaced, and must be watched anew.
    Replaced,
    Stop,
}

/// The state of the watching thread.
struct Watch {
    current: Arc<Current>,
    watcher: Option<RecommendedWatcher>,
    paths: Paths,
    is_polling: bool,
}

/// The watched paths. They are absolute, because events have absolute paths.
#[derive(Clone, Debug)]
struct Paths {
    directory: Option<PathBuf>,
    file: Option<PathBuf>,
}

impl Watch {
    fn new(current: Arc<Current>, events: Sender<Signal>) -> Result<Self, Error> {
        let paths = Paths::of(&current)?;
        let mut watch = Self { current, watcher: None, paths: paths.clone(), is_polling: false };
        let send = move |event: notify::Result<notify::Event>| {
            if let Some(signal) = paths.signal(&event) {
                // Fails while the `Watcher` is being dropped.
                let _ = events.send(signal);
            }
        };
        match notify::recommended_watcher(send) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.poll_instead(&error),
        }
        watch.watch_all();
        Ok(watch)
    }

    fn run(mut self, signals: &Receiver<Signal>) {
        let mut has_failed = false;
        loop {
            match wait(signals, has_failed || self.is_polling) {
                Signal::Stop => return,
                Signal::Replaced => self.watch_all(),
                Signal::Changed => {}
            }
            let reloaded = self.current.reload();
            if let (Err(error), false) = (&reloaded, has_failed) {
                log::not_reloaded(error);
            }
            if has_failed && reloaded.is_ok() {
                log::reloaded_again();
            }
            has_failed = reloaded.is_err();
        }
    }

    fn watch_all(&mut self) {
        for (path, mode) in self.paths.to_watch() {
            let Some(watcher) = &mut self.watcher else { return };
            // A missing directory is no failure: its parent is watched and shows its return.
            if let (Err(error), true) = (watcher.watch(&path, mode), path.exists()) {
                self.poll_instead(&error);
            }
        }
    }

    fn poll_instead(&mut self, error: &notify::Error) {
        if !self.is_polling {
            log::polling(error);
        }
        self.is_polling = true;
    }
}

impl Paths {
    fn of(current: &Current) -> Result<Self, Error> {
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path);
            absolute.map_err(|error| Error::io("watch", path, error))
        };
        let (scan, file) = current.sources();
        let directory = scan.and_then(|scan| scan.roots().first()).map(PathBuf::as_path);
        let paths = Self {
            directory: directory.map(absolute).transpose()?,
            file: file.map(absolute).transpose()?,
        };
        if paths.directory.is_none() && paths.file.is_none() {
            let message = "nothing to watch: the layer neither scans a directory nor takes its \
                           version from a file's time";
            return Err(Error::new(ErrorKind::NothingToWatch, message));
        }
        Ok(paths)
    }

    /// Returns the directory with everything in it, and the parents of the directory and of
    /// the file. An event of a parent shows that one of the two was replaced.
    fn to_watch(&self) -> Vec<(PathBuf, RecursiveMode)> {
        let both = [&self.directory, &self.file].into_iter().flatten();
        let around =
            both.filter_map(|path| Some((path.parent()?.to_owned(), RecursiveMode::NonRecursive)));
        let directory =
            self.directory.iter().map(|directory| (directory.clone(), RecursiveMode::Recursive));
        around.chain(directory).collect()
    }

    fn signal(&self, event: &notify::Result<notify::Event>) -> Option<Signal> {
        let event = match event {
            // A scan reads, and must not cause the next scan.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => return None,
            Ok(event) if !event.need_rescan() => event,
            _ => {
                log::events_lost();
                return Some(Signal::Replaced);
            }
        };
        let is =
            |wanted: &Option<PathBuf>| event.paths.iter().any(|path| Some(path) == wanted.as_ref());
        let is_inside =
            |directory: &PathBuf| event.paths.iter().any(|path| path.starts_with(directory));
        if is(&self.directory) {
            return Some(Signal::Replaced);
        }
        let matters = is(&self.file) || self.directory.as_ref().is_some_and(is_inside);
        matters.then_some(Signal::Changed)
    }
}

/// Waits for a change and for the end of its burst. If a scan `is_due` without any change,
/// waits no longer than [`RETRY`]. Returns the signal of the burst that asks for the most.
fn wait(signals: &Receiver<Signal>, is_due: bool) -> Signal {
    let first = if is_due {
        signals.recv_timeout(RETRY)
    } else {
        signals.recv().map_err(|_| RecvTimeoutError::Disconnected)
    };
    match first {
        Ok(signal) => rest_of_burst(signals, signal, Instant::now() + PATIENCE),
        Err(RecvTimeoutError::Timeout) => Signal::Replaced,
        Err(RecvTimeoutError::Disconnected) => Signal::Stop,
    }
}

/// Waits until nothing has happened for [`QUIET`], or until the deadline.
fn rest_of_burst(signals: &Receiver<Signal>, first: Signal, deadline: Instant) -> Signal {
    let mut strongest = first;
    while strongest != Signal::Stop {
        let left = deadline.saturating_duration_since(Instant::now());
        match signals.recv_timeout(QUIET.min(left)) {
            Ok(Signal::Changed) => {}
            Ok(signal) => strongest = signal,
            Err(RecvTimeoutError::Disconnected) => return Signal::Stop,
            Err(RecvTimeoutError::Timeout) => break,
        }
        // Not earlier: a signal that has been received must not be lost.
        if left.is_zero() {
            break;
        }
    }
    strongest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// As after a limit was reached: no event arrives.
    #[test]
    fn a_system_that_cannot_watch_is_polled() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        let layer = StaticUrlLayer::new("/static", folder.path()).unwrap();
        let (events, signals) = channel();
        let mut watch = Watch::new(Arc::clone(layer.current()), events.clone()).unwrap();
        watch.watcher = None;
        watch.poll_instead(&notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        let listener = layer.current().reloaded.listen();
        let before = layer.prefix();
        let thread = thread::spawn(move || watch.run(&signals));
        fs::write(folder.path().join("a"), "2").unwrap();
        event_listener::Listener::wait(listener);
        assert_ne!(layer.prefix().as_str(), before.as_str());
        events.send(Signal::Stop).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn no_signal_of_a_long_burst_is_lost() {
        for (name, signal) in [("stop", Signal::Stop), ("replaced", Signal::Replaced)] {
            let (events, signals) = channel();
            events.send(signal).unwrap();
            let is_over = Instant::now();
            assert_eq!(rest_of_burst(&signals, Signal::Changed, is_over), signal, "{name}");
        }
    }

    #[test]
    fn only_what_matters_is_a_signal() {
        use notify::{Event, event};

        let paths =
            Paths { directory: Some("/site/dist".into()), file: Some("/site/touch".into()) };
        let modified = EventKind::Modify(event::ModifyKind::Any);
        let read = EventKind::Access(event::AccessKind::Any);
        for (name, kind, path, expected) in [
            ("a file", modified, "/site/dist/css/app.css", Some(Signal::Changed)),
            ("the directory", modified, "/site/dist", Some(Signal::Replaced)),
            ("the file of the version", modified, "/site/touch", Some(Signal::Changed)),
            ("a neighbour", modified, "/site/other", None),
            ("a neighbour with a longer name", modified, "/site/dist2/a", None),
            ("a read", read, "/site/dist/css/app.css", None),
        ] {
            let event = Event::new(kind).add_path(path.into());
            assert_eq!(paths.signal(&Ok(event)), expected, "{name}");
        }
        let lost = Event::new(EventKind::Other).set_flag(event::Flag::Rescan);
        assert_eq!(paths.signal(&Ok(lost)), Some(Signal::Replaced), "an overflow");
        let failed = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        assert_eq!(paths.signal(&Err(failed)), Some(Signal::Replaced), "an error");
    }
}
