//! The keeper with real children: what it says, how it ends them, what it leaves.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMITS: [&str; 8] = ["--memory", "67108864", "--pids", "16", "--cpus", "1", "--file", "1048576"];

/// A keeper under test. Its machine goes with it.
struct Kept {
    dir: PathBuf,
    process: Child,
    first: String,
}

fn keep(name: &str, options: &[&str], command: &[&str]) -> Kept {
    keep_by(Command::new(env!("CARGO_BIN_EXE_thaw-keeper")), name, options, command)
}

/// @param keeper the program, with how it is started
fn keep_by(mut keeper: Command, name: &str, options: &[&str], command: &[&str]) -> Kept {
    let dir = std::env::temp_dir().join(format!("tkr-{}-{name}", std::process::id()));
    let mut process = keeper
        .args(["run", "--id", name, "--dir"])
        .arg(&dir)
        .args(LIMITS)
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the keeper starts");
    let mut first = String::new();
    process.stdout.take().expect("its output").read_to_string(&mut first).expect("a line");
    Kept { dir, process, first }
}

impl Kept {
    fn ask(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.join("keeper.sock")).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        writeln!(stream, "{request}").expect("asks");
        let mut answer = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).expect("an answer") == 1 && byte[0] != b'\n' {
            answer.push(byte[0]);
        }
        String::from_utf8(answer).expect("text")
    }

    fn pid(&self) -> String {
        let rest = self.first.split("\"pid\":").nth(1).expect("a pid");
        rest.split(',').next().expect("a number").to_string()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The weight of the machine's cgroup, in either version; None where it has none.
fn weight_of(pid: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let file = text.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        ["0", "", path] => {
            Some(format!("/sys/fs/cgroup{path}/cpu.weight")).filter(|file| fs::exists(file).unwrap_or(false))
        }
        [_, names, path] if names.split(',').any(|name| name == "cpu") => {
            Some(format!("/sys/fs/cgroup/cpu{path}/cpu.shares"))
        }
        _ => None,
    })?;
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[test]
fn a_machine_in_the_background_weighs_a_tenth_until_somebody_waits_for_it() {
    let group = format!("tkr-{}-weights", std::process::id());
    let common = ["--cgroup", group.as_str()];
    let usual = keep("weigh-1", &common, &["/bin/sleep", "60"]);
    let background = keep("weigh-2", &[&common[..], &["--background"]].concat(), &["/bin/sleep", "60"]);
    if let Some(full) = weight_of(&usual.pid()) {
        assert_eq!(weight_of(&background.pid()), Some(full / 10));
        background.ask("foreground");
        assert_eq!(weight_of(&background.pid()), Some(full));
    }
    for kept in [&usual, &background] {
        kept.ask("kill 20000");
        kept.ask("forget");
    }
    drop((usual, background));
    remove_group(&group);
}

/// Of all machines.
fn remove_group(name: &str) {
    for root in ["", "memory", "pids", "cpu"] {
        let path = PathBuf::from("/sys/fs/cgroup").join(root).join(name);
        let _ = fs::remove_dir(path);
    }
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn until(condition: impl Fn() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_exit_is_recorded_with_the_last_words_and_then_forgotten() {
    let mut kept = keep("exit", &[], &["/bin/sh", "-c", "echo '\"why\"' >&2; exit 7"]);
    let said = kept.ask("wait");
    assert!(said.contains("\"end\":{\"kind\":\"exit\",\"code\":7}"), "{said}");
    assert!(said.contains("\"stderr\":\"\\\"why\\\"\\u000a\""), "{said}");
    assert_eq!(fs::read_to_string(kept.dir.join("end.json")).expect("the record"), said);
    assert_eq!(kept.ask("kill 1000"), said);
    assert_eq!(kept.ask("forget"), "{\"forgotten\":true}");
    assert!(kept.process.wait().expect("ends").success());
    assert!(!kept.dir.exists());
}

#[test]
fn a_machine_is_killed_once_and_its_end_is_a_signal() {
    let kept = keep("kill", &[], &["/bin/sleep", "60"]);
    let pid = kept.pid();
    assert!(kept.ask("forget").contains("is still running"));
    assert!(is_alive(&pid));
    assert!(kept.ask("stats").contains("\"rssBytes\":"));
    assert!(kept.ask("kill 5000").contains("\"end\":{\"kind\":\"signal\",\"signal\":9}"));
    assert!(!is_alive(&pid));
    assert!(kept.ask("nonsense").contains("error"));
}

#[test]
fn a_machine_has_no_real_time_priority_and_is_limited_whatever_its_daemon_has() {
    let mut keeper = Command::new("chrt");
    keeper.args(["--fifo", "1", env!("CARGO_BIN_EXE_thaw-keeper")]);
    if !Command::new("chrt").args(["--fifo", "1", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no real-time priority is given here");
        return;
    }
    let cgroup = format!("thaw-test-{}", std::process::id());
    let kept = keep_by(keeper, "fifo", &["--cgroup", &cgroup], &["/bin/sh", "-c", "chrt -p $$ >&2"]);
    let said = kept.ask("wait");
    for root in ["", "memory", "pids", "cpu"] {
        let _ = fs::remove_dir(PathBuf::from("/sys/fs/cgroup").join(root).join(&cgroup));
    }
    assert!(said.contains("SCHED_OTHER") && said.contains("\"code\":0}"), "{said}");
}

#[test]
fn a_keeper_that_dies_takes_its_machine_along() {
    let mut kept = keep("orphan", &[], &["/bin/sleep", "60"]);
    let pid = kept.pid();
    kept.process.kill().expect("killed");
    kept.process.wait().expect("reaped");
    until(|| !is_alive(&pid), "the machine to end");
}

#[test]
fn what_can_not_start_leaves_nothing() {
    let mut kept = keep("nothing", &[], &["/no/such/program"]);
    assert!(kept.first.contains("\"error\":\"/no/such/program"), "{}", kept.first);
    assert!(!kept.process.wait().expect("ends").success());
    assert!(!kept.dir.exists());
}

#[test]
fn many_clients_that_say_nothing_do_not_keep_it_from_answering() {
    let kept = keep("silent", &[], &["/bin/sleep", "60"]);
    let silent: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(kept.dir.join("keeper.sock")).expect("connects")).collect();
    let mut long = UnixStream::connect(kept.dir.join("keeper.sock")).expect("connects");
    let _ = long.write_all(&[b'x'; 4_096]);
    assert!(kept.ask("status").contains("\"end\":null"));
    drop(silent);
}

#[test]
fn a_write_beyond_the_limit_of_a_file_fails() {
    let dir = std::env::temp_dir().join(format!("tkr-file-{}", std::process::id()));
    let script = format!("head -c 2M /dev/zero > {}; stat -c %s {} >&2", dir.display(), dir.display());
    let kept = keep("file", &[], &["/bin/sh", "-c", &script]);
    let said = kept.ask("wait");
    assert!(said.contains("1048576"), "{said}");
    fs::remove_file(dir).expect("removed");
}

#[test]
fn a_jail_has_its_own_files_only_and_no_rights() {
    // SAFETY: cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let script = "id -u; ls / /run; grep -E 'CapEff|NoNewPrivs' /proc/self/status; ls /proc | grep -c '^[0-9]'";
    let kept = keep("jail", &["--jail"], &["/bin/sh", "-c", &format!("({script}) >&2")]);
    let said = kept.ask("wait");
    assert!(said.contains("\"stderr\":\"19"), "{said}");
    assert!(said.contains("0000000000000000") && said.contains("NoNewPrivs:\\u00091"), "{said}");
    assert!(!said.contains("home") && !said.contains("root\\u000a"), "{said}");
}
