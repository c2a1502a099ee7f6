//! `static-url precompress`: what it makes, keeps, replaces and leaves alone.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tower_static_url::Manifest;

use super::{
    Output, command, on_a_full_disk, run, run_unprivileged, succeed,
    support::{gzip, later, mtime, set_modified, tree, write},
};

const SUFFIXES: [&str; 3] = [".gz", ".br", ".zst"];

fn text(word: &str) -> String {
    format!("{word} {word} {word}\n").repeat(40)
}

/// Bytes that no coding makes smaller, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let bytes = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.flatten().take(length).collect()
}

fn precompress(root: &TempDir) -> Value {
    super::json(&["precompress", root.path().to_str().unwrap()])
}

/// The names and the content of all files of a tree.
fn content(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    files.map(|entry| (name(entry.path()), fs::read(entry.path()).unwrap())).collect()
}

fn names(root: &TempDir) -> Vec<String> {
    content(root.path()).into_keys().collect()
}

fn decoded(path: &Path) -> Vec<u8> {
    let file = fs::File::open(path).unwrap();
    let mut decoder: Box<dyn Read> = match path.extension().unwrap().to_str().unwrap() {
        "gz" => Box::new(flate2::read::GzDecoder::new(file)),
        "br" => Box::new(brotli::Decompressor::new(file, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(file).unwrap()),
    };
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Whether a scan finds each pre-compressed file to be of the file beside it.
fn all_count(root: &TempDir) -> bool {
    !Manifest::scan(root.path()).unwrap().to_json().contains("\"sibling\"")
}

#[test]
fn each_file_gets_its_siblings() {
    let root =
        tree([("css/app.css", &*text("teal")), ("small", "too small"), (".hidden", &text("x"))]);
    let path = root.path().join("css/app.css");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let printed = succeed(&["precompress", root.path().to_str().unwrap()]);
    for line in
        ["gzip  1 file compressed, 0 up to date, 1 not smaller: ", "br    1 file", "zstd  1 file"]
    {
        assert!(printed.contains(line), "{printed}");
    }
    let expected =
        [".hidden", "css/app.css", "css/app.css.br", "css/app.css.gz", "css/app.css.zst", "small"];
    assert_eq!(names(&root), expected);
    for suffix in SUFFIXES {
        let sibling = root.path().join(format!("css/app.css{suffix}"));
        assert_eq!(decoded(&sibling), text("teal").as_bytes(), "{suffix}");
        let metadata = fs::metadata(&sibling).unwrap();
        assert_eq!(metadata.modified().unwrap(), mtime(), "{suffix}");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640, "{suffix}");
    }
    assert!(all_count(&root));
}

#[test]
fn what_is_up_to_date_is_not_touched() {
    let root = tree([("a", &*text("teal")), ("b", &text("navy"))]);
    precompress(&root);
    let version = Manifest::scan(root.path()).unwrap();
    let inode = |path: &str| fs::metadata(root.path().join(path)).unwrap().ino();
    let inodes =
        || SUFFIXES.map(|suffix| (inode(&format!("a{suffix}")), inode(&format!("b{suffix}"))));
    let before = inodes();
    // A deploy or a checkout gives the file a time of its own.
    set_modified(&root.path().join("a"), later(9));
    let again = precompress(&root);
    for coding in 0..3 {
        let (written, up_to_date) = (&again[coding]["written"], &again[coding]["up_to_date"]);
        assert_eq!((written, up_to_date), (&json!(0), &json!(2)), "{again}");
    }
    assert_eq!(inodes(), before);
    for suffix in SUFFIXES {
        let sibling = fs::metadata(root.path().join(format!("a{suffix}"))).unwrap();
        assert_eq!(sibling.modified().unwrap(), later(9), "{suffix}");
    }
    assert!(all_count(&root));
    assert_eq!(Manifest::scan(root.path()).unwrap(), version);
}

/// Whatever the times say.
#[test]
fn a_sibling_of_another_content_is_replaced() {
    let root = tree([("a", &*text("teal")), ("b", &text("navy"))]);
    precompress(&root);
    // With the length and the time that it had.
    write(root.path(), "a", text("cyan"));
    // Newer than the file, and damaged.
    for suffix in SUFFIXES {
        let path = root.path().join(format!("b{suffix}"));
        let mut bytes = fs::read(&path).unwrap();
        bytes.pop();
        fs::write(&path, bytes).unwrap();
    }
    let again = precompress(&root);
    assert_eq!(again[1]["written"], json!(2), "{again}");
    for (file, word) in [("a", "cyan"), ("b", "navy")] {
        for suffix in SUFFIXES {
            let sibling = root.path().join(format!("{file}{suffix}"));
            assert_eq!(decoded(&sibling), text(word).as_bytes(), "{file}{suffix}");
        }
    }
    assert!(all_count(&root));
}

#[test]
fn what_does_not_shrink_gets_no_sibling() {
    let root = tree([("small.css", "p { color: teal }"), ("empty", "")]);
    write(root.path(), "noise.txt", noise(50_000));
    // Of the larger ones, parts are compressed to find out.
    write(root.path(), "font", noise(200_000));
    write(root.path(), "film", noise(5 << 20));
    write(root.path(), "app.js.gz", gzip(text("alone")));
    for left_over in ["noise.txt", "small.css"] {
        for suffix in SUFFIXES {
            write(root.path(), &format!("{left_over}{suffix}"), "of another content");
        }
    }
    let totals = precompress(&root);
    assert_eq!(names(&root), ["app.js.gz", "empty", "film", "font", "noise.txt", "small.css"]);
    let expected = json!({
        "coding": "br", "written": 0, "up_to_date": 0, "not_smaller": 6, "bytes": 0, "compressed_bytes": 0,
    });
    assert_eq!(totals[1], expected);
}

#[test]
fn a_large_file_that_shrinks_gets_siblings() {
    let root = tree([]);
    write(root.path(), "large.json", text("teal").repeat(10_000));
    assert!(fs::metadata(root.path().join("large.json")).unwrap().len() > 4 << 20);
    let args =
        ["precompress", root.path().to_str().unwrap(), "--coding", "gzip", "--coding", "zstd"];
    succeed(&args);
    assert_eq!(names(&root), ["large.json", "large.json.gz", "large.json.zst"]);
    assert_eq!(
        decoded(&root.path().join("large.json.zst")),
        text("teal").repeat(10_000).as_bytes()
    );
}

#[test]
fn the_number_of_threads_and_the_day_change_nothing() {
    let files = (0..20).map(|i| (format!("{i}.js"), text(&format!("{i}").repeat(i + 1))));
    let files = files.collect::<Vec<_>>();
    let trees = ["1", "2", "7"].map(|threads| {
        let root = tree(files.iter().map(|(path, content)| (&**path, &**content)));
        if threads == "7" {
            files.iter().for_each(|(path, _)| set_modified(&root.path().join(path), later(1)));
        }
        succeed(&["precompress", root.path().to_str().unwrap(), "--threads", threads]);
        content(root.path())
    });
    assert_eq!(trees[0].len(), 80);
    assert!(trees[0] == trees[1] && trees[0] == trees[2]);
}

#[test]
fn links_out_of_the_tree_are_not_followed() {
    let elsewhere = tree([("fonts/list.txt", &*text("font")), ("one.css", &text("one"))]);
    let root = tree([("app.css", &*text("teal"))]);
    symlink(elsewhere.path().join("fonts"), root.path().join("fonts")).unwrap();
    symlink(elsewhere.path().join("one.css"), root.path().join("one.css")).unwrap();
    symlink(elsewhere.path().join("one.css"), root.path().join("app.css.br")).unwrap();
    let before = content(elsewhere.path());
    precompress(&root);
    assert_eq!(content(elsewhere.path()), before);
    assert_eq!(decoded(&root.path().join("one.css.gz")), text("one").as_bytes());
    assert_eq!(decoded(&root.path().join("app.css.br")), text("teal").as_bytes());
}

#[test]
fn a_full_disk_leaves_no_half_sibling() {
    let root = tempfile::tempdir().unwrap();
    let pages = (0..2000_u64).map(|i| format!("{}\n", i * i * 7919)).collect::<String>();
    write(root.path(), "a.txt", &pages);
    write(root.path(), "a.txt.gz", gzip("before"));
    let before = content(root.path());
    let Output { code, stdout, stderr } =
        on_a_full_disk(&["precompress", root.path().to_str().unwrap()]);
    assert_eq!((code, &*stdout), (1, ""), "{stderr}");
    let path = root.path().join("a.txt");
    assert!(stderr.starts_with(&format!("error: cannot compress {path:?}: ")), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(content(root.path()), before);
}

#[test]
fn two_commands_at_once_and_one_that_is_killed() {
    let files = (0..30).map(|i| (format!("{i}.js"), text(&format!("{i}").repeat(i + 1))));
    let files = files.collect::<Vec<_>>();
    let root = tree(files.iter().map(|(path, content)| (&**path, &**content)));
    let start = || {
        let mut command = command(["precompress", root.path().to_str().unwrap()]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let (mut killed, mut one, mut two) = (start(), start(), start());
    while fs::read_dir(root.path()).unwrap().count() <= files.len()
        && killed.try_wait().unwrap().is_none()
    {}
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(one.wait().unwrap().success() && two.wait().unwrap().success());
    for (path, content) in &files {
        for suffix in SUFFIXES {
            let sibling = root.path().join(format!("{path}{suffix}"));
            assert_eq!(decoded(&sibling), content.as_bytes(), "{path}{suffix}");
        }
    }
    // What was left behind is no file of the tree, and is deleted one day.
    let draft = root.path().join(".static-url-1-2");
    let others = [".static-url-notes", ".static-url-1-2.txt"].map(|name| root.path().join(name));
    for path in others.iter().chain([&draft]) {
        fs::write(path, "").unwrap();
        set_modified(path, mtime());
    }
    fs::write(root.path().join(".static-url-3-4"), "").unwrap();
    assert!(all_count(&root));
    precompress(&root);
    assert!(!draft.exists());
    assert!(root.path().join(".static-url-3-4").exists(), "it may be at work");
    assert!(others.iter().all(|path| path.exists()));
}

#[test]
fn what_cannot_be_compressed() {
    let root = tree([("a.css", &*text("teal")), ("a.css.br/x", "a directory")]);
    let at = |path: &str| root.path().join(path).to_str().unwrap().to_owned();
    for (args, code, what) in [
        (vec!["precompress", &at("missing")], 1, &*at("missing")),
        (vec!["precompress", &at("a.css")], 1, "is not a directory"),
        (vec!["precompress", &at("")], 1, "cannot compress"),
        (vec!["precompress", &at(""), "--coding", "deflate"], 2, "deflate"),
        (vec!["precompress", &at(""), "--threads", "0"], 2, "--threads"),
        (vec!["precompress"], 2, "<DIR>"),
    ] {
        let Output { code: actual, stdout, stderr } = run(&args);
        assert_eq!((actual, &*stdout), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(what), "{args:?}: {stderr}");
    }
}

#[test]
fn what_may_not_be_read_or_written() {
    let root = tree([("css/a.css", &*text("teal"))]);
    let (path, css) = (root.path().to_str().unwrap(), root.path().join("css"));
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(root.path(), 0o755);
    for (mode, file_mode, what) in [
        (0o555, 0o644, "cannot compress"),
        (0o755, 0o000, "cannot read"),
        (0o000, 0o644, "cannot read"),
    ] {
        set_mode(&css.join("a.css"), file_mode);
        set_mode(&css, mode);
        for args in [&["precompress", path][..], &["manifest", path], &["diff", path, path]] {
            let Output { code, stdout, stderr } = run_unprivileged(args);
            if mode == 0o555 && args[0] != "precompress" {
                assert_eq!(code, 0, "{args:?}: {stderr}");
                continue;
            }
            assert_eq!((code, &*stdout), (1, ""), "{args:?}, {mode:o}: {stderr}");
            let denied = stderr.starts_with(&format!("error: {what} "))
                && stderr.contains(css.to_str().unwrap())
                && stderr.ends_with(": Permission denied (os error 13)\n");
            assert!(denied, "{args:?}, {mode:o}: {stderr}");
        }
        set_mode(&css, 0o755);
    }
    assert_eq!(names(&root), ["css/a.css"]);
}
