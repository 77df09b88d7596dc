use etcd_backup_core::{
    Outcome, Owner, OwnerKind, Policy, Reason, Report, Retention, RetentionReason, RetentionReport,
};

use crate::bed::{Bed, CLUSTER};
use crate::operations::Replay;
use crate::sets::{self, Made};

pub(crate) fn keep(max_sets: u64) -> Policy {
    Policy::new(Retention::Number { max_sets })
}

pub(crate) fn retention(report: &Report) -> &RetentionReport {
    report.retention.as_ref().unwrap()
}

#[test]
fn at_most_so_many_verified_sets_remain_and_nothing_else_is_touched() {
    let bed = Bed::new();
    let strangers = sets::strangers(&bed.volume());
    let owners = [
        ("another schedule", Owner { name: "weekly".into(), ..crate::bed::schedule() }),
        ("a one-shot", Owner { kind: OwnerKind::EtcdBackup, ..crate::bed::schedule() }),
        ("an administrator's", Owner { kind: OwnerKind::Manual, ..crate::bed::schedule() }),
        ("another cluster's", Owner { cluster: Some("another".into()), ..crate::bed::schedule() }),
        ("nobody knows which cluster's", Owner { cluster: None, ..crate::bed::schedule() }),
    ];
    let others: Vec<_> =
        owners.iter().map(|(_, owner)| Made { owner: owner.clone(), ..Made::new() }.on(&bed.volume())).collect();
    let garbled = Made::new().on(&bed.volume());
    sets::make_unreadable(&bed.volume(), &garbled);
    let before = sets::all(&bed.volume());

    bed.set_policy(&keep(3));
    let log = bed.kubernetes().join("operations");
    let mut replay = Replay::new(&bed.volume());
    let mut made = Vec::new();
    for run in 1..=6_u64 {
        let report = bed.scheduled_save().operations_to(&log).run().ended(0);
        replay.run(&log);
        made.push(report.set.clone().unwrap().name);
        let said = retention(&report);
        assert_eq!((report.reason, said.reason), (Reason::Completed, RetentionReason::Satisfied), "{}", said.message);
        assert_eq!((said.retained.verified, said.deleted), (run.min(3), u64::from(run > 3)));
        assert_eq!(report.owner, Some(crate::bed::schedule()));
        assert_eq!(said.policy_hash, Some(keep(3).hash_on(&bed.volume_id())));
        // The catalogue that is told is the one that is there.
        let told = report.catalogue.unwrap();
        let list = sets::all(&bed.volume());
        assert_eq!((told.digest.count, told.last_sequence), (list.len() as u64, 6 + run));
    }
    // One more than the limit is there between the publication of one and the deletion of the oldest.
    assert_eq!(replay.most_sets, 4);

    let after = sets::all(&bed.volume());
    assert!(before.iter().all(|set| after.contains(set)));
    assert_eq!(after.len(), before.len() + 3);
    assert!(made[3..].iter().all(|set| after.iter().any(|found| found.name == *set)));
    assert_eq!((others.len(), strangers.len()), (5, 4));
    for file in &strangers {
        assert!(bed.volume().join(file).exists(), "{file}");
    }
}

#[test]
fn a_lowered_number_is_enforced_by_the_next_run_and_a_second_run_of_the_same_id_prunes_too() {
    let bed = Bed::new();
    let run = ["--run-id", "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"];
    bed.set_policy(&keep(15));
    for _ in 0..4 {
        bed.scheduled_save().run().ended(0);
    }
    bed.scheduled_save().args(run).run().ended(0);
    bed.set_policy(&keep(4));
    let again = bed.scheduled_save().args(run).run().ended(0);
    assert_eq!(again.reason, Reason::AlreadyPublished);
    assert_eq!((retention(&again).deleted, retention(&again).retained.verified), (1, 4));
    bed.set_policy(&keep(2));
    let report = bed.scheduled_save().run().ended(0);
    assert_eq!((retention(&report).deleted, retention(&report).retained.verified), (3, 2));
    assert_eq!(bed.sets().len(), 2);
}

#[test]
fn a_set_that_is_not_wholly_verified_supersedes_nothing() {
    let bed = Bed::new();
    bed.set_policy(&keep(1));
    let verified = bed.scheduled_save().run().ended(0).set.unwrap().name;
    for unverified in 1..=2 {
        let report = bed.scheduled_save().args(["--layout", "none"]).run().ended(0);
        assert_eq!(report.outcome, Outcome::Completed);
        assert_eq!((retention(&report).deleted, retention(&report).retained.sets), (0, 1 + unverified));
        assert!(bed.volume().join(verified.as_str()).exists());
    }
    let report = bed.scheduled_save().run().ended(0);
    assert_eq!((retention(&report).deleted, retention(&report).retained.sets), (3, 1));
}

#[test]
fn a_full_disk_deletes_early_only_what_goes_anyway() {
    let bed = Bed::new();
    bed.load(4);
    let save = || bed.save().args(["--owner", "Backup/nightly", "--cluster", CLUSTER]).run().ended(0);
    let made: Vec<_> = (0..3).map(|_| save().set.unwrap().name).collect();
    let full = || bed.scheduled_save().args(["--reserve-percent", "100"]).run().ended(1);

    // The oldest alone would not give room enough, so it stays.
    bed.set_policy(&keep(3));
    let report = full();
    assert_eq!((report.reason, retention(&report).deleted), (Reason::NoSpace, 0));
    assert_eq!(bed.sets().len(), 3);

    // A disk of which everything is to stay free never has room, whatever is deleted; the newest set stays.
    bed.set_policy(&keep(1));
    let report = full();
    assert_eq!((report.reason, retention(&report).deleted), (Reason::NoSpace, 2));
    assert_eq!(bed.sets(), [made[2].to_string()]);
    assert!(bed.staged().is_empty());
    let report = full();
    assert_eq!((report.reason, retention(&report).deleted), (Reason::NoSpace, 0));
    assert_eq!(bed.sets(), [made[2].to_string()]);
}
