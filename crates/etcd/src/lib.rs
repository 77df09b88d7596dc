//! The etcd cluster that a snapshot is taken from.
//!
//! In the order of a run: [`survey`] asks every member how it is, [`candidates`] decides which of
//! them to ask for the snapshot, [`linearizable_revision`] fixes the revision that the snapshot must
//! reach, [`KeyReader`] tells what named keys hold at it, and [`SnapshotStream`] brings the snapshot
//! to a local file under watchdogs, so that neither a stuck member nor a slow disk can hold etcd's
//! read transaction open for long.
//!
//! A member that fails is for the caller to drop; the next candidate is asked with the same calls.

#![forbid(unsafe_code)]

mod alarm;
mod candidates;
mod client;
mod connection;
mod error;
mod framing;
mod gather;
mod keys;
mod revision;
mod sink;
mod stream;
mod survey;
mod tls;
mod watch;

pub use alarm::Alarm;
pub use candidates::{Candidate, Candidates, Exclusion, Quorum, candidates};
pub use connection::{Connection, DEFAULT_LOCAL_ENDPOINT, TlsFiles};
pub use error::EtcdError;
pub use keys::KeyReader;
pub use revision::linearizable_revision;
pub use stream::{SnapshotStream, Streamed};
pub use survey::{Member, MemberState, MemberStatus, Survey, survey};
pub use watch::Limits;
