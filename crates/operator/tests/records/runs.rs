//! A Backup with its CronJob, its volume and its runs.

use etcd_backup_api::{Backup, EtcdBackup};
use etcd_backup_core::SetName;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::bed::{Bed, eventually, write_status};
use crate::kubelet::Kubelet;
use crate::volume::Volume;

pub(crate) struct Runs {
    pub(crate) bed: Bed,
    pub(crate) volume: Volume,
    kubelet: Kubelet,
    backup: String,
}

/// A run of the CronJob.
pub(crate) struct Run {
    /// Uid of the Job.
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) pod: String,
    /// Name of the EtcdBackup that records it.
    pub(crate) record: String,
}

impl Runs {
    /// A Backup on `claim` whose volume is empty.
    pub(crate) async fn new(test: &str, backup: &str) -> Self {
        let bed = Bed::new(test).await;
        bed.kubectl(&["delete", "backups.config.openshift.io", "--all"]);
        let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/admission/recorded.yaml");
        bed.kubectl(&["apply", "-f", policy]);
        let kubelet = Kubelet::start().await;
        let nodes: Api<Node> = Api::all(bed.client.clone());
        let address = json!({
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        });
        write_status(&nodes, "master-0", address).await;
        let system: Api<Namespace> = Api::all(bed.client.clone());
        let cluster = system.get("kube-system").await.unwrap().uid().unwrap();
        let backups: Api<Backup> = Api::all(bed.client.clone());
        let object = json!({
            "apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": backup},
            "spec": {"etcd": {"schedule": "20 4 * * *", "timeZone": "UTC", "pvcName": "claim"}},
        });
        backups.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        Self { bed, volume: Volume::new(&cluster, backup), kubelet, backup: backup.to_owned() }
    }

    pub(crate) async fn cron_job(&self) -> CronJob {
        let cron_jobs: Api<CronJob> = Api::namespaced(self.bed.client.clone(), &self.bed.namespace);
        eventually("the CronJob is there", || async { cron_jobs.get_opt(&self.backup).await.unwrap().is_some() }).await;
        cron_jobs.get(&self.backup).await.unwrap()
    }

    /// Plays the CronJob's and the Job's controller.
    pub(crate) async fn start_job(&self, name: &str) -> Run {
        let cron_job = self.cron_job().await;
        let owner = OwnerReference {
            api_version: "batch/v1".into(),
            kind: "CronJob".into(),
            name: cron_job.name_any(),
            uid: cron_job.uid().unwrap(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let template = cron_job.spec.unwrap().job_template;
        let mut job = Job { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
        job.metadata.name = Some(name.to_owned());
        job.metadata.owner_references = Some(vec![owner]);
        let id = self.bed.jobs.create(&PostParams::default(), &job).await.unwrap().uid().unwrap();
        let pod = self.bed.pod_of(name).await;
        Run { record: format!("{}-{}", self.backup, &id[..13]), id, job: name.to_owned(), pod }
    }

    /// A run that the operator sees.
    pub(crate) async fn start_run(&self, name: &str) -> Run {
        let run = self.start_job(name).await;
        eventually("the run is recorded", || async { self.bed.backups.get_opt(&run.record).await.unwrap().is_some() })
            .await;
        run
    }

    /// The run publishes its set, reports it and ends.
    pub(crate) async fn publish(&mut self, run: &Run) -> SetName {
        let set = self.volume.publish(&run.id);
        self.bed.pod_reports(&run.pod, &self.volume.report(&set)).await;
        self.bed.job_completes(&run.job).await;
        set
    }

    /// The run fails at some minute.
    pub(crate) async fn fail(&self, run: &Run, minute: usize) {
        let time = format!("2026-01-01T00:{minute:02}:00Z");
        let report = json!({"schemaVersion": "1.0", "runId": run.id, "outcome": "Failed", "reason": "NoSpace", "message": "full",
                            "startTime": time, "completionTime": time, "node": "master-0"});
        self.bed.pod_reports(&run.pod, &report).await;
        self.bed.job_fails(&run.job, "BackoffLimitExceeded").await;
    }

    /// The sets on the volume, the oldest first.
    pub(crate) fn volume_sets(&self) -> Vec<SetName> {
        self.volume.names()
    }

    /// Names of all records, in order.
    pub(crate) async fn records(&self) -> Vec<String> {
        let mut names: Vec<String> = self.all_records().await.iter().map(EtcdBackup::name_any).collect();
        names.sort();
        names
    }

    /// How many EtcdBackups there are; asking costs little however many.
    pub(crate) async fn count(&self) -> usize {
        let page = self.bed.backups.list_metadata(&ListParams::default().limit(1)).await.unwrap();
        page.items.len() + usize::try_from(page.metadata.remaining_item_count.unwrap_or(0)).unwrap()
    }

    /// How many records are completed.
    pub(crate) async fn completed(&self) -> usize {
        let completed = |record: &&EtcdBackup| {
            record.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Completed")
        };
        self.all_records().await.iter().filter(completed).count()
    }

    async fn all_records(&self) -> Vec<EtcdBackup> {
        let records = ListParams::default().labels("app.kubernetes.io/component=record");
        self.bed.backups.list(&records).await.unwrap().items
    }

    /// Waits until the volume is asked, and answers with what is on it; gives the Job's name.
    pub(crate) async fn answer_listing(&self) -> String {
        self.answer_listing_with(self.volume.inventory()).await
    }

    /// Waits, and answers if the volume is asked meanwhile.
    pub(crate) async fn answering<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        eventually(what, || {
            let holds = holds();
            async {
                if let Some(job) = self.bed.open_jobs("catalogue").await.pop() {
                    self.answer(&job, self.volume.inventory()).await;
                }
                holds.await
            }
        })
        .await;
    }

    /// Waits until the volume is asked, and answers with this.
    pub(crate) async fn answer_listing_with(&self, text: String) -> String {
        eventually("the volume is asked", || async { self.bed.open_jobs_of("catalogue").await == 1 }).await;
        let job = self.bed.open_jobs("catalogue").await.remove(0);
        self.answer(&job, text).await;
        job
    }

    async fn answer(&self, job: &str, text: String) {
        let pod = self.bed.pod_of(job).await;
        self.kubelet.prints(&pod, text);
        let end = json!({"exitCode": 0, "reason": "Completed", "message": "", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:07Z"});
        self.bed.kubelet_says(&pod, "Succeeded", json!({"terminated": end})).await;
        self.bed.job_completes(job).await;
    }
}

impl Bed {
    pub(crate) async fn eventually_completed(&self, name: &str) {
        eventually("the record is there", || async { self.backups.get_opt(name).await.unwrap().is_some() }).await;
        self.until(name, "Completed/Completed").await;
    }

    /// Names of the Jobs of a component that have not ended.
    pub(crate) async fn open_jobs(&self, component: &str) -> Vec<String> {
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        let open = |job: &&Job| job.status.as_ref().is_none_or(|status| status.conditions.is_none());
        self.jobs.list(&ours).await.unwrap().items.iter().filter(open).map(Job::name_any).collect()
    }

    pub(crate) async fn open_jobs_of(&self, component: &str) -> usize {
        self.open_jobs(component).await.len()
    }

    /// How often events of a reason were published about an object.
    pub(crate) fn notes(&self, name: &str, reason: &str) -> usize {
        let about = format!("regarding.name={name},reason={reason}");
        let events =
            self.kubectl(&["get", "events.events.k8s.io", "-n", "default", "--field-selector", &about, "-o", "json"]);
        let events: Value = serde_json::from_str(&events).unwrap();
        let count = |event: &Value| event["series"]["count"].as_u64().unwrap_or(1);
        usize::try_from(events["items"].as_array().unwrap().iter().map(count).sum::<u64>()).unwrap()
    }
}
