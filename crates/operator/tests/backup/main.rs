//! The Backup controller against a real API server, with the RBAC that we ship.

#![allow(clippy::unwrap_used, reason = "clippy knows only functions marked #[test] as tests, not what they call")]

#[path = "../bed/mod.rs"]
#[allow(dead_code, reason = "each program uses a part of it")]
mod bed;

mod cron_job;
mod metrics;
mod retention;
mod runs;
mod schedules;
mod stand_down;
