//! Deltas (RFC 9842) through a real shared cache: whatever others have asked for before, a client
//! gets a coding that it accepts, and a delta only against the dictionary that it has.
//!
//! Clients of all kinds come in random order, a few at a time, for files of the current release
//! and of a kept one. The directory of the files is the only thing that differs between walks:
//! each begins with nothing in the cache.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode},
    response::Response,
    serve::ListenerExt as _,
};
use data_encoding::{BASE64, HEXLOWER};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpListener, task::JoinSet};
use tower_http::services::ServeDir;
use tower_static_url::{Deltas, StaticUrlLayer, releases::Releases};
use zstd::zstd_safe::{DCtx, DParameter};

use crate::support::{
    Answer, YEAR, ask,
    demo::{HttpClient, http_client},
    gzip,
    proxy::{self, Proxy, Recipe},
    write,
};

#[tokio::test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
async fn nginx() {
    stores_only_what_is_shared(proxy::nginx).await;
}

#[tokio::test]
#[ignore = "needs Squid: tests/e2e/install.sh"]
async fn squid() {
    stores_only_what_is_shared(proxy::squid).await;
}

#[tokio::test]
#[ignore = "needs Varnish: tests/e2e/install.sh"]
async fn varnish_without_gzip() {
    stores_only_what_is_shared(proxy::varnish_without_gzip).await;
}

async fn stores_only_what_is_shared(recipe: Recipe) {
    let alone = Site::behind(recipe, false).await.walk_all().await;
    assert!(alone.deltas > 0 && alone.stored > 0, "{alone:?}");
    assert_eq!(alone.stored_deltas, 0, "they are private: {alone:?}");
    let shared = Site::behind(recipe, true).await.walk_all().await;
    assert!(shared.deltas > 0 && shared.stored_deltas > 0, "{shared:?}");
}

/// It accepts gzip or nothing for all of its clients, so nobody gets a delta.
#[tokio::test]
#[ignore = "needs Varnish: tests/e2e/install.sh"]
async fn varnish() {
    for is_shared in [false, true] {
        let seen = Site::behind(proxy::varnish, is_shared).await.walk_all().await;
        assert!(seen.deltas == 0 && seen.stored > 0, "{seen:?}");
    }
}

/// It does not honour `Cache-Control`, not even `private`. What is left is `Vary`.
#[tokio::test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
async fn nginx_that_asks_every_second() {
    for is_shared in [false, true] {
        let seen = Site::behind(proxy::nginx_for_a_second, is_shared).await.walk_all().await;
        assert!(seen.deltas > 0 && seen.stored_deltas > 0, "{seen:?}");
    }
}

/// Because of such a cache, deltas are `private`.
#[tokio::test]
#[ignore = "needs nginx: tests/e2e/install.sh"]
async fn nginx_that_ignores_vary() {
    let site = Site::behind(proxy::nginx_without_vary, false).await;
    let seen = Site { ignores_vary: true, ..site }.walk_all().await;
    assert!(seen.deltas > 0 && seen.stored_deltas == 0, "{seen:?}");
}

/// Releases, oldest first. The last one is current.
const RELEASES: [&str; 3] = ["a", "b", "c"];

const FILES: [&str; 5] = ["app.js", "same.js", "photo.webp", "note.txt", "other.js"];

/// Each file has as many copies as there are walks.
const WALKS: usize = 3;

/// So many turns, of so many requests at the same time.
const TURNS: usize = 6;
const AT_ONCE: usize = 4;

/// A node and a cache in front of it.
struct Site {
    proxy: Proxy,
    client: HttpClient,
    /// Of the releases.
    prefixes: Vec<String>,
    is_shared: bool,
    ignores_vary: bool,
    _directories: [TempDir; 2],
}

/// How many answers a walk has seen.
#[derive(Debug, Default)]
struct Seen {
    deltas: usize,
    stored: usize,
    stored_deltas: usize,
    statuses: BTreeSet<u16>,
    /// The numbers of the node's answers.
    numbers: HashSet<String>,
}

impl Site {
    async fn behind(recipe: Recipe, is_shared: bool) -> Self {
        let deltas = if is_shared { Deltas::new().shared() } else { Deltas::new() };
        let [root, releases] = [(); 2].map(|()| tempdir().unwrap());
        let mut prefixes = Vec::new();
        let mut newest = None;
        for release in RELEASES {
            write_release(root.path(), release);
            let opened = Releases::folder(releases.path().join("site")).unwrap();
            let files = ServeDir::new(opened.files()).precompressed_gzip();
            let builder = StaticUrlLayer::builder("/static").root(root.path());
            let builder = builder.releases(opened, files).deltas(deltas.clone());
            let layer = builder.memory_budget(1 << 20).build().unwrap();
            layer.publish().unwrap();
            prefixes.push(layer.prefix().to_string());
            newest = Some(layer);
        }
        let node = serve(newest.unwrap(), root.path()).await;
        let client = http_client();
        let is_ready = async |proxy: SocketAddr| {
            let request = Request::get(format!("http://{proxy}/ready")).body(Body::empty());
            let Ok(response) = client.request(request.unwrap()).await else { return false };
            let number = response.headers().get(NUMBER).and_then(|number| number.to_str().ok());
            number.is_some_and(|number| number.starts_with(&node.to_string()))
        };
        let proxy = Proxy::start(recipe, node, is_ready).await;
        let _directories = [root, releases];
        Self { proxy, client, prefixes, is_shared, ignores_vary: false, _directories }
    }

    /// Each file of each release, and without a version.
    async fn walk_all(&self) -> Seen {
        let (mut seen, mut random) = (Seen::default(), Random(1));
        let mut tags = Vec::new();
        for walk in 0..WALKS {
            for file in FILES {
                let prefixes = self.prefixes.iter().map(|prefix| &**prefix).zip(RELEASES);
                for (prefix, release) in prefixes.chain([("/static/", "c")]) {
                    let url = format!("{prefix}{walk}/{file}");
                    let file = File::of(release, walk, file);
                    self.walk(&url, file, &mut tags, &mut seen, &mut random).await;
                }
            }
        }
        assert_eq!(seen.statuses, BTreeSet::from([200, 206, 304]), "all that there is to see");
        seen
    }

    /// Requests for one URL, which is new to the cache. `tags` are all that have been seen.
    async fn walk(
        &self,
        url: &str,
        file: &File,
        tags: &mut Vec<String>,
        seen: &mut Seen,
        random: &mut Random,
    ) {
        let before = tags.len();
        for _ in 0..TURNS {
            let mut turn = JoinSet::new();
            for _ in 0..AT_ONCE {
                let visit = Visit::any(url, tags, before, random);
                let request = visit.request(self.proxy.address);
                let client = self.client.clone();
                turn.spawn(async move { (visit, ask(client, request).await) });
            }
            while let Some(done) = turn.join_next().await {
                let (visit, answer) = done.unwrap();
                self.check(&visit, &answer, file);
                seen.note(&answer);
                let etag = answer.field("etag");
                if !etag.is_empty() && !tags[before..].contains(&etag) {
                    tags.push(etag);
                }
            }
        }
    }
}

/// Is this an answer for this client?
impl Site {
    fn check(&self, visit: &Visit, answer: &Answer, file: &File) {
        let case = format!("{visit:?}: {} {:?}", answer.status, answer.head.headers());
        match answer.status {
            StatusCode::OK => {
                self.check_coding(visit, answer, file, &case);
                self.check_fields(visit, answer, &case);
                if visit.method == Method::HEAD {
                    assert!(answer.body.is_empty(), "{case}");
                } else {
                    assert_eq!(visit.decode(answer), file.plain, "{case}");
                }
            }
            StatusCode::PARTIAL_CONTENT => {
                assert!(visit.has_range, "{case}");
                self.check_coding(visit, answer, file, &case);
                let whole = match &*answer.field("content-encoding") {
                    "dcz" => return,
                    "gzip" => &file.zipped,
                    _ => &file.plain,
                };
                assert_eq!(answer.body, whole[2..=5], "{case}");
            }
            StatusCode::NOT_MODIFIED => {
                let is_of = |tag: &String| file.has_tag(tag);
                assert!(visit.tags.iter().any(is_of), "the client has another file: {case}");
            }
            _ => panic!("{case}"),
        }
    }

    fn check_coding(&self, visit: &Visit, answer: &Answer, file: &File, case: &str) {
        let accept = visit.accept.unwrap_or_default();
        match &*answer.field("content-encoding") {
            "" => {}
            "gzip" => assert!(accept.contains("gzip") || self.ignores_vary, "{case}"),
            "dcz" => {
                assert!(["dcz", BROWSER].contains(&accept), "{case}");
                let Dictionary(dictionary) = visit.dictionary.as_ref().expect(case);
                let [digest, dictionary] = [&file.plain, dictionary].map(|bytes| hex(bytes));
                let tag = format!("W/\"{digest}-dcz-{}\"", &dictionary[..16]);
                assert_eq!(answer.field("etag"), tag, "{case}");
            }
            _ => panic!("nobody makes this: {case}"),
        }
    }

    /// What browsers go by comes through.
    fn check_fields(&self, visit: &Visit, answer: &Answer, case: &str) {
        let is_delta = answer.field("content-encoding") == "dcz";
        let versioned =
            self.prefixes.iter().find_map(|prefix| visit.url.strip_prefix(prefix.as_str()));
        let Some(path) = versioned else {
            assert!(!is_delta, "{case}");
            // Squid gives its copy the fields of any 304, also `private` of one for a delta.
            assert!(
                ["no-cache", "private, no-cache"].contains(&&*answer.cache_control()),
                "{case}"
            );
            return;
        };
        let lasting = if is_delta && !self.is_shared { PRIVATE } else { YEAR };
        assert_eq!(answer.cache_control(), lasting, "{case}");
        let offer = format!("match=\"/static/:v/{path}\"");
        assert_eq!(answer.field("use-as-dictionary"), offer, "{case}");
        assert!(answer.field("vary").contains("available-dictionary"), "{case}");
    }
}

impl Seen {
    fn note(&mut self, answer: &Answer) {
        self.statuses.insert(answer.status.as_u16());
        if answer.status != StatusCode::OK {
            return;
        }
        let is_delta = answer.field("content-encoding") == "dcz";
        let is_stored = !self.numbers.insert(answer.field(NUMBER.as_str()));
        self.deltas += usize::from(is_delta);
        self.stored += usize::from(is_stored);
        self.stored_deltas += usize::from(is_delta && is_stored);
    }
}

/// What one client asks for.
#[derive(Clone, Debug)]
struct Visit {
    url: String,
    method: Method,
    accept: Option<&'static str>,
    dictionary: Option<Dictionary>,
    /// In `If-None-Match`.
    tags: Vec<String>,
    has_range: bool,
}

#[derive(Clone)]
struct Dictionary(Vec<u8>);

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

const PRIVATE: &str = "private, max-age=31536000, immutable";

const BROWSER: &str = "gzip, deflate, br, zstd, dcb, dcz";

impl Visit {
    /// Half of all clients are browsers that have a dictionary.
    fn any(url: &str, tags: &[String], before: usize, random: &mut Random) -> Self {
        let (_, path) = url.trim_start_matches('/').split_once('/').unwrap();
        let mut parts = path.rsplit('/');
        let (file, walk) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
        let old = |release| Some(Dictionary(File::of(release, walk, file).plain.clone()));
        let (accept, dictionary) = match random.below(16) {
            0 => (None, None),
            1 => (Some("identity"), None),
            2 => (Some("gzip"), None),
            3 => (Some("gzip, deflate, br, zstd"), None),
            4 => (Some(BROWSER), None),
            5 => (Some(BROWSER), Some(Dictionary(random.bytes(32)))),
            6 => (Some("gzip"), old("a")),
            7 => (None, old("b")),
            8 => (Some("dcz;q=0, gzip"), old("a")),
            9 => (Some("dcz"), old("b")),
            10 | 11 => (Some(BROWSER), old("a")),
            12 | 13 => (Some(BROWSER), old("b")),
            _ => (Some(BROWSER), old("c")),
        };
        let one_of = |tags: &[String], random: &mut Random| {
            let index = random.below(tags.len().max(1));
            tags.get(index).cloned().into_iter().collect()
        };
        let tags = match random.below(8) {
            0 | 1 => one_of(&tags[before..], random),
            2 => tags[before..].to_vec(),
            3 => one_of(&tags[..before], random),
            _ => Vec::new(),
        };
        let method = if random.below(4) == 0 { Method::HEAD } else { Method::GET };
        let has_range = method == Method::GET && random.below(8) == 0;
        Self { url: url.into(), method, accept, dictionary, tags, has_range }
    }

    fn request(&self, proxy: SocketAddr) -> Request {
        let request = Request::builder().method(self.method.clone());
        let mut request = request.uri(format!("http://{proxy}{}", self.url));
        let available = self.dictionary.as_ref().map(|Dictionary(bytes)| {
            let digest = BASE64.encode(&Sha256::digest(bytes));
            format!(":{digest}:")
        });
        for (name, value) in [
            ("accept-encoding", self.accept),
            ("available-dictionary", available.as_deref()),
            ("if-none-match", Some(&*self.tags.join(", ")).filter(|tags| !tags.is_empty())),
            ("range", self.has_range.then_some("bytes=2-5")),
        ] {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        request.body(Body::empty()).unwrap()
    }

    fn decode(&self, answer: &Answer) -> Vec<u8> {
        match &*answer.field("content-encoding") {
            "gzip" => {
                let mut content = Vec::new();
                GzDecoder::new(&*answer.body).read_to_end(&mut content).unwrap();
                content
            }
            "dcz" => decode_delta(&self.dictionary.as_ref().unwrap().0, &answer.body),
            _ => answer.body.to_vec(),
        }
    }
}

fn decode_delta(dictionary: &[u8], body: &[u8]) -> Vec<u8> {
    assert_eq!(body[..8], [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0]);
    assert_eq!(body[8..40], Sha256::digest(dictionary)[..]);
    let mut context = DCtx::create();
    context.set_parameter(DParameter::WindowLogMax(27)).unwrap();
    context.ref_prefix(dictionary).unwrap();
    let mut content = Vec::with_capacity(1 << 20);
    context.decompress(&mut content, body).unwrap();
    content
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The node's address, and which of its answers this is: one that has been seen before comes from
/// the cache.
const NUMBER: HeaderName = HeaderName::from_static("x-number");

async fn serve(layer: StaticUrlLayer, root: &Path) -> SocketAddr {
    let files = ServeDir::new(root).precompressed_gzip();
    let site = layer.wrap(Router::new().nest_service("/static", files));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let number = axum::middleware::map_response(move |mut response: Response| {
        let number = format!("{address} {}", count.fetch_add(1, Ordering::Relaxed));
        response.headers_mut().insert(NUMBER, HeaderValue::from_str(&number).unwrap());
        async { response }
    });
    let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
    let app = Router::new().fallback_service(site).layer(number);
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

fn write_release(root: &Path, release: &str) {
    for walk in 0..WALKS {
        for name in FILES {
            let (path, file) = (format!("{walk}/{name}"), File::of(release, walk, name));
            if name == "app.js" {
                write(root, &format!("{path}.gz"), &file.zipped);
            }
            write(root, &path, &file.plain);
        }
    }
}

/// A file of a release, as it is and as `.gz`.
struct File {
    plain: Vec<u8>,
    zipped: Vec<u8>,
    digests: [String; 2],
}

impl File {
    fn of(release: &str, walk: usize, name: &str) -> &'static Self {
        static ALL: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
            let walks = || (0..WALKS).flat_map(|walk| FILES.map(|name| (walk, name)));
            let all = RELEASES.iter().flat_map(|release| walks().map(move |it| (release, it)));
            all.map(|(release, (walk, name))| {
                (format!("{release}/{walk}/{name}"), File::make(release, walk, name))
            })
            .collect()
        });
        &ALL[&format!("{release}/{walk}/{name}")]
    }

    fn make(release: &str, walk: usize, name: &str) -> Self {
        let lines = |what: &str| {
            let line = |i| format!("export const {what}{i} = {};\n", (i + walk) * 7919 % 1000);
            (0..300).map(line).collect::<String>()
        };
        let plain = match name {
            "app.js" => lines("value") + &format!("export const release = {release:?};\n"),
            "same.js" => lines("same"),
            // No delta is as short.
            "note.txt" => format!("note {release} {walk}"),
            // Nothing in common with what it was at first.
            "other.js" if release == "a" => HEXLOWER.encode(&Random(3).bytes(6_000)),
            "other.js" => lines("other") + release,
            _ => String::new(),
        };
        let photo = || [&Random(2).bytes(9_000), release.as_bytes()].concat();
        let plain = if name == "photo.webp" { photo() } else { plain.into_bytes() };
        let zipped = gzip(&plain);
        let digests = [hex(&plain), hex(&zipped)];
        Self { plain, zipped, digests }
    }

    /// Whether whoever has this tag has this file, in whatever coding.
    fn has_tag(&self, tag: &str) -> bool {
        let opaque = tag.trim_start_matches("W/").trim_start_matches('"');
        self.digests.iter().any(|digest| opaque.starts_with(digest))
    }
}

/// The same numbers each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 16) as u8).collect()
    }
}
