//! Kept releases with the programs that they meet in the field: nginx, shared caches, and stores.
//!
//! ```sh
//! sh tests/e2e/install.sh
//! cargo test --all-features --test releases_fleet -- --ignored
//! ```
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod deploy_kit;
mod docs;
mod faults;
mod fleet;
mod flood;
mod nginx;
mod together;
