//! Names of extended attributes. They are told, not copied.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Told of one file at most: names are shown to people, who need the first few.
const MAX_BYTES: usize = 1_024;

/// In place of names that the kernel does not list: there are too many, or they changed meanwhile.
const UNLISTED: &[u8] = b"(not listed)\0";

/// The names of an open file, each ended by a NUL.
pub fn of_file(file: BorrowedFd) -> Vec<u8> {
    // SAFETY: a descriptor; the pointer and the length describe the room.
    listed(|room| unsafe { libc::flistxattr(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) })
}

/// The names of what lies at a path, a link not followed, each ended by a NUL.
pub fn at_path(path: &CStr) -> Vec<u8> {
    // SAFETY: a C string; the pointer and the length describe the room.
    listed(|room| unsafe { libc::llistxattr(path.as_ptr(), room.as_mut_ptr().cast(), room.len()) })
}

/// `list` fills its room and returns the length; for an empty room it only returns the length.
fn listed(list: impl Fn(&mut [u8]) -> isize) -> Vec<u8> {
    let length = match usize::try_from(list(&mut [])) {
        // The file has none, or its file system knows none.
        Ok(0) | Err(_) => return Vec::new(),
        Ok(length) => length,
    };
    let mut names = vec![0; length];
    match usize::try_from(list(&mut names)) {
        Ok(length) => names.truncate(length),
        Err(_) => return UNLISTED.to_vec(),
    }
    let room = names.get(..MAX_BYTES.min(names.len())).unwrap_or_default();
    let whole = room.iter().rposition(|byte| *byte == 0).map_or(0, |end| end + 1);
    names.truncate(whole);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(bytes: &'static [u8]) -> Vec<u8> {
        listed(|room| {
            room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
            bytes.len() as isize
        })
    }

    #[test]
    fn whole_names_up_to_the_limit() {
        assert_eq!(from(b"user.a\0user.b\0"), b"user.a\0user.b\0");
        assert_eq!(from(b""), b"");
        let many: &'static [u8] = Box::leak(b"user.name\0".repeat(200).into_boxed_slice());
        assert_eq!(from(many), b"user.name\0".repeat(102));
    }

    #[test]
    fn what_can_not_be_listed_is_said() {
        assert_eq!(listed(|room| if room.is_empty() { 70_000 } else { -1 }), UNLISTED);
        assert_eq!(listed(|_| -1), b"");
    }
}
