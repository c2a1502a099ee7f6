#![forbid(unsafe_code)]
#![allow(dead_code)]
//! wip
mod error;
mod path;
mod version;
pub use error::{Error, ErrorKind};
pub use version::VersionSource;
