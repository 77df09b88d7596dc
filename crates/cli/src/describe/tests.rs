use etcd_backup_api::{BackupJob, EtcdBackup};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::advice::advice;
use super::{Observed, screen, seen};
use crate::error::Error;
use crate::paint::Paint;

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn backup(spec: Value, status: Value) -> EtcdBackup {
    let metadata = json!({"name": "b", "uid": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let object = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": metadata, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

fn failed() -> EtcdBackup {
    let conditions = [
        condition("Ready", "False", "NoSpace", "make room"),
        condition("BackupFailed", "True", "NoSpace", "make room"),
    ];
    backup(json!({"pvcName": "claim"}), json!({"phase": "Failed", "reason": "NoSpace", "conditions": conditions}))
}

#[test]
fn advice_is_what_to_do_now() {
    let recorded = json!({"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "0b8f6f53-run"}});
    let completed = |verified: Value| json!({"phase": "Completed", "conditions": [verified]});
    let rows = [
        (backup(json!({}), Value::Null), "has not seen it yet"),
        (
            backup(
                json!({}),
                json!({"phase": "Pending", "reason": "Queued", "conditions": [condition("Ready", "False", "Queued", "place 2 of 2")]}),
            ),
            "Queued: place 2 of 2",
        ),
        (failed(), "make room"),
        (failed(), "kubectl etcd-backup run --pvc claim --wait"),
        (backup(recorded, json!({"phase": "Failed"})), "next run of Backup nightly"),
        (backup(json!({}), completed(condition("Verified", "True", "Verified", ""))), "Nothing"),
        (
            backup(json!({}), completed(condition("Verified", "False", "Damaged", "page 7"))),
            "Do not rely on it (Damaged): page 7",
        ),
    ];
    for (backup, expected) in rows {
        let said = advice(&backup).join("\n");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_screen_has_what_is_known_and_nothing_else() {
    let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
    let terminated = json!({"terminated": {"exitCode": 1, "message": "{\"reason\":\"NoSpace\"}"}});
    let container = json!({"name": "etcd-backup", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": terminated});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "master-0", "containers": []}, "status": {"phase": "Failed", "containerStatuses": [container]}});
    let event = json!({"metadata": {}, "eventTime": "2026-01-01T00:30:00.000000Z", "type": "Warning", "reason": "NoSpace", "note": "make room",
                       "regarding": {"kind": "EtcdBackup", "name": "b"}});
    let observed = Observed {
        backup: failed(),
        job: Some((BackupJob { namespace: "openshift-etcd".into(), name: "j".into() }, None)),
        pods: vec![serde_json::from_value(pod).unwrap()],
        events: vec![serde_json::from_value(event).unwrap()],
        hidden: vec![],
    };
    let expected = "\
Name:             b
Kind:             one-shot backup
Status:           Failed (NoSpace)
Created:          2026-01-01T00:00:00Z, 60m ago
Run id:           0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11
Claim:            claim

Run:
  Job:              openshift-etcd/j: gone
  Pod:              p on master-0: Failed (exit code 1)
  Its report:       {\"reason\":\"NoSpace\"}

Conditions:
  TYPE    STATUS   REASON    SINCE   MESSAGE
  Ready   False    NoSpace   60m     make room

Events:
  AGE   TYPE      REASON    OBJECT         MESSAGE
  30m   Warning   NoSpace   EtcdBackup/b   make room

What to do:
  - make room
  - Log, if its pod is still there: kubectl etcd-backup logs b
  - Another one, once the cause is gone: kubectl etcd-backup run --pvc claim --wait";
    assert_eq!(screen::text(&observed, now, Paint::OFF), expected);
}

#[test]
fn a_good_one_shows_its_set() {
    let snapshot = json!({"revision": 7, "sizeBytes": 1, "sha256": "ab12", "totalKeys": 3, "clusterId": "c1", "memberId": "m1", "raftTerm": 9, "etcdVersion": "3.6.4", "storageVersion": "3.6"});
    let status = json!({
        "phase": "Completed", "reason": "Completed", "location": "pvc://n/c/set", "size": "7.5 MiB", "snapshot": snapshot,
        "files": [{"path": "set/backup.json", "sizeBytes": 900}], "warnings": [{"reason": "KeysBesideData", "message": "keep them apart"}],
    });
    let observed = Observed {
        backup: backup(json!({}), status),
        job: None,
        pods: vec![],
        events: vec![],
        hidden: vec!["pods are forbidden".into()],
    };
    let text = screen::text(&observed, "2026-01-01T01:00:00Z".parse().unwrap(), Paint::OFF);
    for part in [
        "Status:           Completed\n",
        "  SHA-256:          ab12",
        "  Etcd:             3.6.4, storage version 3.6",
        "  File:             set/backup.json (900 bytes)",
        "  - KeysBesideData: keep them apart",
        "Not shown, for want of rights:\n  - pods are forbidden",
        "docs/operations/warnings.md",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_may_not_be_seen_hides_nothing_else() {
    let mut hidden = Vec::new();
    let forbidden = Error::Forbidden { verb: "list", what: "pods".into(), reason: "pods are forbidden".into() };
    assert_eq!(seen::<Vec<u8>>(Err(forbidden), &mut hidden).unwrap(), Vec::<u8>::new());
    assert_eq!(hidden, ["pods are forbidden"]);
    assert!(seen::<Vec<u8>>(Err(Error::NotFound("x".into())), &mut hidden).is_err());
}
