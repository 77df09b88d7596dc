//! What proves a set, on its files as read back from the disk.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use etcd_backup_core::{FileRole, Manifest, Reason, SetFile};
use etcd_backup_snapshot::{Description, SnapshotError};
use etcd_backup_store::{StoreError, hash_file, open_file};
use rustix::fs::Advice;

use crate::static_resources::{ArchiveError, check_archive};

/// What [`snapshot`] proves.
pub(crate) const SNAPSHOT_CHECKS: [&str; 4] = ["size", "sha256", "pages", "keys"];
/// What [`archive`] proves.
pub(crate) const ARCHIVE_CHECK: &str = "archive";

/// Why something is not proven.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("{}: {source}", path.display())]
    Snapshot { path: PathBuf, source: SnapshotError },
    #[error("{}: {source}", path.display())]
    Archive { path: PathBuf, source: ArchiveError },
    #[error("{}: {what} than {} says; do not restore from this set, take another one", path.display(), Manifest::FILE)]
    Differs { path: PathBuf, role: FileRole, what: String },
    #[error("{} cannot be read: {source}; nothing is concluded from it: check the volume, then verify again", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}; nothing is concluded from it")]
    Open(StoreError),
}

impl ProofError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Read { .. }
            | Self::Open(_)
            | Self::Snapshot { source: SnapshotError::Read { .. }, .. }
            | Self::Archive { source: ArchiveError::Read(_), .. } => Reason::VolumeIo,
            Self::Archive { .. } | Self::Differs { role: FileRole::StaticResources, .. } => Reason::ArchiveInvalid,
            Self::Snapshot { .. } | Self::Differs { .. } => Reason::SnapshotInvalid,
        }
    }

    /// The check that failed, in one word.
    pub(crate) fn check(&self) -> &'static str {
        match self {
            Self::Snapshot { source, .. } => source.reason(),
            Self::Archive { source: ArchiveError::Read(_), .. } | Self::Read { .. } | Self::Open(_) => "ReadFailed",
            Self::Archive { .. } => "ArchiveInvalid",
            Self::Differs { .. } => "Differs",
        }
    }
}

/// Proves a snapshot file as it is on the disk.
pub(crate) fn snapshot(path: &Path, file: &File) -> Result<Description, ProofError> {
    forget(path, file)?;
    etcd_backup_snapshot::verify(file).map_err(|source| ProofError::Snapshot { path: path.to_owned(), source })
}

/// Proves an archive of static pod resources as it is on the disk; gives its SHA-256 and its bytes.
pub(crate) fn archive(path: &Path, file: &File) -> Result<(String, u64), ProofError> {
    let hashed = hash(path, file)?;
    check_archive(file).map_err(|source| ProofError::Archive { path: path.to_owned(), source })?;
    Ok(hashed)
}

/// Proves every file of a set, each against the manifest and in itself; tells what the snapshot holds.
pub(crate) fn set(dir: &Path, manifest: &Manifest) -> Result<Description, ProofError> {
    let mut description = None;
    for file in &manifest.files {
        let path = dir.join(&file.name);
        let opened = open_file(dir, &file.name).map_err(ProofError::Open)?;
        let (sha256, bytes) = match file.role {
            FileRole::Snapshot => {
                let found = snapshot(&path, &opened)?;
                let hashed = (found.sha256.clone(), found.file_bytes);
                description = Some(found);
                hashed
            }
            FileRole::StaticResources => archive(&path, &opened)?,
            FileRole::Other => hash(&path, &opened)?,
        };
        equal(&path, file, &sha256, bytes)?;
    }
    let missing = || ProofError::Differs {
        path: dir.to_owned(),
        role: FileRole::Snapshot,
        what: "it has no snapshot, so it is less".to_owned(),
    };
    let description = description.ok_or_else(missing)?;
    if description.current_revision() != manifest.snapshot.revision {
        return Err(ProofError::Differs {
            path: dir.to_owned(),
            role: FileRole::Snapshot,
            what: format!("its snapshot is of revision {}, other", description.current_revision()),
        });
    }
    Ok(description)
}

fn equal(path: &Path, file: &SetFile, sha256: &str, bytes: u64) -> Result<(), ProofError> {
    let what = if bytes != file.size_bytes {
        format!("it has {bytes} bytes, other")
    } else if sha256 != file.sha256 {
        format!("its SHA-256 is {sha256}, other")
    } else {
        return Ok(());
    };
    Err(ProofError::Differs { path: path.to_owned(), role: file.role, what })
}

fn hash(path: &Path, file: &File) -> Result<(String, u64), ProofError> {
    hash_file(file, |_| ControlFlow::Continue(())).map_err(|source| ProofError::Read { path: path.to_owned(), source })
}

/// Drops the file from the page cache, so that what is read comes from the disk.
fn forget(path: &Path, file: &File) -> Result<(), ProofError> {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)
        .map_err(|error| ProofError::Read { path: path.to_owned(), source: error.into() })
}
