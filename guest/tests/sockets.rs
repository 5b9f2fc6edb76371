//! `dial` and `listen`.

mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use support::Agent;
use thaw_agent::protocol::*;

#[test]
fn dials_and_ends_each_way_on_its_own() {
    let agent = Agent::start();
    let mut host = agent.host();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        peer.write_all(&vec![b'y'; 1_500_000]).unwrap();
        received.len()
    });
    let stream = host.request(json!({ "op": "dial", "port": port }));
    assert_eq!(host.answer(stream), json!({ "ok": {} }));
    host.upload(stream, &vec![b'x'; 1_000_000]);
    assert_eq!(host.download(stream).len(), 1_500_000);
    assert_eq!(peer.join().unwrap(), 1_000_000);
}

#[test]
fn what_cannot_be_dialled() {
    let agent = Agent::start();
    let mut host = agent.host();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert_eq!(host.error_kind(json!({ "op": "dial", "port": free })), "refused");
    assert_eq!(host.error_kind(json!({ "op": "dial", "path": agent.folder.join("none") })), "not-found");
    assert_eq!(host.error_kind(json!({ "op": "dial" })), "invalid");
}

#[test]
fn dials_unix_sockets() {
    let agent = Agent::start();
    let mut host = agent.host();
    let path = agent.folder.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let stream = host.request(json!({ "op": "dial", "path": path }));
    host.answer(stream);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello").unwrap();
    peer.shutdown(Shutdown::Both).unwrap();
    assert_eq!(host.download(stream), b"hello");
}

#[test]
fn a_slow_host_holds_the_peer_back() {
    let agent = Agent::start();
    let mut host = agent.host();
    let path = agent.folder.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let stream = host.request(json!({ "op": "dial", "path": path }));
    host.answer(stream);
    let (mut peer, _) = listener.accept().unwrap();
    thread::spawn(move || peer.write_all(&vec![0; 10_000_000]));
    let mut seen = 0;
    while seen < STREAM_WINDOW_BYTES {
        seen += host.next(stream, DATA).header.length;
    }
    assert_eq!(seen, STREAM_WINDOW_BYTES);
    assert!(host.is_quiet(200));
}

#[test]
fn offers_connections_to_the_host() {
    let agent = Agent::start();
    let mut host = agent.host();
    let listener = host.request(json!({ "op": "listen", "port": 0 }));
    let port = host.answer(listener)["ok"]["port"].as_u64().unwrap() as u16;
    let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    peer.write_all(b"from the guest").unwrap();
    let request = host.receive();
    let stream = request.header.stream;
    assert_eq!((request.header.kind, stream % 2), (REQUEST, 0));
    assert_eq!((&request.json()["op"], &request.json()["listener"]), (&json!("accepted"), &json!(listener)));
    assert!(host.is_quiet(50), "data before the host agreed");
    host.send_json(RESPONSE, stream, &json!({ "ok": {} }));
    assert_eq!(host.next(stream, DATA).payload, b"from the guest");
    host.upload(stream, b"to the guest");
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "to the guest");

    // Refused: the connection is reset.
    let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let stream = loop {
        let frame = host.receive();
        if frame.header.kind == REQUEST {
            break frame.header.stream;
        }
    };
    host.send_json(RESPONSE, stream, &json!({ "error": { "kind": "refused", "message": "no" } }));
    assert!(peer.read(&mut [0]).is_err());

    host.send_json(RESET, listener, &json!({ "kind": "io", "message": "closed" }));
    host.ask(json!({ "op": "ping" }));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn a_new_session_closes_what_the_old_one_opened() {
    let agent = Agent::start();
    let mut host = agent.host();
    let path = agent.folder.join("l");
    let listener = host.request(json!({ "op": "listen", "path": path }));
    assert!(host.answer(listener)["ok"].is_object());
    let mut peer = UnixStream::connect(&path).unwrap();
    host.receive();
    host.session += 1;
    host.hello();
    assert_eq!(peer.read(&mut [0]).unwrap_or(0), 0);
    assert!(!path.exists());
}
