//! A file read with the page cache and without it, as other systems have it.

use std::{
    fs,
    io::{Cursor, Read as _, Seek as _, SeekFrom},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncSeek, ReadBuf},
    runtime::{Builder, Runtime},
};
use tower_http::services::fs::{Backend as _, File as _, Metadata as _};

use super::{page_cache::PageCache, *};

const NAME: &str = "file.bin";

struct Site {
    folder: TempDir,
    disk: Disk,
}

impl Site {
    fn new(content: &[u8], page_cache: PageCache) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), content).unwrap();
        Self { folder, disk: Disk::with(page_cache) }
    }

    /// With the page cache in use, and never.
    fn both(content: &[u8]) -> [Self; 2] {
        [PageCache::default(), PageCache::never()].map(|it| Self::new(content, it))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// As `ServeDir` does it, twice: at first nothing is known of the file system.
    async fn open(&self) -> DiskFile {
        self.disk.clone().metadata(self.path()).await.unwrap();
        let disk = self.disk.clone();
        assert!(!disk.metadata(self.path()).await.unwrap().is_dir());
        disk.open(self.path()).await.unwrap()
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn read(file: &mut DiskFile, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut buffer = ReadBuf::new(&mut bytes);
    std::future::poll_fn(|cx| Pin::new(&mut *file).poll_read(cx, &mut buffer)).await?;
    let count = buffer.filled().len();
    bytes.truncate(count);
    Ok(bytes)
}

async fn seek(file: &mut DiskFile, position: SeekFrom) -> io::Result<u64> {
    Pin::new(&mut *file).start_seek(position)?;
    std::future::poll_fn(|cx| Pin::new(&mut *file).poll_complete(cx)).await
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Seek(SeekFrom),
}

const LENGTH: usize = 400_000;

fn step() -> impl Strategy<Value = Step> {
    let far = LENGTH as i64 * 2;
    prop_oneof![
        4 => (0..100_000_usize).prop_map(Step::Read),
        1 => (0..far as u64).prop_map(|offset| Step::Seek(SeekFrom::Start(offset))),
        2 => (0..50_000_u64).prop_map(|offset| Step::Seek(SeekFrom::Start(offset))),
        2 => (-far..far).prop_map(|delta| Step::Seek(SeekFrom::Current(delta))),
        1 => (-far..1000).prop_map(|delta| Step::Seek(SeekFrom::End(delta))),
    ]
}

/// Reads may be shorter than asked for, and are not empty before the end.
async fn assert_as_in_memory(file: &mut DiskFile, content: &[u8], steps: &[Step]) {
    let mut expected = Cursor::new(content);
    for step in steps {
        match *step {
            Step::Read(length) => {
                let bytes = read(file, length).await.unwrap();
                let left = content.len().saturating_sub(expected.position() as usize);
                assert_eq!(bytes.is_empty(), length.min(left) == 0, "{step:?} of {steps:?}");
                let mut same = vec![0; bytes.len()];
                expected.read_exact(&mut same).unwrap();
                assert!(bytes == same, "{step:?} of {steps:?}");
            }
            Step::Seek(position) => {
                let (got, sought) = (seek(file, position).await, expected.seek(position));
                assert_eq!(got.ok(), sought.ok(), "{step:?} of {steps:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    #[test]
    fn reads_and_seeks(steps in prop::collection::vec(step(), 1..12)) {
        let content = content(LENGTH);
        for site in Site::both(&content) {
            runtime().block_on(async {
                assert_as_in_memory(&mut site.open().await, &content, &steps).await;
            });
        }
    }
}

#[test]
fn metadata_is_that_of_the_file() {
    for site in Site::both(b"hello") {
        let expected = fs::metadata(site.path()).unwrap();
        runtime().block_on(async {
            let file = site.open().await;
            let metadata = file.metadata().await.unwrap();
            assert_eq!(metadata.len(), 5);
            assert_eq!(metadata.modified().unwrap(), expected.modified().unwrap());
            let folder = site.disk.metadata(site.folder.path().to_owned()).await.unwrap();
            assert!(folder.is_dir());
            let error = site.disk.open(site.folder.path().to_owned()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }
}

/// Files from before 1970 are old, and not from the future.
#[cfg(target_os = "linux")]
#[test]
fn times_before_1970() {
    use std::time::{Duration, UNIX_EPOCH};
    let site = Site::new(b"old", PageCache::default());
    let modified = UNIX_EPOCH - Duration::from_millis(1_500);
    fs::File::options().write(true).open(site.path()).unwrap().set_modified(modified).unwrap();
    let metadata = runtime().block_on(site.open()).stat();
    assert_eq!(metadata.modified().unwrap(), modified);
}

/// What was opened is for the request that has opened it, for the same path, and for once.
#[test]
fn an_open_file_is_taken_once() {
    for site in Site::both(b"hello") {
        runtime().block_on(async {
            let disk = site.disk.clone();
            disk.metadata(site.path()).await.unwrap();
            fs::remove_file(site.path()).unwrap();
            assert!(disk.clone().open(site.path()).await.is_err());
            assert!(disk.open(site.path().with_extension("gz")).await.is_err());
            let mut file = disk.open(site.path()).await.unwrap();
            assert_eq!(read(&mut file, 9).await.unwrap(), b"hello");
            assert!(disk.open(site.path()).await.is_err());
        });
    }
}

#[test]
fn a_file_that_changes_between_two_reads() {
    type Happening = fn(&Path);
    let happenings: [(&str, Happening); 3] = [
        ("cut", |path| open(path).set_len(3).unwrap()),
        ("longer", |path| open(path).set_len(LENGTH as u64 + 1).unwrap()),
        ("later", |path| open(path).set_modified(std::time::UNIX_EPOCH).unwrap()),
    ];
    for (name, happening) in happenings {
        for site in Site::both(&content(LENGTH)) {
            runtime().block_on(async {
                let mut file = site.open().await;
                let first = read(&mut file, 60_000).await.unwrap();
                happening(&site.path());
                let mut rest = Ok(first);
                while rest.as_ref().is_ok_and(|bytes| !bytes.is_empty()) {
                    rest = read(&mut file, 60_000).await;
                }
                assert!(rest.is_err(), "{name}: {:?}", site.disk.shared.page_cache);
            });
        }
    }
}

fn open(path: &Path) -> fs::File {
    fs::File::options().write(true).open(path).unwrap()
}

/// Reading from memory never has to wait, and waits all the same.
#[cfg(target_os = "linux")]
#[test]
fn others_have_their_turn() {
    let length = 5 << 20;
    let site = Site::new(&content(length), PageCache::default());
    let mut file = runtime().block_on(site.open());
    let (mut left, mut pauses) = (length, 0);
    let mut bytes = vec![0; 64 * 1024];
    while left > 0 {
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut file).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(result) => left -= result.map(|()| buffer.filled().len()).unwrap(),
            Poll::Pending => pauses += 1,
        }
    }
    assert_eq!(pauses, 4);
}

/// The thread that asks reads, since there is no other; and nothing panics.
#[test]
fn outside_a_runtime() {
    for site in Site::both(&content(LENGTH)) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut metadata = site.disk.metadata(site.path());
        assert!(matches!(Pin::new(&mut metadata).poll(&mut cx), Poll::Ready(Ok(_))));
        assert!(matches!(Pin::new(&mut metadata).poll(&mut cx), Poll::Ready(Err(_))));
        let Poll::Ready(Ok(mut file)) = Pin::new(&mut site.disk.open(site.path())).poll(&mut cx)
        else {
            panic!("not open")
        };
        let mut bytes = vec![0; LENGTH];
        let mut buffer = ReadBuf::new(&mut bytes);
        while buffer.remaining() > 0 {
            assert!(Pin::new(&mut file).poll_read(&mut cx, &mut buffer).is_ready());
        }
        assert!(bytes == content(LENGTH));
    }
}

/// A client that has gone leaves one read behind, and its buffer is there for the next.
#[test]
fn a_client_that_has_gone() {
    let site = Site::new(&content(LENGTH), PageCache::never());
    let runtime = runtime();
    runtime.block_on(async {
        let mut file = site.open().await;
        // The beginning is there already.
        while read(&mut file, 100_000).await.unwrap().len() == 100_000 {}
        let mut bytes = [0; 100];
        let mut cx = Context::from_waker(Waker::noop());
        // Whoever is slower, the other thread or this one.
        let _ = Pin::new(&mut file).poll_read(&mut cx, &mut ReadBuf::new(&mut bytes));
    });
    // Waits for what other threads do.
    drop(runtime);
    assert!(site.disk.shared.buffers.kept() > 0);
}
