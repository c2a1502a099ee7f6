//! Conditions on a listed file, against a naive reading of RFC 9110 §8.8.3 and §13.

use std::{collections::BTreeSet, time::SystemTime};

use http::{HeaderMap, Method, Request};

use crate::{
    exchange::{Seen, exchange, field},
    inner::respond,
    script::{Exchange, Script},
    site::{DATE, HELLO, Site, etag_of, fill},
};

/// Says how many requests it has judged.
pub fn tags(data: &[u8]) -> usize {
    let script = Script::parse(data, fill);
    let Some(Exchange { mut request, mut answer }) = script.exchanges.into_iter().next() else {
        return 0;
    };
    // In development nobody vouches for what HEAD has no bytes of.
    let words = script.site.iter().filter(|word| ["dated", "memory"].contains(word));
    let words = words.copied().chain(["/static"]).collect::<Vec<_>>();
    let mut count = 0;
    request.headers_mut().remove("range");
    request.headers_mut().remove("accept-encoding");
    if request.headers().contains_key("if-range") {
        request.headers_mut().insert("range", "bytes=0-4".parse().expect("it is valid"));
    }
    answer = answer.only(&["date", "etag", "servedir"]);
    let respond = |request: &Request<()>| respond(request, "/static", &answer);
    let date = answer.says("date").then_some(DATE);
    for method in [Method::GET, Method::HEAD] {
        let expected = statuses(request.headers(), &method, date);
        for warm in [false, true] {
            let site = Site::new(&words);
            let current = format!("/static/{}/hello.txt", site.version);
            if warm {
                let request = Request::get(&*current).body(()).expect("it is valid");
                exchange(&site.layer, request, respond);
            }
            for path in [&*current, "/static/00000000000000aa/hello.txt", "/static/hello.txt"] {
                *request.method_mut() = method.clone();
                *request.uri_mut() = path.parse().expect("it is valid");
                let seen = exchange(&site.layer, request.clone(), respond);
                let is_expected = expected.contains(&seen.status());
                assert!(is_expected, "expected {expected:?}, warm: {warm}: {seen:?}");
                has_what_belongs_to_it(&seen);
                count += 1;
            }
        }
    }
    count
}

fn has_what_belongs_to_it(seen: &Seen) {
    assert_eq!(seen.field("etag"), etag_of(HELLO.1), "another tag: {seen:?}");
    let body = match seen.status() {
        _ if seen.asked.method() == Method::HEAD => b"",
        200 => HELLO.1,
        206 => &HELLO.1[..5],
        _ => b"",
    };
    assert_eq!(seen.answer.body(), body, "another body: {seen:?}");
}

/// What may be answered. Where a field does not follow the grammar, §13 does not say
/// whether it names the file.
fn statuses(headers: &HeaderMap, method: &Method, date: Option<&str>) -> BTreeSet<u16> {
    let mut statuses = BTreeSet::new();
    let own = etag_of(HELLO.1);
    for may_proceed in if_match(headers, &own, date) {
        for is_known in if_none_match(headers, &own, date) {
            statuses.insert(match (may_proceed, is_known) {
                (false, _) => 412,
                (true, true) => 304,
                (true, false) if method == Method::GET && is_of_range(headers, &own) => 206,
                (true, false) => 200,
            });
        }
    }
    statuses
}

/// §13.1.1 and §13.1.4: whether the request may be carried out.
fn if_match(headers: &HeaderMap, own: &str, modified: Option<&str>) -> Vec<bool> {
    if !headers.contains_key("if-match") {
        let since = date(headers, "if-unmodified-since");
        let modified = modified.and_then(parse_date);
        return vec![since.zip(modified).is_none_or(|(since, modified)| modified <= since)];
    }
    // Strong comparison.
    matches(headers, "if-match", own, |tag| tag == own.as_bytes())
}

/// §13.1.2 and §13.1.3: whether the client has this already.
fn if_none_match(headers: &HeaderMap, own: &str, modified: Option<&str>) -> Vec<bool> {
    if !headers.contains_key("if-none-match") {
        // The crate's documentation: exactly that date, no later one.
        let since = date(headers, "if-modified-since");
        return vec![since.is_some() && since == modified.and_then(parse_date)];
    }
    let opaque = own.trim_matches('"');
    let codings = ["gzip", "br", "zstd", "deflate", "identity"];
    // What a server in front makes of our tag while it compresses what we sent.
    let made_of_ours = codings.map(|coding| format!("\"{opaque}-{coding}\""));
    matches(headers, "if-none-match", own, |tag| {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag == own.as_bytes() || made_of_ours.iter().any(|it| it.as_bytes() == tag)
    })
}

/// Whether a list names the file; both where the list is none.
fn matches(
    headers: &HeaderMap,
    name: &str,
    own: &str,
    is_own: impl Fn(&[u8]) -> bool,
) -> Vec<bool> {
    let lines = headers.get_all(name).iter().map(|line| line.as_bytes());
    let combined = lines.collect::<Vec<_>>().join(&b", "[..]);
    if combined.trim_ascii() == b"*" {
        return vec![true];
    }
    if let Some(tags) = tags_of(&combined) {
        return vec![tags.iter().any(|tag| is_own(tag))];
    }
    let opaque = own.trim_end_matches('"').as_bytes();
    let may_name_it = combined.windows(opaque.len()).any(|it| it == opaque);
    if may_name_it { vec![false, true] } else { vec![false] }
}

/// `#entity-tag`, byte by byte; `None` for anything else.
fn tags_of(list: &[u8]) -> Option<Vec<&[u8]>> {
    let mut tags = Vec::new();
    let mut at = 0;
    let mut may_start = true;
    while at < list.len() {
        match list[at] {
            b' ' | b'\t' => at += 1,
            b',' => (may_start, at) = (true, at + 1),
            b'W' | b'"' if may_start => {
                let end = tag_end(list, at)?;
                tags.push(&list[at..end]);
                (may_start, at) = (false, end);
            }
            _ => return None,
        }
    }
    Some(tags)
}

pub(crate) fn is_tag(text: &[u8]) -> bool {
    matches!(tags_of(text).as_deref(), Some([tag]) if *tag == text)
}

/// Where the tag ends that starts here.
fn tag_end(list: &[u8], start: usize) -> Option<usize> {
    let quote = if list[start] == b'W' { start + 2 } else { start };
    let is_tag = list[start..].starts_with(&b"W/\""[start + 2 - quote..]);
    let opaque = list.get(quote + 1..).filter(|_| is_tag)?;
    let end = opaque.iter().position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
    (opaque[end] == b'"').then_some(quote + 1 + end + 1)
}

/// §13.1.5, strong comparison. Of dates the crate's documentation says that they are
/// not heeded.
fn is_of_range(headers: &HeaderMap, own: &str) -> bool {
    headers.get_all("if-range").iter().count() == 1 && field(headers, "if-range") == own
}

/// §5.6.7; several lines are no date.
fn date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let date = parse_date(lines.next()?.to_str().ok()?);
    date.filter(|_| lines.next().is_none())
}

pub(crate) fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}
