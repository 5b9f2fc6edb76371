//! `listening`: the ports that programs take connections at, told when somebody asks and again whenever they change. The kernel tells nobody when
//! a socket begins to listen, so it is looked at from time to time: by the loop itself, because a thread would have to be ended in every clone
//! before it is its own machine.

use crate::agent::{Agent, Stream};
use crate::failure::{Failure, Kind};
use crate::frame::Address;
use crate::json;
use crate::message::{Nothing, Ports};
use crate::network::Network;
use crate::processes;
use crate::protocol::*;
use std::time::{Duration, Instant};

/// A machine that has just been thawed, and a program that has just been started, have more urgent work. Most have ended by then.
const FIRST: Duration = Duration::from_secs(1);
/// While an exec runs, or when one was started since.
const PAUSE: Duration = Duration::from_secs(2);
/// Otherwise, and at the latest: what listens then was there before, or is started by what was.
const LONG_PAUSE: Duration = Duration::from_secs(8);

/// Somebody who wants to know.
pub struct Watch {
    stream: u32,
    since: Instant,
    /// When the ports were looked at last, or what was seen before is told instead.
    looked: Option<Instant>,
    told: Option<Vec<u16>>,
    /// Offsets on `out`.
    sent: u64,
    acknowledged: u64,
}

impl Watch {
    /// The host has dealt with bytes. False when that many were never sent.
    pub fn acknowledged(&mut self, offset: u64) -> bool {
        self.acknowledged = self.acknowledged.max(offset);
        offset <= self.sent
    }
}

impl Agent {
    /// Each line of `out` is a JSON object with all ports, in order. What is known already comes at once: a clone has what its parent had.
    pub(crate) fn watch_ports(&mut self, stream: u32) {
        if self.watch.is_some() {
            return self.refuse(stream, Failure::new(Kind::Limit, "the ports are told on another stream already"));
        }
        let since = Instant::now();
        let looked = self.ports.is_some().then_some(since);
        self.watch = Some(Watch { stream, looked, since, told: None, sent: 0, acknowledged: 0 });
        self.streams.insert(stream, Stream::Ports);
        self.answer(stream, Nothing {});
        self.tell_ports();
    }

    /// How long the loop may wait; None: for ever.
    pub(crate) fn until_look(&self) -> Option<Duration> {
        let watch = self.watch.as_ref()?;
        let at = match (watch.looked, self.execs.started) {
            (None, _) => watch.since + FIRST,
            (Some(looked), Some(started)) if started > looked || self.execs.is_any_running() => {
                (looked + PAUSE).max(started + FIRST).min(looked + LONG_PAUSE)
            }
            (Some(looked), _) => looked + LONG_PAUSE,
        };
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Looks at the ports when it is time to.
    pub(crate) fn look_at_ports(&mut self) {
        if self.until_look().is_none_or(|left| !left.is_zero()) {
            return;
        }
        let own = self.network.as_ref().map(Network::own_ports).unwrap_or_default();
        self.ports = Some(processes::listening_ports(&own));
        if let Some(watch) = &mut self.watch {
            watch.looked = Some(Instant::now());
        }
        self.tell_ports();
    }

    fn tell_ports(&mut self) {
        let (Some(watch), Some(ports)) = (&mut self.watch, &self.ports) else { return };
        if watch.told.as_ref() == Some(ports) {
            return;
        }
        let mut line = json::to_vec(&Ports { ports: ports.clone() });
        line.push(b'\n');
        let length = line.len() as u64;
        // A host that is behind is told the next time.
        if watch.sent + length > watch.acknowledged + STREAM_WINDOW_BYTES as u64 {
            return;
        }
        watch.sent += length;
        watch.told = Some(ports.clone());
        let address = Address { session: self.session, stream: watch.stream };
        self.link.send(address.frame(DATA, CHANNEL_OUT, &line));
    }
}
