//! Cron schedules as kube-controller-manager reads them: when is the next run, which runs were due.
//!
//! A `CronJob` is fired by github.com/robfig/cron/v3 (`ParseStandard`). This crate reads the same
//! grammar and takes the same steps through the calendar, so that status and messages name the
//! instants at which runs really start, also where daylight saving makes them odd. It fires
//! nothing, has no clock and does no I/O.
//!
//! Instants are [`jiff::Timestamp`], here as in all other crates. Inside, chrono and chrono-tz tell
//! what a clock on the wall shows: chrono-tz is one pinned release of the tz database, compiled in
//! ([`TZDB_RELEASE`]), independent of what is installed, and its sources can be given to Go for a
//! comparison. kube-controller-manager has a release of its own: where a zone's rules changed in
//! between, it runs by those.

#![forbid(unsafe_code)]

mod duration;
mod error;
mod fields;
mod schedule;
mod search;
mod zone;

#[cfg(test)]
mod tests;

pub use error::ScheduleError;
pub use schedule::{Schedule, validate};
pub use zone::{TZDB_RELEASE, Zone};
