//! Records of scheduled runs.

use super::*;

/// The record of a run whose Job is as given, made when the Job was.
fn recorded(state: JobState, pods: &[ObservedPod]) -> Observed {
    let mut seen = created(state, pods);
    let recorded = etcd_backup_api::Recorded { backup: "nightly".into(), run_id: UID.into() };
    seen.backup.spec.recorded = Some(recorded);
    seen.backup.metadata.annotations = Some([(crate::labels::JOB.to_owned(), "job".to_owned())].into());
    if let Some(status) = &mut seen.backup.status {
        (status.job_name, status.backup_job) = (None, None);
    }
    seen
}

fn saying(says: VolumeSays, seen: Observed) -> Observed {
    Observed { volume_says: says, ..seen }
}

#[test]
fn a_record_starts_nothing_and_follows_its_job() {
    let set = || VolumeSays::Set(Box::new(report("Completed", "Completed")));
    let lost = pod("p", "down", PodState::Running { since: at(1) });
    let rows = [
        (recorded(active(), &[]), 0, "Wait Pending/Starting until 1"),
        (recorded(active(), &[running_pod("up")]), 5, "Wait Running/Saving until 31"),
        (recorded(active(), from_ref(&lost)), 5, "Wait Running/NodeLost until 31"),
        (recorded(active(), from_ref(&lost)), 31, "ForceDelete([\"p\"]) Failed/NodeLost"),
        (recorded(active(), &[running_pod("up")]), 31, "Wait Failed/DeadlineExceeded"),
        // A one-shot would fail a minute before the Job's end, and delete the Job.
        (recorded(active(), &[blocked_pod(StatusReason::Unschedulable)]), 30, "Wait Pending/Unschedulable until 31"),
        (
            recorded(JobState::Complete, &[ended_pod(Some(report("Completed", "Completed")))]),
            5,
            "Wait Completed/Completed",
        ),
        (
            recorded(failed("BackoffLimitExceeded"), &[ended_pod(Some(report("Failed", "NoSpace")))]),
            5,
            "Wait Failed/NoSpace",
        ),
        (recorded(JobState::Complete, &[]), 5, "CreateInventory Running/ReportMissing"),
        (recorded(JobState::Absent, &[]), 5, "CreateInventory Running/JobMissing"),
        (recorded(JobState::Foreign, &[]), 5, "CreateInventory Running/JobMissing"),
        (saying(VolumeSays::Later, recorded(JobState::Absent, &[])), 5, "Wait Running/JobMissing until 90"),
        (saying(VolumeSays::Later, recorded(JobState::Absent, &[])), 90, "CreateInventory Running/JobMissing"),
        (saying(set(), recorded(JobState::Absent, &[])), 5, "Wait Completed/Completed"),
        (saying(set(), recorded(failed("DeadlineExceeded"), &[])), 5, "Wait Completed/Completed"),
        (saying(set(), recorded(active(), &[running_pod("up")])), 5, "Wait Running/Saving until 31"),
    ];
    for (seen, minute, expected) in rows {
        assert_eq!(line(&seen, minute), expected);
    }
}

#[test]
fn a_recorded_run_that_never_began_fails_for_what_kept_it() {
    let mut seen = recorded(failed("DeadlineExceeded"), &[]);
    let status = seen.backup.status.as_mut().unwrap();
    status.reason = Some("Unschedulable".into());
    conditions::set(&mut status.conditions, "Pending", true, "Unschedulable", "no node", None, &Time(at(1)));
    assert_eq!(line(&seen, 31), "Wait Failed/Unschedulable");
    let (_, _, message) = decide(&seen, &limits(), at(31)).verdict.summary();
    assert!(message.contains("no node") && message.contains("the next run of the schedule"), "{message}");
    seen.backup.status.as_mut().unwrap().start_time = Some(Time(at(1)));
    assert_eq!(line(&seen, 31), "CreateInventory Running/ReportMissing");
}

#[test]
fn a_record_made_from_a_set_asks_for_no_job_of_its_own() {
    let mut alone = recorded(JobState::Absent, &[]);
    alone.backup.metadata.annotations = None;
    let rows = [
        (
            saying(VolumeSays::Set(Box::new(report("Completed", "Completed"))), alone.clone()),
            0,
            "Wait Completed/Completed",
        ),
        (saying(VolumeSays::Later, alone.clone()), 0, "Wait Running/JobMissing until 90"),
        (alone.clone(), 0, "Wait Running/JobMissing until 90"),
        (alone, 90, "Wait Failed/OutcomeUnknown"),
    ];
    for (seen, minute, expected) in rows {
        assert_eq!(line(&seen, minute), expected);
    }
}

#[test]
fn what_a_restore_has_cut_off_was_interrupted() {
    let nothing = ended_pod(Some(report("Failed", "RunNotFound")));
    let mut seen = created(failed("BackoffLimitExceeded"), &[ended_pod(None)]);
    seen.inventory = ObservedJob { state: JobState::Complete, pods: vec![nothing] };
    assert_eq!(line(&seen, 5), "Wait Failed/RunNotFound");
    seen.backup.status.as_mut().unwrap().start_time = Some(Time(at(1)));
    assert_eq!(line(&seen, 5), "Wait Failed/Interrupted");
}
