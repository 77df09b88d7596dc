//! What is known of a volume's sets: from an inventory, then kept current from the reports of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use etcd_backup_core::{
    CatalogueDigest, CatalogueEntry, Origin, Outcome, Owner, Report, RetainedSets, RunId, SetName, SetState,
};
use jiff::Timestamp;

/// A volume's sets as of a time. There may be ten thousand, so that only what is compared is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Identity of the volume.
    pub(crate) volume_id: String,
    /// When the volume was last known to be so, by the agent's clock, UTC.
    pub(crate) time: Timestamp,
    /// Its sets.
    pub(crate) sets: BTreeMap<SetName, KnownSet>,
}

/// A set, reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownSet {
    /// What is known of it.
    pub(crate) state: SetState,
    /// Bytes of all its files.
    pub(crate) size_bytes: u64,
    /// Where it comes from, if it says.
    pub(crate) made: Option<Made>,
}

/// Where a set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// Whose it is; many sets share it.
    pub(crate) owner: Arc<Owner>,
    /// The run that made it.
    pub(crate) run_id: RunId,
    /// Its place in the volume's order.
    pub(crate) sequence: u64,
    /// When it was verified, UTC.
    pub(crate) completion_time: Timestamp,
}

/// A report tells of other sets than are known: somebody else changed the volume, or sets went in
/// another order than by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disagreement;

impl KnownSet {
    /// What is kept of an inventory's entry; `owners` holds those met before.
    #[must_use]
    pub(crate) fn new(entry: &CatalogueEntry, owners: &mut BTreeSet<Arc<Owner>>) -> Self {
        let made = entry.origin.as_deref().map(|origin| Made {
            owner: shared(&origin.owner, owners),
            run_id: origin.run_id.clone(),
            sequence: origin.set.sequence,
            completion_time: origin.completion_time,
        });
        Self { state: entry.state, size_bytes: entry.size_bytes, made }
    }

    fn is_of(&self, owner: &Owner) -> bool {
        self.made.as_ref().is_some_and(|made| *made.owner == *owner)
    }
}

fn shared(owner: &Owner, owners: &mut BTreeSet<Arc<Owner>>) -> Arc<Owner> {
    if let Some(known) = owners.get(owner) {
        return known.clone();
    }
    let new = Arc::new(owner.clone());
    owners.insert(new.clone());
    new
}

impl Known {
    /// The digest of all sets.
    #[must_use]
    pub(crate) fn digest(&self) -> CatalogueDigest {
        CatalogueDigest::new(self.sets.iter().map(|(name, set)| (name, set.state)))
    }

    /// Takes up what a run has done: its set is there, and of its owner's sets the oldest have gone
    /// until as many remain as it tells.
    ///
    /// # Errors
    /// If that is not what the report's digest says. Nothing is changed then.
    pub(crate) fn follow(&mut self, report: &Report) -> Result<(), Disagreement> {
        let told = report.catalogue.as_ref().ok_or(Disagreement)?;
        if report.volume_id.as_deref() != Some(self.volume_id.as_str()) {
            return Err(Disagreement);
        }
        let added = made_by(report).filter(|(name, _)| !self.sets.contains_key(name));
        let gone = self.gone(report, added.is_some());
        let kept = self.sets.iter().filter(|(name, _)| !gone.contains(name));
        let sets = kept.map(|(name, set)| (name, set.state)).chain(added.iter().map(|(name, set)| (name, set.state)));
        if CatalogueDigest::new(sets) != told.digest {
            return Err(Disagreement);
        }
        for name in gone {
            self.sets.remove(&name);
        }
        self.sets.extend(added);
        self.time = self.time.max(report.completion_time);
        Ok(())
    }

    /// The sets that a run's policy took, if it took the oldest.
    fn gone(&self, report: &Report, adds: bool) -> BTreeSet<SetName> {
        let (Some(owner), Some(retention)) = (&report.owner, &report.retention) else { return BTreeSet::new() };
        let own = self.sets.iter().filter(|(_, set)| set.is_of(owner));
        let mut own: Vec<(u64, &SetName)> =
            own.filter_map(|(name, set)| Some((set.made.as_ref()?.sequence, name))).collect();
        own.sort_unstable();
        let remain = usize::try_from(retention.retained.sets).unwrap_or(usize::MAX);
        let surplus = (own.len() + usize::from(adds)).saturating_sub(remain).min(own.len());
        own[..surplus].iter().map(|(_, name)| (*name).clone()).collect()
    }

    /// What is there of an owner.
    #[must_use]
    pub(crate) fn retained(&self, owner: &Owner) -> RetainedSets {
        let mut retained = RetainedSets::default();
        for set in self.sets.values().filter(|set| set.is_of(owner)) {
            retained.sets += 1;
            retained.size_bytes += set.size_bytes;
            let verified = set.made.as_ref().filter(|_| set.state == SetState::Verified);
            let Some(made) = verified else { continue };
            retained.verified += 1;
            let time = made.completion_time;
            retained.oldest = Some(retained.oldest.map_or(time, |oldest| oldest.min(time)));
            retained.newest = Some(retained.newest.map_or(time, |newest| newest.max(time)));
        }
        retained
    }
}

/// The set that a report tells of.
fn made_by(report: &Report) -> Option<(SetName, KnownSet)> {
    let set = report.set.as_ref().filter(|_| report.outcome == Outcome::Completed)?;
    let made = report.owner.as_ref().map(|owner| Made {
        owner: Arc::new(owner.clone()),
        run_id: report.run_id.clone(),
        sequence: set.sequence,
        completion_time: report.completion_time,
    });
    let state = if set.verified { SetState::Verified } else { SetState::Unverified };
    Some((set.name.clone(), KnownSet { state, size_bytes: set.size_bytes(), made }))
}

/// What a set on the volume tells of its run, as that run would have reported it.
#[must_use]
pub(crate) fn report_of(origin: &Origin, volume_id: &str) -> Report {
    Report {
        schema_version: etcd_backup_core::REPORT_SCHEMA,
        run_id: origin.run_id.clone(),
        outcome: Outcome::Completed,
        reason: etcd_backup_core::Reason::Completed,
        message: format!("set {} was found on the volume", origin.set.name),
        start_time: origin.start_time,
        completion_time: origin.completion_time,
        node: origin.node.clone(),
        owner: Some(origin.owner.clone()),
        volume_id: Some(volume_id.to_owned()),
        set: Some(origin.set.clone()),
        retention: None,
        catalogue: None,
        space: None,
        agent_version: None,
        warnings: origin.warnings.clone(),
        phases: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
