//! Two of the servers embed their files when they are compiled: this writes the same
//! tree for them that the others get when they are started.

#[path = "src/fixture.rs"]
#[allow(dead_code, reason = "the rest is for the measuring program")]
mod fixture;

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/fixture.rs");
    let out_dir = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out_dir = Path::new(&out_dir);
    let root = out_dir.join("fixture");
    fixture::write(&root, fixture::FILES).expect("the fixture can be written");
    embed_for_memory_serve(&root, out_dir);
    embed_for_static_serve(&root, out_dir);
}

/// What `memory_serve::load_directory` does, but embedding in every profile and without
/// a warning for each file.
fn embed_for_memory_serve(root: &Path, out_dir: &Path) {
    let quiet = |_: &str| ();
    let label = root.to_string_lossy();
    let assets = memory_serve::assets_to_code(&label, root, out_dir, true, quiet);
    let code = format!("&[(\"default\", {assets})]");
    fs::write(out_dir.join("memory_serve_assets.rs"), code).expect("the code can be written");
}

/// The macro takes nothing but a literal, which `OUT_DIR` is not.
fn embed_for_static_serve(root: &Path, out_dir: &Path) {
    let code = format!("static_serve::embed_assets!({root:?}, cache_busted_paths = [\".\"]);");
    fs::write(out_dir.join("static_serve_assets.rs"), code).expect("the code can be written");
}
