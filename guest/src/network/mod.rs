//! The way out of a machine without a network card. The resolver gives each name an address of its own; the kernel redirects every connection
//! that would leave the machine to a listener of the agent; each becomes a stream to the host, which is told the name and decides.

mod dns;
pub mod interface;
mod iptables;
pub mod listening;
mod names;
mod netlink;
mod outward;
mod owner;
mod resolver;
mod rules;

pub use outward::MAX_OPEN;

use crate::sockets::Listener;
use resolver::SharedNames;
use rules::Ports;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::PoisonError;

/// The address of `lo` beside 127.0.0.1.
const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Where programs ask for names. No interface has it: what goes there is redirected, as with every other server.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whose packet filter redirects connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Linux's nftables.
    Nftables,
    /// The older interface, which gVisor has a part of.
    Iptables,
}

/// Set up once, for the life of the machine and of its copies.
pub struct Network {
    names: SharedNames,
    listener: Listener,
    ports: Ports,
    filter: Filter,
    search: owner::Search,
}

impl Network {
    /// Fails when the kernel lacks a part; the error names it.
    pub fn set_up(filter: Filter) -> io::Result<Self> {
        let names = SharedNames::default();
        // gVisor redirects to 127.0.0.1, and an answer from another address would not find its way back. Elsewhere containers come from other addresses.
        let at = if filter == Filter::Iptables { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let (dns_udp, dns_tcp) = resolver::start(&names, at)?;
        let listener = TcpListener::bind((at, 0))?;
        listener.set_nonblocking(true)?;
        let ports = Ports { outward: listener.local_addr()?.port(), dns_udp, dns_tcp };
        match filter {
            Filter::Nftables => {
                about("route", interface::route_everything())?;
                about("rules of the packet filter (nf_tables, nft_redir, nft_fib_ipv4, nft_reject_ipv4)", {
                    interface::index().and_then(|loopback| rules::install(loopback, ports))
                })?;
            }
            // Whoever started the machine has given `lo` the address `OWN`, whose network is all addresses.
            Filter::Iptables => redirect(ports)?,
        }
        Ok(Self { names, listener: Listener::of(listener.into()), ports, filter, search: owner::Search::default() })
    }

    /// After a thaw. gVisor forgets its rules, Linux keeps them.
    pub fn renew(&self) -> io::Result<()> {
        if self.filter == Filter::Iptables { redirect(self.ports) } else { Ok(()) }
    }

    /// Has the resolver refuse names: as they are, or with `*.` before a domain for all below it.
    pub fn refuse(&self, names: Vec<String>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).refused = names;
    }

    /// Whether a port is this agent's own.
    pub fn own_ports(&self) -> [u16; 2] {
        [self.ports.outward, self.ports.dns_tcp]
    }
}

fn redirect(ports: Ports) -> io::Result<()> {
    about("rules of the packet filter (iptables)", iptables::install(ports))
}

fn about<T>(what: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
}

/// Has programs ask the resolver. An image that names another one keeps it: what goes there is redirected.
pub fn name_resolver() -> io::Result<()> {
    let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let is_elsewhere = |address: &str| address.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback());
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver "));
    if named.map(str::trim).any(is_elsewhere) {
        return Ok(());
    }
    // It may be a link into a folder that does not exist in here.
    let _ = fs::remove_file(RESOLV_CONF);
    fs::write(RESOLV_CONF, format!("nameserver {RESOLVER}\n"))
}
