use etcd_backup_api::{Backup, EtcdBackup};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::operator::{Operator, State};
use super::overview::{Observed, Overview};
use super::screen;
use crate::error::Error;
use crate::paint::Paint;

fn now() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-02T10:00:00Z"})
}

fn schedule(name: &str, etcd: Value, status: Value) -> Backup {
    let metadata = json!({"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"});
    let object = json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": metadata, "spec": {"etcd": etcd}, "status": status});
    serde_json::from_value(object).unwrap()
}

/// An EtcdBackup that was begun at an hour of the day.
fn backup(name: &str, hour: u8, spec: Value, mut status: Value) -> EtcdBackup {
    let time = format!("2026-01-02T{hour:02}:00:00Z");
    status["startTime"] = time.clone().into();
    if matches!(status["phase"].as_str(), Some("Completed" | "Failed")) {
        status["completionTime"] = time.clone().into();
    }
    let metadata = json!({"name": name, "creationTimestamp": time});
    let object = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": metadata, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

fn good() -> Value {
    json!({"phase": "Completed", "reason": "Completed", "size": "7.5 MiB", "conditions": [condition("Verified", "True", "Verified", "")]})
}

fn failed() -> Value {
    json!({"phase": "Failed", "reason": "NoSpace", "conditions": [condition("Ready", "False", "NoSpace", "make room")]})
}

fn ready_operator() -> Operator {
    let deployment: Deployment = serde_json::from_value(
        json!({"spec": {"replicas": 2, "selector": {}, "template": {}}, "status": {"readyReplicas": 2}}),
    )
    .unwrap();
    Operator::of("etcd-backup-operator", Some(&deployment))
}

fn overview(schedules: Vec<Backup>, backups: Vec<EtcdBackup>) -> Overview {
    Overview::new(Observed { schedules, backups, operator: ready_operator() }, SignedDuration::from_hours(24), now())
}

/// `object: reason` of each problem.
fn problems(overview: &Overview) -> Vec<String> {
    overview.problems.iter().map(|problem| format!("{}: {}", problem.object, problem.reason)).collect()
}

#[test]
fn a_schedules_false_conditions_are_its_problems_each_reason_once() {
    let with = |conditions: Vec<Value>| json!({"conditions": conditions, "nextScheduleTime": "2026-01-02T13:00:00Z"});
    let ready = || condition("Ready", "True", "Ready", "");
    let rows = [
        (with(vec![condition("Scheduled", "True", "Scheduled", ""), ready()]), vec![]),
        (
            with(vec![condition("Scheduled", "False", "Missed", "m"), condition("Ready", "False", "Missed", "m")]),
            vec!["Backup/nightly: Missed"],
        ),
        (
            with(vec![
                condition("Scheduled", "True", "Scheduled", ""),
                condition("RetentionSatisfied", "False", "SizeExceeded", "m"),
                condition("Ready", "False", "LastRunFailed", "m"),
                condition("Stalled", "True", "LastRunFailed", "m"),
            ]),
            vec!["Backup/nightly: SizeExceeded", "Backup/nightly: LastRunFailed"],
        ),
        (with(vec![condition("Scheduled", "False", "Suspended", "m"), ready()]), vec![]),
        (with(vec![condition("RetentionSatisfied", "False", "Pruning", "m"), ready()]), vec![]),
        (json!({}), vec!["Backup/nightly: NotNoticed"]),
        (
            json!({"conditions": [ready()], "nextScheduleTime": "2026-01-02T11:50:00Z"}),
            vec!["Backup/nightly: NotNoticed"],
        ),
        (json!({"conditions": [ready()], "nextScheduleTime": "2026-01-02T11:56:00Z"}), vec![]),
    ];
    for (status, expected) in rows {
        let seen = overview(vec![schedule("nightly", json!({"schedule": "@daily"}), status.clone())], vec![]);
        assert_eq!(
            (problems(&seen), seen.healthy),
            (expected.iter().map(|s| (*s).to_owned()).collect(), expected.is_empty()),
            "{status}"
        );
    }
}

#[test]
fn a_schedule_that_was_just_made_or_is_suspended_is_not_overdue() {
    let mut young = schedule("young", json!({}), json!({}));
    young.metadata.creation_timestamp = Some(serde_json::from_value("2026-01-02T11:58:00Z".into()).unwrap());
    let status = json!({"conditions": [condition("Ready", "True", "Suspended", "")], "nextScheduleTime": "2026-01-01T00:00:00Z"});
    let suspended = schedule("suspended", json!({"suspend": true}), status);
    assert_eq!(problems(&overview(vec![young, suspended], vec![])), Vec::<String>::new());
}

#[test]
fn one_shot_backups_are_told_of_while_they_matter() {
    let claim = || json!({"pvcName": "claim"});
    let pending = |reason: &str| json!({"phase": "Pending", "reason": reason});
    let missing = json!({"phase": "Completed", "reason": "Completed", "conditions": [condition("Verified", "False", "SetMissing", "m")]});
    let rows = [
        (good(), vec!["one"], vec![]),
        (failed(), vec!["one"], vec!["EtcdBackup/one: NoSpace"]),
        (missing, vec!["one"], vec!["EtcdBackup/one: SetMissing"]),
        (pending("Queued"), vec!["one"], vec![]),
        (pending("PVCNotFound"), vec!["one"], vec!["EtcdBackup/one: PVCNotFound"]),
        (json!({"phase": "Running", "reason": "Saving"}), vec!["one"], vec![]),
        (json!({"phase": "Running", "reason": "NodeLost"}), vec!["one"], vec!["EtcdBackup/one: NodeLost"]),
        (json!({}), vec!["one"], vec![]),
    ];
    for (status, shown, expected) in rows {
        let seen = overview(vec![], vec![backup("one", 9, claim(), status.clone())]);
        let names: Vec<&str> = seen.backups.iter().map(|single| single.name.as_str()).collect();
        assert_eq!((names, problems(&seen)), (shown, expected.iter().map(|s| (*s).to_owned()).collect()), "{status}");
    }
}

#[test]
fn a_failure_is_forgiven_by_a_later_good_backup_on_the_same_claim_and_by_time() {
    let (claim, other) = (json!({"pvcName": "claim"}), json!({"pvcName": "other"}));
    let record = json!({"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "0b8f6f53-run"}});
    for (spec, hour, left) in [(&claim, 10, 0), (&record, 10, 0), (&claim, 8, 1), (&other, 10, 1)] {
        let backups = vec![backup("bad", 9, claim.clone(), failed()), backup("good", hour, spec.clone(), good())];
        assert_eq!(overview(vec![], backups).problems.len(), left, "{spec} at {hour}");
    }
    let long_ago =
        Observed { schedules: vec![], backups: vec![backup("bad", 9, claim, failed())], operator: ready_operator() };
    let overview = Overview::new(long_ago, SignedDuration::from_hours(1), now());
    assert!(overview.healthy && overview.backups.is_empty());
}

#[test]
fn failed_records_are_their_schedules_business() {
    let record = json!({"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "0b8f6f53-run"}});
    let seen = overview(vec![], vec![backup("nightly-1", 9, record, failed())]);
    assert!(seen.healthy && seen.backups.is_empty());
}

#[test]
fn the_operator_is_a_problem_unless_it_is_ready_or_hidden() {
    let deployment = |ready: Value| -> Deployment {
        serde_json::from_value(json!({"spec": {"selector": {}, "template": {}}, "status": ready})).unwrap()
    };
    let forbidden = Error::Forbidden { verb: "read", what: "Deployment".into(), reason: "no".into() };
    for (operator, state, healthy) in [
        (Operator::of("ns", Some(&deployment(json!({"readyReplicas": 1})))), State::Ready, true),
        (Operator::of("ns", Some(&deployment(json!({})))), State::NotReady, false),
        (Operator::of("ns", None), State::Missing, false),
        (Operator::hidden("ns", &forbidden), State::Unknown, true),
    ] {
        assert_eq!(operator.state, state);
        let observed = Observed { schedules: vec![], backups: vec![], operator };
        assert_eq!(Overview::new(observed, SignedDuration::ZERO, now()).healthy, healthy, "{state:?}");
    }
}

fn a_cluster() -> Overview {
    let retained = |count: i32| json!({"count": count, "sizeBytes": 22_000_000, "size": "21 MiB"});
    let nightly = schedule(
        "nightly",
        json!({"schedule": "20 4 * * *", "timeZone": "Europe/Berlin", "pvcName": "claim", "retentionPolicy": {"retentionNumber": {"maxNumberOfBackups": 5}}}),
        json!({
            "conditions": [condition("Scheduled", "True", "Scheduled", ""), condition("Ready", "True", "Ready", "")],
            "lastSuccessfulTime": "2026-01-02T03:20:00Z", "nextScheduleTime": "2026-01-03T03:20:00Z", "retained": retained(3), "consecutiveFailures": 0,
        }),
    );
    let missed = |type_| condition(type_, "False", "Missed", "a run was due and did not start");
    let weekly = schedule(
        "weekly",
        json!({"schedule": "@weekly", "retentionPolicy": {"retentionType": "RetentionSize"}}),
        json!({"conditions": [missed("Scheduled"), missed("Ready")]}),
    );
    let record = json!({"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "0b8f6f53-run"}});
    let backups = vec![
        backup("nightly-0c19", 3, record, good()),
        backup("now", 11, json!({"pvcName": "claim"}), json!({"phase": "Running", "reason": "Saving"})),
    ];
    overview(vec![weekly, nightly], backups)
}

#[test]
fn one_screen_has_it_all() {
    let expected = "\
OPERATOR: etcd-backup-operator/etcd-backup-operator ready (2 of 2)

SCHEDULE   WHEN                       LAST GOOD   NEXT     RETAINED   SIZE       STATE
nightly    20 4 * * * Europe/Berlin   8h ago      in 15h   3/5        21 MiB     Ready
weekly     @weekly Etc/UTC            never       -        ?          ?/10 GiB   Missed

ONE-SHOT   STATUS    REASON   SIZE   AGE
now        Running   Saving   -      60m

Backup/weekly: Missed, for 2h
  a run was due and did not start

1 problem.";
    assert_eq!(screen::text(&a_cluster(), false, Paint::OFF), expected);
    let wide = screen::text(&a_cluster(), true, Paint::OFF);
    assert!(wide.contains("Ready    claim   nightly-0c19       0"), "{wide}");
}

#[test]
fn a_schedule_without_a_condition_was_not_seen_by_the_operator() {
    for status in [json!({}), json!({"observedGeneration": -1})] {
        let fresh = schedule("fresh", json!({"schedule": "@weekly"}), status);
        let screen = screen::text(&overview(vec![fresh], vec![]), false, Paint::OFF);
        assert!(screen.contains("NotSeen"), "{screen}");
    }
}

#[test]
fn the_document_has_what_is_promised() {
    let document = serde_json::to_value(a_cluster()).unwrap();
    assert_eq!(document["healthy"], false);
    assert_eq!(
        document["operator"],
        json!({"namespace": "etcd-backup-operator", "state": "Ready", "ready": 2, "wanted": 2})
    );
    let expected = json!({
        "name": "nightly", "schedule": "20 4 * * *", "timeZone": "Europe/Berlin", "suspended": false, "pvcName": "claim", "state": "Ready",
        "lastSuccessfulTime": "2026-01-02T03:20:00Z", "lastGoodBackup": "nightly-0c19", "nextScheduleTime": "2026-01-03T03:20:00Z",
        "retained": {"count": 3, "sizeBytes": 22_000_000, "size": "21 MiB"}, "limit": {"type": "number", "maxSets": 5}, "consecutiveFailures": 0,
    });
    assert_eq!(document["schedules"][0], expected);
    assert_eq!(
        document["problems"][0],
        json!({"object": "Backup/weekly", "reason": "Missed", "message": "a run was due and did not start", "since": "2026-01-02T10:00:00Z"})
    );
    assert_eq!(document["backups"][0]["name"], "now");
}
