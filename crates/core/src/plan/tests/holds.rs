use super::*;

#[test]
fn one_shot_foreign_and_other_owners_sets_are_never_touched_nor_counted() {
    let owned = |word: &str, owner: Owner| {
        let mut set = set(word);
        set.origin.as_mut().unwrap().owner = owner;
        set
    };
    let unknown = |word: &str, state| SetSummary { state, origin: None, ..set(word) };
    let mut all = sets("v8 v9");
    let others = [
        (owned("v1", Owner { kind: OwnerKind::EtcdBackup, ..owner() }), KeepReason::OneShot),
        (owned("v2", Owner { kind: OwnerKind::Manual, ..owner() }), KeepReason::AnotherOwner),
        (owned("v3", Owner { kind: OwnerKind::Other, ..owner() }), KeepReason::AnotherOwner),
        (owned("d3", Owner { name: "weekly".into(), ..owner() }), KeepReason::AnotherOwner),
        (owned("v4", Owner { cluster: Some("cluster-b".into()), ..owner() }), KeepReason::AnotherCluster),
        (owned("v5", Owner { cluster: None, ..owner() }), KeepReason::AnotherCluster),
        (unknown("v6", SetState::Foreign), KeepReason::Foreign),
        (unknown("v7", SetState::Unreadable), KeepReason::Unreadable),
    ];
    all.extend(others.iter().map(|(set, _)| set.clone()));
    for (policy, stage) in [(number(1), Stage::Alone), (size(0), Stage::Alone), (size(0), make_room(10, 10))] {
        let plan = planned(&all, &policy, stage);
        assert_eq!(gone(&plan), "v8");
        assert_eq!((plan.retained.sets, plan.retained.size_bytes), (1, 10));
        for (set, why) in &others {
            let verdict = plan.verdicts.iter().find(|verdict| verdict.set.name == set.name).unwrap();
            assert_eq!(verdict.action, Action::Keep(*why), "{set:?}");
        }
    }
}

#[test]
fn an_owner_of_one_shot_sets_or_without_a_cluster_deletes_nothing() {
    for owner in [Owner { kind: OwnerKind::EtcdBackup, ..owner() }, Owner { cluster: None, ..owner() }] {
        let mut sets = sets("v1 v2 v3");
        for set in &mut sets {
            set.origin.as_mut().unwrap().owner = owner.clone();
        }
        let plan = plan(&sets, &number(1), &Situation { owner: &owner, volume_id: VOLUME, stage: Stage::Alone });
        assert_eq!(gone(&plan), "");
    }
}

#[test]
fn after_a_restore_nothing_is_deleted_until_it_is_accepted() {
    let restored = [
        (lineage("c1", 200, 9), "the etcd cluster id was c0 and is c1"),
        (lineage("c0", 99, 9), "the revision went back from 100 to 99"),
        (lineage("c0", 200, 1), "the raft term went back from 2 to 1"),
        (Lineage { raft_index: Some(9), ..lineage("c0", 200, 2) }, "the raft index went back from 1000 to 9"),
    ];
    for (after, shown_by) in restored {
        let mut sets = sets("v1 v2 d3 v4");
        sets.push(with_lineage("v5", after.clone()));
        sets.push(with_lineage("v6", after));
        for (policy, stage) in [
            (number(1), Stage::Alone),
            (number(1), Stage::Published { set: &name("v6") }),
            (size(1), Stage::Alone),
            (size(1), make_room(10, 10)),
        ] {
            let held = planned(&sets, &policy, stage.clone());
            assert_eq!((gone(&held).as_str(), held.reason), ("", RetentionReason::LineageChanged));
            assert_eq!(action(&held, "v1"), Action::Keep(KeepReason::LineageChanged));
            assert_ne!(action(&held, "v6"), Action::Keep(KeepReason::LineageChanged));
            assert_eq!(held.relies_on, None);
            let found = held.lineage_break.as_ref().unwrap().to_string();
            assert_eq!(found, format!("{} does not continue {}: {shown_by}", name("v5"), name("v4")));
            let accept = held.accept_lineage.clone().unwrap();
            assert_eq!((accept.volume.as_str(), accept.sequence), (VOLUME, 4));

            let accepting = Policy { accepted_lineage: Some(accept), ..policy };
            let resumed = planned(&sets, &accepting, stage);
            assert_eq!((gone(&resumed).as_str(), resumed.lineage_break), ("d3 v1 v2 v4 v5", None));
        }
    }
}

#[test]
fn an_acceptance_is_for_one_volume_and_no_later_restore() {
    let mut sets = sets("v1");
    sets.push(with_lineage("v2", lineage("c1", 100, 2)));
    sets.push(with_lineage("v3", lineage("c2", 100, 2)));
    let accepting = |volume: &str, sequence| Policy {
        accepted_lineage: Some(AcceptedLineage { volume: volume.into(), sequence }),
        ..number(1)
    };
    for (policy, expected) in [
        (accepting(VOLUME, 1), ""),
        (accepting("another", 2), ""),
        (accepting(VOLUME, 2), "v1 v2"),
        (accepting(VOLUME, 3), "v1 v2"),
    ] {
        let plan = planned(&sets, &policy, Stage::Alone);
        assert_eq!(gone(&plan), expected, "{policy:?}");
        let accept = plan.accept_lineage.map(|accept| accept.sequence);
        assert_eq!(accept, expected.is_empty().then_some(2), "the last break is the one to accept");
    }
}

#[test]
fn a_restore_is_seen_before_the_first_set_of_the_restored_cluster_exists() {
    let sets = sets("v1 v2 v3");
    let stage = |running: Lineage| Stage::MakeRoom {
        needed_bytes: 10,
        working_bytes: 0,
        disk_short_bytes: 10,
        verified: true,
        lineage: Some(running),
    };
    for (running, expected) in [
        (lineage("c0", 100, 2), "v1 v2"),
        (lineage("c0", 0, 2), "v1 v2"),
        (Lineage { raft_index: None, ..lineage("c0", 100, 2) }, "v1 v2"),
        (Lineage { raft_index: Some(999), ..lineage("c0", 100, 2) }, ""),
        (lineage("c0", 99, 2), ""),
        (lineage("c0", 100, 1), ""),
        (lineage("c0", 0, 1), ""),
        (lineage("c1", 100, 2), ""),
    ] {
        let plan = planned(&sets, &size(20), stage(running.clone()));
        assert_eq!(gone(&plan), expected, "{running:?}");
        assert_eq!(plan.accept_lineage.map(|accept| accept.sequence), expected.is_empty().then_some(3));
    }
    let accepting =
        Policy { accepted_lineage: Some(AcceptedLineage { volume: VOLUME.into(), sequence: 3 }), ..size(20) };
    assert_eq!(gone(&planned(&sets, &accepting, stage(lineage("c1", 1, 1)))), "v1 v2");
}

#[test]
fn other_owners_sets_are_no_break_in_the_lineage() {
    let mut other = with_lineage("v2", lineage("c9", 1, 1));
    other.origin.as_mut().unwrap().owner.name = "weekly".into();
    let mut sets = sets("v1 v3");
    sets.push(other);
    assert_eq!(gone(&planned(&sets, &number(1), Stage::Alone)), "v1");
}

#[test]
fn on_another_volume_nothing_is_deleted() {
    let sets = sets("v1 d2 v3");
    for (expected_volume, expected) in [(None, "d2 v1"), (Some(VOLUME), "d2 v1"), (Some("another"), "")] {
        let policy = Policy { expected_volume: expected_volume.map(str::to_owned), ..number(1) };
        let plan = planned(&sets, &policy, Stage::Alone);
        assert_eq!(gone(&plan), expected);
        let changed = plan.reason == RetentionReason::VolumeChanged;
        assert_eq!(changed, expected.is_empty());
        assert_eq!(action(&plan, "v1") == Action::Keep(KeepReason::VolumeChanged), changed);
    }
}

#[test]
fn another_volume_outranks_a_break_in_the_lineage() {
    let sets = [set("v1"), with_lineage("v2", lineage("c1", 1, 1))];
    let policy = Policy { expected_volume: Some("another".into()), ..number(1) };
    let plan = planned(&sets, &policy, Stage::Alone);
    assert_eq!((plan.reason, plan.accept_lineage), (RetentionReason::VolumeChanged, None));
}

#[test]
fn if_the_policy_changed_during_the_run_the_laxer_applies() {
    let sets = sets("v1 v2 v3 v4");
    for (now, at_start, expected, reason) in [
        (number(1), number(3), "v1", RetentionReason::PolicyChanged),
        (number(3), number(1), "v1", RetentionReason::Satisfied),
        (number(2), number(2), "v1 v2", RetentionReason::Satisfied),
        (size(20), number(3), "v1", RetentionReason::PolicyChanged),
        (
            Policy { expected_volume: Some("another".into()), ..number(1) },
            number(1),
            "",
            RetentionReason::VolumeChanged,
        ),
        (
            number(1),
            Policy { expected_volume: Some("another".into()), ..number(1) },
            "",
            RetentionReason::PolicyChanged,
        ),
    ] {
        let at_start = planned(&sets, &at_start, Stage::Alone);
        let plan = planned(&sets, &now, Stage::Alone).laxer(&at_start);
        assert_eq!((gone(&plan).as_str(), plan.reason), (expected, reason), "{now:?}");
        let kept = 4 - expected.split_whitespace().count() as u64;
        assert_eq!((plan.retained.verified, plan.bytes), (kept, kept * 10));
        assert_eq!(plan.relies_on.is_some(), !expected.is_empty());
    }
}

#[test]
fn a_laxer_policy_may_leave_the_disk_too_small() {
    let sets = sets("v1 v2 v3 v4");
    let at_start = planned(&sets, &number(4), make_room(10, 20));
    let plan = planned(&sets, &number(2), make_room(10, 20)).laxer(&at_start);
    assert_eq!((gone(&plan).as_str(), plan.disk_short_bytes), ("", 20));
}
