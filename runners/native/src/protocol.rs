//! What a keeper says on its socket: a request is one line, its answer one line of JSON.
//!
//! `status`: how the machine is. `wait`: the same, once it has ended. `kill MS`: ends it, and says how it is once it has ended, or after MS
//! milliseconds when it does not die. `stats`: its memory and time. `process`: as `status`, with a descriptor of the process (SCM_RIGHTS).
//! `foreground`: somebody waits for it from now on, if it was started with `--background`.
//! `forget`: of a machine that has ended; the keeper removes its folder and ends.

use std::fmt::Write;
use std::io::{self, IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Names in a keeper's folder.
pub const SOCKET: &str = "keeper.sock";
pub const END_FILE: &str = "end.json";
/// The cgroup of tools, which end with who started them.
pub const TOOLS: &str = "tools";
/// The folder that the machine may write to, and that of sockets made for it by its host.
pub const WORK_DIR: &str = "work";
pub const HOST_DIR: &str = "host";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
    /// The kernel killed it because its limit of memory was reached.
    OutOfMemory,
}

#[derive(Clone)]
pub struct Status<'a> {
    pub pid: i32,
    pub uid: u32,
    pub mechanism: &'a str,
    pub ended: Option<Ended>,
    pub stderr: &'a [u8],
}

impl Status<'_> {
    pub fn to_json(&self) -> String {
        let end = match self.ended {
            None => "null".to_string(),
            Some(Ended::Exit(code)) => format!("{{\"kind\":\"exit\",\"code\":{code}}}"),
            Some(Ended::Signal(signal)) => format!("{{\"kind\":\"signal\",\"signal\":{signal}}}"),
            Some(Ended::OutOfMemory) => "{\"kind\":\"out-of-memory\"}".to_string(),
        };
        let Status { pid, uid, mechanism, .. } = self;
        let stderr = quote(&String::from_utf8_lossy(self.stderr));
        format!("{{\"pid\":{pid},\"uid\":{uid},\"limits\":\"{mechanism}\",\"end\":{end},\"stderr\":{stderr}}}")
    }
}

/// A JSON string.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Asks the keeper behind `socket` for its machine's process. @returns the pid, and a descriptor that says whether it is still that process
pub fn process_of(socket: &Path) -> io::Result<(i32, OwnedFd)> {
    use std::io::Write;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    stream.write_all(b"process\n")?;
    let mut text = Vec::with_capacity(256);
    let process = receive_with_descriptor(&stream, &mut text)?;
    while !text.ends_with(b"\n") {
        let mut more = [0; 1_024];
        let count = stream.read(&mut more)?;
        if count == 0 {
            break;
        }
        text.extend(&more[..count]);
    }
    let text = String::from_utf8_lossy(&text);
    let number = text.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    let pid = number.and_then(|number| number.parse().ok());
    match (pid, process) {
        (Some(pid), Some(process)) => Ok((pid, process)),
        _ => Err(io::Error::other("the machine has ended")),
    }
}

#[repr(C, align(8))]
struct Ancillary([u8; 32]);

fn receive_with_descriptor(stream: &UnixStream, text: &mut Vec<u8>) -> io::Result<Option<OwnedFd>> {
    let mut buffer = [0; 1_024];
    let mut part = IoSliceMut::new(&mut buffer);
    let mut ancillary = Ancillary([0; 32]);
    // SAFETY: all zeros is a valid msghdr; the buffers live for the call; the kernel sets what it has written.
    let (count, descriptor) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = (&raw mut part).cast();
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = ancillary.0.len();
        let count = crate::sys::check(libc::recvmsg(stream.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) as i64)?;
        let header = libc::CMSG_FIRSTHDR(&message);
        let has_one =
            !header.is_null() && (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS;
        let descriptor =
            has_one.then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()));
        (count as usize, descriptor)
    };
    text.extend(&buffer[..count]);
    Ok(descriptor)
}

/// Sends an answer, with a descriptor when there is one.
pub fn send_with_descriptor(stream: RawFd, text: &[u8], descriptor: RawFd) -> io::Result<usize> {
    let mut ancillary = Ancillary([0; 32]);
    let part = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
    // SAFETY: all zeros is a valid msghdr; the buffers live for the call; the control buffer has room for one descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = (&raw const part).cast_mut();
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor);
        libc::sendmsg(stream, &message, libc::MSG_NOSIGNAL)
    };
    crate::sys::check(sent as i64).map(|count| count as usize)
}
