//! File work on threads of its own, so that a slow disk does not stop the loop. A thread lives as long as its request. It builds whole
//! frames, data read straight into them, and the loop only passes them on.

use crate::agent::{Agent, Stream};
use crate::failure::{Failure, Kind};
use crate::frame::Address;
use crate::json::Json;
use crate::message::Nothing;
use crate::protocol::*;
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Requests at work on files at the same time.
const MAX_JOBS: usize = 64;

const STACK_BYTES: usize = 256 * 1024;
const UPLOAD_WINDOW: u64 = UPLOAD_WINDOW_BYTES as u64;
const DOWNLOAD_WINDOW: u64 = STREAM_WINDOW_BYTES as u64;

/// Frames from threads on their way to the loop.
struct Outbox {
    deliveries: Mutex<Vec<Delivery>>,
    wake: OwnedFd,
}

struct Delivery {
    address: Address,
    frame: Vec<u8>,
    /// The stream is closed behind it.
    last: bool,
}

impl Outbox {
    fn deliver(&self, delivery: Delivery) {
        let mut deliveries = lock(&self.deliveries);
        deliveries.push(delivery);
        if deliveries.len() == 1 {
            // The counter can't overflow: it is raised once per emptying.
            let _ = sys::write(self.wake.as_fd(), &1u64.to_ne_bytes());
        }
    }
}

/// The threads at work.
pub struct Jobs {
    outbox: Arc<Outbox>,
    running: Arc<AtomicUsize>,
}

impl Jobs {
    pub fn new() -> io::Result<Self> {
        let outbox = Outbox { deliveries: Mutex::default(), wake: sys::event_counter()? };
        Ok(Self { outbox: Arc::new(outbox), running: Arc::default() })
    }

    /// Becomes readable when there are frames to collect.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.outbox.wake.as_fd()
    }
}

/// What the loop and a thread share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inbox: VecDeque<Vec<u8>>,
    ended: bool,
    cancelled: bool,
    /// Offset on `in` that was received, and that the thread has acknowledged.
    received: u64,
    consumed: u64,
    /// Offset on `out` that was sent, and that the host has acknowledged.
    sent: u64,
    acknowledged: u64,
}

/// The loop's hold on a thread.
pub struct Job {
    shared: Arc<Shared>,
}

impl Job {
    /// Hands over bytes. False when they overrun the window.
    pub fn push(&self, bytes: &[u8]) -> bool {
        let mut state = lock(&self.shared.state);
        state.received += bytes.len() as u64;
        if state.received - state.consumed > UPLOAD_WINDOW {
            return false;
        }
        if !bytes.is_empty() {
            state.inbox.push_back(bytes.to_vec());
            self.shared.changed.notify_one();
        }
        true
    }

    /// No more bytes will come.
    pub fn end(&self) {
        lock(&self.shared.state).ended = true;
        self.shared.changed.notify_one();
    }

    /// The host has dealt with bytes. False when that many were never sent.
    pub fn acknowledged(&self, offset: u64) -> bool {
        let mut state = lock(&self.shared.state);
        state.acknowledged = state.acknowledged.max(offset);
        self.shared.changed.notify_one();
        offset <= state.sent
    }

    /// Nobody waits for the outcome any more.
    pub fn cancel(&self) {
        lock(&self.shared.state).cancelled = true;
        self.shared.changed.notify_one();
    }
}

/// A thread's side of its stream.
pub struct Worker {
    address: Address,
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    answered: bool,
    /// Bytes taken from the inbox, and those of them not yet acknowledged.
    taken: u64,
    owed: u64,
}

impl Worker {
    /// The next bytes from the host; None behind the last. Waits for them. What was given before is taken for dealt with.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.owed >= UPLOAD_WINDOW / 4 {
            self.owed = 0;
            lock(&self.shared.state).consumed = self.taken;
            self.send(self.address.ack(CHANNEL_IN, self.taken), false);
        }
        let mut state = lock(&self.shared.state);
        loop {
            if state.cancelled {
                return Err(cancelled());
            }
            if let Some(bytes) = state.inbox.pop_front() {
                self.taken += bytes.len() as u64;
                self.owed += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            if state.ended {
                return Ok(None);
            }
            state = self.wait(state);
        }
    }

    /// An error once nobody waits for the outcome any more.
    pub fn check(&self) -> Result<(), Failure> {
        if lock(&self.shared.state).cancelled { Err(cancelled()) } else { Ok(()) }
    }

    /// An empty frame for `send_data`: room for the header, then for the payload.
    pub fn data_frame(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(MAX_FRAME_BYTES);
        frame.resize(HEADER_BYTES, 0);
        frame
    }

    /// Completes a frame from `data_frame` and sends it once the window allows.
    pub fn send_data(&mut self, mut frame: Vec<u8>) -> Result<(), Failure> {
        let length = frame.len().saturating_sub(HEADER_BYTES);
        if length == 0 {
            return Ok(());
        }
        frame[..HEADER_BYTES].copy_from_slice(&self.address.header(DATA, CHANNEL_OUT, length).bytes());
        frame.push(TRAILER);
        let mut state = lock(&self.shared.state);
        while state.sent + length as u64 > state.acknowledged + DOWNLOAD_WINDOW {
            if state.cancelled {
                return Err(cancelled());
            }
            state = self.wait(state);
        }
        if state.cancelled {
            return Err(cancelled());
        }
        state.sent += length as u64;
        drop(state);
        self.send(frame, false);
        Ok(())
    }

    /// Answers the request, with more to follow.
    pub fn answer(&mut self, value: impl Json) {
        self.answered = true;
        self.send(self.address.response(Ok(value)), false);
    }

    /// Ends the `out` channel, and the stream with it.
    pub fn end(&mut self) {
        self.send(self.address.frame(END, CHANNEL_OUT, &[]), true);
    }

    /// Answers the request and closes the stream.
    pub fn finish(&mut self, value: impl Json) {
        self.send(self.address.response(Ok(value)), true);
    }

    fn fail(&mut self, failure: Failure) {
        let frame = match self.answered {
            true => self.address.reset(&failure),
            false => self.address.response::<Nothing>(Err(failure)),
        };
        self.send(frame, true);
    }

    fn send(&self, frame: Vec<u8>, last: bool) {
        self.outbox.deliver(Delivery { address: self.address, frame, last });
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled() -> Failure {
    Failure::new(Kind::Io, "the request was cancelled")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// Starts a thread for a request. An error it returns becomes the answer, or, once it has answered, a reset.
    pub(crate) fn start_job(
        &mut self,
        stream: u32,
        work: impl FnOnce(&mut Worker) -> Result<(), Failure> + Send + 'static,
    ) {
        let running = Arc::clone(&self.jobs.running);
        if running.fetch_add(1, Ordering::Relaxed) >= MAX_JOBS {
            running.fetch_sub(1, Ordering::Relaxed);
            let failure =
                Failure::new(Kind::Limit, format!("there are already {MAX_JOBS} file requests, which is the limit"));
            return self.refuse(stream, failure);
        }
        let shared = Arc::<Shared>::default();
        let mut worker = Worker {
            address: Address { session: self.session, stream },
            shared: Arc::clone(&shared),
            outbox: Arc::clone(&self.jobs.outbox),
            answered: false,
            taken: 0,
            owed: 0,
        };
        let builder = thread::Builder::new().stack_size(STACK_BYTES);
        let spawned = builder.spawn(move || {
            sys::take_turns();
            if let Err(failure) = work(&mut worker) {
                worker.fail(failure);
            }
            running.fetch_sub(1, Ordering::Relaxed);
        });
        match spawned {
            Ok(_) => drop(self.streams.insert(stream, Stream::Job(Job { shared }))),
            Err(error) => {
                self.jobs.running.fetch_sub(1, Ordering::Relaxed);
                self.refuse(stream, Failure::io(&error, "start a thread"));
            }
        }
    }

    /// Passes on what threads have made.
    pub(crate) fn collect_jobs(&mut self) {
        let mut count = [0; 8];
        let _ = sys::read(self.jobs.wake_fd(), &mut count);
        let deliveries = std::mem::take(&mut *lock(&self.jobs.outbox.deliveries));
        for Delivery { address, frame, last } in deliveries {
            if address.session != self.session || !self.streams.contains_key(&address.stream) {
                continue;
            }
            self.link.send(frame);
            if last {
                self.streams.remove(&address.stream);
            }
        }
    }
}
