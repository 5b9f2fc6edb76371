//! The loopback interface, the only one there is.

use crate::log;
use crate::sys;
use std::io;
use std::os::fd::AsRawFd;

/// Brings `lo` up; the kernel gives it its addresses.
pub fn raise_loopback() {
    if let Err(error) = raise() {
        log::line(&format!("lo: {error}"));
    }
}

fn raise() -> io::Result<()> {
    // SAFETY: plain numbers; the request is a C structure that the kernel reads and writes.
    unsafe {
        let socket = sys::owned(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        sys::check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request))?;
    }
    Ok(())
}
