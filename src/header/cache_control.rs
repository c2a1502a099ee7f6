//! How much does a `Cache-Control` let a cache do? Its directives (RFC 9111 §5.2) and their
//! strictness.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use crate::header::members;

/// Returns the directives of all lines of the field.
pub(crate) fn directives(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    members(headers, header::CACHE_CONTROL).map(Directive::of)
}

/// Whether `Cache-Control` has a directive.
pub(crate) fn has_directive(headers: &HeaderMap, name: &str) -> bool {
    directives(headers).any(|directive| directive.is(name))
}

/// Returns the same directives for a browser's own cache only: with `private`, and without
/// `public` and `s-maxage`. `None` if there is a `no-store`, which allows even less.
pub(crate) fn to_private(directives: &[Directive<'_>]) -> Option<HeaderValue> {
    if directives.iter().any(|directive| directive.is("no-store")) {
        return None;
    }
    let is_replaced = |directive: &Directive<'_>| directive.is_shared() || directive.is("private");
    let kept = directives.iter().filter(|&directive| !is_replaced(directive));
    let kept = kept.map(Directive::to_string);
    let texts = ["private".to_owned()].into_iter().chain(kept).collect::<Vec<_>>();
    HeaderValue::from_str(&texts.join(", ")).ok()
}

/// `token [ "=" ( token / quoted-string ) ]`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directive<'h> {
    name: &'h [u8],
    argument: Option<&'h [u8]>,
}

impl<'h> Directive<'h> {
    pub(crate) fn of(member: &'h [u8]) -> Self {
        match member.iter().position(|&byte| byte == b'=') {
            Some(i) => Self { name: &member[..i], argument: Some(&member[i + 1..]) },
            None => Self { name: member, argument: None },
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    pub(crate) fn name(&self) -> &'h [u8] {
        self.name
    }

    pub(crate) fn argument(&self) -> Option<&'h [u8]> {
        self.argument
    }

    /// Whether the directive lets a shared cache store the response to a request with
    /// `Authorization` (RFC 9111 §3.5).
    pub(crate) fn is_shared(&self) -> bool {
        self.is("public") || self.is("s-maxage")
    }

    /// Parses delta-seconds (RFC 9111 §1.2.2), quoted or not.
    fn seconds(&self) -> Option<u64> {
        let digits = self.argument?;
        let digits =
            digits.strip_prefix(b"\"").and_then(|d| d.strip_suffix(b"\"")).unwrap_or(digits);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok().or(Some(u64::MAX)))?
    }

    /// Whether the argument is a number of seconds.
    pub(crate) fn needs_seconds(&self) -> bool {
        LIFETIMES.iter().chain(&GRACES).any(|name| self.is(name))
    }

    /// Whether the directive is well-formed, and has a number of seconds if it needs one.
    pub(crate) fn is_valid(&self) -> bool {
        let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|&byte| is_tchar(byte));
        let is_quoted =
            |text: &[u8]| text.len() > 1 && text.starts_with(b"\"") && text.ends_with(b"\"");
        is_token(self.name)
            && self.argument.is_none_or(|text| is_token(text) || is_quoted(text))
            && (!self.needs_seconds() || self.seconds().is_some())
    }
}

/// For how long a copy is fresh (RFC 9111 §5.2.2).
const LIFETIMES: [&str; 2] = ["max-age", "s-maxage"];
/// For how long a copy may be used after that (RFC 5861).
const GRACES: [&str; 2] = ["stale-while-revalidate", "stale-if-error"];

/// `tchar` of RFC 9110 §5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for Directive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.name))?;
        self.argument.map_or(Ok(()), |text| write!(f, "={}", String::from_utf8_lossy(text)))
    }
}

/// How much a `Cache-Control` lets a cache do, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strictness {
    NoStore,
    /// A copy may be used only after asking.
    Revalidate,
    /// A copy may be used without asking for so many seconds, fresh or stale.
    Usable(u64),
    /// There is no lifetime: the cache chooses one (RFC 9111 §4.2.2).
    Heuristic,
}

impl Strictness {
    pub(crate) fn of<'d>(directives: impl Iterator<Item = Directive<'d>>) -> Self {
        let (mut no_store, mut no_cache, mut must_revalidate) = (false, false, false);
        let (mut fresh, mut shared, mut stale) = (None, 0, 0);
        for directive in directives {
            let seconds = || directive.seconds().unwrap_or(u64::MAX);
            no_store |= directive.is("no-store");
            // `no-cache="field"` restricts only that field (RFC 9111 §5.2.2.4).
            no_cache |= directive.is("no-cache") && directive.argument.is_none();
            must_revalidate |= directive.is("must-revalidate");
            if directive.is("max-age") {
                fresh = fresh.max(Some(seconds()));
            } else if directive.is("s-maxage") {
                shared = seconds().max(shared);
            } else if GRACES.iter().any(|name| directive.is(name)) {
                stale = seconds().max(stale);
            }
        }
        match fresh {
            _ if no_store => Self::NoStore,
            _ if no_cache => Self::Revalidate,
            Some(0) if must_revalidate && shared == 0 => Self::Revalidate,
            Some(seconds) => Self::Usable(seconds.max(shared).saturating_add(stale)),
            // A lifetime for shared caches alone leaves it to a browser to choose one.
            None => Self::Heuristic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_directives() {
        for (name, text, expected) in [
            ("a name", "no-store", true),
            ("no name", "=1", false),
            ("a token", "ext=a", true),
            ("nothing", "ext=", false),
            ("a string", "ext=\"a, b\"", true),
            ("an empty string", "ext=\"\"", true),
            ("half a string", "ext=\"a b", false),
            ("the other half", "ext=a b\"", false),
            ("one quote", "ext=\"", false),
            ("a space in the name", "no store", false),
            ("seconds", "max-age=60", true),
            ("quoted seconds", "max-age=\"60\"", true),
            ("no seconds", "s-maxage=a", false),
            ("a lifetime without an argument", "max-age", false),
            ("a grace without seconds", "stale-if-error=\"a\"", false),
        ] {
            assert_eq!(Directive::of(text.as_bytes()).is_valid(), expected, "{name}");
        }
    }
}
