//! The loopback interface, the only one there is, as the way to everywhere.

use super::OWN;
use super::netlink::{Attributes, Batch};
use crate::log;
use crate::sys;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

const NAME: &str = "lo";

// From linux/rtnetlink.h and linux/if_addr.h.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

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
        for (place, byte) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
            *place = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        sys::check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request))?;
    }
    Ok(())
}

/// The number of `lo`.
pub fn index() -> io::Result<u32> {
    // SAFETY: a C string.
    match unsafe { libc::if_nametoindex(c"lo".as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Gives `lo` another address and makes it the way to every address that no other interface leads to. An address that is not
/// 127.0.0.1 is what C libraries want to see before they look up IPv4 addresses at all.
pub fn route_everything() -> io::Result<()> {
    let index = index()?;
    let [a, b, c, d] = index.to_ne_bytes();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE | libc::NLM_F_ACK;
    let mut batch = Batch::default();
    let address = [libc::AF_INET as u8, 32, 0, RT_SCOPE_UNIVERSE, a, b, c, d];
    let own = OWN.octets();
    let address = Attributes::after(&address).bytes(IFA_LOCAL, &own).bytes(IFA_ADDRESS, &own);
    batch.add(libc::RTM_NEWADDR, flags, address);
    batch.send(libc::NETLINK_ROUTE)?;
    let mut batch = Batch::default();
    let route = [libc::AF_INET as u8, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0, 0, 0, 0];
    // Without a source address that is local to `lo`, connections open and then nothing arrives.
    let source = Ipv4Addr::LOCALHOST.octets();
    let route = Attributes::after(&route).bytes(RTA_OIF, &index.to_ne_bytes()).bytes(RTA_PREFSRC, &source);
    batch.add(libc::RTM_NEWROUTE, flags, route);
    batch.send(libc::NETLINK_ROUTE)
}
