//! Is a file on a disk of this machine, or does opening it ask somebody else?
//!
//! That all directories of a path are in the kernel's cache says nothing of the file itself: NFS
//! asks the server on opening it, FUSE a process. So it matters on which file system a file is,
//! and that cannot be known before it is opened. A hop opens the first one and asks; from then on
//! files are opened at once, as long as they are on file systems that are known.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use rustix::fs::statfs;

/// By their magic numbers, see statfs(2): those that open a file without asking anybody, once its
/// inode is in memory.
const LOCAL: &[u64] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // ZFS
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
    0x9660,      // ISO 9660
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
    0x9fa0,      // proc
    0x6265_6572, // sysfs
];

/// The devices of a tree are few: one, and some more if others are mounted below it.
#[derive(Debug, Default)]
pub(super) struct Local {
    devices: [AtomicU64; 16],
    /// Some files are elsewhere: then every file is opened where that may take its time.
    has_others: AtomicBool,
}

impl Local {
    /// Whether files may be opened here at all.
    pub(super) fn is_usual(&self) -> bool {
        !self.has_others.load(Relaxed) && self.devices[0].load(Relaxed) != 0
    }

    pub(super) fn has(&self, device: u64) -> bool {
        self.devices.iter().any(|known| known.load(Relaxed) == device)
    }

    /// Finds out about the file system that has this path.
    pub(super) fn learn(&self, path: &Path, device: u64) {
        if self.has_others.load(Relaxed) || self.has(device) {
            return;
        }
        let Ok(statfs) = statfs(path) else { return };
        if !LOCAL.contains(&kind(statfs.f_type)) || !self.add(device) {
            self.has_others.store(true, Relaxed);
        }
    }

    /// Whether there was room for it.
    fn add(&self, device: u64) -> bool {
        let added = |known: &AtomicU64| match known.compare_exchange(0, device, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(other) => other == device,
        };
        self.devices.iter().any(added)
    }
}

/// A word of the machine's size and of either sign, of which the lower half is the number.
#[allow(clippy::unnecessary_cast, reason = "its type depends on the machine")]
fn kind(f_type: rustix::fs::FsWord) -> u64 {
    u64::from(f_type as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_learned() {
        let local = Local::default();
        assert!(!local.is_usual());
        local.learn(Path::new("/proc/self/status"), 7);
        assert!(local.is_usual() && local.has(7) && !local.has(8));
        local.learn(Path::new("/proc/missing"), 8);
        assert!(local.is_usual() && !local.has(8));
    }

    #[test]
    fn one_foreign_file_system_is_enough() {
        let local = Local::default();
        local.learn(Path::new("/proc"), 7);
        // Nobody serves files from there, so that it is in no list.
        local.learn(Path::new("/dev/pts"), 8);
        assert!(!local.is_usual());
        local.learn(Path::new("/proc"), 9);
        assert!(!local.is_usual());
    }

    #[test]
    fn more_devices_than_there_is_room_for() {
        let local = Local::default();
        for device in 1..=16 {
            local.learn(Path::new("/proc"), device);
            assert!(local.is_usual() && local.has(device), "{device}");
        }
        local.learn(Path::new("/proc"), 17);
        assert!(!local.is_usual());
    }
}
