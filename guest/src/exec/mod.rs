//! Execs: programs the host started, with their streams and what became of them.

pub mod cgroup;
mod crash;
pub mod crash_handler;
mod output;
mod pty;
mod pump;
mod requests;
pub mod ring;
mod signals;
mod spawn;
mod start;
pub mod stat;
mod stdin;
mod tree;
pub mod users;
pub mod words;

use crate::message::Process;
use crate::processes;
use crate::sys;
use cgroup::{Cgroup, Cgroups};
use crash::Held;
use output::Output;
use std::collections::BTreeMap;
use std::time::Instant;
use stdin::Stdin;

/// The kernel cuts short names here.
const NAME_CHARS: usize = 15;

/// How a program ended.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// From waitpid.
    wait: i32,
    duration_ms: u64,
    oom: bool,
}

impl Status {
    fn code(self) -> Option<i32> {
        libc::WIFEXITED(self.wait).then(|| libc::WEXITSTATUS(self.wait))
    }

    fn signal(self) -> Option<String> {
        libc::WIFSIGNALED(self.wait).then(|| signals::name(libc::WTERMSIG(self.wait)))
    }
}

/// One exec.
pub struct Exec {
    id: String,
    pid: i32,
    uid: u32,
    /// The beginning of its arguments.
    command: String,
    tty: bool,
    started: Instant,
    status: Option<Status>,
    stdin: Stdin,
    /// Standard output, or all that comes from the terminal.
    out: Output,
    err: Output,
    cgroup: Option<Cgroup>,
    /// Whether its crashes are to be held, and those that are.
    hold_crashes: bool,
    crashes: Vec<Held>,
    /// The stream it is attached to.
    stream: Option<u32>,
    exit_sent: bool,
    /// The host no longer knows it. Kept while children of its program hold its pipes, so that they neither block nor die.
    forgotten: bool,
}

impl Exec {
    /// Its processes: those in its cgroup, or those found by their descent.
    fn members(&self) -> Vec<i32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.members(),
            None => tree::members(self.pid),
        }
    }

    /// The short name that its program had at first.
    fn name(&self) -> String {
        let program = self.command.split(' ').next().unwrap_or_default();
        program.rsplit('/').next().unwrap_or_default().chars().take(NAME_CHARS).collect()
    }

    /// Whether nobody holds its pipes any more.
    fn is_silent(&self) -> bool {
        self.out.fd().is_none() && self.err.fd().is_none()
    }

    fn kill_tree(&self) {
        if let Some(cgroup) = &self.cgroup {
            return cgroup.kill();
        }
        // Those killed first can't have more children; a second look finds what was born during the first.
        for _ in 0..2 {
            for pid in self.members() {
                let _ = sys::kill(pid, libc::SIGKILL);
            }
        }
    }
}

/// All execs the host has not forgotten.
pub struct Execs {
    by_number: BTreeMap<u32, Exec>,
    numbers: BTreeMap<String, u32>,
    last: u32,
    /// When the newest was started.
    pub started: Option<Instant>,
    pub cgroups: Cgroups,
}

impl Execs {
    pub fn new(cgroups: Cgroups) -> Self {
        Self { by_number: BTreeMap::new(), numbers: BTreeMap::new(), last: 0, started: None, cgroups }
    }

    /// Ids, in the order they were started, as many as a WELCOME holds for certain.
    pub fn ids(&self) -> Vec<String> {
        let mut bytes = 0;
        let fits = |exec: &&Exec| {
            bytes += exec.id.len() + 3;
            bytes < crate::protocol::MAX_PAYLOAD_BYTES / 2
        };
        self.by_number.values().filter(|exec| !exec.forgotten).take_while(fits).map(|exec| exec.id.clone()).collect()
    }

    /// Programs that have ended and that the host has not forgotten.
    pub fn ended(&self) -> Vec<Process> {
        let ended = self.by_number.values().filter(|exec| exec.status.is_some() && !exec.forgotten);
        ended
            .map(|exec| Process {
                pid: exec.pid,
                parent: 1,
                uid: exec.uid,
                state: processes::ENDED,
                name: exec.name(),
                command: exec.command.clone(),
            })
            .collect()
    }

    /// Whether a program of an exec has not ended.
    pub fn is_any_running(&self) -> bool {
        self.by_number.values().any(|exec| exec.status.is_none())
    }

    /// Processes of execs, those of the newest first.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.by_number.values().rev().flat_map(Exec::members)
    }

    /// The id of the exec that a process belongs to.
    pub fn exec_of(&self, pid: i32) -> Option<String> {
        let path = cgroup::of(pid);
        let holds = |exec: &&Exec| match (&exec.cgroup, &path) {
            (Some(own), Some(path)) => own.holds(path),
            (None, _) => exec.members().contains(&pid),
            _ => false,
        };
        self.by_number.values().find(holds).map(|exec| exec.id.clone())
    }

    fn add(&mut self, exec: Exec) -> u32 {
        self.last += 1;
        self.numbers.insert(exec.id.clone(), self.last);
        self.started = Some(exec.started);
        self.by_number.insert(self.last, exec);
        self.last
    }

    fn find(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    fn get(&mut self, number: u32) -> Option<&mut Exec> {
        self.by_number.get_mut(&number)
    }

    /// Frees the id and the buffers of an exec that has ended; the rest goes when its pipes are closed.
    fn forget(&mut self, number: u32) {
        let Some(exec) = self.by_number.get_mut(&number) else { return };
        self.numbers.remove(&exec.id);
        exec.forgotten = true;
        exec.stream = None;
        exec.out.forget();
        exec.err.forget();
        exec.crashes.clear();
        if let Some(cgroup) = exec.cgroup.take() {
            self.cgroups.retire(cgroup);
        }
        self.drop_silent(number);
    }

    /// Drops a forgotten exec once nobody writes to it any more.
    fn drop_silent(&mut self, number: u32) {
        if self.by_number.get(&number).is_some_and(|exec| exec.forgotten && exec.is_silent()) {
            self.by_number.remove(&number);
        }
    }

    /// No exec is attached any more: its session is over.
    pub fn detach_all(&mut self) {
        for exec in self.by_number.values_mut() {
            exec.stream = None;
        }
    }
}
