//! Fuzz targets: each takes any bytes and panics where a promise does not hold.
//!
//! Everything here reads what somebody else may have written: a member of etcd, a disk, an older or newer version, a
//! user. libFuzzer calls the targets with ever new bytes (`make fuzz`); the tests call them with the bytes that were
//! found interesting before, kept in `fuzz/corpus`.

#![forbid(unsafe_code)]

mod document;
mod manifest;
mod mutation;
mod report;
mod schedule;
mod verify;

pub use etcd_backup_snapshot::fuzzing::page;
pub use manifest::manifest;
pub use mutation::mutate_snapshot;
pub use report::report;
pub use schedule::schedule;
pub use verify::verify;
