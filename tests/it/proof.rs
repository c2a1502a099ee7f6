//! Evidence at its edges: responses that look like the scanned file and are not.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, header},
};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer};

use crate::support::{
    ServeDir, Warnings, YEAR, ask, etag_of, get, later, request, set_modified, tree, write_at,
};

const TEAL: &str = "p{color:#111}";
const NAVY: &str = "p{color:#222}";

/// F8, with an edit that keeps the length: a `Last-Modified` after 1970 is not the time of a
/// file from before it.
#[tokio::test]
async fn an_edit_of_a_file_from_before_1970_shows_in_its_date() {
    let root = tree([("a.css", TEAL)]);
    let second = Duration::from_secs(1);
    set_modified(&root.path().join("a.css"), SystemTime::UNIX_EPOCH - second);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    write_at(&root.path().join("a.css"), NAVY, later(1));
    let warnings = Warnings::capture();
    let files = Router::new().nest_service("/static", ServeDir::new(root.path()));
    let answer = ask(layer.wrap(files), get(&layer.prefix().url("a.css"))).await;
    assert_eq!((&*answer.body, answer.cache_control()), (NAVY.as_bytes(), "no-cache".into()));
    assert_eq!(warnings.lines().len(), 1);
}

/// §5: each piece of evidence agrees, disagrees or is absent. A tag of `ServeDir` that spells
/// another second disagrees, as one that spells another nanosecond does.
#[tokio::test]
async fn a_tag_of_serve_dir_that_spells_another_second_disagrees() {
    let root = tree([("a.css", TEAL)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    write_at(&root.path().join("a.css"), NAVY, later(1));
    let undated = ServiceExt::<Request<Body>>::map_response(
        ServeDir::new(root.path()),
        |mut response: Response<_>| {
            response.headers_mut().remove(header::LAST_MODIFIED);
            response
        },
    );
    let files = Router::new().nest_service("/static", undated);
    let answer = ask(layer.wrap(files), get(&layer.prefix().url("a.css"))).await;
    assert_eq!((&*answer.body, answer.cache_control()), (NAVY.as_bytes(), "no-cache".into()));
}

fn developing() -> StaticUrlLayer {
    let manifest = Manifest::from_files([("a.css", TEAL)]).unwrap();
    StaticUrlLayer::builder("/static").manifest(manifest).development(true).build().unwrap()
}

/// F3 behind a service whose tag is that of its build: without times nothing is learned, and
/// each body is hashed.
#[tokio::test]
async fn in_development_a_tag_that_stays_the_same_proves_nothing() {
    let layer = developing();
    for (content, cache_control, etag) in
        [(TEAL, YEAR, etag_of(TEAL)), (NAVY, "no-cache", "\"v1.2.3\"".into())]
    {
        let inner = service_fn(|_: Request<Body>| async move {
            let response = Response::builder().header("etag", "\"v1.2.3\"");
            Ok::<_, Infallible>(response.body(Body::from(content)).unwrap())
        });
        let answer = ask(layer.layer(inner), get(&layer.prefix().url("a.css"))).await;
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, (cache_control.into(), etag), "{content}");
    }
}

/// A part cannot be vouched for there: who has the tag of the whole gets the whole, and no 412.
#[tokio::test]
async fn in_development_a_resumed_file_that_has_not_changed_is_sent() {
    let layer = developing();
    let url = layer.prefix().url("a.css");
    let inner = service_fn(|request: Request<Body>| async move {
        let (whole, part) = (Response::builder(), Response::builder().status(206));
        let is_part = request.headers().contains_key("range");
        let part = part.header("content-range", "bytes 0-4/13").body(Body::from(&TEAL[..5]));
        Ok::<_, Infallible>(if is_part { part } else { whole.body(Body::from(TEAL)) }.unwrap())
    });
    let tag = ask(layer.layer(inner), get(&url)).await.field("etag");
    let lines = [("range", "bytes=0-4"), ("if-range", &*tag)];
    let answer = ask(layer.layer(inner), request("GET", &url, &lines)).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, TEAL.as_bytes()));
}

/// §5: what is listed, and not proven, keeps only what is at least as strict, at any URL. A 203
/// is what somebody has made of the file on its way.
#[tokio::test]
async fn a_transformed_file_is_no_unlisted_one() {
    const DAY: &str = "max-age=86400, immutable";
    let root = tree([("a.css", TEAL)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    let current = layer.prefix().url("a.css");
    for (url, own) in [
        ("/static/a.css", ("cache-control", DAY)),
        (&*current, ("cache-control", DAY)),
        (&*current, ("set-cookie", "a=b")),
    ] {
        let inner = service_fn(|_: Request<Body>| async move {
            let response = Response::builder().status(203).header(own.0, own.1);
            Ok::<_, Infallible>(response.body(Body::from("minified")).unwrap())
        });
        let answer = ask(layer.layer(inner), get(url)).await;
        assert_eq!(answer.cache_control(), "no-cache", "{url} {own:?}");
    }
}

/// A part whose body is not as long as its `Content-Range` says, or not the part that was asked
/// for, is no valid one.
#[tokio::test]
async fn a_part_is_as_long_as_it_says_and_the_one_that_was_asked_for() {
    let root = tree([("a.css", TEAL)]);
    let layer = StaticUrlLayer::new("/static", root.path()).unwrap();
    for (name, content_range, body) in [
        ("longer", "bytes 0-4/13", "<p>hello, visitor 7"),
        ("another part", "bytes 5-9/13", &TEAL[5..10]),
    ] {
        let inner = service_fn(|_: Request<Body>| async move {
            let part = Response::builder().status(206).header("content-range", content_range);
            Ok::<_, Infallible>(part.body(Body::from(body)).unwrap())
        });
        let url = layer.prefix().url("a.css");
        let part = request("GET", &url, &[("range", "bytes=0-4")]);
        let answer = ask(layer.layer(inner), part).await;
        let got = (answer.cache_control(), answer.field("etag"));
        assert_eq!(got, ("no-cache".into(), String::new()), "{name}");
    }
}
