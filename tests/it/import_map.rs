//! Import maps: what is in them, and that what is in them is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use axum::Router;
use data_encoding::BASE64;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::{prelude::*, test_runner::TestCaseResult};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower_http::services::ServeDir;
use tower_static_url::{
    ErrorKind, Fingerprinted, ImportMap, Manifest, StaticPrefix, StaticUrlLayer,
    StaticUrlLayerBuilder, VersionSource,
};

use crate::support::{ask, get, tree};

fn builder(paths: &[&str]) -> StaticUrlLayerBuilder {
    let manifest = Manifest::from_files(paths.iter().map(|path| (path, path))).unwrap();
    let version = VersionSource::literal("v1");
    StaticUrlLayer::builder("/static").manifest(manifest).version(version)
}

fn listed(paths: &[&str]) -> StaticPrefix {
    builder(paths).build().unwrap().prefix()
}

type Strings = BTreeMap<String, String>;

/// What a browser reads: the members `imports` and `integrity`.
fn parse(json: &str) -> (Strings, Strings) {
    let mut map = serde_json::from_str::<Value>(json).unwrap();
    let mut member = |name: &str| serde_json::from_value::<Strings>(map[name].take());
    let imports = member("imports").unwrap();
    (imports, member("integrity").unwrap_or_default())
}

fn imports(map: &ImportMap<'_>) -> Vec<(String, String)> {
    parse(&map.to_string()).0.into_iter().collect()
}

fn digest(content: impl AsRef<[u8]>) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(content)))
}

#[test]
fn names_and_urls() {
    let paths = ["a b.js", "app.js", "c#.js", "js/lib/x.js"];
    for (name, origin, import, expected) in [
        ("file", None, ("app", "app.js"), "/static/v1/app.js"),
        ("leading slash", None, ("app", "/app.js"), "/static/v1/app.js"),
        ("query", None, ("app", "app.js?debug"), "/static/v1/app.js?debug"),
        ("space", None, ("a", "a b.js"), "/static/v1/a%20b.js"),
        ("mark in a name", None, ("c", "c#.js"), "/static/v1/c%23.js"),
        ("a URL as a name", None, ("/app.js", "app.js"), "/static/v1/app.js"),
        ("directory", None, ("lib/", "js/lib/"), "/static/v1/js/lib/"),
        ("directory above", None, ("js/", "/js/"), "/static/v1/js/"),
        ("tree", None, ("all/", "/"), "/static/v1/"),
        ("tree, without a path", None, ("all/", ""), "/static/v1/"),
        ("origin", Some("https://cdn.example.com"), ("app", "app.js"), "/static/v1/app.js"),
        (
            "directory at an origin",
            Some("https://cdn.example.com"),
            ("js/", "js/"),
            "/static/v1/js/",
        ),
    ] {
        let builder = origin.into_iter().fold(builder(&paths), StaticUrlLayerBuilder::origin);
        let prefix = builder.build().unwrap().prefix();
        let map = prefix.import_map([import]).unwrap();
        let url = format!("{}{expected}", origin.unwrap_or_default());
        assert_eq!(parse(&map.to_string()).0[import.0], url, "{name}");
    }
}

#[test]
fn the_later_of_two_items_counts() {
    let prefix = listed(&["a.js", "b.js"]);
    let map = prefix.import_map([("app", "a.js"), ("app", "b.js")]).unwrap();
    assert_eq!(map, prefix.import_map([("app", "b.js")]).unwrap());
}

#[test]
fn what_is_not_listed_is_an_error_that_names_it() {
    let prefix = listed(&["js/app.js", "js/lib/x.js", "with space/c.js"]);
    for (import, expected) in [
        (("app", "js/ap.js"), r#""js/ap.js" is not listed; nearest is "js/app.js""#),
        (("app", "app.css"), r#""app.css" is not listed"#),
        (("lib/", "lib/"), r#""lib/" is not listed; nearest is "js/lib/""#),
        (("lib/", "js/lbi/"), r#""js/lbi/" is not listed; nearest is "js/lib/""#),
        (("x/", "with#space/"), r#""with#space/" is not listed; nearest is "with space/""#),
        (("x/", "fonts/"), r#""fonts/" is not listed"#),
        (("x/", "js/app.js/"), r#""js/app.js/" is not listed"#),
    ] {
        let error = prefix.import_map([import]).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::NotListed, expected));
        let map = prefix.import_map([("app", "js/app.js")]).unwrap();
        let error = map.with_integrity([import.1]).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::NotListed, expected));
    }
    let error = prefix.import_map([("lib", "js/lib/")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidImport);
}

#[test]
fn integrity_of_modules() {
    let paths =
        ["js/app.js", "js/dep.mjs", "js/lib/x.js", "js/lib/x.js.map", "js/style.css", "page.js"];
    let prefix = listed(&paths);
    for (name, imports, further, expected) in [
        ("a file", ("app", "js/app.js"), [].as_slice(), ["js/app.js"].as_slice()),
        ("modules below a directory", ("lib/", "js/lib/"), &[], &["js/lib/x.js"]),
        ("of both endings", ("js/", "js/"), &[], &["js/app.js", "js/dep.mjs", "js/lib/x.js"]),
        ("a file that is no module", ("css", "js/style.css"), &[], &["js/style.css"]),
        ("further files", ("page", "page.js"), &["js/dep.mjs"], &["js/dep.mjs", "page.js"]),
        (
            "further directories",
            ("page", "page.js"),
            &["js/lib/", "/js/style.css"],
            &["js/lib/x.js", "js/style.css", "page.js"],
        ),
        (
            "the tree",
            ("page", "page.js"),
            &["/"],
            &["js/app.js", "js/dep.mjs", "js/lib/x.js", "page.js"],
        ),
    ] {
        let map = prefix.import_map([imports]).unwrap();
        let map = map.with_integrity(further.iter().copied()).unwrap();
        let expected = expected.iter().map(|path| (prefix.url(path), digest(path))).collect();
        assert_eq!(parse(&map.to_string()).1, expected, "{name}");
        let bare = map.clone().without_integrity();
        assert_eq!(
            bare.to_string(),
            map.to_string().split(",\"integrity\"").next().unwrap().to_owned() + "}"
        );
    }
}

/// Files may change at any time, or there is nothing known of them.
#[test]
fn no_integrity_in_development_and_without_a_manifest() {
    let root = tree([("app.js", "")]);
    let development = StaticUrlLayer::builder("/static").root(root.path()).development(true);
    let declared = StaticUrlLayer::builder("/static").version(VersionSource::literal("v1"));
    for (name, builder) in [("development", development), ("declared", declared)] {
        let prefix = builder.build().unwrap().prefix();
        let map = prefix.import_map([("app", "app.js"), ("all/", "/")]).unwrap();
        let map = map.with_integrity(["app.js", "/"]).unwrap();
        let expected = format!(r#"{{"imports":{{"all/":"{prefix}","app":"{prefix}app.js"}}}}"#);
        assert_eq!(map.to_string(), expected, "{name}");
    }
}

#[test]
fn some_modules_below_a_directory_have_entries_of_their_own() {
    let paths = [
        "esc/100%.js",
        "esc/[id].js",
        "esc/plain.js",
        "js/chunk.0a1b2c3d.js",
        "js/plain.js",
        "js/style.0a1b2c3d.css",
        "js/sub/chunk.0a1b2c3d.js",
        "other/chunk.0a1b2c3d.js",
    ];
    let rule = Fingerprinted::parcel();
    let prefix = builder(&paths).fingerprinted(rule).build().unwrap().prefix();
    for (name, items, expected) in [
        (
            "a file",
            [("chunk", "js/chunk.0a1b2c3d.js")].as_slice(),
            [("chunk", "/static/js/chunk.0a1b2c3d.js")].as_slice(),
        ),
        (
            "below a directory",
            &[("lib/", "js/")],
            &[
                ("lib/", "/static/v1/js/"),
                ("lib/chunk.0a1b2c3d.js", "/static/js/chunk.0a1b2c3d.js"),
                ("lib/sub/chunk.0a1b2c3d.js", "/static/js/sub/chunk.0a1b2c3d.js"),
            ],
        ),
        (
            "a longer name of another directory wins",
            &[("lib/", "js/"), ("lib/sub/", "other/")],
            &[
                ("lib/", "/static/v1/js/"),
                ("lib/chunk.0a1b2c3d.js", "/static/js/chunk.0a1b2c3d.js"),
                ("lib/sub/", "/static/v1/other/"),
                ("lib/sub/chunk.0a1b2c3d.js", "/static/other/chunk.0a1b2c3d.js"),
            ],
        ),
        (
            "names to escape",
            &[("x/", "esc/")],
            &[
                ("x/", "/static/v1/esc/"),
                ("x/100%.js", "/static/v1/esc/100%25.js"),
                ("x/[id].js", "/static/v1/esc/%5Bid%5D.js"),
            ],
        ),
        (
            "the name of a file wins",
            &[("lib/chunk.0a1b2c3d.js", "js/plain.js"), ("lib/", "js/")],
            &[
                ("lib/", "/static/v1/js/"),
                ("lib/chunk.0a1b2c3d.js", "/static/v1/js/plain.js"),
                ("lib/sub/chunk.0a1b2c3d.js", "/static/js/sub/chunk.0a1b2c3d.js"),
            ],
        ),
    ] {
        let map = prefix.import_map(items.iter().copied()).unwrap();
        let expected = expected.iter().map(|(name, url)| (name.to_string(), url.to_string()));
        assert_eq!(imports(&map), expected.collect::<Vec<_>>(), "{name}");
    }
    let map = prefix.import_map([("lib/", "js/")]).unwrap();
    let with_integrity = parse(&map.to_string()).1.into_keys().collect::<Vec<_>>();
    let expected = [
        "/static/js/chunk.0a1b2c3d.js",
        "/static/js/sub/chunk.0a1b2c3d.js",
        "/static/v1/js/plain.js",
    ];
    assert_eq!(with_integrity, expected);
}

#[test]
fn elements() {
    let prefix = listed(&["app.js"]);
    let map = prefix.import_map([("</script>", "app.js")]).unwrap();
    let html = map.to_html();
    let text = html.strip_prefix("<script type=\"importmap\">").unwrap();
    let text = text.strip_suffix("</script>").unwrap();
    assert_eq!(text, map.to_string());
    assert_eq!(imports(&map)[0].0, "</script>");
    assert_eq!(map.csp_hash(), format!("'{}'", digest(text)));
    let with_nonce = map.to_html_with_nonce("\"><b a='&");
    let nonce = "&quot;&gt;&lt;b a=&#39;&amp;";
    let expected = format!("<script type=\"importmap\" nonce=\"{nonce}\">{text}</script>");
    assert_eq!(with_nonce, expected);
}

/// What a browser escapes in the path of a relative URL, and `%` itself.
const URL_STANDARD: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

#[derive(Clone, Debug)]
struct Case {
    files: Vec<(String, String)>,
    names: Vec<String>,
}

fn cases() -> impl Strategy<Value = Case> {
    let segment = any::<String>().prop_map(|text| text.replace(['/', '\\', '\0'], "\u{2028}</a"));
    let segment = segment.prop_map(|text| text.chars().take(20).collect::<String>());
    let files = proptest::collection::vec((segment.clone(), segment, any::<String>()), 1..4);
    let names = proptest::collection::vec(any::<String>(), 3);
    (files, names).prop_map(|(files, names)| {
        let numbered = files.into_iter().enumerate();
        let files = numbered.map(|(i, (directory, file, content))| {
            let name = |text: String| text.replace('/', "&\"'%;,#?");
            (format!("{i}{}/{i}{}.js", name(directory), name(file)), content)
        });
        Case { files: files.collect(), names }
    })
}

/// Whatever the names are, the map is one that a browser can read, safe inside of a page, and
/// true: each URL leads to the file that was meant, and its digest is that of what comes.
fn check(Case { files, names }: Case) -> TestCaseResult {
    let root = tree(files.iter().map(|(path, content)| (&**path, &**content)));
    let manifest = Manifest::from_files(files.iter().map(|(path, content)| (path, content)));
    let layer = StaticUrlLayer::builder("/static").manifest(manifest.unwrap()).build().unwrap();
    let prefix = layer.prefix();
    let names = names.iter().map(|name| format!("n{}", name.trim_end_matches('/')));
    let wanted =
        names.zip(&files).map(|(name, (path, _))| (name, path)).collect::<BTreeMap<_, _>>();
    let directory = format!("{}/", files[0].0.split('/').next().unwrap());
    let items = wanted.iter().map(|(name, path)| (&**name, path.as_str()));
    let map = prefix.import_map(items.chain([("below/", &*directory)])).unwrap();
    let map = map.with_integrity(["/"]).unwrap();

    let json = map.to_string();
    prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
    prop_assert!(!json.contains(['<', '>', '&', '\'']), "{json}");
    let (mut imports, integrity) = parse(&json);
    // A module of its own, as far as its name has to be escaped.
    if let Some(url) = imports.remove(&format!("below/{}", &files[0].0[directory.len()..])) {
        prop_assert_eq!(url, prefix.url(&files[0].0));
    }
    let below = imports.remove("below/").unwrap();
    prop_assert!(prefix.url(&files[0].0).starts_with(&below), "{below}");
    let expected = wanted.into_iter().map(|(name, path)| (name, prefix.url(path)));
    prop_assert_eq!(imports, expected.collect::<Strings>());
    let urls = files.iter().flat_map(|(path, _)| {
        [prefix.url(path), format!("{prefix}{}", utf8_percent_encode(path, URL_STANDARD))]
    });
    prop_assert_eq!(integrity.keys().cloned().collect::<BTreeSet<_>>(), urls.collect());

    let router = Router::new()
        .nest_service("/static", ServeDir::new(root.path()).redirect_path_prefix("/static"));
    let app = layer.wrap(router);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (path, content) in &files {
        let url = prefix.url(path);
        let answer = runtime.block_on(ask(app.clone(), get(&url)));
        prop_assert_eq!(answer.status, 200, "{}", url);
        prop_assert_eq!(&*answer.body, content.as_bytes());
        prop_assert_eq!(&integrity[&url], &digest(&answer.body));
    }
    fs::remove_dir_all(root.path())?;
    Ok(())
}

proptest! {
    #[test]
    fn whatever_the_names_are_the_map_is_safe_and_true(case in cases()) {
        check(case)?;
    }
}
