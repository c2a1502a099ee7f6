//! Which content coding does a response have, and which ones does a request accept? (RFC 9110
//! §8.4, §12.5.3)

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::header::{has_repeated, members};

pub(crate) const IDENTITY: &str = "identity";

/// The suffixes of pre-compressed siblings, and their codings: the same as in tower-http's
/// `ServeDir`.
pub(crate) const SIBLINGS: [(&str, &str); 4] =
    [(".gz", "gzip"), (".br", "br"), (".zst", "zstd"), (".zz", "deflate")];

/// The coding of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding<'h> {
    Identity,
    One(&'h str),
    /// Several codings, or a malformed one. No file is stored like that.
    Unknown,
}

impl<'h> ContentCoding<'h> {
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let is_token =
            |name: &[u8]| name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let mut codings = members(headers, header::CONTENT_ENCODING)
            .filter(|coding| !coding.eq_ignore_ascii_case(IDENTITY.as_bytes()));
        match (codings.next(), codings.next()) {
            (None, _) => Self::Identity,
            (Some(one), None) if is_token(one) => {
                std::str::from_utf8(one).map_or(Self::Unknown, Self::One)
            }
            _ => Self::Unknown,
        }
    }
}

/// The codings that a request accepts, among those in which files are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptedCodings {
    refuses_identity: bool,
    siblings: [bool; SIBLINGS.len()],
}

impl AcceptedCodings {
    pub(crate) const ANY: Self = Self { refuses_identity: false, siblings: [true; SIBLINGS.len()] };

    /// Parses `Accept-Encoding` (§12.5.3). Without the field, any coding is accepted.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
        if lines.peek().is_none() {
            return Self::ANY;
        }
        let mut weights = [None; NAMED.len()];
        // The only parameter is a weight, and it is never quoted.
        for member in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
            let name = member.split(|&byte| byte == b';').next().unwrap_or(member);
            let coding = current_name(name.trim_ascii());
            let is_named = |known: &&str| coding.eq_ignore_ascii_case(known.as_bytes());
            if let Some(i) = NAMED.iter().position(is_named) {
                weights[i].get_or_insert_with(|| !has_zero_weight(&member[name.len()..]));
            }
        }
        let [identity, all, siblings @ ..] = weights;
        Self {
            refuses_identity: identity.or(all) == Some(false),
            siblings: siblings.map(|weight| weight.or(all) == Some(true)),
        }
    }

    /// Whether a request accepts a coding. Faster than to parse all of `Accept-Encoding`, if
    /// the coding is the plain form.
    pub(crate) fn is_one(headers: &HeaderMap, coding: &str) -> bool {
        // Only a weight of 0 refuses the plain form.
        let has_zero = |line: &HeaderValue| line.as_bytes().contains(&b'0');
        let is_simple = coding == IDENTITY
            && !has_repeated(headers)
            && !headers.get(header::ACCEPT_ENCODING).is_some_and(has_zero);
        is_simple || Self::of(headers).allow(coding)
    }

    pub(crate) fn allow(self, coding: &str) -> bool {
        let stored = SIBLINGS.iter().position(|&(_, name)| name == coding);
        stored.map_or(coding == IDENTITY && !self.refuses_identity, |i| self.siblings[i])
    }
}

impl AcceptedCodings {
    /// Returns an `Accept-Encoding` for these codings without some. If nothing is left, it is
    /// for the plain form: a server may ignore that a client refuses it (§12.5.3).
    pub(crate) fn without(self, codings: &[&str]) -> HeaderValue {
        let stored = SIBLINGS.iter().map(|&(_, name)| name).chain([IDENTITY]);
        let left = stored.filter(|name| self.allow(name) && !codings.contains(name));
        let left = Some(left.collect::<Vec<_>>().join(", ")).filter(|left| !left.is_empty());
        let left = left.and_then(|left| HeaderValue::from_maybe_shared(Bytes::from(left)).ok());
        left.unwrap_or_else(|| HeaderValue::from_static(IDENTITY))
    }
}

/// Whether `Accept-Encoding` has the name of a coding itself, not `*`, and everywhere with a
/// weight that is well-formed and not 0 (§12.4.2). Without the field, no coding is named.
#[cfg(feature = "delta")]
pub(crate) fn names(headers: &HeaderMap, coding: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let mut weights = members.filter_map(|member| {
        let name = member.split(|&byte| byte == b';').next()?;
        is_same(name.trim_ascii(), coding).then(|| is_wanted(&member[name.len()..]))
    });
    weights.next() == Some(true) && weights.all(|is_wanted| is_wanted)
}

/// Whether these parameters are none, or one weight above 0.
#[cfg(feature = "delta")]
fn is_wanted(parameters: &[u8]) -> bool {
    let Some(weight) = parameters.trim_ascii().strip_prefix(b";") else {
        return parameters.trim_ascii().is_empty();
    };
    let weight = weight.trim_ascii();
    let value = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="));
    match value {
        Some([b'1']) => true,
        Some([b'1', b'.', digits @ ..]) => digits.len() <= 3 && digits.iter().all(|d| *d == b'0'),
        Some([b'0', b'.', digits @ ..]) => {
            let is_number = digits.iter().all(u8::is_ascii_digit);
            digits.len() <= 3 && is_number && digits.iter().any(|d| *d != b'0')
        }
        _ => false,
    }
}

/// The names in `Accept-Encoding` that matter here; those of siblings in the order of
/// [`SIBLINGS`].
const NAMED: [&str; 2 + SIBLINGS.len()] =
    [IDENTITY, "*", SIBLINGS[0].1, SIBLINGS[1].1, SIBLINGS[2].1, SIBLINGS[3].1];

/// Whether a name means a coding. Case does not matter, and `x-gzip` is an old name of `gzip`
/// (§8.4.1.3).
pub(crate) fn is_same(name: &[u8], coding: &str) -> bool {
    current_name(name).eq_ignore_ascii_case(coding.as_bytes())
}

fn current_name(name: &[u8]) -> &[u8] {
    if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name }
}

/// Whether `;q=0` or `;q=0.000` is among these parameters (§12.4.2).
fn has_zero_weight(parameters: &[u8]) -> bool {
    let mut parameters = parameters.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    parameters.any(|parameter| {
        let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
        let is_zero = |digits: &[u8]| digits.iter().all(|byte| b"0.".contains(byte));
        value.is_some_and(|digits| !digits.is_empty() && is_zero(digits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_codings() {
        for (name, lines, expected) in [
            ("none", &[][..], ContentCoding::Identity),
            ("identity", &["identity"], ContentCoding::Identity),
            ("one", &["gzip"], ContentCoding::One("gzip")),
            ("identity and one", &["identity, br"], ContentCoding::One("br")),
            ("two", &["gzip, br"], ContentCoding::Unknown),
            ("two lines", &["gzip", "br"], ContentCoding::Unknown),
            ("no token", &["\"gzip\""], ContentCoding::Unknown),
        ] {
            let lines = lines.iter().map(|line| (header::CONTENT_ENCODING, line.parse().unwrap()));
            assert_eq!(ContentCoding::of(&lines.collect()), expected, "{name}");
        }
    }

    #[test]
    fn accepted_codings() {
        for (name, lines, expected) in [
            ("no field", &[][..], "identity gzip br zstd deflate"),
            ("empty", &[""], "identity"),
            ("one", &["gzip"], "identity gzip"),
            ("browser", &["gzip, deflate, br, zstd"], "identity gzip br zstd deflate"),
            ("weights", &["GZIP;q=0.5, br; q=0.0, zstd;q=0"], "identity gzip"),
            ("lines", &["br", "gzip"], "identity gzip br"),
            ("old name", &["x-gzip"], "identity gzip"),
            ("all", &["*"], "identity gzip br zstd deflate"),
            ("all but", &["*, br;q=0"], "identity gzip zstd deflate"),
            ("not identity", &["gzip, identity;q=0"], "gzip"),
            ("nothing else", &["gzip, *;q=0"], "gzip"),
        ] {
            let lines = lines.iter().map(|line| (header::ACCEPT_ENCODING, line.parse().unwrap()));
            let headers = lines.collect();
            let accepted = AcceptedCodings::of(&headers);
            let codings = [IDENTITY, "gzip", "br", "zstd", "deflate", "unknown"];
            let allowed = codings.into_iter().filter(|coding| accepted.allow(coding));
            assert_eq!(allowed.collect::<Vec<_>>().join(" "), expected, "{name}");
            for coding in codings {
                let is_one = AcceptedCodings::is_one(&headers, coding);
                assert_eq!(is_one, accepted.allow(coding), "{name}, {coding}");
            }
        }
    }

    #[cfg(feature = "delta")]
    #[test]
    fn codings_that_are_named() {
        for (name, lines, expected) in [
            ("no field", &[][..], false),
            ("empty", &[""], false),
            ("alone", &["dcz"], true),
            ("among others", &["gzip, deflate, br, zstd, dcb, dcz"], true),
            ("others", &["gzip, dcb"], false),
            ("any", &["*"], false),
            ("in capitals", &["DCZ"], true),
            ("lines", &["gzip", "dcz"], true),
            ("no spaces", &["gzip,dcz,br"], true),
            ("longer", &["dcz2, xdcz"], false),
            ("quoted", &["\"dcz\""], false),
            ("the highest weight", &["dcz;q=1"], true),
            ("the highest weight, written out", &["dcz;q=1.000"], true),
            ("a low weight", &["dcz;q=0.001"], true),
            ("spaces and capitals", &["dcz ; Q=0.5 , br"], true),
            ("refused", &["dcz;q=0"], false),
            ("refused, a dot", &["dcz;q=0."], false),
            ("refused, written out", &["dcz;q=0.000"], false),
            ("refused, but any is not", &["*, dcz;q=0"], false),
            ("refused elsewhere", &["dcz", "dcz;q=0"], false),
            ("twice", &["dcz, dcz;q=0.5"], true),
            ("too high a weight", &["dcz;q=2"], false),
            ("above one", &["dcz;q=1.001"], false),
            ("too many digits", &["dcz;q=0.0001"], false),
            ("no number", &["dcz;q=a"], false),
            ("no weight", &["dcz;q="], false),
            ("an empty parameter", &["dcz;"], false),
            ("another parameter", &["dcz;a=1"], false),
            ("two parameters", &["dcz;q=1;q=0"], false),
        ] {
            let lines = lines.iter().map(|line| (header::ACCEPT_ENCODING, line.parse().unwrap()));
            assert_eq!(names(&lines.collect(), "dcz"), expected, "{name}");
        }
    }

    #[test]
    fn names_of_codings() {
        for (name, sent, coding, expected) in [
            ("the same", "gzip", "gzip", true),
            ("in capitals", "GZIP", "gzip", true),
            ("the old name", "x-gzip", "gzip", true),
            ("the old name in capitals", "X-GZip", "gzip", true),
            ("another", "br", "gzip", false),
            ("the old name of another", "x-gzip", "br", false),
            ("longer", "gzip2", "gzip", false),
        ] {
            assert_eq!(is_same(sent.as_bytes(), coding), expected, "{name}");
        }
    }
}
