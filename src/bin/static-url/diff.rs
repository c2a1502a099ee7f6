//! `static-url diff A B`

use std::{fs, path::Path};

use clap::Args;
use serde_json::{Value, json};
use tower_static_url::{
    Fingerprinted, Manifest,
    manifest::{Difference, FileInfo},
    releases::Release,
};

use crate::{
    Done, Failure, NAME_KEPT,
    args::Format,
    failed, manifest_file,
    output::{bytes, files, hex, say},
    place::Place,
};

/// Names the files that were added, removed or changed from A to B.
///
/// The exit code is 0 if there are none, 5 if there are some, and 1 if that could not be found
/// out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url diff old new
  static-url diff static-files.json dist
  static-url diff dist --releases /var/lib/site/releases
  static-url diff 3f9c2a7be01d4c55 0b1c5dd92f8a1e37 --releases s3://bucket/site --json

In a build that may change anything but a fingerprinted file:
  static-url diff old new --fingerprinted vite || test $? = 5")]
pub(crate) struct Diff {
    /// A directory, a manifest that `static-url manifest` has written, or, with `--releases`, a
    /// version.
    #[arg(value_name = "A")]
    before: String,
    /// The same. Without it, and with `--releases`, A is compared with the current release: what
    /// would change if it were published?
    #[arg(value_name = "B")]
    after: Option<String>,
    /// The directory of releases, or the URL of a store.
    #[arg(long, value_name = "URL")]
    releases: Option<Place>,
    /// Fail with exit code 6 if a file that is fingerprinted has kept its name and changed its
    /// bytes: browsers keep the old ones for up to a year. The rules are vite, webpack, esbuild,
    /// parcel, trunk and next. Can be given several times.
    #[arg(long, value_name = "RULE")]
    fingerprinted: Vec<Fingerprinted>,
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(args: Diff) -> Result<Done, Failure> {
    let releases = args.releases.map(|place| place.open()?.list()).transpose()?;
    let kept = releases.as_deref().unwrap_or_default();
    let (before, after) = match (&args.before, &args.after) {
        (before, Some(after)) => (find(before, kept)?, find(after, kept)?),
        (after, None) if releases.is_some() => (current(kept)?, find(after, kept)?),
        _ => return Err(wrong("give two directories or manifests, or add `--releases`")),
    };
    let differences = before.diff(&after);
    let rule = args.fingerprinted.into_iter().reduce(Fingerprinted::or);
    let is_broken = |difference: &&Difference<'_>| {
        rule.as_ref().is_some_and(|rule| has_kept_its_name(difference, rule))
    };
    let broken = differences.iter().filter(is_broken).map(Difference::path).collect::<Vec<_>>();
    if args.format.json {
        say(to_json(&before, &after, &differences, &broken));
    } else {
        show(&differences, &after);
    }
    match (&*broken, &*differences) {
        ([], []) => Ok(Done::WithSuccess),
        ([], _) => Ok(Done::Different),
        (broken, _) => Err(Failure { text: why_broken(broken), code: NAME_KEPT }),
    }
}

/// Finds the files that an argument names.
fn find(what: &str, releases: &[Release]) -> Result<Manifest, Failure> {
    if let Some(release) = releases.iter().find(|release| release.version() == what) {
        return Ok(release.manifest().clone());
    }
    let path = Path::new(what);
    let metadata = fs::metadata(path).map_err(|error| {
        let or = if releases.is_empty() { "" } else { ", and no such version is kept" };
        failed(format!("cannot read {path:?}: {error}{or}"))
    })?;
    if metadata.is_dir() { Ok(Manifest::scan(path)?) } else { manifest_file::read(path) }
}

fn current(releases: &[Release]) -> Result<Manifest, Failure> {
    let current = releases.first().ok_or_else(|| failed("no release is kept yet".into()))?;
    Ok(current.manifest().clone())
}

fn wrong(text: &str) -> Failure {
    Failure { text: text.into(), code: crate::WRONG_ARGUMENTS }
}

/// Whether a fingerprinted file has other bytes under the same name.
fn has_kept_its_name(difference: &Difference<'_>, rule: &Fingerprinted) -> bool {
    let is_changed = difference.before().is_some() && difference.after().is_some();
    is_changed && rule.hash(difference.path()).is_some()
}

fn why_broken(broken: &[&str]) -> String {
    let names = broken.iter().map(|path| format!("{path:?}")).collect::<Vec<_>>().join(", ");
    let have = if broken.len() == 1 { "has kept its name" } else { "have kept their names" };
    format!(
        "{} {have} and changed the bytes, so that browsers keep the old ones for up to a year: \
         {names}",
        files(broken.len()).replace("file", "fingerprinted file")
    )
}

fn show(differences: &[Difference<'_>], after: &Manifest) {
    let (mut added, mut removed, mut changed) = (0, 0, 0);
    for difference in differences {
        let path = difference.path().escape_debug();
        match (difference.before().map(FileInfo::length), difference.after().map(FileInfo::length))
        {
            (Some(before), Some(after)) => {
                changed += 1;
                say(format_args!("changed  {path}  {}, was {}", bytes(after), bytes(before)));
            }
            (None, Some(after)) => {
                added += 1;
                say(format_args!("added    {path}  {}", bytes(after)));
            }
            (before, None) => {
                removed += 1;
                say(format_args!("removed  {path}  {}", bytes(before.unwrap_or_default())));
            }
        }
    }
    if differences.is_empty() {
        say(format_args!("the same {}", files(after.len())));
    } else {
        say(format_args!("{added} added, {removed} removed, {changed} changed"));
    }
}

fn to_json(
    before: &Manifest,
    after: &Manifest,
    differences: &[Difference<'_>],
    broken: &[&str],
) -> Value {
    let tree = |manifest: &Manifest| {
        let length = manifest.iter().map(|(_, info)| info.length()).fold(0, u64::saturating_add);
        json!({ "digest": manifest.digest_hex(), "files": manifest.len(), "bytes": length })
    };
    let file = |info: Option<&FileInfo>| {
        info.map(|info| json!({ "sha256": hex(info.sha256()), "length": info.length() }))
    };
    let differences = differences.iter().map(|difference| {
        json!({
            "path": difference.path(),
            "before": file(difference.before()),
            "after": file(difference.after()),
            "kept_its_name": broken.contains(&difference.path()),
        })
    });
    json!({
        "before": tree(before),
        "after": tree(after),
        "differences": differences.collect::<Vec<_>>(),
    })
}
