//! `ServeDir` over either backend. What holds over one holds over the other: with
//! `SERVE_DIR=disk` in the environment all tests that use this run over [`Disk`].

use std::{
    future::{Ready, ready},
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::SystemTime,
};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::{
    self,
    fs::{Backend, DefaultServeDirFallback, File, Metadata, TokioBackend},
};
use tower_static_url::serve_dir::Disk;

/// Stands for tower-http's.
pub struct ServeDir;

impl ServeDir {
    #[allow(clippy::new_ret_no_self, reason = "it is written as tower-http's")]
    pub fn new(root: impl AsRef<Path>) -> services::ServeDir<DefaultServeDirFallback, Either> {
        Self::over(Either::default(), root)
    }

    pub fn over(
        backend: Either,
        root: impl AsRef<Path>,
    ) -> services::ServeDir<DefaultServeDirFallback, Either> {
        services::ServeDir::with_backend(root, backend)
    }
}

#[derive(Clone, Debug)]
pub enum Either {
    Tokio(TokioBackend),
    Disk(Disk),
}

impl Default for Either {
    /// The one that the environment names.
    fn default() -> Self {
        static DISK: LazyLock<bool> =
            LazyLock::new(|| std::env::var("SERVE_DIR").is_ok_and(|backend| backend == "disk"));
        if *DISK { Self::disk() } else { Self::tokio() }
    }
}

impl Either {
    pub fn tokio() -> Self {
        Self::Tokio(TokioBackend)
    }

    pub fn disk() -> Self {
        Self::Disk(Disk::new())
    }

    /// Both, for a test that runs over both whatever the environment is.
    pub fn both() -> [Self; 2] {
        [Self::tokio(), Self::disk()]
    }
}

pub struct EitherFile(Pin<Box<dyn ReadSeek>>, Known);

trait ReadSeek: AsyncRead + AsyncSeek + Send + Sync {}

impl<F: AsyncRead + AsyncSeek + Send + Sync> ReadSeek for F {}

/// What a backend has said of a file.
#[derive(Clone, Copy)]
pub struct Known {
    is_dir: bool,
    len: u64,
    modified: Option<SystemTime>,
}

impl Known {
    fn of(metadata: &impl Metadata) -> Self {
        let modified = metadata.modified().ok();
        Self { is_dir: metadata.is_dir(), len: metadata.len(), modified }
    }
}

impl Metadata for Known {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.modified.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Backend for Either {
    type File = EitherFile;
    type Metadata = Known;
    type OpenFuture = Boxed<EitherFile>;
    type MetadataFuture = Boxed<Known>;

    fn open(&self, path: PathBuf) -> Boxed<EitherFile> {
        match self {
            Self::Tokio(backend) => opened(backend.open(path)),
            Self::Disk(backend) => opened(backend.open(path)),
        }
    }

    fn metadata(&self, path: PathBuf) -> Boxed<Known> {
        match self {
            Self::Tokio(backend) => known(backend.metadata(path)),
            Self::Disk(backend) => known(backend.metadata(path)),
        }
    }
}

fn opened<F: File + 'static>(
    file: impl Future<Output = io::Result<F>> + Send + 'static,
) -> Boxed<EitherFile> {
    Box::pin(async {
        let file = file.await?;
        let known = Known::of(&file.metadata().await?);
        Ok(EitherFile(Box::pin(file), known))
    })
}

fn known<M: Metadata>(
    metadata: impl Future<Output = io::Result<M>> + Send + 'static,
) -> Boxed<Known> {
    Box::pin(async { Ok(Known::of(&metadata.await?)) })
}

impl File for EitherFile {
    type Metadata = Known;
    type MetadataFuture<'a> = Ready<io::Result<Known>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.1))
    }
}

impl AsyncRead for EitherFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncSeek for EitherFile {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        self.0.as_mut().start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        self.0.as_mut().poll_complete(cx)
    }
}
