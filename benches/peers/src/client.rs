//! One request, to see that a server does what it is measured for.

use std::{net::SocketAddr, time::Duration};

use axum::http::{HeaderMap, Request, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::{Protocol, Result};

/// A server may have to scan its files first, and these may be many.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn etag(&self) -> Option<&str> {
        self.headers.get(header::ETAG)?.to_str().ok()
    }
}

pub(crate) async fn get(
    protocol: Protocol,
    address: SocketAddr,
    path: &str,
    etag: Option<&str>,
) -> Result<Answer> {
    let mut request = Request::get(format!("http://{address}{path}"));
    if protocol == Protocol::Http1 {
        request = Request::get(path).header(header::HOST, address.to_string());
    }
    if let Some(etag) = etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let answer = exchange(protocol, address, request.body(Empty::new())?);
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| format!("{path}: no answer"))?
}

async fn exchange(
    protocol: Protocol,
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> Result<Answer> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let response = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
        Protocol::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
    };
    read(response).await
}

async fn read(response: Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}
