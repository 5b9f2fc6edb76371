//! Kernel modules, in the order given by the list that the initramfs came with.

use crate::log;
use crate::sys;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where modules named without a path are.
const DIRECTORY: &str = "/modules";

/// Loads every module that `list` names, one a line. A module missing or refused is told and left out: what needs it will say so.
pub fn load(list: &str) {
    let text = fs::read_to_string(list).unwrap_or_default();
    for path in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match load_one(path) {
            // Built in, or loaded already.
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => log::line(&format!("{path}: {error}")),
            _ => {}
        }
    }
}

fn load_one(path: &str) -> io::Result<()> {
    let path = Path::new(DIRECTORY).join(path);
    let file = sys::open(path.as_os_str().as_bytes(), libc::O_RDONLY, 0)?;
    // SAFETY: a descriptor, an empty C string, no flags.
    sys::check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) }).map(|_| ())
}
