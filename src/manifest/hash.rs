//! What is in the files? Reads them on all cores.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use crate::{
    Error,
    manifest::{
        Details, FileInfo, Scan,
        css::LinkFinder,
        fingerprint::{Fingerprint, Stamp},
        report::{Finding, Report},
        siblings::{Checksum, GzipEnds, Wanted},
        walk::Found,
    },
};

/// How many bytes one thread reads at a time. Larger buffers are not faster, and memory must
/// not grow with the files.
const BUFFER: usize = 128 * 1024;

/// The files of a tree, with their digests.
pub(super) struct Hashed {
    pub(super) files: BTreeMap<Box<str>, FileInfo>,
    /// Not all of them were known.
    pub(super) any_read: bool,
}

/// A file that some thread will hash.
struct Task {
    logical: Box<str>,
    root: usize,
    wanted: Wanted,
    done: OnceLock<Done>,
}

enum Done {
    Known(FileInfo),
    Read(FileInfo),
    LeftOut { path: PathBuf, why: String },
}

impl Scan {
    pub(super) fn hash_all<'k>(
        &self,
        found: Found,
        known: impl Fn(&str) -> Option<&'k FileInfo> + Sync,
        report: &Report<'_>,
    ) -> Result<Hashed, Error> {
        let next = AtomicUsize::new(0);
        let tasks = tasks(found);
        let worker = || self.hash_some(&tasks, &next, &known, report.is_lenient());
        thread::scope(|scope| {
            let workers = (1..self.threads.min(tasks.len())).map(|_| scope.spawn(worker));
            let workers = workers.collect::<Vec<_>>();
            let mut done = vec![worker()];
            for worker in workers {
                done.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done.into_iter().collect::<Result<(), Error>>()
        })?;
        Ok(collect(tasks, report))
    }

    /// Hashes files on one thread, always the `next` one that no other thread has begun.
    fn hash_some<'k>(
        &self,
        tasks: &[Task],
        next: &AtomicUsize,
        known: impl Fn(&str) -> Option<&'k FileInfo>,
        is_lenient: bool,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = self.roots[task.root].join(&*task.logical);
            let known = known(&task.logical);
            let done = match known {
                _ if self.is_to_be_read(task, &path, known) => {
                    self.hash(&path, task, known, &mut buffer, is_lenient)?
                }
                Some(info) => Done::Known(info.clone()),
                None => continue,
            };
            task.done.get_or_init(|| done);
        }
        Ok(())
    }

    /// Whether a file may have changed since it was known, and is at rest. A file without
    /// metadata is to be read too: that gives the error.
    fn is_to_be_read(&self, task: &Task, path: &Path, known: Option<&FileInfo>) -> bool {
        let Ok(metadata) = fs::metadata(path) else { return true };
        let now = Stamp::of(&metadata, SystemTime::now());
        match known.and_then(|info| info.fingerprint).zip(now) {
            Some((before, now)) if before.proves(now) => !has_wanted(known, task),
            // It was read too soon after a write.
            Some((before, now)) if before.stamp() == now => true,
            _ => (self.is_at_rest)(&task.logical, &metadata),
        }
    }

    /// Reads a file. In development one that may not be read is left out; one that is gone is
    /// an error also there, because the next scan will not find it.
    fn hash(
        &self,
        path: &Path,
        task: &Task,
        known: Option<&FileInfo>,
        buffer: &mut [u8],
        is_lenient: bool,
    ) -> Result<Done, Error> {
        match self.hash_file(path, task, known, buffer) {
            Ok(info) => Ok(Done::Read(info)),
            Err(error) if is_lenient && error.kind() != io::ErrorKind::NotFound => {
                Ok(Done::LeftOut { path: path.into(), why: error.to_string() })
            }
            Err(error) => Err(Error::io("read", path, error)),
        }
    }

    fn hash_file(
        &self,
        path: &Path,
        task: &Task,
        known: Option<&FileInfo>,
        buffer: &mut [u8],
    ) -> io::Result<FileInfo> {
        let read_at = SystemTime::now();
        let mut file = File::open(path)?;
        // Read before the content, so that a write meanwhile shows as another time.
        let metadata = file.metadata()?;
        let mut content = Content::new(&task.logical, task.wanted);
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(read) => content.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let modified = metadata.modified().ok();
        let before = known.and_then(|info| info.fingerprint);
        let fingerprint = Fingerprint::of(&metadata, read_at, self.coarsest, before);
        Ok(FileInfo { modified, fingerprint, ..content.finish() })
    }
}

fn tasks(found: Found) -> Vec<Task> {
    let wanted = |path: &str| Wanted::of(path, |path| found.contains_key(path));
    let wanted = found.keys().map(|path| wanted(path)).collect::<Vec<_>>();
    let found = found.into_iter().zip(wanted);
    let task = |((logical, root), wanted)| Task { logical, root, wanted, done: OnceLock::new() };
    found.map(task).collect()
}

/// Whether all that is wanted of a file was learned when it was read.
fn has_wanted(known: Option<&FileInfo>, task: &Task) -> bool {
    let Wanted { content, trailer } = task.wanted;
    let is_known = |checksum: fn(&FileInfo) -> Checksum| {
        known.is_some_and(|info| checksum(info) != Checksum::Unknown)
    };
    (!content || is_known(|info| info.details().checksum))
        && (!trailer || is_known(|info| info.details().trailer))
}

/// Collects what the threads have done, and reports what they have found.
fn collect(tasks: Vec<Task>, report: &Report<'_>) -> Hashed {
    let any_read = tasks.iter().any(|task| matches!(task.done.get(), Some(Done::Read(_))));
    // In order and at once: a map that grows file by file takes twice the memory.
    let files = tasks.into_iter().filter_map(|task| {
        let Task { logical, root, done, .. } = task;
        let info = listed(&logical, root, done.into_inner()?, report)?;
        Some((logical, info))
    });
    Hashed { files: files.collect(), any_read }
}

fn listed(logical: &str, root: usize, done: Done, report: &Report<'_>) -> Option<FileInfo> {
    let info = match done {
        Done::Known(info) | Done::Read(info) => info,
        Done::LeftOut { path, why } => {
            report.add(Finding::LeftOut { path, why });
            return None;
        }
    };
    let details = info.details();
    if details.has_climbing_link {
        report.add(Finding::ClimbingLink { path: logical.into() });
    }
    Some(info.with_details(Details { root, ..details }))
}

/// The content of a file while it is read.
pub(super) struct Content {
    sha256: Sha256,
    length: u64,
    crc32: Option<crc32fast::Hasher>,
    ends: Option<GzipEnds>,
    links: Option<LinkFinder>,
}

impl Content {
    pub(super) fn new(logical: &str, wanted: Wanted) -> Self {
        Self {
            sha256: Sha256::new(),
            length: 0,
            crc32: wanted.content.then(crc32fast::Hasher::new),
            ends: wanted.trailer.then(GzipEnds::default),
            links: LinkFinder::of(logical),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.length += bytes.len() as u64;
        if let Some(crc32) = &mut self.crc32 {
            crc32.update(bytes);
        }
        if let Some(ends) = &mut self.ends {
            ends.update(bytes);
        }
        if let Some(links) = &mut self.links {
            links.update(bytes);
        }
    }

    /// Returns the entry of a file that is nowhere on a disk.
    pub(super) fn finish(self) -> FileInfo {
        let details = Details {
            checksum: self.checksum(),
            trailer: self.ends.as_ref().map_or(Checksum::Unknown, GzipEnds::checksum),
            has_climbing_link: self.links.is_some_and(LinkFinder::finish),
            ..Details::default()
        };
        FileInfo::new(self.sha256.finalize().into(), self.length).with_details(details)
    }

    fn checksum(&self) -> Checksum {
        // Modulo 2^32, as gzip has it.
        let length = self.length as u32;
        let of_content =
            |crc32: &crc32fast::Hasher| Checksum::Of { crc32: crc32.clone().finalize(), length };
        self.crc32.as_ref().map_or(Checksum::Unknown, of_content)
    }
}
