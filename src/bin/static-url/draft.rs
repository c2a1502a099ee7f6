//! How is a file written, so that nobody ever sees half of it? Under another name, which is then
//! changed.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// How the names of drafts begin.
const PREFIX: &str = ".static-url-";

/// A file that is being written. It is deleted when it is dropped, unless it got its name.
pub(crate) struct Draft {
    file: BufWriter<File>,
    path: PathBuf,
    target: PathBuf,
    is_done: bool,
}

impl Draft {
    /// Creates it beside the target, under a name that the ignore rule of a scan leaves out.
    pub(crate) fn of(target: &Path) -> io::Result<Self> {
        let (file, path) = create_beside(target)?;
        Ok(Self { file: BufWriter::new(file), path, target: target.into(), is_done: false })
    }

    /// Gives it the modification time and the permissions of another file.
    pub(crate) fn copy_metadata(&mut self, other: &Metadata) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_modified(other.modified()?)?;
        self.copy_permissions(other)
    }

    /// Gives it the permissions of another file.
    pub(crate) fn copy_permissions(&mut self, other: &Metadata) -> io::Result<()> {
        fs::set_permissions(&self.path, other.permissions())
    }

    /// Waits until the disk has it. Some disks say only then that they are full.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    /// Gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        fs::rename(&self.path, &self.target)?;
        self.is_done = true;
        Ok(())
    }
}

/// Creates a file with a name that nobody else has.
fn create_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let (id, number) = (process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = target.with_file_name(format!("{PREFIX}{id}-{number}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            // Left behind by a process that was killed, or of one in another container.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((file?, path)),
        }
    }
}

/// Whether a file has a name that a draft has.
pub(crate) fn is_draft(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be written to often cannot be removed either, and is harmless.
            let _ = fs::remove_file(&self.path);
        }
    }
}
