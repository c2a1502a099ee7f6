//! Which files are offered as dictionaries? The largest ones: browsers keep about 1,000, those of
//! old releases included, and above that they begin to drop some.

use std::{collections::HashMap, ops::Range};

use crate::manifest::FileIndex;

/// How many files of a tree are offered.
pub(crate) const MOST: usize = 400;

/// Returns for each of `count` files whether it is offered: the largest ones. Names that differ in
/// nothing but a hash are one dictionary to a browser, so only the largest of them is.
pub(crate) fn offered<'f>(
    files: impl Iterator<Item = (FileIndex, &'f str, u64)>,
    count: usize,
    hash: impl Fn(FileIndex, &str) -> Option<Range<usize>>,
) -> Box<[bool]> {
    let mut largest = HashMap::new();
    for (FileIndex(index), path, length) in files.filter(|(.., length)| *length > 0) {
        let name = match hash(FileIndex(index), path) {
            Some(hash) => (&path[..hash.start], Some(&path[hash.end..])),
            None => (path, None),
        };
        // Among equals the first path.
        let known = largest.entry(name).or_insert((length, index));
        if length > known.0 {
            *known = (length, index);
        }
    }
    let mut largest = largest.into_values().collect::<Vec<_>>();
    largest.sort_unstable_by(|(length, index), other| (other.0, *index).cmp(&(*length, other.1)));
    let mut offered = vec![false; count];
    largest.iter().take(MOST).for_each(|(_, index)| offered[*index] = true);
    offered.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered_of(files: &[(&str, u64)]) -> Vec<String> {
        let hash = |_: FileIndex, path: &str| {
            let start = path.find('-')? + 1;
            Some(start..path.find('.')?)
        };
        let listed = files.iter().enumerate();
        let listed = listed.map(|(index, (path, length))| (FileIndex(index), *path, *length));
        let offered = offered(listed, files.len(), hash);
        let chosen = files.iter().zip(&offered).filter(|(_, is_offered)| **is_offered);
        chosen.map(|((path, _), _)| (*path).to_owned()).collect()
    }

    #[test]
    fn the_largest_of_a_name() {
        for (name, files, expected) in [
            ("all", &[("a.js", 1), ("b.js", 2)][..], &["a.js", "b.js"][..]),
            ("not an empty one", &[("a.js", 0), ("b.js", 2)], &["b.js"]),
            ("one of a name", &[("a-1.js", 1), ("a-2.js", 2), ("a-3.js", 1)], &["a-2.js"]),
            ("the first among equals", &[("a-1.js", 2), ("a-2.js", 2)], &["a-1.js"]),
            (
                "other names",
                &[("a-1.js", 1), ("a-1.css", 2), ("b-1.js", 3)],
                &["a-1.js", "a-1.css", "b-1.js"],
            ),
            ("a name without a hash", &[("a.js", 1), ("a-1.js", 2)], &["a.js", "a-1.js"]),
        ] {
            assert_eq!(offered_of(files), expected, "{name}");
        }
    }

    #[test]
    fn no_more_than_a_browser_keeps() {
        let names = (0..500).map(|i| format!("{i}.js")).collect::<Vec<_>>();
        let files = names.iter().enumerate();
        let files = files.map(|(i, name)| (&**name, 1 + i as u64)).collect::<Vec<_>>();
        let offered = offered_of(&files);
        assert_eq!(offered.len(), MOST);
        assert_eq!(offered[0], "100.js", "the largest");
    }
}
