//! Which events does the layer log, with the `tracing` feature? A WARN for what an operator should
//! mend, once per file unless in development. What happens to requests is at DEBUG and TRACE.

use std::time::SystemTime;

use http::Uri;
#[cfg(feature = "delta")]
use tracing::trace;
use tracing::{Span, debug, level_filters::LevelFilter, warn};

use crate::{
    StaticUrlOutcome,
    observe::event::{Changed, Event},
};
#[cfg(feature = "delta")]
use crate::{delta::workshop::Refusal, observe::event::DeltaEvent};

/// The target of all lines, for filters.
const TARGET: &str = "tower_static_url";

/// Logs an event, if it is one to be read.
#[inline]
pub(super) fn on_event(event: &Event<'_>) {
    match *event {
        Event::Request { outcome, version, uri } => request(outcome, version, uri),
        Event::Changed(ref found) => changed(found),
        Event::Missing { listed, requested } => missing(listed, requested),
        Event::Reloaded { took, is_new: true } => debug!(target: TARGET, ?took, "a new version"),
        #[cfg(feature = "delta")]
        Event::Delta { path, event } => delta(path, event),
        _ => {}
    }
}

/// Adds what became of the URL to the span of the request, if it has fields for it.
#[inline]
fn request(outcome: StaticUrlOutcome, version: &str, uri: &Uri) {
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    let outcome = outcome.as_str();
    let span = Span::current();
    span.record("static_url.outcome", outcome);
    span.record("static_url.version", version);
    // Without the query, which may hold secrets.
    debug!(target: TARGET, outcome, version, path = uri.path(), "request");
}

#[cfg(feature = "delta")]
fn delta(path: &str, event: DeltaEvent) {
    match event {
        DeltaEvent::Offered => trace!(target: TARGET, path, "offered as a dictionary"),
        DeltaEvent::Asked => trace!(target: TARGET, path, "a client has a dictionary"),
        DeltaEvent::Made { saved } => debug!(target: TARGET, path, saved, "made and sent a delta"),
        DeltaEvent::Reused { saved } => debug!(target: TARGET, path, saved, "sent a delta again"),
        DeltaEvent::Refused(Refusal::UnknownDictionary) => {
            debug!(target: TARGET, path, "no release has the client's dictionary");
        }
        DeltaEvent::Refused(why) => debug!(target: TARGET, path, ?why, "sent no delta"),
    }
}

/// A response contradicts the manifest.
fn changed(found: &Changed<'_>) {
    warn!(
        target: TARGET,
        path = found.path,
        listed_length = found.listed_length,
        length = found.length,
        listed_modified = found.listed_modified.map(date),
        last_modified = found.last_modified.and_then(|value| value.to_str().ok()),
        content_encoding = found.content_encoding.and_then(|value| value.to_str().ok()),
        "the response is not the file that the manifest lists, so it is `no-cache` instead of \
         `immutable` (502 if it is of a kept release): the file has changed since the scan, or \
         another service answers for it"
    );
}

/// The inner service does not find a listed file.
fn missing(listed: &str, requested: &str) {
    warn!(
        target: TARGET,
        listed,
        requested,
        "the manifest lists this file, but the wrapped service answered 404: do both have the \
         same root, and does the service expect the mount in the requested path?"
    );
}

/// Formats a time as HTTP does, or in seconds since 1970 if HTTP cannot spell it (before 1970,
/// after 9999).
fn date(time: SystemTime) -> String {
    /// The first second of the year 10000.
    const END: u64 = 253_402_300_800;
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) if after.as_secs() < END => httpdate::fmt_http_date(time),
        Ok(after) => format!("{} s after 1970", after.as_secs()),
        Err(before) => format!("{} s before 1970", before.duration().as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_time_can_be_shown() {
        let epoch = SystemTime::UNIX_EPOCH;
        let second = Duration::from_secs(1);
        let end = Duration::from_secs(253_402_300_800);
        for (name, time, expected) in [
            ("epoch", epoch, "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("a second before", epoch - second, "1 s before 1970"),
            ("half a second before", epoch - second / 2, "0.5 s before 1970"),
            ("last of HTTP", epoch + end - second, "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("beyond HTTP", epoch + end, "253402300800 s after 1970"),
        ] {
            assert_eq!(date(time), expected, "{name}");
        }
    }
}
