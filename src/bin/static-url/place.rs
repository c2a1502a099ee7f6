//! Where are the releases? In a directory, or in a store that a URL names.

use std::{env, fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
};
use tower_static_url::{
    ErrorKind, Manifest,
    releases::{Bucket, Damage, Progress, Published, Release, Releases, Retention},
};

use crate::{Failure, WRONG_ARGUMENTS};

/// Whoever is there answers sooner.
const CONNECT: &str = "500ms";

/// The library has shorter limits, which depend on what is asked.
const REQUEST: &str = "1h";

/// Says who you are to S3.
const S3_CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Where the releases are, as it was given.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Folder(PathBuf),
    Url(String),
}

/// The releases that are there.
pub(crate) enum Store {
    Folder(Releases),
    Bucket { bucket: Bucket, name: String, url: String, is_s3: bool },
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is no URL is a path. The URL is parsed later: an error of the arguments shows
        // all of them, and there may be a password in it.
        Ok(if text.contains("://") { Self::Url(text.into()) } else { Self::Folder(text.into()) })
    }
}

impl Place {
    /// Opens what is there already.
    pub(crate) fn open(self) -> Result<Store, Failure> {
        match self {
            Self::Folder(path) => Ok(Store::Folder(Releases::open(path)?)),
            Self::Url(url) => open_store(&url),
        }
    }

    /// Opens what is there, or creates a directory.
    pub(crate) fn create(self) -> Result<Store, Failure> {
        match self {
            Self::Folder(path) => Ok(Store::Folder(Releases::folder(path)?)),
            Self::Url(url) => open_store(&url),
        }
    }
}

/// Does something with the directory or the bucket.
macro_rules! either {
    ($store:expr, $releases:ident => $do:expr) => {
        match $store {
            Store::Folder($releases) => Ok($do?),
            Store::Bucket { bucket: $releases, .. } => $do.map_err(|error| $store.failure(error)),
        }
    };
}

impl Store {
    pub(crate) fn publish(
        &self,
        version: &str,
        manifest: &Manifest,
        roots: &[PathBuf],
        progress: impl Fn(Progress) + Sync,
    ) -> Result<Published, Failure> {
        either!(self, releases => releases.publish_with_progress(version, manifest, roots, progress))
    }

    pub(crate) fn list(&self) -> Result<Vec<Release>, Failure> {
        either!(self, releases => releases.list())
    }

    pub(crate) fn expired(&self, retention: &Retention) -> Result<Vec<Release>, Failure> {
        either!(self, releases => releases.expired(retention))
    }

    pub(crate) fn prune(&self, retention: &Retention) -> Result<Vec<Release>, Failure> {
        either!(self, releases => releases.prune(retention))
    }

    pub(crate) fn withdraw(&self, version: &str) -> Result<(), Failure> {
        either!(self, releases => releases.withdraw(version))
    }

    pub(crate) fn verify(&self) -> Result<Vec<Damage>, Failure> {
        either!(self, releases => releases.verify())
    }

    /// Names the store in an error of it.
    fn failure(&self, error: tower_static_url::Error) -> Failure {
        let kind = error.kind();
        let failure = Failure::from(error);
        let Self::Bucket { url, is_s3, name, .. } = self else { return failure };
        match kind {
            ErrorKind::Store => {
                // The URL says more than the name that the library has for the store.
                let text = failure.text.strip_prefix(&**name).unwrap_or(&failure.text);
                let text = format!("{url}: {}", text.trim_start_matches(": "));
                let hint = if *is_s3 { s3_hint(&text) } else { "" };
                Failure { text: text + hint, ..failure }
            }
            ErrorKind::ClockSkew | ErrorKind::NotKept | ErrorKind::VersionTaken => {
                Failure { text: format!("{url}: {}", failure.text), ..failure }
            }
            _ => failure,
        }
    }
}

/// Returns what to do about an error, where that is not plain from its text.
fn s3_hint(text: &str) -> &'static str {
    if S3_CREDENTIALS.iter().all(|name| env::var_os(name).is_none()) {
        " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)"
    } else if text.contains("scheme is not allowed") {
        " (set AWS_ALLOW_HTTP=true for an endpoint with http://)"
    } else {
        ""
    }
}

fn open_store(url: &str) -> Result<Store, Failure> {
    let shown = without_secrets(url);
    let wrong = |why: &dyn fmt::Display| Failure {
        text: format!("{shown}: {}", why.to_string().replace(url, &shown)),
        code: WRONG_ARGUMENTS,
    };
    // The type of URLs is of a crate that `object_store` does not show.
    let (scheme, path) = match url.parse() {
        Ok(url) => ObjectStoreScheme::parse(&url).map_err(|error| wrong(&error))?,
        Err(error) => return Err(wrong(&error)),
    };
    let store = build(&scheme, url).map_err(|why| wrong(&why))?;
    let name = if path.is_root() { store.to_string() } else { format!("{store}/{path}") };
    let bucket = Bucket::new(store, path.as_ref())?;
    Ok(Store::Bucket { bucket, name, url: shown, is_s3: scheme == ObjectStoreScheme::AmazonS3 })
}

/// Makes the client of a store, with what the environment says of credentials and endpoints.
fn build(scheme: &ObjectStoreScheme, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    /// All builders have the same methods, and no trait.
    macro_rules! client {
        ($builder:ty, $key:path) => {
            <$builder>::from_env()
                .with_url(url)
                .with_config($key(ClientConfigKey::ConnectTimeout), CONNECT)
                .with_config($key(ClientConfigKey::Timeout), REQUEST)
                .with_retry(no_retry())
        };
    }
    let error = |error: object_store::Error| error.to_string();
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = client!(AmazonS3Builder, AmazonS3ConfigKey::Client);
            // Not every store deletes many keys at once.
            Arc::new(builder.with_disable_bulk_delete(true).build().map_err(error)?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = client!(GoogleCloudStorageBuilder, GoogleConfigKey::Client);
            Arc::new(builder.build().map_err(error)?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = client!(MicrosoftAzureBuilder, AzureConfigKey::Client);
            Arc::new(builder.build().map_err(error)?)
        }
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
        _ => return Err("names no store: use s3://, gs://, az:// or file://".into()),
    })
}

/// The library asks again, within its own limits.
fn no_retry() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

/// Returns the URL as it may be shown: without a password and without a query, which may be a
/// signature.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or(user)),
        None => authority.into(),
    };
    let shown = format!("{scheme}://{authority}{path}");
    shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("s3://bucket/site", "s3://bucket/site"),
            ("s3://bucket", "s3://bucket"),
            ("s3://key:secret@bucket/site", "s3://key@bucket/site"),
            ("az://c/site?sv=1&sig=secret", "az://c/site"),
            (
                "abfss://c@account.dfs.core.windows.net/a@b:c",
                "abfss://c@account.dfs.core.windows.net/a@b:c",
            ),
            ("s3://a\nb/", "s3://a\u{fffd}b/"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
