//! How does the output look, for a person and for a program?

use std::{
    fmt::Display,
    io::{self, Write as _},
    time::{Duration, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tower_static_url::releases::Release;

use crate::{Failure, failed};

/// Prints a line. Whoever has closed the output does not want it.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints what will be a file. Half of it is a failure, unless nobody reads on.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed(format!("cannot write to the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Formats a release for a program. Times are seconds since 1970.
pub(crate) fn to_json(release: &Release) -> Value {
    json!({
        "version": release.version(),
        "digest": release.digest_hex(),
        "published": seconds(release.published()),
        "superseded": release.superseded().map(seconds),
        "files": release.file_count(),
        "bytes": release.total_length(),
    })
}

/// Formats a release for a person.
pub(crate) fn to_line(release: &Release) -> String {
    let state = match release.superseded() {
        Some(time) => format!("superseded {}", date(time)),
        None => "current".into(),
    };
    format!(
        "{}  {}, {}  published {}  {state}",
        release.version(),
        files(release.file_count()),
        bytes(release.total_length()),
        date(release.published()),
    )
}

/// Formats a number of files.
pub(crate) fn files(count: usize) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Formats a number of bytes in the largest unit of which there is one.
pub(crate) fn bytes(length: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| length >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", length as f64 / unit as f64),
        None if length == 1 => "1 byte".into(),
        None => format!("{length} bytes"),
    }
}

/// Makes a progress bar. It is drawn on a terminal, and nowhere else.
pub(crate) fn bar(what: &'static str, files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64).with_message(what);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} files");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Formats a digest.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(digest)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Formats a time as HTTP does. What HTTP cannot spell is shown as the last time that it can.
fn date(time: SystemTime) -> String {
    /// The last second of the year 9999.
    const LAST: u64 = 253_402_300_799;
    let time = Duration::from_secs(seconds(time).min(LAST));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_for_people() {
        for (length, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_500_000, "1.4 MiB"),
            (u64::MAX, "17179869184.0 GiB"),
        ] {
            assert_eq!(bytes(length), expected);
        }
    }

    #[test]
    fn every_time_can_be_shown() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (time, expected) in [
            (epoch, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (epoch - Duration::from_secs(9), "Thu, 01 Jan 1970 00:00:00 GMT"),
            (epoch + Duration::from_secs(1 << 40), "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(date(time), expected);
        }
    }
}
