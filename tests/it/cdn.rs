//! What a CDN is told, apart from browsers, and that it can forget by tags what a deploy has
//! changed.

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
    response::Response,
};
use tempfile::TempDir;
use tower_http::services::ServeDir;
use tower_static_url::{
    CachePolicy, Cdn, Deltas, ErrorKind, Fingerprinted, Manifest, StaticUrlLayer,
    StaticUrlLayerBuilder, UnlistedPolicy, VersionSource, releases::Releases,
};

use crate::support::{Answer, YEAR, ask, etag_of, get, gzip, request, tree, write};

const NINE: &str = "max-age=9";
const DAY: &str = "public, max-age=86400";
const INDEX: &str = "assets/index-Bx7a91Zq.js";

fn policy(text: &str) -> CachePolicy {
    text.parse().unwrap()
}

/// Everything that there is, so that each response shows which part of it it has.
fn all() -> Cdn {
    Cdn::new()
        .current(policy(NINE))
        .unversioned(policy(DAY))
        .surrogate_keys("site")
        .cache_tags("site")
}

/// A tree behind a layer and `ServeDir`, and what that service says in addition.
struct Site {
    root: TempDir,
    layer: StaticUrlLayer,
    fields: Vec<(&'static str, &'static str)>,
    calls: Arc<AtomicUsize>,
}

impl Site {
    fn with(settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder) -> Self {
        let root = tree([
            ("a.txt", "hello world"),
            ("app.css", "body { color: teal }"),
            ("changed.txt", "as scanned"),
            ("docs/index.html", "<h1>docs</h1>"),
            ("two words.txt", "two"),
            (INDEX, "1"),
        ]);
        write(root.path(), "app.css.gz", gzip("body { color: teal }"));
        Self::of(root, settings)
    }

    fn of(
        root: TempDir,
        settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
    ) -> Self {
        let builder = StaticUrlLayer::builder("/static").root(root.path());
        let layer = settings(builder).build().unwrap();
        Self { root, layer, fields: Vec::new(), calls: Arc::default() }
    }

    fn saying(self, fields: &[(&'static str, &'static str)]) -> Self {
        Self { fields: fields.to_vec(), ..self }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let files = ServeDir::new(self.root.path()).precompressed_gzip();
        let (calls, fields) = (Arc::clone(&self.calls), self.fields.clone());
        let say = move |mut response: Response| {
            calls.fetch_add(1, Relaxed);
            for (name, value) in &fields {
                response.headers_mut().append(*name, HeaderValue::from_static(value));
            }
            async { response }
        };
        let router = Router::new()
            .nest_service("/static", files.redirect_path_prefix("/static"))
            .layer(axum::middleware::map_response(say));
        ask(self.layer.wrap(router), request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(get(&self.url(path))).await
    }

    fn version(&self) -> String {
        self.layer.prefix().version().to_owned()
    }

    /// `v/` and `stale/` at the start of a path stand for versions.
    fn url(&self, path: &str) -> String {
        let path = match path.split_once('/') {
            Some(("v", path)) => format!("{}/{path}", self.version()),
            Some(("stale", path)) => format!("00000000000000aa/{path}"),
            _ => path.to_owned(),
        };
        format!("/static/{path}")
    }
}

/// The policy for CDNs, and the tags, of which both fields must have the same.
fn told(answer: &Answer) -> (String, String) {
    let (keys, tags) = (answer.field("surrogate-key"), answer.field("cache-tag"));
    assert_eq!(keys.replace(' ', ","), tags, "{answer:?}");
    (answer.field("cdn-cache-control"), keys)
}

/// `V` is the tag of the version, and `U` that of URLs without one.
fn spelled(tags: &str, version: &str) -> String {
    let tag = |tag| match tag {
        "V" => format!("site-{version}"),
        "U" => "site-unversioned".to_owned(),
        other => other.to_owned(),
    };
    tags.split_whitespace().map(tag).collect::<Vec<_>>().join(" ")
}

/// Which fields each outcome has: the first time, and when memory may answer.
#[tokio::test]
async fn outcomes_and_fields() {
    let tag = etag_of("hello world");
    let none: &[(&str, &str)] = &[];
    let part = &[("range", "bytes=0-4")][..];
    let known = &[("if-none-match", &*tag)][..];
    let zipped = &[("accept-encoding", "gzip")][..];
    let secret = &[("authorization", "Basic YTpi")][..];
    for (name, method, path, lines, status, policy, tags) in [
        ("current", "GET", "v/a.txt", none, 200, NINE, "V"),
        ("HEAD", "HEAD", "v/a.txt", none, 200, NINE, "V"),
        ("a part", "GET", "v/a.txt", part, 206, NINE, "V"),
        ("not modified", "GET", "v/a.txt", known, 304, NINE, "V"),
        ("not modified, HEAD", "HEAD", "v/a.txt", known, 304, NINE, "V"),
        ("a sibling", "GET", "v/app.css", zipped, 200, NINE, "V"),
        ("spelled otherwise", "GET", "v/two%20words.txt", none, 200, NINE, "V"),
        ("with a query", "GET", "v/a.txt?b", none, 200, NINE, "V"),
        ("changed", "GET", "v/changed.txt", none, 200, "", ""),
        ("not listed", "GET", "v/late.txt", none, 200, "", ""),
        ("not found", "GET", "v/missing.txt", none, 404, "", ""),
        ("no such part", "GET", "v/a.txt", &[("range", "bytes=99-")], 416, "", ""),
        ("a failed condition", "GET", "v/a.txt", &[("if-match", "\"x\"")], 412, "", ""),
        ("a redirect", "GET", "v/docs", none, 307, "", ""),
        ("stale", "GET", "stale/a.txt", none, 200, "", "V"),
        ("stale, not modified", "GET", "stale/a.txt", known, 304, "", "V"),
        ("stale and changed", "GET", "stale/changed.txt", none, 200, "", ""),
        ("stale, not found", "GET", "stale/missing.txt", none, 404, "", ""),
        ("unversioned", "GET", "a.txt", none, 200, DAY, "V U"),
        ("unversioned, HEAD", "HEAD", "a.txt", none, 200, DAY, "V U"),
        ("unversioned, a part", "GET", "a.txt", part, 206, DAY, "V U"),
        ("unversioned, not modified", "GET", "a.txt", known, 304, DAY, "V U"),
        ("unversioned, a sibling", "GET", "app.css", zipped, 200, DAY, "V U"),
        ("unversioned and changed", "GET", "changed.txt", none, 200, "", "U"),
        ("unversioned, not listed", "GET", "late.txt", none, 200, "", "U"),
        ("unversioned, a redirect", "GET", "docs", none, 307, "", "U"),
        ("unversioned, an index page", "GET", "docs/", none, 200, "", "U"),
        ("unversioned, not found", "GET", "missing.txt", none, 404, "", ""),
        ("fingerprinted", "GET", INDEX, none, 200, NINE, "V"),
        ("authorized", "GET", "v/a.txt", secret, 200, "", ""),
        (
            "authorized, not modified",
            "GET",
            "v/a.txt",
            &[("if-none-match", &*tag), ("authorization", "Basic YTpi")],
            304,
            "",
            "",
        ),
        ("authorized, unversioned", "GET", "a.txt", secret, 200, "", ""),
        ("another method", "POST", "v/a.txt", none, 405, "", ""),
    ] {
        for memory in [0, 1 << 20] {
            let site = Site::with(|builder| {
                let builder = builder.fingerprinted(Fingerprinted::vite());
                builder.cdn(all()).memory_budget(memory)
            });
            write(site.root.path(), "changed.txt", "changed since");
            write(site.root.path(), "late.txt", "late");
            let expected = (policy.to_owned(), spelled(tags, &site.version()));
            // A 304 without the inner service needs a response to have been seen.
            for attempt in ["first", "second", "third"] {
                let answer = site.send(request(method, &site.url(path), lines)).await;
                let what = format!("{name}, memory of {memory}, {attempt}");
                assert_eq!(answer.status, status, "{what}");
                assert_eq!(told(&answer), expected, "{what}: {answer:?}");
                site.get("v/a.txt").await;
            }
        }
    }
    let site = Site::with(|builder| builder.cdn(all()));
    let outside = site.send(get("/other")).await;
    assert_eq!(told(&outside), ("".into(), "".into()), "outside");
}

/// Whoever asks for nothing gets nothing, and browsers are told the same as without a CDN.
#[tokio::test]
async fn browsers_are_told_the_same() {
    let (without, with) = (Site::with(|it| it), Site::with(|it| it.cdn(all())));
    for path in ["v/a.txt", "a.txt", "stale/a.txt", "missing.txt", "docs"] {
        let (without, with) = (without.get(path).await, with.get(path).await);
        assert_eq!(told(&without), ("".into(), "".into()), "{path}");
        let ours = ["cdn-cache-control", "surrogate-key", "cache-tag", "date"];
        let others = |answer: &Answer| {
            let mut headers = answer.head.headers().clone();
            ours.iter().for_each(|name| drop(headers.remove(*name)));
            headers
        };
        assert_eq!(others(&without), others(&with), "{path}");
        assert_eq!((without.status, without.body), (with.status, with.body), "{path}");
    }
}

#[tokio::test]
async fn what_is_for_one_client_gets_nothing() {
    for (name, fields) in [
        ("a cookie", &[("set-cookie", "a=b")][..]),
        ("private", &[("cache-control", "private, max-age=9")]),
        ("never stored", &[("cache-control", "no-store")]),
        ("another for everybody", &[("vary", "*")]),
    ] {
        for path in ["v/a.txt", "a.txt", "stale/a.txt"] {
            let site = Site::with(|builder| builder.cdn(all())).saying(fields);
            for _ in 0..2 {
                let told = told(&site.get(path).await);
                assert_eq!(told, ("".into(), "".into()), "{name}: {path}");
            }
        }
    }
}

/// What the inner service says itself counts, and a 304 without it says the same.
#[tokio::test]
async fn the_inner_services_own_fields() {
    let tag = etag_of("hello world");
    for (name, fields, policy, keys) in [
        ("its own lifetime", &[("cache-control", "max-age=5")][..], "", "V"),
        ("its own for CDNs", &[("cdn-cache-control", "max-age=5")], "max-age=5", "V"),
        ("its own for another CDN", &[("surrogate-control", "max-age=5")], "", "V"),
        ("its own tags", &[("surrogate-key", "x"), ("surrogate-key", "y z")], NINE, "x y z V"),
    ] {
        let cdn = Cdn::new().current(self::policy(NINE)).surrogate_keys("site");
        let site = Site::with(|builder| builder.cdn(cdn)).saying(fields);
        let expected = (policy.to_owned(), spelled(keys, &site.version()));
        let known = [("if-none-match", &*tag)];
        for lines in [&[][..], &known, &known] {
            let answer = site.send(request("GET", &site.url("v/a.txt"), lines)).await;
            let found = (answer.field("cdn-cache-control"), answer.field("surrogate-key"));
            assert_eq!(found, expected, "{name}: {answer:?}");
        }
        assert_eq!(site.calls.load(Relaxed), 1, "{name}: the 304s came without it");
    }
}

/// A CDN obeys these fields in place of `Cache-Control`, so that they could pin what that must
/// not. They go wherever the layer is stricter than the inner service.
#[tokio::test]
async fn no_field_for_cdns_outlives_a_stricter_cache_control() {
    for field in [
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "netlify-cdn-cache-control",
        "vercel-cdn-cache-control",
        "surrogate-control",
        "edge-control",
        "x-accel-expires",
    ] {
        let secret = &[("authorization", "Basic YTpi")][..];
        for (path, lines, stays) in [
            ("v/a.txt", &[][..], true),
            ("a.txt", &[], true),
            ("late.txt", &[], true),
            ("v/a.txt", secret, false),
            ("a.txt", secret, false),
            ("v/changed.txt", &[], false),
            ("changed.txt", &[], false),
            ("v/late.txt", &[], false),
            ("v/docs", &[], false),
            ("stale/a.txt", &[], false),
            ("v/missing.txt", &[], false),
            ("missing.txt", &[], false),
        ] {
            let site = Site::with(|it| it).saying(&[("cache-control", "public, max-age=9")]);
            let site =
                Site { fields: [&*site.fields, &[(field, "public, max-age=9")]].concat(), ..site };
            write(site.root.path(), "changed.txt", "changed since");
            write(site.root.path(), "late.txt", "late");
            let answer = site.send(request("GET", &site.url(path), lines)).await;
            let expected = if stays { "public, max-age=9" } else { "" };
            assert_eq!(answer.field(field), expected, "{field}: {path} {lines:?}");
        }
    }
}

/// An error that a cache may keep can be purged.
#[tokio::test]
async fn errors_that_are_kept_have_the_tag_of_their_url() {
    for unlisted in [UnlistedPolicy::Ask, UnlistedPolicy::NotFound] {
        let site = Site::with(|builder| {
            builder.cdn(all()).errors(policy("max-age=60")).unlisted(unlisted)
        });
        for (path, tags) in [("missing.txt", "U"), ("v/missing.txt", ""), ("stale/missing.txt", "")]
        {
            let answer = site.get(path).await;
            assert_eq!((answer.status.as_u16(), &*answer.cache_control()), (404, "max-age=60"));
            let expected = ("".into(), spelled(tags, &site.version()));
            assert_eq!(told(&answer), expected, "{path}, {unlisted:?}");
        }
    }
}

#[tokio::test]
async fn in_development_the_cdn_is_asked_to_keep_nothing_without_a_version() {
    let site = Site::with(|builder| builder.cdn(all()).development(true));
    assert_eq!(told(&site.get("v/a.txt").await).0, NINE);
    let (unversioned, tags) = told(&site.get("a.txt").await);
    assert_eq!((unversioned, tags), ("".into(), spelled("V U", &site.version())));
}

/// Without a list of the files, nothing tells which of them are unchanged.
#[tokio::test]
async fn a_declared_version() {
    let builder = || StaticUrlLayer::builder("/static").version(VersionSource::literal("v1.2.3"));
    let error = builder().cdn(all()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ManifestRequired);
    let text = "`cdn` with a policy for unversioned files needs a root or a manifest, and there \
                is none";
    assert_eq!(error.to_string(), text);
    let cdn = Cdn::new().current(policy(NINE)).surrogate_keys("site").cache_tags("site");
    let site = Site::with(|it| it);
    let site = Site { layer: builder().cdn(cdn).build().unwrap(), ..site };
    assert_eq!(told(&site.get("v/a.txt").await), (NINE.into(), "site-v1.2.3".into()));
    assert_eq!(told(&site.get("a.txt").await).0, "");
}

#[test]
fn bad_input_is_named() {
    let manifest = || Manifest::from_files([("a", "")]).unwrap();
    for (name, cdn, kind, text) in [
        (
            "upper case",
            Cdn::new().unversioned(policy("Max-Age=60")),
            ErrorKind::InvalidCachePolicy,
            r#"CDN cache policy "Max-Age=60": `Max-Age=60` is not allowed"#,
        ),
        (
            "a space in a name",
            Cdn::new().surrogate_keys("my site"),
            ErrorKind::InvalidCacheTag,
            r#"name of cache tags "my site": ' ' is no letter, digit, `-`, `_` or `.`"#,
        ),
    ] {
        let builder = StaticUrlLayer::builder("/static").manifest(manifest()).cdn(cdn);
        let error = builder.build().unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (kind, text), "{name}");
    }
}

/// What the layer remembers of a file outlives a version, but a tag must not.
#[tokio::test]
async fn tags_name_the_version_of_today() {
    let site = Site::with(|builder| builder.cdn(all()).memory_budget(1 << 20));
    let tag = etag_of("hello world");
    let known = [("if-none-match", &*tag)];
    for content in ["1", "2", "3"] {
        write(site.root.path(), "other.txt", content);
        site.layer.reload().unwrap();
        let expected = (NINE.to_owned(), spelled("V", &site.version()));
        for lines in [&[][..], &[], &known, &known] {
            let answer = site.send(request("GET", &site.url("v/a.txt"), lines)).await;
            assert_eq!(told(&answer), expected, "{lines:?}");
        }
    }
}

/// Two trees with some equal files. The first is published, the second is current.
fn after_deploy(
    releases: &TempDir,
    settings: impl Fn(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
) -> [Site; 2] {
    let script = |line: &str| {
        let lines = (0..2000).map(|i| format!("export const v{i} = {};\n", i * 7919 % 1000));
        lines.chain([line.to_owned()]).collect::<String>()
    };
    let trees = ["old", "new"].map(|release| {
        let root = tree([("same.txt", "the same"), ("app.css", release)]);
        write(root.path(), "app.js", script(release));
        write(root.path(), &format!("assets/{release}-Bx7a91Zq.js"), release);
        root
    });
    trees.map(|root| {
        let opened = Releases::folder(releases.path().join("releases")).unwrap();
        let files = ServeDir::new(opened.files());
        let site = Site::of(root, |builder| settings(builder.releases(opened, files)));
        site.layer.publish().unwrap();
        site
    })
}

/// The tags of a kept file name its own release, also where another has the same bytes.
#[tokio::test]
async fn kept_releases() {
    for memory in [0, 1 << 20] {
        let releases = tempfile::tempdir().unwrap();
        let [old, new] = after_deploy(&releases, |builder| {
            let builder = builder.fingerprinted(Fingerprinted::vite());
            builder.cdn(all()).memory_budget(memory)
        });
        let kept = |path: &str| format!("{}{path}", old.layer.prefix());
        for (url, content, version) in [
            (new.url("v/same.txt"), "the same", new.version()),
            (kept("same.txt"), "the same", old.version()),
            (new.url("v/app.css"), "new", new.version()),
            (kept("app.css"), "old", old.version()),
            (new.url("assets/new-Bx7a91Zq.js"), "new", new.version()),
            (new.url("assets/old-Bx7a91Zq.js"), "old", old.version()),
        ] {
            let tag = etag_of(content);
            let (known, part) = ([("if-none-match", &*tag)], [("range", "bytes=0-1")]);
            for lines in [&[][..], &known, &part, &[], &known, &part] {
                let answer = new.send(request("GET", &url, lines)).await;
                assert_eq!(answer.cache_control(), YEAR, "{url} {answer:?}");
                let expected = (NINE.to_owned(), spelled("V", &version));
                assert_eq!(told(&answer), expected, "{url} {lines:?}, memory of {memory}");
            }
        }
        let missing = new.send(get(&kept("missing.txt"))).await;
        assert_eq!((missing.status.as_u16(), told(&missing)), (404, ("".into(), "".into())));
        let secret = request("GET", &kept("same.txt"), &[("authorization", "Basic YTpi")]);
        assert_eq!(told(&new.send(secret).await), ("".into(), "".into()));
    }
}

/// A delta is for one browser, unless all caches on the way are known to obey `Vary`.
#[tokio::test]
async fn deltas() {
    for (deltas, policy) in [(Deltas::new(), ""), (Deltas::new().shared(), NINE)] {
        let releases = tempfile::tempdir().unwrap();
        let settings = |it: StaticUrlLayerBuilder| it.cdn(all()).deltas(deltas.clone());
        let [old, new] = after_deploy(&releases, settings);
        let dictionary = fs::read(old.root.path().join("app.js")).unwrap();
        let dictionary = etag_of(&dictionary);
        let dictionary = data_encoding::HEXLOWER.decode(dictionary.trim_matches('"').as_bytes());
        let available = format!(":{}:", data_encoding::BASE64.encode(&dictionary.unwrap()));
        let mut lines = vec![("accept-encoding", "dcz"), ("available-dictionary", &*available)];
        let mut tag = String::new();
        for content in ["1", "2"] {
            write(new.root.path(), "other.txt", content);
            new.layer.reload().unwrap();
            new.layer.publish().unwrap();
            let expected = (policy.to_owned(), spelled("V", &new.version()));
            for _ in 0..3 {
                let answer = new.send(request("GET", &new.url("v/app.js"), &lines)).await;
                assert_eq!(answer.field("content-encoding"), "dcz", "{answer:?}");
                assert_eq!(told(&answer), expected, "{answer:?}");
                tag = answer.field("etag");
            }
        }
        assert!(new.calls.load(Relaxed) < 6, "some came without the inner service");
        lines.push(("if-none-match", &*tag));
        for _ in 0..2 {
            let answer = new.send(request("GET", &new.url("v/app.js"), &lines)).await;
            assert_eq!(answer.status, 304);
            assert_eq!(told(&answer), (policy.to_owned(), spelled("V", &new.version())));
        }
    }
}

/// A real shared cache, which is told what to do by the lines of the page "CDNs".
#[cfg(unix)]
mod varnish {
    use std::{fs, net::SocketAddr, path::Path, process::Command};

    use super::*;
    use crate::support::{
        proxy::Proxy,
        wire::{self, Connection, Server},
    };

    const PAGE: &str = include_str!("../../src/docs/cdn.md");

    fn recipe(folder: &Path, port: u16, upstream: SocketAddr) -> Command {
        let (_, vcl) = PAGE.split_once("```vcl\n").unwrap();
        let (vcl, _) = vcl.split_once("```").unwrap();
        let vcl = vcl.replace("\"3000\"", &format!("\"{}\"", upstream.port()));
        fs::write(folder.join("cdn.vcl"), vcl).unwrap();
        let mut command = Command::new("varnishd");
        command.args(["-F", "-j", "none", "-s", "malloc,64m", "-n"]).arg(folder.join("work"));
        command.args(["-a", &format!("127.0.0.1:{port}"), "-f"]).arg(folder.join("cdn.vcl"));
        command
    }

    struct Deployed {
        cache: Proxy,
        root: TempDir,
        layer: StaticUrlLayer,
        calls: Arc<AtomicUsize>,
        _server: Server,
    }

    impl Deployed {
        fn new() -> Self {
            let root = tree([("a.txt", "1"), ("same.txt", "same"), ("changed.txt", "1")]);
            let cdn = Cdn::new().unversioned(policy(DAY)).surrogate_keys("shop");
            let layer = StaticUrlLayer::builder("/static").root(root.path());
            let layer = layer.cdn(cdn).build().unwrap();
            let files = ServeDir::new(root.path()).redirect_path_prefix("/static");
            let calls = Arc::<AtomicUsize>::default();
            let count = {
                let calls = Arc::clone(&calls);
                move |request: axum::extract::Request| {
                    calls.fetch_add(1, Relaxed);
                    async { request }
                }
            };
            let router = Router::new()
                .fallback_service(layer.wrap(Router::new().nest_service("/static", files)))
                .layer(axum::middleware::map_request(count));
            let server = Server::start(router);
            let is_ready = async |cache| {
                std::net::TcpStream::connect(cache).is_ok() && ask(cache, "/", &[]).status == 404
            };
            let starting = Proxy::start(recipe, server.address, is_ready);
            let cache = tokio::runtime::Runtime::new().unwrap().block_on(starting);
            Self { cache, root, layer, calls, _server: server }
        }

        /// Returns the response, and whether the server was asked.
        fn get(&self, url: &str, lines: &[(&str, &str)]) -> (wire::Answer, bool) {
            let before = self.calls.load(Relaxed);
            let answer = ask(self.cache.address, url, lines);
            (answer, self.calls.load(Relaxed) > before)
        }

        fn text(&self, url: &str) -> (String, bool) {
            let (answer, was_asked) = self.get(url, &[]);
            assert_eq!(answer.status, 200, "{answer:?}");
            for name in ["surrogate-key", "cdn-cache-control"] {
                assert_eq!(answer.field(name), "", "no business of the browser");
            }
            (answer.text(), was_asked)
        }

        fn deploy(&self, content: &str) {
            write(self.root.path(), "a.txt", content);
            assert!(self.layer.reload().unwrap().has_changed());
        }

        fn ban(&self, tag: &str) -> u16 {
            let mut connection = Connection::to(self.cache.address);
            connection.exchange("BAN", "/", &[("Surrogate-Key", tag)]).status
        }
    }

    fn ask(address: SocketAddr, url: &str, lines: &[(&str, &str)]) -> wire::Answer {
        Connection::to(address).exchange("GET", url, lines)
    }

    #[test]
    #[ignore = "needs Varnish: tests/e2e/install.sh"]
    fn one_purge_after_a_deploy() {
        let site = Deployed::new();
        let versioned = site.layer.prefix().url("a.txt");
        assert_eq!(site.get("/static/a.txt", &[]).0.cache_control(), "no-cache");
        assert_eq!(site.text("/static/a.txt"), ("1".into(), false));
        assert_eq!(site.text(&versioned), ("1".into(), true));
        // The browser asks, and the cache answers.
        let known = [("If-None-Match", &*etag_of("1"))];
        let (answer, was_asked) = site.get("/static/a.txt", &known);
        assert_eq!((answer.status, &*answer.cache_control(), was_asked), (304, "no-cache", false));

        site.deploy("2");
        assert_eq!(site.text("/static/a.txt"), ("1".into(), false), "for a day");
        assert_eq!(site.ban("shop-unversioned"), 200);
        assert_eq!(site.text("/static/a.txt"), ("2".into(), true));
        assert_eq!(site.text("/static/a.txt"), ("2".into(), false));
        // For pages that are still open.
        assert_eq!(site.text(&versioned), ("1".into(), false));
        let next = site.layer.prefix().url("a.txt");
        assert_eq!(site.text(&next), ("2".into(), true));
    }

    #[test]
    #[ignore = "needs Varnish: tests/e2e/install.sh"]
    fn a_version_can_be_purged() {
        let site = Deployed::new();
        let (version, url) = (site.layer.prefix().version().to_owned(), |site: &Deployed| {
            site.layer.prefix().url("same.txt")
        });
        let old = url(&site);
        assert!(site.text(&old).1 && !site.text(&old).1);
        site.deploy("2");
        let new = url(&site);
        assert!(site.text(&new).1 && !site.text(&new).1);
        assert_eq!(site.ban(&format!("shop-{version}")), 200);
        assert!(!site.text(&new).1, "another version's stays");
        let (gone, was_asked) = site.get(&old, &[]);
        assert_eq!((&*gone.cache_control(), was_asked), ("no-cache", true), "it is stale now");
    }

    /// What is not proven is asked for each time, also where `CDN-Cache-Control` would be obeyed.
    #[test]
    #[ignore = "needs Varnish: tests/e2e/install.sh"]
    fn a_changed_file_is_not_kept() {
        let site = Deployed::new();
        write(site.root.path(), "changed.txt", "changed since");
        for _ in 0..3 {
            assert_eq!(site.text("/static/changed.txt"), ("changed since".into(), true));
            let missing = site.get("/static/missing.txt", &[]);
            assert_eq!((missing.0.status, missing.1), (404, true));
        }
        assert_eq!(site.ban("shop-unversioned || 1"), 403);
    }
}
