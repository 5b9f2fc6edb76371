//! The limits of a machine: a cgroup of its own (v2, or v1 where only that has controllers), rlimits beside it or instead.

use crate::sys::{c_string, open, open_process, signal_process};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
/// Controllers of version 1 that are used. The first one decides who is a member.
const V1: [&str; 3] = ["memory", "pids", "cpu"];
/// Weight of one CPU of a machine, in version 2 and version 1.
const V2_WEIGHT: u64 = 100;
const V1_SHARES: u64 = 1_024;
/// All machines of a daemon together, for each CPU of the host: several times what one busy process of the host has, and never all.
const ALL_MACHINES: u64 = 4;
/// Private mappings that are no memory of the guest: stacks and heaps of threads.
const SLACK_BYTES: u64 = 1 << 30;
const REMOVE_TRIES: u32 = 50;

#[derive(Default, Debug, Clone)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub processes: Option<u64>,
    /// CPUs of the guest: its weight.
    pub cpus: Option<u64>,
    /// Nobody waits for it: a tenth of the weight, until `Group::foreground`.
    pub background: bool,
    /// The longest file that it may write.
    pub file_bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    V2,
    V1,
    /// No cgroup can be made: rlimits only.
    Rlimits,
}

pub struct Group {
    pub mechanism: Mechanism,
    /// One folder in version 2, one for each controller in version 1.
    dirs: Vec<PathBuf>,
}

/// How a new process becomes a member. One that others move holds up every thread that starts or ends on the host, for some ten milliseconds.
pub enum Entrance {
    /// It is made there.
    Folder(OwnedFd),
    /// Its first thread writes "0" to each.
    Files(Vec<OwnedFd>),
}

impl Group {
    pub fn none() -> Group {
        Group { mechanism: Mechanism::Rlimits, dirs: Vec::new() }
    }

    /// Makes the cgroup `parent/id` with limits. Where none can be made the result is empty: the limits of `set_rlimits` remain.
    pub fn make(parent: &str, id: &str, limits: &Limits) -> Group {
        Group::make_v2(parent, id, limits).or_else(|| Group::make_v1(parent, id, limits)).unwrap_or(Group::none())
    }

    fn make_v2(parent: &str, id: &str, limits: &Limits) -> Option<Group> {
        let root = Path::new(ROOT);
        let available = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        if !available.split_ascii_whitespace().any(|name| name == "memory") {
            return None;
        }
        let parent = root.join(parent);
        if !parent.exists() {
            for controller in ["+memory", "+pids", "+cpu"] {
                let _ = fs::write(root.join("cgroup.subtree_control"), controller);
            }
            make_dir(&parent).ok()?;
            for controller in ["+memory", "+pids", "+cpu"] {
                let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
            }
            let _ = fs::write(parent.join("cpu.weight"), all_machines(V2_WEIGHT, 10_000));
        }
        let dir = parent.join(id);
        make_dir(&dir).ok()?;
        let group = Group { mechanism: Mechanism::V2, dirs: vec![dir.clone()] };
        let set = |file: &str, value: u64| fs::write(dir.join(file), value.to_string()).is_ok();
        let held = limits.memory_bytes.is_none_or(|bytes| set("memory.max", bytes));
        let _ = limits.processes.is_none_or(|count| set("pids.max", count));
        if held {
            group.weigh(limits, limits.background);
            return Some(group);
        }
        group.remove();
        None
    }

    fn make_v1(parent: &str, id: &str, limits: &Limits) -> Option<Group> {
        let mut group = Group { mechanism: Mechanism::V1, dirs: Vec::new() };
        for controller in V1 {
            let parent = Path::new(ROOT).join(controller).join(parent);
            let is_new = !parent.exists();
            let dir = parent.join(id);
            if !Path::new(ROOT).join(controller).join("cgroup.procs").exists()
                || make_dir(&parent).is_err()
                || make_dir(&dir).is_err()
            {
                continue;
            }
            if is_new && controller == "cpu" {
                let _ = fs::write(parent.join("cpu.shares"), all_machines(V1_SHARES, 262_144));
            }
            let set = |file: &str, value: u64| fs::write(dir.join(file), value.to_string()).is_ok();
            let held = match controller {
                "memory" => limits.memory_bytes.is_none_or(|bytes| set("memory.limit_in_bytes", bytes)),
                "pids" => limits.processes.is_none_or(|count| set("pids.max", count)),
                _ => true,
            };
            if held {
                group.dirs.push(dir);
            } else {
                let _ = fs::remove_dir(dir);
            }
        }
        if group.dirs.first().is_some_and(|dir| dir.starts_with(Path::new(ROOT).join("memory"))) {
            group.weigh(limits, limits.background);
            return Some(group);
        }
        group.remove();
        None
    }

    /// Somebody waits for it from now on.
    pub fn foreground(&self, limits: &Limits) {
        self.weigh(limits, false);
    }

    fn weigh(&self, limits: &Limits, background: bool) {
        let Some(cpus) = limits.cpus else { return };
        let part = if background { 10 } else { 1 };
        for dir in &self.dirs {
            let _ = match self.mechanism {
                Mechanism::V2 => fs::write(dir.join("cpu.weight"), (cpus * V2_WEIGHT / part).min(10_000).to_string()),
                // Of the controllers' folders one has that file.
                _ => fs::write(dir.join("cpu.shares"), (cpus * V1_SHARES / part).min(262_144).to_string()),
            };
        }
    }

    pub fn entrance(&self) -> io::Result<Entrance> {
        let open = |path: PathBuf, how| open(&c_string(path.as_os_str().as_bytes())?, how);
        Ok(match (self.mechanism, self.dirs.first()) {
            (Mechanism::V2, Some(dir)) => Entrance::Folder(open(dir.clone(), libc::O_PATH | libc::O_DIRECTORY)?),
            _ => Entrance::Files(
                self.dirs.iter().map(|dir| open(dir.join("tasks"), libc::O_WRONLY)).collect::<io::Result<_>>()?,
            ),
        })
    }

    /// How many processes of it the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let file = if self.mechanism == Mechanism::V2 { "memory.events" } else { "memory.oom_control" };
        let text = self.dirs.first().and_then(|dir| fs::read_to_string(dir.join(file)).ok()).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills every member.
    pub fn kill(&self) {
        let Some(dir) = self.dirs.first() else { return };
        if self.mechanism == Mechanism::V2 && fs::write(dir.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()) {
            kill_member(pid, dir);
        }
    }

    /// Removes its folders. Members must have ended; the kernel may need a moment to let go of them. @returns false when it has members yet
    pub fn remove(&self) -> bool {
        let gone = |dir: &PathBuf| {
            for _ in 0..REMOVE_TRIES {
                match fs::remove_dir(dir) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(Duration::from_millis(4));
                    }
                    _ => return true,
                }
            }
            false
        };
        let kept = self.dirs.iter().filter(|dir| !gone(dir)).count();
        kept == 0
    }
}

/// Kills a process only while it is a member: the descriptor is of the process that was looked at.
fn kill_member(pid: i32, dir: &Path) {
    let Ok(process) = open_process(pid) else { return };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let name: PathBuf = dir.components().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
    if groups.lines().any(|line| line.ends_with(&format!("/{}", name.display()))) {
        let _ = signal_process(process.as_fd(), libc::SIGKILL);
    }
}

/// Ends what is left of machines whose keeper is gone, and removes their cgroups. A keeper that is alive listens in `runtime_root/id`.
/// @returns the names of those whose processes are still there
pub fn sweep(parent: &str, runtime_root: &Path) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    let root = Path::new(ROOT);
    let parents = [root.join(parent)].into_iter().chain(V1.map(|controller| root.join(controller).join(parent)));
    for parent in parents {
        let Ok(entries) = fs::read_dir(&parent) else { continue };
        let mechanism = if parent.parent() == Some(root) { Mechanism::V2 } else { Mechanism::V1 };
        for dir in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            let Some(id) = dir.file_name() else { continue };
            if id == crate::protocol::TOOLS {
                continue;
            }
            if listens(&runtime_root.join(id).join(crate::protocol::SOCKET)) {
                continue;
            }
            let name = id.to_string_lossy().into_owned();
            let group = Group { mechanism, dirs: vec![dir] };
            group.kill();
            if !group.remove() {
                left.insert(name);
            }
        }
    }
    left
}

/// Whether there is a keeper at the socket. One that does not answer, with more callers in line than the kernel keeps, is there all the same.
fn listens(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused),
    }
}

/// Limits of the calling process that need no cgroup. Memory is limited here only where no cgroup does it.
pub fn set_rlimits(limits: &Limits, mechanism: Mechanism, own_user: bool) -> io::Result<()> {
    let set = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the structure lives for the call.
        crate::sys::check(unsafe { libc::setrlimit(resource, &limit) }).map(|_| ())
    };
    set(libc::RLIMIT_CORE, 0)?;
    if let Some(bytes) = limits.file_bytes {
        set(libc::RLIMIT_FSIZE, bytes)?;
    }
    // It counts the processes of a user, so it means something only to a user that nothing else has.
    if let Some(count) = limits.processes.filter(|_| own_user) {
        set(libc::RLIMIT_NPROC, count)?;
    }
    match limits.memory_bytes.filter(|_| mechanism == Mechanism::Rlimits) {
        Some(bytes) => set(libc::RLIMIT_DATA, bytes + SLACK_BYTES),
        None => Ok(()),
    }
}

fn all_machines(one: u64, most: u64) -> String {
    let cpus = available_parallelism().map_or(1, usize::from) as u64;
    (one * ALL_MACHINES * cpus).min(most).to_string()
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
