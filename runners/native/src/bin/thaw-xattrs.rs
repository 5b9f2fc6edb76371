//! `thaw-xattrs`, run on the host: reads paths from standard input, each ended by a NUL, and writes those that have extended attributes to
//! standard output: the path, the names, and an empty name, each ended by a NUL. A link at the end of a path is not followed. Values are
//! never read.

use std::ffi::CString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

/// The kernel takes no longer paths.
const MAX_PATH_BYTES: u64 = 4_096;

/// In place of names that the kernel does not list: there are too many, or they changed meanwhile.
const UNLISTED: &[u8] = b"(not listed)\0";

fn main() -> ExitCode {
    match run(BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thaw-xattrs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut paths: impl BufRead, mut out: impl Write) -> io::Result<()> {
    let mut path = Vec::new();
    loop {
        path.clear();
        if (&mut paths).take(MAX_PATH_BYTES + 1).read_until(0, &mut path)? == 0 {
            return out.flush();
        }
        let path = CString::from_vec_with_nul(std::mem::take(&mut path))
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path is too long, or has no NUL at its end"))?;
        let names = list(&path);
        if !names.is_empty() {
            out.write_all(path.to_bytes_with_nul())?;
            out.write_all(&names)?;
            out.write_all(&[0])?;
        }
    }
}

/// The names of the attributes, each ended by a NUL. None for what is gone, and on a file system that knows none.
fn list(path: &CString) -> Vec<u8> {
    // SAFETY: a C string; the pointer and the length describe the room.
    let call = |room: &mut [u8]| unsafe { libc::llistxattr(path.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
    let Ok(length @ 1..) = usize::try_from(call(&mut [])) else {
        return Vec::new();
    };
    let mut names = vec![0; length];
    match usize::try_from(call(&mut names)) {
        Ok(length) => names.truncate(length),
        Err(_) => return UNLISTED.to_vec(),
    }
    names
}
