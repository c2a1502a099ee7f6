//! What has to be watched, and which events are a reason to look? Everything that leads to a
//! file of the scan, and nothing that the scan leaves out.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Error, ErrorKind,
    manifest::Scan,
    snapshot::recipe::Recipe,
    watch::links::{self, Entry},
};

/// Where a new version can come from.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    scan: Option<Scan>,
    /// The roots of the scan and the file whose time is the version, as they were given but
    /// absolute, because events have absolute paths.
    roots: Vec<PathBuf>,
    file: Option<PathBuf>,
}

/// What a directory is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// For the files in it.
    Files,
    /// For the link, the root or the file to which it leads.
    Way,
    /// For a directory in it that somebody may rename. Not worth a failure.
    Rename,
}

/// The paths in which a change is a reason to look.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The directories of the tree, without any link in their paths, and what the scan calls
    /// each of them.
    directories: HashMap<PathBuf, Vec<Box<str>>>,
    /// The entries on the way to a root and to the ends of links.
    entries: HashSet<PathBuf>,
}

/// A directory of the tree that is still to be visited.
struct Visit {
    real: PathBuf,
    logical: String,
    /// The number of directories above it in the tree.
    depth: usize,
}

impl Sources {
    pub(super) fn of(recipe: &Recipe) -> Result<Self, Error> {
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path);
            absolute.map_err(|error| Error::io("watch", path, error))
        };
        let scan = recipe.scan().cloned();
        let roots = scan.iter().flat_map(Scan::roots).map(|root| absolute(root));
        let roots = roots.collect::<Result<Vec<_>, Error>>()?;
        let file = recipe.source.file().map(absolute).transpose()?;
        if roots.is_empty() && file.is_none() {
            let message = "nothing to watch: the layer neither scans a directory nor takes its \
                           version from a file's time";
            return Err(Error::new(ErrorKind::NothingToWatch, message));
        }
        Ok(Self { scan, roots, file })
    }

    /// Finds out what is there now. Calls `watch` for each directory before it looks into it, so
    /// that no change between the two is missed.
    pub(super) fn look_around(&self, watch: &mut dyn FnMut(&Path, Need)) -> Targets {
        let mut targets = Targets::default();
        for root in &self.roots {
            if let Some(real) = targets.follow(Path::new(""), root, watch) {
                self.walk(&real, &mut targets, watch);
            }
        }
        if let Some(file) = &self.file {
            targets.follow(Path::new(""), file, watch);
        }
        targets.entries.extend(self.roots.iter().chain(&self.file).cloned());
        targets
    }

    /// Visits the directories that the scan visits: not those of links in circles.
    fn walk(&self, root: &Path, targets: &mut Targets, watch: &mut dyn FnMut(&Path, Need)) {
        let mut above = Vec::<PathBuf>::new();
        let mut ahead = vec![Visit { real: root.into(), logical: String::new(), depth: 0 }];
        while let Some(Visit { real, logical, depth }) = ahead.pop() {
            if !real.is_dir() {
                continue;
            }
            watch(&real, Need::Files);
            above.truncate(depth);
            above.push(real.clone());
            for (name, is_link) in directories_and_links(&real) {
                let logical = join(&logical, &name.to_string_lossy());
                if self.ignores(&logical) {
                    continue;
                }
                let real = if is_link {
                    let end = targets.follow(&real, &name, watch);
                    end.filter(|end| !above.contains(end) && !root.starts_with(end))
                } else {
                    Some(real.join(name))
                };
                ahead.extend(real.map(|real| Visit { real, logical, depth: depth + 1 }));
            }
            targets.directories.entry(real).or_default().push(logical.into());
        }
    }

    fn ignores(&self, logical: &str) -> bool {
        self.scan.as_ref().is_some_and(|scan| scan.ignores_logical(logical))
    }

    /// Whether a change of `path` is a reason to look. Events may name it as it was given, or
    /// without links.
    pub(super) fn is_concerned(&self, targets: &Targets, path: &Path) -> bool {
        if targets.entries.contains(path) {
            return true;
        }
        for above in path.ancestors() {
            if let Some(names) = targets.directories.get(above) {
                return names.iter().any(|name| self.lists(name, path.strip_prefix(above).ok()));
            }
        }
        self.roots.iter().any(|root| self.lists("", path.strip_prefix(root).ok()))
    }

    /// Whether the scan goes from a directory that it visits to `below`.
    fn lists(&self, directory: &str, below: Option<&Path>) -> bool {
        let Some(below) = below else { return false };
        let mut logical = directory.to_owned();
        below.iter().all(|name| {
            logical = join(&logical, &name.to_string_lossy());
            !self.ignores(&logical)
        })
    }
}

impl Targets {
    /// Returns what the scan calls a path, which may have several names.
    pub(super) fn names(&self, path: &Path) -> impl Iterator<Item = String> {
        let directory = path.parent().and_then(|directory| self.directories.get(directory));
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        directory.into_iter().flatten().map(move |directory| join(directory, &name))
    }

    fn follow(
        &mut self,
        start: &Path,
        path: &Path,
        watch: &mut dyn FnMut(&Path, Need),
    ) -> Option<PathBuf> {
        links::follow(start, path, &mut |Entry { directory, path, is_turn }| {
            self.entries.insert(path.to_owned());
            watch(directory, if is_turn { Need::Way } else { Need::Rename });
        })
    }
}

/// Returns the names of directories and links in a directory, and whether each is a link. What
/// cannot be read is for the scan to report.
fn directories_and_links(directory: &Path) -> impl Iterator<Item = (PathBuf, bool)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let kind = entry.file_type().ok()?;
        let is_wanted = kind.is_dir() || kind.is_symlink();
        is_wanted.then(|| (entry.file_name().into(), kind.is_symlink()))
    })
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::StaticUrlLayer;
    use std::os::unix::fs::symlink;

    /// A directory with a tree in `dist`, and a link to it.
    struct Folder {
        _temporary: tempfile::TempDir,
        path: PathBuf,
    }

    impl Folder {
        fn new(files: &[&str], links: &[(&str, &str)]) -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let path = temporary.path().canonicalize().unwrap();
            for file in files {
                let file = path.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            for (link, target) in links {
                symlink(target, path.join(link)).unwrap();
            }
            Self { _temporary: temporary, path }
        }

        fn sources(&self, root: &str) -> Sources {
            let layer = StaticUrlLayer::new("/static", self.path.join(root)).unwrap();
            Sources::of(layer.current().recipe()).unwrap()
        }

        /// Returns the watched directories below this one, and what each is watched for.
        fn watched(&self, sources: &Sources) -> Vec<(String, Need)> {
            let mut watched = Vec::new();
            sources.look_around(&mut |directory, need| {
                let Ok(relative) = directory.strip_prefix(&self.path) else { return };
                let entry = (relative.to_str().unwrap().to_owned(), need);
                if need != Need::Rename && !watched.contains(&entry) {
                    watched.push(entry);
                }
            });
            watched.sort_by(|a, b| a.0.cmp(&b.0));
            watched
        }
    }

    #[test]
    fn what_is_watched() {
        use Need::{Files, Way};

        let files = ["dist/a.css", "dist/css/b.css", "dist/.cache/x/y", "out/c.css", "far/deep/d"];
        for (name, root, links, expected) in [
            ("a tree", "dist", &[][..], &[("", Way), ("dist", Files), ("dist/css", Files)][..]),
            (
                "a link to a file",
                "dist",
                &[("dist/c.css", "../out/c.css")],
                &[("", Way), ("dist", Files), ("dist", Way), ("dist/css", Files), ("out", Way)],
            ),
            (
                "a link to a directory",
                "dist",
                &[("dist/pkg", "../far")],
                &[
                    ("", Way),
                    ("dist", Files),
                    ("dist", Way),
                    ("dist/css", Files),
                    ("far", Files),
                    ("far/deep", Files),
                ],
            ),
            (
                "an ignored link",
                "dist",
                &[("dist/.pkg", "../far")],
                &[("", Way), ("dist", Files), ("dist/css", Files)],
            ),
            (
                "a link into what is ignored",
                "dist",
                &[("dist/x", ".cache/x")],
                &[
                    ("", Way),
                    ("dist", Files),
                    ("dist", Way),
                    ("dist/.cache", Way),
                    ("dist/.cache/x", Files),
                    ("dist/css", Files),
                ],
            ),
            (
                "links above the root",
                "latest",
                &[("current", "dist"), ("latest", "current")],
                &[("", Way), ("dist", Files), ("dist/css", Files)],
            ),
            (
                "links in circles, and to nowhere",
                "dist",
                &[
                    ("dist/self", "."),
                    ("dist/css/up", ".."),
                    ("dist/css/far", "../.."),
                    ("dist/o", "o"),
                    ("dist/no", "../no"),
                ],
                &[
                    ("", Way),
                    ("dist", Files),
                    ("dist", Way),
                    ("dist/css", Files),
                    ("dist/css", Way),
                ],
            ),
        ] {
            let folder = Folder::new(&files, links);
            let expected = expected.iter().map(|(path, need)| ((*path).to_owned(), *need));
            let watched = folder.watched(&folder.sources(root));
            assert_eq!(watched, expected.collect::<Vec<_>>(), "{name}");
        }
    }

    /// macOS names events by the real path: `/private/tmp/…` where `/tmp/…` was watched.
    #[test]
    fn events_may_name_a_path_as_given_or_without_links() {
        let files = ["releases/1/public/a.css", "releases/1/public/.b", "touch"];
        let links = [("current", "releases/1"), ("releases/1/public/t.css", "../../../touch")];
        let folder = Folder::new(&files, &links);
        let sources = folder.sources("current/public");
        let targets = sources.look_around(&mut |_, _| {});
        for (name, path, expected) in [
            ("given", "current/public/a.css", true),
            ("real", "releases/1/public/a.css", true),
            ("new, in a new directory, given", "current/public/new/x", true),
            ("new, in a new directory, real", "releases/1/public/new/x", true),
            ("ignored, given", "current/public/.b", false),
            ("ignored, real", "releases/1/public/.b", false),
            ("below an ignored directory, given", "current/public/.cache/x", false),
            ("below an ignored directory, real", "releases/1/public/.cache/x", false),
            ("the root, given", "current/public", true),
            ("the root, real", "releases/1/public", true),
            ("the link above it", "current", true),
            ("where that leads", "releases/1", true),
            ("the end of a link", "touch", true),
            ("a neighbour", "other", false),
            ("a neighbour with a longer name", "releases/1/public2", false),
            ("another release", "releases/2", false),
        ] {
            let path = folder.path.join(path);
            assert_eq!(sources.is_concerned(&targets, &path), expected, "{name}");
        }
    }

    #[test]
    fn a_directory_with_two_names_is_ignored_by_neither_or_by_both() {
        let files = ["dist/.cache/a", "dist/pkg/.git/b", "dist/pkg/c"];
        let folder = Folder::new(&files, &[("dist/link", ".cache"), ("dist/pkg2", "pkg")]);
        let sources = folder.sources("dist");
        let targets = sources.look_around(&mut |_, _| {});
        for (path, expected) in [
            ("dist/.cache/a", true),
            ("dist/.cache/.x", false),
            ("dist/pkg/c", true),
            ("dist/pkg/.git/b", false),
        ] {
            assert_eq!(sources.is_concerned(&targets, &folder.path.join(path)), expected, "{path}");
        }
        let mut names = targets.names(&folder.path.join("dist/pkg/c")).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["pkg/c", "pkg2/c"]);
    }

    /// The first directory that is there shows when the next one comes.
    #[test]
    fn what_is_missing_is_waited_for() {
        let folder = Folder::new(&["dist/a"], &[]);
        let sources = folder.sources("dist");
        fs::remove_dir_all(folder.path.join("dist")).unwrap();
        assert_eq!(folder.watched(&sources), [(String::new(), Need::Way)]);
        let targets = sources.look_around(&mut |_, _| {});
        assert!(sources.is_concerned(&targets, &folder.path.join("dist")));
    }
}
