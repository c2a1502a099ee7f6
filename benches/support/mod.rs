//! Which services and requests are compared? Shared by the benches of time and of instructions.

use std::{
    convert::Infallible,
    future::{Future, ready},
    path::Path,
    pin::{Pin, pin},
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, service_fn};
use tower_http::{
    add_extension::{AddExtension, AddExtensionLayer},
    set_header::SetResponseHeaderLayer,
};
use tower_static_url::{
    EmptyBody, Manifest, StaticPrefix, StaticUrl, StaticUrlLayer, StaticUrlLayerBuilder,
    releases::Releases,
};

pub type Body = Full<Bytes>;
type Answer = Result<Response<Body>, Infallible>;

pub const CONTENT: &str = "hello world";
pub const PATH: &str = "css/app.css";
const ETAG: &str = "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\"";

/// Answers as `ServeDir` does, with the same five fields and a boxed future, but without a
/// disk.
#[derive(Clone)]
pub struct Inner;

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Full::from(CONTENT));
        let fields = [
            (header::CONTENT_TYPE, "text/css"),
            (header::ACCEPT_RANGES, "bytes"),
            (header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (header::CONTENT_LENGTH, "11"),
            (header::ETAG, "\"2ebc9d31.00000000-b\""),
        ];
        for (name, value) in fields {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Box::pin(ready(Ok(response)))
    }
}

/// The least that you would write instead of the layer: an extension and two fixed fields. The
/// tag, which the inner service has set, is replaced first.
pub fn stack() -> impl StaticService {
    extension_around(fixed_cache_control().layer(fixed_etag().layer(Inner)))
}

/// The same in the other order. The map of header fields has room for one more field. It grows
/// at the second insertion, even if that replaces a field.
pub fn growing_stack() -> impl StaticService {
    extension_around(fixed_etag().layer(fixed_cache_control().layer(Inner)))
}

/// The least that puts a prefix into the extensions of each request.
pub fn extension_around<S>(inner: S) -> AddExtension<S, StaticPrefix> {
    AddExtensionLayer::new(layer(1).prefix()).layer(inner)
}

fn fixed_etag() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(header::ETAG, HeaderValue::from_static(ETAG))
}

fn fixed_cache_control() -> SetResponseHeaderLayer<HeaderValue> {
    let year = HeaderValue::from_static("public, max-age=31536000, immutable");
    SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, year)
}

/// Returns the layer, with so many listed files.
pub fn layer(files: usize) -> StaticUrlLayer {
    builder(files).build().unwrap()
}

fn builder(files: usize) -> StaticUrlLayerBuilder {
    builder_at("/static", files)
}

fn builder_at(mount: &str, files: usize) -> StaticUrlLayerBuilder {
    let others = (1..files).map(|i| (format!("{}/{i}.css", i % 100), CONTENT));
    let files = others.chain([(PATH.to_owned(), CONTENT)]);
    let manifest = Manifest::from_files(files).unwrap();
    StaticUrlLayer::builder(mount).manifest(manifest)
}

/// Returns the layer with a memory that has the file of this request.
fn remembering(request: Request<Body>) -> StaticUrl<Inner> {
    let layer = builder(1).memory_budget(1024 * 1024).build().unwrap();
    let mut service = layer.layer(Inner);
    let response = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = response else { panic!("the inner service is always ready") };
    let body = pin!(response.into_body().collect()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(body.is_ready());
    service
}

/// Returns the layer without a manifest.
fn declared() -> StaticUrlLayer {
    let version = tower_static_url::VersionSource::literal("v1.2.3");
    StaticUrlLayer::builder("/static").version(version).build().unwrap()
}

/// Returns the layer at `/`, with releases that are kept.
fn with_releases(folder: &Path) -> StaticUrlLayer {
    let releases = Releases::folder(folder.join("releases")).unwrap();
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).unwrap();
    for content in 0..10 {
        std::fs::write(tree.join("a"), content.to_string()).unwrap();
        let manifest = Manifest::scan(&tree).unwrap();
        releases.publish(&manifest.digest_hex()[..16], &manifest, [&tree]).unwrap();
    }
    let files = service_fn(async |_: Request<EmptyBody>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    builder_at("/", 1).releases(releases, files).build().unwrap()
}

/// A kind of request, and the service that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Through [`stack`], with which all others are compared.
    Stack,
    /// Through [`growing_stack`].
    GrowingStack,
    /// Through [`extension_around`].
    Extension,
    /// The inner service alone.
    Bare,
    Outside,
    Current,
    CurrentWithQuery,
    CurrentUnlisted,
    CurrentDeclared,
    Unversioned,
    NotModified,
    /// A current URL, answered from memory.
    Remembered,
    /// A page of the site, below a mount of `/`.
    Page,
    /// The same, with releases that are kept.
    PageWithReleases,
}

impl Case {
    pub const ALL: [Self; 14] = [
        Self::Stack,
        Self::GrowingStack,
        Self::Extension,
        Self::Bare,
        Self::Outside,
        Self::Current,
        Self::CurrentWithQuery,
        Self::CurrentUnlisted,
        Self::CurrentDeclared,
        Self::Unversioned,
        Self::NotModified,
        Self::Remembered,
        Self::Page,
        Self::PageWithReleases,
    ];

    /// Returns a function that makes this request as a browser does.
    pub fn requests(self) -> impl Fn() -> Request<Body> + Sync + 'static {
        self.requests_to(self.url())
    }

    pub fn requests_to(self, url: String) -> impl Fn() -> Request<Body> + Sync + 'static {
        static FIELDS: LazyLock<HeaderMap> = LazyLock::new(browser_fields);
        let mut headers =
            if std::env::var_os("BARE").is_some() { HeaderMap::new() } else { FIELDS.clone() };
        if self == Self::NotModified {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(ETAG));
        }
        let uri = url.parse::<Uri>().unwrap();
        move || {
            let mut request = Request::new(Full::default());
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            request
        }
    }

    fn url(self) -> String {
        let prefix = if self == Self::CurrentDeclared { declared() } else { layer(1) }.prefix();
        match self {
            Self::Stack | Self::GrowingStack | Self::Extension | Self::Bare | Self::Outside => {
                "/hello".into()
            }
            Self::Current | Self::CurrentDeclared | Self::NotModified | Self::Remembered => {
                prefix.url(PATH)
            }
            Self::CurrentWithQuery => prefix.url(&format!("{PATH}?a=b")),
            Self::CurrentUnlisted => prefix.url("css/unlisted.css"),
            Self::Unversioned => format!("/static/{PATH}"),
            Self::Page | Self::PageWithReleases => "/blog/hello".into(),
        }
    }

    /// Measures the service of this case.
    pub fn with_service<R>(self, measure: impl Measure<R>) -> R {
        match self {
            Self::Stack => measure.measure(stack(), self.requests()),
            Self::GrowingStack => measure.measure(growing_stack(), self.requests()),
            Self::Extension => measure.measure(extension_around(Inner), self.requests()),
            Self::Bare => measure.measure(Inner, self.requests()),
            Self::CurrentDeclared => measure.measure(declared().layer(Inner), self.requests()),
            Self::Remembered => measure.measure(remembering(self.requests()()), self.requests()),
            Self::Page => {
                let layer = builder_at("/", 1).build().unwrap();
                measure.measure(layer.layer(Inner), self.requests())
            }
            Self::PageWithReleases => {
                let folder = tempfile::tempdir().unwrap();
                measure.measure(with_releases(folder.path()).layer(Inner), self.requests())
            }
            _ => measure.measure(layer(1).layer(Inner), self.requests()),
        }
    }
}

/// A service to measure.
pub trait StaticService:
    Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static
{
}

impl<S> StaticService for S where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static
{
}

/// A way to measure a service.
pub trait Measure<R> {
    fn measure(
        self,
        service: impl StaticService,
        request: impl Fn() -> Request<Body> + Sync + 'static,
    ) -> R;
}

/// Calls the service and polls once, which is enough for a response that is ready.
pub fn respond<S, B>(service: &mut S, request: Request<B>) -> bool
where
    S: Service<Request<B>, Error = Infallible>,
{
    is_ready(service.call(request))
}

/// Polls once, and drops the response.
pub fn is_ready(response: impl Future) -> bool {
    pin!(response).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn browser_fields() -> HeaderMap {
    let fields = [
        ("host", "www.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/css,*/*;q=0.1"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://www.example.com/"),
        ("connection", "keep-alive"),
        ("sec-fetch-dest", "style"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-site", "same-origin"),
    ];
    let fields = fields
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    fields.into_iter().collect()
}
