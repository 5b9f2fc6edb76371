//! The file of a difference: the pages of a machine's memory that are not its snapshot's.
//!
//! A header of one page, the data of all runs with data one after another, then the index. All numbers are little-endian.
//! Header: `thawpgs1`, u64 bytes of the memory, u64 offset of the index, u64 runs. Index, 16 bytes a run, ascending, not overlapping:
//! u64 first page, u32 pages, u32 kind (0 data, 1 all zero).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

pub const PAGE_BYTES: usize = 4_096;
const MAGIC: &[u8; 8] = b"thawpgs1";
const ENTRY_BYTES: usize = 16;
/// The index is read and written in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub pages: Range<u64>,
    pub zero: bool,
}

impl Run {
    pub fn data_bytes(&self) -> u64 {
        if self.zero { 0 } else { (self.pages.end - self.pages.start) * PAGE_BYTES as u64 }
    }
}

/// Writes the index behind the data, then the header, so that a file that is not whole has none. `runs` ascend and don't touch.
pub fn write_index(file: &File, memory_bytes: u64, data_end: u64, runs: impl Iterator<Item = Run>) -> io::Result<u64> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut end = data_end;
    let mut count: u64 = 0;
    for run in runs {
        piece.extend(run.pages.start.to_le_bytes());
        piece.extend(u32::try_from(run.pages.end - run.pages.start).map_err(io::Error::other)?.to_le_bytes());
        piece.extend(u32::from(run.zero).to_le_bytes());
        count += 1;
        if piece.len() == PIECE_BYTES {
            file.write_all_at(&piece, end)?;
            end += piece.len() as u64;
            piece.clear();
        }
    }
    file.write_all_at(&piece, end)?;
    end += piece.len() as u64;
    let mut header = Vec::with_capacity(32);
    header.extend(MAGIC);
    for number in [memory_bytes, data_end, count] {
        header.extend(number.to_le_bytes());
    }
    file.write_all_at(&header, 0)?;
    Ok(end)
}

/// The runs of a file, each with the offset of its data. Each is checked before it is given out: ascending, within the memory, its data
/// before the index. After an error there are no more.
pub struct Index<'a> {
    file: &'a File,
    memory_pages: u64,
    index_at: u64,
    left: u64,
    piece: Vec<u8>,
    used: usize,
    read_at: u64,
    data_at: u64,
    free_from: u64,
}

/// Reads the header. A file of a memory of another size is refused.
pub fn read_index(file: &File, memory_bytes: u64) -> io::Result<Index<'_>> {
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0)?;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (memory, index_at, count) = (number(8), number(16), number(24));
    let memory_pages = memory_bytes / PAGE_BYTES as u64;
    if &header[..8] != MAGIC || memory != memory_bytes || count > memory_pages {
        return Err(invalid("not a pages file for a memory of this size"));
    }
    if file.metadata()?.len() < index_at.saturating_add(count * ENTRY_BYTES as u64) {
        return Err(invalid("the file is shorter than its index"));
    }
    let data_at = PAGE_BYTES as u64;
    let (piece, used, free_from) = (Vec::new(), 0, 0);
    Ok(Index { file, memory_pages, index_at, left: count, piece, used, read_at: index_at, data_at, free_from })
}

impl Index<'_> {
    fn take(&mut self) -> io::Result<(Run, u64)> {
        if self.used == self.piece.len() {
            self.piece.resize(PIECE_BYTES.min(self.left as usize * ENTRY_BYTES), 0);
            self.file.read_exact_at(&mut self.piece, self.read_at)?;
            self.read_at += self.piece.len() as u64;
            self.used = 0;
        }
        let entry = &self.piece[self.used..self.used + ENTRY_BYTES];
        let first = u64::from_le_bytes(entry[..8].try_into().expect("eight bytes"));
        let pages = u64::from(u32::from_le_bytes(entry[8..12].try_into().expect("four bytes")));
        let zero = entry[12] == 1;
        if first < self.free_from || pages == 0 || first >= self.memory_pages || pages > self.memory_pages - first {
            return Err(invalid("the index has entries that are out of order or beyond the end of the memory"));
        }
        let run = Run { pages: first..first + pages, zero };
        let data_at = self.data_at;
        self.data_at += run.data_bytes();
        if self.data_at > self.index_at {
            return Err(invalid("the index points beyond the end of the file"));
        }
        self.free_from = run.pages.end;
        self.used += ENTRY_BYTES;
        self.left -= 1;
        Ok((run, data_at))
    }
}

impl Iterator for Index<'_> {
    type Item = io::Result<(Run, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.left = 0;
        }
        Some(taken)
    }
}

pub fn is_zero(page: &[u8]) -> bool {
    let (before, words, after) = unsafe {
        // SAFETY: any bytes are a valid u128.
        page.align_to::<u128>()
    };
    // A page with data mostly shows it early, so look at lines rather than at all of it.
    before.iter().chain(after).all(|&byte| byte == 0)
        && words.chunks(4).all(|line| line.iter().fold(0, |all, word| all | word) == 0)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
