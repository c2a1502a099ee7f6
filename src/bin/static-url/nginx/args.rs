//! What can be asked of `static-url nginx`, and what nginx cannot be told?

use std::path::{Path, PathBuf};

use clap::Args;
use tower_static_url::Fingerprinted;

use crate::args::Identity;

/// Prints the configuration with which nginx serves the files of a directory, or of kept releases.
///
/// It is for the inside of a `server`. Exactly the files of the current version, and those of kept
/// releases, are cached for a year. Every other answer is `no-cache`, and every error `no-store`.
///
/// Without `--app`, nginx answers for everything below the mount. With it, nginx answers for the
/// files that have a version, and the application, with the layer, for everything else.
///
/// Make the configuration again for each deploy: it names the current version. Only that of kept
/// releases with `--app` stays. nginx serves files as they lie: it does not compare them with what
/// was hashed. So put each build into a directory of its own, or publish it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url nginx /srv/site/42 --mount /static > /etc/nginx/snippets/static.conf
  static-url nginx /srv/site/42 --mount / --fingerprinted vite
  static-url nginx /var/lib/site/releases --mount /static
  static-url nginx /var/lib/site/releases --mount /static --app http://127.0.0.1:3000

Then:
  nginx -t && nginx -s reload")]
pub(crate) struct Nginx {
    /// The directory of the files, or a directory of releases.
    #[arg(value_name = "DIR", value_parser = directory)]
    pub(super) directory: PathBuf,
    /// The path below which the files are: the mount of the layer.
    #[arg(long)]
    pub(super) mount: String,
    /// Where the application listens, if there is one that answers for the rest.
    #[arg(long, value_name = "URL", value_parser = app)]
    pub(super) app: Option<String>,
    /// Files with a hash in their name are cached for a year without a version, too: vite,
    /// webpack, esbuild, parcel, trunk or next. Can be given more than once.
    #[arg(long, value_name = "RULE")]
    pub(super) fingerprinted: Vec<Fingerprinted>,
    #[command(flatten)]
    pub(super) identity: Identity,
}

/// Parses the path of a directory that the configuration can name.
fn directory(text: &str) -> Result<PathBuf, String> {
    if text.contains("://") {
        return Err("nginx serves a directory of this machine, not a store".into());
    }
    let absolute = std::path::absolute(text).map_err(|error| error.to_string())?;
    // Without a slash at the end.
    let path = absolute.components().collect::<PathBuf>();
    check(&path).map(|()| path)
}

/// Checks that the configuration can name a path.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let text = path.to_str().ok_or("nginx cannot name a path that is not UTF-8")?;
    match text.chars().find(|c| *c == '$' || c.is_control()) {
        Some(c) => Err(format!("nginx cannot name a path with {c:?}")),
        None => Ok(()),
    }
}

/// Parses the address of the application. nginx allows no path here.
fn app(text: &str) -> Result<String, String> {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = authority.map(|authority| authority.trim_end_matches('/'));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
    match authority {
        Some(authority) if !authority.is_empty() && authority.chars().all(is_plain) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("is not `http://host:port`".into()),
    }
}
