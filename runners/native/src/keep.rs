//! The keeper: parent of one machine's hypervisor for as long as that lives, and of what is told of its end afterwards. One thread, a loop
//! over poll(2), and no memory that grows.

use crate::cgroup::{Group, Mechanism};
use crate::gvisor;
use crate::jail::{Child, Jail, give, inherited, start};
use crate::options::Options;
use crate::protocol::{END_FILE, Ended, HOST_DIR, SOCKET, Status, WORK_DIR, send_with_descriptor};
use crate::sys::{c_string, check, open, pipe, poll, poll_for, set_nonblocking, signal_process, user};
use crate::uids::{Allocation, allocate};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Sockets that are made for the hypervisor, in the order of its descriptors.
const MACHINE_SOCKETS: [&str; 2] = ["qmp.sock", "agent.sock"];
const STDERR_TAIL_BYTES: usize = 8_192;
const MAX_CLIENTS: usize = 32;
const MAX_REQUEST_BYTES: usize = 64;
const FIRST_INHERITED: RawFd = 3;
const TICKS_PER_SECOND: u64 = 100;
/// As a shell and runsc tell of a process that SIGKILL ended.
const KILLED: i32 = 128 + libc::SIGKILL;

pub struct Keeper<'a> {
    options: &'a Options,
    group: Group,
    /// Held for as long as the machine may have files or processes.
    uid: Option<Allocation>,
    listener: UnixListener,
    child: Child,
    stderr: Option<File>,
    tail: Vec<u8>,
    ended: Option<Ended>,
    clients: Vec<Client>,
    forgotten: bool,
}

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    waiting: Waiting,
}

enum Waiting {
    No,
    ForEnd,
    Until(Instant),
}

/// Makes the folder, the sockets and the machine. On an error nothing is left.
pub fn begin(options: &Options) -> io::Result<Keeper<'_>> {
    DirBuilder::new().mode(0o700).create(&options.dir)?;
    // It listens before it has a cgroup: who sweeps up takes a cgroup without a listening keeper for abandoned.
    let listener = UnixListener::bind(options.dir.join(SOCKET))?;
    let group = options.cgroup.as_ref().map_or(Group::none(), |name| Group::make(name, &options.id, &options.limits));
    launch(options, listener, group).inspect_err(|_| {
        let _ = fs::remove_dir_all(&options.dir);
    })
}

fn launch(options: &Options, listener: UnixListener, group: Group) -> io::Result<Keeper<'_>> {
    let made = || -> io::Result<_> {
        let dir = &options.dir;
        // What was inherited is the machine's only: the keeper itself keeps none of it open.
        let inherited: Vec<OwnedFd> =
            (0..options.inherited).map(|index| inherited(FIRST_INHERITED + index)).collect::<io::Result<_>>()?;
        let uid = if options.jailed && user() == 0 { Some(allocate()?) } else { None };
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(dir.join(WORK_DIR))?;
        // Passed through by the machine, listed by nobody.
        builder.mode(0o711).create(dir.join(HOST_DIR))?;
        fs::set_permissions(dir.join(HOST_DIR), fs::Permissions::from_mode(0o711))?;
        if let Some(uid) = &uid {
            let work = c_string(dir.join(WORK_DIR).as_os_str().as_bytes())?;
            give(std::slice::from_ref(&work), uid.uid)?;
            give(&options.own, uid.uid)?;
        }
        let sockets =
            MACHINE_SOCKETS.iter().map(|name| UnixListener::bind(dir.join(name))).collect::<io::Result<Vec<_>>>()?;
        listener.set_nonblocking(true)?;
        let (stderr, stderr_writer) = pipe()?;
        set_nonblocking(stderr.as_fd())?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let descriptors: Vec<RawFd> =
            sockets.iter().map(AsRawFd::as_raw_fd).chain(inherited.iter().map(AsRawFd::as_raw_fd)).collect();
        let pipes = options.gvisor.as_ref().map(gvisor::make_pipes).transpose()?;
        let [input, output] =
            pipes.as_ref().map_or([null.as_raw_fd(); 2], |pipes| pipes.each_ref().map(AsRawFd::as_raw_fd));
        let entrance = group.entrance()?;
        let child = start(&Jail {
            options,
            base: dir,
            uid: uid.as_ref().map(|uid| uid.uid),
            mechanism: group.mechanism,
            entrance: &entrance,
            stdio: [input, output, stderr_writer.as_raw_fd()],
            descriptors: if pipes.is_some() { &[] } else { &descriptors },
        })?;
        Ok((uid, child, File::from(stderr)))
    };
    match made() {
        Ok((uid, child, stderr)) => Ok(Keeper {
            options,
            group,
            uid,
            listener,
            child,
            stderr: Some(stderr),
            tail: Vec::with_capacity(STDERR_TAIL_BYTES),
            ended: None,
            clients: Vec::new(),
            forgotten: false,
        }),
        Err(error) => {
            group.remove();
            Err(error)
        }
    }
}

fn kill(child: &Child) {
    let _ = signal_process(child.process.as_fd(), libc::SIGKILL);
}

impl Keeper<'_> {
    /// Serves until the machine has ended and was forgotten.
    pub fn run(mut self) -> io::Result<()> {
        while !self.forgotten {
            self.turn()?;
        }
        Ok(())
    }

    /// Ends a machine of which nobody was told. It is served until it has ended: whoever looks for it meanwhile finds it.
    pub fn end(mut self) -> io::Result<()> {
        self.kill();
        while self.ended.is_none() && !self.forgotten {
            self.turn()?;
        }
        fs::remove_dir_all(&self.options.dir)
    }

    fn turn(&mut self) -> io::Result<()> {
        let ended = self.ended.is_some();
        let mut fds = vec![
            poll_for(self.listener.as_raw_fd(), libc::POLLIN),
            poll_for(if ended { -1 } else { self.child.process.as_raw_fd() }, libc::POLLIN),
            poll_for(self.stderr.as_ref().map_or(-1, AsRawFd::as_raw_fd), libc::POLLIN),
        ];
        fds.extend(self.clients.iter().map(|client| poll_for(client.stream.as_raw_fd(), libc::POLLIN)));
        poll(&mut fds, self.next_deadline())?;
        if fds[2].revents != 0 {
            self.read_stderr();
        }
        if fds[1].revents != 0 {
            self.child_ended()?;
        }
        let ready: Vec<bool> = fds[3..].iter().map(|fd| fd.revents != 0).collect();
        let clients = std::mem::take(&mut self.clients);
        for (client, ready) in clients.into_iter().zip(ready) {
            if let Some(client) = self.serve(client, ready) {
                self.clients.push(client);
            }
        }
        if fds[0].revents != 0 {
            self.accept();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Duration> {
        let deadlines = self.clients.iter().filter_map(|client| match client.waiting {
            Waiting::Until(at) => Some(at.saturating_duration_since(Instant::now())),
            _ => None,
        });
        deadlines.min()
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        if self.clients.len() >= MAX_CLIENTS || !is_ours(&stream) || stream.set_nonblocking(true).is_err() {
            return;
        }
        self.clients.push(Client { stream, request: Vec::new(), waiting: Waiting::No });
    }

    /// Returns the client while it is still to be served.
    fn serve(&mut self, mut client: Client, ready: bool) -> Option<Client> {
        let over = match client.waiting {
            Waiting::No => false,
            Waiting::ForEnd => self.ended.is_some(),
            Waiting::Until(at) => self.ended.is_some() || Instant::now() >= at,
        };
        if over {
            client.waiting = Waiting::No;
            return self.answer(client, self.status().to_json());
        }
        if !ready {
            return Some(client);
        }
        let mut bytes = [0; MAX_REQUEST_BYTES];
        match client.stream.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => client.request.extend(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(client),
            Err(_) => return None,
        }
        let Some(end) = client.request.iter().position(|byte| *byte == b'\n') else {
            return (client.request.len() <= MAX_REQUEST_BYTES).then_some(client);
        };
        let line: Vec<u8> = client.request.drain(..=end).collect();
        self.request(client, String::from_utf8_lossy(&line[..end]).trim())
    }

    fn request(&mut self, mut client: Client, request: &str) -> Option<Client> {
        let (word, argument) = request.split_once(' ').unwrap_or((request, ""));
        match word {
            "status" => self.answer(client, self.status().to_json()),
            "stats" => self.answer(client, self.stats()),
            "process" => self.send_process(client),
            "foreground" => {
                self.group.foreground(&self.options.limits);
                self.answer(client, self.status().to_json())
            }
            "wait" if self.ended.is_none() => {
                client.waiting = Waiting::ForEnd;
                Some(client)
            }
            "kill" if self.ended.is_none() => {
                self.kill();
                let time = Duration::from_millis(argument.parse().unwrap_or(0));
                client.waiting = Waiting::Until(Instant::now() + time);
                Some(client)
            }
            "wait" | "kill" => self.answer(client, self.status().to_json()),
            "forget" if self.ended.is_some() => {
                self.forgotten = fs::remove_dir_all(&self.options.dir).is_ok();
                let forgotten = self.forgotten;
                self.answer(client, format!("{{\"forgotten\":{forgotten}}}"))
            }
            "forget" => self.answer(client, "{\"error\":\"the machine is still running\"}".to_string()),
            _ => self.answer(client, "{\"error\":\"unknown request\"}".to_string()),
        }
    }

    /// A client that does not take its answer is let go.
    fn answer(&self, mut client: Client, text: String) -> Option<Client> {
        client.stream.write_all(format!("{text}\n").as_bytes()).ok().map(|()| client)
    }

    fn send_process(&self, client: Client) -> Option<Client> {
        if self.ended.is_some() {
            return self.answer(client, self.status().to_json());
        }
        let text = format!("{}\n", self.status().to_json());
        let sent = send_with_descriptor(client.stream.as_raw_fd(), text.as_bytes(), self.child.process.as_raw_fd());
        sent.is_ok_and(|count| count == text.len()).then_some(client)
    }

    pub fn status(&self) -> Status<'_> {
        let mechanism = match self.group.mechanism {
            Mechanism::V2 => "cgroup v2",
            Mechanism::V1 => "cgroup v1",
            Mechanism::Rlimits => "rlimits",
        };
        let uid = self.uid.as_ref().map_or_else(user, |uid| uid.uid);
        Status { pid: self.child.pid, uid, mechanism, ended: self.ended, stderr: &self.tail }
    }

    /// The child is not reaped while this runs, so its pid is its own.
    fn stats(&self) -> String {
        let mut memory = String::new();
        let mut time = 0;
        if self.ended.is_none() {
            let pid = self.child.pid;
            memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
            let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            time = (ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND;
        }
        let bytes = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
        };
        let (pss, rss) = (bytes("Pss:"), bytes("Rss:"));
        format!("{{\"pssBytes\":{pss},\"rssBytes\":{rss},\"cpuMs\":{time}}}")
    }

    fn kill(&self) {
        kill(&self.child);
        self.group.kill();
    }

    fn read_stderr(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut bytes = [0; STDERR_TAIL_BYTES];
        match stderr.read(&mut bytes) {
            Ok(0) => self.stderr = None,
            Ok(count) => {
                let excess = (self.tail.len() + count).saturating_sub(STDERR_TAIL_BYTES);
                self.tail.drain(..excess.min(self.tail.len()));
                self.tail.extend(&bytes[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.stderr = None,
        }
    }

    /// Takes the child's status, and writes down how it ended before anybody is told.
    fn child_ended(&mut self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: waitpid writes one int.
        check(unsafe { libc::waitpid(self.child.pid, &mut status, 0) })?;
        // What it wrote last. Nothing else has the pipe, unless it was not jailed.
        for _ in 0..16 {
            self.read_stderr();
        }
        let ended = if libc::WIFSIGNALED(status) {
            match libc::WTERMSIG(status) {
                libc::SIGKILL if self.group.oom_kills() > 0 => Ended::OutOfMemory,
                signal => Ended::Signal(signal),
            }
        } else {
            match libc::WEXITSTATUS(status) {
                // The machine's own process was killed, and its child that stands for it has said so.
                KILLED if self.group.oom_kills() > 0 => Ended::OutOfMemory,
                code => Ended::Exit(code),
            }
        };
        self.ended = Some(ended);
        self.stderr = None;
        self.group.kill();
        self.group.remove();
        // Without it the end is known for as long as this process lives.
        let _ = self.record_end();
        Ok(())
    }

    fn record_end(&self) -> io::Result<()> {
        let path = self.options.dir.join(END_FILE);
        let new = self.options.dir.join("end.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(self.status().to_json().as_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)?;
        let dir = open(&c_string(self.options.dir.as_os_str().as_bytes())?, libc::O_RDONLY)?;
        File::from(dir).sync_all()
    }
}

/// The folder is private to the keeper's user already.
fn is_ours(stream: &UnixStream) -> bool {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the structure and its length.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &mut length,
        )
    };
    result == 0 && (credentials.uid == user() || credentials.uid == 0)
}
