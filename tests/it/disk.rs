//! `ServeDir` over `Disk` answers as `ServeDir` does: whatever the tree and the request are. Where
//! it does not, that is written at `Disk`, and tested here: files that change while they are sent,
//! and what is no file.
#![cfg(unix)]

use std::{
    cell::RefCell,
    fs::{self, File},
    io::Write as _,
    os::unix::{fs::symlink, net::UnixListener, process::CommandExt as _},
    path::Path,
    process::Command,
};

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;
use tower_http::services::{
    ServeDir,
    fs::{Backend, DefaultServeDirFallback},
};
use tower_static_url::serve_dir::Disk;

use crate::support::{
    ask, get, gzip, later, mtime, request,
    wire::{Connection, Server},
    write, write_at,
};

// ---------------------------------------------------------------------------------
// The same as without it

/// Shorter and longer than what is read at a time.
const LENGTHS: [usize; 8] = [0, 1, 700, 65_535, 65_536, 65_537, 131_073, 700_000];

const PATHS: [&str; 22] = [
    "/",
    "/a.css",
    "/a.css?query",
    "/a.css/",
    "/a",
    "/link.css",
    "/linked/b.js",
    "/dir",
    "/dir/",
    "/dir/b.js",
    "/dir/index.html",
    "/dir/../a.css",
    "/dir/b.js/c",
    "/empty/",
    "/empty",
    "/folder.html/",
    "/missing.css",
    "/missing/b.js",
    "/loop.css",
    "/dangling.css",
    "/a%00.css",
    "/a%2ecss",
];

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    path: &'static str,
    lines: Vec<(&'static str, String)>,
    options: [bool; 3],
}

fn asked() -> impl Strategy<Value = Asked> {
    let number = prop_oneof![0_u32..10, 65_530_u32..65_540, 0_u32..800_000];
    let range = (number.clone(), number).prop_map(|(one, other)| {
        let (first, last) = (one.min(other), one.max(other));
        [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{last}")]
    });
    let range = (range, 0..3_usize).prop_map(|(ranges, index)| ("range", ranges[index].clone()));
    let fixed = prop::sample::select(vec![
        ("accept-encoding", "gzip"),
        ("accept-encoding", "br, gzip;q=0.5"),
        ("if-none-match", "*"),
        ("if-none-match", "\"other\""),
        ("if-match", "\"other\""),
        ("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("if-unmodified-since", "Tue, 14 Nov 2022 22:13:20 GMT"),
        ("range", "bytes=0-0,2-3"),
    ]);
    let line = prop_oneof![range, fixed.prop_map(|(name, value)| (name, value.to_owned()))];
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "POST"]);
    let path = prop::sample::select(PATHS.to_vec());
    (method, path, prop::collection::vec(line, 0..3), any::<[bool; 3]>())
        .prop_map(|(method, path, lines, options)| Asked { method, path, lines, options })
}

#[derive(Clone, Debug)]
struct Tree {
    lengths: [usize; 3],
    has_gzip: bool,
    has_br: bool,
    has_index: bool,
}

fn tree() -> impl Strategy<Value = Tree> {
    let length = || prop::sample::select(LENGTHS.to_vec());
    let lengths = [length(), length(), length()];
    (lengths, any::<[bool; 3]>()).prop_map(|(lengths, [has_gzip, has_br, has_index])| Tree {
        lengths,
        has_gzip,
        has_br,
        has_index,
    })
}

impl Tree {
    fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let [sheet, script, page] = self.lengths.map(content);
        write(root, "a.css", &sheet);
        write(root, "a.html", "<h1>a</h1>");
        write(root, "dir/b.js", script);
        write(root, "folder.html/c.txt", "c");
        fs::create_dir(root.join("empty")).unwrap();
        if self.has_gzip {
            write(root, "a.css.gz", gzip(&sheet));
        }
        if self.has_br {
            write(root, "a.css.br", "not really");
        }
        if self.has_index {
            write(root, "dir/index.html", page);
        }
        symlink("a.css", root.join("link.css")).unwrap();
        symlink("dir", root.join("linked")).unwrap();
        symlink("loop.css", root.join("loop.css")).unwrap();
        symlink("nowhere", root.join("dangling.css")).unwrap();
        folder
    }
}

/// Every place looks different.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn configured<B: Backend>(
    files: ServeDir<DefaultServeDirFallback, B>,
    [siblings, html, index]: [bool; 3],
) -> ServeDir<DefaultServeDirFallback, B> {
    let files = if siblings { files.precompressed_gzip().precompressed_br() } else { files };
    files.html_as_default_extension(html).append_index_html_on_directories(index)
}

type Got = (StatusCode, HeaderMap, Bytes);

async fn answer<B: Backend>(files: ServeDir<DefaultServeDirFallback, B>, asked: &Asked) -> Got {
    let lines: Vec<_> = asked.lines.iter().map(|(name, value)| (*name, &**value)).collect();
    let answer = ask(files, request(asked.method, asked.path, &lines)).await;
    (answer.status, answer.head.headers().clone(), answer.body)
}

#[test]
fn answers_are_those_of_serve_dir() {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() };
    let strategy = (tree(), prop::collection::vec(asked(), 1..24));
    let statuses = RefCell::new(Vec::new());
    let runtime = Runtime::new().unwrap();
    let result = TestRunner::new(config).run(&strategy, |(tree, requests)| {
        let folder = tree.write();
        let files = ServeDir::with_backend(folder.path(), Disk::new());
        runtime.block_on(async {
            for asked in &requests {
                let bare = configured(ServeDir::new(folder.path()), asked.options);
                let expected = answer(bare, asked).await;
                // By the second time everything is in memory.
                for time in 1..=2 {
                    let got = answer(configured(files.clone(), asked.options), asked).await;
                    prop_assert!(got == expected, "{time}: {asked:?} gets {got:?}");
                }
                statuses.borrow_mut().push(expected.0.as_u16());
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    for status in [200, 206, 304, 307, 404, 405, 412, 416, 500] {
        assert!(statuses.borrow().contains(&status), "{status} was never seen");
    }
}

/// What the kernel forgets is read by another thread.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_is_not_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let content = content(3_000_000);
    write(folder.path(), "big.bin", &content);
    let files = ServeDir::with_backend(folder.path(), Disk::new());
    for time in 0..3 {
        let path = folder.path().join("big.bin");
        File::open(&path).unwrap().sync_all().unwrap();
        // Of the whole file, as dd(1) says.
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", path.display())).args(["iflag=nocache", "count=0", "status=none"]);
        assert!(dd.status().unwrap().success());
        let got = ask(files.clone(), get("/big.bin")).await;
        assert!(got.body == content, "{time}");
        let got =
            ask(files.clone(), request("GET", "/big.bin", &[("range", "bytes=65000-200000")]));
        assert!(got.await.body == content[65_000..=200_000], "{time}");
    }
}

// ---------------------------------------------------------------------------------
// Files that change while they are sent

const NAME: &str = "file.bin";

/// More than is read at a time, so that something is left to be read.
const LARGE: usize = 5_000_000;

type Happening = fn(&Path);

const HAPPENINGS: [(&str, Happening, bool); 8] = [
    ("nothing", |_| {}, true),
    ("deleted", |path| fs::remove_file(path).unwrap(), true),
    ("replaced", replace, true),
    ("read", |path| drop(fs::read(path).unwrap()), true),
    ("cut", |path| open(path).set_len(1000).unwrap(), false),
    ("emptied", |path| drop(File::create(path).unwrap()), false),
    ("written over, as long", |path| write_at(path, vec![b'b'; LARGE], later(1)), false),
    ("longer", |path| open(path).set_len(LARGE as u64 + 1).unwrap(), false),
];

fn open(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

fn replace(path: &Path) {
    let new = path.with_extension("new");
    fs::write(&new, vec![b'b'; LARGE]).unwrap();
    fs::rename(new, path).unwrap();
}

/// The client gets the file as it was, or sees that it has not got it.
#[tokio::test]
async fn a_file_that_changes_while_it_is_sent() {
    for (name, happening, is_whole) in HAPPENINGS {
        for lines in [&[][..], &[("range", "bytes=10-4999000")]] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), NAME, vec![b'a'; LARGE]);
            let files = ServeDir::with_backend(folder.path(), Disk::new());
            let response = files.oneshot(request("GET", "/file.bin", lines)).await.unwrap();
            let length = response.headers()["content-length"].to_str().unwrap().parse::<usize>();
            let length = length.unwrap();
            let mut body = response.into_body();
            let mut got = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
            happening(&folder.path().join(NAME));
            let rest = loop {
                match body.frame().await {
                    Some(Ok(frame)) => got.extend(frame.into_data().unwrap()),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                }
            };
            let name = &format!("{name}, {lines:?}");
            assert_eq!(rest.is_ok(), is_whole, "{name}: {rest:?}");
            assert_eq!(got.len() == length, is_whole, "{name}: {} bytes", got.len());
            assert!(got.iter().all(|&byte| byte == b'a'), "{name}");
        }
    }
}

/// A file that has changed is another file to the next request.
#[tokio::test]
async fn nothing_is_remembered_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = ServeDir::with_backend(folder.path(), Disk::new());
    for (seconds, content) in [(0, "one"), (1, "two"), (1, "longer"), (2, "")] {
        write_at(&folder.path().join("a.txt"), content, later(seconds));
        assert_eq!(ask(files.clone(), get("/a.txt")).await.body, content);
        write_at(&folder.path().join("new"), "by rename", mtime());
        fs::rename(folder.path().join("new"), folder.path().join("a.txt")).unwrap();
        assert_eq!(ask(files.clone(), get("/a.txt")).await.body, "by rename");
        fs::remove_file(folder.path().join("a.txt")).unwrap();
        assert_eq!(ask(files.clone(), get("/a.txt")).await.status, 404);
    }
}

// ---------------------------------------------------------------------------------
// What is no file

/// Nobody waits for a writer, and no other request waits for those that ask.
#[test]
fn what_is_no_file_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "hello.txt", "hello");
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    symlink("fifo", root.join("link-to-fifo")).unwrap();
    symlink("/dev/zero", root.join("zero")).unwrap();
    symlink("/dev/tty", root.join("tty")).unwrap();
    fs::create_dir_all(root.join("folder/index.html")).unwrap();

    let server = Server::start(ServeDir::with_backend(root, Disk::new()));
    // At first another thread looks at each, and then this one.
    for warm in [false, true] {
        for name in ["fifo", "socket", "link-to-fifo", "zero", "tty", "folder/"] {
            for method in ["GET", "HEAD"] {
                let answer = Connection::open(&server).exchange(method, &format!("/{name}"), &[]);
                // A `HEAD` asks only whether something is there, and an index page is.
                let expected = if name == "folder/" && method == "HEAD" { 200 } else { 404 };
                assert_eq!(answer.status, expected, "{method} {name}, warm: {warm}");
            }
        }
        assert_eq!(Connection::open(&server).exchange("GET", "/hello.txt", &[]).text(), "hello");
    }
    let mut waiting: Vec<_> = (0..64).map(|_| Connection::open(&server)).collect();
    for connection in &mut waiting {
        connection.write(b"GET /fifo HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    assert_eq!(Connection::open(&server).exchange("GET", "/hello.txt", &[]).text(), "hello");
    for mut connection in waiting {
        assert_eq!(connection.read("GET").unwrap().status, 404);
    }
}

/// A file that says it is empty is sent as it says, and one that is shorter than it says is broken
/// off. (That reading this one fails is all that it is good for here.)
#[cfg(target_os = "linux")]
#[test]
fn files_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "hello.txt", "hello");
    symlink("/proc/self/status", root.join("proc")).unwrap();
    symlink("/sys/class/net/lo/mtu", root.join("short")).unwrap();
    symlink("/sys/class/net/lo/speed", root.join("failing")).unwrap();
    let server = Server::start(ServeDir::with_backend(root, Disk::new()));
    for _ in 0..2 {
        let ask = |path| Connection::open(&server).exchange("GET", path, &[]);
        let proc = ask("/proc");
        assert_eq!((proc.status, &*proc.field("content-length"), &*proc.text()), (200, "0", ""));
        for path in ["/short", "/failing"] {
            let mut connection = Connection::open(&server);
            connection.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
            // Not even a head, if that has not left yet.
            let answer = connection.read("GET");
            assert!(answer.as_ref().is_none_or(|it| !it.is_complete), "{path}: {answer:?}");
        }
        assert_eq!(ask("/hello.txt").text(), "hello");
    }
}

/// Root may read everything, and makes itself somebody else.
#[test]
fn what_may_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let probe = folder.path().join("probe");
    fs::write(&probe, "").unwrap();
    set_mode(&probe, 0);
    if File::open(&probe).is_err() {
        return assert_unreadable_is_not_found();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "disk::what_may_not_be_read"]).uid(65_534).gid(65_534);
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn assert_unreadable_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "secret.txt", "secret");
    write(root, "unlisted/a.txt", "a");
    write(root, "unlisted/index.html", "index");
    write(root, "closed/a.txt", "a");
    for (path, mode) in [("secret.txt", 0), ("unlisted", 0o111), ("closed", 0)] {
        set_mode(&root.join(path), mode);
    }
    let files = ServeDir::with_backend(root, Disk::new());
    Runtime::new().unwrap().block_on(async {
        for path in ["/secret.txt", "/unlisted", "/unlisted/", "/unlisted/a.txt", "/closed/a.txt"] {
            for method in ["GET", "HEAD"] {
                let asked =
                    Asked { method, path, lines: Vec::new(), options: [false, false, true] };
                let expected = answer(ServeDir::new(root), &asked).await;
                for _ in 0..2 {
                    assert_eq!(answer(files.clone(), &asked).await, expected, "{method} {path}");
                }
            }
        }
    });
    set_mode(&root.join("closed"), 0o755);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A disk that fails: the client sees that the file is not whole, and is given nothing else.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "mounts a file system, which only root can"]
fn a_disk_that_fails() {
    let disk = FailingDisk::mount();
    let root = disk.0.path().join("mounted");
    let server = Server::start(ServeDir::with_backend(&root, Disk::new()));
    let ask = |path| Connection::open(&server).exchange("GET", path, &[]);
    assert_eq!(ask("/big.bin").body.len(), LARGE);
    disk.fail();
    let mut connection = Connection::open(&server);
    connection.write(b"GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // The connection may also end before the head is sent.
    let Some(answer) = connection.read("GET") else { return };
    assert!(answer.status == 500 || !answer.is_complete, "{}", answer.status);
    assert!(answer.body.iter().all(|&byte| byte == b'a'));
}

/// A file system in a file, until the file is cut.
struct FailingDisk(TempDir);

impl FailingDisk {
    fn mount() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let (image, root) = (disk.0.path().join("image"), disk.0.path().join("mounted"));
        fs::create_dir(&root).unwrap();
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &root]));
        let mut file = File::create(root.join("big.bin")).unwrap();
        file.write_all(&vec![b'a'; LARGE]).unwrap();
        file.sync_all().unwrap();
        disk
    }

    /// Nothing of the file is in memory, or on the disk.
    fn fail(&self) {
        run(Command::new("sync").arg("-f").arg(self.0.path().join("mounted")));
        open(&self.0.path().join("image")).set_len(1 << 20).unwrap();
        fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(self.0.path().join("mounted")));
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
