//! The host's requests about execs.

use super::{Exec, pty, signals, start};
use crate::agent::{Agent, Stream};
use crate::failure::{Context, Failure, Kind};
use crate::log;
use crate::message::{Attach, Attached, Forget, Nothing, Receivers, Resize, Signal, Size, Start};
use crate::poll::Token;
use crate::protocol::*;
use crate::sys;
use std::os::fd::AsFd;

impl Agent {
    /// `start`: an id already started is attached to, so that a host that lost the answer may ask again.
    pub fn start(&mut self, stream: u32, request: Start) {
        if self.execs.find(&request.id).is_some() {
            return self.attach(stream, Attach { id: request.id, out: 0, err: 0 });
        }
        match self.with_words(request).and_then(|request| self.spawn(&request)) {
            Ok(number) => self.attach_to(stream, number),
            Err(failure) => self.refuse(stream, failure),
        }
    }

    fn with_words(&self, request: Start) -> Result<Start, Failure> {
        let Some(count) = request.words else { return Ok(request) };
        let (argv, env) = self.words.take(&request.id, count)?;
        Ok(Start { argv, env, ..request })
    }

    fn spawn(&mut self, request: &Start) -> Result<u32, Failure> {
        if self.execs.by_number.len() >= MAX_EXECS {
            return Err(Failure::new(Kind::Limit, format!("there are already {MAX_EXECS} execs, which is the limit")));
        }
        if request.hold_crashes
            && let Err(error) = self.expect_crashes()
        {
            log::line(&format!("can't set up the capture of crashes: {error}"));
        }
        let mut cgroup = self.execs.cgroups.take();
        let result = start::start(request, self.null.as_fd(), &mut cgroup);
        self.execs.cgroups.give_back(cgroup);
        let exec = result?;
        let number = self.execs.add(exec);
        let Some(exec) = self.execs.by_number.get(&number) else { return Ok(number) };
        let sources = [
            (exec.stdin.fd(), Token::ExecIn(number)),
            (exec.out.fd(), Token::ExecOut(number)),
            (exec.err.fd(), Token::ExecErr(number)),
        ];
        for (fd, token) in sources {
            if let Some(fd) = fd {
                self.poll.add(&fd, token).context("watch a stream")?;
            }
        }
        Ok(number)
    }

    /// `attach`.
    pub fn attach(&mut self, stream: u32, request: Attach) {
        let Some(number) = self.execs.find(&request.id) else {
            return self.refuse(stream, unknown(&request.id));
        };
        let Some(exec) = self.execs.get(number) else { return };
        if request.out > exec.out.ring.end() || request.err > exec.err.ring.end() {
            return self.refuse(stream, Failure::invalid("an offset beyond the end of the output"));
        }
        // What lies before the offsets has reached the host.
        exec.out.ring.acknowledge(request.out);
        exec.err.ring.acknowledge(request.err);
        if let Some(former) = exec.stream.take() {
            self.reset(former, Failure::new(Kind::Exists, "another client has attached to the exec"));
        }
        self.attach_to(stream, number);
    }

    fn attach_to(&mut self, stream: u32, number: u32) {
        let Some(exec) = self.execs.get(number) else { return };
        exec.stream = Some(stream);
        exec.stdin.attached();
        exec.exit_sent = false;
        for output in [&mut exec.out, &mut exec.err] {
            output.sent = output.ring.start();
        }
        let answer = Attached {
            pid: exec.pid,
            running: exec.status.is_none(),
            stdin: exec.stdin.taken(),
            out: exec.out.sent,
            err: exec.err.sent,
        };
        self.streams.insert(stream, Stream::Exec(number));
        self.answer(stream, answer);
        self.tell_crashes(stream, number);
        self.work.push(Token::ExecOut(number));
        self.work.push(Token::ExecErr(number));
    }

    /// `signal`.
    pub fn signal(&mut self, request: &Signal) -> Result<Nothing, Failure> {
        let exec = self.exec(&request.id)?;
        let Some(number) = signals::number(&request.signal) else {
            return Err(Failure::invalid(format!("no such signal: {:?}", request.signal)));
        };
        match request.to {
            Receivers::Tree if number == libc::SIGKILL => {
                exec.kill_tree();
                exec.crashes.clear();
            }
            Receivers::Tree => send(exec.members(), number),
            // The number of a group lives as long as its leader is not reaped.
            Receivers::Group if exec.status.is_none() => {
                let _ = sys::kill(-exec.pid, number);
            }
            Receivers::Group => {
                let group = exec.pid;
                // SAFETY: plain numbers.
                let in_group = |pid: &i32| unsafe { libc::getpgid(*pid) } == group;
                send(exec.members().into_iter().filter(in_group).collect(), number);
            }
        }
        Ok(Nothing {})
    }

    /// `resize`.
    pub fn resize(&mut self, request: &Resize) -> Result<Nothing, Failure> {
        let exec = self.exec(&request.id)?;
        if !exec.tty {
            return Err(Failure::invalid("the exec has no terminal"));
        }
        if let Some(terminal) = exec.out.fd() {
            pty::resize(terminal, &Size { rows: request.rows, cols: request.cols }).context("resize")?;
        }
        Ok(Nothing {})
    }

    /// `forget`: what the program left running lives on.
    pub fn forget(&mut self, request: &Forget) -> Result<Nothing, Failure> {
        let number = self.execs.find(&request.id).ok_or_else(|| unknown(&request.id))?;
        let Some(exec) = self.execs.get(number) else { return Ok(Nothing {}) };
        if exec.status.is_none() {
            return Err(Failure::new(Kind::Refused, format!("exec {} is still running", request.id)));
        }
        match exec.stream {
            Some(stream) if exec.exit_sent => drop(self.streams.remove(&stream)),
            Some(stream) => self.reset(stream, Failure::new(Kind::NotFound, "the exec was removed")),
            None => {}
        }
        self.execs.forget(number);
        self.work.push(Token::Chores);
        Ok(Nothing {})
    }

    /// The host let go of an exec's stream. It runs on, into its ring.
    pub fn detach(&mut self, number: u32) {
        if let Some(exec) = self.execs.get(number) {
            exec.stream = None;
        }
    }

    pub(super) fn exec(&mut self, id: &str) -> Result<&mut Exec, Failure> {
        let number = self.execs.find(id).ok_or_else(|| unknown(id))?;
        self.execs.get(number).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("no exec {id:?}"))
}

fn send(pids: Vec<i32>, signal: i32) {
    for pid in pids {
        let _ = sys::kill(pid, signal);
    }
}
