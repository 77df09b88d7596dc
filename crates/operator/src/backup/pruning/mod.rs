//! Enforcing a policy between two runs: when somebody makes it stricter, or accepts a change, the
//! sets that it does not keep go at once. Pure.
//!
//! The Job that does it stays until the next one is made or the Backup goes: as long as it is
//! there, the same policy is not tried a second time on the same sets.

use etcd_backup_core::{Outcome, Report};

use super::decision::{Observed, Said};
use super::knowledge::Knowledge;
use super::names;
use super::reason::BackupReason;
use crate::etcdbackup::job_state::JobState;
use crate::etcdbackup::volume::Obstacle;

/// A Job that enforces a policy.
#[derive(Debug, Clone)]
pub(crate) struct Prune {
    /// Its name.
    pub(crate) name: String,
    /// The claim that it mounts.
    pub(crate) claim: Option<String>,
    /// What it says.
    pub(crate) state: JobState,
    /// What its newest pod reported.
    pub(crate) report: Option<Report>,
}

/// What to do to enforce the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum PruneStep {
    /// Nothing.
    #[default]
    None,
    /// A Job is created.
    Create {
        /// Its name.
        name: String,
        /// Hash of the policy that it enforces.
        policy_hash: String,
        /// Jobs of the same kind that have ended; they are deleted.
        ended: Vec<String>,
    },
}

/// What to do and what RetentionSatisfied says of it; no word: what was reported last holds.
pub(crate) fn decide(seen: &Observed, known: &Knowledge, obstacle: Option<&Obstacle>) -> (PruneStep, Option<Said>) {
    let nothing = (PruneStep::None, None);
    let Some(volume) = known.volume_id.as_deref().filter(|_| known.has_sets()) else { return nothing };
    let hash = seen.backup.policy(Some(volume)).hash_on(volume);
    if known.policy_hash.as_deref() == Some(hash.as_str()) {
        return nothing;
    }
    let last_run = seen.runs.iter().max_by_key(|run| run.created).map_or("", |run| run.id.as_str());
    let name = names::prune_job(&seen.backup, &hash, last_run);
    let waiting = |what: &str| {
        let message = format!("the policy has changed or a change was accepted; {what}");
        (PruneStep::None, Some(Said::no(BackupReason::Pruning, message)))
    };
    if let Some(active) = seen.prunes.iter().find(|prune| matches!(prune.state, JobState::Active { .. })) {
        return waiting(&format!("Job {} enforces it", active.name));
    }
    if let Some(ended) = seen.prunes.iter().find(|prune| prune.name == name) {
        return (PruneStep::None, failure(ended));
    }
    if let Some(run) = seen.runs.iter().find(|run| run.end.is_none()) {
        return waiting(&format!("the run of {} enforces it when it ends", run.created));
    }
    if let Some(obstacle) = obstacle {
        return waiting(&format!("it is enforced when the volume can be used: {}", obstacle.message));
    }
    let (_, said) = waiting(&format!("Job {name} enforces it"));
    let ended = seen.prunes.iter().map(|prune| prune.name.clone()).collect();
    (PruneStep::Create { name, policy_hash: hash, ended }, said)
}

/// Why a Job that has ended did not enforce the policy. One that reports of retention has said it.
fn failure(ended: &Prune) -> Option<Said> {
    let why = match (&ended.report, &ended.state) {
        (Some(report), _) if report.outcome == Outcome::Completed && report.retention.is_some() => return None,
        (Some(report), _) => format!("{}: {}", report.reason, report.message),
        (None, JobState::Failed { reason, message }) => format!("{reason}: {message}"),
        (None, _) => "it ended without a report".to_owned(),
    };
    let message = format!(
        "Job {0} could not enforce the policy: {why}. The next run tries again; to try now, delete Job {0}",
        ended.name
    );
    Some(Said::no(BackupReason::PruneFailed, message))
}

#[cfg(test)]
mod tests;
