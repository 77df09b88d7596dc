//! A volume's life: run after run makes room, writes, publishes and prunes by the plan, and is cut
//! off anywhere. The promise holds at every moment in between.

use etcd_backup_core::{Lineage, Plan, Policy, Retention, SetName, SetOrigin, SetState, SetSummary};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::given::{When, bytes, gone, own_in_order, owner, planned, policy, protected};

/// What happens in one run.
#[derive(Debug, Clone)]
struct Run {
    size: u64,
    verified: bool,
    /// The policy is edited before the run, and enforced at once.
    edit: Option<Policy>,
    /// Somebody finds the owner's set at this place (from the newest) damaged before the run.
    damage: Option<usize>,
    short: u64,
    cut: Cut,
}

/// Where a run ends by force.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Nowhere,
    /// After so many deletions for room.
    MakingRoom(usize),
    /// With this share, in percent, of the set in staging.
    Writing(u64),
    /// After so many deletions of its prune.
    Pruning(usize),
}

fn run() -> impl Strategy<Value = Run> {
    let cut = prop_oneof![
        6 => Just(Cut::Nowhere),
        1 => (0..3_usize).prop_map(Cut::MakingRoom),
        1 => (0..=100_u64).prop_map(Cut::Writing),
        1 => (0..3_usize).prop_map(Cut::Pruning),
    ];
    let edit = prop_oneof![8 => Just(None), 1 => policy().prop_map(Some)];
    let damage = prop_oneof![8 => Just(None), 1 => (0..4_usize).prop_map(Some)];
    let short = prop_oneof![3 => Just(0), 1 => 0..80_u64];
    (1..100_u64, prop::bool::weighted(0.9), edit, damage, short, cut)
        .prop_map(|(size, verified, edit, damage, short, cut)| Run { size, verified, edit, damage, short, cut })
}

struct Volume {
    sets: Vec<SetSummary>,
    staged: u64,
    policy: Policy,
    sequence: u64,
    /// Published by a run that has not finished its prune.
    unpruned: Option<SetName>,
}

impl Volume {
    /// The size holds at this moment, or only what must stay is beside the set that was made last.
    fn check(&self) {
        let Retention::Size { max_bytes } = self.policy.retention else { return };
        let total = bytes(&self.sets) + u128::from(self.staged);
        let mut others = self.sets.clone();
        others.retain(|set| Some(&set.name) != self.unpruned.as_ref());
        assert!(
            total <= u128::from(max_bytes) || protected(&others).len() == others.len(),
            "{total} bytes of {max_bytes}: {others:?}"
        );
    }

    fn newest_verified(&self) -> Option<SetName> {
        own_in_order(&self.sets).iter().rfind(|set| set.state == SetState::Verified).map(|set| set.name.clone())
    }

    /// Carries out a plan's deletions one by one, or only the first `limit` of them.
    fn delete(&mut self, plan: impl Fn(&[SetSummary], &Policy) -> Vec<SetName>, limit: Option<usize>) {
        let newest = self.newest_verified();
        let names = plan(&self.sets, &self.policy);
        for name in names.iter().take(limit.unwrap_or(usize::MAX)) {
            self.sets.retain(|set| set.name != *name);
            assert_eq!(self.newest_verified(), newest, "the last good set is gone");
        }
        if limit.is_none() {
            self.unpruned = None;
        }
    }

    fn live(&mut self, run: &Run) {
        self.staged = 0;
        if let Some(place) = run.damage {
            let name = own_in_order(&self.sets).iter().rev().nth(place).map(|set| set.name.clone());
            self.sets.iter_mut().filter(|set| Some(&set.name) == name.as_ref()).for_each(|set| {
                set.state = SetState::Damaged;
            });
        }
        if let Some(policy) = &run.edit {
            self.policy = policy.clone();
            self.delete(|sets, policy| gone(&planned(sets, policy, &When::Alone)), None);
        }
        self.check();
        if self.write(run) {
            self.prune(run);
        }
    }

    /// Makes room, writes and publishes; `false` if the run ends before.
    fn write(&mut self, run: &Run) -> bool {
        let when = When::MakeRoom { needed: run.size, working: 0, short: run.short, verified: run.verified };
        let fits = |plan: Plan<'_>| plan.disk_short_bytes == 0;
        if !fits(planned(&self.sets, &self.policy, &when)) {
            return false;
        }
        let limit = match run.cut {
            Cut::MakingRoom(deletions) => Some(deletions),
            _ => None,
        };
        self.delete(|sets, policy| gone(&planned(sets, policy, &when)), limit);
        self.check();
        if limit.is_some() {
            return false;
        }
        self.staged = match run.cut {
            Cut::Writing(percent) => run.size * percent / 100,
            _ => run.size,
        };
        self.check();
        if matches!(run.cut, Cut::Writing(_)) {
            return false;
        }
        self.publish(run);
        true
    }

    fn publish(&mut self, run: &Run) {
        self.sequence += 1;
        let name = SetName::parse(&format!("backup-nightly-2026-01-02_030405-{:08}", self.sequence)).unwrap();
        let origin = SetOrigin {
            owner: owner(),
            sequence: self.sequence,
            completion_time: Timestamp::UNIX_EPOCH,
            lineage: Lineage { cluster_id: "c".into(), revision: 1, raft_term: 1, raft_index: None },
        };
        let state = if run.verified { SetState::Verified } else { SetState::Unverified };
        self.unpruned = Some(name.clone());
        self.sets.push(SetSummary { name, state, size_bytes: run.size, origin: Some(origin) });
        self.staged = 0;
        self.check();
    }

    fn prune(&mut self, run: &Run) {
        let limit = match run.cut {
            Cut::Pruning(deletions) => Some(deletions),
            _ => None,
        };
        let published = self.unpruned.clone();
        self.delete(|sets, policy| gone(&planned(sets, policy, &When::Published)), limit);
        assert!(self.sets.iter().any(|set| Some(&set.name) == published.as_ref()), "the run deleted its own set");
        self.check();
        if let (None, Retention::Number { max_sets }) = (limit, self.policy.retention) {
            let verified = self.sets.iter().filter(|set| set.state == SetState::Verified).count() as u64;
            assert!(verified <= max_sets.max(1), "{verified} verified sets of {max_sets}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promise_holds_at_every_moment(policy in policy(), runs in vec(run(), 1..25)) {
        let mut volume = Volume { sets: Vec::new(), staged: 0, policy, sequence: 0, unpruned: None };
        for run in &runs {
            volume.live(run);
        }
    }
}
