//! Which version do some directories have? The one that the layer gives them.

use tower_static_url::{Error, Manifest, StaticUrlLayer, VersionSource, manifest::Scan};

use crate::args::{Files, Identity};

/// The variable with the salt of hashed versions.
const SALT: &str = "STATIC_URL_SALT";

/// The files of some directories, and their version.
pub(crate) struct Tree {
    pub(crate) manifest: Manifest,
    pub(crate) version: String,
}

impl Tree {
    pub(crate) fn scan(files: &Files, identity: &Identity) -> Result<Self, Error> {
        let manifest = scan(files)?;
        let mut builder = StaticUrlLayer::builder("/").manifest(manifest.clone());
        builder = builder.version(source(identity));
        if let Some(salt) = std::env::var_os(SALT) {
            builder = builder.salt(salt.into_encoded_bytes());
        }
        let version = builder.build()?.prefix().version().to_owned();
        Ok(Self { manifest, version })
    }
}

/// Scans some directories.
pub(crate) fn scan(files: &Files) -> Result<Manifest, Error> {
    let mut directories = files.directories.iter();
    let first = Scan::new(directories.next().cloned().unwrap_or_default());
    let mut scan = directories.fold(first, Scan::fallback);
    if let Some(path) = &files.remember {
        scan = scan.remember(path);
    }
    scan.run()
}

fn source(identity: &Identity) -> VersionSource {
    match identity {
        Identity { literal: Some(literal), .. } => VersionSource::literal(literal),
        Identity { build_id: Some(id), .. } => VersionSource::build_id(id),
        _ => VersionSource::manifest(),
    }
}
