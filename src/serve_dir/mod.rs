//! Where does tower-http's [`ServeDir`](tower_http::services::ServeDir) take its files from?
//! Backends for `ServeDir::with_backend` (feature `serve-dir`).

mod embedded;

pub use self::embedded::{Embedded, EmbeddedFile, EmbeddedMetadata};
