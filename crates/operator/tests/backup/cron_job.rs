//! What becomes of a Backup's CronJob and policy.

use std::time::Duration;

use etcd_backup_core::Retention;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use crate::bed::eventually;
use crate::schedules::Schedules;

#[tokio::test]
async fn the_documentations_manifests_make_the_cron_job() {
    let bed = Schedules::new("documentation").await;
    let operator = bed.bed.operator(&[]).await;
    bed.bed.claim("etcd-backup-pvc", "Bound").await;
    let name = "etcd-recurring-backup";
    for (file, expected) in [
        ("etcd-recurring-backup.yaml", Retention::Number { max_sets: 15 }),
        ("etcd-recurring-backup-number.yaml", Retention::Number { max_sets: 5 }),
        ("etcd-recurring-backup-size.yaml", Retention::Size { max_bytes: 20 << 30 }),
    ] {
        let manifest = format!("{}/../../tests/manifests/{file}", env!("CARGO_MANIFEST_DIR"));
        bed.bed.kubectl(&["apply", "-f", &manifest]);
        bed.policy(name, file, |policy| policy.retention == expected).await;
        bed.says(name, "Scheduled", "True Scheduled").await;
    }
    let table = bed.bed.kubectl(&["get", "cronjob", "-n", &bed.bed.namespace]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..9], [name, "20", "4", "*", "*", "*", "UTC", "False", "0"]);
    let table = bed.bed.kubectl(&["get", "backup"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(
        row[..6] == [name, "20", "4", "*", "*", "*"] && row[6].ends_with("T04:20:00Z") && row[7] == "True",
        "{table}"
    );
    operator.stop().await;
}

#[tokio::test]
async fn edits_are_taken_up_in_place() {
    let bed = Schedules::new("edits").await;
    let operator = bed.bed.operator(&[]).await;
    let backup = bed.create("edits", json!({})).await;
    let first = bed.cron_job("edits", "the CronJob is there", |_| true).await;
    let owner = &first.owner_references()[0];
    assert_eq!((owner.uid.clone(), owner.block_owner_deletion), (backup.uid().unwrap(), Some(false)));
    let spec = |cron_job: &CronJob| cron_job.spec.clone().unwrap();
    let claim = |cron_job: &CronJob| {
        let pod = spec(cron_job).job_template.spec.unwrap().template.spec.unwrap();
        pod.volumes.unwrap()[0].persistent_volume_claim.clone().unwrap().claim_name
    };
    bed.edit("edits", json!({"schedule": "@every 6h"})).await;
    bed.cron_job("edits", "schedule", |found| spec(found).schedule == "@every 6h").await;
    bed.edit("edits", json!({"timeZone": null})).await;
    bed.cron_job("edits", "zone", |found| spec(found).time_zone.as_deref() == Some("Etc/UTC")).await;
    assert!(
        bed.says("edits", "Scheduled", "True Scheduled").await.contains("in Etc/UTC (spec.etcd.timeZone is empty)")
    );
    bed.edit("edits", json!({"suspend": true})).await;
    bed.cron_job("edits", "suspend", |found| spec(found).suspend == Some(true)).await;
    bed.says("edits", "Scheduled", "False Suspended").await;
    bed.says("edits", "Ready", "True Suspended").await;
    bed.edit("edits", json!({"suspend": false, "pvcName": "other"})).await;
    let last = bed.cron_job("edits", "claim", |found| claim(found) == "other").await;
    bed.says("edits", "Ready", "False PVCNotFound").await;
    assert_eq!(last.uid(), first.uid());
    bed.edit("edits", json!({"schedule": ""})).await;
    eventually("the CronJob is gone", || async { bed.cron_jobs.get_opt("edits").await.unwrap().is_none() }).await;
    bed.says("edits", "Ready", "False NoSchedule").await;
    bed.says("edits", "Stalled", "True NoSchedule").await;
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_written_at_rest_and_drift_is_corrected() {
    let bed = Schedules::new("drift").await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("drift", json!({})).await;
    bed.says("drift", "Ready", "True Ready").await;
    bed.rests("drift").await;
    operator.stop().await;
    let operator = bed.bed.operator(&[]).await;
    bed.rests("drift").await;

    let by_hand = PatchParams::default();
    let patch = json!({"spec": {"schedule": "0 0 1 1 *", "suspend": true, "concurrencyPolicy": "Allow"}});
    bed.cron_jobs.patch("drift", &by_hand, &Patch::Merge(patch)).await.unwrap();
    bed.cron_job("drift", "the CronJob is as it was", |found| {
        let spec = found.spec.as_ref().unwrap();
        (spec.schedule.as_str(), spec.suspend, spec.concurrency_policy.as_deref())
            == ("20 4 * * *", Some(false), Some("Forbid"))
    })
    .await;
    let patch = json!({"data": {"policy.json": "{}"}, "metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    bed.config_maps.patch("drift-policy", &by_hand, &Patch::Merge(patch)).await.unwrap();
    bed.policy("drift", "the policy is as it was", |_| true).await;
    bed.cron_jobs.delete("drift", &DeleteParams::background()).await.unwrap();
    bed.config_maps.delete("drift-policy", &DeleteParams::default()).await.unwrap();
    bed.cron_job("drift", "the CronJob is made again", |_| true).await;
    bed.policy("drift", "the policy is made again", |_| true).await;
    operator.stop().await;
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_seized() {
    let bed = Schedules::new("foreign").await;
    let container = json!({"name": "c", "image": "i"});
    let template = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}});
    let foreign = json!({"metadata": {"name": "foreign"}, "spec": {"schedule": "@daily", "jobTemplate": template}});
    let foreign =
        bed.cron_jobs.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let map = json!({"metadata": {"name": "map-policy"}, "data": {"policy.json": "mine"}});
    bed.config_maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    let operator = bed.bed.operator(&[]).await;
    bed.create("foreign", json!({})).await;
    let message = bed.says("foreign", "Scheduled", "False CronJobForeign").await;
    assert!(message.contains("Delete it, or give the Backup another name"), "{message}");
    bed.edit("foreign", json!({"schedule": ""})).await;
    bed.until("foreign", "the edit is seen", |status| status.observed_generation == Some(2)).await;
    assert_eq!(bed.cron_jobs.get("foreign").await.unwrap().resource_version(), foreign.resource_version());

    bed.create("map", json!({})).await;
    bed.says("map", "RetentionSatisfied", "False PolicyForeign").await;
    bed.says("map", "Scheduled", "True Scheduled").await;
    assert_eq!(bed.config_maps.get("map-policy").await.unwrap().data.unwrap()["policy.json"], "mine");
    bed.config_maps.delete("map-policy", &DeleteParams::default()).await.unwrap();
    bed.edit("map", json!({"suspend": true})).await;
    bed.policy("map", "the policy is written", |_| true).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_mistake_leaves_the_cron_job_as_it_was() {
    let bed = Schedules::new("mistake").await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("mistake", json!({})).await;
    let before = bed.cron_job("mistake", "the CronJob is there", |_| true).await;
    bed.edit("mistake", json!({"schedule": "20 4 * * 9"})).await;
    let message = bed.says("mistake", "Scheduled", "False InvalidSchedule").await;
    assert!(
        message.contains("day of week") && message.ends_with("runs go on at \"20 4 * * *\" in Europe/Berlin"),
        "{message}"
    );
    bed.edit("mistake", json!({"schedule": "@daily", "timeZone": "Mars/Olympus"})).await;
    bed.says("mistake", "Scheduled", "False InvalidTimeZone").await;
    bed.says("mistake", "Stalled", "True InvalidTimeZone").await;
    assert_eq!(bed.cron_jobs.get("mistake").await.unwrap().resource_version(), before.resource_version());
    bed.rests("mistake").await;
    bed.edit("mistake", json!({"timeZone": "Asia/Tokyo"})).await;
    bed.says("mistake", "Ready", "True Ready").await;
    operator.stop().await;
}

#[tokio::test]
async fn long_names_are_cut_and_told_apart() {
    let bed = Schedules::new("long").await;
    let operator = bed.bed.operator(&[]).await;
    let names = ["a", "b"].map(|end| format!("{}.{}{end}", "x".repeat(50), "y".repeat(100)));
    for name in &names {
        bed.create(name, json!({})).await;
        bed.says(name, "Ready", "True Ready").await;
    }
    let found = bed.cron_jobs.list(&Default::default()).await.unwrap().items;
    assert_eq!(found.len(), 2);
    for cron_job in found {
        assert!(cron_job.name_any().len() <= 52);
        assert!(names.contains(&cron_job.annotations()["etcd-backup.io/backup"]));
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_deleted_backup_is_left_to_the_garbage_collector() {
    let bed = Schedules::new("deleted").await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("deleted", json!({})).await;
    let cron_job = bed.cron_job("deleted", "the CronJob is there", |_| true).await;
    bed.says("deleted", "Ready", "True Ready").await;
    assert!(bed.backups.get("deleted").await.unwrap().finalizers().is_empty());
    bed.backups.delete("deleted", &DeleteParams::default()).await.unwrap();
    // Made anew, as GitOps does, before the garbage collector has been there.
    let anew = bed.create("deleted", json!({})).await;
    bed.says("deleted", "Scheduled", "False CronJobForeign").await;
    assert_eq!(bed.cron_jobs.get("deleted").await.unwrap().resource_version(), cron_job.resource_version());
    for (kind, name) in [("cronjob", "deleted"), ("configmap", "deleted-policy")] {
        bed.bed.kubectl(&["-n", &bed.bed.namespace, "delete", kind, name]);
    }
    bed.says("deleted", "Ready", "True Ready").await;
    let owner = bed.cron_jobs.get("deleted").await.unwrap().owner_references()[0].clone();
    assert_eq!((owner.uid, owner.kind.as_str()), (anew.uid().unwrap(), &*etcd_backup_api::Backup::kind(&())));
    operator.stop().await;
}

#[tokio::test]
async fn a_refused_cron_job_is_made_once_it_is_allowed() {
    let bed = Schedules::new("refused").await;
    let role = ["-n", &bed.bed.namespace, "patch", "role", "etcd-backup-operator", "--type=json", "-p"];
    let verbs = |verbs: &str| {
        let patch = format!(r#"[{{"op": "replace", "path": "/rules/1/verbs", "value": {verbs}}}]"#);
        bed.bed.kubectl(&[&role[..], &[&patch]].concat());
    };
    verbs(r#"["get", "list", "watch"]"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("refused", json!({})).await;
    let message = bed.says("refused", "Scheduled", "False CronJobRefused").await;
    assert!(message.contains("forbidden"), "{message}");
    bed.rests("refused").await;
    verbs(r#"["get", "list", "watch", "create", "patch", "delete"]"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    bed.bed.kubectl(&["-n", &bed.bed.namespace, "label", "pvc", "claim", "again=yes"]);
    bed.says("refused", "Ready", "True Ready").await;
    operator.stop().await;
}
