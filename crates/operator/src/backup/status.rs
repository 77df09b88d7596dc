//! The status that follows from a decision: conditions, facts, and the columns.

use etcd_backup_api::{Backup, BackupJob, BackupStatus, conditions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::decide::last_schedule;
use super::decision::{Decision, Observed, Said};
use super::names;
use super::reason::BackupReason;
use crate::config::Config;

/// The status after a decision. Equal to the one before if nothing new is to be said. `has_cron_job`
/// says whether there is a CronJob of ours now.
#[must_use]
pub(crate) fn next(
    seen: &Observed,
    decision: &Decision,
    has_cron_job: bool,
    config: &Config,
    now: Timestamp,
) -> BackupStatus {
    let backup = &seen.backup;
    let known = &decision.knowledge;
    let old = backup.status.clone().unwrap_or_default();
    let name = names::cron_job(&backup.name_any());
    let missed = [&decision.account.overdue, &decision.account.skipped].into_iter().flatten();
    let mut status = BackupStatus {
        observed_generation: backup.metadata.generation,
        cron_job: has_cron_job.then(|| BackupJob { namespace: config.backup_namespace.clone(), name }),
        pvc_name: Some(backup.spec.etcd.pvc_name.clone()).filter(|claim| !claim.is_empty()),
        volume_id: known.volume_id.clone(),
        last_schedule_time: seen.cron_job.ours().and_then(last_schedule).map(Time).or(old.last_schedule_time),
        last_missed_time: missed.map(|missed| Time(missed.last)).chain(old.last_missed_time).max(),
        last_successful_time: seen.history.last_success.map(Time).into_iter().chain(old.last_successful_time).max(),
        next_schedule_time: decision.next.map(|next| next.to_string()),
        retained: known.retained.clone(),
        consecutive_failures: failures(seen),
        policy_hash: known.policy_hash.clone(),
        conditions: old.conditions,
    };
    if decision.retention.is_none() {
        status.conditions.retain(|condition| condition.type_ != "RetentionSatisfied");
    }
    let mut tell = |type_: &str, said: &Said| {
        let generation = backup.metadata.generation;
        let (reason, message) = (said.reason.as_str(), said.message.as_str());
        conditions::set(&mut status.conditions, type_, said.status, reason, message, generation, &Time(now));
    };
    tell("Scheduled", &decision.scheduled);
    if let Some(retention) = &decision.retention {
        tell("RetentionSatisfied", retention);
    }
    tell_ready(&mut status, seen, decision, now);
    status
}

/// The status while nothing is started; none if it has been told of this spec.
#[must_use]
pub(crate) fn standing_down(backup: &Backup, why: &str, now: Timestamp) -> Option<BackupStatus> {
    let old = backup.status.clone().unwrap_or_default();
    let generation = backup.metadata.generation;
    let reason = BackupReason::StandDown.as_str();
    let told = conditions::get(&old.conditions, "Ready")
        .is_some_and(|ready| ready.reason == reason && ready.observed_generation == generation);
    if told {
        return None;
    }
    let mut status = BackupStatus { observed_generation: generation, next_schedule_time: None, ..old };
    for (type_, value) in [("Scheduled", false), ("Ready", false), ("Stalled", true)] {
        conditions::set(&mut status.conditions, type_, value, reason, why, generation, &Time(now));
    }
    Some(status)
}

/// Absent before the first run has ended.
fn failures(seen: &Observed) -> Option<i32> {
    let history = &seen.history;
    let ended = history.last_success.is_some() || history.failures > 0;
    ended.then(|| i32::try_from(history.failures).unwrap_or(i32::MAX))
}

/// Ready and Stalled: the first thing that is not as it should be, and whether somebody has to act.
fn tell_ready(status: &mut BackupStatus, seen: &Observed, decision: &Decision, now: Timestamp) {
    let generation = seen.backup.metadata.generation;
    let (ready, reason, mut message) = readiness(status, seen, decision);
    for ignored in &decision.knowledge.ignored {
        message = format!("{message}; {ignored}");
    }
    let stalled = !ready && BackupReason::stalls(&reason);
    let said_of_stalled = if stalled { message.as_str() } else { "" };
    let now = Time(now);
    conditions::set(&mut status.conditions, "Ready", ready, &reason, &message, generation, &now);
    conditions::set(&mut status.conditions, "Stalled", stalled, &reason, said_of_stalled, generation, &now);
}

fn readiness(status: &BackupStatus, seen: &Observed, decision: &Decision) -> (bool, String, String) {
    let scheduled = &decision.scheduled;
    let no = |reason: BackupReason, message: String| (false, reason.as_str().to_owned(), message);
    if !scheduled.status && scheduled.reason != BackupReason::Suspended {
        return no(scheduled.reason, scheduled.message.clone());
    }
    if let Some(obstacle) = &decision.obstacle {
        return no(BackupReason::Volume(obstacle.reason), obstacle.message.clone());
    }
    if let Some((record, reason)) = &seen.history.last_failure {
        let failures = seen.history.failures;
        let message = format!(
            "the newest run failed ({reason}), {failures} in a row; see `kubectl describe etcdbackup {record}`"
        );
        return no(BackupReason::LastRunFailed, message);
    }
    let retention = conditions::get(&status.conditions, "RetentionSatisfied");
    if let Some(unsatisfied) = retention.filter(|condition| condition.status != "True") {
        return (false, unsatisfied.reason.clone(), unsatisfied.message.clone());
    }
    let reason = if scheduled.status { BackupReason::Ready } else { BackupReason::Suspended };
    (true, reason.as_str().to_owned(), scheduled.message.clone())
}

#[cfg(test)]
mod tests;
