//! An exec's standard input: from the host into the pipe or terminal.

use crate::protocol::STREAM_WINDOW_BYTES;
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a terminal takes for the end of input.
const END_OF_TRANSMISSION: u8 = 4;

/// Hosts that come and go while the program does not read may each leave a window full behind, up to this.
const MAX_PENDING_BYTES: usize = 4 * STREAM_WINDOW_BYTES;

/// The input channel. Offsets count from the exec's start.
#[derive(Default)]
pub struct Stdin {
    fd: Option<OwnedFd>,
    is_tty: bool,
    /// Received and not yet written.
    pending: VecDeque<u8>,
    /// Offset of what was received.
    taken: u64,
    /// Offset of the last acknowledgement.
    acknowledged: u64,
    /// Offset from which the host attached last counts its window.
    window_start: u64,
    ended: bool,
    /// The last byte taken did not end a line.
    is_mid_line: bool,
}

impl Stdin {
    /// Input into a pipe or terminal; None: bytes are thrown away.
    pub fn new(fd: Option<OwnedFd>, is_tty: bool) -> Self {
        Self { fd, is_tty, ..Self::default() }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Offset of the bytes taken from the host.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// A host attached: it counts from what was taken, though not all of that is written yet.
    pub fn attached(&mut self) {
        self.acknowledged = self.taken;
        self.window_start = self.taken;
    }

    /// Takes bytes from the host. False when they are more than the window allows.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        let length = bytes.len();
        let in_flight = self.taken + length as u64 - self.window_start;
        if in_flight > STREAM_WINDOW_BYTES as u64 || self.pending.len() + length > MAX_PENDING_BYTES {
            return false;
        }
        self.taken += length as u64;
        if let Some(last) = bytes.last() {
            self.is_mid_line = !matches!(last, b'\n' | b'\r' | &END_OF_TRANSMISSION);
        }
        if self.pending.is_empty() {
            bytes = self.write(bytes);
        }
        if self.fd.is_some() {
            self.pending.extend(bytes);
        }
        true
    }

    /// The host has no more. In the middle of a line a terminal takes the first end of transmission for the line's.
    pub fn end(&mut self) {
        if !self.ended && self.is_tty && self.fd.is_some() {
            let count = if self.is_mid_line { 2 } else { 1 };
            self.pending.extend(std::iter::repeat_n(END_OF_TRANSMISSION, count));
        }
        self.ended = true;
        self.drain();
    }

    /// Writes what is pending; closes the pipe behind the last byte.
    pub fn drain(&mut self) {
        while !self.pending.is_empty() {
            let mut pending = std::mem::take(&mut self.pending);
            let rest = self.write(pending.as_slices().0).len();
            pending.drain(..pending.as_slices().0.len() - rest);
            let blocked = rest > 0;
            if self.fd.is_some() {
                self.pending = pending;
            }
            if blocked {
                break;
            }
        }
        if self.ended && self.pending.is_empty() && !self.is_tty {
            self.fd = None;
        }
    }

    /// The program is gone.
    pub fn close(&mut self) {
        self.fd = None;
        self.pending.clear();
    }

    /// The offset to acknowledge, once a quarter of the window has passed since the last one.
    pub fn due(&mut self) -> Option<u64> {
        let written = self.taken.saturating_sub(self.pending.len() as u64);
        (written.saturating_sub(self.acknowledged) >= STREAM_WINDOW_BYTES as u64 / 4).then(|| {
            self.acknowledged = written;
            self.window_start = written;
            written
        })
    }

    /// Writes directly; returns what did not fit. Without a reader, everything fits.
    fn write<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some(fd) = self.fd.as_ref().filter(|_| !bytes.is_empty()) {
            match sys::write(fd.as_fd(), bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return bytes,
                Err(_) => self.close(),
            }
        }
        &[]
    }
}
