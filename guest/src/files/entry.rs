//! `stat` and `list`.

use super::{absolute, attributes};
use crate::failure::{Context, Failure};
use crate::jobs::Worker;
use crate::json;
use crate::message::{Entry, List, Listing, Stat};
use crate::protocol::MAX_PAYLOAD_BYTES;
use crate::sys;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Entries in one answer, and names looked at to find the first of them.
const MAX_ENTRIES: usize = 1_000;
const MAX_NAMES: usize = 100_000;

/// Left of a frame for the object around the entries.
const ENTRIES_BYTES: usize = MAX_PAYLOAD_BYTES - 256;

/// `stat`. A symbolic link is told as such.
pub fn stat(request: &Stat) -> Result<Entry, Failure> {
    let path = absolute(&request.path)?;
    let metadata = fs::symlink_metadata(path).context(&request.path)?;
    let names = attributes::at_path(&sys::c_string(path.as_os_str().as_bytes()).context(&request.path)?);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let attributes = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    Ok(Entry { attributes: Some(attributes), ..entry(path, path, &metadata) })
}

/// `list`: what a directory holds, by name, as much of it as one answer takes.
pub fn list(worker: &mut Worker, request: &List) -> Result<(), Failure> {
    let path = absolute(&request.path)?;
    let limit = request.limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    let directory = fs::read_dir(path).context(&request.path)?;
    let mut names: Vec<OsString> = directory.flatten().map(|entry| entry.file_name()).take(MAX_NAMES).collect();
    names.sort_unstable();
    let mut listing = Listing { entries: Vec::new(), truncated: names.len() == MAX_NAMES };
    let mut bytes = 0;
    for name in names {
        let full = path.join(&name);
        // Gone since it was read.
        let Ok(metadata) = fs::symlink_metadata(&full) else { continue };
        let entry = entry(Path::new(&name), &full, &metadata);
        bytes += json::to_vec(&entry).len() + 1;
        if bytes > ENTRIES_BYTES || listing.entries.len() >= limit {
            listing.truncated = true;
            break;
        }
        listing.entries.push(entry);
    }
    worker.finish(listing);
    Ok(())
}

/// `shown` is the path the host is told.
fn entry(shown: &Path, path: &Path, metadata: &Metadata) -> Entry {
    let bytes = shown.as_os_str().as_bytes();
    let target = metadata.is_symlink().then(|| fs::read_link(path).ok()).flatten();
    let mtime = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Entry {
        path: String::from_utf8_lossy(bytes).into_owned(),
        kind: kind(metadata.file_type()).to_string(),
        size: metadata.size(),
        mode: metadata.mode() & 0o7777,
        mtime_ns: mtime.to_string(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        target: target.map(|target| target.to_string_lossy().into_owned()),
        attributes: None,
        name_base64: std::str::from_utf8(bytes).is_err().then(|| BASE64_STANDARD.encode(bytes)),
    }
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "dir"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() {
        "block"
    } else {
        "char"
    }
}
