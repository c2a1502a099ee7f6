//! Is a value a byte sequence? Structured fields, RFC 9651 §3.3.5:
//!
//! ```text
//! sf-binary = ":" base64 ":"
//! base64    = *( ALPHA / DIGIT / "+" / "/" ) *"="
//! ```

use std::sync::LazyLock;

use data_encoding::{BASE64_NOPAD, Encoding};

/// Parses a field value that is one byte sequence of `N` bytes, and nothing else: no list, and
/// no parameters, which a field may give a meaning to.
pub(crate) fn parse<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let base64 = value.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
    let (encoded, padding) = base64.split_at_checked(BASE64.encode_len(N))?;
    let missing = encoded.len().next_multiple_of(4) - encoded.len();
    // §4.2.7: all of the padding may be missing.
    if !padding.is_empty() && b"==".get(..missing) != Some(padding) {
        return None;
    }
    let mut bytes = [0; N];
    let length = BASE64.decode_mut(encoded, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

/// Without padding. The bits that are left over may be anything (§4.2.7).
static BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().unwrap_or(BASE64_NOPAD)
});

#[cfg(test)]
mod tests {
    use data_encoding::BASE64 as PADDED;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_of_four_bytes() {
        for (name, value, expected) in [
            ("padded", ":YWJjZA==:", Some(b"abcd")),
            ("without padding", ":YWJjZA:", Some(b"abcd")),
            ("bits left over", ":YWJjZB==:", Some(b"abcd")),
            ("spaces around", " :YWJjZA==: ", Some(b"abcd")),
            ("every alphabet", ":+/Zz0w==:", Some(b"\xfb\xf6\x73\xd3")),
            ("half the padding", ":YWJjZA=:", None),
            ("too much padding", ":YWJjZA===:", None),
            ("far too much", ":YWJjZA======:", None),
            ("shorter", ":YWJj:", None),
            ("longer", ":YWJjZGU=:", None),
            ("much longer", ":YWJjZGVmZ2g=:", None),
            ("empty", "::", None),
            ("one colon", ":", None),
            ("nothing", "", None),
            ("not closed", ":YWJjZA==", None),
            ("not opened", "YWJjZA==:", None),
            ("spaces inside", ": YWJjZA==:", None),
            ("URL-safe alphabet", ":-_Zz0w==:", None),
            ("padding inside", ":YW==ZA==:", None),
            ("a parameter", ":YWJjZA==:;a", None),
            ("a list", ":YWJjZA==:, :YWJjZA==:", None),
            ("a string", "\"YWJjZA==\"", None),
            ("a key", "a=:YWJjZA==:", None),
        ] {
            assert_eq!(parse::<4>(value.as_bytes()), expected.copied(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(bytes in any::<[u8; 32]>()) {
            let padded = format!(":{}:", PADDED.encode(&bytes));
            prop_assert_eq!(parse(padded.as_bytes()), Some(bytes));
            prop_assert_eq!(parse(padded.replace('=', "").as_bytes()), Some(bytes));
        }

        #[test]
        fn nothing_else_is_read(bytes in any::<[u8; 5]>(), at in 0..10_usize, byte in any::<u8>()) {
            let mut value = format!(":{}:", PADDED.encode(&bytes)).into_bytes();
            value[at] = byte;
            if let Some(read) = parse::<5>(&value) {
                let again = format!(":{}:", PADDED.encode(&read)).into_bytes();
                // All but the bits that are left over.
                prop_assert!(again[..7] == value[..7] && again[8..] == value[8..]);
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            parse::<0>(&value);
            parse::<1>(&value);
            parse::<32>(&value);
        }
    }
}
