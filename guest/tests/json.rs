//! The agent's own JSON against serde_json: both take the same texts, to the same values, and both write the same.

use serde_json::Value as Theirs;
use thaw_agent::json::{self, Json, Value};

fn same(ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(a), Theirs::Bool(b)) => a == b,
        (Value::Integer(a), Theirs::Number(b)) => {
            b.as_i64().map(i128::from).or(b.as_u64().map(i128::from)) == Some(*a) || b.as_f64() == Some(*a as f64)
        }
        (Value::Float(a), Theirs::Number(b)) => {
            b.as_f64().is_some_and(|b| (a - b).abs() <= b.abs() * 4.0 * f64::EPSILON)
        }
        (Value::Text(a), Theirs::String(b)) => a == b,
        (Value::List(a), Theirs::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Theirs::Object(b)) => {
            b.iter().all(|(name, b)| a.iter().rev().find(|(known, _)| known == name).is_some_and(|(_, a)| same(a, b)))
                && a.iter().all(|(name, _)| b.contains_key(name))
        }
        _ => false,
    }
}

fn check(text: &[u8]) {
    match (json::parse(text), serde_json::from_slice::<Theirs>(text)) {
        (Ok(ours), Ok(theirs)) => {
            assert!(same(&ours, &theirs), "{}: {ours:?}", String::from_utf8_lossy(text))
        }
        (Err(_), Err(_)) => {}
        // A number that no float holds.
        (Ok(_), Err(error)) if error.to_string().contains("out of range") => {}
        (ours, theirs) => panic!("{}: {ours:?}, serde_json {theirs:?}", String::from_utf8_lossy(text)),
    }
}

#[test]
fn the_same_texts_are_taken() {
    for text in [
        r#"{"a":[1,-2,3.5,1e3,true,false,null],"b":{"c":"d"},"a":0}"#,
        r#""\u00e9\ud83d\ude00\n\t\"\\\/\b\f\r""#,
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\udc00""#,
        r#""\ud83d\u0041""#,
        r#""\u12""#,
        r#""\x""#,
        "\"\u{1}\"",
        "\"\u{7f}é\"",
        "01",
        "-",
        "-0",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "18446744073709551615",
        "-9223372036854775808",
        "1E-2",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\" : 1 }",
        "{a:1}",
        "nul",
        "nullx",
        "",
        " ",
        "[]",
        "{}",
        "[[]",
        "1 2",
        "\t[ ]\r\n",
    ] {
        check(text.as_bytes());
    }
    check(b"\"\xff\"");
}

#[test]
fn mutated_texts_are_taken_or_refused_alike() {
    let seed = br#"{"op":"start","id":"b","argv":["cat","\u00e9\n"],"env":{"A":"b"},"n":[-12,3.25e2,true,null,{}]}"#;
    let letters = br#"{}[]",:\u0123456789eE+-.truefalsn "#;
    let mut state = 88_172_645_463_325_252u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    for _ in 0..50_000 {
        let mut text = seed.to_vec();
        for _ in 0..=below(3) {
            let (at, letter) = (below(text.len()), letters[below(letters.len())]);
            match below(3) {
                0 => text[at] = letter,
                1 => text.insert(at, letter),
                _ => drop(text.remove(at)),
            }
        }
        check(&text);
    }
}

#[test]
fn strings_and_numbers_are_written_alike() {
    let text: String = (0..0x180).filter_map(char::from_u32).chain("😀\u{2028}".chars()).collect();
    assert_eq!(json::to_vec(&text), serde_json::to_vec(&text).unwrap());
    assert_eq!(json::from_slice::<String>(&json::to_vec(&text)).unwrap(), text);
    for number in [0.0, 1.0, 0.07, 12.5, 1234.567] {
        assert_eq!(json::to_vec(&number), serde_json::to_vec(&number).unwrap());
    }
    assert_eq!(json::to_vec(&f64::NAN), b"null");
    assert_eq!(json::to_vec(&u64::MAX), serde_json::to_vec(&u64::MAX).unwrap());
}

#[test]
fn what_is_out_of_range_or_too_deep_is_refused() {
    assert!(json::from_slice::<u16>(b"65536").is_err());
    assert!(json::from_slice::<u32>(b"-1").is_err());
    assert!(json::from_slice::<u64>(b"1.0").is_err());
    assert!(json::from_slice::<Vec<String>>(b"null").is_err());
    assert!(<[u32; 2]>::read(Value::List(vec![Value::Integer(1)])).is_err());
    let deep = [b"[".repeat(60), b"]".repeat(60)].concat();
    assert!(json::parse(&deep).is_ok());
    assert!(json::parse(&b"[".repeat(1_000_000)).is_err());
}
