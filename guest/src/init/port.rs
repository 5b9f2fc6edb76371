//! The console port that leads to the host.

use super::wait;
use crate::sys;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

/// Opens the virtio console port of this name.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    wait::until(&format!("console port {name}"), || {
        let device = find(name)?;
        sys::open(format!("/dev/{device}").as_bytes(), libc::O_RDWR | libc::O_NONBLOCK, 0).ok()
    })
}

fn find(name: &str) -> Option<String> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let mut devices = ports.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    devices.find(|device| {
        let text = fs::read_to_string(format!("/sys/class/virtio-ports/{device}/name"));
        text.is_ok_and(|text| text.trim() == name)
    })
}
