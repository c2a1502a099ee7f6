//! Every version that is kept gives its own bytes, from every node, whatever is current there.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response},
};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tempfile::TempDir;
use tower::{Service, ServiceExt, service_fn};
use tower_static_url::{
    EmptyBody, ErrorKind, Fingerprinted, StalePolicy, StaticPrefix, StaticUrlLayer,
    StaticUrlLayerBuilder, StaticUrlOutcome, UnlistedPolicy, VersionSource, releases::Releases,
};

use crate::support::{
    Answer, ServeDir, Warnings, YEAR, ask,
    demo::{Demo, http_client},
    etag_of, get, gzip, request, tree, write,
};

/// A directory of releases, and a node for each tree that is served.
struct Fleet {
    folder: TempDir,
}

/// A server with a tree of its own.
struct Node {
    root: TempDir,
    layer: StaticUrlLayer,
}

impl Fleet {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Opens the releases as a process does.
    fn releases(&self) -> Releases {
        Releases::folder(self.folder.path().join("releases")).unwrap()
    }

    fn file(&self, version: &str, path: &str) -> std::path::PathBuf {
        self.releases().files().join(version).join(path)
    }

    /// Starts a node that knows what has been published before.
    fn node(&self, root: TempDir) -> Node {
        self.node_with(root, |builder| builder)
    }

    fn node_with(
        &self,
        root: TempDir,
        settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
    ) -> Node {
        let releases = self.releases();
        let files = ServeDir::new(releases.files()).precompressed_gzip();
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = settings(builder.releases(releases, files)).build().unwrap();
        Node { root, layer }
    }

    /// Publishes a tree, and returns its prefix.
    fn publish(&self, root: TempDir) -> String {
        let node = self.node(root);
        node.layer.publish().unwrap();
        node.layer.prefix().to_string()
    }
}

impl Node {
    fn router(&self) -> Router {
        let files = ServeDir::new(self.root.path()).precompressed_gzip();
        Router::new().nest_service("/static", files.redirect_path_prefix("/static"))
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(get(url)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        ask(self.layer.wrap(self.router()), request).await
    }
}

/// What a response says of itself.
fn said(answer: &Answer) -> (u16, String, String) {
    (answer.status.as_u16(), answer.cache_control(), answer.field("etag"))
}

fn is_file(answer: &Answer, content: &str) {
    assert_eq!(said(answer), (200, YEAR.into(), etag_of(content)), "{answer:?}");
    assert_eq!(answer.body, content.as_bytes());
}

fn is_refused(answer: &Answer, status: u16) {
    assert_eq!(said(answer), (status, "no-store".into(), String::new()), "{answer:?}");
    assert!(answer.body.is_empty());
}

const OLD: [(&str, &str); 3] = [("app.js", "old"), ("css/app.css", "p {}"), ("gone.js", "gone")];
const NEW: [(&str, &str); 3] = [("app.js", "new!"), ("css/app.css", "p {}"), ("come.js", "come")];

/// A deploy and a rollback: whatever a node has, every page's links give that page's bytes.
#[tokio::test]
async fn each_version_gives_its_own_bytes_from_every_node() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.publish(tree(OLD)), fleet.publish(tree(NEW)));
    for current in [OLD, NEW] {
        let node = fleet.node(tree(current));
        for (prefix, files) in [(&old, OLD), (&new, NEW)] {
            for (path, content) in files {
                for _ in 0..2 {
                    is_file(&node.get(&format!("{prefix}{path}")).await, content);
                }
            }
        }
        is_refused(&node.get(&format!("{old}come.js")).await, 404);
        is_refused(&node.get(&format!("{new}gone.js")).await, 404);
    }
}

/// Everything that HTTP can ask of a current file, it can ask of a kept one.
#[tokio::test]
async fn the_whole_exchange() {
    let fleet = Fleet::new();
    let (content, zipped) = ("hello, world".repeat(100), gzip("hello, world".repeat(100)));
    let old = tree([("a.js", &*content), ("with space.txt", "space"), ("empty", "")]);
    write(old.path(), "a.js.gz", &zipped);
    let old = fleet.publish(old);
    let node = fleet.node(tree([("a.js", "new")]));
    let (url, tag, zipped_tag) = (&*format!("{old}a.js"), &*etag_of(&content), &*etag_of(&zipped));
    let gzip = ("accept-encoding", "gzip");
    let (all, part) = (content.as_bytes(), &content.as_bytes()[3..9]);
    for (name, method, fields, status, etag, body) in [
        ("whole", "GET", &[][..], 200, tag, all),
        ("head", "HEAD", &[], 200, tag, b""),
        ("a sibling", "GET", &[gzip], 200, zipped_tag, &*zipped),
        ("a sibling, head", "HEAD", &[gzip], 200, zipped_tag, b""),
        ("a range", "GET", &[("range", "bytes=3-8")], 206, tag, part),
        (
            "a range of a sibling",
            "GET",
            &[("range", "bytes=3-8"), gzip],
            206,
            zipped_tag,
            &zipped[3..9],
        ),
        ("if-range", "GET", &[("range", "bytes=3-8"), ("if-range", tag)], 206, tag, part),
        (
            "if-range, and any coding",
            "GET",
            &[("range", "bytes=3-8"), ("if-range", tag), gzip],
            206,
            tag,
            part,
        ),
        (
            "if-range of another",
            "GET",
            &[("range", "bytes=3-8"), ("if-range", "\"x\"")],
            200,
            tag,
            all,
        ),
        ("a copy", "GET", &[("if-none-match", tag)], 304, tag, b""),
        ("a copy, head", "HEAD", &[("if-none-match", tag)], 304, tag, b""),
        (
            "a copy of the sibling",
            "GET",
            &[("if-none-match", zipped_tag), gzip],
            304,
            zipped_tag,
            b"",
        ),
        ("another copy", "GET", &[("if-none-match", "\"x\"")], 200, tag, all),
        ("if-match", "GET", &[("if-match", tag)], 200, tag, all),
    ] {
        for round in ["first", "second"] {
            // Each round has a layer that has not seen the file.
            let fresh = fleet.node(tree([("a.js", "new")]));
            let node = if round == "first" { &fresh } else { &node };
            let answer = node.send(request(method, url, fields)).await;
            let found = (answer.status.as_u16(), answer.field("etag"));
            assert_eq!(found, (status, etag.to_owned()), "{name}, {round}");
            assert_eq!(answer.cache_control(), YEAR, "{name}, {round}");
            assert_eq!(answer.body, body, "{name}, {round}");
            if method == "HEAD" && status == 200 {
                let whole = node.send(request("GET", url, fields)).await;
                assert_eq!(answer.field("content-length"), whole.field("content-length"), "{name}");
            }
        }
    }
    is_file(&node.get(&format!("{old}with%20space.txt")).await, "space");
    is_file(&node.get(&format!("{old}a.js?v=1")).await, &content);
    is_file(&node.get(&format!("{old}empty")).await, "");
    let failed = node.send(request("GET", url, &[("if-match", "\"x\"")])).await;
    assert_eq!((failed.status.as_u16(), failed.cache_control()), (412, "no-store".into()));
    let beyond = node.send(request("GET", url, &[("range", "bytes=9999-")])).await;
    assert_eq!((beyond.status.as_u16(), beyond.cache_control()), (416, "no-store".into()));
}

/// A client that has a file is answered before anybody reads it, wherever its bytes may be.
#[tokio::test]
async fn a_copy_is_confirmed_by_the_listing() {
    let fleet = Fleet::new();
    let (content, zipped) = ("hello, world".repeat(100), gzip("hello, world".repeat(100)));
    let old = tree([("a.js", &*content), ("alone", "alone")]);
    write(old.path(), "a.js.gz", &zipped);
    let old = fleet.publish(old);
    let version = old.split('/').nth(2).unwrap();
    for file in ["a.js", "a.js.gz", "alone"] {
        fs::remove_file(fleet.file(version, file)).unwrap();
    }
    let (tag, zipped, alone) = (&*etag_of(&content), &*etag_of(&zipped), &*etag_of("alone"));
    let gzip = ("accept-encoding", "gzip");
    let basic = ("authorization", "Basic YTpi");
    let private = &*YEAR.replace("public", "private");
    let varies = "accept-encoding";
    for (name, method, path, fields, status, cache_control, etag, vary) in [
        ("a copy", "GET", "a.js", &[("if-none-match", tag)][..], 304, YEAR, tag, varies),
        ("head", "HEAD", "a.js", &[("if-none-match", tag)], 304, YEAR, tag, varies),
        (
            "compressed",
            "GET",
            "a.js",
            &[("if-none-match", zipped), gzip],
            304,
            YEAR,
            zipped,
            varies,
        ),
        ("one form", "GET", "alone", &[("if-none-match", alone), gzip], 304, YEAR, alone, ""),
        ("authorized", "GET", "alone", &[("if-none-match", alone), basic], 304, private, alone, ""),
        (
            "refused",
            "GET",
            "a.js",
            &[("if-none-match", zipped), ("accept-encoding", "br")],
            502,
            "no-store",
            "",
            "",
        ),
        ("another", "GET", "a.js", &[("if-none-match", "\"x\"")], 502, "no-store", "", ""),
        ("no copy", "GET", "a.js", &[], 502, "no-store", "", ""),
        (
            "more conditions",
            "GET",
            "a.js",
            &[("if-none-match", tag), ("if-match", tag)],
            502,
            "no-store",
            "",
            "",
        ),
    ] {
        // Each has a layer that has not seen the file.
        let node = fleet.node(tree(NEW));
        let answer = node.send(request(method, &format!("{old}{path}"), fields)).await;
        let expected = (status, cache_control.to_owned(), etag.to_owned());
        assert_eq!(said(&answer), expected, "{name}: {answer:?}");
        assert_eq!((answer.field("vary"), &*answer.body), (vary.into(), &b""[..]), "{name}");
    }
    // A release that is gone confirms nothing.
    fleet.releases().withdraw(version).unwrap();
    let asked = request("GET", &format!("{old}alone"), &[("if-none-match", alone)]);
    assert_ne!(fleet.node(tree(NEW)).send(asked).await.status, 304);
}

/// A client with credentials gets nothing that a shared cache may keep.
#[tokio::test]
async fn an_authorized_client() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let node = fleet.node(tree(NEW));
    let authorized = [("authorization", "Basic YTpi")];
    let answer = node.send(request("GET", &format!("{old}app.js"), &authorized)).await;
    assert_eq!(answer.cache_control(), YEAR.replace("public", "private"));
}

/// What a kept release does not list is answered without the inner services.
#[tokio::test]
async fn what_a_kept_release_does_not_list() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree([("docs/index.html", "<p>"), ("a", "1"), ("100%", "")]));
    let node = fleet.node(tree(NEW));
    for path in [
        "app.js",
        "docs/",
        "docs",
        "",
        "index.html",
        "a/b",
        "b",
        "100%",
        "docs%2findex.html",
        "%ff",
    ] {
        let answer = node.get(&format!("{old}{path}")).await;
        if path == "docs%2findex.html" {
            // What is not plain keeps its version.
            assert_eq!((answer.status.as_u16(), answer.cache_control()), (404, "no-store".into()));
        } else {
            is_refused(&answer, 404);
        }
    }
    is_file(&node.get(&format!("{old}100%25")).await, "");
}

/// Versions of any shape, and a listed file that is named like one.
#[tokio::test]
async fn versions_of_any_shape() {
    let fleet = Fleet::new();
    let versioned = |root, version: &str| {
        fleet.node_with(root, |builder| builder.version(VersionSource::literal(version)))
    };
    for version in ["v9", "release-2026", "0123456789abcdef", "beta"] {
        let node = versioned(tree([("a", version), ("only", version)]), version);
        node.layer.publish().unwrap();
    }
    let node = versioned(tree([("a", "current"), ("beta/a", "a folder")]), "v10");
    for version in ["v9", "release-2026", "0123456789abcdef"] {
        is_file(&node.get(&format!("/static/{version}/a")).await, version);
    }
    is_file(&node.get("/static/v10/a").await, "current");
    // The literal path wins over the version, and else the version over the folder.
    let folder = node.get("/static/beta/a").await;
    assert_eq!(said(&folder), (200, "no-cache".into(), etag_of("a folder")));
    is_file(&node.get("/static/beta/only").await, "beta");
    // Only one version is removed.
    is_refused(&node.get("/static/v9/v9/a").await, 404);
    let unknown = node.get("/static/v8/a").await;
    assert_eq!(unknown.status, 404, "nobody knows it");
}

/// A directory of the current tree that is named like a kept version keeps its pages.
#[tokio::test]
async fn a_directory_that_is_named_like_a_version() {
    let fleet = Fleet::new();
    let versioned = |root, version: &str| {
        fleet.node_with(root, |builder| builder.version(VersionSource::literal(version)))
    };
    let kept = tree([("a", "kept"), ("docs/index.html", "kept"), ("index.html", "kept")]);
    versioned(kept, "beta").layer.publish().unwrap();
    let current = [
        ("beta/index.html", "<p>beta"),
        ("beta/docs/index.html", "<p>docs"),
        ("beta/a/b", "deep"),
        ("beta/c", "listed"),
    ];
    for policy in [UnlistedPolicy::Ask, UnlistedPolicy::NotFound] {
        let node = fleet.node_with(tree(current), |builder| {
            builder.version(VersionSource::literal("v2")).unlisted(policy)
        });
        for (path, page) in [("beta/", "<p>beta"), ("beta/docs/", "<p>docs"), ("beta/c", "listed")]
        {
            let answer = node.get(&format!("/static/{path}")).await;
            let found = (answer.status.as_u16(), &*answer.cache_control(), &*answer.body);
            assert_eq!(found, (200, "no-cache", page.as_bytes()), "{path}");
        }
        let moved = node.get("/static/beta/docs").await;
        assert_eq!((moved.status.as_u16(), &*moved.field("location")), (307, "/static/beta/docs/"));
        // The file of the release, not the directory, which has a slash at its end.
        is_file(&node.get("/static/beta/a").await, "kept");
        let page = node.get("/static/beta/index.html").await;
        assert_eq!((page.cache_control(), &*page.body), ("no-cache".into(), &b"<p>beta"[..]));
        is_refused(&node.get("/static/beta/b").await, 404);
    }
    let node = versioned(tree(current), "v2");
    let show = async |request: Request<Body>| request.uri().to_string();
    let app = node.layer.wrap(Router::new().fallback(show));
    for (path, seen) in
        [("beta/docs/", "/static/beta/docs/"), ("beta/", "/static/beta/"), ("beta/b", "/static/b")]
    {
        let answer = ask(app.clone(), request("OPTIONS", &format!("/static/{path}"), &[])).await;
        assert_eq!(answer.body, seen.as_bytes());
    }
}

/// The rest of the site keeps its paths, whatever they begin with.
#[tokio::test]
async fn a_mount_of_the_root() {
    let fleet = Fleet::new();
    let releases = fleet.releases();
    let literal = |root: &TempDir, version: &str| {
        let files = ServeDir::new(releases.files());
        let builder = StaticUrlLayer::builder("/").root(root.path());
        let builder = builder.version(VersionSource::literal(version));
        builder.releases(releases.clone(), files).build().unwrap()
    };
    let (old, new) = (tree([("app.js", "old")]), tree([("app.js", "new")]));
    literal(&old, "blog").publish().unwrap();
    let layer = literal(&new, "v2");
    let files = ServeDir::new(new.path());
    let site =
        Router::new().fallback_service(files).route("/blog/{post}", axum::routing::get("a post"));
    let app = layer.wrap(site);
    is_file(&ask(app.clone(), get("/blog/app.js")).await, "old");
    is_file(&ask(app.clone(), get("/v2/app.js")).await, "new");
    let post = ask(app, get("/blog/hello")).await;
    assert_eq!((&*post.body, post.cache_control()), (&b"a post"[..], String::new()));
}

/// Behind a router that has stripped the mount.
#[tokio::test]
async fn a_nested_layer() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let node = fleet.node(tree(NEW));
    let files = Router::new().fallback_service(ServeDir::new(node.root.path()));
    let app = Router::new().nest("/static", files.layer(node.layer.nested()));
    is_file(&ask(app.clone(), get(&format!("{old}app.js"))).await, "old");
    is_refused(&ask(app, get(&format!("{old}come.js"))).await, 404);
}

/// A service of any type, which sees the version as a directory.
#[tokio::test]
async fn any_service_over_the_directory() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let (root, releases) = (tree(NEW), fleet.releases());
    let redirecting = service_fn(async |request: Request<EmptyBody>| {
        let extensions = request.extensions();
        let outcome = extensions.get::<StaticUrlOutcome>().unwrap();
        let prefix = extensions.get::<StaticPrefix>().unwrap();
        Ok::<_, Infallible>(
            Response::builder()
                .status(302)
                .header("x-seen", format!("{} {outcome:?} {prefix}", request.uri()))
                .header("location", request.headers()["x-to"].clone())
                .body(String::from("moved"))
                .unwrap(),
        )
    });
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let layer = builder.releases(releases, redirecting).build().unwrap();
    let version = old.trim_start_matches("/static").to_owned();
    let current = layer.prefix().to_string();
    for (to, expected) in [
        (format!("{version}b.js?x#y"), format!("{old}b.js?x#y")),
        (format!("http://a.example{version}b.js"), format!("http://a.example{old}b.js")),
        (format!("http://b.example{version}b.js"), format!("http://b.example{version}b.js")),
        (format!("{old}b.js"), format!("{old}b.js")),
        ("b.js".into(), "b.js".into()),
        ("/login".into(), "/login".into()),
        ("/static/b.js".into(), "/static/b.js".into()),
    ] {
        let fields = [("x-to", &*to), ("host", "a.example")];
        let asked = request("GET", &format!("{old}app.js?q"), &fields);
        let answer = ask(layer.wrap(Router::new()), asked).await;
        assert_eq!(answer.field("location"), expected, "{to}");
        assert_eq!((answer.cache_control(), &*answer.body), ("no-cache".into(), &b"moved"[..]));
        assert_eq!(answer.field("x-seen"), format!("{version}app.js?q Kept {current}"));
    }
}

/// `OPTIONS` loses its version, and other methods are left alone.
#[tokio::test]
async fn other_methods() {
    let fleet = Fleet::new();
    let literal = |root, version: &str| {
        fleet.node_with(root, |builder| builder.version(VersionSource::literal(version)))
    };
    literal(tree(OLD), "release-2026").layer.publish().unwrap();
    let node = literal(tree(NEW), "v2");
    let show = async |request: Request<Body>| {
        let outcome = request.extensions().get::<StaticUrlOutcome>().copied();
        format!("{} {} {outcome:?}", request.method(), request.uri())
    };
    let app = node.layer.wrap(Router::new().fallback(show));
    let ask = async |method: &str| {
        let asked = request(method, "/static/release-2026/app.js", &[]);
        String::from_utf8(ask(app.clone(), asked).await.body.to_vec()).unwrap()
    };
    assert_eq!(ask("OPTIONS").await, "OPTIONS /static/app.js Some(Kept)");
    assert_eq!(ask("POST").await, "POST /static/release-2026/app.js Some(Unversioned)");
}

/// An open page of a bundled application asks for a chunk that the deploy has removed, or an old
/// node for one that it has brought.
#[tokio::test]
async fn fingerprinted_files_of_other_releases() {
    let fleet = Fleet::new();
    let old =
        [("assets/index-Bx7a91Zq.js", "old"), ("assets/same-Cx8b02Ar.js", "same"), ("a.js", "a")];
    let new = [("assets/index-Dy9c13Bs.js", "new"), ("assets/same-Cx8b02Ar.js", "same")];
    let vite = |builder: StaticUrlLayerBuilder| builder.fingerprinted(Fingerprinted::vite());
    for files in [old.as_slice(), &new] {
        fleet.node_with(tree(files.iter().copied()), vite).layer.publish().unwrap();
    }
    for current in [old.as_slice(), &new] {
        for policy in [UnlistedPolicy::Ask, UnlistedPolicy::NotFound] {
            let root = tree(current.iter().copied());
            let node = fleet.node_with(root, |builder| vite(builder).unlisted(policy));
            for (path, content) in [old[0], old[1], new[0]] {
                is_file(&node.get(&format!("/static/{path}")).await, content);
            }
            let unknown = node.get("/static/assets/index-Ez0d24Ct.js").await;
            assert_eq!(
                (unknown.status.as_u16(), unknown.cache_control()),
                (404, "no-store".into())
            );
        }
    }
    let node = fleet.node_with(tree(new), vite);
    assert_eq!(node.get("/static/a.js").await.status, 404, "not fingerprinted");
    let without_rule = fleet.node(tree(new));
    assert_eq!(without_rule.get("/static/assets/index-Bx7a91Zq.js").await.status, 404);
}

/// A service over the releases that counts its calls.
fn counted(
    releases: &Releases,
    calls: &Arc<AtomicUsize>,
) -> impl Service<Request<EmptyBody>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let (files, calls) = (ServeDir::new(releases.files()).precompressed_gzip(), Arc::clone(calls));
    service_fn(move |request: Request<EmptyBody>| {
        calls.fetch_add(1, Relaxed);
        let files = files.clone();
        async move { Ok(ServiceExt::oneshot(files, request).await.unwrap().map(Body::new)) }
    })
}

/// With a memory budget, each content is read once, whatever versions have it.
#[tokio::test]
async fn kept_files_come_from_memory() {
    let fleet = Fleet::new();
    let content = "hello, world".repeat(100);
    let (zipped, other) = (gzip(&content), "another version");
    let publish = |own: &str| {
        let root = tree([("a.js", &*content), ("own.js", own), ("same.js", "same")]);
        write(root.path(), "a.js.gz", &zipped);
        fleet.publish(root)
    };
    let (one, two) = (publish("one"), publish("two"));
    let current = tree([("a.js", other), ("same.js", "same")]);
    let (releases, calls) = (fleet.releases(), Arc::new(AtomicUsize::new(0)));
    let builder = StaticUrlLayer::builder("/static").root(current.path());
    let files = counted(&releases, &calls);
    let layer = builder.releases(releases.clone(), files).memory_budget(1 << 20).build().unwrap();
    let node = Node { root: current, layer };
    let tag = &*etag_of(&content);
    let accept = ("accept-encoding", "gzip");
    let basic = ("authorization", "Basic YTpi");
    let ask = async |name: &str, method: &str, path: &str, fields: &[(&str, &str)], called| {
        calls.store(0, Relaxed);
        let answer = node.send(request(method, path, fields)).await;
        assert_eq!(calls.load(Relaxed), called, "{name}");
        answer
    };
    let (a, again) = (&*format!("{one}a.js"), &*format!("{two}a.js"));
    is_file(&ask("the first", "GET", a, &[], 1).await, &content);
    for path in [a, again] {
        is_file(&ask("the same bytes", "GET", path, &[], 0).await, &content);
        let part = ask("a part", "GET", path, &[("range", "bytes=3-8")], 0).await;
        assert_eq!((part.status.as_u16(), &*part.body), (206, &content.as_bytes()[3..9]));
        assert_eq!(said(&part), (206, YEAR.into(), tag.into()));
        let head = ask("head", "HEAD", path, &[], 0).await;
        assert_eq!(head.field("content-length"), content.len().to_string());
        let copy = ask("a copy", "GET", path, &[("if-none-match", tag)], 0).await;
        assert_eq!(said(&copy), (304, YEAR.into(), tag.into()));
        let failed = ask("another", "GET", path, &[("if-match", "\"x\"")], 0).await;
        assert_eq!(failed.status.as_u16(), 412);
    }
    let first = ask("a sibling", "GET", a, &[accept], 1).await;
    let second = ask("the same sibling", "GET", again, &[accept], 0).await;
    for answer in [first, second] {
        assert_eq!(said(&answer), (200, YEAR.into(), etag_of(&zipped)));
        assert_eq!(answer.body, &*zipped);
    }
    is_file(&ask("with a query", "GET", &format!("{a}?b"), &[], 1).await, &content);
    assert_eq!(ask("authorized", "GET", a, &[basic], 1).await.body, content.as_bytes());
    for (prefix, own) in [(&one, "one"), (&two, "two")] {
        is_file(&ask("its own", "GET", &format!("{prefix}own.js"), &[], 1).await, own);
        is_file(&ask("its own", "GET", &format!("{prefix}own.js"), &[], 0).await, own);
    }
    // What the current version has too is stored as its own.
    let (same, kept) = (node.layer.prefix().url("same.js"), &*format!("{one}same.js"));
    is_file(&ask("not yet", "GET", kept, &[], 1).await, "same");
    is_file(&ask("never twice", "GET", kept, &[], 1).await, "same");
    is_file(&ask("the current one", "GET", &same, &[], 0).await, "same");
    is_file(&ask("as the current one", "GET", kept, &[], 0).await, "same");
    is_file(&ask("as the current one", "GET", &format!("{two}same.js"), &[], 0).await, "same");
    is_file(&ask("the current one", "GET", &node.layer.prefix().url("a.js"), &[], 0).await, other);
    // What is stored outlives no release.
    let version = one.split('/').nth(2).unwrap();
    releases.withdraw(version).unwrap();
    for path in ["a.js", "own.js", "same.js"] {
        let answer = ask("withdrawn", "GET", &format!("{one}{path}"), &[], 0).await;
        assert_ne!(answer.cache_control(), YEAR, "{path}");
    }
    assert_eq!(ask("withdrawn", "GET", &format!("{one}own.js"), &[], 0).await.status, 404);
    is_file(&ask("the other", "GET", again, &[], 0).await, &content);
}

/// A reload empties the memory, and what is asked for is stored again.
#[tokio::test]
async fn kept_files_come_from_memory_after_a_reload() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let (releases, calls) = (fleet.releases(), Arc::new(AtomicUsize::new(0)));
    let root = tree(NEW);
    let files = counted(&releases, &calls);
    let builder = StaticUrlLayer::builder("/static").root(root.path());
    let layer = builder.releases(releases, files).memory_budget(1 << 20).build().unwrap();
    let node = Node { root, layer };
    for round in 1..3 {
        for _ in 0..3 {
            is_file(&node.get(&format!("{old}gone.js")).await, "gone");
        }
        assert_eq!(calls.load(Relaxed), round);
        write(node.root.path(), "app.js", round.to_string());
        node.layer.reload().unwrap();
    }
}

/// Somebody has written into the directory of releases: nobody gets those bytes, and an operator
/// hears of it once.
#[cfg(unix)]
#[tokio::test]
async fn wrong_bytes() {
    use std::os::unix::fs::symlink;
    let replace = |path: &Path, content: &str| {
        fs::remove_file(path).unwrap();
        fs::write(path, content).unwrap();
    };
    for (name, spoil) in [
        ("a flipped byte", &(|path: &Path| replace(path, "olD")) as &dyn Fn(&Path)),
        ("truncated", &|path: &Path| replace(path, "ol")),
        ("longer", &|path: &Path| replace(path, "old!")),
        ("gone", &|path: &Path| fs::remove_file(path).unwrap()),
        ("a link", &|path: &Path| {
            fs::rename(path, path.with_extension("bak")).unwrap();
            symlink(path.with_extension("bak"), path).unwrap();
        }),
    ] {
        for is_seen in [false, true] {
            // The bytes of a link that replaces a file later are the file's.
            if is_seen && name == "a link" {
                continue;
            }
            let fleet = Fleet::new();
            let old = fleet.publish(tree(OLD));
            let version = old.split('/').nth(2).unwrap();
            let node = fleet.node(tree(NEW));
            let url = &format!("{old}app.js");
            if is_seen {
                is_file(&node.get(url).await, "old");
            }
            spoil(&fleet.file(version, "app.js"));
            let warnings = Warnings::capture();
            for _ in 0..3 {
                is_refused(&node.get(url).await, 502);
            }
            let lines = warnings.lines();
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
            is_file(&node.get(&format!("{old}css/app.css")).await, "p {}");
        }
    }
}

/// Length and date of a checked file are the evidence; without a date only a digest is.
#[tokio::test]
async fn a_service_that_sends_no_date() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let (version, url) = (old.split('/').nth(2).unwrap(), &*format!("{old}app.js"));
    let root = tree(NEW);
    for (limit, cache_control, etag) in
        [(1 << 20, YEAR, etag_of("old")), (2, "no-cache", String::new())]
    {
        let releases = fleet.releases();
        let files = ServeDir::new(releases.files());
        let files = service_fn(move |request: Request<EmptyBody>| {
            let files = files.clone();
            async move {
                let response = tower::ServiceExt::oneshot(files, request).await?;
                let (mut head, body) = response.into_parts();
                for name in ["etag", "last-modified"] {
                    head.headers.remove(name);
                }
                let body = Body::from(body.collect().await.unwrap().to_bytes());
                Ok::<_, Infallible>(Response::from_parts(head, body))
            }
        });
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let builder = builder.releases(releases, files).body_digest_limit(limit);
        let layer = builder.build().unwrap();
        for _ in 0..2 {
            let answer = ask(layer.wrap(Router::new()), get(url)).await;
            assert_eq!(said(&answer), (200, cache_control.into(), etag.clone()));
        }
        // A write that leaves the length: only the digest can tell.
        let file = fleet.file(version, "app.js");
        fs::remove_file(&file).unwrap();
        fs::write(&file, "OLD").unwrap();
        let answer = ask(layer.wrap(Router::new()), get(url)).await;
        assert_ne!(answer.cache_control(), YEAR);
        fs::write(&file, "old").unwrap();
    }
}

/// A release that somebody has deleted is no fault.
#[tokio::test]
async fn a_release_that_is_withdrawn() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let version = old.split('/').nth(2).unwrap();
    for is_seen in [false, true] {
        fleet.publish(tree(OLD));
        let node = fleet.node(tree(NEW));
        let url = format!("{old}app.js");
        if is_seen {
            is_file(&node.get(&url).await, "old");
        }
        fleet.releases().withdraw(version).unwrap();
        let warnings = Warnings::capture();
        is_refused(&node.get(&url).await, 404);
        let stale = node.get(&url).await;
        assert_eq!(
            (said(&stale), &*stale.body),
            ((200, "no-cache".into(), etag_of("new!")), &b"new!"[..])
        );
        if !is_seen {
            assert_eq!(warnings.lines(), [""; 0]);
        }
    }
}

/// A file whose name is the spelling of another one.
#[tokio::test]
async fn a_name_that_spells_another() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree([("a b", "1"), ("a%20b", "2")]));
    let version = old.split('/').nth(2).unwrap();
    let node = fleet.node(tree(NEW));
    fs::remove_file(fleet.file(version, "a%20b")).unwrap();
    is_refused(&node.get(&format!("{old}a%2520b")).await, 502);
    is_refused(&node.get(&format!("{old}a%20b")).await, 502);
}

/// Many requests for a file that has not been checked: it is read once, and nobody is blocked.
#[tokio::test]
async fn many_at_once() {
    let fleet = Fleet::new();
    let old = fleet.publish(tree(OLD));
    let node = fleet.node(tree(NEW));
    let (app, url) = (node.layer.wrap(node.router()), format!("{old}app.js"));
    let asking = (0..50).map(|_| tokio::spawn(ask(app.clone(), get(&url)))).collect::<Vec<_>>();
    for asked in asking {
        is_file(&asked.await.unwrap(), "old");
    }
}

/// A sibling that was made of another content does not stand for the file.
#[tokio::test]
async fn a_stale_sibling() {
    let fleet = Fleet::new();
    let root = tree([("a.js", "content"), ("b.js", "content")]);
    write(root.path(), "a.js.gz", gzip("other content"));
    write(root.path(), "b.js.gz", gzip("content"));
    let old = fleet.publish(root);
    let node = fleet.node(tree(NEW));
    let zipped = [("accept-encoding", "gzip")];
    let a = node.send(request("GET", &format!("{old}a.js"), &zipped)).await;
    assert_eq!(a.body, "content");
    assert_eq!(a.cache_control(), "no-cache");
    let b = node.send(request("GET", &format!("{old}b.js"), &zipped)).await;
    assert_eq!((b.field("content-encoding"), b.cache_control()), ("gzip".into(), YEAR.into()));
}

/// `reload` makes another version current, and the one before stays answerable.
#[tokio::test]
async fn a_reload() {
    let fleet = Fleet::new();
    let node = fleet.node(tree(OLD));
    node.layer.publish().unwrap();
    let old = node.layer.prefix().to_string();
    write(node.root.path(), "app.js", "newer");
    node.layer.reload().unwrap();
    let new = node.layer.prefix().to_string();
    is_file(&node.get(&format!("{old}app.js")).await, "old");
    is_file(&node.get(&format!("{new}app.js")).await, "newer");
    node.layer.publish().unwrap();
    write(node.root.path(), "app.js", "old");
    node.layer.reload().unwrap();
    assert_eq!(node.layer.prefix().as_str(), old, "rolled back");
    is_file(&node.get(&format!("{new}app.js")).await, "newer");
}

/// What another process publishes while the server runs, for whatever stale URLs get.
#[tokio::test]
async fn what_others_publish_is_seen() {
    for policy in [StalePolicy::Serve, StalePolicy::NotFound, StalePolicy::Redirect] {
        let fleet = Fleet::new();
        let node = fleet.node_with(tree(OLD), |builder| builder.stale(policy.clone()));
        let new = fleet.publish(tree(NEW));
        is_file(&node.get(&format!("{new}come.js")).await, "come");
        is_file(&node.get(&format!("{new}app.js")).await, "new!");
        is_refused(&node.get(&format!("{new}gone.js")).await, 404);
        // Also if the first path is one that the new release does not list.
        let node = fleet.node_with(tree(OLD), |builder| builder.stale(policy.clone()));
        let newer = fleet.publish(tree([("app.js", &*format!("{policy:?}"))]));
        is_refused(&node.get(&format!("{newer}gone.js")).await, 404);
    }
    let fleet = Fleet::new();
    let vite = |builder: StaticUrlLayerBuilder| builder.fingerprinted(Fingerprinted::vite());
    let node = fleet.node_with(tree(OLD), vite);
    fleet.publish(tree([("assets/index-Bx7a91Zq.js", "new")]));
    is_file(&node.get("/static/assets/index-Bx7a91Zq.js").await, "new");
}

/// A version that nobody knows is stale, as without releases.
#[tokio::test]
async fn what_nobody_publishes_is_stale() {
    let fleet = Fleet::new();
    let url = "/static/00000000000000aa/app.js";
    for (policy, status, cache_control, body) in [
        (StalePolicy::Serve, 200, "no-cache", "old"),
        (StalePolicy::NotFound, 404, "no-store", ""),
        (StalePolicy::Redirect, 307, "no-store", ""),
    ] {
        let node = fleet.node_with(tree(OLD), |builder| builder.stale(policy));
        for _ in 0..3 {
            let answer = node.get(url).await;
            let found = (answer.status.as_u16(), &*answer.cache_control(), &*answer.body);
            assert_eq!(found, (status, cache_control, body.as_bytes()));
        }
    }
}

/// A name that has stood for different bytes is no hash of them.
#[tokio::test]
async fn a_fingerprinted_name_that_lies() {
    let fleet = Fleet::new();
    let vite = |builder: StaticUrlLayerBuilder| builder.fingerprinted(Fingerprinted::vite());
    for content in ["one", "other"] {
        fleet.publish(tree([("assets/index-Bx7a91Zq.js", content)]));
    }
    let node = fleet.node_with(tree(NEW), vite);
    let answer = node.get("/static/assets/index-Bx7a91Zq.js").await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (404, "no-store".into()));
}

#[tokio::test]
async fn nothing_to_publish() {
    let fleet = Fleet::new();
    let root = tree(OLD);
    let (kept, files) = (fleet.releases(), ServeDir::new(fleet.releases().files()));
    let builder = || StaticUrlLayer::builder("/static");
    let with_releases =
        |builder: StaticUrlLayerBuilder| builder.releases(kept.clone(), files.clone());
    let manifest = tower_static_url::Manifest::scan(root.path()).unwrap();
    for (name, builder, expected) in [
        ("no releases", builder().root(root.path()), ErrorKind::ManifestRequired),
        ("no root", with_releases(builder().manifest(manifest)), ErrorKind::ManifestRequired),
        (
            "a start time",
            with_releases(builder().root(root.path()).version(VersionSource::process_start())),
            ErrorKind::NotPublishable,
        ),
    ] {
        let error = builder.build().unwrap().publish().unwrap_err();
        assert_eq!(error.kind(), expected, "{name}: {error}");
    }
}

/// The demo, restarted on a changed tree: links of the old page still give its files.
#[tokio::test]
async fn the_demo_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let client = http_client();
    let mut pages = Vec::new();
    for files in [OLD, NEW] {
        let root = tree(files);
        let mut command = Demo::command("--no-watch", root.path());
        command.arg("--publish").arg("--releases").arg(folder.path().join("releases"));
        let demo = Demo::run(command);
        let get = async |path: &str| {
            let uri = format!("http://{}{path}", demo.address).parse().unwrap();
            let response = client.get(uri).await.unwrap();
            let cache_control = response.headers().get("cache-control").cloned();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (cache_control.unwrap(), String::from_utf8(body.to_vec()).unwrap())
        };
        let (_, page) = get("/").await;
        let (_, prefix) = page.split_once("id=\"prefix\">").unwrap();
        pages.push((prefix.split_once('<').unwrap().0.to_owned(), files));
        let (_, kept) = page.split_once("id=\"kept\">").unwrap();
        let kept = kept.split_once("</dd>").unwrap().0;
        for (prefix, files) in &pages {
            let version = prefix.split('/').nth(2).unwrap();
            assert!(kept.contains(version), "{kept}");
            for (path, content) in files {
                let (cache_control, body) = get(&format!("{prefix}{path}")).await;
                assert_eq!((&*body, cache_control.to_str().unwrap()), (*content, YEAR));
            }
        }
    }
    assert_ne!(pages[0].0, pages[1].0);
}

/// A set of files, of few names and contents.
fn files() -> impl Strategy<Value = std::collections::BTreeMap<&'static str, String>> {
    let paths = vec!["a.js", "b.js", "d/a.js", "assets/x-Bx7a91Zq.js"];
    prop::collection::btree_map(prop::sample::select(paths), "[ab]{1,2}", 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was published, by whom and in which order: `immutable` means exactly the bytes
    /// that the URL's release lists.
    #[test]
    fn immutable_means_the_bytes_of_the_release(
        trees in prop::collection::vec(files(), 1..4),
        current in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fleet = Fleet::new();
        let tree = |files: &std::collections::BTreeMap<&str, String>| {
            tree(files.iter().map(|(path, content)| (*path, &**content)))
        };
        let prefixes = trees.iter().map(|files| fleet.publish(tree(files))).collect::<Vec<_>>();
        let node = fleet.node(tree(current.get(&trees)));
        for (prefix, files) in prefixes.iter().zip(&trees) {
            for path in ["a.js", "b.js", "d/a.js", "d/", "assets/x-Bx7a91Zq.js"] {
                for fields in [&[][..], &[("range", "bytes=0-0")]] {
                    let asked = request(Method::GET, &format!("{prefix}{path}"), fields);
                    let answer = runtime.block_on(node.send(asked));
                    let listed = files.get(path);
                    prop_assert_eq!(answer.cache_control() == YEAR, listed.is_some());
                    let Some(listed) = listed else { continue };
                    let expected = if fields.is_empty() { &**listed } else { &listed[..1] };
                    prop_assert_eq!(&answer.body, expected.as_bytes());
                    prop_assert_eq!(answer.field("etag"), etag_of(listed));
                }
            }
        }
    }
}
