//! An exec's output, kept until the host has dealt with it.
//!
//! Output is read from the pipe straight into blocks that have room for a frame's header in front and for the trailer behind. A block
//! that one read filled at least by half is sent as it lies; smaller pieces are copied, which costs little and packs the ring.

use crate::frame::Address;
use crate::protocol::*;
use crate::sys;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// A block shared between the ring and the link's output.
pub type SharedBlock = Rc<RefCell<Block>>;

/// A tail with less space than this is left alone: short reads cost more than the space is worth.
const MIN_SPACE_BYTES: usize = 4_096;

/// One frame's worth of output.
pub struct Block {
    /// Header space, payload and, once sealed, the trailer.
    bytes: Vec<u8>,
    sealed: bool,
    /// Offset of the payload's first byte in the channel.
    offset: u64,
}

impl Block {
    fn new(offset: u64) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + BULK_PAYLOAD_BYTES + 1);
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, sealed: false, offset }
    }

    /// The frame, once it is sealed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn payload(&self) -> &[u8] {
        let end = self.bytes.len() - usize::from(self.sealed);
        self.bytes.get(HEADER_BYTES..end).unwrap_or_default()
    }

    fn end(&self) -> u64 {
        self.offset + self.payload().len() as u64
    }

    fn space(&self) -> usize {
        if self.sealed { 0 } else { HEADER_BYTES + BULK_PAYLOAD_BYTES - self.bytes.len() }
    }

    fn seal(&mut self, address: Address, channel: u8) {
        let header = address.header(DATA, channel, self.payload().len());
        if !self.sealed {
            self.bytes.push(TRAILER);
            self.sealed = true;
        }
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.bytes());
    }
}

/// A frame made of a ring's bytes.
pub enum RingFrame {
    Copied(Vec<u8>),
    Shared(SharedBlock),
}

/// At most a window of output, at absolute offsets.
#[derive(Default)]
pub struct Ring {
    blocks: VecDeque<SharedBlock>,
    start: u64,
    end: u64,
}

impl Ring {
    /// Offset of the oldest byte kept.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset behind the newest byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that may be added.
    pub fn room(&self) -> usize {
        EXEC_WINDOW_BYTES.saturating_sub((self.end - self.start) as usize)
    }

    /// Reads once from `fd`, at most `limit` bytes and one block.
    pub fn fill(&mut self, fd: BorrowedFd, limit: usize) -> io::Result<usize> {
        let limit = limit.min(self.room());
        let tail = self.blocks.back().filter(|block| block.borrow().space() >= MIN_SPACE_BYTES);
        let count = match tail {
            Some(block) => {
                let mut block = block.borrow_mut();
                let space = block.space();
                sys::read_append(fd, &mut block.bytes, limit.min(space))?
            }
            None => {
                let mut block = Block::new(self.end);
                let count = sys::read_append(fd, &mut block.bytes, limit.min(BULK_PAYLOAD_BYTES))?;
                if count > 0 {
                    self.blocks.push_back(Rc::new(RefCell::new(block)));
                }
                count
            }
        };
        self.end += count as u64;
        Ok(count)
    }

    /// A frame of the bytes from `offset` on, and how many there are in it. None at the end.
    pub fn frame(&self, offset: u64, address: Address, channel: u8) -> Option<(RingFrame, usize)> {
        let block = self.blocks.iter().find(|block| block.borrow().end() > offset)?;
        let whole = block.borrow().offset == offset;
        // A block still in the link's output must keep the header it has.
        let free = Rc::strong_count(block) == 1;
        if whole && free && block.borrow().payload().len() >= BULK_PAYLOAD_BYTES / 2 {
            block.borrow_mut().seal(address, channel);
            let length = block.borrow().payload().len();
            return Some((RingFrame::Shared(Rc::clone(block)), length));
        }
        let block = block.borrow();
        let skip = offset.saturating_sub(block.offset) as usize;
        let bytes = block.payload().get(skip..).unwrap_or_default();
        Some((RingFrame::Copied(address.frame(DATA, channel, bytes)), bytes.len()))
    }

    /// Drops everything before `offset`.
    pub fn acknowledge(&mut self, offset: u64) {
        self.start = offset.clamp(self.start, self.end);
        while self.blocks.front().is_some_and(|block| block.borrow().end() <= self.start) {
            self.blocks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    const HERE: Address = Address { session: 1, stream: 3 };

    fn filled(bytes: &[u8]) -> Ring {
        let (reader, writer) = sys::pipe().unwrap();
        let mut ring = Ring::default();
        for piece in bytes.chunks(30_000) {
            sys::write(writer.as_fd(), piece).unwrap();
            ring.fill(reader.as_fd(), usize::MAX).unwrap();
        }
        ring
    }

    fn frame_bytes(frame: RingFrame) -> Vec<u8> {
        match frame {
            RingFrame::Copied(bytes) => bytes,
            RingFrame::Shared(block) => block.borrow().bytes().to_vec(),
        }
    }

    #[test]
    fn copies_what_is_small_and_shares_what_is_large() {
        let ring = filled(b"hello");
        let (frame, length) = ring.frame(1, HERE, 1).unwrap();
        assert_eq!(length, 4);
        assert_eq!(frame_bytes(frame), HERE.frame(DATA, 1, b"ello"));

        let bytes: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
        let ring = filled(&bytes);
        let (frame, length) = ring.frame(0, HERE, 1).unwrap();
        assert!(matches!(frame, RingFrame::Shared(_)));
        assert_eq!(length, 60_000);
        assert_eq!(frame_bytes(frame), HERE.frame(DATA, 1, &bytes));
        let again = Address { session: 2, stream: 5 };
        assert_eq!(frame_bytes(ring.frame(0, again, 2).unwrap().0), again.frame(DATA, 2, &bytes));
    }

    #[test]
    fn holds_one_window_and_frees_what_is_acknowledged() {
        let (reader, writer) = sys::pipe().unwrap();
        let mut ring = Ring::default();
        while ring.room() > 0 {
            sys::write(writer.as_fd(), &[1; 4096]).unwrap();
            ring.fill(reader.as_fd(), usize::MAX).unwrap();
        }
        assert_eq!(ring.end(), EXEC_WINDOW_BYTES as u64);
        ring.acknowledge(500_000);
        assert_eq!(ring.room(), 500_000);
        assert!(ring.blocks.len() <= 10);
        ring.acknowledge(u64::MAX);
        assert_eq!(ring.start(), ring.end());
        assert!(ring.blocks.is_empty());
    }
}
