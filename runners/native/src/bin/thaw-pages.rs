//! `thaw-pages KEEPER BYTES OUT [INHERITED]`, run on the host: copies the pages of a stopped machine's memory that are its own, not its
//! snapshot's. KEEPER is the socket of the machine's keeper, which says which process it is. That maps the snapshot's memory of BYTES bytes
//! privately, so what it has written is anonymous memory.
//!
//! Says `ready` when all is prepared, waits for a line on standard input, copies, says `copied BYTES`: from here on the machine may go on.
//! Then finishes OUT and says `done BYTES`. INHERITED is the file of a machine whose snapshot was itself laid over with pages: what was not
//! written since is taken over from it, so that OUT is always relative to the snapshot.
//!
//! It takes at most 64 MiB of memory, whatever there is to copy. What fits is copied into memory and written when the machine goes on; what is
//! above that is written while it stands still. OUT has its data in the order of the pages, so the place of a page is known once all before it
//! have been looked at for zeros.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use thaw_native::cores::on_all_cores;
use thaw_native::page_set::PageSet;
use thaw_native::pages::{PAGE_BYTES, Run, is_zero, read_index, write_index};
use thaw_native::protocol::process_of;
use thaw_native::sys::has_ended;

const PAGE: u64 = PAGE_BYTES as u64;
/// Kept in memory until the machine goes on.
const KEPT_PAGES: u64 = (40 << 20) / PAGE;
/// Copied at once by one thread.
const WINDOW_PAGES: u64 = 256;
/// Of the kernel's page map read at once, 8 bytes a page.
const PAGEMAP_BYTES: usize = 1 << 20;
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
    let memory = Memory { pid, start: find_mapping(pid, bytes)?, pages: bytes / PAGE };
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let inherited = inherited.map(File::open).transpose()?;
    let mut layout = Layout::new(memory.pages);
    if let Some(file) = &inherited {
        for entry in read_index(file, bytes)? {
            let (run, _) = entry?;
            let set = if run.zero { &mut layout.zero } else { &mut layout.data };
            set.insert_all(run.pages);
        }
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(out)?;
    let own = memory.own_pages(&pagemap)?;
    let expected = own.count() + own.count() / 8 + (8 << 20) / PAGE;
    reserve(&file, &memory, &own, expected - own.count() + layout.data.count())?;
    // Touched, so that no page is faulted in while the machine stands still.
    let mut kept = vec![1; (expected.min(KEPT_PAGES) * PAGE) as usize];
    drop(own);
    say("ready")?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::other("the caller ended before the start"));
    }

    let own = memory.own_pages(&pagemap)?;
    layout.data.remove_all(&own);
    layout.zero.remove_all(&own);
    let windows = windows(&own, memory.pages);
    let (now, later) = windows.split_at(first_kept(&windows));
    let target = Target { file: &file, own: &own, layout: Mutex::new(layout), turn: Condvar::new() };
    target.write(now, &Source::Memory(&memory))?;
    keep(&memory, &own, later, &mut kept)?;
    // A pid is nobody else's while its process has not ended, so all that was read was the machine's.
    if has_ended(process.as_fd())? {
        return Err(io::Error::other("the machine has ended"));
    }
    say(&format!("copied {}", own.count() * PAGE))?;

    target.write(later, &Source::Kept(&kept, later))?;
    drop(kept);
    let layout = target.layout.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(inherited) = &inherited {
        take_over(inherited, bytes, &own, &layout, &file)?;
    }
    let end = write_index(&file, bytes, PAGE + layout.data.count() * PAGE, layout.runs(memory.pages))?;
    // Gives back what was reserved beyond.
    file.set_len(end)?;
    say(&format!("done {end}"))
}

/// Takes room on the disk for the pages there are now and for `others`, while nothing stands still yet. Where there is not enough for all of
/// them, those of zeros are not counted.
fn reserve(file: &File, memory: &Memory, own: &PageSet, others: u64) -> io::Result<()> {
    let fallocate = |pages: u64| {
        let length = (PAGE + pages * PAGE) as i64;
        // SAFETY: plain numbers.
        match unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    match fallocate(own.count() + others) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => fallocate(memory.count_data(own)? + others),
        other => other,
    }
}

/// A stretch of memory with at most `WINDOW_PAGES` own pages, from a multiple of 64 to another.
struct Window {
    pages: Range<u64>,
    /// How many of them are copied.
    own: u64,
}

fn windows(own: &PageSet, pages: u64) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for start in (0..pages).step_by(64) {
        let word = start..start + 64;
        let count = own.count_in(word.clone());
        match windows.last_mut() {
            Some(last) if last.own + count <= WINDOW_PAGES => {
                last.pages.end = word.end;
                last.own += count;
            }
            _ => windows.push(Window { pages: word, own: count }),
        }
    }
    windows
}

/// Index of the first window from which on all fit into memory.
fn first_kept(windows: &[Window]) -> usize {
    let mut kept = 0;
    for (index, window) in windows.iter().enumerate().rev() {
        kept += window.own;
        if kept > KEPT_PAGES {
            return index + 1;
        }
    }
    0
}

/// The machine's memory, as the process maps it.
struct Memory {
    pid: i32,
    start: u64,
    pages: u64,
}

impl Memory {
    /// Pages that the process has written.
    fn own_pages(&self, pagemap: &File) -> io::Result<PageSet> {
        let mut entries = vec![0; PAGEMAP_BYTES];
        let mut own = PageSet::new(self.pages);
        let mut page = 0;
        while page < self.pages {
            let count = (self.pages - page).min(entries.len() as u64 / 8);
            let piece = &mut entries[..count as usize * 8];
            pagemap.read_exact_at(piece, (self.start / PAGE + page) * 8)?;
            for (number, entry) in (page..).zip(piece.chunks_exact(8)) {
                let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
                if entry & FILE_OR_SHARED == 0 && entry & (PRESENT | SWAPPED) != 0 {
                    own.insert(number);
                }
            }
            page += count;
        }
        Ok(own)
    }

    /// Own pages of a window, one after another.
    fn read(&self, own: &PageSet, window: &Window, into: &mut [u8]) -> io::Result<()> {
        let vector = |at: u64, length: u64| libc::iovec { iov_base: at as *mut libc::c_void, iov_len: length as usize };
        let runs = own.runs(window.pages.clone());
        let mut remote: Vec<libc::iovec> =
            runs.map(|run| vector(self.start + run.start * PAGE, (run.end - run.start) * PAGE)).collect();
        let mut remote = remote.as_mut_slice();
        let mut done = 0;
        while done < into.len() {
            let rest = &mut into[done..];
            let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
            // SAFETY: `local` is a slice of ours; `remote` is only ever read, by the kernel, which checks it.
            let read = unsafe { libc::process_vm_readv(self.pid, &local, 1, remote.as_ptr(), remote.len() as u64, 0) };
            match usize::try_from(read) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(mut count) => {
                    done += count;
                    while count > 0 && count >= remote[0].iov_len {
                        count -= remote[0].iov_len;
                        remote = &mut remote[1..];
                    }
                    if count > 0 {
                        remote[0].iov_base = remote[0].iov_base.wrapping_byte_add(count);
                        remote[0].iov_len -= count;
                    }
                }
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(())
    }

    /// How many of these pages are not all zero.
    fn count_data(&self, own: &PageSet) -> io::Result<u64> {
        let mut buffer = vec![0; (WINDOW_PAGES * PAGE) as usize];
        let mut count = 0;
        for window in windows(own, self.pages) {
            let into = &mut buffer[..(window.own * PAGE) as usize];
            self.read(own, &window, into)?;
            count += into.chunks_exact(PAGE_BYTES).filter(|page| !is_zero(page)).count() as u64;
        }
        Ok(count)
    }
}

/// Copies windows into memory, on every core that there is: the machine stands still and needs none.
fn keep(memory: &Memory, own: &PageSet, windows: &[Window], kept: &mut Vec<u8>) -> io::Result<()> {
    kept.resize((windows.iter().map(|window| window.own).sum::<u64>() * PAGE) as usize, 0);
    let mut rest = kept.as_mut_slice();
    let mut work = Vec::with_capacity(windows.len());
    for window in windows {
        let (into, behind) = rest.split_at_mut((window.own * PAGE) as usize);
        work.push((window, into));
        rest = behind;
    }
    let work = Mutex::new(work);
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).pop();
    on_all_cores(windows.len(), || {
        while let Some((window, into)) = next() {
            memory.read(own, window, into)?;
        }
        Ok(())
    })
}

/// Where the pages of windows come from.
enum Source<'a> {
    Memory(&'a Memory),
    /// All of these windows' own pages, one after another.
    Kept(&'a [u8], &'a [Window]),
}

impl Source<'_> {
    fn load<'b>(
        &'b self,
        own: &PageSet,
        windows: &[Window],
        index: usize,
        buffer: &'b mut Vec<u8>,
    ) -> io::Result<&'b [u8]> {
        match self {
            Source::Memory(memory) => {
                buffer.resize((windows[index].own * PAGE) as usize, 0);
                memory.read(own, &windows[index], buffer)?;
                Ok(buffer)
            }
            Source::Kept(kept, windows) => {
                let from = windows[..index].iter().map(|window| window.own).sum::<u64>() * PAGE;
                Ok(&kept[from as usize..][..(windows[index].own * PAGE) as usize])
            }
        }
    }
}

/// Which page has data in OUT, which is known to be zero, and how far both are known.
struct Layout {
    /// Beyond the windows that were placed: pages that are taken over from an earlier difference.
    data: PageSet,
    zero: PageSet,
    /// Windows placed since `Target::write` began.
    placed: usize,
    /// Where the data of the next window begins.
    at: u64,
    failed: bool,
}

/// Pages of a loaded window that go to one place.
struct Piece {
    from: usize,
    length: usize,
    at: u64,
}

impl Layout {
    fn new(pages: u64) -> Layout {
        let (data, zero) = (PageSet::new(pages), PageSet::new(pages));
        Layout { data, zero, placed: 0, at: PAGE, failed: false }
    }

    /// Finds the place of a window's pages. Between them lie those that are taken over later.
    fn place(&mut self, own: &PageSet, window: &Window, loaded: &[u8]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut from = 0;
        let mut page = window.pages.start;
        for run in own.runs(window.pages.clone()) {
            self.at += PAGE * self.data.count_in(page..run.start);
            for number in run.clone() {
                if is_zero(&loaded[from..from + PAGE_BYTES]) {
                    self.zero.insert(number);
                } else {
                    self.data.insert(number);
                    match pieces.last_mut() {
                        Some(last) if last.from + last.length == from && last.at + last.length as u64 == self.at => {
                            last.length += PAGE_BYTES;
                        }
                        _ => pieces.push(Piece { from, length: PAGE_BYTES, at: self.at }),
                    }
                    self.at += PAGE;
                }
                from += PAGE_BYTES;
            }
            page = run.end;
        }
        self.at += PAGE * self.data.count_in(page..window.pages.end);
        pieces
    }

    /// What the index says, ascending.
    fn runs(&self, pages: u64) -> impl Iterator<Item = Run> {
        let mut data = self.data.runs(0..pages).peekable();
        let mut zero = self.zero.runs(0..pages).peekable();
        std::iter::from_fn(move || {
            let is_zero = match (data.peek(), zero.peek()) {
                (Some(data), Some(zero)) => zero.start < data.start,
                (data, _) => data.is_none(),
            };
            let pages = if is_zero { zero.next() } else { data.next() }?;
            Some(Run { pages, zero: is_zero })
        })
    }
}

struct Target<'a> {
    file: &'a File,
    own: &'a PageSet,
    layout: Mutex<Layout>,
    turn: Condvar,
}

impl Target<'_> {
    /// Loads windows and writes them, on every core; they are placed in their order.
    fn write(&self, windows: &[Window], source: &Source) -> io::Result<()> {
        self.lock().placed = 0;
        let next = AtomicUsize::new(0);
        on_all_cores(windows.len(), || {
            let mut buffer = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= windows.len() {
                    return Ok(());
                }
                let written = self.write_one(windows, index, source, &mut buffer);
                if written.is_err() {
                    self.lock().failed = true;
                    self.turn.notify_all();
                    return written;
                }
            }
        })
    }

    fn write_one(&self, windows: &[Window], index: usize, source: &Source, buffer: &mut Vec<u8>) -> io::Result<()> {
        let loaded = source.load(self.own, windows, index, buffer)?;
        let pieces = {
            let waiting = |layout: &mut Layout| layout.placed != index && !layout.failed;
            let mut layout = self.turn.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
            if layout.failed {
                return Err(io::Error::other("writing another part of the memory failed"));
            }
            let pieces = layout.place(self.own, &windows[index], loaded);
            layout.placed += 1;
            self.turn.notify_all();
            pieces
        };
        for Piece { from, length, at } in pieces {
            self.file.write_all_at(&loaded[from..from + length], at)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies what the machine has not written since from the earlier difference to where there was left room for it.
fn take_over(inherited: &File, bytes: u64, own: &PageSet, layout: &Layout, file: &File) -> io::Result<()> {
    let mut buffer = vec![0; (WINDOW_PAGES * PAGE) as usize];
    // The place of `page`.
    let (mut page, mut at) = (0, PAGE);
    for entry in read_index(inherited, bytes)? {
        let (run, data_at) = entry?;
        if run.zero {
            continue;
        }
        for taken in layout.data.runs(run.pages.clone()) {
            let mut rest = taken;
            while rest.start < rest.end {
                if own.contains(rest.start) {
                    rest.start += 1;
                    continue;
                }
                let end = own.runs(rest.clone()).next().map_or(rest.end, |written| written.start);
                let piece = rest.start..end.min(rest.start + WINDOW_PAGES);
                at += PAGE * layout.data.count_in(page..piece.start);
                let into = &mut buffer[..((piece.end - piece.start) * PAGE) as usize];
                inherited.read_exact_at(into, data_at + (piece.start - run.pages.start) * PAGE)?;
                file.write_all_at(into, at)?;
                at += into.len() as u64;
                page = piece.end;
                rest.start = piece.end;
            }
        }
    }
    Ok(())
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
    Err(io::Error::other(format!("process {pid} has no private mapping of {bytes} bytes")))
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
