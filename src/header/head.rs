//! Which fields does a message have? One pass over all fields, because that is cheaper than a
//! look-up in the `HeaderMap` for each.

use http::{HeaderMap, HeaderValue, header};

use crate::header::{cache_control::has_directive, varies_on_everything};

/// The fields of a request that matter here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFields {
    pub(crate) authorization: bool,
    /// `If-Match` or `If-Unmodified-Since`.
    pub(crate) precondition: bool,
    pub(crate) if_none_match: bool,
    pub(crate) if_modified_since: bool,
    pub(crate) if_range: bool,
    pub(crate) range: bool,
}

impl RequestFields {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match *name {
                header::AUTHORIZATION => found.authorization = true,
                header::IF_MATCH | header::IF_UNMODIFIED_SINCE => found.precondition = true,
                header::IF_NONE_MATCH => found.if_none_match = true,
                header::IF_MODIFIED_SINCE => found.if_modified_since = true,
                header::IF_RANGE => found.if_range = true,
                header::RANGE => found.range = true,
                _ => {}
            }
        }
        found
    }

    /// Whether there is a condition (RFC 9110 §13.1) or a range. For listed files the layer
    /// evaluates them.
    pub(crate) fn has_conditional(&self) -> bool {
        self.precondition
            || self.if_none_match
            || self.if_modified_since
            || self.if_range
            || self.range
    }
}

/// The fields of a response that matter here. If a field has several lines, the first one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResponseFields<'r> {
    pub(crate) etag: Option<&'r HeaderValue>,
    pub(crate) last_modified: Option<&'r HeaderValue>,
    pub(crate) content_length: Option<&'r HeaderValue>,
    pub(crate) content_range: Option<&'r HeaderValue>,
    pub(crate) content_encoding: bool,
    pub(crate) expires: bool,
    pub(crate) caching: InnerCaching,
}

/// How the inner service restricts the caching of a response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InnerCaching {
    pub(crate) has_cache_control: bool,
    /// The response is for one client or one use only: it has `Set-Cookie`, `Vary: *`,
    /// `private` or `no-store`. It is not made more cacheable, and gets no tag.
    pub(crate) is_private: bool,
}

impl<'r> ResponseFields<'r> {
    pub(crate) fn of(headers: &'r HeaderMap) -> Self {
        let mut found = Self::default();
        let (mut set_cookie, mut vary) = (false, false);
        for (name, value) in headers {
            match *name {
                header::ETAG => found.etag = found.etag.or(Some(value)),
                header::LAST_MODIFIED => found.last_modified = found.last_modified.or(Some(value)),
                header::CONTENT_LENGTH => {
                    found.content_length = found.content_length.or(Some(value));
                }
                header::CONTENT_RANGE => found.content_range = found.content_range.or(Some(value)),
                header::CONTENT_ENCODING => found.content_encoding = true,
                header::EXPIRES => found.expires = true,
                header::CACHE_CONTROL => found.caching.has_cache_control = true,
                header::SET_COOKIE => set_cookie = true,
                header::VARY => vary = true,
                _ => {}
            }
        }
        found.caching.is_private = set_cookie
            || (vary && varies_on_everything(headers))
            || (found.caching.has_cache_control
                && (has_directive(headers, "private") || has_directive(headers, "no-store")));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line =
            |&(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(line).collect()
    }

    #[test]
    fn requests() {
        // [authorization, precondition, if-none-match, if-modified-since, if-range, range]
        for (field, expected, has_conditional) in [
            ("accept", [false, false, false, false, false, false], false),
            ("authorization", [true, false, false, false, false, false], false),
            ("if-match", [false, true, false, false, false, false], true),
            ("if-unmodified-since", [false, true, false, false, false, false], true),
            ("if-none-match", [false, false, true, false, false, false], true),
            ("if-modified-since", [false, false, false, true, false, false], true),
            ("if-range", [false, false, false, false, true, false], true),
            ("range", [false, false, false, false, false, true], true),
        ] {
            let found = RequestFields::of(&headers(&[(field, "x")]));
            let RequestFields {
                authorization,
                precondition,
                if_none_match,
                if_modified_since,
                if_range,
                range,
            } = found;
            let found_fields =
                [authorization, precondition, if_none_match, if_modified_since, if_range, range];
            assert_eq!(found_fields, expected, "{field}");
            assert_eq!(found.has_conditional(), has_conditional, "{field}");
        }
    }

    #[test]
    fn the_first_line_of_a_response_field_counts() {
        let headers = headers(&[
            ("etag", "\"a\""),
            ("etag", "\"b\""),
            ("last-modified", "a"),
            ("last-modified", "b"),
            ("content-length", "1"),
            ("content-length", "2"),
            ("content-range", "bytes 0-0/1"),
            ("content-range", "bytes 0-0/2"),
        ]);
        let ResponseFields { etag, last_modified, content_length, content_range, .. } =
            ResponseFields::of(&headers);
        let found = [etag, last_modified, content_length, content_range].map(Option::unwrap);
        assert_eq!(found, ["\"a\"", "a", "1", "bytes 0-0/1"]);
    }

    #[test]
    fn responses_for_one_client_or_one_use() {
        for (name, lines, is_private) in [
            ("nothing", &[][..], false),
            ("a lifetime", &[("cache-control", "public, max-age=9")], false),
            ("private", &[("cache-control", "max-age=9, Private")], true),
            ("no-store", &[("cache-control", "no-store")], true),
            ("on another line", &[("cache-control", "a"), ("cache-control", "private")], true),
            ("no-cache", &[("cache-control", "no-cache")], false),
            ("a cookie", &[("set-cookie", "a=b")], true),
            ("varies", &[("vary", "accept-encoding")], false),
            ("varies on everything", &[("vary", "accept-encoding, *")], true),
            ("expires", &[("expires", "0")], false),
        ] {
            let headers = headers(lines);
            let found = ResponseFields::of(&headers);
            assert_eq!(found.caching.is_private, is_private, "{name}");
            let has = |field: &str| lines.iter().any(|(name, _)| *name == field);
            assert_eq!(found.caching.has_cache_control, has("cache-control"), "{name}");
            assert_eq!(found.expires, has("expires"), "{name}");
        }
    }
}
