//! Opening directories strictly beneath another one: component by component, following no links.

use crate::failure::{Context, Failure};
use crate::sys;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const DIRECTORY: libc::c_int = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// The directories on the way to the last path asked for, still open: most paths of a tree share their parent with the one before.
pub struct Beneath {
    top: OwnedFd,
    open: Vec<(Vec<u8>, OwnedFd)>,
    /// Make directories that are missing.
    make: bool,
}

impl Beneath {
    /// Beneath the directory at `path`.
    pub fn new(path: &str, make: bool) -> Result<Self, Failure> {
        let top = sys::open(path.as_bytes(), libc::O_PATH | libc::O_DIRECTORY, 0).context(path)?;
        Ok(Self { top, open: Vec::new(), make })
    }

    /// The directory that holds `path`, and the last part of it.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p [u8]), Failure> {
        let (parents, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
            None => (&[][..], path),
        };
        let mut parts = parents.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).peekable();
        let mut depth = 0;
        while let (Some(part), Some((name, _))) = (parts.peek(), self.open.get(depth)) {
            if name != part {
                break;
            }
            depth += 1;
            parts.next();
        }
        self.open.truncate(depth);
        for part in parts {
            let fd = self.descend(part).context(String::from_utf8_lossy(parents))?;
            self.open.push((part.to_vec(), fd));
        }
        Ok((self.deepest(), name))
    }

    fn deepest(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.top.as_fd(), |(_, fd)| fd.as_fd())
    }

    fn descend(&self, part: &[u8]) -> io::Result<OwnedFd> {
        let name = sys::c_string(part)?;
        match sys::open_at(Some(self.deepest()), &name, DIRECTORY, 0) {
            Err(error) if self.make && error.kind() == io::ErrorKind::NotFound => {
                make_at(self.deepest(), &name, 0o755)?;
                sys::open_at(Some(self.deepest()), &name, DIRECTORY, 0)
            }
            result => result,
        }
    }
}

/// mkdirat(2).
pub fn make_at(directory: BorrowedFd, name: &CStr, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: a descriptor and a C string.
    sys::check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) }).map(|_| ())
}

/// A name of one part, as the kernel takes it.
pub fn name(bytes: &[u8]) -> Result<CString, Failure> {
    sys::c_string(bytes).context("a name")
}
