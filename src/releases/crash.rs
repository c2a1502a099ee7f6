//! Does a crash at any step leave nothing half done? Lets a test stop a publisher anywhere.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::Error;

/// When a folder stops.
#[derive(Debug)]
pub(super) struct Crash {
    steps_left: AtomicUsize,
    has_happened: AtomicBool,
}

impl Default for Crash {
    fn default() -> Self {
        Self { steps_left: AtomicUsize::new(usize::MAX), has_happened: AtomicBool::new(false) }
    }
}

impl Crash {
    /// Lets this many more steps be made.
    pub(super) fn after(&self, steps: usize) {
        self.steps_left.store(steps, SeqCst);
        self.has_happened.store(false, SeqCst);
    }

    pub(super) fn has_happened(&self) -> bool {
        self.has_happened.load(SeqCst)
    }

    pub(super) fn step(&self, path: &Path) -> Result<(), Error> {
        let left = self.steps_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left.is_ok() && !self.has_happened() {
            return Ok(());
        }
        self.has_happened.store(true, SeqCst);
        Err(Error::io("go on after a crash in", path, io::Error::other("a test")))
    }
}

mod tests {
    use super::*;
    use crate::{
        Manifest,
        releases::{Published, Releases, Retention},
    };
    use std::{fs, time::Duration};
    use tempfile::TempDir;

    /// A folder with one release, and trees to publish.
    struct Site {
        folder: TempDir,
    }

    impl Site {
        fn new() -> Self {
            let site = Self { folder: tempfile::tempdir().unwrap() };
            for (tree, content) in [("one", "1"), ("two", "2")] {
                let directory = site.folder.path().join(tree).join("deep/er");
                fs::create_dir_all(&directory).unwrap();
                fs::write(directory.join("same"), "same").unwrap();
                fs::write(directory.join("other"), content).unwrap();
                fs::write(directory.join(format!("only-{tree}")), content).unwrap();
            }
            site.publish(&site.open(), "one").unwrap();
            site
        }

        /// Opens the folder as another process does.
        fn open(&self) -> Releases {
            Releases::folder(self.folder.path().join("releases")).unwrap()
        }

        fn publish(&self, releases: &Releases, tree: &str) -> Result<Published, Error> {
            let root = self.folder.path().join(tree);
            releases.publish(tree, &Manifest::scan(&root).unwrap(), [&root])
        }

        fn versions(&self) -> Vec<String> {
            let releases = self.open().list().unwrap();
            releases.iter().map(|release| release.version().to_owned()).collect()
        }

        /// The number of directories with files.
        fn files(&self) -> usize {
            fs::read_dir(self.open().files()).unwrap().count()
        }

        fn leftovers(&self) -> Vec<String> {
            let leftovers = self.open().0.folder.leftovers().unwrap();
            leftovers.iter().map(|path| path.display().to_string()).collect()
        }
    }

    /// Returns what an operation has done, and whether it was stopped.
    fn stop_after(
        steps: usize,
        site: &Site,
        operation: impl Fn(&Site, &Releases) -> Result<(), Error>,
    ) -> (Result<(), Error>, bool) {
        let releases = site.open();
        releases.0.folder.crash.after(steps);
        let done = operation(site, &releases);
        (done, releases.0.folder.has_crashed())
    }

    /// Stops an operation after every number of steps, and mends what is left each time. Returns
    /// how many steps there are.
    fn at_every_step(
        prepare: impl Fn(&Site),
        operation: impl Fn(&Site, &Releases) -> Result<(), Error>,
        allowed: &[&[&str]],
        mended: &[&str],
    ) -> usize {
        for steps in 0.. {
            let site = Site::new();
            prepare(&site);
            let _ = stop_after(steps, &site, &operation);
            // A deletion of nothing tidies up as well.
            site.open().prune(&Retention::default()).unwrap();
            assert_eq!(site.leftovers(), [""; 0], "after {steps} steps");
            assert_eq!(site.files(), site.versions().len(), "after {steps} steps");

            let site = Site::new();
            prepare(&site);
            let (done, has_crashed) = stop_after(steps, &site, &operation);
            let versions = site.versions();
            assert!(allowed.iter().any(|&allowed| allowed == versions), "{steps}: {versions:?}");
            // What is listed is whole. What is not listed is not looked at.
            assert_eq!(site.open().verify().unwrap(), [], "after {steps} steps");
            assert_eq!(done.is_err(), has_crashed, "after {steps} steps: {done:?}");
            operation(&site, &site.open()).unwrap_or_else(|error| {
                assert_eq!(error.kind(), crate::ErrorKind::NotKept, "{error}");
            });
            site.publish(&site.open(), "one").unwrap();
            assert_eq!(site.versions(), mended, "after {steps} steps");
            assert_eq!(site.open().verify().unwrap(), [], "after {steps} steps");
            assert_eq!(site.leftovers(), [""; 0], "after {steps} steps");
            assert_eq!(site.files(), mended.len(), "after {steps} steps");
            if !has_crashed {
                return steps;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_publisher_may_stop_at_every_step() {
        let publish = |site: &Site, releases: &Releases| site.publish(releases, "two").map(drop);
        let allowed: &[&[&str]] = &[&["one"], &["two", "one"]];
        let steps = at_every_step(|_| {}, publish, allowed, &["one", "two"]);
        assert!(steps > 10, "{steps}");
    }

    #[test]
    fn a_rollback_may_stop_at_every_step() {
        let prepare = |site: &Site| drop(site.publish(&site.open(), "two").unwrap());
        let publish = |site: &Site, releases: &Releases| site.publish(releases, "one").map(drop);
        let allowed: &[&[&str]] = &[&["two", "one"], &["one", "two"]];
        let steps = at_every_step(prepare, publish, allowed, &["one", "two"]);
        assert!(steps > 1, "{steps}");
    }

    #[test]
    fn a_deletion_may_stop_at_every_step() {
        let prepare = |site: &Site| drop(site.publish(&site.open(), "two").unwrap());
        let retention = Retention::default().age(Duration::ZERO).newest(1);
        let allowed: &[&[&str]] = &[&["two", "one"], &["two"]];
        let prune = |_: &Site, releases: &Releases| releases.prune(&retention).map(drop);
        let steps = at_every_step(prepare, prune, allowed, &["one", "two"]);
        assert!(steps > 3, "{steps}");
        let withdraw = |_: &Site, releases: &Releases| releases.withdraw("two");
        let allowed: &[&[&str]] = &[&["two", "one"], &["one"]];
        let steps = at_every_step(prepare, withdraw, allowed, &["one"]);
        assert!(steps > 3, "{steps}");
    }
}
