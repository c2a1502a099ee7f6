//! Are two entity tags the same? Tags (RFC 9110 §8.8.3), and the lists of them in conditions.
//!
//! ```text
//! entity-tag = [ weak ] opaque-tag
//! weak       = %s"W/"
//! opaque-tag = DQUOTE *etagc DQUOTE
//! etagc      = %x21 / %x23-7E / obs-text
//! ```

use bytes::Bytes;
use http::HeaderValue;

/// A tag in a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'h> {
    is_weak: bool,
    /// The characters between the quotes. A backslash has no special meaning.
    opaque: &'h [u8],
}

impl<'h> EntityTag<'h> {
    /// Parses a field value that is one tag and nothing else.
    pub(crate) fn parse(value: &'h [u8]) -> Option<Self> {
        let (tag, rest) = Self::parse_prefix(value.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Takes apart a strong tag that the layer has made.
    pub(crate) fn strong(value: &'h HeaderValue) -> Self {
        let opaque = value.as_bytes();
        Self { is_weak: false, opaque: &opaque[1..opaque.len() - 1] }
    }

    fn parse_prefix(input: &'h [u8]) -> Option<(Self, &'h [u8])> {
        let (is_weak, input) = match input.strip_prefix(b"W/") {
            Some(input) => (true, input),
            None => (false, input),
        };
        let input = input.strip_prefix(b"\"")?;
        let end = input.iter().position(|&byte| !is_etagc(byte))?;
        let rest = input[end..].strip_prefix(b"\"")?;
        Some((Self { is_weak, opaque: &input[..end] }, rest))
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.is_weak
    }

    /// Returns the tag as a field value.
    pub(crate) fn to_value(self) -> Option<HeaderValue> {
        let weakness: &[u8] = if self.is_weak { b"W/" } else { b"" };
        let value = [weakness, b"\"", self.opaque, b"\""].concat();
        HeaderValue::from_maybe_shared(Bytes::from(value)).ok()
    }

    pub(crate) fn opaque(&self) -> &'h [u8] {
        self.opaque
    }

    /// Strong comparison (§8.8.3.2): the tags are equal, and neither is weak.
    pub(crate) fn strong_eq(&self, other: &EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Weak comparison (§8.8.3.2): the tags are equal, weak or not.
    pub(crate) fn weak_eq(&self, other: &EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

fn is_etagc(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

/// `"*" / #entity-tag`, over all the lines of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug)]
pub(crate) struct TagList(Vec<HeaderValue>);

impl TagList {
    /// Returns `None` if there is no such field.
    pub(crate) fn of<'h>(lines: impl IntoIterator<Item = &'h HeaderValue>) -> Option<Self> {
        let lines = lines.into_iter().cloned().collect::<Vec<_>>();
        (!lines.is_empty()).then_some(Self(lines))
    }

    /// Whether the field is `*`, which matches any current representation.
    pub(crate) fn is_any(&self) -> bool {
        matches!(&*self.0, [line] if line.as_bytes().trim_ascii() == b"*")
    }

    pub(crate) fn lines(&self) -> &[HeaderValue] {
        &self.0
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = EntityTag<'_>> {
        tags_in(&self.0)
    }
}

/// Returns the tags in some lines, in one pass and without allocation. Skips malformed tags up
/// to the next comma.
pub(crate) fn tags_in<'h>(
    lines: impl IntoIterator<Item = &'h HeaderValue>,
) -> impl Iterator<Item = EntityTag<'h>> {
    lines.into_iter().flat_map(|line| Tags(line.as_bytes()))
}

struct Tags<'h>(&'h [u8]);

impl<'h> Iterator for Tags<'h> {
    type Item = EntityTag<'h>;

    fn next(&mut self) -> Option<EntityTag<'h>> {
        loop {
            let start = self.0.iter().position(|byte| !b", \t".contains(byte))?;
            match EntityTag::parse_prefix(&self.0[start..]) {
                Some((tag, rest)) if ends_member(rest) => {
                    self.0 = rest;
                    return Some(tag);
                }
                _ => {
                    let garbage = &self.0[start..];
                    let comma = garbage.iter().position(|&byte| byte == b',');
                    self.0 = comma.map_or(&[], |comma| &garbage[comma..]);
                }
            }
        }
    }
}

/// Whether a list member ends here.
fn ends_member(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start().first(), None | Some(b','))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(text: &str) -> EntityTag<'_> {
        EntityTag::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a tag"))
    }

    /// The table of §8.8.3.2.
    #[test]
    fn comparison() {
        for (one, other, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(tag(one).strong_eq(&tag(other)), strong, "{one} {other}");
            assert_eq!(tag(one).weak_eq(&tag(other)), weak, "{one} {other}");
        }
    }

    #[test]
    fn single_tags() {
        for (text, expected) in [
            (r#""xyzzy""#, Some((false, "xyzzy"))),
            (r#"W/"xyzzy""#, Some((true, "xyzzy"))),
            (r#""""#, Some((false, ""))),
            (r#" "a" "#, Some((false, "a"))),
            (r#""a,b""#, Some((false, "a,b"))),
            (r#""a\""#, Some((false, r"a\"))),
            (r#"w/"a""#, None),
            (r#"W/ "a""#, None),
            (r#""a" x"#, None),
            (r#""a b""#, None),
            (r#""a"#, None),
            ("a", None),
            ("*", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
        ] {
            let parsed = EntityTag::parse(text.as_bytes());
            let expected =
                expected.map(|(is_weak, opaque)| EntityTag { is_weak, opaque: opaque.as_bytes() });
            assert_eq!(parsed, expected, "{text}");
        }
    }

    fn opaques(lines: &[&str]) -> Vec<String> {
        let lines =
            lines.iter().map(|line| HeaderValue::from_str(line).unwrap()).collect::<Vec<_>>();
        tags_in(&lines).map(|tag| String::from_utf8(tag.opaque.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lists() {
        for (name, lines, expected) in [
            ("one", &[r#""a""#][..], &["a"][..]),
            ("several", &[r#""a", W/"b" ,"c""#], &["a", "b", "c"]),
            ("several lines", &[r#""a", "b""#, r#""c""#], &["a", "b", "c"]),
            ("commas inside", &[r#""a,b", "c""#], &["a,b", "c"]),
            ("backslash before a quote", &[r#""a\", "b""#], &[r"a\", "b"]),
            ("empty members", &[r#",, "a" ,,"#], &["a"]),
            ("garbage between", &[r#""a", b, c"d", W/, "e" f, "g""#], &["a", "g"]),
            ("unclosed", &[r#""a", "b"#], &["a"]),
            ("star", &["*"], &[]),
            ("empty", &[""], &[]),
        ] {
            assert_eq!(opaques(lines), expected, "{name}");
        }
    }

    #[test]
    fn any_representation() {
        let list = |lines: &[&'static str]| {
            TagList::of(
                &lines.iter().map(|line| HeaderValue::from_static(line)).collect::<Vec<_>>(),
            )
        };
        assert!(list(&["*"]).unwrap().is_any());
        assert!(list(&[" * "]).unwrap().is_any());
        assert!(!list(&["*, \"a\""]).unwrap().is_any());
        assert!(!list(&["*", "\"a\""]).unwrap().is_any());
        assert!(!list(&[""]).unwrap().is_any());
        assert!(list(&[]).is_none());
    }

    proptest! {
        #[test]
        fn what_was_listed_is_found(tags in proptest::collection::vec("[!#-~]{0,9}", 0..9), garbage in "[a-z ]{0,5}") {
            let line = tags.iter().map(|tag| format!("W/\"{tag}\"")).chain([garbage]).collect::<Vec<_>>();
            prop_assert_eq!(opaques(&[&line.join(" , ")]), tags);
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            EntityTag::parse(&line);
            Tags(&line).count();
        }
    }
}
