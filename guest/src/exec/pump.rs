//! Moving execs' bytes, and noticing their ends.

use super::ring::RingFrame;
use super::{Exec, Status};
use crate::agent::Agent;
use crate::frame::Address;
use crate::message::{Event, Exit};
use crate::poll::Token;
use crate::protocol::*;
use crate::sys;

/// Blocks moved for one channel before others get their turn.
const TURN_BLOCKS: usize = 4;

impl Agent {
    /// Moves output of one channel: from its source into the ring, from the ring to the host.
    pub fn serve_output(&mut self, number: u32, channel: u8) {
        let session = self.session;
        let token = if channel == CHANNEL_OUT { Token::ExecOut(number) } else { Token::ExecErr(number) };
        let Some(exec) = self.execs.get(number) else { return };
        let stream = exec.stream;
        let output = if channel == CHANNEL_OUT { &mut exec.out } else { &mut exec.err };
        let mut moved = true;
        for _ in 0..TURN_BLOCKS {
            moved = output.fill();
            if let Some(stream) = stream {
                let address = Address { session, stream };
                while output.sent < output.ring.end() {
                    if !self.link.has_room() {
                        self.starved.push(token);
                        return;
                    }
                    let Some((frame, length)) = output.ring.frame(output.sent, address, channel) else { break };
                    match frame {
                        RingFrame::Copied(bytes) => self.link.send(bytes),
                        RingFrame::Shared(block) => self.link.send_shared(block),
                    }
                    output.sent += length as u64;
                }
            }
            if !moved {
                break;
            }
        }
        if moved {
            self.work.push(token);
        }
        self.tell_exit(number);
        self.execs.drop_silent(number);
    }

    /// Sends the exit once the program is gone and all its output is sent.
    fn tell_exit(&mut self, number: u32) {
        let Some(exec) = self.execs.get(number) else { return };
        let (Some(status), Some(stream)) = (exec.status, exec.stream) else { return };
        if exec.exit_sent || !exec.out.is_spent() || !exec.err.is_spent() {
            return;
        }
        exec.exit_sent = true;
        let exit = exit_of(exec, status);
        let address = Address { session: self.session, stream };
        self.event(stream, &Event::Exit(exit));
        for channel in [CHANNEL_OUT, CHANNEL_ERR] {
            self.link.send(address.frame(END, channel, &[]));
        }
    }

    /// Bytes for an exec's standard input. False when they overrun the window.
    pub fn exec_input(&mut self, number: u32, bytes: &[u8]) -> bool {
        let Some(exec) = self.execs.get(number) else { return true };
        let fits = exec.stdin.push(bytes);
        self.acknowledge_input(number);
        fits
    }

    /// The end of an exec's standard input.
    pub fn exec_input_end(&mut self, number: u32) {
        if let Some(exec) = self.execs.get(number) {
            exec.stdin.end();
        }
        self.acknowledge_input(number);
    }

    /// The pipe takes more input.
    pub fn serve_input(&mut self, number: u32) {
        if let Some(exec) = self.execs.get(number) {
            exec.stdin.drain();
        }
        self.acknowledge_input(number);
    }

    fn acknowledge_input(&mut self, number: u32) {
        let Some(exec) = self.execs.get(number) else { return };
        if let Some(stream) = exec.stream
            && let Some(offset) = exec.stdin.due()
        {
            let address = Address { session: self.session, stream };
            self.link.send(address.ack(CHANNEL_IN, offset));
        }
    }

    /// The host has dealt with output before `offset`. False when that much was never sent.
    pub fn exec_acknowledged(&mut self, number: u32, channel: u8, offset: u64) -> bool {
        let Some(exec) = self.execs.get(number) else { return true };
        let output = match channel {
            CHANNEL_OUT => &mut exec.out,
            CHANNEL_ERR => &mut exec.err,
            _ => return true,
        };
        if offset > output.sent {
            return false;
        }
        let was_full = output.ring.room() == 0;
        output.ring.acknowledge(offset);
        if was_full {
            self.work.push(if channel == CHANNEL_OUT { Token::ExecOut(number) } else { Token::ExecErr(number) });
        }
        true
    }

    /// Marks a channel's source as readable.
    pub fn output_readable(&mut self, number: u32, channel: u8) {
        if let Some(exec) = self.execs.get(number) {
            let output = if channel == CHANNEL_OUT { &mut exec.out } else { &mut exec.err };
            output.readable = true;
        }
    }

    /// Takes every ended child: execs' programs, and orphans that fell to the agent.
    pub fn reap_children(&mut self) {
        while let Some((pid, wait)) = sys::reap() {
            let mut execs = self.execs.by_number.iter_mut();
            let found = execs.find(|(_, exec)| exec.pid == pid && exec.status.is_none());
            let Some((&number, exec)) = found else { continue };
            let oom = exec.cgroup.as_ref().is_some_and(|cgroup| cgroup.ran_out_of_memory());
            let duration_ms = exec.started.elapsed().as_millis() as u64;
            exec.status = Some(Status { wait, duration_ms, oom });
            exec.stdin.close();
            exec.out.program_exited();
            exec.err.program_exited();
            self.work.push(Token::ExecOut(number));
            self.work.push(Token::ExecErr(number));
            if oom && self.session != 0 {
                self.event(0, &Event::Oom);
            }
        }
        self.execs.cgroups.sweep();
    }
}

fn exit_of(exec: &Exec, status: Status) -> Exit {
    Exit {
        code: status.code(),
        signal: status.signal(),
        oom: status.oom,
        out: exec.out.ring.end(),
        err: exec.err.ring.end(),
        duration_ms: status.duration_ms,
    }
}
