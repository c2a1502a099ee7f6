//! How releases leave a bucket, while others are published.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use tower_static_url::{Error, ErrorKind, releases::Retention};

use super::{Fault, Store, WEEK, assert_whole, build, publish_as, versions};

fn strict(newest: usize) -> Retention {
    Retention::default().age(Duration::ZERO).newest(newest)
}

#[test]
fn whole_weeks_are_deleted_two_weeks_later() {
    let store = Store::new();
    for (week, version) in ["v1", "v2", "v3", "v4"].into_iter().enumerate() {
        publish_as(&store.bucket(), version, build(&week.to_string()).path()).unwrap();
        store.advance(if version == "v4" { Duration::ZERO } else { WEEK });
    }
    let bucket = store.bucket();
    assert!(bucket.prune(&Retention::default()).unwrap().is_empty());
    let expired = bucket.expired(&strict(1)).unwrap();
    let expired = expired.iter().map(|release| release.version()).collect::<Vec<_>>();
    assert_eq!(expired, ["v2", "v1"], "v3 is of the last week");
    assert_eq!(versions(&store).len(), 4, "nothing is deleted yet");
    let pruned = bucket.prune(&strict(1)).unwrap();
    assert_eq!(pruned.len(), 2);
    assert_eq!(versions(&store), ["v4", "v3"]);
    let keys = store.keys();
    assert!(!keys.iter().any(|key| key.contains("/2900/") || key.contains("/2901/")), "{keys:?}");
    assert_whole(&store, "pruned");
}

#[test]
fn a_prune_that_is_stopped_at_any_call_leaves_nothing_half() {
    for number in 0.. {
        let store = Store::new();
        for version in ["v1", "v2", "v3"] {
            publish_as(&store.bucket(), version, build(version).path()).unwrap();
            store.advance(WEEK);
        }
        store.fail(move |n, _| if n >= number { Fault::Deny } else { Fault::None });
        let pruned = store.bucket().prune(&strict(1));
        store.heal();
        assert_whole(&store, &format!("stopped at call {number}"));
        assert_eq!(versions(&store)[0], "v3");
        store.bucket().prune(&strict(1)).unwrap();
        assert_eq!(versions(&store), ["v3"]);
        let keys = store.keys();
        assert!(!keys.iter().any(|key| key.contains("/2900/")), "{number}: {keys:?}");
        if pruned.is_ok() {
            assert!(number > 8, "{number}");
            return;
        }
    }
}

#[test]
fn blobs_without_a_release_go_with_their_week() {
    let store = Store::new();
    store.fail(|_, call| match call.method {
        "PUT" if call.key.contains("releases") => Fault::Deny,
        _ => Fault::None,
    });
    publish_as(&store.bucket(), "v1", build("1").path()).unwrap_err();
    store.heal();
    store.write("site/2900/notes", "of somebody else");
    assert_eq!(store.keys().len(), 5);
    store.advance(WEEK * 2);
    store.bucket().prune(&Retention::default()).unwrap();
    assert_eq!(store.keys(), ["site/2900/notes", "site/2902/clock"]);
}

#[test]
fn a_release_is_withdrawn_at_once_from_all_weeks() {
    let store = Store::new();
    let root = build("secret");
    for _ in 0..2 {
        publish_as(&store.bucket(), "v1", root.path()).unwrap();
        publish_as(&store.bucket(), "v2", build("2").path()).unwrap();
        store.advance(WEEK);
    }
    store.bucket().withdraw("v1").unwrap();
    assert_eq!(versions(&store), ["v2"]);
    assert!(!store.keys().iter().any(|key| key.contains("/v1/")));
    assert_whole(&store, "withdrawn");
    for version in ["v1", "v", "", "../v2", "a b"] {
        let error = store.bucket().withdraw(version).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotKept, "{version:?}");
        assert!(error.to_string().contains(&format!("{version:?}")), "{error}");
    }
    assert_eq!(versions(&store), ["v2"]);
}

/// Weeks go by while four nodes publish, roll back and withdraw, and one prunes: in each round
/// all of them once, at the same time.
#[test]
fn no_kept_release_lacks_a_blob_while_others_are_collected() {
    const PUBLISHERS: usize = 4;
    const KEPT: usize = 3;
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
    let store = Store::new();
    let pruned = AtomicUsize::new(0);
    let roots = (0..12).map(|own| build(&own.to_string())).collect::<Vec<_>>();
    let mut random = 1_u64;
    for round in 0..rounds {
        let picks = [(); PUBLISHERS].map(|()| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % roots.len()
        });
        let before = versions(&store).into_iter().take(KEPT).collect::<HashSet<_>>();
        thread::scope(|scope| {
            for pick in picks {
                let (store, root) = (&store, &roots[pick]);
                scope.spawn(move || {
                    // The clock may leap between the two looks at it.
                    let publish = || publish_as(&store.bucket(), &format!("v{pick}"), root.path());
                    let is_skew = |error: &Error| error.kind() == ErrorKind::ClockSkew;
                    publish()
                        .or_else(|error| if is_skew(&error) { publish() } else { Err(error) })
                        .unwrap()
                });
            }
            scope.spawn(|| {
                pruned.fetch_add(store.bucket().prune(&strict(KEPT)).unwrap().len(), SeqCst);
                // A publication may take nearly a week.
                store.advance(WEEK * 6 / 10);
                pruned.fetch_add(store.bucket().prune(&strict(KEPT)).unwrap().len(), SeqCst);
            });
        });
        assert_whole(&store, &format!("round {round}"));
        let after = versions(&store).into_iter().collect::<HashSet<_>>();
        let published = picks.map(|pick| format!("v{pick}")).into_iter().collect();
        for version in before.union(&published) {
            let superseded = published.len() + before.len() > KEPT && !published.contains(version);
            assert!(after.contains(version) || superseded, "round {round}: {version} is gone");
        }
        store.advance(WEEK * (random >> 60) as u32 / 8);
    }
    assert!(pruned.into_inner() > 0, "nothing was ever pruned");
}
