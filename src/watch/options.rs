//! How is a tree watched? By events or at an interval, and how long a file must rest.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// The settings of [`StaticUrlLayer::watch_with`](crate::StaticUrlLayer::watch_with).
///
/// ```
/// use std::time::Duration;
/// use tower_static_url::watch::WatchOptions;
/// # use tower_static_url::StaticUrlLayer;
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("app.css"), "")?;
/// # let layer = StaticUrlLayer::new("/static", folder.path())?;
/// // For a bind mount of Docker Desktop.
/// let options = WatchOptions::default().poll(Duration::from_secs(1));
/// let _watcher = layer.watch_with(options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WatchOptions {
    poll: Option<Duration>,
    rest: Duration,
}

impl Default for WatchOptions {
    /// Events of the operating system, and a rest of 200 ms.
    fn default() -> Self {
        Self { poll: None, rest: Duration::from_millis(200) }
    }
}

impl WatchOptions {
    /// Scans the tree at an interval, and asks the operating system for no events. Default: off.
    ///
    /// This is for file systems that send no events for some edits: bind mounts of Docker
    /// Desktop, `/mnt` under WSL, NFS, and an overlay whose lower layer is edited. A scan reads the
    /// attributes of every file, but only the content of changed ones. The interval is the time
    /// between the end of a scan and the start of the next one. A browser sees an edit with the first page that it loads after the scan.
    ///
    /// An interval of zero is an error when watching begins.
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = Some(interval);
        self
    }

    /// Sets how long a file must not have changed before its new content is taken. Default:
    /// 200 ms.
    ///
    /// So a long copy gives the tree one new version at its end, not one for each piece that was
    /// written. Meanwhile the file stays listed as it was, and a browser that asks for it gets
    /// what is on the disk as `no-cache`; a new file is not listed yet. Edits of other files do
    /// not wait for it. A file that is seen changing while it is waited for must rest five times
    /// as long, because a copy may stall.
    ///
    /// With zero nothing is waited for: each event causes a scan, which takes every file as it
    /// is, half written or not.
    pub fn rest(mut self, rest: Duration) -> Self {
        self.rest = rest;
        self
    }

    pub(super) fn resting(&self) -> Duration {
        self.rest
    }

    /// Returns the interval at which to scan, if there is one.
    pub(super) fn interval(&self) -> Result<Option<Duration>, Error> {
        match self.poll {
            Some(Duration::ZERO) => {
                let message = "poll interval 0s: scans would follow each other without a pause";
                Err(Error::new(ErrorKind::InvalidInterval, message))
            }
            poll => Ok(poll),
        }
    }
}
