//! The packet filter's rules, sent to the kernel over netlink: an image needs no `nft`. Root in the guest can remove them and gains nothing
//! by it, since no network card is behind them.

use super::netlink::{Attributes, Batch};
use std::ffi::c_int;
use std::io;

/// Ports of this agent's listeners, on every address of the machine, so that containers reach them too.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub outward: u16,
    pub dns_udp: u16,
    pub dns_tcp: u16,
}

const TABLE: &str = "thaw";
const DNS: u16 = 53;

// From linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const PRE_ROUTING: u32 = 0;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const NAT_PRIORITY: i32 = -100;
const FILTER_PRIORITY: i32 = 0;
/// The first register of 128 bits.
const REGISTER: u32 = 1;
const META_OIF: u32 = 5;
const META_L4PROTO: u32 = 16;
const TRANSPORT_HEADER: u32 = 2;
const FIB_OIF: u32 = 1;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_OF_DESTINATION: u32 = 2;
const RTN_LOCAL: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const PORT_UNREACHABLE: u8 = 3;

/// Redirects what would leave the machine to the agent, and rejects what it can't carry. Fails when the kernel lacks a part of that.
pub fn install(loopback: u32, ports: Ports) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.add(BATCH_BEGIN, 0, header(SUBSYSTEM >> 8));
    batch.add(NEW_TABLE, CREATE, header(0).text(1, TABLE));
    chain(&mut batch, "outward", "nat", OUTPUT, NAT_PRIORITY);
    chain(&mut batch, "containers", "nat", PRE_ROUTING, NAT_PRIORITY);
    chain(&mut batch, "rejected", "filter", OUTPUT, FILTER_PRIORITY);
    chain(&mut batch, "rejected-containers", "filter", FORWARD, FILTER_PRIORITY);

    let leaving = || Rule::default().meta(META_OIF, EQUAL, &loopback.to_ne_bytes()).not_local();
    let from_container = || Rule::default().fib(FIB_OIF, EQUAL, loopback);
    let redirects: [(&str, &dyn Fn() -> Rule); 2] = [("outward", &leaving), ("containers", &from_container)];
    for (chain, condition) in redirects {
        rule(&mut batch, chain, condition().protocol(libc::IPPROTO_UDP).port(DNS).redirect(ports.dns_udp));
        rule(&mut batch, chain, condition().protocol(libc::IPPROTO_TCP).port(DNS).redirect(ports.dns_tcp));
        rule(&mut batch, chain, condition().protocol(libc::IPPROTO_TCP).redirect(ports.outward));
    }
    rule(&mut batch, "rejected", leaving().reject());
    let forwarded = Rule::default().meta(META_OIF, EQUAL, &loopback.to_ne_bytes());
    rule(&mut batch, "rejected-containers", forwarded.reject());
    batch.add(BATCH_END, 0, header(SUBSYSTEM >> 8));
    batch.send(libc::NETLINK_NETFILTER)
}

const CREATE: c_int = libc::NLM_F_CREATE | libc::NLM_F_ACK;

/// `struct nfgenmsg` of IPv4.
fn header(resource: u16) -> Attributes {
    let [high, low] = resource.to_be_bytes();
    Attributes::after(&[libc::AF_INET as u8, 0, high, low])
}

fn chain(batch: &mut Batch, name: &str, kind: &str, hook: u32, priority: i32) {
    let hook = Attributes::default().number(1, hook).number(2, priority as u32);
    let chain = header(0).text(1, TABLE).text(3, name).nested(4, hook).text(7, kind);
    batch.add(NEW_CHAIN, CREATE, chain);
}

fn rule(batch: &mut Batch, chain: &str, rule: Rule) {
    let rule = header(0).text(1, TABLE).text(2, chain).nested(4, rule.0);
    batch.add(NEW_RULE, CREATE | libc::NLM_F_APPEND, rule);
}

/// The expressions of a rule: conditions, then what happens.
#[derive(Default)]
struct Rule(Attributes);

impl Rule {
    fn expression(self, name: &str, data: Attributes) -> Self {
        Self(self.0.nested(1, Attributes::default().text(1, name).nested(2, data)))
    }

    fn compare(self, how: u32, value: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, value);
        self.expression("cmp", Attributes::default().number(1, REGISTER).number(2, how).nested(3, value))
    }

    fn meta(self, key: u32, how: u32, value: &[u8]) -> Self {
        let loaded = self.expression("meta", Attributes::default().number(1, REGISTER).number(2, key));
        loaded.compare(how, value)
    }

    fn protocol(self, protocol: c_int) -> Self {
        self.meta(META_L4PROTO, EQUAL, &[protocol as u8])
    }

    fn port(self, port: u16) -> Self {
        let port = port.to_be_bytes();
        let place = Attributes::default().number(1, REGISTER).number(2, TRANSPORT_HEADER).number(3, 2);
        self.expression("payload", place.number(4, port.len() as u32)).compare(EQUAL, &port)
    }

    /// What the routing table says about the destination.
    fn fib(self, result: u32, how: u32, value: u32) -> Self {
        let looked_up = Attributes::default().number(1, REGISTER).number(2, result).number(3, FIB_OF_DESTINATION);
        self.expression("fib", looked_up).compare(how, &value.to_ne_bytes())
    }

    fn not_local(self) -> Self {
        self.fib(FIB_ADDRESS_TYPE, NOT_EQUAL, RTN_LOCAL)
    }

    fn redirect(self, port: u16) -> Self {
        let value = Attributes::default().bytes(1, &port.to_be_bytes());
        let loaded = self.expression("immediate", Attributes::default().number(1, REGISTER).nested(2, value));
        loaded.expression("redir", Attributes::default().number(1, REGISTER))
    }

    fn reject(self) -> Self {
        self.expression("reject", Attributes::default().number(1, 0).bytes(2, &[PORT_UNREACHABLE]))
    }
}
