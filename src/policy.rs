//! Which `Cache-Control` does a response get? Outcome × status × match → `Cache-Control`.

use std::{fmt, str::FromStr, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    Error, ErrorKind,
    header::{
        cache_control::{Directive, Strictness, directives, has_directive, to_private},
        head::InnerCaching,
        split_list,
        targeted::{remove_targeted, to_targeted},
    },
    url::StaticUrlOutcome,
};

/// The customary maximum, as in the example of RFC 8246 §2.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A `Cache-Control` field value (RFC 9111 §5.2): what a browser, and a proxy on the way, may
/// do with a copy of the response.
///
/// The constructors give the usual values. Any other value is parsed from text, and a mistake
/// in it is an error at once.
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
    /// The same value for one client only: `private`, and neither `public` nor `s-maxage`.
    private: HeaderValue,
    /// Whether `value` lets a shared cache store responses to authorized requests.
    is_shared: bool,
    strictness: Strictness,
}

impl CachePolicy {
    /// Returns `no-store`: neither a browser nor a proxy keeps a copy.
    pub fn no_store() -> Self {
        Self::fixed("no-store")
    }

    /// Returns `no-cache`: the browser keeps a copy, but asks the server before each use. That
    /// costs a round trip. If the file has not changed, the answer is a 304 without content.
    pub fn no_cache() -> Self {
        Self::fixed("no-cache")
    }

    /// Returns `public, max-age=…`, in whole seconds: browsers and proxies use their copy for
    /// that long without asking, even if the file changes meanwhile. If the user reloads the
    /// page, the browser asks. Less than a second gives [`no_cache`](Self::no_cache).
    pub fn max_age(age: Duration) -> Self {
        match age.as_secs() {
            0 => Self::no_cache(),
            seconds => Self::known(&format!("public, max-age={seconds}")),
        }
    }

    /// Returns `public, max-age=…, immutable` (RFC 8246), in whole seconds: as
    /// [`max_age`](Self::max_age), but the browser does not ask on a reload either. Use it
    /// only for URLs whose bytes never change. Less than a second gives
    /// [`no_cache`](Self::no_cache).
    pub fn immutable(age: Duration) -> Self {
        match age.as_secs() {
            0 => Self::no_cache(),
            _ if age == YEAR => Self::fixed("public, max-age=31536000, immutable"),
            seconds => Self::known(&format!("public, max-age={seconds}, immutable")),
        }
    }

    /// Makes a policy whose value is static, so that cloning it counts no reference.
    fn fixed(value: &'static str) -> Self {
        Self { value: HeaderValue::from_static(value), ..Self::known(value) }
    }

    fn known(value: &str) -> Self {
        value.parse().expect("the crate's own policies are valid")
    }

    /// Whether a cache may use its copy without asking.
    pub(crate) fn is_lasting(&self) -> bool {
        self.strictness > Strictness::Revalidate
    }

    /// Returns the value of a field that is for some caches only (RFC 9213).
    pub(crate) fn to_targeted(&self) -> Result<HeaderValue, Error> {
        let directives = split_list(self.value.as_bytes()).map(Directive::of).collect::<Vec<_>>();
        to_targeted(&directives).map_err(|bad| {
            let message =
                format!("CDN cache policy {:?}: `{bad}` is not allowed", self.to_string());
            Error::new(ErrorKind::InvalidCachePolicy, message)
        })
    }

    /// Returns the field value. The response to a request with `Authorization` must not be
    /// `public` (RFC 9111 §3.5).
    fn value(&self, is_authorized: bool) -> &HeaderValue {
        if is_authorized && self.is_shared { &self.private } else { &self.value }
    }
}

impl FromStr for CachePolicy {
    type Err = Error;

    /// Parses any list of directives: `public, max-age=60, stale-while-revalidate=30`.
    ///
    /// # Errors
    ///
    /// [`InvalidCachePolicy`](ErrorKind::InvalidCachePolicy): the text is empty, or a
    /// directive is malformed or lacks its number of seconds.
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
            private: to_private(&directives).unwrap_or_else(|| value.clone()),
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

/// What the layer does with a stale URL: its version has the right shape, but is not the
/// current one. Such a request comes from an old page that is still open. During a rolling
/// deploy it also comes from a new page, if the request reaches an old node.
///
/// If your scripts are modules that import each other, choose [`NotFound`](Self::NotFound): a
/// page must not run modules of two versions.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StalePolicy {
    /// Serves the current file with `no-cache`: old pages keep working, and the browser asks
    /// again before it uses its copy. This is the default.
    #[default]
    Serve,
    /// Serves the current file with this `Cache-Control`. With
    /// [`no_store`](CachePolicy::no_store) the browser keeps no copy. With a lifetime it may
    /// use the bytes of the wrong version for that long.
    ServeWith(CachePolicy),
    /// Redirects to the current URL with 307 and `no-store`: the browser then caches the file
    /// under the current version. During a rolling deploy, two nodes with different versions
    /// can send a browser back and forth until the deploy has finished.
    Redirect,
    /// Answers 404 with `no-store`: an old page breaks rather than run with new files.
    NotFound,
}

/// Makes [`StalePolicy::ServeWith`].
impl From<CachePolicy> for StalePolicy {
    fn from(policy: CachePolicy) -> Self {
        Self::ServeWith(policy)
    }
}

/// What the layer does with a `GET` or `HEAD` of a URL below the mount that spells no listed
/// file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnlistedPolicy {
    /// Asks the inner service. This is the default.
    #[default]
    Ask,
    /// Answers 404 without content, with the `Cache-Control` of
    /// [`errors`](crate::StaticUrlLayerBuilder::errors), and does not ask the inner service.
    NotFound,
}

/// The policies of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    pub(crate) current: CachePolicy,
    pub(crate) unversioned: CachePolicy,
    pub(crate) errors: CachePolicy,
    stale: CachePolicy,
    no_cache: CachePolicy,
    no_store: CachePolicy,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            current: CachePolicy::immutable(YEAR),
            unversioned: CachePolicy::no_cache(),
            errors: CachePolicy::no_store(),
            stale: CachePolicy::no_cache(),
            no_cache: CachePolicy::no_cache(),
            no_store: CachePolicy::no_store(),
        }
    }
}

/// Whether the bytes of a response are those that the manifest lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The response is proven to be the listed file. Without a manifest: the user who declared
    /// the version vouches for the bytes.
    Verified,
    /// The response contradicts the manifest.
    Mismatch,
    /// The response does not contradict the manifest, but does not prove anything either.
    Unproven,
    /// The manifest does not list the path.
    Unlisted,
}

/// How to edit a response's `Cache-Control`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CacheControlEdit<'p> {
    /// Leave it alone.
    Keep,
    /// Keep what the inner service has set. Set the policy if there is nothing and the
    /// response is not private.
    Default(&'p CachePolicy),
    /// As `Default`, but replace what the inner service has set unless it is at least as
    /// strict.
    Cap(&'p CachePolicy),
    /// Set the policy, also on a private response, unless the inner service has set something
    /// at least as strict.
    Limit(&'p CachePolicy),
}

impl Policies {
    pub(crate) fn in_development(self, on: bool) -> Self {
        if on && self.unversioned.is_lasting() {
            return Self { unversioned: CachePolicy::no_cache(), ..self };
        }
        self
    }

    pub(crate) fn with_stale(self, stale: &StalePolicy) -> Self {
        match stale {
            StalePolicy::ServeWith(policy) => Self { stale: policy.clone(), ..self },
            StalePolicy::Serve | StalePolicy::Redirect | StalePolicy::NotFound => self,
        }
    }

    /// Returns what becomes of the `Cache-Control` of a response to `GET` or `HEAD`: the table
    /// of the crate docs.
    #[inline]
    pub(crate) fn cache_control(
        &self,
        outcome: StaticUrlOutcome,
        status: StatusCode,
        matching: Match,
    ) -> CacheControlEdit<'_> {
        use CacheControlEdit::{Cap, Default, Keep, Limit};
        use StaticUrlOutcome::{Current, Kept, Outside, Stale, Unversioned};
        let is_verified = matching == Match::Verified;
        match outcome {
            Outside => Keep,
            _ if status.is_informational() => Keep,
            _ if is_error(status) => Limit(&self.errors),
            Stale if is_redirect(status) => Limit(&self.no_cache),
            Stale => Limit(&self.stale),
            Current | Kept if is_verified && is_whole_or_part(status) => Default(&self.current),
            Current | Kept if is_verified => Default(&self.no_cache),
            Current | Kept if matching == Match::Unlisted => Cap(&self.no_cache),
            // These may not be the bytes that the URL names: no cache may pin them to it, not
            // even a private one.
            Current | Kept => Limit(&self.no_cache),
            Unversioned if is_redirect(status) => Default(&self.no_cache),
            Unversioned if is_verified || matching == Match::Unlisted => Default(&self.unversioned),
            Unversioned => Cap(&self.unversioned),
        }
    }

    /// Returns what becomes of an error that may be about a file of another node: nobody stores
    /// it, even if the policy for errors is looser.
    pub(crate) fn foreign_error(&self) -> CacheControlEdit<'_> {
        let is_strict = self.errors.strictness <= self.no_store.strictness;
        CacheControlEdit::Limit(if is_strict { &self.errors } else { &self.no_store })
    }
}

#[inline]
pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

#[inline]
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

/// Whether a response carries a file (200) or a part of it (206), or stands for it (304).
#[inline]
pub(crate) fn is_whole_or_part(status: StatusCode) -> bool {
    [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}

impl CacheControlEdit<'_> {
    /// Edits `headers`; `inner` describes what the inner service has put into them.
    pub(crate) fn apply(self, headers: &mut HeaderMap, inner: InnerCaching, is_authorized: bool) {
        let (policy, is_cap) = match self {
            Self::Keep => return,
            Self::Default(policy) => (policy, false),
            Self::Cap(policy) | Self::Limit(policy) => (policy, true),
        };
        // Fields for shared caches alone: those must not keep what is limited for all caches, nor
        // what is for one client.
        if is_cap || is_authorized {
            remove_targeted(headers);
        }
        let value = match self {
            Self::Default(_) | Self::Cap(_) if !inner.has_cache_control && inner.is_private => {
                return;
            }
            // A response for one client must not become cacheable, whatever the settings say.
            _ if !inner.has_cache_control && inner.is_private && policy.is_lasting() => {
                &HeaderValue::from_static("no-cache")
            }
            _ if !inner.has_cache_control => policy.value(is_authorized),
            Self::Keep | Self::Default(_) => return keep(headers, is_authorized),
            Self::Cap(_) | Self::Limit(_)
                if Strictness::of(directives(headers)) <= policy.strictness =>
            {
                return keep(headers, is_authorized);
            }
            // A response for one client stays private.
            Self::Cap(_) | Self::Limit(_)
                if has_directive(headers, "private")
                    || (inner.is_private && policy.is_lasting()) =>
            {
                &policy.private
            }
            Self::Cap(_) | Self::Limit(_) => policy.value(is_authorized),
        };
        headers.insert(header::CACHE_CONTROL, value.clone());
    }
}

/// Keeps the inner service's directives. If the request was authorized, makes them `private`.
fn keep(headers: &mut HeaderMap, is_authorized: bool) {
    if is_authorized && directives(headers).any(|directive| directive.is_shared()) {
        let inner = directives(headers).collect::<Vec<_>>();
        if let Some(private) = to_private(&inner) {
            headers.insert(header::CACHE_CONTROL, private);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::head::ResponseFields;
    use StaticUrlOutcome::{Current, Unversioned};

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

    fn apply(edit: CacheControlEdit<'_>, headers: &mut HeaderMap, is_authorized: bool) {
        let inner = ResponseFields::of(headers).caching;
        edit.apply(headers, inner, is_authorized);
    }

    #[test]
    fn table() {
        use Match::*;
        use StaticUrlOutcome::*;
        let policies = Policies::default();
        let year = "public, max-age=31536000, immutable";
        for (outcome, matching, status, expected) in [
            (Current, Verified, 200, year),
            (Current, Verified, 206, year),
            (Current, Verified, 304, year),
            (Current, Verified, 204, "no-cache"),
            (Current, Verified, 203, "no-cache"),
            (Current, Verified, 301, "no-cache"),
            (Current, Verified, 307, "no-cache"),
            (Current, Verified, 404, "no-store"),
            (Current, Verified, 412, "no-store"),
            (Current, Verified, 416, "no-store"),
            (Current, Verified, 500, "no-store"),
            (Current, Verified, 101, ""),
            (Current, Unlisted, 200, "no-cache"),
            (Current, Unlisted, 304, "no-cache"),
            (Current, Unlisted, 404, "no-store"),
            (Current, Mismatch, 200, "no-cache"),
            (Current, Mismatch, 206, "no-cache"),
            (Current, Mismatch, 503, "no-store"),
            (Stale, Verified, 200, "no-cache"),
            (Stale, Unlisted, 206, "no-cache"),
            (Stale, Mismatch, 304, "no-cache"),
            (Stale, Verified, 307, "no-cache"),
            (Stale, Verified, 404, "no-store"),
            (Unversioned, Verified, 200, "no-cache"),
            (Unversioned, Unlisted, 304, "no-cache"),
            (Unversioned, Mismatch, 200, "no-cache"),
            (Unversioned, Verified, 308, "no-cache"),
            (Unversioned, Verified, 410, "no-store"),
            (Current, Unproven, 200, "no-cache"),
            (Current, Unproven, 304, "no-cache"),
            (Kept, Verified, 200, year),
            (Kept, Verified, 206, year),
            (Kept, Verified, 304, year),
            (Kept, Mismatch, 200, "no-cache"),
            (Kept, Unproven, 206, "no-cache"),
            (Kept, Verified, 404, "no-store"),
            (Unversioned, Unproven, 206, "no-cache"),
            (Outside, Verified, 200, ""),
            (Outside, Unlisted, 500, ""),
        ] {
            let mut headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).unwrap();
            apply(policies.cache_control(outcome, status, matching), &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{outcome:?} {matching:?} {status}");
        }
    }

    #[test]
    fn the_inner_services_own_directives() {
        let policies = Policies::default();
        let year = &policies.current;
        let policy = |text: &str| text.parse::<CachePolicy>().unwrap();
        let (no_cache, no_store, minute) =
            (policy("no-cache"), policy("no-store"), policy("public, max-age=60"));
        let default = CacheControlEdit::Default(year);
        for (name, edit, inner, expected) in [
            ("default, none set", default, &[][..], "public, max-age=31536000, immutable"),
            (
                "default, own lifetime",
                default,
                &[("cache-control", "max-age=3600")],
                "max-age=3600",
            ),
            (
                "default, own lines",
                default,
                &[("cache-control", "max-age=1"), ("cache-control", "public")],
                "max-age=1 | public",
            ),
            ("default, cookie", default, &[("set-cookie", "a=b")], ""),
            ("default, varies on everything", default, &[("vary", "accept-encoding, *")], ""),
            (
                "default, varies",
                default,
                &[("vary", "accept-encoding")],
                "public, max-age=31536000, immutable",
            ),
            ("default, private", default, &[("cache-control", "private")], "private"),
            ("default, no-store", default, &[("cache-control", "No-Store")], "No-Store"),
            ("no-cache, none set", CacheControlEdit::Limit(&no_cache), &[], "no-cache"),
            (
                "no-cache, blanket hour",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "max-age=3600")],
                "no-cache",
            ),
            (
                "no-cache, year over two lines",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "public"), ("cache-control", "max-age=1, immutable")],
                "no-cache",
            ),
            (
                "no-cache, same",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "no-cache, must-revalidate")],
                "no-cache, must-revalidate",
            ),
            (
                "no-cache, stricter",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "no-store")],
                "no-store",
            ),
            (
                "no-cache, spelled out",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "max-age=0, must-revalidate")],
                "max-age=0, must-revalidate",
            ),
            (
                "no-cache, stale allowed",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "max-age=0")],
                "no-cache",
            ),
            (
                "no-cache, for a field only",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", r#"no-cache="a, b", max-age=9"#)],
                "no-cache",
            ),
            (
                "no-cache, private hour",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "private, max-age=3600")],
                "private, no-cache",
            ),
            (
                "no-cache, cookie",
                CacheControlEdit::Limit(&no_cache),
                &[("set-cookie", "a=b")],
                "no-cache",
            ),
            (
                "no-cache, quoted trick",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", r#"max-age=9, x="no-store""#)],
                "no-cache",
            ),
            (
                "no-cache, bad number",
                CacheControlEdit::Limit(&no_cache),
                &[("cache-control", "max-age=x")],
                "no-cache",
            ),
            ("no-store, none set", CacheControlEdit::Limit(&no_store), &[], "no-store"),
            (
                "no-store, no-cache",
                CacheControlEdit::Limit(&no_store),
                &[("cache-control", "no-cache")],
                "no-store",
            ),
            (
                "no-store, private",
                CacheControlEdit::Limit(&no_store),
                &[("cache-control", "private, max-age=3600")],
                "no-store",
            ),
            (
                "no-store, same",
                CacheControlEdit::Limit(&no_store),
                &[("cache-control", "private, no-store")],
                "private, no-store",
            ),
            (
                "no-store, but not for CDNs",
                CacheControlEdit::Limit(&no_store),
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
                CacheControlEdit::Limit(&minute),
                &[("cache-control", "max-age=3600")],
                "public, max-age=60",
            ),
            (
                "minute, shared hour",
                CacheControlEdit::Limit(&minute),
                &[("cache-control", "max-age=1, s-maxage=3600")],
                "public, max-age=60",
            ),
            (
                "minute, stale hour",
                CacheControlEdit::Limit(&minute),
                &[("cache-control", "max-age=1, stale-while-revalidate=3600")],
                "public, max-age=60",
            ),
            (
                "minute, second",
                CacheControlEdit::Limit(&minute),
                &[("cache-control", r#"max-age="1""#)],
                r#"max-age="1""#,
            ),
            ("nothing", CacheControlEdit::Keep, &[], ""),
            ("cap, none set", CacheControlEdit::Cap(&no_cache), &[], "no-cache"),
            ("cap, cookie", CacheControlEdit::Cap(&no_cache), &[("set-cookie", "a=b")], ""),
            (
                "cap, cookie and an hour",
                CacheControlEdit::Cap(&no_cache),
                &[("set-cookie", "a=b"), ("cache-control", "max-age=3600")],
                "no-cache",
            ),
            (
                "cap, blanket hour",
                CacheControlEdit::Cap(&no_cache),
                &[("cache-control", "max-age=3600"), ("cdn-cache-control", "max-age=3600")],
                "no-cache",
            ),
            (
                "cap, private hour",
                CacheControlEdit::Cap(&no_cache),
                &[("cache-control", "private, max-age=3600")],
                "private, no-cache",
            ),
            (
                "cap, stricter",
                CacheControlEdit::Cap(&no_cache),
                &[("cache-control", "no-store")],
                "no-store",
            ),
        ] {
            let mut headers = headers(inner);
            apply(edit, &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{name}");
            let is_expected = |name: &http::HeaderName| {
                ["cache-control", "set-cookie", "vary"].contains(&name.as_str())
            };
            assert!(headers.keys().all(is_expected), "{name}: {headers:?}");
        }
    }

    #[test]
    fn looser_directives_stay_only_where_nothing_wrong_can_be_pinned() {
        use Match::*;
        use StaticUrlOutcome::*;
        let policies = Policies::default();
        for (outcome, matching, stays) in [
            (Current, Verified, true),
            (Current, Mismatch, false),
            (Current, Unproven, false),
            (Current, Unlisted, false),
            (Kept, Verified, true),
            (Kept, Unlisted, false),
            (Stale, Verified, false),
            (Stale, Unlisted, false),
            (Unversioned, Verified, true),
            (Unversioned, Mismatch, false),
            (Unversioned, Unproven, false),
            (Unversioned, Unlisted, true),
            (Outside, Unlisted, true),
        ] {
            let loose = "max-age=86400, immutable";
            let mut headers = headers(&[("cache-control", loose)]);
            apply(policies.cache_control(outcome, StatusCode::OK, matching), &mut headers, false);
            let expected = if stays { loose } else { "no-cache" };
            assert_eq!(cache_control(&headers), expected, "{outcome:?} {matching:?}");
        }
    }

    #[test]
    fn a_response_for_one_client_gets_no_lifetime() {
        let hour = "public, max-age=3600".parse::<CachePolicy>().unwrap();
        for (name, edit, inner, expected) in [
            ("cookie", CacheControlEdit::Limit(&hour), &[("set-cookie", "a=b")][..], "no-cache"),
            ("varies", CacheControlEdit::Limit(&hour), &[("vary", "*")], "no-cache"),
            (
                "cookie, longer lifetime",
                CacheControlEdit::Limit(&hour),
                &[("set-cookie", "a=b"), ("cache-control", "max-age=7200")],
                "private, max-age=3600",
            ),
            (
                "capped, cookie, longer lifetime",
                CacheControlEdit::Cap(&hour),
                &[("set-cookie", "a=b"), ("cache-control", "max-age=7200")],
                "private, max-age=3600",
            ),
            (
                "for shared caches alone",
                CacheControlEdit::Limit(&CachePolicy::no_cache()),
                &[("cache-control", "s-maxage=0, must-revalidate")],
                "no-cache",
            ),
        ] {
            let mut headers = headers(inner);
            apply(edit, &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{name}");
        }
    }

    #[test]
    fn lifetimes_in_seconds() {
        assert_eq!(YEAR.as_secs(), 31_536_000);
        let seconds = Duration::from_secs;
        for (policy, expected, is_lasting) in [
            (CachePolicy::immutable(YEAR), "public, max-age=31536000, immutable", true),
            (CachePolicy::immutable(seconds(60)), "public, max-age=60, immutable", true),
            (CachePolicy::immutable(Duration::from_millis(999)), "no-cache", false),
            (CachePolicy::max_age(seconds(1)), "public, max-age=1", true),
            (CachePolicy::max_age(Duration::ZERO), "no-cache", false),
            (CachePolicy::no_store(), "no-store", false),
            ("max-age=0, must-revalidate".parse().unwrap(), "max-age=0, must-revalidate", false),
            ("public".parse().unwrap(), "public", true),
        ] {
            assert_eq!(policy.to_string(), expected);
            assert_eq!(policy.is_lasting(), is_lasting, "{expected}");
            // However it is made, it is the same.
            assert_eq!(policy, expected.parse().unwrap());
        }
    }

    #[test]
    fn no_setting_but_its_own_reaches_a_response() {
        let minute = CachePolicy::max_age(Duration::from_secs(60));
        let policies = Policies { unversioned: minute.clone(), ..Policies::default() };
        let own = "max-age=3600";
        for (name, outcome, matching, status, inner, expected) in [
            ("a redirect without a version", Unversioned, Match::Unlisted, 302, "", "no-cache"),
            (
                "a file without a version",
                Unversioned,
                Match::Verified,
                200,
                "",
                "public, max-age=60",
            ),
            ("its own lifetime", Unversioned, Match::Verified, 200, own, own),
            ("a changed file's own", Unversioned, Match::Mismatch, 200, own, "public, max-age=60"),
            ("a declared version's redirect", Current, Match::Verified, 302, own, own),
            ("a declared version's 204", Current, Match::Verified, 204, own, own),
            ("a listed version's redirect", Current, Match::Unlisted, 302, own, "no-cache"),
        ] {
            let mut headers = HeaderMap::new();
            if !inner.is_empty() {
                headers.insert(header::CACHE_CONTROL, inner.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            apply(policies.cache_control(outcome, status, matching), &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{name}");
        }
    }

    #[test]
    fn development_never_loosens() {
        let policies = |policy: CachePolicy| {
            Policies { unversioned: policy, ..Policies::default() }.in_development(true)
        };
        let hour = CachePolicy::max_age(Duration::from_secs(3600));
        assert_eq!(policies(hour).unversioned, CachePolicy::no_cache());
        assert_eq!(policies(CachePolicy::no_store()).unversioned, CachePolicy::no_store());
    }

    #[test]
    fn stale_urls_have_a_policy_of_their_own() {
        let policies = Policies::default().with_stale(&CachePolicy::no_store().into());
        for (status, expected) in [(200, "no-store"), (302, "no-cache"), (404, "no-store")] {
            let mut headers = HeaderMap::new();
            let status = StatusCode::from_u16(status).unwrap();
            let edit = policies.cache_control(StaticUrlOutcome::Stale, status, Match::Verified);
            apply(edit, &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{status}");
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
            apply(CacheControlEdit::Default(&policy.parse().unwrap()), &mut headers, true);
            assert_eq!(cache_control(&headers), expected, "{policy}");
            // Not even if the inner service has set it.
            let mut inner = self::headers(&[("cache-control", policy)]);
            apply(CacheControlEdit::Default(&CachePolicy::no_cache()), &mut inner, true);
            assert_eq!(cache_control(&inner), expected, "{policy}");
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

    /// Unlisted files are the inner service's own. Of listed ones it may send the wrong bytes.
    #[test]
    fn a_private_response_needs_a_limit_only_if_it_may_be_wrong() {
        use Match::*;
        let policies = Policies::default();
        for (name, matching, expected) in [
            ("the listed file", Verified, ""),
            ("not listed", Unlisted, ""),
            ("not proven", Unproven, "no-cache"),
            ("changed", Mismatch, "no-cache"),
        ] {
            let mut headers = headers(&[("set-cookie", "a=b")]);
            let edit = policies.cache_control(Current, StatusCode::OK, matching);
            apply(edit, &mut headers, false);
            assert_eq!(cache_control(&headers), expected, "{name}");
        }
    }
}
