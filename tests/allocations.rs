//! What a request and a link cost in allocations, counted exactly. Alone in its process,
//! because of its allocator.

#[path = "../benches/support/mod.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod support;

use std::convert::Infallible;

use allocation_counter::measure;
use axum::{
    body::Body,
    http::{Request, Response},
};
use support::{Case, Measure, StaticService, respond};
use tower::{Layer as _, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer};

/// Allocations from the call until the response is there, both dropped.
struct Counted {
    /// Somebody before us has put something into the request's extensions.
    extended: bool,
}

impl Measure<u64> for Counted {
    fn measure(
        self,
        mut service: impl StaticService,
        request: impl Fn() -> Request<support::Body> + Sync + 'static,
    ) -> u64 {
        let request = || {
            let mut request = request();
            if self.extended {
                request.extensions_mut().insert(());
            }
            request
        };
        // The first response of a file teaches the layer something, and the first 304 of a
        // thread is kept for the next.
        respond(&mut service, request());
        respond(&mut service, request());
        let mut request = Some(request());
        measure(|| assert!(respond(&mut service, request.take().unwrap()))).count_total
    }
}

/// As many as the inner service's own, the extensions' four (their map twice, the prefix and
/// the outcome), and the path where it has to be copied.
#[test]
fn requests() {
    let inner = Case::Bare.with_service(Counted { extended: false });
    for (case, expected) in [
        (Case::Outside, 4),
        (Case::Current, 4),
        (Case::CurrentWithQuery, 5),
        (Case::CurrentUnlisted, 5),
        (Case::CurrentDeclared, 5),
        (Case::Unversioned, 4),
    ] {
        let over = case.with_service(Counted { extended: false }) - inner;
        assert_eq!(over, expected, "{case:?}");
        // The map of extensions is there, and large enough.
        let over = case.with_service(Counted { extended: true }) - inner;
        assert_eq!(over, expected - 2, "{case:?} with another extension");
    }
    // The inner service is not asked; these are the map of the header fields.
    for case in [Case::NotModified, Case::Remembered] {
        assert_eq!(case.with_service(Counted { extended: false }), 2, "{case:?}");
    }
}

#[test]
fn links() {
    let manifest = Manifest::from_files([("css/app.css", ""), ("two words.txt", "")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let prefix = layer.prefix();
    for path in ["css/app.css", "/css/app.css", "two words.txt", "ü?a=ü#b", "no such file"] {
        assert_eq!(measure(|| drop(prefix.url(path))).count_total, 1, "{path}");
        let mut page = String::with_capacity(100);
        let written = measure(|| {
            use std::fmt::Write as _;
            write!(page, "{}", prefix.display(path)).unwrap();
        });
        assert_eq!(written.count_total, 0, "{path}");
        assert_eq!(page, prefix.url(path));
    }
    assert_eq!(measure(|| drop(prefix.try_url("css/app.css").unwrap())).count_total, 1);
}

#[test]
fn a_body_that_passes_through_is_not_boxed_for_axum() {
    let manifest = Manifest::from_files([("a", "hello")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let inner = service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    for uri in ["/", &layer.prefix().url("a"), "/static/a"] {
        let request = || Request::get(uri).body(Body::empty()).unwrap();
        let (mut plain, mut wrapped) = (layer.layer(inner), layer.wrap(inner));
        let count = |service: &mut dyn FnMut(Request<Body>) -> bool| {
            // The first response of a file teaches the layer something.
            service(request());
            let mut request = Some(request());
            measure(|| assert!(service(request.take().unwrap()))).count_total
        };
        let plain = count(&mut |request| respond(&mut plain, request));
        assert_eq!(count(&mut |request| respond(&mut wrapped, request)), plain, "{uri}");
    }
}

/// Memory does not grow with the dictionaries that somebody makes up, and no thread is asked.
#[cfg(feature = "delta")]
#[test]
fn made_up_dictionaries_leave_nothing() {
    use data_encoding::BASE64;
    use tower_http::services::ServeDir;
    use tower_static_url::{Deltas, releases::Releases};

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("dist");
    std::fs::create_dir(&root).unwrap();
    let releases = Releases::folder(folder.path().join("site")).unwrap();
    let layer = |content: &str| {
        std::fs::write(root.join("a"), content).unwrap();
        let files = ServeDir::new(releases.files());
        let builder = StaticUrlLayer::builder("/static").root(&root);
        let layer =
            builder.releases(releases.clone(), files).deltas(Deltas::new()).build().unwrap();
        layer.publish().unwrap();
        layer
    };
    layer("olleh");
    let layer = layer("hello");
    let inner = service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    let (url, mut service) = (layer.prefix().url("a"), layer.layer(inner));
    let mut send = |number: u64| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        let request = Request::get(&url).header("accept-encoding", "gzip, br, dcz");
        let request =
            request.header("available-dictionary", format!(":{}:", BASE64.encode(&digest)));
        assert!(respond(&mut service, request.body(Body::empty()).unwrap()));
    };
    send(0);
    let measured = measure(|| (1..=10_000).for_each(&mut send));
    assert_eq!(measured.bytes_current, 0, "{measured:?}");
    assert!(measured.bytes_max < 10_000, "{measured:?}");
}
