//! Which entries of which directories lead to a path? Follows links one by one, so that each of
//! them can be watched.

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, MAIN_SEPARATOR_STR, Path, PathBuf},
};

/// After so many links it is a circle, as for Linux.
const MOST_LINKS: usize = 40;

/// An entry of a directory on the way to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'p> {
    /// Has no link in it.
    pub(super) directory: &'p Path,
    pub(super) path: &'p Path,
    /// A link, the end of the way, or missing. Another path may be there next time. Other
    /// entries are directories that stay where they are, unless somebody renames them.
    pub(super) is_turn: bool,
}

/// Follows `path` from the directory `start`, which has no link in it. Returns where it leads,
/// without any link, or `None` if it leads nowhere or in a circle.
///
/// Calls `enter` for each entry on the way, before it looks at the entry: so whoever watches the
/// directory then misses no later change. Calls it again once it knows that the entry is a turn.
pub(super) fn follow(
    start: &Path,
    path: &Path,
    enter: &mut dyn FnMut(Entry<'_>),
) -> Option<PathBuf> {
    let mut real = start.to_owned();
    let mut ahead = steps(path);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        let name = match step {
            Step::Root(root) => {
                real.push(root);
                continue;
            }
            Step::Up => {
                real.pop();
                continue;
            }
            Step::Down(name) => name,
        };
        let entry = real.join(name);
        match look(&real, &entry, ahead.is_empty(), enter).ok()? {
            None => real = entry,
            Some(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                ahead.extend(steps(&target));
            }
        }
    }
    Some(real)
}

/// Returns where an entry leads, if it is a link.
fn look(
    directory: &Path,
    path: &Path,
    is_last: bool,
    enter: &mut dyn FnMut(Entry<'_>),
) -> io::Result<Option<PathBuf>> {
    let is_plain = || fs::symlink_metadata(path).is_ok_and(|file| !file.is_symlink());
    enter(Entry { directory, path, is_turn: false });
    if is_last || !is_plain() {
        enter(Entry { directory, path, is_turn: true });
    }
    let is_link = fs::symlink_metadata(path)?.is_symlink();
    is_link.then(|| fs::read_link(path)).transpose()
}

#[derive(Debug)]
enum Step {
    /// `/`, or a drive.
    Root(PathBuf),
    Up,
    Down(OsString),
}

/// Returns the steps of a path, the last one first.
fn steps(path: &Path) -> Vec<Step> {
    let step = |component| match component {
        Component::Prefix(prefix) => Some(Step::Root(prefix.as_os_str().into())),
        Component::RootDir => Some(Step::Root(MAIN_SEPARATOR_STR.into())),
        Component::CurDir => None,
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.into())),
    };
    path.components().rev().filter_map(step).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Where a path in a directory leads, and the turns on the way, relative to the directory.
    fn way(root: &Path, path: &str) -> (Option<PathBuf>, Vec<PathBuf>) {
        let relative = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
        let mut turns = Vec::new();
        let end = follow(root, Path::new(path), &mut |entry| {
            assert_eq!(entry.path.parent(), Some(entry.directory));
            if entry.is_turn {
                turns.push(relative(entry.path));
            }
        });
        (end.as_deref().map(relative), turns)
    }

    #[test]
    fn ways() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("releases/1/public")).unwrap();
        fs::write(root.join("releases/1/public/a.css"), "").unwrap();
        for (link, target) in [
            ("current", "releases/1"),
            ("latest", "current"),
            ("absolute", root.join("latest").to_str().unwrap()),
            ("releases/1/up", ".."),
            ("releases/1/public/b.css", "a.css"),
            ("nowhere", "gone/a.css"),
            ("circle", "circle"),
            ("there", "back"),
            ("back", "there"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for (name, path, end, turns) in [
            ("no link", "releases/1", Some("releases/1"), &["releases/1"][..]),
            ("dots", "./releases/../releases/1/.", Some("releases/1"), &["releases/1"]),
            (
                "a link above the end",
                "current/public",
                Some("releases/1/public"),
                &["current", "releases/1/public"],
            ),
            ("a link at the end", "current", Some("releases/1"), &["current", "releases/1"]),
            (
                "links to links",
                "absolute/public/b.css",
                Some("releases/1/public/a.css"),
                &[
                    "absolute",
                    "latest",
                    "current",
                    "releases/1/public/b.css",
                    "releases/1/public/a.css",
                ],
            ),
            (
                "up from where a link leads",
                "current/up/1",
                Some("releases/1"),
                &["current", "releases/1/up", "releases/1"],
            ),
            ("missing", "releases/2/public", None, &["releases/2"]),
            ("a link to nowhere", "nowhere", None, &["nowhere", "gone"]),
        ] {
            let expected = (end.map(PathBuf::from), turns.iter().map(PathBuf::from).collect());
            assert_eq!(way(&root, path), expected, "{name}");
        }
        for path in ["circle", "circle/a", "there"] {
            assert_eq!(way(&root, path).0, None, "{path}");
        }
    }
}
