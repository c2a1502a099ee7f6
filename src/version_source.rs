//! Where a version comes from, and what a URL segment must look like to be one.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind, url::check_segment};

/// A hashed version is this many lower-case hexadecimal digits.
const HASHED_LEN: usize = 16;

/// Where the version, the URL segment after the mount, comes from.
///
/// | constructor | changes when | equal on every node |
/// |---|---|---|
/// | [`manifest`](Self::manifest) (the default with a manifest) | a byte of the tree changes | yes |
/// | [`process_start`](Self::process_start) | the process starts | no |
/// | [`file_modified`](Self::file_modified) | the file is touched and the process restarts | if its mtime is |
/// | [`file_accessed`](Self::file_accessed) | the file is read or touched, and restart | no |
/// | [`build_id`](Self::build_id), [`env`](Self::env) | you say so | if you say the same |
/// | [`literal`](Self::literal) | you say so | if you say the same |
///
/// All but the literal are hashed: the version is the first 16 hexadecimal
/// digits of a SHA-256, so that a URL does not tell when you deployed. Give the
/// builder a [`salt`](crate::StaticUrlLayerBuilder::salt) if the input could be
/// guessed.
///
/// Whatever the source, browsers see a path that has never been cached as soon
/// as the version changes, and fetch everything below it anew.
///
/// A source is only a description: it is evaluated when the layer is built, and
/// that is where a missing file, an unset variable or an unfit literal is
/// reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSource(Source);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Manifest,
    StartedAt(SystemTime),
    FileAccessed(PathBuf),
    FileModified(PathBuf),
    BuildId(String),
    Env(OsString),
    Literal(String),
}

impl VersionSource {
    /// The [tree digest](crate::manifest#the-tree-digest): equal on every node
    /// that has the same files, whatever their times, and different as soon as
    /// one byte, name or file is. Needs a manifest.
    pub fn manifest() -> Self {
        Self(Source::Manifest)
    }

    /// The time of the first call of this function in the process: every restart
    /// busts every cache. The simplest set-up where a restart follows every edit;
    /// until then browsers keep what they have.
    pub fn process_start() -> Self {
        static START: OnceLock<SystemTime> = OnceLock::new();
        Self::started_at(*START.get_or_init(SystemTime::now))
    }

    /// A start time that the caller knows (a supervisor's, a deploy's, a test's),
    /// taken to the nanosecond.
    pub fn started_at(time: SystemTime) -> Self {
        Self(Source::StartedAt(time))
    }

    /// The modification time of a file, to the nanosecond: touch the file and
    /// restart to bust.
    pub fn file_modified(path: impl Into<PathBuf>) -> Self {
        Self(Source::FileModified(path.into()))
    }

    /// The access time of a file, to the nanosecond, as django-static-url has it.
    ///
    /// Prefer [`file_modified`](Self::file_modified). Most Linux file systems are
    /// mounted `relatime` and note a read at most once a day, `noatime` ones
    /// never; and where reads *are* noted, a backup or a `grep` busts every cache.
    pub fn file_accessed(path: impl Into<PathBuf>) -> Self {
        Self(Source::FileAccessed(path.into()))
    }

    /// A build identifier: a git hash, a release name, an image digest. An empty one
    /// is an error.
    pub fn build_id(id: impl Into<String>) -> Self {
        Self(Source::BuildId(id.into()))
    }

    /// A [build id](Self::build_id) that stands in an environment variable.
    pub fn env(variable: impl Into<OsString>) -> Self {
        Self(Source::Env(variable.into()))
    }

    /// A version shown as it is: `v1.2.3` gives `/static/v1.2.3/…`. It must be
    /// one plain URL segment, and no folder at the top of the tree may have its
    /// name.
    ///
    /// A segment counts as another (stale) version if it is as long, has the same
    /// kinds of characters, each of them, and the punctuation of this one: to
    /// `v1.2.3`, `v1.2.4` is a version and `jquery` is a folder. So is `v1.2.10`,
    /// which is longer: while a deploy rolls from the one to the other, URLs of either
    /// are a 404 (`no-store`) on the other's nodes. Versions of one length, such as
    /// `2026.11.22`, avoid that; [`build_id`](Self::build_id) hides it.
    pub fn literal(version: impl Into<String>) -> Self {
        Self(Source::Literal(version.into()))
    }

    pub(crate) fn resolve(&self, salt: &Salt, tree: Option<&[u8; 32]>) -> Result<Version, Error> {
        let input = match &self.0 {
            Source::Literal(text) => return Version::literal(text),
            Source::Manifest => return Version::of_tree(tree, salt),
            Source::StartedAt(time) => nanos_since_epoch(*time),
            Source::FileAccessed(path) => file_time(path, fs::Metadata::accessed)?,
            Source::FileModified(path) => file_time(path, fs::Metadata::modified)?,
            Source::BuildId(id) => said(id.clone(), ErrorKind::InvalidVersion, "the build id")?,
            Source::Env(variable) => variable_value(variable)?,
        };
        Ok(Version::hashed(&salted_sha256(salt, input.as_bytes())))
    }
}

#[cfg(feature = "watch")]
impl VersionSource {
    /// The file whose time is the version.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            Source::FileAccessed(path) | Source::FileModified(path) => Some(path),
            _ => None,
        }
    }
}

fn file_time(
    path: &Path,
    time: impl FnOnce(&fs::Metadata) -> io::Result<SystemTime>,
) -> Result<String, Error> {
    let time = fs::metadata(path).and_then(|metadata| time(&metadata));
    time.map(nanos_since_epoch).map_err(|error| Error::io("read the time of", path, error))
}

fn nanos_since_epoch(time: SystemTime) -> String {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos().to_string(),
        Err(before) => format!("-{}", before.duration().as_nanos()),
    }
}

fn variable_value(variable: &OsString) -> Result<String, Error> {
    let name = format!("environment variable {variable:?}");
    let value = env::var(variable).map_err(|error| {
        let why = match error {
            env::VarError::NotPresent => "is not set",
            env::VarError::NotUnicode(_) => "is not UTF-8",
        };
        Error::new(ErrorKind::MissingVariable, format!("{name} {why}"))
    })?;
    said(value, ErrorKind::MissingVariable, &name)
}

/// Refuses the value that a build leaves behind when it knows none: every deploy
/// would have the same version.
fn said(value: String, kind: ErrorKind, name: &str) -> Result<String, Error> {
    match value.trim().is_empty() {
        true => Err(Error::new(kind, format!("{name} is empty"))),
        false => Ok(value),
    }
}

/// A secret that goes into every hash, and is never shown.
#[derive(Clone, Default)]
pub(crate) struct Salt(Box<[u8]>);

impl Salt {
    pub(crate) fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into().into())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(_)")
    }
}

/// The salt is length-framed, so that no salt can pretend to be part of an input.
fn salted_sha256(Salt(salt): &Salt, input: &[u8]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    if !salt.is_empty() {
        sha256.update(format!("{}:", salt.len()));
        sha256.update(salt);
    }
    sha256.update(input);
    sha256.finalize().into()
}

/// A version and the shape by which other versions are told from folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    text: Box<str>,
    alphabet: Alphabet,
}

impl Version {
    fn hashed(digest: &[u8; 32]) -> Self {
        let text = HEXLOWER.encode(&digest[..HASHED_LEN / 2]).into();
        Self { text, alphabet: Alphabet::HEX }
    }

    /// Without a salt the first digits of the tree digest themselves, so that a
    /// script can say what the prefix will be.
    fn of_tree(tree: Option<&[u8; 32]>, salt: &Salt) -> Result<Self, Error> {
        let tree = tree.ok_or_else(|| {
            let message = "no version: give the builder a manifest or a version source";
            Error::new(ErrorKind::InvalidVersion, message)
        })?;
        if salt.0.is_empty() {
            return Ok(Self::hashed(tree));
        }
        Ok(Self::hashed(&salted_sha256(salt, HEXLOWER.encode(tree).as_bytes())))
    }

    fn literal(text: &str) -> Result<Self, Error> {
        check_segment(text).map_err(|why| {
            let message = format!("literal version {text:?}: {why}");
            Error::new(ErrorKind::InvalidVersion, message)
        })?;
        Ok(Self { text: text.into(), alphabet: Alphabet::of(text) })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a segment has exactly the shape of this version.
    pub(crate) fn has_shape(&self, segment: &str) -> bool {
        segment.len() == self.text.len() && self.alphabet.spells(segment)
    }
}

/// The characters that versions of one shape are made of, as a bit set over ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alphabet {
    allowed: u128,
    /// Of these each must occur.
    required: [u128; 3],
}

const DIGITS: u128 = range(b'0', b'9');
const LOWER: u128 = range(b'a', b'z');
const UPPER: u128 = range(b'A', b'Z');
const HEX: u128 = DIGITS | range(b'a', b'f');

const fn range(first: u8, last: u8) -> u128 {
    (u128::MAX >> (127 - last)) & (u128::MAX << first)
}

impl Alphabet {
    /// Of a hash, which may happen to have no letter.
    const HEX: Self = Self { allowed: HEX, required: [HEX; 3] };

    /// Of a literal: the kinds of characters it has, and its very punctuation.
    fn of(text: &str) -> Self {
        let used = used_by(text);
        let kinds = [DIGITS, LOWER, UPPER].map(|kind| if used & kind == 0 { 0 } else { kind });
        let narrowed = if used & !HEX == 0 { HEX } else { u128::MAX };
        let allowed = kinds.iter().fold(0, |all, kind| all | kind) & narrowed;
        Self { allowed: allowed | punctuation(used), required: kinds }
    }

    fn spells(self, text: &str) -> bool {
        let used = used_by(text);
        let has_kinds = self.required.iter().all(|&kind| kind == 0 || used & kind != 0);
        let is_punctuated = punctuation(used) == punctuation(self.allowed);
        text.is_ascii() && used & !self.allowed == 0 && has_kinds && is_punctuated
    }
}

fn used_by(text: &str) -> u128 {
    text.bytes().fold(0, |used, byte| used | 1 << (byte & 127))
}

fn punctuation(used: u128) -> u128 {
    used & !(DIGITS | LOWER | UPPER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn version(source: VersionSource, salt: &str) -> String {
        source.resolve(&Salt::new(salt), None).unwrap().as_str().to_owned()
    }

    fn sha256_16(input: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(input)[..8])
    }

    #[test]
    fn hashed_sources_are_the_first_digits_of_a_sha256() {
        let start = SystemTime::UNIX_EPOCH + Duration::new(1, 5);
        let before_epoch = SystemTime::UNIX_EPOCH - Duration::new(1, 0);
        for (name, source, salt, input) in [
            ("build id", VersionSource::build_id("abc"), "", "abc"),
            ("salted", VersionSource::build_id("abc"), "s3", "2:s3abc"),
            ("start", VersionSource::started_at(start), "", "1000000005"),
            ("before 1970", VersionSource::started_at(before_epoch), "", "-1000000000"),
            ("salt only looks like input", VersionSource::build_id("3abc"), "s", "1:s3abc"),
        ] {
            assert_eq!(version(source, salt), sha256_16(input), "{name}");
        }
        // The example of FIPS 180-4: SHA-256("abc").
        assert_eq!(version(VersionSource::build_id("abc"), ""), "ba7816bf8f01cfea");
    }

    #[test]
    fn process_start_is_one_for_the_whole_process() {
        assert_eq!(VersionSource::process_start(), VersionSource::process_start());
    }

    #[test]
    fn file_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("touch-me");
        let file = fs::File::create(&path).unwrap();
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::new(secs, 7);
        file.set_times(fs::FileTimes::new().set_accessed(at(1)).set_modified(at(2))).unwrap();
        let nanos = |secs: u64| sha256_16(&format!("{secs}000000007"));
        assert_eq!(version(VersionSource::file_accessed(&path), ""), nanos(1));
        assert_eq!(version(VersionSource::file_modified(&path), ""), nanos(2));
    }

    #[test]
    fn tree_digest_is_the_version_unless_salted() {
        let tree = [0xab; 32];
        let resolve =
            |salt| VersionSource::manifest().resolve(&Salt::new(salt), Some(&tree)).unwrap();
        assert_eq!(resolve("").as_str(), "abababababababab");
        let framed = format!("4:salt{}", "ab".repeat(32));
        assert_eq!(resolve("salt").as_str(), sha256_16(&framed));
    }

    #[test]
    fn unresolvable_sources_name_their_input() {
        let missing = "no/such/file";
        for (source, kind, message) in [
            (
                VersionSource::literal(""),
                ErrorKind::InvalidVersion,
                r#"literal version "": has an empty segment"#,
            ),
            (
                VersionSource::literal("a/b"),
                ErrorKind::InvalidVersion,
                r#"literal version "a/b": has '/', which no URL segment may contain"#,
            ),
            (
                VersionSource::literal("v 1"),
                ErrorKind::InvalidVersion,
                r#"literal version "v 1": has ' ', which no URL segment may contain"#,
            ),
            (
                VersionSource::literal(".."),
                ErrorKind::InvalidVersion,
                r#"literal version "..": `..` is a dot segment"#,
            ),
            (
                VersionSource::literal("%41"),
                ErrorKind::InvalidVersion,
                r#"literal version "%41": has a percent-escape"#,
            ),
            (
                VersionSource::file_accessed(missing),
                ErrorKind::Io,
                r#"cannot read the time of "no/such/file": No such file or directory (os error 2)"#,
            ),
            (
                VersionSource::file_modified(missing),
                ErrorKind::Io,
                r#"cannot read the time of "no/such/file": No such file or directory (os error 2)"#,
            ),
            (VersionSource::build_id(" \n"), ErrorKind::InvalidVersion, "the build id is empty"),
            (
                VersionSource::env("TOWER_STATIC_URL_UNSET"),
                ErrorKind::MissingVariable,
                r#"environment variable "TOWER_STATIC_URL_UNSET" is not set"#,
            ),
            (
                VersionSource::manifest(),
                ErrorKind::InvalidVersion,
                "no version: give the builder a manifest or a version source",
            ),
        ] {
            let error = source.resolve(&Salt::default(), None).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
        }
    }

    #[test]
    fn environment_variable_is_a_build_id() {
        // The one variable that is set wherever anything runs.
        let id = env::var("PATH").unwrap();
        assert_eq!(version(VersionSource::env("PATH"), ""), sha256_16(&id));
    }

    #[test]
    fn shapes() {
        let hashed = VersionSource::build_id("abc").resolve(&Salt::default(), None).unwrap();
        let literal = |text: &str| Version::literal(text).unwrap();
        for (name, version, segment, expected) in [
            ("itself", &hashed, "ba7816bf8f01cfea", true),
            ("another", &hashed, "0123456789abcdef", true),
            ("digits only", &hashed, "0000000000000000", true),
            ("letters only", &hashed, "deadbeefdeadbeef", true),
            ("upper case", &hashed, "BA7816BF8F01CFEA", false),
            ("short", &hashed, "ba7816bf8f01cfe", false),
            ("long", &hashed, "ba7816bf8f01cfeaa", false),
            ("not hexadecimal", &hashed, "ba7816bf8f01cfeg", false),
            ("non-ASCII of the same length", &hashed, "ba7816bf8f01cfé", false),
            ("a year", &hashed, "2024", false),
            ("a word", &hashed, "fade", false),
            ("empty", &hashed, "", false),
            ("next release", &literal("v1.2.3"), "v1.2.4", true),
            ("other punctuation", &literal("v1.2.3"), "v1-2-3", false),
            ("folder as long", &literal("v1.2.3"), "jquery", false),
            ("longer release", &literal("v1.2.3"), "v1.2.10", false),
            ("year", &literal("2024"), "2025", true),
            ("word beside a year", &literal("2024"), "fade", false),
            ("short hash", &literal("abc1234"), "00ff00f", true),
            ("mixed case", &literal("aB3"), "Zz9", true),
            ("letters only", &literal("v1"), "js", false),
            ("other letters than of a hash", &literal("abc1234"), "style00", false),
        ] {
            assert_eq!(version.has_shape(segment), expected, "{name}");
        }
    }
}
