//! JSON payloads: what the host may ask and what the agent answers.

use crate::failure::Failure;
use crate::json::{Json, Malformed, Members, Value, Writer, messages, names, unknown};
use std::collections::BTreeMap;

/// `{}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Nothing {}

impl Json for Nothing {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        Members::of(value).map(|_| Self {})
    }
}

/// RESPONSE.
#[derive(Debug, Clone, PartialEq)]
pub enum Response<T> {
    Ok(T),
    Error(Failure),
}

impl<T: Json> Json for Response<T> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Writer::begin(out);
        match self {
            Response::Ok(value) => object.member("ok", value),
            Response::Error(failure) => object.member("error", failure),
        }
        object.end();
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let mut members = Members::of(value)?;
        match members.take("error", Some(None))? {
            Some(failure) => Ok(Response::Error(failure)),
            None => members.take("ok", None).map(Response::Ok),
        }
    }
}

/// A signal by number or name, with or without `SIG`.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalName {
    Number(i32),
    Name(String),
}

impl Json for SignalName {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            SignalName::Number(number) => number.write(out),
            SignalName::Name(name) => name.write(out),
        }
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Text(name) => Ok(SignalName::Name(name)),
            number => i32::read(number).map(SignalName::Number),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Receivers {
    #[default]
    Group,
    Tree,
}

names!(Receivers { Group = "group", Tree = "tree" });

/// EVENT.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Exit(Exit),
    Crash(Crash),
    Oom,
    Log(Log),
}

impl Event {
    fn parts(&self) -> (&'static str, &dyn Json) {
        match self {
            Event::Exit(exit) => ("exit", exit),
            Event::Crash(crash) => ("crash", crash),
            Event::Oom => ("oom", &Nothing {}),
            Event::Log(log) => ("log", log),
        }
    }
}

/// Its kind is a member among those that the kind has.
impl Json for Event {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, about) = self.parts();
        let mut object = Writer::begin(out);
        object.member("event", &kind.to_string());
        object.members_of(about);
        object.end();
    }

    fn read(value: Value) -> Result<Self, Malformed> {
        let mut members = Members::of(value)?;
        let kind: String = members.take("event", None)?;
        match kind.as_str() {
            "exit" => members.read().map(Event::Exit),
            "crash" => members.read().map(Event::Crash),
            "oom" => Ok(Event::Oom),
            "log" => members.read().map(Event::Log),
            _ => Err(unknown(&kind)),
        }
    }
}

messages! {
    /// The first look at a request: which operation it is.
    pub struct Operation {
        pub op: String,
    }

    /// HELLO.
    pub struct Hello {
        /// Oldest and newest version the host speaks.
        pub versions: [u32; 2],
        pub identity: Option<Identity> = omitted,
        /// What the host can do beyond its versions.
        pub features: Vec<String> = omitted,
    }

    /// What makes a thawed machine differ from its twins.
    pub struct Identity {
        /// Nanoseconds since 1970, decimal.
        pub time_ns: String,
        /// 64 bytes, base64.
        pub entropy: String,
        pub hostname: String,
        /// 32 hex digits.
        pub machine_id: String,
        /// A UUID.
        pub boot_id: String,
    }

    /// WELCOME.
    pub struct Welcome {
        pub version: u32,
        pub agent: String,
        pub boot_id: Option<String>,
        pub execs: Vec<String>,
        /// Faults seen since the agent started.
        pub faults: u64,
        /// Parts of the identity that could not be applied.
        pub errors: Vec<String>,
        /// What this agent can do here beyond its version.
        pub features: Vec<String> = omitted,
        /// Features that it knows and that do not work here, and why.
        pub missing: BTreeMap<String, String> = omitted,
    }

    /// WELCOME when there is no version in common.
    pub struct Unwelcome {
        pub version: u32,
        pub agent: String,
        pub error: String,
    }

    pub struct Size {
        pub rows: u16,
        pub cols: u16,
    }

    pub struct Start {
        pub id: String,
        pub argv: Vec<String>,
        pub env: BTreeMap<String, String> = default,
        pub clear_env: bool = default,
        pub cwd: Option<String>,
        pub user: Option<String>,
        pub tty: Option<Size>,
        pub stdin: bool = default,
        pub hold_crashes: bool = default,
        /// Arguments and variables came before, by `words`: this many arguments. `argv` and `env` are empty.
        pub words: Option<usize> = omitted,
    }

    /// Arguments and variables of the exec `id` follow as bytes.
    pub struct Words {
        pub id: String,
    }

    pub struct Attach {
        pub id: String,
        pub out: u64 = default,
        pub err: u64 = default,
    }

    /// The answer to `start` and `attach`: offsets from which the channels go on.
    pub struct Attached {
        pub pid: i32,
        pub running: bool,
        pub stdin: u64 => "in",
        pub out: u64,
        pub err: u64,
    }

    pub struct Signal {
        pub id: String,
        pub signal: SignalName,
        pub to: Receivers = default,
    }

    pub struct Resize {
        pub id: String,
        pub rows: u16,
        pub cols: u16,
    }

    pub struct Forget {
        pub id: String,
    }

    pub struct Release {
        pub id: String,
        pub pid: i32,
    }

    pub struct Core {
        /// The first held crash when absent.
        pub pid: Option<i32>,
    }

    pub struct Stat {
        pub path: String,
    }

    pub struct List {
        pub path: String,
        pub limit: Option<usize>,
    }

    pub struct Read {
        pub path: String,
        pub offset: u64 = default,
        pub length: Option<u64>,
    }

    pub struct Write {
        pub path: String,
        pub offset: Option<u64>,
        pub truncate: Option<bool>,
        pub mode: Option<u32>,
        pub user: Option<String>,
    }

    pub struct MakeDirectory {
        pub path: String,
        pub mode: Option<u32>,
        pub user: Option<String>,
    }

    pub struct Remove {
        pub path: String,
        pub recursive: bool = default,
    }

    pub struct TreeIn {
        pub path: String,
        pub user: Option<String>,
    }

    pub struct TreeOut {
        pub path: String,
        /// Base64 of paths beneath `path`; all of it when absent.
        pub names: Option<Vec<String>>,
        /// Whether the host knows records of hard links.
        pub links: Option<bool>,
        /// Whether the host knows records of extended attributes.
        pub attributes: Option<bool>,
    }

    /// A TCP port or the path of a unix socket.
    pub struct Endpoint {
        pub port: Option<u16>,
        pub path: Option<String>,
    }

    pub struct Clock {
        /// Nanoseconds since 1970, decimal.
        pub time_ns: String,
    }

    pub struct Ping {
        pub echo: Option<String> = omitted,
    }

    /// A file, as `stat` and `list` tell it.
    pub struct Entry {
        pub path: String,
        pub kind: String => "type",
        pub size: u64,
        pub mode: u32,
        pub mtime_ns: String,
        pub uid: u32,
        pub gid: u32,
        pub target: Option<String> = omitted,
        /// The path's bytes, when they are not UTF-8.
        pub name_base64: Option<String> = omitted,
        /// Names of extended attributes. Told by `stat` alone.
        pub attributes: Option<Vec<String>> = omitted,
    }

    pub struct Listing {
        pub entries: Vec<Entry>,
        pub truncated: bool,
    }

    pub struct Opened {
        pub size: u64,
    }

    pub struct TreeDone {
        pub entries: u64,
        pub bytes: u64,
    }

    pub struct Listening {
        /// Absent for a unix socket.
        pub port: Option<u16> = omitted,
    }

    pub struct Quiesced {
        pub free_bytes: u64,
    }

    /// Bytes of the whole and of what can still be used.
    pub struct Memory {
        pub total: u64,
        pub available: u64,
    }

    pub struct Disk {
        pub total: u64,
        pub free: u64,
    }

    pub struct Stats {
        pub memory: Memory,
        /// Averages over 1, 5 and 15 minutes.
        pub load: [f64; 3],
        pub disk: Disk,
        pub processes: u64,
    }

    pub struct Processes {
        pub processes: Vec<Process>,
        pub listening: Vec<ListeningSocket>,
        /// There were more of either.
        pub truncated: bool,
    }

    pub struct Process {
        pub pid: i32,
        pub parent: i32,
        pub uid: u32,
        pub state: char,
        pub name: String,
        pub command: String,
    }

    /// A TCP socket that takes connections.
    pub struct ListeningSocket {
        pub protocol: String,
        pub address: String,
        pub port: u16,
        /// Whose it is, if that was found.
        pub pid: Option<i32>,
    }

    /// Names that the resolver is to refuse.
    pub struct Refuse {
        pub names: Vec<String>,
    }

    /// Ports that programs listen at.
    pub struct Ports {
        pub ports: Vec<u16>,
    }

    /// REQUEST of the agent: a listener accepted a connection.
    pub struct Accepted {
        pub op: String,
        pub listener: u32,
        pub peer: Option<String> = omitted,
    }

    /// REQUEST of the agent: a program in the machine opened a connection that leads out of it.
    pub struct Connect {
        pub op: String,
        /// What the address stands for; absent when a program named the address itself.
        pub name: Option<String> = omitted,
        pub address: String,
        pub port: u16,
        /// Whose connection it is, as far as it was found.
        pub pid: Option<i32> = omitted,
        pub uid: Option<u32> = omitted,
        pub process: Option<String> = omitted,
        pub exec: Option<String> = omitted,
    }

    /// The host's answer to a connection that it was offered.
    pub struct Taken {
        /// Window of both channels in bytes, when it is less than usual.
        pub window: Option<u64> = omitted,
    }

    /// A process that is held in its core dump: an event, and the answer to `core`.
    pub struct Crash {
        pub pid: i32,
        /// Without `SIG`.
        pub signal: String,
        pub name: String,
    }

    /// How an exec ended, and the final offsets of its output.
    pub struct Exit {
        pub code: Option<i32>,
        pub signal: Option<String>,
        pub oom: bool,
        pub out: u64,
        pub err: u64,
        pub duration_ms: u64,
    }

    pub struct Log {
        pub message: String,
    }
}
