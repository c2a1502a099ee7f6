//! Whether a response is the listed file, by the rules in the crate's documentation: what
//! its length, its date and the inner service's own tag show.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{
    cache_control::{is_personal, members},
    exchange::{Inner, Seen},
    place::Place,
    site::{CSS, CSS_GZ, DATE, MODIFIED, Site, etag_of},
    tags::{is_tag, parse_date},
};

const LONGEST_HASHED: u64 = 1024 * 1024;

/// How the bytes of a response relate to the version of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are the version's. The tag is the layer's for them; without a manifest it has
    /// none.
    Proven {
        tag: Option<String>,
    },
    Changed,
    Unproven,
    /// Nothing is listed that it could be.
    Unlisted,
}

/// What the layer has been shown of listed files.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The inner service's own tags, by file and coding.
    tags: BTreeMap<(String, &'static str), Vec<u8>>,
    /// What was sent whole and proven, and with which fields by the inner service.
    pub(crate) proven: BTreeMap<String, Vec<HeaderMap>>,
    pub(crate) changed: BTreeSet<String>,
    /// What was once for one client or occasion alone.
    pub(crate) personal: BTreeSet<String>,
}

/// A listed file, a response to a request for it, and what was known before.
struct Comparison<'c> {
    site: &'c Site,
    known: &'c Known,
    path: &'c str,
    content: &'static [u8],
    method: &'c Method,
    inner: &'c Inner,
}

/// One content coding of a listed file.
#[derive(Clone, Copy)]
struct Form {
    coding: &'static str,
    content: &'static [u8],
    /// Compressed by somebody on the way, so that the length says nothing.
    on_the_way: bool,
}

const AGREES: Option<bool> = Some(true);
const DISAGREES: Option<bool> = Some(false);

impl Known {
    pub(crate) fn judge(&self, site: &Site, place: &Place<'_>, seen: &Seen) -> Verdict {
        let Some(inner) = &seen.inner else { return Verdict::Unlisted };
        let status = inner.status();
        if !site.has_manifest() {
            let is_part = status != 206 || (inner.is_asked_for_a_part() && inner.has_part());
            return if is_part { Verdict::Proven { tag: None } } else { Verdict::Unproven };
        }
        let Some((path, content)) = listed(site, place) else { return Verdict::Unlisted };
        match status {
            200 | 206 | 304 | 416 => {
                let (known, method) = (self, seen.asked.method());
                Comparison { site, known, path: &path, content, method, inner }.judge().0
            }
            201..300 => Verdict::Unproven,
            _ => Verdict::Unlisted,
        }
    }

    /// Remembers what a response has shown.
    pub(crate) fn note(&mut self, site: &Site, place: &Place<'_>, seen: &Seen) {
        let method = seen.asked.method();
        let is_read = [Method::GET, Method::HEAD].contains(method);
        let listed = listed(site, place).filter(|_| is_read);
        let (Some((path, content)), Some(inner)) = (listed, &seen.inner) else { return };
        if ![200, 206, 304, 416].contains(&inner.status()) {
            return;
        }
        let known = &*self;
        let comparison = Comparison { site, known, path: &path, content, method, inner };
        let (verdict, learned) = comparison.judge();
        let headers = inner.response.headers();
        if is_personal(headers) || headers.contains_key(header::EXPIRES) {
            self.personal.insert(path.clone());
        }
        if verdict == Verdict::Changed {
            self.changed.insert(path.clone());
        }
        if matches!(verdict, Verdict::Proven { .. }) && inner.status() == 200 {
            self.proven.entry(path.clone()).or_default().push(headers.clone());
        }
        if let Some((coding, tag)) = learned {
            self.tags.entry((path, coding)).or_insert(tag);
        }
    }
}

fn listed(site: &Site, place: &Place<'_>) -> Option<(String, &'static [u8])> {
    let path = place.file()?;
    let content = site.listed(&path)?;
    Some((path, content))
}

impl Inner {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn is_asked_for_a_part(&self) -> bool {
        self.request.headers().contains_key(header::RANGE)
    }

    fn first(&self, name: header::HeaderName) -> Option<&HeaderValue> {
        self.response.headers().get(name)
    }

    /// RFC 9110 §14.4: the part, if one was satisfied, and the complete length.
    fn content_range(&self) -> Option<(Option<(u64, u64)>, u64)> {
        let value = self.first(header::CONTENT_RANGE)?.to_str().ok()?;
        let (unit, rest) = value.split_once(' ')?;
        let (range, complete) = rest.split_once('/')?;
        let complete = number(complete)?;
        if !unit.eq_ignore_ascii_case("bytes") || range == "*" {
            return Some((None, complete)).filter(|_| unit.eq_ignore_ascii_case("bytes"));
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && last < complete).then_some((Some((first, last)), complete))
    }

    fn has_part(&self) -> bool {
        self.content_range().is_some_and(|(part, _)| part.is_some())
    }

    /// Of all of what is sent, as the field has it and as the body has it.
    fn lengths(&self, method: &Method) -> [Option<u64>; 2] {
        match self.status() {
            304 => [None, None],
            206 if !self.has_part() => [None, None],
            206 | 416 => [self.content_range().map(|(_, complete)| complete), None],
            _ => {
                let field = self.first(header::CONTENT_LENGTH);
                let field = field.and_then(|value| number(value.to_str().ok()?));
                // Of HEAD the body is empty, whatever GET's is.
                let is_known = |&length: &u64| *method != Method::HEAD || length > 0;
                [field, self.body_length.filter(is_known)]
            }
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The content codings but `identity`, in lower case.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let codings = members(headers, header::CONTENT_ENCODING).into_iter();
    let codings = codings.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase());
    let codings = codings.map(|name| if name == "x-gzip" { "gzip".into() } else { name });
    codings.filter(|name| name != "identity").collect()
}

impl Comparison<'_> {
    /// The verdict, and the inner service's tag if it is known from now on.
    fn judge(&self) -> (Verdict, Option<(&'static str, Vec<u8>)>) {
        let plain = Form { coding: "identity", content: self.content, on_the_way: false };
        let sibling = Form { coding: "gzip", content: CSS_GZ.1, on_the_way: false };
        let sibling = Some(sibling).filter(|_| self.path == CSS.0);
        if self.inner.status() == 416 {
            // It does not say of what.
            let forms = [Some(plain), sibling].into_iter().flatten();
            let mut verdicts = forms.map(|form| self.compare(form).0);
            let proven = verdicts.find(|it| matches!(it, Verdict::Proven { .. }));
            return (proven.unwrap_or(Verdict::Unproven), None);
        }
        let is_sized = self.inner.lengths(self.method).iter().any(Option::is_some);
        match &codings(self.inner.response.headers())[..] {
            [] => self.compare(plain),
            // Of a name that is no token nothing is known, of a coding that is, much.
            [one] if !one.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') => {
                (Verdict::Unproven, None)
            }
            [one] if !is_sized => {
                let (verdict, _) = self.compare(Form { on_the_way: true, ..plain });
                // It may be the sibling, streamed.
                let sibling = sibling.filter(|form| form.coding == one);
                let may_be_it =
                    sibling.is_some_and(|form| self.compare(form).0 != Verdict::Changed);
                if verdict == Verdict::Changed && may_be_it {
                    return (Verdict::Unproven, None);
                }
                let digest = etag_of(self.content);
                let weak = format!("W/{}-{}\"", digest.trim_end_matches('"'), self.spelled(one));
                (verdict.with_tag(weak), None)
            }
            [one] if one == "gzip" => {
                sibling.map_or((Verdict::Unproven, None), |form| self.compare(form))
            }
            _ => (Verdict::Unproven, None),
        }
    }

    /// The name of a coding as the inner service has it.
    fn spelled(&self, coding: &str) -> String {
        let names = members(self.inner.response.headers(), header::CONTENT_ENCODING);
        let mut names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        let is_it = |name: &String| !name.eq_ignore_ascii_case("identity");
        names.find(is_it).unwrap_or_else(|| coding.into())
    }

    fn compare(&self, form: Form) -> (Verdict, Option<(&'static str, Vec<u8>)>) {
        let [field, body] = self.inner.lengths(self.method);
        let is_right = |length: u64| length == form.content.len() as u64;
        let length = worse(field.map(is_right), body.map(is_right));
        let length = if form.on_the_way { None } else { worse(length, self.part()) };
        let (date, tag) = (self.date(), self.tag(form));
        let pieces = worse(length, worse(date, tag));
        if pieces == DISAGREES {
            return (Verdict::Changed, None);
        }
        let is_trusted = self.site.is_dated || !self.site.is_development;
        let is_body = tag == AGREES || (length == AGREES && is_trusted);
        let status = self.inner.status();
        let is_proven = match status {
            304 => pieces == AGREES,
            206 => is_body && length == AGREES && self.inner.is_asked_for_a_part(),
            _ => is_body,
        };
        let own = self.inner.first(header::ETAG).map(|tag| (form.coding, tag.as_bytes().to_vec()));
        let own = own.filter(|_| !form.on_the_way);
        let proven = Verdict::Proven { tag: Some(etag_of(form.content)) };
        if is_proven {
            return (proven, own.filter(|_| length == AGREES && date == AGREES));
        }
        let is_hashed = length == AGREES
            && *self.method == Method::GET
            && status == 200
            && body.is_some_and(|length| length <= LONGEST_HASHED)
            && !is_personal(self.inner.response.headers());
        match is_hashed {
            true if self.inner.response.body() == form.content => (proven, None),
            true => (Verdict::Changed, None),
            false => (Verdict::Unproven, None),
        }
    }

    /// A part disagrees that is not as long as it says, or not one of what was asked for.
    fn part(&self) -> Option<bool> {
        let ((first, last), complete) = match self.inner.content_range()? {
            (Some(part), complete) if self.inner.status() == 206 => (part, complete),
            _ => return None,
        };
        let field = self.inner.first(header::CONTENT_LENGTH);
        let field = field.and_then(|value| number(value.to_str().ok()?));
        let is_known = |&length: &u64| *self.method != Method::HEAD || length > 0;
        let lengths = [field, self.inner.body_length.filter(is_known)];
        let is_whole = lengths.iter().flatten().all(|&length| length == last - first + 1);
        let asked = self.inner.request.headers().get(header::RANGE);
        let asked =
            asked.and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
        let is_inside = asked.is_none_or(|(from, to)| match (number(from), number(to)) {
            _ if from.is_empty() => {
                number(to).is_none_or(|suffix| first >= complete.saturating_sub(suffix))
            }
            (Some(from), _) if to.is_empty() => from <= first,
            (Some(from), Some(to)) => from <= first && last <= to,
            _ => true,
        });
        (!is_whole || !is_inside).then_some(false)
    }

    fn date(&self) -> Option<bool> {
        let sent = self.inner.first(header::LAST_MODIFIED)?;
        let is_it = |sent: &str| parse_date(sent) == parse_date(DATE);
        self.site.is_dated.then(|| sent.to_str().is_ok_and(is_it))
    }

    fn tag(&self, form: Form) -> Option<bool> {
        let sent = self.inner.first(header::ETAG)?.as_bytes();
        let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        // A weak one is no proof that the bytes are the same (RFC 9110 §8.8.1).
        let is_weak = sent.starts_with(b"W/") && !form.on_the_way;
        if let Some(known) = self.known.tags.get(&(self.path.to_owned(), form.coding)) {
            // Who compresses may make a tag weak.
            let is_same = form.on_the_way && is_tag(sent) && is_tag(known);
            let is_it = sent == known || (is_same && opaque(sent) == opaque(known));
            return (!(is_it && is_weak)).then_some(is_it);
        }
        // One like `ServeDir`'s is of another file, if it is not of this one.
        let sent = read_dir_etag(&opaque(sent)).filter(|_| self.site.is_dated)?;
        let is_it = sent == (MODIFIED.as_nanos(), form.content.len() as u128);
        (!(is_it && is_weak)).then_some(is_it)
    }
}

/// `"<seconds>.<8 digits of nanoseconds>-<length>"`, in hexadecimal digits however spelled:
/// the nanoseconds of a time, and the length.
fn read_dir_etag(tag: &[u8]) -> Option<(u128, u128)> {
    let number = |text: &str| {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(u128::from(u64::from_str_radix(text, 16).ok().filter(|_| is_hex)?))
    };
    let tag = std::str::from_utf8(tag).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let (seconds, rest) = tag.split_once('.')?;
    let (nanos, length) = rest.split_once('-').filter(|(nanos, _)| nanos.len() == 8)?;
    let time = number(seconds)? * 1_000_000_000 + number(nanos)?;
    Some((time, number(length)?)).filter(|_| time <= Duration::MAX.as_nanos())
}

fn worse(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    }
}

impl Verdict {
    fn with_tag(self, tag: String) -> Self {
        if matches!(self, Self::Proven { .. }) { Self::Proven { tag: Some(tag) } } else { self }
    }
}
