//! Addresses of sockets, and the sockets themselves, none of them blocking.

use crate::sys;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// An address of one of three families, as the kernel takes it.
pub struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    fn new<T>(address: T) -> Self {
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        // SAFETY: storage is made to hold any address; all zeros is one.
        let storage = unsafe {
            storage.as_mut_ptr().cast::<T>().write(address);
            storage.assume_init()
        };
        Self { storage, length: size_of::<T>() as libc::socklen_t }
    }

    /// 127.0.0.1.
    pub fn loopback4(port: u16) -> Self {
        Self::new(libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
            sin_zero: [0; 8],
        })
    }

    /// ::1.
    pub fn loopback6(port: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[15] = 1;
        Self::new(libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: port.to_be(),
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: bytes },
            sin6_scope_id: 0,
        })
    }

    /// A unix socket's path, 107 bytes at most.
    pub fn unix(path: &str) -> io::Result<Self> {
        let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
        if path.is_empty() || path.len() >= address.sun_path.len() || path.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        for (place, byte) in address.sun_path.iter_mut().zip(path.bytes()) {
            *place = byte as libc::c_char;
        }
        let mut made = Self::new(address);
        made.length = (offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1) as libc::socklen_t;
        Ok(made)
    }

    fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// A connection on its way (true), or already there.
    pub fn connect(&self) -> io::Result<(OwnedFd, bool)> {
        let socket = socket(self.family())?;
        // SAFETY: the pointer and length describe the address.
        let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const self.storage).cast(), self.length) };
        match sys::check(result) {
            Ok(_) => Ok((socket, false)),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, true)),
            Err(error) => Err(error),
        }
    }

    /// A listener.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        let socket = socket(self.family())?;
        let one: libc::c_int = 1;
        if self.family() != libc::AF_UNIX {
            set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one)?;
        }
        // SAFETY: the pointer and length describe the address.
        unsafe {
            sys::check(libc::bind(socket.as_raw_fd(), (&raw const self.storage).cast(), self.length))?;
            sys::check(libc::listen(socket.as_raw_fd(), 256))?;
        }
        Ok(socket)
    }
}

fn socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers.
    sys::owned(unsafe { libc::socket(family, kind, 0) })
}

/// setsockopt(2).
pub fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and length describe the value.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length) };
    sys::check(result).map(|_| ())
}

/// Why a connection on its way failed, if it did.
pub fn pending_error(socket: BorrowedFd) -> io::Result<()> {
    let mut error: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer and length describe one int.
    let result = unsafe {
        let place = (&raw mut error).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, place, &mut length)
    };
    sys::check(result)?;
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A connection from a listener, with the peer's address when it is a TCP one.
pub fn accept(listener: BorrowedFd) -> io::Result<(OwnedFd, Option<String>)> {
    let (socket, address) = accept_any(listener)?;
    Ok((socket, address.map(|address| address.to_string())))
}

/// A connection from a listener of IPv4, with the peer's address.
pub fn accept_inet(listener: BorrowedFd) -> io::Result<(OwnedFd, SocketAddrV4)> {
    let (socket, address) = accept_any(listener)?;
    Ok((socket, address.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?))
}

fn accept_any(listener: BorrowedFd) -> io::Result<(OwnedFd, Option<SocketAddrV4>)> {
    let mut storage = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the pointer and length describe the storage.
    let result = unsafe {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        libc::accept4(listener.as_raw_fd(), storage.as_mut_ptr().cast(), &mut length, flags)
    };
    let socket = sys::owned(result)?;
    // SAFETY: all zeros is an address, and the kernel wrote what it knew.
    Ok((socket, inet(unsafe { storage.assume_init() })))
}

/// What a connection was meant for before the kernel redirected it; None for one that it did not redirect.
pub fn original_destination(socket: BorrowedFd) -> Option<SocketAddrV4> {
    /// From linux/netfilter_ipv4.h.
    const SO_ORIGINAL_DST: libc::c_int = 80;
    let mut storage = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the pointer and length describe the storage; all zeros is an address.
    let address = unsafe {
        let place = storage.as_mut_ptr().cast();
        sys::check(libc::getsockopt(socket.as_raw_fd(), libc::SOL_IP, SO_ORIGINAL_DST, place, &mut length)).ok()?;
        storage.assume_init()
    };
    // The kernel tells the listener's own address of a connection that was made to it.
    inet(address).filter(|address| Some(address.port()) != bound_port(socket).ok())
}

fn inet(address: libc::sockaddr_in) -> Option<SocketAddrV4> {
    let is_inet = i32::from(address.sin_family) == libc::AF_INET;
    let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
    is_inet.then(|| SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// The port a TCP listener got.
pub fn bound_port(listener: BorrowedFd) -> io::Result<u16> {
    let mut storage = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the pointer and length describe the storage; all zeros is an address.
    let address = unsafe {
        sys::check(libc::getsockname(listener.as_raw_fd(), storage.as_mut_ptr().cast(), &mut length))?;
        storage.assume_init()
    };
    Ok(u16::from_be(address.sin_port))
}
