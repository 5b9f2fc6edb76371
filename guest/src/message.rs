//! JSON payloads: what the host may ask and what the agent answers.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The first look at a request: which operation it is.
#[derive(Debug, Deserialize)]
pub struct Operation<'a> {
    #[serde(borrow)]
    pub op: Cow<'a, str>,
}

/// HELLO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest and newest version the host speaks.
    pub versions: (u32, u32),
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What the host can do beyond its versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// What makes a thawed machine differ from its twins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Features that it knows and that do not work here, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

/// WELCOME when there is no version in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unwelcome {
    pub version: u32,
    pub agent: String,
    pub error: String,
}

/// RESPONSE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response<T> {
    Ok(T),
    Error(Failure),
}

/// `{}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nothing {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub rows: u16,
    pub cols: u16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub id: String,
    pub argv: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub clear_env: bool,
    pub cwd: Option<String>,
    pub user: Option<String>,
    pub tty: Option<Size>,
    #[serde(default)]
    pub stdin: bool,
    #[serde(default)]
    pub hold_crashes: bool,
    /// Arguments and variables came before, by `words`: this many arguments. `argv` and `env` are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<usize>,
}

/// Arguments and variables of the exec `id` follow as bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    pub id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attach {
    pub id: String,
    #[serde(default)]
    pub out: u64,
    #[serde(default)]
    pub err: u64,
}

/// The answer to `start` and `attach`: offsets from which the channels go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub pid: i32,
    pub running: bool,
    #[serde(rename = "in")]
    pub stdin: u64,
    pub out: u64,
    pub err: u64,
}

/// A signal by number or name, with or without `SIG`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SignalName {
    Number(i32),
    Name(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receivers {
    #[default]
    Group,
    Tree,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    pub id: String,
    pub signal: SignalName,
    #[serde(default)]
    pub to: Receivers,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    pub id: String,
    #[serde(flatten)]
    pub size: Size,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forget {
    pub id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub id: String,
    pub pid: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Core {
    /// The first held crash when absent.
    pub pid: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    pub path: String,
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Read {
    pub path: String,
    #[serde(default)]
    pub offset: u64,
    pub length: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    pub path: String,
    pub offset: Option<u64>,
    pub truncate: Option<bool>,
    pub mode: Option<u32>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeDirectory {
    pub path: String,
    pub mode: Option<u32>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remove {
    pub path: String,
    #[serde(default)]
    pub recursive: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeIn {
    pub path: String,
    pub user: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub port: Option<u16>,
    pub path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Nanoseconds since 1970, decimal.
    pub time_ns: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<String>,
}

/// A file, as `stat` and `list` tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub size: u64,
    pub mode: u32,
    pub mtime_ns: String,
    pub uid: u32,
    pub gid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The path's bytes, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// Names of extended attributes. Told by `stat` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeDone {
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listening {
    /// Absent for a unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quiesced {
    pub free_bytes: u64,
}

/// Bytes of the whole and of what can still be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    pub total: u64,
    pub free: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub memory: Memory,
    /// Averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    pub disk: Disk,
    pub processes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    pub processes: Vec<Process>,
    pub listening: Vec<ListeningSocket>,
    /// There were more of either.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub uid: u32,
    pub state: char,
    pub name: String,
    pub command: String,
}

/// A TCP socket that takes connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListeningSocket {
    pub protocol: String,
    pub address: String,
    pub port: u16,
    /// Whose it is, if that was found.
    pub pid: Option<i32>,
}

/// Names that the resolver is to refuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refuse {
    pub names: Vec<String>,
}

/// Ports that programs listen at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ports {
    pub ports: Vec<u16>,
}

/// REQUEST of the agent: a listener accepted a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    pub op: String,
    pub listener: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// REQUEST of the agent: a program in the machine opened a connection that leads out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    pub op: String,
    /// What the address stands for; absent when a program named the address itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub address: String,
    pub port: u16,
    /// Whose connection it is, as far as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
}

/// The host's answer to a connection that it was offered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Window of both channels in bytes, when it is less than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// EVENT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    Exit(Exit),
    Crash(Crash),
    Oom,
    Log { message: String },
}

/// A process that is held in its core dump: an event, and the answer to `core`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crash {
    pub pid: i32,
    /// Without `SIG`.
    pub signal: String,
    pub name: String,
}

/// How an exec ended, and the final offsets of its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<String>,
    pub oom: bool,
    pub out: u64,
    pub err: u64,
    pub duration_ms: u64,
}
