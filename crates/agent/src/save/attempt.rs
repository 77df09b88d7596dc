use std::fs::File;
use std::io;
use std::path::Path;

use etcd_backup_core::{Lineage, Warning};
use etcd_backup_etcd::{Candidate, EtcdError, Quorum, SnapshotStream, Streamed, linearizable_revision};
use etcd_backup_snapshot::Description;
use etcd_backup_store::{Staging, StoreError};

use super::error::SaveError;
use super::room::Coming;
use super::{Context, Run, cluster_state, room};
use crate::journal::Journal;
use crate::progress::Progress;
use crate::proof::{self, ProofError, Proving};

/// How often a snapshot may be begun because it had grown while room was made for it.
const OPENINGS: u32 = 5;

/// A snapshot that is in the staged set, durable and proven.
#[derive(Debug)]
pub(super) struct Saved {
    /// The member it is from.
    pub(super) candidate: Candidate,
    /// The cluster's revision before the stream began; `None` if nothing could prove it.
    pub(super) required_revision: Option<i64>,
    /// What it holds.
    pub(super) description: Description,
    /// The version of the cluster, if its own objects tell it.
    pub(super) cluster_version: Option<String>,
}

impl Saved {
    /// The set that it becomes.
    pub(super) fn coming(&self, context: &Context<'_>) -> Coming {
        let verified = context.archives && self.required_revision.is_some();
        let (revision, raft_index) = (self.description.current_revision(), self.description.consistent_index);
        Coming { lineage: lineage(&self.candidate, revision, raft_index), verified }
    }
}

/// Tries one member: fixes the revision, streams, makes durable, proves. What a failed attempt has
/// staged is removed.
pub(super) async fn attempt(
    context: &Context<'_>,
    candidate: Candidate,
    name: &str,
    staging: &mut Staging,
    run: &mut Run<'_>,
) -> Result<Saved, SaveError> {
    let required_revision = required_revision(context, &candidate, &mut run.journal).await?;
    let state = cluster_state::look(context, &candidate, required_revision).await?;
    cluster_state::require_settled(context, &state.warnings)?;
    let coming = Coming {
        lineage: lineage(&candidate, required_revision.unwrap_or(0), candidate.raft_index),
        verified: context.archives && required_revision.is_some(),
    };
    let stream = begin(context, &candidate, &coming, run).await?;
    let file = staging.create(name)?;
    let taken = match write(context, stream, &file).await {
        Ok(streamed) => {
            let path = staging.path().join(name);
            prove(context, streamed, required_revision, &path, file, &mut run.journal).await
        }
        Err(error) => Err(error),
    };
    run.observe();
    match taken {
        Ok(description) => {
            candidate.warnings.iter().chain(&state.warnings).for_each(|warning| run.journal.warn(warning.clone()));
            if required_revision.is_none() {
                let message = "there was no quorum to prove that the snapshot is not old (--allow-no-quorum)";
                run.journal.warn(Warning::new("FreshnessNotProven", message));
            }
            Ok(Saved { candidate, required_revision, description, cluster_version: state.version })
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

/// Begins a stream for which there is room, and for the set's other files too.
async fn begin(
    context: &Context<'_>,
    candidate: &Candidate,
    coming: &Coming,
    run: &mut Run<'_>,
) -> Result<SnapshotStream, SaveError> {
    let mut bytes = 0;
    for _ in 0..OPENINGS {
        run.journal.enter("stream");
        let stream =
            SnapshotStream::open(&context.connection, candidate, &context.limits, context.stop.token()).await?;
        bytes = stream.size_bytes().saturating_add(context.beside_the_snapshot);
        if room::is_there(context, run, bytes, coming)? {
            return Ok(stream);
        }
        // etcd's read transaction must not wait for deletions.
        drop(stream);
        tracing::info!(bytes, "the policy has to make room first");
        room::make(context, run, bytes, coming).await?;
    }
    Err(SaveError::OutgrowsRoom { member: candidate.to_string(), bytes })
}

async fn write(context: &Context<'_>, stream: SnapshotStream, file: &File) -> Result<Streamed, SaveError> {
    let mut progress = Progress::start(context.progress, "snapshot", stream.size_bytes());
    let own = file.try_clone().map_err(|source| volume_error("open", context, source))?;
    Ok(stream.write_to(own, |bytes| progress.at(bytes)).await?)
}

/// Which etcd data a member has at this revision, 0 if that is not known.
fn lineage(candidate: &Candidate, revision: i64, raft_index: Option<u64>) -> Lineage {
    let cluster_id = format!("{:x}", candidate.cluster_id);
    Lineage { cluster_id, revision, raft_term: candidate.status.raft_term, raft_index }
}

/// Proves the snapshot from the disk, and that it is not old.
async fn prove(
    context: &Context<'_>,
    streamed: Streamed,
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
    let proving = Proving::new(context.stop, context.progress);
    let member = streamed.member.clone();
    let proven = move || proof::snapshot(&path, &file, &proving).map_err(|error| unsound(error, &streamed, &file));
    let description = context.stop.blocking(proven).await??;
    let found = description.current_revision();
    match required_revision {
        Some(required) if found < required => Err(SaveError::Stale { member, found, required }),
        _ => Ok(description),
    }
}

/// Whose fault it is that what was saved is not sound: the member's, if it is what came, or the disk's.
fn unsound(error: ProofError, streamed: &Streamed, file: &File) -> SaveError {
    match error {
        ProofError::Snapshot { .. } => match streamed.is_broken_in(file) {
            Ok(Some(broken)) => broken.into(),
            _ => SaveError::Unsound(error),
        },
        _ => SaveError::unsound(error),
    }
}

fn volume_error(action: &'static str, context: &Context<'_>, source: io::Error) -> SaveError {
    StoreError::Io { action, path: context.locked.volume().path().to_owned(), source }.into()
}
