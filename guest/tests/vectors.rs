//! The golden vectors that both languages read: what is encoded here is what they say, and what they hold is decoded to what they say.

use serde_json::Value;
use thaw_agent::failure::Failure;
use thaw_agent::files::record::{Extent, Meta, Record, decode, decode_extent};
use thaw_agent::frame::{self, Address, Decoded};
use thaw_agent::json::{self, Json};
use thaw_agent::message::*;
use thaw_agent::protocol::*;

fn load(name: &str) -> Value {
    let path = format!("{}/../test/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the vectors are there")).expect("the vectors are JSON")
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn frames() {
    let kinds = [
        ("HELLO", HELLO),
        ("WELCOME", WELCOME),
        ("REQUEST", REQUEST),
        ("RESPONSE", RESPONSE),
        ("DATA", DATA),
        ("END", END),
        ("ACK", ACK),
        ("EVENT", EVENT),
        ("RESET", RESET),
    ];
    for vector in load("frames.json")["vectors"].as_array().expect("a list") {
        let bytes = unhex(&vector["hex"]);
        let decoded = frame::decode(&bytes);
        let name = &vector["name"];
        if let Some(fault) = vector["fault"].as_str() {
            assert!(matches!(decoded, Decoded::Faulty(found) if found.name() == fault), "{name}: {decoded:?}");
            continue;
        }
        if vector["incomplete"] == true {
            assert_eq!(decoded, Decoded::Incomplete, "{name}");
            continue;
        }
        let form = &vector["frame"];
        let session = form["session"].as_str().and_then(|text| text.parse().ok()).expect("a session");
        let address = Address { session, stream: number(&form["stream"]) as u32 };
        let kind = kinds.iter().find(|(name, _)| form["type"] == *name).expect("a type").1;
        let (channel, payload) = (number(&form["channel"]) as u8, unhex(&form["payload"]));
        assert_eq!(address.frame(kind, channel, &payload), bytes, "{name}");
        assert_eq!(decoded, Decoded::Frame(address.header(kind, channel, payload.len())), "{name}");
    }
}

/// The bytes decode to the same as the form does.
fn decodes<T: Json + PartialEq + std::fmt::Debug>(vector: &Value) -> T {
    let from_bytes: T = json::from_slice(&unhex(&vector["hex"])).expect("decodes");
    let from_form: T = json::from_slice(vector["json"].to_string().as_bytes()).expect("decodes");
    assert_eq!(from_bytes, from_form, "{}", vector["name"]);
    from_bytes
}

/// Besides, what was decoded encodes to the same bytes.
fn agrees<T: Json + PartialEq + std::fmt::Debug>(vector: &Value) {
    let value: T = decodes(vector);
    let encoded = json::to_vec(&value);
    assert_eq!(String::from_utf8_lossy(&encoded), String::from_utf8_lossy(&unhex(&vector["hex"])));
}

#[test]
fn messages() {
    for vector in load("messages.json")["vectors"].as_array().expect("a list") {
        let shape = vector["shape"].as_str().expect("a shape");
        if vector["type"] == "REQUEST" {
            assert_eq!(vector["json"]["op"], shape);
        }
        match (vector["type"].as_str().expect("a type"), shape) {
            (_, "hello") => agrees::<Hello>(vector),
            (_, "welcome") => agrees::<Welcome>(vector),
            (_, "unwelcome") => agrees::<Unwelcome>(vector),
            (_, "start") => drop(decodes::<Start>(vector)),
            (_, "attach") => drop(decodes::<Attach>(vector)),
            (_, "signal") => drop(decodes::<Signal>(vector)),
            (_, "resize") => drop(decodes::<Resize>(vector)),
            (_, "release") => drop(decodes::<Release>(vector)),
            (_, "core") => drop(decodes::<Core>(vector)),
            (_, "forget") => drop(decodes::<Forget>(vector)),
            (_, "stat") => drop(decodes::<Stat>(vector)),
            (_, "list") => drop(decodes::<List>(vector)),
            (_, "read") => drop(decodes::<Read>(vector)),
            (_, "write") => drop(decodes::<Write>(vector)),
            (_, "mkdir") => drop(decodes::<MakeDirectory>(vector)),
            (_, "remove") => drop(decodes::<Remove>(vector)),
            (_, "tree-in") => drop(decodes::<TreeIn>(vector)),
            (_, "tree-out") => drop(decodes::<TreeOut>(vector)),
            (_, "dial" | "listen") => drop(decodes::<Endpoint>(vector)),
            (_, "quiesce" | "poweroff") => drop(decodes::<Nothing>(vector)),
            ("REQUEST", "stats" | "processes" | "sync") => drop(decodes::<Nothing>(vector)),
            (_, "clock") => drop(decodes::<Clock>(vector)),
            (_, "ping") => drop(decodes::<Ping>(vector)),
            (_, "accepted") => agrees::<Accepted>(vector),
            (_, "connect") => agrees::<Connect>(vector),
            (_, "taken") => agrees::<Response<Taken>>(vector),
            (_, "nothing") => agrees::<Response<Nothing>>(vector),
            (_, "attached") => agrees::<Response<Attached>>(vector),
            (_, "entry") => agrees::<Response<Entry>>(vector),
            (_, "listing") => agrees::<Response<Listing>>(vector),
            (_, "opened") => agrees::<Response<Opened>>(vector),
            (_, "treeDone") => agrees::<Response<TreeDone>>(vector),
            (_, "listening") => agrees::<Response<Listening>>(vector),
            (_, "quiesced") => agrees::<Response<Quiesced>>(vector),
            (_, "stats") => agrees::<Response<Stats>>(vector),
            (_, "processList") => agrees::<Response<Processes>>(vector),
            (_, "dying") => agrees::<Response<Crash>>(vector),
            (_, "pong") => agrees::<Response<Ping>>(vector),
            (_, "error") => agrees::<Response<Nothing>>(vector),
            (_, "reset") => agrees::<Failure>(vector),
            (_, "event") => agrees::<Event>(vector),
            other => panic!("a shape unknown here: {other:?}"),
        }
    }
}

fn meta(form: &Value) -> Meta {
    Meta {
        mode: number(&form["mode"]) as u32,
        mtime_seconds: form["mtime"][0].as_str().and_then(|text| text.parse().ok()).expect("seconds"),
        mtime_nanoseconds: number(&form["mtime"][1]) as u32,
        uid: number(&form["uid"]) as u32,
        gid: number(&form["gid"]) as u32,
        path: unhex(&form["path"]),
    }
}

fn record(form: &Value) -> Record {
    match form["kind"].as_str().expect("a kind") {
        "end" => Record::End,
        "directory" => Record::Directory(meta(form)),
        "file" => Record::File(meta(form), number(&form["size"])),
        "symlink" => Record::Symlink(meta(form), unhex(&form["target"])),
        "skipped" => Record::Skipped(meta(form), form["reason"].as_str().expect("a reason").into()),
        "attributes" => Record::Attributes(meta(form), unhex(&form["names"])),
        other => panic!("a kind unknown here: {other}"),
    }
}

#[test]
fn trees() {
    let vectors = load("tree.json");
    let bytes = unhex(&vectors["hex"]);
    let (mut rest, mut encoded) = (bytes.as_slice(), Vec::new());
    for form in vectors["records"].as_array().expect("a list") {
        assert_eq!(decode(&mut rest).expect("decodes"), record(form));
        record(form).encode(&mut encoded);
        for extent in form["extents"].as_array().into_iter().flatten() {
            let data = unhex(&extent["data"]);
            let extent = Extent { offset: number(&extent["offset"]), length: data.len() as u32 };
            assert_eq!(decode_extent(&mut rest).expect("decodes"), extent);
            assert!(rest.starts_with(&data));
            rest = &rest[data.len()..];
            encoded.extend(extent.bytes());
            encoded.extend(data);
        }
        if form["kind"] == "file" {
            let end = Extent { offset: 0, length: 0 };
            assert_eq!(decode_extent(&mut rest).expect("decodes"), end);
            encoded.extend(end.bytes());
        }
    }
    assert!(rest.is_empty());
    assert_eq!(encoded, bytes);
    for vector in vectors["refused"].as_array().expect("a list") {
        assert!(decode(&mut unhex(&vector["hex"]).as_slice()).is_err(), "{}", vector["name"]);
    }
}
