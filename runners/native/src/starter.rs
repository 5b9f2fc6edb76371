//! `thaw-keeper starter`: starts keepers for the process that started it. To start a process, the kernel copies the tables of all memory that the
//! starting one has. The daemon's are large, and its loop stands still meanwhile; this program's are not.
//!
//! Requests come on standard input, each a length (4 bytes, little endian) and so many bytes, words with a NUL between them:
//! A request to start has a number of its own.
//! - `NUMBER start FDS ARGUMENTS…`: starts `thaw-keeper run ARGUMENTS…`. It inherits the descriptors that FDS names in the caller, with commas
//!   between them, opened anew for the same use, from 3 on.
//! - `NUMBER cancel`: kills what was started with that number, unless it was answered, and answers at once.
//!
//! An answer is a line on standard output: the number, a space, and the first line of the keeper's; nothing is behind the space when it ended
//! without one or was cancelled. It ends when standard input does, and with its caller, also while it is stopped. Keepers that have told it of
//! their machine live on; the others can tell nobody, and end.

use crate::sys::{c_string, check, name_process, open_beneath};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

const MAX_REQUEST_BYTES: u32 = 1 << 20;
const MAX_ANSWER_BYTES: u64 = 256 * 1024;
/// A thread waits for each keeper for as long as that lives.
const STACK_BYTES: usize = 64 * 1024;
const MOST_DESCRIPTORS: usize = 8;
/// Above every descriptor that a keeper inherits.
const HIGH_FD: i32 = 3 + MOST_DESCRIPTORS as i32;

/// What has not been answered, by number.
type Starting = Arc<Mutex<BTreeMap<u64, Start>>>;

#[derive(Default)]
struct Start {
    /// Not waited for while it is here, so a kill can hit no other process.
    child: Option<Child>,
    cancelled: bool,
}

impl Start {
    /// A keeper that does not die is not waited for. Before it runs, its thread may still look at the caller's descriptors: that one answers.
    fn end_if_cancelled(&mut self, number: u64) {
        if let Some(child) = self.child.as_mut().filter(|_| self.cancelled) {
            let _ = child.kill();
            answer(number, "");
        }
    }
}

pub fn serve() -> io::Result<()> {
    name_process(c"thaw-starter");
    let Some(caller) = caller()? else { return Ok(()) };
    let caller = Arc::new(caller);
    keep_descriptors_apart()?;
    let starting = Starting::default();
    let mut input = io::stdin().lock();
    while let Some(request) = read_request(&mut input)? {
        let mut words = request.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        let mut text = || words.next().and_then(|word| word.into_string().ok()).unwrap_or_default();
        let (number, verb) = (text().parse().map_err(|_| io::ErrorKind::InvalidData)?, text());
        if verb == "cancel" {
            cancel(number, &starting);
            continue;
        }
        let fds = text();
        let arguments = words.collect();
        let (in_thread, caller) = (starting.clone(), caller.clone());
        // Before the thread runs, so that a request to cancel finds it.
        lock(&starting).insert(number, Start::default());
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || match start(&caller, &fds, arguments) {
            Ok(child) => attend(number, child, &in_thread),
            Err(error) => fail(number, &error, &in_thread),
        });
        if let Err(error) = spawned {
            fail(number, &error, &starting);
        }
    }
    Ok(())
}

/// The caller's folder in `/proc`; none when it has ended meanwhile. When it ends, this process is killed.
fn caller() -> io::Result<Option<OwnedFd>> {
    // SAFETY: cannot fail.
    let parent = || unsafe { libc::getppid() };
    let pid = parent();
    let caller = File::open(format!("/proc/{pid}"))?;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok((parent() == pid).then(|| caller.into()))
}

/// Keepers inherit what they are to have, and nothing that the caller had from its own. Nothing else of this process has the numbers at which
/// they inherit: in a child, that would be overwritten.
fn keep_descriptors_apart() -> io::Result<()> {
    // SAFETY: plain numbers. A kernel before 5.11 refuses; Node marks the lowest descriptors itself.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // SAFETY: plain numbers.
    while check(unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })? < i64::from(HIGH_FD) {}
    Ok(())
}

fn cancel(number: u64, starting: &Starting) {
    if let Some(start) = lock(starting).get_mut(&number).filter(|start| !start.cancelled) {
        start.cancelled = true;
        start.end_if_cancelled(number);
    }
}

fn fail(number: u64, error: &io::Error, starting: &Starting) {
    lock(starting).remove(&number);
    answer(number, &format!("{{\"error\":{}}}", crate::protocol::quote(&error.to_string())));
}

/// None at the end of the input.
fn read_request(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_REQUEST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length as usize];
    input.read_exact(&mut request)?;
    Ok(Some(request))
}

fn start(caller: &OwnedFd, fds: &str, arguments: Vec<OsString>) -> io::Result<Child> {
    let names: Vec<&str> = fds.split(',').filter(|name| !name.is_empty()).collect();
    if names.len() > MOST_DESCRIPTORS {
        return Err(io::Error::other(format!("a keeper inherits {MOST_DESCRIPTORS} descriptors at most")));
    }
    let opened = names.into_iter().map(|name| open_again(caller, name)).collect::<io::Result<Vec<OwnedFd>>>()?;
    let numbers: Vec<i32> = opened.iter().map(AsRawFd::as_raw_fd).collect();
    // The same program, also when its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .arg("run")
        .args(arguments)
        .env_clear()
        .current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: system calls on plain numbers, between fork and exec.
    unsafe { command.pre_exec(move || place(&numbers)) };
    command.spawn()
}

/// The caller's descriptor `number`, as the caller may use it, but with a position of its own.
fn open_again(caller: &OwnedFd, number: &str) -> io::Result<OwnedFd> {
    let number: u32 = number.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut about = String::new();
    File::from(open_beneath(caller, &c_string(format!("fdinfo/{number}"))?, libc::O_RDONLY)?)
        .read_to_string(&mut about)?;
    let flags = about.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    let flags = flags.ok_or(io::ErrorKind::InvalidData)? & (libc::O_ACCMODE | libc::O_NONBLOCK);
    open_beneath(caller, &c_string(format!("fd/{number}"))?, flags)
}

/// In the child: a session of its own, and the descriptors at their numbers. Allocates nothing.
fn place(numbers: &[i32]) -> io::Result<()> {
    // SAFETY: plain numbers.
    unsafe {
        check(libc::setsid())?;
        for (number, opened) in (3..).zip(numbers) {
            check(libc::dup2(*opened, number))?;
        }
    }
    Ok(())
}

/// Tells what the keeper says first, then waits for its end.
fn attend(number: u64, mut child: Child, starting: &Starting) {
    let output = child.stdout.take();
    if let Some(start) = lock(starting).get_mut(&number) {
        start.child = Some(child);
        start.end_if_cancelled(number);
    }
    let mut line = String::new();
    if let Some(output) = output {
        let _ = BufReader::new(output.take(MAX_ANSWER_BYTES)).read_line(&mut line);
    }
    let Some(Start { child, cancelled }) = lock(starting).remove(&number) else { return };
    if !cancelled {
        answer(number, line.trim_end());
    }
    if let Some(mut child) = child {
        let _ = child.wait();
    }
}

fn answer(number: u64, line: &str) {
    let mut output = io::stdout().lock();
    // Whoever could not be told is not waiting.
    let _ = writeln!(output, "{number} {line}").and_then(|()| output.flush());
}

fn lock(starting: &Starting) -> MutexGuard<'_, BTreeMap<u64, Start>> {
    starting.lock().unwrap_or_else(PoisonError::into_inner)
}
