//! The connection to the host: what was received and what is to be sent.

use crate::exec::ring::SharedBlock;
use crate::input::{Filled, Input};
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Below this much waiting to be sent, bulk data is taken from its sources.
const BULK_LIMIT: usize = 256 * 1024;

/// Below this much waiting, connections may add to it. It is less than for output of execs, so that a terminal stays quick during a bulk upload.
const SOCKET_LIMIT: usize = 64 * 1024;

/// Above this much waiting, the host is not listened to: it must take answers before it may ask more.
const READ_LIMIT: usize = 1024 * 1024;

/// Small frames are gathered into writes of up to this size.
const GATHER_BYTES: usize = 32 * 1024;

/// A piece of the outgoing byte stream, of whole frames.
enum Piece {
    Owned(Vec<u8>),
    /// One frame built around output that stays in an exec's ring until it is acknowledged.
    Shared(SharedBlock),
}

/// The outgoing byte stream.
#[derive(Default)]
struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece already written.
    written: usize,
    /// Bytes of all pieces, less `written`.
    waiting: usize,
}

/// A console port, a unix socket or a pair of pipes; or nothing, while no host is connected to the socket.
#[derive(Default)]
pub struct Link {
    fd: Option<OwnedFd>,
    /// Where it is written to, when that is not `fd`.
    output_fd: Option<OwnedFd>,
    /// A console port outlives its hosts: end of file means that none is there now.
    lasting: bool,
    pub input: Input,
    output: Output,
    pub readable: bool,
    pub writable: bool,
}

impl Link {
    /// A link over a descriptor that does not block.
    pub fn new(fd: OwnedFd, lasting: bool) -> Self {
        Self { fd: Some(fd), lasting, readable: true, writable: true, ..Self::default() }
    }

    /// A link over two pipes that do not block.
    pub fn of_pipes(from_host: OwnedFd, to_host: OwnedFd) -> Self {
        Self { output_fd: Some(to_host), ..Self::new(from_host, true) }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether there may be something to receive, and answers would find room.
    pub fn wants_read(&self) -> bool {
        self.fd.is_some() && self.readable && self.output.waiting < READ_LIMIT
    }

    /// Receives what is there. False when the host is gone for good.
    pub fn receive(&mut self) -> bool {
        let Some(fd) = &self.fd else { return false };
        match self.input.fill(fd.as_fd()) {
            Ok(Filled::Full) => {}
            Ok(Filled::Drained) => self.readable = false,
            Ok(Filled::Closed) | Err(_) => {
                self.readable = false;
                return self.lasting;
            }
        }
        true
    }

    /// Whether sources of bulk data may add to what waits.
    pub fn has_room(&self) -> bool {
        self.output.waiting < BULK_LIMIT
    }

    /// Whether connections may add to what waits.
    pub fn has_room_for_sockets(&self) -> bool {
        self.output.waiting < SOCKET_LIMIT
    }

    pub fn is_empty(&self) -> bool {
        self.output.waiting == 0
    }

    /// Adds whole frames.
    pub fn send(&mut self, frames: Vec<u8>) {
        let output = &mut self.output;
        output.waiting += frames.len();
        if let Some(Piece::Owned(last)) = output.pieces.back_mut()
            && last.len() + frames.len() <= GATHER_BYTES
        {
            last.extend_from_slice(&frames);
            return;
        }
        output.pieces.push_back(Piece::Owned(frames));
    }

    /// Adds a frame that lives in an exec's ring.
    pub fn send_shared(&mut self, frame: SharedBlock) {
        self.output.waiting += frame.borrow().bytes().len();
        self.output.pieces.push_back(Piece::Shared(frame));
    }

    /// Writes as much as the link takes. False when the host is gone for good.
    pub fn flush(&mut self) -> bool {
        let Some(fd) = self.output_fd.as_ref().or(self.fd.as_ref()) else { return true };
        let output = &mut self.output;
        while self.writable {
            let (result, length) = match output.pieces.front() {
                None => return true,
                Some(Piece::Owned(bytes)) => (write_rest(fd, bytes, output.written), bytes.len()),
                Some(Piece::Shared(block)) => {
                    let block = block.borrow();
                    (write_rest(fd, block.bytes(), output.written), block.bytes().len())
                }
            };
            match result {
                Ok(count) => {
                    output.written += count;
                    output.waiting = output.waiting.saturating_sub(count);
                    if output.written >= length {
                        output.pieces.pop_front();
                        output.written = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(_) => {
                    self.writable = false;
                    return self.lasting;
                }
            }
        }
        true
    }

    /// Drops what was to be sent, but for a piece whose beginning is already written.
    pub fn forget_output(&mut self) {
        let output = &mut self.output;
        let keep = usize::from(output.written > 0);
        output.pieces.truncate(keep);
        output.waiting = match output.pieces.front() {
            None => 0,
            Some(Piece::Owned(bytes)) => bytes.len(),
            Some(Piece::Shared(block)) => block.borrow().bytes().len(),
        };
        output.waiting = output.waiting.saturating_sub(output.written);
    }
}

fn write_rest(fd: &OwnedFd, bytes: &[u8], written: usize) -> io::Result<usize> {
    sys::write(fd.as_fd(), bytes.get(written..).unwrap_or_default())
}
