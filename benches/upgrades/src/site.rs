//! How is a version of a site served? As in production: with releases, deltas and files that are
//! compressed beforehand.

use std::{os::unix::fs::symlink, path::Path};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _};
use tower_http::services::ServeDir;
use tower_static_url::{
    Deltas, Fingerprinted, Manifest, StaticUrl, StaticUrlLayer, releases::Releases,
};

use crate::{Result, compress::files};

pub(crate) struct Site {
    layer: StaticUrlLayer,
    service: StaticUrl<ServeDir>,
    paths: Vec<String>,
    /// Where the tree is found at the mount.
    _mounted: TempDir,
}

impl Site {
    /// Publishes a tree, and serves it.
    pub(crate) fn deploy(
        tree: &Path,
        releases: &Path,
        rule: Option<&Fingerprinted>,
    ) -> Result<Self> {
        let mounted = tempfile::tempdir()?;
        symlink(std::path::absolute(tree)?, mounted.path().join("static"))?;
        let releases = Releases::folder(releases)?;
        let kept = ServeDir::new(releases.files()).precompressed_zstd();
        let builder = StaticUrlLayer::builder("/static").root(tree).releases(releases, kept);
        let builder = builder.deltas(Deltas::new());
        let layer = match rule {
            Some(rule) => builder.fingerprinted(rule.clone()),
            None => builder,
        }
        .build()?;
        layer.publish()?;
        let service = layer.layer(ServeDir::new(mounted.path()).precompressed_zstd());
        let paths = files(&Manifest::scan(tree)?).into_iter().map(str::to_owned).collect();
        Ok(Self { layer, service, paths, _mounted: mounted })
    }

    /// Returns the path and the URL of each file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, String)> {
        let prefix = self.layer.prefix();
        self.paths.iter().map(move |path| (&**path, prefix.url(path)))
    }

    pub(crate) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Bytes>> {
        let response = self.service.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}
