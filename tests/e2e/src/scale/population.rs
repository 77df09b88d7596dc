//! Everything that the operator finds when it starts: a node, claims, Backups and the records of their runs.

use std::fmt::Debug;

use anyhow::{Context as _, Result};
use etcd_backup_api::{Backup, EtcdBackup, FIELD_MANAGER};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Size;
use super::api::Cluster;
use super::run::{Run, SET_BYTES, Schedule};
use crate::bed::NAMESPACE;
use crate::manifests;

/// Requests under way at a time.
const WIDTH: usize = 16;

pub(super) struct Population {
    pub(super) schedules: Vec<Schedule>,
}

impl Population {
    /// So many Backups, and so many records spread over them.
    pub(super) fn new(size: Size, cluster: &str) -> Result<Self> {
        let last = Timestamp::from_second(Timestamp::now().as_second()).context("the time")?;
        let schedules = (0..size.backups).map(|number| {
            let runs = (size.records + size.backups - 1 - number) / size.backups;
            Schedule::new(number, runs, cluster, last)
        });
        Ok(Self { schedules: schedules.collect::<Result<_>>()? })
    }

    /// Creates all of it.
    pub(super) async fn create(&self, cluster: &Cluster) -> Result<()> {
        let nodes: Api<Node> = Api::all(cluster.admin.clone());
        let labels = json!({"node-role.kubernetes.io/control-plane": "", "kubernetes.io/hostname": "master-0"});
        apply(&nodes, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "master-0", "labels": labels}}))
            .await?;
        each(&self.schedules, |schedule| create_schedule(cluster, schedule)).await?;
        let runs: Vec<&Run> = self.schedules.iter().flat_map(|schedule| &schedule.runs).collect();
        each(&runs, |run| create_record(cluster, run)).await
    }
}

/// Does something for each of many, several at a time.
pub(super) async fn each<'a, T, F>(all: &'a [T], mut work: impl FnMut(&'a T) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter(all).map(|one| Ok(work(one))).try_for_each_concurrent(WIDTH, |done| done).await
}

async fn create_schedule(cluster: &Cluster, schedule: &Schedule) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.admin.clone(), NAMESPACE);
    apply(&claims, &manifests::claim(&schedule.claim, "local", None)).await?;
    let capacity = json!({"storage": "100Gi"});
    let bound = json!({"status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": capacity}});
    claims.patch_status(&schedule.claim, &PatchParams::default(), &Patch::Merge(bound)).await?;

    // Once a year: none is due while it is measured.
    let object = manifests::backup(&schedule.name, &schedule.claim, "20 4 1 1 *", manifests::keep(100));
    let backup: Backup = apply(&Api::<Backup>::all(cluster.admin.clone()), &object).await?;
    let api: Api<Backup> = Api::all(cluster.operator.clone());
    write_status(&api, &backup.name_any(), &object, &status_of(schedule, &backup)).await
}

/// The status of a Backup whose policy was enforced when its last run ended.
fn status_of(schedule: &Schedule, backup: &Backup) -> Value {
    let good: Vec<&Run> = schedule.good().collect();
    let ended = |run: Option<&&Run>| run.map(|run| run.ended());
    let newest = ended(good.last());
    let bytes = SET_BYTES * good.len() as u64;
    json!({
        "pvcName": schedule.claim, "volumeId": schedule.volume_id, "lastSuccessfulTime": newest,
        "policyHash": backup.policy(Some(&schedule.volume_id)).hash_on(&schedule.volume_id),
        "retained": {
            "count": good.len(), "sizeBytes": bytes, "size": format!("{} MiB", bytes >> 20), "oldest": ended(good.first()),
            "newest": newest, "time": newest, "volumeId": schedule.volume_id, "reason": "Satisfied",
            "message": format!("{} of at most 100 backups are kept", good.len()),
        },
    })
}

async fn create_record(cluster: &Cluster, run: &Run) -> Result<()> {
    let api: Api<EtcdBackup> = Api::all(cluster.operator.clone());
    let record = run.record();
    let name = record.name_any();
    let post = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api.create(&post, &record).await.with_context(|| format!("create EtcdBackup {name}"))?;
    write_status(&api, &name, &serde_json::to_value(&record)?, &run.status()?).await
}

/// Writes a status as the operator does.
async fn write_status<K>(api: &Api<K>, name: &str, object: &Value, status: &impl Serialize) -> Result<()>
where
    K: DeserializeOwned,
{
    let (version, kind) = (&object["apiVersion"], &object["kind"]);
    let patch = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "status": status});
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &parameters, &Patch::Apply(patch)).await.with_context(|| format!("status of {name}"))?;
    Ok(())
}

/// Applies an object as an administrator does.
async fn apply<K>(api: &Api<K>, object: &Value) -> Result<K>
where
    K: Clone + DeserializeOwned + Debug,
{
    let name = object["metadata"]["name"].as_str().context("an object without name")?;
    let parameters = PatchParams::apply("kubectl").force();
    api.patch(name, &parameters, &Patch::Apply(object)).await.with_context(|| format!("apply {name}"))
}
