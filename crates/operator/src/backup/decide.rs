//! What to do next for one Backup, as a pure function of what was observed.

use etcd_backup_api::Backup;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use super::decision::{CronJobStep, Decision, Found, Observed, Said};
use super::knowledge::Knowledge;
use super::names;
use super::pruning;
use super::reason::BackupReason;
use super::runs::{Account, Past};
use super::timetable::Timetable;

/// Decides. `now` is UTC.
#[must_use]
pub(crate) fn decide(seen: &Observed, now: Timestamp) -> Decision {
    let knowledge = Knowledge::new(seen);
    let etcd = &seen.backup.spec.etcd;
    let obstacle = if etcd.pvc_name.is_empty() { None } else { seen.volume.obstacle(&seen.nodes) };
    let schedule = schedule(seen, now);
    let (prune, pruning) = pruning::decide(seen, &knowledge, obstacle.as_ref());
    let foreign = matches!(seen.policy, Found::Foreign).then(|| policy_foreign(&seen.backup));
    let policy =
        (!etcd.pvc_name.is_empty() && foreign.is_none()).then(|| seen.backup.policy(knowledge.volume_id.as_deref()));
    Decision {
        cron_job: schedule.step,
        policy,
        // Without the policy it could only fail.
        prune: if foreign.is_some() { pruning::PruneStep::None } else { prune },
        scheduled: schedule.said,
        retention: foreign.or(pruning).or_else(|| knowledge.retention()),
        look_again: [schedule.next, schedule.account.look_again].into_iter().flatten().min(),
        obstacle,
        account: schedule.account,
        next: schedule.next,
        knowledge,
    }
}

/// What the schedule asks for and what becomes of it.
struct Plan {
    step: CronJobStep,
    said: Said,
    account: Account,
    next: Option<Timestamp>,
}

impl Plan {
    fn without(step: CronJobStep, reason: BackupReason, message: impl Into<String>) -> Self {
        Self { step, said: Said::no(reason, message), account: Account::default(), next: None }
    }
}

fn schedule(seen: &Observed, now: Timestamp) -> Plan {
    let etcd = &seen.backup.spec.etcd;
    let name = names::cron_job(&seen.backup.name_any());
    if matches!(seen.cron_job, Found::Foreign) {
        let message = format!(
            "a CronJob named {name} exists and does not belong to this Backup; it is left alone. Delete it, or give the Backup another name"
        );
        return Plan::without(CronJobStep::Leave, BackupReason::CronJobForeign, message);
    }
    if etcd.schedule.is_empty() {
        let message = "spec.etcd.schedule is empty: no backups are made; set it, for instance to \"20 4 * * *\"";
        return Plan::without(CronJobStep::Delete, BackupReason::NoSchedule, message);
    }
    if etcd.pvc_name.is_empty() {
        let message = "spec.etcd.pvcName is empty and there is no default volume: no backups are made; create a PersistentVolumeClaim and name it";
        return Plan::without(CronJobStep::Delete, BackupReason::NoVolume, message);
    }
    match Timetable::parse(&etcd.schedule, &etcd.time_zone) {
        Ok(timetable) => follow(seen, timetable, now),
        Err(invalid) => {
            let reason = match invalid.reason() {
                "InvalidTimeZone" => BackupReason::InvalidTimeZone,
                _ => BackupReason::InvalidSchedule,
            };
            unreadable(seen, reason, &invalid.to_string(), now)
        }
    }
}

/// The CronJob that is there stays as it was.
fn unreadable(seen: &Observed, reason: BackupReason, problem: &str, now: Timestamp) -> Plan {
    let live = seen.cron_job.ours().and_then(timetable_of);
    let (goes_on, next) = match (&live, seen.cron_job.ours()) {
        (Some(live), Some(cron_job)) if !is_suspended(cron_job) => {
            (format!("; until that is corrected, runs go on at {}", spelt(live)), live.next(anchor(cron_job), now))
        }
        _ => ("; until that is corrected, no backups are made".to_owned(), None),
    };
    Plan { next, ..Plan::without(CronJobStep::Leave, reason, format!("{problem}{goes_on}")) }
}

fn follow(seen: &Observed, timetable: Timetable, now: Timestamp) -> Plan {
    let etcd = &seen.backup.spec.etcd;
    let live = seen.cron_job.ours().filter(|cron_job| {
        is_suspended(cron_job) == etcd.suspend && timetable_of(cron_job).as_ref() == Some(&timetable)
    });
    let since = live.and_then(since).unwrap_or(now);
    let anchor = seen.cron_job.ours().map_or(now, anchor);
    let step = CronJobStep::Apply { timetable: timetable.clone(), since };
    if etcd.suspend {
        let message = "spec.etcd.suspend is true: no new runs are started; what is kept is not changed by it";
        return Plan::without(step, BackupReason::Suspended, message);
    }
    let Some(next) = timetable.next(anchor, now) else {
        let message = format!("no day is ever like schedule {:?}: no backups are made; correct it", etcd.schedule);
        return Plan::without(step, BackupReason::NeverDue, message);
    };
    let strange = live.and_then(last_schedule).filter(|run| *run > since && !timetable.agrees(*run));
    let counted = live.filter(|_| strange.is_none());
    let account = counted.map(|live| account(seen, live, &timetable, since, now)).unwrap_or_default();
    let said = match (&account.overdue, account.waiting) {
        _ if strange.is_some() => {
            let why = "kube-controller-manager has started a run at another time than this schedule has here, so its data of the zone is of another release: runs may start at other times than told, and missing ones are not noticed";
            Said::yes(BackupReason::Scheduled, format!("{}; {why}", running(seen, &timetable)))
        }
        (Some(missing), _) => Said::no(
            BackupReason::Missed,
            format!(
                "{} did not start: is kube-controller-manager running? The next one is due at {next}",
                missing.describe()
            ),
        ),
        (None, Some(due)) => Said::yes(
            BackupReason::Scheduled,
            format!("{}; the run due at {due} waits until the one at work has ended", running(seen, &timetable)),
        ),
        (None, None) => Said::yes(BackupReason::Scheduled, running(seen, &timetable)),
    };
    Plan { step, said, account, next: Some(next) }
}

fn account(seen: &Observed, live: &CronJob, timetable: &Timetable, since: Timestamp, now: Timestamp) -> Account {
    let status = seen.backup.status.as_ref();
    let past = Past {
        timetable,
        created: live.creation_timestamp().map_or(now, |time| time.0),
        since,
        started: last_schedule(live),
        counted: status.and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0),
        missed: status.and_then(|status| status.last_missed_time.as_ref()).map(|time| time.0),
        runs: &seen.runs,
        awake: seen.awake,
    };
    past.account(now)
}

fn running(seen: &Observed, timetable: &Timetable) -> String {
    let name = names::cron_job(&seen.backup.name_any());
    let default = if seen.backup.spec.etcd.time_zone.is_empty() { " (spec.etcd.timeZone is empty)" } else { "" };
    format!("CronJob {name} starts the runs at {}{default}", spelt(timetable))
}

fn spelt(timetable: &Timetable) -> String {
    format!("{:?} in {}", timetable.schedule, timetable.zone)
}

fn policy_foreign(backup: &Backup) -> Said {
    let name = names::policy(&backup.name_any());
    let message = format!(
        "a ConfigMap named {name} exists and does not belong to this Backup; it is left alone, and nothing is deleted by a policy. Delete it, or give the Backup another name"
    );
    Said::no(BackupReason::PolicyForeign, message)
}

/// The timetable of a CronJob, if it can be read.
fn timetable_of(cron_job: &CronJob) -> Option<Timetable> {
    let spec = cron_job.spec.as_ref()?;
    Timetable::parse(&spec.schedule, spec.time_zone.as_deref().unwrap_or_default()).ok()
}

#[must_use]
pub(crate) fn is_suspended(cron_job: &CronJob) -> bool {
    cron_job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

/// When the newest run that kube-controller-manager started was due, UTC.
#[must_use]
pub(crate) fn last_schedule(cron_job: &CronJob) -> Option<Timestamp> {
    cron_job.status.as_ref()?.last_schedule_time.as_ref().map(|time| time.0)
}

/// What `@every` counts from.
fn anchor(cron_job: &CronJob) -> Timestamp {
    let created = cron_job.creation_timestamp().map(|time| time.0);
    last_schedule(cron_job).or(created).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn since(cron_job: &CronJob) -> Option<Timestamp> {
    cron_job.annotations().get(names::SINCE)?.parse().ok()
}

#[cfg(test)]
mod tests;
