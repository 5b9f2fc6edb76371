//! Prints a line each time tasks of this host have stood still for want of memory: `thaw-pressure FILE STALL_US WINDOW_US`. FILE is
//! /proc/pressure/memory, or memory.pressure of a cgroup. Prints `ready` first. Ends with its stdin, so that it never outlives its daemon.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use thaw_native::sys::{poll, poll_for};

fn main() -> ExitCode {
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn watch() -> io::Result<()> {
    let usage = || io::Error::other("usage: thaw-pressure FILE STALL_US WINDOW_US");
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, stall, window] = args.as_slice() else { return Err(usage()) };
    let mut trigger = OpenOptions::new().read(true).write(true).open(file)?;
    trigger.write_all(format!("some {stall} {window}\0").as_bytes())?;
    say("ready")?;
    loop {
        let mut fds = [poll_for(trigger.as_raw_fd(), libc::POLLPRI), poll_for(0, libc::POLLIN)];
        poll(&mut fds, None)?;
        if fds[1].revents != 0 {
            return Ok(());
        }
        if fds[0].revents & (libc::POLLERR | libc::POLLNVAL) != 0 {
            return Err(io::Error::other(format!("{file} is gone")));
        }
        if fds[0].revents & libc::POLLPRI != 0 {
            say("pressure")?;
        }
    }
}

fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{word}")?;
    out.flush()
}
