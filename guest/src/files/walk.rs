//! Reading directories by descriptor, and what `tree-out` needs to know of each entry.

use super::record::Meta;
use crate::sys;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What lies at a name, links not followed.
pub fn stat_at(directory: BorrowedFd, name: &CStr) -> io::Result<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: a descriptor, a C string and room for the answer; all zeros is one.
    unsafe {
        sys::check(libc::fstatat(directory.as_raw_fd(), name.as_ptr(), status.as_mut_ptr(), flags))?;
        Ok(status.assume_init())
    }
}

/// A record's fields from a stat.
pub fn meta(path: &[u8], status: &libc::stat) -> Meta {
    Meta {
        mode: status.st_mode & 0o7777,
        mtime_seconds: status.st_mtime,
        mtime_nanoseconds: status.st_mtime_nsec as u32,
        uid: status.st_uid,
        gid: status.st_gid,
        path: path.to_vec(),
    }
}

/// Where a symbolic link leads.
pub fn read_link_at(directory: BorrowedFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = Vec::<u8>::with_capacity(libc::PATH_MAX as usize);
    // SAFETY: a descriptor, a C string, and room of the size told.
    let count = unsafe {
        let room = target.as_mut_ptr().cast();
        sys::check(libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), room, target.capacity()) as i64)?
    };
    // SAFETY: the kernel has written that many.
    unsafe { target.set_len(count as usize) };
    Ok(target)
}

/// Whether a directory shows the kernel instead of files: what is in there has no size, or, as /proc/kcore, no end.
pub fn is_kernels(directory: &OwnedFd) -> bool {
    let mut system = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: a descriptor and room for the answer.
    let known = unsafe { libc::fstatfs(directory.as_raw_fd(), system.as_mut_ptr()) } == 0;
    // SAFETY: the kernel has filled it; all zeros is one, too.
    let kind = unsafe { system.assume_init() }.f_type;
    known && [libc::PROC_SUPER_MAGIC, libc::SYSFS_MAGIC].contains(&kind)
}

/// The names in a directory, sorted, so that the same files make the same stream.
pub fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 32 * 1024];
    loop {
        // SAFETY: the pointer and length describe the buffer.
        let count = sys::retry(|| unsafe {
            let (fd, start) = (directory.as_raw_fd(), buffer.as_mut_ptr());
            libc::syscall(libc::SYS_getdents64, fd, start, buffer.len())
        })?;
        if count == 0 {
            names.sort_unstable();
            return Ok(names);
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        // struct linux_dirent64: inode (8), offset (8), length of this entry (2), kind (1), name and NUL.
        while let Some(&[low, high]) = rest.get(16..18) {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let name = rest.get(19..length).and_then(|bytes| CStr::from_bytes_until_nul(bytes).ok());
            if let Some(name) = name.map(CStr::to_bytes).filter(|name| *name != b"." && *name != b"..") {
                names.push(name.to_vec());
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
    }
}

/// The next stretch of data in a file at or behind `offset`, as its bounds. None when only a hole is left.
pub fn next_data(file: BorrowedFd, offset: u64, size: u64) -> Option<(u64, u64)> {
    let seek = |offset: u64, whence| {
        // SAFETY: plain numbers.
        sys::check(unsafe { libc::lseek(file.as_raw_fd(), offset as i64, whence) }).map(|at| at as u64)
    };
    if offset >= size {
        return None;
    }
    match seek(offset, libc::SEEK_DATA) {
        Ok(start) if start < size => {
            let end = seek(start, libc::SEEK_HOLE).unwrap_or(size);
            Some((start, end.clamp(start + 1, size)))
        }
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
        // A file system that does not know holes: all of it is data.
        Err(_) => Some((offset, size)),
    }
}
