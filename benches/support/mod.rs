//! Which services and requests are compared? Shared by the benches of time and of instructions.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::{Pin, pin},
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    thread,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower::{Layer as _, Service, service_fn};
use tower_http::{
    add_extension::{AddExtension, AddExtensionLayer},
    set_header::SetResponseHeaderLayer,
};
use tower_static_url::{
    Deltas, EmptyBody, Manifest, StaticPrefix, StaticUrl, StaticUrlLayer, StaticUrlLayerBuilder,
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
        answer(Bytes::from_static(CONTENT.as_bytes()), "11", "\"2ebc9d31.00000000-b\"")
    }
}

/// Answers in the same way with [`NEW_SCRIPT`].
#[derive(Clone)]
pub struct Scripts;

impl Service<Request<Body>> for Scripts {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        static FIELDS: LazyLock<[String; 2]> = LazyLock::new(|| {
            let length = NEW_SCRIPT.len();
            [length.to_string(), format!("\"2ebc9d31.00000000-{length:x}\"")]
        });
        let [length, etag] = &*FIELDS;
        answer(NEW_SCRIPT.clone(), length, etag)
    }
}

#[inline(always)]
fn answer(
    content: Bytes,
    length: &'static str,
    etag: &'static str,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    let mut response = Response::new(Full::from(content));
    let fields = [
        (header::CONTENT_TYPE, "text/css"),
        (header::ACCEPT_RANGES, "bytes"),
        (header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (header::CONTENT_LENGTH, length),
        (header::ETAG, etag),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Box::pin(ready(Ok(response)))
}

/// What a client has, and what it wants after a deploy.
static OLD_SCRIPT: LazyLock<Bytes> = LazyLock::new(|| script("old"));
static NEW_SCRIPT: LazyLock<Bytes> = LazyLock::new(|| script("new"));

/// Returns a script of some kilobytes, in which one line is different in each version.
fn script(version: &str) -> Bytes {
    let lines = (0..200).map(|i| format!("export const value{i} = {};\n", i * 7919 % 1000));
    lines.chain([format!("export const version = {version:?};\n")]).collect::<String>().into()
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

/// Returns the service with a memory that has the file of this request.
fn remembering(builder: StaticUrlLayerBuilder, request: Request<Body>) -> StaticUrl<Inner> {
    let layer = builder.memory_budget(1024 * 1024).build().unwrap();
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
fn with_releases() -> StaticUrlLayer {
    let contents = (0..10).map(|content| content.to_string().into());
    kept(builder_at("/", 1), "a", contents).build().unwrap()
}

/// Lets the layer offer dictionaries.
fn with_deltas(builder: StaticUrlLayerBuilder) -> StaticUrlLayerBuilder {
    kept(builder, PATH, []).deltas(Deltas::new())
}

/// Returns a manifest of the new script.
fn scripts() -> Manifest {
    Manifest::from_files([(PATH, &**NEW_SCRIPT)]).unwrap()
}

/// Returns the service with a delta for this request, which has been made.
fn with_delta(request: Request<Body>) -> StaticUrl<Scripts> {
    let contents = [&OLD_SCRIPT, &NEW_SCRIPT].map(|script| (**script).clone());
    let builder = StaticUrlLayer::builder("/static").manifest(scripts());
    let layer = kept(builder, PATH, contents).deltas(Deltas::new()).build().unwrap();
    let mut service = layer.layer(Scripts);
    let mut response = pin!(service.call(request));
    let response = loop {
        match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => break response,
            Poll::Pending => thread::yield_now(),
        }
    };
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "dcz");
    service
}

/// Lets the layer keep a release for each content of a file.
fn kept(
    builder: StaticUrlLayerBuilder,
    path: &str,
    contents: impl IntoIterator<Item = Bytes>,
) -> StaticUrlLayerBuilder {
    let folder = tempfile::tempdir().unwrap();
    let releases = Releases::folder(folder.path().join("releases")).unwrap();
    let tree = folder.path().join("tree");
    let file = tree.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for content in contents {
        std::fs::write(&file, content).unwrap();
        let manifest = Manifest::scan(&tree).unwrap();
        releases.publish(&manifest.digest_hex()[..16], &manifest, [&tree]).unwrap();
    }
    builder.releases(releases, no_files(Arc::new(folder)))
}

/// Returns a service for the files of releases, with which their directory is removed.
fn no_files(
    folder: Arc<TempDir>,
) -> impl Service<
    Request<EmptyBody>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_: Request<EmptyBody>| {
        let _folder = Arc::clone(&folder);
        ready(Ok(Response::default()))
    })
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
    /// A current URL, whose file is offered as a dictionary.
    CurrentWithDeltas,
    /// The same from memory.
    RememberedWithDeltas,
    /// A current URL, whose file a client has as it was before. The delta has been made.
    Delta,
    /// A page of the site, below a mount of `/`.
    Page,
    /// The same, with releases that are kept.
    PageWithReleases,
}

impl Case {
    pub const ALL: [Self; 17] = [
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
        Self::CurrentWithDeltas,
        Self::RememberedWithDeltas,
        Self::Delta,
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
        if self == Self::Delta {
            let accepted = HeaderValue::from_static("gzip, deflate, br, zstd, dcb, dcz");
            headers.insert(header::ACCEPT_ENCODING, accepted);
            let digest = BASE64.encode(&Sha256::digest(&**OLD_SCRIPT));
            let available = HeaderValue::try_from(format!(":{digest}:")).unwrap();
            headers.insert("available-dictionary", available);
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
        let prefix = match self {
            Self::CurrentDeclared => declared(),
            Self::Delta => StaticUrlLayer::builder("/static").manifest(scripts()).build().unwrap(),
            _ => layer(1),
        }
        .prefix();
        match self {
            Self::Stack | Self::GrowingStack | Self::Extension | Self::Bare | Self::Outside => {
                "/hello".into()
            }
            Self::Current
            | Self::CurrentDeclared
            | Self::NotModified
            | Self::Remembered
            | Self::CurrentWithDeltas
            | Self::RememberedWithDeltas
            | Self::Delta => prefix.url(PATH),
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
            Self::Remembered => {
                measure.measure(remembering(builder(1), self.requests()()), self.requests())
            }
            Self::CurrentWithDeltas => {
                let layer = with_deltas(builder(1)).build().unwrap();
                measure.measure(layer.layer(Inner), self.requests())
            }
            Self::RememberedWithDeltas => {
                let service = remembering(with_deltas(builder(1)), self.requests()());
                measure.measure(service, self.requests())
            }
            Self::Delta => measure.measure(with_delta(self.requests()()), self.requests()),
            Self::Page => {
                let layer = builder_at("/", 1).build().unwrap();
                measure.measure(layer.layer(Inner), self.requests())
            }
            Self::PageWithReleases => {
                measure.measure(with_releases().layer(Inner), self.requests())
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
