//! What has to be watched, and which events are a reason to look? Everything that leads to a
//! file of the scan, and nothing that the scan leaves out.

use std::{
    collections::{HashMap, HashSet},
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
                self.walk(real, &mut targets, watch);
            }
        }
        if let Some(file) = &self.file {
            targets.follow(Path::new(""), file, watch);
        }
        targets.entries.extend(self.roots.iter().chain(&self.file).cloned());
        targets
    }

    /// Visits the directories that the scan visits.
    fn walk(&self, root: PathBuf, targets: &mut Targets, watch: &mut dyn FnMut(&Path, Need)) {
        let mut above = Vec::new();
        let mut ahead = vec![Visit { real: root, logical: String::new(), depth: 0 }];
        while let Some(visit) = ahead.pop() {
            if !visit.real.is_dir() {
                continue;
            }
            watch(&visit.real, Need::Files);
            above.truncate(visit.depth);
            above.push(visit.real.clone());
            for (name, is_link) in directories_and_links(&visit.real) {
                let logical = join(&visit.logical, &name.to_string_lossy());
                if self.ignores(&logical) {
                    continue;
                }
                let real = if is_link {
                    targets.follow(&visit.real, &name, watch).filter(|real| !above.contains(real))
                } else {
                    Some(visit.real.join(name))
                };
                let depth = above.len();
                ahead.extend(real.map(|real| Visit { real, logical, depth }));
            }
            targets.directories.entry(visit.real).or_default().push(visit.logical.into());
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
