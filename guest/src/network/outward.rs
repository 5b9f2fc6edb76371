//! Connections that leave: taken from the kernel, offered to the host under the name they are meant for.

use super::owner::{self, Owner};
use super::{Filter, Network, names};
use crate::agent::Agent;
use crate::message::Connect;
use crate::poll::{Ready, Token};
use crate::processes;
use crate::protocol::*;
use crate::sockets::{MAX_OFFERED, Socket, accept_inet, original_destination};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

/// Streams that may be open before no more connections are taken: the host's own requests need room as well.
pub const MAX_OPEN: usize = MAX_STREAMS - 512;

impl Agent {
    /// Sets the network up. On failure the machine goes on without; the host is told why.
    pub fn set_up_network(&mut self, filter: Filter) {
        let network = Network::set_up(filter).and_then(|network| {
            self.poll.add(&network.listener.fd(), Token::Outward)?;
            Ok(network)
        });
        match network {
            Ok(network) => self.network = Some(network),
            Err(error) => self.network_error = Some(error.to_string()),
        }
    }

    /// For a machine that was thawed. On failure it goes on without, as above.
    pub(crate) fn renew_network(&mut self) {
        if let Some(Err(error)) = self.network.as_ref().map(Network::renew) {
            self.network = None;
            self.network_error = Some(error.to_string());
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
        let room = MAX_OFFERED.saturating_sub(self.offered()).min(MAX_OPEN.saturating_sub(self.streams.len()));
        let mut taken = Vec::new();
        let Some(network) = &mut self.network else { return };
        while network.listener.readable && taken.len() < room {
            match accept_inet(network.listener.fd()) {
                Ok((fd, peer)) => taken.push((fd, peer)),
                Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => continue,
                Err(_) => network.listener.readable = false,
            }
        }
        let sockets = (network.filter == Filter::Iptables && !taken.is_empty()).then(owner::sockets);
        let find = |local, remote| match &sockets {
            Some(sockets) => owner::find_in(sockets, local, remote),
            None => owner::find(local, remote),
        };
        let leaving: Vec<_> = taken.into_iter().filter_map(|(fd, peer)| self.leaving(fd, peer, find)).collect();
        // Each session begins with a look at what waits, and most find nothing: /proc is not listed for that.
        if leaving.is_empty() {
            return;
        }
        let Self { network: Some(network), execs, .. } = self else { return };
        let owners = leaving.iter().filter_map(|one| one.owner);
        let pids = network.search.processes_of(owners, execs.pids().chain(processes::pids()));
        let programs: BTreeSet<_> = pids.values().copied().collect();
        let programs: BTreeMap<_, _> = programs.into_iter().map(|pid| (pid, self.program(pid))).collect();
        for Leaving { fd, name, target, owner } in leaving {
            let pid = owner.and_then(|owner| pids.get(&owner.inode)).copied();
            let program = pid.and_then(|pid| programs.get(&pid)).cloned().unwrap_or_default();
            let request = Connect {
                op: "connect".to_string(),
                name,
                address: target.ip().to_string(),
                port: target.port(),
                pid,
                uid: owner.map(|owner| owner.uid),
                process: program.name,
                exec: program.exec,
            };
            self.offer_connection(fd, Token::Outward, &request);
        }
    }

    /// None for a connection that nobody could judge. It is reset.
    fn leaving(
        &self,
        fd: OwnedFd,
        peer: SocketAddrV4,
        find: impl Fn(SocketAddrV4, SocketAddrV4) -> Option<Owner>,
    ) -> Option<Leaving> {
        let network = self.network.as_ref()?;
        let target = original_destination(fd.as_fd()).filter(|_| self.session != 0 && self.host_takes_connections);
        let name = target.and_then(|target| {
            let names = network.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.name(*target.ip()).map(str::to_string)
        });
        // An address that has lost its name would be judged as an address, which it is not.
        match target.filter(|target| name.is_some() || !names::is_synthetic(*target.ip())) {
            Some(target) => Some(Leaving { fd, name, target, owner: find(peer, target) }),
            None => {
                Socket::unclaimed(fd).reset();
                None
            }
        }
    }

    fn program(&self, pid: i32) -> Program {
        Program { name: owner::name_of(pid), exec: self.execs.exec_of(pid) }
    }
}

/// What a process is called, and the exec that it belongs to.
#[derive(Clone, Default)]
struct Program {
    name: Option<String>,
    exec: Option<String>,
}

/// A connection that was taken from the kernel and is to be offered to the host.
struct Leaving {
    fd: OwnedFd,
    name: Option<String>,
    target: SocketAddrV4,
    owner: Option<Owner>,
}
