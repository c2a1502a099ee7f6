//! What a response gets: the table, over a real `ServeDir` and over inner services
//! that say odd things.

use std::{convert::Infallible, fs, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response},
};
use proptest::prelude::*;
use tower::{Layer as _, service_fn};
use tower_static_url::{
    CachePolicy, Manifest, StalePolicy, StaticUrlLayer, StaticUrlLayerBuilder, VersionSource,
};

use super::{answered, embedded, listing};
use crate::support::{
    HELLO, SHEET, ServeDir, Site, Warnings, YEAR, ask, etag_of, get, gzip, later, mtime, request,
    set_modified, tree, write, write_at,
};

#[tokio::test]
async fn table_over_serve_dir() {
    let site = Site::new();
    write(site.root.path(), "unlisted.txt", "made after the scan");
    write(site.root.path(), "2024/year.txt", "changed, other length");
    for (name, path, status, cache_control, etag) in [
        ("current, listed", "v/hello.txt", 200, YEAR, Some(HELLO)),
        ("current, spelled with an escape", "v/with%20space.txt", 200, YEAR, Some("space")),
        ("current, needless escape", "v/hell%6F.txt", 200, YEAR, Some(HELLO)),
        ("current, percent", "v/100%25.txt", 200, YEAR, Some("percent")),
        ("current, semicolon", "v/semi;colon.txt", 200, YEAR, Some("semicolon")),
        ("current, hash", "v/hash%23tag.txt", 200, YEAR, Some("hash")),
        ("current, question mark", "v/question%3F.txt", 200, YEAR, Some("question")),
        ("current, non-ASCII", "v/f%C3%BCnke.txt", 200, YEAR, Some("tobias")),
        ("current, query", "v/hello.txt?a=b", 200, YEAR, Some(HELLO)),
        (
            "current, in a folder shaped like a version",
            "v/0123456789abcdef/real.txt",
            200,
            YEAR,
            Some("a folder shaped like a version"),
        ),
        ("current, unlisted", "v/unlisted.txt", 200, "no-cache", None),
        ("current, changed", "v/2024/year.txt", 200, "no-cache", None),
        ("current, folder", "v/docs/", 200, "no-cache", None),
        ("current, redirect", "v/docs", 307, "no-cache", None),
        ("current, missing", "v/missing.txt", 404, "no-store", None),
        ("current, malformed escape finds no listed file", "v/100%.txt", 200, "no-cache", None),
        ("current, version twice", "v/v/hello.txt", 404, "no-store", None),
        ("stale, listed", "stale/hello.txt", 200, "no-cache", Some(HELLO)),
        ("stale, unlisted", "stale/unlisted.txt", 200, "no-cache", None),
        ("stale, missing", "stale/missing.txt", 404, "no-store", None),
        ("unversioned, listed", "hello.txt", 200, "no-cache", Some(HELLO)),
        ("unversioned, unlisted", "unlisted.txt", 200, "no-cache", None),
        ("unversioned, changed", "2024/year.txt", 200, "no-cache", None),
        ("unversioned, missing", "missing.txt", 404, "no-store", None),
        (
            "a folder is no version",
            "0123456789abcdef/real.txt",
            200,
            "no-cache",
            Some("a folder shaped like a version"),
        ),
        (
            "a folder is no version, also for what is not in it",
            "0123456789abcdef/hello.txt",
            404,
            "no-store",
            None,
        ),
        ("upper-case version", "00000000000000AA/hello.txt", 404, "no-store", None),
        ("not plain: left as it came", "v//hello.txt", 404, "no-store", None),
        ("not plain: parent", "v/css/../hello.txt", 404, "no-store", None),
        ("not plain, unversioned: unlisted", "css//app.css", 200, "no-cache", None),
        ("mount", "", 404, "no-store", None),
    ] {
        let path = path.replacen("v/v/", &format!("v/{}/", site.layer.prefix().version()), 1);
        let answer = site.get(&path).await;
        assert_eq!(answer.status.as_u16(), status, "{name}");
        assert_eq!(answer.cache_control(), cache_control, "{name}");
        if let Some(content) = etag {
            assert_eq!(answer.field("etag"), etag_of(content), "{name}");
            assert_eq!(answer.body, content, "{name}");
            continue;
        }
        // What `ServeDir` sends is as it says, and an error has no tag.
        let unversioned = ["v/", "stale/"].iter().find_map(|it| path.strip_prefix(it));
        let inner = ask(site.router(), get(&site.url(unversioned.unwrap_or(&path)))).await;
        let tag = if status == 200 { inner.field("etag") } else { String::new() };
        assert_eq!(answer.field("etag"), tag, "{name}");
    }
}

#[tokio::test]
async fn ranges_and_heads_are_judged_by_the_whole_file() {
    let site = Site::new();
    let part = request("GET", &site.url("v/hello.txt"), &[("range", "bytes=0-4")]);
    let answer = site.send(part).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (206, &b"hello"[..]));
    assert_eq!((answer.cache_control(), answer.field("etag")), (YEAR.into(), etag_of(HELLO)));

    let answer = site.send(request("HEAD", &site.url("v/hello.txt"), &[])).await;
    assert_eq!((answer.status.as_u16(), answer.field("content-length")), (200, "11".into()));
    assert_eq!((answer.cache_control(), answer.field("etag")), (YEAR.into(), etag_of(HELLO)));

    let beyond = request("GET", &site.url("v/hello.txt"), &[("range", "bytes=99-")]);
    let answer = site.send(beyond).await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (416, "no-store".into()));
}

#[tokio::test]
async fn a_pre_compressed_sibling_has_its_own_tag() {
    let site = Site::new();
    let coded = request("GET", &site.url("v/css/app.css"), &[("accept-encoding", "gzip")]);
    let answer = site.send(coded).await;
    assert_eq!(answer.field("content-encoding"), "gzip");
    assert_eq!(answer.field("etag"), etag_of(gzip(SHEET)));
    assert_eq!(answer.cache_control(), YEAR);
    assert_eq!(site.get("v/css/app.css").await.field("etag"), etag_of("body { color: teal }"));
    let sibling_itself = site.get("v/css/app.css.gz").await;
    assert_eq!(sibling_itself.field("etag"), etag_of(gzip(SHEET)));
}

#[tokio::test]
async fn drift_is_noticed_and_said_once() {
    let site = Site::new();
    let warnings = Warnings::capture();
    let path = site.root.path().join("hello.txt");

    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);
    assert_eq!(warnings.lines(), [""; 0]);

    write_at(&path, "HELLO WORLD", later(1));
    for _ in 0..3 {
        let answer = site.get("v/hello.txt").await;
        assert_eq!(
            (&*answer.body, answer.cache_control()),
            (&b"HELLO WORLD"[..], "no-cache".into())
        );
        assert_ne!(answer.field("etag"), etag_of(HELLO));
    }
    let lines = warnings.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("hello.txt"), "{lines:?}");

    // Within the second that `Last-Modified` can tell, the inner tag tells.
    set_modified(&path, mtime() + Duration::from_nanos(1));
    assert_eq!(site.get("v/hello.txt").await.cache_control(), "no-cache");

    write(site.root.path(), "hello.txt", HELLO);
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR, "as scanned again");
    assert_eq!(warnings.lines().len(), 1);
}

#[tokio::test]
async fn drift_shows_at_the_first_request() {
    let site = Site::new();
    for (path, content, time) in [
        ("hello.txt", "another length", mtime()),
        ("semi;colon.txt", "SEMICOLON", later(1)),
        ("plus+plus.txt", "PLUS", mtime() + Duration::from_nanos(1)),
    ] {
        write_at(&site.root.path().join(path), content, time);
        let answer = site.get(&format!("v/{path}")).await;
        assert_eq!(
            (answer.cache_control(), &*answer.body),
            ("no-cache".into(), content.as_bytes())
        );
    }
}

#[tokio::test]
async fn drift_shows_in_the_date_alone() {
    // A service without tags of its own.
    let root = tree([("hello.txt", HELLO)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let url = layer.prefix().url("hello.txt");
    for (modified, cache_control) in [(mtime(), YEAR), (later(1), "no-cache")] {
        let date = httpdate::fmt_http_date(modified);
        let answer = answered(&layer, get(&url), 200, &[("last-modified", &date)], HELLO).await;
        assert_eq!(answer.cache_control(), cache_control);
    }
}

#[tokio::test]
async fn a_wiring_mistake_is_said_once_with_both_paths() {
    let site = Site::new();
    let warnings = Warnings::capture();
    // The mount was to be stripped: below the root there is no folder `static`.
    let miswired = || site.layer.layer(ServeDir::new(site.root.path()));
    for _ in 0..3 {
        let answer = ask(miswired(), get(&site.url("v/css/app.css"))).await;
        assert_eq!((answer.status.as_u16(), answer.cache_control()), (404, "no-store".into()));
    }
    ask(miswired(), get(&site.url("v/not-listed.css"))).await;
    let lines = warnings.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(r#"listed="css/app.css""#), "{lines:?}");
    assert!(lines[0].contains(r#"requested="/static/css/app.css""#), "{lines:?}");
}

#[tokio::test]
async fn inner_services_that_say_odd_things() {
    let layer = embedded();
    let tag = etag_of(HELLO);
    let current = layer.prefix().url("hello.txt");
    let stale = "/static/00000000000000aa/hello.txt".to_owned();
    let unversioned = "/static/hello.txt".to_owned();
    for (name, uri, status, fields, cache_control, etag) in [
        ("silent", &current, 200, &[][..], YEAR, &*tag),
        ("own cache-control", &current, 200, &[("cache-control", "max-age=5")], "max-age=5", &tag),
        (
            "own cache-control, stale",
            &stale,
            200,
            &[("cache-control", "max-age=5")],
            "no-cache",
            &tag,
        ),
        (
            "own cache-control, unversioned",
            &unversioned,
            200,
            &[("cache-control", "max-age=5")],
            "max-age=5",
            &tag,
        ),
        (
            "own cache-control on an error",
            &current,
            500,
            &[("cache-control", "max-age=5")],
            "no-store",
            "",
        ),
        (
            "own no-store on an error",
            &current,
            500,
            &[("cache-control", "no-store, private")],
            "no-store, private",
            "",
        ),
        ("cookie", &current, 200, &[("set-cookie", "a=b"), ("etag", "\"own\"")], "", "\"own\""),
        ("cookie on a redirect", &current, 302, &[("set-cookie", "a=b")], "", ""),
        ("cookie on an error", &current, 404, &[("set-cookie", "a=b")], "no-store", ""),
        ("varies on everything", &current, 200, &[("vary", "*")], "", ""),
        ("private", &current, 200, &[("cache-control", "private")], "private", ""),
        ("no-store", &current, 200, &[("cache-control", "no-store")], "no-store", ""),
        ("own etag", &current, 200, &[("etag", "\"own\"")], YEAR, &tag),
        ("two etags", &current, 200, &[("etag", "\"a\""), ("etag", "\"b\"")], YEAR, &tag),
        ("lies about the length", &current, 200, &[("content-length", "10")], "no-cache", ""),
        ("other success", &current, 203, &[], "no-cache", ""),
        ("no content", &current, 204, &[], "no-cache", ""),
        ("redirect", &current, 301, &[], "no-cache", ""),
        (
            "compressed, nothing else known",
            &current,
            200,
            &[("content-encoding", "gzip")],
            "no-cache",
            &tag,
        ),
        ("early", &current, 101, &[], "", ""),
    ] {
        // A fresh one, that has learned nothing from the case before.
        let answer = answered(&embedded(), get(uri), status, fields, HELLO).await;
        assert_eq!(answer.status.as_u16(), status, "{name}");
        assert_eq!(answer.cache_control(), cache_control, "{name}");
        assert_eq!(answer.field("etag"), etag, "{name}");
    }
}

/// A part counts if it was asked for, and says where in what it is.
#[tokio::test]
async fn parts_of_who_knows_what() {
    const PART: (&str, &str) = ("range", "bytes=0-4");
    const GOOD: &str = "bytes 0-4/11";
    let tag = etag_of(HELLO);
    for (name, method, lines, content_range, cache_control, etag) in [
        ("asked for", "GET", &[PART][..], Some(GOOD), YEAR, &*tag),
        ("in other words", "GET", &[("range", "BYTES=00-4")], Some(GOOD), YEAR, &tag),
        ("of this", "GET", &[PART, ("if-range", &*tag)], Some(GOOD), YEAR, &tag),
        ("not asked for", "GET", &[], Some(GOOD), "no-cache", ""),
        ("not asked for, HEAD", "HEAD", &[], Some(GOOD), "no-cache", ""),
        // These are not passed on to the inner service.
        ("HEAD", "HEAD", &[PART], Some(GOOD), "no-cache", ""),
        ("two parts", "GET", &[("range", "bytes=0-1,3-4")], Some(GOOD), "no-cache", ""),
        ("another unit", "GET", &[("range", "lines=0-4")], Some(GOOD), "no-cache", ""),
        ("of another", "GET", &[PART, ("if-range", "\"x\"")], Some(GOOD), "no-cache", ""),
        ("another length", "GET", &[PART], Some("bytes 0-4/12"), "no-cache", ""),
        ("any length", "GET", &[PART], Some("bytes 0-4/*"), "no-cache", ""),
        ("no part", "GET", &[PART], Some("bytes */11"), "no-cache", ""),
        ("over the end", "GET", &[PART], Some("bytes 7-11/11"), "no-cache", ""),
        ("backwards", "GET", &[PART], Some("bytes 4-0/11"), "no-cache", ""),
        ("rows", "GET", &[PART], Some("rows 0-4/11"), "no-cache", ""),
        ("garbage", "GET", &[PART], Some("garbage"), "no-cache", ""),
        ("nothing said", "GET", &[PART], None, "no-cache", ""),
    ] {
        let layer = embedded();
        let request = request(method, &layer.prefix().url("hello.txt"), lines);
        let fields = content_range.map(|it| ("content-range", it));
        let answer = answered(&layer, request, 206, fields.as_slice(), "hello").await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (206, &b"hello"[..]), "{name}");
        assert_eq!(
            (&*answer.cache_control(), &*answer.field("etag")),
            (cache_control, etag),
            "{name}"
        );
    }
}

#[tokio::test]
async fn authorization_never_gets_public() {
    let layer = embedded();
    let authorized = |uri: &str| request("GET", uri, &[("authorization", "Basic eA==")]);
    let current = authorized(&layer.prefix().url("hello.txt"));
    let answer = answered(&layer, current, 200, &[], HELLO).await;
    assert_eq!(answer.cache_control(), "private, max-age=31536000, immutable");
    let said = [("cache-control", "public, max-age=60")];
    let answer = answered(&layer, authorized("/static/hello.txt"), 200, &said, HELLO).await;
    assert_eq!(answer.cache_control(), "private, max-age=60");
}

/// Which version a URL has, and what is left of it: an inner service that repeats its request.
fn echo(request: &Request<Body>) -> String {
    let lines = request.headers().iter();
    let lines = lines.map(|(name, value)| format!("\n{name}: {}", value.to_str().unwrap()));
    format!("{} {}{}", request.method(), request.uri(), lines.collect::<String>())
}

#[tokio::test]
async fn other_methods_pass_as_they_came() {
    let layer = embedded();
    let site = StaticUrlLayer::builder("/").manifest(listing()).build().unwrap();
    let version = layer.prefix().version().to_owned();
    let tag = etag_of(HELLO);
    let lines = [("if-none-match", &*tag), ("range", "bytes=0-4"), ("if-range", &*tag)];
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "get"] {
        let loses_its_version = method == "OPTIONS";
        for (layer, url, without) in [
            (&layer, format!("/static/{version}/hello.txt?a"), "/static/hello.txt?a"),
            (&layer, format!("/static/{version}/unlisted"), "/static/unlisted"),
            (&layer, "/static/00000000000000aa/hello.txt".into(), "/static/hello.txt"),
            (&layer, "/static/hello.txt".into(), "/static/hello.txt"),
            (&site, format!("/{version}/hello.txt"), "/hello.txt"),
            (&site, format!("/{version}/delete"), ""),
            (&layer, format!("/elsewhere/{version}/hello.txt"), ""),
        ] {
            let is_kept = !loses_its_version || without.is_empty();
            let asked = if is_kept { &*url } else { without };
            let inner = service_fn(|request: Request<Body>| {
                let echo = echo(&request);
                async { Ok::<_, Infallible>(Response::new(Body::from(echo))) }
            });
            let answer = ask(layer.layer(inner), request(method, &url, &lines)).await;
            let expected = echo(&request(method, asked, &lines));
            assert_eq!(answer.body, expected, "{method} {url}");
            assert_eq!(answer.head.headers().len(), 0, "{method} {url}");

            // An error is the inner service's too, and so is what it says of its caching.
            for status in [200, 206, 304, 307, 404, 405, 412, 500] {
                let fields = [
                    ("location", "/static/x/"),
                    ("etag", "\"own\""),
                    ("cache-control", "max-age=60"),
                    ("content-length", "11"),
                ];
                for fields in [&fields[..], &fields[..2], &[]] {
                    let request = request(method, &url, &lines);
                    let answer = answered(layer, request, status, fields, HELLO).await;
                    assert_eq!((answer.status.as_u16(), &*answer.body), (status, HELLO.as_bytes()));
                    let left = fields.iter().map(|(name, _)| answer.field(name));
                    assert!(left.eq(fields.iter().map(|(_, value)| *value)), "{method} {url}");
                    assert_eq!(answer.head.headers().len(), fields.len(), "{method} {url}");
                }
            }
        }
    }
}

#[tokio::test]
async fn outside_the_mount_nothing_is_touched() {
    let layer = embedded();
    for uri in ["/", "/staticfoo", "/other/static/hello.txt", "*", "http://h/login?a=/static/"] {
        for status in [200, 304, 302, 404, 500] {
            let fields = [("location", "/static/x/"), ("etag", "\"own\"")];
            let answer = answered(&layer, get(uri), status, &fields, HELLO).await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.head.headers().len(), 2, "{uri} {status}");
            assert_eq!(answer.field("location"), "/static/x/");
        }
    }
}

#[tokio::test]
async fn a_declared_version_is_trusted_and_has_no_tags() {
    let layer = StaticUrlLayer::builder("/static")
        .version(VersionSource::literal("v1.2.3"))
        .build()
        .unwrap();
    const PART: (&str, &str) = ("range", "bytes=0-0");
    for (uri, lines, status, cache_control) in [
        ("/static/v1.2.3/any", &[][..], 200, YEAR),
        ("/static/v1.2.3/any", &[PART], 206, YEAR),
        ("/static/v1.2.3/any", &[], 304, YEAR),
        ("/static/v1.2.3/any", &[], 404, "no-store"),
        // Nobody has asked for a part: it may be of anything.
        ("/static/v1.2.3/any", &[], 206, "no-cache"),
        ("/static/any", &[], 206, "no-cache"),
        ("/static/v1.2.4/any", &[], 200, "no-cache"),
        ("/static/v1.2.4/any", &[PART], 206, "no-cache"),
        ("/static/jquery/any", &[], 200, "no-cache"),
        ("/static/any", &[], 200, "no-cache"),
        // Not plain: left as it came, and so without a version.
        ("/static/v1.2.3//any", &[], 200, "no-cache"),
        ("/static/v1.2.3/%2e%2e/any", &[], 200, "no-cache"),
        ("/static/v1.2.3/a%2fany", &[], 200, "no-cache"),
    ] {
        let request = request("GET", uri, lines);
        let fields = [("etag", "\"own\""), ("content-range", "bytes 0-0/9")];
        let answer = answered(&layer, request, status, &fields, "x").await;
        assert_eq!(answer.cache_control(), cache_control, "{uri} {lines:?} {status}");
        assert_eq!(answer.field("etag"), "\"own\"");
    }
    // A part that does not say which one it is may be of anything, too.
    let part = request("GET", "/static/v1.2.3/any", &[PART]);
    let answer = answered(&layer, part, 206, &[("etag", "\"own\"")], "x").await;
    assert_eq!(answer.cache_control(), "no-cache");
    // Nor has such a part a tag of the layer's.
    let answer = answered(&layer, get("/static/v1.2.3/any"), 206, &[], "x").await;
    assert_eq!((answer.cache_control(), answer.field("etag")), ("no-cache".into(), String::new()));
}

#[tokio::test]
async fn a_304_has_no_length_of_a_body() {
    let layer = embedded();
    let prefix = layer.prefix();
    for uri in [prefix.url("hello.txt"), prefix.url("not listed"), "/static/hello.txt".into()] {
        for method in [Method::GET, Method::HEAD] {
            let request = request(&method, &uri, &[]);
            let fields = [("content-length", "11"), ("etag", "\"own\"")];
            let answer = answered(&layer, request, 304, &fields, "").await;
            assert_eq!(answer.field("content-length"), "", "{method} {uri}");
            assert_ne!(answer.field("etag"), "", "{method} {uri}");
        }
    }
}

#[tokio::test]
async fn a_head_of_what_is_compressed_on_the_way_has_the_weak_tag_of_its_get() {
    let layer = embedded();
    let uri = layer.prefix().url("not listed");
    for (name, fields, etag) in [
        ("as it is", &[("etag", "\"own\"")][..], "\"own\""),
        ("compressed", &[("etag", "\"own\""), ("content-encoding", "gzip")], "W/\"own\""),
        (
            "stored compressed",
            &[("etag", "\"own\""), ("content-encoding", "gzip"), ("content-length", "9")],
            "\"own\"",
        ),
    ] {
        let head = request("HEAD", &uri, &[]);
        let answer = answered(&layer, head, 200, fields, "").await;
        assert_eq!(answer.field("etag"), etag, "{name}");
    }
}

#[tokio::test]
async fn settings() {
    let manifest = || Manifest::from_files([("hello.txt", HELLO)]).unwrap();
    let policy = |text: &str| text.parse::<CachePolicy>().unwrap();
    let layer = StaticUrlLayer::builder("/static")
        .manifest(manifest())
        .max_age(Duration::from_secs(60))
        .unversioned(policy("public, max-age=10"))
        .errors(policy("max-age=1"))
        .build()
        .unwrap();
    let current = layer.prefix().url("hello.txt");
    for (uri, status, cache_control) in [
        (&*current, 200, "public, max-age=60, immutable"),
        ("/static/hello.txt", 200, "public, max-age=10"),
        ("/static/hello.txt", 301, "no-cache"),
        ("/static/00000000000000aa/hello.txt", 200, "no-cache"),
        // Not plain, and so without a version.
        ("/static/00000000000000aa//hello.txt", 200, "public, max-age=10"),
        (&current, 404, "max-age=1"),
    ] {
        let answer = answered(&layer, get(uri), status, &[], HELLO).await;
        assert_eq!(answer.cache_control(), cache_control, "{uri} {status}");
    }
}

#[tokio::test]
async fn every_policy_can_be_set_alone() {
    type Set = fn(StaticUrlLayerBuilder, CachePolicy) -> StaticUrlLayerBuilder;
    let current = embedded().prefix().url("hello.txt");
    let stale = "/static/00000000000000aa/hello.txt";
    let unversioned = "/static/hello.txt";
    let places = [
        ("current", &*current, 200, YEAR, (|builder, policy| builder.current(policy)) as Set),
        ("unversioned", unversioned, 200, "no-cache", |builder, it| builder.unversioned(it)),
        ("stale", stale, 200, "no-cache", |builder, policy| builder.stale(policy)),
        ("errors", &current, 404, "no-store", |builder, policy| builder.errors(policy)),
    ];
    for (policy, authorized) in [
        ("no-store", "no-store"),
        ("no-cache", "no-cache"),
        ("public, max-age=60, no-transform", "private, max-age=60, no-transform"),
        ("private, max-age=60", "private, max-age=60"),
        ("max-age=1, s-maxage=60", "private, max-age=1"),
        ("public, max-age=7200, immutable", "private, max-age=7200, immutable"),
    ] {
        for (name, _, _, _, set) in &places {
            let builder = StaticUrlLayer::builder("/static").manifest(listing());
            let layer = set(builder, policy.parse().unwrap()).build().unwrap();
            for (other, url, status, default, _) in &places {
                let name = format!("{name} {policy}: {other}");
                let expected = if name.starts_with(other) { policy } else { default };
                let answer = answered(&layer, get(url), *status, &[], HELLO).await;
                assert_eq!(answer.cache_control(), expected, "{name}");
                let request = request("GET", url, &[("authorization", "Basic eA==")]);
                let answer = answered(&layer, request, *status, &[], HELLO).await;
                let default = default.replace("public", "private");
                let expected = if name.starts_with(other) { authorized } else { &default };
                assert_eq!(answer.cache_control(), expected, "{name}, authorized");
            }
        }
    }
}

#[tokio::test]
async fn a_stale_url_has_what_is_stricter() {
    let stale = "/static/00000000000000aa/hello.txt";
    for (policy, own, status, expected) in [
        (CachePolicy::no_store(), None, 200, "no-store"),
        (CachePolicy::no_store(), Some("no-cache"), 200, "no-store"),
        (CachePolicy::no_store(), Some("private, no-store"), 200, "private, no-store"),
        (
            CachePolicy::max_age(Duration::from_secs(60)),
            Some("max-age=61"),
            200,
            "public, max-age=60",
        ),
        (CachePolicy::max_age(Duration::from_secs(60)), Some("max-age=59"), 200, "max-age=59"),
        // What a redirect or an error gets is not the files' policy.
        (CachePolicy::max_age(Duration::from_secs(60)), None, 302, "no-cache"),
        (CachePolicy::max_age(Duration::from_secs(60)), None, 404, "no-store"),
    ] {
        let builder = StaticUrlLayer::builder("/static").manifest(listing());
        let layer = builder.stale(policy.clone()).build().unwrap();
        let own = own.map(|own| ("cache-control", own));
        let answer = answered(&layer, get(stale), status, own.as_slice(), HELLO).await;
        assert_eq!(answer.cache_control(), expected, "{policy} {own:?} {status}");
    }
}

#[test]
fn immutable_for_some_time() {
    for (age, expected) in [
        (Duration::from_secs(365 * 24 * 3600), YEAR),
        (Duration::from_secs(3600), "public, max-age=3600, immutable"),
        (Duration::from_millis(1999), "public, max-age=1, immutable"),
        (Duration::from_millis(999), "no-cache"),
        (Duration::ZERO, "no-cache"),
        (Duration::MAX, "public, max-age=18446744073709551615, immutable"),
    ] {
        let policy = CachePolicy::immutable(age);
        assert_eq!(policy.to_string(), expected);
        assert_eq!(policy, expected.parse().unwrap());
    }
    let no_age = CachePolicy::immutable(Duration::ZERO);
    assert_eq!(no_age, CachePolicy::no_cache());
}

#[tokio::test]
async fn in_development_nothing_is_pinned_but_the_current_version() {
    let hour = CachePolicy::max_age(Duration::from_secs(3600));
    let site = Site::with(|builder| builder.development(true).unversioned(hour));
    assert_eq!(site.get("hello.txt").await.cache_control(), "no-cache");
    assert_eq!(site.get("v/hello.txt").await.cache_control(), YEAR);
    assert_eq!(site.layer.prefix().integrity("hello.txt"), None);
    let warnings = Warnings::capture();
    write(site.root.path(), "hello.txt", "changed, other length");
    fs::remove_file(site.root.path().join("semi;colon.txt")).unwrap();
    for _ in 0..3 {
        site.get("v/hello.txt").await;
        site.get("v/semi;colon.txt").await;
    }
    assert_eq!(warnings.lines().len(), 6, "every WARN is repeated");
}

#[tokio::test]
async fn stale_versions_can_be_sent_on_or_refused() {
    for (name, policy, nested, status, location) in [
        ("served", StalePolicy::Serve, false, 200, String::new()),
        ("refused", StalePolicy::NotFound, false, 404, String::new()),
        ("sent on", StalePolicy::Redirect, false, 307, "{}hello.txt?a=b".into()),
        ("sent on, nested", StalePolicy::Redirect, true, 307, "{}hello.txt?a=b".into()),
    ] {
        let site = Site::with(|builder| builder.stale(policy).origin("https://cdn.example"));
        let current = site.layer.prefix().as_str().replace("https://cdn.example", "");
        let location: String = location.replace("{}", &current);
        let files = ServeDir::new(site.root.path());
        let answer = match nested {
            true => {
                ask(site.layer.nested().layer(files), get("/00000000000000aa/hello.txt?a=b")).await
            }
            false => site.get("stale/hello.txt?a=b").await,
        };
        assert_eq!(
            (answer.status.as_u16(), answer.field("location")),
            (status, location),
            "{name}"
        );
        let cache_control = if status == 200 { "no-cache" } else { "no-store" };
        assert_eq!(answer.cache_control(), cache_control, "{name}");
        // What is not plain is nobody's version, and other methods are not ours.
        assert_eq!(site.get("stale//evil.example").await.field("location"), "", "{name}");
        let post = request("POST", &site.url("stale/hello.txt"), &[]);
        assert_eq!(site.send(post).await.status.as_u16(), 405, "{name}");
    }
}

#[tokio::test]
async fn a_redirect_keeps_the_version() {
    let site = Site::new();
    let version = site.layer.prefix().version().to_owned();
    for (asked, location) in [
        ("v/docs", format!("/static/{version}/docs/")),
        ("v/docs?q=1", format!("/static/{version}/docs/?q=1")),
        ("stale/docs", "/static/00000000000000aa/docs/".into()),
        ("docs", "/static/docs/".into()),
    ] {
        assert_eq!(site.get(asked).await.field("location"), location, "{asked}");
    }
    // An absolute-form target (HTTP/2 has nothing else) makes `ServeDir` answer with
    // an absolute URL.
    let uri = format!("http://example.com/static/{version}/docs");
    let answer = site.send(get(&uri)).await;
    assert_eq!(answer.field("location"), format!("http://example.com/static/{version}/docs/"));

    let layer = &site.layer;
    for (host, location, expected) in [
        (
            "example.com",
            "http://example.com/static/x/",
            format!("http://example.com/static/{version}/x/"),
        ),
        ("example.com", "http://other.example/static/x/", "http://other.example/static/x/".into()),
        ("example.com", "../x/", "../x/".into()),
        ("example.com", "../../x/", "/x/".into()),
        ("example.com", "/login", "/login".into()),
    ] {
        let request = request("GET", &layer.prefix().url("docs/a"), &[("host", host)]);
        let answer = answered(layer, request, 302, &[("location", location)], "").await;
        assert_eq!(answer.field("location"), expected, "{location}");
    }
}

const NAMES: [&str; 5] = ["a", "b/a", "b/0123456789abcdef/a", "%41", "b/..."];

/// Tree of which every listed file holds its own path.
fn own_names() -> (tempfile::TempDir, StaticUrlLayer) {
    let root = tree(NAMES.map(|name| (name, name)));
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    (root, layer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No request, however odd, fails, or gets `immutable` without being the current
    /// version's URL of exactly the listed bytes.
    #[test]
    fn immutable_is_only_what_is_listed(
        path in prop_oneof![
            // By chance alone, hardly any would be.
            1 => proptest::sample::select(&NAMES[..])
                .prop_map(|name| format!("VERSION/{}", name.replace('%', "%25"))),
            4 => proptest::collection::vec(
                prop_oneof![
                    4 => Just("VERSION".to_owned()),
                    4 => Just("static".to_owned()),
                    8 => "(a|b|0123456789abcdef|%2541|%41|\\.\\.\\.)",
                    2 => "[%./\\\\a-f0-9~;+é]{0,3}",
                    1 => Just(String::new()),
                ],
                0..6,
            )
            .prop_map(|segments| segments.join("/")),
        ],
        method in "(GET|HEAD|GET|HEAD|POST|OPTIONS)",
        authorized in any::<bool>(),
    ) {
        let (root, layer) = own_names();
        let version = layer.prefix().version().to_owned();
        let path = format!("/static/{path}").replace("VERSION", &version);
        let Ok(uri) = path.parse::<axum::http::Uri>() else { return Ok(()) };
        let mut request = Request::builder().method(&*method).uri(uri).body(Body::empty()).unwrap();
        if authorized {
            request.headers_mut().insert("authorization", "x".parse().unwrap());
        }
        let files = ServeDir::new(root.path());
        let router = axum::Router::new().nest_service("/static", files);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(ask(layer.wrap(router), request));
        prop_assert!(!answer.status.is_server_error(), "{path}");
        let is_immutable = answer.cache_control().contains("immutable");
        if is_immutable {
            prop_assert!(path.starts_with(&format!("/static/{version}/")), "{path}");
            prop_assert!(answer.status == 200 && (method == "GET" || method == "HEAD"));
            let name = path[format!("/static/{version}/").len()..].replace("%41", "A");
            let name = name.replace("%2541", "%41");
            prop_assert_eq!(answer.field("etag"), etag_of(&name), "{}", path);
            prop_assert!(method == "HEAD" || answer.body == name);
            prop_assert_eq!(answer.cache_control().contains("public"), !authorized);
        }
        if method == "GET" || method == "HEAD" {
            let is_error = answer.status.is_client_error();
            prop_assert_eq!(answer.cache_control() == "no-store", is_error, "{:?}", answer);
        } else {
            prop_assert_eq!(answer.cache_control(), "");
        }
        let lines = |headers: &HeaderMap, name| headers.get_all(name).iter().count();
        prop_assert!(lines(answer.head.headers(), "etag") <= 1);
        prop_assert!(lines(answer.head.headers(), "cache-control") <= 1);
    }
}
