//! A disk that is full.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A small file system in memory, until it is dropped.
pub struct Disk(TempDir);

impl Disk {
    /// Mounts one of 1 MiB. Only root can.
    pub fn mount() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
        disk
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it room for more.
    pub fn grow(&self) {
        self.run("mount", &["-o", "remount,size=16m"]);
    }

    /// Leaves only so much room.
    pub fn fill(&self, room: usize) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(room as u64)).unwrap();
        path
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        assert!(command.args(args).arg(self.0.path()).status().unwrap().success(), "{program}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}
