//! How do open pages get to know of a new version? By server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::response::{
    IntoResponse,
    sse::{Event, KeepAlive, Sse},
};
use futures_core::Stream;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tower_static_url::{StaticPrefix, StaticUrlLayer, watch::Watcher};

use crate::say;

/// How long a page waits before it connects again to a server that it has lost.
const RETRY: Duration = Duration::from_millis(500);

/// The newest prefix, for all open pages. It ends with the [`Watcher`], so that no page keeps a
/// stopping server alive.
#[derive(Clone)]
pub(crate) struct Feed {
    prefixes: watch::Receiver<StaticPrefix>,
}

impl Feed {
    /// Starts a task that follows the watcher. Needs a tokio runtime.
    pub(crate) fn start(layer: &StaticUrlLayer, watcher: &Watcher) -> Self {
        let mut changes = watcher.changes();
        let (newest, prefixes) = watch::channel(layer.prefix());
        tokio::spawn(async move {
            while let Some(prefix) = changes.changed().await {
                let older = newest.send_replace(prefix.clone());
                announce(&older, &prefix);
            }
        });
        Self { prefixes }
    }

    /// Returns the stream of events for one page.
    pub(crate) async fn events(self) -> impl IntoResponse {
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(send_while_open(self.prefixes, sender));
        Sse::new(Events(events)).keep_alive(KeepAlive::default())
    }
}

fn announce(older: &StaticPrefix, newer: &StaticPrefix) {
    let version = newer.version();
    match *newer.changed_since(older).collect::<Vec<_>>() {
        [path] => say(format_args!("version {version}: {path} has changed")),
        ref paths => say(format_args!("version {version}: {} files have changed", paths.len())),
    }
}

/// Ends as soon as the page is closed. Without this the end would be noticed only at the next
/// change, which may never come.
async fn send_while_open(prefixes: watch::Receiver<StaticPrefix>, page: mpsc::Sender<Event>) {
    tokio::select! {
        () = page.closed() => {}
        () = send_all(prefixes, &page) => {}
    }
}

/// Sends the current version first: the page may be older, from before a restart or just before
/// a change.
async fn send_all(mut prefixes: watch::Receiver<StaticPrefix>, page: &mpsc::Sender<Event>) {
    let mut sent = prefixes.borrow_and_update().clone();
    let mut event = describe(&sent, &sent).retry(RETRY);
    while page.send(event).await.is_ok() && prefixes.changed().await.is_ok() {
        let newest = prefixes.borrow_and_update().clone();
        event = describe(&sent, &newest);
        sent = newest;
    }
}

fn describe(older: &StaticPrefix, newer: &StaticPrefix) -> Event {
    let changed = newer.changed_since(older).collect::<Vec<_>>();
    // An added or removed file changes the table of the page, too.
    let is_edit = |path: &&str| [older, newer].iter().all(|prefix| prefix.try_url(path).is_ok());
    let are_edited_styles = changed.iter().all(|path| is_style(path) && is_edit(path));
    let message = json!({
        "version": newer.version(),
        "prefix": newer.as_str(),
        "changed": changed,
        // If no change is known, anything may have changed.
        "onlyStyles": are_edited_styles && !changed.is_empty(),
    });
    // One line, since JSON escapes line ends.
    Event::default().data(message.to_string())
}

/// Whether a path is a style sheet, or something that a bundler writes beside one. Source maps
/// count, also those of scripts: a page does not show them.
fn is_style(path: &str) -> bool {
    let codings = [".gz", ".br", ".zst"];
    let path = codings.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
    path.ends_with(".css") || path.ends_with(".map")
}

/// The receiving end, as the stream of a response.
struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}
