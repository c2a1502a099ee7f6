//! What the crate promises, one module for each promise. Tests that need a process of their
//! own, or programs that have to be installed, stand beside this folder.

#[path = "../support/mod.rs"]
mod support;

mod bucket;
mod bundlers;
mod caching;
mod compose;
mod conformance;
mod deltas;
mod disk;
mod expected;
mod faults;
mod field;
mod filled;
mod fingerprinted;
mod hostile;
mod kept;
mod links;
mod manifest;
mod memory;
mod middleware;
mod proof;
mod public_path;
mod releases;
mod reload;
mod spa;
mod unlisted;
mod validators;
mod verify;
mod watch;
mod what_not_to_version;
