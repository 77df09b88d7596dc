//! `verified/<set>.json`: what a later verification said of a set. Sets themselves never change.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use etcd_backup_core::{FileRole, RunId, SchemaVersion, SetName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::publish::write_durably;
use crate::volume::{STATE, VERIFIED};
use crate::{Damage, LockedVolume, StoreError};

const SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };
const MAX_BYTES: u64 = 64 * 1024;

/// What a verification found after reading all of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationResult {
    /// Everything is as the manifest says.
    Sound,
    /// Something is proven not to be.
    Damaged(Damage),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: SchemaVersion,
    run_id: RunId,
    time: Timestamp,
    by: String,
    result: Finding,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
enum Finding {
    Sound,
    Damaged {
        /// The file in the set; absent if it is the set as a whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        role: FileRole,
        what: String,
    },
}

impl LockedVolume {
    /// Keeps what a verification has found, durably, in place of an earlier result for the same set.
    /// A set with damage on record is [`crate::Look::Damaged`] until a later result says otherwise.
    ///
    /// `run` is the run of the set's manifest; `by` names the verifier and its version.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn record_verification(
        &self,
        set: &SetName,
        run: &RunId,
        result: &VerificationResult,
        time: Timestamp,
        by: &str,
    ) -> Result<(), StoreError> {
        let held = &self.held;
        let result = match result {
            VerificationResult::Sound => Finding::Sound,
            VerificationResult::Damaged(damage) => {
                let file = damage.path.file_name().and_then(OsStr::to_str).filter(|file| *file != set.as_str());
                Finding::Damaged { file: file.map(str::to_owned), role: damage.role, what: damage.what.clone() }
            }
        };
        let document = Document { schema_version: SCHEMA, run_id: run.clone(), time, by: by.to_owned(), result };
        let name = file_name(set);
        let document = serde_json::to_vec(&document)
            .map_err(|error| StoreError::io("write", held.verified.path_of(&name), io::Error::from(error)))?;
        write_durably(&held.staging, &held.verified, &name, &document)
    }
}

/// The results on a volume, to be asked for each set.
pub(crate) struct Results {
    /// The directory and the names in it, if it can be read.
    files: Option<(Dir, HashSet<OsString>)>,
}

impl Results {
    /// What cannot be read is told and holds nothing up: no result makes a good set bad.
    pub(crate) fn open(root: &Dir) -> Self {
        let opened = root.open_own_dir(STATE).and_then(|state| state.open_own_dir(VERIFIED));
        let files = opened.and_then(|dir| Ok((dir.names()?.into_iter().collect(), dir)));
        Self {
            files: match files {
                Ok((names, dir)) => Some((dir, names)),
                Err(error) if error.is_not_found() => None,
                Err(error) => {
                    tracing::warn!(%error, "results of later verifications are not taken into account");
                    None
                }
            },
        }
    }

    /// The damage on record for a set of a run.
    pub(crate) fn damage(&self, set: &SetName, path: &Path, run: &RunId) -> Option<Damage> {
        let (dir, names) = self.files.as_ref()?;
        let name = file_name(set);
        if !names.contains(OsStr::new(&name)) {
            return None;
        }
        let document = match read(dir, &name) {
            Ok(document) => document,
            Err(why) => {
                tracing::warn!(path = %dir.path_of(&name).display(), %why, "the result of a verification is ignored");
                return None;
            }
        };
        match document.result {
            Finding::Damaged { file, role, what } if document.run_id == *run => {
                let path = file.map_or_else(|| path.to_owned(), |file| path.join(file));
                let what = format!("{what} (found by {} at {})", document.by, document.time);
                Some(Damage { path, role, what })
            }
            _ => None,
        }
    }
}

fn read(dir: &Dir, name: &str) -> Result<Document, String> {
    let bytes = dir.read(name, MAX_BYTES).map_err(|error| error.to_string())?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| format!("it is garbled: {error}"))?;
    if SCHEMA.reads(document.schema_version) {
        Ok(document)
    } else {
        Err(format!("it is of the newer version {}", document.schema_version))
    }
}

/// Removes the result for a set that is gone.
pub(crate) fn forget(verified: &Dir, set: &SetName) -> Result<(), StoreError> {
    match verified.remove(file_name(set)) {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes results for sets that are no longer on the volume, whoever deleted them.
pub(crate) fn sweep(verified: &Dir, root: &Dir) -> Result<(), StoreError> {
    for name in verified.names()? {
        let Some(set) = name.to_str().and_then(|name| SetName::parse(name.strip_suffix(".json")?)) else { continue };
        if root.stat(set.as_str()).is_err_and(|error| error.is_not_found()) {
            forget(verified, &set)?;
        }
    }
    Ok(())
}

fn file_name(set: &SetName) -> String {
    format!("{set}.json")
}
