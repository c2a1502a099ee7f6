//! Does a request ask for a delta, and against which dictionary?

use http::{HeaderMap, Method};

use crate::header::{
    AVAILABLE_DICTIONARY, SEC_FETCH_SITE, byte_sequence, content_coding::names, head::RequestFields,
};

/// The coding of a delta that was made by zstd (RFC 9842 §5).
pub(crate) const DCZ: &str = "dcz";

/// Returns the SHA-256 of the dictionary that the client has, if it may get a delta against it.
/// `None` is always right: then the response is what it would be without deltas.
///
/// `Dictionary-ID` does not matter. It comes back only if the dictionary was offered with an id
/// (§2.3), and the layer offers none.
pub(crate) fn asked_dictionary(method: &Method, headers: &HeaderMap) -> Option<[u8; 32]> {
    let dictionary = available_dictionary(headers)?;
    let is_asked = matches!(*method, Method::GET | Method::HEAD)
        && names(headers, DCZ)
        && !is_cross_site(headers)
        && is_for_whole_file(RequestFields::of(headers));
    is_asked.then_some(dictionary)
}

/// Parses `Available-Dictionary` (§2.2). A client has one dictionary at most for a request, so
/// two lines, a list, and parameters, of which the RFC defines none, are malformed.
fn available_dictionary(headers: &HeaderMap) -> Option<[u8; 32]> {
    let mut lines = headers.get_all(AVAILABLE_DICTIONARY).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    byte_sequence::parse(line.as_bytes())
}

/// Whether a page of another site asks. The length of a delta tells about what the browser has
/// from earlier visits, and that page may be able to see it (§9.3). A client that does not say
/// it is no browser that has such pages.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(SEC_FETCH_SITE).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|byte| b",;".contains(byte)));
    values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"cross-site"))
}

/// Whether a request is for a whole file, and for everybody's. A delta has a weak tag, with
/// which `If-Match` and `If-Range` never agree.
fn is_for_whole_file(fields: RequestFields) -> bool {
    !(fields.authorization || fields.precondition || fields.if_range || fields.range)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What RFC 9842 §2.2 has as its example.
    const DICTIONARY: &str = ":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:";
    const ANOTHER: &str = ":YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=:";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn asks(method: Method, more: &[(&'static str, &str)]) -> bool {
        let usual = [("available-dictionary", DICTIONARY), ("accept-encoding", "gzip, dcz")];
        asked_dictionary(&method, &headers(&[&usual[..], more].concat())).is_some()
    }

    #[test]
    fn the_digest() {
        let usual = headers(&[("available-dictionary", DICTIONARY), ("accept-encoding", "dcz")]);
        let sha256 = asked_dictionary(&Method::GET, &usual).unwrap();
        assert_eq!(sha256[..4], [0xa5, 0x91, 0xa6, 0xd4]);
        assert_eq!(sha256[28..], [0xad, 0x9f, 0x14, 0x6e]);
    }

    #[test]
    fn dictionaries() {
        for (name, lines, expected) in [
            ("one", &[DICTIONARY][..], true),
            ("none", &[], false),
            ("the same twice", &[DICTIONARY, DICTIONARY], false),
            ("two lines", &[DICTIONARY, ANOTHER], false),
            ("an empty line besides", &[DICTIONARY, ""], false),
            ("a list", &[&format!("{DICTIONARY}, {ANOTHER}")], false),
            ("a parameter", &[&format!("{DICTIONARY};a=1")], false),
            ("a digest of another length", &[":YWJj:"], false),
            (
                "hexadecimal",
                &["a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"],
                false,
            ),
            ("empty", &[""], false),
        ] {
            let lines = lines.iter().map(|&line| ("available-dictionary", line));
            let lines = lines.chain([("accept-encoding", "dcz")]).collect::<Vec<_>>();
            let asked = asked_dictionary(&Method::GET, &headers(&lines));
            assert_eq!(asked.is_some(), expected, "{name}");
        }
    }

    #[test]
    fn methods() {
        for (method, expected) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::POST, false),
            (Method::OPTIONS, false),
            (Method::from_bytes(b"get").unwrap(), false),
        ] {
            assert_eq!(asks(method.clone(), &[]), expected, "{method}");
        }
    }

    #[test]
    fn codings() {
        for (name, lines, expected) in [
            ("no field", &[][..], false),
            ("among others", &["gzip, deflate, br, zstd, dcb, dcz"], true),
            ("others", &["gzip, br, zstd, dcb"], false),
            ("any", &["*"], false),
            ("refused", &["dcz;q=0, *"], false),
            ("on another line", &["gzip", "dcz"], true),
        ] {
            let lines = lines.iter().map(|&line| ("accept-encoding", line));
            let lines = lines.chain([("available-dictionary", DICTIONARY)]).collect::<Vec<_>>();
            let asked = asked_dictionary(&Method::GET, &headers(&lines));
            assert_eq!(asked.is_some(), expected, "{name}");
        }
    }

    #[test]
    fn other_fields() {
        for (name, lines, expected) in [
            ("an id", &[("dictionary-id", "\"a\"")][..], true),
            ("a tag that it knows", &[("if-none-match", "\"a\"")], true),
            ("a date that it knows", &[("if-modified-since", "x")], true),
            ("a cookie", &[("cookie", "a=b")], true),
            ("a range", &[("range", "bytes=0-1")], false),
            ("a range of a tag", &[("if-range", "\"a\"")], false),
            ("a condition on the tag", &[("if-match", "*")], false),
            ("a condition on the date", &[("if-unmodified-since", "x")], false),
            ("credentials", &[("authorization", "Basic YTpi")], false),
        ] {
            assert_eq!(asks(Method::GET, lines), expected, "{name}");
        }
    }

    #[test]
    fn sites() {
        for (name, lines, expected) in [
            ("no field", &[][..], true),
            ("the same origin", &["same-origin"], true),
            ("the same site", &["same-site"], true),
            ("the user", &["none"], true),
            ("another", &["cross-site"], false),
            ("another, in capitals", &["Cross-Site"], false),
            ("another, with a parameter", &["cross-site;a"], false),
            ("in a list", &["same-origin, cross-site"], false),
            ("on another line", &["same-origin", "cross-site"], false),
            ("garbage", &["cross-sites"], true),
        ] {
            let lines = lines.iter().map(|&line| ("sec-fetch-site", line)).collect::<Vec<_>>();
            assert_eq!(asks(Method::GET, &lines), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_only_a_digest_is_one(
            lines in vec((0..3_usize, vec(32..=255_u8, 0..60)), 0..4),
        ) {
            let fields = ["available-dictionary", "accept-encoding", "sec-fetch-site"];
            let mut headers = headers(&[("accept-encoding", "dcz")]);
            for (field, value) in lines {
                let value = HeaderValue::from_bytes(&value);
                headers.append(fields[field], value.unwrap_or(HeaderValue::from_static("")));
            }
            if let Some(sha256) = asked_dictionary(&Method::GET, &headers) {
                let base64 = data_encoding::BASE64.encode(&sha256);
                prop_assert!(headers["available-dictionary"].to_str().unwrap().contains(&base64[..42]));
            }
        }
    }
}
