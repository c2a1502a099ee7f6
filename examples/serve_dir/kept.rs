//! Where are the releases that the server answers for?

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use object_store::{ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder};
use tempfile::TempDir;
use tower_static_url::releases::Releases;

use crate::args::Args;

/// Whoever is there answers sooner.
const CONNECT: Duration = Duration::from_millis(500);

/// The releases, and the directory that is deleted with them if nobody has named one.
pub(crate) struct Kept {
    pub(crate) releases: Releases,
    _temporary: Option<TempDir>,
}

/// Opens the releases that the arguments name, if they name some.
pub(crate) fn open(args: &Args) -> Result<Option<Kept>, Box<dyn Error>> {
    let Some(url) = &args.store else {
        let releases = args.releases.as_ref().map(Releases::folder).transpose()?;
        return Ok(releases.map(|releases| Kept { releases, _temporary: None }));
    };
    let (store, prefix) = store(url).map_err(|error| format!("{url}: {error}"))?;
    let temporary = match args.releases {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("serve-dir-").tempdir()?),
    };
    let directory = temporary.as_ref().map(TempDir::path).or(args.releases.as_deref());
    let releases = Releases::folder(directory.unwrap_or(Path::new(".")))?;
    let releases = releases.filled_from(store, &prefix)?;
    Ok(Some(Kept { releases, _temporary: temporary }))
}

/// Says of an error what may be the cause of it, besides its own.
pub(crate) fn explain(args: &Args, error: &tower_static_url::Error) -> String {
    let is_s3 = args.store.as_ref().is_some_and(|url| url.starts_with("s3:"));
    let has_no_key = is_s3 && std::env::var_os("AWS_ACCESS_KEY_ID").is_none();
    let hint =
        if has_no_key { " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)" } else { "" };
    format!("{}{hint}", crate::with_causes(error))
}

/// Returns the store that a URL names, and the prefix in it.
fn store(url: &str) -> Result<(Arc<dyn ObjectStore>, String), Box<dyn Error>> {
    let parsed = url.parse()?;
    let (scheme, prefix) = object_store::ObjectStoreScheme::parse(&parsed)?;
    if scheme != object_store::ObjectStoreScheme::AmazonS3 {
        let (store, prefix) = object_store::parse_url(&parsed)?;
        return Ok((Arc::from(store), prefix.to_string()));
    }
    // The crate asks again by itself, and waits not as long.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
    let is_http = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|allow| allow == "true");
    let options = ClientOptions::new().with_connect_timeout(CONNECT).with_allow_http(is_http);
    builder = builder.with_client_options(options);
    Ok((Arc::new(builder.build()?), prefix.to_string()))
}
