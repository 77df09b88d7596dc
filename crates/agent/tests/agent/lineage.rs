use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use etcd_backup_core::{AcceptedLineage, Policy, Reason, Report, RetentionReason};
use etcd_backup_testbed::tool;

use crate::bed::{Bed, names};
use crate::number::{keep, retention};
use crate::size::at_most;

/// The snapshot of a set, kept apart for a restore.
pub(crate) fn kept_apart(bed: &Bed, report: &Report) -> PathBuf {
    let set = bed.volume().join(report.set.as_ref().unwrap().name.as_str());
    let snapshot = names(&set).into_iter().find(|name| name.ends_with(".db")).unwrap();
    let copy = bed.kubernetes().join(&snapshot);
    fs::copy(set.join(snapshot), &copy).unwrap();
    copy
}

/// Restores etcd from a snapshot, as an administrator does, with the cluster's own etcdutl.
pub(crate) fn restore(bed: &mut Bed, snapshot: &Path, more: &[&str]) {
    let listed = bed.etcd.etcdctl(&["member", "list", "-w", "json"]).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let peer = listed["members"][0]["peerURLs"][0].as_str().unwrap().to_owned();
    bed.etcd.stop(0).unwrap();
    let data = bed.etcd.data_dir(0);
    fs::rename(&data, data.with_extension("before")).unwrap();
    let mut restore = Command::new(tool("etcdutl").unwrap());
    restore.args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(&data);
    restore.args(["--name", "member-0", "--initial-cluster", &format!("member-0={peer}")]);
    restore.args(["--initial-advertise-peer-urls", &peer]).args(more);
    let restored = restore.output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    bed.etcd.restart(0).unwrap();
}

pub(crate) fn put(bed: &Bed, key: &str) {
    bed.etcd.etcdctl(&["put", key, "value"]).unwrap();
}

fn cluster_id(report: &Report) -> &str {
    &report.set.as_ref().unwrap().snapshot.cluster_id
}

fn accepting(policy: Policy, accepted: &AcceptedLineage) -> Policy {
    Policy { accepted_lineage: Some(accepted.clone()), ..policy }
}

/// Two sets, a restore from the first of them, and a third set after it.
fn restored(policy: &Policy, etcdutl: &[&str]) -> (Bed, [Report; 3]) {
    let mut bed = Bed::new();
    bed.set_policy(policy);
    let first = bed.scheduled_save().run().ended(0);
    let snapshot = kept_apart(&bed, &first);
    for key in ["/a", "/b", "/c"] {
        put(&bed, key);
    }
    let second = bed.scheduled_save().run().ended(0);
    restore(&mut bed, &snapshot, etcdutl);
    let third = bed.scheduled_save().run().ended(0);
    (bed, [first, second, third])
}

fn is_held(bed: &Bed, report: &Report, sets: usize) -> AcceptedLineage {
    let said = retention(report);
    assert_eq!((report.reason, said.reason), (Reason::Completed, RetentionReason::LineageChanged), "{}", said.message);
    assert_eq!((said.deleted, bed.sets().len()), (0, sets));
    let accepted = said.accept_lineage.clone().unwrap();
    let command = format!(
        "kubectl annotate backup nightly etcd-backup.io/accept-lineage={}/{} --overwrite",
        bed.volume_id(),
        accepted.sequence
    );
    assert!(said.message.contains(&command), "{}", said.message);
    accepted
}

#[test]
fn after_a_restore_into_a_new_cluster_nothing_is_deleted_until_that_is_accepted() {
    let policy = keep(1);
    let (bed, [_, second, third]) = restored(&keep(2), &["--initial-cluster-token", "after-the-restore"]);
    assert_ne!(cluster_id(&second), cluster_id(&third));
    bed.set_policy(&policy);
    let accepted = is_held(&bed, &third, 3);
    assert_eq!(accepted.sequence, second.set.unwrap().sequence);
    // It stays so, and pruning by itself says the same.
    is_held(&bed, &bed.scheduled_save().run().ended(0), 4);
    let pruned = bed.prune().arg("--policy").arg(bed.policy_file()).arg("--yes").run();
    assert_eq!((pruned.exit, pruned.json()["reason"].as_str()), (Some(0), Some("LineageChanged")), "{}", pruned.stdout);
    assert_eq!(bed.sets().len(), 4);
    // What was accepted on another volume does not hold here.
    bed.set_policy(&accepting(policy.clone(), &AcceptedLineage { volume: "another".into(), ..accepted.clone() }));
    is_held(&bed, &bed.scheduled_save().run().ended(0), 5);

    bed.set_policy(&accepting(policy, &accepted));
    let resumed = bed.scheduled_save().run().ended(0);
    assert_eq!((retention(&resumed).reason, retention(&resumed).deleted), (RetentionReason::Satisfied, 5));
    assert_eq!(bed.sets().len(), 1);
}

#[test]
fn a_restore_that_keeps_the_cluster_id_is_known_by_its_revision() {
    let (bed, [_, second, third]) = restored(&keep(1), &[]);
    assert_eq!(cluster_id(&second), cluster_id(&third));
    assert!(second.set.as_ref().unwrap().snapshot.revision > third.set.as_ref().unwrap().snapshot.revision);
    // Before the restore the policy had left one.
    let accepted = is_held(&bed, &third, 2);
    // By hand the acceptance is a flag.
    let text = String::from(accepted);
    let pruned = bed.prune().args(["--keep", "1", "--yes", "--accept-lineage", &text]).run();
    assert_eq!((pruned.exit, pruned.json()["reason"].as_str()), (Some(0), Some("Satisfied")), "{}", pruned.stdout);
    assert_eq!(bed.sets(), [third.set.unwrap().name.to_string()]);
}

#[test]
fn a_restore_that_hides_itself_is_known_by_its_raft_index() {
    // Revisions far above, the cluster id kept; and a term as before, as etcd starts for the first time in both.
    let (bed, [_, second, third]) = restored(&keep(1), &["--bump-revision", "1000000", "--mark-compacted"]);
    let [before, after] = [&second, &third].map(|report| &report.set.as_ref().unwrap().snapshot);
    assert_eq!((cluster_id(&second), before.raft_term), (cluster_id(&third), after.raft_term));
    assert!(before.revision < after.revision && before.raft_index > after.raft_index, "{before:?} {after:?}");
    is_held(&bed, &third, 2);
}

#[test]
fn a_restored_cluster_makes_no_room_by_deleting_what_was_before() {
    let mut bed = Bed::new();
    bed.load(2);
    bed.set_policy(&at_most(1 << 30));
    let first = bed.scheduled_save().run().ended(0);
    let snapshot = kept_apart(&bed, &first);
    put(&bed, "/a");
    let second = bed.scheduled_save().run().ended(0);
    // There is no room for a third.
    let limit = retention(&second).retained.size_bytes + 1;
    bed.set_policy(&at_most(limit));
    restore(&mut bed, &snapshot, &[]);
    let third = bed.scheduled_save().run().ended(0);
    is_held(&bed, &third, 3);
    assert!(retention(&third).peak_bytes > limit, "the backup counts for more than the limit");

    // Nor does a disk without room: the message says what is held, and how to let it go.
    let full = bed.scheduled_save().args(["--reserve-percent", "100"]).run().ended(1);
    assert_eq!(full.reason, Reason::NoSpace);
    assert!(full.message.contains("etcd-backup.io/accept-lineage="), "{}", full.message);
    assert_eq!(retention(&full).reason, RetentionReason::LineageChanged);
    assert_eq!(bed.sets().len(), 3);
    assert!(bed.volume().join(first.set.unwrap().name.as_str()).exists());
}
