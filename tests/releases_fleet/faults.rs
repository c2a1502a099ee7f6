//! A store that is killed, does not answer, is wiped or lies: the current version is served as
//! ever, and a kept one with its own bytes or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;

use crate::{
    fleet::{
        edition::Edition,
        node::{LOOKS_EVERY, Node},
    },
    support::{
        self, Answer, YEAR, ask,
        counter::{Counter, Fault},
        demo::{HttpClient, http_client},
        store::{OWNER, Store},
        tree,
    },
};

/// What a store may cost a request, when it does not answer: twice two seconds, and some more for
/// a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(6);

/// So many requests are compared.
const SAMPLES: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SeaweedFS: tests/e2e/install.sh"]
async fn a_store_that_does_not_answer() {
    let mut desk = Desk::start(Store::seaweedfs().await).await;
    let quiet = desk.median_of_the_current().await;

    desk.store.pause();
    desk.assert_unavailable("stopped").await;
    let stopped = desk.median_of_the_current().await;
    desk.store.resume();
    desk.assert_mended().await;

    desk.store.kill();
    desk.assert_unavailable("killed").await;
    let killed = desk.median_of_the_current().await;
    // It has never heard from the store, but knows from its disk what there was.
    desk.node = desk.node.next(&desk.new);
    desk.assert_unavailable("killed before the start").await;
    desk.store.restart().await;
    desk.assert_mended().await;

    // What waits for the store waits for a second at least. What is much less is the machine's.
    let most = quiet * 3 + Duration::from_millis(100);
    assert!(stopped < most && killed < most, "{quiet:?}, {stopped:?}, {killed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs s3rver: tests/e2e/install.sh"]
async fn a_store_that_is_wiped() {
    let mut desk = Desk::start(Store::s3rver().await).await;
    let filled = desk.old.url("0.txt");
    desk.assert_kept(&filled).await;
    desk.store.wipe().await;
    desk.assert_kept(&filled).await;
    let lost = desk.get(&desk.old.url("1.txt")).await;
    assert_eq!((lost.status, &*lost.cache_control()), (StatusCode::BAD_GATEWAY, "no-store"));
    desk.assert_current().await;
    // What it has on its disk outlives the node, too.
    desk.node = desk.node.next(&desk.new);
    desk.assert_kept(&filled).await;
    tokio::time::sleep(LOOKS_EVERY).await;
    assert_eq!(desk.get("/static/0123456789abcdef/app.css").await.cache_control(), "no-cache");
    desk.assert_kept(&filled).await;

    desk.old.publish(&desk.store).await;
    tokio::time::sleep(LOOKS_EVERY).await;
    desk.assert_kept(&desk.old.url("2.txt")).await;
}

/// Whatever it sends, no other bytes go out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs s3rver: tests/e2e/install.sh"]
async fn a_store_that_lies() {
    let desk = Desk::start(Store::s3rver().await).await;
    for (path, fault) in [("1.txt", Fault::Flip), ("2.txt", Fault::Missing), ("3.txt", Fault::Cut)]
    {
        desk.counter
            .lie(move |call| if call.key.contains("/blobs/") { fault } else { Fault::None });
        let url = desk.old.url(path);
        for _ in 0..2 {
            let answer = desk.get(&url).await;
            let is_error = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
            assert!(is_error.contains(&answer.status), "{fault:?}: {answer:?}");
            assert_eq!(answer.cache_control(), "no-store", "{fault:?}");
        }
        desk.assert_current().await;
    }
    desk.counter.take();
    desk.counter.tell_the_truth();
    let wrong = desk.get(&desk.old.url("1.txt")).await;
    assert_eq!(wrong.status, StatusCode::BAD_GATEWAY, "not asked again for a minute");
    assert_eq!(desk.counter.count("GET"), 0);
    desk.assert_kept(&desk.old.url("4.txt")).await;

    // A node that has never seen the listing.
    let lie = |call: &support::counter::Call| {
        let is_record = call.key.contains("/releases/");
        if is_record && call.method == "GET" { Fault::Flip } else { Fault::None }
    };
    desk.counter.lie(lie);
    let node = Node::start(&desk.new, desk.counter.address, OWNER);
    let url = format!("http://{}{}", node.address(), desk.old.url("0.txt"));
    let answer = ask(http_client(), support::get(&url)).await;
    assert!(answer.status.is_server_error() && answer.cache_control() == "no-store", "{answer:?}");
}

/// Somebody has changed a file in the directory of a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs s3rver: tests/e2e/install.sh"]
async fn a_file_that_is_there_already_is_not_believed() {
    let desk = Desk::start(Store::s3rver().await).await;
    let path = desk.node.files().join(&desk.old.version).join("5.txt");
    let own = desk.old.bytes("5.txt").to_vec();
    let mut flipped = own.clone();
    flipped[0] ^= 1;
    support::write_at(&path, &flipped, support::mtime());
    let answer = desk.get(&desk.old.url("5.txt")).await;
    assert_ne!(answer.body, flipped, "{answer:?}");
    let is_kept = answer.status == 200 && answer.body == own && answer.cache_control() == YEAR;
    let is_refused = answer.status.is_server_error() && answer.cache_control() == "no-store";
    assert!(is_kept || is_refused, "{answer:?}");
}

/// A node at the new edition, and the old one in the bucket, of which it has no file.
struct Desk {
    client: HttpClient,
    node: Node,
    counter: Counter,
    old: Edition,
    new: Edition,
    store: Store,
}

impl Desk {
    async fn start(store: Store) -> Self {
        let edition = |name: &str| {
            let root = tree([("app.css", name)]);
            for i in 0..20 {
                support::write(root.path(), &format!("{i}.txt"), format!("{i} {name}").repeat(50));
            }
            Edition::of(root)
        };
        let (old, new) = (edition("old"), edition("new"));
        old.publish(&store).await;
        new.publish(&store).await;
        let counter = Counter::start(store.address()).await;
        let node = Node::start(&new, counter.address, OWNER);
        let desk = Self { client: http_client(), node, counter, old, new, store };
        desk.assert_kept(&desk.old.url("app.css")).await;
        desk
    }

    async fn get(&self, url: &str) -> Answer {
        let url = format!("http://{}{url}", self.node.address());
        ask(self.client.clone(), support::get(&url)).await
    }

    async fn assert_current(&self) {
        let answer = self.get(&self.new.url("app.css")).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"new"[..]));
        assert_eq!(answer.cache_control(), YEAR);
    }

    async fn assert_kept(&self, url: &str) {
        let end = Instant::now() + 2 * PATIENCE;
        let (_, bytes) = self.old.urls.iter().find(|(other, _)| other == url).expect(url);
        loop {
            let answer = self.get(url).await;
            if answer.status == StatusCode::OK && answer.body == bytes {
                assert_eq!(answer.cache_control(), YEAR, "{url}");
                return;
            }
            assert!(Instant::now() < end, "{url}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A file that is here is served; one that is not is a 503, in time, until the store is there
    /// again; and an unknown version is answered as without releases.
    async fn assert_unavailable(&self, case: &str) {
        self.assert_kept(&self.old.url("app.css")).await;
        for (url, expected) in [
            (self.old.url("7.txt"), (StatusCode::SERVICE_UNAVAILABLE, "no-store")),
            (self.old.url("8.txt"), (StatusCode::SERVICE_UNAVAILABLE, "no-store")),
            ("/static/0123456789abcdef/app.css".into(), (StatusCode::OK, "no-cache")),
        ] {
            let start = Instant::now();
            let answer = self.get(&url).await;
            let took = start.elapsed();
            let is = (answer.status, &*answer.cache_control());
            assert_eq!(is, expected, "{case}: {url}: {answer:?}");
            assert!(took < PATIENCE, "{case}: {url}: {took:?}");
            let has_hint = !answer.field("retry-after").is_empty();
            assert_eq!(has_hint, expected.0 == StatusCode::SERVICE_UNAVAILABLE, "{case}: {url}");
        }
        self.assert_current().await;
    }

    async fn assert_mended(&self) {
        // The node may have decided to leave the store alone for some seconds.
        self.assert_kept_within(&self.old.url("6.txt"), Duration::from_secs(31)).await;
    }

    async fn assert_kept_within(&self, url: &str, limit: Duration) {
        let end = Instant::now() + limit;
        while self.get(url).await.cache_control() != YEAR {
            assert!(Instant::now() < end, "{url}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.assert_kept(url).await;
    }

    /// While others ask for what is not here.
    async fn median_of_the_current(&self) -> Duration {
        let is_over = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let address = self.node.address();
        let others = (9..13).map(|i| {
            let (is_over, count, client) =
                (Arc::clone(&is_over), Arc::clone(&count), self.client.clone());
            let url = format!("http://{address}/static/{:016x}/{i}.txt", 0xabc + i);
            tokio::spawn(async move {
                while !is_over.load(SeqCst) {
                    ask(client.clone(), support::get(&url)).await;
                    count.fetch_add(1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        });
        let others = others.collect::<Vec<_>>();
        let mut times = Vec::new();
        for _ in 0..SAMPLES {
            let start = Instant::now();
            self.assert_current().await;
            times.push(start.elapsed());
        }
        is_over.store(true, SeqCst);
        for other in others {
            other.await.unwrap();
        }
        times.sort();
        times[SAMPLES / 2]
    }
}
