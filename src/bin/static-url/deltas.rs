//! `static-url deltas OLD NEW`

use std::{
    cmp::Reverse,
    ffi::OsStr,
    fmt::{self, Display},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tower_static_url::{Fingerprinted, Manifest, Upgrade, UpgradedFile, releases::Releases};

use crate::{
    Done, FAILED, Failure,
    args::Deltas,
    output::{bar, bytes, files, say},
};

pub(crate) fn run(args: Deltas) -> Result<Done, Failure> {
    let (old, new) = trees(&args)?;
    let count = new.0.len();
    let mut upgrade = Upgrade::new(&old.0, old.1, &new.0, new.1);
    if let Some(rule) = args.fingerprinted.into_iter().reduce(Fingerprinted::or) {
        upgrade = upgrade.fingerprinted(rule);
    }
    let bar = bar("compressing", count);
    let measured = upgrade.measure_with_progress(|files| bar.set_position(files as u64));
    bar.finish_and_clear();
    let measured = measured?;
    let total = Total::of(&measured);
    if args.format.json {
        let files = measured.iter().map(file_to_json).collect::<Vec<_>>();
        say(json!({ "files": files, "total": total.to_json() }));
    } else {
        show(&measured, &total);
    }
    Ok(Done::WithSuccess)
}

/// A version, and the directory of its files.
type Tree = (Manifest, PathBuf);

/// Returns the old version and the new one.
fn trees(args: &Deltas) -> Result<(Tree, Tree), Failure> {
    let Some(folder) = &args.releases else {
        return Ok((scan(Path::new(&args.old))?, scan(Path::new(&args.new))?));
    };
    let releases = Releases::open(folder)?;
    Ok((kept(&releases, &args.old, folder)?, kept(&releases, &args.new, folder)?))
}

fn scan(directory: &Path) -> Result<Tree, Failure> {
    Ok((Manifest::scan(directory)?, directory.into()))
}

fn kept(releases: &Releases, version: &OsStr, folder: &Path) -> Result<Tree, Failure> {
    let kept = releases.list()?;
    let Some(release) = kept.iter().find(|release| version == release.version()) else {
        let text = format!("no release of version {version:?} is kept in {folder:?}");
        return Err(Failure { text, code: FAILED });
    };
    Ok((release.manifest().clone(), releases.files().join(version)))
}

/// What all files together cost.
#[derive(Default)]
struct Total {
    files: usize,
    length: u64,
    compressed: u64,
    sent: u64,
}

impl Total {
    fn of(measured: &[UpgradedFile]) -> Self {
        let sum = |length: fn(&UpgradedFile) -> u64| measured.iter().map(length).sum();
        Self {
            files: measured.len(),
            length: sum(UpgradedFile::length),
            compressed: sum(UpgradedFile::compressed),
            sent: sum(UpgradedFile::sent),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "files": self.files,
            "whole": self.length,
            "zstd": self.compressed,
            "sent": self.sent,
        })
    }

    /// Returns what is sent, in per cent of the compressed files.
    fn share(&self) -> f64 {
        if self.compressed == 0 { 0. } else { self.sent as f64 * 100. / self.compressed as f64 }
    }
}

fn file_to_json(file: &UpgradedFile) -> Value {
    json!({
        "path": file.path(),
        "dictionary": file.dictionary(),
        "cached": file.is_cached(),
        "whole": file.length(),
        "zstd": file.compressed(),
        "delta": file.delta(),
        "sent": file.sent(),
    })
}

/// Prints a line for each file, the one that costs most first, and one for all.
fn show(measured: &[UpgradedFile], total: &Total) {
    let mut measured = measured.iter().collect::<Vec<_>>();
    // Stable: what costs the same stays in the order of the paths.
    measured.sort_by_key(|file| Reverse(file.sent()));
    say(row("whole", "zstd", "sent", ""));
    for file in measured {
        let lengths = [file.length(), file.compressed(), file.sent()].map(bytes);
        say(row(&lengths[0], &lengths[1], &lengths[2], How(file)));
    }
    let lengths = [total.length, total.compressed, total.sent].map(bytes);
    let all = format!("{}: {:.1} % of zstd", files(total.files), total.share());
    say(row(&lengths[0], &lengths[1], &lengths[2], all));
}

fn row(whole: &str, zstd: &str, sent: &str, what: impl Display) -> String {
    let row = format!("{whole:>12}{zstd:>12}{sent:>12}  {what}");
    row.trim_end().into()
}

/// A file, and how it is sent.
struct How<'f>(&'f UpgradedFile);

impl Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0;
        // A name may have a line feed in it.
        write!(f, "{}", file.path().escape_debug())?;
        match (file.dictionary(), file.delta()) {
            _ if file.is_cached() => f.write_str("  (cached)"),
            (None, _) => f.write_str("  (no dictionary)"),
            (_, Some(delta)) if delta >= file.compressed() => {
                f.write_str("  (no delta is smaller)")
            }
            (_, None) => f.write_str("  (too large for a delta)"),
            (Some(path), _) if path != file.path() => {
                write!(f, "  (delta of {})", path.escape_debug())
            }
            _ => f.write_str("  (delta)"),
        }
    }
}
