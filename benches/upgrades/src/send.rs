//! How many bytes of a new version travel to somebody who has the old one?

use std::{fs, path::Path};

use tower_static_url::{Fingerprinted, Manifest, Upgrade, UpgradedFile};

use crate::{Result, browser::Browser, compress::compress, site::Site};

/// What an upgrade costs, in bytes of bodies, over all files of the new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) files: usize,
    /// How many of them are a delta, or need none.
    pub(crate) deltas: usize,
    pub(crate) whole: u64,
    pub(crate) compressed: u64,
    pub(crate) sent: u64,
}

/// Deploys both versions one after the other, and lets a browser download them. What was
/// compressed is kept in `work`.
pub(crate) fn measure(
    old: &Path,
    new: &Path,
    rule: Option<Fingerprinted>,
    work: &Path,
) -> Result<Sent> {
    let computed = compute(old, new, rule.clone())?;
    compress(new, work)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let sent = runtime.block_on(download(old, new, rule.as_ref()))?;
    if !agree(&sent, &computed) {
        return Err(format!("{sent:?} is not what `Upgrade` says: {computed:?}").into());
    }
    Ok(sent)
}

async fn download(old: &Path, new: &Path, rule: Option<&Fingerprinted>) -> Result<Sent> {
    let releases = tempfile::tempdir()?;
    let mut browser = Browser::default();
    let site = Site::deploy(old, releases.path(), rule)?;
    for (path, url) in site.files() {
        let content = fs::read(old.join(path))?;
        browser.get(&site, url, content.len()).await?;
    }
    let site = Site::deploy(new, releases.path(), rule)?;
    let mut all = Sent::default();
    for (path, url) in site.files() {
        let content = fs::read(new.join(path))?;
        let compressed = fs::metadata(new.join(format!("{path}.zst")));
        let compressed = compressed.map_or(content.len() as u64, |compressed| compressed.len());
        let fetched = browser.get(&site, url, content.len()).await?;
        if fetched.as_ref().is_some_and(|(fetched, _)| *fetched != content) {
            return Err(format!("{path}: the browser has got something else").into());
        }
        let sent = fetched.map_or(0, |(_, sent)| sent);
        all.files += 1;
        all.deltas += usize::from(sent < compressed);
        all.whole += content.len() as u64;
        all.compressed += compressed;
        all.sent += sent;
    }
    Ok(all)
}

/// Returns what `static-url deltas` says.
fn compute(old: &Path, new: &Path, rule: Option<Fingerprinted>) -> Result<Sent> {
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

/// Whether what is sent is what was computed, but for half a per cent of the compressed files.
fn agree(sent: &Sent, computed: &Sent) -> bool {
    let is_near = |one: u64, other: u64| one.abs_diff(other) * 200 <= computed.compressed;
    (sent.files, sent.whole) == (computed.files, computed.whole)
        && is_near(sent.compressed, computed.compressed)
        && is_near(sent.sent, computed.sent)
}
