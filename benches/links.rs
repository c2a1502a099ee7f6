//! What does a link cost, compared with `format!`, the least that you would write instead?
//! Compare the rows of one run with each other.

use std::{fmt::Write as _, sync::LazyLock};

use divan::{Bencher, black_box};
use tower_static_url::{Manifest, StaticPrefix, StaticUrlLayer};

fn main() {
    divan::main();
}

const PATH: &str = "css/app.css";

static PREFIX: LazyLock<StaticPrefix> = LazyLock::new(|| {
    let manifest = Manifest::from_files([(PATH, "")]).unwrap();
    StaticUrlLayer::builder("/static").manifest(manifest).build().unwrap().prefix()
});

#[divan::bench]
fn a_format() -> String {
    format!("{}{}", black_box(PREFIX.as_str()), black_box(PATH))
}

#[divan::bench]
fn b_url() -> String {
    PREFIX.url(black_box(PATH))
}

#[divan::bench]
fn c_url_with_an_escape() -> String {
    PREFIX.url(black_box("css/two words.css"))
}

#[divan::bench]
fn d_display(bencher: Bencher<'_, '_>) {
    let mut page = String::with_capacity(100);
    bencher.bench_local(|| {
        page.clear();
        write!(page, "{}", PREFIX.display(black_box(PATH)))
    });
}
