//! The layer as a tower middleware: what it asks of services and bodies, readiness,
//! errors, bodies.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Cursor,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    thread,
};

use axum::http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Builder;
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_static_url::{
    Manifest, ResponseBody, ResponseFuture, StaticPrefix, StaticUrl, StaticUrlLayer, VersionSource,
    axum::AxumStaticUrl,
};
use tower_test::{assert_request_eq, mock};

fn layer() -> StaticUrlLayer {
    StaticUrlLayer::builder("/static").version(VersionSource::literal("v1")).build().unwrap()
}

type AwkwardFrame = Result<Frame<Cursor<Vec<u8>>>, &'static str>;

/// Not `Send`, not `Clone`, not `Default`, not `'static`, not of `Bytes`.
struct Awkward<'a> {
    frames: VecDeque<AwkwardFrame>,
    ended: bool,
    hint: SizeHint,
    not_send: PhantomData<(Rc<()>, &'a ())>,
}

impl Body for Awkward<'_> {
    type Data = Cursor<Vec<u8>>;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Gives a body a lifetime.
fn bound_to<'a>(_: &'a (), body: Awkward<'a>) -> Awkward<'a> {
    body
}

#[tokio::test]
async fn awkward_bodies_pass_through_frame_by_frame() {
    let text = String::from("hello");
    let trailers = HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())]);
    let mut hint = SizeHint::new();
    hint.set_lower(3);
    hint.set_upper(7);
    let (borrowed, not_clone) = ((), Rc::new(()));
    let inner = service_fn(|_: Request<Rc<()>>| {
        let (text, trailers, hint) = (text.as_bytes(), trailers.clone(), hint);
        let (borrowed, not_clone) = (&borrowed, &not_clone);
        async move {
            let _ = not_clone;
            let frames = [
                Ok(Frame::data(Cursor::new(text[..2].to_vec()))),
                Ok(Frame::data(Cursor::new(text[2..].to_vec()))),
                Ok(Frame::trailers(trailers)),
                Err("broken"),
            ];
            let body = Awkward { frames: frames.into(), ended: false, hint, not_send: PhantomData };
            Ok::<_, Rc<str>>(Response::new(bound_to(borrowed, body)))
        }
    });
    let request = Request::get("/static/v1/a").body(Rc::new(())).unwrap();
    let response = layer().layer(inner).oneshot(request).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (3, Some(7)));
    assert!(!body.is_end_stream());
    let mut data = Vec::<u8>::new();
    data.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    data.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    assert_eq!(data, b"hello");
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn is_end_stream_passes_through() {
    let inner = service_fn(|_: Request<()>| async {
        let body = Awkward {
            frames: VecDeque::new(),
            ended: true,
            hint: SizeHint::default(),
            not_send: PhantomData,
        };
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = layer().layer(inner).oneshot(Request::new(())).await.unwrap();
    assert!(response.into_body().is_end_stream());
}

/// What a caller may rely on, checked by the compiler.
#[test]
fn bounds() {
    fn is_send_clone<T: Send + Sync + Clone + 'static>() {}
    fn is_send<T: Send + 'static>() {}
    is_send_clone::<StaticUrlLayer>();
    is_send_clone::<StaticPrefix>();
    is_send_clone::<StaticUrl<()>>();
    is_send_clone::<AxumStaticUrl<axum::Router>>();
    is_send::<ResponseFuture<std::future::Ready<()>, ()>>();
    is_send::<ResponseBody<axum::body::Body>>();
    is_send_clone::<Manifest>();
    // No bounds on the structs: any type may stand in them.
    struct NotAService;
    let _ = layer().layer(NotAService).into_inner();
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mut service, mut handle) = mock::spawn_layer::<Request<()>, Response<String>, _>(layer());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(service.poll_ready().is_ready());
    let response = service.call(Request::get("/static/v1/a?b").body(()).unwrap());
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(request.uri(), "/static/a?b");
    respond.send_response(Response::new("body".into()));
    assert_eq!(response.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "body");
    assert!(service.poll_ready().is_pending(), "the permit is used up");
    handle.send_error("down");
    let Poll::Ready(Err(error)) = service.poll_ready() else { panic!("the error passes") };
    assert_eq!(error.to_string(), "down");
}

#[tokio::test]
async fn inner_errors_pass_through() {
    let (mut service, mut handle) = mock::spawn_layer::<Request<()>, Response<String>, _>(layer());
    for uri in ["/", "/static/v1/a", "/static/a"] {
        assert!(service.poll_ready().is_ready());
        let response = service.call(Request::get(uri).body(()).unwrap());
        handle.next_request().await.unwrap().1.send_error("inner");
        assert_eq!(response.await.unwrap_err().to_string(), "inner");
    }
}

#[tokio::test]
async fn an_inner_limit_is_respected() {
    let (inner, mut handle) = mock::pair::<&'static str, &'static str>();
    let inner = ConcurrencyLimit::new(inner, 1).map_request(|_: Request<()>| "asked");
    let inner = inner.map_response(|text| Response::new(text.to_owned()));
    let mut service = tower_test::mock::Spawn::new(layer().layer(inner));
    assert!(service.poll_ready().is_ready());
    let first = service.call(Request::new(()));
    assert!(service.poll_ready().is_pending(), "the limit is 1");
    assert_request_eq!(handle, "asked").send_response("answer");
    first.await.unwrap();
    assert!(service.is_woken());
    assert!(service.poll_ready().is_ready());
}

#[tokio::test]
async fn a_clone_serves_as_the_original() {
    let inner = service_fn(|request: Request<()>| async move {
        Ok::<_, Infallible>(Response::new(request.uri().to_string()))
    });
    let mut service = layer().layer(inner).clone();
    let uri = "/static/v1/a";
    let response = service.ready().await.unwrap().call(Request::get(uri).body(()).unwrap());
    assert_eq!(
        response.await.unwrap().into_body().collect().await.unwrap().to_bytes(),
        "/static/a"
    );
}

#[test]
fn nothing_shows_the_salt() {
    let builder =
        StaticUrlLayer::builder("/static").version(VersionSource::build_id("x")).salt("hunter2");
    assert!(!format!("{builder:?}").contains("hunter2"));
    let bytes = format!("{:?}", b"hunter2");
    assert!(!format!("{builder:?}{:?}", builder.clone().build().unwrap()).contains(&bytes));
}

#[test]
fn bad_mounts_are_errors() {
    for mount in ["", "static", "//", "/a//b", "/a?b", "/a#b", "/a%20b", "/a/..", "/a/.", "/a b"] {
        let builder = StaticUrlLayer::builder(mount).version(VersionSource::literal("v1"));
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), tower_static_url::ErrorKind::InvalidMount);
        assert!(error.to_string().contains(&format!("{mount:?}")), "{error}");
    }
}

/// To count a reference is to write, and who writes to the same waits for the other.
#[test]
fn threads_have_copies_of_what_is_counted() {
    let manifest = Manifest::from_files([("a", "hello")]).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let url = layer.prefix().url("a");
    let inner = service_fn(async |request: Request<String>| {
        let mut response = Response::new("hello".to_owned());
        response.extensions_mut().insert(request.uri().clone());
        Ok::<_, Infallible>(response)
    });
    let addresses = || {
        let runtime = Builder::new_current_thread().build().unwrap();
        let request = Request::get(&url).body(String::new()).unwrap();
        let response = runtime.block_on(layer.layer(inner).oneshot(request)).unwrap();
        let path = response.extensions().get::<Uri>().unwrap().path();
        [path.as_ptr().addr(), response.headers()["etag"].as_bytes().as_ptr().addr()]
    };
    let [path, etag] = addresses();
    assert_eq!(addresses(), [path, etag], "on the same thread");
    let other = thread::scope(|scope| scope.spawn(addresses).join().unwrap());
    assert!(other[0] != path && other[1] != etag, "on another one");
}
