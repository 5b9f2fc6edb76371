//! `tree-out`: a stream of records from what lies beneath a directory.

use super::beneath::{Beneath, name};
use super::record::{EXTENT_BYTES, Extent, MAX_PATH_BYTES, Meta, Record};
use super::walk::{is_kernels, meta, names, next_data, read_link_at, stat_at};
use super::{absolute, attributes};
use crate::failure::{Failure, Kind};
use crate::jobs::Worker;
use crate::message::{Nothing, TreeOut};
use crate::protocol::*;
use crate::sys;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Extents end at pages where they can, so that the receiver writes whole pages.
const PAGE_BYTES: usize = 4_096;

/// A record is at most this long: kind and fields, two texts and a size.
const MAX_RECORD_BYTES: usize = 64 + 2 * MAX_PATH_BYTES;

/// `tree-out`.
pub fn tree_out(worker: &mut Worker, request: &TreeOut) -> Result<(), Failure> {
    absolute(&request.path)?;
    let mut beneath = Beneath::new(&request.path, false)?;
    let wanted = request.names.as_deref().map(paths).transpose()?;
    worker.answer(Nothing {});
    let frame = worker.data_frame();
    let links = (request.links == Some(true)).then(BTreeMap::new);
    let mut stream = Stream { worker, frame, links, attributes: request.attributes == Some(true) };
    match wanted {
        None => {
            let top = sys::open(request.path.as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY, 0);
            let top = top.map_err(|error| Failure::io(&error, &request.path))?;
            stream.directory(top, Vec::new())?;
        }
        Some(paths) => {
            let mut told = BTreeSet::new();
            for path in paths {
                stream.wanted(&mut beneath, &path, &mut told)?;
            }
        }
    }
    stream.record(&Record::End)?;
    stream.flush()?;
    stream.worker.end();
    Ok(())
}

/// The paths of a request, checked.
fn paths(names: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    let path = |name: &String| {
        let bytes = BASE64_STANDARD.decode(name).map_err(|_| Failure::invalid("names: not base64"))?;
        let bad_part = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
        if bytes.len() > MAX_PATH_BYTES || bytes.split(|&byte| byte == b'/').any(bad_part) {
            return Err(Failure::new(Kind::Invalid, format!("names: {:?}", String::from_utf8_lossy(&bytes))));
        }
        Ok(bytes)
    };
    names.iter().map(path).collect()
}

/// The stream under way: a frame is filled, sent, and followed by another.
struct Stream<'a> {
    worker: &'a mut Worker,
    frame: Vec<u8>,
    /// The first paths of files with several names, by device and inode; none when the host does not know hard links.
    links: Option<BTreeMap<(u64, u64), Vec<u8>>>,
    /// Whether the host knows records of extended attributes.
    attributes: bool,
}

impl Stream<'_> {
    /// Adds one of the paths asked for, and the directories above it that are not told yet.
    fn wanted(&mut self, beneath: &mut Beneath, path: &[u8], told: &mut BTreeSet<Vec<u8>>) -> Result<(), Failure> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for at in slashes {
            let above = path.get(..at).unwrap_or_default();
            if !told.insert(above.to_vec()) {
                continue;
            }
            let status = beneath.parent(above).and_then(|(parent, last)| {
                stat_at(parent, &name(last)?).map_err(|error| Failure::io(&error, "not included"))
            });
            match status {
                Ok(status) => self.record(&Record::Directory(meta(above, &status)))?,
                Err(_) => break,
            }
        }
        match beneath.parent(path) {
            Ok((parent, last)) => self.entry(parent, last, path.to_vec()),
            Err(failure) => self.skipped(path, &failure.message),
        }
    }

    /// Adds everything in a directory. Directories on the way stay open, one for each level.
    fn directory(&mut self, top: OwnedFd, path: Vec<u8>) -> Result<(), Failure> {
        let mut levels = Vec::new();
        self.enter(&mut levels, top, path)?;
        while let Some(level) = levels.last_mut() {
            let Some(child) = level.names.next() else {
                levels.pop();
                continue;
            };
            let mut path = level.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&child);
            if let Some(below) = self.one(level.directory.as_fd(), &child, &path)? {
                self.enter(&mut levels, below, path)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, levels: &mut Vec<Level>, directory: OwnedFd, path: Vec<u8>) -> Result<(), Failure> {
        match names(&directory) {
            Ok(names) => levels.push(Level { directory, path, names: names.into_iter() }),
            Err(error) if path.is_empty() => return Err(Failure::io(&error, "the directory")),
            Err(error) => self.skipped(&path, &error.to_string())?,
        }
        Ok(())
    }

    /// Adds an entry and all beneath it.
    fn entry(&mut self, parent: BorrowedFd, last: &[u8], path: Vec<u8>) -> Result<(), Failure> {
        match self.one(parent, last, &path)? {
            Some(directory) => self.directory(directory, path),
            None => Ok(()),
        }
    }

    /// Adds one entry; returns it when it is a directory to go into.
    fn one(&mut self, parent: BorrowedFd, last: &[u8], path: &[u8]) -> Result<Option<OwnedFd>, Failure> {
        if path.len() > MAX_PATH_BYTES {
            let start = path.get(..MAX_PATH_BYTES).unwrap_or_default();
            return self.skipped(start, "the path is too long").map(|()| None);
        }
        match self.try_one(parent, &name(last)?, path)? {
            Ok(directory) => Ok(directory),
            Err(reason) => self.skipped(path, &reason).map(|()| None),
        }
    }

    /// The inner error is why the entry is left out.
    fn try_one(
        &mut self,
        parent: BorrowedFd,
        last: &CStr,
        path: &[u8],
    ) -> Result<Result<Option<OwnedFd>, String>, Failure> {
        let reason = |error: io::Error| Ok(Err(error.to_string()));
        let status = match stat_at(parent, last) {
            Ok(status) => status,
            Err(error) => return reason(error),
        };
        let meta = meta(path, &status);
        let open = |flags| sys::open_at(Some(parent), last, flags | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0);
        match status.st_mode & libc::S_IFMT {
            libc::S_IFDIR => match open(libc::O_RDONLY | libc::O_DIRECTORY) {
                Ok(directory) => {
                    if is_kernels(&directory) {
                        return Ok(Err("a file system of the kernel, without real files".to_string()));
                    }
                    self.record(&Record::Directory(meta))?;
                    self.attributes(path, directory.as_fd())?;
                    return Ok(Ok(Some(directory)));
                }
                Err(error) => return reason(error),
            },
            libc::S_IFREG => {
                let key = (status.st_dev, status.st_ino);
                if let Some(first) = self.links.as_ref().and_then(|links| links.get(&key)) {
                    let record = Record::Link(meta, first.clone());
                    return self.record(&record).map(|()| Ok(None));
                }
                match open(libc::O_RDONLY) {
                    Ok(file) => {
                        self.file(meta, status.st_size as u64, &file)?;
                        self.attributes(path, file.as_fd())?;
                    }
                    Err(error) => return reason(error),
                }
                if let (true, Some(links)) = (status.st_nlink > 1, &mut self.links) {
                    links.insert(key, path.to_vec());
                }
            }
            libc::S_IFLNK => match read_link_at(parent, last) {
                Ok(target) => self.record(&Record::Symlink(meta, target))?,
                Err(error) => return reason(error),
            },
            libc::S_IFIFO => return Ok(Err("a fifo".to_string())),
            libc::S_IFSOCK => return Ok(Err("a socket".to_string())),
            _ => return Ok(Err("a device".to_string())),
        }
        Ok(Ok(None))
    }

    /// Adds a file. What it has lost by the time it is read becomes a hole, so that the size told holds.
    fn file(&mut self, meta: Meta, size: u64, file: &OwnedFd) -> Result<(), Failure> {
        self.record(&Record::File(meta, size))?;
        let mut offset = 0;
        'file: while let Some((start, end)) = next_data(file.as_fd(), offset, size) {
            offset = start;
            while offset < end {
                let limit = self.extent_room(end - offset)?;
                let place = self.frame.len();
                self.frame.extend_from_slice(&[0; EXTENT_BYTES]);
                let read = sys::pread_append(file.as_fd(), &mut self.frame, limit, offset);
                let length = read.unwrap_or(0);
                if length == 0 {
                    self.frame.truncate(place);
                    break 'file;
                }
                let extent = Extent { offset, length: length as u32 };
                self.frame[place..place + EXTENT_BYTES].copy_from_slice(&extent.bytes());
                offset += length as u64;
            }
        }
        self.room(EXTENT_BYTES)?;
        self.frame.extend_from_slice(&Extent { offset: 0, length: 0 }.bytes());
        Ok(())
    }

    /// Names the extended attributes of the entry that was just added.
    fn attributes(&mut self, path: &[u8], file: BorrowedFd) -> Result<(), Failure> {
        let names = if self.attributes { attributes::of_file(file) } else { Vec::new() };
        if names.is_empty() {
            return Ok(());
        }
        let meta = Meta { path: path.to_vec(), ..Meta::default() };
        self.record(&Record::Attributes(meta, names))
    }

    /// How much of the `wanted` bytes to read into the frame, which is sent first when it has little space left.
    fn extent_room(&mut self, wanted: u64) -> Result<usize, Failure> {
        let space = |frame: &Vec<u8>| (HEADER_BYTES + BULK_PAYLOAD_BYTES).saturating_sub(frame.len() + EXTENT_BYTES);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if space(&self.frame) < wanted.min(PAGE_BYTES) {
            self.flush()?;
        }
        let space = space(&self.frame);
        Ok(if wanted <= space { wanted } else { (space - space % PAGE_BYTES).max(1) })
    }

    fn skipped(&mut self, path: &[u8], reason: &str) -> Result<(), Failure> {
        let meta = Meta { path: path.to_vec(), ..Meta::default() };
        self.record(&Record::Skipped(meta, reason.as_bytes().to_vec()))
    }

    fn record(&mut self, record: &Record) -> Result<(), Failure> {
        self.room(MAX_RECORD_BYTES)?;
        record.encode(&mut self.frame);
        Ok(())
    }

    /// Makes sure that so many bytes fit into the frame.
    fn room(&mut self, bytes: usize) -> Result<(), Failure> {
        if self.frame.len() + bytes > HEADER_BYTES + BULK_PAYLOAD_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let next = self.worker.data_frame();
        self.worker.send_data(std::mem::replace(&mut self.frame, next))
    }
}

/// A directory being walked.
struct Level {
    directory: OwnedFd,
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}
