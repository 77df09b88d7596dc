//! The plugin as kubectl runs it, against a real kube-apiserver. The test plays operator and Job controller by
//! writing what these would write; `tests/e2e` has the real ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

mod bed;
mod commands;
mod rights;
mod waiting;
