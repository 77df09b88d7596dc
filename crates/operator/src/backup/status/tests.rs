use etcd_backup_api::BackupStatus;
use serde_json::{Value, json};

use super::*;
use crate::backup::decide::decide;
use crate::backup::decision::History;
use crate::backup::observed::{VOLUME, at, backup, config, nothing_yet, report, retention};

fn status_at(seen: &Observed, now: &str) -> BackupStatus {
    next(seen, &decide(seen, at(now)), true, &config("kubeadm"), at(now))
}

/// A condition as `status reason`.
fn says(status: &BackupStatus, type_: &str) -> String {
    conditions::get(&status.conditions, type_).map_or("absent".to_owned(), |it| format!("{} {}", it.status, it.reason))
}

fn ready(seen: &Observed) -> [String; 2] {
    let status = status_at(seen, "05:00");
    [says(&status, "Ready"), says(&status, "Stalled")]
}

/// One that has run at 04:20, and what its report said.
fn ran(reason: &str) -> Observed {
    let mut seen = nothing_yet().with_cron_job(Some("04:20")).with_run("04:20", Some("04:21"));
    let hash = seen.backup.policy(Some(VOLUME)).hash_on(VOLUME);
    seen.history.last_success = Some(at("04:20:50"));
    seen.with_report(report("04:20:50", VOLUME, retention(reason, Some(&hash), 3)))
}

#[test]
fn what_is_unknown_is_absent() {
    let status = status_at(&nothing_yet(), "03:00");
    let mut json = serde_json::to_value(&status).unwrap();
    json.as_object_mut().unwrap().remove("conditions");
    assert_eq!(
        json,
        json!({"observedGeneration": 1, "pvcName": "claim", "cronJob": {"namespace": "openshift-etcd", "name": "nightly"},
               "nextScheduleTime": "2026-01-02T04:20:00Z"})
    );
    assert_eq!(says(&status, "RetentionSatisfied"), "absent");
    assert_eq!(
        [says(&status, "Scheduled"), says(&status, "Ready"), says(&status, "Stalled")],
        ["True Scheduled", "True Ready", "False Ready"]
    );
}

#[test]
fn a_run_tells_the_rest() {
    let status = status_at(&ran("Satisfied"), "05:00");
    let facts: Value = serde_json::to_value(BackupStatus { conditions: vec![], ..status.clone() }).unwrap();
    assert_eq!(
        facts,
        json!({"observedGeneration": 1, "pvcName": "claim", "cronJob": {"namespace": "openshift-etcd", "name": "nightly"},
               "volumeId": VOLUME, "lastScheduleTime": at("04:20"), "lastSuccessfulTime": at("04:20:50"),
               "nextScheduleTime": "2026-01-03T04:20:00Z", "consecutiveFailures": 0,
               "policyHash": facts["policyHash"],
               "retained": {"count": 3, "sizeBytes": 3072, "size": "3.0 KiB", "time": at("04:20:50"), "volumeId": VOLUME,
                            "reason": "Satisfied", "message": "said the agent: Satisfied"}})
    );
    assert_eq!(says(&status, "RetentionSatisfied"), "True Satisfied");
    assert_eq!(says(&status, "Ready"), "True Ready");
}

#[test]
fn the_same_again_is_the_same_status() {
    let mut seen = ran("Satisfied");
    let first = status_at(&seen, "05:00");
    seen.backup.status = Some(first.clone());
    assert_eq!(status_at(&seen, "06:00"), first);
    // After a restart of the operator, with no report in memory and no Job left.
    (seen.reports, seen.runs) = (Vec::new(), Vec::new());
    assert_eq!(status_at(&seen, "07:00"), first);
}

#[test]
fn ready_says_the_first_thing_that_is_wrong_and_stalled_whether_somebody_has_to_act() {
    let with = |etcd: Value| Observed { backup: backup(etcd), ..nothing_yet() };
    let suspended = json!({"schedule": "20 4 * * *", "pvcName": "claim", "suspend": true});
    let no_claim = || {
        let mut seen = ran("Satisfied");
        seen.volume.claim = None;
        seen
    };
    let failing = || Observed {
        history: History {
            failures: 2,
            last_failure: Some(("nightly-x".into(), "NoSpace".into())),
            last_success: None,
        },
        ..ran("Satisfied")
    };
    let rows = [
        (ran("Satisfied"), ["True Ready", "False Ready"]),
        (with(suspended), ["True Suspended", "False Suspended"]),
        (with(json!({"pvcName": "claim"})), ["False NoSchedule", "True NoSchedule"]),
        (nothing_yet().with_cron_job(None), ["False Missed", "False Missed"]),
        (no_claim(), ["False PVCNotFound", "False PVCNotFound"]),
        (failing(), ["False LastRunFailed", "False LastRunFailed"]),
        (ran("SizeExceeded"), ["False SizeExceeded", "True SizeExceeded"]),
        (ran("LineageChanged"), ["False LineageChanged", "True LineageChanged"]),
        (ran("PruneFailed"), ["False PruneFailed", "False PruneFailed"]),
        (ran("PolicyChanged"), ["False Pruning", "False Pruning"]),
    ];
    for (seen, expected) in rows {
        assert_eq!(ready(&seen), expected);
    }
    let status = status_at(&failing(), "05:00");
    assert_eq!(status.consecutive_failures, Some(2));
    assert_eq!(
        conditions::get(&status.conditions, "Ready").unwrap().message,
        "the newest run failed (NoSpace), 2 in a row; see `kubectl describe etcdbackup nightly-x`"
    );
}

#[test]
fn a_suspended_backup_whose_promise_is_broken_is_not_ready() {
    let mut seen = ran("LineageChanged");
    seen.backup.spec.etcd.suspend = true;
    assert_eq!(ready(&seen), ["False LineageChanged", "True LineageChanged"]);
}

#[test]
fn a_missed_run_is_kept_and_the_next_start_ends_the_condition() {
    let mut seen = nothing_yet().with_cron_job(None);
    let missed = status_at(&seen, "05:00");
    assert_eq!(missed.last_missed_time, Some(Time(at("04:20"))));
    seen.backup.status = Some(missed);
    let mut late = seen.with_cron_job(Some("04:20")).with_run("04:20", None);
    late.runs[0].created = at("05:01");
    let status = status_at(&late, "05:02");
    assert_eq!(
        (says(&status, "Scheduled"), status.last_missed_time),
        ("True Scheduled".into(), Some(Time(at("04:20"))))
    );
}

#[test]
fn another_claim_begins_anew() {
    let mut seen = ran("SizeExceeded");
    seen.backup.status = Some(status_at(&seen, "05:00"));
    seen.backup.spec.etcd.pvc_name = "another".into();
    seen.reports.clear();
    let status = status_at(&seen, "05:10");
    assert_eq!(says(&status, "RetentionSatisfied"), "absent");
    assert_eq!((status.volume_id, status.retained, status.policy_hash), (None, None, None));
    assert_eq!(status.last_successful_time, Some(Time(at("04:20:50"))));
}

#[test]
fn annotations_that_say_nothing_are_told_of() {
    let mut seen = ran("Satisfied");
    seen.backup.metadata.annotations = Some([("etcd-backup.io/accept-volume".to_owned(), "yes".to_owned())].into());
    let status = status_at(&seen, "05:00");
    let ready = conditions::get(&status.conditions, "Ready").unwrap();
    assert!(ready.status == "True" && ready.message.contains("accept-volume is ignored"), "{}", ready.message);
}

#[test]
fn standing_down_is_told_once_for_each_spec_and_leaves_the_facts() {
    let seen = ran("Satisfied");
    let before = status_at(&seen, "05:00");
    let mut backup = seen.backup.clone();
    backup.status = Some(before.clone());
    let told = standing_down(&backup, "somebody else answers", at("05:01")).unwrap();
    assert_eq!(
        [says(&told, "Scheduled"), says(&told, "Ready"), says(&told, "Stalled"), says(&told, "RetentionSatisfied")],
        ["False StandDown", "False StandDown", "True StandDown", "True Satisfied"]
    );
    assert_eq!((told.next_schedule_time.as_deref(), &told.retained), (None, &before.retained));
    backup.status = Some(told);
    assert_eq!(standing_down(&backup, "another reason", at("05:02")), None, "once");
    backup.metadata.generation = Some(2);
    assert_eq!(standing_down(&backup, "w", at("05:02")).unwrap().observed_generation, Some(2));
    let resumed = status_at(&Observed { backup, ..ran("Satisfied") }, "05:03");
    assert_eq!([says(&resumed, "Ready"), says(&resumed, "Stalled")], ["True Ready", "False Ready"]);
}
