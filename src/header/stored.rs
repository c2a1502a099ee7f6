//! Which fields of a response are true later, too? Those may be sent again with its content.

use http::{HeaderMap, HeaderName, header};

use crate::header::{detached, members};

/// Copies the fields to store. Their values get memory of their own, and `Date` is left out.
pub(crate) fn fields_to_store(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(header::DATE);
    headers.values_mut().for_each(|value| *value = detached(value));
    headers
}

/// Digests of the content that is sent: those of a part differ from those of the whole
/// (RFC 9530 §2; RFC 2616 §14.15).
pub(crate) const DIGEST_FIELDS: [&str; 2] = ["content-digest", "content-md5"];

/// Fields that describe the connection or the moment, not the content. A response with one of
/// them is not stored. (`Set-Cookie` is not here: it makes a response private.)
const TRANSIENT_FIELDS: [HeaderName; 9] = [
    header::AGE,
    header::CONNECTION,
    header::EXPIRES,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::WARNING,
];

/// Whether a response may be stored that varies on nothing but these fields.
pub(crate) fn may_be_stored(headers: &HeaderMap, selecting: &[&str]) -> bool {
    let mut varies = members(headers, header::VARY);
    let selects = |name: &[u8], field: &&str| name.eq_ignore_ascii_case(field.as_bytes());
    !TRANSIENT_FIELDS.iter().any(|name| headers.contains_key(name))
        && varies.all(|name| selecting.iter().any(|field| selects(name, field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(line).collect()
    }

    #[test]
    fn responses_of_the_moment_are_not_stored() {
        for (name, fields, expected) in [
            ("plain", &[("content-type", "text/css")][..], true),
            ("varies on the coding", &[("vary", "Accept-Encoding")], true),
            ("varies on more", &[("vary", "accept-encoding, origin")], false),
            ("varies on everything", &[("vary", "*")], false),
            ("from a cache", &[("age", "1")], false),
            ("with a date of its own", &[("expires", "0")], false),
        ] {
            assert_eq!(may_be_stored(&headers(fields), &["accept-encoding"]), expected, "{name}");
        }
        let kept = fields_to_store(&headers(&[("date", "now"), ("content-type", "text/css")]));
        assert_eq!(kept.len(), 1, "`Date` is that of the response, not of the file");
    }
}
