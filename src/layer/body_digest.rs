//! The SHA-256 of a body that is held back until its end, and then given on as it
//! came.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// A body being read to its end. The box is its home while it moves from the
/// response future into the response: it has been polled, and may not move itself.
pub(crate) struct BodyDigest<B, D, E> {
    held: Held<B, D, E>,
    sha256: Sha256,
    left: u64,
}

/// What a body has given so far, in order, and where the rest comes from.
pub(crate) struct Held<B, D, E> {
    frames: VecDeque<Frame<D>>,
    error: Option<E>,
    rest: Option<Pin<Box<B>>>,
}

/// What [`Body::poll_frame`] is ready with.
type NextFrame<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

impl<B: Body> BodyDigest<B, B::Data, B::Error> {
    /// `length` is what the body says it has.
    pub(crate) fn new(body: B, length: u64) -> Self {
        let held = Held { frames: VecDeque::new(), error: None, rest: Some(Box::pin(body)) };
        Self { held, sha256: Sha256::new(), left: length }
    }

    /// Ready with the digest once the body has ended as it said it would. Ready
    /// with `None` as soon as it has failed, or turns out to be longer: then what
    /// is held, and all that follows, has to pass as it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<[u8; 32]>> {
        while let Some(body) = &mut self.held.rest {
            match ready!(body.as_mut().poll_frame(cx)) {
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

    /// `false` for data that is too much, or lies in pieces that cannot be read
    /// without taking them.
    fn hash(&mut self, data: &B::Data) -> bool {
        let chunk = data.chunk();
        let Some(left) = self.left.checked_sub(chunk.len() as u64) else { return false };
        self.left = left;
        self.sha256.update(chunk);
        chunk.len() == data.remaining()
    }
}

impl<B, D, E> BodyDigest<B, D, E> {
    pub(crate) fn into_held(self) -> Held<B, D, E> {
        self.held
    }
}

impl<B: Body> Held<B, B::Data, B::Error> {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame<B>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let has_ended = self.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
        self.frames.is_empty() && self.error.is_none() && has_ended
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let data = self.frames.iter().filter_map(Frame::data_ref);
        let held = data.map(|data| data.remaining() as u64).sum::<u64>();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            // What would have come after an error is not known.
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
