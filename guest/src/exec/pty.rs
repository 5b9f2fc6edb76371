//! Pseudo-terminals.

use crate::message::Size;
use crate::sys;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A new terminal: the agent's end and the program's, which belongs to `uid`.
pub fn open(size: &Size, uid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let agent = sys::open(b"/dev/ptmx", flags | libc::O_NONBLOCK, 0)?;
    let unlock: i32 = 0;
    // SAFETY: TIOCSPTLCK reads one int; TIOCGPTPEER takes flags and returns a descriptor.
    let program = unsafe {
        sys::check(libc::ioctl(agent.as_raw_fd(), libc::TIOCSPTLCK, &unlock))?;
        sys::owned(libc::ioctl(agent.as_raw_fd(), libc::TIOCGPTPEER, flags | libc::O_CLOEXEC))?
    };
    resize(agent.as_fd(), size)?;
    if uid != 0 {
        // SAFETY: plain numbers. Without it `mesg`, `tmux` and the like complain; nothing else breaks.
        unsafe { libc::fchown(program.as_raw_fd(), uid, u32::MAX) };
    }
    Ok((agent, program))
}

/// Tells a terminal its size; the kernel tells the programs.
pub fn resize(terminal: BorrowedFd, size: &Size) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    sys::check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) }).map(|_| ())
}
