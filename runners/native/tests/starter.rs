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
