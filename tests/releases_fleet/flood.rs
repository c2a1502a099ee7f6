//! Versions that nobody has published, as a scanner asks for them: the store and the memory of a
//! node do not notice.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::{
    fleet::{edition::Edition, node::Node},
    support::{
        counter::Counter,
        store::{OWNER, Store},
        tree,
        wire::Connection,
    },
};

/// In a debug build so many take as long as 100,000 do in a release build.
const VERSIONS: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// So many clients ask at a time.
const CLIENTS: usize = 16;

/// A node looks at the store every two seconds at most, and once in a while at two parts of it.
/// In ten seconds: twelve times.
fn most_lists(time: Duration) -> usize {
    (time.as_secs_f64() * 1.2).ceil() as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs s3rver: tests/e2e/install.sh"]
async fn versions_that_do_not_exist() {
    let store = Store::s3rver().await;
    let edition = Edition::of(tree([("app.css", "p { }")]));
    edition.publish(&store).await;
    let counter = Counter::start(store.address()).await;
    let node = Node::start(&edition, counter.address, OWNER);
    // What it takes for the first ones, it keeps.
    flood(&node, 0..VERSIONS / 10).await;
    counter.take();
    let (before, start) = (resident(&node), Instant::now());
    flood(&node, VERSIONS / 10..VERSIONS + VERSIONS / 10).await;
    let took = start.elapsed().max(Duration::from_secs(10));
    let grown = resident(&node).saturating_sub(before);

    let (lists, gets) = (counter.count("LIST"), counter.count("GET"));
    eprintln!("{lists} LIST, {gets} GET, {grown} bytes more of {before}, {took:?}");
    assert!(lists <= most_lists(took), "{lists} LIST in {took:?}");
    assert_eq!(gets, 0);
    assert!(grown < 8 << 20, "{grown} bytes more of {before}");
}

async fn flood(node: &Node, versions: std::ops::Range<usize>) {
    let (next, address) = (Arc::new(AtomicUsize::new(versions.start)), node.address());
    let client = || {
        let (next, end) = (Arc::clone(&next), versions.end);
        tokio::task::spawn_blocking(move || {
            let mut connection = Connection::to(address);
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= end {
                    return;
                }
                // Spread over all that there are.
                let version = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let url = format!("/static/{version:016x}/app.css");
                let answer = connection.exchange("GET", &url, &[]);
                assert_eq!((answer.status, &*answer.cache_control()), (200, "no-cache"));
            }
        })
    };
    for client in (0..CLIENTS).map(|_| client()).collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// Returns how many bytes of memory a node has (proc(5)).
fn resident(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect(&status);
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}
