//! What the documents say leads somewhere: links, and the tests that hold what the README promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const OWN_PAGES: &str = "https://docs.rs/tower-static-url/latest/tower_static_url/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files below a directory of the project with one of these extensions.
fn files(directory: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(directory)];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_wanted = extensions.iter().any(|wanted| name.ends_with(wanted));
            if path.is_dir() && !["target", "node_modules", ".git"].contains(&name) {
                left.push(path);
            } else if is_wanted {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns the anchors of the headings, as rustdoc and others name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| line.strip_prefix("//! ").unwrap_or(line));
    let headings = lines.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let anchor = |heading: &str| {
        let letters = heading.chars().filter_map(|c| match c {
            ' ' | '-' => Some('-'),
            c if c.is_alphanumeric() || c == '_' => c.to_lowercase().next(),
            _ => None,
        });
        letters.collect()
    };
    headings.map(anchor).collect()
}

/// Returns the targets of the links in Markdown.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let defined = text.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: "));
    inline.map(|(target, _)| target).chain(defined.map(|(_, target)| target.trim()))
}

/// Returns the text in which the anchor of a link is. `None` if there is no such page.
fn page(from: &Path, target: &str) -> Option<String> {
    let (path, _) = target.split_once('#').unwrap_or((target, ""));
    let docs = path.strip_prefix("crate::docs::").or_else(|| {
        path.strip_prefix(OWN_PAGES)?.strip_prefix("docs/")?.strip_suffix("/index.html")
    });
    let file = match docs {
        Some(page) => root().join("src/docs").join(format!("{page}.md")),
        None if path.starts_with(OWN_PAGES) => {
            let module = path.strip_prefix(OWN_PAGES)?.strip_suffix("/index.html")?;
            root().join("src").join(module).join("mod.rs")
        }
        None if path.is_empty() => from.to_owned(),
        None => from.parent()?.join(path),
    };
    if file.is_dir() { Some(String::new()) } else { fs::read_to_string(file).ok() }
}

/// Whether a link can be checked here: it leads to the project itself, and rustdoc does not
/// resolve it as an item.
fn is_own(target: &str) -> bool {
    target.starts_with("crate::docs::")
        || target.starts_with(OWN_PAGES)
        || !(target.starts_with("http") || target.starts_with("crate::") || target.contains('`'))
            && (target.contains('/') || target.contains('#') || target.ends_with(".md"))
}

/// The package has not all of the documents.
fn is_packaged() -> bool {
    !root().join(".ci").exists()
}

#[test]
fn links_lead_somewhere() {
    if is_packaged() {
        return;
    }
    let mut documents = files("src/docs", &[".md"]);
    for directory in ["benches", "examples", "fuzz", "docs"] {
        documents.extend(files(directory, &[".md"]));
    }
    documents.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|it| root().join(it)));
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for target in links(&text).filter(|target| is_own(target)) {
            count += 1;
            let anchor = target.split_once('#').map(|(_, anchor)| anchor);
            let found = page(document, target);
            let is_right = found.is_some_and(|text| {
                anchor.is_none_or(|anchor| text.is_empty() || anchors(&text).contains(anchor))
            });
            if !is_right {
                wrong.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 60, "the links are not found: {count}");
}

/// The tests that hold what the README says are named in `CONTRIBUTING.md`.
#[test]
fn what_the_readme_says_is_held_by_tests() {
    if is_packaged() {
        return;
    }
    let contributing = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, section) = contributing.split_once("## What holds the promises").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let sources = files("tests", &[".rs"]).into_iter().chain(files("src", &[".rs"]));
    let sources = sources.map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    let sources = sources.collect::<BTreeMap<_, _>>();
    let named = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut count = 0;
    for line in named {
        let tests = line.split('`').filter_map(|part| part.split_once("::"));
        let mut has_test = false;
        for (file, test) in tests {
            let source = sources.get(file).unwrap_or_else(|| panic!("no file {file}: {line}"));
            let is_there = source.contains(&format!("fn {test}("));
            assert!(is_there, "no test {test} in {file}: {line}");
            has_test = true;
        }
        assert!(has_test, "no test: {line}");
        count += 1;
    }
    assert!(count > 20, "the table is not found: {count}");
}
