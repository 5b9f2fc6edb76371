//! Whose a connection is: the process that opened it, as far as a bounded look tells.

use super::netlink::{Attributes, Batch};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Instant;

/// From linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// A search may look at this many open files at once, and for each second after that at as many more as the next line says.
const MAX_LINKS: f64 = 16_384.0;
const LINKS_A_SECOND: f64 = 8_192.0;
/// Numbers of open files after the last one found that are tried first. They cost a call each.
const NEAR: i32 = 7;
const PLACES: usize = 3;
/// Some 150 of them for each socket.
const MAX_LIST_BYTES: u64 = 1 << 20;
/// What it costs to learn the number of an open file, against looking at it.
const LISTED: f64 = 0.25;

/// A socket as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub uid: u32,
    pub inode: u64,
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

/// The kernel's list of TCP sockets (proc_pid_net(5)), for a kernel that can't be asked for one of them.
pub fn sockets() -> String {
    let mut text = String::new();
    if let Ok(file) = fs::File::open("/proc/net/tcp") {
        let _ = file.take(MAX_LIST_BYTES).read_to_string(&mut text);
    }
    text
}

/// The same as [`find`], from that list.
pub fn find_in(sockets: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Owner> {
    let [local, remote] =
        [local, remote].map(|end| format!("{:08X}:{:04X}", u32::from_ne_bytes(end.ip().octets()), end.port()));
    let line = sockets.lines().find(|line| line.contains(&format!(" {local} {remote} ")))?;
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    Some(Owner { uid: words.get(7)?.parse().ok()?, inode: words.get(9)?.parse().ok()? })
}

/// A file that a process has open.
#[derive(Clone, Copy)]
struct Place {
    pid: i32,
    fd: i32,
}

/// Finds the processes of connections. Many that come at once share one look at open files, and over time no more than so many are looked at.
pub struct Search {
    /// Where the last ones were found: the next is likely in the same process, at the same number or soon after it.
    last: Vec<Place>,
    links: f64,
    refilled: Instant,
}

impl Default for Search {
    fn default() -> Self {
        Self { last: Vec::new(), links: MAX_LINKS, refilled: Instant::now() }
    }
}

impl Search {
    /// The processes that have these sockets open, by inode; without those that were not found. @param pids likely ones first; the same may come again
    pub fn processes_of(
        &mut self,
        owners: impl Iterator<Item = Owner>,
        pids: impl Iterator<Item = i32>,
    ) -> BTreeMap<u64, i32> {
        self.refill();
        let mut found = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        for Owner { inode, .. } in owners {
            match self.near_the_last(inode) {
                Some(pid) => drop(found.insert(inode, pid)),
                None => drop(wanted.insert(inode)),
            }
        }
        let mut seen = BTreeSet::new();
        let likely: Vec<_> = self.last.iter().map(|place| place.pid).collect();
        for pid in likely.into_iter().chain(pids) {
            if wanted.is_empty() || self.links < 1.0 {
                break;
            }
            if seen.insert(pid) {
                self.look(pid, &mut wanted, &mut found);
            }
        }
        found
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.links = (self.links + since * LINKS_A_SECOND).min(MAX_LINKS);
        self.refilled = now;
    }

    fn near_the_last(&mut self, inode: u64) -> Option<i32> {
        let at = |fd: &i32, pid: i32| socket_at(format!("/proc/{pid}/fd/{fd}")) == Some(inode);
        let place = self.last.iter_mut().find_map(|place| {
            let Place { pid, fd } = *place;
            place.fd = (fd..=fd.saturating_add(NEAR)).find(|fd| at(fd, pid))?;
            Some(*place)
        })?;
        Some(place.pid)
    }

    /// Moves the sockets that the process has open from `wanted` to `found`. New ones have high numbers, more often than not.
    fn look(&mut self, pid: i32, wanted: &mut BTreeSet<u64>, found: &mut BTreeMap<u64, i32>) {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let fds = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let fds: Vec<i32> = fds.take(MAX_LINKS as usize).collect();
        self.links -= fds.len() as f64 * LISTED;
        let mut highest = None;
        for fd in fds.into_iter().rev() {
            self.links -= 1.0;
            if self.links < 0.0 || wanted.is_empty() {
                break;
            }
            let socket = socket_at(format!("/proc/{pid}/fd/{fd}"));
            if let Some(inode) = socket.filter(|inode| wanted.remove(inode)) {
                found.insert(inode, pid);
                highest = highest.max(Some(fd));
            }
        }
        if let Some(fd) = highest {
            self.last.truncate(PLACES - 1);
            self.last.insert(0, Place { pid, fd });
        }
    }
}

/// The inode of the socket that a link in /proc/PID/fd leads to.
fn socket_at(link: impl AsRef<Path>) -> Option<u64> {
    fs::read_link(link).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The short name of a process.
pub fn name_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_both_of_its_ends() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            2: 0100007F:EEC7 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0        3 1 0000000000000000 0 0 0 0 -1\n   \
            1: 010012C6:D570 010200C0:0051 01 00000000:00000000 00:00000000 00000000  1000        0        7 2 0000000000000000 0 0 0 0 -1\n";
        let end = |text: &str| text.parse().unwrap();
        let owner = find_in(list, end("198.18.0.1:54640"), end("192.0.2.1:81"));
        assert_eq!(owner.map(|owner| (owner.uid, owner.inode)), Some((1000, 7)));
        assert!(find_in(list, end("198.18.0.1:54640"), end("192.0.2.1:82")).is_none());
        assert!(
            find_in("sl\n 0: 010012C6:D570 010200C0:0051 01", end("198.18.0.1:54640"), end("192.0.2.1:81")).is_none()
        );
    }
}
