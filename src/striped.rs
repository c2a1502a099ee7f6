//! What all threads use, kept so that they do not have to share it.

use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A value of which threads that run at the same time hardly ever see the same copy.
///
/// To count a reference is to write to memory. Where two cores write to the same, each
/// has to wait for the other, and that costs more than anything else in a request.
#[derive(Debug)]
pub(crate) struct Striped<T>(OnceLock<Box<[OnceLock<T>]>>);

/// As many as there are cores, but each takes memory.
static COPIES: LazyLock<usize> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.next_power_of_two().min(8)
});

impl<T> Striped<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The copy for this thread. What `make` makes must share nothing that is written to
    /// with what it makes another time.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let copies = self.0.get_or_init(|| (0..*COPIES).map(|_| OnceLock::new()).collect());
        copies[thread_number() & (copies.len() - 1)].get_or_init(make)
    }
}

/// Threads that are started one after the other have numbers one after the other.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn threads_have_copies_of_their_own() {
        let striped = Striped::new();
        let copy = || std::ptr::from_ref(striped.get_or_init(|| 0)).addr();
        assert_eq!(copy(), copy());
        let on_another_thread = |_| thread::scope(|scope| scope.spawn(copy).join().unwrap());
        // Threads of other tests may have some of the numbers.
        let copies = (0..100).map(on_another_thread).collect::<BTreeSet<_>>();
        assert_eq!(copies.len(), *COPIES);
    }
}
