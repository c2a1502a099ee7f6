//! What a request costs whose file is not in memory, and what it costs others: how long does a 304
//! take beside ten clients that read such files?

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Advice, fadvise};

use crate::{
    Protocol, Result,
    args::Effort,
    client,
    fixture::{self, LARGE, MEBIBYTE, MOUNT, SMALL, TWENTY},
    processes,
    rounds::median,
    servers::{self, Process, Site},
};

const SERVERS: [&str; 4] = ["servedir", "ours", "ours-disk", "nginx"];
const COLD: [&str; 3] = [LARGE, MEBIBYTE, TWENTY];
const READERS: usize = 10;

/// What each of them takes in at a time, and how long it then waits: 4 MiB/s.
const BITE: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(16);

/// `ours-disk` beside readers, as a multiple of alone.
const LIMIT: f64 = 1.5;

pub(crate) async fn run(effort: Effort) -> Result<()> {
    let tree = tempfile::tempdir()?;
    fixture::write(tree.path(), fixture::FILES)?;
    let site = Site { root: tree.path().to_owned(), workers: 1, protocol: Protocol::Http1 };
    println!("### Not in memory, HTTP/1.1, one worker\n");
    let files = COLD.map(|file| format!(" {file} µs | ms |")).concat();
    println!("| |{files} 304 p99 µs: alone | beside {READERS} | ratio |");
    println!("|---|{}", "--:|".repeat(2 * COLD.len() + 3));
    for name in SERVERS {
        eprintln!("cold: {name}");
        let row = row(name, &site, effort).await?;
        println!("| {name} |{}", row.line());
        if name == "ours-disk" {
            let verdict = if row.ratio <= LIMIT { "met" } else { "missed" };
            eprintln!("goal {name}, 304 beside cold files: ≤ {LIMIT} × alone {verdict}");
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Row {
    /// CPU time in µs, and time of the clock in ms.
    cold: Vec<(f64, f64)>,
    alone: f64,
    beside: f64,
    ratio: f64,
}

impl Row {
    fn line(&self) -> String {
        let cold = self.cold.iter().map(|(cpu, clock)| format!(" {cpu:.0} | {clock:.1} |"));
        let Self { alone, beside, ratio, .. } = self;
        format!("{} {alone:.0} | {beside:.0} | {ratio:.2} |", cold.collect::<String>())
    }
}

async fn row(name: &str, site: &Site, effort: Effort) -> Result<Row> {
    let server = servers::named(name)?;
    let prefix = servers::prefix(&site.root)?;
    let process = Process::start(server, site)?;
    let small = server.path(SMALL, &prefix)?;
    let whole = client::get(Protocol::Http1, process.address, &small, None).await?;
    let etag = whole.etag().ok_or("no ETag")?.to_owned();

    let mut cold = Vec::new();
    for file in COLD {
        let path = server.path(file, &prefix)?;
        cold.push(cold_requests(&process, &path, &site.root.join(MOUNT).join(file), effort)?);
    }
    let large = (server.path(TWENTY, &prefix)?, site.root.join(MOUNT).join(TWENTY));
    let probe =
        || probe(process.address, &small, &etag, Duration::from_secs(effort.seconds.into()));
    let mut pairs = Vec::new();
    for _ in 0..effort.rounds {
        let alone = probe()?;
        pairs.push((alone, beside_readers(process.address, &large, probe)?));
    }
    Ok(Row {
        cold,
        alone: median(pairs.iter().map(|pair| pair.0)),
        beside: median(pairs.iter().map(|pair| pair.1)),
        ratio: median(pairs.iter().map(|(alone, beside)| beside / alone)),
    })
}

/// One after the other, each after the file was forgotten.
fn cold_requests(process: &Process, path: &str, file: &Path, effort: Effort) -> Result<(f64, f64)> {
    let workers = processes::workers(process.id())?;
    let before = processes::cpu_time(&workers)?;
    let (mut clock, mut count) = (Duration::ZERO, 0.0);
    let end = Instant::now() + Duration::from_secs(effort.seconds.into());
    let mut connection = Connection::open(process.address)?;
    while Instant::now() < end {
        forget(file)?;
        let start = Instant::now();
        connection.get(path, "")?;
        clock += start.elapsed();
        count += 1.0;
    }
    let cpu = processes::cpu_time(&workers)?.saturating_sub(before);
    Ok((cpu.as_secs_f64() * 1e6 / count, clock.as_secs_f64() * 1e3 / count))
}

/// The 99th percentile of the time until a 304 is there, in µs.
fn probe(address: SocketAddr, path: &str, etag: &str, time: Duration) -> Result<f64> {
    let mut connection = Connection::open(address)?;
    let condition = format!("If-None-Match: {etag}\r\n");
    let (mut times, end) = (Vec::new(), Instant::now() + time);
    while Instant::now() < end {
        let start = Instant::now();
        connection.get(path, &condition)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().ok_or_else(|| "no answer".into())
}

fn beside_readers(
    address: SocketAddr,
    (path, file): &(String, PathBuf),
    probe: impl Fn() -> Result<f64>,
) -> Result<f64> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    // That a reader is cut off at the end is no failure of the server.
                    let _ = read_slowly(address, path, file, &is_over);
                }
            });
        }
        let beside = probe();
        is_over.store(true, Relaxed);
        beside
    })
}

/// Whatever the kernel has read ahead is forgotten again, so that each read is one of the disk.
fn read_slowly(address: SocketAddr, path: &str, file: &Path, is_over: &AtomicBool) -> Result<()> {
    let mut connection = Connection::open(address)?;
    connection.send(path, "")?;
    let mut left = connection.length()?;
    let mut bite = vec![0; BITE];
    while left > 0 && !is_over.load(Relaxed) {
        let wanted = left.min(BITE);
        connection.0.read_exact(&mut bite[..wanted])?;
        left -= wanted;
        forget(file)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn forget(file: &Path) -> Result<()> {
    Ok(fadvise(&File::open(file)?, 0, None, Advice::DontNeed)?)
}

/// As little as there can be between the server and the clock.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn get(&mut self, path: &str, lines: &str) -> Result<()> {
        self.send(path, lines)?;
        let length = self.length()? as u64;
        let got = std::io::copy(&mut self.0.by_ref().take(length), &mut std::io::sink())?;
        if got == length { Ok(()) } else { Err(format!("{path}: {got} of {length} bytes").into()) }
    }

    fn send(&mut self, path: &str, lines: &str) -> Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        Ok(self.0.get_mut().write_all(head.as_bytes())?)
    }

    /// Reads the head. A 304 has no body, whatever it says.
    fn length(&mut self) -> Result<usize> {
        let (mut length, mut is_modified, mut line) = (0, true, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("closed without an answer".into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                return Ok(if is_modified { length } else { 0 });
            }
            is_modified &= !text.starts_with("http/1.1 304");
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
    }
}
