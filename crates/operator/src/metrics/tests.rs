use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use etcd_backup_core::{Report, SetName, SetState};
use etcd_backup_testbed::measured;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::VolumeState;
use crate::catalogue::known::{Known, KnownSet};

#[test]
fn counters_start_at_zero() {
    let text = String::from_utf8(Metrics::new().unwrap().render().unwrap()).unwrap();
    for line in [
        "etcdbackup_reconciles_total{controller=\"backup\",result=\"ok\"} 0",
        "etcdbackup_reconcile_errors_total{controller=\"claim\",reason=\"Timeout\"} 0",
        "etcdbackup_reconcile_duration_seconds_count{controller=\"etcdbackup\"} 0",
        "etcdbackup_runs_total{outcome=\"Failed\"} 0",
        "etcdbackup_failed_runs_total{reason=\"NoSpace\"} 0",
        "etcdbackup_failed_runs_total{reason=\"PVCNotFound\"} 0",
        "etcdbackup_failed_runs_total{reason=\"NoVolume\"} 0",
        "etcdbackup_missed_runs_total 0",
        "etcdbackup_inventories_total{result=\"failed\"} 0",
        "etcdbackup_api_requests_total{code=\"409\",verb=\"create\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(text.contains("etcdbackup_build_info{version="));
    assert!(!text.contains("etcdbackup_leader"), "nobody has said who leads");
}

/// Rows of the documentation: name, type and labels.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = words(cells[1]).remove(0);
        (name, (cells[2].to_owned(), words(cells[3])))
    };
    rows.map(row).collect()
}

#[test]
fn the_documentation_has_all_metrics_and_no_others() {
    let metrics = Metrics::new().unwrap();
    metrics.set_leader(true);
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    let labels_of = |name: &str| {
        let sample = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_'])) && !line.contains("le=")
        };
        let line = text.lines().find(sample).unwrap();
        let labels = line.split_once('{').map(|(_, labels)| labels).unwrap_or_default();
        labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect::<BTreeSet<_>>()
    };
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE etcdbackup_")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = format!("etcdbackup_{name}");
        let labels = labels_of(&name);
        found.insert(name, (kind.to_owned(), labels));
    }
    for gauge in gauges::ALL {
        let labels = gauge.labels.iter().map(|label| (*label).to_owned()).collect();
        let before = found.insert(gauge.name.to_owned(), ("gauge".to_owned(), labels));
        assert_eq!(before, None, "{} is there twice", gauge.name);
    }
    let documented =
        documented().into_iter().map(|(name, (kind, labels))| (name, (kind, labels.into_iter().collect())));
    assert_eq!(found, documented.collect());

    let page = include_str!("../../../../docs/metrics.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE process_")) {
        let (name, _) = line.split_once(' ').unwrap();
        assert!(page.contains(&format!("`process_{name}`")), "docs/metrics.md does not tell of process_{name}");
    }
}

const AT: &str = "2026-01-01T03:20:00Z";

fn of<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": AT})
}

fn schedule(name: &str, etcd: Value, status: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "spec": {"etcd": etcd}, "status": status,
           "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}})
}

/// An EtcdBackup of a claim, created at a minute; `run` is what it records.
fn etcdbackup(name: &str, claim: &str, minute: u8, run: Option<(&str, &str)>, status: Value) -> Value {
    let mut spec = json!({"pvcName": claim});
    if let Some((backup, run)) = run {
        spec["recorded"] = json!({"backup": backup, "runId": run});
    }
    json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "spec": spec, "status": status,
           "metadata": {"name": name, "uid": name, "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")}})
}

/// A status that ended at a second, having begun with the minute.
fn ended(second: u8, conditions: &[Value]) -> Value {
    json!({"conditions": conditions, "startTime": "2026-01-01T03:20:00Z",
           "completionTime": format!("2026-01-01T03:20:{second:02}Z"),
           "snapshot": {"revision": i64::from(second), "sizeBytes": 1000, "sha256": "", "clusterId": "", "memberId": "", "raftTerm": 1}})
}

fn good(second: u8) -> Value {
    ended(second, &[condition("Completed", "True", "Completed"), condition("Verified", "True", "Verified")])
}

fn unproven(second: u8, reason: &str) -> Value {
    ended(second, &[condition("Completed", "True", "Completed"), condition("Verified", "False", reason)])
}

fn failed(second: u8) -> Value {
    ended(second, &[condition("Failed", "True", "NoSpace")])
}

fn report(run: &str, second: u8) -> Arc<Report> {
    of(json!({
        "schemaVersion": "1.1", "runId": run, "outcome": "Completed", "reason": "Completed", "message": "", "node": "n0",
        "startTime": "2026-01-01T03:20:00.5Z", "completionTime": format!("2026-01-01T03:20:{second:02}Z"),
        "phases": [{"phase": "stream", "millis": 1500}], "agentVersion": "1.2.3",
        "space": {"totalBytes": 1000, "freeBytes": u64::from(second)},
    }))
}

/// The values of a gauge by the values of its labels.
fn told(objects: &Objects, gauge: &'static gauges::Gauge) -> BTreeMap<String, f64> {
    let samples = samples(objects).into_iter().filter(|sample| sample.gauge == gauge);
    samples.map(|sample| (sample.labels.join(" "), sample.value)).collect()
}

fn is(objects: &Objects, gauge: &'static gauges::Gauge, expected: &[(&str, f64)]) {
    let expected = expected.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect();
    assert_eq!(told(objects, gauge), expected, "{}", gauge.name);
}

/// Seconds of 2026-01-01, the time of day.
fn at(time: &str) -> f64 {
    format!("2026-01-01T{time}Z").parse::<Timestamp>().map(objects::seconds).unwrap()
}

/// One that has all there is to know, and one that has just been made.
fn two_schedules() -> Objects {
    let status = json!({
        "conditions": [condition("Ready", "True", "Ready"), condition("RetentionSatisfied", "False", "LineageChanged")],
        "pvcName": "claim", "lastScheduleTime": AT, "lastMissedTime": "2026-01-01T01:20:00Z",
        "lastSuccessfulTime": "2026-01-01T03:20:20Z", "nextScheduleTime": "2026-01-01T04:20:00Z", "consecutiveFailures": 1,
        "retained": {"count": 2, "sizeBytes": 2000, "size": "", "oldest": AT, "newest": "2026-01-01T03:20:20Z",
                     "time": "2026-01-01T03:20:30Z"},
    });
    let run = |run| Some(("nightly", run));
    let known = Known {
        volume_id: "v".into(),
        time: Timestamp::UNIX_EPOCH,
        sets: [("backup-a", SetState::Verified), ("backup-b", SetState::Verified), ("backup-c", SetState::Foreign)]
            .map(|(name, state)| (SetName::parse(name).unwrap(), KnownSet { state, size_bytes: 1, made: None }))
            .into(),
    };
    Objects {
        schedules: vec![
            of(schedule(
                "nightly",
                json!({"schedule": "20 * * * *", "pvcName": "claim", "timeZone": "Europe/Berlin"}),
                status,
            )),
            of(schedule(
                "new",
                json!({"suspend": true, "retentionPolicy": {"retentionType": "RetentionSize"}}),
                json!({}),
            )),
            of(
                json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": "odd"}, "spec": 7}),
            ),
        ],
        etcdbackups: vec![
            of(etcdbackup("r1", "claim", 0, run("run-00001"), unproven(10, "Damaged"))),
            of(etcdbackup("r2", "claim", 1, run("run-00002"), good(20))),
            of(etcdbackup("r3", "claim", 2, run("run-00003"), failed(30))),
            of(etcdbackup("r4", "claim", 3, run("run-00004"), json!({"phase": "Running"}))),
            of(etcdbackup("r5", "claim", 4, Some(("deleted", "run-00005")), good(40))),
            of(etcdbackup("o1", "claim", 5, None, good(11))),
            of(etcdbackup("o2", "other", 6, None, unproven(12, "SetMissing"))),
            of(etcdbackup("o3", "nowhere", 7, None, failed(13))),
            of(etcdbackup("o4", "missing", 8, None, json!({"phase": "Running"}))),
            of(etcdbackup("o5", "missing", 9, None, json!({"phase": "Pending"}))),
        ],
        jobs: vec![of(json!({
            "metadata": {"name": format!("nightly-{}", at("03:20:00") / 60.0 - 2.0), "uid": "run-00003", "creationTimestamp": AT},
            "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T03:20:25Z"}]},
        }))],
        claims: ["claim", "other", "unused"]
            .map(|name| of(json!({"metadata": {"name": name}, "status": {"capacity": {"storage": "1Ki"}}})))
            .into(),
        reports: [("nightly".to_owned(), report("run-00003", 30))].into(),
        volumes: [(
            "claim".to_owned(),
            VolumeState { known: Some(Arc::new(known)), last: Some(report("run-00002", 20)) },
        )]
        .into(),
        intervals: [("nightly".to_owned(), 3600.0)].into(),
    }
}

#[test]
fn a_schedule_tells_what_it_knows() {
    let objects = two_schedules();
    let is = |gauge, expected: &[(&str, f64)]| is(&objects, gauge, expected);
    is(&gauges::INFO, &[("nightly claim 20 * * * * Europe/Berlin", 1.0), ("new   Etc/UTC", 1.0)]);
    is(&gauges::CREATED, &[("nightly", at("00:00:00")), ("new", at("00:00:00"))]);
    is(&gauges::SUSPENDED, &[("nightly", 0.0), ("new", 1.0)]);
    is(&gauges::EXPECTED_INTERVAL, &[("nightly", 3600.0)]);
    is(&gauges::NEXT_RUN, &[("nightly", at("04:20:00"))]);
    is(&gauges::LAST_DUE, &[("nightly", at("03:20:00"))]);
    is(&gauges::LAST_MISSED, &[("nightly", at("01:20:00"))]);
    is(&gauges::FAILURES, &[("nightly", 1.0)]);
    is(&gauges::LIMIT_SETS, &[("nightly", 15.0)]);
    is(&gauges::LIMIT_BYTES, &[("new", 10.0 * 1024.0 * 1024.0 * 1024.0)]);
    is(&gauges::RETAINED_SETS, &[("nightly", 2.0)]);
    is(&gauges::RETAINED_BYTES, &[("nightly", 2000.0)]);
    is(&gauges::RETAINED_OLDEST, &[("nightly", at("03:20:00"))]);
    is(&gauges::RETAINED_NEWEST, &[("nightly", at("03:20:20"))]);
    is(&gauges::RETAINED_OBSERVED, &[("nightly", at("03:20:30"))]);
    is(&gauges::CONDITION_REASON, &[("nightly Ready Ready", 1.0), ("nightly RetentionSatisfied LineageChanged", 1.0)]);
    let conditions = told(&objects, &gauges::CONDITION);
    let holding: Vec<&str> =
        conditions.iter().filter(|(_, value)| **value > 0.0).map(|(labels, _)| &**labels).collect();
    assert_eq!((conditions.len(), holding), (6, vec!["nightly Ready true", "nightly RetentionSatisfied false"]));
}

#[test]
fn the_runs_of_a_schedule_are_told_by_their_records() {
    let mut objects = two_schedules();
    is(&objects, &gauges::LAST_SUCCESS, &[("nightly", at("03:20:20"))]);
    is(&objects, &gauges::LAST_REVISION, &[("nightly", 20.0)]);
    is(&objects, &gauges::LAST_BYTES, &[("nightly", 1000.0)]);
    is(&objects, &gauges::LAST_RUN, &[("nightly", at("03:20:30"))]);
    is(&objects, &gauges::LAST_RUN_SUCCESS, &[("nightly", 0.0)]);
    is(&objects, &gauges::LAST_RUN_DURATION, &[("nightly", 30.0)]);
    is(&objects, &gauges::LAST_RUN_DELAY, &[("nightly", 120.0)]);
    is(&objects, &gauges::LAST_RUN_PHASE, &[("nightly stream", 1.5)]);
    is(&objects, &gauges::LAST_FAILURE, &[("nightly", at("03:20:30"))]);
    is(&objects, &gauges::LAST_FAILURE_REASON, &[("nightly NoSpace", 1.0)]);
    is(&objects, &gauges::RUNNING_SINCE, &[("nightly", at("00:03:00"))]);
    is(&objects, &gauges::AGENT, &[("nightly 1.2.3", 1.0)]);
    let unproven = ["Damaged", "Freshness", "SetMissing"].map(|reason| format!("nightly {reason}"));
    assert_eq!(told(&objects, &gauges::UNPROVEN_RECORDS)[&unproven[0]], 1.0);
    assert_eq!(told(&objects, &gauges::UNPROVEN_RECORDS).len(), 6);

    // A newer run: the report is of another one, and the Job has gone.
    objects.etcdbackups.push(of(etcdbackup("r6", "claim", 6, Some(("nightly", "run-00006")), good(50))));
    is(&objects, &gauges::LAST_RUN_SUCCESS, &[("nightly", 1.0)]);
    is(&objects, &gauges::LAST_REVISION, &[("nightly", 50.0)]);
    is(&objects, &gauges::LAST_RUN_PHASE, &[]);
    is(&objects, &gauges::LAST_RUN_DELAY, &[]);

    // The records are gone; the status remembers.
    objects.etcdbackups.clear();
    is(&objects, &gauges::LAST_SUCCESS, &[("nightly", at("03:20:20"))]);
    is(&objects, &gauges::LAST_REVISION, &[]);
    is(&objects, &gauges::LAST_RUN, &[]);
}

#[test]
fn claims_tell_of_their_queues_and_volumes() {
    let objects = two_schedules();
    is(&objects, &gauges::QUEUE, &[("claim", 0.0), ("missing", 1.0), ("other", 0.0)]);
    is(&objects, &gauges::QUEUE_OLDEST, &[("missing", at("00:08:00"))]);
    is(&objects, &gauges::CAPACITY, &[("claim", 1024.0), ("other", 1024.0)]);
    is(&objects, &gauges::VOLUME_SIZE, &[("claim", 1000.0)]);
    is(&objects, &gauges::VOLUME_FREE, &[("claim", 30.0)]);
    is(&objects, &gauges::VOLUME_OBSERVED, &[("claim", at("03:20:30"))]);
    let states = [
        ("claim verified", 2.0),
        ("claim unverified", 0.0),
        ("claim damaged", 0.0),
        ("claim unreadable", 0.0),
        ("claim foreign", 1.0),
    ];
    is(&objects, &gauges::VOLUME_SETS, &states);
}

#[test]
fn the_others_are_told_together() {
    let objects = two_schedules();
    is(&objects, &gauges::ONE_SHOTS, &[("Pending", 1.0), ("Running", 1.0), ("Completed", 2.0), ("Failed", 1.0)]);
    is(&objects, &gauges::ONE_SHOT_UNPROVEN, &[("Damaged", 0.0), ("Freshness", 0.0), ("SetMissing", 1.0)]);
    is(&objects, &gauges::ONE_SHOT_SUCCESS, &[("", at("03:20:11"))]);
    is(&objects, &gauges::ONE_SHOT_REVISION, &[("", 11.0)]);
    is(&objects, &gauges::ONE_SHOT_FAILURE, &[("", at("03:20:13"))]);
    is(&objects, &gauges::UNREADABLE, &[("Backup", 1.0), ("EtcdBackup", 0.0)]);
    is(&objects, &gauges::CLOCK_SKEW, &[("n0", 4.0)]);
}

#[test]
fn every_gauge_can_be_told_and_what_is_unknown_is_absent() {
    let objects = two_schedules();
    let told: BTreeSet<&str> = samples(&objects).iter().map(|sample| sample.gauge.name).collect();
    assert_eq!(told, gauges::ALL.iter().map(|gauge| gauge.name).collect());
    for sample in samples(&objects) {
        assert_eq!(sample.labels.len(), sample.gauge.labels.len(), "{}", sample.gauge.name);
    }
    let of_nothing: BTreeSet<&str> = samples(&Objects::default()).iter().map(|sample| sample.gauge.name).collect();
    let always = [&gauges::ONE_SHOTS, &gauges::ONE_SHOT_UNPROVEN, &gauges::UNREADABLE];
    assert_eq!(of_nothing, always.map(|gauge| gauge.name).into());
}

#[test]
fn a_scrape_of_many_objects_costs_little() {
    let status = serde_json::to_value(&two_schedules().schedules[0].0.as_ref().unwrap().status).unwrap();
    let etcd = json!({"schedule": "20 * * * *", "pvcName": "claim"});
    let names: Vec<String> = (0..200).map(|number| format!("schedule-{number}")).collect();
    let records = (0..5000).map(|number| {
        let run = format!("run-{number:05}");
        of(etcdbackup(&run, "claim", 1, Some((&names[number % 200], &run)), good((number / 200) as u8)))
    });
    let objects = Objects {
        schedules: names.iter().map(|name| of(schedule(name, etcd.clone(), status.clone()))).collect(),
        etcdbackups: records.collect(),
        ..Objects::default()
    };
    let began = Instant::now();
    let series = samples(&objects).len();
    let text = gauges::text(samples(&objects));
    let millis = began.elapsed().as_millis() / 2;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    measured(
        "metrics_scrape",
        &[
            ("backups", &200),
            ("etcdbackups", &5000),
            ("series", &series),
            ("bytes", &text.len()),
            ("ms", &millis),
            ("profile", &profile),
        ],
    )
    .unwrap();
    assert!(series > 200 * 25 && millis < 2000, "{series} series in {millis} ms");
}
