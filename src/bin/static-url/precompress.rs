//! `static-url precompress DIR`

use std::{
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tower_static_url::Manifest;
use walkdir::WalkDir;

use crate::{
    Done, Failure,
    args::Format,
    coding::Coding,
    draft::is_draft,
    failed,
    output::{bytes, files, say},
    sibling::{Outcome, compress},
};

/// Compresses the files of a directory ahead: `app.css.gz`, `app.css.br` and `app.css.zst` beside
/// `app.css`.
///
/// A file that does not get smaller by a twentieth, and by 64 bytes, gets none. A compressed file
/// that is there is kept if it has the content of its file, and gets its time; one that has another
/// content is replaced, or deleted if the new one would not be smaller. The same files give the
/// same bytes, on every machine.
///
/// Compress before you ask for the version: compressed files belong to the tree.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  static-url precompress dist
  static-url precompress dist --coding gzip --coding br
  static-url precompress dist --json")]
pub(crate) struct Precompress {
    /// The directory. Links in it that lead to directories elsewhere are not followed.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only into this coding. Can be given several times.
    #[arg(long = "coding", value_name = "CODING")]
    codings: Vec<Coding>,
    /// How many files to compress at a time. By default as many as there are cores.
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZero<usize>>,
    #[command(flatten)]
    format: Format,
}

/// A sibling that a file may get.
struct Task {
    path: PathBuf,
    length: u64,
    coding: Coding,
    done: OnceLock<io::Result<Outcome>>,
}

pub(crate) fn run(args: Precompress) -> Result<Done, Failure> {
    let manifest = Manifest::scan(&args.directory)?;
    delete_old_drafts(&args.directory);
    let is_wanted = |coding: &Coding| args.codings.is_empty() || args.codings.contains(coding);
    let codings = Coding::ALL.into_iter().filter(is_wanted).collect::<Vec<_>>();
    let tasks = tasks(&args.directory, &manifest, &codings)?;
    let threads = args.threads.or(thread::available_parallelism().ok());
    work(&tasks, threads.map_or(1, NonZero::get));
    let failed_to = |task: &Task| {
        let error = task.done.get()?.as_ref().err()?;
        Some(failed(format!("cannot compress {:?}: {error}", task.path)))
    };
    if let Some(failure) = tasks.iter().find_map(failed_to) {
        return Err(failure);
    }
    let totals = codings.iter().map(|coding| Total::of(*coding, &tasks)).collect::<Vec<_>>();
    if args.format.json {
        say(totals.iter().map(Total::to_json).collect::<Value>());
    } else {
        totals.iter().for_each(|total| say(total.to_line()));
    }
    Ok(Done::WithSuccess)
}

/// Returns what to compress into what, the largest first: who begins with it last waits for it
/// alone.
fn tasks(root: &Path, manifest: &Manifest, codings: &[Coding]) -> Result<Vec<Task>, Failure> {
    let root_in_full = in_full(root)?;
    let mut tasks = Vec::new();
    for (logical, info) in manifest.iter().filter(|(path, _)| !is_sibling(path, manifest)) {
        let path = root.join(logical);
        // What a link leads to may be somebody else's.
        if !in_full(path.parent().unwrap_or(root))?.starts_with(&root_in_full) {
            continue;
        }
        tasks.extend(codings.iter().map(|&coding| {
            let (path, length) = (path.clone(), info.length());
            Task { path, length, coding, done: OnceLock::new() }
        }));
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.length));
    Ok(tasks)
}

fn in_full(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path).map_err(|error| failed(format!("cannot read {path:?}: {error}")))
}

/// Whether a file is another one in a content coding, by its name.
fn is_sibling(path: &str, manifest: &Manifest) -> bool {
    /// Also what others may have made.
    const SUFFIXES: [&str; 4] = [".gz", ".br", ".zst", ".zz"];
    let file = SUFFIXES.iter().find_map(|suffix| path.strip_suffix(suffix));
    file.is_some_and(|file| manifest.get(file).is_some())
}

/// Does the tasks on some threads, until one fails.
fn work(tasks: &[Task], threads: usize) {
    let bar = bar(tasks.iter().map(|task| task.length).fold(0, u64::saturating_add));
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Relaxed)) {
            if has_failed.load(Relaxed) {
                break;
            }
            let done = task.done.get_or_init(|| compress(&task.path, task.coding));
            has_failed.fetch_or(done.is_err(), Relaxed);
            bar.inc(task.length);
        }
    };
    thread::scope(|scope| {
        (1..threads.min(tasks.len())).for_each(|_| drop(scope.spawn(worker)));
        worker();
    });
    bar.finish_and_clear();
}

/// Makes a progress bar. It is drawn on a terminal, and nowhere else.
fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message("compressing");
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Deletes what a command that was killed has left behind. One that is at work writes more often
/// than once in a day.
fn delete_old_drafts(root: &Path) {
    const OLD: Duration = Duration::from_secs(24 * 60 * 60);
    for entry in WalkDir::new(root).into_iter().flatten() {
        let modified = || entry.metadata().ok()?.modified().ok();
        let age = || SystemTime::now().duration_since(modified()?).ok();
        if entry.file_type().is_file() && is_draft(entry.file_name()) && age() > Some(OLD) {
            // It is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What became of the files in one coding.
struct Total {
    coding: Coding,
    written: usize,
    up_to_date: usize,
    not_smaller: usize,
    /// Of the files that have a sibling.
    length: u64,
    compressed: u64,
}

impl Total {
    fn of(coding: Coding, tasks: &[Task]) -> Self {
        let (written, up_to_date, not_smaller) = (0, 0, 0);
        let mut total = Self { coding, written, up_to_date, not_smaller, length: 0, compressed: 0 };
        for task in tasks.iter().filter(|task| task.coding == coding) {
            let Some(Ok(outcome)) = task.done.get() else { continue };
            match outcome {
                Outcome::Written(compressed) => {
                    total.written += 1;
                    total.add(task.length, *compressed);
                }
                Outcome::UpToDate(compressed) => {
                    total.up_to_date += 1;
                    total.add(task.length, *compressed);
                }
                Outcome::NotSmaller => total.not_smaller += 1,
            }
        }
        total
    }

    fn add(&mut self, length: u64, compressed: u64) {
        self.length = self.length.saturating_add(length);
        self.compressed = self.compressed.saturating_add(compressed);
    }

    fn to_json(&self) -> Value {
        json!({
            "coding": self.coding.name(),
            "written": self.written,
            "up_to_date": self.up_to_date,
            "not_smaller": self.not_smaller,
            "bytes": self.length,
            "compressed_bytes": self.compressed,
        })
    }

    fn to_line(&self) -> String {
        format!(
            "{:<4}  {} compressed, {} up to date, {} not smaller: {} instead of {}",
            self.coding.name(),
            files(self.written),
            self.up_to_date,
            self.not_smaller,
            bytes(self.compressed),
            bytes(self.length),
        )
    }
}
