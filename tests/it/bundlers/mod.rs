//! The rules for the names that bundlers give to files, judged by files that bundlers have
//! written.
//!
//! `tests/e2e/bundlers.sh` builds an application twice, the second time with every file edited.
//! That tells, without any knowledge of a bundler, what its names are worth:
//!
//! | a file of one build | | its name |
//! |---|---|---|
//! | the other has the same path with other bytes | `none` | carries no hash |
//! | the other has it with another hash in the name and other bytes | `hash` | carries a hash |
//! | anything else | `any` | may carry one |
//!
//! The listings beside this file have the paths of both builds. The test that builds anew leaves
//! new ones in `target/bundlers/out`.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    path::Path,
    process::Command,
};

use tower_static_url::{Fingerprinted, Manifest, StaticUrlLayer};
use walkdir::WalkDir;

struct Tool {
    /// That of the listing, and of the directory in `target/bundlers/out`.
    name: &'static str,
    rule: &'static str,
    /// How many files of one build the rule finds at least.
    at_least: usize,
    listing: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool { name: "vite", rule: "vite", at_least: 8, listing: include_str!("vite.txt") },
    Tool { name: "esbuild", rule: "esbuild", at_least: 5, listing: include_str!("esbuild.txt") },
    Tool {
        name: "esbuild-entries",
        rule: "esbuild",
        at_least: 7,
        listing: include_str!("esbuild-entries.txt"),
    },
    Tool { name: "parcel", rule: "parcel", at_least: 7, listing: include_str!("parcel.txt") },
    Tool { name: "webpack", rule: "webpack", at_least: 8, listing: include_str!("webpack.txt") },
    Tool {
        name: "webpack-8",
        rule: "webpack",
        at_least: 8,
        listing: include_str!("webpack-8.txt"),
    },
    Tool { name: "next", rule: "next", at_least: 14, listing: include_str!("next.txt") },
    Tool {
        name: "next-webpack",
        rule: "next",
        at_least: 20,
        listing: include_str!("next-webpack.txt"),
    },
    Tool { name: "trunk", rule: "trunk", at_least: 4, listing: include_str!("trunk.txt") },
];

/// Bundlers that are told to leave hashes out, in the words of the documentation.
const OFF: [&str; 4] = ["vite-off", "webpack-off", "parcel-off", "trunk-off"];

/// What the script does not build unless it is told to.
const SLOW: [&str; 3] = ["next-webpack", "trunk", "trunk-off"];

/// Hashes that a rule takes for something else, which costs a request and does no harm.
const LOOK_LIKE_WORDS: [&str; 1] = ["main-BEOWUWWY.css"];

#[test]
fn real_names() {
    let mut missed = Vec::new();
    for Tool { name, rule, listing, .. } in TOOLS {
        let rule = rule.parse::<Fingerprinted>().unwrap();
        for line in listing.lines() {
            let (mark, path) = line.split_once(' ').unwrap();
            match mark {
                "none" => assert_eq!(rule.hash(path), None, "{name}: {path}"),
                "hash" if rule.hash(path).is_none() => missed.push(path),
                _ => assert!(["hash", "any"].contains(&mark), "{name}: {line}"),
            }
        }
    }
    assert_eq!(missed, LOOK_LIKE_WORDS);
}

/// What trunk makes of a Rust application, which the script does not build. These are the names
/// that `src/pipelines/rust` of trunk 0.21 forms.
#[test]
fn names_of_an_application_in_trunk() {
    let rule = Fingerprinted::trunk();
    for (path, expected) in [
        ("app-1a2b3c4d5e6f7081.js", Some("1a2b3c4d5e6f7081")),
        ("app-1a2b3c4d5e6f7081_bg.wasm", Some("1a2b3c4d5e6f7081")),
        // The number is not padded: 1 in 16 has fewer digits.
        ("app-a2b3c4d5e6f7081_bg.wasm", Some("a2b3c4d5e6f7081")),
        // Workers are asked for by name.
        ("worker.js", None),
        ("worker_bg.wasm", None),
        // Beside the crate's name is a hash of it, not of the content.
        ("snippets/app-1a2b3c4d5e6f7081/inline0.js", None),
    ] {
        assert_eq!(rule.hash(path), expected, "{path}");
    }
}

#[test]
#[ignore = "needs node and the npm registry: tests/e2e/bundlers.sh"]
fn names_of_builds() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = Command::new("sh").arg(repository.join("tests/e2e/bundlers.sh")).status();
    assert!(script.unwrap().success(), "bundlers.sh fails");
    let out = repository.join("target/bundlers/out");
    let builds = |name| ["a", "b"].map(|build| files_below(&out.join(name).join(build)));
    for tool in TOOLS {
        let [a, b] = builds(tool.name);
        if !a.is_empty() || !SLOW.contains(&tool.name) {
            let marks = judge(&a, &b);
            fs::write(out.join(tool.name).with_extension("txt"), listing(&marks)).unwrap();
            tool.check(&a, &b, &marks);
        }
    }
    for name in OFF {
        let [a, b] = builds(name);
        assert!(a.len() > 8 || SLOW.contains(&name), "{name}: {:?}", a.keys());
        assert!(a.keys().eq(b.keys()), "{name}: {:?}, {:?}", a.keys(), b.keys());
    }
}

impl Tool {
    fn check(&self, a: &Files, b: &Files, marks: &Marks) {
        let rule = self.rule.parse::<Fingerprinted>().unwrap();
        let wrong = marked(marks, Mark::None).filter(|path| rule.hash(path).is_some());
        assert_eq!(wrong.collect::<Vec<_>>(), [""; 0], "{}: wrongly fingerprinted", self.name);

        let missed = marked(marks, Mark::Hash).filter(|path| rule.hash(path).is_none());
        let (missed, all) = (missed.collect::<Vec<_>>(), marked(marks, Mark::Hash).count());
        assert!(missed.len() * 5 <= all, "{}: {missed:?} of {all} are missed", self.name);

        for files in [a, b] {
            let found = unversioned(&rule, files);
            assert!(found.len() >= self.at_least, "{}: only {found:?}", self.name);
        }
    }
}

/// The paths to which the layer links without a version.
fn unversioned(rule: &Fingerprinted, files: &Files) -> Vec<String> {
    let manifest = Manifest::from_files(files).unwrap();
    let builder = StaticUrlLayer::builder("/static").manifest(manifest);
    let prefix = builder.fingerprinted(rule.clone()).build().unwrap().prefix();
    let is_unversioned = |path: &&str| prefix.url(path) == prefix.unversioned(path);
    prefix.paths().filter(is_unversioned).map(str::to_owned).collect()
}

type Files = BTreeMap<String, Vec<u8>>;
type Marks = BTreeMap<String, Mark>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Hash,
    None,
    Any,
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash => "hash",
            Self::None => "none",
            Self::Any => "any",
        })
    }
}

fn marked(marks: &Marks, mark: Mark) -> impl Iterator<Item = &str> {
    marks.iter().filter(move |(_, other)| **other == mark).map(|(path, _)| path.as_str())
}

fn judge(a: &Files, b: &Files) -> Marks {
    let marks = [(a, b), (b, a)].into_iter().flat_map(|(build, other)| {
        build.keys().map(|path| (path.clone(), judge_one(path, build, other)))
    });
    marks.collect()
}

fn judge_one(path: &str, build: &Files, other: &Files) -> Mark {
    let bytes = &build[path];
    let is_other_edition = |(candidate, edition): (&String, &Vec<u8>)| {
        !build.contains_key(candidate) && differ_in_one_word(path, candidate) && edition != bytes
    };
    match other.get(path) {
        Some(edition) if edition == bytes => Mark::Any,
        Some(_) => Mark::None,
        None if is_named_after_another(path, build) => Mark::Any,
        None if other.iter().any(is_other_edition) => Mark::Hash,
        None => Mark::Any,
    }
}

/// Whether the hash in a name is not the file's own: `main-Bx7a91Zq.js.map` and
/// `main-Bx7a91Zq.js.LICENSE.txt`. No rule takes in a source map, whatever its name.
fn is_named_after_another(path: &str, build: &Files) -> bool {
    let is_owner =
        |owner: &String| path.strip_prefix(&**owner).is_some_and(|it| it.starts_with('.'));
    path.ends_with(".map") || build.keys().any(is_owner)
}

/// Whether two paths are as long, and the part in which they differ may be a part of a hash.
fn differ_in_one_word(path: &str, other: &str) -> bool {
    let pairs = || path.bytes().zip(other.bytes());
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let first = pairs().position(|(byte, other)| byte != other);
    let last = pairs().rposition(|(byte, other)| byte != other);
    let middle = first.zip(last).map(|(first, last)| &path.as_bytes()[first..=last]);
    path.len() == other.len() && middle.is_some_and(|it| it.iter().copied().all(is_word))
}

fn listing(marks: &Marks) -> String {
    marks.iter().map(|(path, mark)| format!("{mark} {path}\n")).collect()
}

fn files_below(root: &Path) -> Files {
    let entries = WalkDir::new(root).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    let file = |path: &Path| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        (name.to_owned(), fs::read(path).unwrap())
    };
    files.map(|entry| file(entry.path())).collect()
}

#[test]
fn the_judge() {
    let files = |files: &[(&str, &str)]| {
        let file = |(path, bytes): &(&str, &str)| ((*path).to_owned(), (*bytes).into());
        files.iter().map(file).collect::<Files>()
    };
    let same = [("same-12345678.js", "same"), ("index.html", "old")];
    let a =
        files(&[same[0], same[1], ("a-1234.js", "a"), ("a-1234.js.map", "a"), ("gone.js", "x")]);
    let b = files(&[same[0], ("index.html", "new"), ("a-1334.js", "b"), ("a-1334.js.map", "b")]);
    let marks = judge(&a, &b);
    for (path, mark) in [
        ("same-12345678.js", Mark::Any),
        ("index.html", Mark::None),
        ("a-1234.js", Mark::Hash),
        ("a-1334.js", Mark::Hash),
        ("a-1234.js.map", Mark::Any),
        ("gone.js", Mark::Any),
    ] {
        assert_eq!(marks[path], mark, "{path}");
    }
    for (path, other, expected) in [
        ("a-12.js", "a-34.js", true),
        ("a-12.js", "a-345.js", false),
        ("a/12.js", "a/34.js", true),
        ("a/b/12.js", "a/c/34.js", false),
        ("a.1b.js", "a.2c.js", true),
        ("a.js", "a.js", false),
    ] {
        assert_eq!(differ_in_one_word(path, other), expected, "{path} {other}");
    }
}
