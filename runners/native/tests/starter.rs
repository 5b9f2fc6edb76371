//! The starter with real keepers: what it answers, what they inherit, how a start is given up, and that they outlive it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Starter {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

fn starter() -> Starter {
    let mut process = Command::new(env!("CARGO_BIN_EXE_thaw-keeper"))
        .arg("starter")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (input, output) = (process.stdin.take(), process.stdout.take());
    Starter { process, input, output: BufReader::new(output.expect("its output")) }
}

impl Starter {
    fn ask(&mut self, words: &[&str]) {
        let request = words.join("\0");
        let input = self.input.as_mut().expect("its input");
        input.write_all(&(request.len() as u32).to_le_bytes()).expect("a length");
        input.write_all(request.as_bytes()).expect("a request");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line
    }
}

fn dir_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tst-{}-{name}", std::process::id()))
}

fn machine<'a>(id: &'a str, dir: &'a str, inherit: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    let limits = ["--memory", "67108864", "--pids", "16", "--cpus", "1", "--file", "1048576"];
    [&["--id", id, "--dir", dir, "--inherit", inherit], &limits[..], &["--"], command].concat()
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn until(condition: impl Fn() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pid_in(answer: &str) -> String {
    let rest = answer.split("\"pid\":").nth(1).unwrap_or_else(|| panic!("no pid in {answer}"));
    rest.split(',').next().expect("a number").to_string()
}

/// The parent of a machine.
fn keeper_of(pid: &str) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok()).expect("a parent")
}

/// A keeper that this test started.
fn kill(keeper: i32) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(keeper, libc::SIGKILL) };
}

#[test]
fn a_keeper_has_the_callers_descriptors_and_outlives_the_starter() {
    let path = dir_of("words");
    fs::write(&path, "handed over").expect("a file");
    let file = File::open(&path).expect("opens");
    let copy = dir_of("copy");
    // Gone by name: what is inherited is the file.
    fs::remove_file(&path).expect("removes");
    let leaked = File::open("/proc/self/exe").expect("opens");
    // SAFETY: plain numbers.
    unsafe { libc::fcntl(leaked.as_raw_fd(), libc::F_SETFD, 0) };
    let mut starter = starter();
    let dir = dir_of("heir");
    let dir_text = dir.to_string_lossy().into_owned();
    // Sockets for the machine come first.
    let script = format!("cat <&5 > {}.new; mv {0}.new {0}; exec sleep 60", copy.display());
    let fds = file.as_raw_fd().to_string();
    let command = machine("heir", &dir_text, "1", &["/bin/sh", "-c", &script]);
    starter.ask(&[&["1", "start", &fds], &command[..]].concat());
    let answer = starter.answer();
    assert!(answer.starts_with("1 {"), "{answer}");
    let pid = pid_in(&answer);
    until(|| fs::read_to_string(&copy).is_ok_and(|text| text == "handed over"), "the words to be handed over");
    drop(starter.input.take());
    assert!(starter.process.wait().expect("its end").success());
    assert!(is_alive(&pid));
    let keeper = keeper_of(&pid);
    assert_eq!(fs::read_to_string(format!("/proc/{keeper}/comm")).expect("a name"), "thaw-keeper\n");
    assert!(!has_open(keeper, &file), "the keeper has kept what is its machine's");
    assert!(!has_open(keeper, &leaked), "the keeper has what its caller left open");
    kill(keeper);
    until(|| !is_alive(&pid), "the machine to go with its keeper");
    let _ = fs::remove_dir_all(dir);
    let _ = fs::remove_file(copy);
}

#[test]
fn what_can_not_start_is_answered_and_others_start() {
    let mut starter = starter();
    let dir = dir_of("none");
    let dir_text = dir.to_string_lossy().into_owned();
    starter.ask(&[&["7", "start", "999"], &machine("none", &dir_text, "1", &["/bin/true"])[..]].concat());
    assert!(starter.answer().starts_with("7 {\"error\":"));
    starter.ask(&[&["8", "start", ""], &machine("none", &dir_text, "0", &["/no/such/program"])[..]].concat());
    assert!(starter.answer().starts_with("8 {\"error\":"));
    starter.ask(&["9", "start", "", "--no-such-option"]);
    assert!(starter.answer().starts_with("9 {\"error\":"));
    starter.ask(&["10", "cancel"]);
    starter.ask(&[&["11", "start", ""], &machine("none", &dir_text, "0", &["/bin/sleep", "60"])[..]].concat());
    let pid = pid_in(&starter.answer());
    assert!(is_alive(&pid));
    kill(keeper_of(&pid));
    until(|| !is_alive(&pid), "the machine to go with its keeper");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_keeper_that_can_tell_nobody_of_its_machine_ends_it() {
    let dir = dir_of("untold");
    let dir_text = dir.to_string_lossy().into_owned();
    let time = format!("612.{}", std::process::id());
    // As left by a starter that was killed.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_thaw-keeper"))
        .arg("run")
        .args(machine("untold", &dir_text, "0", &["/bin/sleep", &time]))
        .stdout(writer)
        .spawn()
        .expect("it starts");
    until_ended(&mut keeper);
    assert!(!dir.exists());
    assert!(!is_sleeping(&time));
}

#[test]
fn a_start_is_cancelled_at_once_and_leaves_no_machine() {
    let mut starter = starter();
    let dir = dir_of("given-up");
    let dir_text = dir.to_string_lossy().into_owned();
    let time = format!("613.{}", std::process::id());
    for number in 1..=20 {
        let number = number.to_string();
        let command = machine("given-up", &dir_text, "0", &["/bin/sleep", &time]);
        starter.ask(&[&[&number, "start", ""], &command[..]].concat());
        starter.ask(&[&number, "cancel"]);
        let answer = starter.answer();
        if answer != format!("{number} \n") {
            // It was faster.
            kill(keeper_of(&pid_in(&answer)));
        }
        until(|| !is_sleeping(&time), "the machine to go");
        until(|| fs::remove_dir_all(&dir).is_ok() || !dir.exists(), "its folder to be removable");
    }
    // The starter itself is as before.
    starter.ask(&["21", "start", "", "--no-such-option"]);
    assert!(starter.answer().starts_with("21 {\"error\":"));
}

#[test]
fn a_starter_that_is_stopped_ends_with_its_caller() {
    let script = format!("exec 3<&0; {} starter <&3 & echo $!; wait", env!("CARGO_BIN_EXE_thaw-keeper"));
    let mut caller = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Stays open: its end is not what the starter ends by.
    let _input = caller.stdin.take();
    let mut pid = String::new();
    BufReader::new(caller.stdout.take().expect("its output")).read_line(&mut pid).expect("a pid");
    let pid = pid.trim();
    let is_starter = || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "thaw-starter\n");
    until(is_starter, "the starter to run");
    // It reads requests, so it has set itself up.
    until(|| fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at != "0"), "the starter to wait");
    // SAFETY: plain numbers, of a process that this test started.
    unsafe { libc::kill(pid.parse().expect("a number"), libc::SIGSTOP) };
    caller.kill().expect("it is ours");
    caller.wait().expect("its end");
    until(|| !is_alive(pid), "the starter to end");
}

fn has_open(pid: i32, file: &File) -> bool {
    let of = |pid: u32, fd: i32| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
    let known = of(std::process::id(), file.as_raw_fd());
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    entries.map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.is_some() && path == known)
}

fn until_ended(process: &mut Child) {
    let end = Instant::now() + Duration::from_secs(60);
    while process.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < end, "the process to end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether there is a process that sleeps for this time.
fn is_sleeping(time: &str) -> bool {
    let command = format!("/bin/sleep\0{time}\0");
    let mut entries = fs::read_dir("/proc").expect("processes").flatten();
    entries.any(|entry| fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|text| text == command))
}
