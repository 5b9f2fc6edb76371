//! Execs, through the agent's socket.

mod support;

use serde_json::json;
use support::Agent;
use thaw_agent::protocol::*;

#[test]
fn streams_exit_codes_and_signals() {
    let agent = Agent::start();
    let mut host = agent.host();
    let outcome = host.run("a", "echo out; echo err >&2; exit 7");
    assert_eq!((outcome.out.as_slice(), outcome.err.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((&outcome.exit["code"], &outcome.exit["out"], &outcome.exit["err"]), (&json!(7), &json!(4), &json!(4)));
    let outcome = host.run("b", "kill -SEGV $$");
    assert_eq!((&outcome.exit["code"], &outcome.exit["signal"]), (&json!(null), &json!("SIGSEGV")));
}

#[test]
fn tells_apart_what_cannot_be_started() {
    let agent = Agent::start();
    let script = agent.folder.join("script");
    std::fs::write(&script, "#!/nope/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = agent.folder.join("text");
    std::fs::write(&text, "plain\n").unwrap();
    std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut host = agent.host();
    let mut kind = |argv: &str, more: serde_json::Value| {
        let mut request = json!({ "op": "start", "id": "x", "argv": [argv] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        host.error_kind(request)
    };
    assert_eq!(kind("no-such-program", json!({})), "not-found");
    assert_eq!(kind("/no/such/program", json!({})), "not-found");
    assert_eq!(kind(script.to_str().unwrap(), json!({})), "not-found");
    assert_eq!(kind(text.to_str().unwrap(), json!({})), "not-executable");
    assert_eq!(kind("/etc/passwd", json!({})), "not-executable");
    assert_eq!(kind("/tmp", json!({})), "not-executable");
    assert_eq!(kind("true", json!({ "cwd": "/no/such/folder" })), "invalid");
    assert_eq!(kind("true", json!({ "user": "no-such-user" })), "no-user");
    assert_eq!(kind("true", json!({ "id": "not an id" })), "invalid");
    assert_eq!(kind("", json!({})), "invalid");
}

#[test]
fn environment_and_folder() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "echo $A $HOME; pwd", json!({ "env": { "A": "b", "HOME": "/h" }, "cwd": "/usr" }));
    assert_eq!(host.finish(stream).out, b"b /h\n/usr\n");
    let stream = host
        .request(json!({ "op": "start", "id": "b", "argv": ["/usr/bin/env"], "env": { "X": "1" }, "clearEnv": true }));
    assert_eq!(host.finish(stream).out, b"X=1\n");
}

#[test]
fn input_reaches_the_program_and_ends() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "wc -c", json!({ "stdin": true }));
    host.upload(stream, &vec![b'x'; 2_000_000]);
    assert_eq!(String::from_utf8(host.finish(stream).out).unwrap().trim(), "2000000");
}

#[test]
fn input_that_nobody_reads_is_thrown_away() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "exec <&-; sleep 0.2; echo done", json!({ "stdin": true }));
    host.upload(stream, &vec![b'x'; 1_000_000]);
    assert_eq!(host.finish(stream).out, b"done\n");
}

#[test]
fn a_terminal() {
    let agent = Agent::start();
    let mut host = agent.host();
    let script = "stty size; read x; stty size; cat; tty >/dev/null && echo tty";
    let stream = host.start("a", script, json!({ "tty": { "rows": 33, "cols": 77 }, "stdin": true }));
    let first = host.next(stream, DATA);
    assert_eq!(first.payload, b"33 77\r\n");
    assert_eq!(host.ask(json!({ "op": "resize", "id": "a", "rows": 10, "cols": 20 })), json!({ "ok": {} }));
    host.send(DATA, stream, CHANNEL_IN, b"\n");
    host.send(END, stream, CHANNEL_IN, &[]);
    let outcome = host.finish(stream);
    assert_eq!(String::from_utf8(outcome.out).unwrap(), "\r\n10 20\r\ntty\r\n");
    assert_eq!(outcome.exit["code"], 0);
}

#[test]
fn input_that_ends_in_the_middle_of_a_line_ends_a_terminals() {
    let agent = Agent::start();
    let mut host = agent.host();
    for (id, input) in [("a", "half"), ("b", "whole\n"), ("c", "")] {
        let script = "stty -echo; echo ready; cat; echo over";
        let stream = host.start(id, script, json!({ "tty": { "rows": 3, "cols": 80 }, "stdin": true }));
        assert_eq!(host.next(stream, DATA).payload, b"ready\r\n");
        if !input.is_empty() {
            host.send(DATA, stream, CHANNEL_IN, input.as_bytes());
        }
        host.send(END, stream, CHANNEL_IN, &[]);
        let outcome = host.finish(stream);
        assert_eq!(String::from_utf8(outcome.out).unwrap(), format!("{}over\r\n", input.replace('\n', "\r\n")));
    }
}

#[test]
fn signals_reach_the_group_or_the_tree() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done", json!({}));
    host.next(stream, DATA);
    assert_eq!(host.ask(json!({ "op": "signal", "id": "a", "signal": "TERM" })), json!({ "ok": {} }));
    let outcome = host.finish(stream);
    assert_eq!((outcome.out.as_slice(), &outcome.exit["code"]), (&b"got\n"[..], &json!(3)));

    let stream = host.start("b", "setsid sh -c 'echo $$; exec sleep 100' & wait", json!({}));
    let pid = String::from_utf8(host.next(stream, DATA).payload).unwrap().trim().to_string();
    host.ask(json!({ "op": "signal", "id": "b", "signal": 9, "to": "tree" }));
    assert_eq!(host.finish(stream).exit["signal"], "SIGKILL");
    support_gone(&pid);
    assert_eq!(host.error_kind(json!({ "op": "signal", "id": "b", "signal": "NOPE" })), "invalid");
    assert_eq!(host.error_kind(json!({ "op": "signal", "id": "c", "signal": 9 })), "not-found");
}

/// Waits until a process is gone, reaped and all.
fn support_gone(pid: &str) {
    let path = format!("/proc/{pid}");
    for _ in 0..500 {
        if !std::path::Path::new(&path).exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{pid} lives on");
}

#[test]
fn ends_with_its_program_though_children_hold_the_streams() {
    let agent = Agent::start();
    let mut host = agent.host();
    let flag = agent.folder.join("flag");
    // The child writes more than pipe and ring hold, and must neither block nor die.
    let script = format!("(sleep 0.3; head -c 3000000 /dev/zero; touch {}) & echo first", flag.display());
    let outcome = host.run("a", &script);
    assert_eq!((outcome.out.as_slice(), &outcome.exit["out"]), (&b"first\n"[..], &json!(6)));
    for _ in 0..500 {
        if flag.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the child did not live on");
}

#[test]
fn a_full_ring_blocks_and_goes_on() {
    let agent = Agent::start();
    let mut host = agent.host();
    let stream = host.start("a", "head -c 5000000 /dev/zero; echo end >&2", json!({}));
    let mut seen = 0;
    while seen < EXEC_WINDOW_BYTES {
        seen += host.next(stream, DATA).header.length;
    }
    assert_eq!(seen, EXEC_WINDOW_BYTES);
    assert!(host.is_quiet(200), "more than the window was sent");
    host.ack(stream, CHANNEL_OUT, seen as u64);
    let outcome = host.finish(stream);
    assert_eq!(outcome.out.len() + seen, 5_000_000);
    assert_eq!((outcome.err.as_slice(), &outcome.exit["code"]), (&b"end\n"[..], &json!(0)));
}

#[test]
fn output_goes_on_at_an_offset_in_a_new_session() {
    let agent = Agent::start();
    let mut host = agent.host();
    let script =
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 0.2; head -c 100000 /dev/zero; exit 5";
    let stream = host.start("a", script, json!({}));
    let kept = host.next(stream, DATA).payload;
    drop(host);

    let mut host = agent.host();
    let stream = host.request(json!({ "op": "attach", "id": "a", "out": kept.len(), "err": 0 }));
    assert_eq!(host.answer(stream)["ok"]["out"], kept.len());
    host.seen.insert((stream, CHANNEL_OUT), kept.len() as u64);
    let rest = host.finish(stream);
    let all = [kept, rest.out].concat();
    let mut expected: Vec<u8> = (0..2000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    expected.resize(expected.len() + 100_000, 0);
    assert!(all == expected, "output was lost or repeated");
    assert_eq!((&rest.exit["code"], &rest.exit["out"]), (&json!(5), &json!(expected.len())));

    // What was acknowledged is gone; the exit is told again.
    let stream = host.request(json!({ "op": "attach", "id": "a", "out": 0, "err": 0 }));
    let answer = host.answer(stream);
    assert_eq!((&answer["ok"]["running"], &answer["ok"]["out"]), (&json!(false), &json!(expected.len())));
    assert_eq!(host.finish(stream).exit["code"], 5);
    assert_eq!(host.hello()["execs"], json!(["a"]));
    assert_eq!(host.ask(json!({ "op": "forget", "id": "a" })), json!({ "ok": {} }));
    assert_eq!(host.hello()["execs"], json!([]));
}

#[test]
fn starting_twice_starts_once() {
    let agent = Agent::start();
    let mut host = agent.host();
    let flag = agent.folder.join("flag");
    let script = format!("echo x >> {0}; cat {0}; sleep 0.3", flag.display());
    let first = host.start("a", &script, json!({}));
    let second = host.start("a", &script, json!({}));
    assert_eq!(host.finish(second).out, b"x\n");
    assert_ne!(first, second);
}

#[test]
fn only_what_has_ended_is_forgotten_and_its_children_live_on() {
    let agent = Agent::start();
    let mut host = agent.host();
    let flag = agent.folder.join("flag");
    // The child writes into the pipe of an exec that is forgotten by then; it must neither block nor die of it.
    let child = format!("(sleep 0.5; head -c 200000 /dev/zero; echo still here; echo x > {}) &", flag.display());
    let stream = host.start("a", &format!("{child} read line"), json!({ "stdin": true }));
    let refused = host.ask(json!({ "op": "forget", "id": "a" }));
    assert_eq!(refused["error"]["kind"], "refused");
    host.send(END, stream, 0, &[]);
    host.finish(stream);
    assert_eq!(host.ask(json!({ "op": "forget", "id": "a" })), json!({ "ok": {} }));
    assert_eq!(host.hello()["execs"], json!([]));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !flag.exists() {
        assert!(std::time::Instant::now() < deadline, "the child did not live on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn words_come_before_their_start() {
    let agent = Agent::start();
    let mut host = agent.host();
    let mut run = |id: &str, words: &[u8], count: usize| {
        let stream = host.request(json!({ "op": "words", "id": id }));
        host.upload(stream, words);
        let kept = host.answer(stream);
        if kept["error"].is_object() {
            return Err(kept["error"]["kind"].clone());
        }
        let stream = host.request(json!({ "op": "start", "id": id, "argv": [], "words": count }));
        let started = host.answer(stream);
        if started["error"].is_object() {
            return Err(started["error"]["kind"].clone());
        }
        Ok(String::from_utf8(host.finish(stream).out).unwrap())
    };
    assert_eq!(run("a", b"sh\0-c\0echo $1 $X\0sh\0\xc3\xa9\0X=y=z\0", 5), Ok("é y=z\n".to_string()));
    let long = [b"printf\0%s\0".to_vec(), vec![b'a'; 131_071], b"\0".to_vec()].concat();
    assert_eq!(run("b", &long, 3).map(|out| out.len()), Ok(131_071));
    let longer = [b"true\0".to_vec(), vec![b'a'; 131_072], b"\0".to_vec()].concat();
    assert_eq!(run("c", &longer, 2), Err(json!("limit")));
    assert_eq!(run("d", b"true\0", 2), Err(json!("invalid")));
    assert_eq!(run("e", b"true\0novalue\0", 1), Err(json!("invalid")));
    assert_eq!(run("f", b"\xff\0", 1), Err(json!("invalid")));
    assert_eq!(run("g", &vec![b'a'; (2 << 20) + 1], 1), Err(json!("limit")));
    assert_eq!(host.error_kind(json!({ "op": "start", "id": "h", "argv": [], "words": 1 })), "not-found");
}
