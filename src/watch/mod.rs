//! Watching the files of a running server: save a file, and its URL changes.

mod links;
mod options;
mod rest;
mod targets;
mod thread;
mod watched;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{Builder, JoinHandle},
};

pub use self::options::WatchOptions;
use self::thread::{Message, Watch};
use crate::{Error, StaticPrefix, StaticUrlLayer};

impl StaticUrlLayer {
    /// Reloads the layer whenever its files change, until you drop the returned [`Watcher`].
    ///
    /// Watches the scanned directories, and the file whose time is the version: also what is
    /// behind symbolic links in them, and the links that lead to them. What the
    /// [ignore rule](crate::manifest::Scan::ignore) leaves out is not watched. Runs on a
    /// thread of its own, without an async runtime. A browser gets the new URLs with the next
    /// page that it loads; use [`Watcher::changes`] to tell pages that are already open.
    ///
    /// A burst of changes causes one reload: once nothing has happened for 200 ms, and at most
    /// half a second after the first change. A file that is still being written then is taken
    /// when it has come to [rest](WatchOptions::rest). Changes made between building the layer
    /// and this call are picked up too.
    ///
    /// If the tree cannot be read (a file is half saved, a bundler has emptied or removed the
    /// directory), the layer keeps serving the previous version and tries again every second.
    /// If the system cannot watch (a limit is reached), the layer logs a WARN and scans the
    /// tree every second instead. Where the file system sends no events, use
    /// [`watch_with`](Self::watch_with) and [`WatchOptions::poll`].
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
    /// - [`NothingToWatch`](crate::ErrorKind::NothingToWatch): the layer neither scans a directory
    ///   nor takes its version from a file's time.
    /// - [`Io`](crate::ErrorKind::Io): the current directory is unknown, or no thread can be
    ///   started.
    pub fn watch(&self) -> Result<Watcher, Error> {
        self.watch_with(WatchOptions::default())
    }

    /// Reloads the layer whenever its files change, as [`watch`](Self::watch) does, with settings
    /// of your own.
    ///
    /// # Errors
    ///
    /// The same as [`watch`](Self::watch), and
    /// [`InvalidInterval`](crate::ErrorKind::InvalidInterval): the interval of
    /// [`poll`](WatchOptions::poll) is zero.
    pub fn watch_with(&self, options: WatchOptions) -> Result<Watcher, Error> {
        let (messages, received) = channel();
        let watch = Watch::new(Arc::clone(self.current()), &options, messages.clone())?;
        // Reloads once at the start: files may have changed since the layer was built.
        let _ = messages.send(Message::Look);
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = Builder::new()
            .name("tower-static-url watch".into())
            .spawn(move || watch.run(&received))
            .map_err(|error| Error::io("start a thread to watch", Path::new(""), error))?;
        let changes = Changes { layer: self.clone(), seen: self.prefix(), is_over };
        Ok(Watcher { messages, thread: Some(thread), changes })
    }
}

/// Keeps a layer [watching](StaticUrlLayer::watch) until you drop it. Dropping it blocks until
/// a reload under way has finished.
#[derive(Debug)]
#[must_use = "watching stops when this is dropped"]
pub struct Watcher {
    messages: Sender<Message>,
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
        let _ = self.messages.send(Message::Stop);
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
