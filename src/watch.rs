//! Following the tree while the process runs: save a file, and its URL has changed.

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
    Error, ErrorKind, StaticPrefix, StaticUrlLayer, observe::log, snapshot::current::State,
};

/// A burst of events (an editor's rename dance, a checkout, a bundler's run) is over
/// when nothing has happened for so long,
const QUIET: Duration = Duration::from_millis(50);
/// but is not waited for longer than this.
const PATIENCE: Duration = Duration::from_millis(500);
/// When to try again what has failed (a file is half saved, the folder is gone), and
/// how often to look where the system cannot watch.
const RETRY: Duration = Duration::from_secs(1);

impl StaticUrlLayer {
    /// Reloads whenever something below the scanned folder changes, or the file whose
    /// time is the version, until the returned guard is dropped. Works on a thread of
    /// its own, without an async runtime.
    ///
    /// A burst of changes is one reload, once nothing has happened for 50 ms (at most
    /// half a second after the first), and so is what has changed since the layer was
    /// built. While the tree cannot be read (a file is half
    /// saved, a bundler has emptied the folder, the folder is gone) the state stays
    /// what it was, and every second is another try. Where the system cannot watch (a
    /// limit is reached), the tree is looked at every second instead, with a WARN.
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
    /// [`NothingToWatch`](ErrorKind::NothingToWatch): the layer has neither a folder
    /// to scan nor a version made of a file's time.
    pub fn watch(&self) -> Result<Watcher, Error> {
        let (events, received) = channel();
        let watch = Watch::new(Arc::clone(self.state()), events.clone())?;
        // What has changed since the layer was built is news, too.
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

/// Keeps a layer [watching](StaticUrlLayer::watch) until it is dropped. Dropping it
/// waits for a reload under way.
#[derive(Debug)]
#[must_use = "watching stops when this is dropped"]
pub struct Watcher {
    events: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
    changes: Changes,
}

impl Watcher {
    /// Tells of every new version from now on.
    pub fn changes(&self) -> Changes {
        Changes { seen: self.changes.layer.prefix(), ..self.changes.clone() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.changes.is_over.store(true, Ordering::Release);
        // The thread may be gone already; then there is nobody to stop.
        let _ = self.events.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.changes.layer.state().published.notify(usize::MAX);
    }
}

/// Tells of new versions, on any async runtime.
#[derive(Clone, Debug)]
pub struct Changes {
    layer: StaticUrlLayer,
    seen: StaticPrefix,
    is_over: Arc<AtomicBool>,
}

impl Changes {
    /// The prefix that was told of last; at first the one that was current when this
    /// was made. What [`changed`](Self::changed) returns next has
    /// [changed since](StaticPrefix::changed_since) that one.
    pub fn prefix(&self) -> &StaticPrefix {
        &self.seen
    }

    /// Waits until the prefix is another one than this has told of before, and
    /// returns it; of several versions only the last. `None` once the [`Watcher`] is
    /// dropped. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<StaticPrefix> {
        loop {
            let listener = self.layer.state().published.listen();
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

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// Something that matters is other than it was, or may be.
    Changed,
    /// The folder itself may be another one.
    Replaced,
    Stop,
}

/// What the thread has.
struct Watch {
    state: Arc<State>,
    watcher: Option<RecommendedWatcher>,
    paths: Paths,
    is_polling: bool,
}

/// What is watched, as absolute paths, which is how events name it.
#[derive(Clone, Debug)]
struct Paths {
    folder: Option<PathBuf>,
    file: Option<PathBuf>,
}

impl Watch {
    fn new(state: Arc<State>, events: Sender<Signal>) -> Result<Self, Error> {
        let paths = Paths::of(&state)?;
        let mut watch = Self { state, watcher: None, paths: paths.clone(), is_polling: false };
        let tell = move |event: notify::Result<notify::Event>| {
            if let Some(signal) = paths.signal(&event) {
                // Nobody listens any more while the watcher is being dropped.
                let _ = events.send(signal);
            }
        };
        match notify::recommended_watcher(tell) {
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
            let reloaded = self.state.reload();
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
            // A folder that is not there is seen to come by what it is in.
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
    fn of(state: &State) -> Result<Self, Error> {
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path);
            absolute.map_err(|error| Error::io("watch", path, error))
        };
        let (folder, file) = state.sources();
        let paths = Self {
            folder: folder.map(absolute).transpose()?,
            file: file.map(absolute).transpose()?,
        };
        if paths.folder.is_none() && paths.file.is_none() {
            let message = "nothing to watch: no folder and no file's time is behind the version";
            return Err(Error::new(ErrorKind::NothingToWatch, message));
        }
        Ok(paths)
    }

    /// The folder with all that is in it; and what it, and the file, are in, to see
    /// them replaced.
    fn to_watch(&self) -> Vec<(PathBuf, RecursiveMode)> {
        let both = [&self.folder, &self.file].into_iter().flatten();
        let around =
            both.filter_map(|path| Some((path.parent()?.to_owned(), RecursiveMode::NonRecursive)));
        let folder = self.folder.iter().map(|folder| (folder.clone(), RecursiveMode::Recursive));
        around.chain(folder).collect()
    }

    fn signal(&self, event: &notify::Result<notify::Event>) -> Option<Signal> {
        let event = match event {
            // Reading, which a scan does, is no change.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => return None,
            Ok(event) if !event.need_rescan() => event,
            _ => {
                log::events_lost();
                return Some(Signal::Replaced);
            }
        };
        let is =
            |wanted: &Option<PathBuf>| event.paths.iter().any(|path| Some(path) == wanted.as_ref());
        let is_inside = |folder: &PathBuf| event.paths.iter().any(|path| path.starts_with(folder));
        if is(&self.folder) {
            return Some(Signal::Replaced);
        }
        let matters = is(&self.file) || self.folder.as_ref().is_some_and(is_inside);
        matters.then_some(Signal::Changed)
    }
}

/// Waits for a change, and for the end of the burst that it begins; where a look
/// `is_due` anyway, not for long.
fn wait(signals: &Receiver<Signal>, is_due: bool) -> Signal {
    let first = match is_due {
        true => signals.recv_timeout(RETRY),
        false => signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    let mut worst = match first {
        Ok(signal) => signal,
        Err(RecvTimeoutError::Timeout) => return Signal::Replaced,
        Err(RecvTimeoutError::Disconnected) => return Signal::Stop,
    };
    let deadline = Instant::now() + PATIENCE;
    while worst != Signal::Stop {
        let left = deadline.saturating_duration_since(Instant::now());
        match signals.recv_timeout(QUIET.min(left)) {
            Ok(Signal::Changed) if !left.is_zero() => {}
            Ok(signal) if !left.is_zero() => worst = signal,
            Err(RecvTimeoutError::Disconnected) => return Signal::Stop,
            _ => break,
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// As after a limit was reached: nothing tells of changes.
    #[test]
    fn where_the_system_cannot_watch_the_tree_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        let layer = StaticUrlLayer::new("/static", folder.path()).unwrap();
        let (events, signals) = channel();
        let mut watch = Watch::new(Arc::clone(layer.state()), events.clone()).unwrap();
        watch.watcher = None;
        watch.poll_instead(&notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        let listener = layer.state().published.listen();
        let before = layer.prefix();
        let thread = thread::spawn(move || watch.run(&signals));
        fs::write(folder.path().join("a"), "2").unwrap();
        event_listener::Listener::wait(listener);
        assert_ne!(layer.prefix().as_str(), before.as_str());
        events.send(Signal::Stop).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn only_what_matters_is_a_signal() {
        use notify::{Event, event};

        let paths = Paths { folder: Some("/site/dist".into()), file: Some("/site/touch".into()) };
        let modified = EventKind::Modify(event::ModifyKind::Any);
        let read = EventKind::Access(event::AccessKind::Any);
        for (name, kind, path, expected) in [
            ("a file", modified, "/site/dist/css/app.css", Some(Signal::Changed)),
            ("the folder", modified, "/site/dist", Some(Signal::Replaced)),
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
