//! The whole product in a real cluster: what the demo and the end-to-end tests share.
//!
//! [`Bed`] is a running cluster with our operator in it; [`scenarios`] are what must hold there.

#![forbid(unsafe_code)]

pub mod bed;
pub mod by_hand;
pub mod faults;
pub mod fill;
pub mod history;
pub mod manifests;
pub mod operations;
pub mod operator;
pub mod permissions;
pub mod processes;
pub mod prometheus;
pub mod restore;
pub mod runbook;
pub mod sampler;
pub mod scale;
pub mod scenarios;
pub mod schedules;
pub mod soak;

pub use bed::Bed;
