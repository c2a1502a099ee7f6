//! `static-url manifest`: what it prints and writes, and what it refuses to replace.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
};

use tower_static_url::{Manifest, manifest::Verify};

use super::{
    Output, Site, command, on_a_full_disk, run, run_command, succeed,
    support::{tree, write},
};

fn expected(site: &Site) -> String {
    Manifest::scan(site.root.path()).unwrap().to_json() + "\n"
}

/// Names of what is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn a_manifest_is_what_the_library_writes() {
    let site = Site::new();
    assert_eq!(succeed(&["manifest", site.root()]), expected(&site));
    let file = site.path();
    let args = ["manifest", site.root(), "-o", file.to_str().unwrap()];
    assert_eq!(succeed(&args), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected(&site));
    let manifest = Manifest::from_json(fs::read(&file).unwrap()).unwrap();
    manifest.verify(site.root.path(), Verify::Full).unwrap();
    let other = tree([("same", "other"), ("more", "")]);
    let both = succeed(&["manifest", site.root(), other.path().to_str().unwrap()]);
    assert_eq!(Manifest::from_json(both).unwrap().len(), 3);
}

#[test]
fn a_manifest_is_replaced_only_if_it_has_changed() {
    let site = Site::new();
    let (file, link) = (site.folder.path().join("files.json"), site.folder.path().join("link"));
    symlink(&file, &link).unwrap();
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let make = || {
        succeed(&["manifest", site.root(), "--output", link.to_str().unwrap()]);
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), expected(&site));
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        (metadata.ino(), metadata.mtime_nsec())
    };
    let first = make();
    assert_eq!(make(), first, "it is not touched");
    write(site.root.path(), "same", "other");
    assert_ne!(make(), first);
    assert!(link.is_symlink());
    assert_eq!(names(site.folder.path()), ["files.json", "link"]);
}

#[test]
fn what_is_no_manifest_is_not_replaced() {
    let site = Site::new();
    let whole = expected(&site);
    let file = site.folder.path().join("files.json");
    for (name, content, why) in [
        ("other JSON", r#"{"name": "site", "version": "1.0.0"}"#.into(), "missing field"),
        ("a text", "TODO\n".to_owned(), "not a manifest in JSON"),
        ("cut off", whole[..whole.len() / 2].into(), "EOF while parsing"),
        ("future", whole.replace("\"format\": 1", "\"format\": 2"), "manifest format 2 is not 1"),
        ("edited", whole.replace("\"length\": 4", "\"length\": 5"), "is not that of its files"),
        ("climbing", whole.replace("\"same\"", "\"../same\""), "has a dot segment"),
    ] {
        fs::write(&file, &content).unwrap();
        let Output { code, stdout, stderr } =
            run(["manifest", site.root(), "-o", file.to_str().unwrap()]);
        assert_eq!((code, &*stdout), (1, ""), "{name}");
        assert!(stderr.starts_with(&format!("error: {file:?} has something else")), "{stderr}");
        assert!(stderr.contains(why), "{name}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
        assert_eq!(fs::read_to_string(&file).unwrap(), content, "{name}");
    }
    assert_eq!(names(site.folder.path()), ["files.json"]);
}

#[test]
fn an_output_that_cannot_be_written() {
    let site = Site::new();
    let at = |path: &str| site.folder.path().join(path).to_str().unwrap().to_owned();
    symlink("loop", at("loop")).unwrap();
    for output in [&*at("missing/files.json"), &at("."), "/dev/null", &at("loop")] {
        let Output { code, stdout, stderr } = run(["manifest", site.root(), "-o", output]);
        assert_eq!((code, &*stdout), (1, ""), "{output}");
        assert!(stderr.starts_with("error: cannot ") && stderr.contains(output), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert_eq!(names(site.folder.path()), ["loop"]);
}

#[test]
fn a_manifest_does_not_list_itself() {
    let site = Site::new();
    let link = site.folder.path().join("link");
    symlink(site.root.path(), &link).unwrap();
    for inside in ["files.json", "css/files.json", "css/../files.json"] {
        for root in [site.root.path(), &link] {
            let output = root.join(inside);
            let output = output.to_str().unwrap();
            let Output { code, stderr, .. } = run(["manifest", site.root(), "-o", output]);
            assert_eq!(code, 1, "{output}");
            assert!(stderr.contains(output) && stderr.contains("in the tree"), "{stderr}");
            assert!(!Path::new(output).exists());
        }
    }
    let mut relative = command(["manifest", ".", "-o", "files.json"]);
    relative.current_dir(site.root.path());
    assert_eq!(run_command(relative).code, 1);
    let ignored = site.root.path().join(".files.json");
    succeed(&["manifest", site.root(), "-o", ignored.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(ignored).unwrap(), expected(&site));
}

#[test]
fn a_full_disk_leaves_nothing_half() {
    let site = Site::new();
    let file = site.folder.path().join("files.json");
    let args = ["manifest", site.root(), "-o", file.to_str().unwrap()];
    succeed(&args);
    let before = fs::read(&file).unwrap();
    for i in 0..50 {
        write(site.root.path(), &format!("many/{i}"), "");
    }
    let Output { code, stderr, .. } = on_a_full_disk(&args);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.starts_with(&format!("error: cannot write {file:?}: ")), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(names(site.folder.path()), ["files.json"]);
    let mut full = command(["manifest", site.root()]);
    full.stdout(File::options().write(true).open("/dev/full").unwrap());
    let output = full.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("error: cannot write to the output: No space left"), "{stderr}");
}

#[test]
fn two_commands_at_once_leave_one_whole_manifest() {
    let (one, two) = (Site::new(), Site::new());
    write(two.root.path(), "more", "1");
    let file = one.folder.path().join("files.json");
    let make = |site: &Site| {
        let mut command = command(["manifest", site.root(), "-o", file.to_str().unwrap()]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let children = (0..8).flat_map(|_| [make(&one), make(&two)]).collect::<Vec<_>>();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let text = fs::read_to_string(&file).unwrap();
    assert!([expected(&one), expected(&two)].contains(&text), "{text}");
    assert_eq!(names(one.folder.path()), ["files.json"]);
}
