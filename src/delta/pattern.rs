//! For which URLs is a file a dictionary? The value of `Use-As-Dictionary` (RFC 9842 §2.1).
//!
//! ```text
//! match="/static/:v/js/app.js"              this path under every version
//! match="/static/assets/index-*.js"         this name with every hash
//! ```
//!
//! That is a [URL pattern](https://urlpattern.spec.whatwg.org/) in a structured-field string
//! (RFC 9651 §3.3.3). It has no regular expression, which the RFC rules out.

use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;

use crate::url::is_plain;

/// Returns the value for a URL. `rest` is what the client has sent after the mount and the
/// version: its spelling stays, because to a browser `(` and `%28` are two URLs. `hash` is the
/// part of the *decoded* rest that changes between versions; if it cannot be cut out of the
/// spelling, the pattern is for this name alone.
///
/// Returns `None` for a URL that no pattern can spell: the file is no dictionary then.
pub(crate) fn use_as_dictionary(
    mount: &str,
    has_version: bool,
    rest: &str,
    hash: Option<Range<usize>>,
) -> Option<HeaderValue> {
    if !is_plain(rest) {
        return None;
    }
    let mut pattern = Pattern(String::with_capacity(mount.len() + rest.len() + 32));
    pattern.0.push_str("match=\"");
    pattern.push_literal(mount)?;
    // Of several dictionaries for a URL a browser takes the one with the longest pattern (§2.2.3).
    // The name of the version should not decide that.
    pattern.0.push_str(if has_version { "/:v/" } else { "/" });
    match hash.and_then(|hash| cut_out(rest, hash)) {
        Some((before, after)) => {
            pattern.push_literal(before)?;
            pattern.push_wildcard();
            pattern.push_literal(after)?;
        }
        None => pattern.push_literal(rest)?,
    }
    pattern.0.push('"');
    HeaderValue::from_maybe_shared(Bytes::from(pattern.0)).ok()
}

/// A pattern as far as it is written, escaped once for the pattern and once for the string.
struct Pattern(String);

impl Pattern {
    /// Returns `None` if there is a character that the pattern cannot have.
    fn push_literal(&mut self, text: &str) -> Option<()> {
        for c in text.chars() {
            match c {
                // No URL has them in its path.
                '\\' | '?' | '#' => return None,
                // Even with a backslash it would end a scheme, as in `https:`. In a group it
                // does not.
                ':' => self.0.push_str(r"{\\:}"),
                '(' | ')' | '{' | '}' | '*' | '+' => self.0.extend(['\\', '\\', c]),
                '"' => self.0.extend(['\\', '"']),
                ' '..='~' => self.0.push(c),
                _ => return None,
            }
        }
        Some(())
    }

    fn push_wildcard(&mut self) {
        // After a group, a bare asterisk means its repetition.
        self.0.push_str(if self.0.ends_with('}') { "{*}" } else { "*" });
    }
}

/// Returns what is before and after a part of the decoded path, as it is spelled.
fn cut_out(rest: &str, decoded: Range<usize>) -> Option<(&str, &str)> {
    let before = rest.get(..spelled(rest, decoded.start)?)?;
    let after = rest.get(spelled(rest, decoded.end)?..)?;
    // What would be left of `..hash` is a step up.
    is_plain(before).then_some((before, after))
}

/// Returns where in a path the byte begins that is at this offset in the decoded path.
fn spelled(rest: &str, decoded: usize) -> Option<usize> {
    (0..decoded).try_fold(0, |at, _| match rest.as_bytes().get(at)? {
        b'%' => Some(at + "%00".len()),
        _ => Some(at + 1),
    })
}

/// With the lowest versions of all dependencies there is no judge: it needs higher ones.
#[cfg(all(test, not(lowest_versions)))]
mod tests {
    use proptest::prelude::*;
    use urlpattern::{
        UrlPattern, UrlPatternMatchInput, UrlPatternOptions,
        quirks::{StringOrInit, process_construct_pattern_input},
    };

    use super::*;
    use crate::url::decode;

    const ORIGIN: &str = "https://www.example.com";

    /// What a browser makes of a value (RFC 9842 §2.1.1).
    struct Offer(UrlPattern);

    impl Offer {
        fn of(value: &HeaderValue) -> Self {
            let pattern = StringOrInit::String(unquoted(value));
            // The base is the URL of the response.
            let base = format!("{ORIGIN}/any/page?a=b");
            let init = process_construct_pattern_input(pattern, Some(&base)).unwrap();
            let pattern = UrlPattern::parse(init, UrlPatternOptions::default()).unwrap();
            assert!(!pattern.has_regexp_groups(), "{value:?}");
            Self(pattern)
        }

        fn has(&self, path: &str) -> bool {
            self.is_of(ORIGIN, path)
        }

        fn is_of(&self, origin: &str, path: &str) -> bool {
            self.0.test(url(origin, path)).unwrap()
        }
    }

    fn url(origin: &str, path: &str) -> UrlPatternMatchInput {
        UrlPatternMatchInput::Url(format!("{origin}{path}").parse().unwrap())
    }

    /// Returns the pattern in a value, read as RFC 9651 §4.2.5 says.
    fn unquoted(value: &HeaderValue) -> String {
        let value = value.to_str().unwrap();
        let quoted = value.strip_prefix("match=\"").unwrap().strip_suffix('"').unwrap();
        let (mut pattern, mut chars) = (String::new(), quoted.chars());
        while let Some(c) = chars.next() {
            let c = if c == '\\' { chars.next().filter(|c| "\"\\".contains(*c)) } else { Some(c) };
            pattern.push(c.filter(|c| (' '..='~').contains(c)).expect(value));
        }
        assert_eq!(pattern.replace('\\', r"\\").replace('"', "\\\""), quoted);
        pattern
    }

    #[test]
    fn values() {
        let versioned = |rest| use_as_dictionary("/static", true, rest, None);
        let hashed = |rest: &str, hash: &str| {
            let path = decode(rest).unwrap();
            let start = path.find(hash).unwrap();
            use_as_dictionary("/static", false, rest, Some(start..start + hash.len()))
        };
        for (name, value, expected) in [
            ("a version", versioned("js/app.js"), r#"match="/static/:v/js/app.js""#),
            ("no version", use_as_dictionary("/a", false, "b.js", None), r#"match="/a/b.js""#),
            ("the root", use_as_dictionary("", true, "b.js", None), r#"match="/:v/b.js""#),
            ("an odd mount", use_as_dictionary("/a+b", true, "c", None), r#"match="/a\\+b/:v/c""#),
            (
                "escapes",
                versioned("f%C3%bc%20(1).js"),
                r#"match="/static/:v/f%C3%bc%20\\(1\\).js""#,
            ),
            ("a quote", versioned(r#"a"b"#), r#"match="/static/:v/a\"b""#),
            ("a colon", versioned("a:b"), r#"match="/static/:v/a{\\:}b""#),
            ("signs", versioned("a+{*}~$,;'|[]"), r#"match="/static/:v/a\\+\\{\\*\\}~$,;'|[]""#),
            ("a hash", hashed("a/b-Bx7a.js", "Bx7a"), r#"match="/static/a/b-*.js""#),
            ("only a hash", hashed("a/Bx7a", "Bx7a"), r#"match="/static/a/*""#),
            ("a directory", hashed("a/Bx7a/b.js", "Bx7a"), r#"match="/static/a/*/b.js""#),
            (
                "after escapes",
                hashed("%61/%c3%bc-Bx7a.js", "Bx7a"),
                r#"match="/static/%61/%c3%bc-*.js""#,
            ),
            ("spelled oddly", hashed("b-%42x7%61.js", "Bx7a"), r#"match="/static/b-*.js""#),
            ("after a colon", hashed("b:Bx7a", "Bx7a"), r#"match="/static/b{\\:}{*}""#),
            ("after a dot", hashed(".Bx7a/b", "Bx7a"), r#"match="/static/.Bx7a/b""#),
            ("after an escaped dot", hashed(".%2eBx7a", "Bx7a"), r#"match="/static/.%2eBx7a""#),
        ] {
            assert_eq!(value.expect(name), expected, "{name}");
        }
        let outside = use_as_dictionary("", true, "a.js", Some(4..5)).unwrap();
        assert_eq!(outside, r#"match="/:v/a.js""#, "a hash that is not in the path");
        for (name, rest) in [
            ("a backslash", r"a\b"),
            ("not ASCII", "fünke.js"),
            ("a control character", "a\tb"),
            ("a query", "a?b"),
            ("a fragment", "a#b"),
            ("a step up", "../a"),
            ("an empty segment", "a//b"),
        ] {
            assert_eq!(versioned(rest), None, "{name}");
        }
    }

    /// Every version of this path on this host, and nothing else.
    #[test]
    fn where_an_offer_holds() {
        let offer = use_as_dictionary("/static", true, "js/app.js", None).unwrap();
        let offer = Offer::of(&offer);
        for (name, path, expected) in [
            ("another version", "/static/v1.2.3/js/app.js", true),
            ("with a query", "/static/v1.2.3/js/app.js?a=b", true),
            ("no version", "/static/js/app.js", false),
            ("an empty version", "/static//js/app.js", false),
            ("two versions", "/static/a/b/js/app.js", false),
            ("another mount", "/statics/a/js/app.js", false),
            ("a deeper mount", "/a/static/a/js/app.js", false),
        ] {
            assert_eq!(offer.has(path), expected, "{name}");
        }
        for origin in
            ["http://www.example.com", "https://example.com", "https://www.example.com:81"]
        {
            assert!(!offer.is_of(origin, "/static/a/js/app.js"), "{origin}");
        }
    }

    /// What `http` lets through in a path, besides the slash and escapes.
    const SENT: &str = "[!\"$&'()*+,;=:@\\[\\]^_|{}~.0-9A-Za-z-]";

    /// One character of a path as it is sent.
    fn unit() -> impl Strategy<Value = String> {
        let any_case = |c: char, is_upper: bool| {
            let escape =
                |byte| if is_upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            c.encode_utf8(&mut [0; 4]).bytes().map(escape).collect::<String>()
        };
        let odd = prop_oneof![Just('('), Just('{'), Just('*'), Just(':'), Just('ü'), any::<char>()];
        prop_oneof![
            4 => SENT,
            1 => "[:(){}*+\"]",
            1 => (odd, any::<bool>()).prop_map(move |(c, is_upper)| any_case(c, is_upper)),
        ]
    }

    fn text(length: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
        proptest::collection::vec(unit(), length).prop_map(|units| units.concat())
    }

    /// A path below the mount, as it is sent.
    fn sent() -> impl Strategy<Value = String> {
        let segments = proptest::collection::vec(text(1..=6), 1..4);
        segments
            .prop_map(|segments| segments.join("/"))
            .prop_filter("not sent", |rest| is_sent(rest))
    }

    fn is_sent(rest: &str) -> bool {
        is_plain(rest) && rest.is_ascii() && http::Uri::try_from(format!("/{rest}")).is_ok()
    }

    fn mount() -> impl Strategy<Value = String> {
        "(/[a-z0-9.~_!$&'()*+,;=:@-]{1,8}x){0,2}"
    }

    /// Returns a part of a path as a browser sends it, which encodes a quote, say.
    fn in_browser(part: &str) -> String {
        let UrlPatternMatchInput::Url(url) = url(ORIGIN, &format!("/-{part}")) else {
            unreachable!("that is what it returns")
        };
        url.path()["/-".len()..].to_owned()
    }

    /// Paths that are hard to tell from this one.
    fn others(rest: &str, at: usize) -> Vec<String> {
        let chars = || rest.char_indices().map(|(i, _)| i).collect::<Vec<_>>();
        let at = chars()[at % chars().len()];
        let (before, (c, after)) = (&rest[..at], rest[at..].split_at(1));
        let byte = c.as_bytes()[0];
        let swapped = if byte.is_ascii_lowercase() { c.to_uppercase() } else { c.to_lowercase() };
        vec![
            format!("a/{rest}"),
            format!("{rest}/a"),
            format!("{before}/{c}{after}"),
            format!("{before}{after}"),
            format!("{before}{c}{c}{after}"),
            format!("{before}a{after}"),
            format!("{before}{swapped}{after}"),
            format!("{before}%{byte:02x}{after}"),
            format!("{before}%{byte:02X}{after}"),
            format!("{rest}%20"),
            decode(rest).map_or_else(String::new, |path| path.into_owned()),
            crate::url::encode(&decode(rest).unwrap_or_default()).collect(),
        ]
    }

    proptest! {
        #[test]
        fn a_path_under_every_version_and_no_other(
            mount in mount(),
            rest in sent(),
            other in sent(),
            at in any::<usize>(),
            versions in ["[0-9a-f]{16}", "[a-zA-Z0-9._~-]{1,9}x"],
        ) {
            let value = use_as_dictionary(&mount, true, &rest, None).unwrap();
            let offer = Offer::of(&value);
            for version in &versions {
                prop_assert!(offer.has(&format!("{mount}/{version}/{rest}")), "{:?}", value);
            }
            for other in others(&rest, at).into_iter().chain([other]) {
                if is_sent(&other) {
                    let is_same = in_browser(&other) == in_browser(&rest);
                    let path = format!("{mount}/{}/{other}", versions[0]);
                    prop_assert_eq!(offer.has(&path), is_same, "{:?} has {}", value, path);
                }
            }
            let elsewhere = format!("/a{mount}/{}/{rest}", versions[0]);
            prop_assert!(!offer.has(&elsewhere), "{:?}", value);
        }

        #[test]
        fn a_name_with_every_hash_and_no_other(
            mount in mount(),
            has_version in any::<bool>(),
            (directory, stem, extension) in (sent(), text(0..=4), text(1..=4)),
            separator in "[-:)}]",
            hashes in ["[0-9a-f]{8}", "[a-zA-Z0-9_-]{8}"],
            other in text(1..=4),
        ) {
            let base = if has_version { format!("{mount}/0123456789abcdef") } else { mount.clone() };
            let start = format!("{directory}/{stem}{separator}");
            let rest = format!("{start}{}.{extension}", hashes[0]);
            prop_assume!(is_sent(&rest));
            let at = decode(&start).unwrap().len();
            let hash = Some(at..at + hashes[0].len());
            let value = use_as_dictionary(&mount, has_version, &rest, hash).unwrap();
            let offer = Offer::of(&value);
            for hash in &hashes {
                let path = format!("{base}/{start}{hash}.{extension}");
                prop_assert!(offer.has(&path), "{:?} has not {}", value, path);
            }
            let renamed = |directory: &str, stem: &str, extension: &str| {
                format!("{directory}/{stem}{separator}{}.{extension}", hashes[1])
            };
            for other in [
                renamed(&directory, &format!("a{stem}"), &extension),
                renamed(&directory, &format!("{stem}a"), &extension),
                renamed(&directory, &stem, &format!("{extension}a")),
                renamed(&directory, &stem, &format!("a{extension}")),
                renamed(&format!("{directory}/a"), &stem, &extension),
                renamed(&format!("a/{directory}"), &stem, &extension),
                renamed(&directory, &other, &extension),
                renamed(&directory, &stem, &other),
                renamed(&other, &stem, &extension),
            ] {
                // The name may start like this one, and end like it: then it is this one, with a
                // longer hash.
                let is_same = in_browser(&other)
                    .strip_prefix(&*in_browser(&start))
                    .is_some_and(|end| end.ends_with(&in_browser(&format!(".{extension}"))));
                if is_sent(&other) {
                    let path = format!("{base}/{other}");
                    prop_assert_eq!(offer.has(&path), is_same, "{:?} has {}", value, path);
                }
            }
        }

        #[test]
        fn no_text_panics(mount in ".*", rest in ".*", hash in any::<(u8, u8)>()) {
            let hash = usize::from(hash.0)..usize::from(hash.1);
            use_as_dictionary(&mount, true, &rest, Some(hash));
        }
    }
}
