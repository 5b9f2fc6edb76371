//! The agent inside a thaw sandbox. It speaks docs/PROTOCOL.md with a host: over a console port as PID 1 of a microVM, or over a unix
//! socket as an ordinary process.

pub mod agent;
pub mod exec;
pub mod failure;
pub mod files;
pub mod frame;
pub mod identity;
pub mod init;
pub mod input;
pub mod jobs;
pub mod json;
pub mod kept_file;
pub mod link;
pub mod log;
pub mod machine;
pub mod message;
pub mod network;
pub mod poll;
pub mod processes;
pub mod protocol;
mod requests;
mod session;
pub mod sockets;
pub mod sys;
