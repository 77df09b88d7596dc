//! What the runs of a CronJob tell of their Backup.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::schedules::{Schedules, VOLUME, retention};

#[tokio::test]
async fn a_run_fills_the_status_and_a_restart_keeps_it() {
    let bed = Schedules::new("run").await;
    let operator = bed.bed.operator(&[]).await;
    let backup = bed.create("run", json!({})).await;
    let hash = bed.policy("run", "the policy is there", |_| true).await.hash_on(VOLUME);
    let job = bed.start("run", "2026-01-01T03:20:00Z").await;
    bed.end(&backup, &job, "Completed", VOLUME, retention("Satisfied", &hash, 3)).await;
    let status = bed.until("run", "all is known", |status| {
        status.retained.is_some() && status.last_successful_time.is_some() && status.last_schedule_time.is_some()
    });
    let status = status.await;
    assert_eq!((status.volume_id.as_deref(), status.policy_hash.as_deref()), (Some(VOLUME), Some(hash.as_str())));
    let retained = status.retained.clone().unwrap();
    assert_eq!((retained.count, retained.size.as_str()), (3, "3.0 GiB"));
    assert_eq!(status.last_schedule_time.unwrap().0, "2026-01-01T03:20:00Z".parse().unwrap());
    assert_eq!((status.consecutive_failures, status.next_schedule_time.is_some()), (Some(0), true));
    bed.says("run", "RetentionSatisfied", "True Satisfied").await;
    bed.says("run", "Ready", "True Ready").await;
    // From now on the volume is expected, and it is the same policy.
    let policy = bed.policy("run", "the volume is expected", |policy| policy.expected_volume.is_some()).await;
    assert_eq!((policy.expected_volume.as_deref(), policy.hash_on(VOLUME)), (Some(VOLUME), hash));
    bed.rests("run").await;
    assert!(bed.bed.jobs_of("prune").await.is_empty());

    operator.stop().await;
    bed.bed.delete_job(&kube::ResourceExt::name_any(&job)).await;
    let operator = bed.bed.operator(&[]).await;
    bed.rests("run").await;
    assert_eq!(bed.backups.get("run").await.unwrap().status.unwrap().retained, Some(retained));
    operator.stop().await;
}

#[tokio::test]
async fn failures_are_counted_until_a_run_is_good() {
    let bed = Schedules::new("failing").await;
    let operator = bed.bed.operator(&[]).await;
    let backup = bed.create("failing", json!({})).await;
    let hash = bed.policy("failing", "the policy is there", |_| true).await.hash_on(VOLUME);
    for (due, failures) in [("2026-01-01T03:20:00Z", 1), ("2026-01-02T03:20:00Z", 2)] {
        let job = bed.start("failing", due).await;
        bed.end(&backup, &job, "Failed", VOLUME, Value::Null).await;
        bed.until("failing", "it is counted", |status| status.consecutive_failures == Some(failures)).await;
    }
    let message = bed.says("failing", "Ready", "False LastRunFailed").await;
    assert!(
        message.starts_with("the newest run failed (NoSpace), 2 in a row; see `kubectl describe etcdbackup failing-"),
        "{message}"
    );
    let job = bed.start("failing", "2026-01-03T03:20:00Z").await;
    bed.end(&backup, &job, "Completed", VOLUME, retention("Satisfied", &hash, 1)).await;
    bed.until("failing", "it is good again", |status| status.consecutive_failures == Some(0)).await;
    bed.says("failing", "Ready", "True Ready").await;
    operator.stop().await;
}

#[tokio::test]
async fn runs_that_were_left_out_are_told_of_once() {
    let bed = Schedules::new("missed").await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("missed", json!({"schedule": "0 * * * *"})).await;
    bed.cron_job("missed", "the CronJob is there", |_| true).await;
    operator.stop().await;
    // It was made yesterday and last started five hours ago; then the cluster was off.
    let now = Timestamp::now();
    let hour = |ago: i64| Timestamp::from_second((now.as_second() / 3600 - ago) * 3600).unwrap();
    let yesterday = now - SignedDuration::from_hours(24);
    let patch = json!({"metadata": {"annotations": {"etcd-backup.io/schedule-since": yesterday}}});
    bed.cron_jobs.patch("missed", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    bed.start("missed", &hour(5).to_string()).await;
    let operator = bed.bed.operator(&[]).await;
    bed.until("missed", "the start is seen", |status| status.last_schedule_time.is_some()).await;
    bed.bed.job_completes(&format!("missed-{}", hour(5).as_second() / 60)).await;
    bed.start("missed", &hour(0).to_string()).await;
    let status = bed.until("missed", "what was left out is counted", |status| status.last_missed_time.is_some()).await;
    assert_eq!(status.last_missed_time.unwrap().0, hour(1));
    assert_eq!(bed.bed.events("missed").iter().filter(|reason| *reason == "Missed").count(), 1);
    bed.says("missed", "Scheduled", "True Scheduled").await;
    bed.rests("missed").await;
    operator.stop().await;
}
