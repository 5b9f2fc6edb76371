//! User ids of machines. One is in use for as long as a process holds a lock on its byte of one file, so two live machines never share one,
//! whichever daemons started them.

use crate::sys::{check, owned, user};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Far from the ids of users, containers and systemd.
const FIRST: u32 = 1_900_000_000;
const COUNT: u32 = 1 << 24;
const TRIES: u32 = 10_000;
/// Only root may make files here, and only root gives machines ids of their own.
const LOCK_FILE: &std::ffi::CStr = c"/run/thaw-uids.lock";

/// A user id that nobody else has while this value lives. Must not reach a machine: it is close-on-exec.
pub struct Allocation {
    pub uid: u32,
    _lock: OwnedFd,
}

/// A free user id, at random. Fails when this process is not root.
pub fn allocate() -> io::Result<Allocation> {
    if user() != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a C string.
    let lock = owned(unsafe { libc::open(LOCK_FILE.as_ptr(), flags, 0o600) })?;
    let mut random = [0; 4];
    // SAFETY: the pointer and the length describe `random`.
    check(unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) } as i64)?;
    let start = u32::from_le_bytes(random);
    for step in 0..TRIES {
        let index = start.wrapping_add(step) % COUNT;
        if lock_byte(&lock, index)? {
            return Ok(Allocation { uid: FIRST + index, _lock: lock });
        }
    }
    Err(io::Error::other("no free user id for a machine"))
}

fn lock_byte(file: &OwnedFd, index: u32) -> io::Result<bool> {
    // SAFETY: all zeros is a valid flock.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as i16;
    range.l_whence = libc::SEEK_SET as i16;
    range.l_start = i64::from(index);
    range.l_len = 1;
    // SAFETY: the structure lives for the call.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &range) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_locked_is_taken_by_nobody_else() {
        if user() != 0 {
            return;
        }
        let held = allocate().expect("a user id");
        let open = |_| owned(unsafe { libc::open(LOCK_FILE.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }).expect("opens");
        let other = open(());
        assert!(!lock_byte(&other, held.uid - FIRST).expect("asks"));
        let uid = held.uid;
        drop(held);
        assert!(lock_byte(&other, uid - FIRST).expect("asks"));
    }
}
