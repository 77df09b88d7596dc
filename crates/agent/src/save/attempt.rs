use std::fs::File;
use std::io;
use std::path::Path;

use etcd_backup_core::Warning;
use etcd_backup_etcd::{Candidate, EtcdError, Quorum, SnapshotStream, linearizable_revision};
use etcd_backup_snapshot::Description;
use etcd_backup_store::{Staging, StoreError};

use super::Context;
use super::error::SaveError;
use crate::journal::Journal;
use crate::progress::Progress;
use crate::proof;

/// Room for the manifest and for what the file system itself needs, in bytes.
const BESIDE_THE_SNAPSHOT: u64 = 1 << 20;

/// A snapshot that is in the staged set, durable and proven.
#[derive(Debug)]
pub(super) struct Saved {
    /// The member it is from.
    pub(super) candidate: Candidate,
    /// The cluster's revision before the stream began; `None` if nothing could prove it.
    pub(super) required_revision: Option<i64>,
    /// What it holds.
    pub(super) description: Description,
}

/// Tries one member: fixes the revision, streams, makes durable, proves. What a failed attempt has
/// staged is removed.
pub(super) async fn attempt(
    context: &Context<'_>,
    candidate: Candidate,
    name: &str,
    staging: &mut Staging,
    journal: &mut Journal,
) -> Result<Saved, SaveError> {
    let required_revision = required_revision(context, &candidate, journal).await?;
    let file = staging.create(name)?;
    let taken = match stream(context, &candidate, &file, journal).await {
        Ok(()) => prove(context, &candidate, required_revision, &staging.path().join(name), file, journal).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(description) => {
            candidate.warnings.iter().for_each(|warning| journal.warn(warning.clone()));
            if required_revision.is_none() {
                let message = "there was no quorum to prove that the snapshot is not old (--allow-no-quorum)";
                journal.warn(Warning::new("FreshnessNotProven", message));
            }
            Ok(Saved { candidate, required_revision, description })
        }
        Err(error) => {
            staging.remove(name)?;
            Err(error)
        }
    }
}

async fn required_revision(
    context: &Context<'_>,
    candidate: &Candidate,
    journal: &mut Journal,
) -> Result<Option<i64>, SaveError> {
    journal.enter("revision");
    let waivable = context.quorum == Quorum::NotRequired;
    if waivable && candidate.status.leader.is_none() {
        return Ok(None);
    }
    match context.stop.or(linearizable_revision(&context.connection, candidate)).await? {
        Ok(revision) => {
            tracing::info!(member = %candidate, revision, "the cluster's revision now; the snapshot must reach it");
            Ok(Some(revision))
        }
        Err(EtcdError::NoQuorum { .. }) if waivable => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn stream(
    context: &Context<'_>,
    candidate: &Candidate,
    file: &File,
    journal: &mut Journal,
) -> Result<(), SaveError> {
    journal.enter("stream");
    let stream = SnapshotStream::open(&context.connection, candidate, &context.limits, context.stop.token()).await?;
    let size_bytes = stream.size_bytes();
    context.volume.require_room(size_bytes + BESIDE_THE_SNAPSHOT, context.reserve_percent)?;
    let mut progress = Progress::start(context.progress, "snapshot", size_bytes);
    let own = file.try_clone().map_err(|source| volume_error("open", context, source))?;
    stream.write_to(own, |bytes| progress.at(bytes)).await?;
    Ok(())
}

/// Proves the snapshot from the disk, and that it is not old.
async fn prove(
    context: &Context<'_>,
    candidate: &Candidate,
    required_revision: Option<i64>,
    path: &Path,
    file: File,
    journal: &mut Journal,
) -> Result<Description, SaveError> {
    journal.enter("sync");
    let file = context.stop.blocking(move || file.sync_all().map(|()| file)).await?;
    // A failed fsync is never tried again: this error ends the run.
    let file = file.map_err(|source| volume_error("fsync", context, source))?;

    journal.enter("verify");
    let path = path.to_owned();
    let proven = context.stop.blocking(move || proof::snapshot(&path, &file)).await?;
    let description = proven.map_err(SaveError::Unsound)?;
    let found = description.current_revision();
    match required_revision {
        Some(required) if found < required => Err(SaveError::Stale { member: candidate.to_string(), found, required }),
        _ => Ok(description),
    }
}

fn volume_error(action: &'static str, context: &Context<'_>, source: io::Error) -> SaveError {
    StoreError::Io { action, path: context.volume.path().to_owned(), source }.into()
}
