//! What a publication puts, and that it needs nobody's leave.

use std::{
    collections::HashSet,
    fs,
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Duration,
};

use data_encoding::HEXLOWER;
use object_store::memory::InMemory;
use tower_static_url::{ErrorKind, Manifest, releases::Bucket};

use super::{Fault, Store, WEEK, assert_whole, build, publish, publish_as, versions};
use crate::support::{tree, write};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_release_is_its_blobs_and_its_listing() {
    let store = Store::new();
    let root = tree([("a", "abc"), ("b", "abc")]);
    let manifest = Manifest::scan(root.path()).unwrap();
    let published = publish_as(&store.bucket(), "v1~*", root.path()).unwrap();
    assert!(published.is_new());
    assert_eq!((published.copied(), published.copied_bytes(), published.linked()), (1, 3, 1));
    let record = format!("site/2900/releases/v1~*/{}", manifest.digest_hex());
    let blob = format!("site/2900/blobs/{ABC}");
    assert_eq!(store.keys(), [blob.as_str(), "site/2900/clock", &record]);
    assert_eq!(store.read(&blob), b"abc");
    assert_eq!(store.read(&record), format!("1:a 3:{ABC}\n1:b 3:{ABC}\n").as_bytes());
    let release = &store.bucket().list().unwrap()[0];
    assert_eq!((release.version(), release.digest_hex()), ("v1~*", manifest.digest_hex()));
    assert_eq!((release.file_count(), release.total_length()), (2, 6));
    assert_eq!(release.superseded(), None);
    assert_whole(&store, "published");
}

#[test]
fn only_what_has_changed_is_put_and_the_current_release_costs_no_put() {
    let store = Store::new();
    let (first, second) = (build("1"), build("2"));
    assert_eq!(publish(&store.bucket(), first.path()).unwrap().copied(), 3);
    let published = publish(&store.bucket(), second.path()).unwrap();
    assert_eq!((published.copied(), published.linked()), (1, 3));
    store.heal();
    let published = publish(&store.bucket(), second.path()).unwrap();
    assert_eq!((published.is_new(), published.copied(), published.linked()), (false, 0, 0));
    assert_eq!((store.count("LIST"), store.calls().len()), (2, 2), "{:?}", store.calls());
}

#[test]
fn a_rollback_makes_the_old_release_the_current_one() {
    let store = Store::new();
    let (first, second) = (build("1"), build("2"));
    publish_as(&store.bucket(), "v1", first.path()).unwrap();
    publish_as(&store.bucket(), "v2", second.path()).unwrap();
    assert_eq!(versions(&store), ["v2", "v1"]);
    store.heal();
    let published = publish_as(&store.bucket(), "v1", first.path()).unwrap();
    assert_eq!((published.is_new(), published.copied(), published.linked()), (false, 0, 0));
    assert_eq!(store.count("PUT"), 2, "the clock and the record");
    assert_eq!(versions(&store), ["v1", "v2"]);
    // In another week all of it is put there.
    store.advance(WEEK);
    let published = publish_as(&store.bucket(), "v2", second.path()).unwrap();
    assert_eq!((published.is_new(), published.copied()), (false, 3));
    let releases = store.bucket().list().unwrap();
    assert_eq!(releases.len(), 2);
    assert_eq!(releases[1].superseded(), Some(releases[0].published()));
    assert_whole(&store, "rolled back");
}

#[test]
fn within_one_second_the_last_publication_still_is_the_current_one() {
    let store = Store::with_tick(Duration::from_secs(3600));
    let (first, second) = (build("1"), build("2"));
    publish_as(&store.bucket(), "v2", first.path()).unwrap();
    let ticking = store.clone();
    // The clock goes on while the publisher waits for it.
    store.fail(move |number, call| {
        if number > 5 && call.method == "PUT" && call.key.contains("/v1/") {
            ticking.advance(Duration::from_secs(3600));
        }
        Fault::None
    });
    publish_as(&store.bucket(), "v1", second.path()).unwrap();
    assert_eq!(versions(&store), ["v1", "v2"]);
}

#[test]
fn files_that_have_changed_since_the_scan_are_not_published() {
    let large = "x".repeat(20 << 20);
    for (name, content) in [("small", "small"), ("large", &*large)] {
        let store = Store::new();
        let root = tree([("a", "a"), ("file", content)]);
        let manifest = Manifest::scan(root.path()).unwrap();
        for changed in [format!("{content}!"), content.to_uppercase(), content[1..].into()] {
            write(root.path(), "file", changed);
            let error = store.bucket().publish("v1", &manifest, [root.path()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChangedFile, "{name}: {error}");
            assert!(error.to_string().contains("file"), "{name}: {error}");
        }
        fs::remove_file(root.path().join("file")).unwrap();
        let error = store.bucket().publish("v1", &manifest, [root.path()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChangedFile, "{name}: {error}");
        assert!(!store.keys().iter().any(|key| key.contains("releases")), "{name}");
        let digest = HEXLOWER.encode(manifest.get("file").unwrap().sha256());
        assert!(!store.keys().iter().any(|key| key.contains(&digest)), "{name}");
    }
}

#[test]
fn large_files_are_put_in_parts() {
    let store = Store::new();
    let root = tree([("large", &*"abcdefgh".repeat(5 << 19)), ("small", "small"), ("empty", "")]);
    let published = publish(&store.bucket(), root.path()).unwrap();
    assert_eq!(published.copied_bytes(), (20 << 20) + 5);
    assert_eq!((store.count("PART"), store.count("COMPLETE")), (3, 1));
    assert_whole(&store, "in parts");
}

#[test]
fn fifty_nodes_publish_the_same_version_at_once() {
    let store = Store::new();
    let root = build("1");
    let manifest = Manifest::scan(root.path()).unwrap();
    let start = Barrier::new(50);
    let new = thread::scope(|scope| {
        let nodes = (0..50).map(|_| {
            scope.spawn(|| {
                let bucket = store.bucket();
                start.wait();
                bucket.publish("v1", &manifest, [root.path()]).unwrap().is_new()
            })
        });
        let nodes = nodes.collect::<Vec<_>>();
        nodes
            .into_iter()
            .filter(|_| true)
            .map(|node| node.join().unwrap())
            .filter(|new| *new)
            .count()
    });
    assert!(new >= 1);
    assert_eq!(versions(&store), ["v1"]);
    assert_whole(&store, "fifty at once");
}

#[test]
fn twenty_versions_are_published_at_once() {
    let store = Store::new();
    let start = Barrier::new(20);
    thread::scope(|scope| {
        for number in 0..20 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                let root = build(&number.to_string());
                start.wait();
                publish_as(&store.bucket(), &format!("v{number}"), root.path()).unwrap();
            });
        }
    });
    assert_eq!(versions(&store).len(), 20);
    assert_whole(&store, "twenty at once");
}

#[test]
fn of_two_digests_of_one_version_at_most_one_is_published() {
    let roots = [build("1"), build("2")];
    for round in 0..100 {
        // With one node for each, and with several.
        let nodes = if round % 2 == 0 { 2 } else { 6 };
        let store = Store::new();
        let start = Barrier::new(nodes);
        let good = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for node in 0..nodes {
                let (store, start, good, root) = (&store, &start, &good, &roots[node % 2]);
                scope.spawn(move || {
                    let bucket = store.bucket();
                    let manifest = Manifest::scan(root.path()).unwrap();
                    start.wait();
                    match bucket.publish("v1", &manifest, [root.path()]) {
                        Ok(_) => drop(good.lock().unwrap().insert(manifest.digest_hex())),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::VersionTaken, "{error}"),
                    }
                });
            }
        });
        let good = good.into_inner().unwrap();
        assert!(good.len() <= 1, "round {round}: both were published");
        if nodes == 2 {
            let releases = store.bucket().list().unwrap();
            let listed = releases.iter().map(|release| release.digest_hex()).collect();
            assert!(good.is_subset(&listed) && listed.len() == 1, "round {round}");
        }
        store.bucket().withdraw("v1").unwrap();
        publish_as(&store.bucket(), "v1", roots[round % 2].path()).unwrap();
        assert_whole(&store, "two digests");
    }
}

#[test]
fn a_version_with_other_files_is_taken() {
    let store = Store::new();
    publish_as(&store.bucket(), "v1", build("1").path()).unwrap();
    // Also in later weeks, as long as it is kept.
    for _ in 0..2 {
        let error = publish_as(&store.bucket(), "v1", build("2").path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::VersionTaken);
        assert!(error.to_string().contains("\"v1\""), "{error}");
        store.advance(WEEK);
    }
    let keys = store.keys();
    assert_eq!(keys.iter().filter(|key| key.contains("releases")).count(), 1, "{keys:?}");
}

#[test]
fn what_cannot_be_published_asks_the_store_nothing() {
    let store = Store::new();
    let root = build("1");
    for (version, kind) in [
        ("a b", ErrorKind::InvalidVersion),
        ("..", ErrorKind::InvalidVersion),
        ("a/b", ErrorKind::InvalidVersion),
        ("", ErrorKind::InvalidVersion),
        ("js", ErrorKind::InvalidVersion),
    ] {
        let error = publish_as(&store.bucket(), version, root.path()).unwrap_err();
        assert_eq!(error.kind(), kind, "{version:?}");
    }
    assert_eq!(store.calls(), []);
    for prefix in ["a//b", "../a", "a\nb"] {
        let error = Bucket::new(Arc::new(InMemory::new()), prefix).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidReleases);
        assert!(error.to_string().contains(&format!("{prefix:?}")), "{error}");
    }
}

#[test]
fn clocks_that_are_days_apart_are_an_error() {
    let day = WEEK / 7;
    let root = build("1");
    for (name, ahead, is_good) in [
        ("together", Duration::ZERO, true),
        ("half a day", day / 2, true),
        ("two days", day * 2, false),
        ("a year", day * 365, false),
    ] {
        let store = Store::new();
        let published = publish(&store.bucket_ahead(ahead), root.path());
        let Err(error) = published else {
            assert!(is_good, "{name}");
            continue;
        };
        assert!(!is_good, "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::ClockSkew);
        assert!(error.to_string().contains("ahead of"), "{error}");
        assert!(store.keys().iter().all(|key| key == "site/2900/clock"), "{:?}", store.keys());
        let error = store.bucket_ahead(ahead).prune(&Default::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockSkew);
    }
}

/// It is no good idea, but no panic either.
#[test]
fn a_bucket_works_inside_of_any_runtime() {
    let builders =
        [tokio::runtime::Builder::new_current_thread, tokio::runtime::Builder::new_multi_thread];
    for mut runtime in builders.map(|builder| builder()) {
        runtime.build().unwrap().block_on(async {
            let store = Store::new();
            let root = build("1");
            let bucket = store.bucket();
            publish(&bucket, root.path()).unwrap();
            assert_eq!(bucket.list().unwrap().len(), 1);
            drop(bucket);
        });
    }
}

#[test]
fn progress_is_told_until_all_files_are_done() {
    let store = Store::new();
    let root = build("1");
    let manifest = Manifest::scan(root.path()).unwrap();
    for _ in 0..2 {
        let told = Mutex::new(Vec::new());
        let tell = |progress: tower_static_url::releases::Progress| {
            told.lock().unwrap().push((progress.files(), progress.total()))
        };
        store.bucket().publish_with_progress("v1", &manifest, [root.path()], tell).unwrap();
        assert_eq!(told.into_inner().unwrap().iter().max(), Some(&(4, 4)));
    }
}
