//! How is a future kept in a type that has to be `Sync`, although the user's futures need not be?
//! In a lock that nobody ever waits for.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

/// A boxed future that only its owner can poll.
pub(crate) struct Unshared<T>(Mutex<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Unshared<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(future)))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let future = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        future.as_mut().poll(cx)
    }
}
