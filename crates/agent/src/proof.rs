//! What proves a set, on its files as read back from the disk.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use etcd_backup_core::{FileRole, Manifest, Reason, SetFile};
use etcd_backup_snapshot::{Description, Options, SnapshotError, verify_with};
use etcd_backup_store::{StoreError, hash_file, open_file};
use rustix::fs::Advice;

use crate::progress::{Progress, ProgressMode};
use crate::static_resources::{ArchiveError, check_archive};
use crate::stop::{Stop, Stopped};

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
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ProofError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Stopped(stopped) => stopped.reason(),
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
            Self::Stopped(_) => "Stopped",
        }
    }
}

/// How files are proven: what may end it, how its progress is shown, how thoroughly keys are counted.
#[derive(Debug, Clone)]
pub(crate) struct Proving {
    pub(crate) stop: Stop,
    pub(crate) progress: ProgressMode,
    pub(crate) exact_keys: bool,
}

impl Proving {
    /// As is enough to rely on a set.
    pub(crate) fn new(stop: &Stop, progress: ProgressMode) -> Self {
        Self { stop: stop.clone(), progress, exact_keys: false }
    }
}

/// Proves a snapshot file as it is on the disk.
pub(crate) fn snapshot(path: &Path, file: &File, proving: &Proving) -> Result<Description, ProofError> {
    forget(path, file)?;
    let bytes = file.metadata().map_err(|source| ProofError::Read { path: path.to_owned(), source })?.len();
    let mut progress = Progress::start(proving.progress, "verify", bytes);
    let mut stopped = None;
    let options = Options { exact_keys: proving.exact_keys };
    let proven = verify_with(file, &options, |bytes| {
        progress.at(bytes);
        go_on(&proving.stop, &mut stopped)
    });
    match (proven, stopped) {
        (Err(SnapshotError::Stopped), Some(stopped)) => Err(stopped.into()),
        (proven, _) => proven.map_err(|source| ProofError::Snapshot { path: path.to_owned(), source }),
    }
}

/// Proves an archive of static pod resources as it is on the disk; gives its SHA-256 and its bytes.
pub(crate) fn archive(path: &Path, file: &File, stop: &Stop) -> Result<(String, u64), ProofError> {
    let hashed = hash(path, file, stop)?;
    check_archive(file).map_err(|source| ProofError::Archive { path: path.to_owned(), source })?;
    Ok(hashed)
}

/// Proves every file of a set, each against the manifest and in itself; tells what the snapshot holds.
pub(crate) fn set(dir: &Path, manifest: &Manifest, proving: &Proving) -> Result<Description, ProofError> {
    let mut description = None;
    for file in &manifest.files {
        let path = dir.join(&file.name);
        let opened = open_file(dir, &file.name).map_err(ProofError::Open)?;
        let (sha256, bytes) = match file.role {
            FileRole::Snapshot => {
                let found = snapshot(&path, &opened, proving)?;
                let hashed = (found.sha256.clone(), found.file_bytes);
                description = Some(found);
                hashed
            }
            FileRole::StaticResources => archive(&path, &opened, &proving.stop)?,
            FileRole::Other => hash(&path, &opened, &proving.stop)?,
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

fn hash(path: &Path, file: &File, stop: &Stop) -> Result<(String, u64), ProofError> {
    let mut stopped = None;
    let hashed = hash_file(file, |_| go_on(stop, &mut stopped));
    match stopped {
        Some(stopped) => Err(stopped.into()),
        None => hashed.map_err(|source| ProofError::Read { path: path.to_owned(), source }),
    }
}

/// Whether to go on; if not, `stopped` says why.
fn go_on(stop: &Stop, stopped: &mut Option<Stopped>) -> ControlFlow<()> {
    match stop.check() {
        Ok(()) => ControlFlow::Continue(()),
        Err(why) => {
            *stopped = Some(why);
            ControlFlow::Break(())
        }
    }
}

/// Drops the file from the page cache, so that what is read comes from the disk.
fn forget(path: &Path, file: &File) -> Result<(), ProofError> {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)
        .map_err(|error| ProofError::Read { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn a_deadline_ends_a_proof_and_proves_nothing() {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshot/tests/data/etcd-3.6.db.gz");
        let mut file = tempfile::tempfile().unwrap();
        io::copy(&mut GzDecoder::new(File::open(&packed).unwrap()), &mut file).unwrap();
        let stop = Stop::on_signals().unwrap();
        let proven = |stop: &Stop| snapshot(&packed, &file, &Proving::new(stop, ProgressMode::None));
        assert!(proven(&stop.within(Duration::from_secs(600))).is_ok());
        let error = proven(&stop.within(Duration::ZERO)).unwrap_err();
        assert_eq!((error.reason(), error.check()), (Reason::DeadlineExceeded, "Stopped"), "{error}");
        let error = hash(&packed, &file, &stop.within(Duration::ZERO)).unwrap_err();
        assert_eq!(error.reason(), Reason::DeadlineExceeded, "{error}");
    }
}
