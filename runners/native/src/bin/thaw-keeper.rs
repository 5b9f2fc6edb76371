//! `thaw-keeper run OPTIONS -- COMMAND…` keeps one machine: see `options.rs` and `protocol.rs`. Prints one line of JSON on standard output, the
//! machine's status once its hypervisor runs or `{"error":…}`, and closes it; when nobody reads that, it ends the machine. `thaw-keeper starter` starts others: see
//! `starter.rs`. `thaw-keeper limits NAME` says what limits machines here.
//! `thaw-keeper sweep NAME RUNTIME-ROOT` ends what killed keepers have left, and prints the machines of which something is still there.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use thaw_native::cgroup::{Group, Limits, Mechanism, sweep};
use thaw_native::keep::begin;
use thaw_native::options::Options;
use thaw_native::protocol::quote;
use thaw_native::starter;
use thaw_native::sys::name_process;

const USAGE: &str = "usage: thaw-keeper run OPTIONS -- COMMAND… | starter | limits NAME | sweep NAME RUNTIME-ROOT";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next().unwrap_or_default();
    match word.to_str() {
        Some("run") => run(arguments),
        Some("starter") => match starter::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Some("limits") => limits(arguments.next()),
        Some("sweep") => match (arguments.next(), arguments.next()) {
            (Some(name), Some(root)) => {
                for id in sweep(&name.to_string_lossy(), &PathBuf::from(root)) {
                    tell(&id);
                }
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // The starter executes it by another name.
    name_process(c"thaw-keeper");
    let done = Options::parse(arguments).and_then(|options| {
        let keeper = begin(&options)?;
        if writeln!(io::stdout(), "{}", keeper.status().to_json()).is_err() {
            // Its starter has gone. Who asked for the machine takes the start for failed, and may have looked for it already.
            return keeper.end();
        }
        leave_streams()?;
        keeper.run()
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{{\"error\":{}}}", quote(&error.to_string())));
            ExitCode::FAILURE
        }
    }
}

fn tell(line: &str) {
    // Whoever could not be told is not waiting.
    let _ = writeln!(io::stdout(), "{line}");
}

/// The caller's streams are its own again.
fn leave_streams() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        // SAFETY: plain numbers.
        thaw_native::sys::check(unsafe { libc::dup2(null.as_raw_fd(), number) })?;
    }
    Ok(())
}

fn limits(name: Option<OsString>) -> ExitCode {
    let Some(name) = name else { return usage() };
    let limits = Limits { memory_bytes: Some(1 << 30), processes: Some(64), cpus: Some(1), ..Limits::default() };
    let group = Group::make(&name.to_string_lossy(), &format!("probe-{}", std::process::id()), &limits);
    group.remove();
    tell(match group.mechanism {
        Mechanism::V2 => "cgroup v2",
        Mechanism::V1 => "cgroup v1",
        Mechanism::Rlimits => "rlimits",
    });
    ExitCode::SUCCESS
}
