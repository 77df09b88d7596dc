//! What became of a run whose Job has ended or gone: by its report, else by asking the volume.

use etcd_backup_core::{Outcome, Reason, Report};
use jiff::Timestamp;

use super::{END_GRACE, REFUSED_RETRY, give_up, may_start_since};
use crate::catalogue::VolumeSays;
use crate::config::Limits;
use crate::etcdbackup::decision::{Decision, Observed, Step, Verdict};
use crate::etcdbackup::job_state::JobState;
use crate::etcdbackup::pod_state::{ObservedPod, PodState};
use crate::etcdbackup::reason::StatusReason;
use crate::etcdbackup::volume::Obstacle;

/// Why the volume has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The Job is gone.
    JobMissing,
    /// The Job ended and its report cannot be read.
    ReportMissing,
    /// The Job was ended by its deadline.
    DeadlineExceeded,
}

/// The newest report among a Job's pods.
pub(super) fn newest_report(pods: &[ObservedPod]) -> Option<&Report> {
    let reports = pods.iter().filter_map(|pod| match &pod.state {
        PodState::Ended { at, report, .. } => report.as_deref().map(|report| (*at, report)),
        _ => None,
    });
    reports.max_by_key(|(at, _)| *at).map(|(_, report)| report)
}

/// What the last attempt reported; an earlier attempt's report says nothing about a later one.
pub(super) fn last_report(pods: &[ObservedPod]) -> Option<&Report> {
    pods.last().and_then(|pod| newest_report(std::slice::from_ref(pod)))
}

/// The Job has ended and no pod tells of success. After a deadline the pod of the last attempt is
/// gone, so that none of the others can tell for it.
pub(super) fn ended(seen: &Observed, cause: Cause, limits: &Limits, now: Timestamp) -> Decision {
    match last_report(&seen.save.pods).filter(|_| cause != Cause::DeadlineExceeded) {
        Some(report) => failed_by(seen, report, cause),
        None => resolve(seen, cause, limits, now),
    }
}

/// A failed report, with what Kubernetes knows better than an agent that was merely ended.
pub(super) fn failed_by(seen: &Observed, report: &Report, cause: Cause) -> Decision {
    let began = seen.backup.status.as_ref().is_some_and(|status| status.start_time.is_some());
    let reason = match (report.reason, cause) {
        // Whatever ended it left it no time for a report: the node, or a restore of the cluster.
        (Reason::RunNotFound, Cause::ReportMissing) if began => StatusReason::Run(Reason::Interrupted),
        (Reason::Interrupted | Reason::RunNotFound, Cause::JobMissing) => StatusReason::JobDeleted,
        (Reason::Interrupted | Reason::RunNotFound, Cause::DeadlineExceeded) => {
            StatusReason::Run(Reason::DeadlineExceeded)
        }
        (reason, _) => StatusReason::Run(reason),
    };
    let message = match cause {
        Cause::JobMissing if reason == StatusReason::JobDeleted => {
            format!("the Job was deleted before it made a backup ({}); {}", report.message, seen.next_step())
        }
        Cause::ReportMissing if report.reason == Reason::RunNotFound && began => format!(
            "the run was ended from outside, by the loss of its node or by a restore of the cluster ({}); {}",
            report.message,
            seen.next_step()
        ),
        Cause::DeadlineExceeded => format!("the Job was ended by its deadline: {}", report.message),
        _ => report.message.clone(),
    };
    Decision::new(
        Step::Wait,
        Verdict::Failed { state: Obstacle::new(reason, message), report: Some(Box::new(report.clone())) },
    )
}

/// Only the volume knows what became of the run: asks it, never by a second save.
pub(super) fn resolve(seen: &Observed, cause: Cause, limits: &Limits, now: Timestamp) -> Decision {
    if cause == Cause::DeadlineExceeded
        && seen.save.pods.iter().any(|pod| !pod.has_ended() && seen.is_on_lost_node(pod))
    {
        return give_up(seen);
    }
    let at_work = seen.save.pods.iter().find(|pod| !pod.has_ended() && !seen.is_on_lost_node(pod));
    if let Some(pod) = at_work.filter(|pod| now < pod.created + limits.job_deadline() + END_GRACE) {
        let message = format!("{}; waiting for its pod {} to end", cause.describe(&seen.job_name), pod.name);
        let decision = Decision::running(Step::Wait, cause.reason(), message, Some(pod));
        return decision.at(pod.created + limits.job_deadline() + END_GRACE);
    }
    if let Some(decision) = await_the_catalogue(seen, cause, limits, now) {
        return decision;
    }
    let unknown = |step, why: &str| unknown(step, cause, seen, why);
    let pods = &seen.inventory.pods;
    match &seen.inventory.state {
        JobState::Absent => ask(seen, cause, limits, now),
        JobState::Active { created, .. } => {
            let limit = *created + limits.start_limit.min(limits.job_deadline());
            if now >= limit {
                return unknown(Step::DeleteInventory, "the Job that asks the volume did not end in time");
            }
            let (reason, message) = match pods.last().map(|pod| &pod.state) {
                Some(PodState::Blocked(obstacle)) => {
                    (StatusReason::InventoryFailed, format!("{}, but {}", asking(seen, cause), obstacle.message))
                }
                _ => (cause.reason(), asking(seen, cause)),
            };
            Decision::running(Step::Wait, reason, message, None).at(limit)
        }
        JobState::Complete => match last_report(pods) {
            Some(report) if report.outcome == Outcome::Completed => {
                Decision::new(Step::Wait, Verdict::Completed(Box::new(report.clone())))
            }
            Some(report) => failed_by(seen, report, cause),
            None => unknown(Step::Wait, "the answer of the Job that asked the volume cannot be read"),
        },
        JobState::Failed { reason, message } => {
            let why = last_report(pods).map_or_else(|| format!("{reason}: {message}"), |report| report.message.clone());
            unknown(Step::Wait, &format!("the volume could not be asked: {why}"))
        }
        JobState::Foreign => {
            unknown(Step::Wait, "a Job of the name that would ask the volume belongs to somebody else")
        }
    }
}

/// The run of a record is looked for in the volume's catalogue before a Job asks for it alone. A
/// record that was made from a set waits for the catalogue only: there may be thousands.
fn await_the_catalogue(seen: &Observed, cause: Cause, limits: &Limits, now: Timestamp) -> Option<Decision> {
    let limit = may_start_since(seen) + limits.job_deadline() + limits.start_limit;
    let alone = seen.never_had_a_job();
    match seen.volume_says {
        VolumeSays::Later if now < limit => {}
        _ if alone && now < limit => {}
        _ if alone => return Some(unknown(Step::Wait, cause, seen, "the volume's sets could not be listed")),
        _ => return None,
    }
    let message = format!("{}; the volume's sets are being listed", cause.describe(&seen.job_name));
    Some(Decision::running(Step::Wait, cause.reason(), message, None).at(limit))
}

/// Creates the Job that asks the volume. One that the API server refuses is tried again now and
/// then, and given up when the run and its asking could long have been over.
fn ask(seen: &Observed, cause: Cause, limits: &Limits, now: Timestamp) -> Decision {
    let Some(refusal) = seen.said("Running", StatusReason::InventoryFailed) else {
        return Decision::running(Step::CreateInventory, cause.reason(), asking(seen, cause), None);
    };
    if now >= may_start_since(seen) + limits.job_deadline() + limits.start_limit {
        return unknown(Step::Wait, cause, seen, refusal);
    }
    Decision::running(Step::CreateInventory, StatusReason::InventoryFailed, refusal, None).at(now + REFUSED_RETRY)
}

fn asking(seen: &Observed, cause: Cause) -> String {
    format!("{}; the volume is being asked what became of the run", cause.describe(&seen.job_name))
}

fn unknown(step: Step, cause: Cause, seen: &Observed, why: &str) -> Decision {
    let message = format!(
        "{}, and {why}; look for a set of this run with `etcd-backup list` on the volume; {}",
        cause.describe(&seen.job_name),
        seen.next_step()
    );
    Decision::failed(step, StatusReason::OutcomeUnknown, message)
}

impl Cause {
    fn reason(self) -> StatusReason {
        match self {
            Self::JobMissing => StatusReason::JobMissing,
            Self::ReportMissing | Self::DeadlineExceeded => StatusReason::ReportMissing,
        }
    }

    fn describe(self, job: &str) -> String {
        match self {
            Self::JobMissing => format!("Job {job} has gone"),
            Self::ReportMissing => format!("Job {job} ended without a report"),
            Self::DeadlineExceeded => format!("Job {job} was ended by its deadline without a report"),
        }
    }
}
