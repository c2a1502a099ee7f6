//! The least that an answer can cost: hyper sends what was made before, from memory, with
//! the fields that a file under its current version has.

use std::{collections::HashMap, convert::Infallible, future::ready, sync::Arc};

use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};

use super::{Site, listen};
use crate::{Result, fixture};

type Answer = Response<Full<Bytes>>;

pub(super) fn run(site: &Site) -> Result<()> {
    let answers = Arc::new(answers(site)?);
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(&answers, &request))));
    listen::serve(site, service)
}

fn answers(site: &Site) -> Result<HashMap<String, Answer>> {
    let prefix = super::prefix(&site.root)?;
    let answer = |file: &str| (prefix.url(file), full(file, media_type(file)));
    Ok(fixture::MEASURED.map(answer).into())
}

fn media_type(file: &str) -> &'static str {
    if file.ends_with(".txt") { "text/plain" } else { "application/octet-stream" }
}

fn full(file: &str, media_type: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(fixture::content(file)));
    let headers = answer.headers_mut();
    let fields = [
        (header::CONTENT_TYPE, media_type),
        (header::ACCEPT_RANGES, "bytes"),
        (header::LAST_MODIFIED, "Tue, 14 Nov 2023 22:13:20 GMT"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::ETAG, "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\""),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn answer(answers: &HashMap<String, Answer>, request: &Request<Incoming>) -> Answer {
    if request.headers().contains_key(header::IF_NONE_MATCH) {
        return empty(StatusCode::NOT_MODIFIED);
    }
    answers.get(request.uri().path()).cloned().unwrap_or_else(|| empty(StatusCode::NOT_FOUND))
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}
