//! What does an operator see of the layer?

#[cfg(feature = "delta")]
pub(crate) mod event;
pub(crate) mod log;
