//! Edge-triggered epoll, and the names under which descriptors are registered.
//!
//! Edges, because a console port without a host reports a hang-up for ever: asked for levels, the loop would never sleep.

use crate::sys;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// What a readiness belongs to. Numbers of execs and streams ride along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Token {
    /// The connection to the host.
    Link,
    /// The unix socket on which hosts connect.
    Door,
    /// Children changed state.
    Children,
    /// Worker threads have frames to send.
    Jobs,
    /// Work put off until the loop has nothing better to do.
    Chores,
    /// Crashes were handed over.
    Crashes,
    ExecIn(u32),
    ExecOut(u32),
    ExecErr(u32),
    /// A socket or listener that is a stream.
    Socket(u32),
    /// Connections that leave the machine wait to be taken.
    Outward,
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Token::Link => (0, 0),
            Token::Door => (1, 0),
            Token::Children => (2, 0),
            Token::Jobs => (3, 0),
            Token::Chores => (4, 0),
            Token::ExecIn(number) => (5, number),
            Token::ExecOut(number) => (6, number),
            Token::ExecErr(number) => (7, number),
            Token::Socket(number) => (8, number),
            Token::Crashes => (9, 0),
            Token::Outward => (10, 0),
        };
        (kind << 32) | u64::from(number)
    }

    fn unpack(packed: u64) -> Option<Token> {
        let number = packed as u32;
        Some(match packed >> 32 {
            0 => Token::Link,
            1 => Token::Door,
            2 => Token::Children,
            3 => Token::Jobs,
            4 => Token::Chores,
            5 => Token::ExecIn(number),
            6 => Token::ExecOut(number),
            7 => Token::ExecErr(number),
            8 => Token::Socket(number),
            9 => Token::Crashes,
            10 => Token::Outward,
            _ => return None,
        })
    }
}

/// A token became ready.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub token: Token,
    pub readable: bool,
    pub writable: bool,
}

/// An epoll instance. Closing a descriptor removes it.
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain flags.
        Ok(Self { epoll: sys::owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })? })
    }

    /// Registers a descriptor for edges of every kind.
    pub fn add(&self, fd: &impl AsFd, token: Token) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events as u32, u64: token.pack() };
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: `event` lives for the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        sys::check(result).map(|_| ())
    }

    /// Waits for edges, for a time or (None) for ever, and adds them to `ready`.
    pub fn wait(&self, time: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // Not shorter: the loop would come back too early again and again.
        let timeout = time.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let (start, room) = (events.as_mut_ptr(), events.len() as i32);
        // SAFETY: the pointer and length describe `events`.
        let result = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), start, room, timeout) };
        let count = match sys::check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result? as usize,
        };
        for event in events.iter().take(count) {
            let bits = event.events as i32;
            let ended = bits & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
            if let Some(token) = Token::unpack(event.u64) {
                ready.push(Ready {
                    token,
                    readable: ended || bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                    writable: ended || bits & libc::EPOLLOUT != 0,
                });
            }
        }
        Ok(())
    }
}
