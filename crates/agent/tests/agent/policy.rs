//! A policy that is missing, wrong, for another volume, or changes while the run goes on.

use std::fs;

use etcd_backup_core::{Policy, Reason, Report, RetentionReason};
use etcd_backup_store::Look;

use crate::bed::Bed;
use crate::number::{keep, retention};
use crate::sets::{self, Made};

fn warnings(report: &Report) -> Vec<&str> {
    report.warnings.iter().map(|warning| warning.reason.as_str()).collect()
}

#[test]
fn a_policy_that_cannot_be_read_costs_no_backup_and_deletes_nothing() {
    let bed = Bed::new();
    for (content, sets) in [(None, 1), (Some("{"), 2), (Some(r#"{"schemaVersion":"9.0"}"#), 3)] {
        let _ = fs::remove_file(bed.policy_file());
        content.iter().for_each(|content| fs::write(bed.policy_file(), content).unwrap());
        let report = bed.scheduled_save().run().ended(0);
        assert_eq!((report.reason, warnings(&report)), (Reason::Completed, vec!["PolicyInvalid"]));
        let said = retention(&report);
        assert_eq!((said.reason, said.deleted, &said.policy_hash), (RetentionReason::PolicyInvalid, 0, &None));
        assert_eq!((said.retained.verified, bed.sets().len()), (sets, sets as usize));
    }
    let pruned = bed.prune().arg("--yes").arg("--policy").arg(bed.policy_file()).run().ended(4);
    assert_eq!(pruned.reason, Reason::PolicyInvalid);
}

#[test]
fn on_another_volume_than_expected_nothing_is_deleted() {
    let bed = Bed::new();
    bed.set_policy(&keep(1));
    bed.scheduled_save().run().ended(0);
    bed.set_policy(&Policy { expected_volume: Some("the-one-before".into()), ..keep(1) });
    let report = bed.scheduled_save().run().ended(0);
    let said = retention(&report);
    assert_eq!((report.reason, said.reason, said.deleted), (Reason::Completed, RetentionReason::VolumeChanged, 0));
    let command =
        format!("kubectl annotate backup nightly etcd-backup.io/accept-volume={} --overwrite", bed.volume_id());
    assert!(said.message.contains(&command) && said.message.contains("the-one-before"), "{}", said.message);
    bed.set_policy(&Policy { expected_volume: Some(bed.volume_id()), ..keep(1) });
    assert_eq!(retention(&bed.scheduled_save().run().ended(0)).deleted, 2);
}

/// A run that begins with one policy and ends with another one, after two sets.
fn changed_meanwhile(begins: &Policy, ends: &Policy) -> (Bed, Report) {
    let bed = Bed::new();
    bed.load(48);
    for _ in 0..2 {
        let report = bed.save().args(["--owner", "Backup/nightly", "--cluster", crate::bed::CLUSTER]).run();
        report.ended(0);
    }
    bed.set_policy(begins);
    let mut running = bed.scheduled_save().start();
    running.until("a stream", || bed.staged_snapshot_bytes() > 0);
    bed.etcd.pause(0).unwrap();
    bed.set_policy(ends);
    bed.etcd.resume(0).unwrap();
    let report = running.wait().ended(0);
    (bed, report)
}

#[test]
fn a_policy_that_became_laxer_holds_at_once() {
    let (bed, report) = changed_meanwhile(&keep(1), &keep(2));
    let said = retention(&report);
    assert_eq!((said.reason, said.deleted), (RetentionReason::Satisfied, 1), "{}", said.message);
    assert_eq!(said.policy_hash, Some(keep(2).hash_on(&bed.volume_id())));
}

#[test]
fn a_policy_that_became_stricter_holds_from_the_next_run() {
    let (bed, report) = changed_meanwhile(&keep(2), &keep(1));
    let said = retention(&report);
    assert_eq!((said.reason, said.deleted), (RetentionReason::PolicyChanged, 1), "{}", said.message);
    assert_eq!(said.policy_hash, Some(keep(2).hash_on(&bed.volume_id())));
    let hash = keep(1).hash_on(&bed.volume_id());
    let next = bed.prune().arg("--yes").arg("--policy").arg(bed.policy_file()).args(["--expect-policy", &hash]).run();
    assert_eq!((next.exit, bed.sets().len()), (Some(0), 1), "{}", next.stdout);
}

#[test]
fn a_policy_that_became_unreadable_deletes_nothing() {
    let bed = Bed::new();
    bed.load(48);
    bed.set_policy(&keep(1));
    bed.scheduled_save().run().ended(0);
    let mut running = bed.scheduled_save().start();
    running.until("a stream", || bed.staged_snapshot_bytes() > 0);
    bed.etcd.pause(0).unwrap();
    fs::write(bed.policy_file(), "{").unwrap();
    bed.etcd.resume(0).unwrap();
    let report = running.wait().ended(0);
    assert_eq!((retention(&report).reason, bed.sets().len()), (RetentionReason::PolicyInvalid, 2));
    assert_eq!(warnings(&report), ["PolicyInvalid"]);
}

#[test]
fn nothing_relies_on_a_newest_set_that_is_damaged() {
    let bed = Bed::new();
    let volume = bed.volume();
    let made: Vec<_> = (0..3).map(|_| Made::new().on(&volume)).collect();
    sets::damage(&volume, &made[2]);
    let prune = || bed.prune().args(["--keep", "1", "--yes"]).run();

    // It looks good, so it would be the one to keep; but it is read first.
    let report: Report = serde_json::from_value(prune().json()["report"].take()).unwrap();
    assert_eq!((retention(&report).deleted, retention(&report).retained.verified), (1, 1));
    let states = || bed.agent("list").arg(&volume).run().json().as_array().unwrap().clone();
    let named = |at: usize| (made[at].to_string(), states().into_iter().find(|row| row["name"] == made[at].as_str()));
    assert!(named(0).1.is_none());
    assert_eq!(named(1).1.unwrap()["state"], "verified");
    let damaged = named(2).1.unwrap();
    assert_eq!(damaged["state"], "damaged");
    assert!(damaged["why"].as_str().unwrap().contains("SHA-256"), "{damaged}");

    // A newer good set supersedes both.
    let newest = Made::new().on(&volume);
    assert_eq!(prune().json()["report"]["retention"]["deleted"], 2);
    let left = sets::all(&volume);
    assert_eq!((left.len(), &left[0].name), (1, &newest));
    assert!(matches!(left[0].state, Look::Consistent { .. }));
}

#[test]
fn a_backup_before_which_the_newest_set_proves_damaged_supersedes_it() {
    let bed = Bed::new();
    bed.load(2);
    bed.set_policy(&crate::size::at_most(1 << 30));
    let first = bed.scheduled_save().run().ended(0).set.unwrap();
    let limit = first.size_bytes() * 5 / 2;
    bed.set_policy(&crate::size::at_most(limit));
    let second = bed.scheduled_save().run().ended(0).set.unwrap().name;
    sets::damage(&bed.volume(), &second);
    // Room is needed for the third. Nothing may rely on the second, so the first stays, whatever the limit says.
    let report = bed.scheduled_save().run().ended(0);
    assert_eq!(retention(&report).reason, RetentionReason::SizeExceeded, "{}", retention(&report).message);
    let left = bed.sets();
    assert!(!left.contains(&second.to_string()), "damaged, and superseded in the end");
    assert!(left.contains(&report.set.unwrap().name.to_string()));
    assert!(retention(&bed.scheduled_save().run().ended(0)).retained.size_bytes <= limit);
    assert!(!bed.sets().contains(&first.name.to_string()));
}
