//! One output channel of an exec: from the pipe or terminal into the ring, from the ring to the host.

use super::ring::Ring;
use crate::protocol::BULK_PAYLOAD_BYTES;
use crate::sys;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a pipe is enlarged to once its program writes in bulk: fewer switches between it and the agent.
const WIDE_PIPE_BYTES: libc::c_int = 1024 * 1024;

/// A channel.
#[derive(Default)]
pub struct Output {
    fd: Option<OwnedFd>,
    is_tty: bool,
    pub ring: Ring,
    /// Offset up to which bytes were handed to the link for the stream attached now.
    pub sent: u64,
    pub readable: bool,
    /// The pipe was enlarged.
    wide: bool,
    /// The program has exited: this many bytes of what it wrote are still to be read.
    left: Option<u64>,
    /// Nothing more counts as the program's output. What its children write is thrown away.
    ended: bool,
}

impl Output {
    pub fn new(fd: OwnedFd, is_tty: bool) -> Self {
        Self { fd: Some(fd), is_tty, ..Self::default() }
    }

    /// A channel without a source, as a terminal's standard error.
    pub fn none() -> Self {
        Self { ended: true, ..Self::default() }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether everything that ever will be sent was.
    pub fn is_spent(&self) -> bool {
        self.ended && self.sent >= self.ring.end()
    }

    /// The program has exited: what it wrote is in the pipe now. A terminal is read until it has nothing more, within a window.
    pub fn program_exited(&mut self) {
        let Some(fd) = &self.fd else {
            self.ended = true;
            return;
        };
        let left = if self.is_tty {
            crate::protocol::EXEC_WINDOW_BYTES as u64
        } else {
            sys::readable_bytes(fd.as_fd()).unwrap_or(0)
        };
        self.left = Some(left);
        self.ended |= left == 0;
        self.readable = true;
    }

    /// Reads at most a block. True when bytes arrived.
    pub fn fill(&mut self) -> bool {
        let Some(fd) = self.fd.as_ref().filter(|_| self.readable) else { return false };
        if self.ended {
            return self.discard();
        }
        let limit = self.left.map_or(usize::MAX, |left| left as usize);
        if self.ring.room() == 0 {
            return false;
        }
        match self.ring.fill(fd.as_fd(), limit) {
            Ok(0) => self.close(),
            Ok(count) => {
                if count == BULK_PAYLOAD_BYTES && !self.wide && !self.is_tty {
                    self.wide = true;
                    // SAFETY: plain numbers. Where the limit on pipes forbids it, the pipe stays as it is.
                    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, WIDE_PIPE_BYTES) };
                }
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(count as u64);
                    self.ended |= *left == 0;
                }
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                self.ended |= self.left.is_some();
            }
            // A terminal whose last program is gone answers EIO.
            Err(_) => self.close(),
        }
        false
    }

    /// Throws away what children of an exited program write, so that they neither block nor die.
    fn discard(&mut self) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut scratch = [0; 16 * 1024];
        match sys::read(fd.as_fd(), &mut scratch) {
            Ok(count) if count > 0 => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            _ => self.close(),
        }
        false
    }

    /// Nobody asks for what was written any more.
    pub fn forget(&mut self) {
        self.ring = Ring::default();
        self.sent = 0;
        self.ended = true;
    }

    fn close(&mut self) {
        self.fd = None;
        self.readable = false;
        self.ended = true;
    }
}
