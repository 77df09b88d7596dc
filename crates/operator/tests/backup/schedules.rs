//! A bed for Backups; the test plays kube-controller-manager by writing what it would write.

use std::time::{Duration, Instant};

use etcd_backup_api::{Backup, BackupStatus, conditions};
use etcd_backup_core::Policy;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::bed::{Bed, eventually, write_status};

pub(crate) const VOLUME: &str = "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42";

pub(crate) struct Schedules {
    pub(crate) bed: Bed,
    pub(crate) backups: Api<Backup>,
    pub(crate) cron_jobs: Api<CronJob>,
    pub(crate) config_maps: Api<ConfigMap>,
}

impl Schedules {
    pub(crate) async fn new(test: &str) -> Self {
        let bed = Bed::new(test).await;
        Self {
            backups: Api::all(bed.client.clone()),
            cron_jobs: Api::namespaced(bed.client.clone(), &bed.namespace),
            config_maps: Api::namespaced(bed.client.clone(), &bed.namespace),
            bed,
        }
    }

    /// Creates a Backup on the claim at 04:20, with changes to its `spec.etcd`.
    pub(crate) async fn create(&self, name: &str, changes: Value) -> Backup {
        let mut etcd = json!({"schedule": "20 4 * * *", "timeZone": "Europe/Berlin", "pvcName": "claim"});
        etcd.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let backup = json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup",
                            "metadata": {"name": name}, "spec": {"etcd": etcd}});
        self.backups.create(&PostParams::default(), &serde_json::from_value(backup).unwrap()).await.unwrap()
    }

    pub(crate) async fn edit(&self, name: &str, etcd: Value) {
        let patch = Patch::Merge(json!({"spec": {"etcd": etcd}}));
        self.backups.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.backups.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the status meets a condition.
    pub(crate) async fn until(&self, name: &str, what: &str, holds: impl Fn(&BackupStatus) -> bool) -> BackupStatus {
        let status = || async { self.backups.get(name).await.unwrap().status.unwrap_or_default() };
        let mut last = status().await;
        let began = Instant::now();
        while !holds(&last) {
            assert!(began.elapsed() < Duration::from_secs(60), "not in time: {what}: {last:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            last = status().await;
        }
        last
    }

    /// Waits until a condition says `status reason`, and gives its message.
    pub(crate) async fn says(&self, name: &str, type_: &str, expected: &str) -> String {
        let said = |status: &BackupStatus| {
            conditions::get(&status.conditions, type_).map(|said| format!("{} {}", said.status, said.reason))
        };
        let status =
            self.until(name, &format!("{type_} {expected}"), |status| said(status).as_deref() == Some(expected)).await;
        conditions::get(&status.conditions, type_).unwrap().message.clone()
    }

    /// Waits until the CronJob meets a condition.
    pub(crate) async fn cron_job(&self, name: &str, what: &str, holds: impl Fn(&CronJob) -> bool) -> CronJob {
        eventually(what, || async { self.cron_jobs.get_opt(name).await.unwrap().is_some_and(|found| holds(&found)) })
            .await;
        self.cron_jobs.get(name).await.unwrap()
    }

    /// Waits until the policy meets a condition.
    pub(crate) async fn policy(&self, name: &str, what: &str, holds: impl Fn(&Policy) -> bool) -> Policy {
        let read = || async {
            let data = self.config_maps.get_opt(&format!("{name}-policy")).await.unwrap()?.data?;
            serde_json::from_str::<Policy>(&data["policy.json"]).ok()
        };
        eventually(what, || async { read().await.is_some_and(|policy| holds(&policy)) }).await;
        read().await.unwrap()
    }

    /// Plays kube-controller-manager: the run of a Backup that is due at a time is started. Gives its Job.
    pub(crate) async fn start(&self, name: &str, due: &str) -> Job {
        let cron_job = self.cron_job(name, "the CronJob is there", |_| true).await;
        let due: jiff::Timestamp = due.parse().unwrap();
        let template = cron_job.spec.clone().unwrap().job_template;
        let mut job = Job { spec: template.spec, metadata: template.metadata.unwrap(), status: None };
        job.metadata.name = Some(format!("{name}-{}", due.as_second() / 60));
        let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": cron_job.uid(),
                            "controller": true, "blockOwnerDeletion": true}]);
        job.metadata.owner_references = Some(serde_json::from_value(owner).unwrap());
        let job = self.bed.jobs.create(&PostParams::default(), &job).await.unwrap();
        write_status(&self.cron_jobs, name, json!({"lastScheduleTime": due})).await;
        job
    }

    /// The Job's pod ends with a report of this `retention`, and so does the Job.
    pub(crate) async fn end(&self, backup: &Backup, job: &Job, outcome: &str, volume: &str, retention: Value) {
        let name = job.name_any();
        if job.labels()["app.kubernetes.io/component"] == "scheduled-save" {
            self.is_recorded(job).await;
        }
        let pod = self.bed.pod_of(&name).await;
        self.bed.pod_reports(&pod, &report(backup, job, outcome, volume, retention)).await;
        match outcome {
            "Completed" => self.bed.job_completes(&name).await,
            _ => self.bed.job_fails(&name, "BackoffLimitExceeded").await,
        }
    }

    /// Waits for the record of the Job's run.
    pub(crate) async fn is_recorded(&self, job: &Job) {
        let run = job.uid().unwrap();
        eventually("the run is recorded", || async {
            let all = self.bed.backups.list(&ListParams::default()).await.unwrap();
            all.iter().any(|one| one.spec.recorded.as_ref().is_some_and(|recorded| recorded.run_id == run))
        })
        .await;
    }

    /// Waits for the one Job that enforces the policy.
    pub(crate) async fn prune_job(&self) -> Job {
        eventually("there is one prune Job", || async { self.bed.jobs_of("prune").await.len() == 1 }).await;
        self.bed.jobs.get(&self.bed.jobs_of("prune").await[0]).await.unwrap()
    }

    /// Asserts that nothing of a Backup is written for a while, whatever wakes the operator.
    pub(crate) async fn rests(&self, name: &str) {
        let versions = || async {
            let policy = format!("{name}-policy");
            [
                self.backups.get(name).await.unwrap().resource_version(),
                self.cron_jobs.get_opt(name).await.unwrap().and_then(|found| found.resource_version()),
                self.config_maps.get_opt(&policy).await.unwrap().and_then(|found| found.resource_version()),
            ]
        };
        // What was under way is finished: the same answer twice.
        let began = Instant::now();
        let mut before = versions().await;
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let now = versions().await;
            if std::mem::replace(&mut before, now.clone()) == now {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{name} is written again and again");
        }
        for touched in ["one", "two", "three"] {
            let touched = format!("touched={touched}");
            self.bed.kubectl(&["-n", &self.bed.namespace, "label", "pvc", "claim", &touched, "--overwrite"]);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(versions().await, before);
    }
}

/// A report of a run's or a prune's Job.
pub(crate) fn report(backup: &Backup, job: &Job, outcome: &str, volume: &str, retention: Value) -> Value {
    let now = jiff::Timestamp::now();
    let component = job.labels()["app.kubernetes.io/component"].clone();
    let snapshot = json!({"revision": 4711, "sizeBytes": 126_000_000, "sha256": "ab", "clusterId": "c1", "memberId": "m1", "raftTerm": 9});
    let set = json!({"name": format!("backup-{}-2026-01-01_000000-0b8f6f53", backup.name_any()), "sequence": 1, "verified": true,
                     "files": [{"name": "backup.json", "sizeBytes": 900}], "snapshot": snapshot});
    let saves = component == "scheduled-save";
    let reason = match (outcome, saves) {
        ("Completed", true) => "Completed",
        ("Completed", false) => "Pruned",
        _ => "NoSpace",
    };
    json!({"schemaVersion": "1.0", "runId": job.uid(), "outcome": outcome, "message": "said the agent",
           "reason": reason,
           "startTime": now, "completionTime": now, "node": "master-0", "volumeId": volume,
           "owner": {"cluster": "c", "kind": "Backup", "name": backup.name_any()},
           "retention": retention, "set": if reason == "Completed" { set } else { Value::Null }})
}

/// What a run says of retention, of so many verified sets.
pub(crate) fn retention(reason: &str, hash: &str, verified: u64) -> Value {
    json!({"reason": reason, "message": format!("said the agent: {reason}"), "policyHash": hash, "deleted": 0, "deletedBytes": 0,
           "peakBytes": 0, "retained": {"verified": verified, "sets": verified, "sizeBytes": verified << 30}})
}
