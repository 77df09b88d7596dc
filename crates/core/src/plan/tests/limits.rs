use super::*;

#[test]
fn when_a_run_ends_at_most_n_verified_sets_remain_and_not_one_more() {
    table([
        ("v1 v2 v3", number(3), Stage::Alone, ""),
        ("v1 v2 v3 v4", number(3), Stage::Alone, "v1"),
        ("v4 v9 v2 v30", number(3), Stage::Alone, "v2"),
        ("v1 v2 v3 v4 v5 v6", number(1), Stage::Alone, "v1 v2 v3 v4 v5"),
        ("", number(3), Stage::Alone, ""),
    ]);
    let sets = sets("v1 v2 v3 v4");
    let published = Stage::Published { set: &name("v4") };
    let plan = planned(&sets, &number(3), published);
    assert_eq!((gone(&plan).as_str(), plan.retained.verified, plan.reason), ("v1", 3, RetentionReason::Satisfied));
}

#[test]
fn a_number_makes_no_room_before_the_new_set_is_there() {
    table([("v1 v2 v3", number(3), make_room(10, 0), ""), ("v1 v2 v3 v4", number(1), make_room(10, 0), "")]);
    let sets = sets("v1 v2 v3");
    let plan = planned(&sets, &number(3), make_room(10, 0));
    assert_eq!(action(&plan, "v1"), Action::Keep(KeepReason::UntilPublished));
    assert_eq!(action(&plan, "v2"), Action::Keep(KeepReason::WithinNumber));
}

#[test]
fn room_is_made_before_the_first_byte_over_the_size_is_written() {
    table([
        ("v1 v2 v3", size(40), make_room(10, 0), ""),
        ("v1 v2 v3", size(39), make_room(10, 0), "v1"),
        ("v1 v2 v3", size(30), make_room(10, 0), "v1"),
        ("v1 v2 v3", size(29), make_room(10, 0), "v1 v2"),
        ("v1:1 v2:50 v3", size(61), make_room(1, 0), "v1"),
        ("v1 v2 v3", size(29), Stage::Alone, "v1"),
    ]);
    let sets = sets("v1 v2 v3");
    let stage =
        Stage::MakeRoom { needed_bytes: 5, working_bytes: 6, disk_short_bytes: 0, verified: true, lineage: None };
    let plan = planned(&sets, &size(40), stage);
    assert_eq!((gone(&plan).as_str(), plan.bytes), ("v1", 31), "what is staged and in the trash counts");
}

#[test]
fn the_newest_verified_set_stays_before_a_newer_one_is_published() {
    table([
        ("v1 v2", size(1), make_room(10, 0), "v1"),
        ("v1 u2 d3", size(1), make_room(10, 0), ""),
        ("v1 v2", size(1), make_room(10, 10), "v1"),
        ("v1", number(1), make_room(10, 10), ""),
        ("v1 u2 u3", number(1), Stage::Alone, ""),
        ("v1", number(0), Stage::Alone, ""),
        ("v1", size(0), Stage::Alone, ""),
    ]);
}

#[test]
fn the_set_just_published_is_never_deleted_by_its_own_run() {
    let sets = sets("v1 v2 v3:50");
    for policy in [number(0), number(1), size(0), size(49)] {
        let plan = planned(&sets, &policy, Stage::Published { set: &name("v3") });
        assert_eq!(gone(&plan), "v1 v2");
        assert_eq!(action(&plan, "v3"), Action::Keep(KeepReason::JustPublished));
    }
}

#[test]
fn a_set_without_full_proof_that_was_just_published_replaces_nothing() {
    let sets = sets("v1 v2 u3");
    let plan = planned(&sets, &number(1), Stage::Published { set: &name("u3") });
    assert_eq!(gone(&plan), "v1");
    assert_eq!(action(&plan, "u3"), Action::Keep(KeepReason::JustPublished));
    assert_eq!(action(&plan, "v2"), Action::Keep(KeepReason::NewestVerified));
}

#[test]
fn if_only_what_must_stay_exceeds_the_size_the_plan_says_so_with_both_numbers() {
    let sets = sets("v1 v2:80");
    let before = planned(&sets, &size(100), make_room(90, 0));
    assert_eq!((gone(&before).as_str(), before.reason), ("v1", RetentionReason::SizeExceeded));
    assert_eq!((before.bytes, before.retained.size_bytes), (170, 80));
    let after = planned(&sets, &size(79), Stage::Alone);
    assert_eq!((gone(&after).as_str(), after.reason, after.bytes), ("v1", RetentionReason::SizeExceeded, 80));
    let fits = planned(&sets, &size(80), Stage::Alone);
    assert_eq!((gone(&fits).as_str(), fits.reason, fits.bytes), ("v1", RetentionReason::Satisfied, 80));
}

#[test]
fn a_deletion_relies_on_the_newest_verified_set_and_says_on_which() {
    let sets = sets("v1 v2 v3 u4 d5");
    let plan = planned(&sets, &number(1), Stage::Alone);
    assert_eq!(plan.relies_on.map(|set| &set.name), Some(&name("v3")));
    assert_eq!(planned(&sets, &number(3), Stage::Alone).relies_on, None, "nothing is deleted");
}

#[test]
fn damaged_sets_do_not_count_and_go_first_once_a_newer_set_is_verified() {
    table([
        ("v1 d2 v3", number(2), Stage::Alone, "d2"),
        ("v1 d2 v3", number(5), Stage::Alone, "d2"),
        ("v1 v2 d3 v4", number(2), Stage::Alone, "d3 v1"),
        ("v1 v2 d3", number(2), Stage::Alone, ""),
        ("d1 d2", number(1), Stage::Alone, ""),
        ("v1 d2 v3", size(100), Stage::Alone, "d2"),
        ("v1 d2 v3 v4", size(30), make_room(10, 0), "d2 v1"),
        ("v1 d2 v3 v4", size(40), make_room(10, 0), "d2"),
        ("v1 d2 v3 v4", size(50), make_room(10, 0), ""),
    ]);
}

#[test]
fn sets_without_full_proof_do_not_count_and_go_once_enough_newer_ones_are_verified() {
    table([
        ("u1 v2 v3", number(3), Stage::Alone, ""),
        ("u1 v2 v3 v4", number(3), Stage::Alone, "u1"),
        ("v1 u2 v3", number(2), Stage::Alone, ""),
        ("v1 v2 u3", number(1), Stage::Alone, "v1"),
        ("u1 u2", number(1), Stage::Alone, ""),
        ("u1 v2 v3", size(20), Stage::Alone, "u1"),
        ("v1 u2 v3", size(10), Stage::Alone, "v1 u2"),
        ("v1 u2", size(10), Stage::Alone, ""),
    ]);
}

#[test]
fn an_unreadable_set_with_the_owners_name_counts_in_size_and_stays() {
    let named = |name: &str| SetSummary {
        name: SetName::parse(name).unwrap(),
        state: SetState::Unreadable,
        size_bytes: 70,
        origin: None,
    };
    let mut sets = sets("v1 v2");
    sets.push(named("backup-nightly-2026-01-02_030405-0b8f6f53"));
    sets.push(named("backup-nightly-2-2026-01-02_030405-0b8f6f53"));
    let plan = planned(&sets, &size(80), Stage::Alone);
    assert_eq!((gone(&plan).as_str(), plan.bytes, plan.reason), ("v1", 80, RetentionReason::Satisfied));
    assert_eq!((plan.retained.sets, plan.retained.verified, plan.retained.size_bytes), (1, 1, 80));
}

#[test]
fn lack_of_disk_deletes_early_only_what_goes_anyway_and_no_more_than_needed() {
    table([
        ("v1 v2 v3", number(3), make_room(10, 1), "v1"),
        ("v1 v2 v3", number(3), make_room(10, 10), "v1"),
        ("v1 v2 v3", number(4), make_room(10, 1), ""),
        ("v1 v2 v3 v4", number(2), make_room(10, 11), "v1 v2"),
        ("v1 v2 d3 v4", number(3), make_room(10, 10), "d3"),
        ("v1 v2 d3 v4", number(3), make_room(10, 20), "d3 v1"),
        ("v1 u2 v3 v4", number(3), make_room(10, 1), "v1"),
        ("v1 u2 v3 v4", number(3), make_room(10, 11), "v1 u2"),
        ("v1 d2 v3", size(100), make_room(10, 1), "d2"),
        ("v1 v2 v3", size(100), make_room(10, 1), ""),
        ("v1 d2 v3", size(30), make_room(10, 1), "d2"),
        ("v1 d2 v3", size(29), make_room(10, 20), "d2 v1"),
    ]);
    let sets = sets("v1 v2 v3");
    let plan = planned(&sets, &number(3), make_room(10, 10));
    assert_eq!(action(&plan, "v1"), Action::Delete(DeleteReason::DiskShort));
    assert_eq!(plan.disk_short_bytes, 0);
}

#[test]
fn if_the_disk_stays_too_small_nothing_is_deleted_in_vain() {
    let sets = sets("v1 v2 v3");
    for (policy, short) in [(number(3), 11), (number(1), 21), (size(1), 21)] {
        let plan = planned(&sets, &policy, make_room(10, short));
        assert_eq!((gone(&plan).as_str(), plan.disk_short_bytes), ("", short));
        assert_eq!(plan.bytes, 30, "nothing will be written");
        assert_eq!(action(&plan, "v1"), Action::Keep(KeepReason::NotEnoughForDisk));
    }
}

#[test]
fn a_set_that_will_lack_proof_lets_nothing_go_early() {
    let sets = sets("v1 v2 v3");
    let stage =
        Stage::MakeRoom { needed_bytes: 10, working_bytes: 0, disk_short_bytes: 10, verified: false, lineage: None };
    assert_eq!(gone(&planned(&sets, &number(3), stage.clone())), "");
    assert_eq!(gone(&planned(&sets, &number(2), stage)), "v1");
}

#[test]
fn a_plan_tells_of_every_set_in_order_whether_it_is_kept_and_why() {
    let mut sets = sets("v6 v5 d3 v1 u2 v4 u7");
    sets.push(SetSummary { state: SetState::Foreign, origin: None, ..set("v0") });
    let plan = planned(&sets, &number(2), Stage::Alone);
    let told: Vec<(String, Action)> = plan
        .verdicts
        .iter()
        .map(|verdict| (verdict.set.name.as_str().rsplit('-').next().unwrap().to_owned(), verdict.action))
        .collect();
    let expected = [
        ("v1", Action::Delete(DeleteReason::OverNumber)),
        ("u2", Action::Delete(DeleteReason::Unverified)),
        ("d3", Action::Delete(DeleteReason::Damaged)),
        ("v4", Action::Delete(DeleteReason::OverNumber)),
        ("v5", Action::Keep(KeepReason::WithinNumber)),
        ("v6", Action::Keep(KeepReason::NewestVerified)),
        ("u7", Action::Keep(KeepReason::NothingNewerVerified)),
        ("v0", Action::Keep(KeepReason::Foreign)),
    ];
    assert_eq!(told, expected.map(|(word, action)| (word.to_owned(), action)));
    assert!(told.iter().all(|(_, action)| !action.to_string().is_empty()));
    assert_eq!(
        plan.retained,
        RetainedSets {
            verified: 2,
            sets: 3,
            size_bytes: 30,
            oldest: Some(Timestamp::from_second(5).unwrap()),
            newest: Some(Timestamp::from_second(6).unwrap()),
        }
    );
}

#[test]
fn a_sequence_that_is_there_twice_loses_neither_both_nor_the_newest() {
    let copy = |mut set: SetSummary, name: &str| {
        set.name = SetName::parse(name).unwrap();
        set
    };
    let sets = [set("v1"), copy(set("v2"), "backup-0-v2"), copy(set("v2"), "backup-z-v2b")];
    assert_eq!(gone(&planned(&sets, &number(1), Stage::Alone)), "v1 v2");
    let published = SetName::parse("backup-0-v2").unwrap();
    assert_eq!(gone(&planned(&sets, &number(1), Stage::Published { set: &published })), "v1 v2b");
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let max = u64::MAX;
    let sets = [set(&format!("v1:{max}")), set(&format!("v{max}:{max}"))];
    for stage in [Stage::Alone, make_room(max, 0), make_room(max, max)] {
        let plan = planned(&sets, &size(max), stage);
        assert_eq!((gone(&plan).as_str(), plan.bytes), ("v1", max));
    }
    assert_eq!(gone(&planned(&sets, &number(max), make_room(max, 0))), "");
}
