//! Whether to ask a volume what is on it.

use etcd_backup_core::SetState;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::{Ended, Index, Observed, Phase, ended};
use crate::catalogue::known::KnownSet;
use crate::catalogue::memory::Asked;
use crate::config::Limits;
use crate::labels;

/// How long after a failed inventory another one is made, if no run tells anything new before.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// How long after an inventory the next one is made at the earliest.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// How long the watch may take to tell of a Job that was created.
const WATCH_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Most inventories that are begun within [`BURST`]: after its start the operator knows no volume, and their pods all
/// run on the control-plane nodes.
const AT_ONCE: usize = 10;

/// How long an inventory counts for that. One that takes longer, say of a volume that hangs, holds up nobody.
const BURST: SignedDuration = SignedDuration::from_secs(60);

/// When one that has to wait for others is decided again.
const TURN: SignedDuration = SignedDuration::from_secs(5);

/// What to do to know a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Inventory {
    /// Nothing.
    #[default]
    Wait,
    /// Create the Job.
    Create,
    /// Read what the Job of this name has printed.
    Read(String),
    /// The Job of this name told nothing.
    Failed {
        /// The Job.
        job: String,
        /// Why.
        why: String,
        /// Whether it is still there and must be deleted.
        delete: bool,
    },
    /// Delete a Job that another process has left and that does not end.
    Delete(String),
}

/// Decides, and says when to decide again.
pub(super) fn decide(
    seen: &Observed,
    index: &Index<'_>,
    limits: &Limits,
    now: Timestamp,
) -> (Inventory, Option<Timestamp>) {
    if let Some(asked) = &seen.memory.asked {
        return follow(seen, asked, limits, now);
    }
    if !seen.bound || seen.users().next().is_none() || !is_needed(seen, index) {
        return (Inventory::Wait, None);
    }
    let not_before = [seen.memory.failed.map(|at| at + RETRY), seen.memory.read.map(|at| at + PAUSE)];
    if let Some(at) = not_before.into_iter().flatten().max().filter(|at| now < *at) {
        return (Inventory::Wait, Some(at));
    }
    // What another process asked may have been answered before this one began to look.
    match seen.jobs_of(labels::CATALOGUE).find(|job| ended(job).is_none()) {
        Some(left) if now >= limit(left, limits) => (Inventory::Delete(left.name_any()), None),
        Some(left) => (Inventory::Wait, Some(limit(left, limits))),
        None if is_crowded(seen, now) => (Inventory::Wait, Some(now + TURN)),
        None => (Inventory::Create, None),
    }
}

fn is_crowded(seen: &Observed, now: Timestamp) -> bool {
    seen.asked.iter().filter(|at| now < **at + BURST).count() >= AT_ONCE
}

/// Nothing is known, or something else than is there, or of a set not enough to record its run.
fn is_needed(seen: &Observed, index: &Index<'_>) -> bool {
    seen.memory.current().is_none() || index.sets.iter().any(|(run, set)| lacks_record(seen, index, run, set))
}

/// A set whose run has no record, of which no whole entry is at hand, and whose Job does not tell
/// either. While whole entries are at hand they are recorded first.
fn lacks_record(seen: &Observed, index: &Index<'_>, run: &str, set: &KnownSet) -> bool {
    let lacks = seen.memory.whole.is_empty()
        && match index.objects.get(run) {
            None => !index.jobs.contains_key(run),
            Some(record) => {
                let good = matches!(set.state, SetState::Verified | SetState::Unverified);
                let over = index.jobs.get(run).is_none_or(|job| ended(job).is_some());
                good && over && record.spec.recorded.is_some() && Phase::of(record) == Phase::Failed
            }
        };
    lacks && set.made.as_ref().is_some_and(|made| seen.records(&made.owner))
}

fn follow(seen: &Observed, asked: &Asked, limits: &Limits, now: Timestamp) -> (Inventory, Option<Timestamp>) {
    let failed = |why: String, delete| (Inventory::Failed { job: asked.job.clone(), why, delete }, None);
    let Some(job) = seen.jobs_of(labels::CATALOGUE).find(|job| job.name_any() == asked.job) else {
        let patience = asked.at + WATCH_GRACE;
        if now < patience {
            return (Inventory::Wait, Some(patience));
        }
        return failed("the Job was deleted".to_owned(), false);
    };
    match ended(job) {
        Some(Ended::Complete) => (Inventory::Read(asked.job.clone()), None),
        Some(Ended::Failed(why)) => failed(why, false),
        None if now >= limit(job, limits) => failed("the Job did not end in time".to_owned(), true),
        None => (Inventory::Wait, Some(limit(job, limits))),
    }
}

/// When a Job that has not ended is given up.
fn limit(job: &Job, limits: &Limits) -> Timestamp {
    let created = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    created + limits.job_deadline() + SignedDuration::from_secs(60)
}
