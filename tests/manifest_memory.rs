//! What a manifest, and a layer, keep in memory for every file.

use std::{convert::Infallible, fs, num::NonZero, thread};

use axum::{body::Body, extract::Request, response::Response};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_static_url::{Manifest, StaticUrlLayer, manifest::Scan};

/// Of the bytes that a manifest or a layer keeps, how many are there for each file,
/// beside those of its path.
fn bytes_per_file<T>(make: impl FnOnce() -> T, paths: impl FnOnce(&T) -> Vec<&str>) -> f64 {
    let mut made = None;
    let kept = allocation_counter::measure(|| made = Some(make()));
    let made = made.unwrap();
    let paths = paths(&made);
    let length = paths.iter().map(|path| path.len()).sum::<usize>();
    (kept.bytes_current as f64 - length as f64) / paths.len() as f64
}

fn listed(manifest: &Manifest) -> Vec<&str> {
    manifest.iter().map(|(path, _)| path).collect()
}

#[test]
fn a_scan_keeps_a_hundred_bytes_per_file() {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..100 {
        let folder = root.path().join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("{file}.js")), "").unwrap();
        }
    }
    // Counted is what this thread allocates.
    let scan = Scan::new(root.path()).threads(NonZero::<usize>::MIN);
    let bytes = bytes_per_file(|| scan.run().unwrap(), listed);
    assert!((80.0..=100.0).contains(&bytes), "{bytes} bytes per file");
}

#[test]
fn a_listing_keeps_less_than_two_hundred_bytes_per_file() {
    let files = || (0..100_000).map(|i| (format!("folder-{}/{i}.js", i % 100), ""));
    let bytes = bytes_per_file(|| Manifest::from_files(files()).unwrap(), listed);
    assert!((80.0..=160.0).contains(&bytes), "{bytes} bytes per file");
}

#[test]
fn a_layer_keeps_less_than_two_hundred_bytes_per_file() {
    let root = tempfile::tempdir().unwrap();
    for file in 0..10_000 {
        fs::write(root.path().join(format!("{file}.js")), "").unwrap();
    }
    let scan = Scan::new(root.path()).threads(NonZero::<usize>::MIN);
    let build = || StaticUrlLayer::builder("/").scan(scan).build().unwrap().prefix();
    let bytes = bytes_per_file(build, |prefix| prefix.paths().collect::<Vec<_>>());
    assert!((100.0..=200.0).contains(&bytes), "{bytes} bytes per file");
}

/// Most files of a large tree are asked for by one thread, if at all.
#[test]
fn a_file_that_is_asked_for_takes_more() {
    const FILES: usize = 1000;
    let files = (0..FILES).map(|i| (format!("{i}.js"), ""));
    let manifest = Manifest::from_files(files).unwrap();
    let layer = StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap();
    let ask_for_all = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inner =
            service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::empty())));
        let kept = allocation_counter::measure(|| {
            for i in 0..FILES {
                let url = layer.prefix().url(&format!("{i}.js"));
                let request = Request::get(url).body(Body::empty()).unwrap();
                let answer = runtime.block_on(layer.layer(inner).oneshot(request)).unwrap();
                assert!(answer.headers()["cache-control"].as_bytes().ends_with(b"immutable"));
            }
        });
        kept.bytes_current as f64 / FILES as f64
    };
    let on_a_thread = || thread::scope(|scope| scope.spawn(ask_for_all).join().unwrap());
    let [first, second] = [on_a_thread(), on_a_thread()];
    assert!((300.0..=1100.0).contains(&first), "{first} bytes per file");
    assert!((100.0..=1500.0).contains(&second), "{second} bytes per file, on a second thread");
}
