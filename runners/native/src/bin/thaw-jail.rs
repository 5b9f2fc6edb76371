//! `thaw-jail OPTIONS -- COMMAND…` runs a tool on files that a guest or a stranger wrote: in the jail of machines, as a user id of its own
//! when this is root, within limits. Streams and exit code are the tool's. It ends when its caller does.

use std::fs;
use std::io;
use std::process::ExitCode;
use thaw_native::cgroup::Group;
use thaw_native::jail::{Jail, give, start};
use thaw_native::options::Options;
use thaw_native::sys::{check, user};
use thaw_native::uids::allocate;

/// As of a shell: the command could not be started.
const NOT_STARTED: u8 = 126;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("thaw-jail: {error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn run() -> io::Result<u8> {
    let options = Options::parse(std::env::args_os().skip(1))?;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    let uid = if options.jailed && user() == 0 { Some(allocate()?) } else { None };
    if let Some(uid) = &uid {
        give(&options.own, uid.uid)?;
    }
    let group = options.cgroup.as_ref().map_or(Group::none(), |name| Group::make(name, &options.id, &options.limits));
    // The folder and the cgroup are those of all tools, and stay.
    fs::create_dir_all(&options.dir)?;
    let started = group.entrance().and_then(|entrance| {
        start(&Jail {
            options: &options,
            base: &options.dir,
            uid: uid.as_ref().map(|uid| uid.uid),
            mechanism: group.mechanism,
            entrance: &entrance,
            stdio: [0, 1, 2],
            descriptors: &[],
        })
    });
    let ended = started.and_then(|child| {
        let mut status = 0;
        // SAFETY: waitpid writes one int.
        check(unsafe { libc::waitpid(child.pid, &mut status, 0) })?;
        Ok(status)
    });
    let status = ended?;
    Ok(if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) as u8 } else { libc::WEXITSTATUS(status) as u8 })
}
