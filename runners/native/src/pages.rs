//! The file of a difference: the pages of a machine's memory that are not its snapshot's.
//!
//! A header of one page, the data of all runs with data one after another, then the index. All numbers are little-endian.
//! Header: `thawpgs1`, u64 bytes of the memory, u64 offset of the index, u64 runs. Index, 16 bytes a run, ascending, not overlapping:
//! u64 first page, u32 pages, u32 kind (0 data, 1 all zero).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub const PAGE_BYTES: usize = 4_096;
const MAGIC: &[u8; 8] = b"thawpgs1";
/// A machine has a terabyte at most; one run a page.
const MAX_RUNS: u64 = (1 << 40) / PAGE_BYTES as u64;

#[derive(Clone, Copy)]
pub struct Run {
    pub first: u64,
    pub pages: u32,
    pub zero: bool,
}

impl Run {
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.pages)
    }

    pub fn data_bytes(&self) -> u64 {
        if self.zero { 0 } else { u64::from(self.pages) * PAGE_BYTES as u64 }
    }
}

/// Written last, so that a file that is not whole has no header.
pub fn write_index(file: &File, memory_bytes: u64, data_end: u64, runs: &[Run]) -> io::Result<()> {
    let mut index = Vec::with_capacity(runs.len() * 16);
    for run in runs {
        index.extend(run.first.to_le_bytes());
        index.extend(run.pages.to_le_bytes());
        index.extend(u32::from(run.zero).to_le_bytes());
    }
    file.write_all_at(&index, data_end)?;
    let mut header = Vec::with_capacity(32);
    header.extend(MAGIC);
    for number in [memory_bytes, data_end, runs.len() as u64] {
        header.extend(number.to_le_bytes());
    }
    file.write_all_at(&header, 0)
}

/// The runs, each with the offset of its data. Everything is checked: within the memory, ascending, data within the file.
pub fn read_index(file: &File, memory_bytes: u64) -> io::Result<Vec<(Run, u64)>> {
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0)?;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (memory, index_at, count) = (number(8), number(16), number(24));
    if &header[..8] != MAGIC || memory != memory_bytes || count > MAX_RUNS {
        return Err(invalid("not the pages of a memory of this size"));
    }
    let mut index = vec![0; usize::try_from(count * 16).map_err(|_| invalid("too many runs"))?];
    if file.metadata()?.len() < index_at.saturating_add(count * 16) {
        return Err(invalid("shorter than its index says"));
    }
    file.read_exact_at(&mut index, index_at)?;
    let mut runs = Vec::with_capacity(index.len() / 16);
    let mut data_at = PAGE_BYTES as u64;
    let mut free_from = 0;
    for entry in index.chunks_exact(16) {
        let run = Run {
            first: u64::from_le_bytes(entry[..8].try_into().expect("eight bytes")),
            pages: u32::from_le_bytes(entry[8..12].try_into().expect("four bytes")),
            zero: entry[12] == 1,
        };
        if run.first < free_from || run.pages == 0 || run.first > memory_bytes / PAGE_BYTES as u64 {
            return Err(invalid("runs out of order"));
        }
        free_from = run.end();
        runs.push((run, data_at));
        data_at += run.data_bytes();
    }
    if free_from > memory_bytes / PAGE_BYTES as u64 || data_at > index_at {
        return Err(invalid("runs outside of the memory"));
    }
    Ok(runs)
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
