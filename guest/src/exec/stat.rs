//! A process as /proc/PID/stat tells it.

/// Flag of the kernel's own threads (PF_KTHREAD).
const KERNEL_THREAD: u64 = 0x20_0000;

#[derive(Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    pub name: &'a str,
    /// A letter: R running, S asleep, D waiting for the kernel, Z ended and not reaped, and so on.
    pub state: char,
    pub parent: i32,
    pub session: i32,
    pub is_kernel: bool,
}

impl<'a> Stat<'a> {
    /// `pid (name) state parent group session tty ttygroup flags …`; the name may hold anything, so the fields start behind its last
    /// parenthesis.
    pub fn parse(stat: &'a str) -> Option<Self> {
        let (start, end) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat.get(end + 1..)?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let flags: u64 = fields.nth(2)?.parse().ok()?;
        let name = stat.get(start + 1..end)?;
        Some(Self { name, state, parent, session, is_kernel: flags & KERNEL_THREAD != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_with_parentheses() {
        let stat = Stat::parse("7 (a) b (c)) S 3 4 5 0 -1 4194560 1 2").unwrap();
        assert_eq!(stat, Stat { name: "a) b (c)", state: 'S', parent: 3, session: 5, is_kernel: false });
        assert!(Stat::parse("9 (kworker/0:0) I 2 0 0 0 -1 69238880 0").unwrap().is_kernel);
        assert_eq!(Stat::parse("9 )("), None);
    }
}
