//! Requests for deltas, against what RFC 9842 and the crate's documentation say of who gets one,
//! and against the same layer without deltas.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tower::{Layer as _, Service as _, service_fn};
use tower_static_url::StaticUrlLayer;
use zstd::zstd_safe::{DCtx, DParameter};

use crate::{
    cache_control::has_directive,
    delta_site::{
        COUNT, CURRENT, DeltaSite, TREES, available, decoded, fill, inner, name, versions,
    },
    exchange::field,
    script::{Exchange, Script},
};

const VARY: [&str; 2] = ["accept-encoding", "available-dictionary"];

/// Says how many exchanges it has judged.
pub fn delta(data: &[u8]) -> usize {
    let script = Script::parse(data, fill);
    let site = DeltaSite::of(&script.site);
    let count = script.exchanges.len();
    for Exchange { request, .. } in script.exchanges {
        let answer = exchange(&site.layer, &request, site.base);
        let ordinary = exchange(&site.twin, &request, site.base);
        Case { site, asked: &request, answer: &answer, ordinary: &ordinary }.judge();
    }
    count
}

/// Sends a request. Deltas come from other threads.
fn exchange(layer: &StaticUrlLayer, asked: &Request<()>, base: &str) -> Response<Bytes> {
    let respond =
        |request: Request<()>| std::future::ready(Ok::<_, Infallible>(inner(&request, base)));
    let mut service = layer.layer(service_fn(respond));
    let response = wait(service.call(asked.clone())).expect("it cannot fail");
    let (parts, body) = response.into_parts();
    let body = wait(body.collect()).expect("it cannot fail").to_bytes();
    Response::from_parts(parts, body)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[derive(Clone, Copy)]
struct Case<'c> {
    site: &'c DeltaSite,
    asked: &'c Request<()>,
    answer: &'c Response<Bytes>,
    /// What the layer without deltas answers.
    ordinary: &'c Response<Bytes>,
}

impl Case<'_> {
    fn judge(self) {
        match self.field("content-encoding").as_str() {
            "dcz" => self.it_is_the_delta_that_was_asked_for(),
            _ => self.it_is_the_ordinary_answer(),
        }
        self.what_is_immutable_is_named_by_its_content();
        self.an_offer_is_of_what_everybody_may_keep();
    }

    fn it_is_the_delta_that_was_asked_for(self) {
        let content = self.named().unwrap_or_else(|| self.fail("a delta of no file"));
        let dictionary = self.dictionary().unwrap_or_else(|| self.fail("no such dictionary"));
        self.check(self.may_ask(), "a delta for who has not asked");
        self.check(self.answer.status() == 200, "another status");
        let digits = [content, dictionary].map(|it| HEXLOWER.encode(&Sha256::digest(it)));
        let tag = format!("W/\"{}-dcz-{}\"", digits[0], &digits[1][..16]);
        self.check(self.field("etag") == tag, "another tag");
        let lifetime = if self.site.is_shared { "public" } else { "private" };
        let lifetime = format!("{lifetime}, max-age=31536000, immutable");
        self.check(self.field("cache-control") == lifetime, "another lifetime");
        self.check(self.varies(), "no Vary");
        let length = self.field("content-length").parse::<usize>().unwrap_or(usize::MAX);
        self.check(length < content.len(), "not smaller");
        if *self.asked.method() == Method::HEAD {
            return self.check(self.answer.body().is_empty(), "a body");
        }
        self.check(self.answer.body().len() == length, "another length");
        let decoded = decode(self.answer.body(), dictionary);
        self.check(decoded.as_deref() == Some(content), "another content");
    }

    fn it_is_the_ordinary_answer(self) {
        self.check(!self.must_get_delta(), "no delta");
        if self.answer.status() == 304 && self.field("etag").contains("-dcz-") {
            self.check(self.has_file_of_delta_tag(), "no file of that tag");
            return self.check(self.varies(), "no Vary");
        }
        let mut headers = [self.answer, self.ordinary].map(|response| response.headers().clone());
        for headers in &mut headers {
            headers.remove("vary");
            headers.remove("use-as-dictionary");
        }
        self.check(headers[0] == headers[1], "other fields than without deltas");
        let [status, ordinary] = [self.answer, self.ordinary].map(|response| response.status());
        self.check(status == ordinary, "another status than without deltas");
        self.check(self.answer.body() == self.ordinary.body(), "another body than without deltas");
        let vary = members(self.ordinary.headers(), "vary");
        let has = members(self.answer.headers(), "vary");
        self.check(vary.iter().all(|name| has.contains(name)), "less in Vary than without deltas");
    }

    fn what_is_immutable_is_named_by_its_content(self) {
        if has_directive(self.answer.headers(), "immutable") {
            let is_read = [200, 206, 304].contains(&self.answer.status().as_u16());
            self.check(is_read && self.named().is_some(), "immutable");
        }
    }

    fn an_offer_is_of_what_everybody_may_keep(self) {
        if !self.answer.headers().contains_key("use-as-dictionary") {
            return;
        }
        let is_read = [Method::GET, Method::HEAD].contains(self.asked.method());
        self.check(is_read && self.answer.status() == 200, "an offer without a file");
        let is_kept = has_directive(self.answer.headers(), "immutable");
        self.check(self.named().is_some() && is_kept && self.varies(), "an offer");
        self.check(!self.has("authorization"), "an offer of what is for one client");
        self.check(self.is_pattern_of_it(&self.field("use-as-dictionary")), "another offer");
    }

    /// Whether an offer is for the path, as the client spells it, under all versions and hashes.
    fn is_pattern_of_it(self, offer: &str) -> bool {
        let pattern = offer.strip_prefix("match=\"").and_then(|offer| offer.strip_suffix('"'));
        // A colon is in a group.
        let pattern = pattern.unwrap_or_default().replace('\\', "").replace("{:}", ":");
        let Some((release, logical)) = self.place() else { return false };
        let asked = &self.asked.uri().path()[self.site.base.len()..];
        let version = release.map_or(String::new(), |release| format!("/{}", versions()[release]));
        let path = asked.strip_prefix(&version).unwrap_or_default();
        let expected = match release {
            Some(_) => format!("{}/:v{path}", self.site.mount),
            None => format!("{}{path}", self.site.mount),
        };
        match pattern.split_once('*') {
            Some((start, end)) if self.is_fingerprinted(&logical) => {
                expected.starts_with(start) && expected.ends_with(end)
            }
            hash => hash.is_none() && pattern == expected,
        }
    }

    /// The content that the URL names, if it names one.
    fn named(self) -> Option<&'static [u8]> {
        let (release, path) = self.place()?;
        let find = |release: usize| TREES[release].get(&*path).map(Vec::as_slice);
        match release {
            Some(release) => find(release),
            // Of a fingerprinted name there is only one content.
            None => (0..COUNT).rev().filter(|_| self.is_fingerprinted(&path)).find_map(find),
        }
    }

    fn is_fingerprinted(self, path: &str) -> bool {
        name(path, self.site.is_hashed) != path
    }

    /// The release whose version the path has, and the logical path.
    fn place(self) -> Option<(Option<usize>, String)> {
        let below = self.asked.uri().path().strip_prefix(self.site.base)?.strip_prefix('/')?;
        let versioned = below.split_once('/').and_then(|(version, rest)| {
            Some((versions().iter().position(|known| known == version)?, rest))
        });
        Some(match versioned {
            Some((release, rest)) => (Some(release), decoded(rest)?),
            None => (None, decoded(below)?),
        })
    }

    /// The content that the client has, if it is known under the name that is asked for.
    fn dictionary(self) -> Option<&'static [u8]> {
        let sent = self.one_line("available-dictionary")?;
        let (_, path) = self.place()?;
        let asked = name(&path, self.site.is_hashed);
        let files = TREES.iter().flatten();
        let named = files.filter(|(path, _)| name(path, self.site.is_hashed) == asked);
        let mut known = named.map(|(_, content)| &**content).chain(self.named());
        known.find(|content| is_byte_sequence(&sent, &available(content)))
    }

    /// RFC 9842 §2.2, and what the documentation says of who gets a delta.
    fn may_ask(self) -> bool {
        let refusing = ["range", "if-range", "if-match", "if-unmodified-since", "authorization"];
        let is_read = [Method::GET, Method::HEAD].contains(self.asked.method());
        let sites = members(self.asked.headers(), "sec-fetch-site");
        let codings = members(self.asked.headers(), "accept-encoding");
        let mut codings = codings.iter().map(|member| member.split(';').map(str::trim));
        let is_named = codings.any(|mut member| {
            let is_it = member.next().is_some_and(|name| name.eq_ignore_ascii_case("dcz"));
            is_it && !member.any(|weight| weight.trim_matches(['0', '.']) == "q=")
        });
        is_read
            && is_named
            && !sites.iter().any(|site| site.eq_ignore_ascii_case("cross-site"))
            && !refusing.iter().any(|name| self.has(name))
    }

    /// Whether it is what a browser sends, so that nothing but a delta will do.
    fn must_get_delta(self) -> bool {
        let usual = ["dcz", "gzip, deflate, br, zstd, dcb, dcz"];
        let is_usual = self.asked.headers().len() == 2
            && self.one_line("accept-encoding").is_some_and(|line| usual.contains(&&*line));
        let sent = self.one_line("available-dictionary").unwrap_or_default();
        let is_read = [Method::GET, Method::HEAD].contains(self.asked.method());
        let is_known = self.dictionary().is_some_and(|content| available(content) == sent);
        is_read && is_usual && is_known && self.named().is_some_and(|content| content.len() > 1000)
    }

    /// Whether the client has the file already, if only as a delta. Below an unknown version is
    /// what the current one has.
    fn has_file_of_delta_tag(self) -> bool {
        let current = || {
            let path = self.asked.uri().path();
            let segments = path.split('/').collect::<Vec<_>>();
            let mut ends = (1..segments.len()).map(|i| segments[i..].join("/"));
            ends.find_map(|end| TREES[CURRENT].get(&*decoded(&end)?))
        };
        let content = self.named().or_else(|| current().map(Vec::as_slice));
        content.is_some_and(|content| {
            let start = format!("\"{}-dcz-", HEXLOWER.encode(&Sha256::digest(content)));
            field(self.asked.headers(), "if-none-match").contains(&start)
                && self.field("etag").contains(&start)
        })
    }

    fn varies(self) -> bool {
        let vary = members(self.answer.headers(), "vary");
        VARY.iter().all(|name| vary.iter().any(|it| it.eq_ignore_ascii_case(name)))
    }

    fn has(self, name: &str) -> bool {
        self.asked.headers().contains_key(name)
    }

    fn one_line(self, name: &str) -> Option<String> {
        let mut lines = self.asked.headers().get_all(name).iter();
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        line.to_str().ok().map(|line| line.trim().to_owned())
    }

    fn field(self, name: &str) -> String {
        field(self.answer.headers(), name)
    }

    fn check(self, holds: bool, what: &str) {
        if !holds {
            self.fail(what)
        }
    }

    fn fail(self, what: &str) -> ! {
        let Self { asked, answer, ordinary, .. } = self;
        panic!("{what}: {asked:?} {answer:?}, and without deltas {ordinary:?}")
    }
}

fn members(headers: &HeaderMap, name: &str) -> Vec<String> {
    let line = field(headers, name);
    let members = line.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(str::to_owned).collect()
}

/// Whether a text is a byte sequence, which may be spelled in other ways than this one
/// (RFC 9651 §4.2.7): without padding, and with other bits where none are left.
fn is_byte_sequence(sent: &str, expected: &str) -> bool {
    let base64 = |text: &str| Some(text.strip_prefix(':')?.strip_suffix(':')?.to_owned());
    let (Some(sent), Some(expected)) = (base64(sent), base64(expected)) else { return false };
    let (sent, expected) =
        (sent.strip_suffix('=').unwrap_or(&sent), expected.trim_end_matches('='));
    let last = sent.len().saturating_sub(1);
    sent.is_ascii() && sent.len() == expected.len() && sent[..last] == expected[..last]
}

/// What a client that has the dictionary makes of a body (RFC 9842 §5).
fn decode(body: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    let frame = body.strip_prefix(&[0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0])?;
    let frame = frame.strip_prefix(&Sha256::digest(dictionary)[..])?;
    let mut context = DCtx::create();
    // A client need not have more than this.
    context.set_parameter(DParameter::WindowLogMax(23)).ok()?;
    context.ref_prefix(dictionary).ok()?;
    let mut content = Vec::with_capacity(1 << 16);
    context.decompress(&mut content, frame).ok()?;
    Some(content)
}
