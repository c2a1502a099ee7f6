//! What does an operator see of the layer?

pub(crate) mod event;
#[cfg(feature = "tracing")]
mod event_log;
pub(crate) mod log;
