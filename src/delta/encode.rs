//! How is one file written as a delta of another? As the body of a response with
//! `Content-Encoding: dcz` (RFC 9842 §5).

use std::io::{self, Cursor};

use bytes::Bytes;
use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

/// What a body begins with: a skippable frame, whose content is the digest of the dictionary.
const MAGIC: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0];

/// How long the part before the frame of the content is.
pub(super) const HEAD: usize = MAGIC.len() + 32;

/// The largest dictionary and the largest content of a delta, each: the encoder has both in
/// memory, and a decoder both and more.
pub(crate) const LARGEST: u64 = 64 << 20;

/// What the tables of the encoder take at most. Measured: 9.4 MiB for two files of 64 MiB.
const TABLES: u64 = 10 << 20;

/// Every decoder has a window of this size (RFC 9842 §5).
const SMALLEST_LIMIT: u64 = 8 << 20;

/// No decoder needs a larger window, whatever the dictionary (RFC 9842 §5).
pub(super) const LARGEST_WINDOW: u64 = 128 << 20;

/// The smallest window that a frame can announce has 1 KiB (RFC 8878 §3.1.1.1.2).
const SMALLEST_WINDOW_LOG: u32 = 10;

/// Returns the whole body that gives `content` to a client that has `dictionary`.
///
/// It may be larger than the content, if the two have nothing in common.
///
/// # Errors
///
/// If one of the two is larger than [`LARGEST`], or if there is no memory.
pub(crate) fn encode(
    dictionary: &[u8],
    dictionary_sha256: &[u8; 32],
    content: &[u8],
) -> io::Result<Bytes> {
    if length(dictionary) > LARGEST || length(content) > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a delta"));
    }
    let mut body = Vec::new();
    body.try_reserve_exact(HEAD + compress_bound(content.len()))?;
    write_head(dictionary_sha256, &mut body);
    write_frame(dictionary, content, &mut body).map_err(io::Error::other)?;
    body.shrink_to_fit();
    Ok(body.into())
}

/// Returns an upper limit of the bytes of memory that are taken while a delta is made, both
/// files included. Measured for two files of 64 MiB: 201 MiB of 203 if they have nothing in
/// common, 137 MiB if they are nearly equal.
pub(crate) fn memory_of(dictionary: u64, content: u64) -> u64 {
    let body = content.saturating_add(content / 128).saturating_add(1 << 10);
    dictionary.saturating_add(content).saturating_add(body).saturating_add(TABLES)
}

/// Writes the part of a body before its frame.
pub(super) fn write_head(dictionary_sha256: &[u8; 32], body: &mut Vec<u8>) {
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(dictionary_sha256);
}

/// Appends the frame. A context cannot be used again: it borrows the dictionary.
fn write_frame(dictionary: &[u8], content: &[u8], body: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut context = CCtx::try_create().ok_or("no memory")?;
    for parameter in [
        CParameter::CompressionLevel(3),
        // Level 3 alone forgets most of a dictionary of more than 1 MiB.
        CParameter::EnableLongDistanceMatching(true),
        CParameter::WindowLog(window_log(length(dictionary), length(content))),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(get_error_name)?;
    }
    context.ref_prefix(dictionary).map_err(get_error_name)?;
    let mut rest = Cursor::new(body);
    rest.set_position(length(rest.get_ref()));
    context.compress2(&mut rest, content).map_err(get_error_name)?;
    Ok(())
}

/// Returns the largest window that a client must have for a dictionary of this size.
fn window_limit(dictionary: u64) -> u64 {
    dictionary.saturating_add(dictionary / 4).clamp(SMALLEST_LIMIT, LARGEST_WINDOW)
}

/// Returns the size of the encoder's window, as a power of two.
///
/// Up to the limit, the content is one segment: its own size is the window that the frame
/// announces, and each of its bytes can refer to the whole dictionary. So the encoder may look
/// as far back as it likes. Above, it looks back as far as the client is sure to do.
fn window_log(dictionary: u64, content: u64) -> u32 {
    let limit = window_limit(dictionary);
    if content > limit {
        return limit.ilog2();
    }
    let reach = (dictionary + content).clamp(1, LARGEST_WINDOW).next_power_of_two();
    reach.ilog2().max(SMALLEST_WINDOW_LOG)
}

fn length(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};
    use zstd::zstd_safe::{DCtx, DParameter};

    use super::*;

    /// Decodes a body, as a client does that has the dictionary.
    pub(in crate::delta) fn decode(dictionary: &[u8], sha256: &[u8; 32], body: &[u8]) -> Vec<u8> {
        assert_eq!(body[..8], [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
        assert_eq!(body[8..HEAD], *sha256);
        let size = announced(&body[HEAD..]).content.try_into().unwrap();
        let mut context = DCtx::create();
        context.set_parameter(DParameter::WindowLogMax(27)).unwrap();
        context.ref_prefix(dictionary).unwrap();
        let mut content = Vec::with_capacity(size);
        // The skippable frame as well.
        context.decompress(&mut content, body).unwrap();
        assert_eq!(content.len(), size);
        content
    }

    /// What the header of a frame announces.
    #[derive(Debug)]
    pub(in crate::delta) struct Announced {
        pub(in crate::delta) window: u64,
        pub(in crate::delta) content: u64,
    }

    /// Parses the header of a frame (RFC 8878 §3.1.1.1).
    pub(in crate::delta) fn announced(frame: &[u8]) -> Announced {
        assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        let descriptor = frame[4];
        let is_single_segment = descriptor & 0x20 != 0;
        assert_eq!(descriptor & 0x1f, 0, "no checksum, no dictionary id, nothing reserved");
        let (size, base) = match descriptor >> 6 {
            0 if is_single_segment => (1, 0),
            1 => (2, 256),
            2 => (4, 0),
            _ => panic!("a content size of {descriptor:#x}"),
        };
        let at = if is_single_segment { 5 } else { 6 };
        let mut field = [0; 8];
        field[..size].copy_from_slice(&frame[at..at + size]);
        let content = u64::from_le_bytes(field) + base;
        let (exponent, mantissa) = (frame[5] >> 3, u64::from(frame[5] & 7));
        let base = 1u64 << (10 + exponent);
        let window = if is_single_segment { content } else { base + base / 8 * mantissa };
        Announced { window, content }
    }

    /// Bytes that nothing can compress.
    pub(in crate::delta) fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let words = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    const DIGEST: [u8; 32] = *b"the digest of the dictionary ...";
    const MIB: usize = 1 << 20;

    /// How small a delta of noise is, of which nearly all is the same: the encoder cuts noise into
    /// blocks of 8 KiB, with some 13 bytes each.
    fn few(size: usize) -> usize {
        2000 + size / 500
    }

    #[test]
    fn a_large_file_with_a_small_change_is_a_small_delta() {
        for (name, size) in [("small", 20_000), ("medium", 3 * MIB), ("large", 12 * MIB)] {
            let old = noise(1, size);
            let mut new = old.clone();
            new.splice(size / 2..size / 2, *b"one new line");
            let body = encode(&old, &DIGEST, &new).unwrap();
            assert_eq!(decode(&old, &DIGEST, &body), new, "{name}");
            assert!(body.len() < few(size), "{name}: {}", body.len());
        }
    }

    #[test]
    fn pieces_that_have_moved_to_the_other_end_are_found() {
        for size in [MIB, 7 * MIB, 10 * MIB, 20 * MIB] {
            let old = noise(1, size);
            let mut new = old.clone();
            new.rotate_left(size / 2);
            let body = encode(&old, &DIGEST, &new).unwrap();
            assert_eq!(decode(&old, &DIGEST, &body), new, "{size}");
            assert!(body.len() < few(size), "{size}: {}", body.len());
        }
    }

    #[test]
    fn the_edges_of_empty_and_too_large() {
        for (old, new) in [("", ""), ("", "new"), ("old", ""), ("a", "a")] {
            let body = encode(old.as_bytes(), &DIGEST, new.as_bytes()).unwrap();
            assert_eq!(decode(old.as_bytes(), &DIGEST, &body), new.as_bytes(), "{old:?} {new:?}");
        }
        let large = vec![0; LARGEST as usize + 1];
        for (old, new) in [(&large[..], &b""[..]), (b"", &large)] {
            let error = encode(old, &DIGEST, new).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
    }

    #[test]
    fn the_window_is_within_the_limit_of_the_standard() {
        let content = vec![b'a'; 20 * MIB + 1];
        let around = |size: usize| [size - 1, size, size + 1];
        let mut sizes = vec![0, 1, 100, 1000, 5000, 300_000, 10 * MIB + MIB / 4];
        for size in [256, 1 << 10, 64 << 10, 128 << 10, MIB, 4 * MIB, 8 * MIB, 10 * MIB] {
            sizes.extend(around(size));
        }
        sizes.extend([16 * MIB, 20 * MIB, 20 * MIB + 1]);
        for dictionary in [0, 1000, 6_710_886, 6_710_887, 8 * MIB, 16 * MIB] {
            for &size in &sizes {
                let mut frame = Vec::with_capacity(compress_bound(size));
                write_frame(&content[..dictionary], &content[..size], &mut frame).unwrap();
                let announced = announced(&frame);
                let limit = (8 * MIB).max(dictionary * 5 / 4).min(128 * MIB) as u64;
                assert_eq!(announced.content, size as u64, "{dictionary} {size}");
                assert!(announced.window <= limit, "{dictionary} {size}: {announced:?}");
                let is_whole = announced.window >= announced.content;
                assert_eq!(is_whole, announced.content <= limit, "{dictionary} {size}");
            }
        }
    }

    #[test]
    fn the_window_log_covers_both_files_and_never_more_than_a_frame_may() {
        for (name, dictionary, content, expected) in [
            ("nothing", 0, 0, 10),
            ("small", 500, 500, 10),
            ("both files", 600, 600, 11),
            ("at 8 MiB", 8 << 20, 8 << 20, 24),
            ("new and large", 0, (8 << 20) + 1, 23),
            ("more than the dictionary times 1.25", 16 << 20, (20 << 20) + 1, 24),
            ("not more", 16 << 20, 20 << 20, 26),
            ("the largest", LARGEST, LARGEST, 27),
            ("larger", 1 << 40, 1 << 20, 27),
            ("larger both", 1 << 40, 1 << 40, 27),
        ] {
            assert_eq!(window_log(dictionary, content), expected, "{name}");
        }
    }

    /// One change of a file.
    #[derive(Clone, Debug)]
    enum Edit {
        Insert(Index, Vec<u8>),
        Delete(Index, Index),
        Swap(Index, Index),
        Repeat(Index),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (any::<Index>(), vec(any::<u8>(), 0..300)).prop_map(|(at, new)| Edit::Insert(at, new)),
            (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Delete(from, to)),
            (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
            any::<Index>().prop_map(Edit::Repeat),
        ]
    }

    fn apply(edit: &Edit, file: &mut Vec<u8>) {
        let position = |index: &Index| index.index(file.len() + 1);
        let ordered = |a, b| (position(a).min(position(b)), position(a).max(position(b)));
        match edit {
            Edit::Insert(at, new) => {
                let at = position(at);
                file.splice(at..at, new.iter().copied());
            }
            Edit::Delete(from, to) => {
                let (from, to) = ordered(from, to);
                file.drain(from..to.min(from + 1000));
            }
            Edit::Swap(a, b) => {
                let (a, b) = ordered(a, b);
                file[a..].rotate_left(b - a);
            }
            Edit::Repeat(at) => file.extend_from_within(position(at)..),
        }
        file.truncate(1 << 19);
    }

    fn file() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..2000),
            (any::<u64>(), 0..400_000_usize).prop_map(|(seed, length)| noise(seed, length)),
            (vec(any::<u8>(), 1..50), 0..5000_usize).prop_map(|(piece, times)| piece.repeat(times)),
            // Begins as a dictionary of another kind does, and is none.
            vec(any::<u8>(), 0..2000)
                .prop_map(|rest| [&[0x37, 0xa4, 0x30, 0xec][..], &rest].concat()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn an_edited_file_is_decoded(old in file(), edits in vec(edit(), 0..12)) {
            let mut new = old.clone();
            for edit in &edits {
                apply(edit, &mut new);
            }
            let body = encode(&old, &DIGEST, &new).unwrap();
            prop_assert!(decode(&old, &DIGEST, &body) == new);
        }

        #[test]
        fn an_unrelated_file_is_decoded(old in file(), new in file()) {
            let body = encode(&old, &DIGEST, &new).unwrap();
            prop_assert!(decode(&old, &DIGEST, &body) == new);
            prop_assert!(body.len() <= HEAD + 20 + new.len() + new.len() / 128);
        }
    }
}
