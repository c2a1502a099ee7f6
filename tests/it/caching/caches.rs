//! What a browser's cache and a shared one make of the answers, as `http-cache-semantics`
//! reads RFC 9111: what they store, for how long they use it unasked, and what they hear
//! when they ask again.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderName, Request, Response, StatusCode};
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use tempfile::TempDir;
use tower::{Layer as _, ServiceBuilder};
use tower_static_url::StaticUrlLayer;

use crate::support::{
    ServeDir, gzip, later,
    wire::{Answer, Connection, Server},
    write, write_at,
};

// ---------------------------------------------------------------------------------
// The site

/// A tree, of which files have changed and come since the scan.
struct Site {
    folder: TempDir,
    layer: StaticUrlLayer,
    server: Server,
}

/// Field lines; `:status` is the status.
type Lines<'l> = &'l [(&'l str, &'l str)];

impl Site {
    fn new() -> Self {
        Self::saying(&[])
    }

    /// The inner service adds these fields to what `ServeDir` answers.
    fn saying(fields: Lines<'static>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("static");
        for path in ["app.css", "changed.css", "docs/index.html"] {
            write(&below, path, format!("as scanned: {path}"));
        }
        write(&below, "app.css.gz", gzip("as scanned: app.css"));
        let layer = StaticUrlLayer::new("/static", &below).unwrap();
        write_at(&below.join("changed.css"), "changed since", later(1));
        write_at(&below.join("late.css"), "made since", later(1));
        write(folder.path(), "outside.css", "outside");
        let files = ServeDir::new(folder.path()).precompressed_gzip();
        let inner = ServiceBuilder::new().map_response(move |it| say(it, fields)).service(files);
        Self { server: Server::start(layer.layer(inner)), folder, layer }
    }

    /// `{v}` is the current version, `{s}` a stale one.
    fn url(&self, template: &str) -> String {
        let url = template.replace("{v}", self.layer.prefix().version());
        url.replace("{s}", "00000000000000aa")
    }
}

fn say<B>(mut response: Response<B>, fields: Lines<'_>) -> Response<B> {
    for (name, value) in fields {
        match *name {
            ":status" => *response.status_mut() = value.parse().unwrap(),
            name => {
                let name: HeaderName = name.parse().unwrap();
                response.headers_mut().append(name, value.parse().unwrap());
            }
        }
    }
    response
}

// ---------------------------------------------------------------------------------
// The caches

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Private,
    Shared,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Private, Self::Shared];

    fn options(self) -> CacheOptions {
        CacheOptions { shared: self == Self::Shared, ..CacheOptions::default() }
    }
}

/// What a cache does with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It does not store it.
    Never,
    /// It stores it, and asks before each use.
    Asking,
    /// It uses it unasked, for so many seconds.
    For(u64),
    /// It guesses for how long (RFC 9111 §4.2.2): nobody has said.
    Guessing,
}

use Use::{Asking, For, Guessing, Never};

const YEAR: u64 = 365 * 24 * 60 * 60;

/// A request, and what a cache keeps of the answer.
struct Kept {
    request: Request<()>,
    answer: Answer,
    policy: CachePolicy,
    since: SystemTime,
}

impl Kept {
    fn fetch(site: &Site, kind: Kind, request: Request<()>) -> Self {
        let answer = send(site, &request);
        let since = SystemTime::now();
        let response = response_of(&answer);
        let policy = CachePolicy::new_options(&request, &response, since, kind.options());
        Self { request, answer, policy, since }
    }

    fn is_used(&self) -> Use {
        let lifetime = self.policy.time_to_live(self.since).as_secs();
        let said = self.answer.cache_control();
        let is_said = said.contains("max-age") || said.contains("s-maxage");
        match lifetime {
            _ if !self.policy.is_storable() => Never,
            _ if self.question(0).is_some() => Asking,
            _ if !is_said => Guessing,
            seconds => For(seconds),
        }
    }

    /// What a cache sends when the same is asked for after so many seconds; nothing where
    /// its copy will do.
    fn question(&self, later: u64) -> Option<Request<()>> {
        let now = self.since + Duration::from_secs(later);
        match self.policy.before_request(&self.request, now) {
            BeforeRequest::Fresh(_) => None,
            BeforeRequest::Stale { request, .. } => Some(Request::from_parts(request, ())),
        }
    }

    /// Asks again, and says whether the copy is still good; and what is then kept.
    fn revalidate(self, site: &Site, later: u64) -> (bool, Self) {
        let question = self.question(later).expect("something to ask");
        let answer = send(site, &question);
        let since = self.since + Duration::from_secs(later);
        let (is_good, policy) =
            match self.policy.after_response(&self.request, &response_of(&answer), since) {
                AfterResponse::NotModified(policy, _) => (true, policy),
                AfterResponse::Modified(policy, _) => (false, policy),
            };
        let status = if is_good { self.answer.status } else { answer.status };
        let body = if is_good { self.answer.body } else { answer.body.clone() };
        let answer = Answer { status, body, ..answer };
        (is_good, Self { answer, policy, since, request: self.request })
    }
}

fn get(url: &str, lines: Lines<'_>) -> Request<()> {
    let request =
        lines.iter().fold(Request::get(url), |it, (name, value)| it.header(*name, *value));
    request.body(()).unwrap()
}

fn send(site: &Site, request: &Request<()>) -> Answer {
    let lines = request.headers().iter();
    let lines = lines.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let lines = lines.collect::<Vec<_>>();
    let (method, url) = (request.method().as_str(), request.uri().to_string());
    Connection::open(&site.server).exchange(method, &url, &lines)
}

/// The crate knows no 206; a cache that does stores it by the rules for a 200 (RFC 9111
/// §3.3).
fn response_of(answer: &Answer) -> Response<()> {
    let status = if answer.status == 206 { 200 } else { answer.status };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in &answer.lines {
        let name: HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

// ---------------------------------------------------------------------------------
// What is kept

const AUTHORIZED: (&str, &str) = ("authorization", "Basic eA==");
const PART: (&str, &str) = ("range", "bytes=0-4");
const BEYOND: (&str, &str) = ("range", "bytes=99-");
const NEVER_MATCHES: (&str, &str) = ("if-match", "\"other\"");
const COOKIE: (&str, &str) = ("set-cookie", "a=b");
const MINUTE: (&str, &str) = ("cache-control", "max-age=60");
const PUBLIC_MINUTE: (&str, &str) = ("cache-control", "public, max-age=60");
const SHARED_HOUR: (&str, &str) = ("cache-control", "max-age=60, s-maxage=3600");
const PRIVATE_MINUTE: (&str, &str) = ("cache-control", "private, max-age=60");
const DAY: (&str, &str) = ("cache-control", "max-age=86400, immutable");
const NO_STORE: (&str, &str) = ("cache-control", "no-store");
const GRACE: (&str, &str) = ("cache-control", "max-age=60, stale-while-revalidate=600");

const CURRENT: &str = "/static/{v}/app.css";
const CHANGED: &str = "/static/{v}/changed.css";
const CHANGED_PLAIN: &str = "/static/changed.css";
const LATE: &str = "/static/{v}/late.css";
const LATE_PLAIN: &str = "/static/late.css";
const STALE: &str = "/static/{s}/app.css";
const UNVERSIONED: &str = "/static/app.css";
const FOLDER: &str = "/static/{v}/docs";
const MISSING: &str = "/static/{v}/missing.css";
const OUTSIDE: &str = "/outside.css";

/// What is asked, how, and what the inner service adds to what `ServeDir` answers; then the
/// status, and what a private and a shared cache do with it.
type Case = (&'static str, &'static str, Lines<'static>, Lines<'static>, u16, Use, Use);

const CASES: [Case; 60] = [
    ("current", CURRENT, &[], &[], 200, For(YEAR), For(YEAR)),
    ("current, part", CURRENT, &[PART], &[], 206, For(YEAR), For(YEAR)),
    ("current, sibling", CURRENT, &[("accept-encoding", "gzip")], &[], 200, For(YEAR), For(YEAR)),
    ("current, authorized", CURRENT, &[AUTHORIZED], &[], 200, For(YEAR), Never),
    ("current, authorized part", CURRENT, &[AUTHORIZED, PART], &[], 206, For(YEAR), Never),
    ("current, not to be stored", CURRENT, &[NO_STORE], &[], 200, Never, Never),
    ("current, own lifetime", CURRENT, &[], &[MINUTE], 200, For(60), For(60)),
    ("current, own public", CURRENT, &[AUTHORIZED], &[PUBLIC_MINUTE], 200, For(60), Never),
    ("current, own shared", CURRENT, &[], &[SHARED_HOUR], 200, For(60), For(3600)),
    ("current, authorized shared", CURRENT, &[AUTHORIZED], &[SHARED_HOUR], 200, For(60), Never),
    ("current, own private", CURRENT, &[], &[PRIVATE_MINUTE], 200, For(60), Never),
    ("current, own no-store", CURRENT, &[], &[NO_STORE], 200, Never, Never),
    ("current, varies on everything", CURRENT, &[], &[("vary", "*")], 200, Asking, Asking),
    ("current, other success", CURRENT, &[], &[(":status", "203")], 203, Asking, Asking),
    ("current, no content", CURRENT, &[], &[(":status", "204")], 204, Asking, Asking),
    ("changed", CHANGED, &[], &[], 200, Asking, Asking),
    ("changed, part", CHANGED, &[PART], &[], 206, Asking, Asking),
    ("changed, authorized", CHANGED, &[AUTHORIZED], &[], 200, Asking, Never),
    ("changed, own lifetime", CHANGED, &[], &[PUBLIC_MINUTE], 200, Asking, Asking),
    ("changed, own shared", CHANGED, &[], &[SHARED_HOUR], 200, Asking, Asking),
    ("changed, own private", CHANGED, &[], &[PRIVATE_MINUTE], 200, Asking, Never),
    ("changed, own grace", CHANGED, &[], &[GRACE], 200, Asking, Asking),
    ("changed, cookie", CHANGED, &[], &[COOKIE], 200, Asking, Asking),
    ("changed, own day", CHANGED, &[], &[DAY], 200, Asking, Asking),
    ("changed, unversioned", CHANGED_PLAIN, &[], &[], 200, Asking, Asking),
    ("changed, unversioned, own day", CHANGED_PLAIN, &[], &[DAY], 200, Asking, Asking),
    (
        "changed, unversioned, own private",
        CHANGED_PLAIN,
        &[],
        &[PRIVATE_MINUTE],
        200,
        Asking,
        Never,
    ),
    ("changed, unversioned, own part", CHANGED_PLAIN, &[PART], &[DAY], 206, Asking, Asking),
    ("not listed", LATE, &[], &[], 200, Asking, Asking),
    ("not listed, part", LATE, &[PART], &[], 206, Asking, Asking),
    ("not listed, authorized", LATE, &[AUTHORIZED], &[], 200, Asking, Never),
    ("not listed, own lifetime", LATE, &[], &[MINUTE], 200, Asking, Asking),
    ("not listed, own day", LATE, &[], &[DAY], 200, Asking, Asking),
    ("not listed, own no-store", LATE, &[], &[NO_STORE], 200, Never, Never),
    ("not listed, unversioned", LATE_PLAIN, &[], &[], 200, Asking, Asking),
    ("not listed, unversioned, own lifetime", LATE_PLAIN, &[], &[MINUTE], 200, For(60), For(60)),
    ("stale", STALE, &[], &[], 200, Asking, Asking),
    ("stale, part", STALE, &[PART], &[], 206, Asking, Asking),
    ("stale, own lifetime", STALE, &[], &[PUBLIC_MINUTE], 200, Asking, Asking),
    ("stale, own private", STALE, &[], &[PRIVATE_MINUTE], 200, Asking, Never),
    ("stale, cookie", STALE, &[], &[COOKIE], 200, Asking, Asking),
    ("stale, moved", STALE, &[], &[(":status", "301"), PUBLIC_MINUTE], 301, Asking, Asking),
    ("unversioned", UNVERSIONED, &[], &[], 200, Asking, Asking),
    ("unversioned, part", UNVERSIONED, &[PART], &[], 206, Asking, Asking),
    ("unversioned, authorized", UNVERSIONED, &[AUTHORIZED], &[], 200, Asking, Never),
    ("unversioned, own lifetime", UNVERSIONED, &[], &[MINUTE], 200, For(60), For(60)),
    ("redirect", FOLDER, &[], &[], 307, Never, Never),
    ("redirect, own lifetime", FOLDER, &[], &[MINUTE], 307, Never, Never),
    ("moved for good", FOLDER, &[], &[(":status", "308")], 308, Asking, Asking),
    ("moved, own lifetime", FOLDER, &[], &[(":status", "308"), MINUTE], 308, Asking, Asking),
    (
        "moved, unversioned",
        "/static/docs",
        &[],
        &[(":status", "308"), MINUTE],
        308,
        For(60),
        For(60),
    ),
    ("missing", MISSING, &[], &[], 404, Never, Never),
    ("missing, own lifetime", MISSING, &[], &[PUBLIC_MINUTE], 404, Never, Never),
    ("gone", CURRENT, &[], &[(":status", "410"), PUBLIC_MINUTE], 410, Never, Never),
    ("not satisfiable", CURRENT, &[BEYOND], &[], 416, Never, Never),
    ("precondition failed", CURRENT, &[NEVER_MATCHES], &[], 412, Never, Never),
    ("server error", CURRENT, &[], &[(":status", "500"), PUBLIC_MINUTE], 500, Never, Never),
    ("not implemented", CURRENT, &[], &[(":status", "501"), MINUTE], 501, Never, Never),
    ("outside", OUTSIDE, &[], &[], 200, Guessing, Guessing),
    ("outside, own lifetime", OUTSIDE, &[], &[MINUTE], 200, For(60), For(60)),
];

#[test]
fn what_is_kept_and_for_how_long() {
    for (name, url, lines, says, status, private, shared) in CASES {
        let site = Site::saying(says);
        for (kind, expected) in Kind::BOTH.into_iter().zip([private, shared]) {
            let kept = Kept::fetch(&site, kind, get(&site.url(url), lines));
            assert_eq!(kept.answer.status, status, "{name}");
            assert_eq!(kept.is_used(), expected, "{name}, {kind:?}: {:?}", kept.answer);
        }
    }
}

/// With a cookie we give no permission, so that it is as it was without the layer.
#[test]
fn what_has_a_cookie_is_as_the_inner_service_left_it() {
    let site = Site::saying(&[COOKIE]);
    for url in [CURRENT, UNVERSIONED, CHANGED_PLAIN, LATE, LATE_PLAIN, OUTSIDE] {
        let private = Kept::fetch(&site, Kind::Private, get(&site.url(url), &[]));
        assert_eq!((private.is_used(), &*private.answer.cache_control()), (Guessing, ""), "{url}");
        let shared = Kept::fetch(&site, Kind::Shared, get(&site.url(url), &[]));
        assert_eq!(shared.is_used(), Asking, "{url}");
    }
}

// ---------------------------------------------------------------------------------
// What is asked again

/// A copy that may be used unasked is: until the last second.
#[test]
fn nobody_asks_for_a_year() {
    let site = Site::new();
    for kind in Kind::BOTH {
        let kept = Kept::fetch(&site, kind, get(&site.url(CURRENT), &[]));
        for (later, is_asked) in [(0, false), (YEAR / 2, false), (YEAR - 1, false), (YEAR, true)] {
            assert_eq!(kept.question(later).is_some(), is_asked, "{kind:?} after {later}");
        }
    }
}

/// Every copy that is asked for again is still good, and kept as it was before.
#[test]
fn a_copy_is_good_as_long_as_its_file() {
    for (name, url, lines, expected) in [
        ("current, after its year", CURRENT, &[][..], For(YEAR)),
        ("current, sibling", CURRENT, &[("accept-encoding", "gzip")], For(YEAR)),
        ("current, authorized", CURRENT, &[AUTHORIZED], For(YEAR)),
        ("changed", CHANGED, &[], Asking),
        ("not listed", LATE, &[], Asking),
        ("index", "/static/{v}/docs/", &[], Asking),
        ("stale", STALE, &[], Asking),
        ("stale, sibling", STALE, &[("accept-encoding", "gzip")], Asking),
        ("unversioned", UNVERSIONED, &[], Asking),
    ] {
        let site = Site::new();
        let first = Kept::fetch(&site, Kind::Private, get(&site.url(url), lines));
        let (tag, body) = (first.answer.field("etag"), first.answer.body.clone());
        let question = first.question(YEAR).unwrap_or_else(|| panic!("{name}: nothing to ask"));
        assert_eq!(question.headers()["if-none-match"], tag, "{name}");
        let (is_good, second) = first.revalidate(&site, YEAR);
        assert!(is_good, "{name}: {:?}", second.answer);
        assert_eq!((second.is_used(), second.answer.field("etag")), (expected, tag), "{name}");
        let (is_good, third) = second.revalidate(&site, YEAR);
        assert!(is_good && third.answer.body == body, "{name}: {:?}", third.answer);
        assert_eq!(third.is_used(), expected, "{name}");
    }
}

/// After a file has changed the copy is replaced, and its year is over.
#[test]
fn a_copy_goes_with_its_file() {
    for (name, url, file) in [
        ("current", CURRENT, "app.css"),
        ("changed once more", CHANGED, "changed.css"),
        ("not listed", LATE, "late.css"),
        ("stale", STALE, "app.css"),
        ("unversioned", UNVERSIONED, "app.css"),
    ] {
        let site = Site::new();
        let kept = Kept::fetch(&site, Kind::Private, get(&site.url(url), &[]));
        write_at(&site.folder.path().join("static").join(file), "another text", later(2));
        // Somebody who has no copy lets the layer see the change.
        Kept::fetch(&site, Kind::Private, get(&site.url(url), &[]));
        let (is_good, kept) = kept.revalidate(&site, YEAR);
        assert!(!is_good && kept.answer.text() == "another text", "{name}: {:?}", kept.answer);
        assert_eq!(kept.is_used(), Asking, "{name}");
        let (is_good, kept) = kept.revalidate(&site, YEAR);
        assert!(is_good && kept.answer.text() == "another text", "{name}: {:?}", kept.answer);
    }
}

/// A deploy, and its rollback: what was fetched before is good again.
#[test]
fn a_copy_outlives_a_rollback() {
    let site = Site::new();
    site.layer.reload().unwrap();
    let file = site.folder.path().join("static/app.css");
    let before = fs::read_to_string(&file).unwrap();
    let (versioned, plain) = (get(&site.url(CURRENT), &[]), get(UNVERSIONED, &[]));
    let versioned = Kept::fetch(&site, Kind::Private, versioned);
    let plain = Kept::fetch(&site, Kind::Private, plain);

    write_at(&file, "deployed", later(3));
    assert!(site.layer.reload().unwrap().has_changed());
    let (is_good, plain) = plain.revalidate(&site, 1);
    assert!(!is_good && plain.answer.text() == "deployed");
    // The old URL is stale now, and asks for other bytes: they may not be kept under it.
    let while_deployed =
        Kept::fetch(&site, Kind::Private, get(&versioned.request.uri().to_string(), &[]));
    assert_eq!(
        (while_deployed.answer.text(), while_deployed.is_used()),
        ("deployed".into(), Asking)
    );
    assert!(versioned.question(1).is_none(), "an old page keeps its copy");

    write_at(&file, &before, later(4));
    assert!(site.layer.reload().unwrap().has_changed());
    let (is_good, versioned) = versioned.revalidate(&site, YEAR);
    assert!(is_good && versioned.is_used() == For(YEAR), "touched, but not changed");
    let (is_good, plain) = plain.revalidate(&site, 1);
    assert!(!is_good && plain.answer.text() == before);
}

/// Another coding is another copy; no cache takes one for the other.
#[test]
fn a_copy_is_for_the_codings_it_was_asked_with() {
    let site = Site::new();
    let gzip = [("accept-encoding", "gzip")];
    for kind in Kind::BOTH {
        let plain = Kept::fetch(&site, kind, get(&site.url(CURRENT), &[]));
        let zipped = Kept::fetch(&site, kind, get(&site.url(CURRENT), &gzip));
        assert_ne!(plain.answer.field("etag"), zipped.answer.field("etag"));
        let now = plain.since;
        for (kept, other) in [(&plain, &zipped), (&zipped, &plain)] {
            let (own, foreign) = (&kept.request, &other.request);
            assert!(kept.policy.before_request(own, now).satisfies_without_revalidation());
            assert!(!kept.policy.before_request(foreign, now).satisfies_without_revalidation());
        }
    }
}

/// Who reloads asks, within the year too, and hears that the copy is good.
#[test]
fn a_reload_is_answered_without_the_body() {
    let site = Site::new();
    let kept = Kept::fetch(&site, Kind::Private, get(&site.url(CURRENT), &[]));
    let reload = get(&site.url(CURRENT), &[("cache-control", "no-cache")]);
    let BeforeRequest::Stale { request, matches } = kept.policy.before_request(&reload, kept.since)
    else {
        panic!("a reload is no reason to ask");
    };
    let answer = send(&site, &Request::from_parts(request, ()));
    assert_eq!((matches, answer.status, answer.body.len()), (true, 304, 0));
    let good = kept.policy.after_response(&reload, &response_of(&answer), kept.since);
    assert!(matches!(good, AfterResponse::NotModified(..)));
}
