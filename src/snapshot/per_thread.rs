//! What all threads use, kept so that they do not have to share it.

use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A value of which each thread sees a copy that few others see at the same time.
///
/// To count a reference is to write to memory. Where two cores write to the same, each
/// has to wait for the other, and that costs more than anything else in a request.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    /// Of the thread that came first. Most files of a large tree are asked for by one
    /// thread, if at all, and take no more than this.
    first: OnceLock<(usize, T)>,
    others: OnceLock<Box<[OnceLock<T>]>>,
}

/// How many there are beside the first: one for each core, and no more than eight, since
/// each takes memory.
static COPIES: LazyLock<usize> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.next_power_of_two().min(8)
});

/// Asks the system for what would otherwise be asked for in the middle of a request.
pub(crate) fn prepare() {
    LazyLock::force(&COPIES);
}

impl<T> Striped<T> {
    pub(crate) const fn new() -> Self {
        Self { first: OnceLock::new(), others: OnceLock::new() }
    }

    /// The copy for this thread. What `make` makes must share nothing that is written to
    /// with what it makes another time.
    pub(crate) fn get_or_init(&self, make: impl Fn() -> T) -> &T {
        let number = thread_number();
        let (owner, first) = self.first.get_or_init(|| (number, make()));
        if *owner == number {
            return first;
        }
        let others = || (0..*COPIES).map(|_| OnceLock::new()).collect();
        let others = self.others.get_or_init(others);
        others[number & (others.len() - 1)].get_or_init(make)
    }
}

/// Threads that are started one after the other have numbers one after the other.
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
        let striped = Striped::new();
        let copy = || std::ptr::from_ref(striped.get_or_init(|| 0)).addr();
        assert_eq!(copy(), copy());
        let on_another_thread =
            |_| thread::scope(|scope| scope.spawn(copy).join().expect("a look-up does not panic"));
        // Threads of other tests may have some of the numbers.
        let copies = (0..100).map(on_another_thread).collect::<BTreeSet<_>>();
        assert_eq!(copies.len(), *COPIES);
        assert!(!copies.contains(&copy()));
    }
}
