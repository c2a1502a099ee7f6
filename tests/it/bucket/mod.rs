//! Releases in a bucket.

pub mod store;
