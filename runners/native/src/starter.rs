//! `thaw-keeper starter`: starts keepers for the process that started it. To start a process, the kernel copies the tables of all memory that the
//! starting one has. The daemon's are large, and its loop stands still meanwhile; this program's are not.
//!
//! Requests come on standard input, each a length (4 bytes, little endian) and so many bytes, words with a NUL between them:
//! - `NUMBER start FDS ARGUMENTS…`: starts `thaw-keeper run ARGUMENTS…`. It inherits the descriptors that FDS names in the caller, with commas
//!   between them, opened anew for the same use, from 3 on.
//! - `NUMBER cancel`: kills what was started with that number, unless it was answered.
//!
//! An answer is a line on standard output: the number, a space, and the first line of the keeper's; nothing is behind the space when it ended
//! without one. It ends when standard input does; keepers live on.

use crate::sys::{c_string, check, name_process, open_beneath};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
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
type Starting = Arc<Mutex<BTreeMap<u64, Child>>>;

pub fn serve() -> io::Result<()> {
    name_process(c"thaw-starter");
    // SAFETY: cannot fail.
    let caller = File::open(format!("/proc/{}", unsafe { libc::getppid() }))?;
    let caller = Arc::new(OwnedFd::from(caller));
    let starting = Starting::default();
    let mut input = io::stdin().lock();
    while let Some(request) = read_request(&mut input)? {
        let mut words = request.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        let mut text = || words.next().and_then(|word| word.into_string().ok()).unwrap_or_default();
        let (number, verb) = (text().parse().map_err(|_| io::ErrorKind::InvalidData)?, text());
        if verb == "cancel" {
            if let Some(child) = lock(&starting).get_mut(&number) {
                let _ = child.kill();
            }
            continue;
        }
        let fds = text();
        let arguments = words.collect();
        let (starting, caller) = (starting.clone(), caller.clone());
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || match start(&caller, &fds, arguments) {
            Ok(child) => attend(number, child, &starting),
            Err(error) => answer(number, &format!("{{\"error\":{}}}", crate::protocol::quote(&error.to_string()))),
        })?;
    }
    Ok(())
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
    let names = fds.split(',').filter(|name| !name.is_empty()).take(MOST_DESCRIPTORS);
    let opened = names.map(|name| open_again(caller, name)).collect::<io::Result<Vec<OwnedFd>>>()?;
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
    let mut high = [0; MOST_DESCRIPTORS];
    // SAFETY: plain numbers.
    unsafe {
        check(libc::setsid())?;
        for (high, number) in high.iter_mut().zip(numbers) {
            *high = check(libc::fcntl(*number, libc::F_DUPFD_CLOEXEC, HIGH_FD))? as i32;
        }
        for (number, high) in (3..).zip(&high[..numbers.len()]) {
            check(libc::dup2(*high, number))?;
        }
    }
    Ok(())
}

/// Tells what the keeper says first, then waits for its end.
fn attend(number: u64, mut child: Child, starting: &Starting) {
    let output = child.stdout.take();
    lock(starting).insert(number, child);
    let mut line = String::new();
    if let Some(output) = output {
        let _ = BufReader::new(output.take(MAX_ANSWER_BYTES)).read_line(&mut line);
    }
    // Not killed from here on: once it has been waited for, its number may be another's.
    let child = lock(starting).remove(&number);
    answer(number, line.trim_end());
    if let Some(mut child) = child {
        let _ = child.wait();
    }
}

fn answer(number: u64, line: &str) {
    let mut output = io::stdout().lock();
    // Whoever could not be told is not waiting.
    let _ = writeln!(output, "{number} {line}").and_then(|()| output.flush());
}

fn lock(starting: &Starting) -> MutexGuard<'_, BTreeMap<u64, Child>> {
    starting.lock().unwrap_or_else(PoisonError::into_inner)
}
