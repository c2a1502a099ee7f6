use std::{fmt, io, path::Path};

/// What was wrong with something the crate was given.
///
/// One opaque type for the whole crate: match on [`kind`](Self::kind), show the
/// [`Display`](fmt::Display) text to a person. The text always names the
/// offending input; an underlying [`io::Error`] is the
/// [`source`](std::error::Error::source).
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
    source: Option<io::Error>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A mount that is not a plain absolute URL path.
    InvalidMount,
    /// An origin that is not `http(s)://host[:port]`.
    InvalidOrigin,
    /// A literal version that does not fit in one URL segment or is also the
    /// name of a folder of the tree, or no version source at all.
    InvalidVersion,
    /// The environment variable a version was to come from is not set.
    MissingVariable,
    /// A text that is not a `Cache-Control` field value.
    InvalidCachePolicy,
    /// A file or folder could not be read, or vanished while it was read.
    Io,
    /// The root of a scan is not a folder.
    NotAFolder,
    /// A file name or a manifest path that no URL can spell: not UTF-8, a `..`
    /// segment, a backslash, listed twice.
    InvalidPath,
    /// JSON that is no manifest: of another format, or with a digest that is none.
    InvalidManifest,
    /// A tree without a single file.
    EmptyManifest,
    /// A path that the manifest does not list.
    NotListed,
    /// A layer whose version cannot change: neither a folder nor a file's time is
    /// behind it.
    NothingToWatch,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("cannot {action} {path:?}: {source}").into(),
            source: Some(source),
        }
    }

    /// Which of the things that can go wrong this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// For `main() -> Result<(), Box<dyn Error>>`, which shows it to a person, too.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
