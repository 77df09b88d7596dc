//! The whole product in a real cluster: what the demo and the end-to-end tests share.
//!
//! [`Bed`] is a running cluster with our operator in it; [`scenarios`] are what must hold there.

#![forbid(unsafe_code)]

pub mod bed;
pub mod figures;
pub mod fill;
pub mod manifests;
pub mod processes;
pub mod restore;
pub mod scenarios;

pub use bed::Bed;
