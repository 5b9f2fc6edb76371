//! Netlink messages: built from attributes, sent, and their answers awaited.

use crate::sys;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;
/// Set in the type of an attribute that holds attributes.
const NESTED: u16 = libc::NLA_F_NESTED as u16;
/// The kernel answers at once. Without an answer the caller does without what it asked for.
const ANSWER_MS: c_int = 5_000;

/// The payload of a message or of a nested attribute.
#[derive(Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// A payload that begins with a fixed structure.
    pub fn after(structure: &[u8]) -> Self {
        let mut attributes = Self(structure.to_vec());
        attributes.align();
        attributes
    }

    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (ALIGNMENT + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.align();
        self
    }

    /// A number in network byte order, as nftables has them.
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A text, with the NUL that ends it.
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), b"\0"].concat())
    }

    pub fn nested(self, kind: u16, value: Attributes) -> Self {
        self.bytes(kind | NESTED, &value.0)
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// Messages that are sent together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Messages whose acknowledgement was asked for.
    expected: usize,
}

impl Batch {
    /// @param flags beyond NLM_F_REQUEST; with NLM_F_ACK the kernel's verdict is awaited
    pub fn add(&mut self, kind: u16, flags: c_int, payload: Attributes) {
        let length = (HEADER_BYTES + payload.0.len()) as u32;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        // Sequence number and port: the kernel fills in the port, and answers come in order.
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&payload.0);
        self.expected += usize::from(flags & libc::NLM_F_ACK != 0);
    }

    /// Sends all of it. Returns the kernel's first error.
    pub fn send(self, protocol: c_int) -> io::Result<()> {
        let socket = Socket::open(protocol)?;
        socket.send(&self.bytes)?;
        let mut left = self.expected;
        while left > 0 {
            for (kind, payload) in messages(&socket.receive()?) {
                if kind == libc::NLMSG_ERROR as u16 {
                    verdict(payload)?;
                    left = left.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Sends one request and returns the payload of its answer.
    pub fn ask(self, protocol: c_int) -> io::Result<Vec<u8>> {
        let socket = Socket::open(protocol)?;
        socket.send(&self.bytes)?;
        let answer = socket.receive()?;
        match messages(&answer).next() {
            Some((kind, payload)) if kind == libc::NLMSG_ERROR as u16 => {
                verdict(payload)?;
                Err(io::Error::from(io::ErrorKind::NotFound))
            }
            Some((_, payload)) => Ok(payload.to_vec()),
            None => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }
}

struct Socket(OwnedFd);

impl Socket {
    fn open(protocol: c_int) -> io::Result<Self> {
        // SAFETY: plain numbers.
        let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
        Ok(Self(sys::owned(socket)?))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        sys::write(self.0.as_fd(), bytes).map(drop)
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        if !sys::is_ready(self.0.as_fd(), ANSWER_MS) {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        let mut buffer = vec![0; 16 * 1024];
        // SAFETY: the pointer and length describe `buffer`.
        let count = sys::retry(|| unsafe {
            libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) as i64
        })?;
        buffer.truncate(count);
        Ok(buffer)
    }
}

/// The messages of a datagram: kind and payload.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_ne_bytes(*header.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let payload = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The error number that an acknowledgement holds; 0: none.
fn verdict(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(negative) => Err(io::Error::from_raw_os_error(-negative)),
        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
