//! A proxy before a store: it counts what the store is asked, and lies where a test wants it to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, Uri, Version, header},
    response::{IntoResponse as _, Response},
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;

use super::{
    demo::{HttpClient, http_client},
    store::BUCKET,
};

/// What the store was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// A GET of the bucket itself is a LIST.
    pub method: String,
    pub key: String,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// One bit of the content is another.
    Flip,
    /// The content ends in the middle.
    Cut,
    Delay(Duration),
    Missing,
}

/// Decides what becomes of the answer to a call.
type Faults = Arc<dyn Fn(&Call) -> Fault + Send + Sync>;

#[derive(Clone)]
pub struct Counter {
    pub address: SocketAddr,
    store: SocketAddr,
    client: HttpClient,
    calls: Arc<Mutex<Vec<Call>>>,
    faults: Arc<Mutex<Faults>>,
}

impl Counter {
    pub async fn start(store: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let counter = Self {
            address: listener.local_addr().unwrap(),
            store,
            client: http_client(),
            calls: Arc::default(),
            faults: Arc::new(Mutex::new(Arc::new(|_: &Call| Fault::None))),
        };
        let router = Router::new().fallback(forward).with_state(counter.clone());
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        counter
    }

    /// Returns the calls since the last time.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Returns how often the store was asked by a method since the last time that all calls
    /// were taken.
    pub fn count(&self, method: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.method == method).count()
    }

    pub fn lie(&self, faults: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        *self.faults.lock().unwrap() = Arc::new(faults);
    }

    pub fn tell_the_truth(&self) {
        self.lie(|_| Fault::None);
    }
}

impl Call {
    fn of(request: &Request) -> Self {
        let path = request.uri().path().trim_start_matches('/');
        let key = path.strip_prefix(BUCKET).unwrap_or(path).trim_start_matches('/');
        let query = request.uri().query().unwrap_or_default();
        let is_list = *request.method() == Method::GET && query.contains("list-type=2");
        let method = if is_list { "LIST" } else { request.method().as_str() };
        Self { method: method.into(), key: key.into() }
    }
}

/// The signature is of the address that the client has asked, which `Host` still has.
async fn forward(State(counter): State<Counter>, mut request: Request) -> Response {
    let call = Call::of(&request);
    counter.calls.lock().unwrap().push(call.clone());
    let faults = Arc::clone(&counter.faults.lock().unwrap());
    let fault = faults(&call);
    if let Fault::Delay(time) = fault {
        tokio::time::sleep(time).await;
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target = format!("http://{}{target}", counter.store).parse::<Uri>().unwrap();
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(header::CONNECTION);
    match counter.client.request(request).await {
        Ok(response) => spoilt(response.map(Body::new), fault).await,
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn spoilt(response: Response, fault: Fault) -> Response {
    match fault {
        Fault::None | Fault::Delay(_) => response,
        Fault::Missing => StatusCode::NOT_FOUND.into_response(),
        Fault::Flip | Fault::Cut => {
            let (parts, body) = response.into_parts();
            let mut bytes = to_bytes(body, usize::MAX).await.unwrap_or_default().to_vec();
            let middle = bytes.len() / 2;
            if fault == Fault::Cut {
                bytes.truncate(middle);
                let pieces = [Ok(bytes), Err(std::io::Error::other("cut"))];
                let pieces = futures_util::stream::iter(pieces);
                return Response::from_parts(parts, Body::from_stream(pieces));
            }
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            Response::from_parts(parts, bytes.into())
        }
    }
}
