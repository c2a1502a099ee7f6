//! Where do packages come from? From the registries for which npm and pip are configured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Registry {
    Npm,
    PyPi,
}

/// Returns the directory of a package's files. It is fetched once.
pub(crate) fn unpacked(
    registry: Registry,
    package: &str,
    version: &str,
    work: &Path,
) -> Result<PathBuf> {
    let unpacked = work.join(format!("unpacked-{version}"));
    if unpacked.exists() {
        return Ok(unpacked);
    }
    let (archives, partial) = (work.join("archives"), work.join("partial"));
    for directory in [&archives, &partial] {
        remove(directory)?;
        fs::create_dir_all(directory)?;
    }
    match registry {
        Registry::Npm => npm(package, version, &archives, &partial)?,
        Registry::PyPi => pip(package, version, &archives, &partial)?,
    }
    fs::rename(&partial, &unpacked)?;
    Ok(unpacked)
}

fn npm(package: &str, version: &str, archives: &Path, to: &Path) -> Result<()> {
    let fetch = ["pack", "--silent", &format!("{package}@{version}"), "--pack-destination"];
    run(Command::new("npm").args(fetch).arg(archives))?;
    // All files are below one directory, which mostly is called `package`.
    let strip = ["--strip-components", "1", "-C"];
    run(Command::new("tar").arg("xzf").arg(only_file(archives)?).args(strip).arg(to))
}

fn pip(package: &str, version: &str, archives: &Path, to: &Path) -> Result<()> {
    let fetch = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"];
    let name = format!("{package}=={version}");
    run(Command::new("pip3").args(fetch).arg(archives).arg(name))?;
    // A wheel is a ZIP.
    let unpack = ["-m", "zipfile", "-e"];
    run(Command::new("python3").args(unpack).arg(only_file(archives)?).arg(to))
}

fn only_file(directory: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(directory)?.next().ok_or("nothing was fetched")?;
    Ok(entry?.path())
}

/// Runs a command. What it says is shown only if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status).into())
}

/// Removes a directory that may not be there.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}
