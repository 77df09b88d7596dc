//! The EtcdBackup controller against a real API server, with the RBAC that we ship.

#![allow(clippy::unwrap_used, reason = "clippy knows only functions marked #[test] as tests, not what they call")]

#[allow(dead_code, reason = "each program uses a part of it")]
mod bed;

use std::time::Duration;

use etcd_backup_api::conditions;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::bed::{Bed, eventually, report, write_status};

#[tokio::test]
async fn from_apply_to_completed() {
    let bed = Bed::new("path").await;
    let operator = bed.operator(&[]).await;
    let backup = bed.backup("path", "claim").await;
    let status = bed.until("path", "Pending/Starting").await;
    let job = status.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    let owner = bed.jobs.get(&job).await.unwrap().owner_references()[0].clone();
    assert_eq!((owner.uid, owner.controller), (backup.uid().unwrap(), None));

    bed.pod_runs(&pod).await;
    let status = bed.until("path", "Running/Saving").await;
    assert_eq!(status.backup_job.unwrap().name, job);
    assert_eq!(status.node_name.as_deref(), Some("master-0"));

    bed.pod_reports(&pod, &report(&backup, "Completed", "Completed")).await;
    let status = bed.until("path", "Completed/Completed").await;
    bed.kubectl(&["wait", "--for=condition=Completed", "--timeout=5s", "etcdbackup/path"]);
    assert!(conditions::is_true(&status.conditions, "Verified"));
    assert!(conditions::is_true(&status.conditions, "BackupCompleted"));
    assert_eq!(status.snapshot.unwrap().revision, 4711);
    let location = format!("pvc://{}/claim/backup-path-2026-01-01_000000-0b8f6f53", bed.namespace);
    assert_eq!(status.location, Some(location));

    // Final is final, whatever happens to the Job.
    bed.job_completes(&job).await;
    bed.delete_job(&job).await;
    bed.stays("path", "Completed/Completed").await;
    assert!(bed.jobs_of("inventory").await.is_empty());
    assert_eq!(bed.events("path"), ["Starting", "Saving", "Completed"]);
    operator.stop().await;
}

#[tokio::test]
async fn each_reason_of_a_warning_is_one_event() {
    let bed = Bed::new("warned").await;
    let operator = bed.operator(&[]).await;
    let backup = bed.backup("warned", "claim").await;
    let job = bed.until("warned", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.pod_runs(&pod).await;
    bed.until("warned", "Running/Saving").await;
    let mut report = report(&backup, "Completed", "Completed");
    // Longer in bytes than an event may be.
    let long = "ü".repeat(600);
    report["warnings"] = json!([{"reason": "MemberDropped", "message": "m1"}, {"reason": "RolloutInProgress", "message": long},
                                {"reason": "MemberDropped", "message": "m2"}]);
    bed.pod_reports(&pod, &report).await;
    let status = bed.until("warned", "Completed/Completed").await;
    assert!(conditions::is_true(&status.conditions, "Verified"));
    let told: Vec<&str> = status.warnings.iter().map(|warning| warning.reason.as_str()).collect();
    assert_eq!(told, ["MemberDropped", "RolloutInProgress", "MemberDropped"]);
    let expected = ["Starting", "Saving", "Completed", "MemberDropped", "RolloutInProgress"];
    eventually("the events", || async { bed.events("warned") == expected }).await;

    // Nothing is told again when the object, its Job or the operator comes again.
    bed.kubectl(&["label", "etcdbackup/warned", "touched=yes"]);
    bed.job_completes(&job).await;
    operator.stop().await;
    let operator = bed.operator(&[]).await;
    bed.stays("warned", "Completed/Completed").await;
    assert_eq!(bed.events("warned"), expected);
    let series = ["get", "events.events.k8s.io", "-n", "default", "--field-selector", "regarding.name=warned"];
    assert_eq!(
        bed.kubectl(&[&series[..], &["-o", "jsonpath={.items[*].series}"]].concat()),
        "",
        "an event is repeated"
    );
    operator.stop().await;
}

#[tokio::test]
async fn a_failed_report_fails_the_backup_once_the_job_gives_up() {
    let bed = Bed::new("failed").await;
    let operator = bed.operator(&[]).await;
    let backup = bed.backup("failed", "claim").await;
    let job = bed.until("failed", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.pod_reports(&pod, &report(&backup, "Failed", "NoSpace")).await;
    bed.until("failed", "Running/Retrying").await;
    bed.job_fails(&job, "BackoffLimitExceeded").await;
    let status = bed.until("failed", "Failed/NoSpace").await;
    assert!(conditions::is_true(&status.conditions, "Stalled"));
    assert_eq!(conditions::get(&status.conditions, "Failed").unwrap().message, "said the agent");
    operator.stop().await;
}

#[tokio::test]
async fn a_claim_may_come_later() {
    let bed = Bed::new("later").await;
    let operator = bed.operator(&[]).await;
    bed.backup("later", "not-yet").await;
    let status = bed.until("later", "Pending/PVCNotFound").await;
    assert!(conditions::get(&status.conditions, "Pending").unwrap().message.contains("test-later/not-yet"));
    assert!(bed.jobs_of("save").await.is_empty());
    bed.claim("not-yet", "Pending").await;
    bed.until("later", "Pending/PVCNotBound").await;
    bed.claim("not-yet", "Bound").await;
    bed.until("later", "Pending/Starting").await;
    assert_eq!(bed.jobs_of("save").await.len(), 1);
    operator.stop().await;
}

#[tokio::test]
async fn what_cannot_start_fails_after_the_limit() {
    let bed = Bed::new("limit").await;
    let operator = bed.operator(&["--start-limit", "3s"]).await;
    bed.backup("no-claim", "none").await;
    bed.until("no-claim", "Failed/PVCNotFound").await;

    bed.backup("no-image", "claim").await;
    let job = bed.until("no-image", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.kubelet_says(&pod, "Pending", json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}))
        .await;
    bed.until("no-image", "Failed/ImagePullFailed").await;
    let left = bed.jobs.get_opt(&job).await.unwrap();
    assert!(left.is_none_or(|job| job.metadata.deletion_timestamp.is_some()), "the Job is deleted first");
    operator.stop().await;
}

#[tokio::test]
async fn two_on_one_volume_go_one_after_the_other() {
    let bed = Bed::new("queue").await;
    let first = bed.backup("queue-1", "claim").await;
    bed.backup("queue-2", "claim").await;
    bed.backup("queue-3", "claim").await;
    let operator = bed.operator(&[]).await;
    let job = bed.until("queue-1", "Pending/Starting").await.job_name.unwrap();
    let status = bed.until("queue-3", "Pending/Queued").await;
    let message = &conditions::get(&status.conditions, "Pending").unwrap().message;
    assert_eq!(message, "waiting for queue-1, queue-2, place 3 of 3 on this volume");
    let pod = bed.pod_of(&job).await;
    bed.pod_runs(&pod).await;
    bed.until("queue-1", "Running/Saving").await;
    bed.stays("queue-2", "Pending/Queued").await;
    bed.pod_reports(&pod, &report(&first, "Completed", "Completed")).await;
    bed.until("queue-1", "Completed/Completed").await;
    let job = bed.until("queue-2", "Pending/Starting").await.job_name.unwrap();

    // Who cannot start yields its place.
    let pod = bed.pod_of(&job).await;
    bed.kubelet_says(&pod, "Pending", json!({"waiting": {"reason": "ErrImagePull", "message": "no"}})).await;
    bed.until("queue-2", "Pending/ImagePullFailed").await;
    bed.until("queue-3", "Pending/Starting").await;

    // And so does who is deleted.
    bed.backup("queue-4", "claim").await;
    bed.until("queue-4", "Pending/Queued").await;
    bed.backups.delete("queue-3", &DeleteParams::default()).await.unwrap();
    bed.until("queue-4", "Pending/Starting").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_job_that_was_deleted_is_asked_for_and_not_made_again() {
    for (outcome, reason, expected) in [
        ("Completed", "AlreadyPublished", "Completed/AlreadyPublished"),
        ("Failed", "RunNotFound", "Failed/JobDeleted"),
    ] {
        let bed = Bed::new("vanished").await;
        let operator = bed.operator(&[]).await;
        let backup = bed.backup(&format!("vanished-{}", outcome.to_lowercase()), "claim").await;
        let name = backup.name_any();
        let job = bed.until(&name, "Pending/Starting").await.job_name.unwrap();
        let pod = bed.pod_of(&job).await;
        bed.pod_runs(&pod).await;
        bed.until(&name, "Running/Saving").await;
        bed.delete_job(&job).await;
        bed.until(&name, "Running/JobMissing").await;
        let inventory = bed.pod_of(&format!("{job}-inv")).await;
        assert!(bed.jobs.get_opt(&job).await.unwrap().is_none(), "there is a second save Job");
        bed.pod_reports(&inventory, &report(&backup, outcome, reason)).await;
        bed.job_completes(&format!("{job}-inv")).await;
        bed.until(&name, expected).await;
        operator.stop().await;
    }
}

#[tokio::test]
async fn a_report_that_is_gone_is_asked_for() {
    let bed = Bed::new("unread").await;
    let backup = bed.backup("unread", "claim").await;
    let operator = bed.operator(&[]).await;
    let job = bed.until("unread", "Pending/Starting").await.job_name.unwrap();
    operator.stop().await;
    // While nobody looks, the Job completes and its pod is deleted.
    bed.job_completes(&job).await;
    let operator = bed.operator(&[]).await;
    bed.until("unread", "Running/ReportMissing").await;
    let inventory = bed.pod_of(&format!("{job}-inv")).await;
    bed.pod_reports(&inventory, &report(&backup, "Completed", "AlreadyPublished")).await;
    bed.job_completes(&format!("{job}-inv")).await;
    bed.until("unread", "Completed/AlreadyPublished").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_lost_node_is_given_up_after_the_deadline() {
    let bed = Bed::new("lost").await;
    let operator = bed.operator(&[]).await;
    bed.backup("lost", "claim").await;
    let job = bed.until("lost", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.pod_runs(&pod).await;
    bed.until("lost", "Running/Saving").await;
    bed.node("master-0", false).await;
    bed.until("lost", "Running/NodeLost").await;
    // The deadline passes: the Job began long ago.
    write_status(&bed.jobs, &job, json!({"startTime": "2026-01-01T00:00:00Z"})).await;
    bed.until("lost", "Failed/NodeLost").await;
    assert!(bed.pods.get_opt(&pod).await.unwrap().is_none(), "the pod is force-deleted");
    operator.stop().await;
}

#[tokio::test]
async fn a_foreign_job_of_the_same_name_is_not_taken_over() {
    let bed = Bed::new("foreign").await;
    let backup = bed.backup("foreign", "claim").await;
    let name = format!("etcd-backup-foreign-{}", &backup.uid().unwrap()[..8]);
    let container = json!({"name": "c", "image": "i"});
    let spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}});
    let job: Job = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
    bed.jobs.create(&PostParams::default(), &job).await.unwrap();
    let operator = bed.operator(&[]).await;
    bed.until("foreign", "Failed/JobNameTaken").await;
    assert!(bed.jobs.get(&name).await.unwrap().owner_references().is_empty());
    operator.stop().await;
}

#[tokio::test]
async fn a_refused_job_is_created_once_it_is_allowed() {
    let bed = Bed::new("refused").await;
    let role = ["-n", &bed.namespace, "patch", "role", "etcd-backup-operator", "--type=json", "-p"];
    let verbs = |verbs: &str| {
        let patch = format!(r#"[{{"op": "replace", "path": "/rules/0/verbs", "value": {verbs}}}]"#);
        bed.kubectl(&[&role[..], &[&patch]].concat());
    };
    verbs(r#"["get", "list", "watch"]"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let operator = bed.operator(&[]).await;
    bed.backup("refused", "claim").await;
    let status = bed.until("refused", "Pending/JobRefused").await;
    assert!(conditions::get(&status.conditions, "Pending").unwrap().message.contains("forbidden"));
    let version = bed.backups.get("refused").await.unwrap().resource_version();
    bed.stays("refused", "Pending/JobRefused").await;
    assert_eq!(
        bed.backups.get("refused").await.unwrap().resource_version(),
        version,
        "the status is rewritten in a loop"
    );
    verbs(r#"["get", "list", "watch", "create", "delete"]"#);
    tokio::time::sleep(Duration::from_secs(1)).await;
    bed.kubectl(&["-n", &bed.namespace, "label", "pvc", "claim", "touched=yes"]);
    eventually("the Job is created", || async { !bed.jobs_of("save").await.is_empty() }).await;
    bed.until("refused", "Pending/Starting").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_record_starts_nothing() {
    let bed = Bed::new("record").await;
    let operator = bed.operator(&[]).await;
    let recorded = json!({"backup": "nightly", "runId": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"});
    bed.create(json!({"metadata": {"name": "record"}, "spec": {"pvcName": "claim", "recorded": recorded}})).await;
    bed.backup("request", "claim").await;
    bed.until("request", "Pending/Starting").await;
    bed.until("record", "Running/JobMissing").await;
    bed.stays("record", "Running/JobMissing").await;
    assert_eq!(bed.jobs_of("save").await.len(), 1);
    assert!(bed.jobs_of("inventory").await.is_empty(), "nothing says that there ever was a Job");
    operator.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_holds_up_nobody() {
    let bed = Bed::new("garbage").await;
    let anything = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
                           "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]);
    bed.kubectl(&["patch", "crd", "etcdbackups.operator.openshift.io", "--type=json", "-p", &anything.to_string()]);
    let garbage = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
                         "metadata": {"name": "garbage"}, "spec": {"pvcName": ["claim"]}});
    let kind = kube::api::ApiResource::erase::<etcd_backup_api::EtcdBackup>(&());
    let raw: Api<kube::api::DynamicObject> = Api::all_with(bed.client.clone(), &kind);
    let object = serde_json::from_value(garbage).unwrap();
    eventually("the API server takes anything", || async { raw.create(&PostParams::default(), &object).await.is_ok() })
        .await;
    let operator = bed.operator(&[]).await;
    bed.backup("sound", "claim").await;
    bed.until("sound", "Pending/Starting").await;
    eventually("an event tells of it", || async { bed.events("garbage") == ["Unreadable"] }).await;
    operator.stop().await;
    raw.delete("garbage", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn an_operator_that_dies_anywhere_makes_one_job() {
    let bed = Bed::new("killed").await;
    // Dies after naming the Job and before creating it.
    let backup = bed.backup("named", "claim").await;
    let kind = etcd_backup_api::EtcdBackup::kind(&());
    let patch = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": kind, "metadata": {"name": "named"},
                       "status": {"jobName": "the-job", "phase": "Pending", "reason": "Starting"}});
    let manager = PatchParams::apply("etcd-backup-operator").force();
    bed.backups.patch_status("named", &manager, &Patch::Apply(patch)).await.unwrap();
    let operator = bed.operator(&[]).await;
    eventually("the Job has the stored name", || async { bed.jobs_of("save").await == ["the-job"] }).await;
    operator.kill().await;
    // Dies after creating it and before saying so.
    let patch = json!({"status": {"backupJob": null}});
    bed.backups.patch_status("named", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let operator = bed.operator(&[]).await;
    eventually("the Job is in the status", || async {
        bed.backups.get("named").await.unwrap().status.unwrap().backup_job.is_some()
    })
    .await;
    let pod = bed.pod_of("the-job").await;
    bed.pod_reports(&pod, &report(&backup, "Completed", "Completed")).await;
    bed.until("named", "Completed/Completed").await;
    operator.kill().await;
    assert_eq!(bed.jobs_of("save").await, ["the-job"]);

    // Dies at any moment of a whole run.
    let backup = bed.backup("anywhere", "claim").await;
    for millis in [5, 20, 40, 60, 80, 110, 150] {
        let operator = bed.operator(&[]).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        operator.kill().await;
    }
    let operator = bed.operator(&[]).await;
    let job = bed.until("anywhere", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.pod_reports(&pod, &report(&backup, "Completed", "Completed")).await;
    bed.until("anywhere", "Completed/Completed").await;
    operator.stop().await;
    assert_eq!(bed.jobs_of("save").await.len(), 2);
    assert!(bed.jobs_of("inventory").await.is_empty());
}

#[tokio::test]
async fn a_new_version_of_the_operator_leaves_a_running_job_alone() {
    let bed = Bed::new("upgrade").await;
    let backup = bed.backup("upgrade", "claim").await;
    let operator = bed.operator(&[]).await;
    let job = bed.until("upgrade", "Pending/Starting").await.job_name.unwrap();
    let pod = bed.pod_of(&job).await;
    bed.pod_runs(&pod).await;
    bed.until("upgrade", "Running/Saving").await;
    operator.stop().await;
    let before = bed.jobs.get(&job).await.unwrap();
    let operator = bed.operator(&["--deadline", "1h", "--job-service-account", "other"]).await;
    bed.stays("upgrade", "Running/Saving").await;
    assert_eq!(bed.jobs.get(&job).await.unwrap().resource_version(), before.resource_version());
    bed.pod_reports(&pod, &report(&backup, "Completed", "Completed")).await;
    bed.until("upgrade", "Completed/Completed").await;
    operator.stop().await;
}

#[tokio::test]
async fn etcds_endpoints_follow_the_nodes() {
    let bed = Bed::new("endpoints").await;
    let operator = bed.operator(&[]).await;
    let config_maps: Api<ConfigMap> = Api::namespaced(bed.client.clone(), &bed.namespace);
    let keys = || async {
        let found = config_maps.get_opt("etcd-backup-endpoints").await.unwrap();
        found.and_then(|found| found.data).unwrap_or_default().into_keys().collect::<Vec<_>>()
    };
    eventually("the ConfigMap is there", || async { keys().await == ["master-0"] }).await;
    bed.node("master-1", true).await;
    eventually("it follows", || async { keys().await == ["master-0", "master-1"] }).await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(bed.client.clone());
    nodes.delete("master-1", &DeleteParams::default()).await.unwrap();
    eventually("it follows back", || async { keys().await == ["master-0"] }).await;
    operator.stop().await;
}
