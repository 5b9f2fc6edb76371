//! Frames: the fixed header, the payload and the trailer, as in docs/PROTOCOL.md.

use crate::json::Json;
use crate::protocol::*;

/// The header's fields that vary, checked for their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub channel: u8,
    pub session: u64,
    pub stream: u32,
    /// Bytes of payload, at most `MAX_PAYLOAD_BYTES`.
    pub length: usize,
}

impl Header {
    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.length + 1
    }

    /// The header's wire form.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = MAGIC;
        bytes[1] = self.kind;
        bytes[2] = self.channel;
        bytes[4..12].copy_from_slice(&self.session.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.stream.to_le_bytes());
        bytes[16..20].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes
    }
}

/// What is wrong with bytes that should be a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Magic,
    Length,
    Reserved,
    Trailer,
}

impl Fault {
    /// The name used in messages and in the golden vectors.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Magic => "magic",
            Fault::Length => "length",
            Fault::Reserved => "reserved",
            Fault::Trailer => "trailer",
        }
    }
}

/// What the first bytes of a buffer hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame; its payload follows the header.
    Frame(Header),
    /// The beginning of one.
    Incomplete,
    Faulty(Fault),
}

/// Looks at the first bytes of `bytes` as a frame. Zero bytes between frames are the caller's to skip.
pub fn decode(bytes: &[u8]) -> Decoded {
    let header = match decode_header(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Decoded::Incomplete,
        Err(fault) => return Decoded::Faulty(fault),
    };
    match bytes.get(HEADER_BYTES + header.length) {
        None => Decoded::Incomplete,
        Some(&TRAILER) => Decoded::Frame(header),
        Some(_) => Decoded::Faulty(Fault::Trailer),
    }
}

fn decode_header(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if bytes.first().is_some_and(|&first| first != MAGIC) {
        return Err(Fault::Magic);
    }
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [_, kind, channel, reserved, rest @ ..] = *bytes;
    let [s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3, l0, l1, l2, l3] = rest;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Err(Fault::Length);
    }
    if reserved != 0 {
        return Err(Fault::Reserved);
    }
    Ok(Some(Header {
        kind,
        channel,
        session: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        stream: u32::from_le_bytes([t0, t1, t2, t3]),
        length,
    }))
}

/// Where frames of one stream are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub session: u64,
    pub stream: u32,
}

impl Address {
    /// A header for this stream.
    pub fn header(&self, kind: u8, channel: u8, length: usize) -> Header {
        Header { kind, channel, session: self.session, stream: self.stream, length }
    }

    /// A whole frame. `payload` is at most `MAX_PAYLOAD_BYTES`.
    pub fn frame(&self, kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
        debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
        let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len() + 1);
        frame.extend_from_slice(&self.header(kind, channel, payload.len()).bytes());
        frame.extend_from_slice(payload);
        frame.push(TRAILER);
        frame
    }

    /// A whole frame with a JSON payload, or None when the JSON is too long for a frame.
    pub fn json(&self, kind: u8, value: &dyn Json) -> Option<Vec<u8>> {
        let mut frame = Vec::with_capacity(256);
        frame.resize(HEADER_BYTES, 0);
        value.write(&mut frame);
        let length = frame.len() - HEADER_BYTES;
        if length > MAX_PAYLOAD_BYTES {
            return None;
        }
        frame[..HEADER_BYTES].copy_from_slice(&self.header(kind, 0, length).bytes());
        frame.push(TRAILER);
        Some(frame)
    }

    /// An acknowledgement of every byte before `offset`.
    pub fn ack(&self, channel: u8, offset: u64) -> Vec<u8> {
        self.frame(ACK, channel, &offset.to_le_bytes())
    }
}
