//! A cgroup per exec: what belongs to it, how to kill all of it, and whether it ran out of memory.

use crate::sys;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Where init mounted cgroup v2.
pub const ROOT: &str = "/sys/fs/cgroup";

/// More than `memory.events` holds.
const EVENTS_BYTES: usize = 512;

/// The path of the cgroup that a process is in, below the root.
pub fn of(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_string)
}

/// One exec's cgroup.
pub struct Cgroup {
    name: String,
    directory: OwnedFd,
    /// `memory.events`, open from the beginning: a program's end is told after one read.
    events: Option<File>,
}

impl Cgroup {
    fn make(number: u32) -> Option<Self> {
        let name = format!("{ROOT}/exec-{number}");
        fs::create_dir(&name).ok()?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        match sys::open(name.as_bytes(), flags, 0) {
            Ok(directory) => {
                let events = File::open(format!("{name}/memory.events")).ok();
                Some(Self { name, directory, events })
            }
            Err(_) => {
                let _ = fs::remove_dir(&name);
                None
            }
        }
    }

    /// For clone3.
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Whether a path that `of` gave is this one's, or within it.
    pub fn holds(&self, path: &str) -> bool {
        let rest = self.name.strip_prefix(ROOT).and_then(|own| path.strip_prefix(own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Every process in it.
    pub fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(format!("{}/cgroup.procs", self.name)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether the kernel killed any of it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let mut text = [0; EVENTS_BYTES];
        let Some(Ok(length)) = self.events.as_ref().map(|file| file.read_at(&mut text, 0)) else { return false };
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    /// Kills every process in it at once, those being born included.
    pub fn kill(&self) {
        if fs::write(format!("{}/cgroup.kill", self.name), "1").is_err() {
            for pid in self.members() {
                let _ = sys::kill(pid, libc::SIGKILL);
            }
        }
    }

    /// Removes it; false while there is a process in it.
    fn remove(&self) -> bool {
        match fs::remove_dir(&self.name) {
            Ok(()) => true,
            Err(error) => error.raw_os_error() != Some(libc::EBUSY),
        }
    }
}

/// Cgroups that lie ready. Making or removing one takes a while, most of all right after a thaw, and then nobody has to wait for it.
const SPARES: usize = 4;

/// Makes cgroups ahead of need and removes them once they are empty.
#[derive(Default)]
pub struct Cgroups {
    enabled: bool,
    made: u32,
    spares: Vec<Cgroup>,
    leaving: Vec<Cgroup>,
}

impl Cgroups {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// A fresh cgroup, or None where there are none.
    pub fn take(&mut self) -> Option<Cgroup> {
        self.spares.pop().or_else(|| self.make())
    }

    /// Makes the spare ones. For moments in which no program runs.
    pub fn prepare(&mut self) {
        while self.spares.len() < SPARES {
            match self.make() {
                Some(cgroup) => self.spares.push(cgroup),
                None => return,
            }
        }
    }

    fn make(&mut self) -> Option<Cgroup> {
        if !self.enabled {
            return None;
        }
        self.made += 1;
        Cgroup::make(self.made)
    }

    /// Gives back one that no process was started in.
    pub fn give_back(&mut self, cgroup: Option<Cgroup>) {
        self.spares.extend(cgroup);
    }

    /// Removes a cgroup now, or as soon as `sweep` finds it empty.
    pub fn retire(&mut self, cgroup: Cgroup) {
        if !cgroup.remove() {
            self.leaving.push(cgroup);
        }
    }

    /// Looks again at those that were not empty.
    pub fn sweep(&mut self) {
        self.leaving.retain(|cgroup| !cgroup.remove());
    }
}
