//! The gauges of Backups.

use std::collections::HashMap;

use etcd_backup_api::{Backup, EtcdBackup};
use etcd_backup_core::{Report, Retention};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::gauges::{self as g, Sample};
use super::objects::{End, Objects, UNPROVEN, end, seconds};
use crate::backup::knowledge::before;
use crate::backup::names;
use crate::backup::timetable::DEFAULT_ZONE;

/// A Backup and what belongs to it.
struct Schedule<'a, 'm> {
    name: &'a str,
    backup: &'a Backup,
    /// Those of its runs that have a record.
    records: &'m [&'a EtcdBackup],
    /// The newest report, of whichever run.
    report: Option<&'a Report>,
    jobs: &'m HashMap<&'a str, &'a Job>,
}

/// A run that has ended.
struct Run<'a> {
    record: &'a EtcdBackup,
    end: End<'a>,
}

/// All gauges of all Backups. The records and Jobs are those of the objects.
pub(super) fn samples<'a>(
    objects: &'a Objects,
    records: &HashMap<&'a str, Vec<&'a EtcdBackup>>,
    jobs: &HashMap<&'a str, &'a Job>,
) -> Vec<Sample<'a>> {
    let mut samples = Vec::new();
    for backup in objects.schedules() {
        let name = backup.metadata.name.as_deref().unwrap_or_default();
        let schedule = Schedule {
            name,
            backup,
            records: records.get(name).map(Vec::as_slice).unwrap_or_default(),
            report: objects.reports.get(name).map(AsRef::as_ref),
            jobs,
        };
        samples.extend(g::EXPECTED_INTERVAL.known([name], objects.intervals.get(name).copied()));
        samples.extend(schedule.plan());
        samples.extend(schedule.retention());
        samples.extend(schedule.conditions());
        samples.extend(schedule.runs());
    }
    samples
}

impl<'a> Schedule<'a, '_> {
    /// What is asked for, and what is said of the future.
    fn plan(&self) -> Vec<Sample<'a>> {
        let (name, spec) = (self.name, &self.backup.spec.etcd);
        let status = self.backup.status.as_ref();
        let zone = if spec.time_zone.is_empty() { DEFAULT_ZONE } else { &spec.time_zone };
        let created = self.backup.metadata.creation_timestamp.as_ref().map(time);
        let next = status.and_then(|status| status.next_schedule_time.as_deref()?.parse().ok()).map(seconds);
        let mut samples = vec![
            g::INFO.is([name, &spec.pvc_name, &spec.schedule, zone], 1.0),
            g::SUSPENDED.is([name], f64::from(spec.suspend)),
        ];
        samples.extend(g::CREATED.known([name], created));
        samples.extend(g::NEXT_RUN.known([name], next));
        if let Some(status) = status {
            samples.extend(g::LAST_DUE.known([name], status.last_schedule_time.as_ref().map(time)));
            samples.extend(g::LAST_MISSED.known([name], status.last_missed_time.as_ref().map(time)));
            samples.extend(g::FAILURES.known([name], status.consecutive_failures.map(f64::from)));
        }
        let (sets, bytes) = match Retention::from(&spec.retention_policy) {
            Retention::Number { max_sets } => (Some(max_sets as f64), None),
            Retention::Size { max_bytes } => (None, Some(max_bytes as f64)),
        };
        samples.extend(g::LIMIT_SETS.known([name], sets));
        samples.extend(g::LIMIT_BYTES.known([name], bytes));
        samples
    }

    /// What is on the volume.
    fn retention(&self) -> Vec<Sample<'a>> {
        let name = self.name;
        let Some(retained) = before(self.backup).and_then(|status| status.retained.as_ref()) else { return Vec::new() };
        let mut samples = vec![
            g::RETAINED_SETS.is([name], f64::from(retained.count)),
            g::RETAINED_BYTES.is([name], retained.size_bytes as f64),
        ];
        samples.extend(g::RETAINED_NEWEST.known([name], retained.newest.as_ref().map(time)));
        samples.extend(g::RETAINED_OLDEST.known([name], retained.oldest.as_ref().map(time)));
        samples.extend(g::RETAINED_OBSERVED.known([name], retained.time.as_ref().map(time)));
        samples
    }

    fn conditions(&self) -> Vec<Sample<'a>> {
        let name = self.name;
        let mut samples = Vec::new();
        for condition in self.backup.status.iter().flat_map(|status| &status.conditions) {
            for (label, value) in [("true", "True"), ("false", "False"), ("unknown", "Unknown")] {
                let holds = f64::from(condition.status == value);
                samples.push(g::CONDITION.is([name, condition.type_.as_str(), label], holds));
            }
            samples.push(g::CONDITION_REASON.is([name, condition.type_.as_str(), condition.reason.as_str()], 1.0));
        }
        samples
    }

    fn runs(&self) -> Vec<Sample<'a>> {
        let name = self.name;
        let ended = || self.records.iter().filter_map(|&record| Some(Run { record, end: end(record)? }));
        let newest = |run: &Run<'a>| (run.end.at, run.record.metadata.name.as_deref());
        let mut samples = Vec::new();
        let good = ended().filter(Run::was_good).max_by_key(newest);
        samples.extend(self.last_success(good.as_ref()));
        if let Some(run) = ended().max_by_key(newest) {
            samples.extend(self.last_run(&run));
        }
        if let Some((run, reason)) =
            ended().filter_map(|run| run.end.failure.map(|why| (run, why))).max_by_key(|(run, _)| newest(run))
        {
            samples.push(g::LAST_FAILURE.is([name], seconds(run.end.at)));
            samples.push(g::LAST_FAILURE_REASON.is([name, reason], 1.0));
        }
        for reason in UNPROVEN {
            let count = ended().filter(|run| run.end.unproven == Some(reason)).count();
            samples.push(g::UNPROVEN_RECORDS.is([name, reason], count as f64));
        }
        let running = self.records.iter().filter(|record| end(record).is_none());
        let since = running.filter_map(|record| record.metadata.creation_timestamp.as_ref()).min();
        samples.extend(g::RUNNING_SINCE.known([name], since.map(time)));
        let version = self.report.and_then(|report| report.agent_version.as_deref());
        samples.extend(version.map(|version| g::AGENT.is([name, version], 1.0)));
        samples
    }

    /// The status remembers the time of runs whose records are gone.
    fn last_success(&self, run: Option<&Run<'a>>) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let name = self.name;
        let told = self.backup.status.as_ref().and_then(|status| Some(status.last_successful_time.as_ref()?.0));
        let last = run.map(|run| run.end.at).max(told);
        let run = run.filter(|run| Some(run.end.at) == last);
        let snapshot = run.and_then(|run| run.record.status.as_ref()?.snapshot.as_ref());
        let samples = [
            g::LAST_SUCCESS.known([name], last.map(seconds)),
            g::LAST_REVISION.known([name], snapshot.map(|snapshot| snapshot.revision as f64)),
            g::LAST_BYTES.known([name], snapshot.map(|snapshot| snapshot.size_bytes as f64)),
        ];
        samples.into_iter().flatten()
    }

    fn last_run(&self, run: &Run<'a>) -> Vec<Sample<'a>> {
        let name = self.name;
        let run_id = run.record.run_id().unwrap_or_default();
        let began = run.record.status.as_ref().and_then(|status| Some(status.start_time.as_ref()?.0));
        let due =
            self.jobs.get(run_id).and_then(|job| names::due(job.metadata.name.as_deref()?, &names::cron_job(name)));
        let from = |since: Timestamp, until: Timestamp| until.duration_since(since).as_secs_f64();
        let mut samples = vec![
            g::LAST_RUN.is([name], seconds(run.end.at)),
            g::LAST_RUN_SUCCESS.is([name], f64::from(run.was_good())),
        ];
        samples.extend(g::LAST_RUN_DURATION.known([name], began.map(|began| from(began, run.end.at))));
        samples.extend(g::LAST_RUN_DELAY.known([name], began.zip(due).map(|(began, due)| from(due, began))));
        let report = self.report.filter(|report| report.run_id.as_str() == run_id);
        for phase in report.iter().flat_map(|report| &report.phases) {
            samples.push(g::LAST_RUN_PHASE.is([name, phase.phase.as_str()], phase.millis as f64 / 1000.0));
        }
        samples
    }
}

impl Run<'_> {
    /// Whether it made a verified backup, whatever became of it since.
    fn was_good(&self) -> bool {
        self.end.failure.is_none() && self.end.unproven != Some("Freshness")
    }
}

fn time(time: &Time) -> f64 {
    seconds(time.0)
}
