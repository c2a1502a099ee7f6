//! What does an operator see of the layer?

pub(crate) mod log;
