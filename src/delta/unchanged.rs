//! What is the delta of a file that has not changed? A few bytes, which are made without reading
//! the file: one reference to the whole dictionary.

use bytes::Bytes;

use super::encode::{HEAD, LARGEST_WINDOW, write_head};

/// The sizes of frames and blocks are those of RFC 8878 §3.1.1.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const FOUR_BYTES_OF_CONTENT_SIZE: u8 = 2 << 6;
const SINGLE_SEGMENT: u8 = 1 << 5;
const WINDOW_OF_1_KIB: u8 = 0;
const LARGEST_BLOCK: u32 = 128 << 10;
const COMPRESSED_BLOCK: u32 = 2;
const NO_LITERALS: u8 = 0;
const ALL_TABLES_OF_ONE_SYMBOL: u8 = 0b01_01_01_00;

/// How long the header of the frame and a block are at most here.
const LARGEST_HEADER: usize = 10;
const LARGEST_CODED_BLOCK: usize = 15;

/// A match is not shorter than this.
const SHORTEST_MATCH: u32 = 3;

/// Returns the whole body for a client whose dictionary is the content itself, and `None` where
/// it cannot be written: of a file of less than 3 bytes, or of more than 128 MiB.
pub(crate) fn unchanged(sha256: &[u8; 32], length: u64) -> Option<Bytes> {
    if !(u64::from(SHORTEST_MATCH)..=LARGEST_WINDOW).contains(&length) {
        return None;
    }
    let length = u32::try_from(length).ok()?;
    let blocks = length.div_ceil(LARGEST_BLOCK) as usize;
    let mut body = Vec::with_capacity(HEAD + LARGEST_HEADER + LARGEST_CODED_BLOCK * blocks);
    write_head(sha256, &mut body);
    write_header(length, &mut body);
    let mut rest = length;
    while rest > 0 {
        let size = next_block(rest);
        rest -= size;
        write_block(length, size, rest == 0, &mut body);
    }
    Some(body.into())
}

/// Writes the header of the frame. The window of a single segment is its content. Since it also
/// limits a block, which may be larger than a few bytes of content, small files have another.
fn write_header(length: u32, body: &mut Vec<u8>) {
    body.extend_from_slice(&MAGIC);
    if length < 1 << 10 {
        body.extend_from_slice(&[FOUR_BYTES_OF_CONTENT_SIZE, WINDOW_OF_1_KIB]);
    } else {
        body.push(FOUR_BYTES_OF_CONTENT_SIZE | SINGLE_SEGMENT);
    }
    body.extend_from_slice(&length.to_le_bytes());
}

/// Returns how much of the rest the next block has, so that none is shorter than a match.
fn next_block(rest: u32) -> u32 {
    if rest <= LARGEST_BLOCK {
        rest
    } else if rest < LARGEST_BLOCK + SHORTEST_MATCH {
        LARGEST_BLOCK - SHORTEST_MATCH
    } else {
        LARGEST_BLOCK
    }
}

/// Writes a block of one sequence: no literals, and `size` bytes from where they are in the
/// dictionary, which always is the length of the file back.
fn write_block(length: u32, size: u32, is_last: bool, body: &mut Vec<u8>) {
    // Smaller values name an earlier offset (RFC 8878 §3.1.1.3.2.1.1).
    let offset = Code::of_offset(length + 3);
    let matched = Code::of_match(size);
    let literals_code = 0;
    let mut content = vec![NO_LITERALS, 1, ALL_TABLES_OF_ONE_SYMBOL];
    content.extend_from_slice(&[literals_code, offset.symbol, matched.symbol]);
    content.extend_from_slice(&bits(&offset, &matched));
    let header = u32::from(is_last) | COMPRESSED_BLOCK << 1 | (content.len() as u32) << 3;
    body.extend_from_slice(&header.to_le_bytes()[..3]);
    body.extend_from_slice(&content);
}

/// Returns the extra bits of the sequence. They are read from the end: after the highest bit
/// that is set come those of the offset, then those of the match. A table with one symbol needs
/// no bits for its state.
fn bits(offset: &Code, matched: &Code) -> Vec<u8> {
    let end = 1 << offset.width | u64::from(offset.extra);
    let bits = end << matched.width | u64::from(matched.extra);
    let size = (bits.ilog2() / 8 + 1) as usize;
    bits.to_le_bytes()[..size].to_vec()
}

/// A number as the symbol of a range and `width` bits that say where in it.
#[derive(Debug, PartialEq, Eq)]
struct Code {
    symbol: u8,
    width: u32,
    extra: u32,
}

/// The first symbol, its first length and the width of the ranges of long matches: from there
/// on, each symbol has one (RFC 8878 §3.1.1.3.2.1.1).
const MATCHES: [(u8, u32, u32); 21] = [
    (32, 35, 1),
    (33, 37, 1),
    (34, 39, 1),
    (35, 41, 1),
    (36, 43, 2),
    (37, 47, 2),
    (38, 51, 3),
    (39, 59, 3),
    (40, 67, 4),
    (41, 83, 4),
    (42, 99, 5),
    (43, 131, 7),
    (44, 259, 8),
    (45, 515, 9),
    (46, 1027, 10),
    (47, 2051, 11),
    (48, 4099, 12),
    (49, 8195, 13),
    (50, 16387, 14),
    (51, 32771, 15),
    (52, 65539, 16),
];

impl Code {
    fn of_offset(value: u32) -> Self {
        let width = value.ilog2();
        Self { symbol: width as u8, width, extra: value - (1 << width) }
    }

    /// Returns the code of a match of at least [`SHORTEST_MATCH`].
    fn of_match(length: u32) -> Self {
        match MATCHES.iter().rev().find(|(_, first, _)| *first <= length) {
            Some(&(symbol, first, width)) => Self { symbol, width, extra: length - first },
            None => Self { symbol: (length - SHORTEST_MATCH) as u8, width: 0, extra: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use proptest::prelude::*;

    use super::*;
    use crate::delta::encode::tests::{announced, decode, noise};

    const DIGEST: [u8; 32] = *b"the digest of an unchanged file.";
    const BLOCK: usize = LARGEST_BLOCK as usize;

    /// Lengths at which something else happens.
    fn edges() -> impl Iterator<Item = usize> {
        let small = 3..=2100;
        let blocks = (1..=3).flat_map(|count| count * BLOCK - 10..=count * BLOCK + 10);
        let codes = MATCHES.iter().flat_map(|(_, first, _)| first - 2..first + 2);
        let powers = (10..22).flat_map(|log| (1 << log) - 5..=(1 << log) + 5);
        small.chain(blocks).chain(codes.map(|length| length as usize)).chain(powers)
    }

    #[test]
    fn every_length_at_an_edge_is_decoded() {
        let file = noise(1, 4 << 20);
        for length in edges() {
            let body = unchanged(&DIGEST, length as u64).unwrap();
            let content = &file[..length];
            assert!(decode(content, &DIGEST, &body) == content, "{length}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_none() {
        for (length, is_written) in [
            (0, false),
            (1, false),
            (2, false),
            (3, true),
            (LARGEST_WINDOW, true),
            (LARGEST_WINDOW + 1, false),
            (1 << 32, false),
            (u64::MAX, false),
        ] {
            assert_eq!(unchanged(&DIGEST, length).is_some(), is_written, "{length}");
        }
    }

    #[test]
    fn a_file_of_any_usual_size_is_a_few_bytes() {
        for (length, at_most) in [(3, 60), (1000, 62), (65_000, 63), (BLOCK, 63), (3 << 20, 410)] {
            let size = unchanged(&DIGEST, length as u64).unwrap().len();
            assert!(size <= at_most, "{length}: {size}");
        }
    }

    #[test]
    fn the_window_is_the_file() {
        for length in [3, 1023, 1024, 1025, 9 << 20, LARGEST_WINDOW] {
            let body = unchanged(&DIGEST, length).unwrap();
            let announced = announced(&body[HEAD..]);
            assert_eq!((announced.content, announced.window), (length, length.max(1024)));
        }
    }

    #[test]
    fn the_largest_file_is_decoded() {
        let content = noise(1, LARGEST_WINDOW as usize);
        let body = unchanged(&DIGEST, LARGEST_WINDOW).unwrap();
        assert!(decode(&content, &DIGEST, &body) == content);
    }

    /// What the command makes of a frame with a dictionary.
    fn decode_by_command(content: &[u8], frame: &[u8], option: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let (old, delta) = (directory.path().join("old"), directory.path().join("delta.zst"));
        fs::write(&old, content).unwrap();
        fs::write(&delta, frame).unwrap();
        let mut command = Command::new("zstd");
        match option {
            "-D" => command.arg("-D").arg(&old),
            _ => command.arg(format!("{option}={}", old.display())),
        };
        let output =
            command.args(["-d", "-c", "-q", "--memory=200MB"]).arg(&delta).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    #[ignore = "needs the command zstd"]
    fn the_command_decodes_it() {
        let file = noise(1, 40 << 20);
        let odd = [3, 4, 7, 12, 255, 256, 1000, 1023, 1024, 9_000_001, 40 << 20];
        let edges = edges().filter(|length| *length > 2100).step_by(7);
        for length in odd.into_iter().chain(edges) {
            let (content, body) = (&file[..length], unchanged(&DIGEST, length as u64).unwrap());
            let decoded = decode_by_command(content, &body[HEAD..], "--patch-from");
            assert!(decoded == content, "{length}");
            // The command takes no larger dictionary, and 8 bytes at least.
            if (8..=32 << 20).contains(&length) {
                assert!(decode_by_command(content, &body[HEAD..], "-D") == content, "-D {length}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn any_file_is_decoded(seed: u64, length in 3..6_000_000_usize) {
            let content = noise(seed, length);
            let body = unchanged(&DIGEST, length as u64).unwrap();
            prop_assert!(decode(&content, &DIGEST, &body) == content);
        }

        #[test]
        fn the_rest_is_split_into_whole_matches(length in 3..1_000_000_u32) {
            let mut rest = length;
            while rest > 0 {
                let size = next_block(rest);
                prop_assert!((SHORTEST_MATCH..=LARGEST_BLOCK).contains(&size));
                rest -= size;
            }
        }
    }
}
