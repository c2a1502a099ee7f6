//! Which digests are known from an earlier run? A file keeps them, so that a start without
//! changes reads no file of the tree.
//!
//! ```text
//! tower-static-url digests 1
//! <SHA-256 of the roots>
//! <length of path>:<path> <SHA-256> <length> <modified> <fingerprint> <checksum> <trailer>
//!     <made of> <link>
//! …
//! end <SHA-256 of everything before>
//! ```

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{
    Error,
    manifest::{
        Details, FileInfo, Scan,
        fingerprint::{Fingerprint, Stamp, nanos},
        report::{Finding, Report},
        siblings::{Checksum, Source},
        tree::invalid_path,
        walk::Found,
    },
};

const FORMAT: &str = "tower-static-url digests 1\n";
/// What the first line of another format starts with.
const ANY_FORMAT: &str = "tower-static-url digests ";
const END: &str = "end ";

const IN_THE_TREE: &str = "lies in the tree that is scanned: each scan would change the version";

/// The known files, by logical path.
pub(super) type Remembered = BTreeMap<Box<str>, FileInfo>;

impl Scan {
    /// Reads what an earlier run has kept. What is odd about it is a finding, and nothing is
    /// known then.
    pub(super) fn read_remembered(&self, report: &Report<'_>) -> Result<Remembered, Error> {
        let Some(path) = &self.remembered else { return Ok(Remembered::new()) };
        self.check_outside(path)?;
        if !report.is_first() {
            return Ok(Remembered::new());
        }
        let why = match fs::read(path) {
            Ok(bytes) => match parse(&bytes, &self.roots_digest()) {
                Ok(remembered) => return Ok(remembered),
                Err(why) => why.into(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::new()),
            Err(error) => error.to_string(),
        };
        report.add(Finding::NotRemembered { path: path.clone(), why });
        Ok(Remembered::new())
    }

    /// Keeps the digests for the next run.
    pub(super) fn remember_all(&self, files: &BTreeMap<Box<str>, FileInfo>, report: &Report<'_>) {
        let Some(path) = &self.remembered else { return };
        if let Err(error) = replace(path, &format(files, &self.roots_digest())) {
            let why = format!("cannot write: {error}");
            report.add(Finding::NotRemembered { path: path.clone(), why });
        }
    }

    /// Checks that the file is not listed itself: each start would then have another version.
    fn check_outside(&self, path: &Path) -> Result<(), Error> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
        let (Ok(parent), Some(name)) = (parent, path.file_name()) else { return Ok(()) };
        let absolute = parent.join(name);
        for root in &self.roots {
            let Ok(root) = fs::canonicalize(root) else { continue };
            let Ok(below) = absolute.strip_prefix(&root) else { continue };
            let mut above = below.ancestors().filter(|path| !path.as_os_str().is_empty());
            if !above.any(|path| self.ignores(&root, &root.join(path))) {
                return Err(invalid_path(&path.to_string_lossy(), IN_THE_TREE));
            }
        }
        Ok(())
    }

    /// Checks the same of the files that a walk has found: a link may lead to the file.
    pub(super) fn check_not_listed(&self, found: &Found) -> Result<(), Error> {
        let Some(path) = &self.remembered else { return Ok(()) };
        let Ok(canonical) = fs::canonicalize(path) else { return Ok(()) };
        let name = canonical.file_name();
        let mut found = found.iter().map(|(logical, &root)| self.roots[root].join(&**logical));
        let is_it = |found: PathBuf| {
            found.file_name() == name && fs::canonicalize(found).ok().as_ref() == Some(&canonical)
        };
        if found.any(is_it) {
            return Err(invalid_path(&path.to_string_lossy(), IN_THE_TREE));
        }
        Ok(())
    }

    fn roots_digest(&self) -> String {
        let mut sha256 = Sha256::new();
        for root in &self.roots {
            let root = fs::canonicalize(root).unwrap_or_else(|_| PathBuf::from(root));
            let root = root.as_os_str().as_encoded_bytes();
            sha256.update((root.len() as u64).to_le_bytes());
            sha256.update(root);
        }
        HEXLOWER.encode(&sha256.finalize())
    }
}

fn format(files: &BTreeMap<Box<str>, FileInfo>, roots: &str) -> String {
    let mut text = format!("{FORMAT}{roots}\n");
    for (path, info) in files {
        text.extend(format_file(path, info));
    }
    let digest = HEXLOWER.encode(&Sha256::digest(&text));
    text.extend([END, &digest, "\n"]);
    text
}

/// Returns `None` for a file that has to be read again anyway.
fn format_file(path: &str, info: &FileInfo) -> Option<String> {
    let Fingerprint::Proof(stamp) = info.fingerprint? else { return None };
    let fingerprint = HEXLOWER.encode(&stamp.to_bytes());
    let (sha256, length) = (HEXLOWER.encode(&info.sha256), info.length);
    let details = info.details();
    let (modified, link) = (nanos(info.modified?), u8::from(details.has_climbing_link));
    let [checksum, trailer] = [details.checksum, details.trailer].map(format_checksum);
    let made_of = details.made_of.map_or("-".into(), |source| source.to_number().to_string());
    let bytes = path.len();
    Some(format!(
        "{bytes}:{path} {sha256} {length} {modified} {fingerprint} {checksum} {trailer} \
         {made_of} {link}\n"
    ))
}

fn format_checksum(checksum: Checksum) -> String {
    match checksum {
        Checksum::Unknown => "-".into(),
        Checksum::Malformed => "malformed".into(),
        Checksum::Of { crc32, length } => format!("{crc32}/{length}"),
    }
}

/// Parses the text. The error is the reason why it is of no use.
fn parse(bytes: &[u8], roots: &str) -> Result<Remembered, &'static str> {
    const DAMAGED: &str = "the file is damaged";
    let text = str::from_utf8(bytes).map_err(|_| DAMAGED)?;
    let Some(rest) = text.strip_prefix(FORMAT) else {
        let is_other = text.starts_with(ANY_FORMAT);
        return Err(if is_other { "the file has another format" } else { DAMAGED });
    };
    check_end(text).ok_or(DAMAGED)?;
    let (its_roots, mut rest) = rest.split_once('\n').ok_or(DAMAGED)?;
    if its_roots != roots {
        return Err("the file is of another tree");
    }
    let mut remembered = Remembered::new();
    while !rest.starts_with(END) {
        let (path, info, after) = parse_file(rest).ok_or(DAMAGED)?;
        remembered.insert(path.into(), info);
        rest = after;
    }
    Ok(remembered)
}

/// Checks that the text is whole.
fn check_end(text: &str) -> Option<()> {
    let (before, digest) = text.strip_suffix('\n')?.rsplit_once(END)?;
    (digest == HEXLOWER.encode(&Sha256::digest(before))).then_some(())
}

/// Parses one line, and returns the rest after it.
fn parse_file(text: &str) -> Option<(&str, FileInfo, &str)> {
    let (bytes, rest) = text.split_once(':')?;
    let (path, rest) = rest.split_at_checked(bytes.parse().ok()?)?;
    let (line, rest) = rest.strip_prefix(' ')?.split_once('\n')?;
    let mut fields = line.split(' ');
    let mut field = || fields.next();
    let sha256 = HEXLOWER.decode(field()?.as_bytes()).ok()?.try_into().ok()?;
    let length = field()?.parse().ok()?;
    let modified = Some(time(field()?.parse().ok()?)?);
    let fingerprint = HEXLOWER.decode(field()?.as_bytes()).ok()?.try_into().ok()?;
    let fingerprint = Some(Fingerprint::Proof(Stamp::from_bytes(fingerprint)));
    let (checksum, trailer) = (parse_checksum(field()?)?, parse_checksum(field()?)?);
    let made_of = match field()? {
        "-" => None,
        number => Some(Source::from_number(number.parse().ok()?)),
    };
    let has_climbing_link = field()? == "1";
    let info = FileInfo::new(sha256, length);
    let details = Details { checksum, trailer, made_of, has_climbing_link, ..Details::default() };
    Some((path, FileInfo { modified, fingerprint, ..info.with_details(details) }, rest))
}

fn parse_checksum(text: &str) -> Option<Checksum> {
    match text {
        "-" => Some(Checksum::Unknown),
        "malformed" => Some(Checksum::Malformed),
        _ => {
            let (crc32, length) = text.split_once('/')?;
            Some(Checksum::Of { crc32: crc32.parse().ok()?, length: length.parse().ok()? })
        }
    }
}

/// The inverse of [`nanos`].
fn time(nanos: i128) -> Option<SystemTime> {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos.unsigned_abs() / SECOND).ok()?;
    let rest = u32::try_from(nanos.unsigned_abs() % SECOND).ok()?;
    let (epoch, distance) = (SystemTime::UNIX_EPOCH, Duration::new(seconds, rest));
    if nanos < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) }
}

/// Replaces a file as a whole: whoever reads it sees the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // A dot-file, so that no scan lists what a crash leaves.
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{number}", std::process::id()));
    let draft = path.with_file_name(name);
    let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // What cannot be written to often cannot be removed either, and is harmless.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOTS: &str = "00";

    fn info(modified: i128, checksum: Checksum) -> FileInfo {
        let has_climbing_link = modified == 0;
        let details = Details { checksum, has_climbing_link, ..Details::default() };
        FileInfo {
            modified: time(modified),
            fingerprint: Some(Fingerprint::Proof(Stamp::from_bytes([7; 11]))),
            ..FileInfo::new([3; 32], 5).with_details(details)
        }
    }

    fn files() -> BTreeMap<Box<str>, FileInfo> {
        let of = Checksum::Of { crc32: u32::MAX, length: 0 };
        let unknown = Checksum::Unknown;
        BTreeMap::from([
            ("a b".into(), info(0, unknown)),
            ("new\nline: 3".into(), info(-1_500_000_000, of)),
            ("ünke".into(), info(253_402_300_800_000_000_001, Checksum::Malformed)),
            ("end ".into(), info(1, unknown)),
        ])
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let files = files();
        let remembered = parse(format(&files, ROOTS).as_bytes(), ROOTS).unwrap();
        assert_eq!(remembered.len(), files.len());
        for (path, info) in &files {
            let again = &remembered[path];
            assert!(again.is_unchanged_since(info), "{path:?}");
            assert_eq!(again.details(), info.details(), "{path:?}");
        }
        let seen = Fingerprint::SeenSince(Stamp::from_bytes([7; 11]), 5);
        for fingerprint in [None, Some(seen)] {
            let recent = FileInfo { fingerprint, ..files["a b"].clone() };
            assert_eq!(format_file("a b", &recent), None, "it has to be read again");
        }
    }

    #[test]
    fn what_is_odd_is_not_used() {
        let text = format(&files(), ROOTS);
        let newer = text.replacen("digests 1", "digests 2", 1);
        for (name, text, expected) in [
            ("empty", "", "the file is damaged"),
            ("something else", "{}", "the file is damaged"),
            ("from the future", &newer, "the file has another format"),
            ("of another tree", &format(&files(), "11"), "the file is of another tree"),
        ] {
            assert_eq!(parse(text.as_bytes(), ROOTS).unwrap_err(), expected, "{name}");
        }
        for end in 0..text.len() {
            assert!(parse(&text.as_bytes()[..end], ROOTS).is_err(), "cut off at {end}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            body in ".{0,80}",
            byte in 0..400_usize,
            to in any::<u8>(),
        ) {
            let text = format!("{FORMAT}{ROOTS}\n{body}\n");
            let whole = format!("{text}{END}{}\n", HEXLOWER.encode(&Sha256::digest(&text)));
            let _ = parse(whole.as_bytes(), ROOTS);
            let mut text = format(&files(), ROOTS).into_bytes();
            if let Some(place) = text.get_mut(byte).filter(|place| **place != to) {
                *place = to;
                prop_assert!(parse(&text, ROOTS).is_err());
            }
        }
    }

    /// The digest in the file is a lie, so that using it shows.
    #[cfg(unix)]
    #[test]
    fn a_start_without_changes_reads_no_file() {
        use crate::manifest::scan::tests::tick;

        let (root, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join("a"), "content").unwrap();
        fs::write(root.path().join("b"), "content").unwrap();
        let path = folder.path().join("digests");
        let scan = Scan { coarsest: Duration::ZERO, ..Scan::new(root.path()).remember(&path) };
        tick(root.path());
        let manifest = scan.run().unwrap();
        let lie = manifest
            .iter()
            .map(|(path, info)| (path.into(), FileInfo { sha256: [7; 32], ..info.clone() }));
        fs::write(&path, format(&lie.collect(), &scan.roots_digest())).unwrap();
        tick(root.path());
        fs::write(root.path().join("b"), "content").unwrap();
        tick(root.path());
        let again = scan.run().unwrap();
        assert_eq!(*again.get("a").unwrap().sha256(), [7; 32], "not read");
        assert_eq!(again.get("b"), manifest.get("b"), "read, since it was written to");
        // The other names of the root do not matter, but another root does.
        let moved = root.path().with_extension("moved");
        fs::rename(root.path(), &moved).unwrap();
        let scan = Scan { roots: vec![moved.clone()], ..scan };
        assert_eq!(scan.run().unwrap().get("a"), manifest.get("a"), "another tree");
        fs::rename(&moved, root.path()).unwrap();
    }

    #[test]
    fn times_there_and_back() {
        for at in [0, 1, -1, 999_999_999, -1_000_000_005, i128::from(u32::MAX) * 1_000_000_000] {
            assert_eq!(time(at).map(nanos), Some(at));
        }
        assert_eq!(time(i128::MAX), None);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digests");
        for text in ["one", "two"] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        replace(&folder.path().join("missing/digests"), "").unwrap_err();
        // A directory cannot be replaced by a file.
        fs::create_dir_all(folder.path().join("taken/x")).unwrap();
        replace(&folder.path().join("taken"), "").unwrap_err();
        let mut left = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>();
        left.sort();
        assert_eq!(left, ["digests", "taken"], "no draft is left");
    }
}
