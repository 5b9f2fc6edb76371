//! The numbers of the protocol, generated from `protocol.json` by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/protocol.rs"));

/// The largest frame there can be: header, payload and trailer.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES + 1;

/// Payload size for bulk data: header, payload and trailer make exactly two of the 32 KiB writes that the virtio console takes,
/// where a full payload would need a third one for its last 21 bytes.
pub const BULK_PAYLOAD_BYTES: usize = MAX_PAYLOAD_BYTES - HEADER_BYTES - 1;
