//! What the layer tells its operator.

pub(crate) mod log;
