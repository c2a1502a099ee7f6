//! The demo under load for a long time, while its files change: it gives no wrong answer,
//! does not grow, and lets go of everything.
//!
//! ```sh
//! cargo test --release --test soak -- --ignored --nocapture ten_minutes
//! ```
#![cfg(target_os = "linux")]

mod support;

use std::{
    fmt, fs,
    future::Future,
    io::{self, BufRead as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ChildStderr, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use support::{
    Answer, ask,
    demo::{Demo, HttpClient, http_client, terminate},
    etag_of,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute"]
async fn twenty_seconds() {
    soak(Duration::from_secs(20), Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes"]
async fn ten_minutes() {
    soak(Duration::from_secs(600), Duration::from_secs(1)).await;
}

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Less than the demo waits for connections that do not end.
const EXIT: Duration = Duration::from_secs(4);

/// So many that versions which are not given back show in a short run.
const SMALL_FILES: usize = 4_000;

const BIG_FILE: usize = 4 << 20;

/// What may come and go, as the allocator likes. A page alone has more than a megabyte.
const SLACK: u64 = 6 << 20;

/// With a new version after each `pause`.
async fn soak(duration: Duration, pause: Duration) {
    let site = site();
    let mut command = Demo::command("--watch", site.path());
    command.stderr(Stdio::piped());
    let mut demo = Demo::run(command);
    demo.process.ignore_stdout();
    let complaints = complaints(demo.process.child.stderr.take().unwrap());
    let pid = demo.process.child.id();
    let mut changes = Changes::subscribe(demo.address).await;
    let prefix = changes.next().await;
    let before = connections(&open_files(pid));

    let load = Load::new(demo.address, prefix);
    let clients = load.start();
    let (start, mut usage) = (Instant::now(), Vec::new());
    while start.elapsed() < duration {
        sleep(pause).await;
        publish(site.path(), &live_text(usage.len() as u64 + 1));
        load.publish(changes.next().await);
        usage.push(Usage::of(pid));
        load.report(start.elapsed(), &usage);
    }
    load.stop(clients).await;

    assert_no_growth(&usage);
    let has_let_go = || {
        let files = open_files(pid);
        connections(&files) == before && !files.iter().any(|it| it.starts_with(site.path()))
    };
    until(has_let_go, || format!("{before} connections before, now {:?}", open_files(pid))).await;
    assert_ends_when_asked(demo).await;
    assert_eq!(complaints.join().unwrap(), [] as [String; 0]);
}

/// What the server says, until its end, beside what it must: that a file has changed, until
/// its new version is there.
fn complaints(stderr: ChildStderr) -> JoinHandle<Vec<String>> {
    let lines = io::BufReader::new(stderr).lines().map(Result::unwrap);
    let complaints = lines.filter(|line| !line.contains("not the file that the manifest lists"));
    thread::spawn(|| complaints.collect())
}

fn site() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for i in 0..SMALL_FILES {
        support::write(root.path(), &format!("many/folder-{}/{i}.txt", i % 10), small_text(i));
    }
    support::write(root.path(), "css/app.css", "body { color: teal }");
    support::write(root.path(), "css/app.css.gz", support::gzip("body { color: teal }"));
    support::write(root.path(), "big.bin", vec![b'x'; BIG_FILE]);
    support::write(root.path(), "live.txt", live_text(0));
    root
}

fn small_text(i: usize) -> String {
    format!("this is file {i:08}")
}

/// All versions are of one length.
fn live_text(version: u64) -> String {
    format!("this is version {version:08}")
}

/// At once, as a deploy does.
fn publish(root: &Path, text: &str) {
    let mut draft = tempfile::NamedTempFile::with_prefix_in(".draft", root).unwrap();
    draft.write_all(text.as_bytes()).unwrap();
    draft.persist(root.join("live.txt")).unwrap();
}

/// The second quarter is warm, and stands for all that is needed.
fn assert_no_growth(usage: &[Usage]) {
    let quarter = usage.len() / 4;
    assert!(quarter > 0, "too few versions: {}", usage.len());
    let peak = |quarter: &[Usage]| quarter.iter().map(|it| it.memory).max().unwrap();
    let (early, late) = (peak(&usage[quarter..2 * quarter]), peak(&usage[usage.len() - quarter..]));
    println!("at most {} kB early, {} kB late", early >> 10, late >> 10);
    assert!(late <= early + SLACK, "the server grows from {early} to {late} bytes");
}

/// While an event stream is open: it is the server that ends it.
async fn assert_ends_when_asked(mut demo: Demo) {
    let start = Instant::now();
    terminate(demo.process.child.id());
    let mut status = None;
    let is_over = || {
        status = demo.process.child.try_wait().unwrap();
        status.is_some()
    };
    until(is_over, || "the server does not end".into()).await;
    assert!(status.unwrap().success(), "{status:?}");
    assert!(start.elapsed() < EXIT, "the server waits for something");
}

async fn until(mut is_it: impl FnMut() -> bool, what: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !is_it() {
        assert!(Instant::now() < end, "{}", what());
        sleep(Duration::from_millis(20)).await;
    }
}

/// What the server takes, as Linux has it.
struct Usage {
    memory: u64,
    threads: u64,
    /// Open ones, connections included.
    files: usize,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)).expect(name);
            value.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let files = open_files(pid).len();
        Self { memory: number("VmRSS:") << 10, threads: number("Threads:"), files }
    }
}

/// What each of them is; some are gone before they can be looked at.
fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
    entries.map(|entry| fs::read_link(entry.path()).unwrap_or_default()).collect()
}

/// And whatever else is a socket.
fn connections(files: &[PathBuf]) -> usize {
    files.iter().filter(|it| it.to_string_lossy().starts_with("socket:")).count()
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, threads, files } = self;
        write!(f, "{} kB, {threads} threads, {files} files", memory >> 10)
    }
}

/// The server's own word on its versions.
struct Changes {
    lines: Lines<BufReader<TcpStream>>,
}

impl Changes {
    async fn subscribe(server: SocketAddr) -> Self {
        Self { lines: BufReader::new(get_raw(server, "/changes").await).lines() }
    }

    /// The newest prefix.
    async fn next(&mut self) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line =
                line.expect("a change is told in time").unwrap().expect("the stream is open");
            if let Some(event) = line.strip_prefix("data: ") {
                let event = serde_json::from_str::<Value>(event).unwrap();
                return event["prefix"].as_str().unwrap().to_owned();
            }
        }
    }
}

/// Sends a request, and leaves the rest to who calls.
async fn get_raw(server: SocketAddr, url: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server).await.unwrap();
    let head = format!("GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// What all clients share.
#[derive(Clone)]
struct Load {
    server: SocketAddr,
    prefixes: Arc<watch::Sender<Prefixes>>,
    answered: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Prefixes {
    current: String,
    previous: String,
    is_over: bool,
}

impl Load {
    fn new(server: SocketAddr, prefix: String) -> Self {
        let prefixes = Prefixes { current: prefix.clone(), previous: prefix, is_over: false };
        Self { server, prefixes: Arc::new(watch::Sender::new(prefixes)), answered: Arc::default() }
    }

    fn publish(&self, prefix: String) {
        self.prefixes.send_modify(|it| it.previous = std::mem::replace(&mut it.current, prefix));
    }

    fn report(&self, elapsed: Duration, usage: &[Usage]) {
        let (requests, newest) = (self.answered.load(Ordering::Relaxed), &usage[usage.len() - 1]);
        let (seconds, versions) = (elapsed.as_secs(), usage.len());
        println!("{seconds:4} s, {versions:4} versions, {requests:8} requests, {newest}");
    }

    fn start(&self) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            clients.spawn(self.clone().again_and_again(Self::ask_all_over_http1));
            clients.spawn(self.clone().again_and_again(Self::ask_all_over_http2));
            clients.spawn(self.clone().again_and_again(Self::read_slowly));
            clients.spawn(self.clone().again_and_again(Self::abort));
        }
        clients.spawn(self.clone().again_and_again(Self::read_page));
        clients
    }

    async fn again_and_again<F: Future<Output = ()>>(self, client: fn(Self) -> F) {
        while !self.prefixes.borrow().is_over {
            timeout(PATIENCE, client(self.clone())).await.expect("the server answers in time");
        }
    }

    /// None of the clients has failed, and none hangs.
    async fn stop(&self, clients: JoinSet<()>) {
        self.prefixes.send_modify(|it| it.is_over = true);
        clients.join_all().await;
    }

    async fn ask_all_over_http1(self) {
        self.ask_all(http_client()).await;
    }

    async fn ask_all_over_http2(self) {
        self.ask_all(http2_client()).await;
    }

    /// Some rounds over one connection.
    async fn ask_all(&self, client: HttpClient) {
        for round in 0..10 {
            for question in &QUESTIONS {
                self.ask(&client, question, round).await;
            }
        }
    }

    async fn ask(&self, client: &HttpClient, question: &Question, round: usize) {
        let Prefixes { current, previous, .. } = self.prefixes.borrow().clone();
        let url = question.url.replace("current/", &current).replace("previous/", &previous);
        let url = format!("http://{}{}", self.server, url.replace("ROUND", &round.to_string()));
        let mut request = Request::builder().method(&question.method).uri(&url);
        if let Some((name, value)) = question.field {
            request = request.header(name, value.replace("TAG", &etag_of(small_text(round))));
        }
        let answer = ask(client.clone(), request.body(Body::empty()).unwrap()).await;
        let case = format!("{} {url} {:?}: {answer:?}", question.method, question.field);
        assert_eq!(answer.status.as_u16(), question.status, "{case}");
        assert_bytes_match(&answer, &question.method, &case);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Long enough to see several versions come.
    async fn read_slowly(self) {
        let url = format!("{}big.bin", self.prefixes.borrow().current);
        let mut connection = get_raw(self.server, &url).await;
        let (mut chunk, mut read) = (vec![0; BIG_FILE / 64], 0);
        while read < BIG_FILE {
            let count = connection.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the file ends after {read} bytes");
            read += count;
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// In all the ways in which a client can go.
    async fn abort(self) {
        let url = format!("{}big.bin", self.prefixes.borrow().current);
        drop(TcpStream::connect(self.server).await.unwrap());
        let mut connection = TcpStream::connect(self.server).await.unwrap();
        connection.write_all(b"GET /static/big.bin HT").await.unwrap();
        drop(connection);
        drop(get_raw(self.server, &url).await);
        let mut connection = get_raw(self.server, &url).await;
        connection.read_exact(&mut [0; 5_000]).await.unwrap();
        drop(connection);
        drop(Changes::subscribe(self.server).await.next().await);
        for client in [http_client(), http2_client()] {
            let request = support::get(&format!("http://{}{url}", self.server));
            let mut response = client.request(request).await.unwrap();
            response.body_mut().frame().await.unwrap().unwrap();
        }
        sleep(Duration::from_millis(100)).await;
    }

    async fn read_page(self) {
        let answer = ask(http_client(), support::get(&format!("http://{}/", self.server))).await;
        assert_eq!(answer.status, StatusCode::OK);
        sleep(Duration::from_secs(1)).await;
    }
}

fn http2_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

/// A strong tag on a whole answer is that of its bytes, whatever was published meanwhile.
fn assert_bytes_match(answer: &Answer, method: &Method, case: &str) {
    let etag = answer.field("etag");
    if method == Method::GET && answer.status == StatusCode::OK && etag.len() == 66 {
        assert_eq!(etag, etag_of(&answer.body), "{case}");
    }
}

struct Question {
    method: Method,
    /// After `current/`, `previous/`, or neither.
    url: &'static str,
    field: Option<(&'static str, &'static str)>,
    status: u16,
}

const fn get(url: &'static str, status: u16) -> Question {
    Question { method: Method::GET, url, field: None, status }
}

const fn with(name: &'static str, value: &'static str, url: &'static str, status: u16) -> Question {
    Question { method: Method::GET, url, field: Some((name, value)), status }
}

static QUESTIONS: [Question; 18] = [
    get("current/live.txt", 200),
    get("previous/live.txt", 200),
    get("/static/live.txt", 200),
    get("current/many/folder-0/0.txt", 200),
    get("previous/many/folder-0/10.txt", 200),
    get("/static/many/folder-0/20.txt", 200),
    get("current/missing.txt", 404),
    get("previous/missing.txt", 404),
    get("/static/missing.txt", 404),
    Question { method: Method::HEAD, url: "current/big.bin", field: None, status: 200 },
    Question { method: Method::POST, url: "current/live.txt", field: None, status: 405 },
    with("accept-encoding", "gzip", "current/css/app.css", 200),
    with("if-none-match", "\"other\"", "current/live.txt", 200),
    with("if-none-match", "TAG", "/static/many/folder-ROUND/ROUND.txt", 304),
    with("if-none-match", "*", "previous/css/app.css", 304),
    with("range", "bytes=5-6", "current/live.txt", 206),
    with("range", "bytes=1000000-1009999", "previous/big.bin", 206),
    with("range", "bytes=9999999-", "/static/big.bin", 416),
];
