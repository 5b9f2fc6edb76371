//! The way out: an agent in a network namespace of its own, programs in it, and a host that decides. Needs root, for the namespace.

mod support;

use serde_json::{Value, json};
use support::{Agent, Frame, Host};
use thaw_agent::protocol::*;

/// None where the tests can't run.
fn start() -> Option<(Agent, Host)> {
    if !thaw_agent::sys::is_root() {
        eprintln!("skipped: a network namespace needs root");
        return None;
    }
    let agent = Agent::start_with_network();
    let mut host = Host::connect(&agent.socket());
    host.features = vec!["egress"];
    let welcome = host.hello();
    assert_eq!(welcome["features"], json!(["egress", "words", "ports"]), "{welcome}");
    Some((agent, host))
}

/// The next connection that the agent offers.
fn offered(host: &mut Host) -> (u32, Value) {
    loop {
        let Frame { header, payload } = host.receive();
        if header.kind == REQUEST {
            return (header.stream, serde_json::from_slice(&payload).unwrap());
        }
    }
}

fn bash(host: &mut Host, id: &str, script: &str) -> u32 {
    host.start(id, &format!("exec bash -c '{script}'"), json!({}))
}

#[test]
fn a_connection_to_a_name_becomes_a_stream() {
    let Some((_agent, mut host)) = start() else { return };
    let exec = bash(&mut host, "one", "exec 3<>/dev/tcp/Example.com/443; echo ask >&3; cat <&3");
    let (stream, request) = offered(&mut host);
    let told = ["op", "name", "port", "process", "exec", "uid"].map(|key| request[key].clone());
    assert_eq!(told, [json!("connect"), json!("example.com"), json!(443), json!("bash"), json!("one"), json!(0)]);
    assert!(request["address"].as_str().unwrap().starts_with("198.18."), "{request}");
    host.send_json(RESPONSE, stream, &json!({ "ok": {} }));
    assert_eq!(host.next(stream, DATA).payload, b"ask\n");
    host.upload(stream, b"answer");
    let outcome = host.finish(exec);
    assert_eq!((outcome.out.as_slice(), &outcome.exit["code"]), (b"answer".as_slice(), &json!(0)));
}

#[test]
fn an_address_is_offered_as_it_is() {
    let Some((_agent, mut host)) = start() else { return };
    let exec = bash(&mut host, "one", "exec 3<>/dev/tcp/10.1.2.3/5432; cat <&3");
    let (stream, request) = offered(&mut host);
    assert_eq!(
        (&request["name"], &request["address"], &request["port"]),
        (&Value::Null, &json!("10.1.2.3"), &json!(5432))
    );
    host.send_json(RESPONSE, stream, &json!({ "error": { "kind": "denied", "message": "no" } }));
    let outcome = host.finish(exec);
    assert!(String::from_utf8_lossy(&outcome.err).contains("reset by peer"), "{outcome:?}");
}

#[test]
fn what_is_in_the_machine_stays_in_it() {
    let Some((_agent, mut host)) = start() else { return };
    let outcome = host.run("one", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/9' 2>&1; getent hosts localhost");
    let text = String::from_utf8_lossy(&outcome.out).into_owned();
    assert!(text.contains("refused") && text.contains("localhost"), "{text}");
}

#[test]
fn what_is_not_tcp_is_rejected_at_once() {
    let Some((_agent, mut host)) = start() else { return };
    let outcome = host.run("one", "bash -c 'exec 3<>/dev/udp/192.0.2.1/443; echo x >&3' 2>&1");
    assert!(String::from_utf8_lossy(&outcome.out).contains("not permitted"), "{outcome:?}");
}

#[test]
fn names_that_lead_nowhere_do_not_resolve() {
    let Some((_agent, mut host)) = start() else { return };
    // The server that machines are told of: its UDP and TCP both answer.
    let ask = r"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
    for (id, protocol, script) in
        [("udp", "udp", format!("printf \"{ask}\"")), ("tcp", "tcp", format!("printf \"\\x00\\x13{ask}\""))]
    {
        let script = format!("exec 3<>/dev/{protocol}/198.18.0.2/53; {script} >&3; head -c 30 <&3 | od -An -tx1");
        let exec = bash(&mut host, id, &script);
        let text = String::from_utf8_lossy(&host.finish(exec).out).into_owned();
        assert!(text.contains("00 07 81 80 00 01 00 01"), "{protocol}: {text}");
    }
    let outcome = host.run("one", "getent ahosts hidden.onion; echo $?; getent ahostsv4 example.com | head -1");
    let text = String::from_utf8_lossy(&outcome.out).into_owned();
    assert!(text.starts_with("2\n198.18."), "{text}");
}

#[test]
fn a_host_that_does_not_know_connections_is_not_offered_any() {
    let Some((agent, mut host)) = start() else { return };
    host.session += 1;
    host.features.clear();
    host.hello();
    let outcome = host.run("one", "bash -c 'exec 3<>/dev/tcp/example.com/80; cat <&3' 2>&1");
    assert!(String::from_utf8_lossy(&outcome.out).contains("reset"), "{outcome:?}");
    drop(agent);
}

#[test]
fn a_new_session_resets_connections_of_the_old_one() {
    let Some((_agent, mut host)) = start() else { return };
    bash(&mut host, "one", "exec 3<>/dev/tcp/example.com/80; cat <&3");
    let (stream, _) = offered(&mut host);
    host.send_json(RESPONSE, stream, &json!({ "ok": {} }));
    host.session += 1;
    host.hello();
    let exec = host.request(json!({ "op": "attach", "id": "one", "out": 0, "err": 0 }));
    host.answer(exec);
    let outcome = host.finish(exec);
    assert!(String::from_utf8_lossy(&outcome.err).contains("reset by peer"), "{outcome:?}");
}

#[test]
fn the_host_may_ask_for_a_smaller_window() {
    let Some((_agent, mut host)) = start() else { return };
    bash(&mut host, "one", "exec 3<>/dev/tcp/example.com/80; head -c 1000000 /dev/zero >&3");
    let (stream, _) = offered(&mut host);
    host.send_json(RESPONSE, stream, &json!({ "ok": { "window": 16384 } }));
    let mut seen = 0;
    while seen < 16_384 {
        seen += host.next(stream, DATA).header.length;
    }
    assert_eq!(seen, 16_384);
    assert!(!host.hears(200, |frame| frame.header.stream == stream && frame.header.kind == DATA));
}

#[test]
fn a_flood_of_connections_waits_and_the_host_still_asks() {
    let Some((_agent, mut host)) = start() else { return };
    bash(&mut host, "one", "for i in $(seq 400); do exec {fd}<>/dev/tcp/10.0.0.1/80 || break; done; sleep 60");
    let mut streams = Vec::new();
    while streams.len() < 256 {
        streams.push(offered(&mut host).0);
    }
    assert!(!host.hears(300, |frame| frame.header.kind == REQUEST), "more than 256 offered");
    assert!(host.ask(json!({ "op": "ping" }))["ok"].is_object());
    for stream in streams {
        host.send_json(RESPONSE, stream, &json!({ "error": { "kind": "denied", "message": "no" } }));
    }
    offered(&mut host);
}

#[test]
fn the_process_of_each_connection_is_told_however_many_it_holds() {
    let Some((_agent, mut host)) = start() else { return };
    // More open files than the agent looks at for long.
    const CONNECTIONS: usize = 1_500;
    let connect = r#"push @s, IO::Socket::INET->new("10.0.0.1:80") or die for 1..shift; sleep 60"#;
    let files = r#"open($s[@s], "<", "/dev/null") or die for 1..1200;"#;
    let script = format!("ulimit -n 8000; exec perl -MIO::Socket::INET -e '{files} {connect}' {CONNECTIONS}");
    host.start("one", &script, json!({}));
    let mut told = 0;
    for _ in 0..CONNECTIONS {
        let (stream, request) = offered(&mut host);
        told += usize::from(request["process"] == json!("perl") && request["exec"] == json!("one"));
        host.send_json(RESPONSE, stream, &json!({ "ok": { "window": 16384 } }));
    }
    assert_eq!(told, CONNECTIONS);
    assert!(host.ask(json!({ "op": "ping" }))["ok"].is_object());
}
