//! Connections that leave: taken from the kernel, offered to the host under the name they are meant for.

use super::{Network, names, owner};
use crate::agent::Agent;
use crate::message::Connect;
use crate::poll::{Ready, Token};
use crate::processes;
use crate::protocol::*;
use crate::sockets::{MAX_OFFERED, Socket, accept_inet, original_destination};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

/// Streams that may be open before no more connections are taken: the host's own requests need room as well.
pub const MAX_OPEN: usize = MAX_STREAMS - 512;

impl Agent {
    /// Sets the network up. On failure the machine goes on without; the host is told why.
    pub fn set_up_network(&mut self) {
        let network = Network::set_up().and_then(|network| {
            self.poll.add(&network.listener.fd(), Token::Outward)?;
            Ok(network)
        });
        match network {
            Ok(network) => self.network = Some(network),
            Err(error) => self.network_error = Some(error.to_string()),
        }
    }

    /// Notes an edge.
    pub(crate) fn outward_ready(&mut self, ready: Ready) {
        if let Some(network) = &mut self.network {
            network.listener.readable |= ready.readable;
        }
    }

    /// Takes connections that wait, as many as the host may be offered.
    pub(crate) fn take_outward(&mut self) {
        let mut offered = self.offered();
        while let Some(network) = &mut self.network {
            if !network.listener.readable || offered >= MAX_OFFERED || self.streams.len() >= MAX_OPEN {
                return;
            }
            match accept_inet(network.listener.fd()) {
                Ok((fd, peer)) => self.offer_outward(fd, peer),
                Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => continue,
                Err(_) => network.listener.readable = false,
            }
            offered += 1;
        }
    }

    fn offer_outward(&mut self, fd: OwnedFd, peer: SocketAddrV4) {
        let Some(target) = original_destination(fd.as_fd()) else { return Socket::unclaimed(fd).reset() };
        if self.session == 0 || !self.host_takes_connections {
            return Socket::unclaimed(fd).reset();
        }
        let name = self.network.as_ref().and_then(|network| {
            let names = network.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.name(*target.ip()).map(str::to_string)
        });
        // An address that has lost its name would be judged as an address, which it is not.
        if name.is_none() && names::is_synthetic(*target.ip()) {
            return Socket::unclaimed(fd).reset();
        }
        let request = self.connect_request(name, target, peer);
        self.offer_connection(fd, Token::Outward, &request);
    }

    fn connect_request(&mut self, name: Option<String>, target: SocketAddrV4, peer: SocketAddrV4) -> Connect {
        let found = owner::find(peer, target);
        let pids = self.network.as_ref().and_then(|network| network.last_pid).into_iter();
        let pid =
            found.and_then(|found| owner::process_of(found, pids.chain(self.execs.pids()).chain(processes::pids())));
        if let (Some(network), Some(_)) = (&mut self.network, pid) {
            network.last_pid = pid;
        }
        Connect {
            op: "connect".to_string(),
            name,
            address: target.ip().to_string(),
            port: target.port(),
            pid,
            uid: found.map(|found| found.uid),
            process: pid.and_then(owner::name_of),
            exec: pid.and_then(|pid| self.execs.exec_of(pid)),
        }
    }
}
