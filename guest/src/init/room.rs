//! What programs expect of a machine beyond mounts: limits that are large enough, and files that an image may lack.

use crate::log;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// The kernel's own follow from the machine's memory, and are too small for an editor or a bundler that watches a repository.
const LIMITS: [(&str, u64); 3] = [
    ("fs/inotify/max_user_watches", 65_536),
    ("fs/inotify/max_user_instances", 1_024),
    // For all users together.
    ("kernel/threads-max", 2 * PROCESSES),
];
/// Of one user.
const PROCESSES: u64 = 4_096;

pub fn furnish() {
    for (name, least) in LIMITS {
        if let Err(error) = raise(&format!("/proc/sys/{name}"), least) {
            log::line(&format!("{name}: {error}"));
        }
    }
    let limit = libc::rlimit { rlim_cur: PROCESSES, rlim_max: PROCESSES };
    // SAFETY: the limit lives for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) };
    make("/run/lock", 0o1777);
    make("/run/user", 0o755);
    // An image that has them keeps its own.
    let _ = symlink("/proc/self/mounts", "/etc/mtab");
    if fs::metadata("/usr/share/zoneinfo/Etc/UTC").is_ok() {
        let _ = symlink("/usr/share/zoneinfo/Etc/UTC", "/etc/localtime");
    }
}

fn raise(path: &str, least: u64) -> std::io::Result<()> {
    let current = fs::read_to_string(path)?.trim().parse().unwrap_or(0);
    if current < least { fs::write(path, least.to_string()) } else { Ok(()) }
}

fn make(directory: &str, mode: u32) {
    let _ = fs::create_dir_all(directory);
    if let Err(error) = fs::set_permissions(directory, fs::Permissions::from_mode(mode)) {
        log::line(&format!("{directory}: {error}"));
    }
}
