//! A host for tests: starts the agent behind a socket in a folder of its own, and speaks the protocol with it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use thaw_agent::frame::{Address, Decoded, Header, decode};
use thaw_agent::protocol::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// An agent in a folder of its own. Both go when it is dropped.
pub struct Agent {
    child: Child,
    pub folder: PathBuf,
}

impl Agent {
    pub fn start() -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_thaw-agent")), &[])
    }

    /// An agent in a network namespace of its own, which it is the way out of. Needs root.
    pub fn start_with_network() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", env!("CARGO_BIN_EXE_thaw-agent")]);
        Self::run(command, &["--network"])
    }

    fn run(mut command: Command, arguments: &[&str]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("thaw-agent-test-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let child = command.arg("--socket").arg(folder.join("socket")).args(arguments).spawn().unwrap();
        let agent = Self { child, folder };
        let start = Instant::now();
        while UnixStream::connect(agent.socket()).is_err() {
            assert!(start.elapsed() < DEADLINE, "the agent does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        agent
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub fn host(&self) -> Host {
        let mut host = Host::connect(&self.socket());
        host.hello();
        host
    }

    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    /// Resident memory in KiB, and the number of threads.
    pub fn size(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        (field("VmRSS:"), field("Threads:"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A frame as received.
#[derive(Debug, Clone)]
pub struct Frame {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// What became of an exec.
#[derive(Debug)]
pub struct Outcome {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    pub exit: Value,
}

/// A connection with a session.
pub struct Host {
    pub stream: UnixStream,
    pub session: u64,
    received: Vec<u8>,
    last: u32,
    /// Told in the next hello.
    pub features: Vec<&'static str>,
    /// Bytes seen on each channel of each stream.
    pub seen: BTreeMap<(u32, u8), u64>,
}

impl Host {
    pub fn connect(socket: &Path) -> Self {
        static SESSION: AtomicU64 = AtomicU64::new(1);
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let session = SESSION.fetch_add(1, Ordering::Relaxed) << 20 | u64::from(std::process::id());
        Self { stream, session, received: Vec::new(), last: 1, features: Vec::new(), seen: BTreeMap::new() }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, kind: u8, stream: u32, channel: u8, payload: &[u8]) {
        let frame = Address { session: self.session, stream }.frame(kind, channel, payload);
        self.raw(&frame);
    }

    pub fn send_json(&mut self, kind: u8, stream: u32, value: &Value) {
        self.send(kind, stream, 0, value.to_string().as_bytes());
    }

    pub fn ack(&mut self, stream: u32, channel: u8, offset: u64) {
        self.send(ACK, stream, channel, &offset.to_le_bytes());
    }

    /// Opens the session (again, or anew after changing its id) and returns the WELCOME.
    pub fn hello(&mut self) -> Value {
        self.raw(&[0; MAX_FRAME_BYTES]);
        self.send_json(HELLO, 0, &json!({ "versions": [1, 1], "features": self.features }));
        loop {
            let frame = self.receive();
            if frame.header.kind == WELCOME {
                return frame.json();
            }
        }
    }

    /// The next frame of this session.
    pub fn receive(&mut self) -> Frame {
        self.try_receive().expect("the agent hung up")
    }

    pub fn try_receive(&mut self) -> Option<Frame> {
        loop {
            if let Decoded::Frame(header) = decode(&self.received) {
                let payload = self.received[HEADER_BYTES..HEADER_BYTES + header.length].to_vec();
                self.received.drain(..header.frame_bytes());
                if header.session != self.session {
                    continue;
                }
                if header.kind == DATA {
                    *self.seen.entry((header.stream, header.channel)).or_default() += header.length as u64;
                }
                return Some(Frame { header, payload });
            }
            let mut buffer = [0; 65_536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => panic!("nothing received: {error}"),
            }
        }
    }

    /// Whether a frame arrives within a while that `is_meant`; others are dropped.
    pub fn hears(&mut self, milliseconds: u64, is_meant: impl Fn(&Frame) -> bool) -> bool {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        let mut heard = false;
        while !heard && Instant::now() < end {
            if matches!(decode(&self.received), Decoded::Frame(_)) {
                heard = self.try_receive().is_some_and(|frame| is_meant(&frame));
            } else {
                self.is_quiet(20);
            }
        }
        heard
    }

    /// Whether nothing arrives for a while.
    pub fn is_quiet(&mut self, milliseconds: u64) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(milliseconds))).unwrap();
        let mut buffer = [0; 65_536];
        let result = self.stream.read(&mut buffer);
        if let Ok(count) = &result {
            self.received.extend_from_slice(&buffer[..*count]);
        }
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        result.is_err()
    }

    pub fn request(&mut self, request: Value) -> u32 {
        let stream = self.last;
        self.last += 2;
        self.send_json(REQUEST, stream, &request);
        stream
    }

    /// The next frame of one kind on a stream; others are dropped.
    pub fn next(&mut self, stream: u32, kind: u8) -> Frame {
        loop {
            let frame = self.receive();
            if frame.header.stream == stream && frame.header.kind == kind {
                return frame;
            }
        }
    }

    pub fn answer(&mut self, stream: u32) -> Value {
        self.next(stream, RESPONSE).json()
    }

    pub fn ask(&mut self, request: Value) -> Value {
        let stream = self.request(request);
        self.answer(stream)
    }

    /// What a request fails with.
    pub fn error_kind(&mut self, request: Value) -> String {
        let answer = self.ask(request);
        answer["error"]["kind"].as_str().unwrap_or_else(|| panic!("{answer}")).to_string()
    }

    /// Everything an exec says until its exit, acknowledged as it comes.
    pub fn finish(&mut self, stream: u32) -> Outcome {
        let mut outcome = Outcome { out: Vec::new(), err: Vec::new(), exit: Value::Null };
        let mut ends = 0;
        while ends < 2 {
            let frame = self.receive();
            if frame.header.stream != stream {
                continue;
            }
            match (frame.header.kind, frame.header.channel) {
                (DATA, CHANNEL_OUT) => outcome.out.extend(&frame.payload),
                (DATA, _) => outcome.err.extend(&frame.payload),
                (EVENT, _) => outcome.exit = frame.json(),
                (END, _) => ends += 1,
                (RESET, _) => panic!("reset: {}", frame.json()),
                _ => {}
            }
            if frame.header.kind == DATA {
                let offset = self.seen[&(stream, frame.header.channel)];
                self.ack(stream, frame.header.channel, offset);
            }
        }
        outcome
    }

    pub fn start(&mut self, id: &str, script: &str, more: Value) -> u32 {
        let mut request = json!({ "op": "start", "id": id, "argv": ["sh", "-c", script] });
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        let stream = self.request(request);
        let answer = self.answer(stream);
        assert!(answer["ok"].is_object(), "{answer}");
        stream
    }

    pub fn run(&mut self, id: &str, script: &str) -> Outcome {
        let stream = self.start(id, script, json!({}));
        self.finish(stream)
    }

    /// Sends everything on `in` within the window, then END.
    pub fn upload(&mut self, stream: u32, bytes: &[u8]) {
        let mut acknowledged = 0;
        let mut sent = 0;
        for chunk in bytes.chunks(MAX_PAYLOAD_BYTES) {
            while sent + chunk.len() as u64 > acknowledged + STREAM_WINDOW_BYTES as u64 {
                let frame = self.next(stream, ACK);
                acknowledged = u64::from_le_bytes(frame.payload.try_into().unwrap());
            }
            self.send(DATA, stream, CHANNEL_IN, chunk);
            sent += chunk.len() as u64;
        }
        self.send(END, stream, CHANNEL_IN, &[]);
    }

    /// Everything on `out` until its END.
    pub fn download(&mut self, stream: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let frame = self.receive();
            match frame.header.kind {
                _ if frame.header.stream != stream => {}
                DATA => {
                    bytes.extend(&frame.payload);
                    self.ack(stream, CHANNEL_OUT, bytes.len() as u64);
                }
                END => return bytes,
                RESET => panic!("reset: {}", frame.json()),
                _ => {}
            }
        }
    }
}
