//! For how long a response may be kept, and what caches make of it.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderName, Request, Response, StatusCode},
};
use tower::{Layer as _, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer};

use crate::support::{Answer, HELLO, ask};

mod caches;
mod evidence;
mod own_word;
mod responses;

/// An inner service that answers every request with the status, fields and body
/// given.
pub(crate) async fn answered(
    layer: &StaticUrlLayer,
    request: Request<Body>,
    status: u16,
    fields: &[(&str, &str)],
    body: &'static str,
) -> Answer {
    let inner = service_fn(|_: Request<Body>| async {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
        Ok::<_, Infallible>(response)
    });
    ask(layer.layer(inner), request).await
}

pub(crate) fn listing() -> Manifest {
    Manifest::from_files([("hello.txt", HELLO)]).unwrap()
}

pub(crate) fn embedded() -> StaticUrlLayer {
    StaticUrlLayer::builder("/static").manifest(listing()).build().unwrap()
}
