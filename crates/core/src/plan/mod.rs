//! What retention deletes, and why: one pure function over a volume's sets, without a clock.
//!
//! The rules, in the order in which they count:
//!
//! 1. **Whose sets.** A policy looks at the sets of its own owner: same cluster, kind and name in
//!    their manifests. One-shot sets, sets of other owners and other clusters, what cannot be read
//!    and what is no set at all are never deleted.
//! 2. **The order** of sets is their sequence, never a clock or a revision.
//! 3. **Another volume** than the policy expects: nothing is deleted until somebody accepts it.
//! 4. **A break in the lineage** of the owner's sets (a restored or rebuilt etcd, see [`Lineage`]):
//!    nothing is deleted until somebody accepts it, whatever the limits and the disk say.
//! 5. **Only what is superseded** may go: a set that has a newer verified one of its owner. So the
//!    newest verified set always stays, and what is newer than it as well.
//! 6. **A number N**: a set goes when N newer verified ones exist. That leaves at most N verified
//!    sets. It happens once the new set is published, not before.
//! 7. **A size S**: the owner's sets, what is staged or in the trash, and unreadable sets that are
//!    named like the owner's, are at most S bytes at every moment. Before the first byte over is
//!    written the oldest sets go, as few as will do. If what must stay exceeds S alone, the backup
//!    is made all the same and the plan says [`RetentionReason::SizeExceeded`].
//! 8. **A damaged set** counts towards no number and goes first.
//! 9. **A disk without room** for the new set deletes early only what goes anyway once that set
//!    exists, as little as will do; and nothing if that is not enough, for then no set is made.

mod lineage;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::HashSet;

use jiff::Timestamp;

pub use self::lineage::{Lineage, LineageBreak};
use self::verdict::Part;
pub use self::verdict::{Action, DeleteReason, KeepReason, Verdict};
use crate::{
    AcceptedLineage, CatalogueEntry, Owner, Policy, RetainedSets, Retention, RetentionReason, SetName, SetState,
};

/// A set as retention sees it. Slim: a hundred thousand of them fit in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSummary {
    /// The directory's name.
    pub name: SetName,
    /// What is known of it.
    pub state: SetState,
    /// Bytes (`st_size`) of every file in it.
    pub size_bytes: u64,
    /// What its manifest says; absent if it is unreadable or foreign.
    pub origin: Option<SetOrigin>,
}

/// Where a set comes from, as far as retention cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOrigin {
    /// Whose set it is.
    pub owner: Owner,
    /// Its place in the volume's order.
    pub sequence: u64,
    /// When it was verified, UTC. Told to people; nothing is decided by it.
    pub completion_time: Timestamp,
    /// The etcd data it holds.
    pub lineage: Lineage,
}

impl From<&CatalogueEntry> for SetSummary {
    fn from(entry: &CatalogueEntry) -> Self {
        let origin = entry.origin.as_deref().map(|origin| SetOrigin {
            owner: origin.owner.clone(),
            sequence: origin.set.sequence,
            completion_time: origin.completion_time,
            lineage: Lineage::from(&origin.set.snapshot),
        });
        Self { name: entry.name.clone(), state: entry.state, size_bytes: entry.size_bytes, origin }
    }
}

/// What a plan is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation<'a> {
    /// Whose policy it is.
    pub owner: &'a Owner,
    /// Identity of the volume that the sets are on.
    pub volume_id: &'a str,
    /// When in a run.
    pub stage: Stage<'a>,
}

/// When in a run a plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Before a backup writes.
    MakeRoom {
        /// Bytes that the backup is still going to write, all its files together.
        needed_bytes: u64,
        /// Bytes that are in staging and trash already.
        working_bytes: u64,
        /// So many more bytes must become free on the disk; 0 if there is room enough.
        disk_short_bytes: u64,
        /// Whether the set will be verified. `false` where a check is waived, for such a set
        /// supersedes nothing.
        verified: bool,
        /// The running cluster: its revision by a linearizable read (0 where there is no quorum to
        /// ask; it is then not compared). The snapshot will have at least this. Absent if nothing
        /// is known of the cluster.
        lineage: Option<Lineage>,
    },
    /// The run has published this set. It has the highest sequence, so that no rule deletes it. For
    /// a set that an earlier attempt of the same run published, it holds as long as nothing newer
    /// is there.
    Published {
        /// Its name.
        set: &'a SetName,
    },
    /// A prune by itself.
    Alone,
}

/// What is kept and what is deleted, set by set, and what that leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// One for every set of the volume, in sequence order; those without a manifest last.
    pub verdicts: Vec<Verdict<'a>>,
    /// What is there of this owner when the plan has been carried out.
    pub retained: RetainedSets,
    /// Whether the promise then holds, and why not.
    pub reason: RetentionReason,
    /// Bytes of this owner when the plan has been carried out, and the backup is written that it
    /// made room for: sets, staging and trash. To be compared with the limit.
    pub bytes: u64,
    /// Bytes that the disk is still short of. Above 0 the backup cannot be written and the plan
    /// deletes nothing.
    pub disk_short_bytes: u64,
    /// The newest verified set, if anything is deleted: it must be proven first.
    pub relies_on: Option<&'a SetSummary>,
    /// The last break in the lineage that nobody has accepted.
    pub lineage_break: Option<LineageBreak<'a>>,
    /// What accepts that break, if it is what holds the policy up.
    pub accept_lineage: Option<AcceptedLineage>,
    room: Room,
}

/// The room that a backup needs, in bytes; sums cannot overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    needed: u128,
    working: u128,
    disk_short: u128,
}

/// Decides for each set of a volume whether it is kept.
///
/// Takes `n log n` time for `n` sets.
#[must_use]
pub fn plan<'a>(sets: &'a [SetSummary], policy: &Policy, situation: &Situation<'_>) -> Plan<'a> {
    let room = Room::of(&situation.stage);
    let mut verdicts = first_verdicts(sets, policy, situation);
    let size: u128 = verdicts.iter().filter(|verdict| verdict.counts()).map(Verdict::bytes).sum();
    delete(&mut verdicts, policy.retention, &situation.stage, size + room.needed + room.working);

    let lineage_break = lineage::last_break(&verdicts, situation).filter(|found| {
        let accepted = policy.accepted_lineage.as_ref().filter(|accepted| accepted.volume == situation.volume_id);
        accepted.is_none_or(|accepted| accepted.sequence < found.sequence)
    });
    let volume_changed = policy.expected_volume.as_deref().is_some_and(|expected| expected != situation.volume_id);
    let (reason, hold) = match &lineage_break {
        _ if volume_changed => (RetentionReason::VolumeChanged, Some(KeepReason::VolumeChanged)),
        Some(_) => (RetentionReason::LineageChanged, Some(KeepReason::LineageChanged)),
        None => (RetentionReason::Satisfied, None),
    };
    if let Some(hold) = hold {
        verdicts.iter_mut().for_each(|verdict| verdict.spare(hold));
    }
    let accept_lineage = lineage_break
        .as_ref()
        .filter(|_| reason == RetentionReason::LineageChanged)
        .map(|found| AcceptedLineage { volume: situation.volume_id.to_owned(), sequence: found.sequence });

    let mut plan = Plan {
        verdicts,
        retained: RetainedSets::default(),
        reason,
        bytes: 0,
        disk_short_bytes: 0,
        relies_on: None,
        lineage_break,
        accept_lineage,
        room,
    };
    plan.settle();
    if let (RetentionReason::Satisfied, Retention::Size { max_bytes }) = (plan.reason, policy.retention)
        && plan.bytes > max_bytes
    {
        plan.reason = RetentionReason::SizeExceeded;
    }
    plan
}

/// The sets in their order, with what the policy's limits cannot change.
fn first_verdicts<'a>(sets: &'a [SetSummary], policy: &Policy, situation: &Situation<'_>) -> Vec<Verdict<'a>> {
    let published = |set: &SetSummary| matches!(situation.stage, Stage::Published { set: name } if *name == set.name);
    let key = |set: &'a SetSummary| {
        let sequence = set.origin.as_ref().map(|origin| origin.sequence);
        // A sequence that is there twice (a set copied by hand) must not make another set newer
        // than the one just published.
        (sequence.is_none(), sequence, published(set), &set.name)
    };
    let mut order: Vec<&SetSummary> = sets.iter().collect();
    order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));

    let mut newer_verified = 0;
    let mut verdicts: Vec<Verdict<'a>> = Vec::with_capacity(order.len());
    for set in order.into_iter().rev() {
        let part = Part::of(set, situation.owner, newer_verified);
        let verified = set.state == SetState::Verified;
        let keep = match part {
            Part::NotOurs(why) | Part::MayBeOurs(why) => why,
            Part::Own { newer_verified: 0 } if published(set) => KeepReason::JustPublished,
            Part::Own { newer_verified: 0 } if verified => KeepReason::NewestVerified,
            Part::Own { newer_verified: 0 } => KeepReason::NothingNewerVerified,
            Part::Own { .. } => KeepReason::within(policy.retention),
        };
        newer_verified += u64::from(verified && matches!(part, Part::Own { .. }));
        verdicts.push(Verdict { set, action: Action::Keep(keep), part });
    }
    verdicts.reverse();
    verdicts
}

/// Rules 5 to 9: deletes what is superseded and over the limit, damaged sets first, then the oldest.
/// `total` is what there would be in bytes if nothing went.
fn delete(verdicts: &mut [Verdict<'_>], retention: Retention, stage: &Stage<'_>, mut total: u128) {
    let disk_short = Room::of(stage).disk_short;
    let before_writing = matches!(stage, Stage::MakeRoom { .. });
    let coming = u64::from(matches!(stage, Stage::MakeRoom { verified: true, .. }));
    let mut freed = 0;
    for damaged in [true, false] {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_damaged() == damaged) {
            let Part::Own { newer_verified: newer @ 1.. } = verdict.part else { continue };
            let over_size = matches!(retention, Retention::Size { max_bytes } if total > u128::from(max_bytes));
            let Some(why) = due(verdict.set.state, retention, newer + coming, over_size) else { continue };
            verdict.action = if over_size || !before_writing {
                Action::Delete(why)
            } else if freed < disk_short {
                Action::Delete(DeleteReason::DiskShort)
            } else {
                Action::Keep(KeepReason::UntilPublished)
            };
            if verdict.deletes() {
                total -= verdict.bytes();
                freed += verdict.bytes();
            }
        }
    }
}

/// Why a superseded set goes by the time that the run ends; `None` if the policy keeps it.
fn due(state: SetState, retention: Retention, newer_verified: u64, over_size: bool) -> Option<DeleteReason> {
    match (state, retention) {
        (SetState::Damaged, _) => Some(DeleteReason::Damaged),
        (_, Retention::Size { .. }) => over_size.then_some(DeleteReason::OverSize),
        (_, Retention::Number { max_sets }) if newer_verified < max_sets => None,
        (SetState::Verified, _) => Some(DeleteReason::OverNumber),
        (_, _) => Some(DeleteReason::Unverified),
    }
}

impl Room {
    fn of(stage: &Stage<'_>) -> Self {
        let (needed, working, disk_short) = match stage {
            Stage::MakeRoom { needed_bytes, working_bytes, disk_short_bytes, .. } => {
                (*needed_bytes, *working_bytes, *disk_short_bytes)
            }
            Stage::Published { .. } | Stage::Alone => (0, 0, 0),
        };
        Self { needed: needed.into(), working: working.into(), disk_short: disk_short.into() }
    }
}

impl<'a> Plan<'a> {
    /// What is deleted, in the order in which to delete: damaged sets, then the oldest.
    pub fn deletions(&self) -> impl Iterator<Item = &Verdict<'a>> {
        let those = |damaged: bool| {
            self.verdicts.iter().filter(move |verdict| verdict.deletes() && verdict.is_damaged() == damaged)
        };
        those(true).chain(those(false))
    }

    /// Deletes only what both plans would: `self` by the policy as it is now, `at_start` by the one
    /// that the run began with, both for the same sets and stage.
    #[must_use]
    pub fn laxer(mut self, at_start: &Plan<'_>) -> Self {
        let both: HashSet<&SetName> = at_start.deletions().map(|verdict| &verdict.set.name).collect();
        for verdict in &mut self.verdicts {
            if verdict.deletes() && !both.contains(&verdict.set.name) {
                verdict.spare(KeepReason::PolicyChanged);
                self.reason = RetentionReason::PolicyChanged;
            }
        }
        self.settle();
        self
    }

    /// Works out what the verdicts lead to. If they leave too little room on the disk, the backup
    /// fails whatever is deleted: then nothing is.
    fn settle(&mut self) {
        let freed: u128 = self.deletions().map(Verdict::bytes).sum();
        let short = self.room.disk_short.saturating_sub(freed);
        let mut beside = self.room.working;
        if short > 0 {
            self.verdicts.iter_mut().for_each(|verdict| verdict.spare(KeepReason::NotEnoughForDisk));
        } else {
            beside += self.room.needed;
        }
        self.disk_short_bytes = clamp(if short > 0 { self.room.disk_short } else { 0 });

        let kept = || self.verdicts.iter().filter(|verdict| verdict.counts() && !verdict.deletes());
        let with_manifest = kept().filter_map(|verdict| verdict.own_origin().map(|origin| (verdict.set, origin)));
        let verified: Vec<_> = with_manifest.clone().filter(|(set, _)| set.state == SetState::Verified).collect();
        let size: u128 = kept().map(Verdict::bytes).sum();
        self.retained = RetainedSets {
            verified: verified.len() as u64,
            sets: with_manifest.count() as u64,
            size_bytes: clamp(size),
            oldest: verified.first().map(|(_, origin)| origin.completion_time),
            newest: verified.last().map(|(_, origin)| origin.completion_time),
        };
        self.bytes = clamp(size + beside);
        self.relies_on = verified.last().map(|(set, _)| *set).filter(|_| self.deletions().next().is_some());
    }
}

/// Bytes that do not fit are as many as fit.
fn clamp(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
