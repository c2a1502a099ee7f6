//! A node answers for every release that the bucket has, from whichever place has the bytes, and
//! with nothing else.

use crate::support::ServeDir;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, body::Body, http::Request};
use data_encoding::HEXLOWER;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use http_body_util::BodyExt as _;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower_static_url::{
    Fingerprinted, Manifest, StaticUrlLayer, StaticUrlLayerBuilder,
    releases::{Releases, Retention},
};

#[cfg(unix)]
use crate::support::disk::Disk;
use crate::{
    bucket::store::{Fault, Store},
    support::{Answer, Warnings, YEAR, ask, etag_of, get, gzip, request, tree, write},
};

const OLD: [(&str, &str); 3] = [("app.js", "old"), ("css/app.css", "p {}"), ("gone.js", "gone")];
const NEW: [(&str, &str); 3] = [("app.js", "new!"), ("css/app.css", "p {}"), ("come.js", "come")];

/// A node with a directory of its own, and the bucket that all nodes have.
struct Node {
    root: TempDir,
    folder: TempDir,
    layer: StaticUrlLayer,
    releases: Releases,
}

impl Node {
    fn new(store: &Store, root: TempDir) -> Self {
        Self::with(store, root, |releases, store| releases.filled_from(store, "site"), |b| b)
    }

    fn with(
        store: &Store,
        root: TempDir,
        fill: impl FnOnce(
            Releases,
            Arc<dyn ObjectStore>,
        ) -> std::result::Result<Releases, tower_static_url::Error>,
        settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let releases = Releases::folder(folder.path().join("releases")).unwrap();
        let releases = fill(releases, Arc::new(store.clone())).unwrap();
        let layer = layer(&releases, root.path(), settings);
        Self { root, folder, layer, releases }
    }

    /// Starts again, as a process does.
    fn restart(&mut self, store: &Store) {
        let releases = Releases::folder(self.folder.path().join("releases")).unwrap();
        self.releases = releases.filled_from(Arc::new(store.clone()), "site").unwrap();
        self.layer = layer(&self.releases, self.root.path(), |builder| builder);
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(get(url)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let files = ServeDir::new(self.root.path()).precompressed_gzip();
        let router = Router::new().nest_service("/static", files);
        ask(self.layer.wrap(router), request).await
    }

    fn file(&self, version: &str, path: &str) -> PathBuf {
        self.releases.files().join(version).join(path)
    }
}

fn layer(
    releases: &Releases,
    root: &Path,
    settings: impl FnOnce(StaticUrlLayerBuilder) -> StaticUrlLayerBuilder,
) -> StaticUrlLayer {
    let files = ServeDir::new(releases.files()).precompressed_gzip();
    let builder = StaticUrlLayer::builder("/static").root(root);
    settings(builder.releases(releases.clone(), files)).build().unwrap()
}

/// Puts a release into the bucket as it is specified, and returns its version.
fn put(store: &Store, root: &TempDir) -> String {
    let manifest = Manifest::scan(root.path()).unwrap();
    let mut listing = String::new();
    for (path, info) in manifest.iter() {
        let sha256 = HEXLOWER.encode(info.sha256());
        store.write(&blob(info.sha256()), fs::read(root.path().join(path)).unwrap());
        listing += &format!("{}:{path} {}:{sha256}\n", path.len(), info.length());
    }
    let version = manifest.digest_hex()[..16].to_owned();
    store.write(&record(&manifest), listing);
    version
}

fn shelf() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 604_800
}

fn blob(sha256: &[u8]) -> String {
    format!("site/{}/blobs/{}", shelf(), HEXLOWER.encode(sha256))
}

fn blob_of(content: &str) -> String {
    blob(&Sha256::digest(content))
}

fn record(manifest: &Manifest) -> String {
    let digest = manifest.digest_hex();
    format!("site/{}/releases/{}/{digest}", shelf(), &digest[..16])
}

fn is_file(answer: &Answer, content: &str) {
    let said = (answer.status.as_u16(), answer.cache_control(), answer.field("etag"));
    assert_eq!(said, (200, YEAR.into(), etag_of(content)), "{answer:?}");
    assert_eq!(answer.body, content.as_bytes());
}

fn is_refused(answer: &Answer, status: u16) {
    let said = (answer.status.as_u16(), answer.cache_control(), answer.field("etag"));
    assert_eq!(said, (status, "no-store".into(), String::new()), "{answer:?}");
    assert_eq!(answer.field("retry-after").is_empty(), status != 503);
}

/// The same without `Retry-After`: nobody knows the version.
fn is_stale(answer: &Answer) {
    assert_eq!(answer.cache_control(), "no-cache", "{answer:?}");
}

#[tokio::test]
async fn what_another_node_has_published() {
    let store = Store::new();
    let version = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    store.heal();
    for _ in 0..3 {
        for (path, content) in OLD {
            is_file(&node.get(&format!("/static/{version}/{path}")).await, content);
        }
        is_refused(&node.get(&format!("/static/{version}/come.js")).await, 404);
    }
    let gets = store.calls().into_iter().filter(|call| call.method == "GET");
    let gets = gets.map(|call| call.key).collect::<Vec<_>>();
    let listing = record(&Manifest::scan(tree(OLD).path()).unwrap());
    // The style sheet is in the node's own tree.
    assert_eq!(gets, [listing, blob_of("old"), blob_of("gone")]);
    assert_eq!(fs::read_to_string(node.file(&version, "app.js")).unwrap(), "old");

    // All that was filled is here, whatever happens to the store.
    store.fail(|_, _| Fault::Fail);
    node.restart(&store);
    for (path, content) in OLD {
        is_file(&node.get(&format!("/static/{version}/{path}")).await, content);
    }
    is_refused(&node.get(&format!("/static/{version}/come.js")).await, 404);
    assert_eq!(store.count("GET"), 0);
}

#[tokio::test]
async fn the_whole_exchange_of_a_file_that_is_not_here_yet() {
    let store = Store::new();
    let (content, zipped) = ("hello, world".repeat(100), gzip("hello, world".repeat(100)));
    let root = tree([("a.js", &*content)]);
    write(root.path(), "a.js.gz", &zipped);
    let url = format!("/static/{}/a.js", put(&store, &root));
    let (tag, zipped_tag) = (&*etag_of(&content), &*etag_of(&zipped));
    for (name, method, fields, status, etag, body) in [
        ("whole", "GET", &[][..], 200, tag, content.as_bytes()),
        ("head", "HEAD", &[], 200, tag, b""),
        ("a sibling", "GET", &[("accept-encoding", "gzip")], 200, zipped_tag, &*zipped),
        ("a range", "GET", &[("range", "bytes=3-8")], 206, tag, &content.as_bytes()[3..9]),
        ("a copy", "GET", &[("if-none-match", tag)], 304, tag, b""),
    ] {
        let node = Node::new(&store, tree(NEW));
        let answer = node.send(request(method, &url, fields)).await;
        let found = (answer.status.as_u16(), answer.field("etag"), answer.cache_control());
        assert_eq!(found, (status, etag.to_owned(), YEAR.into()), "{name}");
        assert_eq!(answer.body, body, "{name}");
    }
}

/// A release that was published after the node had started.
#[tokio::test]
async fn a_release_that_has_just_come() {
    let store = Store::new();
    let node = Node::new(&store, tree(NEW));
    let version = put(&store, &tree(OLD));
    let url = format!("/static/{version}/app.js");
    loop {
        // The first look may have been just before it came, and the next one is 2 s later.
        let answer = node.get(&url).await;
        if answer.cache_control() == YEAR {
            return is_file(&answer, "old");
        }
        is_stale(&answer);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn versions_that_nobody_has_published_cost_the_store_nearly_nothing() {
    let store = Store::new();
    put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    store.heal();
    let start = std::time::Instant::now();
    for i in 0..500 {
        is_stale(&node.get(&format!("/static/{i:016x}/app.js")).await);
    }
    let looks = 2 + start.elapsed().as_secs() as usize / 2;
    assert_eq!(store.count("GET"), 0);
    assert!(store.count("LIST") <= 2 * looks, "{} LIST in {looks} looks", store.count("LIST"));
}

/// Whatever the store gives, nobody gets other bytes.
#[tokio::test]
async fn a_store_that_lies() {
    let manifest = Manifest::scan(tree(OLD).path()).unwrap();
    for (name, key, bytes) in [
        ("a flipped byte", blob_of("old"), Some("olD")),
        ("too short", blob_of("old"), Some("ol")),
        ("too long", blob_of("old"), Some("old!")),
        ("gone", blob_of("old"), None),
        ("another record", record(&manifest), Some("3:abc 3:abc\n")),
        ("an empty record", record(&manifest), Some("")),
    ] {
        let store = Store::new();
        let version = put(&store, &tree(OLD));
        let node = Node::new(&store, tree(NEW));
        match bytes {
            Some(bytes) => store.write(&key, bytes),
            None => store.delete(&key),
        }
        let url = format!("/static/{version}/app.js");
        let warnings = Warnings::capture();
        for _ in 0..3 {
            is_refused(&node.get(&url).await, 502);
        }
        let gets = store.calls().into_iter().filter(|call| call.method == "GET" && call.key == key);
        assert!(gets.count() <= 2, "{name}: it is not asked again for a minute");
        assert!(warnings.lines().len() <= 1, "{name}: {:?}", warnings.lines());
        assert!(!node.file(&version, "app.js").exists(), "{name}");
        let current = node.layer.prefix().url("app.js");
        is_file(&node.get(&current).await, "new!");
    }
}

#[tokio::test]
async fn a_store_that_is_down() {
    let store = Store::new();
    let version = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{version}/gone.js")).await, "gone");
    store.fail(|_, _| Fault::Fail);
    let url = format!("/static/{version}/app.js");
    for _ in 0..20 {
        is_refused(&node.get(&url).await, 503);
        is_file(&node.get(&format!("/static/{version}/gone.js")).await, "gone");
        is_file(&node.get(&node.layer.prefix().url("app.js")).await, "new!");
    }
    is_stale(&node.get("/static/0123456789abcdef/app.js").await);
    assert!(store.calls().len() <= 12, "{}", store.calls().len());
    store.heal();
    loop {
        let answer = node.get(&url).await;
        if answer.status == 200 {
            return is_file(&answer, "old");
        }
        is_refused(&answer, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Many requests for one file, and for several names of one content: it is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn each_content_is_fetched_once() {
    let store = Store::new();
    let root = tree([("a", "same"), ("b", "same"), ("c", "same")]);
    let version = put(&store, &root);
    let node = Arc::new(Node::new(&store, tree(NEW)));
    store.heal();
    let mut asking = tokio::task::JoinSet::new();
    for i in 0..60 {
        let (node, path) = (Arc::clone(&node), ["a", "b", "c"][i % 3]);
        let url = format!("/static/{version}/{path}");
        asking.spawn(async move { is_file(&node.get(&url).await, "same") });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let blobs = store.calls().into_iter();
    assert_eq!(blobs.filter(|call| call.key == blob_of("same")).count(), 1);
}

#[tokio::test]
async fn a_file_without_a_version() {
    let store = Store::new();
    put(&store, &tree([("assets/panel-9fQ2LmXc.js", "old panel")]));
    let settings = |builder: StaticUrlLayerBuilder| builder.fingerprinted(Fingerprinted::vite());
    let fill =
        |releases: Releases, store: Arc<dyn ObjectStore>| releases.filled_from(store, "site");
    let node = Node::with(&store, tree([("assets/panel-Bx7a91Zq.js", "new")]), fill, settings);
    loop {
        let answer = node.get("/static/assets/panel-9fQ2LmXc.js").await;
        if answer.status == 200 {
            is_file(&answer, "old panel");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.heal();
    assert_eq!(node.get("/static/assets/panel-0fQ2LmXd.js").await.status, 404);
    assert_eq!(store.count("GET"), 0, "no key is chosen by a client");
}

/// What was withdrawn from the bucket is gone from the node, too.
#[tokio::test]
async fn a_release_that_is_withdrawn() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    put(&store, &tree([("other", "one")]));
    let mut node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    store.delete(&record(&Manifest::scan(tree(OLD).path()).unwrap()));
    node.restart(&store);
    let versions = node.releases.list().unwrap();
    assert!(versions.iter().all(|release| release.version() != old), "{versions:?}");
    assert!(!node.file(&old, "").exists());
    is_stale(&node.get(&format!("/static/{old}/app.js")).await);
}

#[tokio::test]
async fn a_store_that_is_wiped() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    store.keys().iter().for_each(|key| store.delete(key));
    for _ in 0..2 {
        is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
        is_refused(&node.get(&format!("/static/{old}/gone.js")).await, 502);
        is_file(&node.get(&format!("/static/{old}/css/app.css")).await, "p {}");
    }
}

#[tokio::test]
async fn what_is_filled_stays_within_its_budget() {
    let store = Store::new();
    let content = |letter: &str| letter.repeat(1000);
    let trees = ["a", "b", "c"].map(|letter| tree([("file", &*content(letter))]));
    let versions = trees.each_ref().map(|root| put(&store, root));
    let fill = |releases: Releases, store: Arc<dyn ObjectStore>| {
        releases.filled_within(store, "site", 2500)
    };
    let node = Node::with(&store, tree(NEW), fill, |builder| builder);
    let here = || versions.each_ref().map(|version| node.file(version, "file").exists());
    let url = |i: usize| format!("/static/{}/file", versions[i]);
    for (ask, expected) in [
        (0, [true, false, false]),
        (1, [true, true, false]),
        (0, [true, true, false]),
        (2, [true, false, true]),
        (1, [false, true, true]),
        (1, [false, true, true]),
        (0, [true, true, false]),
    ] {
        is_file(&node.get(&url(ask)).await, &content(["a", "b", "c"][ask]));
        assert_eq!(here(), expected, "after {ask}");
    }
    let large = put(&store, &tree([("large", &*content("d").repeat(3))]));
    let answer = loop {
        let answer = node.get(&format!("/static/{large}/large")).await;
        // At first nobody knows the version.
        if answer.status != 404 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    is_refused(&answer, 503);
}

/// Somebody has put another file there before the node looked.
#[tokio::test]
async fn a_file_of_the_directory_that_is_spoilt_is_filled_again() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    for spoilt in ["olD", "ol", ""] {
        let file = node.file(&old, "app.js");
        fs::remove_file(&file).unwrap();
        fs::write(&file, spoilt).unwrap();
        node.restart(&store);
        is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }
}

/// A link that somebody has put into the directory leads nothing out of it.
#[cfg(unix)]
#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), node.releases.files().join(&old)).unwrap();
    is_refused(&node.get(&format!("/static/{old}/app.js")).await, 503);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// Nodes publish to the bucket as well, and what one has deleted is gone everywhere.
#[tokio::test]
async fn nodes_that_publish() {
    let store = Store::with_tick(Duration::from_nanos(1));
    store.advance(SystemTime::now().duration_since(store.now()).unwrap_or_default());
    let old = Node::new(&store, tree(OLD));
    let published = old.layer.publish().unwrap();
    assert!(published.is_new());
    assert!(!old.layer.publish().unwrap().is_new());
    let new = Node::new(&store, tree(NEW));
    new.layer.publish().unwrap();
    let url = |node: &Node, path: &str| node.layer.prefix().url(path);
    for (path, content) in OLD {
        is_file(&new.get(&url(&old, path)).await, content);
        is_file(&old.get(&url(&old, path)).await, content);
    }
    let versions = |node: &Node| {
        let releases = node.releases.list().unwrap();
        releases.iter().map(|release| release.version().to_owned()).collect::<Vec<_>>()
    };
    let both = [&new, &old].map(|node| node.layer.prefix().version().to_owned());
    assert_eq!(versions(&new), both);
    new.releases.withdraw(&both[1]).unwrap();
    assert_eq!(versions(&new), both[..1]);
    is_stale(&new.get(&url(&old, "app.js")).await);
    let error = new.releases.withdraw(&both[1]).unwrap_err();
    assert_eq!(error.kind(), tower_static_url::ErrorKind::NotKept);
}

/// A file of more than 64 MiB, each of whose kilobytes is another one.
fn large() -> String {
    let kilobyte = |i: usize| format!("{i:>1023}\n");
    (0..66 * 1024).map(kilobyte).collect()
}

/// A large file is not waited for: it is sent while it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_sent_while_it_comes() {
    let content = large();
    let store = Store::new();
    let version = put(&store, &tree([("large.bin", &*content)]));
    let url = format!("/static/{version}/large.bin");
    let last = content.len() - 5;
    for (name, method, fields, status, body) in [
        ("whole", "GET", &[][..], 200, content.as_bytes()),
        ("head", "HEAD", &[], 200, b""),
        ("its start", "GET", &[("range", "bytes=0-9")], 206, &content.as_bytes()[..10]),
        ("its end", "GET", &[("range", "bytes=-5")], 206, &content.as_bytes()[last..]),
        ("nothing of it", "GET", &[("range", "bytes=99999999-")], 416, b""),
    ] {
        let node = Node::new(&store, tree(NEW));
        for round in 0..2 {
            let answer = node.send(request(method, &url, fields)).await;
            assert_eq!(answer.status, status, "{name}, {round}: {answer:?}");
            assert!(answer.body == body, "{name}, {round}");
            if status != 416 {
                let said = (answer.field("etag"), answer.cache_control());
                assert_eq!(said, (etag_of(&content), YEAR.into()), "{name}, {round}");
                assert_eq!(answer.field("content-type"), "application/octet-stream", "{name}");
            }
        }
        store.heal();
    }
}

/// Many clients of a large file, some of which go away: it is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_for_many() {
    let content = Arc::new(large());
    let store = Store::new();
    let version = put(&store, &tree([("large.bin", &**content)]));
    let node = Arc::new(Node::new(&store, tree(NEW)));
    store.heal();
    let mut asking = tokio::task::JoinSet::new();
    for i in 0..6 {
        let (node, content) = (Arc::clone(&node), Arc::clone(&content));
        let url = format!("/static/{version}/large.bin");
        asking.spawn(async move {
            let range = format!("bytes={}-", i * 1000);
            let answer = node.send(request("GET", &url, &[("range", &range)])).await;
            assert!(answer.body == content.as_bytes()[i * 1000..], "{i}");
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let blobs = store.calls().into_iter();
    assert_eq!(blobs.filter(|call| call.key == blob_of(&content)).count(), 1);
    let left = fs::read_dir(node.releases.files()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left, [&*version], "nothing is left of what the heads were made from");
}

/// Wrong bytes of a large file never complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_is_wrong() {
    let content = large();
    for flipped in [5, content.len() / 2, content.len() - 1] {
        let store = Store::new();
        let version = put(&store, &tree([("large.bin", &*content)]));
        let mut wrong = content.clone().into_bytes();
        wrong[flipped] ^= 1;
        store.write(&blob_of(&content), wrong);
        for range in ["bytes=0-", "bytes=0-9", "bytes=-9"] {
            let node = Node::new(&store, tree(NEW));
            let url = format!("/static/{version}/large.bin");
            let request = || request("GET", &url, &[("range", range)]);
            let files = ServeDir::new(node.root.path());
            let service = node.layer.wrap(Router::new().nest_service("/static", files));
            let response = tower::ServiceExt::oneshot(service, request()).await.unwrap();
            if response.status() == 206 {
                let body = response.into_body().collect().await;
                assert!(body.is_err(), "{range} with byte {flipped} flipped");
            }
            is_refused(&node.send(request()).await, 502);
            assert!(!node.file(&version, "large.bin").exists());
        }
    }
}

/// A store that sends the first half of each large object, and the second when it is told to.
#[derive(Debug)]
struct Slow {
    store: Store,
    go_on: Arc<tokio::sync::Semaphore>,
}

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("slow")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Slow {
    async fn put_opts(&self, _: &Key, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        unreachable!()
    }

    async fn put_multipart_opts(
        &self,
        _: &Key,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!()
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let Ok(mut got) = self.store.get_opts(key, options).await else { return Ok(endless(key)) };
        if got.meta.size < 1 << 20 {
            return Ok(got);
        }
        let (meta, range) = (got.meta.clone(), got.range.clone());
        let mut first = got.bytes().await?;
        let second = first.split_off(first.len() / 2);
        let go_on = Arc::clone(&self.go_on);
        let second = stream::once(async move {
            go_on.acquire().await.unwrap().forget();
            Ok(second)
        });
        let payload = GetResultPayload::Stream(stream::iter([Ok(first)]).chain(second).boxed());
        got = GetResult {
            payload,
            meta,
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        };
        Ok(got)
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        unreachable!()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> Result<()> {
        unreachable!()
    }
}

/// A large object that comes for longer than anybody waits.
fn endless(key: &Key) -> GetResult {
    let size = (64 << 20) + 1;
    let pieces = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(vec![0; 9].into()), ()))
    });
    let (location, last_modified) = (key.clone(), SystemTime::now().into());
    GetResult {
        payload: GetResultPayload::Stream(pieces.boxed()),
        meta: ObjectMeta { location, last_modified, size, e_tag: None, version: None },
        range: 0..size,
        attributes: Default::default(),
        extensions: Default::default(),
    }
}

/// What has come is sent, and the rest when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_large_file() {
    let content = large();
    let store = Store::new();
    let version = put(&store, &tree([("large.bin", &*content)]));
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let slow: Arc<dyn ObjectStore> = Arc::new(Slow { store: store.clone(), go_on: go_on.clone() });
    let fill = |releases: Releases, _: Arc<dyn ObjectStore>| releases.filled_from(slow, "site");
    let node = Node::with(&store, tree(NEW), fill, |builder| builder);
    let files = ServeDir::new(node.root.path());
    let service = node.layer.wrap(Router::new().nest_service("/static", files));
    let request = get(&format!("/static/{version}/large.bin"));
    let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
    assert_eq!(response.headers()["cache-control"], YEAR);
    let (mut body, mut read) = (response.into_body(), Vec::new());
    while read.len() < content.len() / 2 {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        read.extend_from_slice(&piece);
    }
    assert!(read.len() < content.len());
    // Another process that deletes does not wait for it, and does not take it for a leftover.
    let other = Releases::folder(node.folder.path().join("releases")).unwrap();
    let pruned = tokio::task::spawn_blocking(move || other.prune(&Retention::default()));
    assert!(pruned.await.unwrap().unwrap().is_empty());
    go_on.add_permits(1);
    while let Some(piece) = body.frame().await {
        read.extend_from_slice(&piece.unwrap().into_data().unwrap());
    }
    assert!(read == content.as_bytes());
    is_file(&node.get(&format!("/static/{version}/large.bin")).await, &content);
}

/// Whoever deletes keeps others from filling, and asks the store meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_can_be_asked_while_fills_wait_for_a_deletion() {
    let store = Store::new();
    let content = |i: usize| format!("content {i}");
    let files = (0..40).map(|i| (format!("{i}.js"), content(i))).collect::<Vec<_>>();
    let root = tree(files.iter().map(|(path, content)| (&**path, &**content)));
    let (version, other) = (put(&store, &root), tree(OLD));
    let other_version = put(&store, &other);
    let node = Arc::new(Node::new(&store, tree(NEW)));
    is_file(&node.get(&format!("/static/{version}/0.js")).await, &content(0));
    let deletion = fs::File::open(node.folder.path().join("releases/.static-url")).unwrap();
    deletion.lock().unwrap();
    store.heal();
    let mut asking = tokio::task::JoinSet::new();
    for i in 1..40 {
        let (node, url) = (Arc::clone(&node), format!("/static/{version}/{i}.js"));
        asking.spawn(async move { is_file(&node.get(&url).await, &format!("content {i}")) });
    }
    let is_asked = async |is_enough: &dyn Fn() -> bool| {
        let asked = async {
            while !is_enough() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked).await.expect("the store is asked");
    };
    is_asked(&|| store.count("GET") >= 16).await;
    let (asked, url) = (Arc::clone(&node), format!("/static/{other_version}/app.js"));
    asking.spawn(async move { is_file(&asked.get(&url).await, "old") });
    let listing = record(&Manifest::scan(other.path()).unwrap());
    is_asked(&|| store.calls().iter().any(|call| call.key == listing)).await;
    drop(deletion);
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

/// A node that starts with a wrong prefix, or while the bucket is empty, keeps what it has.
#[tokio::test]
async fn a_store_that_is_wiped_while_the_node_is_down() {
    let store = Store::with_tick(Duration::from_nanos(1));
    store.advance(SystemTime::now().duration_since(store.now()).unwrap_or_default());
    let old = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    node.layer.publish().unwrap();
    let own = node.layer.prefix().version().to_owned();
    let url = format!("/static/{old}/app.js");
    is_file(&node.get(&url).await, "old");
    store.keys().iter().for_each(|key| store.delete(key));
    for _ in 0..2 {
        node.restart(&store);
        node.releases.list().unwrap();
        is_file(&node.get(&url).await, "old");
        assert!(node.file(&own, "app.js").exists());
        assert!(node.releases.versions().contains(&own));
    }
}

/// A version with a name of somebody's own is withdrawn, and published with other files.
#[tokio::test]
async fn a_version_that_is_published_anew() {
    let store = Store::new();
    let put_as_v1 = |root: &TempDir| {
        let manifest = Manifest::scan(root.path()).unwrap();
        put(&store, root);
        let (key, to) = (record(&manifest), format!("/releases/v1/{}", manifest.digest_hex()));
        let to = format!("site/{}{to}", shelf());
        store.write(&to, store.read(&key));
        store.delete(&key);
        to
    };
    let first = put_as_v1(&tree(OLD));
    let mut node = Node::new(&store, tree([("other", "one")]));
    node.releases.list().unwrap();
    is_file(&node.get("/static/v1/app.js").await, "old");
    store.delete(&first);
    put_as_v1(&tree(NEW));
    node.restart(&store);
    node.releases.list().unwrap();
    is_file(&node.get("/static/v1/app.js").await, "new!");
    store.fail(|_, _| Fault::Fail);
    node.restart(&store);
    is_file(&node.get("/static/v1/app.js").await, "new!");
    let listings = fs::read_dir(node.folder.path().join("releases/filled/v1")).unwrap();
    assert_eq!(listings.count(), 1);
}

/// What has just been filled is deleted to make room for its own sibling. That is no fault of the
/// store, and may go better the next time.
#[tokio::test]
async fn a_file_that_has_to_make_room_before_it_is_served() {
    let store = Store::new();
    let (content, zipped) = (large()[..5000].to_owned(), gzip(&large()[..5000]));
    let root = tree([("a.js", &*content)]);
    write(root.path(), "a.js.gz", &zipped);
    let version = put(&store, &root);
    let limit = (content.len() + zipped.len() - 1) as u64;
    let fill = |releases: Releases, store: Arc<dyn ObjectStore>| {
        releases.filled_within(store, "site", limit)
    };
    let node = Node::with(&store, tree(NEW), fill, |builder| builder);
    is_refused(&node.get(&format!("/static/{version}/a.js")).await, 503);
}

/// Credentials that may LIST, and not GET.
#[tokio::test]
async fn a_store_that_denies_the_listings() {
    let store = Store::new();
    let version = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    store.fail(|_, call| if call.method == "GET" { Fault::Deny } else { Fault::None });
    for _ in 0..10 {
        is_refused(&node.get(&format!("/static/{version}/app.js")).await, 503);
    }
    assert_eq!(store.count("GET"), 1, "it is not asked for each client");
}

/// A node that never publishes was killed while it filled files.
#[tokio::test]
async fn what_a_killed_node_has_left() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    let folder = node.folder.path().join("releases");
    for left in [".new-1-2-3", "files/.new-1-2-4/large.bin", "files/0123456789abcdef/app.js"] {
        write(&folder, left, "left");
    }
    node.restart(&store);
    let left = fs::read_dir(node.releases.files()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left, [&*old]);
    assert!(!folder.join(".new-1-2-3").exists());
    assert_eq!(fs::read_to_string(node.file(&old, "app.js")).unwrap(), "old");
}

/// The release is withdrawn when a file of it is on its way: it must not come back.
#[tokio::test]
async fn a_release_that_is_withdrawn_while_it_is_filled() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    let (folder, version) = (node.folder.path().join("releases"), old.clone());
    store.fail(move |_, call| {
        if call.key == blob_of("gone") {
            Releases::folder(&folder).unwrap().withdraw(&version).unwrap();
        }
        Fault::None
    });
    is_refused(&node.get(&format!("/static/{old}/gone.js")).await, 503);
    assert!(!node.file(&old, "").exists());
}

/// A client that does not read keeps nothing on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_for_a_client_that_does_not_read() {
    let content = large();
    let store = Store::new();
    let version = put(&store, &tree([("large.bin", &*content)]));
    let node = Node::new(&store, tree(NEW));
    let files = ServeDir::new(node.root.path());
    let service = node.layer.wrap(Router::new().nest_service("/static", files));
    let request = get(&format!("/static/{version}/large.bin"));
    let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
    let names = || {
        let left = fs::read_dir(node.releases.files()).unwrap();
        left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let is_tidy = async {
        while !node.file(&version, "large.bin").exists() || names() != [&*version] {
            tokio::task::yield_now().await;
        }
    };
    let is_tidy = tokio::time::timeout(Duration::from_secs(30), is_tidy).await;
    assert!(is_tidy.is_ok(), "{:?}", names());
    assert!(response.into_body().collect().await.unwrap().to_bytes() == content.as_bytes());
}

/// Requests for many releases at once: not all listings are held in memory.
#[tokio::test(flavor = "multi_thread")]
async fn few_listings_are_fetched_at_the_same_time() {
    let store = Store::new();
    let versions = (0..40).map(|i| put(&store, &tree([("a", &*i.to_string())])));
    let versions = versions.collect::<Vec<_>>();
    let node = Arc::new(Node::new(&store, tree(NEW)));
    node.releases.list().map(drop).unwrap();
    fs::remove_dir_all(node.folder.path().join("releases/filled")).unwrap();
    store.fail(|_, call| if call.method == "GET" { Fault::Hang } else { Fault::None });
    let mut asking = tokio::task::JoinSet::new();
    for version in versions {
        let node = Arc::clone(&node);
        asking.spawn(async move { node.get(&format!("/static/{version}/a")).await });
    }
    while let Some(answer) = asking.join_next().await {
        is_refused(&answer.unwrap(), 503);
    }
    let gets = store.count("GET");
    // Each is asked for twice, and after five failures the store is left alone.
    assert!(gets <= 2 * (16 + 5), "{gets}");
}

/// Somebody has put a link in place of the listings.
#[cfg(unix)]
#[test]
fn listings_are_not_looked_for_outside() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Releases::folder(folder.path()).unwrap());
    std::os::unix::fs::symlink(outside.path(), folder.path().join("filled")).unwrap();
    let store = Arc::new(Store::new());
    let error = Releases::folder(folder.path()).and_then(|r| r.filled_from(store, "site"));
    assert_eq!(error.unwrap_err().kind(), tower_static_url::ErrorKind::InvalidReleases);
}

/// A store that is down when the node starts: nobody knows on which shelves the files are.
#[tokio::test]
async fn a_store_that_is_down_when_the_node_starts() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    store.fail(|_, _| Fault::Fail);
    node.restart(&store);
    let url = format!("/static/{old}/gone.js");
    for _ in 0..3 {
        is_refused(&node.get(&url).await, 503);
        is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    }
    store.heal();
    loop {
        let answer = node.get(&url).await;
        if answer.status == 200 {
            return is_file(&answer, "gone");
        }
        is_refused(&answer, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody has written into a listing.
#[tokio::test]
async fn a_listing_of_the_directory_that_is_spoilt_is_fetched_again() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let mut node = Node::new(&store, tree(NEW));
    let url = format!("/static/{old}/app.js");
    is_file(&node.get(&url).await, "old");
    let digest = Manifest::scan(tree(OLD).path()).unwrap().digest_hex();
    let listing = node.folder.path().join("releases/filled").join(&old).join(digest);
    let right = fs::read_to_string(&listing).unwrap();
    for spoilt in [right.replace("app.js", "app.JS"), right[..9].into(), String::new()] {
        fs::remove_file(&listing).unwrap();
        fs::write(&listing, spoilt).unwrap();
        store.fail(|_, _| Fault::Fail);
        node.restart(&store);
        is_refused(&node.get(&url).await, 503);
        store.heal();
        node.restart(&store);
        is_file(&node.get(&url).await, "old");
        assert_eq!(fs::read_to_string(&listing).unwrap(), right);
    }
}

/// A disk without room for a file: nothing half stays there, the request may be made again, and
/// after there is room again it succeeds.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only root can mount a small file system"]
async fn a_full_disk() {
    let (disk, store) = (Disk::mount(), Store::new());
    let content = "y".repeat(2 << 20);
    let version = put(&store, &tree([("a", &*content), ("small", "s")]));
    let root = tree(NEW);
    let open = || {
        let releases = Releases::folder(disk.path().join("releases")).unwrap();
        let releases = releases.filled_from(Arc::new(store.clone()), "site").unwrap();
        (layer(&releases, root.path(), |builder| builder), releases)
    };
    let (layer, releases) = open();
    let ask = async |path: &str| {
        let router = Router::new().nest_service("/static", ServeDir::new(root.path()));
        ask(layer.wrap(router), get(&format!("/static/{version}/{path}"))).await
    };
    is_file(&ask("small").await, "s");
    for _ in 0..3 {
        is_refused(&ask("a").await, 503);
        assert!(!releases.files().join(&version).join("a").exists());
    }
    let filler = disk.fill(0);
    is_file(&ask("small").await, "s");
    fs::remove_file(filler).unwrap();
    disk.grow();
    loop {
        // It is not tried again at once.
        let answer = ask("a").await;
        if answer.status == 200 {
            is_file(&answer, &content);
            break;
        }
        is_refused(&answer, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = fs::read_dir(disk.path().join("releases")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with(".new-")));
}

/// The service over the directory compresses what it reads. It must not read what only has the
/// length of the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_would_be_compressed_on_the_way() {
    let content = large();
    let store = Store::new();
    let version = put(&store, &tree([("large.txt", &*content)]));
    let node = Node::new(&store, tree(NEW));
    let files = tower_http::compression::Compression::new(ServeDir::new(node.releases.files()));
    let builder = StaticUrlLayer::builder("/static").root(node.root.path());
    let layer = builder.releases(node.releases.clone(), files).build().unwrap();
    let router = Router::new().nest_service("/static", ServeDir::new(node.root.path()));
    let url = format!("/static/{version}/large.txt");
    let answer =
        ask(layer.wrap(router), request("GET", &url, &[("accept-encoding", "gzip")])).await;
    assert_eq!((answer.status.as_u16(), answer.cache_control()), (200, YEAR.into()));
    assert_eq!(answer.field("content-encoding"), "", "{answer:?}");
    assert!(answer.body == content.as_bytes());
}

/// A rollback has put the release onto a new shelf, and the old one is gone.
#[tokio::test]
async fn a_release_that_has_moved_to_another_shelf() {
    let store = Store::with_tick(Duration::from_nanos(1));
    store.advance(SystemTime::now().duration_since(store.now()).unwrap_or_default());
    let old = put(&store, &tree(OLD));
    let move_all = |from: u64, to: u64| {
        for key in store.keys() {
            store.write(&key.replace(&format!("/{from}/"), &format!("/{to}/")), store.read(&key));
            store.delete(&key);
        }
    };
    move_all(shelf(), shelf() - 3);
    let node = Node::new(&store, tree(NEW));
    is_file(&node.get(&format!("/static/{old}/app.js")).await, "old");
    move_all(shelf() - 3, shelf());
    // Whoever publishes looks at all shelves.
    node.layer.publish().unwrap();
    store.heal();
    is_file(&node.get(&format!("/static/{old}/gone.js")).await, "gone");
    let gets = store.calls().into_iter().filter(|call| call.method == "GET");
    assert_eq!(gets.map(|call| call.key).collect::<Vec<_>>(), [blob_of("gone")]);
}

/// Somebody publishes the release just now: it gets its final name with nothing else in the way.
#[tokio::test]
async fn nothing_is_filled_while_a_release_gets_its_name() {
    let store = Store::new();
    let old = put(&store, &tree(OLD));
    let node = Node::new(&store, tree(NEW));
    let url = format!("/static/{old}/app.js");
    let lock = node.folder.path().join("releases/.static-url-commit");
    let commit = fs::File::create(lock).unwrap();
    commit.lock().unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(1), node.get(&url)).await;
    assert!(answer.is_err() && !node.file(&old, "").exists(), "{answer:?}");
    drop(commit);
    is_file(&node.get(&url).await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_do_not_wait_for_large_ones() {
    let store = Store::new();
    let small = put(&store, &tree(OLD));
    let digest = |i: u8| HEXLOWER.encode(&[i; 32]);
    let line = |i: u8| format!("6:{i:02}.bin {}:{}\n", (64 << 20) + 1, digest(i));
    let listing = (0..20).map(line).collect::<String>();
    let sha256 = HEXLOWER.encode(&Sha256::digest(&listing));
    let version = sha256[..16].to_owned();
    store.write(&format!("site/{}/releases/{version}/{sha256}", shelf()), listing);
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let slow: Arc<dyn ObjectStore> = Arc::new(Slow { store: store.clone(), go_on });
    let fill = |releases: Releases, _: Arc<dyn ObjectStore>| releases.filled_from(slow, "site");
    let node = Arc::new(Node::with(&store, tree(NEW), fill, |builder| builder));
    store.heal();
    let mut asking = tokio::task::JoinSet::new();
    for i in 0..20 {
        let (node, url) = (Arc::clone(&node), format!("/static/{version}/{i:02}.bin"));
        asking.spawn(async move { node.get(&url).await });
    }
    let all_run = async {
        while store.count("GET") < 17 {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), all_run).await;
    let url = format!("/static/{small}/app.js");
    let answer = tokio::time::timeout(Duration::from_secs(10), node.get(&url)).await;
    is_file(&answer.expect("there is room for small files"), "old");
}

/// What a browser sends that has the old script.
fn with_dictionary(node: &Node, path: &str, old: &str) -> Request<Body> {
    let dictionary = format!(":{}:", data_encoding::BASE64.encode(&Sha256::digest(old)));
    let lines = [("accept-encoding", "gzip, dcz"), ("available-dictionary", &*dictionary)];
    request("GET", &node.layer.prefix().url(path), &lines)
}

fn script(line: &str) -> String {
    let lines = (0..500_u32).map(|i| format!("let value{i} = {};\n", i * 7919 % 1000));
    lines.chain([format!("let line = {line:?};\n")]).collect()
}

fn node_with_deltas(store: &Store, new: &str) -> Node {
    let fill = |releases: Releases, store| releases.filled_from(store, "site");
    Node::with(store, tree([("app.js", new), ("b.js", new)]), fill, |builder| {
        builder.deltas(tower_static_url::Deltas::new())
    })
}

/// Asks for a delta until there is one. On a busy machine the dictionary may come too late for a
/// request.
async fn gets_delta(node: &Node, path: &str, old: &str) {
    let is_delta = async || {
        let answer = node.send(with_dictionary(node, path, old)).await;
        answer.field("content-encoding") == "dcz"
    };
    let soon = async { while !is_delta().await {} };
    tokio::time::timeout(Duration::from_secs(60), soon).await.expect("a delta");
}

/// Waits for the listing: until it is here, nobody knows the dictionaries in it.
async fn is_known(node: &Node, other: &str) {
    gets_delta(node, "b.js", other).await;
}

/// A dictionary is fetched once, and again if it was deleted to make room.
#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_comes_from_the_bucket() {
    let store = Store::new();
    let (old, other) = (script("old"), script("other"));
    let version = put(&store, &tree([("app.js", &*old), ("b.js", &*other)]));
    let node = Arc::new(node_with_deltas(&store, &script("new")));
    store.heal();
    is_known(&node, &other).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (node, old) = (Arc::clone(&node), old.clone());
        asking.spawn(async move { gets_delta(&node, "app.js", &old).await });
    }
    asking.join_all().await;
    let is_blob = |calls: Vec<crate::bucket::store::Call>| {
        calls.iter().filter(|call| call.method == "GET" && call.key == blob_of(&old)).count()
    };
    assert_eq!(is_blob(store.calls()), 1);
    for line in ["third", "fourth"] {
        fs::remove_file(node.file(&version, "app.js")).unwrap();
        write(node.root.path(), "app.js", script(line));
        node.layer.reload().unwrap();
        gets_delta(&node, "app.js", &old).await;
    }
}

/// A store that is down costs some requests a second, and no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_that_does_not_come() {
    for (name, fault) in [("down", Fault::Fail), ("hangs", Fault::Hang)] {
        let store = Store::new();
        let (old, other, new) = (script("old"), script("other"), script("new"));
        put(&store, &tree([("app.js", &*old), ("b.js", &*other)]));
        let node = node_with_deltas(&store, &new);
        is_known(&node, &other).await;
        store.fail(move |_, _| fault);
        let begun = std::time::Instant::now();
        for turn in 0..20 {
            let answer = node.send(with_dictionary(&node, "app.js", &old)).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, new.len()), "{name}");
            assert_eq!(answer.field("content-encoding"), "", "{name}, {turn}");
        }
        // One in five seconds waits, and not each.
        assert!(begun.elapsed() < Duration::from_secs(15), "{name}: {:?}", begun.elapsed());
    }
}
