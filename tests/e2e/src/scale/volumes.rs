//! The volumes: answers each Job that lists one, as its pod would, and plays kubelet and Job controller for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use etcd_backup_core::{CATALOGUE_SCHEMA, CatalogueDigest, CatalogueEnd, CatalogueLine};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::api::Cluster;
use super::kubelet::Kubelet;
use super::population::{Population, each};
use super::run::Schedule;
use crate::bed::NAMESPACE;

/// How often is looked for new Jobs.
const LOOK: Duration = Duration::from_millis(200);

/// Answers until it is dropped.
pub(super) struct Volumes {
    listed: Arc<AtomicUsize>,
    claims: usize,
    task: JoinHandle<()>,
}

impl Volumes {
    /// Begins to answer.
    pub(super) async fn serve(cluster: &Cluster, population: &Population) -> Result<Self> {
        let kubelet = Kubelet::start().await?;
        let nodes: Api<Node> = Api::all(cluster.admin.clone());
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        }});
        nodes.patch_status("master-0", &PatchParams::default(), &Patch::Merge(status)).await?;
        let listed = Arc::new(AtomicUsize::new(0));
        let schedules: BTreeMap<String, Schedule> =
            population.schedules.iter().map(|schedule| (schedule.claim.clone(), schedule.clone())).collect();
        let claims = schedules.len();
        let answers = Answers { client: cluster.admin.clone(), kubelet, schedules, listed: listed.clone() };
        Ok(Self { listed, claims, task: tokio::spawn(answers.run()) })
    }

    /// How often a volume has been listed.
    pub(super) fn listed(&self) -> usize {
        self.listed.load(Ordering::Relaxed)
    }

    /// Whether as many have been listed as there are, since there were `before`.
    pub(super) fn all_listed_since(&self, before: usize) -> bool {
        self.listed() >= before + self.claims
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Answers {
    client: Client,
    kubelet: Kubelet,
    schedules: BTreeMap<String, Schedule>,
    listed: Arc<AtomicUsize>,
}

impl Answers {
    async fn run(self) {
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), NAMESPACE);
        let listing = ListParams::default().labels("app.kubernetes.io/component=catalogue");
        let mut answered = BTreeSet::new();
        loop {
            sleep(LOOK).await;
            // What fails is seen in that the operator does not come to rest.
            let found = jobs.list(&listing).await.map(|list| list.items).unwrap_or_default();
            let open: Vec<Job> = found.into_iter().filter(|job| !answered.contains(&job.name_any())).collect();
            if let Err(error) = each(&open, |job| self.answer(job)).await {
                eprintln!("a volume could not be listed: {error:#}");
            }
            answered.extend(open.iter().map(Job::name_any));
        }
    }

    /// The pod of the Job prints what is on its volume, and both end well.
    async fn answer(&self, job: &Job) -> Result<()> {
        let template = job.spec.clone().context("a Job without spec")?.template;
        let mut spec = template.spec.context("a Job without pod")?;
        let claims = spec.volumes.iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        let claim = claims.map(|claim| claim.claim_name.as_str()).next().context("a Job without claim")?;
        let text = inventory(self.schedules.get(claim).context("a Job on a claim of nobody")?)?;
        let name = format!("{}-abcde", job.name_any());
        self.kubelet.prints(&name, text);

        spec.node_name = Some("master-0".to_owned());
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        pod.metadata.name = Some(name.clone());
        pod.metadata.labels = template.metadata.and_then(|metadata| metadata.labels);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        pods.create(&PostParams::default(), &pod).await?;
        let now = Timestamp::from_second(Timestamp::now().as_second())?;
        let end = json!({"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now});
        let container = json!({"name": "etcd-backup", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                               "state": {"terminated": end}});
        patch(&pods, &name, json!({"phase": "Succeeded", "containerStatuses": [container]})).await?;
        let condition = |type_| {
            json!({"type": type_, "status": "True", "reason": "CompletionsReached", "message": "",
                                       "lastTransitionTime": now, "lastProbeTime": null})
        };
        let ended = json!({"startTime": now, "completionTime": now + SignedDuration::from_secs(1), "succeeded": 1,
                           "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]});
        patch(&Api::<Job>::namespaced(self.client.clone(), NAMESPACE), &job.name_any(), ended).await?;
        self.listed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

async fn patch<K: serde::de::DeserializeOwned>(api: &Api<K>, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch).await.with_context(|| format!("status of {name}"))?;
    Ok(())
}

/// What `etcd-backup inventory` prints of a schedule's volume.
fn inventory(schedule: &Schedule) -> Result<String> {
    let entries = schedule.good().map(super::run::Run::entry).collect::<Result<Vec<_>>>()?;
    let digest = CatalogueDigest::new(entries.iter().map(|entry| (&entry.name, entry.state)));
    let end = CatalogueEnd {
        schema_version: CATALOGUE_SCHEMA,
        volume_id: schedule.volume_id.clone(),
        time: Timestamp::now(),
        digest,
    };
    let sets = entries.into_iter().map(|entry| CatalogueLine::Set(Box::new(entry)));
    let lines = sets.chain([CatalogueLine::End(end)]).map(|line| Ok(serde_json::to_string(&line)? + "\n"));
    lines.collect()
}
