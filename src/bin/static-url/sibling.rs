//! How does a file get its compressed sibling? Made anew, unless the one that is there is of this
//! very file.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{coding::Coding, draft::Draft};

/// What became of a sibling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Of so many bytes.
    Written(u64),
    UpToDate(u64),
    /// It would not be worth it. One that was there, of another content, is deleted.
    NotSmaller,
}

/// Compresses a file, if that is needed and worth it.
pub(crate) fn compress(path: &Path, coding: Coding) -> io::Result<Outcome> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let sibling = sibling_of(path, coding);
    if is_up_to_date(&sibling, path, coding) {
        return keep(&sibling, &metadata).map(Outcome::UpToDate);
    }
    if !may_shrink(&mut file, metadata.len())? {
        return delete(&sibling).map(|()| Outcome::NotSmaller);
    }
    file.rewind()?;
    let mut draft = Draft::of(&sibling)?;
    let Some(length) = encode(&file, &metadata, coding, &mut draft)? else {
        return delete(&sibling).map(|()| Outcome::NotSmaller);
    };
    check_unchanged(&file, &metadata)?;
    draft.copy_metadata(&metadata)?;
    draft.finish()?;
    Ok(Outcome::Written(length))
}

fn sibling_of(path: &Path, coding: Coding) -> PathBuf {
    let mut sibling = path.as_os_str().to_owned();
    sibling.push(coding.suffix());
    sibling.into()
}

/// Whether a sibling has the content of the file. What it says of itself, and what its time says,
/// would be less than that.
fn is_up_to_date(sibling: &Path, path: &Path, coding: Coding) -> bool {
    let is_file = fs::symlink_metadata(sibling).is_ok_and(|metadata| metadata.is_file());
    let is_of = || coding.is_of(File::open(sibling)?, File::open(path)?);
    // What cannot be read is made anew.
    is_file && is_of().unwrap_or(false)
}

/// Gives a sibling the time of its file, so that it is not taken for one of an earlier content.
fn keep(sibling: &Path, file: &Metadata) -> io::Result<u64> {
    let (now, modified) = (fs::metadata(sibling)?, file.modified()?);
    if now.modified()? != modified {
        set_modified(sibling, modified)?;
    }
    Ok(now.len())
}

/// Does not need the right to write to the file, which may be read-only.
fn set_modified(path: &Path, modified: SystemTime) -> io::Result<()> {
    File::open(path)?.set_modified(modified)
}

/// Writes the compressed form. Returns how long it is, if it is worth it.
fn encode(
    file: &File,
    metadata: &Metadata,
    coding: Coding,
    draft: &mut Draft,
) -> io::Result<Option<u64>> {
    let Some(longest) = longest_worth(metadata.len()) else { return Ok(None) };
    let mut encoded = coding.encode(file, metadata.len())?.take(longest + 1);
    let length = io::copy(&mut encoded, draft)?;
    draft.flush()?;
    Ok((length <= longest).then_some(length))
}

/// Returns how long a compressed form may be, so that it saves more than the fields of the
/// response that come with it, and than the work of the browser.
fn longest_worth(length: u64) -> Option<u64> {
    const FIELDS: u64 = 64;
    length.checked_sub(FIELDS.max(length / 20))
}

/// Whether it is worth to try. A film or a font costs brotli seconds or hours, and saves nothing:
/// gzip tells that of parts of it, in milliseconds.
fn may_shrink(file: &mut File, length: u64) -> io::Result<bool> {
    const SMALL: u64 = 64 << 10;
    const PARTS: u64 = 16;
    const PART: u64 = 64 << 10;
    if length <= SMALL {
        return Ok(longest_worth(length).is_some());
    }
    let (mut sample, step) = (Vec::new(), length / PARTS);
    for part in 0..PARTS {
        file.seek(SeekFrom::Start(step * part))?;
        // Of up to 1 MiB that is all of it.
        file.take(step.min(PART)).read_to_end(&mut sample)?;
    }
    let length = sample.len() as u64;
    let longest = longest_worth(length).unwrap_or_default();
    let mut encoded = Coding::Gzip.encode(&*sample, length)?.take(longest + 1);
    Ok(io::copy(&mut encoded, &mut io::sink())? <= longest)
}

/// Checks that nobody has written to the file meanwhile.
fn check_unchanged(file: &File, before: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if now.len() == before.len() && now.modified()? == before.modified()? {
        return Ok(());
    }
    Err(io::Error::other("it has changed meanwhile"))
}

/// Deletes a sibling of another content.
fn delete(sibling: &Path) -> io::Result<()> {
    match fs::remove_file(sibling) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
