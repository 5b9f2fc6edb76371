//! Sockets as streams: dialled from the host, accepted by a listener here, or on their way out of the machine.

mod address;
mod dial;
mod listen;
mod socket;

pub(crate) use address::{accept_inet, original_destination};
pub use listen::Listener;
pub(crate) use listen::MAX_OFFERED;
pub use socket::Socket;
