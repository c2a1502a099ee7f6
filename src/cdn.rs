//! What is a CDN told? For how long it may keep a file, apart from browsers, and the tags by which
//! it can be told to forget it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    CachePolicy, Error, ErrorKind,
    header::{
        cache_control::has_directive,
        head::InnerCaching,
        targeted::{CDN_CACHE_CONTROL, has_targeted},
    },
    policy::{Match, is_whole_or_part},
    url::StaticUrlOutcome,
};

/// What the layer tells a CDN: the settings of
/// [`StaticUrlLayerBuilder::cdn`](crate::StaticUrlLayerBuilder::cdn).
///
/// ```
/// use std::time::Duration;
/// use tower_static_url::{CachePolicy, Cdn};
///
/// let day = CachePolicy::max_age(Duration::from_secs(24 * 60 * 60));
/// let cdn = Cdn::new().unversioned(day).surrogate_keys("shop");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Cdn {
    current: Option<CachePolicy>,
    unversioned: Option<CachePolicy>,
    surrogate_keys: Option<String>,
    cache_tags: Option<String>,
}

impl Cdn {
    /// Returns settings that tell a CDN nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the `CDN-Cache-Control` of files that have
    /// [`current`](crate::StaticUrlLayerBuilder::current) as their `Cache-Control`: those of the
    /// current version, of a kept release, and fingerprinted ones. Default: none, and a CDN
    /// follows `Cache-Control` as browsers do.
    ///
    /// To a browser nothing changes. A CDN that knows the field (RFC 9213) follows this policy in
    /// place of `Cache-Control`: use it if browsers are to have another policy than the CDN.
    pub fn current(mut self, policy: CachePolicy) -> Self {
        self.current = Some(policy);
        self
    }

    /// Sets the `CDN-Cache-Control` of listed and unchanged files at URLs without a version.
    /// Default: none, and a CDN follows `Cache-Control`, which is `no-cache` by default.
    ///
    /// To a browser nothing changes: it asks before each use. But a CDN that knows the field
    /// (RFC 9213) then answers for your server, with what it has. If the policy has a lifetime,
    /// the CDN has old bytes for so long after a deploy, unless you purge them: give them
    /// [tags](Self::surrogate_keys). Needs a root or a manifest. In
    /// [development](crate::StaticUrlLayerBuilder::development) this has no effect.
    pub fn unversioned(mut self, policy: CachePolicy) -> Self {
        self.unversioned = Some(policy);
        self
    }

    /// Adds the tags of this name to `Surrogate-Key`, separated by spaces, as Fastly reads them.
    /// Default: none. To a browser nothing changes; Fastly does not even pass the field on.
    ///
    /// - `NAME-VERSION`, such as `shop-3f9c2a7be01d4c55`: the response is made of a file of that
    ///   version, which is listed and unchanged, whatever its URL is. Purge it if the version was
    ///   withdrawn.
    /// - `NAME-unversioned`: the URL has no version, and the file is not a fingerprinted one.
    ///   Purge it after each deploy.
    ///
    /// In a tag, every character of a version that is not an ASCII letter, a digit, `-`, `_` or `.`
    /// is a `_`. The inner service's own tags stay.
    pub fn surrogate_keys(mut self, name: impl Into<String>) -> Self {
        self.surrogate_keys = Some(name.into());
        self
    }

    /// Adds the same tags as [`surrogate_keys`](Self::surrogate_keys) to `Cache-Tag`, separated by
    /// commas, as Cloudflare and others read them. Default: none. To a browser nothing changes.
    pub fn cache_tags(mut self, name: impl Into<String>) -> Self {
        self.cache_tags = Some(name.into());
        self
    }

    /// Whether a policy is only for files that are listed.
    pub(crate) fn needs_manifest(&self) -> bool {
        self.unversioned.is_some()
    }

    /// Returns the fields that all responses have in common.
    pub(crate) fn parse(&self, is_development: bool) -> Result<CdnFields, Error> {
        let value = |policy: &Option<CachePolicy>| {
            policy.as_ref().map(CachePolicy::to_targeted).transpose()
        };
        let (current, unversioned) = (value(&self.current)?, value(&self.unversioned)?);
        let named = [(&self.surrogate_keys, SURROGATE_KEY), (&self.cache_tags, CACHE_TAG)];
        let tags = named.into_iter().filter_map(|(name, field)| Some((name.as_ref()?, field)));
        let tags = tags.map(|(name, field)| TagField::new(name, field));
        Ok(CdnFields {
            current,
            unversioned: unversioned.filter(|_| !is_development),
            tags: tags.collect::<Result<_, _>>()?,
        })
    }
}

/// The name of a field with tags, and what stands between two of them.
type Tagging = (HeaderName, u8);

const SURROGATE_KEY: Tagging = (HeaderName::from_static("surrogate-key"), b' ');
const CACHE_TAG: Tagging = (HeaderName::from_static("cache-tag"), b',');

/// Whether a field has tags.
pub(crate) fn is_tagging(name: &HeaderName) -> bool {
    [SURROGATE_KEY, CACHE_TAG].iter().any(|(tagging, _)| tagging == name)
}

/// The fields for a CDN, parsed.
#[derive(Debug)]
pub(crate) struct CdnFields {
    current: Option<HeaderValue>,
    unversioned: Option<HeaderValue>,
    tags: Box<[TagField]>,
}

/// What a response is, as far as it matters to a CDN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'s> {
    /// The version of the bytes, if they are proven.
    pub(crate) version: &'s str,
    pub(crate) outcome: StaticUrlOutcome,
    pub(crate) status: StatusCode,
    pub(crate) matching: Match,
    /// What the inner service has set.
    pub(crate) caching: InnerCaching,
    pub(crate) is_authorized: bool,
}

impl CdnFields {
    /// Adds the fields to a response, whose `Cache-Control` is set already. One that is not for
    /// everybody gets none.
    #[cold]
    pub(crate) fn add_to(&self, headers: &mut HeaderMap, sent: Sent<'_>) {
        if sent.is_authorized || sent.caching.is_private {
            return;
        }
        let is_proven = sent.matching == Match::Verified && is_whole_or_part(sent.status);
        if is_proven
            && let Some(policy) = self.policy(sent.outcome)
            // The inner service's own word counts.
            && !sent.caching.has_cache_control
            && !has_targeted(headers)
        {
            headers.insert(CDN_CACHE_CONTROL, policy.clone());
        }
        let is_unversioned = sent.outcome == StaticUrlOutcome::Unversioned;
        let is_stored = !has_directive(headers, "no-store");
        for field in &self.tags {
            if is_proven {
                field.add(headers, &field.of_version(sent.version));
            }
            if is_unversioned && is_stored {
                field.add(headers, &field.unversioned);
            }
        }
    }

    fn policy(&self, outcome: StaticUrlOutcome) -> Option<&HeaderValue> {
        match outcome {
            StaticUrlOutcome::Current | StaticUrlOutcome::Kept => self.current.as_ref(),
            StaticUrlOutcome::Unversioned => self.unversioned.as_ref(),
            StaticUrlOutcome::Stale | StaticUrlOutcome::Outside => None,
        }
    }

    /// Removes the tag of a version, before the fields are kept for responses of other versions.
    /// Returns whether it was there.
    #[cfg(any(feature = "delta", all(feature = "memory", feature = "releases")))]
    pub(crate) fn remove_version(&self, headers: &mut HeaderMap, version: &str) -> bool {
        let remove = |field: &TagField| field.remove(headers, &field.of_version(version));
        self.tags.iter().map(remove).fold(false, |any, found| any | found)
    }

    /// Adds the tag of a version.
    #[cfg(any(feature = "delta", all(feature = "memory", feature = "releases")))]
    pub(crate) fn add_version(&self, headers: &mut HeaderMap, version: &str) {
        self.tags.iter().for_each(|field| field.add(headers, &field.of_version(version)));
    }
}

/// A field with tags of one name.
#[derive(Debug)]
struct TagField {
    name: Box<str>,
    /// `<name>-unversioned`
    unversioned: Box<str>,
    field: HeaderName,
    separator: u8,
}

/// So that a tag is short even with a long version.
const LONGEST_NAME: usize = 100;

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character)
}

impl TagField {
    fn new(name: &str, (field, separator): Tagging) -> Result<Self, Error> {
        let why = match name.chars().find(|&character| !is_plain(character)) {
            Some(bad) => Some(format!("{bad:?} is no letter, digit, `-`, `_` or `.`")),
            None if name.is_empty() => Some("is empty".into()),
            None if name.len() > LONGEST_NAME => Some(format!("is longer than {LONGEST_NAME}")),
            None => None,
        };
        if let Some(why) = why {
            let message = format!("name of cache tags {name:?}: {why}");
            return Err(Error::new(ErrorKind::InvalidCacheTag, message));
        }
        let unversioned = format!("{name}-unversioned").into();
        Ok(Self { name: name.into(), unversioned, field, separator })
    }

    fn of_version(&self, version: &str) -> String {
        let plain = version.chars().map(|one| if is_plain(one) { one } else { '_' });
        let version = plain.collect::<String>();
        format!("{}-{version}", self.name)
    }

    /// Adds a tag after those of the inner service, in one line.
    fn add(&self, headers: &mut HeaderMap, tag: &str) {
        let mut tags = self.tags(headers);
        tags.push(tag.as_bytes());
        self.set(tags.join(&self.separator), headers);
    }

    /// Removes a tag. Returns whether it was there.
    #[cfg(any(feature = "delta", all(feature = "memory", feature = "releases")))]
    fn remove(&self, headers: &mut HeaderMap, tag: &str) -> bool {
        let tags = self.tags(headers);
        let others = tags.iter().copied().filter(|other| *other != tag.as_bytes());
        let others = others.collect::<Vec<_>>();
        let is_found = others.len() < tags.len();
        if is_found {
            self.set(others.join(&self.separator), headers);
        }
        is_found
    }

    fn tags<'h>(&self, headers: &'h HeaderMap) -> Vec<&'h [u8]> {
        let lines = headers.get_all(&self.field).into_iter();
        let tags = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == self.separator));
        tags.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).collect()
    }

    fn set(&self, tags: Vec<u8>, headers: &mut HeaderMap) {
        // The bytes of field values, and of tags.
        match HeaderValue::from_bytes(&tags) {
            Ok(tags) if !tags.is_empty() => drop(headers.insert(self.field.clone(), tags)),
            _ => drop(headers.remove(&self.field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StaticUrlOutcome::{Current, Kept, Outside, Stale, Unversioned};
    use std::time::Duration;

    fn hour() -> CachePolicy {
        CachePolicy::max_age(Duration::from_secs(3600))
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
        assert!(headers.get_all(name).iter().count() < 2, "one line: {headers:?}");
        headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn which_responses_have_which_fields() {
        use Match::*;
        let cdn = Cdn::new().current("max-age=9".parse().unwrap()).unversioned(hour());
        let cdn = cdn.surrogate_keys("site").parse(false).unwrap();
        let (own, without) = ("site-v1", "site-unversioned");
        for (name, outcome, matching, status, policy, tags) in [
            ("current", Current, Verified, 200, "max-age=9", own),
            ("a part", Current, Verified, 206, "max-age=9", own),
            ("not modified", Current, Verified, 304, "max-age=9", own),
            ("kept", Kept, Verified, 200, "max-age=9", own),
            ("changed", Current, Mismatch, 200, "", ""),
            ("unproven", Current, Unproven, 200, "", ""),
            ("not listed", Current, Unlisted, 200, "", ""),
            ("another status", Current, Verified, 203, "", ""),
            ("a redirect", Current, Verified, 302, "", ""),
            ("an error", Current, Verified, 404, "", ""),
            ("stale", Stale, Verified, 200, "", own),
            ("stale and changed", Stale, Mismatch, 200, "", ""),
            (
                "unversioned",
                Unversioned,
                Verified,
                200,
                "public, max-age=3600",
                "site-v1 site-unversioned",
            ),
            ("unversioned and changed", Unversioned, Mismatch, 200, "", without),
            ("unversioned, not listed", Unversioned, Unlisted, 200, "", without),
            ("an unversioned error", Unversioned, Verified, 404, "", without),
            ("outside", Outside, Unlisted, 200, "", ""),
        ] {
            let mut headers = HeaderMap::new();
            let (status, caching) = (StatusCode::from_u16(status).unwrap(), <_>::default());
            let sent =
                Sent { version: "v1", outcome, status, matching, caching, is_authorized: false };
            cdn.add_to(&mut headers, sent);
            let found = (field(&headers, "cdn-cache-control"), field(&headers, "surrogate-key"));
            assert_eq!(found, (policy, tags), "{name}");
        }
    }

    #[test]
    fn what_the_inner_service_says_counts() {
        let cdn = Cdn::new().unversioned(hour()).surrogate_keys("a").cache_tags("b");
        let cdn = cdn.parse(false).unwrap();
        let hour = "public, max-age=3600";
        for (name, is_authorized, lines, expected) in [
            ("nothing", false, &[][..], [hour, "a-v1 a-unversioned", "b-v1,b-unversioned"]),
            (
                "tags of its own",
                false,
                &[("surrogate-key", "x  a-y"), ("surrogate-key", "z"), ("cache-tag", "x, y,")],
                [hour, "x a-y z a-v1 a-unversioned", "x,y,b-v1,b-unversioned"],
            ),
            (
                "a lifetime",
                false,
                &[("cache-control", "max-age=9")],
                ["", "a-v1 a-unversioned", "b-v1,b-unversioned"],
            ),
            (
                "a lifetime for its own CDN",
                false,
                &[("netlify-cdn-cache-control", "max-age=9")],
                ["", "a-v1 a-unversioned", "b-v1,b-unversioned"],
            ),
            ("for one client", false, &[("set-cookie", "a=b")], ["", "", ""]),
            ("never stored", false, &[("cache-control", "no-store")], ["", "", ""]),
            ("an authorized client", true, &[], ["", "", ""]),
        ] {
            let mut headers = headers(lines);
            let caching = crate::header::head::ResponseFields::of(&headers).caching;
            let (version, status, matching) = ("v1", StatusCode::OK, Match::Verified);
            let sent =
                Sent { version, outcome: Unversioned, status, matching, caching, is_authorized };
            cdn.add_to(&mut headers, sent);
            let found = ["cdn-cache-control", "surrogate-key", "cache-tag"];
            assert_eq!(found.map(|name| field(&headers, name)), expected, "{name}");
        }
    }

    #[test]
    fn what_nobody_stores_needs_no_tag() {
        let cdn = Cdn::new().cache_tags("site").parse(false).unwrap();
        let mut headers = headers(&[("cache-control", "no-store")]);
        let (status, matching) = (StatusCode::NOT_FOUND, Match::Unlisted);
        let (caching, is_authorized) = (InnerCaching::default(), false);
        let outcome = Unversioned;
        let sent = Sent { version: "v1", outcome, status, matching, caching, is_authorized };
        cdn.add_to(&mut headers, sent);
        assert_eq!(field(&headers, "cache-tag"), "");
    }

    #[cfg(feature = "releases")]
    #[test]
    fn the_tag_of_a_version_is_replaced() {
        let cdn = Cdn::new().surrogate_keys("site").cache_tags("site").parse(false).unwrap();
        for (name, lines, expected) in [
            ("no tags", &[][..], ["", ""]),
            ("alone", &[("surrogate-key", "site-v1")], ["site-v2", "site-v2"]),
            (
                "among others",
                &[("surrogate-key", "a site-v1 b"), ("cache-tag", "site-v11,site-v1")],
                ["a b site-v2", "site-v11,site-v2"],
            ),
            ("another version", &[("cache-tag", "site-v11")], ["", "site-v11"]),
        ] {
            let mut headers = headers(lines);
            if cdn.remove_version(&mut headers, "v1") {
                cdn.add_version(&mut headers, "v2");
            }
            let found = ["surrogate-key", "cache-tag"].map(|name| field(&headers, name));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_tag_has_no_separator_in_it() {
        let field = TagField::new("a.b_c-D", CACHE_TAG).unwrap();
        for (version, expected) in [
            ("3f9c2a7be01d4c55", "a.b_c-D-3f9c2a7be01d4c55"),
            ("v1.2.3", "a.b_c-D-v1.2.3"),
            ("v1,2;3~", "a.b_c-D-v1_2_3_"),
        ] {
            assert_eq!(field.of_version(version), expected);
        }
    }

    #[test]
    fn names_of_tags() {
        let longest = "a".repeat(LONGEST_NAME);
        let too_long = format!("{longest}a");
        for (name, why) in [
            ("", "is empty"),
            ("my site", "' ' is no letter, digit, `-`, `_` or `.`"),
            ("a,b", "',' is no letter, digit, `-`, `_` or `.`"),
            ("a\n", "'\\n' is no letter, digit, `-`, `_` or `.`"),
            (&*too_long, "is longer than 100"),
        ] {
            for cdn in [Cdn::new().surrogate_keys(name), Cdn::new().cache_tags(name)] {
                let error = cdn.parse(false).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidCacheTag, "{name:?}");
                assert_eq!(error.to_string(), format!("name of cache tags {name:?}: {why}"));
            }
        }
        assert!(Cdn::new().cache_tags(longest).parse(false).is_ok());
    }

    #[test]
    fn a_policy_that_caches_would_ignore_is_refused() {
        let quoted = || r#"max-age="60""#.parse::<CachePolicy>().unwrap();
        for cdn in [Cdn::new().current(quoted()), Cdn::new().unversioned(quoted())] {
            let error = cdn.parse(false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCachePolicy);
            let text = r#"CDN cache policy "max-age=\"60\"": `max-age="60"` is not allowed"#;
            assert_eq!(error.to_string(), text);
        }
    }
}
