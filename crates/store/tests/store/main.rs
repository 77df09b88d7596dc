//! Backup sets on a real file system, through the crate's public face.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its stage has to fail")]

mod crash;
mod delete;
mod documents;
mod fixture;
mod hostile;
mod lock;
mod look;
mod operations;
mod publish;
mod verified;
