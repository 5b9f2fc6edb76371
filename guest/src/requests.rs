//! Which request goes where.

use crate::agent::Agent;
use crate::exec::words;
use crate::failure::{Failure, Kind};
use crate::files;
use crate::identity;
use crate::json::{self, Json};
use crate::machine;
use crate::message::{Clock, Forget, Nothing, Operation, Ping, Refuse, Release, Resize, Signal};
use crate::network::Network;
use crate::processes;

impl Agent {
    /// Handles a REQUEST.
    pub(crate) fn dispatch(&mut self, stream: u32, payload: &[u8]) {
        if let Err(failure) = self.try_dispatch(stream, payload) {
            self.refuse(stream, failure);
        }
    }

    fn try_dispatch(&mut self, stream: u32, payload: &[u8]) -> Result<(), Failure> {
        let operation: Operation = parse(payload)?;
        match operation.op.as_str() {
            "start" => self.start(stream, parse(payload)?),
            "words" => {
                let request = parse(payload)?;
                let kept = self.words.clone();
                self.start_job(stream, move |worker| words::receive(worker, request, &kept));
            }
            "attach" => self.attach(stream, parse(payload)?),
            "signal" => {
                let request: Signal = parse(payload)?;
                let result = self.signal(&request);
                self.answer_with(stream, result);
            }
            "resize" => {
                let request: Resize = parse(payload)?;
                let result = self.resize(&request);
                self.answer_with(stream, result);
            }
            "forget" => {
                let request: Forget = parse(payload)?;
                let result = self.forget(&request);
                self.answer_with(stream, result);
            }
            "release" => {
                let request: Release = parse(payload)?;
                let result = self.release(&request);
                self.answer_with(stream, result);
            }
            "core" => self.core(stream, &parse(payload)?)?,
            "stat" => self.answer_with(stream, files::stat(&parse(payload)?)),
            "mkdir" => self.answer_with(stream, files::make_directory(&parse(payload)?)),
            "list" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::list(worker, &request));
            }
            "read" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::read(worker, &request));
            }
            "write" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::write(worker, &request));
            }
            "remove" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::remove(worker, &request));
            }
            "tree-in" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::tree_in(worker, &request));
            }
            "tree-out" => {
                let request = parse(payload)?;
                self.start_job(stream, move |worker| files::tree_out(worker, &request));
            }
            "dial" => self.dial(stream, parse(payload)?),
            "listen" => self.add_listener(stream, parse(payload)?),
            "quiesce" => self.start_job(stream, machine::quiesce),
            "sync" => self.start_job(stream, machine::sync),
            "processes" => {
                let ended = self.execs.ended();
                let own = self.network.as_ref().map(Network::own_ports).unwrap_or_default();
                self.start_job(stream, move |worker| processes::processes(worker, ended, &own));
            }
            "listening" => self.watch_ports(stream),
            "refuse" => {
                let request: Refuse = parse(payload)?;
                if let Some(network) = &self.network {
                    network.refuse(request.names);
                }
                self.answer(stream, Nothing {});
            }
            "stats" => self.answer_with(stream, machine::stats()),
            "clock" => {
                let request: Clock = parse(payload)?;
                let result = self.step_clock(&request);
                self.answer_with(stream, result);
            }
            "ping" => self.answer(stream, parse::<Ping>(payload)?),
            "poweroff" => {
                self.answer(stream, Nothing {});
                self.ending = true;
            }
            other => return Err(Failure::new(Kind::Unsupported, format!("no operation {other:?}"))),
        }
        Ok(())
    }

    /// The machine stood still: its clock is behind by as much.
    fn step_clock(&self, request: &Clock) -> Result<Nothing, Failure> {
        if self.config.apply_identity {
            identity::set_clock(&request.time_ns).map_err(|error| Failure::io(&error, "set the clock"))?;
        }
        Ok(Nothing {})
    }

    fn answer_with(&mut self, stream: u32, result: Result<impl Json, Failure>) {
        match result {
            Ok(value) => self.answer(stream, value),
            Err(failure) => self.refuse(stream, failure),
        }
    }
}

fn parse<T: Json>(payload: &[u8]) -> Result<T, Failure> {
    json::from_slice(payload).map_err(|error| Failure::invalid(format!("malformed request: {error}")))
}
