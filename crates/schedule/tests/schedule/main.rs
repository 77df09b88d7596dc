//! Schedules against Kubernetes' own parser: what it said once, what it says now, and what a real
//! kube-apiserver accepts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

mod cases;
mod golden;
mod kube_apiserver;
mod oracle;
mod previous;
mod zone_data;
