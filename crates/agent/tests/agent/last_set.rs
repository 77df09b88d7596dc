//! A backup that does not continue the last one says so, without a policy too.

use etcd_backup_core::Report;

use crate::bed::{Bed, CLUSTER};
use crate::lineage::{kept_apart, put, restore};

/// A one-shot of its own name in the same cluster.
fn one_shot(bed: &Bed, name: &str) -> Report {
    bed.save().args(["--owner", &format!("EtcdBackup/{name}"), "--cluster", CLUSTER]).run().ended(0)
}

fn by_hand(bed: &Bed) -> Report {
    bed.save().run().ended(0)
}

fn told(report: &Report) -> Vec<(&str, bool)> {
    let verified = report.set.as_ref().unwrap().verified;
    report.warnings.iter().map(|warning| (warning.reason.as_str(), verified)).collect()
}

/// Makes two sets and restores etcd from the first; gives the second.
fn restored(bed: &mut Bed, save: fn(&Bed, usize) -> Report, etcdutl: &[&str]) -> Report {
    let first = save(bed, 1);
    let snapshot = kept_apart(bed, &first);
    (0..3).for_each(|key| put(bed, &format!("/{key}")));
    let newer = save(bed, 2);
    assert!(told(&first).is_empty() && told(&newer).is_empty());
    restore(bed, &snapshot, etcdutl);
    newer
}

#[test]
fn another_etcd_than_that_of_the_last_set_is_told_once() {
    let mut bed = Bed::new();
    let new_cluster = ["--initial-cluster-token", "after-the-restore"];
    let newer = restored(&mut bed, |bed, number| one_shot(bed, &format!("b{number}")), &new_cluster);
    let after = one_shot(&bed, "b3");
    assert_eq!(told(&after), [("ClusterIdChanged", true)]);
    assert!(after.warnings[0].message.contains(newer.set.unwrap().name.as_str()), "{:?}", after.warnings);
    assert!(told(&one_shot(&bed, "b4")).is_empty(), "it continues the one before");
    // Sets of another cluster on the same volume say nothing of this one.
    assert!(told(&by_hand(&bed)).is_empty());
}

#[test]
fn older_data_than_that_of_the_last_set_is_told_once() {
    let mut bed = Bed::new();
    let newer = restored(&mut bed, |bed, _| by_hand(bed), &[]);
    let after = by_hand(&bed);
    assert_eq!(told(&after), [("OlderThanLastSet", true)]);
    let message = &after.warnings[0].message;
    assert!(
        message.contains(newer.set.unwrap().name.as_str()) && message.contains("the revision went back"),
        "{message}"
    );
    assert!(told(&by_hand(&bed)).is_empty(), "it continues the one before");
}
