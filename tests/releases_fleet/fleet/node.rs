//! The demo as a node of a fleet.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::edition::{Edition, PREFIX};
use crate::support::{
    demo::{Demo, terminate},
    store::{BUCKET, Credentials, variables},
};

/// A node that is asked for a version that it does not know looks at the bucket, but not more
/// often.
pub(crate) const LOOKS_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct Node {
    demo: Demo,
    folder: Arc<TempDir>,
    store: SocketAddr,
    credentials: Credentials,
}

impl Node {
    /// Starts a node with nothing on its disk.
    pub(crate) fn start(edition: &Edition, store: SocketAddr, credentials: Credentials) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::run(edition, store, credentials, folder)
    }

    /// Starts another one on the same disk.
    pub(crate) fn next(&self, edition: &Edition) -> Self {
        Self::run(edition, self.store, self.credentials, Arc::clone(&self.folder))
    }

    fn run(
        edition: &Edition,
        store: SocketAddr,
        credentials: Credentials,
        folder: Arc<TempDir>,
    ) -> Self {
        let mut command = Demo::command("--no-watch", edition.root());
        command.args(["--fingerprinted", "vite", "--memory", "0"]);
        command.args(["--releases", &format!("s3://{BUCKET}/{PREFIX}"), "--releases"]);
        command.arg(folder.path().join("releases")).envs(variables(store, credentials));
        Self { demo: Demo::run(command), folder, store, credentials }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.demo.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.demo.process.child.id()
    }

    /// Where it keeps what it fills.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("releases/files")
    }

    /// Ends when the requests that are under way have.
    pub(crate) fn end(mut self) {
        terminate(self.pid());
        self.demo.process.child.wait().unwrap();
    }
}
