//! The reader against real snapshots, whole and damaged in every way that it has a check for. `tests/data/README.md`
//! says where they come from.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod arbitrary;
mod damaged;
mod entries;
mod golden;
mod resealed;
mod surgery;
mod watched;
