//! The built agent against a real etcd with mutual TLS.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod interruption;
mod inventory;
mod members;
mod save;
mod verify;
