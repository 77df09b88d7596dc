use std::fmt;

use super::{SetOrigin, SetSummary, Situation, Stage, Verdict};
use crate::SnapshotFacts;

/// Which etcd data a set holds. Along an owner's sets the cluster id stays, and revision, raft term
/// and raft index never go back, unless etcd was restored or rebuilt in between: that is a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The etcd cluster's id in lower-case hex. A restore on OpenShift changes it, one on kubeadm
    /// may keep it.
    pub cluster_id: String,
    /// The snapshot's revision.
    pub revision: i64,
    /// Raft term of the member.
    pub raft_term: u64,
    /// Index of the last Raft entry. A restored etcd begins to count anew: where it keeps the cluster
    /// id and soon writes more revisions than the sets have, this alone tells. Not compared if absent.
    pub raft_index: Option<u64>,
}

impl From<&SnapshotFacts> for Lineage {
    fn from(snapshot: &SnapshotFacts) -> Self {
        let SnapshotFacts { cluster_id, revision, raft_term, raft_index, .. } = snapshot;
        Self { cluster_id: cluster_id.clone(), revision: *revision, raft_term: *raft_term, raft_index: *raft_index }
    }
}

impl Lineage {
    /// What shows that this cannot be later data of the same etcd; `None` if it may be.
    #[must_use]
    pub fn break_since(&self, earlier: &Self) -> Option<String> {
        if self.cluster_id != earlier.cluster_id {
            Some(format!("the etcd cluster id was {} and is {}", earlier.cluster_id, self.cluster_id))
        } else if self.revision < earlier.revision {
            Some(format!("the revision went back from {} to {}", earlier.revision, self.revision))
        } else if self.raft_term < earlier.raft_term {
            Some(format!("the raft term went back from {} to {}", earlier.raft_term, self.raft_term))
        } else {
            let (before, after) = earlier.raft_index.zip(self.raft_index).filter(|(before, after)| after < before)?;
            Some(format!("the raft index went back from {before} to {after}"))
        }
    }
}

/// A place in the order of an owner's sets where etcd was restored or rebuilt. Its text says between
/// what, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageBreak<'a> {
    /// The newest set before it.
    pub earlier: &'a SetSummary,
    /// That set's sequence. Accepting it accepts the break.
    pub sequence: u64,
    /// The first set after it; `None` if that is the running etcd.
    pub later: Option<&'a SetSummary>,
    shown_by: String,
}

impl fmt::Display for LineageBreak<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = self.later.map_or("the running etcd", |set| set.name.as_str());
        write!(f, "{later} does not continue {}: {}", self.earlier.name, self.shown_by)
    }
}

/// The last break among the owner's sets, in their order, or between them and the running etcd.
pub(super) fn last_break<'a>(verdicts: &[Verdict<'a>], situation: &Situation<'_>) -> Option<LineageBreak<'a>> {
    let own = verdicts.iter().rev().filter_map(|verdict| verdict.own_origin().map(|origin| (verdict.set, origin)));
    let mut own = own.peekable();
    let between = |(earlier, before): (&'a SetSummary, &SetOrigin), later, after: &Lineage| {
        let shown_by = after.break_since(&before.lineage)?;
        Some(LineageBreak { earlier, sequence: before.sequence, later, shown_by })
    };
    if let (Some(&newest), Stage::MakeRoom { lineage: Some(running), .. }) = (own.peek(), &situation.stage) {
        let mut running = running.clone();
        if running.revision == 0 {
            running.revision = newest.1.lineage.revision;
        }
        if let Some(found) = between(newest, None, &running) {
            return Some(found);
        }
    }
    while let Some((later, after)) = own.next() {
        let earlier = own.peek().copied();
        if let Some(found) = earlier.and_then(|earlier| between(earlier, Some(later), &after.lineage)) {
            return Some(found);
        }
    }
    None
}
