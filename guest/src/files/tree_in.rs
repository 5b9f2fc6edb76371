//! `tree-in`: making files from a stream of records.

use super::beneath::{Beneath, make_at, name};
use super::bulk::{Buffer, Bulk};
use super::record::{Meta, Record, Source, decode, decode_extent, too_short};
use super::{absolute, make_directories, owner};
use crate::failure::{Context, Failure};
use crate::jobs::Worker;
use crate::message::{TreeDone, TreeIn};
use crate::sys;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// Files larger than this get their size before their content: ext4 would otherwise note the growth page by page.
const EARLY_SIZE_BYTES: u64 = 128 * 1024;

/// Files of this size and more are written past the page cache.
const BULK_SIZE_BYTES: u64 = 64 * 1024;

/// `tree-in`.
pub fn tree_in(worker: &mut Worker, request: &TreeIn) -> Result<(), Failure> {
    let owner = owner(request.user.as_deref())?;
    make_directories(absolute(&request.path)?, 0o755, owner)?;
    let mut builder = Builder {
        beneath: Beneath::new(&request.path, true)?,
        targets: Beneath::new(&request.path, false)?,
        owner,
        // SAFETY: cannot fail.
        own: unsafe { (libc::geteuid(), libc::getegid()) },
        directories: Vec::new(),
        last_file: Vec::new(),
        buffer: Buffer::default(),
        done: TreeDone { entries: 0, bytes: 0 },
    };
    let mut bytes = Bytes { worker, chunk: Vec::new(), position: 0 };
    while builder.build_next(&mut bytes)? {}
    builder.finish_directories()?;
    worker.finish(builder.done);
    Ok(())
}

/// The stream, chunk by chunk as it arrives.
struct Bytes<'a> {
    worker: &'a mut Worker,
    chunk: Vec<u8>,
    position: usize,
}

impl Bytes<'_> {
    /// Up to `limit` bytes that lie together, at least one.
    fn some(&mut self, limit: usize) -> Result<&[u8], Failure> {
        while self.position >= self.chunk.len() {
            self.chunk = self.worker.receive()?.ok_or_else(too_short)?;
            self.position = 0;
        }
        let start = self.position;
        self.position = start.saturating_add(limit).min(self.chunk.len());
        Ok(self.chunk.get(start..self.position).unwrap_or_default())
    }
}

impl Source for Bytes<'_> {
    fn take(&mut self, mut into: &mut [u8]) -> Result<(), Failure> {
        while !into.is_empty() {
            let bytes = self.some(into.len())?;
            let (filled, rest) = into.split_at_mut(bytes.len());
            filled.copy_from_slice(bytes);
            into = rest;
        }
        Ok(())
    }
}

struct Builder {
    beneath: Beneath,
    /// For what hard links are made to.
    targets: Beneath,
    /// Whose everything is to be, instead of what the records say.
    owner: Option<(u32, u32)>,
    /// Whose a new file is.
    own: (u32, u32),
    /// To be given their modes and times last: what is made in them changes the time, and their mode may forbid making it.
    directories: Vec<Meta>,
    /// The path of the file made last. The sender may take it back when it could not be read to its end.
    last_file: Vec<u8>,
    buffer: Buffer,
    done: TreeDone,
}

impl Builder {
    /// Makes what the next record says. False behind the end record.
    fn build_next(&mut self, bytes: &mut Bytes) -> Result<bool, Failure> {
        match decode(bytes)? {
            Record::End => return Ok(false),
            Record::Skipped(meta, _) => {
                if meta.path == self.last_file {
                    self.drop_file(&meta)?;
                }
                return Ok(true);
            }
            // Without their values there is nothing to set.
            Record::Attributes(..) => return Ok(true),
            Record::Directory(meta) => self.directory(meta)?,
            Record::File(meta, size) => {
                self.file(&meta, size, bytes)?;
                self.last_file = meta.path;
            }
            Record::Symlink(meta, target) => self.symlink(&meta, &target)?,
            Record::Link(meta, target) => self.link(&meta, &target)?,
        }
        self.done.entries += 1;
        Ok(true)
    }

    fn directory(&mut self, meta: Meta) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(&meta.path);
        let (parent, last) = self.beneath.parent(&meta.path)?;
        let last = name(last)?;
        if let Err(error) = make_at(parent, &last, 0o700) {
            let exists = error.kind() == io::ErrorKind::AlreadyExists;
            if !exists {
                return Err(Failure::io(&error, &shown));
            }
            // A directory stays; anything else gives way to one.
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            if sys::open_at(Some(parent), &last, flags, 0).is_err() {
                unlink(parent, &last).context(&shown)?;
                make_at(parent, &last, 0o700).context(&shown)?;
            }
        }
        self.directories.push(meta);
        Ok(())
    }

    fn file(&mut self, meta: &Meta, size: u64, bytes: &mut Bytes) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(&meta.path);
        let (parent, last) = self.beneath.parent(&meta.path)?;
        let last = name(last)?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let mode = meta.mode & 0o777;
        let file = match sys::open_at(Some(parent), &last, flags, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                unlink(parent, &last).context(&shown)?;
                sys::open_at(Some(parent), &last, flags, mode)
            }
            result => result,
        };
        let file = File::from(file.context(&shown)?);
        let early = size > EARLY_SIZE_BYTES;
        if early {
            file.set_len(size).context(&shown)?;
        }
        let mut bulk = (size >= BULK_SIZE_BYTES).then(|| Bulk::new(&file, &mut self.buffer));
        let mut end = 0;
        loop {
            let extent = decode_extent(bytes)?;
            if extent.length == 0 {
                break;
            }
            let fits = extent.offset.checked_add(u64::from(extent.length)).filter(|&next| next <= size);
            let (Some(next), true) = (fits, extent.offset >= end) else {
                return Err(Failure::invalid(format!("{shown}: extents overlap, or lie beyond the size")));
            };
            copy(bytes, extent.offset, next, |some, offset| match &mut bulk {
                Some(bulk) => bulk.write(some, offset),
                None => file.write_all_at(some, offset),
            })
            .context_failure(&shown)?;
            self.done.bytes += u64::from(extent.length);
            end = next;
        }
        if let Some(bulk) = bulk {
            bulk.finish().context(&shown)?;
        }
        if end < size && !early {
            file.set_len(size).context(&shown)?;
        }
        self.dress(file.as_fd(), meta, mode & !0o022).context(&shown)
    }

    /// Gives a file that came before another name. It has its owner, mode and time already.
    fn link(&mut self, meta: &Meta, target: &[u8]) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(&meta.path);
        let (parent, last) = self.beneath.parent(&meta.path)?;
        let (source, first) = self.targets.parent(target)?;
        let (last, first) = (name(last)?, name(first)?);
        let link = || {
            let (from, to) = (source.as_raw_fd(), parent.as_raw_fd());
            // SAFETY: descriptors and C strings.
            sys::check(unsafe { libc::linkat(from, first.as_ptr(), to, last.as_ptr(), 0) }).map(|_| ())
        };
        match link() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                unlink(parent, &last).and_then(|()| link()).context(&shown)
            }
            result => result.context(&shown),
        }
    }

    fn drop_file(&mut self, meta: &Meta) -> Result<(), Failure> {
        let (parent, last) = self.beneath.parent(&meta.path)?;
        unlink(parent, &name(last)?).context(String::from_utf8_lossy(&meta.path))?;
        self.last_file.clear();
        self.done.entries -= 1;
        Ok(())
    }

    fn symlink(&mut self, meta: &Meta, target: &[u8]) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(&meta.path);
        let (parent, last) = self.beneath.parent(&meta.path)?;
        let (last, target) = (name(last)?, name(target)?);
        let directory = parent.as_raw_fd();
        let link = || {
            // SAFETY: a descriptor and C strings.
            sys::check(unsafe { libc::symlinkat(target.as_ptr(), directory, last.as_ptr()) }).map(|_| ())
        };
        match link() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                unlink(parent, &last).and_then(|()| link()).context(&shown)?;
            }
            result => result.context(&shown)?,
        }
        let times = times(meta);
        let (uid, gid) = self.owner.unwrap_or((meta.uid, meta.gid));
        // SAFETY: a descriptor, C strings, and two times.
        unsafe {
            if (uid, gid) != self.own {
                let flags = libc::AT_SYMLINK_NOFOLLOW;
                let result = libc::fchownat(directory, last.as_ptr(), uid, gid, flags);
                self.allowed(sys::check(result)).context(&shown)?;
            }
            // A link's own time is not worth failing for.
            libc::utimensat(directory, last.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW);
        }
        Ok(())
    }

    /// Gives directories what they were meant to have, the innermost first.
    fn finish_directories(&mut self) -> Result<(), Failure> {
        for meta in std::mem::take(&mut self.directories).into_iter().rev() {
            let shown = String::from_utf8_lossy(&meta.path);
            let (parent, last) = self.beneath.parent(&meta.path)?;
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let directory = sys::open_at(Some(parent), &name(last)?, flags, 0).context(&shown)?;
            // No mode is taken for given: the directory may have been there before.
            self.dress(directory.as_fd(), &meta, u32::MAX).context(&shown)?;
        }
        Ok(())
    }

    /// Gives a file its owner, mode and time, leaving out what it has already. `has` is the mode it was made with.
    fn dress(&self, file: BorrowedFd, meta: &Meta, has: u32) -> io::Result<()> {
        let owner = self.owner.unwrap_or((meta.uid, meta.gid));
        let times = times(meta);
        let fd = file.as_raw_fd();
        // SAFETY: a descriptor, plain numbers, and two times.
        unsafe {
            if owner != self.own || has == u32::MAX {
                self.allowed(sys::check(libc::fchown(fd, owner.0, owner.1)))?;
            }
            // After the owner: changing that clears set-user-id.
            if has != meta.mode {
                sys::check(libc::fchmod(fd, meta.mode))?;
            }
            sys::check(libc::futimens(fd, times.as_ptr())).map(|_| ())
        }
    }

    /// Only root can give files away; what others make stays theirs.
    fn allowed(&self, result: io::Result<i64>) -> io::Result<()> {
        match result {
            Err(error) if self.own.0 == 0 || error.raw_os_error() != Some(libc::EPERM) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Writes the bytes of one extent straight from where they were received.
fn copy(
    bytes: &mut Bytes,
    mut offset: u64,
    end: u64,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> Result<(), CopyError> {
    while offset < end {
        let limit = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let some = bytes.some(limit).map_err(CopyError::Stream)?;
        write(some, offset).map_err(CopyError::File)?;
        offset += some.len() as u64;
    }
    Ok(())
}

/// Which side of a copy failed.
enum CopyError {
    Stream(Failure),
    File(io::Error),
}

/// Names the file when it is the file's failure.
trait ContextFailure {
    fn context_failure(self, path: &str) -> Result<(), Failure>;
}

impl ContextFailure for Result<(), CopyError> {
    fn context_failure(self, path: &str) -> Result<(), Failure> {
        self.map_err(|error| match error {
            CopyError::Stream(failure) => failure,
            CopyError::File(error) => Failure::io(&error, path),
        })
    }
}

fn unlink(directory: BorrowedFd, name: &CStr) -> io::Result<()> {
    // SAFETY: a descriptor and a C string.
    sys::check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(|_| ())
}

/// Access left as it is, modification as the record says.
fn times(meta: &Meta) -> [libc::timespec; 2] {
    [
        libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        libc::timespec { tv_sec: meta.mtime_seconds, tv_nsec: i64::from(meta.mtime_nanoseconds) },
    ]
}
