//! The memory into which other threads read.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// How much is read in one hop: enough that the hop costs little beside the copying.
pub(super) const LENGTH: usize = 256 * 1024;

/// How many are kept for the next read: 4 MiB. More are in use only while more files are read
/// that are not in the page cache.
const KEPT: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Box<[u8]>>>>);

/// What was read of a file, until it is sent.
pub(super) struct Part {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    home: Buffers,
}

impl Buffers {
    /// Fills a buffer by this function, which returns how much it has read.
    pub(super) fn fill(
        &self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Part> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; LENGTH].into_boxed_slice());
        let mut part = Part { bytes, start: 0, end: 0, home: self.clone() };
        part.end = read(&mut part.bytes)?;
        Ok(part)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn give_back(&self, bytes: Box<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(bytes);
        }
    }
}

impl Part {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// What is left of it if the next byte is not this one of the file but that one.
    pub(super) fn skip(mut self, from: u64, to: u64) -> Option<Self> {
        let count = usize::try_from(to.checked_sub(from)?).ok()?;
        self.advance(count);
        (!self.bytes().is_empty()).then_some(self)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} bytes)", self.bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_and_bounded() {
        let buffers = Buffers::default();
        let kept = || buffers.kept();
        let part = || buffers.fill(|bytes| Ok(bytes.len().min(5))).unwrap();
        drop(part());
        assert_eq!(kept(), 1);
        let parts: Vec<Part> = std::iter::repeat_with(part).take(KEPT + 9).collect();
        assert_eq!(kept(), 0);
        drop(parts);
        assert_eq!(kept(), KEPT);
        assert!(buffers.fill(|_| Err(io::ErrorKind::Other.into())).is_err());
        assert_eq!(kept(), KEPT);
    }

    #[test]
    fn a_part_is_used_up() {
        let part = Buffers::default().fill(|bytes| {
            bytes[..5].copy_from_slice(b"hello");
            Ok(5)
        });
        let mut part = part.unwrap();
        for expected in [b"hello".as_slice(), b"llo", b""] {
            assert_eq!(part.bytes(), expected);
            part.advance(if expected.len() == 5 { 2 } else { 9 });
        }
    }
}
