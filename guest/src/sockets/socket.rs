//! A connected socket as a stream: bytes both ways, each way at the pace of its receiver, each way ended on its own.

use super::address;
use crate::agent::{Agent, Stream};
use crate::failure::Failure;
use crate::frame::Address;
use crate::poll::{Ready, Token};
use crate::protocol::*;
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const WINDOW: u64 = STREAM_WINDOW_BYTES as u64;
/// The least that a host may ask for.
const MIN_WINDOW: u64 = 4_096;

/// How far a socket's stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dialled; on failure, the other loopback address at this port is tried.
    Connecting {
        then: Option<u16>,
    },
    /// Offered to the host, who has not answered yet. `from`: whoever may have another one to offer.
    Offered {
        from: Token,
    },
    Open,
}

/// A socket with its windows.
pub struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) phase: Phase,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Offsets towards the host.
    sent: u64,
    acknowledged: u64,
    /// The peer sends no more.
    out_ended: bool,
    /// Received from the host and not yet written.
    pending: VecDeque<u8>,
    written: u64,
    /// Offset of the last acknowledgement to the host.
    told: u64,
    /// The host sends no more; the peer knows once the rest is written.
    in_ended: bool,
    shut: bool,
    /// Of both channels.
    window: u64,
}

/// What moving bytes led to.
enum Moved {
    /// Nothing more can be done now.
    Idle,
    /// The link is full.
    Starved,
    /// There is more to do, after others had their turn.
    More,
    Failed(io::Error),
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, phase: Phase) -> Self {
        Self {
            fd,
            phase,
            readable: true,
            writable: true,
            sent: 0,
            acknowledged: 0,
            out_ended: false,
            pending: VecDeque::new(),
            written: 0,
            told: 0,
            in_ended: false,
            shut: false,
            window: WINDOW,
        }
    }

    /// A connection that nobody has taken yet.
    pub(crate) fn unclaimed(fd: OwnedFd) -> Self {
        Self::new(fd, Phase::Open)
    }

    /// The host has taken it. @param window in bytes, when it is less than usual
    pub(super) fn taken(&mut self, window: Option<u64>) {
        self.phase = Phase::Open;
        self.window = window.unwrap_or(WINDOW).clamp(MIN_WINDOW, WINDOW);
    }

    /// Closes it so that the peer sees a reset.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = address::set_option(&self.fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    }

    /// Takes bytes from the host. False when they overrun the window.
    fn push(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        let received = self.written + (self.pending.len() + bytes.len()) as u64;
        if received - self.told > self.window {
            return Ok(false);
        }
        if self.pending.is_empty() && self.phase == Phase::Open {
            bytes = self.write(bytes)?;
        }
        self.pending.extend(bytes);
        Ok(true)
    }

    fn write<'a>(&mut self, mut bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        while !bytes.is_empty() && self.writable {
            match send(&self.fd, bytes) {
                Ok(count) => {
                    self.written += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Writes what is pending, then tells the peer of the end.
    fn drain(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() && self.writable {
            let mut pending = std::mem::take(&mut self.pending);
            let length = pending.as_slices().0.len();
            let result = self.write(pending.as_slices().0).map(<[u8]>::len);
            pending.drain(..length - result.as_ref().copied().unwrap_or(length).min(length));
            self.pending = pending;
            result?;
        }
        if self.in_ended && self.pending.is_empty() && !self.shut {
            self.shut = true;
            // SAFETY: plain numbers. A peer that is gone already has nothing to learn.
            unsafe { libc::shutdown(self.fd.as_raw_fd(), libc::SHUT_WR) };
        }
        Ok(())
    }

    /// The offset to acknowledge, once a quarter of the window has passed.
    fn due(&mut self) -> Option<u64> {
        (self.written - self.told >= self.window / 4).then(|| {
            self.told = self.written;
            self.written
        })
    }

    fn is_done(&self) -> bool {
        self.out_ended && self.shut
    }
}

impl Agent {
    /// Notes an edge.
    pub(crate) fn socket_ready(&mut self, stream: u32, ready: Ready) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Socket(socket)) => {
                socket.readable |= ready.readable;
                socket.writable |= ready.writable;
            }
            Some(Stream::Listener(listener)) => listener.readable |= ready.readable,
            _ => {}
        }
    }

    /// Moves what can be moved on a socket or listener.
    pub(crate) fn serve_socket(&mut self, stream: u32) {
        let phase = match self.streams.get(&stream) {
            Some(Stream::Socket(socket)) => socket.phase,
            Some(Stream::Listener(_)) => return self.accept_connections(stream),
            _ => return,
        };
        match phase {
            Phase::Connecting { then } => self.connected(stream, then),
            Phase::Offered { .. } => {}
            Phase::Open => self.move_bytes(stream),
        }
    }

    fn move_bytes(&mut self, stream: u32) {
        let address = Address { session: self.session, stream };
        let Some(Stream::Socket(socket)) = self.streams.get_mut(&stream) else { return };
        let mut moved = match socket.drain() {
            Ok(()) => Moved::More,
            Err(error) => Moved::Failed(error),
        };
        if let Some(offset) = socket.due() {
            self.link.send(address.ack(CHANNEL_IN, offset));
        }
        for _ in 0..4 {
            if !matches!(moved, Moved::More) {
                break;
            }
            moved = match self.link.has_room_for_sockets() {
                false => Moved::Starved,
                true => {
                    let (frame, moved) = receive(socket, address);
                    if let Some(frame) = frame {
                        self.link.send(frame);
                    }
                    moved
                }
            };
        }
        match moved {
            Moved::Idle => {}
            Moved::Starved => self.starved_sockets.push(Token::Socket(stream)),
            Moved::More => self.work.push(Token::Socket(stream)),
            Moved::Failed(error) => return self.reset(stream, Failure::io(&error, "the connection")),
        }
        if socket.is_done() {
            self.streams.remove(&stream);
        }
    }

    /// Bytes from the host. False when they overrun the window.
    pub(crate) fn socket_input(&mut self, stream: u32, bytes: &[u8]) -> bool {
        let Some(Stream::Socket(socket)) = self.streams.get_mut(&stream) else { return true };
        match socket.push(bytes) {
            Ok(fits) => {
                self.work.push(Token::Socket(stream));
                fits
            }
            Err(error) => {
                self.reset(stream, Failure::io(&error, "the connection"));
                true
            }
        }
    }

    /// The host has no more bytes.
    pub(crate) fn socket_input_end(&mut self, stream: u32) {
        if let Some(Stream::Socket(socket)) = self.streams.get_mut(&stream) {
            socket.in_ended = true;
            self.work.push(Token::Socket(stream));
        }
    }

    /// The host has dealt with bytes. False when that many were never sent.
    pub(crate) fn socket_acknowledged(&mut self, stream: u32, offset: u64) -> bool {
        let Some(Stream::Socket(socket)) = self.streams.get_mut(&stream) else { return true };
        socket.acknowledged = socket.acknowledged.max(offset);
        self.work.push(Token::Socket(stream));
        offset <= socket.sent
    }
}

/// Reads once from the peer, into a frame.
fn receive(socket: &mut Socket, address: Address) -> (Option<Vec<u8>>, Moved) {
    let room = (socket.window + socket.acknowledged).saturating_sub(socket.sent).min(BULK_PAYLOAD_BYTES as u64);
    if socket.out_ended || !socket.readable || room == 0 {
        return (None, Moved::Idle);
    }
    let mut frame = Vec::with_capacity(MAX_FRAME_BYTES);
    frame.resize(HEADER_BYTES, 0);
    match sys::read_append(socket.fd.as_fd(), &mut frame, room as usize) {
        Ok(0) => {
            socket.out_ended = true;
            (Some(address.frame(END, CHANNEL_OUT, &[])), Moved::Idle)
        }
        Ok(count) => {
            socket.sent += count as u64;
            frame[..HEADER_BYTES].copy_from_slice(&address.header(DATA, CHANNEL_OUT, count).bytes());
            frame.push(TRAILER);
            (Some(frame), Moved::More)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.readable = false;
            (None, Moved::Idle)
        }
        Err(error) => (None, Moved::Failed(error)),
    }
}

/// send(2) without SIGPIPE.
fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `bytes`.
    sys::retry(|| unsafe {
        libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) as i64
    })
}
