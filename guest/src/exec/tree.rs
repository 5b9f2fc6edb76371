//! Finding an exec's processes without cgroups: the session it was made the leader of, and every descendant of that.

use std::collections::BTreeSet;
use std::fs;

/// A process as /proc/PID/stat tells it.
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
}

/// The leader, members of its session, and descendants of either.
pub fn members(leader: i32) -> Vec<i32> {
    let processes = all();
    let mut found: BTreeSet<i32> =
        processes.iter().filter(|process| process.session == leader).map(|process| process.pid).collect();
    found.insert(leader);
    loop {
        let before = found.len();
        let children = processes.iter().filter(|process| found.contains(&process.parent));
        let children: Vec<i32> = children.map(|process| process.pid).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    found.into_iter().filter(|pid| processes.iter().any(|process| process.pid == *pid)).collect()
}

fn all() -> Vec<Process> {
    let Ok(directory) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = directory.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// `pid (name) state parent group session …`; the name may hold anything, so the fields start behind its last parenthesis.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_with_parentheses() {
        let process = parse(7, "7 (a) b (c)) S 3 4 5 0 -1").unwrap();
        assert_eq!((process.parent, process.session), (3, 5));
    }

    #[test]
    fn finds_itself() {
        let own = std::process::id() as i32;
        assert!(members(own).contains(&own));
        assert!(members(i32::MAX).is_empty());
    }
}
