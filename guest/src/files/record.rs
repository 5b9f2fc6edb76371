//! Tree records: the wire form of files, as in docs/PROTOCOL.md.

use crate::failure::Failure;

/// Longest path and longest target.
pub const MAX_PATH_BYTES: usize = 4_096;

const END: u8 = 0;
const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 3;
const SKIPPED: u8 = 4;
const LINK: u8 = 5;
const ATTRIBUTES: u8 = 6;

/// What all records but the end have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, at most 07777.
    pub mode: u32,
    pub mtime_seconds: i64,
    pub mtime_nanoseconds: u32,
    pub uid: u32,
    pub gid: u32,
    /// Relative, without empty, `.` and `..` parts.
    pub path: Vec<u8>,
}

/// A record. A file's extents follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    End,
    Directory(Meta),
    File(Meta, u64),
    Symlink(Meta, Vec<u8>),
    Skipped(Meta, Vec<u8>),
    /// Another name of a file that came before: its path.
    Link(Meta, Vec<u8>),
    /// Names of extended attributes that the file or directory before it has, each ended by a NUL. Their values do not travel.
    Attributes(Meta, Vec<u8>),
}

/// A piece of a file's content. Length 0 ends the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u32,
}

/// Bytes of an extent's header.
pub const EXTENT_BYTES: usize = 12;

impl Extent {
    pub fn bytes(&self) -> [u8; EXTENT_BYTES] {
        let mut bytes = [0; EXTENT_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
}

impl Record {
    /// Adds the wire form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, meta) = match self {
            Record::End => return out.push(END),
            Record::Directory(meta) => (DIRECTORY, meta),
            Record::File(meta, _) => (FILE, meta),
            Record::Symlink(meta, _) => (SYMLINK, meta),
            Record::Skipped(meta, _) => (SKIPPED, meta),
            Record::Link(meta, _) => (LINK, meta),
            Record::Attributes(meta, _) => (ATTRIBUTES, meta),
        };
        out.push(kind);
        out.extend_from_slice(&meta.mode.to_le_bytes());
        out.extend_from_slice(&meta.mtime_seconds.to_le_bytes());
        out.extend_from_slice(&meta.mtime_nanoseconds.to_le_bytes());
        out.extend_from_slice(&meta.uid.to_le_bytes());
        out.extend_from_slice(&meta.gid.to_le_bytes());
        encode_bytes(&meta.path, out);
        match self {
            Record::File(_, size) => out.extend_from_slice(&size.to_le_bytes()),
            Record::Symlink(_, text)
            | Record::Skipped(_, text)
            | Record::Link(_, text)
            | Record::Attributes(_, text) => encode_bytes(text, out),
            Record::Directory(_) | Record::End => {}
        }
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = bytes.get(..bytes.len().min(MAX_PATH_BYTES)).unwrap_or_default();
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Where a decoder gets its bytes.
pub trait Source {
    /// Fills `into`, or fails when there are too few.
    fn take(&mut self, into: &mut [u8]) -> Result<(), Failure>;
}

impl Source for &[u8] {
    fn take(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        let (taken, rest) = self.split_at_checked(into.len()).ok_or_else(too_short)?;
        into.copy_from_slice(taken);
        *self = rest;
        Ok(())
    }
}

/// The failure of a stream that ends too early.
pub fn too_short() -> Failure {
    Failure::invalid("the tree ends in the middle of a record")
}

/// Takes the next record.
pub fn decode(source: &mut impl Source) -> Result<Record, Failure> {
    let [kind] = array(source)?;
    if kind == END {
        return Ok(Record::End);
    }
    // One read for all fields of fixed size: a tree of small files is mostly these.
    let fixed: [u8; 26] = array(source)?;
    let [m0, m1, m2, m3, s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, rest @ ..] = fixed;
    let [u0, u1, u2, u3, g0, g1, g2, g3, p0, p1] = rest;
    let mut meta = Meta {
        mode: u32::from_le_bytes([m0, m1, m2, m3]),
        mtime_seconds: i64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        mtime_nanoseconds: u32::from_le_bytes([n0, n1, n2, n3]),
        uid: u32::from_le_bytes([u0, u1, u2, u3]),
        gid: u32::from_le_bytes([g0, g1, g2, g3]),
        path: vec![0; limited(u16::from_le_bytes([p0, p1]))?],
    };
    source.take(&mut meta.path)?;
    check(&meta)?;
    match kind {
        DIRECTORY => Ok(Record::Directory(meta)),
        FILE => Ok(Record::File(meta, u64::from_le_bytes(array(source)?))),
        SYMLINK => Ok(Record::Symlink(meta, text(source)?)),
        SKIPPED => Ok(Record::Skipped(meta, text(source)?)),
        LINK => {
            let target = text(source)?;
            check_path(&target)?;
            Ok(Record::Link(meta, target))
        }
        ATTRIBUTES => Ok(Record::Attributes(meta, text(source)?)),
        other => Err(Failure::invalid(format!("a record of unknown kind {other}"))),
    }
}

/// Takes the next extent's header.
pub fn decode_extent(source: &mut impl Source) -> Result<Extent, Failure> {
    let bytes: [u8; EXTENT_BYTES] = array(source)?;
    let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = bytes;
    Ok(Extent {
        offset: u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
        length: u32::from_le_bytes([l0, l1, l2, l3]),
    })
}

fn array<const N: usize>(source: &mut impl Source) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    source.take(&mut bytes)?;
    Ok(bytes)
}

fn text(source: &mut impl Source) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; limited(u16::from_le_bytes(array(source)?))?];
    source.take(&mut bytes)?;
    Ok(bytes)
}

fn limited(length: u16) -> Result<usize, Failure> {
    match usize::from(length) {
        length if length <= MAX_PATH_BYTES => Ok(length),
        length => Err(Failure::invalid(format!("a path of {length} bytes; {MAX_PATH_BYTES} is the limit"))),
    }
}

fn check_path(path: &[u8]) -> Result<(), Failure> {
    let bad_part = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
    if path.split(|&byte| byte == b'/').any(bad_part) {
        let path = String::from_utf8_lossy(path);
        return Err(Failure::invalid(format!("a record's path is not allowed: {path:?}")));
    }
    Ok(())
}

fn check(meta: &Meta) -> Result<(), Failure> {
    check_path(&meta.path)?;
    if meta.mode > 0o7777 || meta.mtime_nanoseconds >= 1_000_000_000 {
        return Err(Failure::invalid("a record's mode or time is out of range"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(path: &[u8]) -> Meta {
        Meta { mode: 0o644, mtime_seconds: -1, mtime_nanoseconds: 5, uid: 1, gid: 2, path: path.to_vec() }
    }

    #[test]
    fn records_survive_the_wire() {
        for record in [
            Record::End,
            Record::Directory(meta(b"a")),
            Record::File(meta(b"a/\xff"), 1 << 40),
            Record::Symlink(meta(b"l"), b"../x".to_vec()),
            Record::Skipped(meta(b"s"), b"a socket".to_vec()),
            Record::Link(meta(b"twin"), b"a/\xff".to_vec()),
            Record::Attributes(meta(b"twin"), b"user.a\0security.capability\0".to_vec()),
        ] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(decode(&mut bytes.as_slice()).unwrap(), record);
            for length in 0..bytes.len() {
                assert!(decode(&mut &bytes[..length]).is_err());
            }
        }
    }

    #[test]
    fn refuses_paths_that_lead_elsewhere() {
        for path in ["", "/a", "a/", "a//b", ".", "a/../b", "a\0b"] {
            let mut bytes = Vec::new();
            Record::Directory(meta(path.as_bytes())).encode(&mut bytes);
            assert!(decode(&mut bytes.as_slice()).is_err(), "{path:?}");
        }
    }
}
