//! The built agent against a real etcd with mutual TLS.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod catalogue;
mod hostile;
mod interruption;
mod inventory;
mod killed;
mod last_set;
mod lineage;
mod members;
mod number;
mod openshift;
mod operations;
mod policy;
mod prune;
mod save;
mod sets;
mod size;
mod verify;
