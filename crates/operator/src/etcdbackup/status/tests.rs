use std::collections::BTreeMap;

use etcd_backup_api::EtcdBackupSpec;
use etcd_backup_core::{Layout, Reason};
use serde_json::{Value, json};

use super::*;
use crate::catalogue::VolumeSays;
use crate::etcdbackup::job_state::{JobState, ObservedJob};
use crate::etcdbackup::queue::Place;
use crate::etcdbackup::volume::Volume;

const UID: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

fn now() -> Timestamp {
    "2026-01-01T00:05:00Z".parse().unwrap()
}

fn observed(status: Option<EtcdBackupStatus>) -> Observed {
    let mut backup = EtcdBackup::new("b", EtcdBackupSpec { pvc_name: "claim".into(), recorded: None });
    backup.metadata.uid = Some(UID.into());
    backup.metadata.generation = Some(1);
    backup.status = status;
    Observed {
        namespace: "etcd".into(),
        request: backup.request("cluster", "etcd", Layout::Kubeadm),
        job_name: "job".into(),
        inventory_name: "job-inv".into(),
        volume_says: VolumeSays::Nothing,
        save: ObservedJob { state: JobState::Complete, pods: Vec::new() },
        inventory: ObservedJob::default(),
        volume: Volume::default(),
        nodes: Vec::new(),
        place: Place::default(),
        backup,
    }
}

fn report(outcome: &str, verified: bool) -> Box<Report> {
    let set = json!({"name": "backup-b-2026-01-01_000000-0b8f6f53", "sequence": 4, "verified": verified,
        "files": [{"name": "snapshot_2026-01-01_000000.db", "sizeBytes": 126_000_000}, {"name": "backup.json", "sizeBytes": 900}],
        "snapshot": {"revision": 4711, "sizeBytes": 126_000_000, "sha256": "ab", "totalKeys": 12, "etcdVersion": "3.6.4",
                     "storageVersion": "3.6", "clusterId": "c1", "memberId": "m1", "raftTerm": 9},
        "cluster": {"version": "v1.34.4"}});
    Box::new(
        serde_json::from_value(json!({
            "schemaVersion": "1.0", "runId": UID, "outcome": outcome, "reason": if outcome == "Completed" { "Completed" } else { "NoSpace" },
            "message": "said the agent", "startTime": "2026-01-01T00:00:00.9Z", "completionTime": "2026-01-01T00:01:13.1Z",
            "node": "master-0", "volumeId": "v1", "warnings": [{"reason": "KeysBesideData", "message": "apart"}],
            "set": if outcome == "Completed" { set } else { Value::Null },
        }))
        .unwrap(),
    )
}

fn truths(status: &EtcdBackupStatus) -> String {
    let short: BTreeMap<&str, &str> =
        status.conditions.iter().map(|one| (one.type_.as_str(), one.status.as_str())).collect();
    let true_ones = short.iter().filter(|(_, status)| **status == "True").map(|(type_, _)| *type_);
    true_ones.collect::<Vec<_>>().join(" ")
}

fn state(reason: StatusReason) -> Obstacle {
    Obstacle::new(reason, "because")
}

#[test]
fn each_phase_has_its_conditions_and_no_other() {
    let failed = Verdict::Failed { state: state(StatusReason::NodeLost), report: None };
    let running = Verdict::Running { state: state(StatusReason::Saving), pod: None };
    let rows = [
        (Verdict::Pending(state(StatusReason::Queued)), "BackupPending Pending", "Pending/Queued"),
        (running, "BackupPending Running", "Running/Saving"),
        (
            Verdict::Completed(report("Completed", true)),
            "BackupCompleted Completed Ready Verified",
            "Completed/Completed",
        ),
        (Verdict::Completed(report("Completed", false)), "BackupCompleted Completed Ready", "Completed/Completed"),
        (failed, "BackupFailed Failed Stalled", "Failed/NodeLost"),
    ];
    for (verdict, expected, words) in rows {
        let status = next(&observed(None), "etcd", &verdict, now());
        assert_eq!(truths(&status), expected);
        assert_eq!(format!("{}/{}", status.phase.clone().unwrap(), status.reason.clone().unwrap()), words);
        assert_eq!(is_final(&status), words.starts_with('C') || words.starts_with('F'));
        assert!(!conditions::get(&status.conditions, "Ready").unwrap().message.is_empty());
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    }
}

#[test]
fn a_completed_report_fills_every_field() {
    let status = next(&observed(None), "etcd", &Verdict::Completed(report("Completed", true)), now());
    assert_eq!(
        serde_json::to_value(EtcdBackupStatus { conditions: Vec::new(), ..status }).unwrap(),
        json!({
            "observedGeneration": 1, "phase": "Completed", "reason": "Completed", "jobName": "job",
            "backupJob": {"namespace": "etcd", "name": "job"}, "nodeName": "master-0",
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:13Z", "duration": "1m 12s",
            "files": [
                {"path": "backup-b-2026-01-01_000000-0b8f6f53/snapshot_2026-01-01_000000.db", "sizeBytes": 126_000_000},
                {"path": "backup-b-2026-01-01_000000-0b8f6f53/backup.json", "sizeBytes": 900},
            ],
            "size": "120 MiB", "location": "pvc://etcd/claim/backup-b-2026-01-01_000000-0b8f6f53", "volumeId": "v1",
            "snapshot": {"revision": 4711, "sizeBytes": 126_000_000, "sha256": "ab", "totalKeys": 12, "etcdVersion": "3.6.4",
                         "storageVersion": "3.6", "clusterId": "c1", "memberId": "m1", "raftTerm": 9},
            "clusterVersion": "v1.34.4", "warnings": [{"reason": "KeysBesideData", "message": "apart"}],
        })
    );
}

#[test]
fn an_unproven_set_is_completed_but_not_verified() {
    let status = next(&observed(None), "etcd", &Verdict::Completed(report("Completed", false)), now());
    let verified = conditions::get(&status.conditions, "Verified").unwrap();
    assert_eq!((verified.status.as_str(), verified.reason.as_str()), ("False", "Freshness"));
}

#[test]
fn a_failed_report_tells_when_and_where() {
    let verdict =
        Verdict::Failed { state: state(StatusReason::Run(Reason::NoSpace)), report: Some(report("Failed", false)) };
    let status = next(&observed(None), "etcd", &verdict, now());
    assert_eq!(status.node_name.as_deref(), Some("master-0"));
    assert_eq!(status.completion_time, Some(Time("2026-01-01T00:01:13Z".parse().unwrap())));
    assert_eq!((status.location, status.snapshot, status.files.len()), (None, None, 0));
    let unreported = Verdict::Failed { state: state(StatusReason::NodeLost), report: None };
    assert_eq!(next(&observed(None), "etcd", &unreported, now()).completion_time, Some(Time(now())));
}

#[test]
fn saying_the_same_again_changes_nothing() {
    let first = Verdict::Running { state: state(StatusReason::Saving), pod: Some((Some("n".into()), now())) };
    let status = next(&observed(None), "etcd", &first, now());
    let later = now() + SignedDuration::from_mins(5);
    assert_eq!(next(&observed(Some(status.clone())), "etcd", &first, later), status);
    let other = Verdict::Running { state: state(StatusReason::NodeLost), pod: None };
    let changed = next(&observed(Some(status.clone())), "etcd", &other, later);
    assert_eq!((&changed.node_name, &changed.start_time), (&status.node_name, &status.start_time));
    let since = |status: &EtcdBackupStatus| {
        conditions::get(&status.conditions, "Running").unwrap().last_transition_time.clone()
    };
    assert_eq!(since(&changed), since(&status), "the time moves with the status, not with the reason");
}

#[test]
fn sizes_and_times_are_for_people() {
    let sizes = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_500_000_000, "1.3 GiB"),
        (126_000_000, "120 MiB"),
        (u64::MAX, "16777215 TiB"),
    ];
    for (bytes, text) in sizes {
        assert_eq!(size(bytes), text);
    }
    assert_eq!(duration(SignedDuration::from_millis(900)), "0s");
    assert_eq!(duration(SignedDuration::from_secs(12)), "12s");
    assert_eq!(duration(SignedDuration::from_secs(-5)), "0s");
}

#[test]
fn standing_down_is_told_once_for_each_spec_and_leaves_the_facts() {
    let why = "somebody else answers";
    let told = |status: Option<EtcdBackupStatus>| standing_down(&observed(status).backup, why, now());
    let waits = told(None).unwrap();
    assert_eq!((waits.phase.as_deref(), waits.reason.as_deref()), (Some("Pending"), Some("StandDown")));
    assert_eq!(truths(&waits), "BackupPending Pending Stalled");
    assert_eq!(conditions::get(&waits.conditions, "Ready").unwrap().message, why);
    assert_eq!(told(Some(waits.clone())), None, "once");
    let mut edited = observed(Some(waits.clone())).backup;
    edited.metadata.generation = Some(2);
    assert_eq!(standing_down(&edited, why, now()).unwrap().observed_generation, Some(2));

    let state = Obstacle::new(StatusReason::Saving, "at work");
    let mut at_work = observed(None);
    at_work.backup.status = Some(next(&at_work, "etcd", &Verdict::Running { state, pod: None }, now()));
    let goes_on = told(at_work.backup.status.clone()).unwrap();
    assert_eq!((goes_on.phase.as_deref(), goes_on.reason.as_deref()), (Some("Running"), Some("Saving")));
    assert_eq!(
        (goes_on.job_name.as_deref(), truths(&goes_on).as_str()),
        (Some("job"), "BackupPending Running Stalled")
    );

    let seen = observed(Some(waits));
    let again = next(&seen, "etcd", &Verdict::Completed(report("Completed", true)), now());
    assert!(truths(&again).contains("Ready") && !truths(&again).contains("Stalled"), "{}", truths(&again));
}
