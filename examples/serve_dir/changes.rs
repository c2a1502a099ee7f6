//! Tells open pages of every new version, as server-sent events.

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
use tower_static_url::{StaticPrefix, StaticUrlLayer, Watcher};

use crate::say;

/// When a page that has lost the server looks for it again.
const RETRY: Duration = Duration::from_millis(500);

/// The newest prefix, for all pages that are open. Ends with the [`Watcher`], so that
/// no page keeps a stopping server alive.
#[derive(Clone)]
pub(crate) struct Feed {
    prefixes: watch::Receiver<StaticPrefix>,
}

impl Feed {
    /// Needs a tokio runtime.
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

    /// The answer to one page.
    pub(crate) async fn events(self) -> impl IntoResponse {
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(tell_while_open(self.prefixes, sender));
        Sse::new(Events(events)).keep_alive(KeepAlive::default())
    }
}

fn announce(older: &StaticPrefix, newer: &StaticPrefix) {
    let version = newer.version();
    match *newer.changed_since(older) {
        [path] => say(format_args!("version {version}: {path} has changed")),
        ref paths => say(format_args!("version {version}: {} files have changed", paths.len())),
    }
}

/// A page that is closed says nothing: its end is seen at once, not with the next
/// change, which may never come.
async fn tell_while_open(prefixes: watch::Receiver<StaticPrefix>, page: mpsc::Sender<Event>) {
    tokio::select! {
        () = page.closed() => {}
        () = tell(prefixes, &page) => {}
    }
}

/// Begins with the version as it is: the page may be older, of before a restart or of
/// just before a change.
async fn tell(mut prefixes: watch::Receiver<StaticPrefix>, page: &mpsc::Sender<Event>) {
    let mut told = prefixes.borrow_and_update().clone();
    let mut event = describe(&told, &told).retry(RETRY);
    while page.send(event).await.is_ok() && prefixes.changed().await.is_ok() {
        let newest = prefixes.borrow_and_update().clone();
        event = describe(&told, &newest);
        told = newest;
    }
}

fn describe(older: &StaticPrefix, newer: &StaticPrefix) -> Event {
    let changed = newer.changed_since(older);
    // What has come or gone changes the table, too.
    let is_edit = |path: &&str| [older, newer].iter().all(|it| it.try_url(path).is_ok());
    let are_edited_styles = changed.iter().all(|path| is_style(path) && is_edit(path));
    let message = json!({
        "version": newer.version(),
        "prefix": newer.as_str(),
        "changed": changed,
        // Where nothing is known to have changed, anything may have.
        "onlyStyles": are_edited_styles && !changed.is_empty(),
    });
    // On one line, as JSON escapes line ends.
    Event::default().data(message.to_string())
}

/// Also what a bundler writes beside it; and source maps of scripts, in which a style
/// sheet may be named, and which a page does not show.
fn is_style(path: &str) -> bool {
    let codings = [".gz", ".br", ".zst"];
    let path = codings.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
    path.ends_with(".css") || path.ends_with(".map")
}

/// The receiving end, as the stream that a response is made of.
struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}
