//! The command line of `thaw-keeper run` and `thaw-jail`.

use crate::cgroup::Limits;
use crate::sys::c_string;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A host file or folder to show in the jail.
#[derive(Debug)]
pub struct Bind {
    pub source: CString,
    /// Absolute, in the jail.
    pub target: PathBuf,
    pub writable: bool,
}

/// How runsc is started.
#[derive(Debug)]
pub struct GvisorStart {
    /// What the sandbox tells its programs that there is.
    pub memory_bytes: u64,
    /// Named pipes to make, which become standard input and output.
    pub input: CString,
    pub output: CString,
}

#[derive(Default, Debug)]
pub struct Options {
    /// Name of the machine; also of its cgroup.
    pub id: String,
    /// Folder that the keeper makes and removes: its sockets, the record of the end. Absolute.
    pub dir: PathBuf,
    /// Namespaces, a root of its own, no rights. Without it only the limits hold.
    pub jailed: bool,
    /// Whether /dev/kvm is shown.
    pub kvm: bool,
    pub gvisor: Option<GvisorStart>,
    pub binds: Vec<Bind>,
    /// Files and folders that are given to the user id of the machine.
    pub own: Vec<CString>,
    /// Inherited descriptors, from 3 on.
    pub inherited: i32,
    /// Name of the cgroup that has all machines of one daemon.
    pub cgroup: Option<String>,
    pub limits: Limits,
    /// Added to the own score of the kernel's out-of-memory killer.
    pub oom_score: i32,
    pub command: Vec<CString>,
}

impl Options {
    /// Parses `--id ID --dir DIR [--jail] [--kvm] [--gvisor MEMORY_BYTES INPUT OUTPUT] [--ro SOURCE TARGET] [--rw SOURCE TARGET] [--own PATH] [--inherit N] [--cgroup NAME]
    /// [--memory BYTES] [--pids N] [--cpus N] [--background] [--file BYTES] [--oom N] -- COMMAND…`.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> io::Result<Options> {
        let mut options = Options::default();
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| invalid(format!("{} has no value", Path::new(&name).display())));
            match name.as_bytes() {
                b"--id" => options.id = text(value()?)?,
                b"--dir" => options.dir = absolute(value()?)?,
                b"--jail" => options.jailed = true,
                b"--kvm" => options.kvm = true,
                b"--gvisor" => {
                    options.gvisor = Some(GvisorStart {
                        memory_bytes: number(value()?)?,
                        input: c_string(value()?.into_vec())?,
                        output: c_string(value()?.into_vec())?,
                    });
                }
                b"--ro" | b"--rw" => options.binds.push(Bind {
                    source: c_string(value()?.into_vec())?,
                    target: absolute(value()?)?,
                    writable: name == "--rw",
                }),
                b"--own" => options.own.push(c_string(value()?.into_vec())?),
                b"--inherit" => options.inherited = number(value()?)? as i32,
                b"--cgroup" => options.cgroup = Some(text(value()?)?),
                b"--memory" => options.limits.memory_bytes = Some(number(value()?)?),
                b"--pids" => options.limits.processes = Some(number(value()?)?),
                b"--cpus" => options.limits.cpus = Some(number(value()?)?),
                b"--background" => options.limits.background = true,
                b"--file" => options.limits.file_bytes = Some(number(value()?)?),
                b"--oom" => options.oom_score = number(value()?)? as i32,
                b"--" => {
                    options.command =
                        arguments.map(|word| c_string(word.into_vec())).collect::<io::Result<Vec<CString>>>()?;
                    break;
                }
                _ => return Err(invalid(format!("unknown option {}", Path::new(&name).display()))),
            }
        }
        if options.command.is_empty() {
            return Err(invalid("no command".to_string()));
        }
        Ok(options)
    }
}

/// Names become parts of paths.
fn text(value: OsString) -> io::Result<String> {
    let name = value.into_string().map_err(|_| invalid("a name is not UTF-8".to_string()))?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(name);
    }
    Err(invalid(format!("invalid name {name:?}")))
}

fn absolute(value: OsString) -> io::Result<PathBuf> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err(invalid(format!("{} is not absolute", path.display()))) }
}

fn number(value: OsString) -> io::Result<u64> {
    let number = value.to_str().and_then(|text| text.parse::<u64>().ok());
    number.ok_or_else(|| invalid(format!("{} is not a number", Path::new(&value).display())))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
