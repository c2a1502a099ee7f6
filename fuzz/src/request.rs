//! Odd request heads, against a service that answers in many ways, and one judge of all
//! that happens.

use std::{collections::BTreeMap, ops::Range};

use http::{HeaderMap, Method, header};
use tower_static_url::StalePolicy;

use crate::{
    cache_control::{Rule, Stays, TARGETED, has_directive, is_personal},
    evidence::{Known, Verdict},
    exchange::{Inner, Seen, exchange},
    inner::{compressed, respond},
    place::Place,
    script::{Answer, Exchange, Script},
    site::{CSS, CSS_GZ, Site, etag_of, fill},
};

const CONDITIONS: [&str; 4] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

const YEAR: &str = "public, max-age=31536000, immutable";

/// Says how many exchanges it has judged.
pub fn request(data: &[u8]) -> usize {
    let script = Script::parse(data, fill);
    let site = Site::new(&script.site);
    let (mut known, mut tagged) = (Known::default(), Tagged::default());
    let mut is_honest = true;
    let count = script.exchanges.len();
    for Exchange { request, answer } in script.exchanges {
        is_honest &= shows_what_it_does(&answer, &site);
        let seen = exchange(&site.layer, request, |request| respond(request, site.base, &answer));
        let place = Place::of(seen.asked.uri().path(), site.base, &site);
        let verdict = known.judge(&site, &place, &seen);
        let case = Case { site: &site, place, seen: &seen, known: &known, verdict };
        case.judge();
        if is_honest {
            case.immutable_is_deserved();
            tagged.note(&case);
        }
        known.note(&site, &place, &seen);
    }
    count
}

/// Whether another content can be told by what the inner service says of it. An edit that
/// keeps the length need not be seen, except where every body is hashed; nor that bytes were
/// compressed and measured, whose tag is still the plain form's.
fn shows_what_it_does(answer: &Answer, site: &Site) -> bool {
    let is_hashed = site.is_development && !site.is_dated;
    let shows_edit = is_hashed || !answer.says("swapped");
    answer.is_honest() && shows_edit && !answer.says("measured")
}

struct Case<'c> {
    site: &'c Site,
    place: Place<'c>,
    seen: &'c Seen,
    /// Before this response.
    known: &'c Known,
    verdict: Verdict,
}

impl Case<'_> {
    fn judge(&self) {
        self.the_extensions_are_there();
        let is_options = *self.seen.asked.method() == Method::OPTIONS;
        self.the_path_loses_one_version(self.is_read() || is_options);
        if self.is_outside() || !self.is_read() {
            return self.nothing_is_touched();
        }
        self.only_conditions_and_ranges_are_taken_off();
        let Some(inner) = &self.seen.inner else { return self.it_need_not_be_asked() };
        self.one_line_each();
        self.caching_is_as_in_the_table(inner);
        self.the_tag_is_proven(inner);
        self.other_fields_stay(inner);
        self.errors_are_not_stored();
        self.the_authorized_get_nothing_public();
        self.a_part_is_of_what_if_range_names();
        self.no_byte_is_lost();
    }

    fn is_read(&self) -> bool {
        [Method::GET, Method::HEAD].contains(self.seen.asked.method())
    }

    fn is_outside(&self) -> bool {
        matches!(self.place, Place::Outside { .. })
    }

    fn is_current(&self) -> bool {
        matches!(self.place, Place::Versioned { version, .. } if version == self.site.version)
    }

    fn is_stale(&self) -> bool {
        matches!(self.place, Place::Versioned { .. }) && !self.is_current()
    }

    fn is_authorized(&self) -> bool {
        self.seen.asked.headers().contains_key("authorization")
    }

    fn listed(&self) -> Option<&'static [u8]> {
        self.site.listed(&self.place.file()?)
    }

    fn the_extensions_are_there(&self) {
        let Some(inner) = &self.seen.inner else { return };
        let expected = self.site.layer.prefix();
        let is_it = inner.prefix().is_some_and(|prefix| prefix.as_str() == expected.as_str());
        assert!(is_it, "no prefix, or another: {:?}", self.seen);
        let expected = self.place.outcome(self.site);
        assert_eq!(inner.outcome(), Some(expected), "another outcome: {:?}", self.seen);
    }

    fn the_path_loses_one_version(&self, is_removed: bool) {
        let Some(Inner { request, .. }) = &self.seen.inner else { return };
        let (asked, got) = (self.seen.asked.uri(), request.uri());
        let expected = match self.place {
            Place::Versioned { rest, .. } if is_removed => format!("{}/{rest}", self.site.base),
            _ => asked.path().to_owned(),
        };
        assert_eq!(got.path(), expected, "another path: {:?}", self.seen);
        assert_eq!(got.query(), asked.query(), "another query: {:?}", self.seen);
        assert_eq!(got.authority(), asked.authority(), "another authority: {:?}", self.seen);
        assert_eq!(got.scheme(), asked.scheme(), "another scheme: {:?}", self.seen);
        assert_eq!(request.method(), self.seen.asked.method(), "another method: {:?}", self.seen);
        for trick in ["//", "..", "\\"] {
            let gained = got.path().matches(trick).count() > asked.path().matches(trick).count();
            assert!(!gained, "a new {trick}: {:?}", self.seen);
        }
    }

    /// Also where the method is none of the layer's.
    fn nothing_is_touched(&self) {
        let Inner { request, response, .. } =
            self.seen.inner.as_ref().expect("it is not the layer's");
        let answer = &self.seen.answer;
        assert_eq!(request.headers(), self.seen.asked.headers(), "fields: {:?}", self.seen);
        assert_eq!(answer.status(), response.status(), "another status: {:?}", self.seen);
        assert_eq!(answer.body(), response.body(), "another body: {:?}", self.seen);
        let is_error = response.status().as_u16() >= 400;
        let may_be_a_file = matches!(self.place, Place::Outside { may_be_a_file: true });
        if !is_error || !may_be_a_file || !self.is_read() {
            return assert_eq!(answer.headers(), response.headers(), "touched: {:?}", self.seen);
        }
        let rule = Rule { ours: "no-store", stays: Stays::OnlyIfStrict };
        let is_kept = rule.is_kept(response.headers(), answer.headers(), self.is_authorized());
        assert!(is_kept, "another node's file, and stored: {:?}", self.seen);
        let others = |headers| without(headers, &[&["cache-control"][..], &TARGETED].concat());
        assert_eq!(others(answer.headers()), others(response.headers()), "{:?}", self.seen);
    }

    fn only_conditions_and_ranges_are_taken_off(&self) {
        let Some(Inner { request, .. }) = &self.seen.inner else { return };
        let (asked, got) = (self.seen.asked.headers(), request.headers());
        let named = asked.get_all("if-range").iter().collect::<Vec<_>>();
        if self.listed().is_none() {
            // The inner service does not know the layer's tags of what is not listed.
            let is_of_layer = matches!(named[..], [tag] if is_digest(tag.as_bytes()));
            let gone: &[&str] = if is_of_layer { &["if-range", "range"] } else { &[] };
            return assert_eq!(*got, without(asked, gone), "other fields: {:?}", self.seen);
        }
        for name in CONDITIONS.iter().chain(&["if-range"]) {
            assert!(!got.contains_key(*name), "the layer's: {:?}", self.seen);
        }
        let is_get = *self.seen.asked.method() == Method::GET;
        let has_range = asked.contains_key("range") && is_get;
        assert!(has_range || !got.contains_key("range"), "no range was asked: {:?}", self.seen);
        let coding = Some("accept-encoding").filter(|_| !named.is_empty() && has_range);
        let ours = ["if-range", "range"].into_iter().chain(CONDITIONS).chain(coding);
        let ours = ours.collect::<Vec<_>>();
        assert_eq!(without(got, &ours), without(asked, &ours), "other fields: {:?}", self.seen);
    }

    /// What comes without the inner service: what the builder wants for stale versions, a
    /// 304 to a tag of the current one, and a file from memory.
    fn it_need_not_be_asked(&self) {
        match self.place {
            Place::Versioned { rest, .. } if self.is_stale() => self.stale_is_refused(rest),
            _ => self.it_comes_from_memory(),
        }
    }

    fn stale_is_refused(&self, rest: &str) {
        let Site { mount, version, stale, .. } = self.site;
        let query = self.seen.asked.uri().query().map(|query| format!("?{query}"));
        let current = format!("{mount}/{version}/{rest}{}", query.unwrap_or_default());
        let (status, location) = match stale {
            StalePolicy::Redirect => (307, current),
            StalePolicy::NotFound => (404, String::new()),
            _ => panic!("nobody was asked: {:?}", self.seen),
        };
        assert_eq!(self.seen.status(), status, "{:?}", self.seen);
        assert_eq!(self.seen.field("location"), location, "{:?}", self.seen);
        assert_eq!(self.seen.field("cache-control"), "no-store", "{:?}", self.seen);
        assert!(self.seen.answer.body().is_empty(), "{:?}", self.seen);
    }

    fn it_comes_from_memory(&self) {
        let asked = &self.seen.asked;
        let path = self.place.file().filter(|_| self.is_current() && self.listed().is_some());
        let path = path.unwrap_or_else(|| panic!("nobody was asked: {:?}", self.seen));
        let said = self.known.proven.get(&path);
        let said = said.unwrap_or_else(|| panic!("it was never seen: {:?}", self.seen));
        let is_watched = self.site.is_development && !self.site.is_dated;
        let is_asked_again = is_watched || self.known.personal.contains(&path);
        assert!(!is_asked_again, "it has to be asked: {:?}", self.seen);
        let is_known = self.seen.status() == 304
            && asked.headers().contains_key("if-none-match")
            && !self.known.changed.contains(&path);
        let may_be_stored = self.site.has_memory
            && !self.is_authorized()
            && asked.uri().query().is_none()
            && [200, 206, 304, 412].contains(&self.seen.status());
        assert!(is_known || may_be_stored, "nobody was asked: {:?}", self.seen);
        let is_listed = self.contents().iter().any(|(tag, bytes)| self.shows(tag, bytes));
        let is_refused = self.seen.status() == 412 && self.seen.answer.body().is_empty();
        assert!(is_listed || is_refused, "not as listed: {:?}", self.seen);
        let rule = if is_refused {
            Rule { ours: "no-store", stays: Stays::OnlyIfStrict }
        } else {
            Rule { ours: YEAR, stays: Stays::Always }
        };
        let answer = self.seen.answer.headers();
        let is_kept = said.iter().any(|said| rule.is_kept(said, answer, self.is_authorized()));
        assert!(is_kept, "other caching: {:?}", self.seen);
    }

    /// But where the inner service has said more.
    fn one_line_each(&self) {
        let Some(Inner { response, .. }) = &self.seen.inner else { return };
        for name in [header::ETAG, header::CACHE_CONTROL, header::LAST_MODIFIED] {
            let count = |headers: &HeaderMap| headers.get_all(&name).iter().count();
            let (lines, said) = (count(self.seen.answer.headers()), count(response.headers()));
            assert!(lines <= said.max(1), "two lines of {name}: {:?}", self.seen);
        }
    }

    fn caching_is_as_in_the_table(&self, inner: &Inner) {
        let was_to_be_asked = !self.is_stale() || self.site.serves_stale();
        assert!(was_to_be_asked, "stale, and asked: {:?}", self.seen);
        let (said, rule) = (inner.response.headers(), self.rule());
        let is_kept = rule.is_kept(said, self.seen.answer.headers(), self.is_authorized());
        assert!(is_kept, "not {rule:?}, {:?}: {:?}", self.verdict, self.seen);
    }

    /// The table of the documentation.
    fn rule(&self) -> Rule {
        let status = self.seen.status();
        let is_redirect = (300..400).contains(&status) && status != 304;
        let is_of_file = [200, 206, 304].contains(&status);
        let rule = |ours, stays| Rule { ours, stays };
        match self.verdict {
            _ if status >= 400 => rule("no-store", Stays::OnlyIfStrict),
            _ if self.is_stale()
                && matches!(self.site.stale, StalePolicy::ServeWith(_))
                && !is_redirect =>
            {
                rule("no-store", Stays::OnlyIfStrict)
            }
            _ if self.is_stale() => rule("no-cache", Stays::OnlyIfStrict),
            Verdict::Proven { .. } if self.is_current() && is_of_file => rule(YEAR, Stays::Always),
            Verdict::Proven { .. } if self.is_current() => rule("no-cache", Stays::Always),
            Verdict::Unlisted if self.is_current() => rule("no-cache", Stays::IfStrict),
            _ if self.is_current() => rule("no-cache", Stays::OnlyIfStrict),
            _ if is_redirect => rule("no-cache", Stays::Always),
            Verdict::Proven { .. } | Verdict::Unlisted => {
                rule(self.site.unversioned, Stays::Always)
            }
            _ => rule(self.site.unversioned, Stays::IfStrict),
        }
    }

    fn the_tag_is_proven(&self, inner: &Inner) {
        let (tag, said) = (self.seen.field("etag"), self.seen.inner_field("etag"));
        let headers = inner.response.headers();
        let is_personal = is_personal(headers);
        // A part of something else than the client has the rest of.
        if self.seen.status() == 412 && inner.status() == 206 && tag.is_empty() {
            return;
        }
        if let Verdict::Proven { tag: Some(own) } = &self.verdict
            && !is_personal
        {
            // The client may have the file in another coding.
            let is_given = self.seen.status() == 304 && inner.status() != 304;
            let is_other = is_given && self.contents().iter().any(|(other, _)| *other == tag);
            return assert!(tag == *own || is_other, "another tag: {:?}", self.seen);
        }
        let first = headers.get("etag").map(|tag| String::from_utf8_lossy(tag.as_bytes()));
        let is_weaker = first.is_some_and(|first| tag == format!("W/{first}"))
            && headers.contains_key("content-encoding");
        let is_hashed = inner.status() == 200
            && *self.seen.asked.method() == Method::GET
            && said.is_empty()
            && !is_personal
            && tag == etag_of(inner.response.body());
        assert!(tag == said || is_weaker || is_hashed, "a tag of the layer's: {:?}", self.seen);
    }

    fn other_fields_stay(&self, inner: &Inner) {
        if self.seen.answer.status() != inner.response.status() {
            return;
        }
        let mut ours = [&["cache-control", "etag"][..], &TARGETED].concat();
        match self.seen.status() {
            304 => ours.push("content-length"),
            300..400 => ours.push("location"),
            _ => {}
        }
        let [answer, said] = [self.seen.answer.headers(), inner.response.headers()];
        assert_eq!(without(answer, &ours), without(said, &ours), "other fields: {:?}", self.seen);
    }

    /// Whatever the evidence: of an inner service that says what is so the listed bytes
    /// alone are immutable.
    fn immutable_is_deserved(&self) {
        let is_immutable = |headers| has_directive(headers, "immutable");
        let said = self.seen.inner.as_ref().map(|inner| inner.response.headers());
        let is_ours = is_immutable(self.seen.answer.headers()) && !said.is_some_and(is_immutable);
        if !is_ours || self.is_outside() || !self.is_read() {
            return;
        }
        assert!(self.is_current(), "immutable without the current version: {:?}", self.seen);
        let is_listed = self.contents().iter().any(|(tag, bytes)| self.shows(tag, bytes));
        assert!(is_listed || !self.site.has_manifest(), "not as listed: {:?}", self.seen);
    }

    /// What may be sent for the listed file, with its tag.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let Some(content) = self.listed() else { return Vec::new() };
        let plain = etag_of(content);
        let weak = format!("W/{}-gzip\"", plain.trim_end_matches('"'));
        let sibling = (etag_of(CSS_GZ.1), CSS_GZ.1.into());
        let coded = [(weak, compressed(content))];
        let coded = coded.into_iter().chain(Some(sibling).filter(|_| content == CSS.1));
        let plain = (plain, content.into());
        let is_coded = self.seen.field("content-encoding") == "gzip";
        match self.seen.status() {
            304 => coded.chain([plain]).collect(),
            _ if is_coded => coded.collect(),
            _ => vec![plain],
        }
    }

    fn shows(&self, tag: &str, bytes: &[u8]) -> bool {
        let part = match self.seen.status() {
            200 => Some(0..bytes.len()),
            206 => part(&self.seen.field("content-range"), bytes.len()),
            304 => Some(0..0),
            _ => None,
        };
        let Some(part) = part.and_then(|part| bytes.get(part)) else { return false };
        let is_get = *self.seen.asked.method() == Method::GET;
        let body = if is_get { part } else { b"" };
        let length = self.seen.field("content-length");
        let has_length = length.is_empty() || length == part.len().to_string();
        self.seen.answer.body() == body && has_length && self.seen.field("etag") == tag
    }

    fn errors_are_not_stored(&self) {
        let is_stored = !has_directive(self.seen.answer.headers(), "no-store");
        assert!(self.seen.status() < 400 || !is_stored, "an error is kept: {:?}", self.seen);
    }

    /// What nobody stores, or the client alone, no shared cache does.
    fn the_authorized_get_nothing_public(&self) {
        let has = |directive| has_directive(self.seen.answer.headers(), directive);
        let is_shared = (has("public") || has("s-maxage")) && !has("no-store") && !has("private");
        assert!(!(self.is_authorized() && is_shared), "public: {:?}", self.seen);
    }

    fn a_part_is_of_what_if_range_names(&self) {
        let named = self.seen.asked.headers().get_all("if-range").iter().collect::<Vec<_>>();
        if self.seen.status() != 206 || named.is_empty() {
            return;
        }
        // The inner service alone answers for a part that it was not asked for, and for one
        // of what is not listed, if it was told of the condition.
        let saw = |name| {
            self.seen.inner.as_ref().is_none_or(|it| it.request.headers().contains_key(name))
        };
        if !saw("range") || (self.listed().is_none() && saw("if-range")) {
            return;
        }
        let tag = self.seen.answer.headers().get("etag");
        let is_of_it = tag.is_some_and(|tag| named.iter().all(|it| *it == tag));
        // To what is personal the layer puts no tag; with the inner service's own the client
        // will not put the part to what it has (RFC 9110 §15.3.7.3).
        let inner = self.seen.inner.as_ref().map(|inner| inner.response.headers());
        let is_inner = tag.is_none() || inner.is_some_and(|inner| inner.get("etag") == tag);
        let is_personal = inner.is_some_and(is_personal);
        assert!(is_of_it || (is_inner && is_personal), "a part of something else: {:?}", self.seen);
    }

    /// What the inner service sends arrives as it was, unless it is left out whole.
    fn no_byte_is_lost(&self) {
        let (body, length) = (self.seen.answer.body(), self.seen.field("content-length"));
        let Some(Inner { response, .. }) = &self.seen.inner else { return };
        if self.seen.answer.status() == response.status() {
            assert_eq!(body, response.body(), "another body: {:?}", self.seen);
        } else {
            let status = self.seen.status();
            assert!([304, 412].contains(&status), "another status: {:?}", self.seen);
            assert!(body.is_empty() && length.is_empty(), "a body: {:?}", self.seen);
        }
    }
}

fn without(headers: &HeaderMap, names: &[&str]) -> HeaderMap {
    let mut headers = headers.clone();
    for name in names {
        headers.remove(*name);
    }
    headers
}

/// Whether a tag looks like the layer's.
fn is_digest(tag: &[u8]) -> bool {
    let opaque = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    let is_digit = |byte: &u8| b"0123456789abcdef".contains(byte);
    opaque.is_some_and(|opaque| opaque.len() == 64 && opaque.iter().all(is_digit))
}

/// The range that a `Content-Range` names, of a content that is so long.
fn part(content_range: &str, all: usize) -> Option<Range<usize>> {
    let (range, length) = content_range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (length == all.to_string()).then_some(first..last + 1)
}

/// What strong tags were given to.
#[derive(Default)]
struct Tagged(BTreeMap<String, Vec<u8>>);

impl Tagged {
    fn note(&mut self, case: &Case<'_>) {
        let seen = case.seen;
        let tag = seen.field("etag");
        let is_get = *seen.asked.method() == Method::GET;
        // What is for one client is left as the inner service has it.
        let is_personal = seen.inner.as_ref().is_some_and(|it| is_personal(it.response.headers()));
        if case.is_outside() || !is_get || !tag.starts_with('"') || is_personal {
            return;
        }
        let body = &seen.answer.body()[..];
        match seen.status() {
            200 => {
                let known = self.0.entry(tag).or_insert_with(|| body.into());
                assert_eq!(known, body, "a strong tag of two contents: {seen:?}");
            }
            // Without the field it is the inner service's, and is vouched for by nobody.
            206 if seen.answer.headers().contains_key("content-range") => {
                let Some(known) = self.0.get(&tag) else { return };
                let part = part(&seen.field("content-range"), known.len());
                let part = part.and_then(|part| known.get(part));
                assert_eq!(part, Some(body), "a part of something else: {seen:?}");
            }
            _ => {}
        }
    }
}
