//! What do header fields mean? The syntax of RFC 9110 and 9111, without anything of the layer;
//! here what all fields share: lists (RFC 9110 §5.6.1), numbers, and copies of values.

#[cfg(feature = "delta")]
pub(crate) mod byte_sequence;
pub(crate) mod cache_control;
pub(crate) mod content_coding;
pub(crate) mod etag;
pub(crate) mod head;
pub(crate) mod preconditions;
pub(crate) mod range;
#[cfg(any(feature = "delta", feature = "memory"))]
pub(crate) mod stored;
pub(crate) mod targeted;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// RFC 9842 §2.1.
#[cfg(feature = "delta")]
pub(crate) const USE_AS_DICTIONARY: HeaderName = HeaderName::from_static("use-as-dictionary");

/// RFC 9842 §2.2.
#[cfg(feature = "delta")]
pub(crate) const AVAILABLE_DICTIONARY: HeaderName = HeaderName::from_static("available-dictionary");

/// Which site the page is of that asks (Fetch Metadata Request Headers).
#[cfg(feature = "delta")]
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns the members of a list field, over all its lines, trimmed and without empty ones. A
/// comma inside quotes is not a separator.
pub(crate) fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().flat_map(|line| split_list(line.as_bytes()))
}

pub(crate) fn split_list(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}

/// Parses `1*DIGIT`, if it fits.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let mut number = None;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = Some(number.unwrap_or(0_u64).checked_mul(10)?.checked_add(digit)?);
    }
    number
}

/// Copies a value into memory of its own. A value that was read from a connection may be a
/// slice of a larger buffer, and would keep all of it in memory.
pub(crate) fn detached(value: &HeaderValue) -> HeaderValue {
    let copy = HeaderValue::from_bytes(value.as_bytes());
    let mut copy = copy.unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// Whether a field has several lines.
#[inline]
pub(crate) fn has_repeated(headers: &HeaderMap) -> bool {
    headers.len() != headers.keys_len()
}

/// Sets `ETag`, as `HeaderMap::insert` does. To find the old tag among few fields costs less
/// than to look it up.
#[inline]
pub(crate) fn set_etag(headers: &mut HeaderMap, etag: HeaderValue) {
    if !has_repeated(headers) {
        for (name, value) in headers.iter_mut() {
            if let header::ETAG = *name {
                *value = etag;
                return;
            }
        }
    }
    headers.insert(header::ETAG, etag);
}

/// Whether the response has `Vary: *` (RFC 9110 §12.5.5): no request selects it again.
pub(crate) fn varies_on_everything(headers: &HeaderMap) -> bool {
    members(headers, header::VARY).any(|member| member == b"*")
}

/// Adds names to `Vary` that are not there, and makes one line of it. `*` says it all.
#[cfg(feature = "delta")]
pub(crate) fn add_vary(headers: &mut HeaderMap, names: &[&str]) {
    if varies_on_everything(headers) {
        return;
    }
    let known = members(headers, header::VARY).map(String::from_utf8_lossy);
    let mut all = known.collect::<Vec<_>>();
    for name in names {
        if !all.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            all.push((*name).into());
        }
    }
    if let Ok(vary) = HeaderValue::try_from(all.join(", ")) {
        headers.insert(header::VARY, vary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "delta")]
    #[test]
    fn what_a_response_varies_on_is_added_once() {
        for (name, lines, expected) in [
            ("nothing yet", &[][..], "accept-encoding, x"),
            ("one", &["Accept-Encoding"], "Accept-Encoding, x"),
            ("all", &["x, accept-encoding"], "x, accept-encoding"),
            ("others, in lines", &["origin", "X,, a"], "origin, X, a, accept-encoding"),
            ("everything", &["*"], "*"),
        ] {
            let lines = lines.iter().map(|line| (header::VARY, line.parse().unwrap()));
            let mut headers = lines.collect::<HeaderMap>();
            add_vary(&mut headers, &["accept-encoding", "x"]);
            let vary = headers.get_all(header::VARY).iter().collect::<Vec<_>>();
            assert_eq!(vary, [expected], "{name}");
        }
    }

    #[test]
    fn a_tag_is_replaced() {
        let cases: [(_, &[(&'static str, _)]); 4] = [
            ("no tag", &[("date", "0")]),
            ("one", &[("etag", "0"), ("date", "0")]),
            ("several", &[("etag", "0"), ("etag", "1"), ("date", "0")]),
            ("another field with several lines", &[("vary", "0"), ("vary", "1"), ("etag", "0")]),
        ];
        for (name, lines) in cases {
            let line =
                |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
            let mut headers = lines.iter().map(line).collect::<HeaderMap>();
            let mut expected = headers.clone();
            set_etag(&mut headers, HeaderValue::from_static("2"));
            expected.insert(header::ETAG, HeaderValue::from_static("2"));
            assert_eq!(headers, expected, "{name}");
        }
    }

    #[test]
    fn lists() {
        for (name, line, expected) in [
            ("empty", "", &[][..]),
            ("commas only", " , ,", &[]),
            ("trimmed", "\ta ,b ", &["a", "b"]),
            ("quoted comma", r#"a="x,y", b"#, &[r#"a="x,y""#, "b"]),
            ("escaped quote", r#""x\",y", b"#, &[r#""x\",y""#, "b"]),
            ("unclosed quote", r#"a, "b, c"#, &["a", r#""b, c"#]),
        ] {
            let members = split_list(line.as_bytes());
            assert!(members.eq(expected.iter().map(|member| member.as_bytes())), "{name}");
        }
    }

    #[test]
    fn a_backslash_escapes_only_inside_quotes() {
        for (name, line, expected) in [
            ("outside", r#"a\"b,c", d"#, &[r#"a\"b,c""#, "d"][..]),
            ("before a comma", r"a\,b", &[r"a\", "b"]),
            ("inside", r#"a"b\",c", d"#, &[r#"a"b\",c""#, "d"]),
        ] {
            let members = split_list(line.as_bytes());
            assert!(members.eq(expected.iter().map(|member| member.as_bytes())), "{name}");
        }
    }
}
