//! Which fields do some caches obey instead of `Cache-Control`? Targeted cache control
//! (RFC 9213), and older fields for the same purpose.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header::cache_control::Directive;

/// RFC 9213 §3.1.
pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// What the names of targeted fields end with, by convention (RFC 9213 §2): those of Cloudflare,
/// Netlify and Vercel do.
const SUFFIX: &str = "-cache-control";

/// Those of Fastly and others (Edge Architecture Specification), and of Akamai.
const OLDER: [&str; 2] = ["surrogate-control", "edge-control"];

/// That of nginx.
const X_ACCEL_EXPIRES: &str = "x-accel-expires";

/// The longest integer of a structured field (RFC 9651 §3.3.1).
const LONGEST_INTEGER: usize = 15;

/// Looks at the last character first, which is another one in nearly all names.
pub(crate) fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().last() {
        Some(b'l') => name.ends_with(SUFFIX) || OLDER.contains(&name),
        Some(b's') => name == X_ACCEL_EXPIRES,
        _ => false,
    }
}

pub(crate) fn has_targeted(headers: &HeaderMap) -> bool {
    headers.keys().any(is_targeted)
}

#[inline(never)]
pub(crate) fn remove_targeted(headers: &mut HeaderMap) {
    if has_targeted(headers) {
        let names = headers.keys().filter(|name| is_targeted(name)).cloned();
        for name in names.collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
}

/// Returns valid directives as the value of a targeted field. It is a dictionary of structured
/// fields (RFC 9213 §2.1), which is stricter than `Cache-Control`: caches ignore the whole field
/// if one member is malformed. The error is the first such directive.
pub(crate) fn to_targeted<'d>(directives: &[Directive<'d>]) -> Result<HeaderValue, Directive<'d>> {
    if let Some(bad) = directives.iter().find(|directive| !is_member(directive)) {
        return Err(*bad);
    }
    let members = directives.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(HeaderValue::try_from(members.join(", ")).expect("a member is visible ASCII, and spaces"))
}

/// Whether a valid directive is also a member of a dictionary (RFC 9651 §3.2).
fn is_member(directive: &Directive<'_>) -> bool {
    is_key(directive.name())
        && match directive.argument() {
            None => true,
            Some([b'"', content @ .., b'"']) => !directive.needs_seconds() && is_string(content),
            Some([b'0'..=b'9', ..]) => is_integer(directive),
            Some([first, ..]) => first.is_ascii_alphabetic() || *first == b'*',
            Some([]) => false,
        }
}

fn is_key(name: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
    let is_next = |byte: &u8| is_first(byte) || byte.is_ascii_digit() || b"_-.".contains(byte);
    name.first().is_some_and(is_first) && name.iter().all(is_next)
}

fn is_integer(directive: &Directive<'_>) -> bool {
    let digits = directive.argument().unwrap_or_default();
    digits.iter().all(u8::is_ascii_digit) && digits.len() <= LONGEST_INTEGER
}

/// Whether this may stand between the quotes of a string (RFC 9651 §3.3.3).
fn is_string(content: &[u8]) -> bool {
    let mut bytes = content.iter();
    while let Some(byte) = bytes.next() {
        let is_valid = match byte {
            b'\\' => matches!(bytes.next(), Some(b'"' | b'\\')),
            b'"' => false,
            byte => matches!(byte, b' '..=b'~'),
        };
        if !is_valid {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::split_list;

    #[test]
    fn which_fields_are_targeted() {
        for (name, expected) in [
            ("cdn-cache-control", true),
            ("cloudflare-cdn-cache-control", true),
            ("netlify-cdn-cache-control", true),
            ("vercel-cdn-cache-control", true),
            ("surrogate-control", true),
            ("x-accel-expires", true),
            ("edge-control", true),
            ("cache-control", false),
            ("x-cache", false),
            ("surrogate-key", false),
            ("expires", false),
        ] {
            assert_eq!(is_targeted(&HeaderName::from_static(name)), expected, "{name}");
        }
    }

    #[test]
    fn all_targeted_fields_are_removed() {
        let names = ["edge-control", "cache-control", "cdn-cache-control", "cdn-cache-control"];
        let line = |name| (HeaderName::from_static(name), HeaderValue::from_static("max-age=1"));
        let mut headers = HeaderMap::new();
        for (name, value) in names.map(line) {
            headers.append(name, value);
        }
        assert!(has_targeted(&headers));
        remove_targeted(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["cache-control"]);
    }

    #[test]
    fn which_directives_are_members_of_a_dictionary() {
        for (name, text, expected) in [
            ("a lifetime", "max-age=60, stale-while-revalidate=30", Ok(())),
            ("without arguments", "public, no-cache", Ok(())),
            ("without a space", "public,max-age=60", Ok(())),
            ("a string", r#"no-cache="set-cookie, x", x="\"\\""#, Ok(())),
            ("a token", "x=a", Ok(())),
            ("the largest number", "max-age=999999999999999", Ok(())),
            ("a larger number", "max-age=1000000000000000", Err("max-age=1000000000000000")),
            ("a quoted number", r#"max-age="60""#, Err(r#"max-age="60""#)),
            ("in upper case", "public, Max-Age=60", Err("Max-Age=60")),
            ("a digit first", "1x", Err("1x")),
            ("a number and more", "x=1a", Err("x=1a")),
            ("a sign", "x=+1", Err("x=+1")),
            ("an escape that is none", r#"x="\a""#, Err(r#"x="\a""#)),
            ("a quote inside", r#"x="a"b""#, Err(r#"x="a"b""#)),
            ("not ASCII", "x=\"\u{e9}\"", Err("x=\"\u{e9}\"")),
        ] {
            let directives = split_list(text.as_bytes()).map(Directive::of).collect::<Vec<_>>();
            let found = to_targeted(&directives).map(drop).map_err(|bad| bad.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{name}");
        }
        let directives = ["public", "max-age=60"].map(|text| Directive::of(text.as_bytes()));
        assert_eq!(to_targeted(&directives).unwrap(), "public, max-age=60");
    }
}
