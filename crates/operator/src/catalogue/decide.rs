//! What to do for one claim, as a pure function of what was observed: which runs to record, which
//! records to drop, and whether to ask the volume.

mod inventory;
mod records;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use etcd_backup_api::{Backup, EtcdBackup, conditions};
use etcd_backup_core::{Origin, OwnerKind, RunId};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

pub(crate) use self::inventory::Inventory;
pub(crate) use self::records::{Dropped, NewRecord};
use super::memory::Claim;
use crate::config::Limits;
use crate::etcdbackup::triggers::Guarded;
use crate::labels;

/// Most records that are created, and most that are dropped, at once.
pub(crate) const BATCH: usize = 100;

/// Everything that a decision is made of.
pub(crate) struct Observed {
    /// The claim.
    pub(crate) claim: String,
    /// Uid of kube-system: whose sets are ours.
    pub(crate) cluster: String,
    /// Whether the claim is bound; a claim without a volume holds nothing.
    pub(crate) bound: bool,
    /// All Backups.
    pub(crate) schedules: Vec<Arc<DeserializeGuard<Backup>>>,
    /// All EtcdBackups.
    pub(crate) objects: Vec<Arc<Guarded>>,
    /// The Jobs on this claim that save for a Backup or make an inventory.
    pub(crate) jobs: Vec<Arc<Job>>,
    /// What is known of the claim.
    pub(crate) memory: Claim,
    /// When the inventories that are under way, of whichever claims, were asked for, UTC.
    pub(crate) asked: Vec<Timestamp>,
}

/// What to do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// Records to create, at most [`BATCH`].
    pub(crate) create: Vec<NewRecord>,
    /// Records to drop, at most [`BATCH`].
    pub(crate) drop: Vec<Dropped>,
    /// EtcdBackups that have ended and say of their set what the volume contradicts.
    pub(crate) recheck: Vec<String>,
    /// What to do to know the volume.
    pub(crate) inventory: Inventory,
    /// Whole entries that are needed no more.
    pub(crate) done: BTreeSet<RunId>,
    /// Whether there is more to do at once.
    pub(crate) more: bool,
    /// When to decide again if nothing changes until then, UTC.
    pub(crate) look_again: Option<Timestamp>,
}

/// Decides. `now` is UTC.
#[must_use]
pub(crate) fn decide(seen: &Observed, limits: &Limits, now: Timestamp) -> Decision {
    let index = Index::new(seen);
    let (create, creates_more) = records::to_create(seen, &index);
    let (drop, drops_more) = records::to_drop(seen, &index);
    let (inventory, look_again) = inventory::decide(seen, &index, limits, now);
    Decision {
        recheck: records::contradicted(seen),
        done: records::done(seen, &index),
        more: creates_more || drops_more,
        create,
        drop,
        inventory,
        look_again,
    }
}

impl Observed {
    /// All EtcdBackups that can be read.
    pub(crate) fn backups(&self) -> impl Iterator<Item = &EtcdBackup> {
        self.objects.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// The EtcdBackups on this claim.
    pub(crate) fn on_claim(&self) -> impl Iterator<Item = &EtcdBackup> {
        self.backups().filter(|backup| backup.spec.pvc_name == self.claim)
    }

    /// The Backups that can be read.
    pub(crate) fn readable_schedules(&self) -> impl Iterator<Item = &Backup> {
        self.schedules.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// The Backups that use this claim.
    pub(crate) fn users(&self) -> impl Iterator<Item = &Backup> {
        self.readable_schedules().filter(|schedule| schedule.spec.etcd.pvc_name == self.claim)
    }

    fn schedule(&self, name: &str) -> Option<&Backup> {
        self.readable_schedules().find(|schedule| schedule.metadata.name.as_deref() == Some(name))
    }

    /// Whether the runs of this owner are recorded here: it is a Backup that exists.
    pub(crate) fn records(&self, owner: &etcd_backup_core::Owner) -> bool {
        owner.kind == OwnerKind::Backup
            && owner.cluster.as_ref() == Some(&self.cluster)
            && self.schedule(&owner.name).is_some()
    }

    /// The Jobs of a component.
    fn jobs_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a Job> {
        let is = move |job: &&Job| job.labels().get(labels::COMPONENT).is_some_and(|found| found == component);
        self.jobs.iter().map(Arc::as_ref).filter(is)
    }

    /// Which whole entries of an inventory are kept: of runs that have no completed record.
    pub(crate) fn wanted(&self) -> impl Fn(&Origin) -> bool {
        let phases: HashMap<String, Phase> =
            self.backups().filter_map(|backup| Some((backup.run_id()?.to_owned(), Phase::of(backup)))).collect();
        let schedules: Vec<String> = self.readable_schedules().map(|schedule| schedule.name_any()).collect();
        let cluster = self.cluster.clone();
        move |origin| {
            let ours = origin.owner.cluster.as_ref() == Some(&cluster) && origin.owner.kind == OwnerKind::Backup;
            let recorded = phases.get(origin.run_id.as_str()) == Some(&Phase::Completed);
            ours && !recorded && schedules.contains(&origin.owner.name)
        }
    }
}

/// How far an EtcdBackup has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its end is not known.
    Unfinished,
    /// There is a set.
    Completed,
    /// There is none.
    Failed,
}

impl Phase {
    pub(crate) fn of(backup: &EtcdBackup) -> Self {
        let is = |type_| backup.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, type_));
        match (is("Completed"), is("Failed")) {
            (true, _) => Self::Completed,
            (_, true) => Self::Failed,
            _ => Self::Unfinished,
        }
    }
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A pod succeeded.
    Complete,
    /// None did; Kubernetes' words.
    Failed(String),
}

/// How a Job ended, if it has.
pub(crate) fn ended(job: &Job) -> Option<Ended> {
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    conditions.filter(|condition| condition.status == "True").find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(Ended::Complete),
        "Failed" => {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            Some(Ended::Failed(format!("{}: {}", text(&condition.reason), text(&condition.message))))
        }
        _ => None,
    })
}

/// What was observed, by run.
pub(crate) struct Index<'a> {
    /// All EtcdBackups.
    objects: HashMap<&'a str, &'a EtcdBackup>,
    /// The Jobs that save for a Backup, by their uid.
    jobs: HashMap<&'a str, &'a Job>,
    /// The sets that say where they come from, if the catalogue is current.
    sets: HashMap<&'a str, &'a super::known::KnownSet>,
}

impl<'a> Index<'a> {
    fn new(seen: &'a Observed) -> Self {
        let known = seen.memory.current().into_iter().flat_map(|known| known.sets.values());
        Self {
            objects: seen.backups().filter_map(|backup| Some((backup.run_id()?, backup))).collect(),
            jobs: seen
                .jobs_of(labels::SCHEDULED_SAVE)
                .filter_map(|job| Some((job.metadata.uid.as_deref()?, job)))
                .collect(),
            sets: known.filter_map(|set| Some((set.made.as_ref()?.run_id.as_str(), set))).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
