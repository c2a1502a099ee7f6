//! `static-url manifest DIR [-o FILE]`

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use tower_static_url::manifest::is_ignored_by_default;

use crate::{
    Done, Failure,
    args::Files,
    draft::Draft,
    failed,
    identity::scan,
    manifest_file::{Found, look},
    output::print,
};

/// Prints the manifest of a directory as JSON, for a build step.
///
/// A server that loads it hashes nothing when it starts. The same files give the same text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url manifest dist > static-files.json
  static-url manifest dist -o static-files.json
  static-url manifest dist public -o static-files.json

In the server:
  let manifest = Manifest::from_json(&std::fs::read(\"static-files.json\")?)?;
  let layer = StaticUrlLayer::builder(\"/static\").manifest(manifest).build()?;")]
pub(crate) struct Manifest {
    #[command(flatten)]
    files: Files,
    /// Write the manifest to this file, as a whole or not at all. One that is there must be a
    /// manifest or empty, and is not touched if nothing has changed. It must not lie in the
    /// directories.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Manifest) -> Result<Done, Failure> {
    // What cannot be written need not be hashed.
    if let Some(output) = &args.output {
        check_outside(output, &args.files.directories)?;
        look(output)?;
    }
    let text = scan(&args.files)?.to_json() + "\n";
    match &args.output {
        Some(output) => replace(output, &text)?,
        None => print(text.as_bytes())?,
    }
    Ok(Done::WithSuccess)
}

/// Checks that the manifest will not be one of the files that the next one lists.
fn check_outside(output: &Path, directories: &[PathBuf]) -> Result<(), Failure> {
    let Some(output_in_full) = in_full(output) else { return Ok(()) };
    let is_listed = |directory: &PathBuf| {
        let directory = fs::canonicalize(directory).ok()?;
        let below = output_in_full.strip_prefix(directory).ok()?;
        let mut names = below.iter().map(|name| name.to_string_lossy());
        Some(!names.any(|name| is_ignored_by_default(&name)))
    };
    if directories.iter().any(|directory| is_listed(directory) == Some(true)) {
        return Err(failed(format!("{output:?} lies in the tree, and must not")));
    }
    Ok(())
}

/// Returns the path without links. The file need not be there, but its directory.
fn in_full(path: &Path) -> Option<PathBuf> {
    if let Ok(path) = fs::canonicalize(path) {
        return Some(path);
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = fs::canonicalize(directory.unwrap_or(Path::new("."))).ok()?;
    Some(directory.join(path.file_name()?))
}

fn replace(output: &Path, text: &str) -> Result<(), Failure> {
    // Another command may have written it meanwhile.
    if let Found::Manifest(old) = look(output)?
        && *old == *text.as_bytes()
    {
        return Ok(());
    }
    // What a link leads to is replaced, and not the link.
    let target = fs::canonicalize(output).unwrap_or_else(|_| output.into());
    let written = Draft::of(&target).and_then(|mut draft| {
        draft.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(&target) {
            draft.copy_permissions(&old)?;
        }
        draft.sync()?;
        draft.finish()
    });
    written.map_err(|error| failed(format!("cannot write {output:?}: {error}")))
}
