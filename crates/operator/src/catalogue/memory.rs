//! What the controllers share: per claim the catalogue of its volume, per Backup its newest report.
//! It is in memory only: each start of the operator begins with inventories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcd_backup_core::{Origin, Outcome, OwnerKind, Report, RetentionReason, RunId};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use jiff::Timestamp;

use super::known::{Known, report_of};
use super::listing::Listing;

/// The shared memory.
pub(crate) struct Catalogues {
    memory: Mutex<Memory>,
    claims: UnboundedSender<Changed>,
    schedules: UnboundedSender<String>,
    etcdbackups: UnboundedSender<String>,
}

/// Which claims have to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// This one.
    Claim(String),
    /// Whichever there are: a watch has begun anew.
    All,
}

/// What wakes whom.
pub(crate) struct Wakes {
    /// For the controller of the claims.
    pub(crate) claims: UnboundedReceiver<Changed>,
    /// For the controller of the Backups: names of those of which something new is known.
    pub(crate) schedules: UnboundedReceiver<String>,
    /// For the controller of the EtcdBackups: names of those of which the volume tells something.
    pub(crate) etcdbackups: UnboundedReceiver<String>,
}

#[derive(Default)]
struct Memory {
    claims: BTreeMap<String, Claim>,
    newest: BTreeMap<String, Arc<Report>>,
}

/// What is known of a claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Claim {
    /// The volume's sets as last known.
    pub(crate) known: Option<Arc<Known>>,
    /// Whether somebody else has changed the volume since.
    pub(crate) stale: bool,
    /// Whole entries of sets whose runs have no completed record yet; a bounded number.
    pub(crate) whole: BTreeMap<RunId, Arc<Origin>>,
    /// Runs whose records were dropped with their sets, as long as their Jobs are there.
    pub(crate) dropped: BTreeSet<String>,
    /// Whether an inventory is made when one is needed.
    pub(crate) used: bool,
    /// The inventory Job that this process has created.
    pub(crate) asked: Option<Asked>,
    /// When the last inventory was read, UTC.
    pub(crate) read: Option<Timestamp>,
    /// When the last inventory failed, UTC, if nothing has happened on the volume since.
    pub(crate) failed: Option<Timestamp>,
    /// The newest report; an inventory may have been made before it.
    pub(crate) last: Option<Arc<Report>>,
}

/// An inventory that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Name of the Job.
    pub(crate) job: String,
    /// When it was created, UTC.
    pub(crate) at: Timestamp,
}

/// What is known of a claim's volume, for the metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct VolumeState {
    /// The sets, if they are surely what is there.
    pub(crate) known: Option<Arc<Known>>,
    /// The newest report.
    pub(crate) last: Option<Arc<Report>>,
}

/// What the volume tells of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VolumeSays {
    /// It made a set; this is what it would have reported.
    Set(Box<Report>),
    /// Nothing that is known here.
    Nothing,
    /// An inventory will tell.
    Later,
}

impl Claim {
    /// The volume's sets, if they are surely what is there.
    #[must_use]
    pub(crate) fn current(&self) -> Option<&Arc<Known>> {
        self.known.as_ref().filter(|_| !self.stale)
    }

    /// Whether an inventory is under way or about to be.
    #[must_use]
    pub(crate) fn awaits(&self) -> bool {
        self.used && self.failed.is_none() && self.current().is_none()
    }

    /// Takes up a report.
    fn note(&mut self, report: &Arc<Report>) {
        if report.catalogue.is_none() {
            return;
        }
        let restored = |report: &Report| {
            report.retention.as_ref().is_some_and(|said| said.reason == RetentionReason::LineageChanged)
        };
        let newly_restored = restored(report) && !self.last.as_deref().is_some_and(restored);
        self.failed = None;
        if let Some(known) = &mut self.known {
            let older = report.completion_time <= known.time;
            if Arc::make_mut(known).follow(report).is_err() && !older {
                self.stale = true;
            }
            self.stale |= newly_restored;
        }
        if self.last.as_ref().is_none_or(|last| last.completion_time <= report.completion_time) {
            self.last = Some(report.clone());
        }
    }

    fn read(&mut self, listing: Listing, now: Timestamp) {
        let mut known = listing.known;
        let later = self.last.as_ref().filter(|last| last.completion_time > known.time);
        self.stale = later.is_some_and(|report| known.follow(report).is_err());
        self.known = Some(Arc::new(known));
        self.whole = listing.whole;
        (self.asked, self.failed, self.read) = (None, None, Some(now));
    }
}

impl Catalogues {
    /// An empty memory.
    #[must_use]
    pub(crate) fn new() -> (Arc<Self>, Wakes) {
        let ((claims, of_claims), (schedules, of_schedules)) = (unbounded(), unbounded());
        let (etcdbackups, of_etcdbackups) = unbounded();
        let wakes = Wakes { claims: of_claims, schedules: of_schedules, etcdbackups: of_etcdbackups };
        (Arc::new(Self { memory: Mutex::default(), claims, schedules, etcdbackups }), wakes)
    }

    /// The newest report of a run of the Backup of that name.
    #[must_use]
    pub(crate) fn newest_report(&self, backup: &str) -> Option<Arc<Report>> {
        self.memory().newest.get(backup).cloned()
    }

    /// What is known of a claim.
    #[must_use]
    pub(crate) fn of_claim(&self, claim: &str) -> Claim {
        self.memory().claims.get(claim).cloned().unwrap_or_default()
    }

    /// When the inventories that are under way were asked for, UTC.
    #[must_use]
    pub(crate) fn asked(&self) -> Vec<Timestamp> {
        self.memory().claims.values().filter_map(|claim| Some(claim.asked.as_ref()?.at)).collect()
    }

    /// The volume's sets, if they are surely what is there.
    #[must_use]
    pub(crate) fn current(&self, claim: &str) -> Option<Arc<Known>> {
        self.memory().claims.get(claim)?.current().cloned()
    }

    /// The newest report of each Backup, and the state of each claim's volume.
    #[must_use]
    pub(crate) fn reported(&self) -> (BTreeMap<String, Arc<Report>>, BTreeMap<String, VolumeState>) {
        let memory = self.memory();
        let volume = |claim: &Claim| VolumeState { known: claim.current().cloned(), last: claim.last.clone() };
        let volumes = memory.claims.iter().map(|(name, claim)| (name.clone(), volume(claim)));
        (memory.newest.clone(), volumes.collect())
    }

    /// What the volume tells of a run.
    #[must_use]
    pub(crate) fn tells(&self, claim: &str, run: &RunId) -> VolumeSays {
        let memory = self.memory();
        // Each claim is looked at once after the start; before that nothing is known.
        let Some(claim) = memory.claims.get(claim) else { return VolumeSays::Later };
        match (&claim.known, claim.whole.get(run)) {
            (Some(known), Some(origin)) if known.sets.contains_key(&origin.set.name) => {
                VolumeSays::Set(Box::new(report_of(origin, &known.volume_id)))
            }
            _ if claim.awaits() => VolumeSays::Later,
            _ => VolumeSays::Nothing,
        }
    }

    /// Takes up the report of a run, or of a Job that pruned, on a claim.
    pub(crate) fn note(&self, claim: &str, report: Report) {
        let report = Arc::new(report);
        self.memory().claims.entry(claim.to_owned()).or_default().note(&report);
        self.remember(report);
        self.wake(Changed::Claim(claim.to_owned()));
    }

    /// Keeps a run's report if it is the newest of its Backup.
    pub(crate) fn remember(&self, report: Arc<Report>) {
        let Some(owner) = report.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Backup) else { return };
        // A Job that prunes makes no set; it succeeds or fails all the same.
        let saved = report.set.is_some() || report.outcome == Outcome::Failed;
        let name = owner.name.clone();
        let mut memory = self.memory();
        let newest = memory.newest.get(&name);
        if saved && newest.is_none_or(|newest| newest.completion_time <= report.completion_time) {
            memory.newest.insert(name.clone(), report);
        }
        drop(memory);
        self.wake_schedule(&name);
    }

    /// Changes what is known of a claim.
    pub(crate) fn update(&self, claim: &str, change: impl FnOnce(&mut Claim)) {
        change(self.memory().claims.entry(claim.to_owned()).or_default());
    }

    /// Takes up a complete inventory.
    pub(crate) fn read(&self, claim: &str, listing: Listing, now: Timestamp) {
        self.update(claim, |claim| claim.read(listing, now));
    }

    /// Has claims looked at.
    pub(crate) fn wake(&self, changed: Changed) {
        // Nobody listens any more while the operator ends; so below.
        let _ = self.claims.unbounded_send(changed);
    }

    /// Has a Backup looked at.
    pub(crate) fn wake_schedule(&self, name: &str) {
        let _ = self.schedules.unbounded_send(name.to_owned());
    }

    /// Has an EtcdBackup looked at.
    pub(crate) fn wake_etcdbackup(&self, name: &str) {
        let _ = self.etcdbackups.unbounded_send(name.to_owned());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
