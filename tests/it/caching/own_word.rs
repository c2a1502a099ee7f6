//! What the inner service says of its caching, and what is left of that: it stays where it is
//! safe.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{Request, Response},
};
use tower::{Layer as _, service_fn};
use tower_static_url::{StaticUrlLayer, VersionSource};

use super::{answered, embedded};
use crate::support::{HELLO, YEAR, ask, get};

/// What an inner service may say, and what is left of that where it is kept, where it is kept
/// if it is at least as strict, and where something must be said in any case.
struct Said {
    name: &'static str,
    own: &'static [(&'static str, &'static str)],
    /// `None`: the layer's own for that URL.
    kept: Option<&'static str>,
    capped: &'static str,
    limited: &'static str,
}

const LOOSE: &str = "max-age=86400, immutable";

const SAID: [Said; 10] = [
    Said { name: "nothing", own: &[], kept: None, capped: "no-cache", limited: "no-cache" },
    Said {
        name: "a day",
        own: &[("cache-control", LOOSE)],
        kept: Some(LOOSE),
        capped: "no-cache",
        limited: "no-cache",
    },
    Said {
        name: "to ask",
        own: &[("cache-control", "no-cache, no-transform")],
        kept: Some("no-cache, no-transform"),
        capped: "no-cache, no-transform",
        limited: "no-cache, no-transform",
    },
    Said {
        name: "to forget",
        own: &[("cache-control", "no-store")],
        kept: Some("no-store"),
        capped: "no-store",
        limited: "no-store",
    },
    Said {
        name: "a minute for one",
        own: &[("cache-control", "private, max-age=60")],
        kept: Some("private, max-age=60"),
        capped: "private, no-cache",
        limited: "private, no-cache",
    },
    Said {
        name: "a cookie",
        own: &[("set-cookie", "a=b")],
        kept: Some(""),
        capped: "",
        limited: "no-cache",
    },
    Said {
        name: "to vary on everything",
        own: &[("vary", "*")],
        kept: Some(""),
        capped: "",
        limited: "no-cache",
    },
    Said {
        name: "a cookie and a day",
        own: &[("set-cookie", "a=b"), ("cache-control", LOOSE)],
        kept: Some(LOOSE),
        capped: "no-cache",
        limited: "no-cache",
    },
    Said {
        name: "a cookie, and to ask",
        own: &[("set-cookie", "a=b"), ("cache-control", "no-cache")],
        kept: Some("no-cache"),
        capped: "no-cache",
        limited: "no-cache",
    },
    Said {
        name: "a day to one CDN",
        own: &[("cdn-cache-control", "max-age=86400")],
        kept: None,
        capped: "no-cache",
        limited: "no-cache",
    },
];

/// What an inner service sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Listed,
    Changed,
    /// With nothing that proves or disproves it.
    Unproven,
    Unlisted,
    Redirect,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Kept,
    Capped,
    Limited,
    /// Nobody keeps an error.
    Forgotten,
}

#[tokio::test]
async fn what_is_kept_of_the_inner_services_own_word() {
    use Rule::{Capped, Forgotten, Kept, Limited};
    use Sent::{Changed, Error, Listed, Redirect, Unlisted, Unproven};
    let version = embedded().prefix().version().to_owned();
    let current = format!("/static/{version}/");
    let (stale, unversioned) = ("/static/00000000000000aa/", "/static/");
    for (base, sent, rule) in [
        (&*current, Listed, Kept),
        // Its URL names other bytes.
        (&current, Changed, Limited),
        (&current, Unproven, Limited),
        (&current, Unlisted, Capped),
        (&current, Redirect, Capped),
        (&current, Error, Forgotten),
        (stale, Listed, Limited),
        (stale, Changed, Limited),
        (stale, Unproven, Limited),
        (stale, Unlisted, Limited),
        (stale, Redirect, Limited),
        (stale, Error, Forgotten),
        (unversioned, Listed, Kept),
        (unversioned, Changed, Capped),
        (unversioned, Unproven, Capped),
        // These are the inner service's own.
        (unversioned, Unlisted, Kept),
        (unversioned, Redirect, Kept),
        (unversioned, Error, Forgotten),
    ] {
        let is_pinned = base == current && sent == Listed;
        for said in &SAID {
            let name = format!("{base} {sent:?}, said {}", said.name);
            let path = if sent == Unlisted { "unlisted.txt" } else { "hello.txt" };
            let inner =
                service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(send(sent, said)) });
            let answer = ask(embedded().layer(inner), get(&format!("{base}{path}"))).await;
            let expected = match rule {
                Kept => said.kept.unwrap_or(if is_pinned { YEAR } else { "no-cache" }),
                Capped => said.capped,
                Limited => said.limited,
                Forgotten => "no-store",
            };
            assert_eq!(answer.cache_control(), expected, "{name}");
            // What one kind of cache hears in place of it must not be looser.
            let to_cdn = if rule == Kept { "max-age=86400" } else { "" };
            let has_told = said.own.iter().any(|(name, _)| *name == "cdn-cache-control");
            let to_cdn = if has_told { to_cdn } else { "" };
            assert_eq!(answer.field("cdn-cache-control"), to_cdn, "{name}");
        }
    }
}

fn send(sent: Sent, said: &Said) -> Response<Body> {
    let (status, body) = match sent {
        Sent::Listed => (200, Body::from(HELLO)),
        Sent::Changed => (200, Body::from("another length")),
        Sent::Unproven => (200, Body::from_stream(Body::from(HELLO).into_data_stream())),
        Sent::Unlisted => (200, Body::from("unlisted")),
        Sent::Redirect => (302, Body::empty()),
        Sent::Error => (404, Body::empty()),
    };
    let response = Response::builder().status(status);
    let response = said.own.iter().fold(response, |it, (name, value)| it.header(*name, *value));
    response.body(body).unwrap()
}

/// Without a manifest there is nothing that could be unlisted or have changed: what comes under
/// the version is vouched for, and what is said of it stands.
#[tokio::test]
async fn under_a_declared_version_the_inner_services_own_word_is_kept() {
    let version = VersionSource::literal("v1");
    let layer = StaticUrlLayer::builder("/static").version(version).build().unwrap();
    for (url, status, own, expected) in [
        ("/static/v1/any", 200, LOOSE, LOOSE),
        ("/static/v1/any", 302, LOOSE, LOOSE),
        ("/static/any", 200, LOOSE, LOOSE),
        ("/static/v2/any", 200, LOOSE, "no-cache"),
        ("/static/v1/any", 206, LOOSE, "no-cache"),
        ("/static/any", 206, LOOSE, "no-cache"),
        ("/static/v1/any", 404, LOOSE, "no-store"),
    ] {
        let answer = answered(&layer, get(url), status, &[("cache-control", own)], "any").await;
        assert_eq!(answer.cache_control(), expected, "{url} {status}");
    }
}
