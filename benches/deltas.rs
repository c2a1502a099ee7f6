//! What does a delta cost the server? Two goals, which are checked:
//!
//! - One that has been made costs at most 1.2 times as much as the file from memory. Counted is
//!   the processor time of the server's thread, in the kernel too, for requests on one
//!   connection.
//! - To make one costs at most 10 ms for each megabyte of the new file. Counted is the processor
//!   time of all threads but the client's.
//!
//! Needs Linux, whose `/proc` tells the time of a thread.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use sha2::{Digest as _, Sha256};
use tower::Layer as _;
use tower_http::services::ServeDir;
use tower_static_url::{Deltas, StaticUrlLayer, releases::Releases};

const MOST_TIMES_MEMORY: f64 = 1.2;
const MOST_PER_MB: Duration = Duration::from_millis(10);

const ROUNDS: usize = 21;
const REQUESTS: usize = 400;

const LARGE: usize = 1_000_000;
const LARGE_FILES: usize = 40;

fn main() {
    let (warm, cold) = (warm(), cold());
    assert!(warm <= MOST_TIMES_MEMORY, "a delta costs more than it should");
    assert!(cold <= MOST_PER_MB, "to make a delta costs more than it should");
}

/// Returns how many times as much as the file from memory a delta costs.
fn warm() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let names = ["app.js".to_owned()];
    let layer = deploy(folder.path(), &names, 100 * 1024);
    let server = Server::start(layer.layer(ServeDir::new(folder.path().join("site"))));
    let mut client = Client::connect(server.address);
    let url = layer.prefix().url(&names[0]);
    let (whole, delta) = (request(&url, None), request(&url, Some(&script(0, 100 * 1024, "old"))));
    for _ in 0..2 {
        assert!(client.send(&delta).is_delta && !client.send(&whole).is_delta);
    }
    // From here on nothing but memory can answer.
    fs::remove_dir_all(folder.path()).unwrap();
    let mut times = [&whole, &delta].map(|request| (request, Vec::new()));
    for _ in 0..ROUNDS {
        for (request, times) in &mut times {
            let before = server.time();
            for _ in 0..REQUESTS {
                client.send(request);
            }
            times.push((server.time() - before) / REQUESTS as u32);
        }
    }
    let [memory, warm] = times.map(|(request, mut times)| {
        times.sort();
        (times[ROUNDS / 2], client.send(request).length)
    });
    let ratio = warm.0.as_secs_f64() / memory.0.as_secs_f64();
    println!("{:32} {:?}, {} bytes", "the file from memory", memory.0, memory.1);
    println!("{:32} {:?}, {} bytes", "the delta", warm.0, warm.1);
    println!("{:32} {ratio:.2} (at most {MOST_TIMES_MEMORY})", "the delta / the file");
    ratio
}

/// Returns what it costs to make deltas for a megabyte.
fn cold() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let names = (0..LARGE_FILES).map(|i| format!("{i}.js")).collect::<Vec<_>>();
    let layer = deploy(folder.path(), &names, LARGE);
    let server = Server::start(layer.layer(ServeDir::new(folder.path().join("site"))));
    let mut client = Client::connect(server.address);
    let requests = names
        .iter()
        .enumerate()
        .map(|(i, name)| request(&layer.prefix().url(name), Some(&script(i, LARGE, "old"))));
    let requests = requests.collect::<Vec<_>>();
    let (others, start) = (time_of_others(), Instant::now());
    for request in &requests {
        assert!(client.send(request).is_delta);
    }
    let (time, others) = (start.elapsed(), time_of_others() - others);
    let megabytes = (LARGE * LARGE_FILES) as f64 / 1e6;
    let [time, others] = [time, others].map(|time| time.div_f64(megabytes));
    println!("{:32} {others:.1?} a MB (at most {MOST_PER_MB:?})", "to make a delta");
    println!("{:32} {time:.1?} a MB", "until the client has it");
    others
}

/// Publishes the files as they were, and as they are now.
fn deploy(folder: &Path, names: &[String], length: usize) -> StaticUrlLayer {
    let tree = folder.join("site/static");
    fs::create_dir_all(&tree).unwrap();
    let layers = ["old", "new"].map(|version| {
        for (i, name) in names.iter().enumerate() {
            fs::write(tree.join(name), script(i, length, version)).unwrap();
        }
        let releases = Releases::folder(folder.join("releases")).unwrap();
        let files = ServeDir::new(releases.files());
        let builder = StaticUrlLayer::builder("/static").root(&tree).memory_budget(16 << 20);
        let layer = builder.releases(releases, files).deltas(Deltas::new()).build().unwrap();
        layer.publish().unwrap();
        layer
    });
    let [_, layer] = layers;
    layer
}

/// Returns a script of some length, in which a line here and there is different in each version.
fn script(seed: usize, length: usize, version: &str) -> Vec<u8> {
    let mut state = seed as u64;
    let mut script = String::with_capacity(length + 100);
    for line in 0.. {
        if script.len() >= length {
            break;
        }
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let name = if line % 1000 == 500 { version } else { "value" };
        script += &format!("export const {name}{line} = compute({}, \"item\");\n", state >> 40);
    }
    script.truncate(length);
    script.into()
}

/// Returns a request as a browser makes it, which may have an old file.
fn request(url: &str, old: Option<&[u8]>) -> String {
    let dictionary = old
        .map(|old| format!("available-dictionary: :{}:\r\n", BASE64.encode(&Sha256::digest(old))));
    format!(
        "GET {url} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\nsec-fetch-site: same-origin\r\n\
         accept-encoding: gzip, deflate, br, zstd, dcb, dcz\r\n{}\r\n",
        dictionary.unwrap_or_default()
    )
}

/// A server on a thread of its own.
struct Server {
    address: SocketAddr,
    /// The directory of its thread.
    thread: PathBuf,
}

impl Server {
    fn start(service: tower_static_url::StaticUrl<ServeDir>) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let thread = fs::canonicalize("/proc/thread-self").unwrap();
                sender.send((listener.local_addr().unwrap(), thread)).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let service = TowerToHyperService::new(service.clone());
                    let server = hyper::server::conn::http1::Builder::new();
                    // It ends when the client does.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        });
        let (address, thread) = receiver.recv().unwrap();
        Self { address, thread }
    }

    /// Returns the processor time of its thread.
    fn time(&self) -> Duration {
        time_of(&self.thread)
    }
}

/// Returns the processor time of a thread, which `schedstat` tells in nanoseconds.
fn time_of(thread: &Path) -> Duration {
    let numbers = fs::read_to_string(thread.join("schedstat")).unwrap();
    Duration::from_nanos(numbers.split(' ').next().unwrap().parse().unwrap())
}

/// Returns the processor time of all threads but this one, those included that have ended.
fn time_of_others() -> Duration {
    /// What `stat` counts in is the same on all processors.
    const TICK: Duration = Duration::from_millis(10);
    let numbers = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, numbers) = numbers.rsplit_once(')').unwrap();
    let ticks = numbers.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum::<u32>();
    (TICK * ticks).saturating_sub(time_of(Path::new("/proc/thread-self")))
}

struct Client(BufReader<TcpStream>);

struct Answer {
    is_delta: bool,
    length: usize,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::with_capacity(1 << 18, stream))
    }

    fn send(&mut self, request: &str) -> Answer {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer = Answer { is_delta: false, length: 0 };
        for i in 0.. {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end();
            match line.split_once(": ") {
                None if i == 0 => assert_eq!(line, "HTTP/1.1 200 OK"),
                Some(("content-length", length)) => answer.length = length.parse().unwrap(),
                Some(("content-encoding", coding)) => answer.is_delta = coding == "dcz",
                Some(_) => {}
                None => break,
            }
        }
        let mut content = vec![0; answer.length];
        self.0.read_exact(&mut content).unwrap();
        answer
    }
}
