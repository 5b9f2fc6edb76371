//! Starts a process in a jail: no network, no host processes, an empty root with `/usr` and the files that it is given, no rights, and as
//! root a user id of its own. The process is a child of the caller and PID 1 of its namespace, so that killing it leaves nothing.

use crate::cgroup::{Entrance, Mechanism, set_rlimits};
use crate::gvisor;
use crate::options::{Bind, Options};
use crate::sys::{c_string, check, open, owned, pipe, user};
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Node names, major and minor numbers of the devices that a jail has.
const DEVICES: [(&str, u32, u32); 5] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];
const OLD_ROOT: &str = "/.old";
/// From linux/sched.h: it does not fit the type that the C library's other flags have.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;
/// Descriptors that are moved into place pass through numbers from here on.
const HIGH_FD: RawFd = 200;
const FIRST_FD: RawFd = 3;
const HIGHEST_CAPABILITY: libc::c_int = 63;

pub struct Jail<'a> {
    pub options: &'a Options,
    /// Existing folder on which the root is mounted, in the process's own namespace.
    pub base: &'a Path,
    /// The user id to become; only root can.
    pub uid: Option<u32>,
    pub mechanism: Mechanism,
    /// Of its cgroup.
    pub entrance: &'a Entrance,
    /// Standard input, output and error.
    pub stdio: [RawFd; 3],
    /// What becomes descriptors 3, 4, ….
    pub descriptors: &'a [RawFd],
}

pub struct Child {
    pub pid: i32,
    /// Readable once it has ended.
    pub process: OwnedFd,
}

/// Starts the command. Resolves once it is executed; the error names the step that failed.
pub fn start(jail: &Jail) -> io::Result<Child> {
    step("scheduling", leave_real_time())?;
    let (report, reporter) = pipe()?;
    // SAFETY: cannot fail.
    let caller = (user(), unsafe { libc::getegid() });
    let mut process: RawFd = -1;
    // SAFETY: all zeros is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PIDFD as u64;
    if jail.options.jailed {
        let spaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
        arguments.flags |= (spaces | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP) as u64;
        if user() != 0 {
            arguments.flags |= libc::CLONE_NEWUSER as u64;
        }
    }
    if let Entrance::Folder(folder) = jail.entrance {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = folder.as_raw_fd() as u64;
    }
    arguments.pidfd = &raw mut process as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM it is a fork; this process has one thread.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        drop(report);
        let mut reporter = File::from(reporter);
        let error = match enter(jail, caller, reporter.as_raw_fd()) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let _ = write!(reporter, "{error}");
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }
    drop(reporter);
    let child = Child { pid: pid as i32, process: owned(process)? };
    let mut failure = String::new();
    File::from(report).read_to_string(&mut failure)?;
    if failure.is_empty() {
        return Ok(child);
    }
    // SAFETY: reaps the child that has just ended.
    unsafe { libc::waitpid(child.pid, std::ptr::null_mut(), 0) };
    Err(io::Error::other(failure))
}

enum Never {}

/// User and group id of the caller, as its own namespace knows them.
type Caller = (u32, u32);

/// In the child: everything up to the exec.
fn enter(jail: &Jail, caller: Caller, reporter: RawFd) -> io::Result<Never> {
    let options = jail.options;
    let own_user = jail.uid.is_some();
    if let Entrance::Files(files) = jail.entrance {
        step("cgroup", files.iter().try_for_each(|file| write_fd(file, b"0")))?;
    }
    step("out-of-memory score", raise_oom_score(options.oom_score))?;
    if let Some(start) = &options.gvisor {
        step("namespaces", gvisor::enter(start))?;
    }
    if options.jailed {
        if caller.0 != 0 {
            step("user namespace", map_user(caller))?;
        }
        step("mounts", make_root(jail))?;
        // SAFETY: a name and its length.
        step("host name", check(unsafe { libc::sethostname(c"thaw".as_ptr(), 4) }).map(|_| ()))?;
    }
    step("limits", set_rlimits(&options.limits, jail.mechanism, own_user))?;
    step("descriptors", place_descriptors(jail, reporter))?;
    step("rights", drop_rights(jail.uid, options.jailed))?;
    step("parent", die_with_parent(reporter))?;
    restore_signals();
    let environment = [c"PATH=/usr/bin:/bin".as_ptr(), c"LC_ALL=C.UTF-8".as_ptr(), std::ptr::null()];
    let mut argv: Vec<*const libc::c_char> = options.command.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    // SAFETY: null-terminated arrays of C strings that live until the exec.
    unsafe { libc::execve(argv[0], argv.as_ptr(), environment.as_ptr()) };
    step(&options.command[0].to_string_lossy(), Err(io::Error::last_os_error()))
}

fn step<T>(name: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
}

/// A machine whose daemon has real-time priority would keep every other process from running; and a cgroup of version 1 takes no such process
/// without a share of real time (EINVAL).
fn leave_real_time() -> io::Result<()> {
    // SAFETY: of this process.
    let policy = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if policy != libc::SCHED_FIFO && policy != libc::SCHED_RR {
        return Ok(());
    }
    let normal = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure lives for the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const normal) }).map(|_| ())
}

/// A process may always raise its own score, and hands it down. One that the daemon has lowered is the daemon's alone.
fn raise_oom_score(by: i32) -> io::Result<()> {
    if by == 0 {
        return Ok(());
    }
    let own: i32 = fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().unwrap_or(0);
    fs::write("/proc/self/oom_score_adj", (own.max(0) + by).min(1_000).to_string())
}

/// The caller's own user and group are the only ones that the namespace has.
fn map_user((uid, gid): Caller) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// A root that has nothing but what is put there. Sources are opened before the old root goes, so that links in their paths still lead
/// where they lead on the host; a link in the last place is not followed.
fn make_root(jail: &Jail) -> io::Result<()> {
    let sources = jail.options.binds.iter().map(|bind| open_source(&bind.source)).collect::<io::Result<Vec<_>>>()?;
    mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    let base = c_string(jail.base.as_os_str().as_bytes())?;
    mount(Some(c"tmpfs"), &base, Some(c"tmpfs"), libc::MS_NOSUID, Some(c"mode=755,size=1m"))?;
    let old = jail.base.join(OLD_ROOT.trim_start_matches('/'));
    fs::create_dir(&old)?;
    let old = c_string(old.as_os_str().as_bytes())?;
    // SAFETY: two C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, base.as_ptr(), old.as_ptr()) })?;
    std::env::set_current_dir("/")?;
    for dir in ["usr", "etc", "run", "proc", "dev"] {
        make_dir(Path::new("/").join(dir).as_path())?;
    }
    for (name, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")] {
        symlink(target, Path::new("/").join(name))?;
    }
    bind_path(Path::new("/usr"))?;
    if old_path(Path::new("/etc/ld.so.cache")).exists() {
        bind_path(Path::new("/etc/ld.so.cache"))?;
    }
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, None)?;
    make_devices(jail)?;
    for (bind, source) in jail.options.binds.iter().zip(&sources) {
        bind_source(bind, source)?;
    }
    drop(sources);
    let old = c_string(OLD_ROOT)?;
    // SAFETY: a C string.
    check(unsafe { libc::umount2(old.as_ptr(), libc::MNT_DETACH) })?;
    fs::remove_dir(OLD_ROOT)?;
    set_attributes(c"/", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, false)
}

fn open_source(path: &CStr) -> io::Result<OwnedFd> {
    open(path, libc::O_PATH)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.to_string_lossy())))
}

fn old_path(path: &Path) -> PathBuf {
    Path::new(OLD_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// Shows a file or folder of the host, read-only, at its own place.
fn bind_path(path: &Path) -> io::Result<()> {
    let source = open(&c_string(old_path(path).as_os_str().as_bytes())?, libc::O_PATH)?;
    bind_to(&source, path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn bind_source(bind: &Bind, source: &OwnedFd) -> io::Result<()> {
    let read_only = if bind.writable { 0 } else { MOUNT_ATTR_RDONLY };
    bind_to(source, &bind.target, read_only | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn bind_to(source: &OwnedFd, target: &Path, attributes: u64) -> io::Result<()> {
    let is_dir = is_dir(source)?;
    if let Some(parent) = target.parent() {
        make_dir(parent)?;
    }
    if is_dir {
        make_dir(target)?;
    } else {
        fs::write(target, "")?;
    }
    let source = c_string(format!("{OLD_ROOT}/proc/self/fd/{}", source.as_raw_fd()))?;
    let target = c_string(target.as_os_str().as_bytes())?;
    mount(Some(&source), &target, None, libc::MS_BIND | libc::MS_REC, None)?;
    set_attributes(&target, attributes, true)
}

fn is_dir(file: &OwnedFd) -> io::Result<bool> {
    // SAFETY: fstat fills the structure.
    let mode = unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        check(libc::fstat(file.as_raw_fd(), &mut found))?;
        found.st_mode
    };
    Ok(mode & libc::S_IFMT == libc::S_IFDIR)
}

/// As root nodes are made, since a user id of its own may not open the host's; else the host's are shown.
fn make_devices(jail: &Jail) -> io::Result<()> {
    let Some(uid) = jail.uid else {
        let kvm = if jail.options.kvm { Some("kvm") } else { None };
        for name in DEVICES.map(|(name, _, _)| name).into_iter().chain(kvm) {
            let path = Path::new("/dev").join(name);
            let source = open(&c_string(old_path(&path).as_os_str().as_bytes())?, libc::O_PATH)?;
            bind_to(&source, &path, MOUNT_ATTR_NOSUID)?;
        }
        return Ok(());
    };
    for (name, major, minor) in DEVICES {
        make_node(name, libc::makedev(major, minor), 0o666)?;
    }
    if jail.options.kvm {
        use std::os::unix::fs::MetadataExt;
        make_node("kvm", fs::metadata(old_path(Path::new("/dev/kvm")))?.rdev(), 0o600)?;
        std::os::unix::fs::chown("/dev/kvm", Some(uid), Some(uid))?;
    }
    Ok(())
}

fn make_node(name: &str, device: libc::dev_t, mode: u32) -> io::Result<()> {
    let path = Path::new("/dev").join(name);
    let text = c_string(path.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    check(unsafe { libc::mknod(text.as_ptr(), libc::S_IFCHR | mode, device) })?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
    }
}

pub fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: C strings or null pointers.
    let result = unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data).cast()) };
    check(result)
        .map(|_| ())
        .map_err(|error| io::Error::new(error.kind(), format!("mount {}: {error}", target.to_string_lossy())))
}

/// mount_setattr(2): adds attributes and removes none.
fn set_attributes(target: &CStr, attributes: u64, beneath: bool) -> io::Result<()> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = if beneath { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: a C string, a structure that lives for the call, its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    check(result)
        .map(|_| ())
        .map_err(|error| io::Error::new(error.kind(), format!("attributes of {}: {error}", target.to_string_lossy())))
}

/// Standard streams and the descriptors for the command, at their numbers; every other one is closed by the exec.
fn place_descriptors(jail: &Jail, reporter: RawFd) -> io::Result<()> {
    let wanted: Vec<RawFd> = jail.stdio.iter().chain(jail.descriptors).copied().collect();
    let duplicate = |fd: RawFd| -> io::Result<RawFd> {
        // SAFETY: plain numbers.
        Ok(check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, HIGH_FD) })? as RawFd)
    };
    let high = wanted.iter().map(|fd| duplicate(*fd)).collect::<io::Result<Vec<_>>>()?;
    let last = wanted.len() as RawFd;
    if (FIRST_FD..last).contains(&reporter) {
        return Err(io::Error::other("the file descriptor of the report is one that the command needs"));
    }
    for (number, fd) in high.iter().enumerate() {
        // SAFETY: plain numbers.
        check(unsafe { libc::dup2(*fd, number as RawFd) })?;
    }
    // SAFETY: plain numbers; all that is still open closes at the exec.
    check(unsafe { libc::syscall(libc::SYS_close_range, last, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(|_| ())
}

/// No capabilities, now or by any program that it executes.
fn drop_rights(uid: Option<u32>, jailed: bool) -> io::Result<()> {
    // SAFETY: plain numbers, here and below.
    unsafe {
        if jailed {
            // Fails for the first number that the kernel has no capability for.
            let mut capabilities = 0..=HIGHEST_CAPABILITY;
            while capabilities.next().is_some_and(|one| libc::prctl(libc::PR_CAPBSET_DROP, one, 0, 0, 0) == 0) {}
        }
        if let Some(uid) = uid {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(uid, uid, uid))?;
            check(libc::setresuid(uid, uid, uid))?;
        }
        if jailed {
            clear_capabilities()?;
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).map(|_| ())
    }
}

/// capset(2) with nothing, which also clears what would be inherited.
fn clear_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: the header and two sets of three words.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) }).map(|_| ())
}

/// Set after the change of user, which clears it. A parent that went before leaves the report without a reader.
fn die_with_parent(reporter: RawFd) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    let mut fds = [libc::pollfd { fd: reporter, events: 0, revents: 0 }];
    // SAFETY: one structure that lives for the call.
    check(unsafe { libc::poll(fds.as_mut_ptr(), 1, 0) })?;
    if fds[0].revents & libc::POLLERR == 0 { Ok(()) } else { Err(io::Error::other("the keeper has ended")) }
}

/// A write beyond the limit of a file's size fails instead of ending the process.
fn restore_signals() {
    // SAFETY: a set is made before it is used.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

fn write_fd(file: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `bytes`.
    check(unsafe { libc::write(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } as i64).map(|_| ())
}

/// Gives files and folders to a user id, each opened without following a link.
pub fn give(files: &[CString], uid: u32) -> io::Result<()> {
    for path in files {
        let file = open_source(path)?;
        // SAFETY: an empty C string: the descriptor itself.
        check(unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), uid, uid, libc::AT_EMPTY_PATH) })?;
    }
    Ok(())
}

/// An inherited descriptor as an owned one.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the caller was given this descriptor at its start, and nothing else in it owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
