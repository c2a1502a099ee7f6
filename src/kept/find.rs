//! Which requests may be for a kept release? Those that the current one does not answer.

use std::{sync::Arc, time::Instant};

use crate::{
    StaticUrlOutcome,
    exchange::{MethodKind, request::RequestHead},
    kept::{
        KeptPlan, Wanted,
        refresh::{FRESH, FRESH_FOR_UNKNOWN},
    },
    releases::Releases,
    snapshot::{Below, Snapshot, current::Handle},
    url::{decode, is_plain},
};

/// A request that the current release does not answer, as far as the others matter.
struct Candidate<'r> {
    /// The first segment.
    version: Option<&'r str>,
    /// Somebody may have published it a moment ago.
    is_expected: bool,
    /// The logical path, if the URL has no version and the name is a fingerprinted one.
    fingerprinted: Option<Box<str>>,
}

/// Returns what to do if a request below the mount may be for a kept release. The current version,
/// and files that the current manifest lists without one, come from the current release.
#[cold]
pub(crate) fn find(
    snapshot: &Handle,
    nested: bool,
    head: RequestHead<'_>,
    below: &Below<'_, '_>,
) -> Option<Box<KeptPlan>> {
    let is_unversioned = below.outcome == StaticUrlOutcome::Unversioned;
    if is_unversioned && below.file.is_some() {
        return None;
    }
    // What is not plain keeps its version.
    let rest = below.rest?;
    let is_in_tree = is_unversioned && has_in_tree(snapshot, below);
    // A release lists files alone.
    if is_in_tree && rest.ends_with('/') {
        return None;
    }
    let candidate = Candidate::of(snapshot, nested, head.uri.path(), rest, !is_unversioned)?;
    candidate.plan(snapshot, nested, is_in_tree || snapshot.settings().mount.is_root())
}

/// Whether the current tree has a directory or a page at a path that spells no listed file.
fn has_in_tree(snapshot: &Snapshot, below: &Below<'_, '_>) -> bool {
    snapshot.has_manifest() && snapshot.may_answer(below)
}

/// Whether a request that is not below the mount may be for a kept release. With a mount of `/`
/// only what is listed is below it, and a release may list more.
#[inline]
pub(crate) fn may_be_below(snapshot: &Snapshot, method: MethodKind) -> bool {
    let settings = snapshot.settings();
    settings.kept.is_some() && settings.mount.is_root() && method.is_get_or_head()
}

/// Returns what to do with such a request.
#[cold]
pub(crate) fn find_outside(
    snapshot: &Handle,
    head: RequestHead<'_>,
    is_version_shaped: bool,
) -> Option<Box<KeptPlan>> {
    let path = head.uri.path();
    let rest = path.strip_prefix('/')?;
    // The rest of the site may have a path that starts like a version.
    let candidate = Candidate::of(snapshot, false, path, rest, is_version_shaped)?;
    candidate.plan(snapshot, false, true).filter(|_| is_plain(rest))
}

/// Removes the version of a kept release from an `OPTIONS` request.
#[cold]
pub(crate) fn remove_version<'r>(
    snapshot: &Snapshot,
    nested: bool,
    head: RequestHead<'r>,
    below: &mut Below<'_, 'r>,
) {
    let Some(kept) = &snapshot.settings().kept else { return };
    let path = head.uri.path().strip_prefix(snapshot.base(nested));
    let path = path.and_then(|path| path.strip_prefix('/')).filter(|_| below.rest.is_some());
    if let Some((version, rest)) = path.and_then(|path| path.split_once('/'))
        && below.file.is_none()
        && !has_in_tree(snapshot, below)
        && kept.releases.kept(version).is_some()
    {
        let outcome = StaticUrlOutcome::Kept;
        *below = Below { outcome, rest: Some(rest), is_literal: false, file: None };
    }
}

impl<'r> Candidate<'r> {
    fn of(
        snapshot: &Snapshot,
        nested: bool,
        path: &'r str,
        rest: &str,
        is_versioned: bool,
    ) -> Option<Self> {
        let below = path.strip_prefix(snapshot.base(nested))?.strip_prefix('/')?;
        // Versions are short, and so are other segments.
        let version = below.bytes().position(|byte| byte == b'/').map(|slash| &below[..slash]);
        let rule = snapshot.settings().fingerprinted.as_ref().filter(|_| !is_versioned);
        let fingerprinted = rule.and_then(|rule| {
            let path = decode(rest)?;
            rule.position(&path).map(|_| Box::from(&*path))
        });
        let is_expected = is_versioned || fingerprinted.is_some();
        Some(Self { version, is_expected, fingerprinted })
    }

    /// `is_shared`: a path that the release does not list may belong to somebody else.
    fn plan(self, snapshot: &Handle, nested: bool, is_shared: bool) -> Option<Box<KeptPlan>> {
        let kept = snapshot.settings().kept.as_ref()?;
        let now = Instant::now();
        let (wanted, refresh, is_uncertain) = match self.wanted(&kept.releases) {
            Some(wanted) => (wanted, kept.refresh_after(now, FRESH), is_shared),
            None => {
                let fresh = if self.is_expected { FRESH_FOR_UNKNOWN } else { FRESH };
                let refresh = kept.refresh_after(now, fresh)?;
                (self.unknown()?, Some(refresh), true)
            }
        };
        let (kept, current) = (Arc::clone(kept), snapshot.clone());
        let plan = KeptPlan { kept, current, nested, wanted, refresh, is_shared, is_uncertain };
        Some(Box::new(plan))
    }

    /// Returns which known release is wanted.
    fn wanted(&self, releases: &Releases) -> Option<Wanted> {
        if let Some(version) = self.version.filter(|version| releases.kept(version).is_some()) {
            return Some(Wanted::Version(version.into()));
        }
        let path = self.fingerprinted.as_ref()?;
        releases.newest_with(path).map(|_| Wanted::Newest { path: path.clone() })
    }

    /// Returns which unknown release may be wanted.
    fn unknown(self) -> Option<Wanted> {
        let version = || self.version.map(|version| Wanted::Version(version.into()));
        self.fingerprinted.map(|path| Wanted::Newest { path }).or_else(version)
    }
}
