//! A small site, with what is hard to tell apart.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tower_static_url::{Manifest, StalePolicy, StaticUrlLayer};

/// At the top of the tree, and shaped like a version.
pub(crate) const FOLDER: &str = "0123456789abcdef";

/// Of the right shape, and no file's.
const STALE: &str = "00000000000000aa";

pub(crate) const HELLO: (&str, &str) = ("hello.txt", "hello world");
pub(crate) const CSS: (&str, &str) = ("css/app.css", "body { color: teal }");
pub(crate) const CSS_GZ: (&str, &str) = ("css/app.css.gz", "stands for the same, compressed");
const DRIFTED: &str = "drifted.txt";

/// What the layer lists.
const LISTED: [(&str, &str); 9] = [
    HELLO,
    CSS,
    CSS_GZ,
    ("with space.txt", "space"),
    ("100%.txt", "percent"),
    ("a/.../b;c.txt", "three dots are a name"),
    ("0123456789abcdef/real.txt", "a folder shaped like a version"),
    ("empty.txt", ""),
    (DRIFTED, "as scanned"),
];

/// What is there besides, and instead.
const SERVED: [(&str, &str); 3] =
    [(DRIFTED, "changed since"), ("late.txt", "not there at the scan"), ("docs/", "<h1>docs</h1>")];

pub(crate) fn listed(path: &str) -> Option<&'static str> {
    LISTED.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

pub(crate) fn served(path: &str) -> Option<&'static str> {
    let now = SERVED.iter().find(|(name, _)| *name == path).map(|(_, content)| *content);
    now.or_else(|| listed(path))
}

pub(crate) fn etag_of(content: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(content)))
}

pub(crate) struct Site {
    pub(crate) layer: StaticUrlLayer,
    /// Without a slash at the end.
    pub(crate) mount: &'static str,
    /// What stands before the version in the paths that arrive.
    pub(crate) base: &'static str,
    pub(crate) version: String,
    pub(crate) serves_stale: bool,
}

impl Site {
    /// Of the words of a first line.
    pub(crate) fn new(words: &[&str]) -> Self {
        static MANIFEST: LazyLock<Manifest> =
            LazyLock::new(|| Manifest::from_files(LISTED).expect("the paths are plain"));
        let mount = mount(words);
        let stale = match words {
            words if words.contains(&"redirect") => StalePolicy::Redirect,
            words if words.contains(&"gone") => StalePolicy::NotFound,
            _ => StalePolicy::Serve,
        };
        let layer = StaticUrlLayer::builder(if mount.is_empty() { "/" } else { mount });
        let layer = layer.manifest(MANIFEST.clone()).stale(stale).build();
        let layer = layer.expect("the settings are valid");
        let nested = words.contains(&"nested");
        Self {
            version: layer.prefix().version().to_owned(),
            layer: if nested { layer.nested() } else { layer },
            mount,
            base: if nested { "" } else { mount },
            serves_stale: stale == StalePolicy::Serve,
        }
    }
}

fn mount(words: &[&str]) -> &'static str {
    let mounts = ["/a/static", "/static", "/"];
    let named = mounts.into_iter().find(|it| words.contains(it)).unwrap_or("/static");
    named.trim_end_matches('/')
}

/// Fills the gaps of a line: `{v}` is the current version, `{s}` a stale one, and so on.
pub(crate) fn fill(words: &[&str], line: &[u8]) -> Vec<u8> {
    static GAPS: LazyLock<[(&str, String); 6]> = LazyLock::new(|| {
        [
            ("{v}", Site::new(&[]).version),
            ("{s}", STALE.into()),
            ("{f}", FOLDER.into()),
            ("{tag}", etag_of(HELLO.1)),
            ("{css}", etag_of(CSS.1)),
            ("{gz}", etag_of(CSS_GZ.1)),
        ]
    });
    let base = if words.contains(&"nested") { "" } else { mount(words) };
    let line = replace(line, "{m}", base);
    GAPS.iter().fold(line, |line, (gap, text)| replace(&line, gap, text))
}

fn replace(line: &[u8], gap: &str, text: &str) -> Vec<u8> {
    let mut filled = Vec::with_capacity(line.len());
    let mut left = line;
    while let Some(at) = left.windows(gap.len()).position(|it| it == gap.as_bytes()) {
        filled.extend_from_slice(&left[..at]);
        filled.extend_from_slice(text.as_bytes());
        left = &left[at + gap.len()..];
    }
    filled.extend_from_slice(left);
    filled
}

/// The file that a path without a version asks for.
pub(crate) fn asked_for(path: &str, base: &str) -> Option<String> {
    let below = path.strip_prefix(base)?.strip_prefix('/')?;
    String::from_utf8(percent_decode_str(below).collect()).ok()
}
