//! Whose a connection is: the process that opened it, as far as a bounded look tells.

use super::netlink::{Attributes, Batch};
use std::fs;
use std::net::SocketAddrV4;

/// From linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Open files looked at for one connection.
const MAX_LINKS: usize = 1_024;

/// A socket as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub uid: u32,
    inode: u64,
}

/// The socket in here of a connection. @param local its own address @param remote what it was connected to
pub fn find(local: SocketAddrV4, remote: SocketAddrV4) -> Option<Owner> {
    let mut request = [0u8; 56];
    request[0] = libc::AF_INET as u8;
    request[1] = libc::IPPROTO_TCP as u8;
    // Every state.
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[8..10].copy_from_slice(&local.port().to_be_bytes());
    request[10..12].copy_from_slice(&remote.port().to_be_bytes());
    request[12..16].copy_from_slice(&local.ip().octets());
    request[28..32].copy_from_slice(&remote.ip().octets());
    // No cookie.
    request[48..56].fill(0xff);
    let mut batch = Batch::default();
    batch.add(SOCK_DIAG_BY_FAMILY, 0, Attributes::after(&request));
    let answer = batch.ask(libc::NETLINK_SOCK_DIAG).ok()?;
    let number = |at: usize| Some(u32::from_ne_bytes(*answer.get(at..at + 4)?.first_chunk()?));
    Some(Owner { uid: number(64)?, inode: u64::from(number(68)?) })
}

/// The one of these processes that has the socket open.
pub fn process_of(owner: Owner, pids: impl Iterator<Item = i32>) -> Option<i32> {
    let mut links = MAX_LINKS;
    let socket = format!("socket:[{}]", owner.inode);
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            links = links.checked_sub(1)?;
            if fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()) {
                return Some(pid);
            }
        }
    }
    None
}

/// The short name of a process.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_string())
}
