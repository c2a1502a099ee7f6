//! What can be asked of the command?

use std::{ffi::OsString, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use tower_static_url::Fingerprinted;

use crate::place::Place;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, and nothing is half done
  2  the arguments are wrong
  3  `publish`: a kept release of this version has other files
  4  `verify`: something is not as it was published
  5  `diff`: the files differ
  6  `diff`: a fingerprinted file has kept its name and changed its bytes

Examples:
  static-url precompress dist
  static-url version dist
  static-url manifest dist -o static-files.json
  static-url diff old new --fingerprinted vite
  static-url publish dist --to /var/lib/site/releases
  static-url publish dist --to s3://bucket/site
  static-url releases /var/lib/site/releases --json
  static-url prune s3://bucket/site --yes
  static-url nginx dist --mount /static
  static-url deltas last-build dist

Stores:
  s3://bucket/prefix     S3 and what speaks like it: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
                         AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP=true for http://
  gs://bucket/prefix     Google Cloud Storage: GOOGLE_SERVICE_ACCOUNT, ...
  az://container/prefix  Azure: AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, ...
  file:///path           a directory in the form of a bucket";

/// Prepares static files for a server with tower-static-url, and keeps those of every published
/// version, so that each URL that a page has ever linked to gives the bytes that it named.
#[derive(Debug, Parser)]
#[command(name = "static-url", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Version(Version),
    Manifest(crate::manifest::Manifest),
    Diff(crate::diff::Diff),
    Precompress(crate::precompress::Precompress),
    Publish(Publish),
    Releases(Releases),
    Prune(Prune),
    Withdraw(Withdraw),
    Verify(Verify),
    Nginx(crate::nginx::Nginx),
    Deltas(Deltas),
    Completions(crate::completions::Completions),
    Man(crate::man::Man),
}

/// Prints the version that the layer gives the files of a directory.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url version dist
  static-url version dist --build-id \"$GIT_COMMIT\"
  STATIC_URL_SALT=secret static-url version dist --json")]
pub(crate) struct Version {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Publishes the files of a directory: copies what is new into a directory of releases, or into
/// a store.
///
/// Publish before the new version goes live. The exit code stops a deploy that went wrong. To
/// roll back, publish the old files again.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url publish dist --to /var/lib/site/releases
  static-url publish dist public --to /var/lib/site/releases
  static-url publish dist --to s3://bucket/site
  static-url publish dist --to /var/lib/site/releases --literal v1.2.3")]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The directory of releases, which is created if it is not there; or the URL of a store.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Place,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Lists the releases that are kept, the newest first.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url releases /var/lib/site/releases
  static-url releases s3://bucket/site --json")]
pub(crate) struct Releases {
    #[command(flatten)]
    pub(crate) at: At,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Deletes old releases. Without `--yes` it only shows which.
///
/// In a store, releases are deleted together with all that were published in the same week,
/// when none of them is to be kept any longer.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url prune /var/lib/site/releases
  static-url prune /var/lib/site/releases --yes
  static-url prune s3://bucket/site --days 7 --newest 3 --yes")]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) at: At,
    /// Delete them.
    #[arg(long)]
    pub(crate) yes: bool,
    /// How many days to keep a release after the next one was published.
    #[arg(long, default_value_t = 30)]
    pub(crate) days: u32,
    /// How many versions to keep, whatever their age. The newest is always kept.
    #[arg(long, default_value_t = 10)]
    pub(crate) newest: usize,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Deletes one release at once, whatever its age.
///
/// In a store its record is deleted, so that nobody finds it any longer. The bytes of its files
/// are deleted with those of its week.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url withdraw 3f9c2a7be01d4c55 /var/lib/site/releases
  static-url withdraw 3f9c2a7be01d4c55 s3://bucket/site")]
pub(crate) struct Withdraw {
    /// The version, as it is in URLs.
    #[arg(value_name = "VERSION")]
    pub(crate) release: String,
    #[command(flatten)]
    pub(crate) at: At,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Reads every kept file, and shows what is not as it was published.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url verify /var/lib/site/releases
  static-url verify s3://bucket/site")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) at: At,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Prints what visitors download after a deploy who have the files of the version before.
///
/// For each file, and for all: its length, its length as zstd at level 19, and what the layer
/// sends with `deltas` to a browser that takes them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  static-url deltas last-build dist
  static-url deltas last-build dist --fingerprinted vite --json
  static-url deltas 3f9c2a7be01d4c55 0a1b2c3d4e5f6071 --releases /var/lib/site/releases")]
pub(crate) struct Deltas {
    /// The directory of the files that visitors have, or the version of a kept release.
    #[arg(value_name = "OLD")]
    pub(crate) old: OsString,
    /// The directory of the files after the deploy, or the version of a kept release.
    #[arg(value_name = "NEW")]
    pub(crate) new: OsString,
    /// Take OLD and NEW from this directory of releases.
    #[arg(long, value_name = "FOLDER", value_parser = folder_for_deltas)]
    pub(crate) releases: Option<PathBuf>,
    /// Names that differ only in their hash are versions of one file: vite, webpack, esbuild,
    /// parcel, trunk or next. Can be given more than once.
    #[arg(long, value_name = "RULE")]
    pub(crate) fingerprinted: Vec<Fingerprinted>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Files {
    /// The directories of the files. Of files with the same path, that in the first is taken.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) directories: Vec<PathBuf>,
    /// Keep the digests in this file between runs, so that only files that may have changed are
    /// read. It must not lie in the directories.
    #[arg(long, value_name = "FILE")]
    pub(crate) remember: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct At {
    /// The directory of releases, or the URL of a store.
    #[arg(value_name = "URL")]
    pub(crate) place: Place,
}

/// The same as the builder of the layer has. The salt is taken from the variable
/// STATIC_URL_SALT, because everybody can see the arguments of a process.
#[derive(Debug, ClapArgs)]
pub(crate) struct Identity {
    /// Make the version of this text, such as a git hash, and not of the files.
    #[arg(long, value_name = "ID", conflicts_with = "literal")]
    pub(crate) build_id: Option<String>,
    /// Take this version as it is.
    #[arg(long, value_name = "VERSION")]
    pub(crate) literal: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Format {
    /// Print JSON, for another program.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses the path of a directory of which old files can be read.
fn folder_for_deltas(text: &str) -> Result<PathBuf, String> {
    if text.contains("://") {
        return Err("deltas are made of files of this machine, not of a store".into());
    }
    Ok(text.into())
}
