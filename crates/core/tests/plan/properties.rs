use etcd_backup_core::{
    AcceptedLineage, Action, DeleteReason, Policy, Retention, RetentionReason, SetName, SetState, SetSummary,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::given::{
    VOLUME, When, bytes, gone, own, own_in_order, planned, policy, protected, remaining, sequence, stage,
    stricter_and_laxer, time, volume,
};

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_newest_verified_set_and_what_is_newer_stay(sets in volume(false), policy in policy(), when in stage()) {
        let plan = planned(&sets, &policy, &when);
        let gone = gone(&plan);
        for kept in protected(&sets) {
            prop_assert!(!gone.contains(kept));
        }
        let newest = own_in_order(&sets).into_iter().rfind(|set| set.state == SetState::Verified);
        prop_assert_eq!(plan.relies_on, newest.filter(|_| !gone.is_empty()));
    }

    #[test]
    fn what_is_not_the_owners_is_untouched(sets in volume(true), policy in policy(), when in stage()) {
        for name in gone(&planned(&sets, &policy, &when)) {
            prop_assert!(own(sets.iter().find(|set| set.name == name).unwrap()));
        }
    }

    #[test]
    fn never_more_than_the_number_remain(sets in volume(false), max_sets in 1..8_u64, published: bool) {
        let when = if published { When::Published } else { When::Alone };
        let plan = planned(&sets, &Policy::new(Retention::Number { max_sets }), &when);
        let left = remaining(&sets, &gone(&plan));
        let verified = own_in_order(&left).iter().filter(|set| set.state == SetState::Verified).count() as u64;
        let before = own_in_order(&sets).iter().filter(|set| set.state == SetState::Verified).count() as u64;
        prop_assert_eq!(verified, before.min(max_sets), "not one more, and not one less");
        prop_assert_eq!((plan.retained.verified, plan.reason), (verified, RetentionReason::Satisfied));
    }

    #[test]
    fn never_more_than_the_size_remains_unless_what_must_stay_exceeds_it(
        sets in volume(false), max_bytes in 0..800_u64, when in stage(),
    ) {
        let plan = planned(&sets, &Policy::new(Retention::Size { max_bytes }), &when);
        let gone = gone(&plan);
        let left = remaining(&sets, &gone);
        prop_assert_eq!(plan.retained.size_bytes, u64::try_from(bytes(&left)).unwrap_or(u64::MAX));
        let written = match when {
            When::MakeRoom { needed, working, .. } if plan.disk_short_bytes == 0 => {
                u128::from(needed) + u128::from(working)
            }
            When::MakeRoom { working, .. } => u128::from(working),
            When::Published | When::Alone => 0,
        };
        let exceeded = bytes(&left) + written > u128::from(max_bytes);
        prop_assert_eq!(exceeded, plan.reason == RetentionReason::SizeExceeded);
        if exceeded && plan.disk_short_bytes == 0 {
            prop_assert_eq!(own_in_order(&left).len(), protected(&left).len(), "more could have gone");
        }
        // No more than needed: without the last deletion the limit would not hold, or the disk be short.
        let short = match when { When::MakeRoom { short, .. } => short, _ => 0 };
        if let (When::MakeRoom { .. }, [others @ .., _]) = (&when, gone.as_slice()) {
            let freed = bytes(&sets) - bytes(&remaining(&sets, others));
            prop_assert!(bytes(&sets) - freed + written > u128::from(max_bytes) || freed < u128::from(short));
        }
    }

    #[test]
    fn a_stricter_policy_deletes_at_least_as_much(
        sets in volume(true), (stricter, laxer) in stricter_and_laxer(), when in stage(),
    ) {
        let (strict, lax) = (planned(&sets, &stricter, &when), planned(&sets, &laxer, &when));
        let strict_gone = gone(&strict);
        prop_assert!(gone(&lax).iter().all(|name| strict_gone.contains(name)));
        // So the laxer of both is the lax one, whichever of them came first.
        let lax_gone = gone(&lax);
        prop_assert_eq!(&gone(&strict.clone().laxer(&lax)), &lax_gone);
        prop_assert_eq!(&gone(&lax.clone().laxer(&strict)), &lax_gone);
    }

    #[test]
    fn the_laxer_of_any_two_policies_deletes_what_both_would(
        sets in volume(true), now in policy(), at_start in policy(), when in stage(),
    ) {
        let (now, at_start) = (planned(&sets, &now, &when), planned(&sets, &at_start, &when));
        let start_gone = gone(&at_start);
        let both: Vec<_> = gone(&now).into_iter().filter(|name| start_gone.contains(name)).collect();
        let laxer = now.clone().laxer(&at_start);
        if laxer.disk_short_bytes == 0 {
            prop_assert_eq!(gone(&laxer), both.clone());
        } else {
            prop_assert!(gone(&laxer).is_empty());
        }
        let spared = gone(&laxer).len() < gone(&now).len();
        prop_assert_eq!(laxer.reason, if spared { RetentionReason::PolicyChanged } else { now.reason });
    }

    #[test]
    fn planning_again_on_what_remains_deletes_nothing(sets in volume(true), policy in policy(), when in stage()) {
        let first = planned(&sets, &policy, &when);
        let left = remaining(&sets, &gone(&first));
        let when = match when {
            When::MakeRoom { needed, working, verified, .. } => {
                When::MakeRoom { needed, working, short: first.disk_short_bytes, verified }
            }
            other => other,
        };
        let second = planned(&left, &policy, &when);
        prop_assert_eq!(gone(&second), vec![]);
        prop_assert_eq!((&second.retained, second.reason), (&first.retained, first.reason));
    }

    #[test]
    fn clocks_decide_nothing(
        sets in volume(true), times in vec(time(), 30), policy in policy(), when in stage(),
    ) {
        let mut other = sets.clone();
        for (set, time) in other.iter_mut().zip(times) {
            if let Some(origin) = &mut set.origin {
                origin.completion_time = time;
            }
        }
        prop_assert_eq!(gone(&planned(&sets, &policy, &when)), gone(&planned(&other, &policy, &when)));
    }

    #[test]
    fn the_order_in_which_the_sets_are_found_decides_nothing(
        (sets, shuffled) in volume(true).prop_flat_map(|sets| (Just(sets.clone()), Just(sets).prop_shuffle())),
        policy in policy(),
        when in stage(),
    ) {
        let (one, other) = (planned(&sets, &policy, &when), planned(&shuffled, &policy, &when));
        prop_assert_eq!(gone(&one), gone(&other));
        prop_assert_eq!(one.verdicts, other.verdicts);
    }

    #[test]
    fn after_a_restore_nothing_goes_until_it_is_accepted_and_then_all_goes_on(
        sets in volume(true), policy in policy(), when in stage(),
    ) {
        let plan = planned(&sets, &policy, &when);
        let last_break = own_in_order(&sets).windows(2).rev().find(|pair| broken(pair[0], pair[1])).map(|pair| pair[0]);
        prop_assert_eq!(plan.accept_lineage.as_ref().map(|accept| accept.sequence), last_break.map(sequence));
        prop_assert_eq!(plan.lineage_break.as_ref().map(|found| found.earlier), last_break);
        let Some(accept) = plan.accept_lineage.clone() else { return Ok(()) };
        prop_assert_eq!((gone(&plan), plan.reason), (vec![], RetentionReason::LineageChanged));

        let accepting = Policy { accepted_lineage: Some(accept.clone()), ..policy.clone() };
        let mut one_lineage = sets.clone();
        let only = sets.iter().find(|set| own(set)).and_then(|set| set.origin.clone()).unwrap().lineage;
        one_lineage.iter_mut().filter_map(|set| set.origin.as_mut()).for_each(|origin| origin.lineage = only.clone());
        prop_assert_eq!(gone(&planned(&sets, &accepting, &when)), gone(&planned(&one_lineage, &policy, &when)));

        for (volume, sequence) in [("another", accept.sequence), (VOLUME, accept.sequence.wrapping_sub(1))] {
            let accepted = AcceptedLineage { volume: volume.into(), sequence };
            let wrong = Policy { accepted_lineage: Some(accepted), ..policy.clone() };
            if sequence <= accept.sequence {
                prop_assert_eq!(gone(&planned(&sets, &wrong, &when)), vec![]);
            }
        }
    }

    #[test]
    fn on_another_volume_nothing_goes(sets in volume(true), policy in policy(), when in stage()) {
        let policy = Policy { expected_volume: Some("another".into()), ..policy };
        let plan = planned(&sets, &policy, &when);
        prop_assert_eq!((gone(&plan), plan.reason), (vec![], RetentionReason::VolumeChanged));
    }

    #[test]
    fn nothing_goes_early_for_the_disk_that_would_not_go_anyway_once_the_new_set_is_there(
        sets in volume(false), policy in policy(), needed in 0..60_u64, short in 0..200_u64, verified: bool,
    ) {
        let early = planned(&sets, &policy, &When::MakeRoom { needed, working: 0, short, verified });
        prop_assert!(early.disk_short_bytes == 0 || gone(&early).is_empty());
        let Some(new) = next(&sets, needed, verified) else { return Ok(()) };
        let mut after = sets.clone();
        after.push(new);
        let in_the_end = gone(&planned(&after, &policy, &When::Published));
        for verdict in early.deletions().filter(|verdict| verdict.action == Action::Delete(DeleteReason::DiskShort)) {
            prop_assert!(in_the_end.contains(&verdict.set.name));
        }
        if matches!(policy.retention, Retention::Number { .. }) && short == 0 {
            prop_assert_eq!(gone(&early), vec![]);
        }
    }
}

fn broken(earlier: &SetSummary, later: &SetSummary) -> bool {
    let of = |set: &SetSummary| set.origin.clone().unwrap().lineage;
    let (earlier, later) = (of(earlier), of(later));
    earlier.cluster_id != later.cluster_id || later.revision < earlier.revision || later.raft_term < earlier.raft_term
}

/// The set that the owner's next run would publish; none if there is no number after the last one.
fn next(sets: &[SetSummary], size_bytes: u64, verified: bool) -> Option<SetSummary> {
    let mut set = (*own_in_order(sets).last()?).clone();
    let origin = set.origin.as_mut()?;
    origin.sequence = origin.sequence.checked_add(1)?;
    set.name = SetName::parse("backup-nightly-2026-01-02_030405-zzzzzzzz")?;
    set.state = if verified { SetState::Verified } else { SetState::Unverified };
    Some(SetSummary { size_bytes, ..set })
}
