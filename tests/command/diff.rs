//! `static-url diff`: what it names, and its exit codes.

use std::fs;

use serde_json::{Value, json};

use super::{
    Output, Site, run, store, succeed,
    support::{tree, write},
};

const SAME: i32 = 0;
const TROUBLE: i32 = 1;
const WRONG: i32 = 2;
const DIFFERENT: i32 = 5;
const NAME_KEPT: i32 = 6;

#[test]
fn a_diff_names_each_file_with_its_size() {
    let before = tree([("css/app.css", "teal"), ("old.js", "1"), ("same", "same")]);
    let after = tree([("css/app.css", "light blue"), ("new\n.js", ""), ("same", "same")]);
    let paths = [before.path().to_str().unwrap(), after.path().to_str().unwrap()];
    let Output { code, stdout, stderr } = run(["diff", paths[0], paths[1]]);
    assert_eq!((code, &*stderr), (DIFFERENT, ""));
    let expected = "changed  css/app.css  10 bytes, was 4 bytes\n\
                    added    new\\n.js  0 bytes\n\
                    removed  old.js  1 byte\n\
                    1 added, 1 removed, 1 changed\n";
    assert_eq!(stdout, expected);
    assert_eq!(succeed(&["diff", paths[0], paths[0]]), "the same 3 files\n");
}

#[test]
fn a_diff_as_json() {
    let (before, after) = (tree([("a", "abc"), ("b", "")]), tree([("a", "abd"), ("c", "")]));
    let paths = [before.path().to_str().unwrap(), after.path().to_str().unwrap()];
    let Output { code, stdout, .. } = run(["diff", paths[0], paths[1], "--json"]);
    assert_eq!(code, DIFFERENT);
    let diff = serde_json::from_str::<Value>(&stdout).unwrap();
    assert_eq!((&diff["before"]["files"], &diff["before"]["bytes"]), (&json!(2), &json!(3)));
    let changed = &diff["differences"][0];
    assert_eq!((&changed["path"], &changed["kept_its_name"]), (&json!("a"), &json!(false)));
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(changed["before"], json!({ "sha256": sha, "length": 3 }));
    assert_eq!(
        (&diff["differences"][1]["path"], &diff["differences"][1]["after"]),
        (&json!("b"), &Value::Null)
    );
    assert_eq!(diff["differences"][2]["before"], Value::Null);
    let Output { code, stdout, .. } = run(["diff", paths[0], paths[0], "--json"]);
    let diff = serde_json::from_str::<Value>(&stdout).unwrap();
    assert_eq!((code, &diff["differences"]), (SAME, &json!([])));
    assert_eq!(diff["before"], diff["after"]);
}

/// Directories, manifests and releases, each with each.
#[test]
fn everything_can_be_compared_with_everything() {
    let site = Site::new();
    let manifest = site.folder.path().join("files.json").to_str().unwrap().to_owned();
    succeed(&["manifest", site.root(), "-o", &manifest]);
    let version = site.publish()["version"].as_str().unwrap().to_owned();
    let url = store(&site);
    succeed(&["publish", site.root(), "--to", &url]);
    for place in [&site.folder(), &url] {
        let names = [site.root(), &manifest, &version];
        for (one, other) in names.iter().flat_map(|one| names.map(|other| (*one, other))) {
            let same = succeed(&["diff", one, other, "--releases", place]);
            assert_eq!(same, "the same 2 files\n", "{one} {other}");
        }
        assert_eq!(succeed(&["diff", site.root(), "--releases", place]), "the same 2 files\n");
    }
    write(site.root.path(), "same", "other");
    for (a, b) in
        [(&*manifest, Some(site.root())), (&version, Some(site.root())), (site.root(), None)]
    {
        let args = ["diff", a].into_iter().chain(b).chain(["--releases", &url]);
        let Output { code, stdout, .. } = run(args);
        assert_eq!(code, DIFFERENT);
        assert!(stdout.starts_with("changed  same  5 bytes, was 4 bytes\n"), "{stdout}");
    }
}

#[test]
fn a_fingerprinted_file_must_not_keep_its_name() {
    let files = |content| {
        [("assets/index-Bx7a91Zq.js", content), ("app.css", content), ("assets/a-Dku2L71P.js", "1")]
    };
    let (before, after) = (tree(files("1")), tree(files("2")));
    fs::remove_file(after.path().join("assets/a-Dku2L71P.js")).unwrap();
    let paths = [before.path().to_str().unwrap(), after.path().to_str().unwrap()];
    let diff = |rules: &[&str]| run([&["diff", paths[0], paths[1]], rules].concat());
    assert_eq!(diff(&[]).code, DIFFERENT);
    assert_eq!(diff(&["--fingerprinted", "parcel"]).code, DIFFERENT, "it is none of this rule");
    for rules in [
        &["--fingerprinted", "vite"][..],
        &["--fingerprinted", "vite", "--json"],
        &["--fingerprinted", "parcel", "--fingerprinted", "vite"],
    ] {
        let Output { code, stderr, stdout } = diff(rules);
        assert_eq!(code, NAME_KEPT);
        let expected = "error: 1 fingerprinted file has kept its name and changed the bytes, so \
                        that browsers keep the old ones for up to a year: \
                        \"assets/index-Bx7a91Zq.js\"\n";
        assert_eq!(stderr, expected);
        assert!(stdout.contains("app.css"), "{stdout}");
        if rules.contains(&"--json") {
            let diff = serde_json::from_str::<Value>(&stdout).unwrap();
            let kept = diff["differences"].as_array().unwrap().iter();
            let kept = kept.filter(|difference| difference["kept_its_name"] == json!(true));
            assert_eq!(kept.count(), 1, "{stdout}");
        }
    }
    // Compressed again, by another compressor.
    let compressed =
        |content| tree([("assets/a-Dku2L71P.js", "1"), ("assets/a-Dku2L71P.js.br", content)]);
    let (before, after) = (compressed("1"), compressed("2"));
    let paths = [before.path().to_str().unwrap(), after.path().to_str().unwrap()];
    assert_eq!(run(["diff", paths[0], paths[1], "--fingerprinted", "vite"]).code, DIFFERENT);
}

#[test]
fn what_cannot_be_compared() {
    let site = Site::new();
    let at = |path: &str| site.folder.path().join(path).to_str().unwrap().to_owned();
    let (root, folder) = (site.root(), site.folder());
    let (text, missing, future, long) = (at("text"), at("missing"), at("future"), at("long"));
    fs::write(&text, "no manifest").unwrap();
    let whole = succeed(&["manifest", root]);
    fs::write(&future, whole.replace("\"format\": 1", "\"format\": 2")).unwrap();
    fs::File::create(&long).unwrap().set_len(1 << 40).unwrap();
    site.publish_as("v1");
    fs::create_dir(at("empty")).unwrap();
    for (args, code, what) in [
        (vec!["diff", root, &missing], TROUBLE, &*missing),
        (vec!["diff", root, &text], TROUBLE, &text),
        (vec!["diff", &future, root], TROUBLE, "manifest format 2 is not 1"),
        (vec!["diff", root, &long], TROUBLE, "longer than any manifest"),
        (vec!["diff", root, "/dev/zero"], TROUBLE, "not a regular file"),
        (vec!["diff", root, &at("empty")], TROUBLE, "no files"),
        (vec!["diff", "v1", root], TROUBLE, "\"v1\""),
        (vec!["diff", "v2", root, "--releases", &folder], TROUBLE, "no such version is kept"),
        (vec!["diff", "v1", root, "--releases", &missing], TROUBLE, &missing),
        (vec!["diff", root], WRONG, "--releases"),
        (vec!["diff"], WRONG, "<A>"),
        (vec!["diff", root, root, "--fingerprinted", "rollup"], WRONG, "rollup"),
    ] {
        let Output { code: actual, stdout, stderr } = run(&args);
        assert_eq!((actual, &*stdout), (code, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(what), "{args:?}: {stderr}");
    }
}
