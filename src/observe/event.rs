//! What happens in the layer that is worth counting? One event for each fact.
#![cfg_attr(
    not(feature = "tracing"),
    expect(unused_variables, reason = "without `tracing` nobody is told")
)]

use crate::delta::workshop::Refusal;

/// What happens to a request for a file with deltas.
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

/// Tells what has happened to a request for a file.
pub(crate) fn delta(path: &str, event: DeltaEvent) {
    #[cfg(feature = "tracing")]
    match event {
        DeltaEvent::Offered => {
            tracing::trace!(target: "tower_static_url", path, "offered as a dictionary");
        }
        DeltaEvent::Asked => {
            tracing::trace!(target: "tower_static_url", path, "a client has a dictionary");
        }
        DeltaEvent::Made { saved } => {
            tracing::debug!(target: "tower_static_url", path, saved, "made and sent a delta");
        }
        DeltaEvent::Reused { saved } => {
            tracing::debug!(target: "tower_static_url", path, saved, "sent a delta again");
        }
        DeltaEvent::Refused(Refusal::UnknownDictionary) => {
            tracing::debug!(target: "tower_static_url", path, "no release has the client's dictionary");
        }
        DeltaEvent::Refused(why) => {
            tracing::debug!(target: "tower_static_url", path, ?why, "sent no delta");
        }
    }
}
