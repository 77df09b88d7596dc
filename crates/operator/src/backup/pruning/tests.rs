use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::backup::observed::{VOLUME, at, nothing_yet, report, retention};
use crate::etcdbackup::reason::StatusReason;

/// Three sets on the volume, under a policy that was enforced before.
fn stricter() -> Observed {
    let status = json!({"pvcName": "claim", "volumeId": VOLUME, "policyHash": "old", "retained":
        {"count": 3, "sizeBytes": 3072, "size": "3.0 KiB", "time": at("05:00"), "volumeId": VOLUME}});
    nothing_yet().with_status(status).with_cron_job(Some("04:20")).with_run("04:20", Some("04:21"))
}

fn decided(seen: &Observed) -> (PruneStep, Option<Said>) {
    decide(seen, &Knowledge::new(seen), None)
}

fn name(seen: &Observed) -> String {
    match decided(seen).0 {
        PruneStep::Create { name, .. } => name,
        PruneStep::None => panic!("no Job"),
    }
}

fn said(seen: &Observed) -> String {
    match decided(seen) {
        (PruneStep::None, Some(said)) => format!("{} {}: {}", said.status, said.reason.as_str(), said.message),
        other => panic!("{other:?}"),
    }
}

fn prune(name: &str, state: JobState, report: Option<Report>) -> Prune {
    Prune { name: name.to_owned(), claim: Some("claim".into()), state, report }
}

fn active() -> JobState {
    JobState::Active { created: Timestamp::UNIX_EPOCH, ends: Timestamp::MAX, suspended: false }
}

fn failed() -> JobState {
    JobState::Failed { reason: "BackoffLimitExceeded".into(), message: "too often".into() }
}

#[test]
fn a_policy_that_was_not_enforced_yet_gets_a_job_at_once() {
    let seen = stricter();
    let (step, said) = decided(&seen);
    let hash = seen.backup.policy(Some(VOLUME)).hash_on(VOLUME);
    let name = names::prune_job(&seen.backup, &hash, "run-04:20");
    assert_eq!(step, PruneStep::Create { name, policy_hash: hash.clone(), ended: vec![] });
    assert_eq!(said.map(|said| said.reason), Some(BackupReason::Pruning));

    let enforced = stricter().with_report(report("06:00", VOLUME, retention("Satisfied", Some(&hash), 3)));
    assert_eq!(decided(&enforced), (PruneStep::None, None));
}

#[test]
fn suspending_does_not_stop_it() {
    let mut seen = stricter();
    seen.backup.spec.etcd.suspend = true;
    assert!(matches!(decided(&seen).0, PruneStep::Create { .. }));
}

#[test]
fn without_sets_there_is_nothing_to_do() {
    assert_eq!(decided(&nothing_yet()), (PruneStep::None, None));
    let told =
        |verified| nothing_yet().with_report(report("06:00", VOLUME, retention("PolicyInvalid", None, verified)));
    assert_eq!(decided(&told(0)), (PruneStep::None, None));
    assert!(matches!(decided(&told(1)).0, PruneStep::Create { .. }));
}

#[test]
fn accepting_starts_it() {
    let mut seen = stricter();
    let hash = seen.backup.policy(Some(VOLUME)).hash_on(VOLUME);
    seen = seen.with_report(report("06:00", VOLUME, retention("LineageChanged", Some(&hash), 3)));
    assert_eq!(decided(&seen), (PruneStep::None, None));
    seen.backup.metadata.annotations =
        Some([("etcd-backup.io/accept-lineage".to_owned(), format!("{VOLUME}/3"))].into());
    assert!(matches!(decided(&seen).0, PruneStep::Create { .. }));
}

#[test]
fn one_at_a_time_and_not_beside_a_run() {
    let running = stricter().with_run("05:20", None);
    assert_eq!(
        said(&running),
        format!(
            "false Pruning: the policy has changed or a change was accepted; the run of {} enforces it when it ends",
            at("05:20")
        )
    );
    let mut pruning = stricter();
    pruning.prunes = vec![prune("nightly-prune-1", active(), None)];
    assert!(said(&pruning).ends_with("Job nightly-prune-1 enforces it"));
    let seen = stricter();
    let obstacle = Obstacle::new(StatusReason::PvcNotBound, "not bound");
    let (step, said) = decide(&seen, &Knowledge::new(&seen), Some(&obstacle));
    assert_eq!(step, PruneStep::None);
    assert!(said.unwrap().message.ends_with("when the volume can be used: not bound"));
}

#[test]
fn a_failure_is_told_and_tried_again_only_with_the_next_run_or_edit() {
    let name = name(&stricter());
    let ended = |state: JobState, report: Option<Report>| {
        let mut seen = stricter();
        seen.prunes = vec![prune(&name, state, report)];
        seen
    };
    let failed_report = Report {
        outcome: Outcome::Failed,
        reason: etcd_backup_core::Reason::LockTimeout,
        ..report("06:00", VOLUME, Value::Null)
    };
    for (seen, why) in [
        (ended(failed(), None), "BackoffLimitExceeded: too often"),
        (ended(failed(), Some(failed_report)), "LockTimeout: m"),
        (ended(JobState::Complete, None), "it ended without a report"),
    ] {
        let said = said(&seen);
        assert!(
            said.starts_with(&format!("false PruneFailed: Job {name} could not enforce the policy: {why}. ")),
            "{said}"
        );
        let next_run = seen.clone().with_run("05:20", Some("05:21"));
        let PruneStep::Create { ended, name: next, .. } = decided(&next_run).0 else { panic!("not tried again") };
        assert_eq!(ended.as_slice(), std::slice::from_ref(&name));
        assert_ne!(next, name);
        let mut edited = seen;
        edited.backup.metadata.generation = Some(2);
        assert!(matches!(decided(&edited).0, PruneStep::Create { .. }));
    }
    // It did what can be done, and has said so.
    let told = report("04:00", VOLUME, retention("PolicyChanged", Some("x"), 3));
    assert_eq!(decided(&ended(JobState::Complete, Some(told))), (PruneStep::None, None));
}
