//! Thin wrappers over the system calls that the standard library has no form for: errors become `io::Error`, interrupted calls
//! are repeated, descriptors are owned and close-on-exec.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Turns a system call's -1 into the error it stands for.
pub fn check(result: impl Into<i64>) -> io::Result<i64> {
    let result = result.into();
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call as long as signals interrupt it.
pub fn retry(mut call: impl FnMut() -> i64) -> io::Result<usize> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result.map(|count| count as usize),
        }
    }
}

/// Takes ownership of the descriptor a call returned.
pub fn owned(result: impl Into<i64>) -> io::Result<OwnedFd> {
    let fd = check(result)? as RawFd;
    // SAFETY: the kernel has just handed this descriptor out, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A C string, or `InvalidInput` when there is a NUL in it.
pub fn c_string(bytes: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// read(2).
pub fn read(fd: BorrowedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `buffer`.
    retry(|| unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) as i64 })
}

/// read(2) into the spare capacity of a vector, at most `limit` bytes; grows its length by what was read.
pub fn read_append(fd: BorrowedFd, buffer: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
    let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let (start, length) = (spare.as_mut_ptr(), spare.len().min(limit));
    // SAFETY: the pointer and length describe the spare capacity.
    let count = retry(|| unsafe { libc::read(fd.as_raw_fd(), start.cast(), length) as i64 })?;
    // SAFETY: the kernel has initialised `count` more bytes.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// pread(2) into the spare capacity of a vector, at most `limit` bytes; grows its length by what was read.
pub fn pread_append(fd: BorrowedFd, buffer: &mut Vec<u8>, limit: usize, offset: u64) -> io::Result<usize> {
    let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let (start, length) = (spare.as_mut_ptr(), spare.len().min(limit));
    // SAFETY: the pointer and length describe the spare capacity.
    let count = retry(|| unsafe { libc::pread(fd.as_raw_fd(), start.cast(), length, offset as i64) as i64 })?;
    // SAFETY: the kernel has initialised `count` more bytes.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// write(2).
pub fn write(fd: BorrowedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `bytes`.
    retry(|| unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) as i64 })
}

/// openat(2), always close-on-exec; `directory` None means the working directory or an absolute path.
pub fn open_at(directory: Option<BorrowedFd>, path: &CStr, flags: c_int, mode: u32) -> io::Result<OwnedFd> {
    let directory = directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    // SAFETY: `path` is a C string.
    let fd = retry(|| unsafe { libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC, mode).into() })?;
    owned(fd as i64)
}

/// open(2) of a path given as bytes.
pub fn open(path: &[u8], flags: c_int, mode: u32) -> io::Result<OwnedFd> {
    open_at(None, &c_string(path)?, flags, mode)
}

/// A pipe: the end to read from, the end to write to.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// Sets O_NONBLOCK.
pub fn set_nonblocking(fd: BorrowedFd) -> io::Result<()> {
    // SAFETY: plain flags.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(|_| ())
}

/// Sets or clears O_DIRECT, and clears the other flags that can be changed.
pub fn set_direct(fd: BorrowedFd, direct: bool) -> io::Result<()> {
    // SAFETY: plain flags.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, if direct { libc::O_DIRECT } else { 0 }) }).map(|_| ())
}

/// Bytes that a read would give now (FIONREAD).
pub fn readable_bytes(fd: BorrowedFd) -> io::Result<u64> {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count.max(0) as u64)
}

/// A duplicate of a descriptor, close-on-exec.
pub fn duplicate(fd: BorrowedFd) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// mount(2); empty strings stand for "none".
pub fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (source, target) = (c_string(source)?, c_string(target)?);
    let (kind, data) = (c_string(kind)?, c_string(data)?);
    // SAFETY: four C strings.
    let result = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    check(result).map(|_| ())
}

/// Lets this process and its children use the first CPUs only; more than there are is all of them.
pub fn use_cpus(count: usize) -> io::Result<()> {
    // SAFETY: a set of plain bits; numbers beyond its size are left out.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (0..count.clamp(1, libc::CPU_SETSIZE as usize)).for_each(|cpu| libc::CPU_SET(cpu, &mut set));
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)).map(drop)
    }
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// kill(2); a negative `pid` is a process group.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::kill(pid, signal) }).map(|_| ())
}

/// A descriptor for a process, ready once the process has ended.
pub fn process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the descriptor is close-on-exec.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Whether a descriptor is readable or at its end, now or within a time.
pub fn is_ready(fd: BorrowedFd, milliseconds: c_int) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure that lives for the call.
    retry(|| unsafe { libc::poll(&mut poll, 1, milliseconds).into() }).is_ok_and(|count| count > 0)
}

/// Blocks every signal for the calling thread and those it starts. SIGPIPE keeps its default action, so that programs the
/// agent starts need their mask cleared and nothing else.
pub fn block_signals() {
    // SAFETY: a full set is made before it is used.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// A descriptor that becomes readable when a child changes state.
pub fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is made before it is used.
    let fd = unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
    };
    owned(fd)
}

/// Takes one ended child, if there is one: its pid and wait status.
pub fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: waitpid writes one int.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// A counter that other threads raise to wake the loop.
pub fn event_counter() -> io::Result<OwnedFd> {
    // SAFETY: plain flags.
    owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// Lets the calling thread wait its turn rather than interrupt whoever wakes it: a program that fills a pipe fills it, instead of being
/// interrupted, with every translation cached for it lost, for each piece. What the thread starts is scheduled as usual.
pub fn take_turns() {
    // SAFETY: the parameter lives for the call. Where it is not allowed, things stay as they are.
    unsafe {
        let parameter = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(0, libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK, &parameter);
    }
}

/// Keeps the memory of buffers that come and go within the heap: by default glibc gives it back and takes it again with each of them, at
/// the price of a page fault for every page. One arena, since threads only pass buffers on.
pub fn tune_heap() {
    const KEEP_BYTES: libc::c_int = 4 * 1024 * 1024;
    // SAFETY: plain numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEEP_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES);
    }
}
