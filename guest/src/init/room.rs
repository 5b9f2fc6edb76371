//! What programs expect of a machine beyond mounts: limits that are large enough, and files and devices that an image may lack.

use crate::log;
use crate::sys;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
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
/// Work that the kernel wakes up for again and again, of no use in a machine like this: huge pages that are looked for, counters that are brought
/// up to date, and a watchdog that takes a machine that was paused for one that hangs. A hundred idle machines share a processor.
const QUIET: [(&str, &str); 3] =
    [("vm/compaction_proactiveness", "0"), ("vm/stat_interval", "30"), ("kernel/watchdog", "0")];
/// Devices whose modules are loaded when they are opened: kind and mode, major and minor number. Source: Documentation/admin-guide/devices.txt in
/// Linux's tree.
const DEVICES: [(&str, libc::mode_t, u32, u32); 3] = [
    ("/dev/fuse", libc::S_IFCHR | 0o666, 10, 229),
    ("/dev/net/tun", libc::S_IFCHR | 0o666, 10, 200),
    ("/dev/loop-control", libc::S_IFCHR | 0o600, 10, 237),
];
const LOOP_DEVICES: u32 = 8;
const LOOP_MAJOR: u32 = 7;
const ZONE: &str = "/usr/share/zoneinfo/Etc/UTC";
/// What is in that file (RFC 8536, version 1), for images without it: one type of time, `UTC`, an offset of zero.
const UTC: &[u8; 54] =
    b"TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\0\0\0UTC\0";

pub fn furnish() {
    for (name, least) in LIMITS {
        if let Err(error) = raise(&format!("/proc/sys/{name}"), least) {
            log::line(&format!("{name}: {error}"));
        }
    }
    for (name, value) in QUIET {
        // A kernel without it does no such work.
        let _ = fs::write(format!("/proc/sys/{name}"), value);
    }
    let limit = libc::rlimit { rlim_cur: PROCESSES, rlim_max: PROCESSES };
    // SAFETY: the limit lives for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) };
    furnish_root();
    make("/dev/net", 0o755);
    let loops = (0..LOOP_DEVICES).map(|n| (format!("/dev/loop{n}"), libc::S_IFBLK | 0o600, LOOP_MAJOR, n));
    let devices = DEVICES.map(|(path, mode, major, minor)| (path.to_string(), mode, major, minor));
    for (path, mode, major, minor) in devices.into_iter().chain(loops) {
        if let Err(error) = device(&path, mode, libc::makedev(major, minor)) {
            log::line(&format!("{path}: {error}"));
        }
    }
}

/// Folders and files that programs expect, and that an image may lack.
pub fn furnish_root() {
    make("/run/lock", 0o1777);
    make("/run/user", 0o755);
    // An image that has them keeps its own.
    let _ = symlink("/proc/self/mounts", "/etc/mtab");
    if fs::metadata(ZONE).is_ok() {
        let _ = symlink(ZONE, "/etc/localtime");
    } else {
        let _ = fs::File::create_new("/etc/localtime").and_then(|mut file| file.write_all(UTC));
    }
}

/// One that the kernel has made already stays.
fn device(path: &str, mode: libc::mode_t, number: libc::dev_t) -> io::Result<()> {
    let name = CString::new(path)?;
    // SAFETY: a C string and numbers.
    match sys::check(unsafe { libc::mknod(name.as_ptr(), mode, number) }) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        // Whatever the mask of new files is.
        Ok(_) => fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)),
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
