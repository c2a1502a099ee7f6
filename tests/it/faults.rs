//! What goes wrong behind the layer while it serves: files that vanish or change, services
//! that fail, hang, panic or lie. The client hears of it, and keeps nothing false.
//!
//! Permissions do not stop root, who may run the tests: what cannot be read is a symlink to
//! itself here, or a folder where a file was.
#![cfg(unix)]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    future::poll_fn,
    os::unix::fs::symlink,
    panic::resume_unwind,
    path::{Path, PathBuf},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
};

use axum::http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tempfile::TempDir;
use tower::{Layer as _, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer};

use crate::support::{
    ServeDir, YEAR, etag_of, later, mtime,
    wire::{self, Answer, Connection, DEADLINE, Reason, Server, exchange_http2},
    write_at,
};

const LISTED: &str = "hello world";

// ---------------------------------------------------------------------------------
// Files

struct Site {
    folder: TempDir,
    layer: StaticUrlLayer,
    server: Server,
}

const FILE: &str = "dir/file.txt";

impl Site {
    fn new() -> Self {
        Self::with(LISTED.as_bytes())
    }

    fn with(content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("static");
        write(&root.join(FILE), content);
        write(&root.join("other.txt"), b"other");
        let layer = StaticUrlLayer::new("/static", &root).unwrap();
        let server = Server::start(layer.layer(ServeDir::new(folder.path())));
        Self { folder, layer, server }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("static").join(FILE)
    }

    fn current(&self) -> String {
        self.layer.prefix().url(FILE)
    }

    fn ask(&self, method: &str, url: &str, lines: &[(&str, &str)]) -> Answer {
        Connection::open(&self.server).exchange(method, url, lines)
    }
}

fn write(path: &Path, content: &[u8]) {
    write_at(path, content, mtime());
}

/// Writes beside, and moves it there, as a careful tool does.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    write_at(&new, content, later(1));
    fs::rename(new, path).unwrap();
}

fn move_away(path: &Path) {
    fs::rename(path, path.with_extension("away")).unwrap();
}

fn move_back(path: &Path) {
    let there = path.symlink_metadata();
    match there.map(|it| it.is_dir()) {
        Ok(true) => fs::remove_dir_all(path).unwrap(),
        Ok(false) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
    fs::rename(path.with_extension("away"), path).unwrap();
}

/// What happens to a file, to its folder, or to the root; after it was moved away.
type Happening = fn(&Path);

const HAPPENINGS: [(&str, Happening, u16, &str); 9] = [
    ("gone", |_| {}, 404, "no-store"),
    ("emptied", |path| write(path, b""), 200, "no-cache"),
    ("cut, and the time set back", |path| write(path, b"hello"), 200, "no-cache"),
    ("grown, and the time set back", |path| write(path, b"hello world, and all"), 200, "no-cache"),
    ("as long, but later", |path| replace(path, b"HELLO WORLD"), 200, "no-cache"),
    ("a folder", |path| fs::create_dir(path).unwrap(), 307, "no-cache"),
    ("a folder with an index", |path| write(&path.join("index.html"), b"index"), 307, "no-cache"),
    ("a symlink to nowhere", |path| symlink("nowhere", path).unwrap(), 404, "no-store"),
    ("a symlink to itself", |path| symlink(path, path).unwrap(), 500, "no-store"),
];

#[test]
fn a_file_that_is_another_thing_now() {
    for (name, happening, status, cache_control) in HAPPENINGS {
        for is_warm in [false, true] {
            let name = &format!("{name}, warm: {is_warm}");
            let site = Site::new();
            if is_warm {
                assert_eq!(site.ask("GET", &site.current(), &[]).cache_control(), YEAR, "{name}");
            }
            move_away(&site.file());
            happening(&site.file());
            let answer = site.ask("GET", &site.current(), &[]);
            let got = (answer.status, &*answer.cache_control());
            assert_eq!(got, (status, cache_control), "{name}: {answer:?}");
            assert_nothing_is_pinned(name, &site);

            move_back(&site.file());
            assert_eq!(
                site.ask("GET", &site.current(), &[]).cache_control(),
                YEAR,
                "{name}, undone"
            );
        }
    }
}

/// The same for whole folders: what is not there is not there, and back it is as before.
#[test]
fn a_folder_that_is_another_thing_now() {
    type Place = fn(&Site) -> PathBuf;
    let folder: Place = |site| site.file().parent().unwrap().to_owned();
    let root: Place = |site| site.folder.path().join("static");
    let above: Place = |site| site.folder.path().to_owned();
    for (name, place, happening, status) in [
        ("folder, gone", folder, (|_| {}) as Happening, 404),
        ("folder, a file", folder, |path| write(path, b"file"), 404),
        ("folder, empty", folder, |path| fs::create_dir(path).unwrap(), 404),
        ("folder, a symlink to itself", folder, |path| symlink(path, path).unwrap(), 500),
        ("root, gone", root, |_| {}, 404),
        ("root, a file", root, |path| write(path, b"file"), 404),
        ("root, a symlink to itself", root, |path| symlink(path, path).unwrap(), 500),
        ("what is served, gone", above, |_| {}, 404),
    ] {
        let site = Site::new();
        move_away(&place(&site));
        happening(&place(&site));
        let answer = site.ask("GET", &site.current(), &[]);
        let got = (answer.status, &*answer.cache_control());
        assert_eq!(got, (status, "no-store"), "{name}: {answer:?}");
        assert_nothing_is_pinned(name, &site);
        site.layer.reload().map(|reload| assert!(reload.has_changed(), "{name}")).ok();

        move_back(&place(&site));
        site.layer.reload().unwrap();
        let answer = site.ask("GET", &site.current(), &[]);
        assert_eq!(
            (answer.cache_control(), answer.field("etag")),
            (YEAR.into(), etag_of(LISTED)),
            "{name}, undone"
        );
    }
}

/// However it is asked for.
fn assert_nothing_is_pinned(name: &str, site: &Site) {
    let tag = &*etag_of(LISTED);
    let conditions: [&[(&str, &str)]; 7] = [
        &[],
        &[("If-None-Match", tag)],
        &[("If-None-Match", "*")],
        &[("If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT")],
        &[("If-Match", tag)],
        &[("Range", "bytes=0-4")],
        &[("Range", "bytes=6-"), ("If-Range", tag)],
    ];
    let urls =
        [site.current(), format!("/static/00000000000000aa/{FILE}"), format!("/static/{FILE}")];
    for (url, lines) in urls.iter().flat_map(|url| conditions.map(|lines| (url, lines))) {
        for method in ["GET", "HEAD"] {
            let name = &format!("{name}: {method} {url} {lines:?}");
            let answer = site.ask(method, url, lines);
            let is_ours = answer.field("etag") == tag;
            // The one that may: it names the bytes that the client has, and has named itself.
            let is_named = answer.status == 304 && lines == [("If-None-Match", tag)];
            assert!(!is_ours || is_named, "{name}: {answer:?}");
            let is_immutable = answer.cache_control() == YEAR;
            assert!(!is_immutable || (is_named && is_ours), "{name}: {answer:?}");
        }
    }
}

/// A 304 needs no file. But one that was seen with other bytes is not vouched for.
#[test]
fn a_copy_is_vouched_for_until_other_bytes_are_seen() {
    let tag = &*etag_of(LISTED);
    for (name, happening, status) in [
        ("gone", (|_| {}) as Happening, 304),
        ("a folder", |path| fs::create_dir(path).unwrap(), 304),
        ("cut", |path| write(path, b"hello"), 200),
        ("as long, but later", |path| replace(path, b"HELLO WORLD"), 200),
    ] {
        let site = Site::new();
        assert_eq!(site.ask("GET", &site.current(), &[]).status, 200, "{name}");
        move_away(&site.file());
        happening(&site.file());
        site.ask("GET", &site.current(), &[]);
        let answer = site.ask("GET", &site.current(), &[("If-None-Match", tag)]);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

/// More than all buffers between the two ends hold.
const LARGE: usize = 32 << 20;

#[test]
fn a_file_that_changes_under_way() {
    let content = vec![b'a'; LARGE];
    for (name, happening, is_complete) in [
        ("deleted", (|path| fs::remove_file(path).unwrap()) as Happening, true),
        ("replaced", |path| replace(path, b"new"), true),
        ("moved away", move_away, true),
        (
            "cut",
            |path| File::options().write(true).open(path).unwrap().set_len(1024).unwrap(),
            false,
        ),
    ] {
        let site = Site::with(&content);
        let mut connection = Connection::open(&site.server);
        let head = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", site.current());
        connection.write(head.as_bytes());
        let mut answer = connection.read_head().unwrap();
        assert_eq!(answer.cache_control(), YEAR, "{name}");
        happening(&site.file());
        connection.read_body("GET", &mut answer);
        assert_eq!(answer.is_complete, is_complete, "{name}");
        assert_eq!(answer.body.len() == LARGE, is_complete, "{name}");
        assert!(answer.body.iter().all(|&byte| byte == b'a'), "{name}");
        let later = site.ask("GET", &site.current(), &[]);
        assert_ne!(later.cache_control(), YEAR, "{name}");
    }
}

// ---------------------------------------------------------------------------------
// Services

/// What a service does instead of answering well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error,
    Hang,
    PanicInCall,
    PanicInFuture,
    PanicInTask,
    Body { frames: &'static [Step], length: Option<u64>, says: Option<&'static str> },
}

/// What a body does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Data(&'static str),
    /// Lets what was there before go out.
    Wait,
    Error,
    Panic,
    Hang,
}

use Step::{Data, Wait};

struct Script {
    steps: std::slice::Iter<'static, Step>,
    length: Option<u64>,
    guard: Guard,
}

impl Script {
    fn new(steps: &'static [Step], length: Option<u64>, guard: Guard) -> Self {
        Self { steps: steps.iter(), length, guard }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Stuck,
    Dropped,
}

/// Says when it hangs, and that it is gone after that.
struct Guard {
    events: mpsc::Sender<Event>,
    is_stuck: bool,
}

impl Guard {
    fn hang<T>(&mut self) -> Poll<T> {
        self.is_stuck = true;
        self.events.send(Event::Stuck).ok();
        Poll::Pending
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_stuck {
            self.events.send(Event::Dropped).ok();
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Reason;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        if self.steps.as_slice().first() == Some(&Step::Hang) {
            return self.guard.hang();
        }
        match self.steps.next() {
            None => Poll::Ready(None),
            Some(Data(text)) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
            }
            Some(Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Error) => Poll::Ready(Some(Err("broken".into()))),
            // Without the hook's message on the terminal.
            Some(Step::Panic) => resume_unwind(Box::new("body")),
            Some(Step::Hang) => unreachable!("there it has stopped"),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Well, but for `file.txt` and what is not listed: there it does as it is told.
struct Faulty {
    layer: StaticUrlLayer,
    server: Server,
    events: mpsc::Receiver<Event>,
}

const UNLISTED: &str = "/static/unlisted.txt";

impl Faulty {
    fn new(fault: Fault) -> Self {
        let manifest = Manifest::from_files([("file.txt", LISTED), ("good.txt", "good")]).unwrap();
        let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
        let (sender, events) = mpsc::channel();
        let inner = service_fn(move |request: Request<Incoming>| {
            let is_good = request.uri().path() == "/static/good.txt";
            let fault = Some(fault).filter(|_| !is_good);
            let guard = Guard { events: sender.clone(), is_stuck: false };
            if fault == Some(Fault::PanicInCall) {
                resume_unwind(Box::new("call"));
            }
            async move {
                match fault {
                    None => Ok(Response::new(Script::new(&[Data("good")], Some(4), guard))),
                    Some(fault) => act(fault, guard).await,
                }
            }
        });
        Self { server: Server::start(layer.layer(inner)), layer, events }
    }

    fn current(&self) -> String {
        self.layer.prefix().url("file.txt")
    }

    /// Nothing, where the connection was closed before a head had come.
    fn ask(&self, url: &str) -> Option<Answer> {
        let mut connection = Connection::open(&self.server);
        connection.write(format!("GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        connection.read("GET")
    }

    fn ask_http2(&self, url: &str) -> Option<Answer> {
        let url = format!("http://localhost{url}");
        exchange_http2(&self.server, Request::get(url).body(()).unwrap())
    }

    fn assert_still_serves(&self, name: &str) {
        let answer = self.ask(&self.layer.prefix().url("good.txt")).expect(name);
        assert_eq!((answer.text(), answer.cache_control()), ("good".into(), YEAR.into()), "{name}");
        self.layer.reload().expect(name);
    }

    fn wait_for(&self, event: Event) {
        while self.events.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("never {event:?}"))
            != event
        {}
    }
}

async fn act(fault: Fault, mut guard: Guard) -> Result<Response<Script>, Reason> {
    match fault {
        Fault::Error => Err("inner".into()),
        Fault::Hang => poll_fn(|_| guard.hang()).await,
        Fault::PanicInCall => unreachable!("it has not come so far"),
        Fault::PanicInFuture => resume_unwind(Box::new("future")),
        Fault::PanicInTask => {
            let task = tokio::spawn(async { resume_unwind(Box::new("task")) });
            let mut response = Response::new(Script::new(&[], Some(0), guard));
            let Err::<(), _>(_) = task.await else { unreachable!("it has panicked") };
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        }
        Fault::Body { frames, length, says } => {
            let mut response = Response::new(Script::new(frames, length, guard));
            let says = says.map(|length| (CONTENT_LENGTH, HeaderValue::from_static(length)));
            response.headers_mut().extend(says);
            Ok(response)
        }
    }
}

#[test]
fn who_gives_no_answer_leaves_nothing_behind() {
    for fault in [Fault::Error, Fault::PanicInCall, Fault::PanicInFuture] {
        let site = Faulty::new(fault);
        let stale = "/static/00000000000000aa/file.txt".to_owned();
        for url in [site.current(), stale, UNLISTED.to_owned(), "/outside".to_owned()] {
            let name = &format!("{fault:?} {url}");
            assert_eq!(site.ask(&url), None, "{name}");
            assert_eq!(site.ask_http2(&url), None, "{name}, HTTP/2");
            site.assert_still_serves(name);
        }
    }
}

#[test]
fn a_panic_in_a_task_is_the_services_own_error() {
    let site = Faulty::new(Fault::PanicInTask);
    for url in [site.current(), UNLISTED.to_owned()] {
        let answer = site.ask(&url).unwrap();
        assert_eq!((answer.status, answer.cache_control()), (500, "no-store".into()), "{url}");
        assert_eq!(answer.field("etag"), "", "{url}");
        site.assert_still_serves(&url);
    }
}

const fn body(frames: &'static [Step], length: Option<u64>, says: Option<&'static str>) -> Fault {
    Fault::Body { frames, length, says }
}

/// A client that goes away takes the request with it, wherever that is.
#[test]
fn nobody_is_worked_for_who_has_left() {
    for (name, fault) in [
        ("no answer", Fault::Hang),
        ("no body", body(&[Step::Hang], Some(11), None)),
        ("half a body", body(&[Data("hello"), Wait, Step::Hang], Some(11), None)),
        ("half a body of no length", body(&[Data("hello"), Wait, Step::Hang], None, None)),
    ] {
        let site = Faulty::new(fault);
        for url in [site.current(), UNLISTED.to_owned(), "/outside".to_owned()] {
            let mut connection = Connection::open(&site.server);
            connection.write(format!("GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
            site.wait_for(Event::Stuck);
            drop(connection);
            site.wait_for(Event::Dropped);
            site.server.runtime.block_on(leave_http2(&site, &url));
            site.assert_still_serves(&format!("{name}: {url}"));
        }
    }
}

/// Resets the stream once the service is at work.
async fn leave_http2(site: &Faulty, url: &str) {
    let (mut client, connection) = wire::connect_http2(&site.server).await;
    let request = Request::get(format!("http://localhost{url}")).body(()).unwrap();
    let (_response, mut stream) = client.send_request(request, true).unwrap();
    tokio::task::block_in_place(|| site.wait_for(Event::Stuck));
    stream.send_reset(h2::Reason::CANCEL);
    tokio::task::block_in_place(|| site.wait_for(Event::Dropped));
    connection.abort();
}

/// What is broken is seen to be broken, in either protocol; and what nobody could know to be
/// whole has no tag of ours.
#[test]
fn no_broken_body_looks_whole() {
    use Step::{Error, Panic};
    let mut said = BTreeSet::new();
    for (name, fault) in [
        ("error, sized", body(&[Data("hello"), Wait, Error], Some(11), None)),
        ("error, sized by a field", body(&[Data("hello"), Wait, Error], None, Some("11"))),
        ("error, unsized", body(&[Data("hello"), Wait, Error], None, None)),
        ("error at once", body(&[Error], Some(11), None)),
        ("error after all", body(&[Data(LISTED), Wait, Error], None, None)),
        ("panic, sized", body(&[Data("hello"), Wait, Panic], Some(11), None)),
        ("panic, unsized", body(&[Data("hello"), Wait, Panic], None, None)),
        ("too short, sized by a field", body(&[Data("hello")], None, Some("11"))),
    ] {
        let site = Faulty::new(fault);
        for url in [site.current(), UNLISTED.to_owned()] {
            for answer in [site.ask(&url), site.ask_http2(&url)].into_iter().flatten() {
                let name = &format!("{name}, {url}");
                assert!(!answer.is_complete, "{name}: {answer:?}");
                assert!(LISTED.starts_with(&answer.text()), "{name}: {answer:?}");
                let has_tag = !answer.field("etag").is_empty();
                assert!(!has_tag || url == site.current(), "{name}: {answer:?}");
                said.insert(answer.cache_control());
            }
            site.assert_still_serves(name);
        }
    }
    assert_eq!(said, BTreeSet::from([YEAR, "no-cache"].map(str::to_owned)), "heads came first");
}

/// A length that is not the listed one is other content, whatever comes.
#[test]
fn a_wrong_length_pins_nothing() {
    for (name, length) in [("shorter", "5"), ("longer", "20"), ("none", "0")] {
        let site = Faulty::new(body(&[Data(LISTED)], None, Some(length)));
        let answers = [site.ask(&site.current()), site.ask_http2(&site.current())];
        assert_ne!(answers, [None, None], "{name}");
        for answer in answers.into_iter().flatten() {
            assert_eq!(
                (answer.cache_control(), answer.field("etag")),
                ("no-cache".into(), String::new()),
                "{name}: {answer:?}"
            );
        }
        site.assert_still_serves(name);
    }
}
