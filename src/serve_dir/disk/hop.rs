//! Who waits for the disk? A thread of tokio's blocking pool, and only if something may be waited
//! for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// What the disk has said, at once or from another thread.
#[derive(Debug)]
pub struct DiskFuture<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Ready(io::Result<T>),
    Hop(JoinHandle<io::Result<T>>),
    Done,
}

/// Runs this where it may block. Outside a runtime that is here.
///
/// If the future is dropped, the work goes on to its end, which is one read away, and its result
/// is dropped there.
pub(super) fn hop<T, W>(work: W) -> DiskFuture<T>
where
    T: Send + 'static,
    W: FnOnce() -> io::Result<T> + Send + 'static,
{
    match Handle::try_current() {
        Ok(runtime) => DiskFuture(State::Hop(runtime.spawn_blocking(work))),
        Err(_) => DiskFuture::ready(work()),
    }
}

impl<T> DiskFuture<T> {
    pub(super) fn ready(result: io::Result<T>) -> Self {
        Self(State::Ready(result))
    }
}

/// Nothing in it is pinned.
impl<T> Unpin for DiskFuture<T> {}

impl<T> Future for DiskFuture<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if let State::Hop(task) = &mut self.0 {
            let joined = std::task::ready!(Pin::new(task).poll(cx));
            self.0 = State::Ready(joined.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
        match std::mem::replace(&mut self.0, State::Done) {
            State::Ready(result) => Poll::Ready(result),
            _ => Poll::Ready(Err(io::Error::other("polled after it was ready"))),
        }
    }
}
