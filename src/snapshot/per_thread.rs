//! How do threads use the same value without slowing each other down? Each uses a copy.

use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Copies of a value. Each thread uses one that it shares with few other threads.
///
/// To count a reference is to write to memory. If two cores write to the same cache line, each
/// waits for the other, and that costs more than anything else in a request.
#[derive(Debug)]
pub(crate) struct PerThread<T> {
    /// The copy of the first thread, with its number. Most files of a large tree are requested
    /// from one thread, if at all, and need no other copies.
    first: OnceLock<(usize, T)>,
    others: OnceLock<Box<[OnceLock<T>]>>,
}

/// The number of copies in addition to the first: one for each core, rounded up to a power of
/// two, and at most eight, since each takes memory.
static SLOTS: LazyLock<usize> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.next_power_of_two().min(8)
});

/// Counts the cores now, so that no request has to wait for the system call.
pub(crate) fn prepare() {
    LazyLock::force(&SLOTS);
}

impl<T> Default for PerThread<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerThread<T> {
    pub(crate) const fn new() -> Self {
        Self { first: OnceLock::new(), others: OnceLock::new() }
    }

    /// Returns the copy for this thread. The values that `make` returns must share no memory
    /// that is written to.
    #[inline]
    pub(crate) fn get_or_init(&self, make: impl Fn() -> T) -> &T {
        let number = thread_number();
        let (owner, first) = self.first.get_or_init(|| (number, make()));
        if *owner == number {
            return first;
        }
        let others = || (0..*SLOTS).map(|_| OnceLock::new()).collect();
        let others = self.others.get_or_init(others);
        others[number & (others.len() - 1)].get_or_init(make)
    }
}

/// Returns the number of this thread: threads are numbered in the order of their first call.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn threads_have_copies_of_their_own() {
        let per_thread = PerThread::new();
        let copy = || std::ptr::from_ref(per_thread.get_or_init(|| 0)).addr();
        assert_eq!(copy(), copy());
        let on_another_thread =
            |_| thread::scope(|scope| scope.spawn(copy).join().expect("a look-up does not panic"));
        // Threads of other tests may have some of the numbers.
        let copies = (0..100).map(on_another_thread).collect::<BTreeSet<_>>();
        assert_eq!(copies.len(), *SLOTS);
        assert!(!copies.contains(&copy()));
    }
}
