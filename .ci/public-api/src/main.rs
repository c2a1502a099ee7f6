//! Compares the public API with its listing in `tests/public-api.txt`, and says whose
//! types it has besides its own: a major version of theirs is one of ours.
//!
//! ```sh
//! cargo run --manifest-path .ci/public-api/Cargo.toml            # compares
//! cargo run --manifest-path .ci/public-api/Cargo.toml -- update  # writes the listing
//! ```

use std::{collections::BTreeSet, env, error::Error, fs, path::Path, process::Command};

const OURS: &str = "tower_static_url";

/// Whose types may be seen. `notify` is not among them, nor is any crate that could be
/// exchanged for another.
const KNOWN: [&str; 14] = [
    "alloc",
    "axum_core",
    "bytes",
    "core",
    "http",
    "http_body",
    "object_store",
    "serde_core",
    "std",
    "tokio",
    "tower_http",
    "tower_layer",
    "tower_service",
    OURS,
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let listing = root.join("tests/public-api.txt");
    let api = public_api(&root)?;
    let strangers = strangers(&api);
    if !strangers.is_empty() {
        return Err(format!("the public API has types of {strangers:?}").into());
    }
    if env::args().any(|argument| argument == "update") {
        fs::write(&listing, api.join("\n") + "\n")?;
    }
    compare(&fs::read_to_string(&listing)?, &api)?;
    println!("{} items, as listed", api.len());
    Ok(())
}

/// One line for each item, with every feature on.
fn public_api(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/api");
    let status = Command::new("cargo")
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "--target-dir"])
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .current_dir(root)
        // What a stable compiler writes in a format that is not stable yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .status()?;
    if !status.success() {
        return Err(format!("cargo rustdoc: {status}").into());
    }
    let json = target.join("doc").join(OURS).with_extension("json");
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;
    let items = api.items().map(ToString::to_string);
    // What the macro writes down of `Unpin`, under a name that nobody can use; and the pages,
    // which are there for rustdoc alone.
    let is_api = |item: &String| {
        !item.contains("pin_project_lite::__private")
            && !item.starts_with("pub mod tower_static_url::docs")
    };
    Ok(items.filter(is_api).collect())
}

fn strangers(api: &[String]) -> BTreeSet<&str> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = api.iter().flat_map(|item| item.split(|c| !is_of_path(c)));
    let crates = words.filter_map(|word| Some(word.split_once("::")?.0));
    // Types and parameters have paths of their own: `Self::Error`, `<B as Body>::Data`.
    let is_crate = |name: &&str| name.starts_with(|c: char| c.is_lowercase());
    crates.filter(is_crate).filter(|name| !KNOWN.contains(name)).collect()
}

fn compare(listed: &str, api: &[String]) -> Result<(), Box<dyn Error>> {
    let listed = listed.lines().collect::<BTreeSet<_>>();
    let api = api.iter().map(String::as_str).collect::<BTreeSet<_>>();
    listed.difference(&api).for_each(|item| println!("- {item}"));
    api.difference(&listed).for_each(|item| println!("+ {item}"));
    if listed == api {
        return Ok(());
    }
    Err("the public API is not as listed; see `.ci/public-api` for how to write it anew".into())
}
