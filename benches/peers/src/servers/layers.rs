//! `ServeDir`, and what can be around it.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Uri, header, uri::PathAndQuery},
    middleware::{Next, from_fn},
    response::Response,
};
use regex::Regex;
use tower::ServiceBuilder;
use tower_http::{
    add_extension::AddExtensionLayer, services::ServeDir, set_header::SetResponseHeaderLayer,
};
use tower_static_url::{StaticUrlLayer, StaticUrlLayerBuilder, serve_dir::Disk};

use super::{Site, listen};
use crate::{Result, fixture::MOUNT};

const YEAR: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const TAG: HeaderValue = HeaderValue::from_static("\"0123456789abcdef\"");

pub(super) fn servedir(site: &Site) -> Result<()> {
    listen::serve_tower(site, ServeDir::new(&site.root))
}

/// The least that anybody would write. A tag that is put over that of `ServeDir` would never
/// be answered 304.
pub(super) fn stack(site: &Site) -> Result<()> {
    let service = ServiceBuilder::new()
        .layer(AddExtensionLayer::new(super::prefix(&site.root)?))
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, YEAR))
        .layer(SetResponseHeaderLayer::if_not_present(header::ETAG, TAG))
        .service(ServeDir::new(&site.root));
    listen::serve_tower(site, service)
}

/// What one finds when one asks how to do it with axum.
pub(super) fn naive(site: &Site) -> Result<()> {
    let files = Router::new().fallback_service(ServeDir::new(&site.root));
    listen::serve_tower(site, files.layer(from_fn(without_version)))
}

static VERSIONED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^/static/([a-f0-9-]+/)?(.*)$").expect("a valid regex"));

async fn without_version(mut request: Request, next: Next) -> Response {
    let path = VERSIONED.replace(request.uri().path(), "/static/$2").into_owned();
    if let Ok(path) = PathAndQuery::try_from(path) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, YEAR);
    response.headers_mut().entry(header::ETAG).or_insert(TAG);
    response
}

pub(super) fn ours(
    site: &Site,
    settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
) -> Result<()> {
    let service = ServiceBuilder::new().layer(layer(site, settings)?);
    listen::serve_tower(site, service.service(ServeDir::new(&site.root)))
}

pub(super) fn ours_disk(site: &Site) -> Result<()> {
    let files = ServeDir::with_backend(&site.root, Disk::new()).with_buf_chunk_size(256 * 1024);
    listen::serve_tower(site, ServiceBuilder::new().layer(layer(site, |it| it)?).service(files))
}

fn layer(
    site: &Site,
    settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
) -> Result<StaticUrlLayer> {
    let builder = StaticUrlLayer::builder(format!("/{MOUNT}")).root(site.files());
    Ok(settings(builder).build()?)
}
