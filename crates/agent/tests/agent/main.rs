//! The built agent against a real etcd with mutual TLS.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod catalogue;
mod interruption;
mod inventory;
mod killed;
mod lineage;
mod members;
mod number;
mod operations;
mod policy;
mod prune;
mod save;
mod sets;
mod size;
mod verify;
