//! Between the caches and the nodes: each request names the node that is to answer.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri, Version, header},
    response::{IntoResponse as _, Response},
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;

use crate::support::{
    self,
    demo::{HttpClient, http_client},
};

/// Its number; no cache knows it.
pub(crate) const NODE: &str = "x-node";

#[derive(Clone)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    client: HttpClient,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) async fn start(nodes: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let balancer = Self { address, client: http_client(), nodes: Arc::new(Mutex::new(nodes)) };
        let router = Router::new().fallback(forward).with_state(balancer.clone());
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        balancer
    }

    pub(crate) fn forward_to(&self, nodes: Vec<SocketAddr>) {
        *self.nodes.lock().unwrap() = nodes;
    }

    /// Whether what comes to a proxy comes through.
    pub(crate) async fn is_behind(&self, proxy: SocketAddr) -> bool {
        let request = support::get(&format!("http://{proxy}/"));
        let response = self.client.request(request).await;
        response.is_ok_and(|response| response.status() == StatusCode::MISDIRECTED_REQUEST)
    }

    fn node(&self, request: &Request) -> Option<SocketAddr> {
        let number = request.headers().get(NODE)?.to_str().ok()?.parse::<usize>().ok()?;
        self.nodes.lock().unwrap().get(number).copied()
    }
}

/// A node that ends closes its connections, so what was sent on one of them is sent again.
async fn forward(State(balancer): State<Balancer>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let mut error = String::new();
    for _ in 0..3 {
        let mut request = Request::from_parts(head.clone(), Body::empty());
        let Some(node) = balancer.node(&request) else {
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            return (StatusCode::MISDIRECTED_REQUEST, no_store).into_response();
        };
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = format!("http://{node}{target}").parse::<Uri>().unwrap();
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(header::CONNECTION);
        match balancer.client.request(request).await {
            Ok(response) => return response.into_response(),
            Err(failed) => error = failed.to_string(),
        }
    }
    (StatusCode::BAD_GATEWAY, error).into_response()
}
