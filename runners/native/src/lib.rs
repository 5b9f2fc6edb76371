//! Helpers of the QEMU driver that run on the host. The program in the guest is a crate of its own, `guest/`.

pub mod pages;
