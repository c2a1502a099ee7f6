//! What is odd about a tree? Findings of a scan, each of which is logged once.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crate::observe::log;

/// Something that an operator should know of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    LeftOut { path: PathBuf, why: String },
    MissingRoot { root: PathBuf, why: String },
    NoFiles { roots: Vec<PathBuf> },
    StaleSibling { sibling: Box<str>, file: Box<str>, why: &'static str },
    ClimbingLink { path: Box<str> },
    NotRemembered { path: PathBuf, why: String },
}

/// What the last scan of a tree has found. `None` before the first.
#[derive(Debug, Default)]
pub(super) struct Findings(Mutex<Option<HashSet<Finding>>>);

/// What a scan under way has found.
#[derive(Debug)]
pub(super) struct Report<'f> {
    is_lenient: bool,
    last: &'f Findings,
    found: Mutex<HashSet<Finding>>,
}

impl Findings {
    pub(super) fn report(&self, is_lenient: bool) -> Report<'_> {
        Report { is_lenient, last: self, found: Mutex::default() }
    }

    /// Replaces the findings by those of a scan that `is_complete`. Those of one that has
    /// failed are added, so that the next attempt does not log them again.
    pub(super) fn replace(&self, found: HashSet<Finding>, is_complete: bool) {
        let mut last = lock(&self.0);
        match &mut *last {
            Some(last) if !is_complete => last.extend(found),
            None if !is_complete => {}
            last => *last = Some(found),
        }
    }
}

impl Report<'_> {
    pub(super) fn is_lenient(&self) -> bool {
        self.is_lenient
    }

    /// Whether there was no complete scan before.
    pub(super) fn is_first(&self) -> bool {
        lock(&self.last.0).is_none()
    }

    /// Adds a finding, and logs it if it is new.
    pub(super) fn add(&self, finding: Finding) {
        if lock(&self.found).insert(finding.clone()) && !self.is_known(&finding) {
            log(&finding);
        }
    }

    /// Whether a scan may go on in spite of this, and adds the finding if it may: in
    /// development, if this is the first scan, or if it was so at the last one. What a scan had
    /// and the next one lacks is about to come back: a bundler has emptied the directory.
    pub(super) fn tolerates(&self, finding: Finding) -> bool {
        let is_tolerated = self.is_lenient && (self.is_first() || self.is_known(&finding));
        if is_tolerated {
            self.add(finding);
        }
        is_tolerated
    }

    pub(super) fn into_found(self) -> HashSet<Finding> {
        self.found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, finding: &Finding) -> bool {
        lock(&self.last.0).as_ref().is_some_and(|last| last.contains(finding))
    }
}

/// A set is whole after each call that changes it, so a panic leaves nothing inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log(finding: &Finding) {
    match finding {
        Finding::LeftOut { path, why } => log::left_out(path, why),
        Finding::MissingRoot { root, why } => log::missing_root(root, why),
        Finding::NoFiles { roots } => log::no_files(roots),
        Finding::StaleSibling { sibling, file, why } => log::stale_sibling(sibling, file, why),
        Finding::ClimbingLink { path } => log::climbing_link(path),
        Finding::NotRemembered { path, why } => log::not_remembered(path, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Finding {
        Finding::NoFiles { roots: vec!["a".into()] }
    }

    #[test]
    fn what_a_start_tolerates_a_reload_does_only_if_nothing_has_changed() {
        for (name, is_lenient, last, expected) in [
            ("at the start", true, None, true),
            ("as before", true, Some(HashSet::from([empty()])), true),
            ("emptied", true, Some(HashSet::new()), false),
            ("not in development", false, None, false),
            ("never in production", false, Some(HashSet::from([empty()])), false),
        ] {
            let findings = Findings(Mutex::new(last));
            let report = findings.report(is_lenient);
            assert_eq!(report.tolerates(empty()), expected, "{name}");
            assert_eq!(report.into_found().contains(&empty()), expected, "{name}");
        }
    }

    #[test]
    fn only_a_complete_scan_forgets() {
        let other = || Finding::ClimbingLink { path: "b".into() };
        let findings = Findings::default();
        findings.replace(HashSet::from([empty()]), false);
        assert!(findings.report(true).tolerates(other()), "it was no scan");
        findings.replace(HashSet::from([empty()]), true);
        findings.replace(HashSet::from([other()]), false);
        let report = findings.report(true);
        assert!(report.is_known(&empty()) && report.is_known(&other()));
        drop(report);
        findings.replace(HashSet::from([other()]), true);
        assert!(!findings.report(true).is_known(&empty()));
    }
}
