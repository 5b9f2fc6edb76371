//! `thaw-seal FILE [PAGES]`, run on the host: copies a file into memory that nobody can write to any more, and holds it until standard
//! input ends. Machines map it through /proc/PID/fd/FD: one copy for all, and no machine can change another's. The pages of a difference
//! are laid over it first. `thaw-seal FILE PAGES OUT` makes a new file of both instead, and ends.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thaw_native::cores::on_all_cores;
use thaw_native::pages::{PAGE_BYTES, is_zero, read_index};

/// Copied and compared piece by piece, so that the pieces stay in the processor's cache.
const CHUNK_BYTES: usize = 256 * 1024;
/// Taken by one thread at a time.
const PIECE_BYTES: u64 = 4 << 20;
/// How long a page of the copy may be held by somebody else, and how soon sealing is tried again.
const SEAL_DEADLINE: Duration = Duration::from_secs(5);
const SEAL_PAUSE: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (path, pages) = match arguments.as_slice() {
        [path] => (path, None),
        [path, pages] => (path, Some(pages)),
        [path, pages, out] => return merge(path, pages, out),
        _ => {
            eprintln!("usage: thaw-seal FILE [PAGES [OUT]]");
            return ExitCode::from(2);
        }
    };
    let pages = pages.map(File::open).transpose();
    let sealed = pages.and_then(|pages| File::open(path).and_then(|file| seal(&file, pages.as_ref())));
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => {
            eprintln!("thaw-seal: {}: {error}", Path::new(&path).display());
            return ExitCode::FAILURE;
        }
    };
    // Nobody who could not be told is waiting.
    if writeln!(io::stdout(), "ready {}", sealed.as_raw_fd()).is_ok() {
        wait_for_end();
    }
    ExitCode::SUCCESS
}

/// A file of its own, with the holes of `path` and `pages` over it.
fn merge(path: &OsStr, pages: &OsStr, out: &OsStr) -> ExitCode {
    let merged = File::open(path).and_then(|file| {
        let pages = File::open(pages)?;
        let out = OpenOptions::new().read(true).write(true).open(out)?;
        fill(&file, Some(&pages), &out)
    });
    match merged {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thaw-seal: {}: {error}", Path::new(&out).display());
            ExitCode::FAILURE
        }
    }
}

/// A sealed copy of `file` in memory, with the same size and the same holes, and `pages` over it.
fn seal(file: &File, pages: Option<&File>) -> io::Result<File> {
    let sealed = memory_file()?;
    fill(file, pages, &sealed)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let end = Instant::now() + SEAL_DEADLINE;
    loop {
        // SAFETY: plain numbers.
        match check(unsafe { libc::fcntl(sealed.as_raw_fd(), libc::F_ADD_SEALS, seals) }) {
            // The kernel itself holds a page for a moment, as when it moves memory together.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                sleep(SEAL_PAUSE);
            }
            sealing => return sealing.map(|_| sealed),
        }
    }
}

fn fill(file: &File, pages: Option<&File>, to: &File) -> io::Result<()> {
    let size = file.metadata()?.len();
    to.set_len(size)?;
    let pieces = data_pieces(file, size);
    let next = AtomicUsize::new(0);
    on_all_cores(pieces.len(), || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            copy(file, to, piece.clone(), &mut buffer)?;
        }
        Ok(())
    })?;
    pages.map_or(Ok(()), |pages| lay_over(pages, to, size, &mut vec![0; CHUNK_BYTES]))
}

/// Stretches of data, in pieces that can be copied beside each other.
fn data_pieces(file: &File, size: u64) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let mut offset = 0;
    while let Some((start, end)) = next_data(file, offset, size) {
        let starts = (start..end).step_by(PIECE_BYTES as usize);
        pieces.extend(starts.map(|from| from..end.min(from + PIECE_BYTES)));
        offset = end;
    }
    pieces
}

fn memory_file() -> io::Result<File> {
    // SAFETY: a C string; the descriptor is nobody else's.
    let file = unsafe {
        let fd = libc::memfd_create(c"thaw-snapshot".as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC);
        check(fd)?;
        File::from_raw_fd(fd)
    };
    // QEMU, as another user, opens it for writing though it maps it privately. The seals are what keeps it from writing.
    // SAFETY: plain numbers.
    check(unsafe { libc::fchmod(file.as_raw_fd(), 0o666) })?;
    Ok(file)
}

/// Copies a range, leaving out pages of zeros: they cost nothing as holes.
fn copy(from: &File, to: &File, range: Range<u64>, buffer: &mut [u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut offset = range.start;
    while offset < range.end {
        let length = usize::try_from(range.end - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
        let chunk = &mut buffer[..length];
        from.read_exact_at(chunk, offset)?;
        // Runs of pages with data are written at once.
        let mut run = 0;
        let mut page = 0;
        while page < length {
            let end = (page + PAGE_BYTES).min(length);
            if is_zero(&chunk[page..end]) {
                to.write_all_at(&chunk[run..page], offset + run as u64)?;
                run = end;
            }
            page = end;
        }
        to.write_all_at(&chunk[run..length], offset + run as u64)?;
        offset += length as u64;
    }
    Ok(())
}

/// Writes a difference's pages to where they belong.
fn lay_over(pages: &File, to: &File, size: u64, buffer: &mut [u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    for entry in read_index(pages, size)? {
        let (run, data_at) = entry?;
        let start = run.pages.start * PAGE_BYTES as u64;
        if run.zero {
            let length = (run.pages.end - run.pages.start) * PAGE_BYTES as u64;
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: plain numbers.
            check(unsafe { libc::fallocate(to.as_raw_fd(), mode, start as i64, length as i64) })?;
            continue;
        }
        let mut done = 0;
        while done < run.data_bytes() {
            let length = (run.data_bytes() - done).min(buffer.len() as u64) as usize;
            pages.read_exact_at(&mut buffer[..length], data_at + done)?;
            to.write_all_at(&buffer[..length], start + done)?;
            done += length as u64;
        }
    }
    Ok(())
}

/// The next stretch of data at or behind `offset`.
fn next_data(file: &File, offset: u64, size: u64) -> Option<(u64, u64)> {
    if offset >= size {
        return None;
    }
    match seek(file, offset, libc::SEEK_DATA) {
        Ok(start) => Some((start, seek(file, start, libc::SEEK_HOLE).unwrap_or(size).clamp(start + 1, size))),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
        // A file system that does not know holes.
        Err(_) => Some((offset, size)),
    }
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<u64> {
    // SAFETY: plain numbers.
    let at = unsafe { libc::lseek(file.as_raw_fd(), offset as i64, whence) };
    if at < 0 { Err(io::Error::last_os_error()) } else { Ok(at as u64) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn wait_for_end() {
    let mut ignored = [0; 256];
    while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
}
