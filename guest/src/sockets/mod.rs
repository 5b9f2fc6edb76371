//! Sockets as streams: dialled from the host, or accepted by a listener here.

mod address;
mod dial;
mod listen;
mod socket;

pub use listen::Listener;
pub use socket::Socket;
