//! `sequence.json`: the highest sequence that a set of this volume was ever given.
//!
//! The sets alone do not tell it: whoever deletes the newest by hand would bring their numbers back,
//! and what was accepted up to a number (a changed lineage) would hold for sets that nobody has seen.

use etcd_backup_core::SchemaVersion;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::publish::write_durably;
use crate::set::FoundSet;
use crate::{LockedVolume, StoreError};

pub(crate) const FILE: &str = "sequence.json";

const SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };
const MAX_BYTES: u64 = 4096;

/// What every version of the document says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: SchemaVersion,
    highest: u64,
}

impl LockedVolume {
    /// The sequence for the next set: above that of every set on the volume, whoever owns it, and of
    /// every set that was ever published on it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the highest number there is has been reached; [`StoreError::Io`].
    pub fn next_sequence(&self) -> Result<u64, StoreError> {
        let floor = (highest(&self.held.state), self.held.state.path_of(FILE));
        let sets = self.volume().each(|_| true)?;
        let numbered = sets.filter_map(|set: FoundSet| Some((set.sequence()?, set.path)));
        let (highest, path) = numbered.fold(floor, |highest, next| if next.0 > highest.0 { next } else { highest });
        highest.checked_add(1).ok_or_else(|| StoreError::Invalid {
            path,
            what: "has the highest sequence there is, so no set can come after it".to_owned(),
            advice: "this is no number that counting reaches: look at it and move it off the volume",
        })
    }
}

/// 0 if nothing is known. A file that cannot be understood is no reason to make no backup.
fn highest(state: &Dir) -> u64 {
    let read = state.read(FILE, MAX_BYTES).map_err(|error| (error.is_not_found(), error.to_string()));
    let parsed = read.and_then(|bytes| {
        serde_json::from_slice::<Document>(&bytes).map_err(|error| (false, format!("{FILE} is garbled: {error}")))
    });
    match parsed {
        Ok(document) => document.highest,
        Err((true, _)) => 0,
        Err((false, why)) => {
            tracing::warn!(%why, "the highest sequence is taken from the sets alone; the next backup writes the file anew");
            0
        }
    }
}

/// Notes, durably, that a set is about to have this number.
pub(crate) fn raise(state: &Dir, staging: &Dir, sequence: u64) -> Result<(), StoreError> {
    if highest(state) >= sequence {
        return Ok(());
    }
    let document = serde_json::to_vec(&Document { schema_version: SCHEMA, highest: sequence })
        .map_err(|error| StoreError::io("write", state.path_of(FILE), std::io::Error::from(error)))?;
    write_durably(staging, state, FILE, &document)
}
