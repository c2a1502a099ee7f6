//! A small site, with what is hard to tell apart.

use std::{
    env, fs,
    num::NonZero,
    process,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tower_static_url::{
    CachePolicy, Manifest, StalePolicy, StaticUrlLayer, VersionSource, manifest::Scan,
};

/// At the top of the tree, and shaped like a version.
pub(crate) const FOLDER: &str = "0123456789abcdef";

/// Of the right shape, and no file's.
const STALE: &str = "00000000000000aa";

pub(crate) const HELLO: (&str, &[u8]) = ("hello.txt", b"hello world");
pub(crate) const CSS: (&str, &[u8]) = ("css/app.css", b"body { color: teal }");
/// `gzip -n` of it.
pub(crate) const CSS_GZ: (&str, &[u8]) = (
    "css/app.css.gz",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x4b\xca\x4f\xa9\x54\xa8\x56\x48\xce\xcf\xc9\x2f\
      \xb2\x52\x28\x49\x4d\xcc\x51\xa8\x05\x00\x9b\x84\xa0\x07\x14\x00\x00\x00",
);
pub(crate) const DRIFTED: &str = "drifted.txt";
const INDEX: (&str, &[u8]) = ("index.html", b"<h1>front</h1>");

/// What the layer lists; the last one only where the root is to have a page.
const LISTED: [(&str, &[u8]); 10] = [
    HELLO,
    CSS,
    CSS_GZ,
    ("with space.txt", b"space"),
    ("100%.txt", b"percent"),
    ("a/.../b;c.txt", b"three dots are a name"),
    ("0123456789abcdef/real.txt", b"a folder shaped like a version"),
    ("empty.txt", b""),
    (DRIFTED, b"as scanned"),
    INDEX,
];

/// What is there besides, and instead.
const SERVED: [(&str, &[u8]); 4] = [
    (DRIFTED, b"changed since"),
    ("late.txt", b"not there at the scan"),
    ("docs/", b"<h1>docs</h1>"),
    ("", INDEX.1),
];

/// When every file was modified: in that second of `DATE`.
pub(crate) const MODIFIED: Duration = Duration::new(784_111_777, 123_456_789);
pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

pub(crate) fn served(path: &str) -> Option<&'static [u8]> {
    let find = |files: &[(&str, &'static [u8])]| {
        files.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
    };
    find(&SERVED).or_else(|| find(&LISTED))
}

pub(crate) fn etag_of(content: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(content)))
}

/// What tower-http's `ServeDir` makes of a modification time and a length.
pub(crate) fn dir_etag(modified: Duration, length: usize) -> String {
    format!("\"{:x}.{:08x}-{length:x}\"", modified.as_secs(), modified.subsec_nanos())
}

pub(crate) struct Site {
    pub(crate) layer: StaticUrlLayer,
    /// Without a slash at the end.
    pub(crate) mount: &'static str,
    /// What stands before the version in the paths that arrive.
    pub(crate) base: &'static str,
    pub(crate) version: String,
    pub(crate) stale: StalePolicy,
    /// The policy of URLs without a version.
    pub(crate) unversioned: &'static str,
    listed: &'static [(&'static str, &'static [u8])],
    /// The manifest knows when the files were modified.
    pub(crate) is_dated: bool,
    pub(crate) is_development: bool,
    pub(crate) has_memory: bool,
}

impl Site {
    /// Of the words of a first line.
    pub(crate) fn new(words: &[&str]) -> Self {
        let has = |word| words.contains(&word);
        let (mount, listed, stale) = (mount(words), listed(words), stale(words));
        let builder = StaticUrlLayer::builder(if mount.is_empty() { "/" } else { mount });
        let builder = match listed {
            [] => builder.version(VersionSource::build_id("declared")),
            _ => builder.manifest(manifest(listed, has("dated")).clone()),
        };
        let builder = builder.stale(stale.clone()).development(has("dev"));
        let builder = builder.memory_budget(if has("memory") { 1 << 20 } else { 0 });
        let hour = CachePolicy::max_age(Duration::from_secs(3600));
        let builder = if has("hour") { builder.unversioned(hour) } else { builder };
        let layer = builder.build().expect("the settings are valid");
        Self {
            version: layer.prefix().version().to_owned(),
            layer: if has("nested") { layer.nested() } else { layer },
            mount,
            base: base(words),
            stale,
            unversioned: if has("hour") && !has("dev") {
                "public, max-age=3600"
            } else {
                "no-cache"
            },
            listed,
            is_dated: has("dated"),
            is_development: has("dev"),
            has_memory: has("memory"),
        }
    }

    pub(crate) fn has_manifest(&self) -> bool {
        !self.listed.is_empty()
    }

    pub(crate) fn listed(&self, path: &str) -> Option<&'static [u8]> {
        self.listed.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
    }

    /// Whether there is a listed file in that folder, which has no slash at the end.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        let start = format!("{path}/");
        self.listed.iter().any(|(name, _)| name.starts_with(&start))
    }

    pub(crate) fn serves_stale(&self) -> bool {
        !matches!(self.stale, StalePolicy::Redirect | StalePolicy::NotFound)
    }
}

fn listed(words: &[&str]) -> &'static [(&'static str, &'static [u8])] {
    match words {
        words if words.contains(&"declared") => &[],
        words if words.contains(&"index") => &LISTED,
        _ => &LISTED[..LISTED.len() - 1],
    }
}

fn stale(words: &[&str]) -> StalePolicy {
    match words {
        words if words.contains(&"redirect") => StalePolicy::Redirect,
        words if words.contains(&"gone") => StalePolicy::NotFound,
        words if words.contains(&"unkept") => CachePolicy::no_store().into(),
        _ => StalePolicy::Serve,
    }
}

fn mount(words: &[&str]) -> &'static str {
    let mounts = ["/a/static", "/static", "/"];
    let named = mounts.into_iter().find(|it| words.contains(it)).unwrap_or("/static");
    named.trim_end_matches('/')
}

fn base(words: &[&str]) -> &'static str {
    if words.contains(&"nested") { "" } else { mount(words) }
}

/// Without and with a page of the root, each from memory and as if scanned.
static MANIFESTS: LazyLock<[[Manifest; 2]; 2]> = LazyLock::new(|| {
    [&LISTED[..LISTED.len() - 1], &LISTED].map(|files| {
        let embedded = Manifest::from_files(files.iter().copied()).expect("the paths are plain");
        let scanned = scan(files);
        assert_eq!(scanned, embedded, "the same files");
        [embedded, scanned]
    })
});

fn manifest(listed: &[(&str, &[u8])], is_dated: bool) -> &'static Manifest {
    &MANIFESTS[usize::from(listed.len() == LISTED.len())][usize::from(is_dated)]
}

/// The files as a scan finds them that were all modified at `MODIFIED`.
fn scan(files: &[(&str, &[u8])]) -> Manifest {
    let name = format!("tower-static-url-fuzz-{}-{}", process::id(), files.len());
    let root = env::temp_dir().join(name);
    let write = |&(path, content): &(&str, &[u8])| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it is below the root"))?;
        fs::write(&path, content)?;
        let file = fs::File::options().write(true).open(&path)?;
        file.set_modified(SystemTime::UNIX_EPOCH + MODIFIED)
    };
    files.iter().try_for_each(write).expect("the temporary folder is writable");
    let scan = Scan::new(&root).threads(NonZero::<usize>::MIN).ignore(|_| false);
    let manifest = scan.run().expect("the files are there");
    fs::remove_dir_all(&root).expect("nobody else has removed it");
    manifest
}

/// What takes long, or is not the same in every process, happens before the first input.
pub fn prepare() {
    LazyLock::force(&MANIFESTS);
    fill(&[], b"{v}");
}

/// Fills the gaps of a line: `{v}` is the current version, `{s}` a stale one, and so on.
pub(crate) fn fill(words: &[&str], line: &[u8]) -> Vec<u8> {
    static GAPS: LazyLock<[(&str, String); 6]> = LazyLock::new(|| {
        [
            ("{s}", STALE.into()),
            ("{f}", FOLDER.into()),
            ("{tag}", etag_of(HELLO.1)),
            ("{css}", etag_of(CSS.1)),
            ("{gz}", etag_of(CSS_GZ.1)),
            ("{dir}", dir_etag(MODIFIED, HELLO.1.len())),
        ]
    });
    static VERSIONS: LazyLock<[String; 3]> =
        LazyLock::new(|| ["", "index", "declared"].map(|word| Site::new(&[word]).version));
    let version = &VERSIONS[match listed(words).len() {
        0 => 2,
        length => usize::from(length == LISTED.len()),
    }];
    let line = replace(line, "{m}", base(words));
    let line = replace(&line, "{v}", version);
    GAPS.iter().fold(line, |line, (gap, text)| replace(&line, gap, text))
}

pub(crate) fn replace(line: &[u8], gap: &str, text: &str) -> Vec<u8> {
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
