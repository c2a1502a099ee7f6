//! How is a manifest made of a directory? Walk it, hash the files on all cores, then see which
//! of them belong together.

use std::{fmt, fs, num::NonZero, path::PathBuf, sync::Arc, thread, time::Duration};

use crate::{
    Error, ErrorKind, Manifest,
    manifest::{
        FileInfo,
        fingerprint::COARSEST,
        report::{Finding, Findings, Report},
        siblings,
    },
};

/// A scan of a directory, with its settings.
///
/// It lists every regular file below the root, except for those that match the
/// [ignore rule](Self::ignore). It follows symbolic links, as tower-http's `ServeDir` does.
///
/// It leaves out, with a WARN (`tracing` feature):
///
/// - links to nowhere, and links to a directory that they are in
/// - pipes, sockets and devices
/// - names with a backslash, which no URL spells safely
///
/// It also logs a WARN for each pre-compressed file that is
/// [not of the file beside it](Self#pre-compressed-files), and for each style sheet with a
/// link that leaves the tree (`../../media/x.png`): under a version such a link leads one
/// segment too far down. A WARN is not repeated by a [reload](crate::StaticUrlLayer::reload),
/// unless it had become untrue meanwhile.
///
/// The digest of the result depends only on names and bytes: not on times, permissions, the
/// location of the root, or the order in which the system lists a directory.
///
/// ```no_run
/// use tower_static_url::manifest::{Scan, is_ignored_by_default};
///
/// let manifest = Scan::new("assets")
///     .ignore(|path| is_ignored_by_default(path) || path.ends_with(".scss"))
///     .run()?;
/// # Ok::<(), tower_static_url::Error>(())
/// ```
///
/// # Pre-compressed files
///
/// `app.css.gz`, `.br`, `.zst` and `.zz` count as `app.css` in another content coding, but only
/// if they were made of this very file. A `.gz` tells: it ends with the CRC-32 and the length
/// of what is in it. Any other coding must not be older than the file (a time that was rounded
/// down counts as the same), and must change when the file does. For one that does not count
/// the scan logs a WARN, and no browser pins what was compressed of something else:
///
/// - The layer takes its coding out of the `Accept-Encoding` that the inner service sees, so
///   that clients get the bytes of the file.
/// - For clients that accept the coding, the response is `no-cache`.
///
/// With several roots, a pre-compressed file counts only for files of its own root and of those
/// [behind](Self::fallback) it: no service looks for it elsewhere.
///
/// If only `app.css.gz` is there, `app.css` is listed for the clients that accept `gzip`. That
/// is not so for a name without an extension, for `.tar`, and below a mount of `/`.
#[derive(Clone)]
pub struct Scan {
    pub(super) roots: Vec<PathBuf>,
    pub(super) ignore: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    pub(super) threads: usize,
    pub(super) remembered: Option<PathBuf>,
    /// One odd file must not freeze every later edit: it is left out.
    pub(super) is_lenient: bool,
    /// Whether to read a changed file now. Else it stays as it was known, or is left out if it
    /// was not.
    pub(super) is_at_rest: AtRest,
    /// The coarsest resolution of the file system's times.
    pub(super) coarsest: Duration,
    pub(super) findings: Arc<Findings>,
}

/// Decides on a logical path and the metadata of its file.
pub(crate) type AtRest = Arc<dyn Fn(&str, &fs::Metadata) -> bool + Send + Sync>;

/// The default ignore rule: a file or directory whose name
///
/// - starts with a dot (`.git`, `.DS_Store`, Vim's `.app.css.swp`),
/// - ends with `~`,
/// - starts and ends with `#` (Emacs), or
/// - is `Thumbs.db` or `desktop.ini`.
///
/// An ignored file is not listed, but the inner service may still serve it. By default a
/// browser asks before each use of its copy (`no-cache`), and a change of the file changes no
/// version.
pub fn is_ignored_by_default(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.')
        || name.ends_with('~')
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        || ["Thumbs.db", "desktop.ini"].contains(&name)
}

impl Scan {
    /// Returns a scan of the directory `root` with the default settings. Nothing is read
    /// before [`run`](Self::run).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            roots: vec![root.into()],
            ignore: Arc::new(is_ignored_by_default),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            remembered: None,
            is_lenient: false,
            is_at_rest: Arc::new(|_, _| true),
            coarsest: COARSEST,
            findings: Arc::default(),
        }
    }

    /// Adds a directory for the files that the ones before do not have, as
    /// `ServeDir::new(first).fallback(ServeDir::new(second))` serves them: of files with the
    /// same path the first is listed. A directory of the first hides a file with the same path
    /// in the second.
    pub fn fallback(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(root.into());
        self
    }

    /// Replaces the [default ignore rule](is_ignored_by_default). The rule gets the path of
    /// each file and directory, relative to the root, with `/` between the segments, and
    /// returns `true` to leave it out. Nothing below an ignored directory is listed.
    pub fn ignore(mut self, rule: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.ignore = Arc::new(rule);
        self
    }

    /// Sets the number of threads that hash. Default: the number of cores.
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = threads.get();
        self
    }

    /// Keeps the digests in the file `path` between runs, so that a start without changes costs
    /// only the walk and not the hashing: 5 GiB of files take about 20 seconds to hash. Default:
    /// nothing is kept.
    ///
    /// A file is hashed again if its length, times or inode differ from those with which it was
    /// hashed before, as at a [reload](crate::StaticUrlLayer::reload). Where there are no inodes
    /// (on Windows), an edit that keeps length and modification time would be missed for ever:
    /// do not use this there, if your tools set times. What is kept is of use
    /// to this machine only, because another one has other inodes: put it beside the server's
    /// other state, not into the deploy. Whoever can write to it can make browsers keep wrong
    /// bytes, so protect it like the files themselves.
    ///
    /// It is replaced as a whole after each scan that has hashed something. One that is
    /// damaged, has another format or is of another tree is not used, and one that cannot be
    /// written is not kept, both with a WARN.
    pub fn remember(mut self, path: impl Into<PathBuf>) -> Self {
        self.remembered = Some(path.into());
        self
    }

    /// Walks the tree and hashes its files. Blocks: call it before the server starts, or on a
    /// thread for blocking work. Memory does not grow with the size of the files.
    ///
    /// # Errors
    ///
    /// - [`NotADirectory`](ErrorKind::NotADirectory): a root is not a directory.
    /// - [`RepeatedRoot`](ErrorKind::RepeatedRoot): two roots are the same directory.
    /// - [`Io`](ErrorKind::Io): a root is missing; or a file or directory cannot be read, or
    ///   vanished during the scan.
    /// - [`InvalidPath`](ErrorKind::InvalidPath): a name is not UTF-8; or the file in which to
    ///   [remember](Self::remember) digests would itself be listed.
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): there is no file to list. Nearly always
    ///   that is the wrong directory.
    pub fn run(&self) -> Result<Manifest, Error> {
        self.for_layer(false).rescan(|_| None)
    }

    /// Returns the same scan with nothing found yet. In development it leaves out what is an
    /// error otherwise, and starts without a root or without files.
    pub(crate) fn for_layer(&self, is_development: bool) -> Self {
        Self { is_lenient: is_development, findings: Arc::default(), ..self.clone() }
    }

    /// Returns the same as [`run`](Self::run), but reads only the files that may have changed
    /// since an earlier scan. `known` returns the entry of that scan for a path.
    pub(crate) fn rescan<'k>(
        &self,
        known: impl Fn(&str) -> Option<&'k FileInfo> + Sync,
    ) -> Result<Manifest, Error> {
        let report = self.findings.report(self.is_lenient);
        let manifest = self.reported(known, &report);
        self.findings.replace(report.into_found(), manifest.is_ok());
        manifest
    }

    fn reported<'k>(
        &self,
        known: impl Fn(&str) -> Option<&'k FileInfo> + Sync,
        report: &Report<'_>,
    ) -> Result<Manifest, Error> {
        let found = self.walk(report)?;
        let remembered = self.read_remembered(report)?;
        let known = |path: &str| known(path).or_else(|| remembered.get(path));
        self.check_not_listed(&found)?;
        let mut hashed = self.hash_all(found, known, report)?;
        let none = || Finding::NoFiles { roots: self.roots.clone() };
        if hashed.files.is_empty() && !report.tolerates(none()) {
            let message = format!("no files to list below {}", self.shown_roots());
            return Err(Error::new(ErrorKind::EmptyManifest, message));
        }
        siblings::compare(&mut hashed.files, known, |finding| report.add(finding));
        if hashed.any_read {
            self.remember_all(&hashed.files, report);
        }
        Ok(Manifest::from_checked(hashed.files))
    }

    /// Formats the roots, for an error.
    pub(super) fn shown_roots(&self) -> impl fmt::Display {
        Roots(&self.roots)
    }
}

/// Formats the roots of a scan: `"a"`, or `"a" and "b"`.
struct Roots<'r>(&'r [PathBuf]);

impl fmt::Display for Roots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, root) in self.0.iter().enumerate() {
            write!(f, "{}{root:?}", if i == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

#[cfg(any(feature = "releases", feature = "watch"))]
impl Scan {
    pub(crate) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }
}

#[cfg(feature = "watch")]
impl Scan {
    /// Whether the rule leaves out a path relative to a root, without those above it.
    pub(crate) fn ignores_logical(&self, path: &str) -> bool {
        (self.ignore)(path)
    }

    /// Returns the same scan, but it reads only those changed files that are at rest. The others
    /// stay as they were known.
    pub(crate) fn of_what_is_at_rest(&self, is_at_rest: AtRest) -> Self {
        Self { is_at_rest, ..self.clone() }
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("roots", &self.roots)
            .field("threads", &self.threads)
            .field("remembered", &self.remembered)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        fs::{self, File, FileTimes},
        io,
        os::unix::fs::MetadataExt as _,
        path::Path,
        time::SystemTime,
    };

    /// A change to the files `a`, `b` and `c` between two scans.
    #[derive(Clone, Debug)]
    enum Edit {
        Write {
            file: usize,
            byte: u8,
        },
        /// As `Write`, but the modification time is set back.
        WriteUnseen {
            file: usize,
            byte: u8,
        },
        Touch {
            file: usize,
        },
        Delete {
            file: usize,
        },
        Rename {
            from: usize,
            to: usize,
        },
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (0..3_usize, 0..3_u8).prop_map(|(file, byte)| Edit::Write { file, byte }),
            (0..3_usize, 0..3_u8).prop_map(|(file, byte)| Edit::WriteUnseen { file, byte }),
            (0..3_usize).prop_map(|file| Edit::Touch { file }),
            (0..3_usize).prop_map(|file| Edit::Delete { file }),
            (0..3_usize, 0..3_usize).prop_map(|(from, to)| Edit::Rename { from, to }),
        ]
    }

    fn apply(edit: &Edit, root: &Path) -> io::Result<()> {
        let path = |file: usize| root.join(["a", "b", "c"][file]);
        match *edit {
            Edit::Write { file, byte } => fs::write(path(file), [byte]),
            Edit::WriteUnseen { file, byte } => {
                let modified = fs::metadata(path(file))?.modified()?;
                fs::write(path(file), [byte])?;
                File::options().write(true).open(path(file))?.set_modified(modified)
            }
            Edit::Touch { file } => {
                let times = FileTimes::new().set_modified(SystemTime::now());
                File::options().write(true).open(path(file))?.set_times(times)
            }
            Edit::Delete { file } => fs::remove_file(path(file)),
            Edit::Rename { from, to } => fs::rename(path(from), path(to)),
        }
    }

    /// Waits until the clock of the file system has ticked, so that the next change has another
    /// time.
    pub(in crate::manifest) fn tick(root: &Path) {
        let probe = root.join(".probe");
        let change_time = || {
            fs::write(&probe, "").unwrap();
            let metadata = fs::metadata(&probe).unwrap();
            (metadata.ctime(), metadata.ctime_nsec())
        };
        let before = change_time();
        while change_time() == before {}
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_rescan_is_a_scan(edits in proptest::collection::vec(edit(), 1..12)) {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            for name in ["a", "b", "c", "stays"] {
                fs::write(root.join(name), "0").unwrap();
            }
            let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
            tick(root);
            let mut known = scan.run().unwrap();
            for edit in &edits {
                tick(root);
                // An edit that fails, as of a file that is gone, changes nothing.
                let _ = apply(edit, root);
                tick(root);
                let again = scan.rescan(|path| known.get(path)).unwrap();
                prop_assert_eq!(&again, &scan.run().unwrap(), "after {:?}", edit);
                known = again;
            }
        }
    }

    #[test]
    fn a_root_may_be_spelled_in_any_way() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        fs::write(folder.path().join("tree/a"), "").unwrap();
        std::os::unix::fs::symlink("tree", folder.path().join("link")).unwrap();
        for spelling in ["tree", "tree/", "tree//", "./tree/.", "tree/../tree", "link", "link/"] {
            let root = format!("{}/{spelling}", folder.path().display());
            let manifest = Scan::new(&root).run().unwrap();
            let paths = manifest.iter().map(|(path, _)| path).collect::<Vec<_>>();
            assert_eq!(paths, ["a"], "{spelling}");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a"), "content").unwrap();
        let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
        tick(root);
        let manifest = scan.run().unwrap();
        let lie = FileInfo { sha256: [7; 32], ..manifest.get("a").unwrap().clone() };
        let digest = |manifest: Manifest| *manifest.get("a").unwrap().sha256();
        assert_eq!(digest(scan.rescan(|_| Some(&lie)).unwrap()), [7; 32]);
        tick(root);
        fs::write(root.join("a"), "content").unwrap();
        assert_ne!(digest(scan.rescan(|_| Some(&lie)).unwrap()), [7; 32]);
    }

    #[test]
    fn a_file_that_is_not_at_rest_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["grows", "same", "stays"] {
            fs::write(root.join(name), "1").unwrap();
        }
        let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
        let before = scan.run().unwrap();
        tick(root);
        for name in ["grows", "new", "stays"] {
            fs::write(root.join(name), "2").unwrap();
        }
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let scan = scan.of_what_is_at_rest({
            let asked = Arc::clone(&asked);
            Arc::new(move |path, _| {
                asked.lock().unwrap().push(path.to_owned());
                path == "stays"
            })
        });
        let after = scan.rescan(|path| before.get(path)).unwrap();
        assert_eq!(after.get("grows"), before.get("grows"));
        assert_eq!(after.get("new"), None);
        assert_ne!(after.get("stays"), before.get("stays"));
        let mut asked = asked.lock().unwrap();
        asked.sort();
        assert_eq!(*asked, ["grows", "new", "stays"], "nothing of what has not changed");
    }

    #[test]
    fn a_file_from_the_future_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let day = Duration::from_secs(24 * 3600);
        for name in ["a", "edited"] {
            fs::write(root.join(name), "content").unwrap();
            let file = File::options().write(true).open(root.join(name)).unwrap();
            file.set_modified(SystemTime::now() + day).unwrap();
        }
        let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root) };
        tick(root);
        let manifest = scan.run().unwrap();
        let lie = |path| FileInfo { sha256: [7; 32], ..manifest.get(path).unwrap().clone() };
        let (a, edited) = (lie("a"), lie("edited"));
        tick(root);
        fs::write(root.join("edited"), "changed").unwrap();
        let again = scan.rescan(|path| Some(if path == "a" { &a } else { &edited })).unwrap();
        let is_read = |path| again.get(path).unwrap().sha256() != &[7; 32];
        assert!(!is_read("a"));
        assert!(is_read("edited"));
    }

    #[test]
    fn a_file_changed_just_now_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "content").unwrap();
        let scan = Scan { coarsest: Duration::from_secs(3600), ..Scan::new(folder.path()) };
        let lie = FileInfo { sha256: [7; 32], ..scan.run().unwrap().get("a").unwrap().clone() };
        let again = scan.rescan(|_| Some(&lie)).unwrap();
        assert_ne!(again.get("a").unwrap().sha256(), &[7; 32], "it may have changed unseen");
    }
}
