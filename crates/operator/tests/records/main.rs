//! Records of scheduled runs against a real API server, with the RBAC and the admission policy that
//! we ship. The test plays the controllers of CronJobs and Jobs, and the kubelet with its logs.

#![allow(clippy::unwrap_used, reason = "clippy knows only functions marked #[test] as tests, not what they call")]

#[allow(dead_code, reason = "what the other tests of the operator use")]
#[path = "../bed/mod.rs"]
mod bed;
mod kubelet;
mod runs;
mod volume;

use std::collections::BTreeSet;
use std::time::Instant;

use etcd_backup_api::conditions;
use etcd_backup_core::{SetName, SetState};
use etcd_backup_testbed::measured;
use serde_json::json;

use crate::bed::{eventually, write_status};
use crate::runs::Runs;

#[tokio::test]
async fn a_run_is_recorded_and_its_record_goes_with_its_set() {
    let mut runs = Runs::new("records", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;

    let first = runs.start_run("nightly-1").await;
    let status = runs.bed.until(&first.record, "Pending/Starting").await;
    assert_eq!(status.backup_job.unwrap().name, "nightly-1");
    let record = runs.bed.backups.get(&first.record).await.unwrap();
    assert!(record.metadata.owner_references.is_none(), "it outlives its Backup");
    runs.bed.pod_runs(&first.pod).await;
    runs.bed.until(&first.record, "Running/Saving").await;
    let set = runs.publish(&first).await;
    let status = runs.bed.until(&first.record, "Completed/Completed").await;
    assert!(status.location.unwrap().ends_with(set.as_str()));
    assert!(conditions::is_true(&status.conditions, "Verified"));
    operator.stop().await;

    // The second run takes the place of the first one; a new operator sees the end of it.
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let second = runs.start_run("nightly-2").await;
    runs.bed.pod_runs(&second.pod).await;
    runs.bed.until(&second.record, "Running/Saving").await;
    operator.kill().await;
    runs.volume.remove(&set);
    runs.publish(&second).await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    runs.bed.until(&second.record, "Completed/Completed").await;
    eventually("the first record goes", || async { runs.records().await == [second.record.as_str()] }).await;

    // From now on the reports alone tell what is there.
    let listings = runs.bed.jobs_of("catalogue").await.len();
    let mut last = second.record;
    for number in 3..6 {
        let set = runs.volume_sets().pop().unwrap();
        let run = runs.start_run(&format!("nightly-{number}")).await;
        runs.volume.remove(&set);
        runs.publish(&run).await;
        runs.bed.until(&run.record, "Completed/Completed").await;
        eventually("one record goes and one comes", || async { runs.records().await == [run.record.as_str()] }).await;
        last = run.record;
    }
    runs.bed.stays(&last, "Completed/Completed").await;
    assert_eq!(runs.records().await, [last.as_str()], "a Job that is still there brings its record back");
    assert_eq!(runs.bed.jobs_of("catalogue").await.len(), listings);
    operator.stop().await;
}

#[tokio::test]
async fn what_happened_while_the_operator_was_down_is_recorded() {
    let mut runs = Runs::new("down", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    runs.cron_job().await;
    operator.stop().await;
    // One whose Job and pod are still there, one of which only the set is left, and some of others.
    let with_job = runs.start_job("nightly-1").await;
    runs.publish(&with_job).await;
    let alone = "77777777-5c1b-4b4e-9c1f-1f5a3e2d7c11";
    runs.volume.publish(alone);
    runs.volume.publish_of("EtcdBackup", "one-shot", "88888888-5c1b-4b4e-9c1f-1f5a3e2d7c11");
    runs.volume.publish_of("Backup", "deleted", "99999999-5c1b-4b4e-9c1f-1f5a3e2d7c11");
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    runs.bed.eventually_completed(&with_job.record).await;
    eventually("both are recorded", || async {
        runs.records().await
            == BTreeSet::from([with_job.record.clone(), "nightly-77777777-5c1b".to_owned()])
                .into_iter()
                .collect::<Vec<_>>()
    })
    .await;
    let status = runs.bed.until("nightly-77777777-5c1b", "Completed/Completed").await;
    assert_eq!(status.snapshot.unwrap().revision, 4711);
    assert!(runs.bed.jobs_of("inventory").await.is_empty(), "no Job asks for a single run");
    operator.stop().await;
}

#[tokio::test]
async fn thousands_of_records_come_and_go_at_a_bounded_pace() {
    const RECORDS: usize = 1000;
    let mut runs = Runs::new("thousands", "nightly").await;
    for number in 0..RECORDS {
        runs.volume.publish(&format!("{number:08}-5c1b-4b4e-9c1f-1f5a3e2d7c11"));
    }
    let operator = runs.bed.operator(&[]).await;
    let began = Instant::now();
    runs.answer_listing().await;
    eventually("all are recorded", || async { runs.count().await == RECORDS }).await;
    eventually("all are completed", || async { runs.completed().await == RECORDS }).await;
    let created = began.elapsed();
    assert!(runs.bed.jobs_of("inventory").await.is_empty(), "no Job asks for a single run");
    operator.stop().await;
    runs.volume.clear();
    let operator = runs.bed.operator(&[]).await;
    let began = Instant::now();
    runs.answer_listing().await;
    eventually("all are dropped", || async { runs.count().await == 0 }).await;
    let dropped = began.elapsed();
    operator.stop().await;
    let seconds = |time: std::time::Duration| format!("{:.1}", time.as_secs_f64());
    measured("records", &[("records", &RECORDS), ("created_s", &seconds(created)), ("dropped_s", &seconds(dropped))])
        .unwrap();
}

#[tokio::test]
async fn of_failed_runs_the_newest_ten_stay() {
    let runs = Runs::new("failed", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let mut failed = Vec::new();
    for number in 1..=12 {
        let run = runs.start_run(&format!("nightly-{number}")).await;
        runs.fail(&run, number).await;
        runs.bed.until(&run.record, "Failed/NoSpace").await;
        failed.push(run);
    }
    runs.bed.stays(&failed[0].record, "Failed/NoSpace").await;
    assert_eq!(runs.records().await.len(), 12, "each still has its Job");
    // As the CronJob's history limit does.
    for run in &failed {
        runs.bed.delete_job(&run.job).await;
    }
    let newest: BTreeSet<&str> = failed[2..].iter().map(|run| run.record.as_str()).collect();
    eventually("the oldest go", || async {
        runs.records().await.iter().map(String::as_str).collect::<BTreeSet<_>>() == newest
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_users_etcdbackup_says_what_became_of_its_set() {
    let mut runs = Runs::new("missing", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let mine = runs.bed.backup("mine", "claim").await;
    let job = runs.bed.until("mine", "Pending/Starting").await.job_name.unwrap();
    let pod = runs.bed.pod_of(&job).await;
    let set = runs.volume.publish_of("EtcdBackup", "mine", &mine.metadata.uid.unwrap());
    runs.bed.pod_reports(&pod, &runs.volume.report(&set)).await;
    runs.bed.until("mine", "Completed/Completed").await;
    operator.stop().await;

    let whole = runs.volume.inventory();
    let steps = [
        ("gone", "False", "SetMissing"),
        ("back", "True", "Verified"),
        ("damaged", "False", "Damaged"),
        ("on another volume", "False", "Damaged"),
    ];
    for (step, status, reason) in steps {
        match step {
            "gone" => runs.volume.clear(),
            "damaged" => runs.volume.set_state(&set, SetState::Damaged),
            "on another volume" => {
                runs.volume.clear();
                runs.volume.id = "volume-2".into();
            }
            _ => {
                runs.volume.restore(&set, &whole);
            }
        }
        let operator = runs.bed.operator(&[]).await;
        runs.answer_listing().await;
        eventually(step, || async {
            let found = runs.bed.backups.get("mine").await.unwrap().status.unwrap();
            let verified = conditions::get(&found.conditions, "Verified").unwrap();
            (verified.status.as_str(), verified.reason.as_str()) == (status, reason)
        })
        .await;
        runs.bed.stays("mine", "Completed/Completed").await;
        operator.stop().await;
    }
    let events = runs.bed.events("mine");
    assert_eq!(events[events.len() - 3..], ["SetMissing", "Verified", "Damaged"]);
}

#[tokio::test]
async fn a_record_that_was_deleted_by_hand_comes_back() {
    let mut runs = Runs::new("by-hand", "nightly").await;
    runs.volume.publish("11111111-5c1b-4b4e-9c1f-1f5a3e2d7c11");
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    runs.bed.eventually_completed("nightly-11111111-5c1b").await;
    let before = runs.bed.backups.get("nightly-11111111-5c1b").await.unwrap().metadata.uid;
    runs.bed.kubectl(&["delete", "etcdbackup", "nightly-11111111-5c1b"]);
    runs.answering("another one is there", || async {
        let found = runs.bed.backups.get_opt("nightly-11111111-5c1b").await.unwrap();
        found.is_some_and(|found| found.metadata.uid != before)
    })
    .await;
    runs.bed.until("nightly-11111111-5c1b", "Completed/Completed").await;
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_concluded_from_part_of_an_inventory() {
    let mut runs = Runs::new("part", "nightly").await;
    let sets: Vec<SetName> =
        (1..4).map(|number| runs.volume.publish(&format!("{number:08}-5c1b-4b4e-9c1f-1f5a3e2d7c11"))).collect();
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    eventually("all are recorded", || async { runs.completed().await == 3 }).await;
    operator.stop().await;

    let whole = runs.volume.inventory();
    let lines: Vec<&str> = whole.lines().collect();
    let without_first =
        lines.iter().filter(|line| !line.contains(sets[0].as_str())).copied().collect::<Vec<_>>().join("\n");
    let without_end = lines[..lines.len() - 1].join("\n");
    for (number, part) in [without_first, without_end, String::new()].into_iter().enumerate() {
        let operator = runs.bed.operator(&[]).await;
        runs.answer_listing_with(part).await;
        eventually("an event tells of it", || async { runs.bed.notes("nightly", "InventoryFailed") > number }).await;
        runs.bed.stays("nightly-00000001-5c1b", "Completed/Completed").await;
        assert_eq!(runs.completed().await, 3);
        assert_eq!(runs.bed.open_jobs_of("catalogue").await, 0, "it is tried again later, not at once");
        operator.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_dropped_while_the_volume_is_another_one() {
    let mut runs = Runs::new("changed", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let run = runs.start_run("nightly-1").await;
    runs.publish(&run).await;
    runs.bed.until(&run.record, "Completed/Completed").await;
    operator.stop().await;
    runs.bed.delete_job(&run.job).await;
    runs.volume.clear();
    runs.volume.id = "volume-2".into();
    let operator = runs.bed.operator(&[]).await;
    // A set of the new volume is recorded: so the listing was read.
    let other = "22222222-5c1b-4b4e-9c1f-1f5a3e2d7c11";
    runs.volume.publish(other);
    runs.answer_listing().await;
    runs.bed.eventually_completed("nightly-22222222-5c1b").await;
    runs.bed.stays(&run.record, "Completed/Completed").await;
    let status = runs.bed.backups.get(&run.record).await.unwrap().status.unwrap();
    assert!(conditions::is_true(&status.conditions, "Verified"));
    operator.stop().await;
}

#[tokio::test]
async fn a_lost_node_does_not_block_the_schedule() {
    let runs = Runs::new("lost-run", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let run = runs.start_run("nightly-1").await;
    runs.bed.pod_runs(&run.pod).await;
    runs.bed.until(&run.record, "Running/Saving").await;
    runs.bed.node("master-0", false).await;
    runs.bed.until(&run.record, "Running/NodeLost").await;
    write_status(&runs.bed.jobs, &run.job, json!({"startTime": "2026-01-01T00:00:00Z"})).await;
    runs.bed.until(&run.record, "Failed/NodeLost").await;
    assert!(runs.bed.pods.get_opt(&run.pod).await.unwrap().is_none(), "the pod is force-deleted");
    assert!(runs.bed.jobs.get_opt(&run.job).await.unwrap().is_some(), "the Job is the CronJob's");
    operator.stop().await;
}

#[tokio::test]
async fn a_record_is_asked_for_by_run_when_the_volume_does_not_list_it() {
    let runs = Runs::new("asked", "nightly").await;
    let operator = runs.bed.operator(&[]).await;
    runs.answer_listing().await;
    let run = runs.start_run("nightly-1").await;
    runs.bed.pod_runs(&run.pod).await;
    runs.bed.until(&run.record, "Running/Saving").await;
    runs.bed.delete_job(&run.job).await;
    runs.bed.until(&run.record, "Running/JobMissing").await;
    eventually("the volume is asked", || async { runs.bed.jobs_of("inventory").await.len() == 1 }).await;
    let inventory = runs.bed.jobs_of("inventory").await.remove(0);
    let pod = runs.bed.pod_of(&inventory).await;
    let mut report = bed::report(&runs.bed.backups.get(&run.record).await.unwrap(), "Failed", "RunNotFound");
    report["runId"] = run.id.clone().into();
    runs.bed.pod_reports(&pod, &report).await;
    runs.bed.job_completes(&inventory).await;
    let status = runs.bed.until(&run.record, "Failed/JobDeleted").await;
    let message = &conditions::get(&status.conditions, "Failed").unwrap().message;
    assert!(message.contains("the next run of the schedule"), "{message}");
    operator.stop().await;
}
