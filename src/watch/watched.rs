//! Which directories does the system watch? Keeps them up to date with what is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use notify::{
    Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind,
};

use crate::watch::{
    Message,
    targets::{Need, Sources, Targets},
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

    #[cfg(test)]
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.modes.keys().map(PathBuf::as_path)
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
        // A scan reads, and must not cause the next scan.
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => None,
        Ok(event) => {
            let kind = event.kind;
            let is_moved = matches!(kind, EventKind::Modify(ModifyKind::Name(_)));
            let is_gone = is_moved || matches!(kind, EventKind::Remove(_));
            Some(Message::Event { paths: event.paths, is_gone })
        }
        Err(_) => Some(Message::Lost),
    }
}
