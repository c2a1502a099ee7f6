//! What does the watching thread do? Waits for a reason to look, looks, and reloads.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    Error,
    observe::log,
    snapshot::current::Current,
    watch::{
        options::WatchOptions,
        rest::Rest,
        targets::{Sources, Targets},
        watched::Watched,
    },
};

/// The longest that the end of a burst is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time until the next attempt after a failed reload, and between two scans on a system
/// that cannot watch.
const RETRY: Duration = Duration::from_secs(1);
/// The shortest pause before a scan that waits for a file to come to rest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// How many messages are read before a look, once it is due.
const MOST_AHEAD: usize = 10_000;

/// A message to the watching thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Something has happened to these paths.
    Event(Change, Vec<PathBuf>),
    /// Anything may have happened.
    Lost,
    /// Look now.
    Look,
    /// End.
    Stop,
}

/// What has happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A file was written to. The system will tell when it is closed.
    Written,
    /// A file that was open for writing was closed.
    Closed,
    /// Another file or directory may have the path now, or none.
    Gone,
    Other,
}

/// The state of the watching thread.
pub(super) struct Watch {
    current: Arc<Current>,
    sources: Sources,
    means: Means,
    rest: Arc<Rest>,
    resting: Duration,
    has_failed: bool,
}

/// How a change is noticed.
enum Means {
    Events(Box<Events>),
    Interval(Duration),
}

struct Events {
    watched: Watched,
    targets: Targets,
    /// The files that are open for writing, as far as is known.
    open: HashSet<PathBuf>,
}

/// Why the thread has stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Look,
    Stop,
}

/// Events that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Watch {
    /// Begins to watch: a change after this call is noticed.
    pub(super) fn new(
        current: Arc<Current>,
        options: &WatchOptions,
        messages: Sender<Message>,
    ) -> Result<Self, Error> {
        let sources = Sources::of(current.recipe())?;
        let means = match options.interval()? {
            Some(interval) => Means::Interval(interval),
            None => Means::events(&sources, messages),
        };
        let resting = options.resting();
        let rest = Arc::new(Rest::new(resting));
        Ok(Self { current, sources, means, rest, resting, has_failed: false })
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut due = None;
        while self.wait(messages, due) == Next::Look {
            self.means.look_around(&self.sources);
            self.reload();
            due = self.pause().and_then(|pause| Instant::now().checked_add(pause));
        }
    }

    /// Waits for a reason to look, and for the end of its burst. Without a reason, waits until a
    /// look is `due`.
    fn wait(&mut self, messages: &Receiver<Message>, due: Option<Instant>) -> Next {
        let mut burst = None::<Burst>;
        loop {
            let until = burst.map_or(due, |burst| burst.end(self.resting));
            let message = match until {
                Some(until) => match until.checked_duration_since(Instant::now()) {
                    Some(left) => messages.recv_timeout(left),
                    None => return self.read_ahead(messages),
                },
                None => messages.recv().map_err(RecvTimeoutError::from),
            };
            match message {
                Err(RecvTimeoutError::Timeout) => return Next::Look,
                Err(RecvTimeoutError::Disconnected) | Ok(Message::Stop) => return Next::Stop,
                Ok(message) if self.means.is_reason(&self.sources, &message) => {
                    burst = Some(Burst::extended(burst, Instant::now()));
                }
                Ok(_) => {}
            }
        }
    }

    /// Reads what has come already, so that it is not a reason for another look: but not for
    /// ever, should it come faster than it can be read.
    fn read_ahead(&mut self, messages: &Receiver<Message>) -> Next {
        for message in messages.try_iter().take(MOST_AHEAD) {
            if message == Message::Stop {
                return Next::Stop;
            }
            self.means.is_reason(&self.sources, &message);
        }
        Next::Look
    }

    fn reload(&mut self) {
        self.rest.begin(self.means.open_files());
        let rest = Arc::clone(&self.rest);
        let is_at_rest = Arc::new(move |path: &str, file: &_| rest.has_come(path, file));
        let reloaded = self.current.reload_what_is_at_rest(is_at_rest);
        if let (Err(error), false) = (&reloaded, self.has_failed) {
            log::not_reloaded(error);
        }
        if self.has_failed && reloaded.is_ok() {
            log::reloaded_again();
        }
        self.has_failed = reloaded.is_err();
    }

    /// Returns how long to wait until the next look, if there is no reason for one before.
    fn pause(&self) -> Option<Duration> {
        let retry = self.has_failed.then_some(RETRY);
        let rest = self.rest.remaining().map(|remaining| remaining.max(SHORTEST_PAUSE));
        [self.means.interval(), retry, rest].into_iter().flatten().min()
    }
}

impl Means {
    fn events(sources: &Sources, messages: Sender<Message>) -> Self {
        match Watched::new(messages) {
            Ok(watched) => {
                let (targets, open) = Default::default();
                let mut means = Self::Events(Box::new(Events { watched, targets, open }));
                means.look_around(sources);
                means
            }
            Err(error) => Self::instead_of_events(&error),
        }
    }

    fn instead_of_events(error: &notify::Error) -> Self {
        log::polling(error);
        Self::Interval(RETRY)
    }

    /// Watches what is there now. If that fails, the tree is scanned at an interval from now on.
    /// Nothing is watched then: the limit is shared with all programs of the user.
    fn look_around(&mut self, sources: &Sources) {
        let Self::Events(events) = self else { return };
        match events.watched.look_around(sources) {
            Ok(targets) => events.targets = targets,
            Err(error) => *self = Self::instead_of_events(&error),
        }
    }

    /// Whether a message is a reason to look.
    fn is_reason(&mut self, sources: &Sources, message: &Message) -> bool {
        match (message, self) {
            (Message::Event(change, paths), Self::Events(events)) => {
                events.is_reason(sources, *change, paths)
            }
            (Message::Lost, Self::Events(events)) => {
                log::events_lost();
                events.watched.forget_all();
                events.open.clear();
                true
            }
            // Of a watcher that is no more.
            (Message::Event(..) | Message::Lost, Self::Interval(_)) => false,
            (Message::Look | Message::Stop, _) => true,
        }
    }

    /// Returns the logical paths of the files that are open for writing.
    fn open_files(&self) -> HashSet<String> {
        match self {
            Self::Events(events) => {
                events.open.iter().flat_map(|path| events.targets.names(path)).collect()
            }
            Self::Interval(_) => HashSet::new(),
        }
    }

    fn interval(&self) -> Option<Duration> {
        match self {
            Self::Events(_) => None,
            Self::Interval(interval) => Some(*interval),
        }
    }
}

impl Events {
    fn is_reason(&mut self, sources: &Sources, change: Change, paths: &[PathBuf]) -> bool {
        let is_concerned = paths.iter().any(|path| sources.is_concerned(&self.targets, path));
        for path in paths {
            match change {
                Change::Written if is_concerned => _ = self.open.insert(path.clone()),
                // Also without a write that was told of: it may have been through a memory map.
                Change::Closed => _ = self.open.remove(path),
                Change::Gone => {
                    self.open.remove(path);
                    self.watched.forget(path);
                }
                Change::Written | Change::Other => {}
            }
        }
        is_concerned
    }
}

impl Burst {
    fn extended(burst: Option<Self>, now: Instant) -> Self {
        Self { first: burst.map_or(now, |burst| burst.first), last: now }
    }

    /// Returns when it is over, if nothing more happens.
    fn end(self, resting: Duration) -> Option<Instant> {
        let latest = self.first + PATIENCE;
        Some(self.last.checked_add(resting).map_or(latest, |quiet| quiet.min(latest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticUrlLayer;
    use std::{fs, sync::mpsc::channel, thread};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_ends() {
        let start = Instant::now();
        for (name, events, resting, expected) in [
            ("one event", &[0][..], 200, 200),
            ("a few", &[0, 50, 120], 200, 320),
            ("as many as there may be", &[0, 150, 290], 200, 490),
            ("too many", &[0, 100, 200, 300, 400], 200, 500),
            ("no rest", &[0, 100], 0, 100),
            ("a rest longer than the patience", &[0], 2000, 500),
            ("a rest for ever", &[0], u64::MAX, 500),
        ] {
            let burst = events
                .iter()
                .fold(None, |burst, event| Some(Burst::extended(burst, start + ms(*event))));
            let end = burst.unwrap().end(ms(resting)).unwrap();
            assert_eq!(end - start, ms(expected), "{name}");
        }
    }

    /// A layer over one file, and what watches it.
    fn watch(
        root: &std::path::Path,
        options: &WatchOptions,
    ) -> (StaticUrlLayer, Watch, Receiver<Message>) {
        fs::write(root.join("a"), "1").unwrap();
        let layer = StaticUrlLayer::new("/static", root).unwrap();
        let (messages, received) = channel();
        let watch = Watch::new(Arc::clone(layer.current()), options, messages).unwrap();
        (layer, watch, received)
    }

    #[test]
    fn waiting_ends_for_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let options = WatchOptions::default().rest(Duration::ZERO);
        let (_layer, mut watch, _) = watch(&root, &options);
        let event = |path: &str| Message::Event(Change::Other, vec![root.join(path)]);
        let change = |change, path: &str| Message::Event(change, vec![root.join(path)]);
        let now = Some(Instant::now());
        for (name, messages, due, expected) in [
            ("asked to", vec![Message::Look], None, Next::Look),
            ("asked to end", vec![Message::Stop], None, Next::Stop),
            ("a file", vec![event("a")], None, Next::Look),
            ("a file that is gone", vec![change(Change::Gone, "a")], None, Next::Look),
            ("a write", vec![change(Change::Written, "a")], None, Next::Look),
            ("the end of the write", vec![change(Change::Closed, "a")], None, Next::Look),
            (
                "closed without a write",
                vec![change(Change::Closed, "a"), Message::Stop],
                None,
                Next::Stop,
            ),
            ("events were lost", vec![Message::Lost], None, Next::Look),
            (
                "an ignored file, and then the end",
                vec![event(".a"), Message::Stop],
                None,
                Next::Stop,
            ),
            ("the time has come", vec![], now, Next::Look),
            (
                "the time has come, whatever else happens",
                vec![event(".a"), event(".b")],
                now,
                Next::Look,
            ),
            ("the time has come to end", vec![event("a"), Message::Stop], now, Next::Stop),
        ] {
            let (sender, receiver) = channel();
            messages.into_iter().for_each(|message| sender.send(message).unwrap());
            assert_eq!(watch.wait(&receiver, due), expected, "{name}");
        }
        let (_, receiver) = channel();
        assert_eq!(watch.wait(&receiver, None), Next::Stop, "nobody is left to end it");
    }

    /// As after a limit was reached: no event arrives.
    #[test]
    fn a_system_that_cannot_watch_is_polled() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, mut watch, _) = watch(folder.path(), &WatchOptions::default());
        watch.means =
            Means::instead_of_events(&notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        let before = layer.prefix();
        let (messages, received) = channel();
        messages.send(Message::Look).unwrap();
        let thread = thread::spawn(move || watch.run(&received));
        fs::write(folder.path().join("a"), "changed").unwrap();
        while layer.prefix().as_str() == before.as_str() {
            let listener = layer.current().reloaded.listen();
            if layer.prefix().as_str() == before.as_str() {
                event_listener::Listener::wait(listener);
            }
        }
        messages.send(Message::Stop).unwrap();
        thread.join().unwrap();
    }
}
