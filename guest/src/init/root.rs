//! From the initramfs to the root file system on disk.

use super::wait;
use crate::sys;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NEW_ROOT: &str = "/newroot";

/// The device that the kernel's command line names by `thaw.root=`; None when all stays in memory.
pub fn device() -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let value = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("thaw.root="));
    match value {
        Some("none") => None,
        Some(device) => Some(device.to_string()),
        None => Some("/dev/vda".to_string()),
    }
}

/// Makes the file system on `device` the root. The process stays the same: only its idea of `/` changes.
pub fn switch_to(device: &str) -> io::Result<()> {
    wait::until(device, || fs::metadata(device).ok())?;
    fs::create_dir_all(NEW_ROOT)?;
    // Inode tables are initialised, and block bitmaps read, when they are used: a thread that does it all would run on in every clone.
    let mount = |options| sys::mount(device, NEW_ROOT, "ext4", libc::MS_NOATIME, options);
    // Kernels before 5.13 do not know the second, and need no telling.
    mount("noinit_itable,no_prefetch_block_bitmaps").or_else(|_| mount("noinit_itable"))?;
    for mounted in ["/dev", "/proc", "/sys"] {
        let target = format!("{NEW_ROOT}{mounted}");
        let _ = fs::create_dir_all(&target);
        sys::mount(mounted, &target, "", libc::MS_MOVE, "")?;
    }
    free_initramfs();
    std::env::set_current_dir(NEW_ROOT)?;
    sys::mount(".", "/", "", libc::MS_MOVE, "")?;
    // SAFETY: C strings.
    unsafe { sys::check(libc::chroot(c".".as_ptr()))? };
    std::env::set_current_dir("/")
}

/// Removes what the initramfs holds, which is memory. The running program stays as long as it runs.
fn free_initramfs() {
    let Ok(root) = fs::metadata("/") else { return };
    remove_within(Path::new("/"), root.dev());
}

/// Removes everything beneath `directory` on the file system `device`, the rest being mounts.
fn remove_within(directory: &Path, device: u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.dev() != device => {}
            Ok(metadata) if metadata.is_dir() => {
                remove_within(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}
