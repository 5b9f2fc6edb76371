//! How a dying process reaches the agent: the kernel starts this program with the end of a pipe to read the core dump from as its
//! standard input, and the program hands that end to the agent over a socket. It need not stay: the kernel waits for the pipe.

use crate::sys;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::ExitCode;
use std::{ptr, slice};

/// The program's first argument, pid and signal being the others.
pub const VERB: &str = "hold";

/// `core_pattern`. The agent's file is gone with the initramfs, the running program is not.
pub const PATTERN: &str = "|/proc/1/exe hold %P %s";

/// The agent's socket: abstract, so that it needs no file system.
const ADDRESS: &[u8] = b"thaw-crashes";

/// Room for the sender's credentials, and nothing else.
const CREDENTIALS_WORDS: usize = 4;

/// Room for two descriptors besides, which is the least that holds one.
const CONTROL_WORDS: usize = CREDENTIALS_WORDS + 3;

/// A process in its core dump. It ends once the pipe is read to its end or closed.
#[derive(Debug)]
pub struct Crash {
    pub pid: i32,
    pub signal: i32,
    pub pipe: OwnedFd,
}

/// The handler. Whatever goes wrong, the process dies as it would have without.
pub fn run(pid: &str, signal: &str) -> ExitCode {
    let (Ok(pid), Ok(signal)) = (pid.parse(), signal.parse()) else { return ExitCode::from(2) };
    let hand_over = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&SocketAddr::from_abstract_name(ADDRESS)?)?;
        send(socket.as_fd(), pid, signal, io::stdin().as_fd())
    };
    if hand_over().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The agent's end.
pub fn listen() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(ADDRESS)?)?;
    expect_credentials(socket.as_fd())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Has the kernel say who sent what arrives.
fn expect_credentials(socket: BorrowedFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    let (fd, on) = (socket.as_raw_fd(), (&raw const on).cast());
    // SAFETY: the pointer and length describe an int.
    sys::check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_PASSCRED, on, length) }).map(|_| ())
}

fn send(socket: BorrowedFd, pid: i32, signal: i32, pipe: BorrowedFd) -> io::Result<()> {
    let mut body = [pid, signal];
    let mut part = libc::iovec { iov_base: body.as_mut_ptr().cast(), iov_len: size_of_val(&body) };
    let mut control = [0u64; CONTROL_WORDS];
    let fd = pipe.as_raw_fd();
    // SAFETY: the message describes `body` and as much of `control` as one descriptor takes; all zeros is an empty message.
    unsafe {
        let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of_val(&fd) as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of_val(&fd) as u32) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        sys::retry(|| libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) as i64).map(|_| ())
    }
}

/// What a message says, and who sent it.
struct Message {
    body: [i32; 2],
    is_whole: bool,
    sender: Option<u32>,
    fds: Vec<OwnedFd>,
}

/// The next message; None when it is not a pipe handed over by the user that the agent itself runs as, which is root.
pub fn receive(socket: BorrowedFd) -> io::Result<Option<Crash>> {
    // Descriptors of others are never made ours: to close one may wait for a file system that they serve.
    let sender = take(socket, &mut [0; CREDENTIALS_WORDS], libc::MSG_PEEK)?.sender;
    // SAFETY: cannot fail.
    if sender != Some(unsafe { libc::geteuid() }) {
        return take(socket, &mut [0; CREDENTIALS_WORDS], 0).map(|_| None);
    }
    let Message { body: [pid, signal], is_whole, mut fds, .. } = take(socket, &mut [0; CONTROL_WORDS], 0)?;
    let pipe = fds.pop().map(File::from).filter(|file| {
        let is_pipe = || file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        is_whole && pid > 0 && fds.is_empty() && is_pipe()
    });
    Ok(pipe.map(|pipe| Crash { pid, signal, pipe: pipe.into() }))
}

/// Takes a message and those of its descriptors that `control` has room for behind the credentials.
fn take(socket: BorrowedFd, control: &mut [u64], flags: libc::c_int) -> io::Result<Message> {
    let mut body = [0i32; 2];
    let mut part = libc::iovec { iov_base: body.as_mut_ptr().cast(), iov_len: size_of_val(&body) };
    let mut sender = None;
    let mut fds = Vec::new();
    // SAFETY: the message describes `body` and `control`; the kernel says how much of either it filled. Every descriptor is owned once.
    let count = unsafe {
        let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control);
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let count = sys::retry(|| libc::recvmsg(socket.as_raw_fd(), &mut message, flags) as i64)?;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            let length = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let numbers = slice::from_raw_parts(data.cast::<RawFd>(), length / size_of::<RawFd>());
                    fds.extend(numbers.iter().map(|&number| OwnedFd::from_raw_fd(number)));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                    sender = Some(ptr::read_unaligned(data.cast::<libc::ucred>()).uid);
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        count
    };
    Ok(Message { body, is_whole: count == size_of_val(&body), sender, fds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixDatagram, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        expect_credentials(ours.as_fd()).unwrap();
        (ours, theirs)
    }

    #[test]
    fn hands_a_pipe_over() {
        let (ours, theirs) = pair();
        let (read, write) = sys::pipe().unwrap();
        send(theirs.as_fd(), 7, 11, read.as_fd()).unwrap();
        drop(read);
        let crash = receive(ours.as_fd()).unwrap().unwrap();
        assert_eq!((crash.pid, crash.signal), (7, 11));
        sys::write(write.as_fd(), b"core").unwrap();
        drop(write);
        assert_eq!(io::read_to_string(File::from(crash.pipe)).unwrap(), "core");
        assert_eq!(receive(ours.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn takes_nothing_else() {
        let (ours, theirs) = pair();
        let (read, _write) = sys::pipe().unwrap();
        theirs.send(&[1; 8]).unwrap();
        theirs.send(b"").unwrap();
        send(theirs.as_fd(), 0, 11, read.as_fd()).unwrap();
        send(theirs.as_fd(), 7, 11, File::open("/dev/null").unwrap().as_fd()).unwrap();
        for _ in 0..4 {
            assert!(receive(ours.as_fd()).unwrap().is_none());
        }
        // Nor when nobody says who it comes from.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        send(theirs.as_fd(), 7, 11, read.as_fd()).unwrap();
        assert!(receive(ours.as_fd()).unwrap().is_none());
    }
}
