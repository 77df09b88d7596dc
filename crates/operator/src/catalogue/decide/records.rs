//! Which runs to record and which records to drop.

use std::collections::{BTreeMap, BTreeSet};

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{RunId, SetState};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::{BATCH, Ended, Index, Observed, Phase, ended};
use crate::catalogue::known::{Known, KnownSet};
use crate::etcdbackup::kept;
use crate::labels;

/// Failed records that are kept per Backup: enough to see since when and how it fails, and as many as
/// its failed Jobs.
const FAILED_HISTORY: usize = 10;

/// A run that has no record yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRecord {
    /// The Backup.
    pub(crate) backup: String,
    /// The run: its Job's uid.
    pub(crate) run_id: String,
    /// The Job, if it is still there.
    pub(crate) job: Option<String>,
}

/// A record to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Its name.
    pub(crate) name: String,
    /// Its uid, so that none that was made anew is dropped.
    pub(crate) uid: String,
    /// Its run.
    pub(crate) run_id: String,
}

/// The runs to record now, and whether there are more: those whose Jobs are there, then those of
/// which only the set is left.
pub(super) fn to_create(seen: &Observed, index: &Index<'_>) -> (Vec<NewRecord>, bool) {
    let by_job = index.jobs.values().filter_map(|job| of_job(seen, index, job));
    let whole = seen.memory.whole.values().filter(|origin| seen.records(&origin.owner));
    let by_set = whole.filter(|origin| index.sets.contains_key(origin.run_id.as_str())).map(|origin| NewRecord {
        backup: origin.owner.name.clone(),
        run_id: origin.run_id.to_string(),
        job: index.jobs.get(origin.run_id.as_str()).map(|job| job.name_any()),
    });
    let mut new: BTreeMap<String, NewRecord> = BTreeMap::new();
    for record in by_job.chain(by_set) {
        if !index.objects.contains_key(record.run_id.as_str()) {
            new.entry(record.run_id.clone()).or_insert(record);
        }
    }
    let more = new.len() > BATCH;
    (new.into_values().take(BATCH).collect(), more)
}

/// The record of a Job. One whose set has gone since has none: what it made is known from the
/// catalogue, and if that is on its way it is waited for.
fn of_job(seen: &Observed, index: &Index<'_>, job: &Job) -> Option<NewRecord> {
    let backup = job.annotations().get(labels::BACKUP).filter(|name| seen.schedule(name).is_some())?;
    let run_id = job.metadata.uid.clone()?;
    let by_cron_job = job.owner_references().iter().any(|owner| owner.kind == "CronJob");
    let over = ended(job) == Some(Ended::Complete) && !index.sets.contains_key(run_id.as_str());
    let gone = over && (seen.memory.dropped.contains(&run_id) || seen.memory.awaits() || ended_before(seen, job));
    (by_cron_job && !gone).then(|| NewRecord { backup: backup.clone(), run_id, job: Some(job.name_any()) })
}

/// Whether the Job had ended when the volume was looked at.
fn ended_before(seen: &Observed, job: &Job) -> bool {
    let completion = job.status.as_ref().and_then(|status| status.completion_time.as_ref());
    completion.zip(seen.memory.current()).is_some_and(|(completion, known)| completion.0 < known.time)
}

/// The records to drop now, and whether there are more.
pub(super) fn to_drop(seen: &Observed, index: &Index<'_>) -> (Vec<Dropped>, bool) {
    let surplus = surplus_failures(seen, index);
    let records = seen.on_claim().filter(|record| is_settled_record(record));
    let mut drop = records.filter_map(|record| {
        let (name, run_id) = (record.metadata.name.as_deref()?, record.run_id()?);
        let gone = match Phase::of(record) {
            Phase::Failed => surplus.contains(&name) || is_superseded(seen, index, run_id),
            Phase::Completed => seen.memory.current().is_some_and(|known| set_is_gone(seen, record, known)),
            Phase::Unfinished => never_will_end(seen, index, record, run_id),
        };
        gone.then(|| Dropped {
            name: name.to_owned(),
            uid: record.uid().unwrap_or_default(),
            run_id: run_id.to_owned(),
        })
    });
    let now: Vec<Dropped> = drop.by_ref().take(BATCH).collect();
    (now, drop.next().is_some())
}

fn is_settled_record(backup: &EtcdBackup) -> bool {
    backup.spec.recorded.is_some() && backup.metadata.deletion_timestamp.is_none()
}

/// A set that cannot be read has not gone. Nothing is dropped while the Backup's volume is another
/// one than before.
fn set_is_gone(seen: &Observed, record: &EtcdBackup, known: &Known) -> bool {
    let there = kept::set_name(record).and_then(|name| known.sets.get(&name));
    let gone = there.is_none_or(|set| set.state == SetState::Foreign);
    gone && kept::is_told_of(record, known) && is_volume_of(seen, record, known)
}

fn is_volume_of(seen: &Observed, record: &EtcdBackup, known: &Known) -> bool {
    let schedule = record.spec.recorded.as_ref().and_then(|recorded| seen.schedule(&recorded.backup));
    let status = schedule.and_then(|schedule| schedule.status.as_ref());
    let status = status.filter(|status| status.pvc_name.as_ref().is_none_or(|claim| *claim == seen.claim));
    let expected = status.and_then(|status| status.volume_id.as_ref());
    expected.is_none_or(|expected| *expected == known.volume_id)
}

/// A record that was made for a set of which no more is known, and whose set has gone since: no Job
/// will ever tell.
fn never_will_end(seen: &Observed, index: &Index<'_>, record: &EtcdBackup, run_id: &str) -> bool {
    let has_job = record.annotations().contains_key(labels::JOB) || index.jobs.contains_key(run_id);
    let known = seen.memory.current().filter(|known| is_volume_of(seen, record, known));
    !has_job && known.is_some() && !index.sets.contains_key(run_id)
}

/// The run was thought to have failed, and there is a good set of it: the record is made anew.
fn is_superseded(seen: &Observed, index: &Index<'_>, run_id: &str) -> bool {
    let good = |set: &KnownSet| matches!(set.state, SetState::Verified | SetState::Unverified);
    let at_work = index.jobs.get(run_id).is_some_and(|job| ended(job).is_none());
    let whole = seen.memory.whole.keys().any(|run| run.as_str() == run_id);
    whole && !at_work && index.sets.get(run_id).is_some_and(|set| good(set))
}

/// Failed records beyond the newest of each Backup, unless their Jobs are still there.
fn surplus_failures<'a>(seen: &'a Observed, index: &Index<'_>) -> Vec<&'a str> {
    let mut failed: BTreeMap<&str, Vec<&'a EtcdBackup>> = BTreeMap::new();
    for record in seen.on_claim().filter(|record| is_settled_record(record) && Phase::of(record) == Phase::Failed) {
        let backup = record.spec.recorded.as_ref().map(|recorded| recorded.backup.as_str());
        failed.entry(backup.unwrap_or_default()).or_default().push(record);
    }
    let ended = |record: &EtcdBackup| -> Option<Timestamp> {
        record.status.as_ref()?.completion_time.as_ref().map(|time| time.0)
    };
    let surplus = failed.into_values().flat_map(|mut records| {
        records.sort_by_key(|record| (ended(record), record.metadata.name.as_deref()));
        let surplus = records.len().saturating_sub(FAILED_HISTORY);
        records.into_iter().take(surplus)
    });
    let jobless = surplus.filter(|record| record.run_id().is_none_or(|run| !index.jobs.contains_key(run)));
    jobless.filter_map(|record| record.metadata.name.as_deref()).collect()
}

/// Whole entries of runs that have their record, or whose sets have gone.
pub(super) fn done(seen: &Observed, index: &Index<'_>) -> BTreeSet<RunId> {
    let wanted = seen.wanted();
    let known = seen.memory.current().is_some();
    let done = seen
        .memory
        .whole
        .iter()
        .filter(|(run, origin)| !wanted(origin.as_ref()) || (known && !index.sets.contains_key(run.as_str())));
    done.map(|(run, _)| run.clone()).collect()
}

/// EtcdBackups that say of their set what the catalogue contradicts.
pub(super) fn contradicted(seen: &Observed) -> Vec<String> {
    let Some(known) = seen.memory.current() else { return Vec::new() };
    let contradicted = seen.on_claim().filter(|backup| kept::contradiction(backup, known).is_some());
    contradicted.map(|backup| backup.name_any()).collect()
}
