//! What RFC 9110 and RFC 9111 let a server answer, written from their text alone:
//! slow, obvious, and without a line of the crate. Where the text leaves a choice
//! there are several answers; where the crate promises more than the text does, the
//! comment says "promise".
//!
//! Section numbers are RFC 9110's unless another RFC is named.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// The representations of one file (§3.2), the one without a content coding first.
pub(crate) struct Resource {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// What its 200 says in `Vary`.
    pub(crate) vary: &'static str,
    pub(crate) representations: Vec<Representation>,
}

pub(crate) struct Representation {
    /// `identity` is the absence of one (§12.5.3).
    pub(crate) coding: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    /// Strong (§8.8.1: "a collision-resistant hash function applied to the
    /// representation data"), and another one for every coding (§8.8.3.3).
    pub(crate) tag: String,
}

impl Resource {
    pub(crate) fn in_coding(&self, coding: &str) -> Option<&Representation> {
        self.representations.iter().find(|it| it.coding == coding)
    }
}

impl Representation {
    pub(crate) fn new(coding: &'static str, bytes: &[u8], modified: i64) -> Self {
        let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(bytes)));
        Self { coding, bytes: bytes.to_vec(), modified, tag }
    }

    fn length(&self) -> u128 {
        self.bytes.len() as u128
    }
}

/// What the version in the URL turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Current,
    Stale,
    Unversioned,
}

/// What the URL names.
pub(crate) enum Target<'t> {
    /// A file of the manifest. §13.1: "a precondition will assume that the mapping of
    /// each request to a selected representation is consistent over time", so the
    /// coding that the server has selected for the same `Accept-Encoding` without any
    /// condition is given.
    Listed { outcome: Outcome, resource: &'t Resource, selected: &'t str },
    /// Nothing, below the mount.
    Missing,
    /// Something below the mount that no manifest lists: a file that came later, a
    /// folder. The wrapped service alone would answer `bare`, and `whole` if it was asked for
    /// no range.
    Unlisted { bare: &'t Response, whole: &'t Response },
    /// Nothing that the layer edits: it is not below the mount, or the method is not
    /// [edited](is_edited). The wrapped service alone would answer `bare`, asked without the
    /// version if the method [loses it](loses_its_version).
    Untouched { bare: &'t Response },
}

/// Promise: only GET and HEAD are the layer's; it leaves the response to any other method
/// alone, whatever its status.
pub(crate) fn is_edited(method: &str) -> bool {
    ["GET", "HEAD"].contains(&method)
}

/// Promise: "A version is removed from GET, HEAD and OPTIONS requests alone." What OPTIONS asks
/// about is what GET would be answered; what other methods do to a URL with a version in it is
/// the wrapped service's to say.
pub(crate) fn loses_its_version(method: &str) -> bool {
    is_edited(method) || method == "OPTIONS"
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// In the order and the lines they are sent in.
    pub(crate) lines: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.lines.iter().filter(|(it, _)| it == name);
        lines.map(|(_, value)| value.as_slice()).collect()
    }
}

/// One answer that would be right.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// `None`: whatever it is.
    body: Option<Vec<u8>>,
    fields: Vec<(String, Rule)>,
    /// No field but those of `fields` and `Date`.
    nothing_else: bool,
    because: &'static str,
}

#[derive(Clone, Debug)]
enum Rule {
    Is(String),
    Absent,
    AbsentOr(String),
    Present,
    /// The members of a list, in any order and case.
    Lists(BTreeSet<String>),
    /// These lines and no others.
    Lines(Vec<Vec<u8>>),
}

const YEAR: &str = "public, max-age=31536000, immutable";

/// Every right answer.
pub(crate) fn answers(target: &Target<'_>, request: &Request) -> Vec<Expected> {
    match *target {
        Target::Untouched { bare } => vec![as_without_us(bare, "promise: it is untouched")],
        _ if !is_edited(&request.method) => panic!("{} is not edited", request.method),
        Target::Unlisted { bare, whole } => {
            let mut answers = vec![unlisted(bare)];
            // §13.1.5: "MUST ignore the Range header field if the If-Range condition evaluates
            // to false". A service that does not know If-Range may be helped.
            if field_value(request, "if-range").is_some() {
                answers.push(unlisted(whole));
            }
            answers
        }
        // §13.2.1: "A server MUST ignore all received preconditions if its response to
        // the same request without those conditions […] would have been a status code
        // other than a 2xx (Successful) or 412"; so also `If-Match: *`, though there is
        // no current representation.
        Target::Missing => vec![error(404, "§15.5.5, §13.2.1")],
        Target::Listed { outcome, resource, selected } => {
            listed(outcome, resource, resource.in_coding(selected).unwrap(), request)
        }
    }
}

fn unlisted(bare: &Response) -> Expected {
    let mut expected = as_without_us(bare, "promise: not listed, as without us");
    expected.fields.retain(|(name, _)| !["cache-control", "location"].contains(&name.as_str()));
    let policy = if bare.status >= 400 { "no-store" } else { "no-cache" };
    // A redirect stays below the version, of which the inner service knows nothing.
    let has_location = !bare.lines("location").is_empty();
    expected
        .is("cache-control", policy.to_owned())
        .field("location", if has_location { Rule::Present } else { Rule::Absent })
}

/// The codings that are acceptable to a request, best first where the request says
/// (§12.5.3).
pub(crate) fn acceptable<'r>(resource: &'r Resource, request: &Request) -> Vec<&'r str> {
    let codings = resource.representations.iter().map(|it| it.coding);
    let mut weighed = match field_value(request, "accept-encoding") {
        // "If no Accept-Encoding header field is in the request, any content coding is
        // considered acceptable by the user agent."
        None => return codings.collect(),
        Some(value) => codings.map(|it| (it, weight(it, &value))).collect::<Vec<_>>(),
    };
    weighed.retain(|&(_, weight)| weight > 0);
    weighed.sort_by_key(|&(_, weight)| std::cmp::Reverse(weight));
    weighed.into_iter().map(|(coding, _)| coding).collect()
}

/// In thousandths. Well-formed fields alone are asked here.
fn weight(coding: &str, accept_encoding: &[u8]) -> u32 {
    let text = String::from_utf8(accept_encoding.to_vec()).unwrap().to_ascii_lowercase();
    let listed = text.split(',').map(str::trim).filter(|element| !element.is_empty());
    let listed = listed.map(|element| {
        let (name, weight) = element.split_once(';').unwrap_or((element, "q=1"));
        // §8.4.1.3: "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"."
        let name = if name.trim() == "x-gzip" { "gzip" } else { name.trim() };
        let weight = weight.trim().strip_prefix("q=").unwrap();
        (name.to_owned(), (weight.parse::<f64>().unwrap() * 1000.0).round() as u32)
    });
    let listed = listed.collect::<Vec<_>>();
    let of = |name: &str| listed.iter().find(|(it, _)| it == name).map(|&(_, weight)| weight);
    match of(coding).or_else(|| of("*")) {
        Some(weight) => weight,
        // "If the representation has no content coding, then it is acceptable by default";
        // how much it is liked is not said: least.
        None if coding == "identity" => 1,
        None => 0,
    }
}

/// The codings a server may select: of those that are liked best, any. Nothing is
/// acceptable: §12.4.1 lets it disregard the field.
pub(crate) fn selectable<'r>(resource: &'r Resource, request: &Request) -> Vec<&'r str> {
    let acceptable = acceptable(resource, request);
    let Some(value) = field_value(request, "accept-encoding") else { return acceptable };
    let Some(best) = acceptable.first().map(|coding| weight(coding, &value)) else {
        return resource.representations.iter().map(|it| it.coding).collect();
    };
    acceptable.into_iter().filter(|coding| weight(coding, &value) == best).collect()
}

fn listed(
    outcome: Outcome,
    resource: &Resource,
    selected: &Representation,
    request: &Request,
) -> Vec<Expected> {
    let acceptable = acceptable(resource, request);
    let with = |it| answers_with(outcome, resource, it, request);
    let mut answers = with(selected);

    // Promise: "A tag names one coding: with a match, the inner service is asked for
    // exactly that coding". A server may select any acceptable coding, so that one too.
    let resumed = (request.method == "GET" && field_value(request, "range").is_some())
        .then(|| resource.representations.iter().find(|it| if_range_names(request, it)))
        .flatten();
    if let Some(resumed) = resumed {
        let is_acceptable = acceptable.contains(&resumed.coding);
        let mut others = with(resumed);
        // The client gets the rest of what it has, but never a whole in a coding that it
        // has just excluded.
        others.retain(|it| is_acceptable || it.status == 206);
        let is_promised = is_acceptable && others.iter().all(|it| it.status == 206);
        let has_preconditions = PRECONDITIONS.iter().any(|it| field_value(request, it).is_some());
        if is_promised && !has_preconditions {
            answers.clear();
        }
        answers.extend(others);
    }

    // §13.1.2 lets the tag of the selected representation decide. Promise: "A current,
    // listed URL whose If-None-Match names one of the file's strong tags is answered 304"
    // without asking which coding would be selected. Then the 304 must name the stored
    // response that it revalidates (RFC 9111 §4.3.4), and that must be one "that could
    // have been chosen for that request": in an acceptable coding.
    // An If-Match may be meant of either of the two.
    let list = field_value(request, "if-none-match");
    if let Some(list) = list.filter(|_| outcome == Outcome::Current) {
        let is_head = request.method == "HEAD";
        let named = resource.representations.iter().filter(|it| {
            acceptable.contains(&it.coding)
                && names(&list, it, weakly_equal) != Answer::No
                && [*it, selected].into_iter().any(|it| goes_on(request, it) != Answer::No)
        });
        answers.extend(named.map(|it| Full { outcome, resource, it, is_head }.not_modified()));
    }
    answers
}

const PRECONDITIONS: [&str; 4] =
    ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"];

/// The right answers where `it` is the selected representation: §13.2.2, step by step.
fn answers_with(
    outcome: Outcome,
    resource: &Resource,
    it: &Representation,
    request: &Request,
) -> Vec<Expected> {
    let full = Full { outcome, resource, it, is_head: request.method == "HEAD" };
    let mut answers = Vec::new();

    // Steps 1 and 2.
    let goes_on = goes_on(request, it);
    // §13.1.1, §13.1.4: "MUST NOT perform the requested method if the condition evaluates
    // to false. Instead, the origin server MAY indicate that the conditional request
    // failed by responding with a 412".
    if goes_on != Answer::Yes {
        answers.push(full.precondition_failed());
    }
    if goes_on == Answer::No {
        return answers;
    }

    // 3. "When If-None-Match is present, evaluate the If-None-Match precondition […] if
    // false for GET/HEAD, respond 304"
    // 4. "When the method is GET or HEAD, If-None-Match is not present, and
    // If-Modified-Since is present, evaluate the If-Modified-Since precondition"
    let is_known = match field_value(request, "if-none-match") {
        Some(list) => names(&list, it, weakly_equal),
        None => match single_date(request, "if-modified-since") {
            // §13.1.3 lets a server "only honor exact timestamp matches". Promise: it does,
            // because a deploy may well bring an older file.
            Date::At(date) => Answer::from(it.modified == date),
            Date::Doubtful(date) if it.modified == date => Answer::Either,
            Date::Doubtful(_) | Date::None => Answer::No,
        },
    };
    if is_known != Answer::No {
        answers.push(full.not_modified());
    }
    if is_known == Answer::Yes {
        return answers;
    }

    // 5. "When the method is GET and both Range and If-Range are present, evaluate the
    // If-Range precondition: if true and the Range is applicable to the selected
    // representation, respond 206 (Partial Content); otherwise, ignore the Range header
    // field and respond 200 (OK)"
    // 6. "Otherwise, perform the requested method"
    let shortest = resource.representations.iter().map(Representation::length).min().unwrap();
    answers.extend(parts(request, it, shortest).into_iter().map(|part| match part {
        Part::Whole => full.ok(),
        Part::Bytes { first, last } => {
            full.partial(first, last, field_value(request, "if-range").is_some())
        }
        Part::Unsatisfiable => full.range_not_satisfiable(),
    }));
    answers
}

/// 1. "When recipient is the origin server and If-Match is present, evaluate the If-Match
///    precondition: if true, continue to step 3"
/// 2. "When recipient is the origin server, If-Match is not present, and
///    If-Unmodified-Since is present, evaluate the If-Unmodified-Since precondition: if true,
///    continue to step 3"
fn goes_on(request: &Request, it: &Representation) -> Answer {
    if let Some(list) = field_value(request, "if-match") {
        return names(&list, it, strongly_equal);
    }
    match single_date(request, "if-unmodified-since") {
        // §13.1.4: "earlier than or equal to the date provided"
        Date::At(date) => Answer::from(it.modified <= date),
        Date::Doubtful(date) if it.modified > date => Answer::Either,
        Date::Doubtful(_) | Date::None => Answer::Yes,
    }
}

// ---------------------------------------------------------------------------------
// Fields of a request

/// §5.2: "its combined field value consists of the list of corresponding field line
/// values within that section, concatenated in order, with each field line value
/// separated by a comma". §5.5: without the whitespace around each.
fn field_value(request: &Request, name: &str) -> Option<Vec<u8>> {
    let lines = request.lines.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
    let lines = lines.map(|(_, value)| value.trim_ascii().to_vec()).collect::<Vec<_>>();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

/// Of a condition; `Either` where the text leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Either,
}

impl From<bool> for Answer {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

/// ```text
/// entity-tag = [ weak ] opaque-tag
/// weak       = %s"W/"
/// opaque-tag = DQUOTE *etagc DQUOTE
/// etagc      = %x21 / %x23-7E / obs-text
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag {
    is_weak: bool,
    /// With its quotes.
    opaque: Vec<u8>,
}

/// §8.8.3, and what follows the tag.
fn entity_tag(text: &[u8]) -> Option<(EntityTag, &[u8])> {
    let is_weak = text.starts_with(b"W/");
    let opaque = if is_weak { &text[2..] } else { text };
    let inside = opaque.strip_prefix(b"\"")?;
    let is_etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff);
    let end = 1 + inside.iter().take_while(|byte| is_etagc(byte)).count();
    if opaque.get(end) != Some(&b'"') {
        return None;
    }
    let (opaque, rest) = opaque.split_at(end + 1);
    Some((EntityTag { is_weak, opaque: opaque.to_vec() }, rest))
}

fn whole_entity_tag(text: &[u8]) -> Option<EntityTag> {
    entity_tag(text).filter(|(_, rest)| rest.is_empty()).map(|(tag, _)| tag)
}

/// §8.8.3.2: "two entity tags are equivalent if both are not weak and their opaque-tags
/// match character-by-character."
fn strongly_equal(a: &EntityTag, b: &EntityTag) -> bool {
    !a.is_weak && !b.is_weak && a.opaque == b.opaque
}

/// §8.8.3.2: "two entity tags are equivalent if their opaque-tags match
/// character-by-character, regardless of either or both being tagged as "weak"."
fn weakly_equal(a: &EntityTag, b: &EntityTag) -> bool {
    a.opaque == b.opaque
}

/// `#entity-tag`, as a recipient must read it (§5.6.1.2):
/// `[ element ] *( OWS "," OWS [ element ] )`.
fn tags(list: &[u8]) -> Option<Vec<EntityTag>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_ascii();
    loop {
        if !rest.is_empty() && rest[0] != b',' {
            let (tag, behind) = entity_tag(rest)?;
            tags.push(tag);
            rest = behind.trim_ascii_start();
        }
        rest = match rest {
            [] => return Some(tags),
            [b',', behind @ ..] => behind.trim_ascii_start(),
            _ => return None,
        };
    }
}

/// `"*" / #entity-tag`: §13.1.1 and §13.1.2. "If the field value is "*" […] if the
/// origin server has a current representation", which it has: yes. "If the field value is
/// a list of entity tags […] if any of the listed tags match". "Otherwise": no.
fn names(list: &[u8], it: &Representation, equal: fn(&EntityTag, &EntityTag) -> bool) -> Answer {
    let own = whole_entity_tag(it.tag.as_bytes()).unwrap();
    if list == b"*" {
        return Answer::Yes;
    }
    match tags(list) {
        Some(tags) => Answer::from(tags.iter().any(|tag| equal(tag, &own))),
        // "Otherwise" is what the text says of a malformed value; but §2.4 lets a recipient
        // "attempt to recover a usable protocol element from an invalid construct", and of
        // a `*` among tags it is said to be "unlikely to be interoperable".
        None if contains(list, b"*") || contains(list, &own.opaque) => Answer::Either,
        None => Answer::No,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Date {
    At(i64),
    /// The grammar allows it, but no calendar has it (that day of the month was another day
    /// of the week), or no clock that counts from 1970: understood or ignored.
    Doubtful(i64),
    None,
}

/// §13.1.3, §13.1.4: "A recipient MUST ignore […] if the received field value is not a
/// valid HTTP-date", or "has more than one member".
fn single_date(request: &Request, name: &str) -> Date {
    let Some(value) = field_value(request, name) else { return Date::None };
    match http_date(&value) {
        None => Date::None,
        Some(seconds) if seconds >= 0 && value[..3] == imf_fixdate(seconds).as_bytes()[..3] => {
            Date::At(seconds)
        }
        Some(seconds) => Date::Doubtful(seconds),
    }
}

/// §5.6.7: seconds since 1970. "A recipient that parses a timestamp value in an HTTP field
/// MUST accept all three HTTP-date formats."
pub(crate) fn http_date(text: &[u8]) -> Option<i64> {
    const DAYS: [&str; 7] =
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let text = std::str::from_utf8(text).ok()?;
    let words = text.split(' ').collect::<Vec<_>>();
    let is_short_day = |name: &str| DAYS.iter().any(|day| &day[..3] == name);
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [name, day, month_name, year, time, "GMT"] if is_short_day(name.strip_suffix(',')?) => {
            let day = digits(day, 2)?;
            seconds(digits(year, 4)?, month(month_name)?, day, time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [name, date, time, "GMT"] if DAYS.contains(&name.strip_suffix(',')?) => {
            let date = date.split('-').collect::<Vec<_>>();
            let &[day, month_name, year] = &date[..] else { return None };
            // The century is the one that is not 50 years ahead: in this test's lifetime,
            // of a year from 1970 on.
            let year = match digits(year, 2)? {
                year @ 0..70 => 2000 + year,
                year => 1900 + year,
            };
            seconds(year, month(month_name)?, digits(day, 2)?, time)
        }
        // Sun Nov  6 08:49:37 1994
        [name, month_name, "", day, time, year] if is_short_day(name) => {
            seconds(digits(year, 4)?, month(month_name)?, digits(day, 1)?, time)
        }
        // Sun Nov 16 08:49:37 1994
        [name, month_name, day, time, year] if is_short_day(name) => {
            seconds(digits(year, 4)?, month(month_name)?, digits(day, 2)?, time)
        }
        _ => None,
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(name: &str) -> Option<i64> {
    Some(1 + MONTHS.iter().position(|it| *it == name)? as i64)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap())
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn seconds(year: i64, month: i64, day: i64, time: &str) -> Option<i64> {
    let time = time.split(':').map(|part| digits(part, 2)).collect::<Option<Vec<_>>>()?;
    let &[hour, minute, second] = &time[..] else { return None };
    if day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days_of_year = |year| (1..=12).map(|month| days_of(year, month)).sum::<i64>();
    let years = if year >= 1970 {
        (1970..year).map(days_of_year).sum::<i64>()
    } else {
        -(year..1970).map(days_of_year).sum::<i64>()
    };
    let days = years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// §5.6.7, as a sender must write it.
pub(crate) fn imf_fixdate(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (mut days, time) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    let name = DAYS[days.rem_euclid(7) as usize];
    let (mut year, mut month) = (1970, 1);
    while days >= days_of(year, month) {
        days -= days_of(year, month);
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    let (day, month_name) = (days + 1, MONTHS[month as usize - 1]);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{name}, {day:02} {month_name} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

// ---------------------------------------------------------------------------------
// Ranges

/// What of a representation is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// Both included.
    Bytes {
        first: u128,
        last: u128,
    },
    Unsatisfiable,
}

/// `int-range / suffix-range` (§14.1.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    From { first: u128, last: Option<u128> },
    Suffix(u128),
}

/// A valid bytes ranges-specifier.
struct ByteRanges {
    specs: Vec<RangeSpec>,
    /// In the one form that every sender uses. Another one may be valid too, but §14.2
    /// lets a server ignore any `Range`: it need not understand that form.
    is_usual: bool,
}

/// ```text
/// ranges-specifier = range-unit "=" range-set
/// range-set        = 1#range-spec
/// int-range        = first-pos "-" [ last-pos ]
/// suffix-range     = "-" suffix-length
/// ```
///
/// `None` for what is not to be understood. §14.2: "An origin server MUST ignore a Range
/// header field that contains a range unit it does not understand", and "MAY ignore or
/// reject a Range header field that contains an invalid ranges-specifier". Promise: it is
/// ignored.
fn byte_ranges(value: &[u8]) -> Option<ByteRanges> {
    let value = std::str::from_utf8(value).ok()?;
    let (unit, set) = value.split_once('=')?;
    // §14.1: "All range unit names are case-insensitive".
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let elements = set.split(',').map(|element| element.trim_matches([' ', '\t']));
    let specs = elements.filter(|element| !element.is_empty()).map(range_spec);
    let specs = specs.collect::<Option<Vec<_>>>()?;
    let usual = match specs[..] {
        [] => return None,
        [RangeSpec::Suffix(length)] => format!("bytes=-{length}"),
        [RangeSpec::From { first, last: None }] => format!("bytes={first}-"),
        [RangeSpec::From { first, last: Some(last) }] => format!("bytes={first}-{last}"),
        [_, _, ..] => value.to_owned(),
    };
    let numbers = set.split(|byte: char| !byte.is_ascii_digit()).filter_map(number);
    let is_usual = value == usual && numbers.max() < Some(1 << 63);
    Some(ByteRanges { specs, is_usual })
}

/// `None` for an invalid one, also where "the last-pos value is present and less than the
/// first-pos" (§14.1.1).
fn range_spec(text: &str) -> Option<RangeSpec> {
    let (first, last) = text.split_once('-')?;
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(RangeSpec::Suffix(number(last)?)),
        (false, true) => Some(RangeSpec::From { first: number(first)?, last: None }),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
        }
    }
}

/// `1*DIGIT`. §14.1.2: "recipients MUST anticipate potentially large decimal numerals and
/// prevent parsing errors due to integer conversion overflows".
fn number(text: &str) -> Option<u128> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u128::MAX))
}

/// §14.1.2: "For a GET request, a valid bytes range-spec is satisfiable if it is either:
/// an int-range with a first-pos that is less than the current length of the selected
/// representation or a suffix-range with a non-zero suffix-length."
fn satisfy(spec: RangeSpec, length: u128) -> Option<(u128, u128)> {
    match spec {
        RangeSpec::From { first, .. } if first >= length => None,
        RangeSpec::Suffix(0) => None,
        // "the server replaces the value of last-pos with a value that is one less than
        // the current length"
        RangeSpec::From { first, last } => {
            Some((first, last.map_or(length - 1, |last| last.min(length - 1))))
        }
        // "If the selected representation is shorter than the specified suffix-length, the
        // entire representation is used."
        RangeSpec::Suffix(suffix) => Some((length.saturating_sub(suffix), length - 1)),
    }
}

/// What may be sent of a representation: §14.2, behind the preconditions of §13.1.
///
/// `shortest` is the length of the shortest representation of the same file.
fn parts(request: &Request, it: &Representation, shortest: u128) -> Vec<Part> {
    // §14.2: "GET is the only method for which range handling is defined", and a server
    // "MUST ignore" it with any other.
    let range = field_value(request, "range").filter(|_| request.method == "GET");
    let Some(ranges) = range.and_then(|range| byte_ranges(&range)) else {
        return vec![Part::Whole];
    };
    let requested = requested_parts(&ranges, it.length(), shortest);
    match if_range(request, it) {
        None => requested,
        Some(Answer::No) => vec![Part::Whole],
        // §14.2 would have a 416 for what is unsatisfiable, step 5 of §13.2.2 a 200.
        Some(Answer::Yes) if requested.contains(&Part::Unsatisfiable) => {
            vec![Part::Unsatisfiable, Part::Whole]
        }
        Some(Answer::Yes) => requested,
        Some(Answer::Either) => [requested, vec![Part::Whole]].concat(),
    }
}

fn requested_parts(ranges: &ByteRanges, length: u128, shortest: u128) -> Vec<Part> {
    // §14.2: "MAY ignore a Range header field when the selected representation has no
    // content". A suffix is satisfiable then (§14.1.2), but no Content-Range can say what
    // of nothing is sent (§14.4): all of it is.
    if length == 0 {
        return vec![Part::Whole, Part::Unsatisfiable];
    }
    let satisfied = ranges.specs.iter().filter_map(|&spec| satisfy(spec, length));
    let mut parts = satisfied.map(|(first, last)| Part::Bytes { first, last }).collect::<Vec<_>>();
    if parts.is_empty() {
        parts.push(Part::Unsatisfiable);
    }
    let must_be_a_part = match ranges.specs[..] {
        // All of it, one way or the other. Where another coding would be all of it, whoever
        // stands in front of the one that selects the coding may not know, and ignore it.
        [RangeSpec::Suffix(suffix)] if suffix > shortest => false,
        [_] => ranges.is_usual,
        // §15.3.7: "a server might want to send only a subset of the data requested". Of
        // several parts that is one of them; a multipart/byteranges is not among the
        // answers.
        _ => false,
    };
    if !must_be_a_part {
        parts.push(Part::Whole);
    }
    parts
}

/// §13.1.5: whether the condition holds, if there is one.
fn if_range(request: &Request, it: &Representation) -> Option<Answer> {
    let value = field_value(request, "if-range")?;
    Some(match http_date(&value) {
        // "If the HTTP-date validator provided is not a strong validator in the sense
        // defined by Section 8.8.2.2, the condition is false." It is strong if "that origin
        // server reliably knows that the associated representation did not change twice
        // during the second covered by the presented validator"; who can tell. Both.
        Some(date) if date == it.modified => Answer::Either,
        // "The If-Range comparison is by exact match, including when the validator is an
        // HTTP-date".
        Some(_) => Answer::No,
        None => Answer::from(if_range_names(request, it)),
    })
}

/// "If the entity-tag validator provided exactly matches the ETag field value for the
/// selected representation using the strong comparison function, the condition is true."
/// It is one tag, no list: anything else is false.
fn if_range_names(request: &Request, it: &Representation) -> bool {
    let own = whole_entity_tag(it.tag.as_bytes()).unwrap();
    let tag = field_value(request, "if-range").and_then(|value| whole_entity_tag(&value));
    tag.is_some_and(|tag| strongly_equal(&tag, &own))
}

// ---------------------------------------------------------------------------------
// Answers

/// What an answer is about.
#[derive(Clone, Copy)]
struct Full<'r> {
    outcome: Outcome,
    resource: &'r Resource,
    it: &'r Representation,
    is_head: bool,
}

impl Full<'_> {
    /// What every answer says that has the representation or stands for it. §15.3.7: a
    /// 206 has "Date, Cache-Control, ETag, Expires, Content-Location, and Vary" of the 200;
    /// §15.4.5: a 304 the same.
    fn validated(&self, status: u16, because: &'static str) -> Expected {
        let policy = if self.outcome == Outcome::Current { YEAR } else { "no-cache" };
        let vary = self.resource.vary.split(',').map(|name| name.trim().to_ascii_lowercase());
        Expected::new(status, because)
            .is("etag", self.it.tag.clone())
            .is("cache-control", policy.to_owned())
            .field("vary", Rule::Lists(vary.collect()))
            .field("content-location", Rule::Absent)
            .field("expires", Rule::Absent)
            .field("date", Rule::Present)
    }

    /// The fields of the representation (§8), where they have to be and where they may.
    fn described(&self, expected: Expected, rule: fn(String) -> Rule) -> Expected {
        let expected = expected
            .field("content-type", rule(self.resource.content_type.to_owned()))
            .field("last-modified", rule(imf_fixdate(self.it.modified)));
        match self.it.coding {
            "identity" => expected.field("content-encoding", Rule::Absent),
            coding => expected.field("content-encoding", rule(coding.to_owned())),
        }
    }

    /// §15.3.1. §9.3.2: a HEAD has the fields of the GET, and "the server MUST NOT send
    /// content".
    fn ok(&self) -> Expected {
        let bytes = if self.is_head { Vec::new() } else { self.it.bytes.clone() };
        self.described(self.validated(200, "§15.3.1"), Rule::Is)
            .is("content-length", self.it.length().to_string())
            .field("content-range", Rule::Absent)
            .body(bytes)
    }

    /// §15.3.7.1. "A sender that generates a 206 response to a request with an If-Range
    /// header field SHOULD NOT generate other representation header fields beyond those
    /// required […] Otherwise, a sender MUST generate all of the representation header
    /// fields that would have been sent in a 200".
    fn partial(&self, first: u128, last: u128, has_if_range: bool) -> Expected {
        let rule = if has_if_range { Rule::AbsentOr } else { Rule::Is };
        let length = self.it.length();
        self.described(self.validated(206, "§15.3.7.1, §14.2"), rule)
            .is("content-range", format!("bytes {first}-{last}/{length}"))
            .is("content-length", (last - first + 1).to_string())
            .body(self.it.bytes[first as usize..=last as usize].to_vec())
    }

    /// §15.4.5: "a sender SHOULD NOT generate representation metadata other than the above
    /// listed fields unless said metadata exists for the purpose of guiding cache updates
    /// (e.g., Last-Modified […])". §8.6 would allow the Content-Length of the 200; the
    /// promise is none.
    fn not_modified(&self) -> Expected {
        self.validated(304, "§15.4.5")
            .field("last-modified", Rule::AbsentOr(imf_fixdate(self.it.modified)))
            .field("content-type", Rule::Absent)
            .field("content-encoding", Rule::Absent)
            .field("content-length", Rule::Absent)
            .field("content-range", Rule::Absent)
            .body(Vec::new())
    }

    /// §15.5.13, without anything of the representation but its validators (§8.8).
    fn precondition_failed(&self) -> Expected {
        error(412, "§15.5.13, §13.2.2")
            .field("etag", Rule::AbsentOr(self.it.tag.clone()))
            .field("last-modified", Rule::AbsentOr(imf_fixdate(self.it.modified)))
            .field("content-type", Rule::Absent)
            .field("content-length", Rule::AbsentOr("0".into()))
            .body(Vec::new())
    }

    /// §15.5.17: "SHOULD generate a Content-Range header field specifying the current length
    /// of the selected representation".
    fn range_not_satisfiable(&self) -> Expected {
        error(416, "§15.5.17, §14.2")
            .field("etag", Rule::AbsentOr(self.it.tag.clone()))
            .field("last-modified", Rule::AbsentOr(imf_fixdate(self.it.modified)))
            .is("content-range", format!("bytes */{}", self.it.length()))
    }
}

/// Promise: an error below the mount is kept by nobody (RFC 9111 §5.2.2.5). Nothing
/// describes a representation that is not there; later rules for a name replace these.
fn error(status: u16, because: &'static str) -> Expected {
    Expected::new(status, because)
        .is("cache-control", "no-store".to_owned())
        .field("etag", Rule::Absent)
        .field("last-modified", Rule::Absent)
        .field("content-encoding", Rule::Absent)
        .field("content-range", Rule::Absent)
        .field("date", Rule::Present)
}

fn as_without_us(bare: &Response, because: &'static str) -> Expected {
    let names = bare.lines.iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let lines = |name: &String| bare.lines(name).into_iter().map(<[u8]>::to_vec).collect();
    let fields = names.into_iter().filter(|name| *name != "date");
    Expected {
        fields: fields.map(|name| (name.clone(), Rule::Lines(lines(name)))).collect(),
        body: Some(bare.body.clone()),
        nothing_else: true,
        ..Expected::new(bare.status, because)
    }
}

impl Expected {
    fn new(status: u16, because: &'static str) -> Self {
        Self { status, body: None, fields: Vec::new(), nothing_else: false, because }
    }

    fn field(mut self, name: &str, rule: Rule) -> Self {
        self.fields.retain(|(it, _)| it != name);
        self.fields.push((name.to_owned(), rule));
        self
    }

    fn is(self, name: &str, value: String) -> Self {
        self.field(name, Rule::Is(value))
    }

    fn body(self, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Names of fields, and what is wrong with each.
    fn differences(&self, response: &Response) -> Vec<(String, String)> {
        let mut differences = Vec::new();
        let mut differ = |name: &str, what: String| differences.push((name.to_owned(), what));
        for (name, rule) in &self.fields {
            if let Some(what) = rule.difference(response.lines(name)) {
                differ(name, format!("{name} {what}"));
            }
        }
        for (name, value) in response.lines.iter().filter(|_| self.nothing_else) {
            if name != "date" && self.fields.iter().all(|(it, _)| it != name) {
                differ(name, format!("{name} is `{}`, not absent", String::from_utf8_lossy(value)));
            }
        }
        // §5.3: only a list can come in several lines.
        for name in ["etag", "cache-control", "content-length", "content-type", "content-range"] {
            let count = response.lines(name).len();
            if count > 1 {
                differ(name, format!("{name} is there {count} times"));
            }
        }
        match &self.body {
            Some(body) if *body != response.body => {
                let (is, should) = (response.body.len(), body.len());
                differ("body", format!("body has {is} bytes, not the {should} expected ones"));
            }
            _ => {}
        }
        differences
    }
}

impl Rule {
    fn difference(&self, lines: Vec<&[u8]>) -> Option<String> {
        let shown = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>();
        let shown = if lines.is_empty() { "absent".into() } else { shown.join(" | ") };
        let (is_right, expected) = match self {
            Self::Is(value) => (lines == [value.as_bytes()], value.clone()),
            Self::Absent => (lines.is_empty(), "absent".into()),
            Self::AbsentOr(value) => {
                (lines.is_empty() || lines == [value.as_bytes()], format!("absent or {value}"))
            }
            Self::Present => (!lines.is_empty(), "present".into()),
            Self::Lists(members) => {
                let found = lines.join(&b","[..]).to_ascii_lowercase();
                let found = found.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                let found = found.filter(|it| !it.is_empty()).collect::<BTreeSet<_>>();
                (found.into_iter().eq(members.iter().map(String::as_bytes)), format!("{members:?}"))
            }
            Self::Lines(expected) => {
                let shown = expected.iter().map(|line| String::from_utf8_lossy(line));
                (lines == *expected, shown.collect::<Vec<_>>().join(" | "))
            }
        };
        (!is_right).then(|| format!("is `{shown}`, not `{expected}`"))
    }
}

/// What is wrong with a response.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch {
    /// The same for all that are wrong in the same way.
    pub(crate) kind: String,
    pub(crate) detail: String,
}

/// A response is right if it is one of the right answers, whole. If it is not, it is told
/// from the closest of them with its status.
pub(crate) fn judge(answers: &[Expected], response: &Response) -> Result<(), Mismatch> {
    let same = answers.iter().filter(|answer| answer.status == response.status);
    let same = same.map(|answer| (answer, answer.differences(response)));
    let Some((answer, differences)) = same.min_by_key(|(_, differences)| differences.len()) else {
        let right = answers.iter().map(|it| format!("{} ({})", it.status, it.because));
        let right = right.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" or ");
        let kind = format!("answered {}, should be {right}", response.status);
        return Err(Mismatch { kind, detail: String::new() });
    };
    if differences.is_empty() {
        return Ok(());
    }
    let (names, details): (Vec<_>, Vec<_>) = differences.into_iter().unzip();
    let (status, because) = (answer.status, answer.because);
    let kind = format!("answered {status} with wrong {} ({because})", names.join(", "));
    Err(Mismatch { kind, detail: details.join("; ") })
}

/// The examples of the RFC itself, so that the oracle is judged too.
mod tests {
    use super::*;

    fn tag(text: &str) -> EntityTag {
        whole_entity_tag(text.as_bytes()).unwrap()
    }

    fn request(method: &str, lines: &[(&'static str, &str)]) -> Request {
        let lines = lines.iter().map(|&(name, value)| (name, value.as_bytes().to_vec()));
        Request { method: method.into(), lines: lines.collect() }
    }

    fn representation(coding: &'static str, length: usize) -> Representation {
        // 1994-11-15 12:45:26, of §8.8.2
        let bytes = coding.bytes().cycle().take(length).collect::<Vec<_>>();
        Representation::new(coding, &bytes, 784_903_526)
    }

    fn resource(codings: &[&'static str]) -> Resource {
        let representations = codings.iter().map(|coding| representation(coding, 10_000));
        Resource {
            path: "file",
            content_type: "text/plain",
            vary: "accept-encoding",
            representations: representations.collect(),
        }
    }

    /// §8.8.3.2, table 3
    #[test]
    fn comparisons() {
        for (a, b, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(strongly_equal(&tag(a), &tag(b)), strong, "{a} {b}, strong");
            assert_eq!(weakly_equal(&tag(a), &tag(b)), weak, "{a} {b}, weak");
        }
    }

    /// §8.8.3, §13.1.1, §13.1.2, §5.6.1.2
    #[test]
    fn entity_tags() {
        for (list, count) in [
            (r#""xyzzy""#, Some(1)),
            (r#"W/"xyzzy""#, Some(1)),
            (r#""""#, Some(1)),
            (r#""xyzzy", "r2d2xxxx", "c3piozzzz""#, Some(3)),
            (r#"W/"xyzzy", W/"r2d2xxxx", W/"c3piozzzz""#, Some(3)),
            (r#""foo , bar""#, None),
            (r#""foo,bar", "x""#, Some(2)),
            (r#", "foo" ,,"bar","#, Some(2)),
            ("", Some(0)),
            (",", Some(0)),
            ("xyzzy", None),
            (r#"w/"xyzzy""#, None),
            (r#"W/ "xyzzy""#, None),
            (r#""xyzzy"#, None),
            (r#""a" "b""#, None),
            (r#"*, "a""#, None),
            ("\"\u{e9}\"", Some(1)),
        ] {
            assert_eq!(tags(list.as_bytes()).map(|tags| tags.len()), count, "{list}");
        }
    }

    /// §5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT" and its two other spellings
    #[test]
    fn dates() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text.as_bytes()), Some(784_111_777), "{text}");
            assert_eq!(imf_fixdate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        }
        for text in [
            "",
            "0",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Fri, 16 Jul 2021 09:09:1626426577S GMT",
        ] {
            assert_eq!(http_date(text.as_bytes()), None, "{text}");
        }
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Fri Dec 31 23:59:60 2049", 2_524_608_000),
        ] {
            assert_eq!(http_date(text.as_bytes()), Some(seconds), "{text}");
        }
    }

    /// §14.1.2, "assuming a representation of length 10000"
    #[test]
    fn ranges() {
        let bytes = |first, last| Part::Bytes { first, last };
        for (value, expected) in [
            ("bytes=0-499", &[bytes(0, 499)][..]),
            ("bytes=500-999", &[bytes(500, 999)]),
            ("bytes=-500", &[bytes(9500, 9999)]),
            ("bytes=9500-", &[bytes(9500, 9999)]),
            ("bytes=9500-20000", &[bytes(9500, 9999)]),
            ("bytes=-10000", &[bytes(0, 9999)]),
            ("bytes=-10001", &[bytes(0, 9999), Part::Whole]),
            ("bytes=10000-", &[Part::Unsatisfiable]),
            ("bytes=-0", &[Part::Unsatisfiable]),
            ("bytes=0-0,-1", &[bytes(0, 0), bytes(9999, 9999), Part::Whole]),
            ("bytes=20000-,-0", &[Part::Unsatisfiable, Part::Whole]),
            (
                "bytes= 0-999, 4500-5499, -1000",
                &[bytes(0, 999), bytes(4500, 5499), bytes(9000, 9999), Part::Whole],
            ),
            ("Bytes=0-499", &[bytes(0, 499), Part::Whole]),
            ("bytes=00-0499", &[bytes(0, 499), Part::Whole]),
            ("bytes=0-499,", &[bytes(0, 499), Part::Whole]),
            ("bytes=0-99999999999999999999999999", &[bytes(0, 9999), Part::Whole]),
            ("bytes=99999999999999999999999999-", &[Part::Unsatisfiable, Part::Whole]),
            ("bytes=2-1", &[Part::Whole]),
            ("bytes=0-499, x", &[Part::Whole]),
            ("bytes=-", &[Part::Whole]),
            ("bytes=", &[Part::Whole]),
            ("bytes", &[Part::Whole]),
            ("bytes=-1-15", &[Part::Whole]),
            ("bytes=+1-2", &[Part::Whole]),
            ("items=0-499", &[Part::Whole]),
        ] {
            let it = representation("identity", 10_000);
            assert_eq!(
                parts(&request("GET", &[("range", value)]), &it, 10_000),
                expected,
                "{value}"
            );
            assert_eq!(parts(&request("HEAD", &[("range", value)]), &it, 10_000), [Part::Whole]);
        }
        let end = request("GET", &[("range", "bytes=-500")]);
        let it = representation("identity", 10_000);
        assert_eq!(parts(&end, &it, 500), [bytes(9500, 9999)]);
        assert_eq!(parts(&end, &it, 499), [bytes(9500, 9999), Part::Whole]);
        let nothing = representation("identity", 0);
        let either = [Part::Whole, Part::Unsatisfiable];
        assert_eq!(parts(&request("GET", &[("range", "bytes=-5")]), &nothing, 0), either);
        assert_eq!(parts(&request("GET", &[("range", "bytes=0-")]), &nothing, 0), either);
    }

    /// §13.1.5
    #[test]
    fn if_ranges() {
        let it = representation("identity", 10_000);
        let own = it.tag.clone();
        let (part, whole) = (Part::Bytes { first: 0, last: 499 }, Part::Whole);
        for (value, expected) in [
            (own.clone(), vec![part]),
            (format!("W/{own}"), vec![whole]),
            (r#""other""#.into(), vec![whole]),
            (format!("{own}, {own}"), vec![whole]),
            ("garbage".into(), vec![whole]),
            ("Tue, 15 Nov 1994 12:45:26 GMT".into(), vec![part, whole]),
            ("Tue, 15 Nov 1994 12:45:27 GMT".into(), vec![whole]),
        ] {
            let asked = request("GET", &[("range", "bytes=0-499"), ("if-range", &value)]);
            assert_eq!(parts(&asked, &it, 10_000), expected, "{value}");
        }
        assert_eq!(parts(&request("GET", &[("if-range", &own)]), &it, 10_000), [whole]);
        let beyond = request("GET", &[("range", "bytes=10000-"), ("if-range", &own)]);
        assert_eq!(parts(&beyond, &it, 10_000), [Part::Unsatisfiable, whole]);
    }

    /// §12.5.3
    #[test]
    fn codings() {
        let file = resource(&["identity", "gzip", "compress"]);
        for (value, acceptable_, selectable_) in [
            (None, &["identity", "gzip", "compress"][..], &["identity", "gzip", "compress"][..]),
            (Some("compress, gzip"), &["gzip", "compress", "identity"], &["gzip", "compress"]),
            (Some(""), &["identity"], &["identity"]),
            (Some("*"), &["identity", "gzip", "compress"], &["identity", "gzip", "compress"]),
            (Some("compress;q=0.5, gzip;q=1.0"), &["gzip", "compress", "identity"], &["gzip"]),
            (Some("gzip;q=1.0, identity; q=0.5, *;q=0"), &["gzip", "identity"], &["gzip"]),
            (Some("x-gzip"), &["gzip", "identity"], &["gzip"]),
            (Some("br"), &["identity"], &["identity"]),
            (Some("identity;q=0"), &[], &["identity", "gzip", "compress"]),
        ] {
            let lines = value.map(|value| ("accept-encoding", value));
            let asked = request("GET", lines.as_slice());
            assert_eq!(acceptable(&file, &asked), acceptable_, "{value:?}");
            assert_eq!(selectable(&file, &asked), selectable_, "{value:?}");
        }
    }

    /// §13.2.2, and what the text says of each field
    #[test]
    fn precedence() {
        let file = resource(&["identity", "gzip"]);
        let (own, gzip) =
            (file.representations[0].tag.as_str(), file.representations[1].tag.as_str());
        let weak = format!("W/{own}");
        let list = format!(r#""a", "b,c" , {own}"#);
        let recovered = format!("garbage, {own}");
        let (exact, sooner, later) = (
            "Tue, 15 Nov 1994 12:45:26 GMT",
            "Tue, 15 Nov 1994 12:45:25 GMT",
            "Tue, 15 Nov 1994 12:45:27 GMT",
        );
        let other = r#""other""#;
        for (name, lines, expected) in [
            ("nothing", &[][..], &[200][..]),
            ("If-Match", &[("if-match", own)], &[200]),
            ("If-Match, weak", &[("if-match", &weak)], &[412]),
            ("If-Match, other", &[("if-match", other)], &[412]),
            ("If-Match, any", &[("if-match", "*")], &[200]),
            ("If-Match, empty", &[("if-match", "")], &[412]),
            ("If-Match, garbage", &[("if-match", "garbage")], &[412]),
            ("If-Match, recovered", &[("if-match", &recovered)], &[200, 412]),
            ("If-Match, any and more", &[("if-match", r#"*, "a""#)], &[200, 412]),
            ("If-Match, lines", &[("if-match", other), ("if-match", own)], &[200]),
            ("If-Unmodified-Since, same", &[("if-unmodified-since", exact)], &[200]),
            ("If-Unmodified-Since, later", &[("if-unmodified-since", later)], &[200]),
            ("If-Unmodified-Since, sooner", &[("if-unmodified-since", sooner)], &[412]),
            (
                "If-Unmodified-Since, sooner on another day",
                &[("if-unmodified-since", "Wed, 15 Nov 1994 12:45:25 GMT")],
                &[200, 412],
            ),
            (
                "If-Unmodified-Since, before 1970",
                &[("if-unmodified-since", "Wed, 31 Dec 1969 23:59:59 GMT")],
                &[200, 412],
            ),
            ("If-Unmodified-Since, garbage", &[("if-unmodified-since", "0")], &[200]),
            (
                "If-Unmodified-Since, list",
                &[("if-unmodified-since", sooner), ("if-unmodified-since", sooner)],
                &[200],
            ),
            ("both", &[("if-match", own), ("if-unmodified-since", sooner)], &[200]),
            ("If-None-Match", &[("if-none-match", own)], &[304]),
            ("If-None-Match, weak", &[("if-none-match", &weak)], &[304]),
            ("If-None-Match, any", &[("if-none-match", "*")], &[304]),
            ("If-None-Match, list", &[("if-none-match", &list)], &[304]),
            ("If-None-Match, other", &[("if-none-match", other)], &[200]),
            ("If-None-Match, empty", &[("if-none-match", "")], &[200]),
            ("If-None-Match, garbage", &[("if-none-match", "garbage")], &[200]),
            ("If-None-Match, recovered", &[("if-none-match", &recovered)], &[200, 304]),
            ("If-None-Match, other coding", &[("if-none-match", gzip)], &[200, 304]),
            (
                "If-None-Match, excluded coding",
                &[("if-none-match", gzip), ("accept-encoding", "identity")],
                &[200],
            ),
            ("If-Modified-Since, same", &[("if-modified-since", exact)], &[304]),
            ("If-Modified-Since, later", &[("if-modified-since", later)], &[200]),
            ("If-Modified-Since, sooner", &[("if-modified-since", sooner)], &[200]),
            (
                "If-Modified-Since beside If-None-Match",
                &[("if-modified-since", exact), ("if-none-match", other)],
                &[200],
            ),
            ("412 before 304", &[("if-match", other), ("if-none-match", own)], &[412]),
            (
                "412 before 304, dates",
                &[("if-unmodified-since", sooner), ("if-modified-since", exact)],
                &[412],
            ),
            ("304 before 206", &[("if-none-match", own), ("range", "bytes=0-1")], &[304]),
            ("412 before 416", &[("if-match", other), ("range", "bytes=10000-")], &[412]),
            ("206", &[("if-match", own), ("range", "bytes=0-1")], &[206]),
            ("resumed coding", &[("if-range", gzip), ("range", "bytes=0-1")], &[206]),
            (
                "resumed coding, excluded",
                &[("if-range", gzip), ("range", "bytes=0-1"), ("accept-encoding", "")],
                &[200, 206],
            ),
        ] {
            let target =
                Target::Listed { outcome: Outcome::Current, resource: &file, selected: "identity" };
            let answers = answers(&target, &request("GET", lines));
            let statuses = answers.iter().map(|it| it.status).collect::<BTreeSet<_>>();
            assert!(statuses.iter().eq(expected), "{name}: {statuses:?}");
        }
        let answers = answers(&Target::Missing, &request("GET", &[("if-match", "*")]));
        assert!(answers.iter().all(|it| it.status == 404));
    }

    /// What is not the layer's has one right answer: the one without the layer.
    #[test]
    fn methods() {
        for (method, edited, versionless) in [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", false, true),
            ("POST", false, false),
            ("DELETE", false, false),
            ("get", false, false),
        ] {
            assert_eq!(is_edited(method), edited, "{method}");
            assert_eq!(loses_its_version(method), versionless, "{method}");
        }
        let line = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let bare = Response {
            status: 405,
            lines: vec![line("allow", "GET"), line("date", "now")],
            body: b"no".to_vec(),
        };
        let asked = request("POST", &[("if-none-match", "*")]);
        let answers = answers(&Target::Untouched { bare: &bare }, &asked);
        judge(&answers, &bare).unwrap();
        let with = |name: &str, value: &str| {
            let lines = bare.lines.iter().cloned().chain([line(name, value)]);
            Response { lines: lines.collect(), ..bare.clone() }
        };
        for (name, wrong) in [
            ("another status", Response { status: 404, ..bare.clone() }),
            ("another body", Response { body: Vec::new(), ..bare.clone() }),
            ("a field less", Response { lines: vec![line("date", "now")], ..bare.clone() }),
            ("a policy", with("cache-control", "no-store")),
            ("a tag", with("etag", "\"a\"")),
        ] {
            assert!(judge(&answers, &wrong).is_err(), "{name}");
        }
    }

    /// A right answer passes, and no part of it can be changed or left out.
    #[test]
    fn judgement() {
        let file = resource(&["identity", "gzip"]);
        let (it, other) = (&file.representations[1], &file.representations[0]);
        let line = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let right = Response {
            status: 206,
            lines: vec![
                line("etag", it.tag.clone()),
                line("cache-control", YEAR.into()),
                line("vary", "Accept-Encoding".into()),
                line("content-type", "text/plain".into()),
                line("content-encoding", "gzip".into()),
                line("content-range", "bytes 1-3/10000".into()),
                line("content-length", "3".into()),
                line("last-modified", "Tue, 15 Nov 1994 12:45:26 GMT".into()),
                line("date", "Tue, 15 Nov 1994 12:45:27 GMT".into()),
            ],
            body: it.bytes[1..=3].to_vec(),
        };
        let asked = request("GET", &[("accept-encoding", "gzip"), ("range", "bytes=1-3")]);
        let target =
            Target::Listed { outcome: Outcome::Current, resource: &file, selected: "gzip" };
        let answers = answers(&target, &asked);
        judge(&answers, &right).unwrap();

        for i in 0..right.lines.len() {
            let name = right.lines[i].0.clone();
            let mut missing = right.clone();
            missing.lines.remove(i);
            assert!(judge(&answers, &missing).is_err(), "without {name}");
            let mut changed = right.clone();
            changed.lines[i].1.push(b'x');
            assert_eq!(judge(&answers, &changed).is_err(), name != "date", "another {name}");
            let mut twice = right.clone();
            twice.lines.push(right.lines[i].clone());
            assert_eq!(judge(&answers, &twice).is_err(), !["vary", "date"].contains(&&*name));
        }
        for wrong in [
            Response { status: 200, ..right.clone() },
            Response { status: 500, ..right.clone() },
            Response { body: other.bytes[1..=3].to_vec(), ..right.clone() },
            Response { body: it.bytes[1..=2].to_vec(), ..right.clone() },
        ] {
            assert!(judge(&answers, &wrong).is_err(), "{wrong:?}");
        }
    }
}
