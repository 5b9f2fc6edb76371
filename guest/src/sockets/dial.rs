//! `dial`: a connection to something that listens in here.

use super::address::{self, Address, pending_error};
use super::socket::{Phase, Socket};
use crate::agent::{Agent, Stream};
use crate::failure::{Context, Failure};
use crate::message::{Endpoint, Nothing};
use crate::poll::Token;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

impl Agent {
    /// `dial`.
    pub(crate) fn dial(&mut self, stream: u32, endpoint: Endpoint) {
        match endpoint {
            Endpoint { port: Some(port), path: None } => {
                let attempt = Address::loopback4(port).connect();
                self.dialled(stream, attempt, Some(port));
            }
            Endpoint { port: None, path: Some(path) } => {
                let attempt = Address::unix(&path).and_then(|address| address.connect());
                self.dialled(stream, attempt, None);
            }
            _ => self.refuse(stream, Failure::invalid("dial needs either a port or a path")),
        }
    }

    /// Goes on from an attempt to connect; `then` is the port to try at ::1 when it failed.
    fn dialled(&mut self, stream: u32, attempt: io::Result<(OwnedFd, bool)>, then: Option<u16>) {
        let (fd, connecting) = match (attempt, then) {
            (Ok(made), _) => made,
            (Err(first), Some(port)) => match Address::loopback6(port).connect() {
                Ok((fd, connecting)) => return self.add_dialled(stream, fd, connecting, None),
                // Without IPv6 the first error says more.
                Err(_) => return self.refuse(stream, Failure::io(&first, "connect")),
            },
            (Err(error), None) => return self.refuse(stream, Failure::io(&error, "connect")),
        };
        self.add_dialled(stream, fd, connecting, then);
    }

    fn add_dialled(&mut self, stream: u32, fd: OwnedFd, connecting: bool, then: Option<u16>) {
        if let Err(failure) = self.poll.add(&fd, Token::Socket(stream)).context("watch the connection") {
            return self.refuse(stream, failure);
        }
        let phase = if connecting { Phase::Connecting { then } } else { Phase::Open };
        let mut socket = Socket::new(fd, phase);
        socket.writable = !connecting;
        if !connecting {
            self.open(stream, socket);
        } else {
            self.streams.insert(stream, Stream::Socket(socket));
        }
    }

    /// A connection on its way has arrived somewhere.
    pub(super) fn connected(&mut self, stream: u32, then: Option<u16>) {
        let Some(Stream::Socket(mut socket)) = self.streams.remove(&stream) else { return };
        match pending_error(socket.fd.as_fd()) {
            Ok(()) if socket.writable => {
                socket.phase = Phase::Open;
                self.open(stream, socket);
            }
            // Not there yet.
            Ok(()) => drop(self.streams.insert(stream, Stream::Socket(socket))),
            Err(error) => self.dialled(stream, Err(error), then),
        }
    }

    fn open(&mut self, stream: u32, socket: Socket) {
        let one: libc::c_int = 1;
        // Fails on unix sockets, which have nothing to delay.
        let _ = address::set_option(&socket.fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one);
        self.streams.insert(stream, Stream::Socket(socket));
        self.answer(stream, Nothing {});
        self.work.push(Token::Socket(stream));
    }
}
