//! `read` and `write`: the bytes of one file.

use super::bulk::{Buffer, Bulk};
use super::{absolute, owner};
use crate::failure::{Context, Failure};
use crate::jobs::Worker;
use crate::message::{Nothing, Opened, Read, Write};
use crate::protocol::BULK_PAYLOAD_BYTES;
use crate::sys;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt, fchown};

/// A fifo without a writer or a terminal must not hold the thread, or become the agent's.
const OPEN_FLAGS: libc::c_int = libc::O_NONBLOCK | libc::O_NOCTTY;

/// What a `write` puts into the page cache before it takes the content for large.
const CACHED_BYTES: u64 = 1024 * 1024;

/// `read`.
pub fn read(worker: &mut Worker, request: &Read) -> Result<(), Failure> {
    absolute(&request.path)?;
    let file = sys::open(request.path.as_bytes(), libc::O_RDONLY | OPEN_FLAGS, 0).context(&request.path)?;
    let file = File::from(file);
    let metadata = file.metadata().context(&request.path)?;
    if metadata.is_dir() {
        return Err(Failure::io(&io::Error::from_raw_os_error(libc::EISDIR), &request.path));
    }
    worker.answer(Opened { size: metadata.len() });
    let mut offset = request.offset;
    let end = request.length.map_or(u64::MAX, |length| offset.saturating_add(length));
    while offset < end {
        let limit = (end - offset).min(BULK_PAYLOAD_BYTES as u64) as usize;
        let mut frame = worker.data_frame();
        let count = sys::pread_append(file.as_fd(), &mut frame, limit, offset).context(&request.path)?;
        if count == 0 {
            break;
        }
        offset += count as u64;
        worker.send_data(frame)?;
    }
    worker.end();
    Ok(())
}

/// `write`.
pub fn write(worker: &mut Worker, request: &Write) -> Result<(), Failure> {
    absolute(&request.path)?;
    let owner = owner(request.user.as_deref())?;
    let truncate = request.truncate.unwrap_or(request.offset.is_none());
    let flags = libc::O_WRONLY | libc::O_CREAT | if truncate { libc::O_TRUNC } else { 0 } | OPEN_FLAGS;
    let mode = request.mode.unwrap_or(0o644) & 0o7777;
    let file = sys::open(request.path.as_bytes(), flags, mode).context(&request.path)?;
    let file = File::from(file);
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid)).context(&request.path)?;
    }
    if request.mode.is_some() {
        file.set_permissions(PermissionsExt::from_mode(mode)).context(&request.path)?;
    }
    let first = request.offset.unwrap_or(0);
    let seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut buffer = Buffer::default();
    let mut bulk = Bulk::new(&file, &mut buffer);
    let mut offset = first;
    while let Some(bytes) = worker.receive()? {
        if !seekable {
            io::Write::write_all(&mut &file, &bytes).context(&request.path)?;
        } else if offset - first < CACHED_BYTES {
            file.write_all_at(&bytes, offset).context(&request.path)?;
        } else {
            bulk.write(&bytes, offset).context(&request.path)?;
        }
        offset += bytes.len() as u64;
    }
    bulk.finish().context(&request.path)?;
    worker.finish(Nothing {});
    Ok(())
}
