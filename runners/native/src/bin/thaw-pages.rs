//! `thaw-pages KEEPER BYTES OUT [INHERITED]`, run on the host: copies the pages of a stopped machine's memory that are its own, not its
//! snapshot's. KEEPER is the socket of the machine's keeper, which says which process it is. That maps the snapshot's memory of BYTES bytes
//! privately, so what it has written is anonymous memory.
//!
//! Says `ready` when all is prepared, waits for a line on standard input, copies into its own memory, says `copied BYTES`: from here on the
//! machine may go on. Then writes OUT and says `done BYTES`. INHERITED is the file of a machine whose snapshot was itself laid over with pages:
//! what was not written since is taken over from it, so that OUT is always relative to the snapshot.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;

use std::os::fd::AsFd;
use std::path::Path;
use thaw_native::pages::{PAGE_BYTES, Run, is_zero, read_index, write_index};
use thaw_native::protocol::process_of;
use thaw_native::sys::has_ended;

/// Copied while the machine stands still; what is above goes to the file in that time.
const KEPT_BYTES: usize = 512 << 20;
const CHUNK_PAGES: u64 = 1_024;
/// Bits of an entry of /proc/PID/pagemap.
const FILE_OR_SHARED: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (keeper, bytes, out, inherited) = match arguments.as_slice() {
        [keeper, bytes, out] => (keeper, bytes, out, None),
        [keeper, bytes, out, inherited] => (keeper, bytes, out, Some(inherited)),
        _ => {
            eprintln!("usage: thaw-pages KEEPER BYTES OUT [INHERITED]");
            return ExitCode::from(2);
        }
    };
    let Ok(bytes) = bytes.parse() else {
        eprintln!("thaw-pages: {bytes} is not a number");
        return ExitCode::from(2);
    };
    match take(keeper, bytes, out, inherited.map(String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thaw-pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take(keeper: &str, bytes: u64, out: &str, inherited: Option<&str>) -> io::Result<()> {
    let (pid, process) = process_of(Path::new(keeper))?;
    let start = find_mapping(pid, bytes)?;
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let inherited = inherited.map(File::open).transpose()?;
    let earlier = inherited.as_ref().map_or(Ok(Vec::new()), |file| read_index(file, bytes))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(out)?;
    // Room for what there is now, touched, so that no page is faulted in while the machine stands still.
    let expected: u64 = own_runs(&pagemap, start, bytes)?.iter().map(|(_, pages)| pages * PAGE_BYTES as u64).sum();
    let room = usize::try_from(expected + expected / 8 + (8 << 20)).map_or(KEPT_BYTES, |room| room.min(KEPT_BYTES));
    let kept = vec![1; room];
    let mut writer = Writer { file, kept, used: 0, raw: 0, at: PAGE_BYTES as u64, runs: Vec::new() };
    say("ready")?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::other("was not told to begin"));
    }
    let runs = own_runs(&pagemap, start, bytes)?;
    let own: Vec<(u64, u64)> = runs.iter().map(|(first, pages)| (*first, first + pages)).collect();
    let copied = PAGE_BYTES as u64 * runs.iter().map(|(_, pages)| pages).sum::<u64>();
    let mut rest = chunks(&runs);
    while !rest.is_empty() {
        let now = rest.drain(..rest.len().min(KEPT_BYTES / (CHUNK_PAGES as usize * PAGE_BYTES))).collect::<Vec<_>>();
        writer.copy(pid, start, &now)?;
    }
    // A pid is nobody else's while its process has not ended, so all that was read was the machine's.
    if has_ended(process.as_fd())? {
        return Err(io::Error::other("the machine has ended"));
    }
    say(&format!("copied {copied}"))?;
    if let Some(file) = &inherited {
        writer.take_over(file, &earlier, &own)?;
    }
    let total = writer.finish(bytes)?;
    say(&format!("done {total}"))
}

/// Runs in pieces that can be copied beside each other.
fn chunks(runs: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let split = |&(first, pages): &(u64, u64)| {
        let starts = (first..first + pages).step_by(CHUNK_PAGES as usize);
        starts.map(move |at| (at, (first + pages - at).min(CHUNK_PAGES)))
    };
    runs.iter().flat_map(split).collect()
}

struct Writer {
    file: File,
    /// As long as there is room, so that nothing is cleared before it is written over.
    kept: Vec<u8>,
    /// What of it is in use.
    used: usize,
    /// Runs from here on are as they were copied: not yet looked at for zeros.
    raw: usize,
    /// Where `kept` goes.
    at: u64,
    runs: Vec<Run>,
}

impl Writer {
    /// Copies chunks, on every core that there is: the machine stands still and needs none.
    fn copy(&mut self, pid: i32, start: u64, chunks: &[(u64, u64)]) -> io::Result<()> {
        let length = chunks.iter().map(|(_, pages)| *pages as usize * PAGE_BYTES).sum::<usize>();
        if self.used + length > KEPT_BYTES {
            self.flush()?;
        }
        let from = self.used;
        self.used += length;
        if self.used > self.kept.len() {
            self.kept.resize(self.used, 0);
        }
        let mut rest = &mut self.kept[from..self.used];
        let mut work = Vec::with_capacity(chunks.len());
        for (first, pages) in chunks {
            let (into, behind) = rest.split_at_mut(*pages as usize * PAGE_BYTES);
            work.push((start + first * PAGE_BYTES as u64, into));
            rest = behind;
            self.runs.push(Run { first: *first, pages: *pages as u32, zero: false });
        }
        let work = Mutex::new(work);
        let next = || work.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let copy = || -> io::Result<()> {
            while let Some((address, into)) = next() {
                read_memory(pid, address, into)?;
            }
            Ok(())
        };
        let helpers = thread::available_parallelism().map_or(1, usize::from).min(chunks.len()).saturating_sub(1);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..helpers).map(|_| scope.spawn(copy)).collect();
            let own = copy();
            let others = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a copy failed"))));
            others.fold(own, io::Result::and)
        })
    }

    /// Leaves out the pages of zeros among those kept.
    fn sift(&mut self) {
        let raw = self.runs.split_off(self.raw);
        let (mut from, mut to) = (0, 0);
        for run in raw {
            for page in run.first..run.end() {
                let zero = is_zero(&self.kept[from..from + PAGE_BYTES]);
                if !zero {
                    self.kept.copy_within(from..from + PAGE_BYTES, to);
                    to += PAGE_BYTES;
                }
                from += PAGE_BYTES;
                self.note(page, zero);
            }
        }
        self.used = to;
    }

    /// Runs come in any order of theirs, the data in the order of the runs.
    fn note(&mut self, page: u64, zero: bool) {
        match self.runs.last_mut() {
            Some(run) if run.end() == page && run.zero == zero && run.pages < u32::MAX => run.pages += 1,
            _ => self.runs.push(Run { first: page, pages: 1, zero }),
        }
    }

    fn keep(&mut self, page: &[u8]) {
        if self.used + page.len() > self.kept.len() {
            self.kept.resize(self.used + CHUNK_PAGES as usize * PAGE_BYTES, 0);
        }
        self.kept[self.used..self.used + page.len()].copy_from_slice(page);
        self.used += page.len();
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sift();
        self.store()
    }

    fn store(&mut self) -> io::Result<()> {
        self.raw = self.runs.len();
        self.file.write_all_at(&self.kept[..self.used], self.at)?;
        self.at += self.used as u64;
        self.used = 0;
        Ok(())
    }

    /// Pages of an earlier difference that are not among the ranges written since.
    fn take_over(&mut self, file: &File, earlier: &[(Run, u64)], own: &[(u64, u64)]) -> io::Result<()> {
        self.flush()?;
        let mut page = [0; PAGE_BYTES];
        let mut next = 0;
        for (run, data_at) in earlier {
            for number in run.first..run.end() {
                while next < own.len() && own[next].1 <= number {
                    next += 1;
                }
                if next < own.len() && own[next].0 <= number {
                    continue;
                }
                if !run.zero {
                    file.read_exact_at(&mut page, data_at + (number - run.first) * PAGE_BYTES as u64)?;
                    self.keep(&page);
                }
                self.note(number, run.zero);
                if self.used > KEPT_BYTES {
                    self.store()?;
                }
            }
        }
        self.store()
    }

    /// The index is sorted, so its data is too: runs that were taken over lie between the others.
    fn finish(mut self, memory_bytes: u64) -> io::Result<u64> {
        self.flush()?;
        let mut at = PAGE_BYTES as u64;
        let mut placed: Vec<(Run, u64)> = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            placed.push((*run, at));
            at += run.data_bytes();
        }
        if placed.is_sorted_by_key(|(run, _)| run.first) {
            write_index(&self.file, memory_bytes, at, &self.runs)?;
            return Ok(at);
        }
        self.reorder(placed, at, memory_bytes)
    }

    /// Writes the data again behind itself in the order of the runs, then moves it to the front.
    fn reorder(self, mut placed: Vec<(Run, u64)>, end: u64, memory_bytes: u64) -> io::Result<u64> {
        placed.sort_by_key(|(run, _)| run.first);
        let length = usize::try_from(end - PAGE_BYTES as u64).map_err(io::Error::other)?;
        let mut sorted = Vec::with_capacity(length);
        let reader = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.file)))?;
        for (run, data_at) in &placed {
            let from = sorted.len();
            sorted.resize(from + run.data_bytes() as usize, 0);
            reader.read_exact_at(&mut sorted[from..], *data_at)?;
        }
        self.file.write_all_at(&sorted, PAGE_BYTES as u64)?;
        let runs: Vec<Run> = placed.into_iter().map(|(run, _)| run).collect();
        write_index(&self.file, memory_bytes, end, &runs)?;
        Ok(end)
    }
}

/// Where PID maps its machine's memory: the one private, writable mapping of a file that is `bytes` long, in one piece or several.
fn find_mapping(pid: i32, bytes: u64) -> io::Result<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    // Start of the piece under way, where it ends, and the file.
    let mut piece: Option<(u64, u64, String)> = None;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [range, rights, offset, device, inode, ..] = fields.as_slice() else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        let (from, to, offset) = (hex(from), hex(to), hex(offset));
        let file = format!("{device} {inode}");
        if *inode == "0" || !rights.starts_with("rw") || !rights.ends_with('p') {
            piece = None;
            continue;
        }
        let goes_on = |(start, end, of): &(u64, u64, String)| *of == file && *end == from && from - start == offset;
        piece = match piece {
            Some(known) if goes_on(&known) => Some((known.0, to, known.2)),
            _ if offset == 0 => Some((from, to, file)),
            _ => None,
        };
        if let Some((start, end, _)) = &piece
            && end - start == bytes
        {
            return Ok(*start);
        }
    }
    Err(io::Error::other(format!("process {pid} maps no memory of {bytes} bytes privately")))
}

/// First page and length of each run of pages that the process has written.
fn own_runs(pagemap: &File, start: u64, bytes: u64) -> io::Result<Vec<(u64, u64)>> {
    let total = bytes / PAGE_BYTES as u64;
    let mut entries = vec![0; 1 << 20];
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut page = 0;
    while page < total {
        let count = (total - page).min(entries.len() as u64 / 8);
        let piece = &mut entries[..count as usize * 8];
        pagemap.read_exact_at(piece, (start / PAGE_BYTES as u64 + page) * 8)?;
        for (index, entry) in piece.chunks_exact(8).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
            if entry & FILE_OR_SHARED != 0 || entry & (PRESENT | SWAPPED) == 0 {
                continue;
            }
            let number = page + index as u64;
            match runs.last_mut() {
                Some((first, pages)) if *first + *pages == number => *pages += 1,
                _ => runs.push((number, 1)),
            }
        }
        page += count;
    }
    Ok(runs)
}

fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
        let remote = libc::iovec { iov_base: (address as usize + done) as *mut libc::c_void, iov_len: rest.len() };
        // SAFETY: `local` is a slice of ours; `remote` is only ever read, by the kernel, which checks it.
        let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
        match usize::try_from(read) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(count) => done += count,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
