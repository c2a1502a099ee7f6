//! What can be made of a stored response? It is sent again, whole or in part.

use std::{ops::Range, sync::OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::header::{range::Part, stored::DIGEST_FIELDS};

/// The bytes of a line in a `HeaderMap`, and those of a value in addition to its content.
const LINE: usize = 112;
const VALUE: usize = 56;

/// The response of the inner service for a file in one variant.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    headers: HeaderMap,
    content: Bytes,
    #[cfg_attr(not(feature = "releases"), expect(dead_code, reason = "only they need it"))]
    sha256: [u8; 32],
    /// The edited `headers`, for requests for the whole file without conditions. They are the
    /// same every time: the snapshot is the same, and the stored response matches the file.
    edited: OnceLock<HeaderMap>,
}

impl StoredResponse {
    /// `sha256` is that of the content.
    pub(crate) fn new(headers: HeaderMap, content: Bytes, sha256: [u8; 32]) -> Self {
        Self { headers, content, sha256, edited: OnceLock::new() }
    }

    #[cfg(feature = "releases")]
    pub(crate) fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the whole response, edited. Only the first call uses `edit`.
    pub(crate) fn edited(
        &self,
        edit: impl FnOnce(Response<Bytes>) -> Response<Bytes>,
    ) -> Response<Bytes> {
        // Cloned, because a clone has no spare capacity.
        let headers = self.edited.get_or_init(|| edit(self.whole()).headers().clone());
        with(headers, self.content.clone())
    }

    /// Returns the whole response, as it was stored.
    pub(crate) fn whole(&self) -> Response<Bytes> {
        with(&self.headers, self.content.clone())
    }

    /// Returns the response to a request for this part. `None` if only the inner service knows
    /// it.
    pub(crate) fn part(&self, part: Part) -> Option<Response<Bytes>> {
        match part {
            Part::Whole => Some(self.whole()),
            // Without the field only the body has the length, and here there is no body.
            Part::Head if !self.headers.contains_key(header::CONTENT_LENGTH) => None,
            Part::Head => Some(with(&self.headers, Bytes::new())),
            Part::Range(range) => self.range(range.within(self.content.len())?),
        }
    }

    /// Makes a 206 (RFC 9110 §15.3.7): it has the fields of the whole, except for its length.
    /// `None` if the inner service does not announce that it sends parts, or if another field
    /// would differ for a part.
    fn range(&self, range: Range<usize>) -> Option<Response<Bytes>> {
        if DIGEST_FIELDS.iter().any(|name| self.headers.contains_key(*name)) {
            return None;
        }
        let accepts = self.headers.get(header::ACCEPT_RANGES)?;
        accepts.as_bytes().eq_ignore_ascii_case(b"bytes").then_some(())?;
        let (last, complete) = (range.end - 1, self.content.len());
        let content_range = format!("bytes {}-{last}/{complete}", range.start);
        let mut response = with(&self.headers, self.content.slice(range.clone()));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_RANGE, HeaderValue::try_from(content_range).ok()?);
        if let Some(length) = headers.get_mut(header::CONTENT_LENGTH) {
            *length = range.len().into();
        }
        Some(response)
    }

    /// Returns the size in bytes.
    pub(super) fn weight(&self) -> usize {
        let values = self.headers.values().map(|value| VALUE + value.len()).sum::<usize>();
        // Two maps share the values. The edited one has at most two more lines.
        let lines = (2 * self.headers.len() + 2) * LINE;
        lines + values + self.content.len()
    }
}

fn with(headers: &HeaderMap, content: Bytes) -> Response<Bytes> {
    let mut response = Response::new(content);
    *response.headers_mut() = headers.clone();
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::range;
    use http::HeaderName;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(line).collect()
    }

    fn stored(lines: &[(&'static str, &'static str)]) -> StoredResponse {
        StoredResponse::new(headers(lines), Bytes::from_static(b"hello world"), [0; 32])
    }

    fn range(text: &'static str) -> Part {
        let requested = headers(&[("range", text)]);
        range::edit(&requested, [11].into_iter()).part().unwrap()
    }

    #[test]
    fn parts() {
        let fields = [("accept-ranges", "bytes"), ("content-length", "11")];
        let stored = stored(&fields);
        for (name, part, status, body, length, content_range) in [
            ("whole", Part::Whole, 200, "hello world", "11", None),
            ("head", Part::Head, 200, "", "11", None),
            ("first", range("bytes=0-4"), 206, "hello", "5", Some("bytes 0-4/11")),
            ("last", range("bytes=-5"), 206, "world", "5", Some("bytes 6-10/11")),
            ("one byte", range("bytes=10-"), 206, "d", "1", Some("bytes 10-10/11")),
        ] {
            let response = stored.part(part).unwrap();
            assert_eq!(response.status().as_u16(), status, "{name}");
            assert_eq!(response.body(), body, "{name}");
            assert_eq!(response.headers()["content-length"], length, "{name}");
            let range = response.headers().get("content-range");
            assert_eq!(range.map(|range| range.to_str().unwrap()), content_range, "{name}");
        }
        assert!(stored.part(range("bytes=11-")).is_none(), "a 416 is for the inner service");
    }

    #[test]
    fn what_only_the_inner_service_can_answer() {
        for (name, fields, part) in [
            ("no length", &[("accept-ranges", "bytes")][..], Part::Head),
            ("sends no parts", &[("accept-ranges", "none")], range("bytes=0-4")),
            ("does not say that it does", &[], range("bytes=0-4")),
            (
                "a digest of what is sent",
                &[("accept-ranges", "bytes"), ("content-digest", "sha-256=:YQ==:")],
                range("bytes=0-4"),
            ),
        ] {
            assert!(stored(fields).part(part).is_none(), "{name}");
        }
    }

    #[test]
    fn edits_are_made_once() {
        let stored = stored(&[("content-type", "text/plain")]);
        let edit = |value: &'static str| {
            move |mut response: Response<Bytes>| {
                response.headers_mut().insert(header::ETAG, HeaderValue::from_static(value));
                response
            }
        };
        for value in ["\"a\"", "\"b\""] {
            let response = stored.edited(edit(value));
            assert_eq!(response.headers()["etag"], "\"a\"");
            assert_eq!(response.headers()["content-type"], "text/plain");
            assert_eq!(response.body(), "hello world");
        }
    }
}
