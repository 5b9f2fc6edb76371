//! Starting a program the way vfork does: the child borrows the agent's memory until it executes, so nothing is copied, and an error
//! is simply left where the agent finds it. After a thaw every page touched is cold; this touches the fewest.

use super::users::Account;
use crate::sys;
use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// Everything a program is started with.
pub struct Command<'a> {
    /// Where the program may be, most wanted first.
    pub candidates: &'a [CString],
    pub argv: &'a [CString],
    pub env: &'a [CString],
    pub cwd: &'a CString,
    /// Whether `/` will do where `cwd` is not there.
    pub cwd_is_wish: bool,
    pub account: &'a Account,
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    pub tty: bool,
    pub cgroup: Option<&'a OwnedFd>,
}

/// Why a program did not start.
#[derive(Debug)]
pub enum SpawnError {
    /// The system could not make a process.
    Clone(io::Error),
    Credentials(io::Error),
    Cwd(io::Error),
    Exec(io::Error),
}

/// How far the child came.
#[derive(Clone, Copy)]
enum Stage {
    Started,
    Credentials,
    Cwd,
    Exec,
}

/// What the child reads, and writes its failure into.
struct Plan {
    candidates: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    cwd: *const c_char,
    cwd_is_wish: bool,
    stdio: [i32; 3],
    tty: bool,
    /// uid, gid and groups, when they differ from the agent's own.
    become_user: Option<(u32, u32, *const u32, usize)>,
    stage: Stage,
    errno: i32,
}

const STACK_BYTES: usize = 64 * 1024;

/// Starts the program and returns its pid. The program has replaced the child by then.
pub fn spawn(command: &Command) -> Result<i32, SpawnError> {
    let account = command.account;
    // SAFETY: cannot fail.
    let own = unsafe { (libc::geteuid(), libc::getegid()) };
    let already = own == (account.uid, account.gid) && (account.groups.is_empty() || !sys::is_root());
    let groups = (account.groups.as_ptr(), account.groups.len());
    let become_user = (!already).then_some((account.uid, account.gid, groups.0, groups.1));
    let mut plan = Plan {
        candidates: pointers(command.candidates),
        argv: pointers(command.argv),
        env: pointers(command.env),
        cwd: command.cwd.as_ptr(),
        cwd_is_wish: command.cwd_is_wish,
        stdio: command.stdio.map(|fd| fd.as_raw_fd()),
        tty: command.tty,
        become_user,
        stage: Stage::Started,
        errno: 0,
    };
    let mut stack = Vec::<u8>::with_capacity(STACK_BYTES);
    let plan_pointer: *mut Plan = &mut plan;
    let result = clone_vfork(stack.as_mut_ptr(), command.cgroup.map(|fd| fd.as_raw_fd()), plan_pointer);
    // SAFETY: the child is done with the plan; what it wrote is read once, past the optimiser.
    let (stage, errno) = unsafe { (ptr::read_volatile(&raw const (*plan_pointer).stage), (*plan_pointer).errno) };
    let pid = result.map_err(SpawnError::Clone)?;
    let error = io::Error::from_raw_os_error(errno);
    match stage {
        Stage::Started => Ok(pid),
        Stage::Credentials => Err(SpawnError::Credentials(error)),
        Stage::Cwd => Err(SpawnError::Cwd(error)),
        Stage::Exec => Err(SpawnError::Exec(error)),
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Clones into the cgroup at birth where there is one: moving a process later takes a lock that waits for every processor.
fn clone_vfork(stack: *mut u8, cgroup: Option<i32>, plan: *mut Plan) -> io::Result<i32> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let vfork = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    let arguments = libc::clone_args {
        flags: vfork | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack as u64,
        stack_size: STACK_BYTES as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.unwrap_or(0) as u64,
    };
    let size = size_of::<libc::clone_args>() as u64;
    // SAFETY: the arguments live until the child has executed or ended, as does its stack.
    let mut result = unsafe { clone_call(libc::SYS_clone3, &raw const arguments as u64, size, plan) };
    if result == -i64::from(libc::ENOSYS) || result == -i64::from(libc::EPERM) {
        // A container's seccomp filter may refuse clone3, whose arguments it can't see.
        let top = stack as u64 + STACK_BYTES as u64;
        // SAFETY: as above.
        result = unsafe { clone_call(libc::SYS_clone, vfork | libc::SIGCHLD as u64, top, plan) };
    }
    if result < 0 { Err(io::Error::from_raw_os_error(-result as i32)) } else { Ok(result as i32) }
}

/// The bare system call: the child wakes on a new stack, where no compiled code could return from it.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_call(number: i64, first: u64, second: u64, plan: *mut Plan) -> i64 {
    let result: i64;
    // SAFETY: the parent's registers are kept but for those named; the child never returns.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "and rsp, -16",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") 0u64,
            in("r10") 0u64,
            in("r8") 0u64,
            in("r12") plan,
            in("r13") child as extern "C" fn(*mut Plan) -> !,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// Runs in the child, in the agent's memory: bare system calls only, no allocation. glibc's own setuid would tell every thread.
extern "C" fn child(plan: *mut Plan) -> ! {
    // SAFETY: the parent waits until this is done with the plan.
    let plan = unsafe { &mut *plan };
    plan.stage = match prepare(plan).and_then(|()| execute(plan)) {
        Ok(never) => match never {},
        Err((stage, errno)) => {
            plan.errno = errno;
            stage
        }
    };
    // SAFETY: ends the child alone.
    unsafe { libc::_exit(127) }
}

/// A type without values.
enum Never {}

fn prepare(plan: &Plan) -> Result<(), (Stage, i32)> {
    // SAFETY: system calls on numbers and on pointers that the parent keeps alive.
    unsafe {
        libc::setsid();
        for (number, fd) in plan.stdio.iter().enumerate() {
            libc::dup2(*fd, number as i32);
        }
        if plan.tty {
            libc::ioctl(0, libc::TIOCSCTTY, 0);
        }
        if let Some((uid, gid, groups, count)) = plan.become_user {
            let failed = libc::syscall(libc::SYS_setgroups, count, groups) != 0
                || libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0
                || libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0;
            if failed {
                return Err((Stage::Credentials, errno()));
            }
        }
        if libc::chdir(plan.cwd) != 0 {
            let failure = (Stage::Cwd, errno());
            if !plan.cwd_is_wish || libc::chdir(c"/".as_ptr()) != 0 {
                return Err(failure);
            }
        }
        let none: u64 = 0;
        let set: *const c_void = (&raw const none).cast();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, 0, size_of::<u64>());
    }
    Ok(())
}

fn execute(plan: &Plan) -> Result<Never, (Stage, i32)> {
    let mut failure = libc::ENOENT;
    for candidate in plan.candidates.iter().take_while(|candidate| !candidate.is_null()) {
        // SAFETY: C strings and null-ended lists of them, kept alive by the parent.
        unsafe { libc::execve(*candidate, plan.argv.as_ptr(), plan.env.as_ptr()) };
        // As shells do: a program that may not be run is worth more in the message than one that is not there.
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => failure = libc::EACCES,
            other => return Err((Stage::Exec, other)),
        }
    }
    Err((Stage::Exec, failure))
}

fn errno() -> i32 {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() }
}
