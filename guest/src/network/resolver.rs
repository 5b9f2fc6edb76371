//! Answers questions for names, over UDP and TCP, on threads of its own: a flood of them costs the loop nothing.

use super::dns;
use super::names::Names;
use crate::sys;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const STACK_BYTES: usize = 128 * 1024;
/// The largest message over UDP that is read. A question has some 300 bytes at most.
const MAX_UDP_BYTES: usize = 1_500;
const MAX_TCP_BYTES: usize = 4_096;
/// A connection has as long in all.
const TCP_DEADLINE: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// The names that were asked for, shared with the loop.
pub type SharedNames = Arc<Mutex<Names>>;

/// Starts both at an address. Returns their ports, UDP first.
pub fn start(names: &SharedNames, at: Ipv4Addr) -> io::Result<(u16, u16)> {
    let udp = UdpSocket::bind((at, 0))?;
    let tcp = TcpListener::bind((at, 0))?;
    let ports = (udp.local_addr()?.port(), tcp.local_addr()?.port());
    let shared = Arc::clone(names);
    spawn(move || serve_udp(&udp, &shared))?;
    let shared = Arc::clone(names);
    spawn(move || serve_tcp(&tcp, &shared))?;
    Ok(ports)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new().stack_size(STACK_BYTES);
    builder.spawn(move || {
        sys::take_turns();
        work();
    })?;
    Ok(())
}

fn serve_udp(socket: &UdpSocket, names: &SharedNames) {
    let mut buffer = [0; MAX_UDP_BYTES];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                if let Some(reply) = reply(&buffer[..length], names) {
                    let _ = socket.send_to(&reply, peer);
                }
            }
            // What a send before this led to is told here.
            Err(_) => thread::sleep(PAUSE_AFTER_ERROR),
        }
    }
}

fn serve_tcp(listener: &TcpListener, names: &SharedNames) {
    loop {
        match listener.accept() {
            Ok((connection, _)) => drop(serve_connection(connection, names)),
            Err(_) => thread::sleep(PAUSE_AFTER_ERROR),
        }
    }
}

/// Messages with their length before them, until the peer has no more.
fn serve_connection(mut connection: TcpStream, names: &SharedNames) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let mut length = [0; 2];
        read_within(&mut connection, &mut length, start)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > MAX_TCP_BYTES {
            return Ok(());
        }
        let mut message = vec![0; length];
        read_within(&mut connection, &mut message, start)?;
        let Some(reply) = reply(&message, names) else { return Ok(()) };
        let length = (reply.len() as u16).to_be_bytes();
        connection.set_write_timeout(Some(TCP_DEADLINE))?;
        connection.write_all(&[&length, reply.as_slice()].concat())?;
    }
}

fn read_within(connection: &mut TcpStream, mut buffer: &mut [u8], start: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = TCP_DEADLINE.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(buffer)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            count => buffer = &mut buffer[count..],
        }
    }
    Ok(())
}

fn reply(message: &[u8], names: &SharedNames) -> Option<Vec<u8>> {
    dns::answer(message, |name| {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        (!names.is_refused(name)).then(|| names.address(name))
    })
}
