//! What the gauges are read from: what the watches and the catalogue have in memory, at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use etcd_backup_api::{Backup, EtcdBackup, conditions};
use etcd_backup_core::Report;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

use crate::backup::timetable::Timetable;
use crate::catalogue::{self, Catalogues, VolumeState};
use crate::etcdbackup::triggers::Stores;

/// Where the objects come from.
pub(crate) struct Sources {
    stores: Stores,
    runs: catalogue::triggers::Stores,
    catalogues: Arc<Catalogues>,
    /// Expected intervals in seconds by schedule and zone: they cost up to 20,000 steps each.
    intervals: Mutex<HashMap<(String, String), Option<f64>>>,
}

/// All that the gauges are read from.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) schedules: Vec<Arc<DeserializeGuard<Backup>>>,
    pub(super) etcdbackups: Vec<Arc<DeserializeGuard<EtcdBackup>>>,
    /// The Jobs of schedules.
    pub(super) jobs: Vec<Arc<Job>>,
    pub(super) claims: Vec<Arc<PersistentVolumeClaim>>,
    /// The newest report of each Backup.
    pub(super) reports: BTreeMap<String, Arc<Report>>,
    /// What is known of each claim's volume.
    pub(super) volumes: BTreeMap<String, VolumeState>,
    /// Expected interval of each Backup, in seconds.
    pub(super) intervals: BTreeMap<String, f64>,
}

/// How an EtcdBackup ended.
pub(super) struct End<'a> {
    /// When, UTC.
    pub(super) at: Timestamp,
    /// Why it failed, if it did.
    pub(super) failure: Option<&'a str>,
    /// Why its set is not verified now, if it is not.
    pub(super) unproven: Option<&'a str>,
}

impl Sources {
    /// Sources over stores that have been filled.
    #[must_use]
    pub(crate) fn new(stores: Stores, runs: catalogue::triggers::Stores, catalogues: Arc<Catalogues>) -> Self {
        Self { stores, runs, catalogues, intervals: Mutex::default() }
    }

    /// What is there now. `now` is UTC.
    pub(super) fn objects(&self, now: Timestamp) -> Objects {
        let (reports, volumes) = self.catalogues.reported();
        let schedules = self.runs.schedules.state();
        Objects {
            intervals: self.intervals(&schedules, now),
            etcdbackups: self.stores.backups.state(),
            jobs: self.runs.jobs.state(),
            claims: self.stores.claims.state(),
            schedules,
            reports,
            volumes,
        }
    }

    fn intervals(&self, schedules: &[Arc<DeserializeGuard<Backup>>], now: Timestamp) -> BTreeMap<String, f64> {
        let mut known = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        let readable = schedules.iter().filter_map(|schedule| schedule.0.as_ref().ok());
        let interval = |backup: &Backup| {
            let key = (backup.spec.etcd.schedule.clone(), backup.spec.etcd.time_zone.clone());
            let found = known.get(&key).copied().or_else(|| before.remove(&key));
            let interval = found.unwrap_or_else(|| {
                let timetable = Timetable::parse(&key.0, &key.1).ok()?;
                timetable.longest_gap(now).map(|gap| gap.as_secs_f64())
            });
            known.insert(key, interval);
            Some((backup.name_any(), interval?))
        };
        readable.filter_map(interval).collect()
    }
}

impl Objects {
    /// The EtcdBackups that can be read.
    pub(super) fn etcdbackups(&self) -> impl Iterator<Item = &EtcdBackup> {
        self.etcdbackups.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// The Backups that can be read.
    pub(super) fn schedules(&self) -> impl Iterator<Item = &Backup> {
        self.schedules.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// The records of runs, by Backup.
    pub(super) fn records(&self) -> HashMap<&str, Vec<&EtcdBackup>> {
        let mut records: HashMap<&str, Vec<&EtcdBackup>> = HashMap::new();
        for backup in self.etcdbackups() {
            if let Some(recorded) = &backup.spec.recorded {
                records.entry(&recorded.backup).or_default().push(backup);
            }
        }
        records
    }

    /// The Jobs of schedules by their uids, which are the ids of the runs.
    pub(super) fn jobs(&self) -> HashMap<&str, &Job> {
        self.jobs.iter().filter_map(|job| Some((job.metadata.uid.as_deref()?, job.as_ref()))).collect()
    }
}

/// How an EtcdBackup ended, if it has.
#[must_use]
pub(super) fn end(backup: &EtcdBackup) -> Option<End<'_>> {
    let status = backup.status.as_ref()?;
    let at = status.completion_time.as_ref()?.0;
    let said = |type_, value| conditions::get(&status.conditions, type_).filter(|said| said.status == value);
    let failure = said("Failed", "True").map(|said| said.reason.as_str());
    let completed = said("Completed", "True").is_some();
    let unproven = said("Verified", "False").filter(|_| completed).map(|said| said.reason.as_str());
    (completed || failure.is_some()).then_some(End { at, failure, unproven })
}

/// Why a set may not be verified now.
pub(super) const UNPROVEN: [&str; 3] = ["Damaged", "Freshness", "SetMissing"];

/// A time as Prometheus wants it.
#[must_use]
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
