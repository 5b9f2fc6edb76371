//! The event loop. One thread does everything but file work; it sleeps until an edge arrives.

use crate::exec::Execs;
use crate::exec::cgroup::Cgroups;
use crate::exec::words::KeptWords;
use crate::jobs::{Job, Jobs};
use crate::link::Link;
use crate::network::Network;
use crate::network::listening::Watch;
use crate::poll::{Poll, Ready, Token};
use crate::protocol::*;
use crate::sockets::{Listener, Socket};
use crate::sys;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

/// How the agent lives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// PID 1 of a machine: it may have cgroups, and powering off ends the machine.
    pub is_init: bool,
    /// Apply identities rather than only say so.
    pub apply_identity: bool,
    /// The kernel takes its clock and its random numbers from the host: neither can be set, and clones have neither in common.
    pub host_clock: bool,
}

/// What a stream is bound to.
pub enum Stream {
    Exec(u32),
    Job(Job),
    Socket(Socket),
    Listener(Listener),
    /// The agent's watch of ports.
    Ports,
}

/// Everything the agent knows.
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) poll: Poll,
    pub(crate) link: Link,
    door: Option<UnixListener>,
    children: OwnedFd,
    pub(crate) null: OwnedFd,
    /// The current session, 0 when there is none.
    pub(crate) session: u64,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// The last stream opened from here.
    pub(crate) last_stream: u32,
    pub(crate) execs: Execs,
    pub(crate) words: KeptWords,
    pub(crate) jobs: Jobs,
    /// Where crashes are handed over, once an exec wants them held.
    pub(crate) crashes: Option<UnixDatagram>,
    pub(crate) boot_id: Option<String>,
    pub(crate) identity_errors: Vec<String>,
    pub(crate) faults: u64,
    /// The way out; None where there is none, and why when it could not be set up.
    pub(crate) network: Option<Network>,
    pub(crate) network_error: Option<String>,
    pub(crate) watch: Option<Watch>,
    /// The ports as they were seen last, by a machine that this one is a copy of perhaps.
    pub(crate) ports: Option<Vec<u16>>,
    /// Whether the host of this session knows `connect`.
    pub(crate) host_takes_connections: bool,
    /// To be served in the next round.
    pub(crate) work: Vec<Token>,
    /// To be served once the link has room again.
    pub(crate) starved: Vec<Token>,
    /// Sockets that wait for more room than others: output of execs goes ahead of theirs.
    pub(crate) starved_sockets: Vec<Token>,
    /// Everything is to end once the link is empty.
    pub(crate) ending: bool,
}

impl Agent {
    /// An agent without a host.
    pub fn new(config: Config) -> io::Result<Self> {
        sys::block_signals();
        sys::tune_heap();
        sys::take_turns();
        let poll = Poll::new()?;
        let children = sys::child_signals()?;
        poll.add(&children, Token::Children)?;
        let jobs = Jobs::new()?;
        poll.add(&jobs.wake_fd(), Token::Jobs)?;
        Ok(Self {
            config,
            poll,
            link: Link::default(),
            door: None,
            children,
            null: sys::open(b"/dev/null", libc::O_RDWR, 0)?,
            session: 0,
            streams: BTreeMap::new(),
            last_stream: 0,
            execs: Execs::new(Cgroups::new(config.is_init)),
            words: KeptWords::default(),
            jobs,
            crashes: None,
            boot_id: None,
            identity_errors: Vec::new(),
            faults: 0,
            network: None,
            network_error: None,
            watch: None,
            ports: None,
            host_takes_connections: false,
            work: vec![Token::Chores],
            starved: Vec::new(),
            starved_sockets: Vec::new(),
            ending: false,
        })
    }

    /// Serves a descriptor: a console port (`lasting`), or a connection.
    pub fn connect(&mut self, fd: OwnedFd, lasting: bool) -> io::Result<()> {
        sys::set_nonblocking(fd.as_fd())?;
        self.poll.add(&fd, Token::Link)?;
        self.link = Link::new(fd, lasting);
        self.work.push(Token::Link);
        Ok(())
    }

    /// Serves a pair of pipes that outlive their hosts.
    pub fn connect_pipes(&mut self, from_host: OwnedFd, to_host: OwnedFd) -> io::Result<()> {
        for fd in [&from_host, &to_host] {
            sys::set_nonblocking(fd.as_fd())?;
            self.poll.add(fd, Token::Link)?;
        }
        self.link = Link::of_pipes(from_host, to_host);
        self.work.push(Token::Link);
        Ok(())
    }

    /// Serves those who connect to a socket, one at a time.
    pub fn listen(&mut self, door: UnixListener) -> io::Result<()> {
        door.set_nonblocking(true)?;
        self.poll.add(&door, Token::Door)?;
        self.door = Some(door);
        self.work.push(Token::Door);
        Ok(())
    }

    /// Runs until the host asks for the end.
    pub fn run(&mut self) -> io::Result<()> {
        while !(self.ending && self.link.is_empty()) {
            self.turn(true)?;
        }
        Ok(())
    }

    /// One round: waits (when `block`, and nothing is left to do), serves what is ready, sends what came of it.
    pub fn turn(&mut self, block: bool) -> io::Result<()> {
        let mut ready = Vec::new();
        let may_wait = block && self.work.is_empty();
        self.poll.wait(if may_wait { self.until_look() } else { Some(Duration::ZERO) }, &mut ready)?;
        for ready in ready {
            self.mark(ready);
        }
        let mut work = std::mem::take(&mut self.work);
        work.sort_unstable();
        work.dedup();
        for token in work {
            self.serve(token);
        }
        self.look_at_ports();
        self.flush();
        Ok(())
    }

    fn flush(&mut self) {
        if !self.link.flush() {
            return self.hang_up();
        }
        if self.link.has_room() {
            self.work.append(&mut self.starved);
        }
        if self.link.has_room_for_sockets() {
            self.work.append(&mut self.starved_sockets);
        }
        if self.link.wants_read() {
            self.work.push(Token::Link);
        }
    }

    /// Notes an edge.
    fn mark(&mut self, ready: Ready) {
        match ready.token {
            Token::Link => {
                self.link.readable |= ready.readable;
                self.link.writable |= ready.writable;
            }
            Token::ExecOut(number) => self.output_readable(number, CHANNEL_OUT),
            Token::ExecErr(number) => self.output_readable(number, CHANNEL_ERR),
            Token::Socket(stream) => self.socket_ready(stream, ready),
            Token::Outward => self.outward_ready(ready),
            _ => {}
        }
        self.work.push(ready.token);
    }

    fn serve(&mut self, token: Token) {
        match token {
            Token::Link => self.receive(),
            Token::Door => self.accept_host(),
            Token::Children => {
                let mut information = [0; 4 * size_of::<libc::signalfd_siginfo>()];
                while sys::read(self.children.as_fd(), &mut information).is_ok() {}
                self.reap_children();
            }
            Token::Jobs => self.collect_jobs(),
            Token::Crashes => self.collect_crashes(),
            Token::Chores if self.execs.is_any_running() => {}
            Token::Chores => self.execs.cgroups.prepare(),
            Token::ExecIn(number) => self.serve_input(number),
            Token::ExecOut(number) => self.serve_output(number, CHANNEL_OUT),
            Token::ExecErr(number) => self.serve_output(number, CHANNEL_ERR),
            Token::Socket(stream) => self.serve_socket(stream),
            Token::Outward => self.take_outward(),
        }
    }

    fn receive(&mut self) {
        if !self.link.wants_read() {
            return;
        }
        let open = self.link.receive();
        self.take_frames();
        if !open {
            self.hang_up();
        }
    }

    /// The connection is gone, and with it the session. Execs live on.
    fn hang_up(&mut self) {
        self.end_session();
        self.link = Link::default();
        if self.door.is_some() {
            self.work.push(Token::Door);
        } else {
            self.ending = true;
        }
    }

    fn accept_host(&mut self) {
        if self.link.fd().is_some() {
            return;
        }
        let Some(Ok((connection, _))) = self.door.as_ref().map(UnixListener::accept) else { return };
        if self.connect(connection.into(), false).is_err() {
            self.link = Link::default();
        }
    }
}
