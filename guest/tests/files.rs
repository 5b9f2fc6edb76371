//! Files and trees.

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use support::Agent;
use thaw_agent::files::record::{Extent, Meta, Record};

fn record(path: &str, kind: impl FnOnce(Meta) -> Record) -> Vec<u8> {
    let own = unsafe { (libc::getuid(), libc::getgid()) };
    let mut bytes = Vec::new();
    let path = path.as_bytes().to_vec();
    kind(Meta { mode: 0o640, mtime_seconds: 1_000_000_000, mtime_nanoseconds: 7, uid: own.0, gid: own.1, path })
        .encode(&mut bytes);
    bytes
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = record(path, |meta| Record::File(meta, content.len() as u64));
    bytes.extend(Extent { offset: 0, length: content.len() as u32 }.bytes());
    bytes.extend(content);
    bytes.extend(Extent { offset: 0, length: 0 }.bytes());
    bytes
}

#[test]
fn a_tree_survives_the_round_trip() {
    let agent = Agent::start();
    let (from, to) = (agent.folder.join("from"), agent.folder.join("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(from.join("a/b/large"), vec![b'z'; 3_000_000]).unwrap();
    fs::write(from.join("empty"), "").unwrap();
    fs::write(from.join("line\nfeed"), "x").unwrap();
    for number in 0..300 {
        fs::write(from.join(format!("a/{number}")), format!("content {number}")).unwrap();
    }
    fs::set_permissions(from.join("empty"), PermissionsExt::from_mode(0o4711)).unwrap();
    fs::set_permissions(from.join("a/b"), PermissionsExt::from_mode(0o777)).unwrap();
    symlink("/etc/passwd", from.join("link")).unwrap();
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    sparse.set_len(100 << 20).unwrap();
    sparse.write_all_at(b"far out", 50 << 20).unwrap();
    std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();

    let mut host = agent.host();
    let stream = host.request(json!({ "op": "tree-out", "path": from }));
    let tree = host.download(stream);
    assert!(tree.len() < 4_000_000, "holes were sent");
    let stream = host.request(json!({ "op": "tree-in", "path": to }));
    host.upload(stream, &tree);
    let answer = host.answer(stream);
    assert_eq!(answer["ok"]["entries"], 307, "{answer}");

    assert!(!to.join("socket").exists());
    fs::remove_file(from.join("socket")).unwrap();
    let status = std::process::Command::new("diff").arg("-r").arg(&from).arg(&to).status().unwrap();
    assert!(status.success());
    for name in ["a", "a/b", "a/b/large", "empty", "sparse", "link"] {
        let (was, is) = (from.join(name).symlink_metadata().unwrap(), to.join(name).symlink_metadata().unwrap());
        assert_eq!((was.mode(), was.mtime(), was.mtime_nsec()), (is.mode(), is.mtime(), is.mtime_nsec()), "{name}");
    }
    assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("/etc/passwd"));
    assert!(to.join("sparse").metadata().unwrap().blocks() < 1_000);

    // Once more over what is there, as another tree with the same names.
    let stream = host.request(json!({ "op": "tree-in", "path": to }));
    host.upload(stream, &tree);
    assert!(host.answer(stream)["ok"].is_object());
}

/// Bytes that are found out when they land in another's place.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn large_content_at_every_alignment() {
    let agent = Agent::start();
    let mut host = agent.host();
    // A disk, and a file system without writes past the cache.
    let memory = std::path::PathBuf::from(format!("/dev/shm/thaw-agent-test-{}", std::process::id()));
    for folder in [agent.folder.join("disk"), memory] {
        let mut tree = Vec::new();
        let mut expected = Vec::new();
        // Offsets and lengths of extents, and what follows the last.
        let layouts: [(&[(usize, usize)], usize); 9] = [
            (&[(0, 65_536)], 0),
            (&[(0, 65_537)], 0),
            (&[(0, 1_048_576)], 4_096),
            (&[(0, 524_287), (524_287, 2), (524_289, 700_001)], 0),
            (&[(1, 600_000)], 99),
            (&[(4_095, 2), (4_097, 90_000)], 0),
            (&[(511, 3_585), (4_096, 524_288), (1_000_000, 1), (1_100_000, 4_097)], 1),
            (&[(8_192, 4_096), (65_536, 1_300_003)], 3_000_000),
            (&[], 200_000),
        ];
        for (number, (extents, rest)) in layouts.into_iter().enumerate() {
            let size = extents.last().map_or(0, |(offset, length)| offset + length) + rest;
            let source = noise(size);
            let mut content = vec![0; size];
            tree.extend(record(&number.to_string(), |meta| Record::File(meta, size as u64)));
            for &(offset, length) in extents {
                let bytes = &source[offset..offset + length];
                tree.extend(Extent { offset: offset as u64, length: length as u32 }.bytes());
                tree.extend(bytes);
                content[offset..offset + length].copy_from_slice(bytes);
            }
            tree.extend(Extent { offset: 0, length: 0 }.bytes());
            expected.push(content);
        }
        tree.push(0);
        let stream = host.request(json!({ "op": "tree-in", "path": folder }));
        host.upload(stream, &tree);
        let answer = host.answer(stream);
        assert_eq!(answer["ok"]["entries"], 9, "{answer}");
        for (number, content) in expected.iter().enumerate() {
            assert!(fs::read(folder.join(number.to_string())).unwrap() == *content, "{number} in {}", folder.display());
        }
        assert!(folder.join("7").metadata().unwrap().blocks() < 3_500, "holes were filled");

        let path = folder.join("patched");
        for (offset, length) in [(0, 1_048_576), (0, 1_048_577), (3, 2_500_000), (4_096, 1_600_001), (5_000, 524_288)] {
            let mut content = vec![7; 2_000_000];
            fs::write(&path, &content).unwrap();
            let stream = host.request(json!({ "op": "write", "path": path, "offset": offset }));
            host.upload(stream, &noise(length));
            assert_eq!(host.answer(stream), json!({ "ok": {} }));
            content.resize(content.len().max(offset + length), 0);
            content[offset..offset + length].copy_from_slice(&noise(length));
            assert!(fs::read(&path).unwrap() == content, "{length} bytes at {offset} in {}", folder.display());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn some_names_of_a_tree() {
    let agent = Agent::start();
    let from = agent.folder.join("from");
    fs::create_dir_all(from.join("a/b/c")).unwrap();
    fs::write(from.join("a/b/c/x"), "x").unwrap();
    fs::write(from.join("a/b/other"), "x").unwrap();
    let mut host = agent.host();
    let names: Vec<String> = ["a/b/c", "gone"].iter().map(|name| BASE64_STANDARD.encode(name)).collect();
    let stream = host.request(json!({ "op": "tree-out", "path": from, "names": names }));
    let tree = host.download(stream);
    let text = String::from_utf8_lossy(&tree);
    assert!(text.contains("a/b/c/x") && text.contains("gone") && !text.contains("other"));
    let outside = json!({ "op": "tree-out", "path": from, "names": [BASE64_STANDARD.encode("../x")] });
    assert_eq!(host.error_kind(outside), "invalid");
}

#[test]
fn a_tree_goes_into_no_view_of_the_kernel() {
    let agent = Agent::start();
    let mut host = agent.host();
    let names: Vec<String> = ["proc", "sys"].iter().map(|name| BASE64_STANDARD.encode(name)).collect();
    let stream = host.request(json!({ "op": "tree-out", "path": "/", "names": names }));
    let tree = host.download(stream);
    let text = String::from_utf8_lossy(&tree);
    assert!(tree.len() < 500 && text.matches("a file system of the kernel").count() == 2, "{text}");
}

#[test]
fn nothing_is_made_through_a_link() {
    let agent = Agent::start();
    let (to, outside) = (agent.folder.join("to"), agent.folder.join("outside"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&to).unwrap();
    let mut host = agent.host();
    let link = record("link", |meta| Record::Symlink(meta, b"../outside".to_vec()));
    let stream = host.request(json!({ "op": "tree-in", "path": to }));
    host.upload(stream, &[link.clone(), file("link/x", b"x"), vec![0]].concat());
    assert!(host.answer(stream)["error"].is_object());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

    // In the place of a link, a file or directory of its own.
    fs::write(outside.join("kept"), "kept").unwrap();
    let directory = record("link", Record::Directory);
    let stream = host.request(json!({ "op": "tree-in", "path": to }));
    host.upload(stream, &[directory, file("link/x", b"x"), vec![0]].concat());
    assert!(host.answer(stream)["ok"].is_object());
    assert_eq!(fs::read_to_string(to.join("link/x")).unwrap(), "x");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_faulty_tree_is_refused_early() {
    let agent = Agent::start();
    let to = agent.folder.join("to");
    let mut host = agent.host();
    let too_far =
        [record("a", |meta| Record::File(meta, 1)), Extent { offset: 1, length: 1 }.bytes().to_vec(), b"x".to_vec()];
    for bytes in [vec![9; 100], too_far.concat(), file("a", b"x")] {
        let stream = host.request(json!({ "op": "tree-in", "path": to }));
        host.upload(stream, &bytes);
        assert_eq!(host.answer(stream)["error"]["kind"], "invalid");
    }
}

#[test]
fn bytes_of_one_file() {
    let agent = Agent::start();
    let path = agent.folder.join("file");
    let mut host = agent.host();
    let content: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    let stream = host.request(json!({ "op": "write", "path": path, "mode": 0o600 }));
    host.upload(stream, &content);
    assert_eq!(host.answer(stream), json!({ "ok": {} }));
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);

    let stream = host.request(json!({ "op": "write", "path": path, "offset": 10 }));
    host.upload(stream, b"patched");
    host.answer(stream);
    let stream = host.request(json!({ "op": "read", "path": path, "offset": 9, "length": 9 }));
    assert_eq!(host.answer(stream)["ok"]["size"], 1_000_000);
    assert_eq!(host.download(stream), [&[9], &b"patched"[..], &[17]].concat());
    let stream = host.request(json!({ "op": "read", "path": path }));
    assert_eq!(host.download(stream).len(), 1_000_000);
    // Files of the kernel have no size and are read all the same.
    let stream = host.request(json!({ "op": "read", "path": "/proc/self/status" }));
    assert!(host.download(stream).len() > 100);
}

#[test]
fn folders_and_entries() {
    let agent = Agent::start();
    let base = agent.folder.join("base");
    let mut host = agent.host();
    assert_eq!(host.ask(json!({ "op": "mkdir", "path": base.join("a/b"), "mode": 0o700 })), json!({ "ok": {} }));
    assert_eq!(base.join("a/b").metadata().unwrap().mode() & 0o777, 0o700);
    for number in 0..20 {
        fs::write(base.join(format!("{number:02}")), "x").unwrap();
    }
    let listing = host.ask(json!({ "op": "list", "path": base, "limit": 5 }));
    assert_eq!(listing["ok"]["entries"][4]["path"], "04");
    assert_eq!(listing["ok"]["truncated"], true);
    let entry = host.ask(json!({ "op": "stat", "path": base.join("a") }));
    assert_eq!(entry["ok"]["type"], "dir");
    assert_eq!(host.error_kind(json!({ "op": "mkdir", "path": base.join("00") })), "exists");
    assert_eq!(host.error_kind(json!({ "op": "remove", "path": base })), "exists");
    assert_eq!(host.ask(json!({ "op": "remove", "path": base, "recursive": true })), json!({ "ok": {} }));
    assert_eq!(host.error_kind(json!({ "op": "stat", "path": base })), "not-found");
    assert_eq!(host.error_kind(json!({ "op": "stat", "path": "relative" })), "invalid");
}
