//! A small site of which three releases are kept, and what it is called in an input:
//!
//! ```text
//! / hashed shared              the first line: see below
//! {m} {v} {1} {2} {s}          mount; the current version, those before it, and an unknown one
//! {app1} {index2} {only1}      the dictionary that a client has: a file of the first release …
//! {tag} {dcz}                  the tag of `app.js`, and of its delta against the first one
//! ```

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, fs,
    future::{Ready, ready},
    path::PathBuf,
    sync::{LazyLock, OnceLock},
};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::{Method, Request, Response, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tower::service_fn;
use tower_static_url::{Deltas, Fingerprinted, Manifest, StaticUrlLayer, releases::Releases};

use crate::site::{etag_of, replace};

pub(crate) const COUNT: usize = 3;
pub(crate) const CURRENT: usize = COUNT - 1;

/// Of the right shape, and nobody's.
const STALE: &str = "00000000000000aa";

/// Words that say how the layer is set up.
const WORDS: [&str; 5] = ["/", "nested", "hashed", "shared", "memory"];

pub(crate) type Tree = BTreeMap<&'static str, Vec<u8>>;

/// The name that changes with each release, as Vite makes it.
const INDEX: [&str; COUNT] =
    ["assets/index-Bx7a91Zq.js", "assets/index-9fQ2LmXc.js", "assets/index-CyV8b0Ar.js"];

/// The first release first.
pub(crate) static TREES: LazyLock<[Tree; COUNT]> = LazyLock::new(|| {
    [0, 1, 2].map(|i| {
        let mut tree = Tree::from([
            ("app.js", script("app", i)),
            ("with (odd)+name:1.js", script("odd", i)),
            ("same.css", script("same", 0)),
            ("tiny.txt", vec![b'0' + i as u8]),
            ("empty.txt", Vec::new()),
            (INDEX[i], script("index", i)),
        ]);
        match i {
            0 => drop(tree.insert("only.js", script("only", 0))),
            // The content is known, but not here.
            CURRENT => drop(tree.insert("moved.js", script("only", 0))),
            _ => {}
        }
        tree
    })
});

/// Text of which one line is another in each release.
fn script(name: &str, release: usize) -> Vec<u8> {
    let line = |i: usize| format!("export const {name}{i} = {};\n", i * 7919 % 1009);
    let lines = (0..60).map(line).chain([format!("export const release = {release};\n")]);
    lines.collect::<String>().into_bytes()
}

/// What a path is called in all releases.
pub(crate) fn name(path: &str, is_hashed: bool) -> &str {
    if is_hashed && INDEX.contains(&path) { "assets/index-*.js" } else { path }
}

/// The directory with the releases. It is the same for every process, so it is not deleted.
struct Published {
    root: PathBuf,
    releases: Releases,
    versions: [String; COUNT],
    /// What the service over the directory sends, and when it was modified.
    files: BTreeMap<String, (Bytes, String)>,
}

static PUBLISHED: LazyLock<Published> = LazyLock::new(|| {
    let text = TREES.iter().flat_map(|tree| tree.values()).flatten().copied().collect::<Vec<_>>();
    let name = format!("tower-static-url-fuzz-{}", &HEXLOWER.encode(&Sha256::digest(text))[..16]);
    let root = env::temp_dir().join(name);
    let releases = Releases::folder(root.join("site")).expect("the directory can be created");
    let mut files = BTreeMap::new();
    let versions = [0, 1, 2].map(|i| {
        let directory = root.join(i.to_string());
        write(&directory, &TREES[i]);
        let manifest = Manifest::scan(&directory).expect("the files are there");
        let version = manifest.digest_hex()[..16].to_owned();
        releases.publish(&version, &manifest, [&directory]).expect("the files are as listed");
        for (path, content) in &TREES[i] {
            let kept = releases.files().join(&version).join(path);
            let modified = kept.metadata().and_then(|metadata| metadata.modified());
            let modified = httpdate::fmt_http_date(modified.expect("it was published"));
            files.insert(format!("{version}/{path}"), (content.clone().into(), modified));
        }
        version
    });
    Published { root, releases, versions, files }
});

/// Another process may be reading the same files.
fn write(directory: &std::path::Path, tree: &Tree) {
    for (path, content) in tree {
        let path = directory.join(path);
        if fs::read(&path).is_ok_and(|found| found == *content) {
            continue;
        }
        fs::create_dir_all(path.parent().expect("it is below the directory"))
            .and_then(|()| fs::write(&path, content))
            .expect("the temporary directory is writable");
    }
}

pub(crate) fn versions() -> &'static [String; COUNT] {
    &PUBLISHED.versions
}

/// What lasts from input to input: all that is learned of the files is true for good.
pub(crate) struct DeltaSite {
    pub(crate) layer: StaticUrlLayer,
    /// The same without deltas.
    pub(crate) twin: StaticUrlLayer,
    /// Without a slash at the end.
    pub(crate) mount: &'static str,
    /// What stands before the version in the paths that arrive.
    pub(crate) base: &'static str,
    pub(crate) is_hashed: bool,
    pub(crate) is_shared: bool,
}

impl DeltaSite {
    /// Of the words of a first line.
    pub(crate) fn of(words: &[&str]) -> &'static Self {
        static SITES: [OnceLock<DeltaSite>; 1 << WORDS.len()] =
            [const { OnceLock::new() }; 1 << WORDS.len()];
        let has = WORDS.map(|word| words.contains(&word));
        let at = has.iter().fold(0, |at, &has| at << 1 | usize::from(has));
        SITES[at].get_or_init(|| Self::new(has))
    }

    fn new([is_root, is_nested, is_hashed, is_shared, has_memory]: [bool; WORDS.len()]) -> Self {
        let mount = if is_root { "/" } else { "/static" };
        let build = |deltas: Option<Deltas>| {
            let root = PUBLISHED.root.join(CURRENT.to_string());
            let mut builder = StaticUrlLayer::builder(mount).root(root);
            builder = builder.memory_budget(if has_memory { 1 << 20 } else { 0 });
            builder = builder.releases(PUBLISHED.releases.clone(), service_fn(kept));
            if is_hashed {
                builder = builder.fingerprinted(Fingerprinted::vite());
            }
            if let Some(deltas) = deltas {
                builder = builder.deltas(deltas);
            }
            let layer = builder.build().expect("the settings are valid");
            if is_nested { layer.nested() } else { layer }
        };
        let deltas = if is_shared { Deltas::new().shared() } else { Deltas::new() };
        let (layer, twin) = (build(Some(deltas)), build(None));
        assert_eq!(layer.prefix().version(), versions()[CURRENT]);
        let mount = mount.trim_end_matches('/');
        let base = if is_nested { "" } else { mount };
        Self { layer, twin, mount, base, is_hashed, is_shared }
    }
}

/// The service over the directory of releases.
fn kept<B>(request: Request<B>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let path = decoded(request.uri().path().trim_start_matches('/'));
    let file = path.and_then(|path| PUBLISHED.files.get(&path));
    let response = file.map(|(content, modified)| {
        let mut response = send(request.method(), content.clone());
        let modified = modified.parse().expect("a date is visible ASCII");
        response.headers_mut().insert(header::LAST_MODIFIED, modified);
        response
    });
    ready(Ok(response.unwrap_or_else(not_found)))
}

/// The service behind the layer.
pub(crate) fn inner(request: &Request<()>, base: &str) -> Response<Full<Bytes>> {
    let path = request.uri().path().strip_prefix(base).and_then(|path| path.strip_prefix('/'));
    let content = path.and_then(decoded).and_then(|path| TREES[CURRENT].get(&*path));
    content.map_or_else(not_found, |content| send(request.method(), content.clone().into()))
}

fn send(method: &Method, content: Bytes) -> Response<Full<Bytes>> {
    let length = content.len();
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let body = if *method == Method::GET { content } else { Bytes::new() };
    let response = Response::builder().status(if is_read { 200 } else { 405 });
    let response = response.header("content-type", "text/plain");
    let length = if is_read { length } else { 0 };
    response.header("content-length", length).body(Full::new(body)).expect("it is valid")
}

fn not_found() -> Response<Full<Bytes>> {
    Response::builder().status(404).body(Full::default()).expect("it is valid")
}

pub(crate) fn decoded(path: &str) -> Option<String> {
    String::from_utf8(percent_decode_str(path).collect()).ok()
}

/// What takes long, or is not the same in every process, happens before the first input.
pub fn prepare_deltas() {
    for bits in 0..1_usize << WORDS.len() {
        let words = WORDS.into_iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
        DeltaSite::of(&words.map(|(_, word)| word).collect::<Vec<_>>());
    }
}

/// Fills the gaps of a line.
pub(crate) fn fill(words: &[&str], line: &[u8]) -> Vec<u8> {
    static GAPS: LazyLock<Vec<(&str, String)>> = LazyLock::new(gaps);
    let line = replace(line, "{m}", DeltaSite::of(words).base);
    GAPS.iter().fold(line, |line, (gap, text)| replace(&line, gap, text))
}

fn gaps() -> Vec<(&'static str, String)> {
    let [first, second, current] = versions().clone();
    let [app1, app3] = [0, CURRENT].map(|i| &TREES[i]["app.js"]);
    let of = |i: usize, path: &str| available(&TREES[i][path]);
    let digits = |content: &[u8]| HEXLOWER.encode(&Sha256::digest(content));
    vec![
        ("{v}", current),
        ("{1}", first),
        ("{2}", second),
        ("{s}", STALE.into()),
        ("{app1}", of(0, "app.js")),
        ("{app2}", of(1, "app.js")),
        ("{app3}", of(CURRENT, "app.js")),
        ("{index1}", of(0, INDEX[0])),
        ("{index2}", of(1, INDEX[1])),
        ("{odd1}", of(0, "with (odd)+name:1.js")),
        ("{only1}", of(0, "only.js")),
        ("{same}", of(0, "same.css")),
        ("{tag}", etag_of(app3)),
        ("{dcz}", format!("W/\"{}-dcz-{}\"", digits(app3), &digits(app1)[..16])),
    ]
}

/// What a client sends that has this content (RFC 9842 §2.2).
pub(crate) fn available(content: &[u8]) -> String {
    format!(":{}:", BASE64.encode(&Sha256::digest(content)))
}
