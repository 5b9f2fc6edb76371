//! Sessions: hellos, frames and the streams they belong to.

use crate::agent::{Agent, Stream};
use crate::failure::{Failure, Kind};
use crate::frame::{Address, Header};
use crate::identity;
use crate::input::{Input, Parsed};
use crate::json::{self, Json};
use crate::message::{Event, Hello, Identity, Nothing, Response, Unwelcome, Welcome};
use crate::poll::Token;
use crate::protocol::*;

/// Told to hosts in the WELCOME.
const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Feature: the operations `listening` and `refuse`.
const PORTS: &str = "ports";
/// Feature: connections that leave the machine are offered to the host.
const EGRESS: &str = "egress";

/// Feature: arguments and variables of a command may come before its `start`, by `words`.
const WORDS: &str = "words";

impl Agent {
    /// Handles every whole frame received so far.
    pub(crate) fn take_frames(&mut self) {
        // The payloads are used where they lie, so the buffer is taken out of the agent meanwhile.
        let mut input = std::mem::replace(&mut self.link.input, Input::none());
        loop {
            match input.next_frame() {
                Parsed::Incomplete => break,
                Parsed::Faulty(fault) => self.fault(&format!("a frame with a wrong {}", fault.name())),
                Parsed::Frame(header, payload) if header.kind == HELLO && header.stream == 0 => {
                    if self.hello(header.session, input.bytes(payload)) {
                        input.in_step();
                    }
                }
                Parsed::Frame(header, payload) => {
                    if header.session == self.session && self.session != 0 {
                        self.take_frame(&header, input.bytes(payload));
                        if self.session == 0 {
                            input.hunt();
                        }
                    }
                }
            }
        }
        self.link.input = input;
    }

    /// Something is wrong with what the host sends: the session is over, the next hello begins another.
    fn fault(&mut self, what: &str) {
        self.faults += 1;
        if self.session != 0 {
            let failure = Failure::invalid(format!("session ended: {what}"));
            self.reset(0, failure);
        }
        self.end_session_only();
    }

    /// Forgets the session with all its streams and everything on its way to the host.
    pub(crate) fn end_session(&mut self) {
        self.link.forget_output();
        self.end_session_only();
    }

    fn end_session_only(&mut self) {
        self.session = 0;
        self.last_stream = 0;
        self.starved.clear();
        self.starved_sockets.clear();
        self.host_takes_connections = false;
        self.execs.detach_all();
        self.watch = None;
        for (_, stream) in std::mem::take(&mut self.streams) {
            close(stream);
        }
        // Nobody decides about connections that wait: they are refused.
        self.work.push(Token::Outward);
    }

    /// True when the hello was answered with a WELCOME to a session.
    fn hello(&mut self, session: u64, payload: &[u8]) -> bool {
        if session == 0 {
            return false;
        }
        let Ok(hello) = json::from_slice::<Hello>(payload) else { return false };
        let address = Address { session, stream: 0 };
        let [oldest, newest] = hello.versions;
        let version = newest.min(VERSION);
        if version < oldest.max(OLDEST_VERSION) {
            let error =
                format!("the agent speaks versions {OLDEST_VERSION} to {VERSION}, the host {oldest} to {newest}");
            let answer = Unwelcome { version: 0, agent: AGENT_VERSION.to_string(), error };
            self.link.send(address.json(WELCOME, &answer).unwrap_or_default());
            return false;
        }
        let identity = hello.identity.as_ref().filter(|identity| self.boot_id.as_ref() != Some(&identity.boot_id));
        let mut files = None;
        if session != self.session {
            self.end_session();
            self.session = session;
            files = identity.filter(|_| self.config.apply_identity);
            // Without an identity the errors of the last one stand: a clone that is still its twin says so in every session.
            if let Some(identity) = identity {
                self.boot_id = Some(identity.boot_id.clone());
                self.renew_network();
                self.identity_errors = files
                    .map(|identity| identity::apply_to_kernel(identity, self.config.host_clock))
                    .unwrap_or_default();
            }
            if !identity::is_prepared() {
                self.identity_errors.extend(files.take().map(identity::apply_to_files).unwrap_or_default());
            }
            self.host_takes_connections = hello.features.iter().any(|feature| feature == EGRESS);
        }
        let answer = Welcome {
            version,
            agent: AGENT_VERSION.to_string(),
            boot_id: self.boot_id.clone(),
            execs: self.execs.ids(),
            faults: self.faults,
            errors: self.identity_errors.clone(),
            features: self.features(),
            missing: self.network_error.iter().map(|why| (EGRESS.to_string(), why.clone())).collect(),
        };
        self.link.send(address.json(WELCOME, &answer).unwrap_or_default());
        if let Some(identity) = files {
            self.write_identity(identity);
        }
        self.session != 0
    }

    fn features(&self) -> Vec<String> {
        let egress = self.network.as_ref().map(|_| EGRESS);
        egress.into_iter().chain([WORDS, PORTS]).map(str::to_string).collect()
    }

    /// Writes the identity's files, which lie ready, while the answer is on its way. No request is taken before. Should one fail all the same the
    /// session ends, and every later one tells why.
    fn write_identity(&mut self, identity: &Identity) {
        self.link.flush();
        let errors = identity::apply_to_files(identity);
        if let Some(error) = errors.first() {
            self.fault(&format!("the identity: {error}"));
        }
        self.identity_errors.extend(errors);
    }

    fn take_frame(&mut self, header: &Header, payload: &[u8]) {
        let stream = header.stream;
        match header.kind {
            REQUEST => self.request(stream, payload),
            RESPONSE => self.offered_answer(stream, payload),
            DATA => self.data(stream, header.channel, payload),
            END if header.channel == CHANNEL_IN => self.data_end(stream),
            ACK => match payload.try_into() {
                Ok(offset) => self.acknowledged(stream, header.channel, u64::from_le_bytes(offset)),
                Err(_) => self.fault("an ACK that is not 8 bytes long"),
            },
            RESET => {
                if let Some(stream) = self.streams.remove(&stream) {
                    self.dropped(stream);
                }
            }
            // Newer hosts may know more kinds; a version that needs them will not be agreed upon.
            _ => {}
        }
    }

    fn request(&mut self, stream: u32, payload: &[u8]) {
        if stream % 2 == 0 || self.streams.contains_key(&stream) {
            return self.fault("a REQUEST on a stream that the host may not open");
        }
        if self.streams.len() >= MAX_STREAMS {
            return self.refuse(
                stream,
                Failure::new(Kind::Limit, format!("there are already {MAX_STREAMS} streams, which is the limit")),
            );
        }
        self.dispatch(stream, payload);
    }

    fn data(&mut self, stream: u32, channel: u8, payload: &[u8]) {
        if channel != CHANNEL_IN {
            return;
        }
        let fits = match self.streams.get_mut(&stream) {
            Some(Stream::Exec(number)) => {
                let number = *number;
                self.exec_input(number, payload)
            }
            Some(Stream::Job(job)) => job.push(payload),
            Some(Stream::Socket(_)) => self.socket_input(stream, payload),
            Some(Stream::Listener(_) | Stream::Ports) | None => true,
        };
        if !fits {
            self.fault("more DATA than the window allows");
        }
    }

    fn data_end(&mut self, stream: u32) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Exec(number)) => {
                let number = *number;
                self.exec_input_end(number);
            }
            Some(Stream::Job(job)) => job.end(),
            Some(Stream::Socket(_)) => self.socket_input_end(stream),
            Some(Stream::Listener(_) | Stream::Ports) | None => {}
        }
    }

    fn acknowledged(&mut self, stream: u32, channel: u8, offset: u64) {
        let possible = match self.streams.get_mut(&stream) {
            Some(Stream::Exec(number)) => {
                let number = *number;
                self.exec_acknowledged(number, channel, offset)
            }
            Some(Stream::Job(job)) => job.acknowledged(offset),
            Some(Stream::Socket(_)) => self.socket_acknowledged(stream, offset),
            Some(Stream::Ports) => self.watch.as_mut().is_none_or(|watch| watch.acknowledged(offset)),
            Some(Stream::Listener(_)) | None => true,
        };
        if !possible {
            self.fault("an ACK of bytes that were not sent");
        }
    }

    /// The host ended a stream.
    fn dropped(&mut self, stream: Stream) {
        match stream {
            Stream::Exec(number) => self.detach(number),
            Stream::Ports => self.watch = None,
            other => close(other),
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, stream: u32, value: impl Json) {
        let address = Address { session: self.session, stream };
        self.link.send(address.response(Ok(value)));
    }

    /// Answers a request with an error, which closes its stream.
    pub(crate) fn refuse(&mut self, stream: u32, failure: Failure) {
        let address = Address { session: self.session, stream };
        self.streams.remove(&stream);
        self.link.send(address.response::<Nothing>(Err(failure)));
    }

    /// Ends a stream both ways. On stream 0: the session.
    pub(crate) fn reset(&mut self, stream: u32, failure: Failure) {
        let address = Address { session: self.session, stream };
        self.streams.remove(&stream);
        self.link.send(address.reset(&failure));
    }

    /// Sends an event.
    pub(crate) fn event(&mut self, stream: u32, event: &Event) {
        let address = Address { session: self.session, stream };
        self.link.send(address.json(EVENT, event).unwrap_or_default());
    }
}

impl Address {
    /// A RESPONSE.
    pub fn response<T: Json>(&self, result: Result<T, Failure>) -> Vec<u8> {
        let response = match result {
            Ok(value) => Response::Ok(value),
            Err(failure) => Response::Error(failure),
        };
        self.json(RESPONSE, &response).unwrap_or_else(|| {
            let failure = Failure::new(Kind::Limit, "the answer is too long for a frame");
            self.json(RESPONSE, &Response::<Nothing>::Error(failure)).unwrap_or_default()
        })
    }

    /// A RESET.
    pub fn reset(&self, failure: &Failure) -> Vec<u8> {
        self.json(RESET, failure).unwrap_or_default()
    }
}

/// Closes what a stream is bound to, when its session ends or the host resets it.
fn close(stream: Stream) {
    match stream {
        Stream::Exec(_) | Stream::Ports => {}
        Stream::Job(job) => job.cancel(),
        Stream::Socket(socket) => socket.reset(),
        Stream::Listener(listener) => listener.close(),
    }
}
