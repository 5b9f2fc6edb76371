//! The receive buffer: bytes from the host, cut into frames in place.

use crate::frame::{Decoded, Fault, Header, decode};
use crate::protocol::*;
use crate::sys;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Room for three frames of the largest size, so that many of the console's 4 KiB reads fit between two rounds of parsing.
const BUFFER_BYTES: usize = 4 * 65_536;

/// A hello is small: while looking for one among garbage, a longer one is taken for garbage too.
const MAX_HELLO_BYTES: usize = 8_192;

/// What `Input::next_frame` found.
#[derive(Debug)]
pub enum Parsed {
    /// A frame and where its payload lies; see `Input::bytes`.
    Frame(Header, Range<usize>),
    /// Everything received so far is used up.
    Incomplete,
    /// The stream is out of step. The input now looks for a hello.
    Faulty(Fault),
}

/// How a `fill` ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// The buffer is full, there may be more.
    Full,
    /// Everything there was has been read.
    Drained,
    /// The other side is gone.
    Closed,
}

/// Bytes from the host.
pub struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Out of step (or not yet in step): skip everything but a hello.
    hunting: bool,
}

impl Default for Input {
    fn default() -> Self {
        // A zeroed allocation of this size is mapped lazily: pages never used are never there.
        Self { buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0, hunting: true }
    }
}

impl Input {
    /// An input without a buffer, to stand in for one that is in use.
    pub fn none() -> Self {
        Self { buffer: Box::default(), start: 0, end: 0, hunting: true }
    }

    /// Reads until nothing more is there or the buffer is full.
    pub fn fill(&mut self, fd: BorrowedFd) -> io::Result<Filled> {
        loop {
            self.make_room();
            let Some(space) = self.buffer.get_mut(self.end..).filter(|space| !space.is_empty()) else {
                return Ok(Filled::Full);
            };
            match sys::read(fd, space) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Filled::Drained),
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds bytes that were received some other way; returns how many fitted.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.make_room();
        let count = bytes.len().min(self.buffer.len() - self.end);
        self.buffer[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// The next frame.
    pub fn next_frame(&mut self) -> Parsed {
        loop {
            self.skip_zeros();
            let bytes = &self.buffer[self.start..self.end];
            if bytes.is_empty() {
                return Parsed::Incomplete;
            }
            if self.hunting && !may_be_hello(bytes) {
                self.start += 1;
                continue;
            }
            match decode(bytes) {
                Decoded::Incomplete => return Parsed::Incomplete,
                Decoded::Frame(header) => {
                    let payload = self.start + HEADER_BYTES..self.start + HEADER_BYTES + header.length;
                    self.start += header.frame_bytes();
                    return Parsed::Frame(header, payload);
                }
                Decoded::Faulty(fault) => {
                    // One byte on: the hello may lie within what looked like this frame's payload.
                    self.start += 1;
                    if !self.hunting {
                        self.hunting = true;
                        return Parsed::Faulty(fault);
                    }
                }
            }
        }
    }

    /// The bytes of a range that `next_frame` gave, valid until the next `fill`.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// A hello was accepted: whole frames follow.
    pub fn in_step(&mut self) {
        self.hunting = false;
    }

    /// The session ended: nothing but a hello counts.
    pub fn hunt(&mut self) {
        self.hunting = true;
    }

    fn skip_zeros(&mut self) {
        let bytes = &self.buffer[self.start..self.end];
        if bytes.first().is_some_and(|&byte| byte != 0) {
            return;
        }
        // Whole words first: the run that opens a session is as long as the largest frame.
        let words = bytes.chunks_exact(16).take_while(|word| u128::from_ne_bytes(word_of(word)) == 0);
        let skipped = words.count() * 16;
        let zeros = bytes[skipped..].iter().take_while(|&&byte| byte == 0).count();
        self.start += skipped + zeros;
    }

    /// Moves what is left to the front, when that is free or needed.
    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

fn word_of(chunk: &[u8]) -> [u8; 16] {
    chunk.try_into().unwrap_or([1; 16])
}

/// Whether the bytes may be the beginning of a hello.
fn may_be_hello(bytes: &[u8]) -> bool {
    let expected = [Some(MAGIC), Some(HELLO), Some(0), Some(0)];
    let start = bytes.iter().zip(expected).all(|(&byte, want)| want.is_none_or(|want| want == byte));
    let stream = bytes.iter().skip(12).take(4).all(|&byte| byte == 0);
    let length = match bytes.get(16..20) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => 0,
    };
    start && stream && length <= MAX_HELLO_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Address;

    fn hello(session: u64) -> Vec<u8> {
        Address { session, stream: 0 }.frame(HELLO, 0, b"{}")
    }

    #[test]
    fn finds_a_hello_among_garbage() {
        let mut input = Input::default();
        input.push(&[1, 2, MAGIC, MAGIC, HELLO, 9, 0]);
        input.push(&hello(7));
        assert!(matches!(input.next_frame(), Parsed::Frame(header, _) if header.session == 7));
        assert!(matches!(input.next_frame(), Parsed::Incomplete));
    }

    #[test]
    fn a_run_of_zeros_completes_half_a_frame() {
        let mut input = Input::default();
        input.in_step();
        let half = Address { session: 1, stream: 3 }.frame(DATA, 0, &[7; 60_000]);
        input.push(&half[..100]);
        assert!(matches!(input.next_frame(), Parsed::Incomplete));
        input.push(&vec![0; MAX_FRAME_BYTES]);
        input.push(&hello(2));
        assert!(matches!(input.next_frame(), Parsed::Faulty(Fault::Trailer)));
        assert!(matches!(input.next_frame(), Parsed::Frame(header, _) if header.session == 2));
    }

    #[test]
    fn takes_frames_byte_by_byte() {
        let mut input = Input::default();
        let frame = hello(5);
        for byte in &frame[..frame.len() - 1] {
            input.push(&[*byte]);
            assert!(matches!(input.next_frame(), Parsed::Incomplete));
        }
        input.push(&[TRAILER]);
        let Parsed::Frame(_, range) = input.next_frame() else { panic!("no frame") };
        assert_eq!(input.bytes(range), b"{}");
    }
}
