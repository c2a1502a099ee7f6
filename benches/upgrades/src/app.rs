//! What does one changed line cost an application that a bundler has built?

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    fetch::{remove, run},
};

/// Builds an edition of the application with Vite, and returns the directory of the output.
pub(crate) fn build(edition: &str, work: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("app");
    // The same directory for both, because a bundler may hash paths as well.
    let app = work.join("app");
    install(&source, &app)?;
    remove(&app.join("src"))?;
    run(Command::new("node").arg(source.join("generate.mjs")).arg(&app).arg(edition))?;
    let tree = std::path::absolute(work)?.join(format!("tree-{edition}"));
    let vite = app.join("node_modules/.bin/vite");
    let build = ["build", "--base", "./", "--emptyOutDir", "--outDir"];
    let vite = std::path::absolute(vite)?;
    run(Command::new(vite).args(build).arg(&tree).current_dir(&app))?;
    Ok(tree)
}

/// Installs the packages, unless they are there.
fn install(source: &Path, app: &Path) -> Result<()> {
    let package = fs::read(source.join("package.json"))?;
    let installed = app.join("node_modules/.installed");
    if fs::read(&installed).is_ok_and(|of| of == package) {
        return Ok(());
    }
    fs::create_dir_all(app)?;
    fs::write(app.join("package.json"), &package)?;
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
    run(Command::new("npm").args(install).current_dir(app))?;
    Ok(fs::write(installed, package)?)
}
