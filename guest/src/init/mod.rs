//! PID 1 of a machine: from an initramfs with this program as /init to a root file system with everything mounted.
//!
//! Nothing is done about the agent's own OOM score: the kernel never chooses PID 1, and children would inherit the exemption.

pub mod modules;
mod mounts;
mod port;
mod room;
mod root;
mod wait;

use crate::agent::{Agent, Config};
use crate::network::{self, Filter, interface};
use crate::{log, machine, sys};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::process::ExitCode;

/// Open files for the agent and what it starts. No process may have more than the kernel's `fs.nr_open`, which is 1,048,576.
const OPEN_FILES: libc::rlimit = libc::rlimit { rlim_cur: 65_536, rlim_max: 1_048_576 };

/// Boots, serves, and powers off.
pub fn run() -> ExitCode {
    match boot() {
        Ok(()) => machine::power_off(),
        Err(error) => {
            // PID 1 must not return. The kernel panics when it does, and the host, told by pvpanic, holds the machine.
            log::line(&format!("the start failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn boot() -> io::Result<()> {
    mounts::early()?;
    mounts::open_console();
    modules::load("/modules.list");
    let root = root::device();
    if let Some(device) = &root {
        root::switch_to(device).map_err(|error| about("root", device, &error))?;
    }
    mounts::late();
    room::furnish();
    modules::serve();
    interface::raise_loopback();
    set_hostname();
    limit_open_files();
    let port = port::open("agent")?;
    let mut agent = Agent::new(Config { is_init: true, apply_identity: true, host_clock: false })?;
    set_up_network(&mut agent, Filter::Nftables);
    agent.connect(port, true)?;
    log::line(&format!("serving, root {}", root.as_deref().unwrap_or("in memory")));
    agent.run()
}

/// PID 1 of a container whose runtime has mounted everything: the host is at standard input and output, standard error is the console.
/// @param cpus how many programs are to count on, where the runtime shows those of its host
pub fn run_contained(cpus: usize) -> ExitCode {
    if let Err(error) = sys::use_cpus(cpus) {
        log::line(&format!("CPUs: {error}"));
    }
    match serve_stdio() {
        Ok(()) => machine::power_off(),
        Err(error) => {
            log::line(&format!("the start failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_stdio() -> io::Result<()> {
    // No program may inherit the host's pipes.
    let [from_host, to_host] = [io::stdin().as_fd(), io::stdout().as_fd()].map(sys::duplicate);
    let null = sys::open(b"/dev/null", libc::O_RDWR, 0)?;
    for number in 0..2 {
        // SAFETY: plain numbers; dup2 leaves close-on-exec off.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
    }
    room::furnish_root();
    // Standard error, as long as this process lives.
    let _ = symlink("/proc/1/fd/2", "/dev/console");
    set_hostname();
    limit_open_files();
    let mut agent = Agent::new(Config { is_init: true, apply_identity: true, host_clock: true })?;
    set_up_network(&mut agent, Filter::Iptables);
    agent.connect_pipes(from_host?, to_host?)?;
    log::line("serving standard input and output");
    agent.run()
}

fn set_up_network(agent: &mut Agent, filter: Filter) {
    agent.set_up_network(filter);
    if let Err(error) = network::name_resolver() {
        log::line(&format!("/etc/resolv.conf: {error}"));
    }
}

fn about(what: &str, name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {name}: {error}"))
}

/// What the image says, until an identity says otherwise.
fn set_hostname() {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "thaw" } else { name.trim() };
    // SAFETY: the pointer and length describe the name.
    unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
}

fn limit_open_files() {
    // SAFETY: the limit lives for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &OPEN_FILES) };
}

/// Has orphans among the descendants fall to this process, as they do to PID 1, so that they are reaped and found.
pub fn adopt_orphans() {
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}
