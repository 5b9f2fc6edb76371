//! What a request can fail with, as the host sees it.

use crate::json::{messages, names};
use std::io;

/// The kinds of docs/PROTOCOL.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Invalid,
    Unsupported,
    NotFound,
    NotExecutable,
    NoUser,
    Io,
    Limit,
    Exists,
    Refused,
    Denied,
}

names!(Kind {
    Invalid = "invalid",
    Unsupported = "unsupported",
    NotFound = "not-found",
    NotExecutable = "not-executable",
    NoUser = "no-user",
    Io = "io",
    Limit = "limit",
    Exists = "exists",
    Refused = "refused",
    Denied = "denied",
});

/// Hosts refuse longer messages.
const MAX_MESSAGE_BYTES: usize = 1_024;

messages! {
    /// A failed request.
    pub struct Failure {
        pub kind: Kind,
        pub message: String,
        pub errno: Option<i32> = omitted,
    }
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: clipped(message.into()), errno: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// What the system said about `what`, in the kind closest to it.
    pub fn io(error: &io::Error, what: &str) -> Self {
        let errno = error.raw_os_error();
        let kind = match errno {
            Some(libc::ENOENT) => Kind::NotFound,
            Some(libc::EEXIST | libc::ENOTEMPTY) => Kind::Exists,
            Some(libc::EACCES | libc::EPERM) => Kind::Denied,
            Some(libc::ECONNREFUSED) => Kind::Refused,
            Some(libc::EINVAL | libc::ENAMETOOLONG) => Kind::Invalid,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN) => Kind::Limit,
            _ => Kind::Io,
        };
        Self { kind, message: clipped(format!("{what}: {error}")), errno }
    }
}

/// `text`, cut at a character's boundary when it is too long for a message.
pub fn clipped(text: String) -> String {
    cut(text, MAX_MESSAGE_BYTES)
}

/// The beginning of `text`, of at most `most` bytes, cut at a character's boundary.
pub fn cut(mut text: String, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

/// Adds to a system error what it is about.
pub trait Context<T> {
    fn context(self, what: impl AsRef<str>) -> Result<T, Failure>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl AsRef<str>) -> Result<T, Failure> {
        self.map_err(|error| Failure::io(&error, what.as_ref()))
    }
}
