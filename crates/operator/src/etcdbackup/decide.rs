//! What to do next for one EtcdBackup, as a pure function of what was observed.
//!
//! Nothing is remembered between two decisions but what is in the cluster, so that the operator can
//! die at any point. What must never happen: two save Jobs for one request, Completed without a
//! report that says so, Running for ever.

use etcd_backup_core::{Outcome, Reason};
use jiff::{SignedDuration, Timestamp};

use self::resolve::{Cause, ended, failed_by, last_report, newest_report, resolve};
use super::decision::{Decision, Observed, Step, Verdict};
use super::job_state::JobState;
use super::pod_state::{ObservedPod, PodState};
use super::reason::StatusReason;
use super::volume::Obstacle;
use crate::catalogue::VolumeSays;
use crate::config::Limits;

mod resolve;

/// How long a Job may take to make a pod, and a pod to start its container, before that is called
/// an obstacle.
const START_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long after a Job's deadline its end is waited for.
const END_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long after the API server refused a Job it is asked again.
const REFUSED_RETRY: SignedDuration = SignedDuration::from_secs(60);

/// Decides. `now` is UTC. The Job of a recorded run belongs to its CronJob, which alone deletes it.
#[must_use]
pub(crate) fn decide(seen: &Observed, limits: &Limits, now: Timestamp) -> Decision {
    match find(seen, limits, now) {
        decision if seen.is_record() && decision.step == Step::DeleteSave => Decision { step: Step::Wait, ..decision },
        decision => decision,
    }
}

fn find(seen: &Observed, limits: &Limits, now: Timestamp) -> Decision {
    if let Err(invalid) = &seen.request {
        return Decision::failed(Step::Wait, StatusReason::Spec(invalid.reason()), invalid.to_string());
    }
    if let Some(report) = newest_report(&seen.save.pods).filter(|report| report.outcome == Outcome::Completed) {
        return Decision::new(Step::Wait, Verdict::Completed(Box::new(report.clone())));
    }
    let at_work = matches!(seen.save.state, JobState::Active { .. });
    if let VolumeSays::Set(report) = &seen.volume_says
        && !at_work
    {
        return Decision::new(Step::Wait, Verdict::Completed(report.clone()));
    }
    let status = seen.backup.status.as_ref();
    let created_before = status.is_some_and(|status| status.backup_job.is_some());
    let named_before = status.is_some_and(|status| status.job_name.is_some());
    match &seen.save.state {
        JobState::Absent | JobState::Foreign if created_before || seen.is_record() => {
            resolve(seen, Cause::JobMissing, limits, now)
        }
        JobState::Foreign => Decision::new(Step::Wait, Verdict::name_taken(&seen.job_name)),
        JobState::Absent if named_before => create_again(seen, limits, now),
        JobState::Absent => start(seen, limits, now),
        JobState::Active { created, ends, suspended } => {
            Follow { seen, limits, now, created: *created, ends: *ends }.decide(*suspended)
        }
        JobState::Complete => ended(seen, Cause::ReportMissing, limits, now),
        JobState::Failed { reason, .. } if reason == "DeadlineExceeded" => match never_began(seen) {
            Some(obstacle) => Decision::failed(Step::Wait, obstacle.reason, given_up(seen, &obstacle.message)),
            None => ended(seen, Cause::DeadlineExceeded, limits, now),
        },
        JobState::Failed { .. } => ended(seen, Cause::ReportMissing, limits, now),
    }
}

/// No Job yet: may there be one?
fn start(seen: &Observed, limits: &Limits, now: Timestamp) -> Decision {
    if let Some(obstacle) = seen.volume.obstacle(&seen.nodes) {
        return blocked(seen, obstacle, Step::Wait, may_start_since(seen) + limits.start_limit, now);
    }
    if !seen.place.ahead.is_empty() {
        let place = format!(
            "waiting for {}, place {} of {} on this volume",
            seen.place.ahead.join(", "),
            seen.place.ahead.len() + 1,
            seen.place.waiting
        );
        return Decision::new(Step::Wait, Verdict::Pending(Obstacle::new(StatusReason::Queued, place)));
    }
    create(seen)
}

/// The Job has a name but was not created. A Job that the API server refuses is tried again now and
/// then; the status stays as it is meanwhile, because each change of it would be the next trigger.
fn create_again(seen: &Observed, limits: &Limits, now: Timestamp) -> Decision {
    let Some(refusal) = seen.said("Pending", StatusReason::JobRefused) else { return create(seen) };
    if now >= may_start_since(seen) + limits.start_limit {
        return Decision::failed(Step::Wait, StatusReason::JobRefused, given_up(seen, refusal));
    }
    let obstacle = Obstacle::new(StatusReason::JobRefused, refusal);
    Decision::new(Step::CreateSave, Verdict::Pending(obstacle)).at(now + REFUSED_RETRY)
}

fn create(seen: &Observed) -> Decision {
    let message = format!("Job {} is being created", seen.job_name);
    Decision::new(Step::CreateSave, Verdict::Pending(Obstacle::new(StatusReason::Starting, message)))
}

/// Since when this request, as far as the queue goes, may start.
fn may_start_since(seen: &Observed) -> Timestamp {
    let created = seen.backup.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    seen.place.last_ended.map_or(created, |ended| ended.max(created))
}

/// Pending until `limit`, then failed; `last` is what is done then.
fn blocked(seen: &Observed, obstacle: Obstacle, last: Step, limit: Timestamp, now: Timestamp) -> Decision {
    if now < limit {
        return Decision::new(Step::Wait, Verdict::Pending(obstacle)).at(limit);
    }
    Decision::failed(last, obstacle.reason, given_up(seen, &obstacle.message))
}

fn given_up(seen: &Observed, message: &str) -> String {
    format!("could not be started in time: {message}. When that is done, {}", seen.next_step())
}

/// What kept a recorded run from beginning up to its deadline. Its Job has left no pod by now, so that
/// what was said last is what is known.
fn never_began(seen: &Observed) -> Option<Obstacle> {
    let status = seen.backup.status.as_ref().filter(|_| seen.is_record())?;
    let began = status.start_time.is_some() || !seen.save.pods.is_empty();
    let reason = StatusReason::blocking(status.reason.as_deref()?).filter(|_| !began)?;
    Some(Obstacle::new(reason, seen.said("Pending", reason)?))
}

/// A Job that has not ended.
struct Follow<'a> {
    seen: &'a Observed,
    limits: &'a Limits,
    now: Timestamp,
    created: Timestamp,
    ends: Timestamp,
}

impl Follow<'_> {
    fn decide(&self, suspended: bool) -> Decision {
        let pods = &self.seen.save.pods;
        let newest = pods.last();
        let last_moment = self.ends + END_GRACE;
        if self.now >= last_moment {
            return give_up(self.seen);
        }
        match newest.map(|pod| (pod, &pod.state)) {
            Some((pod, PodState::Running { .. })) => running(self.seen, pod, last_moment),
            Some((_, PodState::Ended { .. })) => self.retrying(last_moment),
            _ if suspended => self.not_started(Obstacle::new(
                StatusReason::JobSuspended,
                format!(
                    "somebody suspended Job {0}; resume it: kubectl -n {1} patch job {0} -p '{{\"spec\":{{\"suspend\":false}}}}'",
                    self.seen.job_name, self.seen.namespace
                ),
            )),
            Some((_, PodState::Blocked(obstacle))) => self.not_started(obstacle.clone()),
            Some((pod, PodState::Starting)) => self.starting(
                pod.created,
                StatusReason::PodNotStarted,
                &format!(
                    "pod {0} does not start; see `kubectl -n {1} describe pod {0}`: a Secret, ConfigMap or volume that it mounts may be missing",
                    pod.name, self.seen.namespace
                ),
            ),
            None => self.starting(
                self.created,
                StatusReason::PodNotCreated,
                &format!(
                    "Job {0} has made no pod; see `kubectl -n {1} describe job {0}`: a quota, pod security or a missing ServiceAccount may forbid it",
                    self.seen.job_name, self.seen.namespace
                ),
            ),
        }
    }

    /// Normal for a while, then an obstacle.
    fn starting(&self, since: Timestamp, reason: StatusReason, message: &str) -> Decision {
        let patience = since + START_GRACE;
        if self.now >= patience {
            return self.not_started(Obstacle::new(reason, message));
        }
        if self.ran_before() {
            return self.retrying(patience);
        }
        let message = format!("Job {} is being started", self.seen.job_name);
        Decision::new(Step::Wait, Verdict::Pending(Obstacle::new(StatusReason::Starting, message))).at(patience)
    }

    /// After an attempt that failed, until the next one runs: how the last one ended.
    fn retrying(&self, look_again: Timestamp) -> Decision {
        let pods = &self.seen.save.pods;
        let last = pods.iter().rev().find_map(|pod| match &pod.state {
            PodState::Ended { why, .. } => Some(format!("pod {} ended: {why}", pod.name)),
            _ => None,
        });
        let report =
            newest_report(pods).map(|report| format!("; the agent reported {}: {}", report.reason, report.message));
        let message = format!(
            "{}{}; the Job makes another attempt",
            last.as_deref().unwrap_or("an attempt has failed"),
            report.unwrap_or_default()
        );
        Decision::running(Step::Wait, StatusReason::Retrying, message, None).at(look_again)
    }

    /// The first attempt fails in the end if it cannot start; a later one is bounded by the Job's
    /// deadline, after which the volume is asked what the earlier ones left.
    fn not_started(&self, obstacle: Obstacle) -> Decision {
        if self.ran_before() {
            return Decision::running(Step::Wait, StatusReason::Retrying, obstacle.message, None)
                .at(self.ends + END_GRACE);
        }
        // Forbid blocks the schedule until the Job has ended, so that it is followed to its end.
        if self.seen.is_record() {
            return Decision::new(Step::Wait, Verdict::Pending(obstacle)).at(self.ends + END_GRACE);
        }
        // A minute before Kubernetes ends the Job, so that what was seen last is what is said.
        let limit = (self.created + self.limits.start_limit).min(self.ends - END_GRACE);
        blocked(self.seen, obstacle, Step::DeleteSave, limit, self.now)
    }

    fn ran_before(&self) -> bool {
        let began = self.seen.backup.status.as_ref().is_some_and(|status| status.start_time.is_some());
        began || self.seen.save.pods.iter().any(ObservedPod::has_ended)
    }
}

fn running(seen: &Observed, pod: &ObservedPod, last_moment: Timestamp) -> Decision {
    let node = pod.node.as_deref().unwrap_or("an unknown node");
    let decision = if seen.is_on_lost_node(pod) {
        let message =
            format!("node {node} of pod {} does not answer; given up at {last_moment} if it stays so", pod.name);
        Decision::running(Step::Wait, StatusReason::NodeLost, message, Some(pod))
    } else {
        let message = format!("pod {} is saving etcd on node {node}", pod.name);
        Decision::running(Step::Wait, StatusReason::Saving, message, Some(pod))
    };
    decision.at(last_moment)
}

/// The Job should have ended by itself and did not.
fn give_up(seen: &Observed) -> Decision {
    let left: Vec<&ObservedPod> = seen.save.pods.iter().filter(|pod| !pod.has_ended()).collect();
    let lost: Vec<String> = left.iter().filter(|pod| seen.is_on_lost_node(pod)).map(|pod| pod.name.clone()).collect();
    if left.is_empty()
        && let Some(report) = last_report(&seen.save.pods)
    {
        return failed_by(seen, report, Cause::DeadlineExceeded);
    }
    let next_step = seen.next_step();
    let hint = format!("a complete set may still be found on the volume: see `etcd-backup list`; {next_step}");
    if lost.is_empty() {
        let left = left.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(", ");
        let left = if left.is_empty() { "no pod is left".to_owned() } else { format!("still there: {left}") };
        let message = format!("Job {} did not end by its deadline ({left}); {hint}", seen.job_name);
        return Decision::failed(Step::DeleteSave, StatusReason::Run(Reason::DeadlineExceeded), message);
    }
    let message =
        format!("the node of pod {} was lost and did not come back before the deadline; {hint}", lost.join(", "));
    Decision::failed(Step::ForceDelete(lost), StatusReason::NodeLost, message)
}

#[cfg(test)]
mod tests;
