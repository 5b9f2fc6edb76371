//! The machine as a whole: its figures, making it ready to be frozen, and its end.

use crate::exec::users;
use crate::failure::{Context, Failure, Kind};
use crate::identity;
use crate::jobs::Worker;
use crate::message::{Disk, Memory, Nothing, Quiesced, Stats};
use crate::sys;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// `stats`.
pub fn stats() -> Result<Stats, Failure> {
    let memory = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let load = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    let mut averages = load.split_ascii_whitespace().map(|field| field.parse::<f64>().unwrap_or(0.0));
    let mut average = || averages.next().unwrap_or(0.0);
    let load = [average(), average(), average()];
    let mut status = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: a C string and room for the answer; all zeros is one.
    let status = unsafe {
        sys::check(libc::statvfs(c"/".as_ptr(), status.as_mut_ptr())).context("statvfs /")?;
        status.assume_init()
    };
    let processes = fs::read_dir("/proc").context("/proc")?.flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    Ok(Stats {
        memory: Memory { total: meminfo(&memory, "MemTotal:"), available: meminfo(&memory, "MemAvailable:") },
        load,
        disk: Disk { total: status.f_blocks * status.f_frsize, free: status.f_bavail * status.f_frsize },
        processes: processes.filter(|entry| entry.file_name().to_str().is_some_and(is_process)).count() as u64,
    })
}

/// `quiesce`: what can be dropped is dropped, and with `init_on_free=1` free memory is zero. Where the agent is not root the caches
/// are not its own to drop.
pub fn quiesce(worker: &mut Worker) -> Result<(), Failure> {
    // Anywhere else these are somebody else's files.
    if std::process::id() == 1 {
        identity::prepare();
        users::prepare();
    }
    // SAFETY: sync can't fail; trimming gives back what the allocator holds.
    unsafe {
        libc::sync();
        libc::malloc_trim(0);
    }
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
    let memory = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    worker.finish(Quiesced { free_bytes: meminfo(&memory, "MemFree:") });
    Ok(())
}

/// Whether a `sync` is under way. Its thread may hang for as long as the disk does; there is one at most.
static SYNCING: AtomicBool = AtomicBool::new(false);

/// `sync`: what programs have written to the root's file system is on its disk. What they write meanwhile may not be.
pub fn sync(worker: &mut Worker) -> Result<(), Failure> {
    if SYNCING.swap(true, Ordering::Acquire) {
        return Err(Failure::new(Kind::Limit, "the previous sync is still running"));
    }
    let result = sync_root();
    SYNCING.store(false, Ordering::Release);
    result.context("sync /")?;
    worker.finish(Nothing {});
    Ok(())
}

/// The root only: another mount may be of a server, or of a program, that never answers.
fn sync_root() -> io::Result<()> {
    let root = sys::open(b"/", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    // SAFETY: a descriptor that is open.
    sys::check(unsafe { libc::syncfs(root.as_raw_fd()) }).map(drop)
}

/// A line of /proc/meminfo, in bytes.
fn meminfo(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Ends the machine: every process, then the file systems, then the power.
pub fn power_off() -> ! {
    // SAFETY: plain numbers and C strings.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
        libc::sync();
        let read_only = libc::MS_REMOUNT | libc::MS_RDONLY;
        libc::mount(c"/".as_ptr(), c"/".as_ptr(), std::ptr::null(), read_only, std::ptr::null());
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    std::process::exit(0)
}
