//! All reads of a reconcile. The EtcdBackup, its Jobs and pods are read from the API server itself,
//! because a Job that a cache has not seen yet would look like one that has vanished.

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{Request, RunId};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, Pod};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use super::decision::Observed;
use super::job_state::{JobState, ObservedJob};
use super::pod_state::ObservedPod;
use super::volume::Volume;
use super::{Context, Error, names, queue, status};

/// Reads everything that a decision needs; `None` if there is nothing to decide, because the object
/// has gone or is going, records a run, or has ended.
pub(crate) async fn fetch(context: &Context, name: &str) -> Result<Option<Observed>, Error> {
    let found = context.backups.get_opt(name).await.map_err(Error::read(format!("EtcdBackup {name}")))?;
    let Some(backup) = found.filter(needs_a_decision) else { return Ok(None) };
    let cluster = cluster_uid(context).await?;
    let layout = context.config.platform.into();
    let request = backup.request(cluster, &context.config.backup_namespace, layout);
    let named = backup.status.as_ref().and_then(|status| status.job_name.clone());
    let job_name = named.clone().unwrap_or_else(|| names::job_name(&backup));
    let mut observed = Observed {
        job_name,
        save: ObservedJob::default(),
        inventory: ObservedJob::default(),
        volume: Volume::default(),
        nodes: context.stores.nodes.state(),
        place: place(context, &backup),
        request,
        backup,
    };
    let Ok(request) = &observed.request else { return Ok(Some(observed)) };
    observed.save.state = job(context, &observed.backup, &observed.job_name).await?;
    if named.is_some() || observed.save.state.is_ours() {
        let inventory = names::inventory_job_name(&observed.job_name);
        if !matches!(observed.save.state, JobState::Active { .. }) {
            observed.inventory.state = job(context, &observed.backup, &inventory).await?;
        }
        (observed.save.pods, observed.inventory.pods) = pods(context, request).await?;
    } else {
        observed.volume = volume(context, &observed.backup.spec.pvc_name).await?;
    }
    Ok(Some(observed))
}

/// Whether there can be anything to do for this object.
#[must_use]
pub(crate) fn needs_a_decision(backup: &EtcdBackup) -> bool {
    backup.spec.recorded.is_none()
        && backup.metadata.deletion_timestamp.is_none()
        && !backup.status.as_ref().is_some_and(status::is_final)
}

/// The uid of kube-system, which names the cluster; it never changes, so it is read once.
async fn cluster_uid(context: &Context) -> Result<&String, Error> {
    let read = || async {
        let api: Api<Namespace> = Api::all(context.client.clone());
        api.get_metadata("kube-system").await.map(|namespace| namespace.uid().unwrap_or_default())
    };
    context.cluster_uid.get_or_try_init(read).await.map_err(Error::read("Namespace kube-system"))
}

fn place(context: &Context, backup: &EtcdBackup) -> queue::Place {
    let all = context.stores.backups.state();
    queue::place(backup, all.iter().filter_map(|guarded| guarded.0.as_ref().ok()))
}

async fn job(context: &Context, backup: &EtcdBackup, name: &str) -> Result<JobState, Error> {
    let found: Option<Job> = context.jobs.get_opt(name).await.map_err(Error::read(format!("Job {name}")))?;
    let owner = backup.uid().unwrap_or_default();
    Ok(JobState::new(found.as_ref(), &owner, context.config.limits.job_deadline()))
}

/// The pods of the Job that saves and of the one that asks the volume, the newest last.
async fn pods(context: &Context, request: &Request) -> Result<(Vec<ObservedPod>, Vec<ObservedPod>), Error> {
    let run: &RunId = &request.run_id;
    let ours = ListParams::default().labels(&format!("{}={run}", names::UID_LABEL));
    let mut list = context.pods.list(&ours).await.map_err(Error::read(format!("pods of run {run}")))?.items;
    list.sort_by_key(|pod| pod.creation_timestamp());
    let component = |pod: &Pod| pod.labels().get(names::COMPONENT_LABEL).map(String::as_str) == Some(names::INVENTORY);
    let (inventory, save): (Vec<Pod>, Vec<Pod>) = list.into_iter().partition(component);
    let observe = |pods: Vec<Pod>| pods.iter().map(|pod| ObservedPod::new(pod, run)).collect();
    Ok((observe(save), observe(inventory)))
}

async fn volume(context: &Context, name: &str) -> Result<Volume, Error> {
    let namespace = &context.config.backup_namespace;
    let claim = context.stores.claims.get(&ObjectRef::new(name).within(namespace));
    let spec = claim.as_ref().and_then(|claim| claim.spec.as_ref());
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref());
    let class = class.and_then(|class| context.stores.classes.get(&ObjectRef::new(class)));
    let bound = match spec.and_then(|spec| spec.volume_name.as_deref()) {
        Some(volume) => {
            let api: Api<PersistentVolume> = Api::all(context.client.clone());
            api.get_opt(volume).await.map_err(Error::read(format!("PersistentVolume {volume}")))?
        }
        None => None,
    };
    Ok(Volume { namespace: namespace.clone(), name: name.to_owned(), claim, class, bound })
}
