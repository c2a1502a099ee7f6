//! Which directories does the system watch? Keeps them up to date with what is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use notify::{
    Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};

use crate::watch::{
    targets::{Need, Sources, Targets},
    thread::{Change, Message},
};

/// With inotify each directory is watched for itself, so that ignored ones are not. Other
/// systems watch a tree at once.
const IS_ONE_BY_ONE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The directories that the system watches.
#[derive(Debug)]
pub(super) struct Watched {
    watcher: RecommendedWatcher,
    modes: BTreeMap<PathBuf, RecursiveMode>,
}

/// A round in which the directories that are needed are collected.
struct Round<'w> {
    watched: &'w mut Watched,
    needed: BTreeSet<PathBuf>,
    failure: Option<notify::Error>,
}

impl Watched {
    pub(super) fn new(messages: Sender<Message>) -> notify::Result<Self> {
        let send = move |event| {
            if let Some(message) = message(event) {
                // Fails while the `Watcher` is being dropped.
                let _ = messages.send(message);
            }
        };
        let watcher = RecommendedWatcher::new(send, Config::default())?;
        Ok(Self { watcher, modes: BTreeMap::new() })
    }

    /// Watches what is needed now, and nothing else.
    pub(super) fn look_around(&mut self, sources: &Sources) -> notify::Result<Targets> {
        let mut round = Round { watched: self, needed: BTreeSet::new(), failure: None };
        let targets = sources.look_around(&mut |directory, need| round.watch(directory, need));
        let Round { needed, failure, .. } = round;
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.retain(&needed);
        Ok(targets)
    }

    fn retain(&mut self, needed: &BTreeSet<PathBuf>) {
        let Self { watcher, modes } = self;
        modes.retain(|path, _| {
            let is_needed = needed.contains(path);
            if !is_needed {
                // Fails if the directory is gone.
                let _ = watcher.unwatch(path);
            }
            is_needed
        });
    }

    /// Removes a path that was replaced or removed, and everything below it. The system still
    /// watches the directory that had the path, if any.
    pub(super) fn forget(&mut self, path: &Path) {
        let below = self.modes.range(path.to_owned()..).map(|(below, _)| below);
        let below = below.take_while(|below| below.starts_with(path)).cloned();
        for below in below.collect::<Vec<_>>() {
            self.modes.remove(&below);
        }
    }

    /// Forgets everything.
    pub(super) fn forget_all(&mut self) {
        self.modes.clear();
    }
}

impl Round<'_> {
    fn watch(&mut self, directory: &Path, need: Need) {
        if self.failure.is_some() || (need == Need::Rename && !IS_ONE_BY_ONE) || is_whole(directory)
        {
            return;
        }
        let mode = match need {
            Need::Files if !IS_ONE_BY_ONE => RecursiveMode::Recursive,
            _ => RecursiveMode::NonRecursive,
        };
        if self.is_watched(directory, mode) {
            return;
        }
        if self.watched.modes.remove(directory).is_some() {
            // Fails if the directory was replaced.
            let _ = self.watched.watcher.unwatch(directory);
        }
        match self.watched.watcher.watch(directory, mode) {
            Ok(()) => {
                self.needed.insert(directory.to_owned());
                self.watched.modes.insert(directory.to_owned(), mode);
            }
            Err(error) if is_fatal(&error, need) => self.failure = Some(error),
            Err(_) => {}
        }
    }

    /// Whether a directory is watched already, in this mode or in one that sees more.
    fn is_watched(&mut self, directory: &Path, mode: RecursiveMode) -> bool {
        use RecursiveMode::Recursive;

        let mode_of = |path: &Path| self.watched.modes.get(path).copied();
        let is_in_recursive =
            |above: &Path| mode_of(above) == Some(Recursive) && self.needed.contains(above);
        if !IS_ONE_BY_ONE && directory.ancestors().skip(1).any(is_in_recursive) {
            return true;
        }
        let is_watched = mode_of(directory).is_some_and(|now| now == mode || now == Recursive);
        if is_watched && !self.needed.contains(directory) {
            self.needed.insert(directory.to_owned());
        }
        is_watched
    }
}

/// On macOS, watching `/` means to be told of every change of the whole machine.
fn is_whole(directory: &Path) -> bool {
    cfg!(target_os = "macos") && directory.parent().is_none()
}

/// Whether something may change unseen because a directory cannot be watched.
fn is_fatal(error: &notify::Error, need: Need) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        // The watched directory above it shows when it comes back.
        notify::ErrorKind::PathNotFound => false,
        notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => false,
        // What cannot be watched cannot be read either, and the scan reports it.
        notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            need == Need::Way
        }
        _ => need != Need::Rename,
    }
}

fn message(event: notify::Result<notify::Event>) -> Option<Message> {
    match event {
        Ok(event) if event.need_rescan() => Some(Message::Lost),
        Ok(event) => Some(Message::Event(change(event.kind)?, event.paths)),
        Err(_) => Some(Message::Lost),
    }
}

fn change(kind: EventKind) -> Option<Change> {
    match kind {
        // Only inotify tells when a file is closed.
        EventKind::Modify(ModifyKind::Data(_)) if IS_ONE_BY_ONE => Some(Change::Written),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Change::Closed),
        // A scan reads, and must not cause the next scan.
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => Some(Change::Gone),
        _ => Some(Change::Other),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::StaticUrlLayer;
    use std::{
        fs,
        sync::mpsc::{Receiver, channel},
    };

    struct Tree {
        _temporary: tempfile::TempDir,
        root: PathBuf,
        sources: Sources,
        watched: Watched,
        received: Receiver<Message>,
    }

    impl Tree {
        fn new(directories: &[&str]) -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let root = temporary.path().canonicalize().unwrap();
            fs::write(root.join("a"), "").unwrap();
            for directory in directories {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            let layer = StaticUrlLayer::new("/static", &root).unwrap();
            let sources = Sources::of(layer.current().recipe()).unwrap();
            let (messages, received) = channel();
            let watched = Watched::new(messages).unwrap();
            Self { _temporary: temporary, root, sources, watched, received }
        }

        /// Returns what is watched in the tree after another look.
        fn look_around(&mut self) -> Vec<&str> {
            self.watched.look_around(&self.sources).unwrap();
            let below =
                self.watched.modes.keys().filter_map(|path| path.strip_prefix(&self.root).ok());
            below.map(|path| path.to_str().unwrap()).collect()
        }
    }

    #[test]
    fn what_is_needed_is_watched() {
        let mut tree = Tree::new(&["css", "js/lib"]);
        assert_eq!(tree.look_around(), ["", "css", "js", "js/lib"]);
        fs::create_dir_all(tree.root.join("img/icons")).unwrap();
        fs::remove_dir_all(tree.root.join("js")).unwrap();
        assert_eq!(tree.look_around(), ["", "css", "img", "img/icons"]);
    }

    #[test]
    fn an_ignored_cache_is_not_watched() {
        let directories = (0..300).map(|i| format!(".cache/{i}")).collect::<Vec<_>>();
        let directories = directories.iter().map(String::as_str).collect::<Vec<_>>();
        let mut tree = Tree::new(&directories);
        assert_eq!(tree.look_around(), [""]);

        fs::write(tree.root.join(".cache/7/x"), "1").unwrap();
        fs::create_dir(tree.root.join(".cache/7/y")).unwrap();
        fs::write(tree.root.join("last"), "1").unwrap();
        let last = tree.root.join("last");
        for message in &tree.received {
            let Message::Event(_, paths) = message else { panic!("{message:?}") };
            if paths.contains(&last) {
                return;
            }
            let is_ignored = |path: &PathBuf| path.starts_with(tree.root.join(".cache"));
            assert!(!paths.iter().any(is_ignored), "{paths:?}");
        }
        panic!("of the last file no event has come");
    }

    #[test]
    fn what_was_replaced_is_watched_anew() {
        let mut tree = Tree::new(&["css", "css/x", "css2"]);
        tree.look_around();
        tree.watched.forget(&tree.root.join("css"));
        let left = tree.watched.modes.keys().filter(|path| path.starts_with(&tree.root));
        assert!(left.eq([&tree.root, &tree.root.join("css2")]));
        assert_eq!(tree.look_around(), ["", "css", "css/x", "css2"]);
        tree.watched.forget_all();
        assert_eq!(tree.look_around(), ["", "css", "css/x", "css2"]);
    }

    #[test]
    fn failures_that_matter() {
        let io = |code| notify::Error::io(io::Error::from_raw_os_error(code));
        let limit = || notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        let (not_found, denied, too_many) = (2, 13, 24);
        for (name, error, need, expected) in [
            ("the limit", limit(), Need::Files, true),
            ("the limit, of the least", limit(), Need::Rename, true),
            ("gone", io(not_found), Need::Way, false),
            ("gone, as notify says it", notify::Error::path_not_found(), Need::Way, false),
            ("a link that cannot be watched", io(denied), Need::Way, true),
            ("a directory that cannot be read", io(denied), Need::Files, false),
            ("one far above", io(denied), Need::Rename, false),
            ("another failure", io(too_many), Need::Files, true),
            ("another failure, far above", io(too_many), Need::Rename, false),
        ] {
            assert_eq!(is_fatal(&error, need), expected, "{name}");
        }
    }

    #[test]
    fn messages() {
        use notify::{Event, event};

        let path = PathBuf::from("/site/a");
        let about = |kind| Ok(Event::new(kind).add_path(path.clone()));
        let told = |change| Some(Message::Event(change, vec![path.clone()]));
        let written = EventKind::Modify(ModifyKind::Data(event::DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let owner = EventKind::Modify(ModifyKind::Metadata(event::MetadataKind::Ownership));
        let renamed = ModifyKind::Name(event::RenameMode::From);
        let lost = Event::new(EventKind::Other).set_flag(event::Flag::Rescan);
        let failed = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        for (name, event, expected) in [
            ("a read", about(EventKind::Access(AccessKind::Any)), None),
            ("a write", about(written), told(Change::Written)),
            ("the end of writing", about(closed), told(Change::Closed)),
            ("another owner", about(owner), told(Change::Other)),
            ("a new file", about(EventKind::Create(event::CreateKind::Any)), told(Change::Other)),
            ("gone", about(EventKind::Remove(event::RemoveKind::Any)), told(Change::Gone)),
            ("renamed", about(EventKind::Modify(renamed)), told(Change::Gone)),
            ("an overflow", Ok(lost), Some(Message::Lost)),
            ("an error", Err(failed), Some(Message::Lost)),
        ] {
            assert_eq!(message(event), expected, "{name}");
        }
    }
}
