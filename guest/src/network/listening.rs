//! `listening`: the ports that programs take connections at, told when somebody asks and again whenever they change. The kernel tells nobody when
//! a socket begins to listen, so it is looked at from time to time.

use crate::failure::Failure;
use crate::jobs::Worker;
use crate::json::Json;
use crate::message::{Nothing, Ports};
use crate::processes;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(2);

/// Runs until the stream is reset. Each line of `out` is a JSON object with all ports, in order.
pub fn watch(worker: &mut Worker, own_ports: &[u16]) -> Result<(), Failure> {
    worker.answer(Nothing {});
    let mut told = None;
    loop {
        let ports = processes::listening_ports(own_ports);
        if told.as_ref() != Some(&ports) {
            let mut frame = worker.data_frame();
            Ports { ports: ports.clone() }.write(&mut frame);
            frame.push(b'\n');
            worker.send_data(frame)?;
            told = Some(ports);
        }
        worker.pause(PAUSE)?;
    }
}
