//! What happens in the layer that an operator may want to count or to read? One event for each
//! fact. The log and the metrics read the same ones.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Uri};

use crate::StaticUrlOutcome;
#[cfg(feature = "delta")]
use crate::delta::workshop::Refusal;
#[cfg(feature = "tracing")]
use crate::observe::event_log;

/// A fact. It borrows what it tells, so that it costs nothing if nobody is told.
#[derive(Debug)]
#[cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    expect(dead_code, reason = "each reads what it needs")
)]
pub(crate) enum Event<'e> {
    /// A request came in below the mount.
    Request { outcome: StaticUrlOutcome, version: &'e str, uri: &'e Uri },
    /// A client has the file already, and was told so without the inner service.
    NotModified,
    /// Memory took the place of the inner service, with so many bytes.
    FromMemory { length: u64 },
    /// Nothing proves that a response is the listed file, so no cache may use it without asking.
    Unproven,
    /// A response contradicts the manifest.
    Changed(Changed<'e>),
    /// The inner service does not find a listed file.
    Missing { listed: &'e str, requested: &'e str },
    /// A snapshot took the place of another, perhaps of an equal one.
    Reloaded { took: Duration, is_new: bool },
    /// No snapshot could be made. The layer serves as before.
    NotReloaded,
    #[cfg(feature = "releases")]
    Kept(KeptEvent),
    #[cfg(feature = "delta")]
    Delta { path: &'e str, event: DeltaEvent },
}

/// A listed file, and the response for it.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "tracing"),
    expect(dead_code, reason = "only the log has use for the details")
)]
pub(crate) struct Changed<'e> {
    pub(crate) path: &'e str,
    pub(crate) listed_length: u64,
    pub(crate) listed_modified: Option<SystemTime>,
    pub(crate) length: Option<u64>,
    pub(crate) last_modified: Option<&'e HeaderValue>,
    pub(crate) content_encoding: Option<&'e HeaderValue>,
}

/// What happens with the files of kept releases.
#[cfg(feature = "releases")]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    all(feature = "object-store", not(feature = "metrics")),
    expect(dead_code, reason = "what fails is logged where more is known of it")
)]
pub(crate) enum KeptEvent {
    /// The response is a file of the directory of releases.
    FromDirectory,
    /// The response is a file that is still on its way from the bucket.
    #[cfg(feature = "object-store")]
    FromBucket,
    /// A release should have responded, and could not.
    Failed,
    /// A file was fetched from the bucket. It has so many bytes.
    #[cfg(feature = "object-store")]
    Fetched { length: u64 },
    /// A file was taken from another release, or from the node's own tree.
    #[cfg(feature = "object-store")]
    Reused,
    /// The bucket did not give a file.
    #[cfg(feature = "object-store")]
    NotFetched,
}

/// What happens to a request for a file with deltas.
#[cfg(feature = "delta")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeltaEvent {
    /// The response may be a dictionary for later ones.
    Offered,
    /// The client has a dictionary.
    Asked,
    /// A delta was made and sent. It has so many bytes less than the smallest other form.
    Made { saved: u64 },
    /// The same with a delta that had been made before.
    Reused { saved: u64 },
    /// The response was sent without a delta.
    Refused(Refusal),
}

/// Passes an event on to the log and the counters.
#[inline]
#[cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "without both nobody listens")
)]
pub(crate) fn emit(event: Event<'_>) {
    #[cfg(feature = "tracing")]
    event_log::on_event(&event);
    #[cfg(feature = "metrics")]
    crate::metrics::on_event(&event);
}
