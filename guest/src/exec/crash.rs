//! Held crashes: processes that got a fatal signal stay in the kernel's core dump, memory and /proc readable, as long as the agent
//! keeps the pipe that the core goes into.

use super::crash_handler::{self, Crash};
use super::{Exec, cgroup, signals};
use crate::agent::Agent;
use crate::failure::{Context, Failure, Kind};
use crate::jobs::Worker;
use crate::message::{self, Core, Event, Nothing, Release};
use crate::poll::Token;
use crate::protocol::*;
use crate::sys;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Crashes held for one exec.
const MAX_HELD: usize = 4;

/// Core dumps in the machine that the kernel waits for at a time, and crashes taken from the socket in a turn. Further ones are skipped:
/// their processes die as usual.
const MAX_DUMPS: usize = 16;

/// What the pipe is enlarged to once the core is read: fewer switches between the process and the agent.
const WIDE_PIPE_BYTES: libc::c_int = 1024 * 1024;

/// How often a download looks whether anybody still waits for it.
const LOOK_MS: i32 = 1_000;

/// A crash that is held.
pub struct Held {
    pid: i32,
    signal: i32,
    /// The program's short name.
    name: String,
    /// Where the core comes from. The process ends when this is closed.
    pipe: OwnedFd,
    /// The process itself, which may be killed meanwhile.
    process: OwnedFd,
}

impl Held {
    fn new(crash: Crash) -> io::Result<Self> {
        let Crash { pid, signal, pipe } = crash;
        let process = sys::process(pid)?;
        let name = fs::read(format!("/proc/{pid}/comm"))?;
        let name = String::from_utf8_lossy(&name).trim_end_matches('\n').to_string();
        Ok(Self { pid, signal, name, pipe, process })
    }

    /// Nobody has killed it yet.
    fn is_there(&self) -> bool {
        !sys::is_ready(self.process.as_fd(), 0)
    }

    fn told(&self) -> message::Crash {
        let signal = signals::name(self.signal);
        let signal = signal.strip_prefix("SIG").unwrap_or(&signal).to_string();
        message::Crash { pid: self.pid, signal, name: self.name.clone() }
    }
}

impl Exec {
    /// Takes a held crash out: that of `pid`, or the first.
    fn take_crash(&mut self, pid: Option<i32>) -> Option<Held> {
        self.crashes.retain(Held::is_there);
        let found = self.crashes.iter().position(|held| pid.is_none_or(|pid| held.pid == pid))?;
        Some(self.crashes.remove(found))
    }
}

impl Agent {
    /// Has the kernel hand crashes over from here on. Said anew for each exec: a program may have changed it.
    pub(super) fn expect_crashes(&mut self) -> io::Result<()> {
        if !self.config.is_init {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "not PID 1 of a machine"));
        }
        if self.crashes.is_none() {
            let socket = crash_handler::listen()?;
            self.poll.add(&socket, Token::Crashes)?;
            self.crashes = Some(socket);
        }
        fs::write("/proc/sys/kernel/core_pipe_limit", MAX_DUMPS.to_string())?;
        fs::write("/proc/sys/kernel/core_pattern", crash_handler::PATTERN)?;
        // Programs that gave up rights without executing another are dumped too: the core goes to root only.
        fs::write("/proc/sys/fs/suid_dumpable", "2")
    }

    /// Takes the crashes that were handed over.
    pub(crate) fn collect_crashes(&mut self) {
        for _ in 0..MAX_DUMPS {
            let Some(socket) = &self.crashes else { return };
            match crash_handler::receive(socket.as_fd()) {
                Ok(Some(crash)) => self.hold(crash),
                Ok(None) => {}
                Err(_) => return,
            }
        }
        self.work.push(Token::Crashes);
    }

    /// Keeps a crash for its exec and tells the host, or lets go of it.
    fn hold(&mut self, crash: Crash) {
        let Some(cgroup) = cgroup::of(crash.pid) else { return };
        let mut execs = self.execs.by_number.values_mut();
        let Some(exec) = execs.find(|exec| exec.cgroup.as_ref().is_some_and(|own| own.holds(&cgroup))) else { return };
        exec.crashes.retain(Held::is_there);
        // Behind its exit an exec has no stream to tell on.
        if !exec.hold_crashes || exec.exit_sent || exec.crashes.len() >= MAX_HELD {
            return;
        }
        let Ok(held) = Held::new(crash) else { return };
        let event = Event::Crash(held.told());
        exec.crashes.push(held);
        if let Some(stream) = exec.stream {
            self.event(stream, &event);
        }
    }

    /// Tells a host that has just attached what is held.
    pub(super) fn tell_crashes(&mut self, stream: u32, number: u32) {
        let Some(exec) = self.execs.get(number) else { return };
        exec.crashes.retain(Held::is_there);
        let events: Vec<Event> = exec.crashes.iter().map(|held| Event::Crash(held.told())).collect();
        for event in events {
            self.event(stream, &event);
        }
    }

    /// `release`.
    pub fn release(&mut self, request: &Release) -> Result<Nothing, Failure> {
        let held = self.exec(&request.id)?.take_crash(Some(request.pid));
        held.map(|_| Nothing {}).ok_or_else(|| not_held(Some(request.pid)))
    }

    /// `core`.
    pub fn core(&mut self, stream: u32, request: &Core) -> Result<(), Failure> {
        let mut execs = self.execs.by_number.values_mut();
        let held = execs.find_map(|exec| exec.take_crash(request.pid)).ok_or_else(|| not_held(request.pid))?;
        self.start_job(stream, move |worker| download(worker, &held));
        Ok(())
    }
}

fn not_held(pid: Option<i32>) -> Failure {
    let which = pid.map_or_else(|| "no crash".to_string(), |pid| format!("no crash of process {pid}"));
    Failure::new(Kind::NotFound, format!("{which} is held"))
}

/// The core, as the kernel writes it.
fn download(worker: &mut Worker, held: &Held) -> Result<(), Failure> {
    worker.answer(held.told());
    // SAFETY: plain numbers. Where the limit on pipes forbids it, the pipe stays as it is.
    unsafe { libc::fcntl(held.pipe.as_raw_fd(), libc::F_SETPIPE_SZ, WIDE_PIPE_BYTES) };
    let mut more = true;
    while more {
        let mut frame = worker.data_frame();
        while more && frame.len() < HEADER_BYTES + BULK_PAYLOAD_BYTES {
            while !sys::is_ready(held.pipe.as_fd(), LOOK_MS) {
                worker.check()?;
            }
            let limit = HEADER_BYTES + BULK_PAYLOAD_BYTES - frame.len();
            more = sys::read_append(held.pipe.as_fd(), &mut frame, limit).context("the core")? > 0;
        }
        worker.send_data(frame)?;
    }
    worker.end();
    Ok(())
}
