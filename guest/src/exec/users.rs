//! Users and groups, straight from /etc/passwd and /etc/group: a static binary has no name service to ask, and images have no
//! users from elsewhere.

use crate::failure::{Failure, Kind};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Whom a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub name: String,
    pub home: String,
    pub shell: String,
}

/// The two files.
struct Database {
    passwd: Arc<str>,
    group: Arc<str>,
}

/// Finds `name`, `uid`, `name:group` or `uid:gid`; root when there is no spec.
pub fn resolve(spec: Option<&str>) -> Result<Account, Failure> {
    // Root's supplementary groups are not worth a second file on the path of every start.
    let group = if spec.is_some() { read("/etc/group") } else { Arc::default() };
    Database { passwd: read("/etc/passwd"), group }.resolve(spec.unwrap_or("0"))
}

/// Reads the files ahead of need.
pub fn prepare() {
    read("/etc/passwd");
    read("/etc/group");
}

/// Longer files are read each time.
const KEPT_BYTES: usize = 64 * 1024;

/// What tells two states of a file apart: device, inode, size, and the time of the last change of any kind in seconds and nanoseconds.
type Version = [i64; 5];

/// The files as they were read last: to see that one did not change takes a fraction of reading it, most of all right after a thaw.
static KNOWN: Mutex<BTreeMap<&str, (Version, Arc<str>)>> = Mutex::new(BTreeMap::new());

/// The file's text; empty when there is none.
fn read(path: &'static str) -> Arc<str> {
    let version = |found: Metadata| {
        [found.dev() as i64, found.ino() as i64, found.size() as i64, found.ctime(), found.ctime_nsec()]
    };
    let Ok(version) = fs::metadata(path).map(version) else { return Arc::default() };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, text)) = known.get(path)
        && *of == version
    {
        return text.clone();
    }
    let text: Arc<str> = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into()).unwrap_or_default();
    if text.len() <= KEPT_BYTES {
        known.insert(path, (version, text.clone()));
    }
    text
}

impl Database {
    fn resolve(&self, spec: &str) -> Result<Account, Failure> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let mut account = self.account(user)?;
        match group {
            Some(group) => account.gid = self.group_id(group)?,
            None => account.groups = self.groups_of(&account),
        }
        Ok(account)
    }

    fn account(&self, user: &str) -> Result<Account, Failure> {
        let uid = user.parse::<u32>().ok();
        let found = self.passwd.lines().find_map(|line| {
            let account = parse_account(line)?;
            (account.name == user || Some(account.uid) == uid).then_some(account)
        });
        match (found, uid) {
            (Some(account), _) => Ok(account),
            (None, Some(uid)) => Ok(unnamed(uid)),
            (None, None) if user == "root" => Ok(unnamed(0)),
            (None, None) => Err(Failure::new(Kind::NoUser, format!("no user {user:?} in /etc/passwd"))),
        }
    }

    fn group_id(&self, group: &str) -> Result<u32, Failure> {
        let found = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse::<u32>().ok()?;
            (name == group).then_some(gid)
        });
        found
            .or_else(|| group.parse().ok())
            .ok_or_else(|| Failure::new(Kind::NoUser, format!("no group {group:?} in /etc/group")))
    }

    fn groups_of(&self, account: &Account) -> Vec<u32> {
        let member = |line: &str| {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse::<u32>().ok()?;
            let listed = fields.next()?.split(',').any(|name| name == account.name);
            listed.then_some(gid)
        };
        self.group.lines().filter_map(member).collect()
    }
}

fn parse_account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_string();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?.to_string();
    let shell = fields.next().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh").to_string();
    Some(Account { uid, gid, groups: Vec::new(), name, home, shell })
}

/// A user id that no line of /etc/passwd names. Its group has the same number for root, and is root's otherwise.
fn unnamed(uid: u32) -> Account {
    let root = uid == 0;
    Account {
        uid,
        gid: 0,
        groups: Vec::new(),
        name: if root { "root".to_string() } else { uid.to_string() },
        home: if root { "/root" } else { "/" }.to_string(),
        shell: "/bin/sh".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        Database {
            passwd: "root:x:0:0:root:/root:/bin/bash\nbroken\nci:x:1000:1001::/home/ci:\n".into(),
            group: "root:x:0:\nci:x:1001:\ndocker:x:999:ci,other\n".into(),
        }
    }

    #[test]
    fn resolves_names_and_numbers() {
        let ci = database().resolve("ci").unwrap();
        assert_eq!((ci.uid, ci.gid, ci.groups.as_slice()), (1000, 1001, [999].as_slice()));
        assert_eq!((ci.home.as_str(), ci.shell.as_str()), ("/home/ci", "/bin/sh"));
        assert_eq!(database().resolve("1000").unwrap(), ci);
        let mixed = database().resolve("ci:docker").unwrap();
        assert_eq!((mixed.uid, mixed.gid, mixed.groups.len()), (1000, 999, 0));
        let numbers = database().resolve("77:88").unwrap();
        assert_eq!((numbers.uid, numbers.gid, numbers.name.as_str()), (77, 88, "77"));
    }

    #[test]
    fn refuses_unknown_names() {
        assert_eq!(database().resolve("nobody").unwrap_err().kind, Kind::NoUser);
        assert_eq!(database().resolve("ci:nobody").unwrap_err().kind, Kind::NoUser);
    }
}
