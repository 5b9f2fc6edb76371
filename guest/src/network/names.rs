//! Names and the addresses that stand for them in here: one for each name, of 198.18.0.0/15, which is nobody's on the internet (RFC 2544).

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// The range's first address.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const SIZE: u32 = 1 << 17;
/// The network's own address, that of `lo` and the resolver's.
const RESERVED: u32 = 3;
/// Names that have an address at the same time. The oldest loses its address, which is given to another name much later.
const MAX_NAMES: usize = 8_192;

#[derive(Default)]
pub struct Names {
    by_name: BTreeMap<String, u32>,
    by_offset: BTreeMap<u32, String>,
    /// Offsets in the range, oldest first.
    given: VecDeque<u32>,
    last: u32,
    /// Names that the host allows at no port, whatever it is asked; with `*.` before a domain: all below it.
    pub refused: Vec<String>,
}

impl Names {
    /// Whether the host would turn down every connection to a name. @param name in lower case
    pub fn is_refused(&self, name: &str) -> bool {
        self.refused.iter().any(|refused| match refused.strip_prefix("*.") {
            Some(domain) => name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => name == refused,
        })
    }

    /// The address of a name, which is given one if it has none. @param name in lower case
    pub fn address(&mut self, name: &str) -> Ipv4Addr {
        if let Some(&offset) = self.by_name.get(name) {
            return Ipv4Addr::from(FIRST + offset);
        }
        if self.given.len() >= MAX_NAMES
            && let Some(oldest) = self.given.pop_front()
            && let Some(name) = self.by_offset.remove(&oldest)
        {
            self.by_name.remove(&name);
        }
        self.last = if self.last + 1 >= SIZE - RESERVED { 0 } else { self.last + 1 };
        let offset = RESERVED + self.last;
        self.by_name.insert(name.to_string(), offset);
        self.by_offset.insert(offset, name.to_string());
        self.given.push_back(offset);
        Ipv4Addr::from(FIRST + offset)
    }

    /// The name that an address stands for.
    pub fn name(&self, address: Ipv4Addr) -> Option<&str> {
        let offset = u32::from(address).checked_sub(FIRST)?;
        self.by_offset.get(&offset).map(String::as_str)
    }
}

/// Whether an address stands for a name, or stood for one.
pub fn is_synthetic(address: Ipv4Addr) -> bool {
    u32::from(address).wrapping_sub(FIRST) < SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_for_each_name() {
        let mut names = Names::default();
        let first = names.address("example.com");
        assert_ne!(names.address("example.org"), first);
        assert_eq!(names.address("example.com"), first);
        assert_eq!(names.name(first), Some("example.com"));
        assert!(is_synthetic(first));
        assert!(!is_synthetic(Ipv4Addr::new(198, 20, 0, 0)));
    }

    #[test]
    fn the_oldest_name_goes_and_its_address_is_not_given_again_soon() {
        let mut names = Names::default();
        let first = names.address("0.example");
        for number in 1..=MAX_NAMES {
            assert_ne!(names.address(&format!("{number}.example")), first);
        }
        assert_eq!(names.name(first), None);
        assert_eq!((names.by_name.len(), names.by_offset.len()), (MAX_NAMES, MAX_NAMES));
    }

    #[test]
    fn refused_names() {
        let names = Names { refused: vec!["evil.test".into(), "*.worse.test".into()], ..Names::default() };
        for name in ["evil.test", "a.worse.test", "a.b.worse.test"] {
            assert!(names.is_refused(name), "{name}");
        }
        for name in ["a.evil.test", "worse.test", "xworse.test", ".worse.test", "test"] {
            assert!(!names.is_refused(name), "{name}");
        }
    }

    #[test]
    fn addresses_stay_in_the_range() {
        let mut names = Names { last: SIZE - RESERVED - 2, ..Names::default() };
        let addresses: Vec<_> = ["a", "b", "c"].map(|name| names.address(name)).into();
        assert!(addresses.iter().all(|&address| is_synthetic(address)), "{addresses:?}");
    }
}
