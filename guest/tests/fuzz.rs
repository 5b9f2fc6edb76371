//! Feeds the agent mutated streams of valid frames and random bytes. It must not panic, its memory must stay bounded, and in the end a
//! hello must be answered. FUZZ_ITERATIONS and FUZZ_SEED choose how many and which.
//!
//! Requests that change files are left out: a mutated path could name anything. The tree decoder is fed on its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use thaw_agent::agent::{Agent, Config};
use thaw_agent::files::record::{decode, decode_extent};
use thaw_agent::frame::Address;
use thaw_agent::protocol::*;

/// xorshift64*: reproducible everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

const REQUESTS: &[&str] = &[
    r#"{"op":"ping","echo":"x"}"#,
    r#"{"op":"clock","timeNs":"1"}"#,
    r#"{"op":"stats"}"#,
    r#"{"op":"stat","path":"/etc/hosts"}"#,
    r#"{"op":"list","path":"/etc","limit":3}"#,
    r#"{"op":"read","path":"/etc/passwd","offset":1,"length":9}"#,
    r#"{"op":"start","id":"a","argv":["true"]}"#,
    r#"{"op":"start","id":"b","argv":["cat"],"stdin":true,"env":{"A":"b"}}"#,
    r#"{"op":"start","id":"c","argv":["cat"],"stdin":true,"tty":{"rows":3,"cols":4}}"#,
    r#"{"op":"attach","id":"a","out":0,"err":0}"#,
    r#"{"op":"attach","id":"b","out":1,"err":0}"#,
    r#"{"op":"signal","id":"b","signal":"TERM","to":"tree"}"#,
    r#"{"op":"resize","id":"c","rows":1,"cols":2}"#,
    r#"{"op":"forget","id":"a"}"#,
    r#"{"op":"forget","id":"b"}"#,
    r#"{"op":"forget","id":"c"}"#,
    r#"{"op":"start","id":"d","argv":["true"],"holdCrashes":true}"#,
    r#"{"op":"release","id":"b","pid":1}"#,
    r#"{"op":"core"}"#,
    r#"{"op":"core","pid":-1}"#,
    r#"{"op":"processes"}"#,
    r#"{"op":"sync"}"#,
    r#"{"op":"dial","port":1}"#,
    r#"{"op":"dial","path":"/nope"}"#,
    r#"{"op":"listen","port":0}"#,
    r#"{"op":"nonsense"}"#,
];

/// A frame as a host might send it, or nearly.
fn frame(random: &mut Random, session: u64) -> Vec<u8> {
    let stream = (random.below(40) * 2 + 1) as u32;
    let address = Address { session, stream };
    let channel = random.below(4) as u8;
    let mut frame = match random.below(10) {
        0 => Address { session, stream: 0 }.frame(HELLO, 0, br#"{"versions":[1,1]}"#),
        1..=4 => address.frame(REQUEST, 0, REQUESTS[random.below(REQUESTS.len())].as_bytes()),
        5 => {
            let count = random.below(3_000);
            address.frame(DATA, channel, &random.bytes(count))
        }
        6 => address.frame(END, channel, &[]),
        7 => address.frame(ACK, channel, &(random.next() >> random.below(64)).to_le_bytes()),
        8 => address.frame(RESET, 0, br#"{"kind":"io","message":""}"#),
        _ => address.frame(RESPONSE, 0, br#"{"ok":{}}"#),
    };
    match random.below(8) {
        0 => {
            let count = random.below(60);
            frame = random.bytes(count);
        }
        1 => frame.truncate(random.below(frame.len())),
        2 => {
            let at = random.below(frame.len());
            frame[at] ^= 1 << random.below(8);
        }
        _ => {}
    }
    frame
}

#[test]
fn survives_anything() {
    let seed = setting("FUZZ_SEED", u64::from(std::process::id()) << 16 | 1);
    let iterations = setting("FUZZ_ITERATIONS", 20_000);
    println!("FUZZ_SEED={seed} FUZZ_ITERATIONS={iterations}");
    let mut random = Random(seed.max(1));
    let (mut host, guest) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let mut agent = Agent::new(Config::default()).unwrap();
    agent.connect(guest.into(), true).unwrap();
    let mut sink = vec![0; 1 << 20];
    let before = resident_kib();
    for _ in 0..iterations {
        let session = 1 + random.below(2) as u64;
        let bytes = frame(&mut random, session);
        // A host that never reads would be waited for, as it should.
        while host.read(&mut sink).is_ok_and(|count| count > 0) {}
        let _ = host.write(&bytes);
        agent.turn(false).unwrap();
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before, FUZZ_SEED={seed}");
    greet(&mut host, &mut agent, &mut sink);
}

/// A proper hello is answered, whatever came before it.
fn greet(host: &mut UnixStream, agent: &mut Agent, sink: &mut [u8]) {
    let hello = Address { session: 77, stream: 0 }.frame(HELLO, 0, br#"{"versions":[1,1]}"#);
    let mut to_send = [vec![0; MAX_FRAME_BYTES], hello].concat();
    let welcome = Address { session: 77, stream: 0 }.header(WELCOME, 0, 0).bytes();
    let mut received = Vec::new();
    for _ in 0..1_000 {
        if let Ok(count) = host.write(&to_send) {
            to_send.drain(..count);
        }
        agent.turn(false).unwrap();
        while let Ok(count) = host.read(sink) {
            received.extend_from_slice(&sink[..count]);
        }
        if received.windows(16).any(|window| window == &welcome[..16]) {
            return;
        }
    }
    panic!("no WELCOME");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn tree_records_survive_anything() {
    let mut random = Random(setting("FUZZ_SEED", 1).max(1));
    for _ in 0..setting("FUZZ_ITERATIONS", 20_000) {
        let mut bytes = vec![random.below(6) as u8];
        let count = random.below(200);
        bytes.extend(random.bytes(count));
        if bytes.len() > 27 {
            bytes[25] = random.below(30) as u8;
            bytes[26] = 0;
        }
        let mut rest = bytes.as_slice();
        while decode(&mut rest).is_ok() && !rest.is_empty() {
            let _ = decode_extent(&mut rest);
        }
    }
}
