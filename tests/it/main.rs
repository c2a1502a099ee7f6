//! What the crate promises, one module for each promise. Tests that need a process of their
//! own, or programs that have to be installed, stand beside this folder.

#[path = "../support/mod.rs"]
mod support;

mod bucket;
mod bundlers;
mod caching;
mod cdn;
mod compose;
mod conformance;
mod deltas;
mod deploy_signals;
mod disk;
mod embedded;
mod expected;
mod faults;
mod field;
mod filled;
mod fingerprinted;
mod hostile;
mod import_map;
mod kept;
mod links;
mod manifest;
mod memory;
mod metrics;
mod middleware;
mod preload;
mod proof;
mod prose;
mod public_path;
mod releases;
mod reload;
mod smallest;
mod spa;
mod unlisted;
mod validators;
mod verify;
mod watch;
mod what_not_to_version;
