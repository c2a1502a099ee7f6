//! What does the layer do, in numbers? Counters for whichever recorder is installed (feature
//! `metrics`).
//!
//! The layer counts through the [`metrics`](https://docs.rs/metrics) facade, version 0.24. Install
//! an exporter, such as `metrics-exporter-prometheus`, and the counters are there. Without one,
//! counting costs next to nothing.
//!
//! ```
//! use axum::{Router, routing::get};
//! use metrics_exporter_prometheus::PrometheusBuilder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let prometheus = PrometheusBuilder::new().install_recorder()?; // before the layer is built
//! tower_static_url::metrics::describe();
//! let router: Router =
//!     Router::new().route("/metrics", get(async move || prometheus.render()));
//! # Ok(())
//! # }
//! ```
//!
//! `examples/metrics.rs` in the repository is a whole server. If all counters are missing, the
//! exporter may be for another version of the facade: `cargo tree --duplicates` then lists
//! `metrics`.
//!
//! | counter | labels | counts |
//! |---|---|---|
//! | [`REQUESTS`] | `outcome`: `current`, `kept`, `stale`, `unversioned` | requests below the mount |
//! | [`NOT_MODIFIED`] | | responses 304 without the inner service |
//! | [`MEMORY_HITS`] | | responses from memory |
//! | [`MEMORY_BYTES`] | | the bytes of their bodies |
//! | [`UNPROVEN`] | | responses for listed files that nothing proves to be these files |
//! | [`CHANGED_FILES`] | | files that are not as they were scanned; in development, responses |
//! | [`MISSING_FILES`] | | listed files that the inner service does not find; the same |
//! | [`RELOADS`] | `result`: `new`, `same`, `failed` | snapshots that were made |
//! | [`RELEASES`] | `from`: `directory`, `bucket`, `failed` | requests for files of kept releases, except those that needed no file |
//! | [`FILLED_FILES`] | `from`: `bucket`, `node`, `failed` | files that came into the directory of releases |
//! | [`FILLED_BYTES`] | | the bytes that came from the bucket |
//! | [`DICTIONARIES`] | | responses that may be a dictionary for later ones |
//! | [`DELTAS`] | `result`: `made`, `reused`, `refused` | requests by clients that have a dictionary |
//! | [`SAVED_BYTES`] | | bytes by which deltas are smaller than the smallest other listed form of the file, plain or pre-compressed |
//!
//! [`RELOAD_SECONDS`] is a histogram: how long each reload took, in seconds.
//!
//! A counter is there from its first event on, and not with a value of 0 before. A `HEAD` counts
//! like a `GET`.
//!
//! What to watch: `stale` rises during a rolling deploy of nodes that keep no releases, and falls
//! when it is through. If it stays, somebody links to URLs of his own. `changed` and `missing`
//! files should be none in production; the log names each.
//!
//! A counter belongs to the process, and not to one layer: two layers count together.

use ::metrics::{
    Counter, Key, Label, Level, Metadata, Unit, describe_counter, describe_histogram, histogram,
    with_recorder,
};

#[cfg(feature = "delta")]
use crate::observe::event::DeltaEvent;
#[cfg(feature = "releases")]
use crate::observe::event::KeptEvent;
use crate::{StaticUrlOutcome, observe::event::Event};

/// Requests below the mount, by `outcome`.
pub const REQUESTS: &str = "static_url_requests_total";
/// Responses 304 without the inner service.
pub const NOT_MODIFIED: &str = "static_url_not_modified_total";
/// Responses from memory.
pub const MEMORY_HITS: &str = "static_url_memory_hits_total";
/// The bytes of the bodies that came from memory.
pub const MEMORY_BYTES: &str = "static_url_memory_bytes_total";
/// Responses for listed files that nothing proves to be these files.
pub const UNPROVEN: &str = "static_url_unproven_responses_total";
/// Files that are not as they were scanned.
pub const CHANGED_FILES: &str = "static_url_changed_files_total";
/// Listed files that the inner service does not find.
pub const MISSING_FILES: &str = "static_url_missing_files_total";
/// Snapshots that were made, by `result`.
pub const RELOADS: &str = "static_url_reloads_total";
/// How long each reload took, in seconds. A histogram.
pub const RELOAD_SECONDS: &str = "static_url_reload_seconds";
/// Requests for files of kept releases, by where the file came `from`.
pub const RELEASES: &str = "static_url_release_responses_total";
/// Files that came into the directory of releases, by where they came `from`.
pub const FILLED_FILES: &str = "static_url_filled_files_total";
/// The bytes that came from the bucket.
pub const FILLED_BYTES: &str = "static_url_filled_bytes_total";
/// Responses that may be a dictionary for later ones.
pub const DICTIONARIES: &str = "static_url_dictionaries_total";
/// Requests by clients that have a dictionary, by `result`.
pub const DELTAS: &str = "static_url_deltas_total";
/// Bytes by which deltas are smaller than the smallest other listed form of the file.
pub const SAVED_BYTES: &str = "static_url_delta_saved_bytes_total";

/// Gives the recorder that is installed a description of each metric. Call it once, after that.
///
/// ```
/// tower_static_url::metrics::describe();
/// ```
pub fn describe() {
    for (name, text) in [
        (REQUESTS, "Requests below the mount"),
        (NOT_MODIFIED, "Responses 304 without the inner service"),
        (MEMORY_HITS, "Responses from memory"),
        (UNPROVEN, "Responses for listed files that nothing proves to be these files"),
        (CHANGED_FILES, "Files that are not as they were scanned"),
        (MISSING_FILES, "Listed files that the inner service does not find"),
        (RELOADS, "Snapshots that were made"),
        (RELEASES, "Requests for files of kept releases"),
        (FILLED_FILES, "Files that came into the directory of releases"),
        (DICTIONARIES, "Responses that may be a dictionary for later ones"),
        (DELTAS, "Requests by clients that have a dictionary"),
    ] {
        describe_counter!(name, text);
    }
    describe_counter!(MEMORY_BYTES, Unit::Bytes, "Bytes of responses from memory");
    describe_counter!(FILLED_BYTES, Unit::Bytes, "Bytes that came from the bucket");
    describe_counter!(SAVED_BYTES, Unit::Bytes, "Bytes that deltas have less than the files");
    describe_histogram!(RELOAD_SECONDS, Unit::Seconds, "How long each reload took");
}

/// Returns a counter. The macro of the facade makes and hashes a new key for each call if the name
/// is no literal.
macro_rules! counter {
    ($name:ident $(, $label:literal => $value:literal)?) => {{
        static LABELS: &[Label] = &[$(Label::from_static_parts($label, $value))?];
        static KEY: Key = Key::from_static_parts($name, LABELS);
        registered(&KEY)
    }};
}

#[inline]
fn registered(key: &'static Key) -> Counter {
    const METADATA: Metadata<'static> =
        Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
    with_recorder(|recorder| recorder.register_counter(key, &METADATA))
}

/// Counts an event.
pub(crate) fn on_event(event: &Event<'_>) {
    match *event {
        Event::Request { outcome, .. } => on_request(outcome),
        Event::NotModified => counter!(NOT_MODIFIED).increment(1),
        Event::FromMemory { length } => {
            counter!(MEMORY_HITS).increment(1);
            counter!(MEMORY_BYTES).increment(length);
        }
        Event::Unproven => counter!(UNPROVEN).increment(1),
        Event::Changed(_) => counter!(CHANGED_FILES).increment(1),
        Event::Missing { .. } => counter!(MISSING_FILES).increment(1),
        Event::Reloaded { took, is_new } => {
            let same = || counter!(RELOADS, "result" => "same");
            let counter = if is_new { counter!(RELOADS, "result" => "new") } else { same() };
            counter.increment(1);
            histogram!(RELOAD_SECONDS).record(took);
        }
        Event::NotReloaded => counter!(RELOADS, "result" => "failed").increment(1),
        #[cfg(feature = "releases")]
        Event::Kept(event) => on_kept(event),
        #[cfg(feature = "delta")]
        Event::Delta { event, .. } => on_delta(event),
    }
}

fn on_request(outcome: StaticUrlOutcome) {
    match outcome {
        StaticUrlOutcome::Current => counter!(REQUESTS, "outcome" => "current"),
        StaticUrlOutcome::Kept => counter!(REQUESTS, "outcome" => "kept"),
        StaticUrlOutcome::Stale => counter!(REQUESTS, "outcome" => "stale"),
        StaticUrlOutcome::Unversioned => counter!(REQUESTS, "outcome" => "unversioned"),
        StaticUrlOutcome::Outside => return,
    }
    .increment(1);
}

#[cfg(feature = "releases")]
fn on_kept(event: KeptEvent) {
    match event {
        KeptEvent::FromDirectory => counter!(RELEASES, "from" => "directory").increment(1),
        KeptEvent::Failed => counter!(RELEASES, "from" => "failed").increment(1),
        #[cfg(feature = "object-store")]
        KeptEvent::FromBucket => counter!(RELEASES, "from" => "bucket").increment(1),
        #[cfg(feature = "object-store")]
        KeptEvent::Fetched { length } => {
            counter!(FILLED_FILES, "from" => "bucket").increment(1);
            counter!(FILLED_BYTES).increment(length);
        }
        #[cfg(feature = "object-store")]
        KeptEvent::Reused => counter!(FILLED_FILES, "from" => "node").increment(1),
        #[cfg(feature = "object-store")]
        KeptEvent::NotFetched => counter!(FILLED_FILES, "from" => "failed").increment(1),
    }
}

#[cfg(feature = "delta")]
fn on_delta(event: DeltaEvent) {
    match event {
        DeltaEvent::Offered => counter!(DICTIONARIES).increment(1),
        // It is counted by what comes of it.
        DeltaEvent::Asked => {}
        DeltaEvent::Made { saved } => {
            counter!(DELTAS, "result" => "made").increment(1);
            counter!(SAVED_BYTES).increment(saved);
        }
        DeltaEvent::Reused { saved } => {
            counter!(DELTAS, "result" => "reused").increment(1);
            counter!(SAVED_BYTES).increment(saved);
        }
        DeltaEvent::Refused(_) => counter!(DELTAS, "result" => "refused").increment(1),
    }
}
