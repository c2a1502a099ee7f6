//! Does a request's condition hold? Preconditions (RFC 9110 §13): parsed from the request,
//! evaluated on the response.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::header::etag::{EntityTag, TagList};

/// The fields that make a request conditional, except for `If-Range`, which only decides
/// whether `Range` counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preconditions {
    if_match: Option<TagList>,
    if_unmodified_since: Option<SystemTime>,
    if_none_match: Option<TagList>,
    if_modified_since: Option<SystemTime>,
}

/// The validators of the selected representation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'v> {
    pub(crate) etag: Option<EntityTag<'v>>,
    pub(crate) last_modified: Option<&'v HeaderValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evaluation {
    Proceed,
    NotModified,
    PreconditionFailed,
}

impl Preconditions {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            if_match: TagList::of(headers.get_all(header::IF_MATCH)),
            if_unmodified_since: date(headers, header::IF_UNMODIFIED_SINCE),
            if_none_match: TagList::of(headers.get_all(header::IF_NONE_MATCH)),
            if_modified_since: date(headers, header::IF_MODIFIED_SINCE),
        }
    }

    /// Returns the tags of `If-None-Match`.
    pub(crate) fn none_match(&self) -> impl Iterator<Item = EntityTag<'_>> {
        self.if_none_match.iter().flat_map(TagList::tags)
    }

    pub(crate) fn none_match_lines(&self) -> &[HeaderValue] {
        self.if_none_match.as_ref().map_or(&[], TagList::lines)
    }

    /// Evaluates the conditions in the order of §13.2.2. Call this only for `GET` and `HEAD`,
    /// and only if the response without conditions would be a 2xx.
    pub(crate) fn evaluate(&self, current: Validators<'_>) -> Evaluation {
        match &self.if_match {
            Some(tags) if !tags.is_any() && !tags.tags().any(|tag| current.strong_eq(&tag)) => {
                return Evaluation::PreconditionFailed;
            }
            None if self.is_modified_since(current) => return Evaluation::PreconditionFailed,
            _ => {}
        }
        let is_not_modified = match &self.if_none_match {
            Some(tags) => tags.is_any() || tags.tags().any(|tag| current.weak_eq(&tag)),
            None => self.is_exactly_since(current),
        };
        if is_not_modified { Evaluation::NotModified } else { Evaluation::Proceed }
    }

    /// Whether `If-Unmodified-Since` fails (§13.1.4). It is ignored if one of the two dates is
    /// missing or malformed.
    fn is_modified_since(&self, current: Validators<'_>) -> bool {
        let dates = self.if_unmodified_since.zip(current.date());
        dates.is_some_and(|(since, modified)| modified > since)
    }

    /// Whether `If-Modified-Since` has exactly the date of the response. §13.1.3 allows any
    /// later date too, but after a rollback the file is older than the client's copy, and still
    /// another one.
    fn is_exactly_since(&self, current: Validators<'_>) -> bool {
        self.if_modified_since.is_some() && self.if_modified_since == current.date()
    }
}

impl Validators<'_> {
    fn strong_eq(&self, tag: &EntityTag<'_>) -> bool {
        self.etag.is_some_and(|etag| etag.strong_eq(tag))
    }

    fn weak_eq(&self, tag: &EntityTag<'_>) -> bool {
        self.etag.is_some_and(|etag| etag.weak_eq(tag))
    }

    fn date(&self) -> Option<SystemTime> {
        parse_date(self.last_modified?)
    }
}

/// Parses the date of a field. Several lines are not an HTTP-date (§5.6.7), and are ignored.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let date = parse_date(lines.next()?);
    date.filter(|_| lines.next().is_none())
}

pub(crate) fn parse_date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evaluation::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn evaluate(
        lines: &[(&'static str, &str)],
        etag: Option<&str>,
        last_modified: Option<&str>,
    ) -> Evaluation {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let last_modified = last_modified.map(|date| date.parse().unwrap());
        Preconditions::of(&lines.collect()).evaluate(Validators {
            etag: etag.map(|tag| EntityTag::parse(tag.as_bytes()).unwrap()),
            last_modified: last_modified.as_ref(),
        })
    }

    #[test]
    fn precedence() {
        for (name, lines, expected) in [
            ("nothing", &[][..], Proceed),
            ("if-match, same", &[("if-match", "\"a\"")], Proceed),
            ("if-match, other", &[("if-match", "\"b\"")], PreconditionFailed),
            ("if-match, one of several", &[("if-match", "\"b\", \"a\"")], Proceed),
            ("if-match, on another line", &[("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed),
            ("if-match, weak", &[("if-match", "W/\"a\"")], PreconditionFailed),
            ("if-match, any", &[("if-match", "*")], Proceed),
            ("if-match, garbage", &[("if-match", "a")], PreconditionFailed),
            ("if-match, of another coding", &[("if-match", "\"a-gzip\"")], PreconditionFailed),
            ("if-unmodified-since, same", &[("if-unmodified-since", DATE)], Proceed),
            ("if-unmodified-since, later", &[("if-unmodified-since", AFTER)], Proceed),
            (
                "if-unmodified-since, earlier",
                &[("if-unmodified-since", BEFORE)],
                PreconditionFailed,
            ),
            ("if-unmodified-since, garbage", &[("if-unmodified-since", "yesterday")], Proceed),
            (
                "if-unmodified-since, twice",
                &[("if-unmodified-since", BEFORE), ("if-unmodified-since", BEFORE)],
                Proceed,
            ),
            (
                "if-match beats if-unmodified-since",
                &[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)],
                Proceed,
            ),
            ("if-none-match, same", &[("if-none-match", "\"a\"")], NotModified),
            ("if-none-match, weak", &[("if-none-match", "W/\"a\"")], NotModified),
            ("if-none-match, other", &[("if-none-match", "\"b\"")], Proceed),
            (
                "if-none-match, one of several lines",
                &[("if-none-match", "\"b\""), ("if-none-match", "\"c\", \"a\"")],
                NotModified,
            ),
            ("if-none-match, any", &[("if-none-match", "*")], NotModified),
            ("if-none-match, garbage", &[("if-none-match", "a")], Proceed),
            (
                "if-match fails first",
                &[("if-match", "\"b\""), ("if-none-match", "\"a\"")],
                PreconditionFailed,
            ),
            (
                "if-match passes on",
                &[("if-match", "\"a\""), ("if-none-match", "\"a\"")],
                NotModified,
            ),
            ("if-modified-since, same", &[("if-modified-since", DATE)], NotModified),
            (
                "if-modified-since, other format",
                &[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")],
                NotModified,
            ),
            (
                "if-modified-since, asctime",
                &[("if-modified-since", "Sun Nov  6 08:49:37 1994")],
                NotModified,
            ),
            ("if-modified-since, later", &[("if-modified-since", AFTER)], Proceed),
            ("if-modified-since, earlier", &[("if-modified-since", BEFORE)], Proceed),
            ("if-modified-since, garbage", &[("if-modified-since", "0")], Proceed),
            (
                "if-none-match beats if-modified-since",
                &[("if-none-match", "\"b\""), ("if-modified-since", DATE)],
                Proceed,
            ),
            (
                "garbage if-none-match beats it too",
                &[("if-none-match", "b"), ("if-modified-since", DATE)],
                Proceed,
            ),
        ] {
            assert_eq!(evaluate(lines, Some("\"a\""), Some(DATE)), expected, "{name}");
        }
    }

    #[test]
    fn without_validators() {
        for (name, lines, expected) in [
            ("if-match", &[("if-match", "\"a\"")][..], PreconditionFailed),
            ("if-match, any", &[("if-match", "*")], Proceed),
            ("if-unmodified-since", &[("if-unmodified-since", BEFORE)], Proceed),
            ("if-none-match", &[("if-none-match", "\"a\"")], Proceed),
            ("if-none-match, any", &[("if-none-match", "*")], NotModified),
            ("if-modified-since", &[("if-modified-since", DATE)], Proceed),
        ] {
            assert_eq!(evaluate(lines, None, None), expected, "{name}");
        }
        let weak = evaluate(&[("if-match", "W/\"a\"")], Some("W/\"a\""), None);
        assert_eq!(weak, PreconditionFailed, "weak tags never match strongly");
    }
}
