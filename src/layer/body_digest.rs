//! How does a body get a digest before its header is sent? It is held back until its end, and
//! then replayed as it came.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

use crate::layer::body::{BoxError, poll_inner};

/// A body that is being read to its end.
pub(crate) struct BodyDigest<B> {
    held: Held<B>,
    sha256: Sha256,
    left: u64,
}

/// The frames of a body so far, in order, and where the rest comes from.
pub(crate) struct Held<B> {
    frames: VecDeque<Frame<Bytes>>,
    error: Option<BoxError>,
    /// Boxed, because the body is pinned once it has been polled, but has to move from the
    /// response future into the response.
    rest: Option<Pin<Box<B>>>,
}

impl<B> BodyDigest<B>
where
    B: Body<Error: Into<BoxError>>,
{
    /// `length` is the exact length that the body has announced.
    pub(crate) fn new(body: B, length: u64) -> Self {
        let held = Held { frames: VecDeque::new(), error: None, rest: Some(Box::pin(body)) };
        Self { held, sha256: Sha256::new(), left: length }
    }

    /// Polls for the digest. It is ready once the body has ended with the announced length.
    /// Returns `None` if the body ends early, and as soon as it fails or exceeds that length.
    /// The held frames and all that follow must then pass as they are.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<[u8; 32]>> {
        while let Some(body) = &mut self.held.rest {
            match ready!(poll_inner(body.as_mut(), cx)) {
                None => {
                    self.held.rest = None;
                    let digest = self.sha256.finalize_reset().into();
                    return Poll::Ready((self.left == 0).then_some(digest));
                }
                Some(Err(error)) => {
                    self.held.error = Some(error);
                    self.held.rest = None;
                    return Poll::Ready(None);
                }
                Some(Ok(frame)) => {
                    let is_hashed = frame.data_ref().is_none_or(|data| self.hash(data));
                    self.held.frames.push_back(frame);
                    if !is_hashed {
                        return Poll::Ready(None);
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    /// Returns `false` if the data exceeds the announced length.
    fn hash(&mut self, data: &Bytes) -> bool {
        let Some(left) = self.left.checked_sub(data.len() as u64) else { return false };
        self.left = left;
        self.sha256.update(data);
        true
    }
}

impl<B> BodyDigest<B> {
    pub(crate) fn into_held(self) -> Held<B> {
        self.held
    }
}

impl<B> Held<B>
where
    B: Body<Error: Into<BoxError>>,
{
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => poll_inner(rest.as_mut(), cx),
            None => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let has_ended = self.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
        self.frames.is_empty() && self.error.is_none() && has_ended
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let data = self.frames.iter().filter_map(Frame::data_ref);
        let held = data.map(|data| data.len() as u64).sum::<u64>();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            // How much was to follow the error is unknown.
            None if self.error.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
