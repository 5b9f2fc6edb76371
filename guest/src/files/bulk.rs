//! Large content, written past the page cache: under emulation the cache's bookkeeping for each page costs several times the copy.

use crate::sys;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// What is written at once. Fits one request to the disk.
const BUFFER_BYTES: usize = 512 * 1024;

/// What offsets, lengths and memory have to be a multiple of; no disk or file system in use asks for more.
const ALIGNMENT: usize = 4096;

/// Memory in which content is gathered, for one file after the other.
#[derive(Default)]
pub struct Buffer {
    memory: Vec<u8>,
    /// Where the first aligned byte is.
    start: usize,
}

impl Buffer {
    /// All of it, aligned. Allocated when it is first needed.
    fn bytes(&mut self) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = vec![0; BUFFER_BYTES + ALIGNMENT];
            self.start = self.memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        }
        self.memory.get_mut(self.start..self.start + BUFFER_BYTES).unwrap_or_default()
    }
}

/// A regular file that is written from front to back. What was given is in it after `finish`.
pub struct Bulk<'a> {
    file: &'a File,
    buffer: &'a mut Buffer,
    /// Bytes gathered, and where in the file they go.
    filled: usize,
    offset: u64,
    /// Whether the file system is thought to take writes past the cache, and whether the file is set to them now.
    willing: bool,
    direct: bool,
}

impl<'a> Bulk<'a> {
    pub fn new(file: &'a File, buffer: &'a mut Buffer) -> Self {
        Self { file, buffer, filled: 0, offset: 0, willing: true, direct: false }
    }

    /// Takes bytes for a place in the file.
    pub fn write(&mut self, mut bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset != self.offset + self.filled as u64 {
            self.flush()?;
            self.offset = offset;
        }
        while !bytes.is_empty() {
            let astray = (self.offset % ALIGNMENT as u64) as usize;
            if self.filled == 0 && (astray > 0 || !self.willing) {
                // Up to the next whole page, or all of it.
                let most = if self.willing { ALIGNMENT - astray } else { bytes.len() };
                let (head, rest) = bytes.split_at(most.min(bytes.len()));
                self.write_cached(head, self.offset)?;
                self.offset += head.len() as u64;
                bytes = rest;
                continue;
            }
            let space = self.buffer.bytes().get_mut(self.filled..).unwrap_or_default();
            let (taken, rest) = bytes.split_at(space.len().min(bytes.len()));
            space[..taken.len()].copy_from_slice(taken);
            self.filled += taken.len();
            bytes = rest;
            if self.filled == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is still gathered. The file is an ordinary one again.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.set_direct(false)
    }

    fn flush(&mut self) -> io::Result<()> {
        let whole = self.filled - self.filled % ALIGNMENT;
        let written = self.write_direct(whole)?;
        let memory = std::mem::take(self.buffer);
        let rest = memory.memory.get(memory.start + written..memory.start + self.filled).unwrap_or_default();
        let result = self.write_cached(rest, self.offset + written as u64);
        *self.buffer = memory;
        self.offset += self.filled as u64;
        self.filled = 0;
        result
    }

    /// Writes the first `length` bytes past the cache as far as that goes. @returns how many
    fn write_direct(&mut self, length: usize) -> io::Result<usize> {
        if length == 0 || !self.willing || self.set_direct(true).is_err() {
            self.willing &= length == 0;
            return Ok(0);
        }
        let bytes = self.buffer.bytes().get(..length).unwrap_or_default();
        match self.file.write_at(bytes, self.offset) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.willing = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn write_cached(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.set_direct(false)?;
        self.file.write_all_at(bytes, offset)
    }

    fn set_direct(&mut self, direct: bool) -> io::Result<()> {
        if direct != self.direct {
            sys::set_direct(self.file.as_fd(), direct)?;
            self.direct = direct;
        }
        Ok(())
    }
}
