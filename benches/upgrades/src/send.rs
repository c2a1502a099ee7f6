//! How many bytes of a new version travel to somebody who has the old one?

use std::path::Path;

use tower_static_url::{Fingerprinted, Manifest, Upgrade, UpgradedFile};

use crate::Result;

/// What an upgrade costs, in bytes of bodies, over all files of the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) files: usize,
    /// How many of them are a delta, or need none.
    pub(crate) deltas: usize,
    pub(crate) whole: u64,
    pub(crate) compressed: u64,
    pub(crate) sent: u64,
}

/// Measures an upgrade with the encoder and the rules of the layer.
pub(crate) fn measure(old: &Path, new: &Path, rule: Option<Fingerprinted>) -> Result<Sent> {
    let mut upgrade = Upgrade::new(&Manifest::scan(old)?, old, &Manifest::scan(new)?, new);
    if let Some(rule) = rule {
        upgrade = upgrade.fingerprinted(rule);
    }
    let files = upgrade.measure()?;
    let sum = |length: fn(&UpgradedFile) -> u64| files.iter().map(length).sum();
    Ok(Sent {
        files: files.len(),
        deltas: files.iter().filter(|file| file.sent() < file.compressed()).count(),
        whole: sum(UpgradedFile::length),
        compressed: sum(UpgradedFile::compressed),
        sent: sum(UpgradedFile::sent),
    })
}
