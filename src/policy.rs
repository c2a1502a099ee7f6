//! Outcome × status → `Cache-Control`.

use std::{fmt, str::FromStr, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    Error, ErrorKind,
    header::head::Said,
    header::{members, split_list},
    url::Outcome,
};

/// "One year" is the customary maximum; RFC 8246 §2.1 shows the same value.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A `Cache-Control` field value (RFC 9111 §5.2), parsed when it is made.
///
/// ```
/// use std::time::Duration;
/// use tower_static_url::CachePolicy;
///
/// let hour = CachePolicy::max_age(Duration::from_secs(3600));
/// assert_eq!(hour.to_string(), "public, max-age=3600");
/// assert_eq!("public, max-age=3600".parse::<CachePolicy>()?, hour);
///
/// let typo = "max-age:300".parse::<CachePolicy>().unwrap_err();
/// assert_eq!(typo.to_string(), r#"cache policy "max-age:300": `max-age:300` is no directive"#);
/// # Ok::<(), tower_static_url::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    value: HeaderValue,
    /// The same for one client alone: without `public` and `s-maxage`.
    private: HeaderValue,
    /// Whether `value` lets a shared cache keep answers to authorized requests.
    is_shared: bool,
    strictness: Strictness,
}

impl CachePolicy {
    /// `no-store`: no browser and no proxy keeps a copy.
    pub fn no_store() -> Self {
        Self::fixed("no-store")
    }

    /// `no-cache`: a copy is kept, but every use of it asks the server first, and
    /// costs a 304 where nothing has changed.
    pub fn no_cache() -> Self {
        Self::fixed("no-cache")
    }

    /// `public, max-age=…` in whole seconds: browsers and proxies use their copy
    /// for so long without asking, whatever has changed meanwhile. Below a second
    /// that is [`no_cache`](Self::no_cache).
    pub fn max_age(age: Duration) -> Self {
        match age.as_secs() {
            0 => Self::no_cache(),
            seconds => Self::known(&format!("public, max-age={seconds}")),
        }
    }

    /// `public, max-age=…, immutable` (RFC 8246): not even a reload asks.
    pub(crate) fn immutable(age: Duration) -> Self {
        match age.as_secs() {
            0 => Self::no_cache(),
            _ if age == YEAR => Self::fixed("public, max-age=31536000, immutable"),
            seconds => Self::known(&format!("public, max-age={seconds}, immutable")),
        }
    }

    /// With a value that costs nothing to clone: no reference is counted that all
    /// threads have to share.
    fn fixed(value: &'static str) -> Self {
        Self { value: HeaderValue::from_static(value), ..Self::known(value) }
    }

    fn known(value: &str) -> Self {
        value.parse().expect("the crate's own policies are valid")
    }

    /// Whether a copy may be used without asking.
    pub(crate) fn is_lasting(&self) -> bool {
        self.strictness > Strictness::Revalidate
    }

    /// The field value, fit for what the request carried: no answer to
    /// `Authorization` may be `public` (RFC 9111 §3.5).
    fn value(&self, authorized: bool) -> &HeaderValue {
        if authorized && self.is_shared { &self.private } else { &self.value }
    }
}

impl FromStr for CachePolicy {
    type Err = Error;

    /// Any list of directives: `public, max-age=60, stale-while-revalidate=30`.
    ///
    /// # Errors
    ///
    /// [`InvalidCachePolicy`](ErrorKind::InvalidCachePolicy) where the text is
    /// empty, or a directive is malformed or lacks its seconds.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: String| {
            let message = format!("cache policy {text:?}: {why}");
            Error::new(ErrorKind::InvalidCachePolicy, message)
        };
        let value = HeaderValue::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let directives = split_list(text.as_bytes()).map(Directive::of).collect::<Vec<_>>();
        if let Some(bad) = directives.iter().find(|directive| !directive.is_valid()) {
            return Err(invalid(format!("`{bad}` is no directive")));
        }
        if directives.is_empty() {
            return Err(invalid("is empty".into()));
        }
        Ok(Self {
            private: private(&directives).unwrap_or_else(|| value.clone()),
            is_shared: directives.iter().any(Directive::is_shared),
            strictness: Strictness::of(directives.into_iter()),
            value,
        })
    }
}

impl fmt::Display for CachePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.value.as_bytes()))
    }
}

/// The same directives for a browser's own cache; `no-store` is that already.
fn private(directives: &[Directive<'_>]) -> Option<HeaderValue> {
    if directives.iter().any(|directive| directive.is("no-store")) {
        return None;
    }
    let goes = |directive: &&Directive<'_>| directive.is_shared() || directive.is("private");
    let kept = directives.iter().filter(|directive| !goes(directive)).map(Directive::to_string);
    let texts = ["private".to_owned()].into_iter().chain(kept).collect::<Vec<_>>();
    HeaderValue::from_str(&texts.join(", ")).ok()
}

/// `token [ "=" ( token / quoted-string ) ]`
#[derive(Clone, Copy, Debug)]
struct Directive<'h> {
    name: &'h [u8],
    argument: Option<&'h [u8]>,
}

impl<'h> Directive<'h> {
    fn of(member: &'h [u8]) -> Self {
        match member.iter().position(|&byte| byte == b'=') {
            Some(i) => Self { name: &member[..i], argument: Some(&member[i + 1..]) },
            None => Self { name: member, argument: None },
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn is_shared(&self) -> bool {
        self.is("public") || self.is("s-maxage")
    }

    /// Delta seconds (RFC 9111 §1.2.2), also where a sender has quoted them.
    fn seconds(&self) -> Option<u64> {
        let digits = self.argument?;
        let digits =
            digits.strip_prefix(b"\"").and_then(|d| d.strip_suffix(b"\"")).unwrap_or(digits);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok().or(Some(u64::MAX)))?
    }

    fn is_valid(&self) -> bool {
        let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|&byte| is_tchar(byte));
        let is_quoted =
            |text: &[u8]| text.len() > 1 && text.starts_with(b"\"") && text.ends_with(b"\"");
        let needs_seconds = LIFETIMES.iter().chain(&GRACES).any(|name| self.is(name));
        is_token(self.name)
            && self.argument.is_none_or(|text| is_token(text) || is_quoted(text))
            && (!needs_seconds || self.seconds().is_some())
    }
}

/// For how long a copy is fresh (RFC 9111 §5.2.2), and for how long it may be used
/// after that (RFC 5861).
const LIFETIMES: [&str; 2] = ["max-age", "s-maxage"];
const GRACES: [&str; 2] = ["stale-while-revalidate", "stale-if-error"];

/// RFC 9110 §5.6.2
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for Directive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.name))?;
        self.argument.map_or(Ok(()), |text| write!(f, "={}", String::from_utf8_lossy(text)))
    }
}

/// How little a `Cache-Control` lets a cache do, strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    NoStore,
    Revalidate,
    /// Usable for so many seconds without asking, stale or fresh.
    Usable(u64),
    /// Nothing said: up to the cache's heuristics (RFC 9111 §4.2.2).
    Unsaid,
}

impl Strictness {
    fn of<'d>(directives: impl Iterator<Item = Directive<'d>>) -> Self {
        let (mut no_store, mut no_cache, mut must_revalidate) = (false, false, false);
        let (mut fresh, mut stale) = (None, 0);
        for directive in directives {
            let seconds = || directive.seconds().unwrap_or(u64::MAX);
            no_store |= directive.is("no-store");
            // `no-cache="field"` restricts the field alone (RFC 9111 §5.2.2.4).
            no_cache |= directive.is("no-cache") && directive.argument.is_none();
            must_revalidate |= directive.is("must-revalidate");
            if LIFETIMES.iter().any(|name| directive.is(name)) {
                fresh = fresh.max(Some(seconds()));
            } else if GRACES.iter().any(|name| directive.is(name)) {
                stale = seconds().max(stale);
            }
        }
        match fresh {
            _ if no_store => Self::NoStore,
            _ if no_cache => Self::Revalidate,
            Some(0) if must_revalidate => Self::Revalidate,
            Some(seconds) => Self::Usable(seconds.saturating_add(stale)),
            None => Self::Unsaid,
        }
    }
}

/// The policies of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    pub(crate) current: CachePolicy,
    pub(crate) unversioned: CachePolicy,
    pub(crate) errors: CachePolicy,
    pub(crate) no_cache: CachePolicy,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            current: CachePolicy::immutable(YEAR),
            unversioned: CachePolicy::no_cache(),
            errors: CachePolicy::no_store(),
            no_cache: CachePolicy::no_cache(),
        }
    }
}

/// What is known of the bytes in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// They are the version's, or nobody but the version's owner can say so.
    AsVersioned,
    /// No manifest lists them.
    Unlisted,
    /// A manifest lists other bytes, or nothing shows that it lists these.
    Doubtful,
}

/// What becomes of a response's `Cache-Control`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ruling<'p> {
    /// Leave it alone.
    None,
    /// Said where the inner service has said nothing, and the response is for
    /// everybody.
    Offer(&'p CachePolicy),
    /// The least that must be said: a looser word of the inner service goes.
    Floor(&'p CachePolicy),
}

impl Policies {
    pub(crate) fn in_development(self, on: bool) -> Self {
        let unversioned = if on { CachePolicy::no_cache() } else { self.unversioned };
        Self { unversioned, ..self }
    }

    /// The table: what a GET or HEAD gets.
    pub(crate) fn rule(
        &self,
        outcome: Outcome,
        status: StatusCode,
        content: Content,
    ) -> Ruling<'_> {
        use Content::{AsVersioned, Doubtful};
        match outcome {
            _ if status.is_informational() => Ruling::None,
            _ if is_error(status) => Ruling::Floor(&self.errors),
            Outcome::Stale => Ruling::Floor(&self.no_cache),
            _ if is_redirect(status) => Ruling::Offer(&self.no_cache),
            Outcome::Unversioned => Ruling::Offer(&self.unversioned),
            Outcome::Current if content == AsVersioned && is_whole_or_part(status) => {
                Ruling::Offer(&self.current)
            }
            // Other bytes than the URL names must not be pinned to it, whoever asks.
            Outcome::Current if content == Doubtful => Ruling::Floor(&self.no_cache),
            Outcome::Current => Ruling::Offer(&self.no_cache),
        }
    }
}

pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

/// The statuses that carry a listed file, a part of it, or stand for it.
pub(crate) fn is_whole_or_part(status: StatusCode) -> bool {
    [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}

/// Fields by which some caches are told something else than by `Cache-Control`:
/// targeted cache control (RFC 9213), and what stands in its place at some.
const TARGETED: [&str; 4] =
    ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"];

impl Ruling<'_> {
    /// `said` is what the inner service says in these `headers`.
    pub(crate) fn apply(self, headers: &mut HeaderMap, said: Said, authorized: bool) {
        if let Self::Floor(_) = self {
            for name in TARGETED {
                headers.remove(name);
            }
        }
        let value = match self {
            Self::None => return,
            Self::Offer(_) if said.cache_control => return keep(headers, authorized),
            Self::Offer(_) if said.personal => return,
            Self::Offer(policy) => policy.value(authorized),
            Self::Floor(floor) if Strictness::of(directives(headers)) <= floor.strictness => {
                return keep(headers, authorized);
            }
            // What was for one client stays so.
            Self::Floor(floor) if says(headers, "private") => &floor.private,
            Self::Floor(floor) => floor.value(authorized),
        };
        headers.insert(header::CACHE_CONTROL, value.clone());
    }
}

/// Leaves what the inner service says, but for what no answer to `Authorization` may
/// say.
fn keep(headers: &mut HeaderMap, authorized: bool) {
    if authorized && directives(headers).any(|directive| directive.is_shared()) {
        let said = directives(headers).collect::<Vec<_>>();
        if let Some(private) = private(&said) {
            headers.insert(header::CACHE_CONTROL, private);
        }
    }
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    members(headers, header::CACHE_CONTROL).map(Directive::of)
}

/// Whether `Cache-Control` has a directive.
pub(crate) fn says(headers: &HeaderMap, name: &str) -> bool {
    directives(headers).any(|directive| directive.is(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::head::ResponseFields;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let parse = |&(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(parse).collect()
    }

    fn cache_control(headers: &HeaderMap) -> String {
        let lines = headers.get_all(header::CACHE_CONTROL).iter();
        lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
    }

    fn apply(ruling: Ruling<'_>, headers: &mut HeaderMap, authorized: bool) {
        let said = ResponseFields::of(headers).said;
        ruling.apply(headers, said, authorized);
    }

    #[test]
    fn table() {
        use Content::*;
        use Outcome::*;
        let policies = Policies::default();
        let year = "public, max-age=31536000, immutable";
        for (outcome, content, status, expected) in [
            (Current, AsVersioned, 200, year),
            (Current, AsVersioned, 206, year),
            (Current, AsVersioned, 304, year),
            (Current, AsVersioned, 204, "no-cache"),
            (Current, AsVersioned, 203, "no-cache"),
            (Current, AsVersioned, 301, "no-cache"),
            (Current, AsVersioned, 307, "no-cache"),
            (Current, AsVersioned, 404, "no-store"),
            (Current, AsVersioned, 412, "no-store"),
            (Current, AsVersioned, 416, "no-store"),
            (Current, AsVersioned, 500, "no-store"),
            (Current, AsVersioned, 101, ""),
            (Current, Unlisted, 200, "no-cache"),
            (Current, Unlisted, 304, "no-cache"),
            (Current, Unlisted, 404, "no-store"),
            (Current, Doubtful, 200, "no-cache"),
            (Current, Doubtful, 206, "no-cache"),
            (Current, Doubtful, 503, "no-store"),
            (Stale, AsVersioned, 200, "no-cache"),
            (Stale, Unlisted, 206, "no-cache"),
            (Stale, Doubtful, 304, "no-cache"),
            (Stale, AsVersioned, 307, "no-cache"),
            (Stale, AsVersioned, 404, "no-store"),
            (Unversioned, AsVersioned, 200, "no-cache"),
            (Unversioned, Unlisted, 304, "no-cache"),
            (Unversioned, Doubtful, 200, "no-cache"),
            (Unversioned, AsVersioned, 308, "no-cache"),
            (Unversioned, AsVersioned, 410, "no-store"),
        ] {
            let mut headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).unwrap();
            apply(policies.rule(outcome, status, content), &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{outcome:?} {content:?} {status}");
        }
    }

    #[test]
    fn what_the_inner_service_says() {
        let policies = Policies::default();
        let year = &policies.current;
        let floor = |text: &str| text.parse::<CachePolicy>().unwrap();
        let (no_cache, no_store, minute) =
            (floor("no-cache"), floor("no-store"), floor("public, max-age=60"));
        let offer = Ruling::Offer(year);
        for (name, ruling, said, expected) in [
            ("offer, silence", offer, &[][..], "public, max-age=31536000, immutable"),
            ("offer, own word", offer, &[("cache-control", "max-age=3600")], "max-age=3600"),
            (
                "offer, own lines",
                offer,
                &[("cache-control", "max-age=1"), ("cache-control", "public")],
                "max-age=1 | public",
            ),
            ("offer, cookie", offer, &[("set-cookie", "a=b")], ""),
            ("offer, varies on everything", offer, &[("vary", "accept-encoding, *")], ""),
            (
                "offer, varies",
                offer,
                &[("vary", "accept-encoding")],
                "public, max-age=31536000, immutable",
            ),
            ("offer, private", offer, &[("cache-control", "private")], "private"),
            ("offer, no-store", offer, &[("cache-control", "No-Store")], "No-Store"),
            ("no-cache, silence", Ruling::Floor(&no_cache), &[], "no-cache"),
            (
                "no-cache, blanket hour",
                Ruling::Floor(&no_cache),
                &[("cache-control", "max-age=3600")],
                "no-cache",
            ),
            (
                "no-cache, year over two lines",
                Ruling::Floor(&no_cache),
                &[("cache-control", "public"), ("cache-control", "max-age=1, immutable")],
                "no-cache",
            ),
            (
                "no-cache, same",
                Ruling::Floor(&no_cache),
                &[("cache-control", "no-cache, must-revalidate")],
                "no-cache, must-revalidate",
            ),
            (
                "no-cache, stricter",
                Ruling::Floor(&no_cache),
                &[("cache-control", "no-store")],
                "no-store",
            ),
            (
                "no-cache, spelled out",
                Ruling::Floor(&no_cache),
                &[("cache-control", "max-age=0, must-revalidate")],
                "max-age=0, must-revalidate",
            ),
            (
                "no-cache, stale allowed",
                Ruling::Floor(&no_cache),
                &[("cache-control", "max-age=0")],
                "no-cache",
            ),
            (
                "no-cache, for a field only",
                Ruling::Floor(&no_cache),
                &[("cache-control", r#"no-cache="a, b", max-age=9"#)],
                "no-cache",
            ),
            (
                "no-cache, private hour",
                Ruling::Floor(&no_cache),
                &[("cache-control", "private, max-age=3600")],
                "private, no-cache",
            ),
            ("no-cache, cookie", Ruling::Floor(&no_cache), &[("set-cookie", "a=b")], "no-cache"),
            (
                "no-cache, quoted trick",
                Ruling::Floor(&no_cache),
                &[("cache-control", r#"max-age=9, x="no-store""#)],
                "no-cache",
            ),
            (
                "no-cache, bad number",
                Ruling::Floor(&no_cache),
                &[("cache-control", "max-age=x")],
                "no-cache",
            ),
            ("no-store, silence", Ruling::Floor(&no_store), &[], "no-store"),
            (
                "no-store, no-cache",
                Ruling::Floor(&no_store),
                &[("cache-control", "no-cache")],
                "no-store",
            ),
            (
                "no-store, private",
                Ruling::Floor(&no_store),
                &[("cache-control", "private, max-age=3600")],
                "no-store",
            ),
            (
                "no-store, same",
                Ruling::Floor(&no_store),
                &[("cache-control", "private, no-store")],
                "private, no-store",
            ),
            (
                "no-store, told to CDNs alone",
                Ruling::Floor(&no_store),
                &[
                    ("cache-control", "no-store"),
                    ("cdn-cache-control", "max-age=3600"),
                    ("cloudflare-cdn-cache-control", "max-age=3600"),
                    ("surrogate-control", "max-age=3600"),
                    ("x-accel-expires", "3600"),
                ],
                "no-store",
            ),
            (
                "minute, hour",
                Ruling::Floor(&minute),
                &[("cache-control", "max-age=3600")],
                "public, max-age=60",
            ),
            (
                "minute, shared hour",
                Ruling::Floor(&minute),
                &[("cache-control", "max-age=1, s-maxage=3600")],
                "public, max-age=60",
            ),
            (
                "minute, stale hour",
                Ruling::Floor(&minute),
                &[("cache-control", "max-age=1, stale-while-revalidate=3600")],
                "public, max-age=60",
            ),
            (
                "minute, second",
                Ruling::Floor(&minute),
                &[("cache-control", r#"max-age="1""#)],
                r#"max-age="1""#,
            ),
            ("nothing", Ruling::None, &[], ""),
        ] {
            let mut headers = headers(said);
            apply(ruling, &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{name}");
            let is_expected = |name: &http::HeaderName| {
                ["cache-control", "set-cookie", "vary"].contains(&name.as_str())
            };
            assert!(headers.keys().all(is_expected), "{name}: {headers:?}");
        }
    }

    #[test]
    fn authorized_requests_get_nothing_public() {
        for (policy, expected) in [
            ("public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
            ("s-maxage=9, max-age=1", "private, max-age=1"),
            ("no-cache", "no-cache"),
            ("no-store", "no-store"),
            ("private, max-age=1", "private, max-age=1"),
        ] {
            let mut headers = HeaderMap::new();
            apply(Ruling::Offer(&policy.parse().unwrap()), &mut headers, true);
            assert_eq!(cache_control(&headers), expected, "{policy}");
            // The inner service may not say otherwise.
            let mut said = self::headers(&[("cache-control", policy)]);
            apply(Ruling::Offer(&CachePolicy::no_cache()), &mut said, true);
            assert_eq!(cache_control(&said), expected, "{policy}");
        }
    }

    #[test]
    fn only_field_values_are_policies() {
        for bad in [
            "",
            " , ",
            "max-age:300",
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=1.5",
            "a b",
            "no-store;",
            "\u{e9}",
            "a=\u{0}",
        ] {
            let error = bad.parse::<CachePolicy>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCachePolicy, "{bad:?}");
            assert!(error.to_string().starts_with(&format!("cache policy {bad:?}: ")), "{error}");
        }
        for good in [
            "no-store",
            "public, max-age=60, stale-while-revalidate=30",
            "private=\"x, y\"",
            "ext=1",
        ] {
            assert_eq!(good.parse::<CachePolicy>().unwrap().to_string(), good);
        }
        assert_eq!(CachePolicy::max_age(Duration::from_millis(999)), CachePolicy::no_cache());
    }
}
