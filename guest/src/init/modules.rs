//! Kernel modules: those that the boot needs, from the initramfs, and those that the kernel asks for later, from `/lib/modules`.

use crate::log;
use crate::sys;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where modules named without a path are.
const DIRECTORY: &str = "/modules";
/// The kernel's `modprobe`. The agent's file is gone with the initramfs, the running program is not.
const LOADER: &str = "/proc/1/exe";
/// A list that is longer is nobody's who means well.
const MAX_LIST_BYTES: u64 = 16 * 1024 * 1024;

/// Loads every module that `list` names, one a line. A module missing or refused is told and left out: what needs it will say so.
pub fn load(list: &str) {
    let text = fs::read_to_string(list).unwrap_or_default();
    for path in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Err(error) = load_one(&Path::new(DIRECTORY).join(path)) {
            log::line(&format!("{path}: {error}"));
        }
    }
}

/// Built in or loaded already is well, too.
fn load_one(path: &Path) -> io::Result<()> {
    let file = sys::open(path.as_os_str().as_bytes(), libc::O_RDONLY, 0)?;
    // SAFETY: a descriptor, an empty C string, no flags.
    match sys::check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) }) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// Has the kernel run this program when it wants a module, whether or not the image has a `modprobe`.
pub fn serve() {
    if let Err(error) = fs::write("/proc/sys/kernel/modprobe", LOADER) {
        log::line(&format!("kernel.modprobe: {error}"));
    }
}

/// The module that is wanted when this program runs as the kernel's `modprobe`: the kernel says `-q -- NAME`, and iptables `NAME`, or `NAME -q`.
pub fn wanted(arguments: &[String]) -> Option<&str> {
    let (program, rest) = arguments.split_first()?;
    let mut names = rest.iter().filter(|word| !matches!(word.as_str(), "-q" | "--"));
    match (program.as_str(), names.next(), names.next()) {
        (LOADER, Some(name), None) if !name.starts_with('-') => Some(name),
        _ => None,
    }
}

/// Loads what `name` stands for, with all it depends on.
pub fn run(name: &str) -> ExitCode {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let library = Path::new("/lib/modules").join(release.trim());
    let read = |list: &str| read_list(&library.join(list)).unwrap_or_default();
    let paths = find(name, &read("modules.dep"), || read("modules.alias"));
    // An alias may stand for several modules: one that this machine has no use for keeps no other away.
    let failed = paths.iter().filter(|path| load_one(&library.join(path)).is_err()).count();
    if failed == 0 && !paths.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read_list(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_LIST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Files to load, in that order. @param dependencies lines `FILE: FILE…`, what is needed first being last @param aliases lines `alias PATTERN NAME`
fn find(name: &str, dependencies: &str, aliases: impl FnOnce() -> String) -> Vec<PathBuf> {
    let wanted = plain(name);
    let mut paths = of_module(&wanted, dependencies);
    if paths.is_empty() {
        let aliases = aliases();
        let words = aliases.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        for line in words {
            if let ["alias", pattern, module] = line.as_slice()
                && matches(&plain(pattern), &wanted)
            {
                paths.extend(of_module(&plain(module), dependencies));
            }
        }
    }
    paths
}

fn of_module(name: &str, dependencies: &str) -> Vec<PathBuf> {
    let is_wanted = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split_once(".ko").is_some_and(|(stem, _)| plain(stem) == name)
    };
    let found = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_wanted(path));
    let Some((path, needed)) = found else { return Vec::new() };
    needed.split_ascii_whitespace().rev().chain([path]).map(PathBuf::from).collect()
}

/// The kernel treats `-` and `_` in names alike.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether the text is of the pattern, in which `*` is any text. The aliases that the kernel asks for have no other wildcards.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/net/netfilter/nf_nat.ko: kernel/net/netfilter/nf_conntrack.ko kernel/lib/libcrc32c.ko\n\
        kernel/net/netfilter/xt-MASQUERADE.ko: kernel/net/netfilter/nf_nat.ko\nkernel/drivers/block/loop.ko:\n";
    const ALIASES: &str =
        "alias block-major-7-* loop\nalias ipt_MASQUERADE xt_MASQUERADE\nalias devname:loop-control loop\nalias";

    fn found(name: &str) -> Vec<PathBuf> {
        find(name, DEPENDENCIES, || ALIASES.to_string())
    }

    #[test]
    fn what_a_module_needs_comes_first() {
        let expected =
            ["kernel/lib/libcrc32c.ko", "kernel/net/netfilter/nf_conntrack.ko", "kernel/net/netfilter/nf_nat.ko"];
        assert_eq!(found("nf-nat"), expected.map(PathBuf::from));
        assert_eq!(found("none"), Vec::<PathBuf>::new());
    }

    #[test]
    fn an_alias_stands_for_a_module() {
        assert_eq!(found("block-major-7-3"), [PathBuf::from("kernel/drivers/block/loop.ko")]);
        assert_eq!(found("devname:loop-control"), [PathBuf::from("kernel/drivers/block/loop.ko")]);
        assert_eq!(found("ipt_MASQUERADE").len(), 2);
        assert_eq!(found("block-major-8-3"), Vec::<PathBuf>::new());
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [("a*", "a"), ("a*", "abc"), ("*", ""), ("a*b*c", "axbyc"), ("abc", "abc")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*", "ba"), ("a*b", "a"), ("a*a", "a"), ("a*b*c", "acb"), ("abc", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn calls_of_the_kernel_and_of_iptables() {
        let words = |line: &str| line.split(' ').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(wanted(&words("/proc/1/exe -q -- fs-overlay")), Some("fs-overlay"));
        assert_eq!(wanted(&words("/proc/1/exe ip_tables -q")), Some("ip_tables"));
        assert_eq!(wanted(&words("/proc/1/exe ip_tables")), Some("ip_tables"));
        assert_eq!(wanted(&words("/proc/1/exe hold 7 11")), None);
        assert_eq!(wanted(&words("/proc/1/exe --version")), None);
        assert_eq!(wanted(&words("/proc/1/exe --socket /x")), None);
        assert_eq!(wanted(&words("thaw-agent -q -- x")), None);
        assert_eq!(wanted(&[]), None);
    }
}
