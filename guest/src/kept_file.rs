//! Files kept in memory and open, bound over those on the disk. A clone has to change them before its first exec: on the disk that
//! costs it a walk to each, a journal, and blocks that are read cold.

use crate::sys;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory, gone with the boot.
const FOLDER: &str = "/run/thaw";

/// The open files by the path they are bound over.
static KEPT: Mutex<BTreeMap<&str, File>> = Mutex::new(BTreeMap::new());

/// Takes the file at `path`, made when it is not there, into memory; once.
pub fn keep(path: &'static str) -> io::Result<()> {
    let mut kept = kept();
    if kept.contains_key(path) {
        return Ok(());
    }
    let content = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::create(path).map(|_| Vec::new()),
        result => result,
    }?;
    fs::create_dir_all(FOLDER)?;
    let source = format!("{FOLDER}/{}", path.trim_start_matches('/').replace('/', "-"));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&source)?;
    file.write_all_at(&content, 0)?;
    sys::mount(&source, path, "", libc::MS_BIND, "")?;
    kept.insert(path, file);
    Ok(())
}

pub fn is_kept(path: &str) -> bool {
    kept().contains_key(path)
}

/// What the file at `path` holds.
pub fn read(path: &str) -> io::Result<String> {
    let kept = kept();
    let Some(file) = kept.get(path) else { return fs::read_to_string(path) };
    let mut content = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or_default()];
    file.read_exact_at(&mut content, 0)?;
    String::from_utf8(content).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Makes `content` what the file at `path` holds. Cut only when it was longer: ext4 writes a file that was truncated to nothing to the
/// disk as soon as it is closed.
pub fn write(path: &str, content: &str) -> io::Result<()> {
    let opened;
    let kept = kept();
    let file = match kept.get(path) {
        Some(file) => file,
        None => {
            opened = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            &opened
        }
    };
    file.write_all_at(content.as_bytes(), 0)?;
    let length = content.len() as u64;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    Ok(())
}

fn kept() -> MutexGuard<'static, BTreeMap<&'static str, File>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
