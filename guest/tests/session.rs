//! Sessions: hellos, garbage, windows.

mod support;

use serde_json::json;
use support::Agent;
use thaw_agent::frame::Address;
use thaw_agent::protocol::*;

#[test]
fn a_repeated_hello_changes_nothing() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "read x; echo got $x", json!({ "stdin": true }));
    assert_eq!(host.hello()["execs"], json!(["a"]));
    host.upload(stream, b"it\n");
    assert_eq!(host.finish(stream).out, b"got it\n");
}

#[test]
fn a_new_session_begins_in_the_middle_of_a_frame() {
    let agent = Agent::start();
    let mut host = agent.host();
    host.request(json!({ "op": "ping" }));
    let half = Address { session: host.session, stream: 99 }.frame(DATA, 0, &[7; 65_536]);
    host.raw(&half[..30_000]);
    host.session += 1;
    assert_eq!(host.hello()["faults"], 1);
    assert_eq!(host.ask(json!({ "op": "ping", "echo": "é" })), json!({ "ok": { "echo": "é" } }));
}

#[test]
fn garbage_ends_the_session_and_a_hello_begins_another() {
    let agent = Agent::start();
    let mut host = agent.host();
    host.raw(b"garbage \xa5\xa5\x01\0\0");
    let frame = host.receive();
    assert_eq!((frame.header.kind, frame.header.stream), (RESET, 0));
    host.request(json!({ "op": "ping" }));
    assert!(host.is_quiet(100), "an ended session was answered");
    host.session += 1;
    assert_eq!(host.hello()["faults"], 1);
}

#[test]
fn frames_of_other_sessions_are_dropped() {
    let agent = Agent::start();
    let mut host = agent.host();
    let other = Address { session: host.session + 7, stream: 1 };
    host.raw(&other.frame(REQUEST, 0, br#"{"op":"ping"}"#));
    assert!(host.is_quiet(100));
    assert!(host.ask(json!({ "op": "ping" }))["ok"].is_object());
}

#[test]
fn more_than_the_window_ends_the_session() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "sleep 100", json!({ "stdin": true }));
    for _ in 0..16 {
        host.send(DATA, stream, CHANNEL_IN, &[0; 65_536]);
    }
    let frame = host.next(0, RESET);
    assert!(frame.json()["message"].as_str().unwrap().contains("window"));
    host.session += 1;
    assert_eq!(host.hello()["execs"], json!(["a"]));
}

#[test]
fn versions_without_overlap_are_refused() {
    let agent = Agent::start();
    let mut host = support::Host::connect(&agent.socket());
    host.send_json(HELLO, 0, &json!({ "versions": [VERSION + 1, 9] }));
    let welcome = host.next(0, WELCOME).json();
    assert_eq!(welcome["version"], 0);
    assert!(welcome["error"].is_string());
}

#[test]
fn identities_are_told_as_applied() {
    let agent = Agent::start();
    let mut host = support::Host::connect(&agent.socket());
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let identity = json!({ "timeNs": "1", "entropy": "", "hostname": "h", "machineId": "", "bootId": id });
    host.send_json(HELLO, 0, &json!({ "versions": [1, 1], "identity": identity }));
    let welcome = host.next(0, WELCOME).json();
    assert_eq!((&welcome["bootId"], &welcome["errors"]), (&json!(id), &json!([])));
}

#[test]
fn odd_requests_are_answered() {
    let agent = Agent::start();
    let mut host = agent.host();
    assert_eq!(host.error_kind(json!({ "op": "dance" })), "unsupported");
    assert_eq!(host.error_kind(json!({ "op": "start" })), "invalid");
    assert_eq!(host.error_kind(json!([])), "invalid");
    assert!(host.ask(json!({ "op": "ping", "unknown": [1, { "a": 2 }] }))["ok"].is_object());
    let stats = host.ask(json!({ "op": "stats" }));
    assert!(stats["ok"]["memory"]["total"].as_u64().unwrap() > 0, "{stats}");
}

#[test]
fn processes_and_ports_are_listed() {
    let agent = Agent::start();
    let mut host = agent.host();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let answer = host.ask(json!({ "op": "processes" }))["ok"].clone();
    let find = |list: &str, member: &str, value: u64| {
        answer[list].as_array().unwrap().iter().find(|item| item[member] == value).cloned()
    };
    assert!(answer.to_string().len() < MAX_PAYLOAD_BYTES);
    let own = u64::from(std::process::id());
    // A busy host has more than fit.
    if answer["truncated"] == false {
        let process = find("processes", "pid", own).unwrap();
        assert!(process["command"].as_str().unwrap().contains("session"), "{process}");
        let socket = find("listening", "port", u64::from(listener.local_addr().unwrap().port())).unwrap();
        assert_eq!((&socket["protocol"], &socket["address"]), (&json!("tcp"), &json!("127.0.0.1")));
        assert!(socket["pid"].is_null() || socket["pid"] == own, "{socket}");
    }
}

#[test]
fn a_program_that_has_ended_is_listed_until_it_is_forgotten() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "exit 3", json!({}));
    assert_eq!(host.finish(stream).exit["code"], 3);
    let mut ended = || {
        let answer = host.ask(json!({ "op": "processes" }))["ok"].clone();
        let ended = answer["processes"].as_array().unwrap().iter().find(|process| process["state"] == "X").cloned();
        if ended.is_some() {
            host.ask(json!({ "op": "forget", "id": "a" }));
        }
        ended
    };
    let process = ended().unwrap();
    assert!(process["command"].as_str().unwrap().ends_with("sh -c exit 3"), "{process}");
    assert_eq!(process["name"], "sh");
    assert_eq!(ended(), None);
}

#[test]
fn an_older_host_gets_its_version() {
    let agent = Agent::start();
    let mut host = support::Host::connect(&agent.socket());
    host.send_json(HELLO, 0, &json!({ "versions": [1, 1] }));
    assert_eq!(host.next(0, WELCOME).json()["version"], 1);
}

#[test]
fn nothing_is_held_by_an_agent_that_is_not_init() {
    let agent = Agent::start();
    let mut host = agent.host();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let stream = host.start("a", "kill -SEGV $$", json!({ "holdCrashes": true }));
    assert_eq!(host.finish(stream).exit["signal"], "SIGSEGV");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    assert_eq!(host.error_kind(json!({ "op": "release", "id": "a", "pid": 1 })), "not-found");
    assert_eq!(host.error_kind(json!({ "op": "release", "id": "b", "pid": 1 })), "not-found");
    assert_eq!(host.error_kind(json!({ "op": "core" })), "not-found");
}

#[test]
fn power_off_ends_the_process() {
    let mut agent = Agent::start();
    let mut host = agent.host();
    assert_eq!(host.ask(json!({ "op": "poweroff" })), json!({ "ok": {} }));
    assert_eq!(agent.wait(), 0);
}

#[test]
fn an_idle_agent_has_one_thread() {
    let agent = Agent::start();
    let mut host = agent.host();
    host.ask(json!({ "op": "list", "path": "/" }));
    for _ in 0..200 {
        if agent.size().1 == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("a thread lives on");
}
