//! Making a thawed machine differ from its twins: clones of one snapshot share the clock of the freeze, the state of the kernel's
//! random generator, and their names.

use crate::kept_file;
use crate::log;
use crate::message::Identity;
use crate::sys;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

const ENTROPY_BYTES: usize = 64;
const NANOSECONDS: i128 = 1_000_000_000;

/// From linux/random.h: `_IOW('R', 3, int[2])` and `_IO('R', 7)`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const MACHINE_ID: &str = "/etc/machine-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What a clone changes.
const FILES: [&str; 4] = [HOSTNAME, HOSTS, MACHINE_ID, BOOT_ID];

/// Kept open from before a freeze on, as the files are.
static RANDOM: OnceLock<File> = OnceLock::new();

/// `struct rand_pool_info` with its bytes.
#[repr(C)]
struct Entropy {
    bits: i32,
    length: i32,
    bytes: [u8; ENTROPY_BYTES],
}

/// Before a freeze: lays the files ready that each clone will change.
pub fn prepare() {
    for path in FILES {
        if let Err(error) = kept_file::keep(path) {
            log::line(&format!("keep {path}: {error}"));
        }
    }
    if let (None, Ok(device)) = (RANDOM.get(), open_random()) {
        let _ = RANDOM.set(device);
    }
}

/// Whether every file that a clone changes lies ready.
pub fn is_prepared() -> bool {
    FILES.iter().all(|path| kept_file::is_kept(path))
}

/// Applies what the kernel keeps; returns what could not be. @param host_clock the clock and random numbers are the host's
pub fn apply_to_kernel(identity: &Identity, host_clock: bool) -> Vec<String> {
    let own = |apply: &dyn Fn() -> io::Result<()>| if host_clock { Ok(()) } else { apply() };
    errors([
        ("clock", own(&|| set_clock(&identity.time_ns))),
        ("entropy", own(&|| add_entropy(&identity.entropy))),
        ("hostname", set_hostname(&identity.hostname)),
    ])
}

/// Writes what is kept in files; returns what could not be.
pub fn apply_to_files(identity: &Identity) -> Vec<String> {
    errors([
        ("hosts", write_hostname(&identity.hostname)),
        ("machine-id", set_machine_id(&identity.machine_id)),
        ("boot-id", set_boot_id(&identity.boot_id)),
    ])
}

fn errors<const N: usize>(parts: [(&str, io::Result<()>); N]) -> Vec<String> {
    let failed = parts.into_iter().filter_map(|(part, result)| Some(format!("{part}: {}", result.err()?)));
    failed.collect()
}

/// Sets the clock to nanoseconds since 1970, in decimal.
pub fn set_clock(time_ns: &str) -> io::Result<()> {
    let time: i128 = time_ns.parse().map_err(|_| invalid())?;
    let seconds = i64::try_from(time.div_euclid(NANOSECONDS)).map_err(|_| invalid())?;
    let time = libc::timespec { tv_sec: seconds, tv_nsec: time.rem_euclid(NANOSECONDS) as i64 };
    // SAFETY: `time` lives for the call.
    sys::check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) }).map(|_| ())
}

fn add_entropy(base64: &str) -> io::Result<()> {
    let bytes = BASE64_STANDARD.decode(base64).map_err(|_| invalid())?;
    let bytes: [u8; ENTROPY_BYTES] = bytes.try_into().map_err(|_| invalid())?;
    let entropy = Entropy { bits: ENTROPY_BYTES as i32 * 8, length: ENTROPY_BYTES as i32, bytes };
    let opened;
    let device = match RANDOM.get() {
        Some(device) => device,
        None => {
            opened = open_random()?;
            &opened
        }
    };
    // SAFETY: `entropy` has the layout the kernel expects.
    unsafe {
        sys::check(libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &entropy))?;
        sys::check(libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG)).map(|_| ())
    }
}

fn open_random() -> io::Result<File> {
    OpenOptions::new().write(true).open("/dev/urandom")
}

fn is_hostname(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}

fn set_hostname(name: &str) -> io::Result<()> {
    if !is_hostname(name) {
        return Err(invalid());
    }
    // SAFETY: the pointer and length describe the name.
    sys::check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(|_| ())
}

fn write_hostname(name: &str) -> io::Result<()> {
    if !is_hostname(name) {
        return Err(invalid());
    }
    let before = kept_file::read(HOSTNAME).unwrap_or_default();
    kept_file::write(HOSTNAME, &format!("{name}\n"))?;
    let hosts = kept_file::read(HOSTS).unwrap_or_default();
    kept_file::write(HOSTS, &hosts_with(&hosts, before.trim(), name))
}

/// /etc/hosts with `name` at 127.0.1.1, where Debian has it, in place of what was there before.
fn hosts_with(hosts: &str, before: &str, name: &str) -> String {
    let own = |line: &&str| {
        let mut fields = line.split_ascii_whitespace();
        fields.next() == Some("127.0.1.1") && fields.all(|field| field == before || field == name)
    };
    let mut text: String = hosts.lines().filter(|line| !own(line)).flat_map(|line| [line, "\n"]).collect();
    if !hosts.lines().any(|line| line.starts_with("127.0.0.1")) {
        text.push_str("127.0.0.1\tlocalhost\n");
    }
    text.push_str(&format!("127.0.1.1\t{name}\n"));
    text
}

fn set_machine_id(id: &str) -> io::Result<()> {
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    kept_file::write(MACHINE_ID, &format!("{id}\n"))
}

/// The kernel's own boot id can't be set, so a file is bound over it.
fn set_boot_id(id: &str) -> io::Result<()> {
    if id.len() != 36 || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(invalid());
    }
    kept_file::keep(BOOT_ID)?;
    kept_file::write(BOOT_ID, &format!("{id}\n"))
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_its_own_line_in_hosts() {
        let first = hosts_with("127.0.0.1 localhost\n127.0.1.1 old\n10.0.0.1 db\n", "old", "new");
        assert_eq!(first, "127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tnew\n");
        assert_eq!(hosts_with(&first, "new", "newer"), "127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tnewer\n");
        assert_eq!(hosts_with("", "", "a"), "127.0.0.1\tlocalhost\n127.0.1.1\ta\n");
    }

    #[test]
    fn refuses_malformed_parts() {
        let identity = Identity {
            time_ns: "soon".to_string(),
            entropy: "AAAA".to_string(),
            hostname: "two words".to_string(),
            machine_id: "xyz".to_string(),
            boot_id: "xyz".to_string(),
        };
        assert_eq!(apply_to_kernel(&identity, false).len(), 3);
        assert_eq!(apply_to_files(&identity).len(), 3);
    }
}
