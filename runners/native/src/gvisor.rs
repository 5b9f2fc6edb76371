//! What a sandbox by gVisor takes over from where runsc is started: the network, how much memory there is, and the two ends of its agent's connection.

use crate::jail::mount;
use crate::options::GvisorStart;
use crate::sys::{c_string, check, open, owned};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

const LOOPBACK: &CStr = c"lo";
/// The kernel numbers the loopback of each network namespace so.
const LOOPBACK_INDEX: u32 = 1;
const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// runsc takes any namespace that has a file `rmem_default` in this folder for the host's own, which was right before Linux 6.
const HIDDEN: &CStr = c"/proc/sys/net/core";
const MEMORY_FILE: &str = "/proc/sys/net/core/meminfo";
const MEMORY_INFO: &CStr = c"/proc/meminfo";
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Makes the named pipes of the agent. Each is open both ways: so opening waits for nobody, and neither end ever sees the other one gone.
pub fn make_pipes(start: &GvisorStart) -> io::Result<[OwnedFd; 2]> {
    let make = |path: &CStr| -> io::Result<OwnedFd> {
        // SAFETY: a C string.
        check(unsafe { libc::mkfifo(path.as_ptr(), 0o600) })?;
        open(path, libc::O_RDWR | libc::O_NONBLOCK)
    };
    Ok([make(&start.input)?, make(&start.output)?])
}

/// Moves this process into namespaces of its own. The network has a loopback only, to which all addresses belong: every connection stays in the sandbox, where the agent
/// redirects it. gVisor takes addresses and routes from there when a sandbox starts and when it is restored, before it looks at the connections that were open.
pub fn enter(start: &GvisorStart) -> io::Result<()> {
    // SAFETY: plain flags; this process has one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    mount(Some(c"none"), HIDDEN, Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, Some(c"size=8k"))?;
    fs::write(MEMORY_FILE, format!("MemTotal: {} kB\n", start.memory_bytes / 1024))?;
    mount(Some(&c_string(MEMORY_FILE)?), MEMORY_INFO, None, libc::MS_BIND, None)?;
    raise_loopback()?;
    add_address(OWN, 0)
}

fn raise_loopback() -> io::Result<()> {
    // SAFETY: all zeros is a valid ifreq; the name is shorter than its field, and the kernel reads the flags only.
    unsafe {
        let socket = owned(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(LOOPBACK.to_bytes()) {
            *place = *byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)).map(drop)
    }
}

/// Gives the loopback an address, by netlink: ioctl(2) would replace 127.0.0.1.
fn add_address(address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut body = vec![libc::AF_INET as u8, prefix, 0, 0];
    body.extend(LOOPBACK_INDEX.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8u16.to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(address.octets());
    }
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let mut message = ((size_of::<libc::nlmsghdr>() + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(libc::RTM_NEWADDR.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Its number, and whose it is: the kernel answers either way.
    message.extend([0; 8]);
    message.extend(body);
    let mut answer = [0u8; 1024];
    // SAFETY: pointers and lengths describe the buffers.
    let length = unsafe {
        let socket = owned(libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE))?;
        check(libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) as i64)?;
        check(libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) as i64)? as usize
    };
    let after = size_of::<libc::nlmsghdr>();
    let code = answer[..length].get(after..after + 4).and_then(|bytes| bytes.first_chunk()).copied();
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
