//! Backup sets on a file system.
//!
//! ```text
//! <volume>/.etcd-backup/volume.json        identity, written once
//! <volume>/.etcd-backup/sequence.json      highest sequence that was ever given to a set
//! <volume>/.etcd-backup/lock               kernel lock
//! <volume>/.etcd-backup/staging/ trash/    working state; the only places that are swept
//! <volume>/.etcd-backup/runs/<run>.json    reports of the latest runs
//! <volume>/.etcd-backup/verified/          results of later verifications, of sets that are there
//! <volume>/backup-.../                     published sets, never changed
//! ```
//!
//! A [`Volume`] only reads and needs no lock. Everything that writes hangs off a [`LockedVolume`],
//! which [`Volume::lock`] gives to one run at a time. A set is built in a [`Staging`] and appears at
//! the volume's root by one rename: whoever lists the volume sees a whole set or none.
//!
//! Every file is reached through an open directory and without following symbolic links, so what
//! somebody else left on the volume cannot lead a backup or a deletion out of it.
//!
//! Every operation that changes the volume is an event of the target [`OPERATION_LOG`]: from them
//! follows what was on the volume at any moment.

#![forbid(unsafe_code)]

mod delete;
mod dir;
mod error;
mod hash;
mod lock;
mod operation;
mod publish;
mod runs;
mod sequence;
mod set;
mod space;
mod sweep;
mod verified;
mod volume;

pub use error::{Damage, StoreError};
pub use hash::hash_file;
pub use lock::LockedVolume;
pub use operation::OPERATION_LOG;
pub use publish::{PublishedSet, Staging};
pub use set::{FoundSet, Look, look, open_file, verify_files};
pub use space::Space;
pub use sweep::Swept;
pub use verified::VerificationResult;
pub use volume::Volume;
