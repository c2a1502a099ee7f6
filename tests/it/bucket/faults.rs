//! A store that fails, lies or says nothing: a release is there as a whole or not at all.

use std::time::Instant;

use data_encoding::HEXLOWER;
use tower_static_url::{ErrorKind, Manifest};

use super::{Fault, Store, assert_whole, build, publish, publish_as, versions};
use crate::support::tree;

/// Publishes with a fault at each of its calls in turn.
fn at_each_call(faults: impl Fn(&Store, usize), check: impl Fn(&Store, usize, bool)) -> usize {
    let (old, new) = (build("1"), build("2"));
    for number in 0.. {
        let store = Store::new();
        publish_as(&store.bucket(), "old", old.path()).unwrap();
        faults(&store, number);
        let published = publish_as(&store.bucket(), "new", new.path());
        let calls = store.calls().len();
        store.heal();
        assert_whole(&store, &format!("after call {number}"));
        check(&store, number, published.is_ok());
        publish_as(&store.bucket(), "new", new.path()).unwrap();
        assert_eq!(versions(&store), ["new", "old"], "published again after call {number}");
        assert_whole(&store, &format!("published again after call {number}"));
        if calls <= number {
            return number;
        }
    }
    unreachable!()
}

#[test]
fn a_publisher_that_is_stopped_at_any_call_leaves_nothing_half() {
    let calls = at_each_call(
        |store, stop| store.fail(move |n, _| if n >= stop { Fault::Deny } else { Fault::None }),
        |store, number, is_published| {
            let versions = versions(store);
            assert!(versions.contains(&"old".into()), "{number}");
            assert!(!is_published || versions[0] == "new", "{number}");
        },
    );
    assert!(calls >= 9, "{calls}");
}

#[test]
fn a_publisher_whose_request_fails_once_goes_on() {
    at_each_call(
        |store, bad| store.fail(move |n, _| if n == bad { Fault::Fail } else { Fault::None }),
        |store, number, is_published| {
            assert!(is_published, "{number}");
            assert_eq!(versions(store), ["new", "old"], "{number}");
        },
    );
}

#[test]
fn a_publisher_that_misses_an_answer_looks_and_goes_on() {
    at_each_call(
        |store, bad| store.fail(move |n, _| if n == bad { Fault::LoseAnswer } else { Fault::None }),
        |store, number, is_published| {
            assert!(is_published, "{number}");
            assert_eq!(versions(store), ["new", "old"], "{number}");
        },
    );
}

#[test]
fn a_blob_whose_answer_was_lost_is_not_put_again() {
    let store = Store::new();
    let root = tree([("file", "content")]);
    store.fail(|_, call| match call.method {
        "PUT" if call.key.contains("blobs") => Fault::LoseAnswer,
        _ => Fault::None,
    });
    publish(&store.bucket(), root.path()).unwrap();
    let puts = store.calls().into_iter().filter(|call| call.method == "PUT");
    assert_eq!(puts.filter(|call| call.key.contains("blobs")).count(), 1);
}

#[test]
fn a_file_in_parts_survives_a_part_that_fails() {
    let root = tree([("large", &*"abcdefgh".repeat(5 << 19))]);
    for (method, fault) in [
        ("PART", Fault::Fail),
        ("PART", Fault::LoseAnswer),
        ("COMPLETE", Fault::Fail),
        ("COMPLETE", Fault::LoseAnswer),
        ("BEGIN", Fault::Fail),
    ] {
        let store = Store::new();
        let seen = std::sync::atomic::AtomicBool::new(false);
        store.fail(move |_, call| {
            let is_first =
                call.method == method && !seen.swap(true, std::sync::atomic::Ordering::SeqCst);
            if is_first { fault } else { Fault::None }
        });
        publish(&store.bucket(), root.path()).unwrap();
        assert_whole(&store, method);
    }
}

#[test]
fn what_a_store_cannot_do_is_one_clear_error() {
    let root = build("1");
    for (name, method, fault, expected) in [
        ("no LIST", "LIST", Fault::Unsupported, "cannot do what is needed"),
        ("no permission to LIST", "LIST", Fault::Deny, "LIST"),
        ("no permission to PUT", "PUT", Fault::Deny, "may not use"),
        ("no permission for HEAD", "HEAD", Fault::Deny, "may not LIST"),
    ] {
        let store = Store::new();
        store.fail(move |_, call| if call.method == method { fault } else { Fault::None });
        let error = publish(&store.bucket(), root.path()).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Store, "{name}: {text}");
        assert!(text.starts_with("memory/site: "), "{name}: {text}");
        assert!(text.contains(expected) && !text.contains('\n'), "{name}: {text}");
    }
}

#[test]
fn a_publisher_asks_a_busy_store_several_times() {
    let store = Store::new();
    let root = build("1");
    store.fail(|number, _| if number < 3 { Fault::Busy } else { Fault::None });
    publish(&store.bucket(), root.path()).unwrap();
    store.fail(|_, _| Fault::Busy);
    let error = store.bucket().list().unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!(store.calls().len(), 5);
}

#[test]
fn a_silent_store_is_given_up() {
    let store = Store::new();
    store.fail(|_, _| Fault::Hang);
    let start = Instant::now();
    let error = store.bucket().list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("no answer within 2 s"), "{error}");
    // Twice two seconds, and some for a machine that is busy.
    assert!(start.elapsed().as_secs() < 8, "{:?}", start.elapsed());
    assert_eq!(store.calls().len(), 2);
}

#[test]
fn keys_and_records_that_are_none_are_ignored_and_reported() {
    let listing = |path: &str| {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        format!("{}:{path} 3:{abc}\n", path.len())
    };
    let sha256 = |text: &str| {
        let manifest = Manifest::from_files([("x", text)]).unwrap();
        HEXLOWER.encode(manifest.get("x").unwrap().sha256())
    };
    let (climbing, twice) = (listing("../../etc/passwd"), listing("a").repeat(2));
    let good = listing("a");
    for (name, key, bytes) in [
        ("truncated", format!("bad/{}", sha256(&good)), good[..40].to_owned()),
        ("not its own digest", format!("bad/{}", "0".repeat(64)), good.clone()),
        ("empty", format!("bad/{}", sha256(&good)), String::new()),
        ("climbing", format!("bad/{}", sha256(&climbing)), climbing.clone()),
        ("twice", format!("bad/{}", sha256(&twice)), twice.clone()),
        ("no digest", "bad/record".into(), good.clone()),
        ("deeper", format!("bad/bad/{}", sha256(&good)), good.clone()),
    ] {
        let store = Store::new();
        publish_as(&store.bucket(), "v1", build("1").path()).unwrap();
        store.write(&format!("site/2900/releases/{key}"), bytes);
        assert_eq!(versions(&store), ["v1"], "{name}");
        let damages = store.bucket().verify().unwrap();
        assert_eq!(
            damages.len(),
            usize::from(key.len() > 60 && !key.contains("bad/bad")),
            "{name}"
        );
        publish_as(&store.bucket(), "v2", build("2").path()).unwrap();
        assert_eq!(versions(&store), ["v2", "v1"], "{name}");
    }
}

#[test]
fn a_listing_that_is_absurdly_long_is_not_read() {
    let store = Store::new();
    publish_as(&store.bucket(), "v1", build("1").path()).unwrap();
    store.fail(|_, call| match call.method {
        "GET" => Fault::Exaggerate,
        _ => Fault::None,
    });
    assert!(store.bucket().list().unwrap().is_empty());
    assert_eq!(store.count("GET"), 1);
}

#[test]
fn damage_is_found() {
    let store = Store::new();
    let root = tree([("a", "abc"), ("b", "bcd"), ("c", "cde")]);
    publish_as(&store.bucket(), "v1", root.path()).unwrap();
    store.heal();
    assert_whole(&store, "published");
    assert_eq!(store.count("GET"), 4, "the listing, and each blob once");
    let blobs = store.keys().into_iter().filter(|key| key.contains("blobs")).collect::<Vec<_>>();
    store.delete(&blobs[0]);
    store.write(&blobs[1], "other content");
    let mut flipped = store.read(&blobs[2]);
    flipped[1] ^= 1;
    store.write(&blobs[2], flipped);
    let damages = store.bucket().verify().unwrap();
    let found = damages.iter().map(|damage| (damage.path().to_str().unwrap(), damage.why()));
    let found = found.collect::<Vec<_>>();
    assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), blobs);
    assert_eq!(found[0].1, "is missing");
    assert!(found[1].1.contains("13 bytes instead of 3"), "{found:?}");
    assert_eq!(found[2].1, "has other content than was published");
    // Mended as the documentation says.
    blobs[1..].iter().for_each(|key| store.delete(key));
    store.bucket().withdraw("v1").unwrap();
    publish_as(&store.bucket(), "v1", root.path()).unwrap();
    assert_whole(&store, "mended");
}
