use std::slice::from_ref;
use std::sync::Arc;

use etcd_backup_api::{BackupJob, EtcdBackup, EtcdBackupSpec, EtcdBackupStatus, conditions};
use etcd_backup_core::{Layout, Report};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::etcdbackup::job_state::ObservedJob;
use crate::etcdbackup::pod_state::PodState;
use crate::etcdbackup::queue::Place;
use crate::etcdbackup::volume::Volume;

const UID: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

/// Minutes after the EtcdBackup's creation.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minutes * 60).unwrap()
}

fn limits() -> Limits {
    Limits {
        lock_timeout: SignedDuration::from_mins(10),
        deadline: SignedDuration::from_mins(15),
        start_limit: SignedDuration::from_mins(60),
        reserve_percent: 10,
        starting_deadline: SignedDuration::from_mins(60),
    }
}

fn backup(status: EtcdBackupStatus) -> EtcdBackup {
    let mut backup = EtcdBackup::new("b", EtcdBackupSpec { pvc_name: "claim".into(), recorded: None });
    backup.metadata.uid = Some(UID.into());
    backup.metadata.creation_timestamp = Some(Time(at(0)));
    backup.status = Some(status);
    backup
}

/// A healthy cluster in which nothing has been done yet for this request.
fn fresh() -> Observed {
    let node = |name: &str, ready: &str| {
        let node = json!({"metadata": {"name": name, "labels": {"node-role.kubernetes.io/control-plane": ""}},
                          "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        Arc::new(serde_json::from_value(node).unwrap())
    };
    let claim = serde_json::from_value(json!({"status": {"phase": "Bound"}})).unwrap();
    let backup = backup(EtcdBackupStatus::default());
    Observed {
        request: backup.request("cluster", "etcd", Layout::Kubeadm),
        namespace: "etcd".into(),
        job_name: "job".into(),
        inventory_name: "job-inv".into(),
        volume_says: VolumeSays::Nothing,
        save: ObservedJob::default(),
        inventory: ObservedJob::default(),
        volume: Volume { claim: Some(Arc::new(claim)), ..Volume::default() },
        nodes: vec![node("up", "True"), node("down", "Unknown")],
        place: Place { waiting: 1, ..Place::default() },
        backup,
    }
}

fn named() -> Observed {
    let status = EtcdBackupStatus { job_name: Some("job".into()), ..EtcdBackupStatus::default() };
    Observed { backup: backup(status), ..fresh() }
}

/// The Job was created; its state and pods are as given.
fn created(state: JobState, pods: &[ObservedPod]) -> Observed {
    let status = EtcdBackupStatus {
        job_name: Some("job".into()),
        backup_job: Some(BackupJob { namespace: "etcd".into(), name: "job".into() }),
        ..EtcdBackupStatus::default()
    };
    Observed { backup: backup(status), save: ObservedJob { state, pods: pods.to_vec() }, ..fresh() }
}

/// A Job that was created at minute 0.
fn active() -> JobState {
    JobState::Active { created: at(0), ends: at(30), suspended: false }
}

fn failed(reason: &str) -> JobState {
    JobState::Failed { reason: reason.into(), message: "why".into() }
}

fn pod(name: &str, node: &str, state: PodState) -> ObservedPod {
    ObservedPod { name: name.into(), created: at(0), node: Some(node.into()), state }
}

fn running_pod(node: &str) -> ObservedPod {
    pod("p", node, PodState::Running { since: at(1) })
}

fn blocked_pod(reason: StatusReason) -> ObservedPod {
    pod("p", "up", PodState::Blocked(Obstacle::new(reason, "because")))
}

fn ended_pod(report: Option<Report>) -> ObservedPod {
    let report = report.map(Box::new);
    pod("p", "up", PodState::Ended { at: at(2), report, why: "exit code 1".into() })
}

fn report(outcome: &str, reason: &str) -> Report {
    let set = json!({"name": "backup-b-2026-01-01_000000-0b8f6f53", "sequence": 1, "verified": true, "files": [],
        "snapshot": {"revision": 7, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3}});
    serde_json::from_value(json!({
        "schemaVersion": "1.0", "runId": UID, "outcome": outcome, "reason": reason, "message": "said the agent",
        "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z", "node": "up",
        "set": if outcome == "Completed" { set } else { json!(null) },
    }))
    .unwrap()
}

/// What matters of a decision, in one line: step, phase, reason, minute of the next look.
fn line(seen: &Observed, minute: i64) -> String {
    let decision = decide(seen, &limits(), at(minute));
    let step = format!("{:?}", decision.step);
    let (phase, reason, message) = decision.verdict.summary();
    assert!(!message.is_empty(), "{step} {phase}/{reason} says nothing");
    let next = decision.look_again.map(|time| {
        assert!(time > at(minute), "{step} {phase}/{reason} would look again at once, for ever");
        format!(" until {}", (time.as_second() - at(0).as_second()) / 60)
    });
    format!("{step} {phase}/{reason}{}", next.unwrap_or_default())
}

#[test]
fn before_there_is_a_job() {
    let mut no_claim = fresh();
    no_claim.volume.claim = None;
    let mut no_node = fresh();
    no_node.nodes.clear();
    let queued = |ended: Option<i64>, ahead: &[&str]| {
        let ahead = ahead.iter().map(|name| (*name).to_owned()).collect();
        Observed { place: Place { ahead, waiting: 3, last_ended: ended.map(at) }, ..fresh() }
    };
    let mut blocked_after_waiting = queued(Some(90), &[]);
    blocked_after_waiting.volume.claim = None;
    let mut blocked_in_the_queue = queued(None, &["a"]);
    blocked_in_the_queue.volume.claim = None;
    let mut invalid = fresh();
    invalid.backup.spec.pvc_name = String::new();
    invalid.request = invalid.backup.request("cluster", "etcd", Layout::Kubeadm);
    let mut taken = fresh();
    taken.save.state = JobState::Foreign;
    let rows = [
        (fresh(), 0, "CreateSave Pending/Starting"),
        (fresh(), 500, "CreateSave Pending/Starting"),
        (no_claim.clone(), 0, "Wait Pending/PVCNotFound until 60"),
        (no_claim.clone(), 59, "Wait Pending/PVCNotFound until 60"),
        (no_claim, 60, "Wait Failed/PVCNotFound"),
        (no_node, 10, "Wait Pending/NoControlPlaneNode until 60"),
        (queued(None, &["a", "b"]), 0, "Wait Pending/Queued"),
        (queued(None, &["a", "b"]), 500, "Wait Pending/Queued"),
        (queued(Some(90), &[]), 91, "CreateSave Pending/Starting"),
        (blocked_after_waiting, 91, "Wait Pending/PVCNotFound until 150"),
        (blocked_in_the_queue, 1, "Wait Pending/PVCNotFound until 60"),
        (invalid, 0, "Wait Failed/NoVolume"),
        (taken, 0, "Wait Failed/JobNameTaken"),
    ];
    for (seen, minute, expected) in rows {
        assert_eq!(line(&seen, minute), expected);
    }
}

#[test]
fn the_queue_says_for_whom_and_at_which_place() {
    let place = Place { ahead: vec!["a".into()], waiting: 3, last_ended: None };
    let (_, _, message) = decide(&Observed { place, ..fresh() }, &limits(), at(0)).verdict.summary();
    assert_eq!(message, "waiting for a, place 2 of 3 on this volume");
}

#[test]
fn a_named_job_is_created_whatever_has_changed_since() {
    let mut seen = named();
    seen.volume.claim = None;
    seen.place.ahead.push("a".into());
    assert_eq!(line(&seen, 1), "CreateSave Pending/Starting");
    let mut taken = named();
    taken.save.state = JobState::Foreign;
    assert_eq!(line(&taken, 1), "Wait Failed/JobNameTaken");
}

#[test]
fn a_refused_job_is_tried_again_in_peace_and_given_up() {
    let mut seen = named();
    let status = seen.backup.status.as_mut().unwrap();
    conditions::set(&mut status.conditions, "Pending", true, "JobRefused", "quota", None, &Time(at(0)));
    assert_eq!(line(&seen, 1), "CreateSave Pending/JobRefused until 2");
    assert_eq!(line(&seen, 59), "CreateSave Pending/JobRefused until 60");
    assert_eq!(line(&seen, 60), "Wait Failed/JobRefused");
}

#[test]
fn while_the_job_starts() {
    let job = |pods: &[ObservedPod]| created(active(), pods);
    let starting = pod("p", "up", PodState::Starting);
    let suspended = created(JobState::Active { created: at(0), ends: at(30), suspended: true }, &[]);
    let rows = [
        (job(&[]), 0, "Wait Pending/Starting until 1"),
        (job(&[]), 1, "Wait Pending/PodNotCreated until 29"),
        (job(&[]), 29, "DeleteSave Failed/PodNotCreated"),
        (job(from_ref(&starting)), 0, "Wait Pending/Starting until 1"),
        (job(from_ref(&starting)), 2, "Wait Pending/PodNotStarted until 29"),
        (job(&[starting]), 29, "DeleteSave Failed/PodNotStarted"),
        (job(&[blocked_pod(StatusReason::Unschedulable)]), 0, "Wait Pending/Unschedulable until 29"),
        (job(&[blocked_pod(StatusReason::Unschedulable)]), 29, "DeleteSave Failed/Unschedulable"),
        (job(&[blocked_pod(StatusReason::ImagePullFailed)]), 5, "Wait Pending/ImagePullFailed until 29"),
        (suspended.clone(), 0, "Wait Pending/JobSuspended until 29"),
        (suspended, 29, "DeleteSave Failed/JobSuspended"),
    ];
    for (seen, minute, expected) in rows {
        assert_eq!(line(&seen, minute), expected);
    }
}

#[test]
fn a_short_start_limit_counts_from_the_jobs_creation() {
    let limits = Limits { start_limit: SignedDuration::from_mins(5), ..limits() };
    let seen = created(active(), &[blocked_pod(StatusReason::ImagePullFailed)]);
    assert_eq!(decide(&seen, &limits, at(4)).look_again, Some(at(5)));
    assert_eq!(decide(&seen, &limits, at(5)).step, Step::DeleteSave);
}

#[test]
fn while_the_agent_runs() {
    let ran = |pods: &[ObservedPod]| {
        let mut seen = created(active(), pods);
        seen.backup.status.as_mut().unwrap().start_time = Some(Time(at(1)));
        seen
    };
    let evicted = pod("p", "up", PodState::Ended { at: at(2), report: None, why: "Evicted".into() });
    let retry = blocked_pod(StatusReason::Unschedulable);
    let next = ObservedPod { created: at(5), ..pod("next", "up", PodState::Starting) };
    let rows = [
        (created(active(), &[running_pod("up")]), 5, "Wait Running/Saving until 31"),
        (created(active(), &[running_pod("down")]), 5, "Wait Running/NodeLost until 31"),
        (created(active(), &[running_pod("gone")]), 5, "Wait Running/NodeLost until 31"),
        (created(active(), from_ref(&evicted)), 5, "Wait Running/Retrying until 31"),
        (created(active(), &[ended_pod(Some(report("Failed", "NoMember")))]), 5, "Wait Running/Retrying until 31"),
        (created(active(), &[evicted.clone(), next.clone()]), 5, "Wait Running/Retrying until 6"),
        (created(active(), &[evicted.clone(), next]), 6, "Wait Running/Retrying until 31"),
        (created(active(), &[evicted, retry.clone()]), 5, "Wait Running/Retrying until 31"),
        (ran(from_ref(&retry)), 29, "Wait Running/Retrying until 31"),
        (ran(&[retry]), 31, "DeleteSave Failed/DeadlineExceeded"),
        (ran(&[]), 5, "Wait Running/Retrying until 31"),
        (created(active(), &[running_pod("down")]), 31, "ForceDelete([\"p\"]) Failed/NodeLost"),
        (created(active(), &[running_pod("up")]), 31, "DeleteSave Failed/DeadlineExceeded"),
        (created(active(), &[ended_pod(Some(report("Failed", "NoSpace")))]), 31, "Wait Failed/NoSpace"),
    ];
    for (seen, minute, expected) in rows {
        assert_eq!(line(&seen, minute), expected);
    }
}

#[test]
fn a_completed_report_counts_at_once_and_whatever_the_job_says() {
    let pods = [ended_pod(Some(report("Completed", "Completed")))];
    let states = [active(), JobState::Complete, failed("DeadlineExceeded"), JobState::Absent, JobState::Foreign];
    for state in states {
        assert_eq!(line(&created(state, &pods), 99), "Wait Completed/Completed");
    }
}

#[test]
fn a_job_that_ended_is_judged_by_its_last_attempt() {
    let failed_report = || ended_pod(Some(report("Failed", "NoSpace")));
    let silent = || ended_pod(None);
    let rows = [
        (failed("BackoffLimitExceeded"), vec![failed_report()], "Wait Failed/NoSpace"),
        (failed("PodFailurePolicy"), vec![silent(), failed_report()], "Wait Failed/NoSpace"),
        (failed("BackoffLimitExceeded"), vec![failed_report(), silent()], "CreateInventory Running/ReportMissing"),
        (failed("BackoffLimitExceeded"), vec![], "CreateInventory Running/ReportMissing"),
        (JobState::Complete, vec![silent()], "CreateInventory Running/ReportMissing"),
        (JobState::Complete, vec![], "CreateInventory Running/ReportMissing"),
        (failed("DeadlineExceeded"), vec![failed_report()], "CreateInventory Running/ReportMissing"),
        (failed("DeadlineExceeded"), vec![running_pod("up")], "Wait Running/ReportMissing until 31"),
        (failed("DeadlineExceeded"), vec![running_pod("down")], "ForceDelete([\"p\"]) Failed/NodeLost"),
    ];
    for (state, pods, expected) in rows {
        assert_eq!(line(&created(state.clone(), &pods), 20), expected, "{state:?}");
    }
}

#[test]
fn a_job_that_has_gone_is_never_made_again() {
    let rows = [
        (created(JobState::Absent, &[]), "CreateInventory Running/JobMissing"),
        (created(JobState::Foreign, &[]), "CreateInventory Running/JobMissing"),
        (created(JobState::Absent, &[running_pod("up")]), "Wait Running/JobMissing until 31"),
        (created(JobState::Absent, &[running_pod("down")]), "CreateInventory Running/JobMissing"),
        (created(JobState::Absent, &[ended_pod(None)]), "CreateInventory Running/JobMissing"),
    ];
    for (seen, expected) in rows {
        assert_eq!(line(&seen, 20), expected);
    }
    let hanging = created(JobState::Absent, &[running_pod("up")]);
    assert_eq!(line(&hanging, 31), "CreateInventory Running/JobMissing", "waiting for a pod is bounded");
}

#[test]
fn the_volume_answers_for_a_run_without_a_report() {
    let asked = |save: JobState, state: JobState, pods: &[ObservedPod]| {
        let mut seen = created(save, &[]);
        seen.inventory = ObservedJob { state, pods: pods.to_vec() };
        seen
    };
    let said = |outcome: &str, reason: &str| [ended_pod(Some(report(outcome, reason)))];
    let deadline = || failed("DeadlineExceeded");
    let rows = [
        (asked(JobState::Absent, active(), &[running_pod("up")]), "Wait Running/JobMissing until 30"),
        (asked(JobState::Complete, active(), &[]), "Wait Running/ReportMissing until 30"),
        (
            asked(JobState::Absent, active(), &[blocked_pod(StatusReason::Unschedulable)]),
            "Wait Running/InventoryFailed until 30",
        ),
        (
            asked(JobState::Absent, JobState::Complete, &said("Completed", "AlreadyPublished")),
            "Wait Completed/AlreadyPublished",
        ),
        (asked(JobState::Absent, JobState::Complete, &said("Failed", "RunNotFound")), "Wait Failed/JobDeleted"),
        (asked(JobState::Absent, JobState::Complete, &said("Failed", "Interrupted")), "Wait Failed/JobDeleted"),
        (asked(JobState::Absent, JobState::Complete, &said("Failed", "NoSpace")), "Wait Failed/NoSpace"),
        (asked(deadline(), JobState::Complete, &said("Failed", "Interrupted")), "Wait Failed/DeadlineExceeded"),
        (asked(deadline(), JobState::Complete, &said("Failed", "RunNotFound")), "Wait Failed/DeadlineExceeded"),
        (
            asked(deadline(), JobState::Complete, &said("Completed", "AlreadyPublished")),
            "Wait Completed/AlreadyPublished",
        ),
        (asked(JobState::Complete, JobState::Complete, &said("Failed", "RunNotFound")), "Wait Failed/RunNotFound"),
        (asked(JobState::Complete, JobState::Complete, &[ended_pod(None)]), "Wait Failed/OutcomeUnknown"),
        (
            asked(JobState::Complete, failed("BackoffLimitExceeded"), &said("Failed", "LockTimeout")),
            "Wait Failed/OutcomeUnknown",
        ),
        (asked(JobState::Complete, failed("BackoffLimitExceeded"), &[]), "Wait Failed/OutcomeUnknown"),
        (asked(JobState::Absent, JobState::Foreign, &[]), "Wait Failed/OutcomeUnknown"),
    ];
    for (seen, expected) in rows {
        assert_eq!(line(&seen, 20), expected, "{seen:?}");
    }
    let stuck = asked(JobState::Absent, active(), &[blocked_pod(StatusReason::Unschedulable)]);
    assert_eq!(line(&stuck, 30), "DeleteInventory Failed/OutcomeUnknown");
}

#[test]
fn a_refused_inventory_is_tried_again_in_peace_and_given_up() {
    let mut seen = created(JobState::Absent, &[]);
    let status = seen.backup.status.as_mut().unwrap();
    conditions::set(&mut status.conditions, "Running", true, "InventoryFailed", "quota", None, &Time(at(0)));
    assert_eq!(line(&seen, 20), "CreateInventory Running/InventoryFailed until 21");
    assert_eq!(line(&seen, 90), "Wait Failed/OutcomeUnknown");
}

#[test]
fn no_state_of_the_cluster_is_waited_for_without_an_end() {
    let pods = [
        vec![],
        vec![pod("p", "up", PodState::Starting)],
        vec![blocked_pod(StatusReason::Unschedulable)],
        vec![running_pod("up")],
        vec![running_pod("down")],
        vec![ended_pod(None)],
    ];
    let states = [active(), JobState::Complete, failed("x"), failed("DeadlineExceeded"), JobState::Absent];
    for (state, pods) in states.iter().flat_map(|state| pods.iter().map(move |pods| (state, pods))) {
        for inventory in [JobState::Absent, active(), JobState::Complete, failed("x"), JobState::Foreign] {
            let mut seen = created(state.clone(), pods);
            seen.inventory.state = inventory;
            let decision = decide(&seen, &limits(), at(20));
            let final_ = matches!(decision.verdict, Verdict::Completed(_) | Verdict::Failed { .. });
            let goes_on = decision.look_again.is_some() || decision.step == Step::CreateInventory;
            assert!(final_ || goes_on, "{decision:?}\n{seen:?}");
        }
    }
}

mod recorded;
