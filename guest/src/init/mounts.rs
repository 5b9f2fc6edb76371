//! What is mounted where.

use crate::log;
use crate::sys;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

const PLAIN: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// What the first steps need.
pub fn early() -> io::Result<()> {
    for (kind, target, flags) in
        [("proc", "/proc", PLAIN), ("sysfs", "/sys", PLAIN), ("devtmpfs", "/dev", libc::MS_NOSUID)]
    {
        let _ = fs::create_dir_all(target);
        match sys::mount(kind, target, kind, flags, "") {
            // The kernel may have done it.
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What programs expect. /tmp stays on the disk: it must be there after a thaw of the disk alone.
pub fn late() {
    let mounts = [
        ("devpts", "/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"),
        ("tmpfs", "/dev/shm", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777"),
        ("tmpfs", "/run", libc::MS_NOSUID | libc::MS_NODEV, "mode=755"),
        ("cgroup2", "/sys/fs/cgroup", PLAIN, ""),
    ];
    for (kind, target, flags, data) in mounts {
        let _ = fs::create_dir_all(target);
        if let Err(error) = sys::mount(kind, target, kind, flags, data) {
            log::line(&format!("mount {target}: {error}"));
        }
    }
    for (number, link) in [("", "/dev/fd"), ("/0", "/dev/stdin"), ("/1", "/dev/stdout"), ("/2", "/dev/stderr")] {
        let _ = std::os::unix::fs::symlink(format!("/proc/self/fd{number}"), link);
    }
    for directory in ["/tmp", "/etc"] {
        let _ = fs::create_dir_all(directory);
    }
    // Those that execs are watched with, and those that container runtimes ask for besides.
    for controller in ["memory", "pids", "cpu", "cpuset", "io"] {
        // One at a time: a kernel without one still has the others.
        let _ = fs::write(format!("{}/cgroup.subtree_control", crate::exec::cgroup::ROOT), format!("+{controller}"));
    }
}

/// Makes the console standard input, output and error, so that descriptors 0 to 2 are never anything else.
pub fn open_console() {
    let console = sys::open(b"/dev/console", libc::O_RDWR | libc::O_NOCTTY, 0)
        .or_else(|_| sys::open(b"/dev/null", libc::O_RDWR, 0));
    let Ok(console) = console else { return };
    for number in 0..3 {
        // SAFETY: plain numbers; dup2 leaves close-on-exec off.
        unsafe { libc::dup2(console.as_raw_fd(), number) };
    }
    if console.as_raw_fd() <= 2 {
        // It is one of the three itself.
        let _ = console.into_raw_fd();
    }
}
