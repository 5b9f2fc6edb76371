//! The same redirects as by nftables, through the older interface: one table, sent to the kernel as a whole (linux/netfilter_ipv4/ip_tables.h).

use super::OWN;
use super::rules::Ports;
use crate::sys;
use std::ffi::c_int;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

const TABLE: &str = "nat";
const DNS: u16 = 53;
const IPT_SO_SET_REPLACE: c_int = 64;
/// Of the table `nat`: NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING.
const HOOKS: [usize; 4] = [0, 1, 3, 4];
const OUTPUT: usize = 3;
const ALL_HOOKS: usize = 5;
/// `-NF_ACCEPT - 1`.
const ACCEPT: i32 = -2;
const IPT_INV_DSTIP: u8 = 0x10;
const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 2;
const TABLE_NAME_BYTES: usize = 32;
const EXTENSION_NAME_BYTES: usize = 29;
const ENTRY_BYTES: usize = 112;
const ALIGNMENT: usize = 8;

/// Redirects every connection that would leave the machine to the agent. Replaces the table.
pub fn install(ports: Ports) -> io::Result<()> {
    let table = table(ports);
    // SAFETY: plain numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW) };
    let socket = sys::owned(socket)?;
    let length = table.len() as libc::socklen_t;
    // SAFETY: the pointer and length describe the table, which holds no pointer that is followed.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_IP, IPT_SO_SET_REPLACE, table.as_ptr().cast(), length)
    };
    sys::check(result).map(drop)
}

/// `struct ipt_replace`.
fn table(ports: Ports) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0;
    let mut add = |rule: Vec<u8>| {
        let start = entries.len() as u32;
        entries.extend(rule);
        count += 1;
        start
    };
    // Where each hook's chain begins, and where its policy is.
    let (mut begins, mut policies) = ([0u32; ALL_HOOKS], [0u32; ALL_HOOKS]);
    for hook in HOOKS {
        let first = (hook == OUTPUT).then(|| {
            let first = add(entry(Destination::Is(OWN, 32), 0, &[], standard(ACCEPT)));
            let outside = Destination::IsNot(Ipv4Addr::new(127, 0, 0, 0), 8);
            // Source ports, destination ports; nothing else is looked at.
            let to_dns = |name| extension(name, &[0, 0, 0xff, 0xff, DNS as u8, 0, DNS as u8, 0, 0, 0, 0, 0]);
            add(entry(outside, libc::IPPROTO_UDP, &to_dns("udp"), redirect(ports.dns_udp)));
            add(entry(outside, libc::IPPROTO_TCP, &to_dns("tcp"), redirect(ports.dns_tcp)));
            add(entry(outside, libc::IPPROTO_TCP, &[], redirect(ports.outward)));
            first
        });
        let policy = add(entry(Destination::Any, 0, &[], standard(ACCEPT)));
        (begins[hook], policies[hook]) = (first.unwrap_or(policy), policy);
    }
    // The end of a table.
    add(entry(Destination::Any, 0, &[], extension("ERROR", &text::<32>("ERROR"))));

    let mut table = text::<TABLE_NAME_BYTES>(TABLE).to_vec();
    let hooks = HOOKS.iter().fold(0, |mask, hook| mask | 1u32 << hook);
    let numbers = [hooks, count, entries.len() as u32].into_iter().chain(begins).chain(policies);
    // The kernel would write the counters of as many replaced rules to an address: of none.
    for number in numbers.chain([0]) {
        table.extend(number.to_ne_bytes());
    }
    table.extend(0u64.to_ne_bytes());
    table.extend(entries);
    table
}

/// An address and the bits of it that count.
#[derive(Clone, Copy)]
enum Destination {
    Any,
    Is(Ipv4Addr, u32),
    IsNot(Ipv4Addr, u32),
}

/// `struct ipt_entry` with what follows it. @param protocol 0: all
fn entry(destination: Destination, protocol: c_int, matches: &[u8], target: Vec<u8>) -> Vec<u8> {
    let (address, bits, inverted) = match destination {
        Destination::Any => (Ipv4Addr::UNSPECIFIED, 0, 0),
        Destination::Is(address, bits) => (address, bits, 0),
        Destination::IsNot(address, bits) => (address, bits, IPT_INV_DSTIP),
    };
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    let mut bytes = vec![0; ENTRY_BYTES];
    bytes[4..8].copy_from_slice(&address.octets());
    bytes[12..16].copy_from_slice(&mask.to_be_bytes());
    bytes[80..82].copy_from_slice(&(protocol as u16).to_ne_bytes());
    bytes[83] = inverted;
    let target_at = (ENTRY_BYTES + matches.len()) as u16;
    bytes[88..90].copy_from_slice(&target_at.to_ne_bytes());
    bytes[90..92].copy_from_slice(&(target_at + target.len() as u16).to_ne_bytes());
    bytes.extend_from_slice(matches);
    bytes.extend(target);
    bytes
}

/// `struct xt_entry_match` and `struct xt_entry_target`, which are alike.
fn extension(name: &str, data: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: usize = 2 + EXTENSION_NAME_BYTES + 1;
    let length = (HEADER_BYTES + data.len()).next_multiple_of(ALIGNMENT);
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(text::<EXTENSION_NAME_BYTES>(name));
    bytes.push(0);
    bytes.extend_from_slice(data);
    bytes.resize(length, 0);
    bytes
}

/// The target without a name.
fn standard(verdict: i32) -> Vec<u8> {
    extension("", &verdict.to_ne_bytes())
}

/// `struct nf_nat_ipv4_multi_range_compat` with one range: of a port.
fn redirect(port: u16) -> Vec<u8> {
    let mut range = [1, NF_NAT_RANGE_PROTO_SPECIFIED, 0, 0].map(u32::to_ne_bytes).concat();
    range.extend([port.to_be_bytes(), port.to_be_bytes()].concat());
    extension("REDIRECT", &range)
}

/// A text that ends with a NUL at least.
fn text<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    for (place, byte) in bytes[..LENGTH - 1].iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> usize {
        usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]))
    }

    #[test]
    fn the_table_is_as_long_as_it_says_and_every_chain_begins_at_a_rule() {
        let table = table(Ports { outward: 4_000, dns_udp: 4_053, dns_tcp: 4_054 });
        const HEADER_BYTES: usize = 96;
        let word = |index: usize| {
            let at = TABLE_NAME_BYTES + 4 * index;
            u32::from_ne_bytes(*table[at..].first_chunk().expect("four bytes")) as usize
        };
        let entries = &table[HEADER_BYTES..];
        assert_eq!((word(0), word(1), word(2)), (0b11011, 9, entries.len()));
        let mut starts = Vec::new();
        let mut at = 0;
        while at < entries.len() {
            starts.push(at);
            let (target, next) = (number(entries, at + 88), number(entries, at + 90));
            assert_eq!(target + number(entries, at + target), next, "the rule at {at}");
            at += next;
        }
        assert_eq!((at, starts.len()), (entries.len(), word(1)));
        for hook in HOOKS {
            assert!(starts.contains(&word(3 + hook)) && starts.contains(&word(3 + ALL_HOOKS + hook)), "hook {hook}");
        }
        assert_eq!(starts.iter().position(|&start| start == word(3 + OUTPUT)), Some(2));
    }
}
