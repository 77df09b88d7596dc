//! Volumes, policies and stages at random, and what is true of them by the promise's own words.

use etcd_backup_core::{
    Lineage, Owner, OwnerKind, Plan, Policy, Retention, SetName, SetOrigin, SetState, SetSummary, Situation, Stage,
    plan,
};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const VOLUME: &str = "9d2f9a52";

pub(crate) fn owner() -> Owner {
    Owner { cluster: Some("cluster-a".into()), kind: OwnerKind::Backup, name: "nightly".into() }
}

/// Whether a set is one of the owner's with a manifest, by the promise's words.
pub(crate) fn own(set: &SetSummary) -> bool {
    !matches!(set.state, SetState::Foreign | SetState::Unreadable)
        && set.origin.as_ref().is_some_and(|origin| origin.owner == owner())
}

/// The owner's sets, oldest first.
pub(crate) fn own_in_order(sets: &[SetSummary]) -> Vec<&SetSummary> {
    let mut own: Vec<&SetSummary> = sets.iter().filter(|set| own(set)).collect();
    own.sort_by_key(|set| (sequence(set), &set.name));
    own
}

pub(crate) fn sequence(set: &SetSummary) -> u64 {
    set.origin.as_ref().map_or(0, |origin| origin.sequence)
}

/// Bytes that count for the owner.
pub(crate) fn bytes(sets: &[SetSummary]) -> u128 {
    let counts =
        |set: &&SetSummary| own(set) || set.name.as_str().starts_with("backup-nightly-") && set.origin.is_none();
    let counted = sets.iter().filter(|set| set.state != SetState::Foreign).filter(counts);
    counted.map(|set| u128::from(set.size_bytes)).sum()
}

/// The owner's sets that have no newer verified one: those that must stay.
pub(crate) fn protected(sets: &[SetSummary]) -> Vec<&SetName> {
    let own = own_in_order(sets);
    let newest = own.iter().rposition(|set| set.state == SetState::Verified).unwrap_or(0);
    own[newest..].iter().map(|set| &set.name).collect()
}

/// The names of what goes, in the order in which it goes.
pub(crate) fn gone(plan: &Plan<'_>) -> Vec<SetName> {
    plan.deletions().map(|verdict| verdict.set.name.clone()).collect()
}

/// What remains of the sets.
pub(crate) fn remaining(sets: &[SetSummary], gone: &[SetName]) -> Vec<SetSummary> {
    sets.iter().filter(|set| !gone.contains(&set.name)).cloned().collect()
}

/// A stage that borrows nothing yet.
#[derive(Debug, Clone)]
pub(crate) enum When {
    MakeRoom { needed: u64, working: u64, short: u64, verified: bool },
    Published,
    Alone,
}

/// The plan for the owner on the volume. `Published` is the owner's newest set.
pub(crate) fn planned<'a>(sets: &'a [SetSummary], policy: &Policy, when: &When) -> Plan<'a> {
    let stage = match *when {
        When::MakeRoom { needed, working, short, verified } => Stage::MakeRoom {
            needed_bytes: needed,
            working_bytes: working,
            disk_short_bytes: short,
            verified,
            lineage: None,
        },
        When::Published => own_in_order(sets).last().map_or(Stage::Alone, |set| Stage::Published { set: &set.name }),
        When::Alone => Stage::Alone,
    };
    plan(sets, policy, &Situation { owner: &owner(), volume_id: VOLUME, stage })
}

/// Mostly small, so that limits are met; sometimes at the edge of what a number holds.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..60_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

pub(crate) fn stage() -> impl Strategy<Value = When> {
    let short = prop_oneof![2 => Just(0), 2 => 0..200_u64, 1 => any::<u64>()];
    let make_room = (size(), size(), short, prop::bool::weighted(0.8))
        .prop_map(|(needed, working, short, verified)| When::MakeRoom { needed, working, short, verified });
    prop_oneof![2 => make_room, 1 => Just(When::Published), 1 => Just(When::Alone)]
}

/// Two policies of the same kind, the first at least as strict as the second.
pub(crate) fn stricter_and_laxer() -> impl Strategy<Value = (Policy, Policy)> {
    let limit = || prop_oneof![10 => 0..12_u64, 1 => any::<u64>()];
    let number = (limit(), limit()).prop_map(|(a, b)| {
        let policy = |max_sets| Policy::new(Retention::Number { max_sets });
        (policy(a.min(b)), policy(a.max(b)))
    });
    let limit = || prop_oneof![10 => 0..800_u64, 1 => any::<u64>()];
    let size = (limit(), limit()).prop_map(|(a, b)| {
        let policy = |max_bytes| Policy::new(Retention::Size { max_bytes });
        (policy(a.min(b)), policy(a.max(b)))
    });
    prop_oneof![number, size]
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    stricter_and_laxer().prop_map(|(policy, _)| policy)
}

pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    let second = prop_oneof![Just(0), Just(4_000_000_000), -1_000_000_000..8_000_000_000_i64];
    second.prop_map(|second| Timestamp::from_second(second).unwrap())
}

#[derive(Debug, Clone, Copy)]
enum Whose {
    Own,
    OneShot,
    AnotherOwner,
    AnotherCluster,
    NoCluster,
    Foreign,
    Unreadable,
    UnreadableWithOurName,
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![
        14 => Just(Whose::Own),
        1 => Just(Whose::OneShot),
        1 => Just(Whose::AnotherOwner),
        1 => Just(Whose::AnotherCluster),
        1 => Just(Whose::NoCluster),
        1 => Just(Whose::Foreign),
        1 => Just(Whose::Unreadable),
        1 => Just(Whose::UnreadableWithOurName),
    ]
}

fn state() -> impl Strategy<Value = SetState> {
    prop_oneof![6 => Just(SetState::Verified), 1 => Just(SetState::Unverified), 1 => Just(SetState::Damaged)]
}

/// From one set to the next: how far the sequence goes on, and whether etcd was restored in between.
fn steps(restores: bool) -> impl Strategy<Value = (u64, Lineage)> {
    let sequence = prop_oneof![20 => 1..3_u64, 1 => Just(0), 1 => Just(u64::MAX)];
    let same = (0..50_i64, 0..2_u64).prop_map(|(revision, raft_term)| step("", revision, raft_term));
    let restored = prop_oneof![Just(step("x", 0, 0)), Just(step("", -1_000_000, 0))];
    let lineage = if restores { prop_oneof![8 => same, 1 => restored].boxed() } else { same.boxed() };
    (sequence, lineage)
}

fn step(cluster_id: &str, revision: i64, raft_term: u64) -> Lineage {
    Lineage { cluster_id: cluster_id.into(), revision, raft_term, raft_index: None }
}

/// A volume's sets, in no particular order; with `restores`, of more than one lineage.
pub(crate) fn volume(restores: bool) -> impl Strategy<Value = Vec<SetSummary>> {
    let set = (whose(), state(), size(), steps(restores), time());
    let sets = vec(set, 0..30).prop_map(|sets| {
        let (mut sequence, mut lineage) = (0_u64, step("c", 1_000_000_000, 1));
        let numbered = sets.into_iter().enumerate();
        let built = numbered.map(|(index, (whose, state, size_bytes, (further, change), completion_time))| {
            let next = sequence.saturating_add(further);
            // Of two sets with one sequence nobody knows which is newer: both are of one lineage.
            if next > sequence {
                lineage.cluster_id += &change.cluster_id;
                lineage.revision += change.revision;
                lineage.raft_term += change.raft_term;
            }
            sequence = next;
            let origin = SetOrigin { owner: owner(), sequence, completion_time, lineage: lineage.clone() };
            build(index, whose, state, size_bytes, origin)
        });
        built.collect::<Vec<_>>()
    });
    sets.prop_shuffle()
}

fn build(index: usize, whose: Whose, state: SetState, size_bytes: u64, mut origin: SetOrigin) -> SetSummary {
    let (mut state, mut of) = (state, "nightly");
    let mut manifest = true;
    match whose {
        Whose::Own => {}
        Whose::OneShot => origin.owner.kind = OwnerKind::EtcdBackup,
        Whose::AnotherOwner => origin.owner.name = "weekly".into(),
        Whose::AnotherCluster => origin.owner.cluster = Some("cluster-b".into()),
        Whose::NoCluster => origin.owner.cluster = None,
        Whose::Foreign => (state, manifest) = (SetState::Foreign, false),
        Whose::Unreadable => (state, manifest, of) = (SetState::Unreadable, false, "weekly"),
        Whose::UnreadableWithOurName => (state, manifest) = (SetState::Unreadable, false),
    }
    // Of two sets with one sequence either may have the name that sorts first.
    let name = SetName::parse(&format!("backup-{of}-2026-01-02_030405-{:08x}", index * 7919 % 101)).unwrap();
    SetSummary { name, state, size_bytes, origin: manifest.then_some(origin) }
}
