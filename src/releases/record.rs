//! Which releases does a directory have? Reads the records and ignores what is none.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Manifest,
    manifest::listing,
    releases::folder::{self, Folder, entries, is_directory},
    url::check_segment,
};

/// What every file system can tell apart, or nearly every one.
const TICK: Duration = Duration::from_micros(1);

/// When there were no records yet, as Unix time: the year 2026 began. A clock that shows less has
/// not been set since the machine was started, and tells nothing of the records.
const FORMAT_SINCE: Duration = Duration::from_secs(1_767_225_600);

/// A record as it lies in the directory, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) version: Box<str>,
    pub(super) digest: [u8; 32],
    /// When the release was published last.
    pub(super) published: SystemTime,
    pub(super) path: PathBuf,
}

/// Something in the directory that is not a record, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NoRecord {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

/// What was found: records in no order, and what is none.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    pub(super) ignored: Vec<NoRecord>,
}

impl Folder {
    /// Returns the directory with the record of a version.
    pub(super) fn record_directory(&self, version: &str) -> PathBuf {
        self.records().join(version)
    }

    /// Returns the records of all versions.
    pub(super) fn find_records(&self) -> Result<Found, Error> {
        self.check()?;
        self.find_records_in(&self.records())
    }

    /// Returns the records in a directory that has one directory for each version.
    pub(super) fn find_records_in(&self, directory: &Path) -> Result<Found, Error> {
        let mut found = Found::default();
        for directory in entries(directory)? {
            let version = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match check_version(version, &directory) {
                Ok(()) => found.add_version(version, &directory)?,
                Err(why) => found.ignore(&directory, why),
            }
        }
        Ok(found)
    }

    /// Returns the records of one version.
    pub(super) fn find_records_of(&self, version: &str) -> Result<Found, Error> {
        self.check()?;
        let directory = self.record_directory(version);
        let mut found = Found::default();
        if is_directory(&directory) {
            found.add_version(version, &directory)?;
        }
        Ok(found)
    }

    /// Returns the record of the release that was published last.
    pub(super) fn newest(&self) -> Result<Option<Record>, Error> {
        let records = self.find_records()?.records.into_iter();
        Ok(records.max_by(|a, b| a.order().cmp(&b.order())))
    }

    /// Returns the time of the next record: now, or a later one if a record has the time of now
    /// already. Records from the future were written while the clock was wrong, and get the time
    /// of now first: else all later ones would have to be from the future, too. Needs the lock for
    /// commits, or the exclusive one.
    pub(super) fn next_time(&self, now: SystemTime) -> Result<SystemTime, Error> {
        let mut records = self.find_records()?.records;
        records.sort_by(|a, b| a.order().cmp(&b.order()));
        let is_set = now >= SystemTime::UNIX_EPOCH + FORMAT_SINCE;
        let mut next = now;
        for record in records {
            let is_from_future = is_set && record.published > now;
            let is_dated = is_from_future && set_modified(&record.path, next).is_ok();
            let time = if is_dated { next } else { record.published };
            next = time.checked_add(TICK).map_or(next, |after| after.max(next));
        }
        Ok(next)
    }
}

/// Sets the modification time of a file that nobody may write.
fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    let file = File::open(path)?;
    file.set_modified(time)?;
    file.sync_all()
}

impl Found {
    fn ignore(&mut self, path: &Path, why: impl Into<String>) {
        self.ignored.push(NoRecord { path: path.into(), why: why.into() });
    }

    fn add_version(&mut self, version: &str, directory: &Path) -> Result<(), Error> {
        let entries = match entries(directory) {
            // It was deleted meanwhile.
            Err(_) if !folder::exists(directory) => return Ok(()),
            entries => entries?,
        };
        for path in entries {
            match record(version, &path) {
                Ok(record) => self.records.extend(record),
                Err(why) => self.ignore(&path, why),
            }
        }
        Ok(())
    }
}

/// Checks the name of a directory of records.
fn check_version(version: &str, directory: &Path) -> Result<(), String> {
    check_segment(version).map_err(|why| format!("is no version: {why}"))?;
    if is_directory(directory) { Ok(()) } else { Err("is not a directory".into()) }
}

/// Returns `None` if it was deleted meanwhile.
fn record(version: &str, path: &Path) -> Result<Option<Record>, String> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let digest = HEXLOWER.decode(name).ok().and_then(|digest| digest.try_into().ok());
    let digest = digest.ok_or("has not the name of a SHA-256")?;
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| error.to_string())?,
    };
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    let published = metadata.modified().map_err(|error| error.to_string())?;
    Ok(Some(Record { version: version.into(), digest, published, path: path.into() }))
}

impl Record {
    /// The order of records. Two of the same time are in some order, but always the same.
    fn order(&self) -> (SystemTime, &str) {
        (self.published, &self.version)
    }

    /// Reads the listing. `None` if the record was deleted meanwhile.
    pub(super) fn read(&self) -> Result<Option<Manifest>, NoRecord> {
        let no_record = |why: String| NoRecord { path: self.path.clone(), why };
        match read_capped(&self.path, listing::LONGEST) {
            Ok(text) => parse(&text, &self.digest).map(Some).map_err(no_record),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(no_record(format!("cannot be read: {error}"))),
        }
    }
}

/// Reads at most one byte more than the cap.
fn read_capped(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(cap + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn parse(text: &[u8], digest: &[u8; 32]) -> Result<Manifest, String> {
    if text.len() as u64 > listing::LONGEST {
        return Err(format!("is longer than {} bytes", listing::LONGEST));
    }
    if <[u8; 32]>::from(Sha256::digest(text)) != *digest {
        return Err("is not the text whose SHA-256 is its name".into());
    }
    Manifest::from_listing_text(text).map_err(|malformed| malformed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_time_of_the_next_record() {
        let now = SystemTime::UNIX_EPOCH + FORMAT_SINCE + 1000 * HOUR;
        let unset = SystemTime::UNIX_EPOCH + HOUR;
        for (name, now, records, next, dated) in [
            ("none", now, &[][..], now, &[][..]),
            ("past", now, &[now - HOUR], now, &[now - HOUR]),
            ("just now", now, &[now], now + TICK, &[now]),
            ("the future", now, &[now + HOUR], now + TICK, &[now]),
            (
                "past and future",
                now,
                &[now - HOUR, now + HOUR, now + 2 * HOUR],
                now + 2 * TICK,
                &[now - HOUR, now, now + TICK],
            ),
            (
                "just now and the future",
                now,
                &[now, now + HOUR],
                now + 2 * TICK,
                &[now, now + TICK],
            ),
            ("the clock is not set", unset, &[now], now + TICK, &[now]),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let folder = Folder::create(directory.path()).unwrap();
            for (i, time) in records.iter().enumerate() {
                let version = folder.record_directory(&format!("v{i}"));
                fs::create_dir(&version).unwrap();
                let record = File::create(version.join("0".repeat(64))).unwrap();
                record.set_modified(*time).unwrap();
            }
            assert_eq!(folder.next_time(now).unwrap(), next, "{name}");
            let found = folder.find_records().unwrap().records;
            let found = found.iter().map(|record| record.published).collect::<Vec<_>>();
            assert_eq!(found, dated, "{name}");
        }
    }
}
