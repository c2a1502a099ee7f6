//! Publishers, rollbacks and a collector at the same time: no release that is kept lacks a file.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;
use tower_static_url::{
    Manifest,
    releases::{Bucket, Retention},
};

use crate::support::{
    store::{OWNER, Store, shared},
    tree,
};

/// Clocks may differ by a day of such a week, and those of stores count seconds.
const WEEK: Duration = Duration::from_secs(14);

const PUBLISHERS: u64 = 3;

/// How long a test for CI may take.
const SHORT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SeaweedFS: tests/e2e/install.sh"]
async fn publishers_rollbacks_and_a_collector() {
    run(SHORT).await;
}

/// Before a release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes, and needs SeaweedFS: tests/e2e/install.sh"]
async fn publishers_rollbacks_and_a_collector_for_ten_minutes() {
    run(10 * SHORT).await;
}

async fn run(time: Duration) {
    let store = Store::seaweedfs().await;
    let address = store.address();
    let bucket = move || {
        Bucket::with_calendar(shared(address, OWNER), "site", WEEK, SystemTime::now).unwrap()
    };
    let work = Arc::new(Work::default());
    let mut workers = Vec::new();
    for seed in 1..=PUBLISHERS {
        let (work, bucket) = (Arc::clone(&work), bucket());
        workers.push(thread::spawn(move || work.publish(&bucket, seed)));
    }
    for job in [Work::collect, Work::verify] {
        let (work, bucket) = (Arc::clone(&work), bucket());
        workers.push(thread::spawn(move || job(&work, &bucket)));
    }
    let end = Instant::now() + time;
    while Instant::now() < end && !workers.iter().any(|worker| worker.is_finished()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    work.is_over.store(true, SeqCst);
    tokio::task::spawn_blocking(move || {
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let last = bucket();
        assert!(last.verify().unwrap().is_empty(), "at the end");
        let counts = [&work.published, &work.rolled_back, &work.pruned, &work.verified];
        let counts = counts.map(|count| count.load(SeqCst));
        let kept = last.list().unwrap().len();
        eprintln!("published, rolled back, pruned, verified: {counts:?}; {kept} are kept");
        assert!(!counts.contains(&0), "{counts:?}");
    })
    .await
    .unwrap();
}

#[derive(Default)]
struct Work {
    is_over: AtomicBool,
    published: AtomicUsize,
    rolled_back: AtomicUsize,
    pruned: AtomicUsize,
    verified: AtomicUsize,
    number: AtomicU64,
    /// What may be published again.
    trees: Mutex<Vec<(Arc<TempDir>, Manifest)>>,
}

impl Work {
    /// Publishes new trees, that have most of their files in common, and old ones again.
    fn publish(&self, bucket: &Bucket, seed: u64) {
        let mut turn = seed;
        while !self.is_over.load(SeqCst) {
            turn += 1;
            let old = {
                let trees = self.trees.lock().unwrap();
                let index = (turn * 7 + seed) as usize % trees.len().max(1);
                turn.is_multiple_of(3).then(|| trees.get(index).cloned()).flatten()
            };
            let count = if old.is_some() { &self.rolled_back } else { &self.published };
            let (root, manifest) = old.unwrap_or_else(|| self.new_tree());
            let version = &manifest.digest_hex()[..16];
            bucket.publish(version, &manifest, [root.path()]).unwrap();
            count.fetch_add(1, SeqCst);
            let mut trees = self.trees.lock().unwrap();
            if trees.len() >= 50 {
                trees.remove(0);
            }
            trees.push((root, manifest));
        }
    }

    fn new_tree(&self) -> (Arc<TempDir>, Manifest) {
        let number = self.number.fetch_add(1, SeqCst);
        let root = tree([("own.txt", &*number.to_string()), ("same.txt", "same")]);
        for i in 0..6 {
            // Each of these changes every few releases.
            let content = format!("{i} {}", number / (i + 2));
            crate::support::write(root.path(), &format!("{i}.txt"), content);
        }
        let manifest = Manifest::scan(root.path()).unwrap();
        (Arc::new(root), manifest)
    }

    fn collect(&self, bucket: &Bucket) {
        let retention = Retention::default().age(WEEK).newest(5);
        while !self.is_over.load(SeqCst) {
            let pruned = bucket.prune(&retention).unwrap();
            self.pruned.fetch_add(pruned.len(), SeqCst);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A shelf that is being read may be deleted meanwhile, but then it is gone at the next look:
    /// records are deleted first.
    fn verify(&self, bucket: &Bucket) {
        let mut suspects = Vec::new();
        while !self.is_over.load(SeqCst) {
            let damages = bucket.verify().unwrap();
            let damages = damages.iter().map(ToString::to_string).collect::<Vec<_>>();
            let wrong = damages.iter().filter(|it| suspects.contains(*it)).collect::<Vec<_>>();
            assert!(wrong.is_empty(), "{wrong:?}");
            suspects = damages;
            self.verified.fetch_add(1, SeqCst);
        }
    }
}
