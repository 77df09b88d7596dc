//! What Prometheus scrapes of an operator at work.

use std::collections::BTreeMap;

use etcd_backup_api::Backup;
use etcd_backup_testbed::free_ports;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bed::eventually;
use crate::schedules::{Schedules, VOLUME, report, retention};

/// Labels of most series of the Backup.
const ME: &str = "backup=\"metrics\"";

/// Series by name and labels, with their values as text.
type Series = BTreeMap<String, String>;

#[tokio::test]
async fn a_restart_changes_no_gauge_and_a_run_without_an_operator_is_told_of() {
    let bed = Schedules::new("metrics").await;
    let [port] = free_ports().unwrap();
    let flags = ["--port", &port.to_string()];
    let operator = bed.bed.operator(&flags).await;
    let backup = bed.create("metrics", json!({})).await;
    let hash = bed.policy("metrics", "the policy is there", |_| true).await.hash_on(VOLUME);
    let failed = bed.start("metrics", "2026-01-01T03:20:00Z").await;
    bed.end(&backup, &failed, "Failed", VOLUME, Value::Null).await;
    bed.until("metrics", "it is counted", |status| status.consecutive_failures == Some(1)).await;
    let good = bed.start("metrics", "2026-01-02T03:20:00Z").await;
    bed.is_recorded(&good).await;
    let ended = end_well(&bed, &backup, &good, retention("Satisfied", &hash, 3)).await;
    bed.until("metrics", "it is good again", |status| {
        status.consecutive_failures == Some(0) && status.retained.is_some()
    })
    .await;
    let one_shot = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
                          "metadata": {"name": "one-shot"}, "spec": {"pvcName": "nowhere"}});
    bed.bed.backups.create(&PostParams::default(), &serde_json::from_value(one_shot).unwrap()).await.unwrap();
    bed.bed.until("one-shot", "Pending/PVCNotFound").await;
    bed.rests("metrics").await;

    let before = scrape(port).await;
    tells_all(&before, ended);
    operator.stop().await;

    let operator = bed.bed.operator(&flags).await;
    let expected = gauges(&before);
    eventually("the gauges are as they were", || async { gauges(&scrape(port).await) == expected }).await;
    let meanwhile = bed.start("metrics", "2026-01-03T03:20:00Z").await;
    bed.is_recorded(&meanwhile).await;
    operator.stop().await;

    // Nobody looks.
    let ended = end_well(&bed, &backup, &meanwhile, retention("Satisfied", &hash, 4)).await;
    let operator = bed.bed.operator(&flags).await;
    eventually("the run is told of", || async {
        let now = scrape(port).await;
        now.get(&format!("etcdbackup_schedule_last_success_timestamp_seconds{{{ME}}}")) == Some(&seconds(ended))
            && now.get(&format!("etcdbackup_schedule_retained_sets{{{ME}}}")).is_some_and(|sets| sets == "4")
    })
    .await;

    bed.backups.delete("metrics", &DeleteParams::default()).await.unwrap();
    eventually("its series vanish", || async {
        let now = scrape(port).await;
        now.contains_key("etcdbackup_leader") && !now.keys().any(|series| series.contains(ME))
    })
    .await;
    operator.stop().await;
}

/// Asserts what is known after a run that failed and one that ended well at a time.
fn tells_all(series: &Series, ended: Timestamp) {
    let of = |name: &str, labels: &str| series.get(&format!("etcdbackup_{name}{{{labels}}}")).map(String::as_str);
    for (name, value) in [
        ("schedule_last_success_timestamp_seconds", seconds(ended).as_str()),
        ("schedule_last_success_revision", "4711"),
        ("schedule_last_success_snapshot_bytes", "126000000"),
        ("schedule_last_run_success", "1"),
        ("schedule_last_run_duration_seconds", "3"),
        ("schedule_consecutive_failures", "0"),
        ("schedule_expected_interval_seconds", "90000"),
        ("schedule_retained_sets", "3"),
        ("schedule_retention_limit_sets", "15"),
        ("schedule_suspended", "0"),
    ] {
        assert_eq!(of(name, ME), Some(value), "{name}");
    }
    for (name, labels, value) in [
        ("schedule_last_run_phase_seconds", "backup=\"metrics\",phase=\"stream\"", "1.25"),
        ("schedule_last_failure_reason", "backup=\"metrics\",reason=\"NoSpace\"", "1"),
        ("schedule_condition", "backup=\"metrics\",type=\"Ready\",status=\"true\"", "1"),
        ("schedule_agent_info", "backup=\"metrics\",version=\"0.0.1\"", "1"),
        ("volume_free_bytes", "claim=\"claim\"", "250"),
        ("queue_length", "claim=\"nowhere\"", "1"),
        ("runs_total", "outcome=\"Completed\"", "1"),
        ("failed_runs_total", "reason=\"NoSpace\"", "1"),
        ("failed_runs_total", "reason=\"NoQuorum\"", "0"),
    ] {
        assert_eq!(of(name, labels), Some(value), "{name} {labels}");
    }
    let requests = |verb: &str, code: &str| {
        let found = of("api_requests_total", &format!("code=\"{code}\",verb=\"{verb}\""));
        found.unwrap().parse::<u64>().unwrap()
    };
    assert!(requests("watch", "200") > 0 && requests("patch", "200") > 0 && requests("create", "201") > 0);
    assert!(series["process_resident_memory_bytes"].parse::<u64>().unwrap() > 1 << 20);
}

fn seconds(time: Timestamp) -> String {
    time.as_second().to_string()
}

/// The Job's pod ends well after three seconds; gives when.
async fn end_well(bed: &Schedules, backup: &Backup, job: &Job, retention: Value) -> Timestamp {
    let name = job.name_any();
    // Later than what ended before, also in whole seconds.
    let ended = Timestamp::now() + SignedDuration::from_secs(2);
    let mut report = report(backup, job, "Completed", VOLUME, retention);
    let more = json!({
        "startTime": ended - SignedDuration::from_secs(3), "completionTime": ended, "agentVersion": "0.0.1",
        "phases": [{"phase": "lock", "millis": 3}, {"phase": "stream", "millis": 1250}],
        "space": {"totalBytes": 1000, "freeBytes": 250},
    });
    report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let pod = bed.bed.pod_of(&name).await;
    bed.bed.pod_reports(&pod, &report).await;
    bed.bed.job_completes(&name).await;
    ended
}

/// What is there of objects, whichever process tells of it.
fn gauges(series: &Series) -> Series {
    let of_objects = ["schedule_", "queue_", "volume_", "one_shot_", "clock_skew_", "unreadable_"];
    let is_gauge = |name: &str| of_objects.iter().any(|prefix| name.starts_with(&format!("etcdbackup_{prefix}")));
    series.iter().filter(|(name, _)| is_gauge(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// All series that the operator tells of now; none while it is starting.
async fn scrape(port: u16) -> Series {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return Series::new() };
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("version=0.0.4"), "{head}");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()).collect()
}
