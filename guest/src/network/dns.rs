//! Questions and answers of the domain name system (RFC 1035), as far as a resolver needs them that knows every name. Pure.

use std::net::Ipv4Addr;

const HEADER_BYTES: usize = 12;
const MAX_NAME_CHARS: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
const TTL_SECONDS: u32 = 60;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

const FORMAT_ERROR: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

/// Domains that lead nowhere, whatever a policy allows: RFC 6761, RFC 6762, RFC 7686.
const NOWHERE: [&str; 3] = ["invalid", "local", "onion"];

/// The answer to a message; None for what is no question. `address` tells the address of a name, given in lower case; None: it is refused.
///
/// Only addresses of IPv4 are known. Every other type is answered with no data: a name without IPv6 and without the records that would hide
/// it from the host (HTTPS, SVCB).
pub fn answer(message: &[u8], address: impl FnOnce(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let header = message.first_chunk::<HEADER_BYTES>()?;
    let is_answer = header[2] & 0x80 != 0;
    if is_answer {
        return None;
    }
    let question = match question(message) {
        Some(question) if counts(header) => question,
        _ => return Some(reply(header, FORMAT_ERROR, &[], None)),
    };
    let asked = &message[HEADER_BYTES..question.end];
    let is_query = header[2] & 0x78 == 0;
    let (code, found) = match question.name {
        _ if !is_query => (NOT_IMPLEMENTED, None),
        _ if question.class != CLASS_IN => (REFUSED, None),
        Name::Reverse => (NO_SUCH_NAME, None),
        Name::Other => (if question.kind == TYPE_A { REFUSED } else { 0 }, None),
        Name::Nowhere => (REFUSED, None),
        Name::Host(_) if question.kind != TYPE_A => (0, None),
        Name::Host(name) if name == "localhost" => (0, Some(Ipv4Addr::LOCALHOST)),
        Name::Host(name) => address(&name).map_or((REFUSED, None), |found| (0, Some(found))),
    };
    Some(reply(header, code, asked, found))
}

enum Name {
    /// In lower case, without the dot at its end.
    Host(String),
    /// Letters that no host's name has.
    Other,
    /// In a domain that leads nowhere.
    Nowhere,
    /// The name of an address.
    Reverse,
}

struct Question {
    name: Name,
    kind: u16,
    class: u16,
    /// Where it ends in the message.
    end: usize,
}

/// One question. What follows it is not read.
fn counts(header: &[u8; HEADER_BYTES]) -> bool {
    header[4..6] == [0, 1]
}

fn question(message: &[u8]) -> Option<Question> {
    let mut at = HEADER_BYTES;
    let mut name = String::new();
    let mut is_host = true;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A question's name is not compressed: nothing is before it.
        if length > MAX_LABEL_BYTES {
            return None;
        }
        let label = message.get(at..at + length)?;
        at += length;
        if !name.is_empty() {
            name.push('.');
        }
        is_host &= label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-');
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        if name.len() > 2 * MAX_NAME_CHARS {
            return None;
        }
    }
    let fields = message.get(at..at + 4)?;
    let (kind, class) = (u16::from_be_bytes([fields[0], fields[1]]), u16::from_be_bytes([fields[2], fields[3]]));
    let is_host = is_host && !name.is_empty() && name.len() <= MAX_NAME_CHARS;
    let last = name.rsplit('.').next().unwrap_or_default();
    let name = match last {
        "arpa" => Name::Reverse,
        last if NOWHERE.contains(&last) => Name::Nowhere,
        _ if is_host => Name::Host(name),
        _ => Name::Other,
    };
    Some(Question { name, kind, class, end: at + 4 })
}

fn reply(header: &[u8; HEADER_BYTES], code: u8, question: &[u8], found: Option<Ipv4Addr>) -> Vec<u8> {
    const ANSWER: u8 = 0x80;
    const KEPT_FLAGS: u8 = 0x79;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let mut reply = vec![header[0], header[1], header[2] & KEPT_FLAGS | ANSWER, RECURSION_AVAILABLE | code];
    reply.extend_from_slice(&[0, u8::from(!question.is_empty()), 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    reply.extend_from_slice(question);
    if let Some(address) = found {
        const NAME_OF_THE_QUESTION: [u8; 2] = [0xc0, HEADER_BYTES as u8];
        reply.extend_from_slice(&NAME_OF_THE_QUESTION);
        reply.extend_from_slice(&TYPE_A.to_be_bytes());
        reply.extend_from_slice(&CLASS_IN.to_be_bytes());
        reply.extend_from_slice(&TTL_SECONDS.to_be_bytes());
        reply.extend_from_slice(&[0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 9);

    fn query(name: &[u8], kind: u16) -> Vec<u8> {
        let mut message = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split(|&byte| byte == b'.').filter(|label| !label.is_empty()) {
            message.push(label.len() as u8);
            message.extend_from_slice(label);
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message
    }

    /// Code, and the address when there is one.
    fn told(message: &[u8]) -> (u8, Option<[u8; 4]>) {
        let reply = answer(message, |_| Some(ADDRESS)).expect("an answer");
        let address = (reply[7] == 1).then(|| *reply.last_chunk::<4>().expect("an address"));
        assert_eq!((&reply[..2], reply[2] & 0x80), (&message[..2], 0x80));
        (reply[3] & 0xf, address)
    }

    #[test]
    fn a_name_has_one_address_and_nothing_else() {
        assert_eq!(told(&query(b"Example.COM", TYPE_A)), (0, Some(ADDRESS.octets())));
        let mut asked = None;
        answer(&query(b"Example.COM", TYPE_A), |name| {
            asked = Some(name.to_string());
            Some(ADDRESS)
        });
        assert_eq!(asked.as_deref(), Some("example.com"));
        for kind in [28, 65, 64, 16, 15, 33, 255] {
            assert_eq!(told(&query(b"example.com", kind)), (0, None), "type {kind}");
        }
        assert_eq!(told(&query(b"localhost", TYPE_A)), (0, Some([127, 0, 0, 1])));
    }

    #[test]
    fn names_that_lead_nowhere_are_refused() {
        for name in [&b"x.onion"[..], b"printer.local", b"a.invalid", b"a b.example", b"-a.example", b"a_b.example"] {
            assert_eq!(told(&query(name, TYPE_A)), (REFUSED, None), "{name:?}");
        }
        assert_eq!(told(&query(b"_http._tcp.deb.debian.org", 33)), (0, None));
        assert_eq!(told(&query(b"1.0.0.127.in-addr.arpa", 12)), (NO_SUCH_NAME, None));
        assert_eq!(told(&query(b"", TYPE_A)), (REFUSED, None));
        let long = [&[b'a'; 63][..]; 4].join(&b'.');
        assert_eq!(told(&query(&long, TYPE_A)), (REFUSED, None));
    }

    #[test]
    fn malformed_messages() {
        let whole = query(b"example.com", TYPE_A);
        for length in 0..whole.len() {
            let reply = answer(&whole[..length], |_| Some(ADDRESS));
            assert_eq!(reply.map(|reply| reply[3] & 0xf), (length >= HEADER_BYTES).then_some(FORMAT_ERROR), "{length}");
        }
        let mut two = whole.clone();
        two[5] = 2;
        assert_eq!(told(&two).0, FORMAT_ERROR);
        let mut response = whole.clone();
        response[2] |= 0x80;
        assert_eq!(answer(&response, |_| Some(ADDRESS)), None);
        let mut update = whole.clone();
        update[2] |= 5 << 3;
        assert_eq!(told(&update).0, NOT_IMPLEMENTED);
        let mut pointer = whole;
        pointer[HEADER_BYTES] = 0xc0;
        assert_eq!(told(&pointer).0, FORMAT_ERROR);
    }
}
