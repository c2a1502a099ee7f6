//! Requests that nobody sends by accident, written byte by byte to a socket: the layer
//! around `ServeDir` on one side, `ServeDir` alone on the other, and one judge of every
//! answer.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Request, Response, Version},
};
use hyper::body::Incoming;
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tower::{Layer as _, Service, service_fn};
use tower_static_url::{
    Fingerprinted, StalePolicy, StaticUrlLayer, StaticUrlLayerBuilder, manifest::Scan,
};

use crate::support::{
    ServeDir, YEAR, etag_of, later,
    wire::{self, Answer, Connection, Reason, Server, from_latin1, latin1},
    write, write_at,
};

// ---------------------------------------------------------------------------------
// The site

/// What the layer lists.
const FILES: [(&str, &str); 10] = [
    ("hello.txt", "hello world"),
    ("css/app.css", "body { color: teal }"),
    ("css/app.css.br", "stands for the same, compressed"),
    ("with space.txt", "space"),
    ("semi;colon.txt", "semicolon"),
    ("100%.txt", "percent"),
    ("a/.../b.txt", "three dots are a name"),
    ("docs/index.html", "<h1>docs</h1>"),
    ("0123456789abcdef/real.txt", "a folder shaped like a version"),
    (DRIFTED, "as scanned"),
];

/// What its own name is taken to change with, by a rule of the site.
const FINGERPRINTED: [&str; 2] = ["css/app.css", DRIFTED];

/// Has other bytes by the time it is served.
const DRIFTED: &str = "drifted.txt";

/// A real one, shaped like a version.
const FOLDER: &str = "0123456789abcdef";

/// Not there when the tree is scanned.
const LATE: &str = "late.txt";

/// In files beside the folder that is served.
const SECRET: &str = "for nobody";

/// In a file that is served, but not below the mount.
const ELSEWHERE: &str = "not below the mount";

struct Site {
    _folder: TempDir,
    mount: &'static str,
    version: String,
    layered: Server,
    bare: Server,
    /// What the strong tags of answers were given to, with the path.
    tagged: Mutex<HashMap<(String, String), Vec<u8>>>,
    asked: AtomicUsize,
}

impl Site {
    /// `mount` is empty for the root.
    fn new(mount: &'static str) -> Self {
        let rule = Fingerprinted::from_fn(|path| FINGERPRINTED.contains(&path).then(|| &path[..3]));
        let settings = |builder: StaticUrlLayerBuilder| builder.fingerprinted(rule);
        Self::of(mount, settings, |root| ServeDir::new(root).precompressed_br())
    }

    /// With another service than `ServeDir`.
    fn of<S, B>(
        mount: &'static str,
        settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
        inner: impl Fn(&Path) -> S,
    ) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Reason>,
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Reason> + Send,
    {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let below = root.join(mount.trim_start_matches('/'));
        write_scanned(folder.path(), &below);
        let builder = StaticUrlLayer::builder(if mount.is_empty() { "/" } else { mount });
        // The default rule leaves out what starts with a dot, and with it three of them.
        let scan = Scan::new(&below).ignore(|_| false);
        let layer = settings(builder.scan(scan)).build().unwrap();
        let listed = FILES.iter().map(|(path, _)| *path).collect::<BTreeSet<_>>();
        assert!(layer.prefix().paths().eq(listed), "what the judge takes for listed is not");
        write_later(&below);
        if !mount.is_empty() {
            write(&root, "elsewhere.txt", ELSEWHERE);
        }
        Self {
            version: layer.prefix().version().to_owned(),
            layered: Server::start(layer.layer(inner(&root))),
            bare: Server::start(inner(&root)),
            _folder: folder,
            mount,
            tagged: Mutex::default(),
            asked: AtomicUsize::new(0),
        }
    }

    fn both() -> [Self; 2] {
        ["/static", ""].map(Self::new)
    }

    /// The bytes that were scanned, by the digest in their tag.
    fn listed_by_tag(&self, tag: &str) -> Option<&'static [u8]> {
        FILES.iter().map(|(_, content)| content.as_bytes()).find(|content| etag_of(content) == tag)
    }
}

fn write_scanned(folder: &Path, below: &Path) {
    for (path, content) in FILES {
        write(below, path, content);
    }
    for secret in ["secret.txt", "root-secret/secret.txt", "hello.txt"] {
        write(folder, secret, SECRET);
    }
}

fn write_later(below: &Path) {
    write_at(&below.join(DRIFTED), "as changed", later(1));
    write_at(&below.join(LATE), "after the scan", later(1));
}

// ---------------------------------------------------------------------------------
// Asking

/// A request head, in Latin-1, with gaps that each site fills in: `{m}` is the mount, `{v}/`
/// the current version, `{s}/` a stale one; see [`Site::fill`].
#[derive(Clone, Debug)]
struct Ask {
    name: String,
    head: String,
}

impl Ask {
    fn new(name: impl Into<String>, method: &str, target: &str, lines: &str) -> Self {
        let lines = format!("Host: localhost\r\n{lines}");
        Self { name: name.into(), head: format!("{method} {target} HTTP/1.1\r\n{lines}\r\n") }
    }

    fn get(name: &str, target: &str) -> Self {
        Self::new(name, "GET", target, "")
    }
}

/// A server skips those before a request line (RFC 9112 §2.2).
const EMPTY_LINE: &str = "\r\n";

/// What a request says, as far as it can be made out.
#[derive(Clone, Debug)]
struct Asked {
    bytes: Vec<u8>,
    method: String,
    target: String,
    lines: Vec<(String, String)>,
}

impl Asked {
    fn new(head: &str) -> Self {
        let message = head.trim_start_matches(EMPTY_LINE);
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        let (method, target) = first.trim_end().split_once(' ').unwrap_or((first, ""));
        let target = target.rsplit_once(' ').map_or(target, |(target, _)| target);
        let lines = rest.lines().filter_map(|line| line.split_once(':'));
        Self {
            bytes: latin1(head),
            method: method.to_owned(),
            target: target.to_owned(),
            lines: lines.map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned())).collect(),
        }
    }

    fn lines(&self, name: &str) -> Vec<&str> {
        let named = self.lines.iter().filter(|(own, _)| own == name);
        named.map(|(_, value)| &**value).collect()
    }

    /// The path of the target, in any of its four forms (RFC 9112 §3.2).
    fn path(&self) -> Option<&str> {
        let target = self.target.split(['?', '#']).next().unwrap();
        if target.starts_with('/') {
            return Some(target);
        }
        let after = target.split_once("://")?.1;
        Some(after.find('/').map_or("/", |slash| &after[slash..]))
    }
}

impl Site {
    fn fill(&self, ask: &Ask, mark: &str) -> Asked {
        let digit = self.version.as_bytes()[0];
        let head = ask.head.replace("{m}", self.mount);
        let head = head.replace("{v}", &self.version).replace("{s}", STALE);
        let head = head.replace("{tag}", &etag_of(b"hello world"));
        let head = head.replace("{opaque}", etag_of(b"hello world").trim_matches('"'));
        let head = head.replace("{short}", &self.version[1..]);
        let head = head.replace("{upper}", UPPER);
        let head = head.replace("{escaped}", &format!("%{digit:02x}{}", &self.version[1..]));
        let (before, message) =
            head.split_at(head.len() - head.trim_start_matches(EMPTY_LINE).len());
        let marked = message.replacen('\n', &format!("\nX-Mark: {mark}\r\n"), 1);
        Asked::new(&format!("{before}{marked}"))
    }

    /// What the layer asks `ServeDir`: the same, but for a version that is taken off.
    fn fill_bare(&self, ask: &Ask) -> Asked {
        let asked = self.fill(ask, "bare");
        let Some((Some(version), rest)) = self.divide(&asked) else { return asked };
        let loses_it = ["GET", "HEAD", "OPTIONS"].contains(&&*asked.method);
        if !loses_it || !self.is_below(&asked) || !is_plain(rest) {
            return asked;
        }
        let [with, without] = [format!("{version}/{rest}"), rest.to_owned()];
        let [with, without] = [with, without].map(|it| format!("{}/{it}", self.mount));
        Asked::new(&from_latin1(&asked.bytes).replacen(&with, &without, 1))
    }

    fn ask(&self, ask: &Ask) -> Finding {
        let mark = self.asked.fetch_add(1, Ordering::Relaxed).to_string();
        let asked = self.fill(ask, &mark);
        let answer = exchange(&self.layered, &asked)?;
        let bare = || exchange(&self.bare, &self.fill_bare(ask));
        judge(&Exchange { site: self, asked, mark, answer, bare: &bare })
    }

    /// What follows the mount and its slash.
    fn below<'a>(&self, asked: &'a Asked) -> Option<&'a str> {
        match asked.path()?.strip_prefix(self.mount)? {
            "" if !self.mount.is_empty() => Some(""),
            below => below.strip_prefix('/'),
        }
    }

    /// The version, if there is one, and what follows it.
    fn divide<'a>(&self, asked: &'a Asked) -> Option<(Option<&'a str>, &'a str)> {
        let below = self.below(asked)?;
        let (first, rest) = below.split_once('/').unwrap_or((below, ""));
        let is_version = first.len() < below.len() && is_version(first);
        Some(if is_version { (Some(first), rest) } else { (None, below) })
    }

    /// Whether the layer has anything to do with a URL. A mount of `/` is the whole site: there,
    /// only what is listed and the folders of what is listed are below it.
    fn is_below(&self, asked: &Asked) -> bool {
        let Some((_, rest)) = self.divide(asked) else { return false };
        !self.mount.is_empty() || (is_plain(rest) && (listed(rest).is_some() || is_folder(rest)))
    }

    /// Whether a URL that is not below a mount of `/` may still be another node's file.
    fn is_foreign_version(&self, asked: &Asked) -> bool {
        let first = asked.path().and_then(|path| path.split('/').nth(1));
        self.mount.is_empty() && !self.is_below(asked) && first.is_some_and(is_version)
    }

    /// Twice: the layer remembers what it has seen.
    fn ask_all(&self, asks: &[Ask]) {
        for ask in asks.iter().chain(asks) {
            let result = self.ask(ask);
            result.unwrap_or_else(|why| panic!("{:?}: {}: {why}", self.mount, ask.name));
        }
    }
}

/// Whether a segment is a version, and not a folder that looks like one.
fn is_version(segment: &str) -> bool {
    let has_shape = segment.len() == 16 && segment.bytes().all(|b| HEX_DIGITS.contains(&b));
    has_shape && segment != FOLDER
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Whether every segment names one child of the one before, whoever reads it.
fn is_plain(rest: &str) -> bool {
    let mut segments = rest.split('/').rev();
    // A folder's URL ends in a slash.
    let last = segments.next().unwrap();
    segments.all(|segment| !segment.is_empty() && is_plain_segment(segment))
        && is_plain_segment(last)
}

fn is_plain_segment(segment: &str) -> bool {
    let spelled = unescaped(segment);
    !matches!(&*spelled, b"." | b"..") && !spelled.iter().any(|byte| b"/\\\0".contains(byte))
}

const STALE: &str = "00000000000000aa";
const UPPER: &str = "00000000000000AA";

/// Nothing, where the connection was closed without an answer.
fn exchange(server: &Server, asked: &Asked) -> Result<Option<Answer>, String> {
    let mut connection = Connection::open(server);
    connection.write(&asked.bytes);
    let answer = connection.read(&asked.method);
    let rest = connection.rest();
    let is_whole = answer.as_ref().is_none_or(|answer| answer.is_complete);
    ensure(is_whole && rest.is_empty(), || format!("{answer:?}, then {rest:?}"))?;
    Ok(answer)
}

// ---------------------------------------------------------------------------------
// The judge

/// What is wrong.
type Finding = Result<(), String>;

fn ensure(is_so: bool, why: impl FnOnce() -> String) -> Finding {
    if is_so { Ok(()) } else { Err(why()) }
}

/// A request, and what came back.
struct Exchange<'s> {
    site: &'s Site,
    asked: Asked,
    mark: String,
    answer: Option<Answer>,
    /// The answer of `ServeDir` alone.
    bare: &'s dyn Fn() -> Result<Option<Answer>, String>,
}

/// Every answer to every request in this file goes through here.
fn judge(exchange: &Exchange<'_>) -> Finding {
    let Some(answer) = exchange.answer.as_ref().filter(|answer| is_of_service(answer)) else {
        return refused_by_both(exchange);
    };
    let checks = [
        it_is_the_answer_to_this_request,
        no_server_error_of_our_own,
        no_byte_from_outside,
        one_line_each,
        immutable_is_deserved,
        a_strong_tag_names_one_content,
        errors_are_not_kept,
        a_part_is_of_what_if_range_names,
        the_authorized_get_nothing_public,
        nobody_is_sent_elsewhere,
        what_is_not_ours_is_left_alone,
    ];
    let failed = checks.iter().find_map(|check| check(exchange, answer).err());
    let asked = exchange.asked.bytes.escape_ascii();
    failed.map_or(Ok(()), |why| Err(format!("{why}\n{asked}\n{answer:?}")))
}

fn is_of_service(answer: &Answer) -> bool {
    answer.lines("x-mark").next().is_some()
}

/// What hyper refuses is not ours; but it must be hyper that does.
fn refused_by_both(exchange: &Exchange<'_>) -> Finding {
    let bare = (exchange.bare)()?;
    let is_of_service = bare.as_ref().is_some_and(is_of_service);
    ensure(!is_of_service, || format!("{:?}, but alone: {bare:?}", exchange.answer))?;
    let text = exchange.answer.as_ref().map(Answer::text).unwrap_or_default();
    ensure(text.is_empty(), || format!("a refusal says {text:?}"))
}

fn it_is_the_answer_to_this_request(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    ensure(answer.field("x-mark") == exchange.mark, || "the answer to another request".into())
}

fn no_server_error_of_our_own(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    if answer.status < 500 {
        return Ok(());
    }
    let bare = (exchange.bare)()?.map(|bare| bare.status);
    ensure(bare == Some(answer.status), || format!("alone it is {bare:?}"))
}

fn no_byte_from_outside(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let text = answer.text();
    ensure(!text.contains(SECRET), || "a file beside the root".into())?;
    let is_elsewhere = exchange.below().is_some() && text.contains(ELSEWHERE);
    ensure(!is_elsewhere, || "a file beside the mount".into())
}

fn one_line_each(_: &Exchange<'_>, answer: &Answer) -> Finding {
    for name in ["etag", "cache-control", "content-length", "content-range", "last-modified"] {
        ensure(answer.lines(name).count() <= 1, || format!("two lines of {name}"))?;
    }
    Ok(())
}

/// Only the current version's URL of a listed file, or the one of a fingerprinted file without
/// a version; and only what was listed.
fn immutable_is_deserved(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    if !answer.cache_control().contains("immutable") {
        return Ok(());
    }
    let method = &*exchange.asked.method;
    ensure(exchange.is_edited(), || format!("{method} is immutable"))?;
    let rest = exchange.below().and_then(|below| below.strip_prefix(&*exchange.site.version));
    let rest = rest.and_then(|rest| rest.strip_prefix('/'));
    let unversioned = exchange.below().and_then(listed);
    let fingerprinted = unversioned.filter(|name| FINGERPRINTED.contains(name));
    let name = rest.and_then(listed).or(fingerprinted);
    let name = name.ok_or("neither the current URL of a listed file nor a fingerprinted one")?;
    let coding = if answer.field("content-encoding") == "br" { ".br" } else { "" };
    let candidates = match answer.status {
        304 => vec![name.to_owned(), format!("{name}.br")],
        _ => vec![format!("{name}{coding}")],
    };
    let contents = candidates.iter().filter_map(|name| content(name));
    let is_listed = contents.into_iter().any(|content| shows(method, answer, content));
    ensure(is_listed, || format!("immutable, and not the listed {name}"))
}

/// Whether an answer is, with all it says, one of this content.
fn shows(method: &str, answer: &Answer, content: &str) -> bool {
    let part = match answer.status {
        200 => Some(content.as_bytes()),
        206 => part(answer, content.as_bytes()),
        304 => Some(&b""[..]),
        _ => None,
    };
    let body = if method == "HEAD" { Some(&b""[..]) } else { part };
    let length = part.map(|part| part.len().to_string());
    let has_length =
        answer.status == 304 || length.is_some_and(|it| it == answer.field("content-length"));
    answer.field("etag") == etag_of(content.as_bytes()) && body == Some(&answer.body) && has_length
}

/// The bytes that a `Content-Range` names.
fn part<'c>(answer: &Answer, content: &'c [u8]) -> Option<&'c [u8]> {
    let range = answer.field("content-range");
    let (range, length) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (length == content.len().to_string()).then(|| content.get(first..=last))?
}

/// The listed file that a raw path spells: segment by segment, each decoded once.
fn listed(raw: &str) -> Option<&'static str> {
    let names = FILES.iter().map(|(name, _)| *name);
    names.into_iter().find(|name| spells(raw, name))
}

/// Whether a raw path spells a folder that a listed file is in.
fn is_folder(raw: &str) -> bool {
    let raw = raw.strip_suffix('/').unwrap_or(raw);
    let folders =
        FILES.iter().flat_map(|(name, _)| name.match_indices('/').map(|(slash, _)| &name[..slash]));
    folders.into_iter().any(|folder| spells(raw, folder))
}

fn spells(raw: &str, name: &str) -> bool {
    let (spelled, wanted) = (raw.split('/'), name.split('/'));
    spelled.map(decoded).eq(wanted.map(|segment| Some(segment.as_bytes().to_vec())))
}

/// Nothing, where an escape is none: no file is spelled like that.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut escapes = segment.split('%').skip(1).map(str::as_bytes);
    let is_escape = |it: &[u8]| it.len() > 1 && it[..2].iter().all(u8::is_ascii_hexdigit);
    escapes.all(is_escape).then(|| unescaped(segment))
}

/// What a lenient reader makes of it.
fn unescaped(segment: &str) -> Vec<u8> {
    percent_encoding::percent_decode(&latin1(segment)).collect()
}

fn content(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(own, _)| *own == name).map(|(_, content)| *content)
}

/// One of ours names what it is the digest of; one of `ServeDir`, one content of its URL.
fn a_strong_tag_names_one_content(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let tag = answer.field("etag");
    if !tag.starts_with('"') || exchange.asked.method != "GET" {
        return Ok(());
    }
    let is_digest = tag.len() == 66;
    match answer.status {
        200 if is_digest => ensure(tag == etag_of(&answer.body), || "other bytes".into()),
        206 if is_digest => {
            let content = exchange.site.listed_by_tag(&tag).ok_or("a tag of no file")?;
            ensure(part(answer, content) == Some(&answer.body), || "a part of other bytes".into())
        }
        200 => {
            let path = exchange.asked.target.replace(&exchange.site.version, STALE);
            let mut tagged = exchange.site.tagged.lock().unwrap();
            let first = tagged.entry((tag, path)).or_insert_with(|| answer.body.clone());
            ensure(*first == answer.body, || format!("was the tag of {first:?}"))
        }
        _ => Ok(()),
    }
}

/// Below the mount, and where another node may have a file.
fn errors_are_not_kept(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let is_ours = exchange.is_edited() && (exchange.is_below() || exchange.is_foreign_version());
    let is_kept = answer.status >= 400 && answer.cache_control() != "no-store";
    ensure(!is_ours || !is_kept, || "an error is kept".into())
}

fn a_part_is_of_what_if_range_names(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let named = exchange.asked.lines("if-range");
    if answer.status != 206 || named.is_empty() {
        return Ok(());
    }
    let tag = answer.field("etag");
    if tag.starts_with('"') && named == [&*tag] {
        return Ok(());
    }
    // What is not listed is left to `ServeDir`, which knows no `If-Range`.
    let is_listed = exchange.name().is_some_and(|name| name != DRIFTED);
    let alone = (exchange.bare)()?.map(|bare| bare.status);
    ensure(!is_listed && alone == Some(206), || format!("spliced onto {named:?}"))
}

fn the_authorized_get_nothing_public(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let is_authorized = !exchange.asked.lines("authorization").is_empty();
    let is_public = answer.cache_control().contains("public");
    ensure(!(is_authorized && is_public), || "public".into())
}

/// A `Location` names the host that `ServeDir` alone would name.
fn nobody_is_sent_elsewhere(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    let location = answer.field("location");
    if location.is_empty() {
        return Ok(());
    }
    let alone = (exchange.bare)()?.map(|bare| bare.field("location")).unwrap_or_default();
    ensure(host(&alone) == host(&location), || format!("alone: {alone:?}"))
}

/// The authority of a URI reference (RFC 3986 §4.1).
fn host(location: &str) -> Option<&str> {
    let (_, after) = location.split_once("//").filter(|(scheme, _)| !scheme.contains('/'))?;
    after.split('/').next()
}

/// Outside of the mount nothing is touched, and with methods that are not the layer's nothing
/// anywhere; below it, what is not listed comes from the inner service.
fn what_is_not_ours_is_left_alone(exchange: &Exchange<'_>, answer: &Answer) -> Finding {
    if !exchange.is_below() || !exchange.is_edited() {
        let mut answer = untimed(answer);
        // What an error there gets is judged above.
        if exchange.is_edited() && exchange.is_foreign_version() && answer.status >= 400 {
            answer.lines.retain(|(name, _)| name != "cache-control");
        }
        let bare = (exchange.bare)()?.map(|bare| untimed(&bare));
        return ensure(bare == Some(answer), || format!("alone: {bare:?}"));
    }
    // A tag of ours that is named for something else is not shown to the inner service.
    let has_own_range = exchange.asked.lines("if-range").iter().any(|tag| tag.len() == 66);
    if has_own_range || exchange.name().is_some() {
        return Ok(());
    }
    let bare = (exchange.bare)()?.map(|bare| (bare.status, bare.body));
    let is_same = bare.as_ref().is_some_and(|it| *it == (answer.status, answer.body.clone()));
    ensure(is_same, || format!("alone: {bare:?}"))
}

/// Without what differs from one moment, and one request, to the next.
fn untimed(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    answer.lines.retain(|(name, _)| !["date", "x-mark"].contains(&&**name));
    answer
}

impl Exchange<'_> {
    fn below(&self) -> Option<&str> {
        self.site.below(&self.asked)
    }

    fn is_below(&self) -> bool {
        self.site.is_below(&self.asked)
    }

    fn is_foreign_version(&self) -> bool {
        self.site.is_foreign_version(&self.asked)
    }

    /// Whether the layer may edit the answer, by the method.
    fn is_edited(&self) -> bool {
        ["GET", "HEAD"].contains(&&*self.asked.method)
    }

    /// The listed file that is asked for, under whatever version.
    fn name(&self) -> Option<&'static str> {
        let (_, rest) = self.site.divide(&self.asked)?;
        listed(rest).filter(|_| is_plain(rest))
    }
}

// ---------------------------------------------------------------------------------
// The cases

/// Spellings of what the URL grammar must tell apart.
const TARGETS: [(&str, &str); 74] = [
    ("current", "{m}/{v}/hello.txt"),
    ("stale", "{m}/{s}/hello.txt"),
    ("unversioned", "{m}/hello.txt"),
    ("sibling", "{m}/{v}/css/app.css"),
    ("sibling by its own name", "{m}/{v}/css/app.css.br"),
    ("changed since the scan", "{m}/{v}/drifted.txt"),
    ("changed since the scan, stale", "{m}/{s}/drifted.txt"),
    ("changed since the scan, unversioned", "{m}/drifted.txt"),
    ("made after the scan", "{m}/{v}/late.txt"),
    ("made after the scan, stale", "{m}/{s}/late.txt"),
    ("made after the scan, unversioned", "{m}/late.txt"),
    ("index", "{m}/{v}/docs/"),
    ("index, unversioned", "{m}/docs/"),
    ("folder without its slash", "{m}/{v}/docs"),
    ("missing", "{m}/{v}/missing.txt"),
    ("space", "{m}/{v}/with%20space.txt"),
    ("semicolon", "{m}/{v}/semi;colon.txt"),
    ("escaped semicolon", "{m}/{v}/semi%3Bcolon.txt"),
    ("percent", "{m}/{v}/100%25.txt"),
    ("bare percent", "{m}/{v}/100%.txt"),
    ("percent escaped twice", "{m}/{v}/100%2525.txt"),
    ("needless escapes", "{m}/{v}/%68%65llo.txt"),
    ("three dots", "{m}/{v}/a/.../b.txt"),
    ("real folder shaped like a version", "{m}/0123456789abcdef/real.txt"),
    ("real folder, what is not in it", "{m}/0123456789abcdef/hello.txt"),
    ("real folder below the version", "{m}/{v}/0123456789abcdef/real.txt"),
    ("empty version", "{m}//hello.txt"),
    ("one digit short", "{m}/{short}/hello.txt"),
    ("one digit long", "{m}/{v}0/hello.txt"),
    ("upper case", "{m}/{upper}/hello.txt"),
    ("escaped digit", "{m}/{escaped}/hello.txt"),
    ("version twice", "{m}/{v}/{v}/hello.txt"),
    ("stale, then current", "{m}/{s}/{v}/hello.txt"),
    ("version after the file", "{m}/hello.txt/{v}/"),
    ("version in a folder", "{m}/css/{v}/app.css"),
    ("version alone", "{m}/{v}/"),
    ("version without its slash", "{m}/{v}"),
    ("parameter on the version", "{m}/{v};a=b/hello.txt"),
    ("parameter on the file", "{m}/{v}/hello.txt;a.css"),
    ("mount alone", "{m}"),
    ("mount with a slash", "{m}/"),
    ("longer mount", "{m}foo/{v}/hello.txt"),
    ("mount in capitals", "/STATIC/{v}/hello.txt"),
    ("escaped mount", "/%73tatic/{v}/hello.txt"),
    ("mount twice", "{m}{m}/{v}/hello.txt"),
    ("outside", "/elsewhere.txt"),
    ("query", "{m}/{v}/hello.txt?{m}/{s}/../secret.txt"),
    ("odd query", "{m}/{v}/hello.txt??=&%zz%00"),
    ("fragment", "{m}/{v}/hello.txt#/../secret.txt"),
    ("slash at the end", "{m}/{v}/hello.txt/"),
    ("empty segment", "{m}/{v}//hello.txt"),
    ("another host behind the version", "{m}/{v}//evil.example/docs"),
    ("another host behind a stale one", "{m}/{s}//evil.example/%2e%2e"),
    ("another host behind a backslash", "{m}/{v}/\\evil.example/docs"),
    ("another host first", "//evil.example/{v}/hello.txt"),
    ("another host, a folder", "//docs"),
    ("three slashes", "///{v}/hello.txt"),
    ("absolute form", "http://localhost{m}/{v}/hello.txt"),
    ("absolute form, a folder", "http://localhost{m}/{v}/docs"),
    ("absolute form, another host", "http://evil.example{m}/{v}/docs"),
    ("absolute form, with a user", "http://a:b@localhost{m}/{v}/hello.txt"),
    ("absolute form, no path", "http://localhost"),
    ("absolute form, other scheme", "ftp://localhost{m}/{v}/hello.txt"),
    ("absolute form, traversal", "http://localhost{m}/{v}/../../secret.txt"),
    ("authority form", "localhost:80"),
    ("no form at all", "hello.txt"),
    ("asterisk", "*"),
    ("NUL", "{m}/{v}/hello.txt\0.css"),
    ("escaped NUL", "{m}/{v}/hello.txt%00.css"),
    ("high bytes", "{m}/{v}/\u{ff}\u{fe}"),
    ("not UTF-8, escaped", "{m}/{v}/%ff%fe"),
    ("overlong slash", "{m}/{v}/..\u{c0}\u{af}secret.txt"),
    ("tab in the target", "{m}/{v}/hello\t.txt"),
    ("space in the target", "{m}/{v}/with space.txt"),
];

/// Field lines that must not be believed too much.
const LINES: [(&str, &str); 66] = [
    ("If-None-Match, own", "If-None-Match: {tag}\r\n"),
    ("If-None-Match, own but weak", "If-None-Match: W/{tag}\r\n"),
    ("If-None-Match, any", "If-None-Match: *\r\n"),
    ("If-None-Match, own with a coding", "If-None-Match: \"{opaque}-gzip\"\r\n"),
    ("If-None-Match, unquoted", "If-None-Match: {opaque}\r\n"),
    ("If-None-Match, half quoted", "If-None-Match: \"{opaque}\r\n"),
    ("If-None-Match, single quotes", "If-None-Match: '{opaque}'\r\n"),
    ("If-None-Match, own in another tag", "If-None-Match: \"x, {tag}\r\n"),
    ("If-None-Match, lower-case weak", "If-None-Match: w/{tag}\r\n"),
    ("If-None-Match, any and own", "If-None-Match: *, {tag}\r\n"),
    ("If-None-Match, empty", "If-None-Match:\r\n"),
    ("If-None-Match, only commas", "If-None-Match: ,, ,\r\n"),
    ("If-None-Match, high bytes", "If-None-Match: \"\u{ff}\u{80}\", {tag}\r\n"),
    ("If-None-Match, two lines", "If-None-Match: \"a\"\r\nIf-None-Match: {tag}\r\n"),
    ("If-None-Match, own twice", "If-None-Match: {tag}, {tag}\r\n"),
    ("If-Match, own", "If-Match: {tag}\r\n"),
    ("If-Match, weak", "If-Match: W/{tag}\r\n"),
    ("If-Match, other", "If-Match: \"other\"\r\n"),
    ("If-Match, any", "If-Match: *\r\n"),
    ("If-Match, garbage", "If-Match: \"\"\"\r\n"),
    ("both tags", "If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"),
    ("both tags, against each other", "If-Match: \"other\"\r\nIf-None-Match: {tag}\r\n"),
    (
        "everything",
        "If-Match: {tag}\r\nIf-None-Match: \"other\"\r\nIf-Range: {tag}\r\nRange: bytes=0-4\r\n\
         If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
         If-Unmodified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
    ),
    (
        "everything, and not",
        "If-Match: *\r\nIf-None-Match: {tag}\r\nIf-Range: \"other\"\r\nRange: bytes=0-4\r\n\
         If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    ),
    ("date, exact", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n"),
    ("date, of the changed file", "If-Modified-Since: Tue, 14 Nov 2023 22:13:21 GMT\r\n"),
    ("date, far off", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n"),
    ("date, never", "If-Modified-Since: Mon, 31 Feb 2023 25:61:61 GMT\r\n"),
    ("date, before time", "If-Unmodified-Since: Thu, 01 Jan 0000 00:00:00 GMT\r\n"),
    ("date, a number", "If-Modified-Since: 0\r\n"),
    (
        "date, two lines",
        "If-Modified-Since: 0\r\nIf-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
    ),
    ("part", "Range: bytes=0-4\r\n"),
    ("part, of nothing", "Range: bytes=99-\r\n"),
    ("part, backwards", "Range: bytes=4-0\r\n"),
    ("part, no bytes", "Range: bytes=-0\r\n"),
    ("part, more than all", "Range: bytes=-99999999999999999999999\r\n"),
    ("part, overflow", "Range: bytes=18446744073709551615-18446744073709551616\r\n"),
    ("part, several", "Range: bytes=0-0,2-2,-1\r\n"),
    ("part, very many", "Range: bytes=0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-\r\n"),
    ("part, two lines", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n"),
    ("part, other unit", "Range: rows=0-1\r\n"),
    ("part, garbage", "Range: bytes=\u{ff}-\u{fe}\r\n"),
    ("If-Range, own", "Range: bytes=6-\r\nIf-Range: {tag}\r\n"),
    ("If-Range, weak", "Range: bytes=6-\r\nIf-Range: W/{tag}\r\n"),
    ("If-Range, other", "Range: bytes=6-\r\nIf-Range: \"other\"\r\n"),
    ("If-Range, unquoted", "Range: bytes=6-\r\nIf-Range: {opaque}\r\n"),
    ("If-Range, two tags", "Range: bytes=6-\r\nIf-Range: {tag}, {tag}\r\n"),
    ("If-Range, two lines", "Range: bytes=6-\r\nIf-Range: {tag}\r\nIf-Range: {tag}\r\n"),
    ("If-Range, a date", "Range: bytes=6-\r\nIf-Range: Tue, 14 Nov 2023 22:13:20 GMT\r\n"),
    ("If-Range, empty", "Range: bytes=6-\r\nIf-Range:\r\n"),
    ("If-Range alone", "If-Range: {tag}\r\n"),
    ("br", "Accept-Encoding: br\r\n"),
    ("no coding at all", "Accept-Encoding: identity;q=0, *;q=0\r\n"),
    ("br, own tag", "Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n"),
    ("br, a part", "Accept-Encoding: br\r\nRange: bytes=6-\r\nIf-Range: {tag}\r\n"),
    ("odd codings", "Accept-Encoding: gzip;q=9, \u{ff}, ;;, br;q=\r\n"),
    ("authorized", "Authorization: Basic eA==\r\n"),
    ("authorized, own tag", "Authorization: Basic eA==\r\nIf-None-Match: {tag}\r\n"),
    ("authorization of nothing", "Authorization:\r\n"),
    ("two hosts", "Host: evil.example\r\n"),
    ("forwarded", "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n"),
    ("rewritten URL", "X-Original-URL: /../secret.txt\r\nX-Rewrite-URL: /../secret.txt\r\n"),
    ("other method", "X-HTTP-Method-Override: DELETE\r\n"),
    ("upgrade", "Connection: upgrade, if-none-match\r\nUpgrade: h2c\r\n"),
    ("expect", "Expect: 100-continue\r\n"),
    ("reload", "Cache-Control: no-cache, only-if-cached\r\nPragma: no-cache\r\n"),
];

/// What is no message, or hardly one.
const HEADS: [(&str, &str); 30] = [
    ("no protocol", "GET {m}/{v}/hello.txt\r\n\r\n"),
    ("HTTP/0.9", "GET {m}/{v}/hello.txt HTTP/0.9\r\n\r\n"),
    ("HTTP/1.0", "GET {m}/{v}/hello.txt HTTP/1.0\r\n\r\n"),
    ("HTTP/1.0, host", "GET {m}/{v}/hello.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    ("HTTP/1.0, kept alive", "GET {m}/{v}/hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ("HTTP/1.0, redirect", "GET {m}/{v}/docs HTTP/1.0\r\n\r\n"),
    ("HTTP/1.0, HEAD", "HEAD {m}/{v}/hello.txt HTTP/1.0\r\n\r\n"),
    ("HTTP/1.0, condition", "GET {m}/{v}/hello.txt HTTP/1.0\r\nIf-None-Match: {tag}\r\n\r\n"),
    ("HTTP/1.0, part", "GET {m}/{v}/hello.txt HTTP/1.0\r\nRange: bytes=0-4\r\n\r\n"),
    ("HTTP/1.1, no host", "GET {m}/{v}/docs HTTP/1.1\r\n\r\n"),
    ("HTTP/1.1, empty host", "GET {m}/{v}/docs HTTP/1.1\r\nHost:\r\n\r\n"),
    ("HTTP/1.1, odd host", "GET {m}/{v}/docs HTTP/1.1\r\nHost: a b/\u{ff}\r\n\r\n"),
    ("HTTP/1.2", "GET {m}/{v}/hello.txt HTTP/1.2\r\nHost: localhost\r\n\r\n"),
    ("HTTP/2 in words", "GET {m}/{v}/hello.txt HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    ("HTTP/3 in words", "GET {m}/{v}/hello.txt HTTP/3\r\nHost: localhost\r\n\r\n"),
    ("lower-case protocol", "GET {m}/{v}/hello.txt http/1.1\r\nHost: localhost\r\n\r\n"),
    ("empty lines first", "\r\n\r\nGET {m}/{v}/hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("line feeds alone", "GET {m}/{v}/hello.txt HTTP/1.1\nHost: localhost\n\n"),
    ("two spaces", "GET  {m}/{v}/hello.txt  HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("tabs", "GET\t{m}/{v}/hello.txt\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("space first", " GET {m}/{v}/hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("no target", "GET HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("no method", "{m}/{v}/hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("folded line", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-None-Match: \"a\",\r\n {tag}\r\n\r\n"),
    ("no colon", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-None-Match {tag}\r\n\r\n"),
    ("space before the colon", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-Range : {tag}\r\n\r\n"),
    ("no name", "GET {m}/{v}/hello.txt HTTP/1.1\r\n: {tag}\r\n\r\n"),
    ("control byte", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-None-Match: {tag}\u{1}\r\n\r\n"),
    ("NUL in a field", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-None-Match: \0{tag}\r\n\r\n"),
    ("bare carriage return", "GET {m}/{v}/hello.txt HTTP/1.1\r\nIf-Match: \"\r\"\r\n\r\n"),
];

const METHODS: [&str; 17] = [
    "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PURGE", "PROPFIND", "get",
    "head", "Get", "GETT", "M-SEARCH", "GET/", "G\u{e9}T", "GET,HEAD",
];

#[test]
fn targets() {
    let asks = TARGETS.iter().flat_map(|&(name, target)| {
        let tags = "If-None-Match: {tag}\r\nRange: bytes=0-4\r\n";
        let case = move |how: &str| format!("{name}, {how}");
        [
            Ask::get(name, target),
            Ask::new(case("HEAD"), "HEAD", target, ""),
            Ask::new(case("br"), "GET", target, "Accept-Encoding: br\r\n"),
            Ask::new(case("a part"), "GET", target, "Range: bytes=0-4\r\n"),
            Ask::new(case("tags"), "GET", target, tags),
            Ask::new(case("authorized"), "GET", target, "Authorization: x\r\n"),
        ]
    });
    let asks = asks.collect::<Vec<_>>();
    Site::both().iter().for_each(|site| site.ask_all(&asks));
}

#[test]
fn fields() {
    let targets =
        ["{m}/{v}/hello.txt", "{m}/{s}/hello.txt", "{m}/hello.txt", "{m}/{v}/css/app.css"];
    let drifting = ["{m}/{v}/drifted.txt", "{m}/{v}/late.txt", "{m}/drifted.txt", "{m}/{v}/docs"];
    let mut asks = Vec::new();
    for target in targets.iter().chain(&drifting) {
        for (name, lines) in LINES {
            asks.push(Ask::new(format!("{target}, {name}"), "GET", target, lines));
            asks.push(Ask::new(format!("{target}, {name}, HEAD"), "HEAD", target, lines));
        }
    }
    Site::both().iter().for_each(|site| site.ask_all(&asks));
}

#[test]
fn heads() {
    let asks = HEADS.map(|(name, head)| Ask { name: name.into(), head: head.into() });
    Site::both().iter().for_each(|site| site.ask_all(&asks));
}

#[test]
fn methods() {
    let targets =
        ["{m}/{v}/hello.txt", "{m}/{s}/hello.txt", "{m}/late.txt", "*", "localhost:80", "//docs"];
    let asks = METHODS.iter().flat_map(|method| {
        targets.map(|target| {
            let lines = "If-None-Match: {tag}\r\n";
            Ask::new(format!("{method} {target}"), method, target, lines)
        })
    });
    let asks = asks.collect::<Vec<_>>();
    Site::both().iter().for_each(|site| site.ask_all(&asks));
}

#[test]
fn traversals() {
    let dots = ["..", "%2e%2e", ".%2E", "%252e%252e", "..;", "%c0%ae%c0%ae", "\u{c0}\u{ae}.", "."];
    let slashes = ["/", "%2f", "\\", "%5C", "%c0%af", "//", "%252f", "/./"];
    let mut asks = Vec::new();
    for (dots, slash) in dots.iter().flat_map(|dots| slashes.map(|slash| (dots, slash))) {
        let up = format!("{dots}{slash}");
        for target in [
            format!("{{m}}/{up}secret.txt"),
            format!("{{m}}/{up}{up}secret.txt"),
            format!("{{m}}/css/{up}{up}{up}secret.txt"),
            format!("{{m}}/{{v}}/{up}secret.txt"),
            format!("{{m}}/{{v}}/{up}{up}{up}secret.txt"),
            format!("{{m}}/{{s}}/css/{up}{up}{up}hello.txt"),
            format!("{{m}}/{up}elsewhere.txt"),
            format!("{{m}}/{{v}}/{up}elsewhere.txt"),
            format!("{{m}}/{{v}}/css/{up}hello.txt"),
            format!("{{m}}/{up}{{v}}/hello.txt"),
            format!("{{m}}/{{v}}/{up}{{v}}/hello.txt"),
            format!("{{m}}/{{v}}/css{slash}app.css"),
            format!("{{m}}{slash}{{v}}{slash}hello.txt"),
        ] {
            asks.push(Ask::get(&target, &target));
        }
    }
    Site::both().iter().for_each(|site| site.ask_all(&asks));
}

#[test]
fn sizes() {
    let long = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let name = format!("{{m}}/{{v}}/{}.css", long("a", 8192));
    let folders = format!("{{m}}/{{v}}/{}hello.txt", long("css/", 8192));
    let dots = format!("{{m}}/{{v}}/{}hello.txt", long("css/../", 8192));
    let escapes = format!("{{m}}/{{v}}/{}", long("%68", 8192));
    let slashes = format!("{{m}}/{{v}}{}hello.txt", long("/", 8192));
    let query = format!("{{m}}/{{v}}/hello.txt?{}", long("a=b&", 8192));
    let hello = "{m}/{v}/hello.txt";
    let tags = format!("If-None-Match: {}{{tag}}\r\n", long("\"0123456789abcdef\", ", 65_536));
    let many = long("If-None-Match: \"other\"\r\n", 2000) + "If-None-Match: {tag}\r\n";
    let too_many = long("X-Filler: x\r\n", 13 * 200);
    let ranges = format!("Range: bytes={}0-0\r\n", long("0-0,", 8192));
    Site::both().iter().for_each(|site| {
        site.ask_all(&[
            Ask::get("a name of 8 KiB", &name),
            Ask::get("a thousand folders", &folders),
            Ask::get("a thousand folders and back", &dots),
            Ask::get("escapes", &escapes),
            Ask::get("slashes", &slashes),
            Ask::get("a query of 8 KiB", &query),
            Ask::new("64 KiB of tags", "GET", hello, &tags),
            Ask::new("many lines of tags", "GET", hello, &many),
            Ask::new("more lines than are read", "GET", hello, &too_many),
            Ask::new("two thousand ranges", "GET", hello, &ranges),
        ]);
    });
}

/// What must come out for all that, so that no judge is content with refusals alone.
#[test]
fn the_judged_are_not_all_refused() {
    let [site, whole_site] = Site::both();
    for (site, ask, status, cache_control) in [
        (&site, Ask::get("current", "{m}/{v}/hello.txt"), 200, YEAR),
        (&site, Ask::get("absolute", "http://evil.example{m}/{v}/hello.txt"), 200, YEAR),
        (&site, Ask::new("part", "GET", "{m}/{v}/hello.txt", "Range: bytes=0-4\r\n"), 206, YEAR),
        (
            &site,
            Ask::new("tag", "HEAD", "{m}/{v}/hello.txt", "If-None-Match: W/{tag}\r\n"),
            304,
            YEAR,
        ),
        (&site, Ask::get("stale", "{m}/{s}/hello.txt"), 200, "no-cache"),
        (&site, Ask::get("changed", "{m}/{v}/drifted.txt"), 200, "no-cache"),
        (&site, Ask::get("late", "{m}/{v}/late.txt"), 200, "no-cache"),
        (&site, Ask::get("traversal", "{m}/{v}/../../secret.txt"), 404, "no-store"),
        (&site, Ask::new("other method", "DELETE", "{m}/{v}/hello.txt", ""), 405, ""),
        (&site, Ask::new("options", "OPTIONS", "{m}/{v}/hello.txt", ""), 405, ""),
        (&site, Ask::get("outside", "/elsewhere.txt"), 200, ""),
        (&site, Ask::get("outside, missing", "/{v}/hello.txt"), 404, ""),
        (&whole_site, Ask::get("current", "/{v}/hello.txt"), 200, YEAR),
        (&whole_site, Ask::get("stale", "/{s}/hello.txt"), 200, "no-cache"),
        (&whole_site, Ask::get("index", "/{v}/docs/"), 200, "no-cache"),
        (&whole_site, Ask::get("late", "/late.txt"), 200, ""),
        (&whole_site, Ask::get("late, current", "/{v}/late.txt"), 404, "no-store"),
        (&whole_site, Ask::get("missing", "/missing.txt"), 404, ""),
        (&whole_site, Ask::get("missing, stale", "/{s}/missing.txt"), 404, "no-store"),
        (&whole_site, Ask::get("missing, in a folder", "/0123456789abcdef/hello.txt"), 404, ""),
        (&whole_site, Ask::get("traversal", "/{v}/../../secret.txt"), 404, "no-store"),
        (&whole_site, Ask::new("other method", "DELETE", "/{v}/hello.txt", ""), 405, ""),
    ] {
        let asked = site.fill(&ask, "0");
        let over_http1 = exchange(&site.layered, &asked).unwrap();
        let request = http2_request(&asked, "http://localhost").unwrap();
        let over_http2 = wire::exchange_http2(&site.layered, request);
        for answer in [over_http1.unwrap(), over_http2.unwrap()] {
            let got = (answer.status, &*answer.cache_control());
            assert_eq!(got, (status, cache_control), "{ask:?}: {answer:?}");
            assert_eq!(answer.field("x-mark"), "0", "{ask:?}: {answer:?}");
        }
    }
}

/// Several requests in one write: each gets its own answer, in order.
#[test]
fn pipelines() {
    let targets = ["{m}/{v}/hello.txt", "{m}/{v}/drifted.txt", "{m}/{s}/css/app.css", "{m}/docs"];
    let lines = ["", "If-None-Match: {tag}\r\n", "Range: bytes=0-4\r\n", "If-Match: \"x\"\r\n"];
    let mut asks = Vec::new();
    for (i, target) in targets.iter().enumerate() {
        for (j, lines) in lines.iter().enumerate() {
            let method = ["GET", "HEAD", "GET", "OPTIONS"][(i + j) % 4];
            asks.push(Ask::new(format!("{method} {target} {lines}"), method, target, lines));
        }
    }
    for site in Site::both() {
        let asked = asks.iter().zip(0..).map(|(ask, mark)| site.fill(ask, &format!("{mark}")));
        let asked = asked.collect::<Vec<_>>();
        let mut connection = Connection::open(&site.layered);
        connection.write(&asked.iter().flat_map(|asked| asked.bytes.clone()).collect::<Vec<_>>());
        for ((ask, asked), mark) in asks.iter().zip(asked).zip(0..) {
            let answer = connection.read(&asked.method);
            assert!(answer.as_ref().is_some_and(is_of_service), "{ask:?}: {answer:?}");
            let bare = || exchange(&site.bare, &site.fill_bare(ask));
            let mark = format!("{mark}");
            let judged = judge(&Exchange { site: &site, asked, mark, answer, bare: &bare });
            judged.unwrap_or_else(|why| panic!("{}: {why}", ask.name));
        }
        assert_eq!(connection.rest(), "", "an answer to nothing");
    }
}

// ---------------------------------------------------------------------------------
// HTTP/2

/// `:path` and `:authority` as they are told, over one connection each.
#[test]
fn http2() {
    let host = "http://localhost";
    let ways = [
        (host, "GET", ""),
        (host, "HEAD", ""),
        (host, "GET", "If-None-Match: {tag}\r\n"),
        (host, "GET", "Range: bytes=0-4\r\nIf-Range: {tag}\r\n"),
        ("http://evil.example:1", "GET", ""),
        ("", "GET", ""),
    ];
    for site in Site::both() {
        for (name, target) in TARGETS {
            for (authority, method, lines) in ways {
                let ask = Ask::new(format!("{method} {name} {lines}"), method, target, lines);
                let judged = ask_http2(&site, &ask, authority);
                judged.unwrap_or_else(|why| panic!("{authority:?} {}: {why}", ask.name));
            }
        }
    }
}

fn ask_http2(site: &Site, ask: &Ask, authority: &str) -> Finding {
    let mark = site.asked.fetch_add(1, Ordering::Relaxed).to_string();
    let asked = site.fill(ask, &mark);
    let Some(request) = http2_request(&asked, authority) else { return Ok(()) };
    let answer = wire::exchange_http2(&site.layered, request);
    ensure(answer.as_ref().is_none_or(|it| it.is_complete), || format!("cut off: {answer:?}"))?;
    let bare = || {
        let request = http2_request(&site.fill_bare(ask), authority).ok_or("not sent")?;
        Ok(wire::exchange_http2(&site.bare, request))
    };
    judge(&Exchange { site, asked, mark, answer, bare: &bare })
}

/// Nothing, where no client could be made to send that.
fn http2_request(asked: &Asked, authority: &str) -> Option<Request<()>> {
    let is_whole = asked.target.contains("://") || !asked.target.starts_with('/');
    let prefix = if is_whole { "" } else { authority };
    let uri = [prefix.as_bytes(), &latin1(&asked.target)].concat();
    let request = Request::builder().method(&*asked.method).uri(&*uri);
    let request = asked
        .lines
        .iter()
        .filter(|(name, _)| name != "host")
        .fold(request, |request, (name, value)| request.header(name, latin1(value)));
    let mut request = request.body(()).ok()?;
    // Without a host: as a proxy passes on what it was sent by an HTTP/1.0 client.
    let is_relative = request.uri().authority().is_none();
    *request.version_mut() = if is_relative { Version::HTTP_11 } else { Version::HTTP_2 };
    Some(request)
}

// ---------------------------------------------------------------------------------
// Web cache deception

/// On every page of a service that answers whatever it is asked.
const PRIVATE: &str = "<h1>your account</h1> and what nobody else may read";

/// How a service may send its pages.
#[derive(Clone, Copy, Debug)]
enum Page {
    Plain,
    Streamed,
    Dated,
    Tagged,
    DatedStream,
    Compressed,
    WithCookie,
}

impl Page {
    const ALL: [Self; 7] = [
        Self::Plain,
        Self::Streamed,
        Self::Dated,
        Self::Tagged,
        Self::DatedStream,
        Self::Compressed,
        Self::WithCookie,
    ];

    fn response(self) -> Response<Body> {
        let response = Response::builder().header("content-type", "text/html");
        let response = match self {
            Self::Plain | Self::Streamed => response,
            // That of the listed files: a page may be as old as they are.
            Self::Dated | Self::DatedStream => {
                response.header("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT")
            }
            Self::Tagged => response.header("etag", "\"page\""),
            Self::Compressed => response.header("content-encoding", "gzip"),
            Self::WithCookie => response.header("set-cookie", "session=1"),
        };
        let body = match self {
            Self::Streamed | Self::DatedStream | Self::Compressed => unsized_body(PRIVATE),
            _ => Body::from(PRIVATE),
        };
        response.body(body).unwrap()
    }
}

/// That does not tell its length.
fn unsized_body(text: &'static str) -> Body {
    let is_unsized = Body::from(text).into_data_stream();
    Body::from_stream(is_unsized)
}

/// What may look like a file to a cache, behind every kind of prefix.
const DISGUISES: [&str; 30] = [
    "hello.txt",
    "css/app.css",
    "css/app.css.br",
    "account",
    "account/x.css",
    "account;x.css",
    "account%3Bx.css",
    "account%2Fx.css",
    "account%5Cx.css",
    "account%00x.css",
    "account%0Ax.css",
    "account%23x.css",
    "account%3Fx.css",
    "account?x.css",
    "account$x.css",
    "account.css",
    "account/.css",
    "account/hello.txt",
    "account/css/app.css",
    "account/..%2fhello.txt",
    "account/..%2f..%2fcss/app.css",
    "account/%2e%2e/hello.txt",
    "..%2faccount/hello.txt",
    "hello.txt/account",
    "hello.txt;account",
    "hello.txt%2faccount",
    "hello.txt%20",
    "hello.txt.",
    "HELLO.TXT",
    "robots.txt",
];

#[test]
fn no_disguise_makes_a_page_public() {
    for (mount, page) in ["/static", ""].into_iter().flat_map(|m| Page::ALL.map(|page| (m, page))) {
        pages_stay_private(mount, page, StalePolicy::Serve);
    }
    for stale in [StalePolicy::Redirect, StalePolicy::NotFound] {
        pages_stay_private("/static", Page::Plain, stale);
    }
}

fn pages_stay_private(mount: &'static str, page: Page, stale: StalePolicy) {
    let service = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(page.response())));
    let site = Site::of(mount, |builder| builder.stale(stale.clone()), |_| service);
    // One that stays open: it is the pages that differ here.
    let mut connection = Connection::open(&site.layered);
    let (disguises, mut shown) = (disguises(), 0);
    for ask in &disguises {
        let judged = judge_page(&site, &mut connection, ask);
        let is_shown =
            judged.unwrap_or_else(|why| panic!("{mount:?} {page:?} {stale:?} {}: {why}", ask.name));
        shown += usize::from(is_shown);
    }
    assert!(shown >= disguises.len() * 4 / 5, "only {shown} pages of {}", disguises.len());
}

fn disguises() -> Vec<Ask> {
    let prefixes = ["{m}/{v}/", "{m}/{s}/", "{m}/{upper}/", "{m}/{escaped}/", "{m}/", "{m}//", "/"];
    let disguised = prefixes.iter().flat_map(|prefix| DISGUISES.map(|it| format!("{prefix}{it}")));
    let targets = TARGETS.iter().map(|(_, target)| (*target).to_owned()).chain(disguised);
    let asks = targets.flat_map(|target| {
        let tags = "If-None-Match: {tag}\r\nRange: bytes=0-4\r\nIf-Range: {tag}\r\n";
        ["", tags].map(|lines| Ask::new(format!("{target} {lines}"), "GET", &target, lines))
    });
    asks.collect()
}

/// Says whether the page was shown at all.
fn judge_page(site: &Site, connection: &mut Connection, ask: &Ask) -> Result<bool, String> {
    let asked = site.fill(ask, "page");
    connection.write(&asked.bytes);
    let Some(answer) = connection.read("GET").filter(is_of_service) else {
        *connection = Connection::open(&site.layered);
        return Ok(false);
    };
    let said = answer.cache_control();
    let is_strict = ["no-cache", "no-store"].contains(&&*said);
    // To one with a cookie the layer adds no word, and no cache a lifetime: it has no date.
    let may_be_silent = !answer.field("set-cookie").is_empty();
    let is_right = match site.is_below(&asked) {
        true => is_strict || (may_be_silent && said.is_empty()),
        // The rest of the site is left alone.
        false => said.is_empty(),
    };
    ensure(is_right, || format!("{answer:?}"))?;
    let has_listed_tag = site.listed_by_tag(&answer.field("etag")).is_some();
    ensure(!has_listed_tag, || format!("the tag of a file: {answer:?}"))?;
    let is_page = answer.status == 200 && answer.text() == PRIVATE;
    // Where a stale version is not served, nobody asks for the page.
    ensure(is_page || answer.text().is_empty(), || format!("no page to be judged: {answer:?}"))?;
    Ok(is_page)
}

// ---------------------------------------------------------------------------------
// Any request at all

/// Heads made of odd pieces.
fn any_head() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        6 => Just("GET"),
        2 => Just("HEAD"),
        1 => proptest::sample::select(&METHODS[..]),
    ];
    let segment = prop_oneof![
        6 => proptest::sample::select(&["{v}", "{s}", "{short}", "{upper}", "0123456789abcdef"][..]),
        8 => proptest::sample::select(&["hello.txt", "drifted.txt", "late.txt", "css", "app.css"][..]),
        3 => proptest::sample::select(&["docs", "a", "...", "b.txt", "100%25.txt", "secret.txt"][..]),
        3 => proptest::sample::select(&["..", ".", "%2e%2e", "..%2f", "%5c..", "", "\u{ff}", "%00"][..]),
    ];
    let start = prop_oneof![
        12 => Just("{m}/"),
        4 => Just("{m}/{v}/"),
        1 => proptest::sample::select(&["", "/", "//", "http://localhost{m}/{v}/", "{m}", "*"][..]),
    ];
    let segments = proptest::collection::vec(segment, 0..4).prop_map(|it| it.join("/"));
    let end =
        prop_oneof![8 => Just(""), 1 => proptest::sample::select(&["/", "?a", ";x.css", "#"][..])];
    let protocol = prop_oneof![9 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let line = (0..LINES.len()).prop_map(|i| LINES[i].1);
    let lines = proptest::collection::vec(line, 0..4).prop_map(|it| it.concat());
    (method, start, segments, end, protocol, lines).prop_map(
        |(method, start, segments, end, protocol, lines)| {
            format!("{method} {start}{segments}{end} {protocol}\r\nHost: localhost\r\n{lines}\r\n")
        },
    )
}

#[test]
fn any_request() {
    let sites = Site::both();
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() };
    let result = TestRunner::new(config).run(&any_head(), |head| {
        let ask = Ask { name: "any".into(), head };
        let asked = sites.iter().try_for_each(|site| site.ask(&ask));
        asked.map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
