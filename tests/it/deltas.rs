//! After a deploy a client that has the old file downloads what has changed, and any other client
//! what it would without deltas.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request},
};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower::Layer as _;
use tower_http::compression::CompressionLayer;
use tower_static_url::{
    CachePolicy, Deltas, ErrorKind, Fingerprinted, StaticUrlLayer, StaticUrlLayerBuilder,
    VersionSource, releases::Releases,
};
use zstd::zstd_safe::{DCtx, DParameter};

use crate::support::{
    Answer, ServeDir, Warnings, YEAR, ask, etag_of, get, gzip, request, tree,
    wire::{Connection, Server, exchange_http2},
    write, write_at,
};

const PRIVATE: &str = "private, max-age=31536000, immutable";
const VARY: &str = "accept-encoding, available-dictionary";

/// A site with a directory of releases.
struct Site {
    releases: TempDir,
    root: TempDir,
    layer: StaticUrlLayer,
    /// How many requests the inner service has seen.
    calls: Arc<AtomicUsize>,
    fields: Vec<(&'static str, &'static str)>,
    /// The inner service compresses on the way.
    compresses: bool,
}

/// A script of some length, in which one line is different in each version.
fn script(line: &str) -> String {
    let lines = (0..2000).map(|i| format!("export const value{i} = {};\n", i * 7919 % 1000));
    lines.chain([format!("export const line = {line:?};\n")]).collect()
}

impl Site {
    /// Publishes two trees one after the other. The second one is current.
    fn after_deploy(old: TempDir, new: TempDir) -> Self {
        Self::with(old, new, |builder| builder)
    }

    fn with(
        old: TempDir,
        new: TempDir,
        settings: impl Fn(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
    ) -> Self {
        let releases = tempfile::tempdir().unwrap();
        let layer = |root: &TempDir| {
            let opened = Releases::folder(releases.path().join("site")).unwrap();
            let files = ServeDir::new(opened.files()).precompressed_gzip();
            let builder = StaticUrlLayer::builder("/static").root(root.path());
            let builder = builder.releases(opened, files).deltas(Deltas::new());
            let layer = settings(builder).build().unwrap();
            layer.publish().unwrap();
            layer
        };
        layer(&old);
        let layer = layer(&new);
        let (calls, fields) = (Arc::default(), Vec::new());
        Self { releases, root: new, layer, calls, fields, compresses: false }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let files = ServeDir::new(self.root.path()).precompressed_gzip();
        let router = Router::new().nest_service("/static", files.redirect_path_prefix("/static"));
        let router = if self.compresses { router.layer(CompressionLayer::new()) } else { router };
        let (calls, fields) = (Arc::clone(&self.calls), self.fields.clone());
        let router = router.layer(axum::middleware::map_response(
            move |mut response: axum::response::Response| {
                calls.fetch_add(1, Relaxed);
                for (name, value) in &fields {
                    response.headers_mut().insert(*name, HeaderValue::from_static(value));
                }
                async { response }
            },
        ));
        ask(self.layer.wrap(router), request).await
    }

    async fn get(&self, path: &str, lines: &[(&str, &str)]) -> Answer {
        self.send(request("GET", &self.url(path), lines)).await
    }

    /// Requests a file as a browser does that has `dictionary`.
    async fn get_with(&self, path: &str, dictionary: impl AsRef<[u8]>) -> Answer {
        let available = available(dictionary);
        self.get(path, &[("accept-encoding", BROWSER), ("available-dictionary", &available)]).await
    }

    fn url(&self, path: &str) -> String {
        self.layer.prefix().url(path)
    }

    /// Deletes the `app.js` of the releases that has these bytes, and puts others in its place.
    fn spoil(&self, bytes: &str, others: Option<&str>) {
        for entry in fs::read_dir(self.releases.path().join("site/files")).unwrap() {
            let file = entry.unwrap().path().join("app.js");
            if fs::read(&file).unwrap() == bytes.as_bytes() {
                fs::remove_file(&file).unwrap();
                if let Some(others) = others {
                    fs::write(&file, others).unwrap();
                }
            }
        }
    }
}

const BROWSER: &str = "gzip, deflate, br, zstd, dcb, dcz";

fn available(dictionary: impl AsRef<[u8]>) -> String {
    format!(":{}:", BASE64.encode(&Sha256::digest(dictionary)))
}

fn delta_tag(dictionary: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> String {
    let [dictionary, content] =
        [dictionary.as_ref(), content.as_ref()].map(|it| HEXLOWER.encode(&Sha256::digest(it)));
    format!("W/\"{content}-dcz-{}\"", &dictionary[..16])
}

/// Decodes a body as a client does that has the dictionary.
fn decode(dictionary: impl AsRef<[u8]>, body: &[u8]) -> Vec<u8> {
    assert_eq!(body[..8], [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    assert_eq!(body[8..40], Sha256::digest(&dictionary)[..]);
    let mut context = DCtx::create();
    context.set_parameter(DParameter::WindowLogMax(27)).unwrap();
    context.ref_prefix(dictionary.as_ref()).unwrap();
    let mut content = Vec::with_capacity(64 << 20);
    context.decompress(&mut content, body).unwrap();
    content
}

fn is_delta(answer: &Answer, dictionary: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-encoding"), "dcz", "{answer:?}");
    assert_eq!(answer.field("etag"), delta_tag(&dictionary, &content));
    assert_eq!(answer.field("content-length"), answer.body.len().to_string());
    assert_eq!(answer.field("vary"), VARY);
    assert_eq!(decode(&dictionary, &answer.body), content.as_ref());
}

fn is_whole(answer: &Answer, content: impl AsRef<[u8]>, name: &str) {
    assert_eq!(answer.status, 200, "{name}");
    assert_eq!(answer.field("content-encoding"), "", "{name}");
    assert_eq!(answer.body, content.as_ref(), "{name}");
}

#[tokio::test]
async fn a_client_with_the_old_file_gets_what_has_changed() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    for turn in 0..3 {
        let answer = site.get_with("app.js", &old).await;
        is_delta(&answer, &old, &new);
        assert!(answer.body.len() < 120, "{}", answer.body.len());
        assert_eq!(answer.cache_control(), PRIVATE);
        assert_eq!(answer.field("use-as-dictionary"), r#"match="/static/:v/app.js""#);
        assert_eq!(answer.field("content-type"), "text/javascript");
        assert_ne!(answer.field("last-modified"), "");
        assert_eq!(site.calls.load(Relaxed), 1, "turn {turn}: only the first asks the service");
    }
    let whole = site.get("app.js", &[("accept-encoding", BROWSER)]).await;
    is_whole(&whole, &new, "another client");
    assert_eq!((whole.cache_control(), whole.field("etag")), (YEAR.into(), etag_of(&new)));
    assert_eq!(whole.field("vary"), VARY);
}

/// `HEAD` has the fields of `GET`.
#[tokio::test]
async fn head() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let available = available(&old);
    let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
    let url = site.url("app.js");
    let head_first = site.send(request("HEAD", &url, &lines)).await;
    let got = site.send(request("GET", &url, &lines)).await;
    let head = site.send(request("HEAD", &url, &lines)).await;
    for (name, head) in [("first", head_first), ("later", head)] {
        assert!(head.body.is_empty(), "{name}");
        assert_eq!(head.head.headers(), got.head.headers(), "{name}");
    }
}

/// Whoever asks first, and whatever the response is made of.
#[tokio::test]
async fn head_has_the_fields_of_get() {
    for bits in 0..32 {
        let [with_memory, is_kept, compresses, head_first, is_for_an_origin] =
            [1, 2, 4, 8, 16].map(|bit| bits & bit > 0);
        let name = format!("memory {with_memory}, kept {is_kept}, compressed {compresses}");
        let (old, new) = (script("one"), script("two"));
        let [first, second] = [("app.js", &*old), ("app.js", &*new)];
        let before = Site::after_deploy(tree([second]), tree([first])).url("app.js");
        let memory = |builder: StaticUrlLayerBuilder| {
            builder.memory_budget(if with_memory { 8 << 20 } else { 0 })
        };
        let fields = if is_for_an_origin { vec![("vary", "origin")] } else { Vec::new() };
        let site = Site::with(tree([first]), tree([second]), memory);
        let site = Site { compresses, fields, ..site };
        let (url, has) = if is_kept { (before, &new) } else { (site.url("app.js"), &old) };
        let available = available(has);
        let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
        let methods = if head_first { ["HEAD", "GET"] } else { ["GET", "HEAD"] };
        let mut answers = Vec::new();
        for method in methods.repeat(3) {
            let answer = site.send(request(method, &url, &lines)).await;
            assert_eq!(answer.field("content-encoding"), "dcz", "{name}");
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{name}");
            answers.push(answer);
        }
        for answer in &answers[1..] {
            assert_eq!(answer.head.headers(), answers[0].head.headers(), "{name}");
        }
    }
}

/// Over HTTP/1 and HTTP/2: the length of a delta that `HEAD` announces is that of no body.
#[test]
fn on_a_socket() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let files = ServeDir::new(site.root.path());
    let router = Router::new().nest_service("/static", files);
    let server = Server::start(site.layer.layer(router));
    let mut connection = Connection::open(&server);
    let (available, url) = (available(&old), site.url("app.js"));
    let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
    for method in ["HEAD", "GET", "HEAD", "GET"] {
        let answer = connection.exchange(method, &url, &lines);
        assert!(answer.status == 200 && answer.is_complete);
        if method == "GET" {
            assert_eq!(decode(&old, &answer.body), new.as_bytes());
        }
        let request = Request::builder().method(method).uri(format!("http://localhost{url}"));
        let request = lines.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        let over_http2 = exchange_http2(&server, request.body(()).unwrap()).unwrap();
        assert_eq!((over_http2.status, over_http2.body), (200, answer.body));
    }
}

/// A mount of `/`, and a layer below a router that has stripped the mount.
#[tokio::test]
async fn any_mount() {
    let (old, new) = (script("one"), script("two"));
    let (before, after) = (tree([("a (1).js", &*old)]), tree([("a (1).js", &*new)]));
    for (mount, is_nested) in [("/", false), ("/static", true), ("/a+b/c", true)] {
        let releases = tempfile::tempdir().unwrap();
        let layer = |root: &TempDir| {
            let opened = Releases::folder(releases.path().join("site")).unwrap();
            let files = ServeDir::new(opened.files());
            let builder = StaticUrlLayer::builder(mount).root(root.path());
            let layer = builder.releases(opened, files).deltas(Deltas::new()).build().unwrap();
            layer.publish().unwrap();
            layer
        };
        let (earlier, layer) = (layer(&before), layer(&after));
        let files = ServeDir::new(after.path());
        let prefixed = Router::new().fallback_service(files);
        let router = match is_nested {
            true => Router::new().nest(mount, prefixed.layer(layer.nested())),
            false => prefixed.layer(layer.clone()),
        };
        let base = mount.trim_end_matches('/').replace('+', r"\\+");
        let offer = format!(r#"match="{base}/:v/a%20\\(1\\).js""#);
        for (has, wanted, version) in [(&old, &new, &layer), (&new, &old, &earlier)] {
            let available = available(has);
            let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
            let url = format!("{}a%20(1).js", version.prefix());
            for _ in 0..2 {
                let whole = ask(router.clone(), get(&url)).await;
                assert_eq!(
                    (whole.status.as_u16(), whole.field("use-as-dictionary")),
                    (200, offer.clone())
                );
                let answer = ask(router.clone(), request("GET", &url, &lines)).await;
                is_delta(&answer, has, wanted);
                assert_eq!(answer.field("use-as-dictionary"), offer);
            }
        }
    }
}

/// The common case of a deploy.
#[tokio::test]
async fn an_unchanged_file_costs_some_bytes() {
    let same = script("same");
    let old = tree([("app.js", &*same), ("b.css", "p {}")]);
    let new = tree([("app.js", &*same), ("b.css", "b {}")]);
    let site = Site::after_deploy(old, new);
    for _ in 0..2 {
        let answer = site.get_with("app.js", &same).await;
        is_delta(&answer, &same, &same);
        assert!(answer.body.len() < 70, "{}", answer.body.len());
    }
}

/// A page of the old version is still open, and its browser has the new file; or after a rollback.
#[tokio::test]
async fn kept_versions_have_deltas_too() {
    let (old, new) = (script("one"), script("two"));
    let [first, second] = [("app.js", &*old), ("app.js", &*new)];
    let before = Site::after_deploy(tree([second]), tree([first])).url("app.js");
    let site = Site::after_deploy(tree([first]), tree([second]));
    let available = available(&new);
    let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
    for _ in 0..2 {
        let answer = site.send(request("GET", &before, &lines)).await;
        is_delta(&answer, &new, &old);
        assert_eq!(answer.cache_control(), PRIVATE);
        assert_eq!(answer.field("use-as-dictionary"), r#"match="/static/:v/app.js""#);
    }
    let whole = site.send(get(&before)).await;
    is_whole(&whole, &old, "another client");
    assert_eq!(whole.field("use-as-dictionary"), r#"match="/static/:v/app.js""#);
    assert_eq!(whole.field("vary"), VARY);
}

/// Whether a release's file is what it should be is found out before anything of it is sent. A 304
/// and a question for a delta do not count as that.
#[tokio::test]
async fn a_question_for_a_delta_does_not_vouch_for_a_file() {
    let (old, new) = (script("one"), script("two"));
    let [first, second] = [("app.js", &*old), ("app.js", &*new)];
    let before = Site::after_deploy(tree([second]), tree([first])).url("app.js");
    let site = Site::after_deploy(tree([first]), tree([second]));
    let bad = script("bad");
    assert_eq!(bad.len(), old.len());
    site.spoil(&old, Some(&bad));
    let (available, tag) = (available(&new), etag_of(&old));
    let lines = [
        ("accept-encoding", BROWSER),
        ("available-dictionary", &*available),
        ("if-none-match", &*tag),
    ];
    let not_modified = site.send(request("GET", &before, &lines)).await;
    assert_eq!(not_modified.status, 304);
    for lines in [&[][..], &lines[..2]] {
        let answer = site.send(request("GET", &before, lines)).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (502, "no-store".into()));
    }
}

/// Everything but a well-formed request for it gets the answer without deltas.
#[tokio::test]
async fn who_does_not_ask_for_a_delta_gets_none() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    // The delta is there, for whoever asks.
    is_delta(&site.get_with("app.js", &old).await, &old, &new);
    let (known, unknown) = (available(&old), available("other bytes"));
    let (accept, dictionary) = (("accept-encoding", BROWSER), ("available-dictionary", &*known));
    for (name, lines) in [
        ("no dictionary", &[accept][..]),
        ("no coding", &[dictionary]),
        ("any coding", &[("accept-encoding", "*"), dictionary]),
        ("the coding refused", &[("accept-encoding", "dcz;q=0, *"), dictionary]),
        ("another coding", &[("accept-encoding", "dcb"), dictionary]),
        ("a made-up dictionary", &[accept, ("available-dictionary", &*unknown)]),
        ("a malformed one", &[accept, ("available-dictionary", ":AAAA:")]),
        ("several", &[accept, dictionary, ("available-dictionary", &*known)]),
        ("another site", &[accept, dictionary, ("sec-fetch-site", "cross-site")]),
        ("somebody", &[accept, dictionary, ("authorization", "Basic YTpi")]),
    ] {
        let answer = site.get("app.js", lines).await;
        is_whole(&answer, &new, name);
    }
    let part = site.get("app.js", &[accept, dictionary, ("range", "bytes=0-9")]).await;
    assert_eq!((part.status.as_u16(), part.field("content-encoding")), (206, String::new()));
    for (name, url) in
        [("unversioned", "/static/app.js"), ("stale", "/static/0123456789abcdef/app.js")]
    {
        let answer = site.send(request("GET", url, &[accept, dictionary])).await;
        is_whole(&answer, &new, name);
        assert_eq!(answer.cache_control(), "no-cache", "{name}");
        assert_eq!(answer.field("use-as-dictionary"), "", "{name}");
    }
}

/// Whoever has a delta has the file.
#[tokio::test]
async fn the_tag_of_a_delta_is_a_tag_of_the_file() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let tag = delta_tag(&old, &new);
    let other = delta_tag(&new, &old);
    let available = available(&old);
    let lines = |tag: &'static str| [("if-none-match", tag), ("accept-encoding", BROWSER)];
    let (tag, other): (&'static str, &'static str) = (tag.leak(), other.leak());
    for turn in 0..2 {
        for with_dictionary in [false, true] {
            let mut lines = lines(tag).to_vec();
            if with_dictionary {
                lines.push(("available-dictionary", &available));
            }
            let answer = site.get("app.js", &lines).await;
            let name = format!("turn {turn}, {with_dictionary}");
            assert_eq!((answer.status.as_u16(), answer.field("etag")), (304, tag.into()), "{name}");
            assert_eq!(answer.field("vary"), VARY, "{name}");
            assert_eq!(answer.cache_control(), PRIVATE, "{name}");
        }
        let answer = site.get("app.js", &lines(other)).await;
        is_whole(&answer, &new, "another file's");
    }
    // Where no deltas are sent, nobody has such a tag.
    let unversioned = request("GET", "/static/app.js", &[("if-none-match", tag)]);
    is_whole(&site.send(unversioned).await, &new, "unversioned");
    let own = etag_of(&new);
    for _ in 0..2 {
        let answer = site.get("app.js", &[("if-none-match", &*own)]).await;
        assert_eq!((answer.status.as_u16(), answer.field("vary")), (304, VARY.into()));
        assert_eq!(answer.cache_control(), YEAR);
    }
}

/// What a delta needs may be gone. Nobody notices.
#[tokio::test]
async fn the_old_file_is_gone() {
    for (name, spoil) in [
        ("deleted", None),
        ("other bytes", Some(script("bad"))),
        ("longer", Some(script("one") + "x")),
        ("empty", Some(String::new())),
    ] {
        let (old, new) = (script("one"), script("two"));
        let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
        site.spoil(&old, spoil.as_deref());
        for _ in 0..2 {
            is_whole(&site.get_with("app.js", &old).await, &new, name);
        }
    }
}

/// What is no file is not opened.
#[cfg(unix)]
#[tokio::test]
async fn the_old_file_is_something_else() {
    for name in ["a directory", "a link", "a pipe"] {
        let (old, new) = (script("one"), script("two"));
        let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
        let elsewhere = site.releases.path().join("elsewhere");
        fs::write(&elsewhere, &old).unwrap();
        let files = fs::read_dir(site.releases.path().join("site/files")).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path().join("app.js"));
        let file = files.find(|file| fs::read(file).unwrap() == old.as_bytes()).unwrap();
        fs::remove_file(&file).unwrap();
        match name {
            "a directory" => fs::create_dir(&file).unwrap(),
            "a link" => std::os::unix::fs::symlink(&elsewhere, &file).unwrap(),
            _ => {
                let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
                assert!(made.success());
            }
        }
        for _ in 0..2 {
            is_whole(&site.get_with("app.js", &old).await, &new, name);
        }
    }
}

/// The directory of the current version may have it no longer, and the tree another file.
#[tokio::test]
async fn the_new_file_has_changed() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    write(site.root.path(), "app.js", script("bad") + "and longer");
    let answer = site.get_with("app.js", &old).await;
    is_whole(&answer, script("bad") + "and longer", "the inner service's");
    assert_eq!(answer.cache_control(), "no-cache");
    assert_eq!(answer.field("use-as-dictionary"), "");
}

/// The smallest response wins.
#[tokio::test]
async fn a_smaller_sibling_is_sent_instead() {
    let (old, new) = ("no two lines have anything in common".repeat(3), "0123".repeat(1000));
    let (before, after) = (tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    write(after.path(), "app.js.gz", gzip(&new));
    let site = Site::after_deploy(before, after);
    for _ in 0..2 {
        let zipped = site.get_with("app.js", &old).await;
        assert_eq!(zipped.field("content-encoding"), "gzip");
        assert_eq!(zipped.field("vary"), VARY);
        // Whoever does not accept that gets the delta, if it is smaller than the plain file.
        let available = available(&old);
        let lines = [("accept-encoding", "dcz"), ("available-dictionary", &*available)];
        let answer = site.get("app.js", &lines).await;
        is_delta(&answer, &old, &new);
    }
}

#[tokio::test]
async fn shared_caches_may_keep_deltas_if_that_is_said() {
    let (old, new) = (script("one"), script("two"));
    let shared = |builder: StaticUrlLayerBuilder| builder.deltas(Deltas::new().shared());
    let site = Site::with(tree([("app.js", &*old)]), tree([("app.js", &*new)]), shared);
    for _ in 0..2 {
        let answer = site.get_with("app.js", &old).await;
        is_delta(&answer, &old, &new);
        assert_eq!(answer.cache_control(), YEAR);
    }
    // A cache may ask with the tag of a delta for a client that cannot read it, and would send it
    // the delta after a 304 (RFC 9111 §4.3.1).
    let (tag, known, other) = (delta_tag(&old, &new), available(&old), available(&new));
    let (accept, tag) = (("accept-encoding", BROWSER), ("if-none-match", &*tag));
    let known = ("available-dictionary", &*known);
    for (name, lines, expected) in [
        ("a client that can read it", &[accept, known, tag][..], 304),
        ("no dictionary", &[accept, tag], 200),
        ("another dictionary", &[accept, ("available-dictionary", &*other), tag], 200),
        ("no coding", &[("accept-encoding", "gzip"), known, tag], 200),
        ("any coding", &[("accept-encoding", "*"), known, tag], 200),
        ("another site", &[accept, known, ("sec-fetch-site", "cross-site"), tag], 200),
    ] {
        let answer = site.get("app.js", lines).await;
        assert_eq!(
            (answer.status.as_u16(), answer.cache_control()),
            (expected, YEAR.into()),
            "{name}"
        );
        assert_eq!(answer.field("vary"), VARY, "{name}");
    }
}

/// A bundler gives the file another name with each content.
#[tokio::test]
async fn names_that_differ_in_their_hash_are_one_file() {
    let (old, new) = (script("one"), script("two"));
    let [before, after] = ["assets/index-9fQ2LmXc.js", "assets/index-Bx7a91Zq.js"];
    let vite = |builder: StaticUrlLayerBuilder| builder.fingerprinted(Fingerprinted::vite());
    let old_files = [(before, &*old), ("a.js", "a")];
    let site = Site::with(tree(old_files), tree([(after, &*new), ("a.js", "a")]), vite);
    let url = site.url(after);
    assert_eq!(url, "/static/assets/index-Bx7a91Zq.js");
    for _ in 0..2 {
        let answer = site.get_with(after, &old).await;
        is_delta(&answer, &old, &new);
        assert_eq!(answer.field("use-as-dictionary"), r#"match="/static/assets/index-*.js""#);
    }
    // Under a version as well, with a pattern of its own.
    let versioned = format!("{}{after}", site.layer.prefix());
    let answer = site.send(get(&versioned)).await;
    assert_eq!(answer.field("use-as-dictionary"), r#"match="/static/:v/assets/index-*.js""#);
    let answer = site.send(get(&url)).await;
    assert_eq!(answer.field("use-as-dictionary"), r#"match="/static/assets/index-*.js""#);
    // Another file is no dictionary for it.
    is_whole(&site.get_with(after, "a").await, &new, "another path");
    // The old name is answered from its release, with a delta of the new file.
    let available = available(&new);
    let lines = [("accept-encoding", BROWSER), ("available-dictionary", &*available)];
    let kept = site.send(request("GET", &format!("/static/{before}"), &lines)).await;
    is_delta(&kept, &new, &old);
}

/// What may be a dictionary, and what may not.
#[tokio::test]
async fn what_is_offered() {
    let content = script("one");
    let files = [("app.js", &*content), ("a (1)+.js", "p"), ("empty.js", "")];
    let site = Site::after_deploy(tree([("x", "y")]), tree(files));
    let plain = r#"match="/static/:v/app.js""#;
    let prefix = site.layer.prefix().to_string();
    for (name, method, path, lines, expected) in [
        ("a file", "GET", "app.js", &[][..], plain),
        ("HEAD", "HEAD", "app.js", &[], plain),
        ("in spite of a query", "GET", "app.js?a=b", &[], plain),
        ("an authorized client", "GET", "app.js", &[("authorization", "Basic YTpi")], ""),
        ("a part", "GET", "app.js", &[("range", "bytes=0-9")], ""),
        ("POST", "POST", "app.js", &[], ""),
        ("not listed", "GET", "missing.js", &[], ""),
        ("an empty file", "GET", "empty.js", &[], ""),
        ("escaped", "GET", "a%20(1)+.js", &[], r#"match="/static/:v/a%20\\(1\\)\\+.js""#),
        ("all escaped", "GET", "a%20%281%29%2B.js", &[], r#"match="/static/:v/a%20%281%29%2B.js""#),
    ] {
        let answer = site.send(request(method, &format!("{prefix}{path}"), lines)).await;
        assert_eq!(answer.field("use-as-dictionary"), expected, "{name}");
        if !expected.is_empty() {
            assert_eq!(answer.field("vary"), VARY, "{name}");
        }
    }
}

/// What the inner service says counts.
#[tokio::test]
async fn what_is_not_for_everybody_is_not_offered() {
    let (old, new) = (script("one"), script("two"));
    for (name, field) in [
        ("a cookie", ("set-cookie", "a=b")),
        ("private", ("cache-control", "private")),
        ("no-store", ("cache-control", "no-store")),
        ("no-cache", ("cache-control", "no-cache")),
        ("varies on everything", ("vary", "*")),
    ] {
        let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
        let site = Site { fields: vec![field], ..site };
        for _ in 0..2 {
            let answer = site.get_with("app.js", &old).await;
            is_whole(&answer, &new, name);
            assert_eq!(answer.field("use-as-dictionary"), "", "{name}");
        }
    }
    // A lifetime of its own, and fields of its own, go along.
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let fields = vec![("cache-control", "public, max-age=60"), ("x-own", "1"), ("vary", "origin")];
    let site = Site { fields, ..site };
    for turn in 1..3 {
        let answer = site.get_with("app.js", &old).await;
        assert_eq!(decode(&old, &answer.body), new.as_bytes());
        assert_eq!(answer.cache_control(), "private, max-age=60");
        assert_eq!(answer.field("x-own"), "1");
        assert_eq!(answer.field("vary"), "origin, accept-encoding, available-dictionary");
        assert_eq!(site.calls.load(Relaxed), turn, "it may say something else to others");
    }
    let policy = |builder: StaticUrlLayerBuilder| builder.current(CachePolicy::no_cache());
    let site = Site::with(tree([("app.js", &*old)]), tree([("app.js", &*new)]), policy);
    let answer = site.get_with("app.js", &old).await;
    is_whole(&answer, &new, "the layer's own policy");
    assert_eq!(answer.field("use-as-dictionary"), "");
}

/// What a response says of its own bytes is not true of a delta.
#[tokio::test]
async fn a_response_that_describes_its_bytes_stays() {
    let (old, new) = (script("one"), script("two"));
    for field in [
        ("content-digest", "sha-256=:AAAA:"),
        ("repr-digest", "sha-256=:AAAA:"),
        ("digest", "sha-256=AAAA"),
        ("trailer", "x-checksum"),
        ("transfer-encoding", "chunked"),
    ] {
        let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
        let site = Site { fields: vec![field], ..site };
        for _ in 0..2 {
            is_whole(&site.get_with("app.js", &old).await, &new, field.0);
        }
    }
}

/// Browsers keep only so many dictionaries: compressed forms do not count, and a file that comes
/// among the largest is offered in all its responses.
#[tokio::test]
async fn no_more_than_a_browser_keeps_is_offered() {
    let names = (0..400).map(|i| format!("{i}.js")).collect::<Vec<_>>();
    let large = names.iter().map(|name| (&**name, "a larger file"));
    let root = tree(large.chain([("app.js", "small")]));
    for name in &names[..10] {
        write(root.path(), &format!("{name}.gz"), gzip("a larger file"));
    }
    let site = Site::after_deploy(tree([("x", "y")]), root);
    for name in &names {
        let offer = site.get(name, &[]).await.field("use-as-dictionary");
        assert_eq!(offer, format!("match=\"/static/:v/{name}\""));
    }
    let tag = etag_of("small");
    let offer = r#"match="/static/:v/app.js""#;
    for (offer, vary) in [("", "accept-encoding"), (offer, VARY)] {
        for _ in 0..2 {
            let whole = site.get("app.js", &[]).await;
            assert_eq!(
                (whole.field("use-as-dictionary"), whole.field("vary")),
                (offer.into(), vary.into())
            );
            let copy = site.get("app.js", &[("if-none-match", &*tag)]).await;
            assert_eq!((copy.status.as_u16(), copy.field("vary")), (304, vary.into()));
        }
        if offer.is_empty() {
            fs::remove_file(site.root.path().join("399.js")).unwrap();
            site.layer.reload().unwrap();
        }
    }
}

/// Made-up dictionaries cost a look into a table in memory.
#[tokio::test]
async fn ten_thousand_made_up_dictionaries() {
    let (old, new) = (script("one"), script("two"));
    let (releases, before, after) =
        (tempfile::tempdir().unwrap(), tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let reads = Arc::new(AtomicUsize::new(0));
    let layer = |root: &TempDir| {
        let opened = Releases::folder(releases.path().join("site")).unwrap();
        let reads = Arc::clone(&reads);
        let files = tower::ServiceBuilder::new().map_request(move |request| {
            reads.fetch_add(1, Relaxed);
            request
        });
        let files = files.service(ServeDir::new(opened.files()));
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = builder.releases(opened, files).deltas(Deltas::new()).build().unwrap();
        layer.publish().unwrap();
        layer
    };
    layer(&before);
    let layer = layer(&after);
    let (calls, fields) = (Arc::default(), Vec::new());
    let site = Site { releases, root: after, layer, calls, fields, compresses: false };
    // Nothing is read that is not there.
    let files = site.releases.path().join("site/files");
    let hidden = site.releases.path().join("hidden");
    fs::rename(&files, &hidden).unwrap();
    for number in 0..10_000_u32 {
        let answer = site.get_with("app.js", number.to_le_bytes()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, new.len()));
        assert_eq!(answer.field("content-encoding"), "");
    }
    assert_eq!(reads.load(Relaxed), 0);
    fs::rename(&hidden, &files).unwrap();
    is_delta(&site.get_with("app.js", &old).await, &old, &new);
}

/// Many clients ask at once for the same delta, and some go away.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let site = Arc::new(site);
    let ask = |_| {
        let (site, old) = (Arc::clone(&site), old.clone());
        tokio::spawn(async move { site.get_with("app.js", old).await })
    };
    let asking = (0..500).map(ask).collect::<Vec<_>>();
    for (i, answer) in asking.into_iter().enumerate() {
        if i % 3 == 0 {
            answer.abort();
        } else {
            is_delta(&answer.await.unwrap(), &old, &new);
        }
    }
}

/// With memory nothing changes but who is asked.
#[tokio::test]
async fn with_memory() {
    let (old, new) = (script("one"), script("two"));
    let memory = |builder: StaticUrlLayerBuilder| builder.memory_budget(8 << 20);
    let odd = "a (1).js";
    let [before, after] = [[("app.js", &*old), (odd, "1")], [("app.js", &*new), (odd, "2")]];
    let site = Site::with(tree(before), tree(after), memory);
    let spellings = ["a%20(1).js", "a%20%281%29.js"];
    let offers = [r#"match="/static/:v/a%20\\(1\\).js""#, r#"match="/static/:v/a%20%281%29.js""#];
    for _ in 0..3 {
        let whole = site.get("app.js", &[("accept-encoding", BROWSER)]).await;
        is_whole(&whole, &new, "whole");
        assert_eq!(whole.field("use-as-dictionary"), r#"match="/static/:v/app.js""#);
        assert_eq!(whole.field("vary"), VARY);
        is_delta(&site.get_with("app.js", &old).await, &old, &new);
        for (spelling, offer) in spellings.iter().zip(offers) {
            let answer = site.send(get(&format!("{}{spelling}", site.layer.prefix()))).await;
            is_whole(&answer, "2", spelling);
            assert_eq!(answer.field("use-as-dictionary"), offer);
        }
    }
    assert_eq!(site.calls.load(Relaxed), 2, "each file once");
}

/// A withdrawn release is no dictionary any more.
#[tokio::test]
async fn a_release_that_is_gone() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    is_delta(&site.get_with("app.js", &old).await, &old, &new);
    let releases = Releases::folder(site.releases.path().join("site")).unwrap();
    let gone = releases.list().unwrap().into_iter().find(|release| release.superseded().is_some());
    releases.withdraw(gone.unwrap().version()).unwrap();
    // The layer looks again when somebody asks for a version that it does not know.
    let url = "/static/0123456789abcdef/app.js";
    site.send(get(url)).await;
    is_whole(&site.get_with("app.js", &old).await, &new, "withdrawn");
    assert!(site.get_with("app.js", &new).await.body.len() < 70, "of the file itself");
}

#[test]
fn what_deltas_need() {
    let root = tree([("a", "b")]);
    let error = |builder: StaticUrlLayerBuilder| builder.build().unwrap_err();
    let without = error(StaticUrlLayer::builder("/static").root(root.path()).deltas(Deltas::new()));
    assert_eq!(without.kind(), ErrorKind::ManifestRequired);
    assert_eq!(without.to_string(), "`deltas` needs the old files: give the builder `releases`");
    let releases = Releases::folder(root.path().join("releases")).unwrap();
    let files = ServeDir::new(releases.files());
    let builder = StaticUrlLayer::builder("/static").releases(releases, files);
    let version = VersionSource::literal("v1");
    let unlisted = error(builder.version(version).deltas(Deltas::new()));
    assert_eq!(unlisted.kind(), ErrorKind::ManifestRequired);
    assert!(unlisted.to_string().starts_with("`deltas` needs a root or a manifest"));
}

/// A response without the bytes of a file says nothing of them.
#[tokio::test]
async fn a_304_does_not_vouch_for_a_kept_file() {
    let (old, new) = (script("one"), script("two"));
    let spoilt = script("bad");
    for (name, bytes, expected) in [("as published", &old, 200), ("spoilt", &spoilt, 502)] {
        let [first, second] = [("app.js", &*old), ("app.js", &*new)];
        let before = Site::after_deploy(tree([second]), tree([first])).layer.prefix().to_string();
        let site = Site::after_deploy(tree([first]), tree([second]));
        let version = before.trim_end_matches('/').rsplit('/').next().unwrap();
        let file = site.releases.path().join("site/files").join(version).join("app.js");
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::remove_file(&file).unwrap();
        write_at(&file, bytes, modified);
        let (tag, available) = (etag_of(&old), available(&new));
        let lines = [
            ("if-none-match", &*tag),
            ("accept-encoding", BROWSER),
            ("available-dictionary", &available),
        ];
        let url = format!("{before}app.js");
        assert_eq!(site.send(request("GET", &url, &lines)).await.status, 304, "{name}");
        let whole = site.send(get(&url)).await;
        assert_eq!(whole.status, expected, "{name}");
        if expected == 200 {
            assert_eq!(whole.cache_control(), YEAR, "{name}");
        }
    }
}

/// An operator can count what deltas do: each fact is one event.
#[tokio::test]
async fn what_can_be_seen() {
    let (old, new) = (script("one"), script("two"));
    let site = Site::after_deploy(tree([("app.js", &*old)]), tree([("app.js", &*new)]));
    let log = Warnings::capture();
    let mut seen = 0;
    let mut events = || {
        let all = log.all();
        let new = all[seen..].iter().map(|line| {
            let (_, message) = line.split_once("tower_static_url: ").unwrap();
            message.split(" path=").next().unwrap().to_owned()
        });
        let new = new.filter(|line| !line.starts_with("request ")).collect::<Vec<_>>();
        seen = all.len();
        new
    };
    let (offered, asked) = ("offered as a dictionary", "a client has a dictionary");
    for (name, dictionary, expected) in [
        ("made", &old, &[asked, offered, "made and sent a delta"][..]),
        ("sent again", &old, &[asked, "sent a delta again"]),
        (
            "an unknown dictionary",
            &script("three"),
            &[asked, offered, "no release has the client's dictionary"],
        ),
    ] {
        site.get_with("app.js", dictionary).await;
        assert_eq!(events(), expected, "{name}");
    }
    site.get("app.js", &[]).await;
    assert_eq!(events(), [offered], "another client");
    let saved = log.all().iter().filter(|line| line.contains("saved=")).count();
    assert_eq!(saved, 2);

    let site = Site::after_deploy(tree([("a.js", "old")]), tree([("a.js", "new")]));
    site.get_with("a.js", "old").await;
    assert_eq!(events(), [asked, offered, "sent no delta"], "a small file");
    let why = log.all().into_iter().find(|line| line.contains("sent no delta"));
    assert!(why.unwrap().contains("why=NotSmaller"));
}
