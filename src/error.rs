//! What can go wrong, and how is it reported?

use std::{fmt, io, path::Path};

/// Why the crate refused its input.
///
/// There is one opaque error type for the whole crate. Match on [`kind`](Self::kind), and show
/// the [`Display`](fmt::Display) text to a person. The text names the offending input. The
/// cause, such as an [`io::Error`], is not part of the text: it is the
/// [`source`](std::error::Error::source). The `{:?}` form has both, because
/// `main() -> Result<(), Box<dyn Error>>` prints that.
///
/// ```
/// use tower_static_url::{ErrorKind, StaticUrlLayer, VersionSource};
///
/// let error = StaticUrlLayer::builder("static")
///     .version(VersionSource::literal("v1"))
///     .build()
///     .unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidMount);
/// assert_eq!(error.to_string(), "mount \"static\": does not start with `/`");
/// ```
pub struct Error {
    kind: ErrorKind,
    message: Box<str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The mount is not a plain absolute URL path.
    InvalidMount,
    /// The origin is not `http://host[:port]` or `https://host[:port]`.
    InvalidOrigin,
    /// The version does not fit in one URL segment, is also the name of a directory at the
    /// top of the tree, or is made of an empty build id; there is no version source at all; or
    /// an example of stale versions is not one.
    InvalidVersion,
    /// The version is not the expected one.
    UnexpectedVersion,
    /// The environment variable of the version source is not set, is empty, or is not UTF-8.
    MissingVariable,
    /// The text is not a `Cache-Control` field value.
    InvalidCachePolicy,
    /// The name of cache tags is empty, too long, or has a character that no tag can have.
    InvalidCacheTag,
    /// A file or directory could not be read, or vanished before it was read.
    Io,
    /// The root of a scan is not a directory.
    NotADirectory,
    /// Two roots of a scan are the same directory.
    RepeatedRoot,
    /// A path cannot be listed: it is not UTF-8, has an empty or dot segment, a backslash or
    /// a NUL, or is listed twice. Or it is to be written, but lies in the tree.
    InvalidPath,
    /// The JSON is not a manifest, has another format, or its digests are malformed or do not
    /// match its files.
    InvalidManifest,
    /// The tree has no file to list.
    EmptyManifest,
    /// The manifest does not list the path.
    NotListed,
    /// A name of an import map is empty, or one of a name and its path is a directory and the
    /// other is not.
    InvalidImport,
    /// The name of a file does not tell what a preload of it is for.
    UnknownDestination,
    /// An option of the builder needs a list of the files: a root or a manifest.
    ManifestRequired,
    /// There is no [fingerprint rule](crate::Fingerprinted) of that name.
    UnknownRule,
    /// The layer neither scans a directory nor takes its version from a file's time, so
    /// nothing on the disk can change its version.
    NothingToWatch,
    /// The interval at which to scan is zero.
    InvalidInterval,
    /// The directory is not one of releases: it is a file, belongs to somebody else, has
    /// another format, or a link was put in it.
    InvalidReleases,
    /// The version is that of a release with other files.
    VersionTaken,
    /// The version cannot be published, because other nodes with the same files have another.
    NotPublishable,
    /// A file has changed since it was scanned.
    ChangedFile,
    /// No release of this version is kept.
    NotKept,
    /// The store does not answer, denies, or has or does something wrong.
    Store,
    /// The clocks of this machine and of the store are more than a day apart.
    ClockSkew,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("cannot {action} {path:?}").into(),
            source: Some(source.into()),
        }
    }

    #[cfg(feature = "object-store")]
    pub(crate) fn no_thread(source: io::Error) -> Self {
        let message = "cannot start a thread".into();
        Self { kind: ErrorKind::Io, message, source: Some(source.into()) }
    }

    #[cfg(feature = "serde")]
    pub(crate) fn invalid_json(message: &str, source: serde_json::Error) -> Self {
        Self {
            kind: ErrorKind::InvalidManifest,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// Returns the kind of the error, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Readable, because `main() -> Result<(), Box<dyn Error>>` shows this form to a person.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        write!(f, " ({:?})", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
