//! The whole of `status`: what is shown, and whether it is well. Pure.

use etcd_backup_api::{Backup, EtcdBackup};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde::Serialize;

use super::operator::Operator;
use super::problem::{self, Problem};
use super::schedule::Schedule;
use crate::etcdbackup::{message, time};

/// What was read.
pub(super) struct Observed {
    pub(super) schedules: Vec<Backup>,
    pub(super) backups: Vec<EtcdBackup>,
    pub(super) operator: Operator,
}

/// What `status -o json` prints; `docs/plugin.md` promises its fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    /// Whether there is no problem; the exit code says the same.
    pub(super) healthy: bool,
    /// When it was so, UTC.
    pub(super) time: Timestamp,
    pub(super) operator: Operator,
    pub(super) schedules: Vec<Schedule>,
    /// One-shot backups that have not ended, ended lately, or have a problem.
    pub(super) backups: Vec<Single>,
    pub(super) problems: Vec<Problem>,
}

/// A one-shot backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Single {
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) pvc_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<String>,
    /// When it began, or was asked for, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<Timestamp>,
}

impl Overview {
    /// Judges what was read; one-shot backups that ended longer than `since` ago are past.
    pub(super) fn new(observed: Observed, since: SignedDuration, now: Timestamp) -> Self {
        let Observed { mut schedules, mut backups, operator } = observed;
        let from = now.checked_sub(since).unwrap_or(Timestamp::MIN);
        schedules.sort_by_key(ResourceExt::name_any);
        backups.sort_by_key(|backup| (time(backup), backup.name_any()));
        let mut problems: Vec<Problem> = problem::of_operator(&operator).into_iter().collect();
        problems.extend(schedules.iter().flat_map(|schedule| problem::of_schedule(schedule, now)));
        let mut singles = Vec::new();
        for backup in backups.iter().filter(|backup| backup.spec.recorded.is_none()) {
            let problem = problem::of_single(backup, &backups, from);
            if problem.is_some() || is_current(backup, from) {
                singles.push(Single::of(backup));
            }
            problems.extend(problem);
        }
        Self {
            healthy: problems.is_empty(),
            time: now,
            operator,
            schedules: schedules.iter().map(|schedule| Schedule::of(schedule, &backups)).collect(),
            backups: singles,
            problems,
        }
    }
}

/// Whether it has not ended, or ended lately.
fn is_current(backup: &EtcdBackup, from: Timestamp) -> bool {
    let ended = backup.status.as_ref().and_then(|status| status.completion_time.as_ref()).map(|time| time.0);
    ended.is_none_or(|ended| ended >= from)
}

impl Single {
    fn of(backup: &EtcdBackup) -> Self {
        let status = backup.status.clone().unwrap_or_default();
        Self {
            name: backup.name_any(),
            message: message(&status).to_owned(),
            phase: status.phase.unwrap_or_else(|| "Pending".to_owned()),
            reason: status.reason.unwrap_or_default(),
            pvc_name: backup.spec.pvc_name.clone(),
            size: status.size,
            time: time(backup),
        }
    }
}
