//! Makes the manifest, once for each change of the files.

use std::{env, error::Error, fs, path::Path};

use tower_static_url::Manifest;

fn main() -> Result<(), Box<dyn Error>> {
    let dist = "../site";
    println!("cargo::rerun-if-changed={dist}");
    let json = Path::new(&env::var("OUT_DIR")?).join("static-files.json");
    fs::write(json, Manifest::scan(dist)?.to_json())?;
    Ok(())
}
