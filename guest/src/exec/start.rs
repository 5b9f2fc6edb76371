//! From a `start` request to a running program.

use super::cgroup::Cgroup;
use super::output::Output;
use super::spawn::{Command, SpawnError, spawn};
use super::stdin::Stdin;
use super::users::{Account, resolve};
use super::{Exec, pty};
use crate::failure::{Context, Failure, Kind};
use crate::message::Start;
use crate::processes;
use crate::sys;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The agent's and the program's ends of the three streams.
struct Streams {
    stdin: Stdin,
    out: Output,
    err: Output,
    /// What becomes the program's 0, 1 and 2; fewer when one serves for several.
    given: Vec<OwnedFd>,
}

/// Starts what is asked for.
pub fn start(request: &Start, null: BorrowedFd, cgroup: &mut Option<Cgroup>) -> Result<Exec, Failure> {
    check(request)?;
    // Where the agent is not root, programs run as the agent does unless another user is named.
    let own = (!sys::is_root()).then(|| unsafe { libc::geteuid() }.to_string());
    let account = resolve(request.user.as_deref().or(own.as_deref()))?;
    let cwd = request.cwd.clone().unwrap_or_else(|| account.home.clone());
    let env = environment(request, &account);
    let candidates = candidates(request, &env, &cwd)?;
    let strings = |list: &[String]| -> io::Result<Vec<CString>> {
        list.iter().map(|text| sys::c_string(text.as_str())).collect()
    };
    let streams = streams(request, &account).context("open the streams")?;
    let stdio = match streams.given.as_slice() {
        [terminal] => [terminal.as_fd(); 3],
        [out, err] => [null, out.as_fd(), err.as_fd()],
        [stdin, out, err, ..] => [stdin.as_fd(), out.as_fd(), err.as_fd()],
        [] => [null; 3],
    };
    let command = Command {
        candidates: &candidates,
        argv: &strings(&request.argv).context("argv")?,
        env: &strings(&env).context("env")?,
        cwd: &sys::c_string(cwd.as_str()).context("cwd")?,
        cwd_is_wish: request.cwd.is_none(),
        account: &account,
        stdio,
        tty: request.tty.is_some(),
        cgroup: cgroup.as_ref().map(Cgroup::directory),
    };
    let started = Instant::now();
    let program = request.argv.first().map_or("", String::as_str);
    let pid = spawn(&command).map_err(|error| explain(error, program, &cwd, &account))?;
    Ok(Exec {
        id: request.id.clone(),
        pid,
        uid: account.uid,
        command: processes::command_of(request.argv.join(" ").as_bytes()),
        tty: request.tty.is_some(),
        started,
        status: None,
        stdin: streams.stdin,
        out: streams.out,
        err: streams.err,
        cgroup: cgroup.take(),
        hold_crashes: request.hold_crashes,
        crashes: Vec::new(),
        stream: None,
        exit_sent: false,
        forgotten: false,
    })
}

fn check(request: &Start) -> Result<(), Failure> {
    let id_is_good = (1..=64).contains(&request.id.len())
        && request.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !id_is_good {
        return Err(Failure::invalid("id: 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if request.argv.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::invalid("argv: the program is missing"));
    }
    if request.env.keys().any(|name| name.is_empty() || name.contains('=')) {
        return Err(Failure::invalid("env: a name is empty or has = in it"));
    }
    Ok(())
}

/// `NAME=value` strings: what the request says over the defaults.
fn environment(request: &Start, account: &Account) -> Vec<String> {
    let mut env: Vec<String> = request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !request.clear_env {
        let defaults = [
            ("PATH", DEFAULT_PATH),
            ("HOME", &account.home),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
            ("SHELL", &account.shell),
            ("LANG", "C.UTF-8"),
            ("TERM", "xterm-256color"),
        ];
        let wanted = if request.tty.is_some() { defaults.len() } else { defaults.len() - 1 };
        let missing = defaults.iter().take(wanted).filter(|(name, _)| !request.env.contains_key(*name));
        env.extend(missing.map(|(name, value)| format!("{name}={value}")));
    }
    env
}

/// Where the program may be. With a slash it is a path; otherwise every file of that name in PATH, so that the child, which knows
/// what its user may run, has only those to try.
fn candidates(request: &Start, env: &[String], cwd: &str) -> Result<Vec<CString>, Failure> {
    let program = request.argv.first().map_or("", String::as_str);
    if program.contains('/') {
        return Ok(vec![sys::c_string(program).context("argv")?]);
    }
    let path = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut found = Vec::new();
    for directory in path.split(':') {
        let separator = if directory.is_empty() { "." } else { directory };
        let candidate = match separator.starts_with('/') {
            true => format!("{separator}/{program}"),
            false => format!("{cwd}/{separator}/{program}"),
        };
        let candidate = sys::c_string(candidate).context("argv")?;
        // SAFETY: a C string.
        if unsafe { libc::access(candidate.as_ptr(), libc::F_OK) } == 0 {
            found.push(candidate);
        }
    }
    if found.is_empty() {
        return Err(Failure::new(Kind::NotFound, format!("{program}: not found in PATH ({path})")));
    }
    Ok(found)
}

fn streams(request: &Start, account: &Account) -> io::Result<Streams> {
    if let Some(size) = &request.tty {
        let (agent, program) = pty::open(size, account.uid)?;
        let stdin = Stdin::new(Some(sys::duplicate(agent.as_fd())?), true);
        return Ok(Streams { stdin, out: Output::new(agent, true), err: Output::none(), given: vec![program] });
    }
    let (out, out_given) = sys::pipe()?;
    let (err, err_given) = sys::pipe()?;
    sys::set_nonblocking(out.as_fd())?;
    sys::set_nonblocking(err.as_fd())?;
    let mut streams = Streams {
        stdin: Stdin::new(None, false),
        out: Output::new(out, false),
        err: Output::new(err, false),
        given: vec![out_given, err_given],
    };
    if request.stdin {
        let (given, stdin) = sys::pipe()?;
        sys::set_nonblocking(stdin.as_fd())?;
        streams.stdin = Stdin::new(Some(stdin), false);
        streams.given.insert(0, given);
    }
    Ok(streams)
}

/// `not-found` is for what is not there, a missing interpreter included; `not-executable` for what is there and can't be run.
fn explain(error: SpawnError, program: &str, cwd: &str, account: &Account) -> Failure {
    let (error, kind, what) = match error {
        SpawnError::Clone(error) => return Failure::io(&error, "start a process"),
        SpawnError::Credentials(error) => (error, Kind::Denied, format!("become user {}", account.name)),
        SpawnError::Cwd(error) => (error, Kind::Invalid, format!("cwd {cwd}")),
        SpawnError::Exec(error) => {
            let kind = match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => Kind::NotFound,
                Some(libc::E2BIG) => Kind::Limit,
                _ => Kind::NotExecutable,
            };
            (error, kind, program.to_string())
        }
    };
    Failure { kind, ..Failure::io(&error, &what) }
}
