//! A load balancer between the cache and the nodes.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, Uri, Version, header, uri::PathAndQuery},
    response::{IntoResponse as _, Response},
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;

use crate::{
    model::Release,
    support::{
        self,
        demo::{HttpClient, http_client},
    },
};

/// Names the node that is to answer; no cache knows it.
pub(crate) const NODE: &str = "x-node";

/// Forwards each request to the node that it names, so that what comes to which node is
/// not left to chance; and remembers what came.
#[derive(Clone)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    client: HttpClient,
    nodes: Arc<Vec<(Release, SocketAddr)>>,
    count: Arc<AtomicUsize>,
    passed: Arc<Mutex<HashMap<String, Vec<Passed>>>>,
}

/// An exchange that the cache did not save a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) has_tag: bool,
    pub(crate) status: StatusCode,
}

impl Balancer {
    pub(crate) async fn start(nodes: Vec<(Release, SocketAddr)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let balancer = Self {
            address,
            client: http_client(),
            nodes: Arc::new(nodes),
            count: Arc::default(),
            passed: Arc::default(),
        };
        let router = Router::new().fallback(forward).with_state(balancer.clone());
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        balancer
    }

    /// What has come for this URL since the last time.
    pub(crate) fn take(&self, url: &str) -> Vec<Passed> {
        self.passed.lock().unwrap().remove(url).unwrap_or_default()
    }

    /// Whether what comes to a proxy comes through.
    pub(crate) async fn is_behind(&self, proxy: SocketAddr) -> bool {
        let url = format!("/ready?{}", proxy.port());
        let request = support::get(&format!("http://{proxy}{url}"));
        let response = self.client.request(request).await;
        response.is_ok_and(|response| response.status() == StatusCode::BAD_REQUEST)
            && !self.take(&url).is_empty()
    }

    fn note(&self, url: &str, passed: Passed) {
        self.passed.lock().unwrap().entry(url.to_owned()).or_default().push(passed);
    }

    /// Returns a node of the release that the request names, one after the other.
    fn node(&self, request: &Request) -> Option<SocketAddr> {
        let name = request.headers().get(NODE)?.to_str().ok()?;
        let is_named = |(release, _): &&(Release, SocketAddr)| release.name() == name;
        let named = self.nodes.iter().filter(is_named).collect::<Vec<_>>();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (_, address) = named.get(count % named.len().max(1))?;
        Some(*address)
    }
}

async fn forward(State(balancer): State<Balancer>, mut request: Request) -> Response {
    let url = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let has_tag = request.headers().contains_key(header::IF_NONE_MATCH);
    let response = match balancer.node(&request) {
        Some(node) => {
            *request.uri_mut() = format!("http://{node}{url}").parse::<Uri>().unwrap();
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().remove(header::CONNECTION);
            balancer.client.request(request).await.expect("the node answers").into_response()
        }
        None => (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")]).into_response(),
    };
    balancer.note(&url, Passed { has_tag, status: response.status() });
    response
}
