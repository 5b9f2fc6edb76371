//! Turns `protocol.json`, which the host reads too, into Rust constants. It has names, numbers, and objects of them: no crate is needed to read it.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=protocol.json");
    println!("cargo:rerun-if-changed=build.rs");
    let text = fs::read_to_string("protocol.json").expect("protocol.json is readable");
    let spaced = text.replace('{', " { ").replace('}', " } ").replace([':', ','], " ");
    let mut tokens = spaced.split_whitespace().peekable();
    assert_eq!(tokens.next(), Some("{"), "protocol.json is an object");
    let mut code = String::new();
    while let Some(name) = tokens.next_if(|&token| token != "}") {
        if tokens.next_if_eq(&"{").is_none() {
            let kind = match unquoted(name) {
                "magic" | "trailer" => "u8",
                "version" | "oldestVersion" => "u32",
                _ => "usize",
            };
            write_constant(&mut code, "", name, kind, tokens.next());
            continue;
        }
        // frameTypes and channels: one byte each on the wire.
        let prefix = if unquoted(name) == "channels" { "CHANNEL_" } else { "" };
        while let Some(member) = tokens.next_if(|&token| token != "}") {
            write_constant(&mut code, prefix, member, "u8", tokens.next());
        }
        tokens.next();
    }
    let out = Path::new(&env::var("OUT_DIR").expect("OUT_DIR is set")).join("protocol.rs");
    fs::write(out, code).expect("the constants are written");
}

fn write_constant(code: &mut String, prefix: &str, name: &str, kind: &str, value: Option<&str>) {
    let number: u64 =
        value.and_then(|token| token.parse().ok()).unwrap_or_else(|| panic!("protocol.json: {name} has no number"));
    let name = constant_name(unquoted(name));
    writeln!(code, "pub const {prefix}{name}: {kind} = {number};").expect("writes");
}

fn unquoted(token: &str) -> &str {
    token
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("protocol.json: {token} is not a name"))
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
