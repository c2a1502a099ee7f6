//! Where does the version come from?

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

use crate::{Error, ErrorKind, url::version::Version};

/// Where the version comes from: the URL segment after the mount.
///
/// | constructor | changes when | equal on every node |
/// |---|---|---|
/// | [`manifest`](Self::manifest) (the default) | a byte of the tree changes | yes |
/// | [`process_start`](Self::process_start) | the process starts | no |
/// | [`file_modified`](Self::file_modified) | the file is touched | if its time is |
/// | [`file_accessed`](Self::file_accessed) | the file is read or touched | no |
/// | [`build_id`](Self::build_id), [`env`](Self::env) | the value changes | if the value is |
/// | [`literal`](Self::literal) | the value changes | if the value is |
///
/// A source is only a description. It is evaluated when the layer is built and when it is
/// [reloaded](crate::StaticUrlLayer::reload). That is also when a missing file, an unset
/// variable or an invalid literal is reported.
///
/// All sources but the literal are hashed: the version is the first 16 hexadecimal digits of
/// a SHA-256, so a URL does not tell when you deployed. Give the builder a
/// [`salt`](crate::StaticUrlLayerBuilder::salt) if the input could be guessed.
///
/// Whatever the source, a new version gives every file a URL that no browser has cached: it
/// fetches all files that a page links to again.
#[derive(Clone, Debug)]
pub struct VersionSource(Source);

#[derive(Clone, Debug)]
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
    /// The [tree digest](crate::manifest#the-tree-digest). It is equal on all nodes that have
    /// the same files, whatever the files' times, and changes with any byte, name or file.
    /// Needs a [root](crate::StaticUrlLayerBuilder::root) or a
    /// [manifest](crate::StaticUrlLayerBuilder::manifest).
    pub fn manifest() -> Self {
        Self(Source::Manifest)
    }

    /// The time of the first call of this function in the process. Every restart gives all
    /// files new URLs. Enough if you restart after every edit: until then browsers keep the
    /// files that they have.
    pub fn process_start() -> Self {
        static START: OnceLock<SystemTime> = OnceLock::new();
        Self::started_at(*START.get_or_init(SystemTime::now))
    }

    /// A start time that you know, such as that of the deploy, to the nanosecond.
    pub fn started_at(time: SystemTime) -> Self {
        Self(Source::StartedAt(time))
    }

    /// The modification time of a file, to the nanosecond. To give all files new URLs, touch
    /// this one and [reload](crate::StaticUrlLayer::reload) or restart.
    pub fn file_modified(path: impl Into<PathBuf>) -> Self {
        Self(Source::FileModified(path.into()))
    }

    /// The access time of a file, to the nanosecond, as in django-static-url.
    ///
    /// Prefer [`file_modified`](Self::file_modified). Most Linux file systems are mounted
    /// `relatime`, and then record a read about once a day; with `noatime` they record none.
    /// Where reads *are* recorded, a backup or a `grep` changes the version.
    pub fn file_accessed(path: impl Into<PathBuf>) -> Self {
        Self(Source::FileAccessed(path.into()))
    }

    /// A build identifier: a git hash, a release name, an image digest. If it is empty,
    /// building the layer fails.
    ///
    /// Give the builder a [root](crate::StaticUrlLayerBuilder::root) or a
    /// [manifest](crate::StaticUrlLayerBuilder::manifest) too, if the inner service answers
    /// every path with a page, as that of an application with one page does. Without a list of
    /// the files that page is `immutable` wherever a file is missing: a browser keeps it for a
    /// year in place of a script.
    pub fn build_id(id: impl Into<String>) -> Self {
        Self(Source::BuildId(id.into()))
    }

    /// A [build id](Self::build_id) from an environment variable. The variable is read when
    /// the layer is built.
    pub fn env(variable: impl Into<OsString>) -> Self {
        Self(Source::Env(variable.into()))
    }

    /// A version that appears in the URL as it is: `v1.2.3` gives `/static/v1.2.3/…`. It must
    /// be one plain URL segment, and no directory at the top of the tree may have its name.
    ///
    /// Choose versions of one length, such as `2026.11.22`, or use
    /// [`build_id`](Self::build_id). The layer recognizes another (stale) version by its
    /// shape: the same length, the same kinds of characters (digits, lower case, upper case)
    /// and the same punctuation. For a layer with `v1.2.3`, `v1.2.4` is a version, but
    /// `jquery` is a directory, and so is the longer `v1.2.10`. During a rolling deploy from
    /// `v1.2.9` to `v1.2.10`, the old nodes therefore answer 404 (`no-store`) for new URLs,
    /// and the new nodes for old URLs.
    pub fn literal(version: impl Into<String>) -> Self {
        Self(Source::Literal(version.into()))
    }

    pub(crate) fn resolve(&self, salt: &Salt, tree: Option<&[u8; 32]>) -> Result<Version, Error> {
        let input = match &self.0 {
            Source::Literal(text) => return Version::literal(text),
            Source::Manifest => return version_of_tree(tree, salt),
            Source::StartedAt(time) => nanos_since_epoch(*time),
            Source::FileAccessed(path) => file_time(path, fs::Metadata::accessed)?,
            Source::FileModified(path) => file_time(path, fs::Metadata::modified)?,
            Source::BuildId(id) => {
                non_empty(id.clone(), ErrorKind::InvalidVersion, "the build id")?
            }
            Source::Env(variable) => variable_value(variable)?,
        };
        Ok(Version::hashed(&salted_sha256(salt, input.as_bytes())))
    }
}

#[cfg(feature = "releases")]
impl VersionSource {
    /// Checks that every node with the same files has the same version, so that a release can
    /// have it.
    pub(crate) fn check_publishable(&self) -> Result<(), Error> {
        let what = match &self.0 {
            Source::Manifest | Source::BuildId(_) | Source::Env(_) | Source::Literal(_) => {
                return Ok(());
            }
            Source::StartedAt(_) => "the time at which the process has started".into(),
            Source::FileAccessed(path) => format!("the access time of {path:?}"),
            Source::FileModified(path) => format!("the modification time of {path:?}"),
        };
        let message = format!(
            "cannot publish a version that is made of {what}: the same files would have another \
             version on the next node and after the next start; use the tree digest, a build id \
             or a literal"
        );
        Err(Error::new(ErrorKind::NotPublishable, message))
    }
}

#[cfg(feature = "watch")]
impl VersionSource {
    /// Returns the file whose time is the version.
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
    non_empty(value, ErrorKind::MissingVariable, &name)
}

/// Refuses an empty value. A build that does not know its id often sets one, and then every
/// deploy would have the same version.
fn non_empty(value: String, kind: ErrorKind, name: &str) -> Result<String, Error> {
    if value.trim().is_empty() {
        return Err(Error::new(kind, format!("{name} is empty")));
    }
    Ok(value)
}

/// A secret that is part of every hash and never shown.
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

/// Hashes `<length of salt>:<salt><input>`. The length makes sure that no two pairs of salt
/// and input are hashed as the same text.
fn salted_sha256(Salt(salt): &Salt, input: &[u8]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    if !salt.is_empty() {
        sha256.update(format!("{}:", salt.len()));
        sha256.update(salt);
    }
    sha256.update(input);
    sha256.finalize().into()
}

/// Without a salt this is the start of the tree digest itself, so that a script can compute
/// the prefix.
fn version_of_tree(tree: Option<&[u8; 32]>, salt: &Salt) -> Result<Version, Error> {
    let tree = tree.ok_or_else(|| {
        let message = "no version: give the builder a manifest or a version source";
        Error::new(ErrorKind::InvalidVersion, message)
    })?;
    if salt.0.is_empty() {
        return Ok(Version::hashed(tree));
    }
    Ok(Version::hashed(&salted_sha256(salt, HEXLOWER.encode(tree).as_bytes())))
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
        let resolve = || version(VersionSource::process_start(), "");
        assert_eq!(resolve(), resolve());
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
                r#"cannot read the time of "no/such/file""#,
            ),
            (
                VersionSource::file_modified(missing),
                ErrorKind::Io,
                r#"cannot read the time of "no/such/file""#,
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

    #[cfg(feature = "releases")]
    #[test]
    fn only_what_all_nodes_agree_on_is_published() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (source, expected) in [
            (VersionSource::manifest(), None),
            (VersionSource::build_id("abc"), None),
            (VersionSource::env("PATH"), None),
            (VersionSource::literal("v1"), None),
            (VersionSource::process_start(), Some("the time at which the process has started")),
            (VersionSource::started_at(epoch), Some("the time at which the process has started")),
            (VersionSource::file_accessed("touch"), Some(r#"the access time of "touch""#)),
            (VersionSource::file_modified("touch"), Some(r#"the modification time of "touch""#)),
        ] {
            let error = source.check_publishable().err();
            assert_eq!(
                error.as_ref().map(Error::kind),
                expected.map(|_| ErrorKind::NotPublishable)
            );
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            let what = expected.unwrap_or_default();
            assert!(text.contains(what), "{text:?} does not tell of {what:?}");
        }
    }

    #[test]
    fn environment_variable_is_a_build_id() {
        // The one variable that is set wherever anything runs.
        let id = env::var("PATH").unwrap();
        assert_eq!(version(VersionSource::env("PATH"), ""), sha256_16(&id));
    }
}
