//! Helpers of the runners that run on the host. The program in the guest is a crate of its own, `guest/`.

pub mod cgroup;
pub mod cores;
pub mod gvisor;
pub mod jail;
pub mod keep;
pub mod options;
pub mod page_set;
pub mod pages;
pub mod protocol;
pub mod starter;
pub mod sys;
pub mod uids;
