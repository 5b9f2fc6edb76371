//! `thaw-agent`: as PID 1 of a machine, or behind a unix socket.

use std::ffi::OsString;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use thaw_agent::agent::{Agent, Config};
use thaw_agent::exec::crash_handler;
use thaw_agent::network::{Filter, interface};
use thaw_agent::{init, init::modules, log};

const USAGE: &str = "usage: thaw-agent --socket PATH [--apply-identity] [--network]   (or as PID 1: of a microVM without arguments, of a container with --stdio CPUS)";

fn main() -> ExitCode {
    if std::process::id() == 1 && std::env::args_os().len() == 1 {
        return init::run();
    }
    let words: Vec<_> = std::env::args_os().filter_map(|word| word.into_string().ok()).collect();
    if let [_, verb, cpus] = words.as_slice()
        && verb == "--stdio"
        && std::process::id() == 1
    {
        return init::run_contained(cpus.parse().unwrap_or(1));
    }
    if let [_, verb, pid, signal] = words.as_slice()
        && verb == crash_handler::VERB
    {
        return crash_handler::run(pid, signal);
    }
    if let Some(module) = modules::wanted(&words) {
        return modules::run(module);
    }
    let mut socket = None;
    let mut config = Config::default();
    // Sets up the network namespace that it is in, which must be its own.
    let mut network = false;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--socket") => socket = arguments.next(),
            Some("--apply-identity") => config.apply_identity = true,
            Some("--network") => network = true,
            Some("--version") => {
                println!("thaw-agent {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            _ => return usage(),
        }
    }
    let Some(socket) = socket else { return usage() };
    match serve(&socket, config, network) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(&format!("{}: {error}", Path::new(&socket).display()));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Serves hosts that connect to `socket`, until one asks for the end.
fn serve(socket: &OsString, config: Config, network: bool) -> std::io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    init::adopt_orphans();
    let mut agent = Agent::new(config)?;
    if network {
        interface::raise_loopback();
        agent.set_up_network(Filter::Nftables);
    }
    agent.listen(UnixListener::bind(socket)?)?;
    let result = agent.run();
    let _ = std::fs::remove_file(socket);
    result
}
