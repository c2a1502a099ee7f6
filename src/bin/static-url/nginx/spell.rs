//! How are paths, names and versions spelled in a configuration and in its regular expressions?

use std::{collections::BTreeSet, fmt::Write as _};

/// Matches a path that the layer does not list by default: nothing below it is served.
pub(super) const IGNORED: &str =
    r"(?:.*/)?(?:\.[^/]*|[^/]*~|\x23[^/]*\x23|Thumbs\.db|desktop\.ini)";

/// The longest regular expression, which nginx reads into 4096 bytes.
const LONGEST: usize = 3000;

/// Quotes a text as nginx reads it. The arguments refuse what nginx cannot spell.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

/// Escapes what a regular expression in quotes would take for more than a character.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = match byte {
            b'/' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                write!(escaped, "{}", char::from(byte))
            }
            // nginx takes these for itself, and spaces are for people.
            b'"' | b'\'' | b'\\' | b' ' => write!(escaped, r"\x{byte:02x}"),
            _ if byte.is_ascii_graphic() => write!(escaped, "\\{}", char::from(byte)),
            _ => write!(escaped, r"\x{byte:02x}"),
        };
        escaped
    })
}

/// Returns a regular expression that matches nowhere before one of these segments.
pub(super) fn but<'s>(segments: impl IntoIterator<Item = &'s String>) -> String {
    let segments = segments.into_iter().map(|segment| escaped(segment)).collect::<Vec<_>>();
    if segments.is_empty() { String::new() } else { format!("(?!(?:{})/)", segments.join("|")) }
}

/// Returns regular expressions that match one of these texts, each on a line of its own. They are
/// not longer than nginx can read.
pub(super) fn lines_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<String> {
    let mut all = Vec::<String>::new();
    for text in texts.into_iter().map(escaped) {
        match all.last_mut().filter(|lines| lines.len() + text.len() < LONGEST) {
            Some(lines) => *lines += &format!("\n    | {text}"),
            None => all.push(text),
        }
    }
    all
}

/// Returns a regular expression for segments that have the shape of a version, as the layer has
/// it: the same length, the same kinds of letters, and exactly the same punctuation. Directories
/// of the tree are no versions.
pub(super) fn shape(version: &str, directories: &BTreeSet<String>) -> String {
    let but = but(directories.iter().filter(|name| name.len() == version.len()));
    let length = version.len();
    let is_hex = version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && length == 16 {
        return format!("{but}[0-9a-f]{{16}}");
    }
    let sets = kinds(version, is_hex);
    let required = sets.iter().map(|set| format!("(?=[^/]*[{set}])")).collect::<String>();
    format!("{but}{required}[{}]{{{length}}}", sets.concat())
}

/// Returns the sets of characters of which a version of the same shape has one each.
fn kinds(version: &str, is_hex: bool) -> Vec<String> {
    let has = |is_kind: fn(&u8) -> bool| version.bytes().any(|byte| is_kind(&byte));
    let kinds = [
        (has(u8::is_ascii_digit), "0-9"),
        (has(u8::is_ascii_lowercase), if is_hex { "a-f" } else { "a-z" }),
        (has(u8::is_ascii_uppercase), "A-Z"),
    ];
    let kinds = kinds.into_iter().filter(|(has, _)| *has).map(|(_, set)| set.to_owned());
    let punctuation = version.bytes().filter(u8::is_ascii_punctuation).collect::<BTreeSet<_>>();
    // All escaped: in a set, a hyphen is no character of its own.
    kinds.chain(punctuation.into_iter().map(|byte| format!(r"\x{byte:02x}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_a_regular_expression() {
        for (text, expected) in [
            ("", ""),
            ("/static", "/static"),
            ("/a-b_c/d", "/a-b_c/d"),
            ("/v1.0+(x)$", r"/v1\.0\+\(x\)\$"),
            ("it's \"so\\\"", r"it\x27s\x20\x22so\x5c\x22"),
            ("fünke\n", r"f\xc3\xbcnke\x0a"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn paths_in_quotes() {
        for (path, expected) in [
            ("/var/lib/site", r#""/var/lib/site""#),
            ("/with space; {}", r#""/with space; {}""#),
            (r#"/"quoted""#, r#""/\"quoted\"""#),
            (r"/back\slash", r#""/back\\slash""#),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }

    #[test]
    fn shapes_of_versions() {
        for (version, expected) in [
            ("3f9c2a7be01d4c55", "[0-9a-f]{16}"),
            ("0123456789012345", "[0-9a-f]{16}"),
            ("2024", "(?=[^/]*[0-9])[0-9]{4}"),
            ("fade", "(?=[^/]*[a-f])[a-f]{4}"),
            ("abc1234", "(?=[^/]*[0-9])(?=[^/]*[a-f])[0-9a-f]{7}"),
            ("v1.2", r"(?=[^/]*[0-9])(?=[^/]*[a-z])(?=[^/]*[\x2e])[0-9a-z\x2e]{4}"),
            ("A-b", r"(?=[^/]*[a-z])(?=[^/]*[A-Z])(?=[^/]*[\x2d])[a-zA-Z\x2d]{3}"),
        ] {
            assert_eq!(shape(version, &BTreeSet::new()), expected, "{version}");
        }
        let directories = BTreeSet::from(["2023", "css", "v1.0"].map(str::to_owned));
        assert_eq!(shape("2024", &directories), r"(?!(?:2023|v1\.0)/)(?=[^/]*[0-9])[0-9]{4}");
    }

    #[test]
    fn many_files_are_several_expressions() {
        let names = (0..1000).map(|i| format!("assets/index-{i:08}.js")).collect::<Vec<_>>();
        let all = lines_of(names.iter().map(String::as_str));
        assert!(all.len() > 1 && all.iter().all(|lines| lines.len() <= LONGEST + 2));
        let lines = all.iter().flat_map(|lines| lines.lines());
        let read = lines.map(|line| line.trim_start_matches("    | ").replace('\\', ""));
        assert_eq!(read.collect::<Vec<_>>(), names);
        assert!(lines_of([]).is_empty());
    }
}
