//! Is there a manifest of ours in a file?

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use tower_static_url::{Error, Manifest};

use crate::{Failure, failed};

/// No manifest is longer, in bytes: that is enough for a million files.
const LONGEST: u64 = 256 << 20;

/// What is in a file to which a manifest shall be written.
pub(crate) enum Found {
    Nothing,
    /// The text of a manifest.
    Manifest(Vec<u8>),
}

/// Looks at a file to which a manifest shall be written. One that has something else in it is an
/// error, and stays as it is.
pub(crate) fn look(path: &Path) -> Result<Found, Failure> {
    let text = match read_text(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        text => text.map_err(|error| failed(format!("cannot read {path:?}: {error}")))?,
    };
    if text.is_empty() {
        return Ok(Found::Nothing);
    }
    match Manifest::from_json(&text) {
        Ok(_) => Ok(Found::Manifest(text)),
        Err(error) => {
            let Failure { text, .. } = Failure::from(error);
            Err(failed(format!(
                "{path:?} has something else in it, and is not replaced; delete it if you do not \
                 need it ({text})"
            )))
        }
    }
}

/// Reads a manifest.
pub(crate) fn read(path: &Path) -> Result<Manifest, Failure> {
    let text = read_text(path).map_err(|error| failed(format!("cannot read {path:?}: {error}")))?;
    Manifest::from_json(text).map_err(|error: Error| {
        let failure = Failure::from(error);
        Failure { text: format!("{path:?}: {}", failure.text), ..failure }
    })
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than any manifest"));
    }
    Ok(text)
}
