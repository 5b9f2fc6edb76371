//! Turns `protocol.json`, which the host reads too, into Rust constants.

use serde_json::Value;
use std::{env, fmt::Write, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=protocol.json");
    println!("cargo:rerun-if-changed=build.rs");
    let text = fs::read_to_string("protocol.json").expect("protocol.json is readable");
    let protocol: Value = serde_json::from_str(&text).expect("protocol.json is JSON");
    let mut code = String::new();
    for (name, value) in protocol.as_object().expect("protocol.json is an object") {
        match value {
            Value::Object(members) => {
                // frameTypes and channels: one byte each on the wire.
                for (member, number) in members {
                    let number = number.as_u64().expect("a number");
                    let prefix = if name == "channels" { "CHANNEL_" } else { "" };
                    let member = constant_name(member);
                    writeln!(code, "pub const {prefix}{member}: u8 = {number};").expect("writes");
                }
            }
            Value::Number(number) => {
                let kind = match name.as_str() {
                    "magic" | "trailer" => "u8",
                    "version" | "oldestVersion" => "u32",
                    _ => "usize",
                };
                let name = constant_name(name);
                writeln!(code, "pub const {name}: {kind} = {number};").expect("writes");
            }
            other => panic!("protocol.json: {name} has an unexpected value {other}"),
        }
    }
    let out = Path::new(&env::var("OUT_DIR").expect("OUT_DIR is set")).join("protocol.rs");
    fs::write(out, code).expect("the constants are written");
}

/// `maxPayloadBytes` to `MAX_PAYLOAD_BYTES`; names already in capitals stay as they are.
fn constant_name(name: &str) -> String {
    if name.chars().all(|letter| letter.is_ascii_uppercase()) {
        return name.to_string();
    }
    let mut constant = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}
