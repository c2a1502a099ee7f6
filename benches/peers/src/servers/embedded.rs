//! Servers that have the files in the program. No compression: the load generators do
//! not ask for it, and the others have none.

use axum::Router;
use memory_serve::MemoryServe;

use super::{Site, listen};
use crate::{Result, fixture::MOUNT};

pub(super) fn memory_serve(site: &Site) -> Result<()> {
    listen::serve_tower(site, embedded_files().into_router::<()>())
}

/// The URL under which `memory-serve` has a file for a year.
pub(super) fn hashed_path(file: &str) -> Result<String> {
    let plain = format!("/{MOUNT}/{file}");
    let hashed = embedded_files().manifest().get(&plain).map(String::from);
    hashed.ok_or_else(|| format!("memory-serve has no {file}").into())
}

fn embedded_files() -> MemoryServe {
    memory_serve::load!().enable_hashed_routes(true).enable_brotli(false).enable_gzip(false)
}

pub(super) fn static_serve(site: &Site) -> Result<()> {
    let router: Router = static_router();
    listen::serve_tower(site, router)
}

include!(concat!(env!("OUT_DIR"), "/static_serve_assets.rs"));
