//! Preload links: what each file gets, and that a strict reader understands them.

use std::iter;

use data_encoding::BASE64;
use proptest::{prelude::*, test_runner::TestCaseResult};
use sha2::{Digest as _, Sha256};
use tower_static_url::{
    ErrorKind, Fingerprinted, Manifest, Preload, PreloadAs, Preloads, StaticUrlLayer,
    StaticUrlLayerBuilder, VersionSource,
};

use crate::support::tree;

fn builder<'p>(paths: impl IntoIterator<Item = &'p str>) -> StaticUrlLayerBuilder {
    let manifest = Manifest::from_files(paths.into_iter().map(|path| (path, path))).unwrap();
    let version = VersionSource::literal("v1");
    StaticUrlLayer::builder("/static").manifest(manifest).version(version)
}

fn digest(content: impl AsRef<[u8]>) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(content)))
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    target: String,
    parameters: Vec<(String, Option<String>)>,
}

impl Link {
    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(other, _)| other == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| other == name)?.1.as_deref()
    }
}

/// Reads a `Link` field, RFC 8288 §3: `#( "<" URI-Reference ">" *( OWS ";" OWS link-param ) )`.
/// Panics where it is something else.
fn parse(mut field: &str) -> Vec<Link> {
    let mut links = Vec::new();
    loop {
        let (target, mut rest) = field.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert!(
            target.bytes().all(|byte| byte.is_ascii_graphic() && !br#"<>"\^`{|}"#.contains(&byte))
        );
        let mut parameters = Vec::new();
        while let Some(parameter) = rest.trim_start().strip_prefix(';') {
            let (name, after) = token(parameter.trim_start());
            let (value, after) = match after.strip_prefix('=') {
                Some(value) => value_of(value),
                None => (None, after),
            };
            parameters.push((name.to_owned(), value));
            rest = after;
        }
        links.push(Link { target: target.to_owned(), parameters });
        match rest.strip_prefix(',') {
            Some(next) => field = next.trim_start(),
            None => break assert_eq!(rest, ""),
        }
    }
    links
}

/// A `token` (RFC 9110 §5.6.2), and what follows.
fn token(text: &str) -> (&str, &str) {
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_tchar(c)).unwrap_or(text.len());
    assert_ne!(end, 0, "{text}");
    text.split_at(end)
}

/// A `token` or a `quoted-string` without escapes, and what follows.
fn value_of(text: &str) -> (Option<String>, &str) {
    let (value, rest) = match text.strip_prefix('"') {
        Some(text) => text.split_once('"').unwrap(),
        None => token(text),
    };
    assert!(!value.contains('\\'));
    (Some(value.to_owned()), rest)
}

fn parse_one(preloads: &Preloads) -> [Link; 1] {
    parse(preloads.header().unwrap().to_str().unwrap()).try_into().unwrap()
}

fn element(link: &Link) -> String {
    let attributes = link.parameters.iter().map(|(name, value)| match value {
        Some(value) => format!(" {name}=\"{value}\""),
        None => format!(" {name}"),
    });
    format!("<link href=\"{}\"{}>", link.target, attributes.collect::<String>())
}

#[test]
fn what_each_file_gets() {
    const PATHS: [&str; 7] = ["a.css", "a.js", "a.mjs", "a.woff2", "a.svg", "a.json", "fetched"];
    let own = builder(PATHS).build().unwrap().prefix();
    let other = builder(PATHS).origin("https://cdn.example.com").build().unwrap().prefix();
    let root = tree(PATHS.map(|path| (path, path)));
    let scanned = StaticUrlLayer::builder("/static").root(root.path()).development(true);
    let development = scanned.build().unwrap().prefix();
    for (name, preload, rel, load_as, crossorigin, integrity) in [
        ("style", Preload::new("a.css"), "preload", Some("style"), [false, true], true),
        ("script", Preload::new("a.js"), "preload", Some("script"), [false, true], true),
        ("module", Preload::module("a.js"), "preload", Some("script"), [true, true], true),
        ("module by name", Preload::new("a.mjs"), "preload", Some("script"), [true, true], true),
        ("font", Preload::new("a.woff2"), "preload", Some("font"), [true, true], false),
        ("image", Preload::new("a.svg"), "preload", Some("image"), [false, false], false),
        (
            "image, asked to",
            Preload::new("a.svg").crossorigin(),
            "preload",
            Some("image"),
            [true, true],
            false,
        ),
        ("data", Preload::new("a.json"), "preload", Some("fetch"), [true, true], false),
        (
            "data by word",
            Preload::new("fetched").load_as(PreloadAs::Fetch),
            "preload",
            Some("fetch"),
            [true, true],
            false,
        ),
        (
            "style, asked to",
            Preload::new("a.css").crossorigin(),
            "preload",
            Some("style"),
            [true, true],
            true,
        ),
        (
            "style without integrity",
            Preload::new("a.css").without_integrity(),
            "preload",
            Some("style"),
            [false, true],
            false,
        ),
    ] {
        for (prefix, crossorigin, has_integrity) in [
            (&own, crossorigin[0], integrity),
            (&other, crossorigin[1], integrity),
            (&development, crossorigin[0], false),
        ] {
            let name = format!("{name}, {prefix}");
            let [link] = parse_one(&prefix.preloads([preload]).unwrap());
            let path = link.target.strip_prefix(prefix.as_str()).unwrap().to_owned();
            assert_eq!(link.target, prefix.url(&path), "{name}");
            assert_eq!(link.value("rel"), Some(rel), "{name}");
            assert_eq!(link.value("as"), load_as, "{name}");
            assert_eq!(link.has("crossorigin"), crossorigin, "{name}");
            let expected = has_integrity.then(|| digest(&path));
            assert_eq!(link.value("integrity"), expected.as_deref(), "{name}");

            // As an element, and where no import map can follow.
            let preloads = prefix.preloads([preload]).unwrap();
            let html = preloads.to_html();
            let [compiled] = parse_one(&preloads.without_import_map());
            let is_module = path == "a.mjs" || preload == Preload::module("a.js");
            let rel = if is_module { "modulepreload" } else { "preload" };
            assert_eq!(compiled.value("rel"), Some(rel), "{name}");
            assert_eq!(compiled.has("as"), !is_module, "{name}");
            assert_eq!(compiled.has("crossorigin"), crossorigin && !is_module, "{name}");
            assert_eq!(compiled.value("integrity"), expected.as_deref(), "{name}");
            assert_eq!(html, element(&compiled), "{name}");
        }
    }
}

#[test]
fn fingerprinted_files_have_urls_of_their_own() {
    let builder = builder(["a.css", "a.0a1b2c3d.css"]).fingerprinted(Fingerprinted::parcel());
    let prefix = builder.build().unwrap().prefix();
    let preloads = prefix.preloads(["a.css", "a.0a1b2c3d.css"]).unwrap();
    let targets = parse(preloads.header().unwrap().to_str().unwrap()).into_iter();
    let targets = targets.map(|link| link.target).collect::<Vec<_>>();
    assert_eq!(targets, ["/static/v1/a.css", "/static/a.0a1b2c3d.css"]);
    assert!(preloads.to_html().contains(" href=\"/static/a.0a1b2c3d.css\" "));
}

#[test]
fn errors_name_the_file() {
    let prefix = builder(["css/app.css", "start"]).build().unwrap().prefix();
    for (path, kind, expected) in [
        (
            "css/ap.css",
            ErrorKind::NotListed,
            r#""css/ap.css" is not listed; nearest is "css/app.css""#,
        ),
        (
            "start",
            ErrorKind::UnknownDestination,
            r#""start": the name does not tell what to preload it as"#,
        ),
    ] {
        let error = prefix.preloads(["css/app.css", path]).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (kind, expected));
    }
}

#[test]
fn without_a_word_the_field_is_at_most_1_kib() {
    let paths = (0..20).map(|i| format!("{i:02}.css")).collect::<Vec<_>>();
    let prefix = builder(paths.iter().map(String::as_str)).build().unwrap().prefix();
    let preloads = prefix.preloads(paths.iter().map(String::as_str)).unwrap();
    let field = preloads.header().unwrap();
    let fitting = parse(field.to_str().unwrap()).len();
    let of_one = prefix.preloads([&*paths[0]]).unwrap().header().unwrap().len();
    assert!((1024 - of_one..=1024).contains(&field.len()), "{}", field.len());
    assert_eq!(preloads.left_out().collect::<Vec<_>>(), paths[fitting..]);
    let all = preloads.clone().budget(usize::MAX);
    assert_eq!(parse(all.header().unwrap().to_str().unwrap()).len(), 20);
    assert_eq!(all.left_out().count(), 0);
    assert_eq!(preloads.to_html().matches("<link ").count(), 20, "elements have no budget");
}

const SUFFIXES: [&str; 7] = ["css", "js", "mjs", "woff2", "svg", "json", "CSS"];

fn names() -> impl Strategy<Value = Vec<String>> {
    let name = (any::<String>(), proptest::sample::select(&SUFFIXES[..]));
    proptest::collection::vec(name, 1..8).prop_map(|names| {
        let names = names.into_iter().enumerate();
        let plain = |text: String| text.replace(['/', '\\', '\0'], "<&\"'>,; %#?");
        names.map(|(i, (name, suffix))| format!("{i}{}.{suffix}", plain(name))).collect()
    })
}

/// Whatever the files are called, the field has whole links only, in the order given, and no
/// more than allowed; and a reader of HTML finds the same links.
fn check(names: &[String], budget: usize, origin: Option<&str>) -> TestCaseResult {
    let builder = builder(names.iter().map(String::as_str));
    let builder = origin.into_iter().fold(builder, StaticUrlLayerBuilder::origin);
    let prefix = builder.build().unwrap().prefix();
    let preloads = prefix.preloads(names.iter().map(String::as_str)).unwrap().budget(budget);
    let field = preloads.header();
    let length = field.as_ref().map_or(0, |field| field.len());
    prop_assert!(length <= budget, "{length}");
    let in_field = field.iter().flat_map(|field| parse(field.to_str().unwrap()));
    let left_out = preloads.left_out().collect::<Vec<_>>();
    let fitting = names.iter().filter(|name| !left_out.contains(&name.as_str()));
    let expected = fitting.map(|name| prefix.url(name)).collect::<Vec<_>>();
    prop_assert_eq!(in_field.map(|link| link.target).collect::<Vec<_>>(), expected);
    for path in left_out {
        let alone = prefix.preloads([path]).unwrap().header();
        let comma = if length == 0 { 0 } else { 2 };
        prop_assert!(alone.is_none_or(|alone| length + comma + alone.len() > budget), "{path}");
    }

    let html = preloads.to_html();
    let elements = html.split_terminator('>').collect::<Vec<_>>();
    prop_assert_eq!(elements.len(), names.len());
    for (element, name) in iter::zip(elements, names) {
        let attributes = element.strip_prefix("<link ").unwrap();
        prop_assert!(!attributes.contains(['<', '&', '\'']), "{attributes}");
        let href = format!("href=\"{}\" ", prefix.url(name));
        prop_assert!(attributes.starts_with(&href), "{attributes}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_the_names_are_the_links_are_whole(
        names in names(),
        budget in 0_usize..1500,
        origin in proptest::option::of(Just("https://cdn.example.com")),
    ) {
        check(&names, budget, origin)?;
    }
}
