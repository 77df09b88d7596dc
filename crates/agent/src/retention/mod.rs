//! Enforcing a policy: what [`plan`] decides is proven, checked against the policy as it is by then,
//! and carried out.
//!
//! A run plans from the sets that it found when it had the lock, and keeps that picture up to date
//! with what it does itself. Nothing is deleted before the set that the deletions rely on has been
//! read back with SHA-256, and before the policy has been read again: if it has changed, only what
//! both policies would delete goes.

mod finding;
mod source;

use std::collections::HashSet;
use std::ops::ControlFlow;

use etcd_backup_core::{
    Lineage, Owner, Plan, Policy, Reason, ReportedCatalogue, RetainedSets, Retention as Limit, RetentionReason,
    RetentionReport, SetName, SetOrigin, SetState, SetSummary, Situation, Stage, plan,
};
use etcd_backup_store::{LockedVolume, Look, PublishedSet, StoreError, VerificationResult, look, verify_files};
use jiff::Timestamp;

pub(crate) use finding::Finding;
pub(crate) use source::{PolicyError, PolicySource};

use crate::stop::{Stop, Stopped};
use crate::{VERSION, catalogue};

/// A policy that is enforced on a volume during one run, and what came of it.
pub(crate) struct Retention<'a> {
    locked: &'a LockedVolume,
    volume_id: String,
    owner: Owner,
    source: PolicySource,
    /// As it was when the run began.
    policy: Result<Policy, PolicyError>,
    /// All sets of the volume, in no order.
    sets: Vec<SetSummary>,
    /// The set that this run has proven last.
    proven: Option<SetName>,
    /// So many bytes may be in staging: room has been made for them.
    granted_bytes: u64,
    /// What holds for the bytes that are written from now on.
    in_force: Option<Policy>,
    deleted: u64,
    deleted_bytes: u64,
    peak_bytes: u64,
    finding: Option<Finding>,
}

/// What a backup is about to write.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Bytes that are in the working directories already.
    pub(crate) working_bytes: u64,
    /// So many more bytes must become free on the disk for them.
    pub(crate) disk_short_bytes: u64,
    /// Whether the set will be verified.
    pub(crate) verified: bool,
    /// The running cluster, if it is known.
    pub(crate) lineage: Option<Lineage>,
}

impl<'a> Retention<'a> {
    /// Reads the policy and looks at all sets.
    pub(crate) fn begin(locked: &'a LockedVolume, owner: Owner, source: PolicySource) -> Result<Self, StoreError> {
        let policy = source.read();
        let mut retention = Self {
            locked,
            volume_id: locked.id().to_string(),
            owner,
            source,
            sets: catalogue::summaries(locked.volume())?,
            finding: policy.as_ref().err().map(Finding::policy_invalid),
            policy,
            proven: None,
            granted_bytes: 0,
            in_force: None,
            deleted: 0,
            deleted_bytes: 0,
            peak_bytes: 0,
        };
        retention.observe(0);
        Ok(retention)
    }

    /// The policy as it was when the run began.
    pub(crate) fn policy(&self) -> Result<&Policy, &PolicyError> {
        self.policy.as_ref()
    }

    /// Sets deleted so far.
    pub(crate) fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Identity of the volume.
    pub(crate) fn volume_id(&self) -> &str {
        &self.volume_id
    }

    /// What the policy wants at this stage; `None` without a policy.
    pub(crate) fn plan(&self, stage: &Stage<'_>) -> Option<Plan<'_>> {
        self.policy.as_ref().ok().map(|policy| self.plan_by(policy, stage))
    }

    fn plan_by(&self, policy: &Policy, stage: &Stage<'_>) -> Plan<'_> {
        let situation = Situation { owner: &self.owner, volume_id: &self.volume_id, stage: stage.clone() };
        plan(&self.sets, policy, &situation)
    }

    /// This run has proven a set: deletions may rely on it.
    pub(crate) fn has_proven(&mut self, set: &SetName) {
        self.proven = Some(set.clone());
    }

    /// This run has published a set, which it had proven.
    pub(crate) fn has_published(&mut self, set: &PublishedSet) {
        let manifest = &set.manifest;
        let state = if manifest.verification.complete() { SetState::Verified } else { SetState::Unverified };
        self.sets.push(SetSummary {
            name: set.name.clone(),
            state,
            size_bytes: set.reported().size_bytes(),
            origin: Some(SetOrigin {
                owner: manifest.owner.clone(),
                sequence: manifest.sequence,
                completion_time: manifest.completion_time,
                lineage: Lineage::from(&manifest.snapshot),
            }),
        });
        if state == SetState::Verified {
            self.has_proven(&set.name);
        }
        self.observe(0);
    }

    /// Whether a backup may write that much now: room has been made for it, or nothing would have to
    /// go for it.
    pub(crate) fn has_room(&mut self, need: &Need) -> bool {
        if need.disk_short_bytes == 0 && need.total_bytes() <= self.granted_bytes {
            return true;
        }
        let stage = need.stage();
        let Ok(policy) = &self.policy else { return true };
        let plan = self.plan_by(policy, &stage);
        if plan.deletions().next().is_some() {
            return false;
        }
        let (policy, finding) = (policy.clone(), self.finding_of(&plan, policy, &stage));
        self.in_force = Some(policy);
        self.find(finding);
        true
    }

    /// Makes room for what a backup is about to write, as far as the policy deletes anything for it;
    /// tells how many sets went.
    pub(crate) async fn make_room(&mut self, need: &Need, stop: &Stop) -> Result<u64, Stopped> {
        let deleted = self.enforce(&need.stage(), stop).await?;
        self.granted_bytes = need.total_bytes();
        Ok(deleted)
    }

    /// Carries out what the policy wants at this stage, and tells how many sets went.
    pub(crate) async fn enforce(&mut self, stage: &Stage<'_>, stop: &Stop) -> Result<u64, Stopped> {
        Ok(if self.prove(stage, stop).await? { self.carry_out(stage, stop).await } else { 0 })
    }

    /// Reads the set that the deletions of this stage rely on. A set that is not sound is put on
    /// record, and the next one is read. `false`: nothing may be deleted.
    pub(crate) async fn prove(&mut self, stage: &Stage<'_>, stop: &Stop) -> Result<bool, Stopped> {
        loop {
            let relied_on = self.plan(stage).and_then(|plan| plan.relies_on.map(|set| set.name.clone()));
            let Some(set) = relied_on.filter(|set| self.proven.as_ref() != Some(set)) else { return Ok(true) };
            tracing::info!(%set, "reading the set that deletions rely on");
            match self.examine(&set, stop).await? {
                Ok(()) => self.proven = Some(set),
                Err(error @ StoreError::Damaged(_)) => {
                    tracing::warn!(%set, "{error}");
                    self.sets
                        .iter_mut()
                        .filter(|known| known.name == set)
                        .for_each(|known| known.state = SetState::Damaged);
                }
                Err(error) => {
                    let why = format!("{set}, the newest good set, cannot be proven, so nothing is deleted: {error}");
                    self.has_failed(error.reason(), why);
                    return Ok(false);
                }
            }
        }
    }

    /// Proves one set; damage is put on record.
    async fn examine(&self, set: &SetName, stop: &Stop) -> Result<Result<(), StoreError>, Stopped> {
        let path = self.locked.volume().path().join(set.as_str());
        let (manifest, found) = match look(&path) {
            Ok(Look::Consistent { manifest, .. }) => {
                let (watch, document) = (stop.clone(), manifest.clone());
                let goes_on =
                    move |_| if watch.check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                (manifest, stop.blocking(move || verify_files(&path, &document, goes_on)).await?)
            }
            Ok(Look::Damaged { manifest, damage, .. }) => (manifest, Err(damage.into())),
            Ok(Look::Unreadable { why, .. } | Look::Foreign { why }) => {
                return Ok(Err(StoreError::Unreadable { path, why }));
            }
            Err(error) => return Ok(Err(error)),
        };
        let Err(StoreError::Damaged(damage)) = found else { return Ok(found) };
        let result = VerificationResult::Damaged(damage.clone());
        let recorded = self.locked.record_verification(set, &manifest.run_id, &result, Timestamp::now(), VERSION);
        Ok(recorded.and(Err(damage.into())))
    }

    /// Deletes what the policy as it was and the policy as it is now both would; tells how many sets
    /// went. What the deletions rely on has been proven.
    pub(crate) async fn carry_out(&mut self, stage: &Stage<'_>, stop: &Stop) -> u64 {
        let Ok(policy) = &self.policy else { return 0 };
        let mut plan = self.plan_by(policy, stage);
        let current;
        let mut policy = policy;
        if plan.deletions().next().is_some() {
            current = match self.source.read() {
                Ok(current) => current,
                Err(error) => {
                    self.find(Finding::policy_invalid(&error));
                    return 0;
                }
            };
            if current != *policy {
                plan = self.plan_by(&current, stage).laxer(&plan);
                // The policy that is stricter has not been enforced.
                policy = if plan.reason == RetentionReason::PolicyChanged { policy } else { &current };
            }
        }
        let (policy, finding) = (policy.clone(), self.finding_of(&plan, policy, stage));
        let doomed: Vec<SetName> = plan.deletions().map(|verdict| verdict.set.name.clone()).collect();
        self.find(finding);
        let deleted = self.delete(&doomed, stop).await;
        self.in_force = Some(policy);
        deleted
    }

    async fn delete(&mut self, doomed: &[SetName], stop: &Stop) -> u64 {
        self.observe(0);
        let mut gone = HashSet::new();
        for set in doomed {
            // A signal is only seen when others get their turn.
            tokio::task::yield_now().await;
            let deleted = match stop.check() {
                Ok(()) => self.locked.delete(set, &self.owner).map_err(|error| (error.reason(), error.to_string())),
                Err(stopped) => Err((stopped.reason(), stopped.to_string())),
            };
            match deleted {
                Ok(bytes) => {
                    gone.insert(set);
                    self.deleted_bytes += bytes;
                }
                Err((reason, why)) => {
                    let left = doomed.len() - gone.len();
                    self.has_failed(reason, format!("{left} sets of {} are still to be deleted: {why}", self.owner));
                    // What could not be unlinked is no set any more, but bytes in the trash.
                    if !self.locked.volume().path().join(set.as_str()).exists() {
                        gone.insert(set);
                    }
                    break;
                }
            }
        }
        self.sets.retain(|set| !gone.contains(&set.name));
        self.deleted += gone.len() as u64;
        gone.len() as u64
    }

    /// What could not be done for the policy. The run goes on: a backup is worth more.
    pub(crate) fn has_failed(&mut self, reason: Reason, why: String) {
        let policy_hash = self.policy.as_ref().ok().map(|policy| policy.hash_on(&self.volume_id));
        self.find(Finding::prune_failed(reason, why, policy_hash));
    }

    fn finding_of(&self, plan: &Plan<'_>, policy: &Policy, stage: &Stage<'_>) -> Finding {
        let of = if matches!(stage, Stage::MakeRoom { .. }) { Finding::of_room } else { Finding::of };
        of(plan, policy, &self.owner, &self.volume_id)
    }

    /// What was found last counts, unless something worse was found before.
    fn find(&mut self, finding: Finding) {
        if self.finding.as_ref().is_none_or(|known| known.severity() <= finding.severity()) {
            self.finding = Some(finding);
        }
    }

    pub(crate) fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// Takes note of the bytes that are there now, and of so many that are about to be written.
    pub(crate) fn observe(&mut self, more_bytes: u64) {
        match self.locked.working_bytes() {
            Ok(working) => {
                let bytes = self.retained().size_bytes.saturating_add(working).saturating_add(more_bytes);
                self.peak_bytes = self.peak_bytes.max(bytes);
                if let Some(policy) = &self.in_force
                    && matches!(policy.retention, Limit::Size { max_bytes } if bytes > max_bytes)
                {
                    self.find(Finding::size_exceeded(bytes, policy, &self.owner, &self.volume_id));
                }
            }
            Err(error) => tracing::warn!(%error, "the bytes that are being staged cannot be counted"),
        }
    }

    /// What is there of this owner now.
    fn retained(&self) -> RetainedSets {
        let nothing_goes = Policy::new(Limit::Number { max_sets: u64::MAX });
        let need = Need { bytes: 0, working_bytes: 0, disk_short_bytes: 0, verified: false, lineage: None };
        self.plan_by(&nothing_goes, &need.stage()).retained
    }

    /// What is on the volume now, of all owners.
    pub(crate) fn catalogue(&self) -> ReportedCatalogue {
        catalogue::reported(&self.sets)
    }

    /// What to say of retention; `None` if the run did not get as far as to enforce anything.
    pub(crate) fn report(&self) -> Option<RetentionReport> {
        let finding = self.finding.clone()?;
        Some(RetentionReport {
            reason: finding.reason,
            message: finding.message,
            policy_hash: finding.policy_hash,
            deleted: self.deleted,
            deleted_bytes: self.deleted_bytes,
            retained: self.retained(),
            peak_bytes: self.peak_bytes,
            accept_lineage: finding.accept_lineage,
        })
    }
}

impl Need {
    fn total_bytes(&self) -> u64 {
        self.working_bytes.saturating_add(self.bytes)
    }

    fn stage(&self) -> Stage<'static> {
        Stage::MakeRoom {
            needed_bytes: self.bytes,
            working_bytes: self.working_bytes,
            disk_short_bytes: self.disk_short_bytes,
            verified: self.verified,
            lineage: self.lineage.clone(),
        }
    }
}
