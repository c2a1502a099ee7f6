//! Odd request heads, against a service that answers in many ways, and one judge of all
//! that happens.

use std::{collections::HashMap, ops::Range};

use http::{Method, header};

use crate::{
    exchange::{Seen, exchange, has_directive},
    inner::{compressed, respond},
    place::Place,
    script::{Exchange, Script},
    site::{CSS, CSS_GZ, Site, etag_of, fill, listed},
};

const CONDITIONS: [&str; 4] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// Says how many exchanges it has judged.
pub fn request(data: &[u8]) -> usize {
    let script = Script::parse(data, fill);
    let site = Site::new(&script.site);
    let mut tagged = Tagged::default();
    let count = script.exchanges.len();
    for Exchange { request, answer } in script.exchanges {
        let seen = exchange(&site.layer, request, |request| respond(request, site.base, &answer));
        let case = Case { site: &site, place: site.place(&seen), seen: &seen };
        case.judge();
        tagged.note(&case);
    }
    count
}

impl Site {
    fn place<'s>(&self, seen: &'s Seen) -> Place<'s> {
        Place::of(seen.asked.uri().path(), self.base, &self.version)
    }
}

struct Case<'c> {
    site: &'c Site,
    place: Place<'c>,
    seen: &'c Seen,
}

impl Case<'_> {
    fn judge(&self) {
        self.inner_service_is_asked_the_same_without_one_version();
        self.only_conditions_and_ranges_are_taken_off();
        self.the_prefix_is_there();
        if self.place == Place::Outside {
            return self.nothing_is_touched();
        }
        self.one_line_each();
        self.immutable_is_deserved();
        self.stale_is_never_kept();
        self.errors_are_not_stored();
        self.the_authorized_get_nothing_public();
        self.what_is_personal_stays_so();
        self.a_part_is_of_what_if_range_names();
        self.no_byte_is_lost();
    }

    fn is_read(&self) -> bool {
        [Method::GET, Method::HEAD].contains(self.seen.asked.method())
    }

    fn cache_control(&self) -> String {
        self.seen.field("cache-control")
    }

    /// Whether `Cache-Control` says what the inner service does not.
    fn adds(&self, directive: &str) -> bool {
        has_directive(&self.cache_control(), directive)
            && !has_directive(&self.seen.inner_field("cache-control"), directive)
    }

    fn listed(&self) -> Option<&'static str> {
        listed(&self.place.file()?)
    }

    fn inner_service_is_asked_the_same_without_one_version(&self) {
        let Some((inner, _)) = &self.seen.inner else { return self.it_need_not_be_asked() };
        let (asked, got) = (self.seen.asked.uri(), inner.uri());
        let expected = match self.place {
            Place::Versioned { rest, .. } => format!("{}/{rest}", self.site.base),
            _ => asked.path().to_owned(),
        };
        assert_eq!(got.path(), expected, "another path: {:?}", self.seen);
        assert_eq!(got.query(), asked.query(), "another query: {:?}", self.seen);
        assert_eq!(got.authority(), asked.authority(), "another authority: {:?}", self.seen);
        for trick in ["//", "..", "\\"] {
            let gained = got.path().matches(trick).count() > asked.path().matches(trick).count();
            assert!(!gained, "a new {trick}: {:?}", self.seen);
        }
    }

    /// Two answers come without the inner service: a 304 to a tag of the current
    /// version, and what the builder wants for stale ones.
    fn it_need_not_be_asked(&self) {
        let is_known = match self.place {
            Place::Versioned { version, .. } if version == self.site.version => {
                self.seen.status() == 304 && self.listed().is_some()
            }
            Place::Versioned { .. } => !self.site.serves_stale,
            _ => false,
        };
        assert!(is_known && self.is_read(), "nobody was asked: {:?}", self.seen);
    }

    fn only_conditions_and_ranges_are_taken_off(&self) {
        let Some((inner, _)) = &self.seen.inner else { return };
        let is_listed = self.listed().is_some() && self.is_read();
        let has_if_range = self.seen.asked.headers().contains_key("if-range");
        let (mut asked, mut got) = (self.seen.asked.headers().clone(), inner.headers().clone());
        for name in CONDITIONS.into_iter().filter(|_| is_listed) {
            asked.remove(name);
            assert!(!got.contains_key(name), "ours: {:?}", self.seen);
        }
        let ranges = ["if-range", "range"];
        let ranges = ranges.iter().filter(|_| self.is_read() && self.place != Place::Outside);
        let coding = Some(&"accept-encoding").filter(|_| is_listed && has_if_range);
        for name in ranges.chain(coding) {
            asked.remove(*name);
            got.remove(*name);
        }
        assert_eq!(got, asked, "other fields: {:?}", self.seen);
        assert_eq!(inner.method(), self.seen.asked.method());
    }

    fn the_prefix_is_there(&self) {
        let expected = self.site.layer.prefix();
        let prefix = self.seen.inner.as_ref().map(|_| self.seen.prefix.as_ref());
        let is_right =
            prefix.is_none_or(|it| it.is_some_and(|it| it.as_str() == expected.as_str()));
        assert!(is_right, "no prefix, or another: {:?}", self.seen);
    }

    fn nothing_is_touched(&self) {
        let (inner, response) = self.seen.inner.as_ref().expect("it is not ours");
        assert_eq!(inner.headers(), self.seen.asked.headers());
        assert_eq!(inner.uri(), self.seen.asked.uri());
        assert_eq!(self.seen.answer.status(), response.status());
        assert_eq!(self.seen.answer.headers(), response.headers());
        assert_eq!(self.seen.answer.body(), response.body());
    }

    /// But where the inner service has said more, now or, if it was not asked, before.
    fn one_line_each(&self) {
        if self.seen.inner.is_none() {
            return;
        }
        for name in [header::ETAG, header::CACHE_CONTROL, header::LAST_MODIFIED] {
            let inner = self.seen.inner.as_ref();
            let lines = self.seen.answer.headers().get_all(&name).iter().count();
            let said = inner.map_or(0, |it| it.1.headers().get_all(&name).iter().count());
            assert!(lines <= said.max(1), "two lines of {name}: {:?}", self.seen);
        }
    }

    fn immutable_is_deserved(&self) {
        if !self.adds("immutable") {
            return;
        }
        let Place::Versioned { version, .. } = self.place else {
            panic!("immutable without a version: {:?}", self.seen);
        };
        assert_eq!(version, self.site.version, "immutable, and stale: {:?}", self.seen);
        assert!(self.is_read(), "immutable, and not read: {:?}", self.seen);
        let is_listed = self.contents().iter().any(|(tag, bytes)| self.shows(tag, bytes));
        assert!(is_listed, "immutable, and not as listed: {:?}", self.seen);
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
        let etag = self.seen.field("etag");
        let has_tag = etag == tag || (etag.is_empty() && self.is_personal());
        self.seen.answer.body() == body && has_length && has_tag
    }

    /// Whether the inner service says that a response is for one client or occasion.
    fn is_personal(&self) -> bool {
        let said = self.seen.inner_field("cache-control");
        !self.seen.inner_field("set-cookie").is_empty()
            || has_directive(&self.seen.inner_field("vary"), "*")
            || ["private", "no-store"].iter().any(|it| has_directive(&said, it))
    }

    fn stale_is_never_kept(&self) {
        let Place::Versioned { version, .. } = self.place else { return };
        if version == self.site.version || !self.is_read() {
            return;
        }
        let said = self.cache_control().to_ascii_lowercase();
        let is_strict = ["no-cache", "no-store"].iter().any(|it| has_directive(&said, it));
        let is_over_at_once = said.contains("must-revalidate") && said.contains("max-age=");
        assert!(is_strict || is_over_at_once, "stale, and kept: {:?}", self.seen);
    }

    fn errors_are_not_stored(&self) {
        let is_stored = !has_directive(&self.cache_control(), "no-store");
        assert!(self.seen.status() < 400 || !is_stored, "an error is kept: {:?}", self.seen);
    }

    fn the_authorized_get_nothing_public(&self) {
        let is_authorized = self.seen.asked.headers().contains_key("authorization");
        let is_public = has_directive(&self.cache_control(), "public");
        let is_ours = self.is_read() || self.adds("public");
        assert!(!(is_authorized && is_public && is_ours), "public: {:?}", self.seen);
    }

    fn what_is_personal_stays_so(&self) {
        if !self.is_personal() {
            return;
        }
        for permission in ["public", "immutable"] {
            assert!(!self.adds(permission), "now {permission}: {:?}", self.seen);
        }
        let tag = self.seen.field("etag");
        let inner = self.seen.inner_field("etag");
        let is_inner = tag == inner || tag == format!("W/{inner}");
        assert!(tag.is_empty() || is_inner, "a tag of ours: {:?}", self.seen);
    }

    fn a_part_is_of_what_if_range_names(&self) {
        let named = self.seen.asked.headers().get_all("if-range").iter().collect::<Vec<_>>();
        if self.seen.status() != 206 || named.is_empty() || !self.is_read() {
            return;
        }
        // The inner service alone answers for a part that it was not asked for, and for one
        // of what is not listed, if it was told of the condition.
        let saw =
            |name| self.seen.inner.as_ref().is_none_or(|it| it.0.headers().contains_key(name));
        if !saw("range") || (self.listed().is_none() && saw("if-range")) {
            return;
        }
        let tag = self.seen.answer.headers().get("etag");
        let is_of_it = tag.is_some_and(|tag| named.iter().all(|it| *it == tag));
        // To what is personal we put no tag; with the inner service's own the client will
        // not put the part to what it has (RFC 9110 §15.3.7.3).
        let tag = tag.map(|tag| tag.as_bytes().to_vec()).unwrap_or_default();
        let is_inner = tag.is_empty() || tag == self.seen.inner_field("etag").as_bytes();
        assert!(
            is_of_it || (is_inner && self.is_personal()),
            "a part of something else: {:?}",
            self.seen
        );
    }

    /// What the inner service sends arrives as it was, unless it is left out whole.
    fn no_byte_is_lost(&self) {
        let (body, length) = (self.seen.answer.body(), self.seen.field("content-length"));
        let Some((_, response)) = &self.seen.inner else {
            return assert!(body.is_empty(), "a body from nowhere: {:?}", self.seen);
        };
        if self.seen.answer.status() == response.status() {
            assert_eq!(body, response.body(), "another body: {:?}", self.seen);
        } else {
            let status = self.seen.status();
            assert!([304, 412].contains(&status), "another status: {:?}", self.seen);
            assert!(body.is_empty() && length.is_empty(), "a body: {:?}", self.seen);
        }
    }
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
struct Tagged(HashMap<String, Vec<u8>>);

impl Tagged {
    fn note(&mut self, case: &Case<'_>) {
        let seen = case.seen;
        let tag = seen.field("etag");
        let is_get = *seen.asked.method() == Method::GET;
        if case.place == Place::Outside || !is_get || !tag.starts_with('"') {
            return;
        }
        let body = &seen.answer.body()[..];
        match seen.status() {
            200 => {
                let known = self.0.entry(tag).or_insert_with(|| body.into());
                assert_eq!(known, body, "a strong tag of two contents: {seen:?}");
            }
            206 => {
                let Some(known) = self.0.get(&tag) else { return };
                let part = part(&seen.field("content-range"), known.len());
                let part = part.and_then(|part| known.get(part));
                assert_eq!(part, Some(body), "a part of something else: {seen:?}");
            }
            _ => {}
        }
    }
}
