//! Backup sets on a real file system, through the crate's public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail")]

mod documents;
mod fixture;
mod hostile;
mod lock;
mod look;
mod publish;
