//! Backup sets on a file system.
//!
//! ```text
//! <volume>/.etcd-backup/volume.json        identity, written once
//! <volume>/.etcd-backup/lock               kernel lock
//! <volume>/.etcd-backup/staging/ trash/    working state; the only places that are swept
//! <volume>/.etcd-backup/runs/<run>.json    reports of the latest runs
//! <volume>/.etcd-backup/verified/          results of later verifications
//! <volume>/backup-.../                     published sets, never changed
//! ```
//!
//! A [`Volume`] only reads and needs no lock. Everything that writes hangs off a [`LockedVolume`],
//! which [`Volume::lock`] gives to one run at a time. A set is built in a [`Staging`] and appears at
//! the volume's root by one rename: whoever lists the volume sees a whole set or none.
//!
//! Every file is reached through an open directory and without following symbolic links, so what
//! somebody else left on the volume cannot lead a backup or a deletion out of it.

#![forbid(unsafe_code)]

mod dir;
mod error;
mod hash;
mod lock;
mod publish;
mod runs;
mod set;
mod space;
mod sweep;
mod volume;

pub use error::{Damage, StoreError};
pub use hash::hash_file;
pub use lock::LockedVolume;
pub use publish::{PublishedSet, Staging};
pub use set::{FoundSet, SetState, look, verify_files};
pub use space::Space;
pub use sweep::Swept;
pub use volume::Volume;
