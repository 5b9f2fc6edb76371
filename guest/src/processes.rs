//! `processes`: what runs in the machine and which TCP ports it listens on. Asked for right before a machine is frozen, so each process
//! costs few calls.

use crate::exec::stat::Stat;
use crate::failure::{Context, Failure, cut};
use crate::jobs::Worker;
use crate::json::{self, Json};
use crate::message::{ListeningSocket, Process, Processes};
use crate::protocol::MAX_PAYLOAD_BYTES;
use crate::sys;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

const MAX_PROCESSES: usize = 256;
const MAX_SOCKETS: usize = 128;
const MAX_COMMAND_BYTES: usize = 256;

/// Room in a frame for the processes, and for what is around the two lists. The rest is for the sockets.
const PROCESSES_BYTES: usize = MAX_PAYLOAD_BYTES / 4 * 3;
const AROUND_BYTES: usize = 256;

/// State of a program that has ended and was reaped.
pub const ENDED: char = 'X';

/// Open files looked at to find out whose a socket is.
const MAX_LINKS: usize = 2_000;

/// A table of sockets is read up to here. The kernel lists those that listen first.
const TABLE_BYTES: usize = 64 * 1024;

/// `processes`.
///
/// `ended`: programs of execs that are no longer in /proc. `own_ports`: of this agent's listeners, which are not told.
pub fn processes(worker: &mut Worker, ended: Vec<Process>, own_ports: &[u16]) -> Result<(), Failure> {
    let mut answer = Processes { processes: Vec::new(), listening: Vec::new(), truncated: false };
    let mut room = PROCESSES_BYTES;
    let mut sockets = [table("tcp", "/proc/net/tcp"), table("tcp6", "/proc/net/tcp6")].concat();
    sockets.retain(|(_, socket)| !own_ports.contains(&socket.port));
    fs::read_dir("/proc").context("/proc")?;
    let alive = pids().filter_map(look);
    for process in ended.into_iter().chain(alive) {
        if answer.processes.len() == MAX_PROCESSES || !fits(&process, &mut room) {
            answer.truncated = true;
            break;
        }
        answer.processes.push(process);
    }
    let owners = answer.processes.iter().filter(|process| process.state != ENDED);
    find_owners(&mut sockets, owners.map(|process| process.pid));
    room += MAX_PAYLOAD_BYTES - PROCESSES_BYTES - AROUND_BYTES;
    for (_, socket) in sockets {
        if answer.listening.len() == MAX_SOCKETS || !fits(&socket, &mut room) {
            answer.truncated = true;
            break;
        }
        answer.listening.push(socket);
    }
    worker.finish(answer);
    Ok(())
}

/// The ports that programs listen at, in order, without `own_ports`.
pub fn listening_ports(own_ports: &[u16]) -> Vec<u16> {
    let sockets = [table("tcp", "/proc/net/tcp"), table("tcp6", "/proc/net/tcp6")].concat();
    let ports = sockets.into_iter().map(|(_, socket)| socket.port).filter(|port| !own_ports.contains(port));
    ports.collect::<BTreeSet<_>>().into_iter().take(MAX_SOCKETS).collect()
}

/// Every process there is.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Takes what `item` needs, with a comma, off the room there is.
fn fits(item: &dyn Json, room: &mut usize) -> bool {
    let bytes = json::to_vec(item).len() + 1;
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// The beginning of a file of /proc, in one call.
fn read<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = sys::open(path.as_bytes(), libc::O_RDONLY, 0).ok()?;
    let count = sys::read(file.as_fd(), buffer).ok()?;
    buffer.get(..count)
}

/// A process; None for what is gone and for the kernel's own threads.
fn look(pid: i32) -> Option<Process> {
    let mut buffer = [0; 1024];
    let stat = String::from_utf8_lossy(read(&format!("/proc/{pid}/stat"), &mut buffer)?).into_owned();
    let stat = Stat::parse(&stat)?;
    if stat.is_kernel {
        return None;
    }
    let (state, parent, name) = (stat.state, stat.parent, stat.name.to_string());
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let mut words = [0; MAX_COMMAND_BYTES];
    let command = command_of(read(&format!("/proc/{pid}/cmdline"), &mut words).unwrap_or_default());
    Some(Process { pid, parent, uid, state, name, command })
}

/// Arguments, with spaces between them instead of zeros.
pub fn command_of(words: &[u8]) -> String {
    let words = &words[..words.len().min(MAX_COMMAND_BYTES)];
    let words: Vec<u8> = words.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
    cut(String::from_utf8_lossy(&words).trim_end().to_string(), MAX_COMMAND_BYTES)
}

/// The sockets of a table that listen, each with its inode.
fn table(protocol: &str, path: &str) -> Vec<(u64, ListeningSocket)> {
    let mut text = Vec::with_capacity(TABLE_BYTES);
    if let Ok(file) = sys::open(path.as_bytes(), libc::O_RDONLY, 0) {
        // A read gives at most a page.
        while sys::read_append(file.as_fd(), &mut text, TABLE_BYTES).is_ok_and(|count| count > 0) {}
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(|line| listening(protocol, line)).take(MAX_SOCKETS + 1).collect()
}

/// `slot: address:port peer:port state queues timer retransmits uid timeout inode …`.
fn listening(protocol: &str, line: &str) -> Option<(u64, ListeningSocket)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = address_of(address)?;
    (state == LISTEN).then(|| (inode, ListeningSocket { protocol: protocol.to_string(), address, port, pid: None }))
}

/// Words of 32 bits in hexadecimal, each as the processor holds it.
fn address_of(digits: &str) -> Option<String> {
    let words = digits.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some(Ipv4Addr::from(bytes).to_string()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_string()),
    }
}

/// Says whose the sockets are, as far as a bounded look at open files tells.
fn find_owners(sockets: &mut [(u64, ListeningSocket)], pids: impl Iterator<Item = i32>) {
    let mut wanted = sockets.len();
    let mut links = MAX_LINKS;
    for pid in pids {
        if wanted == 0 || links == 0 {
            return;
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(links) {
            links -= 1;
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let inode =
                target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            let of = |(number, socket): &&mut (u64, ListeningSocket)| Some(*number) == inode && socket.pid.is_none();
            if let Some((_, socket)) = sockets.iter_mut().find(of) {
                socket.pid = Some(pid);
                wanted -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tables_of_sockets() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0";
        let (inode, socket) = listening("tcp", line).unwrap();
        assert_eq!((inode, socket.address.as_str(), socket.port), (4711, "127.0.0.1", 8080));
        assert!(listening("tcp", &line.replace(" 0A ", " 01 ")).is_none());
        assert!(listening("tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when").is_none());
        assert_eq!(address_of("00000000000000000000000001000000").unwrap(), "::1");
        assert_eq!(address_of("0000000000000000"), None);
    }

    #[test]
    fn commands_are_bounded() {
        assert_eq!(command_of(b"sh\0-c\0true\0"), "sh -c true");
        assert!(command_of(&[0xff; 2 * MAX_COMMAND_BYTES]).len() <= MAX_COMMAND_BYTES);
    }

    #[test]
    fn lists_end_with_the_room() {
        let mut room = 9;
        assert!(fits(&"ab".to_string(), &mut room));
        assert!(!fits(&"abc".to_string(), &mut room));
        assert!(fits(&"a".to_string(), &mut room));
        assert_eq!(room, 0);
    }
}
