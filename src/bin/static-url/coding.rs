//! How is a file compressed ahead, and what is in a compressed one?
//!
//! The same bytes come out on every machine and at every time: no header has a name or a date,
//! and one thread makes one file.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
};

use brotli::enc::BrotliEncoderParams;
use clap::ValueEnum;
use flate2::Compression;

/// How many bytes are read at a time.
const BUFFER: usize = 64 * 1024;

/// A content coding in which a file can lie beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Coding {
    Gzip,
    Br,
    Zstd,
}

impl Coding {
    pub(crate) const ALL: [Self; 3] = [Self::Gzip, Self::Br, Self::Zstd];

    /// Returns the name that HTTP has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Returns what is appended to the name of a file.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Br => ".br",
            Self::Zstd => ".zst",
        }
    }

    /// Returns a file of some length in this coding, as small as it gets.
    pub(crate) fn encode<'f>(
        self,
        file: impl Read + 'f,
        length: u64,
    ) -> io::Result<Box<dyn Read + 'f>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::GzEncoder::new(file, Compression::best())),
            Self::Br => {
                let params = brotli_params(length);
                Box::new(brotli::CompressorReader::with_params(file, BUFFER, &params))
            }
            Self::Zstd => {
                /// The best that the window allows for which browsers have memory (RFC 9659).
                const LEVEL: i32 = 19;
                const WINDOW: u32 = 23;
                let mut encoder = zstd::stream::read::Encoder::new(file, LEVEL)?;
                encoder.set_pledged_src_size(Some(length))?;
                encoder.window_log(WINDOW)?;
                Box::new(encoder)
            }
        })
    }

    /// Whether a compressed file has exactly the content of another one.
    pub(crate) fn is_of(self, compressed: File, file: File) -> io::Result<bool> {
        let mut compressed = BufReader::with_capacity(BUFFER, compressed);
        let is_same = {
            let decoder: Box<dyn Read> = match self {
                Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(&mut compressed)),
                Self::Br => Box::new(brotli::Decompressor::new(&mut compressed, BUFFER)),
                Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(&mut compressed)?),
            };
            is_same(BufReader::with_capacity(BUFFER, decoder), BufReader::new(file))?
        };
        // Browsers and the layer want nothing behind the end.
        Ok(is_same && compressed.fill_buf()?.is_empty())
    }
}

fn brotli_params(length: u64) -> BrotliEncoderParams {
    /// Larger windows are not for browsers on small machines.
    const LARGEST: u32 = 22;
    const SMALLEST: u32 = 16;
    // A window that holds the whole file: less memory for both sides, and the same bytes.
    let bits = u64::BITS - length.saturating_add(16).leading_zeros();
    let lgwin = bits.clamp(SMALLEST, LARGEST) as i32;
    let size_hint = usize::try_from(length).unwrap_or(usize::MAX);
    BrotliEncoderParams { quality: 11, lgwin, size_hint, ..BrotliEncoderParams::default() }
}

fn is_same(mut one: impl io::BufRead, mut other: impl io::BufRead) -> io::Result<bool> {
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let length = a.len().min(b.len());
        if a[..length] != b[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(a.len() == b.len());
        }
        one.consume(length);
        other.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek as _, Write as _};

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    fn encoded(coding: Coding, content: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        let mut encoder = coding.encode(content, content.len() as u64).unwrap();
        encoder.read_to_end(&mut encoded).unwrap();
        encoded
    }

    #[test]
    fn what_is_in_a_compressed_file() {
        let content = b"body { color: teal }\n".repeat(3_000);
        let (short, empty) = (&content[..21], &b""[..]);
        for coding in Coding::ALL {
            for content in [&content, short, empty] {
                let whole = encoded(coding, content);
                let is_of = |compressed: &[u8], content: &[u8]| {
                    coding.is_of(file(compressed), file(content)).unwrap_or(false)
                };
                assert!(is_of(&whole, content), "{coding:?}");
                assert!(!is_of(&whole, &[content, b"x"].concat()), "{coding:?}: longer");
                assert!(!is_of(&whole, b"body { color: navy }\n"), "{coding:?}: other");
                assert!(!is_of(&whole[..whole.len() - 1], content), "{coding:?}: cut off");
                assert!(!is_of(b"plain", content), "{coding:?}: not compressed");
                assert!(!is_of(b"", content), "{coding:?}: nothing");
                if coding == Coding::Gzip {
                    let more = [&*whole, b"more"].concat();
                    assert!(!is_of(&more, content), "more behind it");
                }
            }
        }
    }

    /// RFC 1952 §2.3.1: no flags, hence no name; and no time.
    #[test]
    fn a_gzip_has_neither_name_nor_date() {
        let gzip = encoded(Coding::Gzip, b"hello");
        assert_eq!(gzip[..9], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn browsers_have_memory_for_the_window() {
        for (length, lgwin) in [
            (0, 16),
            (65_519, 16),
            (65_520, 17),
            (4_194_287, 22),
            (4_194_288, 22),
            (u64::MAX - 16, 22),
        ] {
            assert_eq!(brotli_params(length).lgwin, lgwin, "{length}");
        }
    }
}
