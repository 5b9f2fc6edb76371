//! Finding an exec's processes without cgroups: the session it was made the leader of, and every descendant of that.

use super::stat::Stat;
use std::collections::BTreeSet;
use std::fs;

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
    let look = |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let stat = Stat::parse(&text)?;
        Some(Process { pid, parent: stat.parent, session: stat.session })
    };
    pids.filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself() {
        let own = std::process::id() as i32;
        assert!(members(own).contains(&own));
        assert!(members(i32::MAX).is_empty());
    }
}
