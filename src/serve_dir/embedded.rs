//! How does `ServeDir` serve files that are part of the program? They are a backend to it.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    future::{Ready, ready},
    io::{self, Cursor, SeekFrom},
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File, Metadata};

use crate::{
    Error, ErrorKind, Manifest,
    manifest::tree::{check_path, invalid_path, is_spellable},
};

/// Embedded files, for [`ServeDir`](tower_http::services::ServeDir) and for the layer.
///
/// Hand it to [`ServeDir::with_backend`](tower_http::services::ServeDir::with_backend), with the
/// root `""`. Media types, ranges, directories, pre-compressed siblings and fallbacks are those
/// of `ServeDir`; nothing is read from a disk, and no thread is asked. [`manifest`](Self::manifest)
/// lists the same files for the layer.
///
/// ```
/// use axum::Router;
/// use tower_http::services::ServeDir;
/// use tower_static_url::{StaticUrlLayer, serve_dir::Embedded};
/// # use axum::{body::Body, extract::Request};
/// # use tower::ServiceExt as _;
///
/// static FILES: [(&str, &[u8]); 2] = [
///     ("css/app.css", b"body { color: teal }"), // include_bytes!("../dist/css/app.css")
///     ("js/app.js", b"console.log('hello')"),
/// ];
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let embedded = Embedded::from_files(FILES)?;
/// let layer = StaticUrlLayer::builder("/static").manifest(embedded.manifest()?).build()?;
/// let files = ServeDir::with_backend("", embedded).redirect_path_prefix("/static");
/// let app = layer.wrap(Router::new().nest_service("/static", files));
///
/// # let request = Request::get(layer.prefix().url("css/app.css")).body(Body::empty())?;
/// # let response = app.oneshot(request).await?;
/// # assert_eq!(response.headers()["content-type"], "text/css");
/// # assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
/// # Ok(())
/// # }
/// ```
///
/// [Embedded files](crate::docs::embedded_files) has the same for `rust-embed` and `include_dir`.
///
/// # No dates, no tags
///
/// Bytes in a program have no modification time, so `ServeDir` sends neither `Last-Modified` nor
/// an `ETag` of its own. The layer needs neither: it compares the length, and its `ETag` is the
/// digest of the content. Any date would be worse than none: a made-up one would give two
/// contents of one length the same tag in `ServeDir`, and the start of the process would differ
/// between the nodes.
///
/// If tower-http's feature `tracing` is on (`trace` turns it on), `ServeDir` warns of this at most
/// twice a minute: "ETag generation failed (mtime unavailable or pre-epoch)". Nothing has failed.
/// The filter directive `tower_http::services=error` hides it.
#[derive(Clone)]
pub struct Embedded {
    tree: Arc<Tree>,
}

struct Tree {
    paths: BTreeSet<Box<str>>,
    /// Every directory that has a listed file, however deep. That of all files is `""`.
    directories: HashSet<Box<str>>,
    find: Box<Find>,
}

type Find = dyn Fn(&str) -> Option<Bytes> + Send + Sync;

impl Embedded {
    /// Takes files that are in memory: pairs of a logical path and the content.
    ///
    /// Owned content is shared by all requests. Borrowed content stays where it is.
    ///
    /// # Errors
    ///
    /// [`InvalidPath`](ErrorKind::InvalidPath): a path is not relative and plain, or is listed
    /// twice.
    pub fn from_files<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, Error>
    where
        P: AsRef<str>,
        B: Into<Cow<'static, [u8]>>,
    {
        let files = files.into_iter().map(|(path, content)| {
            let path = Box::<str>::from(path.as_ref());
            (path, to_bytes(content.into()))
        });
        let files = files.collect::<Vec<_>>();
        let paths = listed(files.iter().map(|(path, _)| path))?;
        let files = files.into_iter().collect::<HashMap<_, _>>();
        let find = move |path: &str| files.get(path).cloned();
        Ok(Self::new(paths, Box::new(find)))
    }

    /// Looks up the content of a file whenever it is asked for.
    ///
    /// `paths` lists the files, and so the directories and the [`manifest`](Self::manifest). `find`
    /// gets a logical path (relative, plain, with `/` between its segments), listed or not, and
    /// may read the disk, as `rust-embed` does in a debug build: it blocks its thread as long.
    ///
    /// ```
    /// # use std::borrow::Cow;
    /// # struct Found { data: Cow<'static, [u8]> }
    /// # struct Assets;
    /// # impl Assets {
    /// #     fn iter() -> impl Iterator<Item = Cow<'static, str>> {
    /// #         ["app.css"].into_iter().map(Cow::Borrowed)
    /// #     }
    /// #     fn get(path: &str) -> Option<Found> {
    /// #         (path == "app.css").then_some(Found { data: Cow::Borrowed(b"p { color: teal }") })
    /// #     }
    /// # }
    /// use tower_static_url::serve_dir::Embedded;
    ///
    /// // #[derive(rust_embed::Embed)] #[folder = "dist"] struct Assets;
    /// let find = |path: &str| Assets::get(path).map(|file| file.data);
    /// let embedded = Embedded::from_fn(Assets::iter(), find)?;
    /// assert!(embedded.manifest()?.get("app.css").is_some());
    /// # Ok::<(), tower_static_url::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidPath`](ErrorKind::InvalidPath): a path is not relative and plain, or is listed
    /// twice.
    pub fn from_fn<P, B>(
        paths: impl IntoIterator<Item = P>,
        find: impl Fn(&str) -> Option<B> + Send + Sync + 'static,
    ) -> Result<Self, Error>
    where
        P: AsRef<str>,
        B: Into<Cow<'static, [u8]>>,
    {
        let find = move |path: &str| find(path).map(|content| to_bytes(content.into()));
        Ok(Self::new(listed(paths)?, Box::new(find)))
    }

    fn new(paths: BTreeSet<Box<str>>, find: Box<Find>) -> Self {
        let directories = paths.iter().flat_map(|path| directories_of(path)).map(Box::from);
        let directories = directories.chain([Box::from("")]).collect();
        Self { tree: Arc::new(Tree { paths, directories, find }) }
    }

    /// Makes the manifest of the listed files, for
    /// [`StaticUrlLayerBuilder::manifest`](crate::StaticUrlLayerBuilder::manifest). Hashes every
    /// file.
    ///
    /// # Errors
    ///
    /// - [`EmptyManifest`](ErrorKind::EmptyManifest): no file is listed.
    /// - [`Io`](ErrorKind::Io): a listed file is not found.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        let Tree { paths, find, .. } = &*self.tree;
        let files = paths.iter().map(|path| match find(path) {
            Some(content) => Ok((path, content)),
            None => {
                let message = format!("the embedded file {path:?} is listed, but not found");
                Err(Error::new(ErrorKind::Io, message))
            }
        });
        Manifest::from_files(files.collect::<Result<Vec<_>, Error>>()?)
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        let Tree { directories, find, .. } = &*self.tree;
        let path = logical_path(path).ok_or(io::ErrorKind::NotFound)?;
        // The directory of all files has no name.
        let content = if path.is_empty() { None } else { find(&path) };
        match content {
            Some(content) => Ok(Found::File(content)),
            None if directories.contains(&*path) => Ok(Found::Directory),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

enum Found {
    File(Bytes),
    Directory,
}

fn to_bytes(content: Cow<'static, [u8]>) -> Bytes {
    match content {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}

/// By the rules of the manifest, so that one source can feed both.
fn listed(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Result<BTreeSet<Box<str>>, Error> {
    let mut listed = BTreeSet::new();
    for path in paths {
        let path = path.as_ref();
        check_path(path)?;
        if !listed.insert(path.into()) {
            return Err(invalid_path(path, "is listed twice"));
        }
    }
    Ok(listed)
}

/// Returns `a` and `a/b` for `a/b/c.css`.
fn directories_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(slash, _)| &path[..slash])
}

/// Returns how the manifest spells a path of `ServeDir`, which starts with `./`. `ServeDir` never
/// asks for a path that climbs, is absolute or is not UTF-8; such a path is no file here.
fn logical_path(path: &Path) -> Option<String> {
    let mut logical = String::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(segment) => {
                let segment = segment.to_str().filter(|segment| is_spellable(segment))?;
                if !logical.is_empty() {
                    logical.push('/');
                }
                logical.push_str(segment);
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(logical)
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("paths", &self.tree.paths).finish_non_exhaustive()
    }
}

impl Backend for Embedded {
    type File = EmbeddedFile;
    type Metadata = EmbeddedMetadata;
    type OpenFuture = Ready<io::Result<EmbeddedFile>>;
    type MetadataFuture = Ready<io::Result<EmbeddedMetadata>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        ready(match self.find(&path) {
            Ok(Found::File(content)) => Ok(EmbeddedFile(Cursor::new(content))),
            // A directory `app.css.gz` is no sibling, and `index.html` may be one.
            Ok(Found::Directory) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(self.find(&path).map(|found| EmbeddedMetadata {
            length: match found {
                Found::File(content) => Some(content.len() as u64),
                Found::Directory => None,
            },
        }))
    }
}

/// An opened file of [`Embedded`].
#[derive(Debug)]
pub struct EmbeddedFile(Cursor<Bytes>);

impl File for EmbeddedFile {
    type Metadata = EmbeddedMetadata;
    type MetadataFuture<'a> = Ready<io::Result<EmbeddedMetadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(EmbeddedMetadata { length: Some(self.0.get_ref().len() as u64) }))
    }
}

impl AsyncRead for EmbeddedFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncSeek for EmbeddedFile {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}

/// What is known of a file or directory of [`Embedded`].
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedMetadata {
    /// `None` for a directory.
    length: Option<u64>,
}

impl Metadata for EmbeddedMetadata {
    fn is_dir(&self) -> bool {
        self.length.is_none()
    }

    /// Always an error, so that `ServeDir` sends no `Last-Modified` and no `ETag`. It makes its tag
    /// of date and length: with one date for all builds, an edit that keeps the length would be
    /// answered 304. A time before 1970 would make it panic.
    fn modified(&self) -> io::Result<SystemTime> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.length.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(paths: &[&'static str]) -> Result<Embedded, Error> {
        Embedded::from_files(paths.iter().map(|path| (*path, path.as_bytes())))
    }

    /// What a path is: `file`, `directory` or `nothing`.
    fn found(embedded: &Embedded, path: &Path) -> &'static str {
        match embedded.find(path) {
            Ok(Found::File(_)) => "file",
            Ok(Found::Directory) => "directory",
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path:?}");
                "nothing"
            }
        }
    }

    #[test]
    fn every_path_finds_something_or_nothing() {
        let embedded = embedded(&["index.html", "css/deep/app.css", "100%.txt", "..a", "fünke"]);
        let embedded = embedded.unwrap();
        for (path, expected) in [
            ("./index.html", "file"),
            ("index.html", "file"),
            ("./css/deep/app.css", "file"),
            ("./css/./deep//app.css", "file"),
            ("./100%.txt", "file"),
            ("./..a", "file"),
            ("./fünke", "file"),
            ("./", "directory"),
            ("", "directory"),
            (".", "directory"),
            ("./css", "directory"),
            ("./css/", "directory"),
            ("./css/deep", "directory"),
            ("./cs", "nothing"),
            ("./css/app.css", "nothing"),
            ("./index.html/more", "nothing"),
            ("./Index.html", "nothing"),
            ("..", "nothing"),
            ("./css/../index.html", "nothing"),
            ("/index.html", "nothing"),
            ("/", "nothing"),
            (r".\index.html", if cfg!(windows) { "file" } else { "nothing" }),
            ("./index.html\0", "nothing"),
        ] {
            assert_eq!(found(&embedded, Path::new(path)), expected, "{path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf8_is_nothing() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let path = Path::new(OsStr::from_bytes(b"./\xff.css"));
        assert_eq!(found(&embedded(&["a"]).unwrap(), path), "nothing");
    }

    #[test]
    fn a_function_is_asked_for_plain_paths_alone() {
        let find = |path: &str| {
            assert!(check_path(path).is_ok(), "{path:?}");
            Some(b"".as_slice())
        };
        let embedded = Embedded::from_fn(["a"], find).unwrap();
        for path in ["./a", "../a", "/a", "a/..", r"a\b", "a\0", "./a/./b//c", "."] {
            let _ = found(&embedded, Path::new(path));
        }
    }

    #[test]
    fn paths_that_cannot_be_listed() {
        for (name, paths, message) in [
            ("climbing", &["../a"][..], r#"path "../a" has a dot segment"#),
            ("absolute", &["/a"], r#"path "/a" has an empty segment"#),
            ("twice", &["a", "b", "a"], r#"path "a" is listed twice"#),
            ("backslash", &[r"a\b"], r#"path "a\\b" has a character that no URL spells safely"#),
        ] {
            let error = embedded(paths).unwrap_err();
            assert_eq!(error.to_string(), message, "{name}");
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{name}");
        }
    }

    #[test]
    fn the_manifest_is_of_what_is_served() {
        let manifest = embedded(&["b/c", "a"]).unwrap().manifest().unwrap();
        assert_eq!(manifest, Manifest::from_files([("a", "a"), ("b/c", "b/c")]).unwrap());

        let gone = Embedded::from_fn(["a", "b"], |path| (path == "a").then_some(b"".as_slice()));
        let error = gone.unwrap().manifest().unwrap_err();
        assert_eq!(error.to_string(), r#"the embedded file "b" is listed, but not found"#);
        assert_eq!(error.kind(), ErrorKind::Io);

        let error = embedded(&[]).unwrap().manifest().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EmptyManifest);
    }

    #[test]
    fn no_file_has_a_date() {
        let file = EmbeddedMetadata { length: Some(0) };
        assert!(file.modified().is_err() && !file.is_dir() && file.is_empty());
    }

    /// No content is copied before it is read.
    #[test]
    fn content_stays_where_it_is() {
        static BORROWED: &[u8] = b"borrowed";
        let owned = b"owned".to_vec();
        let places = [BORROWED.as_ptr(), owned.as_ptr()];
        let files = [("a", Cow::Borrowed(BORROWED)), ("b", Cow::Owned(owned))];
        let embedded = Embedded::from_files(files).unwrap();
        for (path, place) in ["a", "b"].into_iter().zip(places) {
            for _ in 0..2 {
                let Ok(Found::File(content)) = embedded.find(Path::new(path)) else {
                    panic!("{path}");
                };
                assert_eq!(content.as_ptr(), place, "{path}");
            }
        }
    }
}
