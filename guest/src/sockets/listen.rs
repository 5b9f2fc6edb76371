//! `listen`: connections made in here, offered to the host.

use super::address::{self, Address};
use super::socket::{Phase, Socket};
use crate::agent::{Agent, Stream};
use crate::failure::{Context, Failure};
use crate::json::{self, Json};
use crate::message::{Accepted, Endpoint, Listening, Response, Taken};
use crate::poll::Token;
use crate::protocol::*;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Connections that may wait for the host's answer, over all listeners. Beyond, they wait in the kernel.
pub(crate) const MAX_OFFERED: usize = 256;

/// A listening socket.
pub struct Listener {
    fd: OwnedFd,
    pub(crate) readable: bool,
    /// Of a unix socket, to be removed with it.
    path: Option<String>,
}

impl Listener {
    /// Of a socket that listens already and does not block.
    pub(crate) fn of(fd: OwnedFd) -> Self {
        Self { fd, readable: true, path: None }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Stops listening.
    pub fn close(self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl Agent {
    /// `listen`.
    pub(crate) fn listen_for(&mut self, endpoint: Endpoint) -> Result<(Listener, Listening), Failure> {
        let (fd, path) = match endpoint {
            Endpoint { port: Some(port), path: None } => {
                (Address::loopback4(port).listen().context(format!("listen on port {port}"))?, None)
            }
            Endpoint { port: None, path: Some(path) } => {
                (listen_unix(&path).context(format!("listen on {path}"))?, Some(path))
            }
            _ => return Err(Failure::invalid("listen needs either a port or a path")),
        };
        let port = match path {
            Some(_) => None,
            None => Some(address::bound_port(fd.as_fd()).context("the listener's port")?),
        };
        Ok((Listener { fd, readable: true, path }, Listening { port }))
    }

    /// Adds a listener as a stream.
    pub(crate) fn add_listener(&mut self, stream: u32, endpoint: Endpoint) {
        match self.listen_for(endpoint) {
            Ok((listener, listening)) => {
                if let Err(failure) = self.poll.add(&listener.fd, Token::Socket(stream)).context("watch the listener") {
                    listener.close();
                    return self.refuse(stream, failure);
                }
                self.streams.insert(stream, Stream::Listener(listener));
                self.answer(stream, listening);
                self.work.push(Token::Socket(stream));
            }
            Err(failure) => self.refuse(stream, failure),
        }
    }

    /// Offers waiting connections to the host.
    pub(super) fn accept_connections(&mut self, stream: u32) {
        let mut offered = self.offered();
        while offered < MAX_OFFERED && self.streams.len() < MAX_STREAMS {
            let Some(Stream::Listener(listener)) = self.streams.get_mut(&stream) else { return };
            if !listener.readable {
                return;
            }
            match address::accept(listener.fd.as_fd()) {
                Ok((fd, peer)) => self.offer(stream, fd, peer),
                Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => continue,
                Err(_) => listener.readable = false,
            }
            offered += 1;
        }
    }

    pub(crate) fn offered(&self) -> usize {
        let is_offered =
            |stream: &&Stream| matches!(stream, Stream::Socket(Socket { phase: Phase::Offered { .. }, .. }));
        self.streams.values().filter(is_offered).count()
    }

    fn offer(&mut self, listener: u32, fd: OwnedFd, peer: Option<String>) {
        let request = Accepted { op: "accepted".to_string(), listener, peer };
        self.offer_connection(fd, Token::Socket(listener), &request);
    }

    /// Opens a stream for a connection with a request of the agent's. @param from see `Phase::Offered`
    pub(crate) fn offer_connection(&mut self, fd: OwnedFd, from: Token, request: &dyn Json) {
        self.last_stream = self.last_stream.wrapping_add(2);
        let stream = self.last_stream;
        if stream == 0 || self.streams.contains_key(&stream) || self.poll.add(&fd, Token::Socket(stream)).is_err() {
            return;
        }
        let one: libc::c_int = 1;
        let _ = address::set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one);
        self.streams.insert(stream, Stream::Socket(Socket::new(fd, Phase::Offered { from })));
        let address = crate::frame::Address { session: self.session, stream };
        self.link.send(address.json(REQUEST, request).unwrap_or_default());
    }

    /// The host's answer to an offered connection.
    pub(crate) fn offered_answer(&mut self, stream: u32, payload: &[u8]) {
        let Some(Stream::Socket(socket)) = self.streams.get_mut(&stream) else { return };
        let Phase::Offered { from } = socket.phase else { return };
        match json::from_slice::<Response<Taken>>(payload) {
            Ok(Response::Ok(Taken { window })) => {
                socket.taken(window);
                self.work.push(Token::Socket(stream));
            }
            _ => {
                if let Some(Stream::Socket(socket)) = self.streams.remove(&stream) {
                    socket.reset();
                }
            }
        }
        // There may be room for one that waited.
        self.work.push(from);
    }
}

/// Takes the place of a socket that nobody listens on any more.
fn listen_unix(path: &str) -> io::Result<OwnedFd> {
    let address = Address::unix(path)?;
    match address.listen() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
            fs::remove_file(path)?;
            address.listen()
        }
        result => result,
    }
}
