//! Who reads files and makes deltas while requests wait? Threads of its own, which end when there is nothing to
//! do, so that no executor is blocked, whichever that is.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// How many threads read at once. Disks and hashes do not get faster with many more.
const READERS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Worker {
    state: Mutex<State>,
    most_threads: usize,
    most_waiting: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
}

/// For readers, of whom any number may wait.
impl Default for Worker {
    fn default() -> Self {
        Self::new(READERS, usize::MAX)
    }
}

impl Worker {
    /// Makes a worker with so many threads, for which so many jobs may wait.
    pub(crate) fn new(most_threads: usize, most_waiting: usize) -> Self {
        Self { state: Mutex::default(), most_threads, most_waiting }
    }

    /// Runs a job soon. Returns whether it is taken: not if too many wait already. If no thread
    /// can be started, the job is dropped.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.state();
        let is_idle = state.threads < self.most_threads;
        if !is_idle && state.jobs.len() >= self.most_waiting {
            return false;
        }
        state.jobs.push_back(Box::new(job));
        if !is_idle {
            return true;
        }
        state.threads += 1;
        drop(state);
        let worker = Arc::clone(self);
        let thread = thread::Builder::new().name("static-url".into());
        if thread.spawn(move || worker.work()).is_err() {
            self.give_up();
        }
        true
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic has been reported, and the job's flight has ended with it.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// Returns the next job. If there is none, the calling thread ends.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    /// Drops all jobs, if there is no thread for them.
    fn give_up(&self) {
        let mut state = self.state();
        state.threads -= 1;
        let jobs =
            if state.threads == 0 { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
        // To drop a job wakes those who wait for it.
        drop(state);
        drop(jobs);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_job_is_done_whatever_happens_to_the_one_before() {
        let worker = Arc::new(Worker::default());
        let (sender, results) = mpsc::channel();
        for i in 0..20 {
            let sender = sender.clone();
            worker.run(move || {
                assert!(i % 5 != 0, "job {i} panics");
                sender.send(i).unwrap();
            });
        }
        drop(sender);
        let mut done = results.iter().collect::<Vec<_>>();
        done.sort_unstable();
        assert_eq!(done, (0..20).filter(|i| i % 5 != 0).collect::<Vec<_>>());
    }
}
