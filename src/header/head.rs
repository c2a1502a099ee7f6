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
