//! Where does tower-http's [`ServeDir`](tower_http::services::ServeDir) take its files from?
//! Backends for `ServeDir::with_backend` (feature `serve-dir`).

mod disk;
mod embedded;

pub use self::{
    disk::{Disk, DiskFile, DiskFuture, DiskMetadata},
    embedded::{Embedded, EmbeddedFile, EmbeddedMetadata},
};
