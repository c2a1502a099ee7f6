//! Which files of a package does a site serve?

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Result, fetch::remove};

/// Copies directories of a package into one, and returns that.
pub(crate) fn lay_out(
    package: &Path,
    directories: &[&str],
    version: &str,
    work: &Path,
) -> Result<PathBuf> {
    let tree = work.join(format!("tree-{version}"));
    remove(&tree)?;
    for directory in directories {
        let from = package.join(directory.replace("{version}", version));
        copy(&from, &tree).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
