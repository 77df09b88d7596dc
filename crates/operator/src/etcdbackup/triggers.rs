//! What wakes a reconcile: changes of EtcdBackups, Jobs, pods, claims, nodes and storage classes,
//! each mapped to the EtcdBackups that it concerns. Nothing is polled.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus, FIELD_MANAGER, SnapshotStatus};
use futures::channel::mpsc::UnboundedSender;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::status;
use crate::backup::triggers::Concern;
use crate::catalogue::Catalogues;
use crate::catalogue::triggers::waking;
use crate::{labels, nodes};

/// An EtcdBackup, or the reason why the stored object is none.
pub(crate) type Guarded = DeserializeGuard<EtcdBackup>;

/// What is kept in memory of the cluster.
#[derive(Clone)]
pub(crate) struct Stores {
    /// All EtcdBackups.
    pub(crate) backups: Store<Guarded>,
    /// The claims of the backup namespace.
    pub(crate) claims: Store<PersistentVolumeClaim>,
    /// All nodes, reduced to what is read here.
    pub(crate) nodes: Store<Node>,
    /// All storage classes.
    pub(crate) classes: Store<StorageClass>,
}

impl Stores {
    /// Waits until each store has been filled once; `false` if a watch has ended instead.
    pub(crate) async fn wait_until_ready(&self) -> bool {
        self.backups.wait_until_ready().await.is_ok()
            && self.claims.wait_until_ready().await.is_ok()
            && self.nodes.wait_until_ready().await.is_ok()
            && self.classes.wait_until_ready().await.is_ok()
    }
}

type Trigger = Result<ObjectRef<Guarded>, Infallible>;

/// Who is told of a change.
#[derive(Clone)]
struct Told {
    backups: Store<Guarded>,
    schedules: UnboundedSender<Concern>,
}

/// Starts all watches. The stores are filled while the stream is polled; `schedules` is told what
/// concerns Backups.
pub(crate) fn watch(
    client: &Client,
    namespace: &str,
    nodes_changed: Arc<Notify>,
    schedules: &UnboundedSender<Concern>,
    catalogues: &Arc<Catalogues>,
) -> (Stores, BoxStream<'static, Trigger>) {
    let (backups, backup_writer) = reflector::store();
    let (claims, claim_writer) = reflector::store();
    let (nodes, node_writer) = reflector::store();
    let (classes, class_writer) = reflector::store();
    let stores = Stores { backups: backups.clone(), claims, nodes, classes };
    // Jobs and pods are only triggers; a reconcile reads them afresh.
    let jobs: Api<PartialObjectMeta<Job>> = Api::namespaced(client.clone(), namespace);
    let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    let of_ours = watcher::Config::default().labels(&format!("{}={FIELD_MANAGER}", labels::MANAGED_BY));
    let all = watcher::Config::default().page_size(100);
    let told = Told { backups: backups.clone(), schedules: schedules.clone() };
    let mut node_facts = node_facts(stores.nodes.clone());
    let watches = [
        triggers(
            &told,
            waking(
                stored(Api::all(client.clone()), all.clone(), backup_writer, slim),
                catalogues.clone(),
                |object: &Guarded| Some(object.0.as_ref().ok()?.spec.pvc_name.clone()),
            ),
            neighbours,
            of_record,
        ),
        triggers(&told, watcher(jobs, of_ours.clone()), of_job, Concern::of),
        triggers(&told, watcher(pods, of_ours), labelled, |_| None),
        triggers(
            &told,
            waking(
                stored(Api::namespaced(client.clone(), namespace), all.clone(), claim_writer, |_| ()),
                catalogues.clone(),
                |claim: &PersistentVolumeClaim| Some(claim.name_any()),
            ),
            on_claim,
            |claim| Some(Concern::Claim(claim.name_any())),
        ),
        triggers(
            &told,
            stored(Api::all(client.clone()), all.clone(), node_writer, nodes::slim),
            move |backups, _| {
                nodes_changed.notify_one();
                unfinished(backups)
            },
            move |_| node_facts().then_some(Concern::Any),
        ),
        triggers(
            &told,
            stored(Api::all(client.clone()), all, class_writer, |_| ()),
            |backups, _| unfinished(backups),
            |_| Some(Concern::Any),
        ),
    ];
    (stores, stream::select_all(watches).boxed())
}

/// Drops what nobody reads of a finished EtcdBackup: there may be thousands of them. What remains is
/// compared with what is on the volume, or is in the metrics.
fn slim(guarded: &mut Guarded) {
    let Ok(backup) = &mut guarded.0 else { return };
    backup.annotations_mut().retain(|key, _| key == labels::JOB);
    backup.metadata.labels = None;
    if let Some(status) = backup.status.take_if(|status| status::is_final(status)) {
        backup.metadata.annotations = None;
        let mut conditions = status.conditions;
        conditions.retain(|condition| {
            let end = ["Completed", "Failed"].contains(&&*condition.type_) && condition.status == "True";
            end || condition.type_ == "Verified"
        });
        conditions.iter_mut().for_each(|condition| condition.message = String::new());
        conditions.shrink_to_fit();
        let EtcdBackupStatus { start_time, completion_time, location, volume_id, snapshot, .. } = status;
        // Numbers need no memory of their own.
        let snapshot = snapshot.map(|SnapshotStatus { revision, size_bytes, .. }| SnapshotStatus {
            revision,
            size_bytes,
            ..SnapshotStatus::default()
        });
        let kept = EtcdBackupStatus {
            conditions,
            start_time,
            completion_time,
            location,
            volume_id,
            snapshot,
            ..EtcdBackupStatus::default()
        };
        backup.status = Some(kept);
    }
}

/// A watch whose objects are kept, without what nobody reads.
pub(crate) fn stored<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    slim: impl Fn(&mut K) + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let slimmed = watcher(api, config).modify(move |object| {
        object.managed_fields_mut().clear();
        slim(object);
    });
    slimmed.reflect(writer)
}

/// Each change becomes the EtcdBackups that it concerns; after a new list, which tells of no
/// deletion, all unfinished ones. `of_schedule` says which Backups it concerns.
fn triggers<K>(
    told: &Told,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    concerned: impl Fn(&Store<Guarded>, &K) -> Vec<ObjectRef<Guarded>> + Send + 'static,
    mut of_schedule: impl FnMut(&K) -> Option<Concern> + Send + 'static,
) -> BoxStream<'static, Trigger>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let Told { backups, schedules } = told.clone();
    let mut concerned = move |event| {
        let (triggers, concern) = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => (concerned(&backups, &object), of_schedule(&object)),
            Ok(Event::InitDone) => ([unfinished(&backups), unreadable(&backups)].concat(), Some(Concern::Any)),
            Ok(Event::Init | Event::InitApply(_)) => (Vec::new(), None),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it is started again");
                (Vec::new(), None)
            }
        };
        if let Some(concern) = concern {
            // Nobody listens any more while the operator ends.
            let _ = schedules.unbounded_send(concern);
        }
        triggers
    };
    events.default_backoff().flat_map(move |event| stream::iter(concerned(event)).map(Ok)).boxed()
}

/// Whether what matters of the nodes differs from the last time; their heartbeats do not.
fn node_facts(nodes: Store<Node>) -> impl FnMut() -> bool + Send + 'static {
    let mut last = None;
    move || {
        let mut facts: Vec<_> = nodes.state().iter().map(|node| (node.name_any(), nodes::facts(node))).collect();
        facts.sort();
        let facts = Some(facts);
        let changed = last != facts;
        last = facts;
        changed
    }
}

/// The Backup whose run the object records.
fn of_record(object: &Guarded) -> Option<Concern> {
    let recorded = object.0.as_ref().ok()?.spec.recorded.as_ref()?;
    Some(Concern::Backup(recorded.backup.clone()))
}

/// The EtcdBackup itself, and who waits on the same volume. Nobody waits for a record, nor does one.
fn neighbours(backups: &Store<Guarded>, changed: &Guarded) -> Vec<ObjectRef<Guarded>> {
    let mut concerned = match &changed.0 {
        Ok(backup) if backup.spec.recorded.is_none() => on_claim_named(backups, &backup.spec.pvc_name),
        _ => Vec::new(),
    };
    concerned.push(ObjectRef::from_obj(changed));
    concerned
}

/// The EtcdBackup that owns the Job, or that records its run.
fn of_job(backups: &Store<Guarded>, job: &PartialObjectMeta<Job>) -> Vec<ObjectRef<Guarded>> {
    let references = job.owner_references().iter();
    let mut concerned: Vec<_> =
        references.filter_map(|reference| ObjectRef::from_owner_ref(None, reference, ())).collect();
    concerned.extend(job.uid().iter().flat_map(|uid| recording(backups, uid)));
    concerned
}

fn recording(backups: &Store<Guarded>, run_id: &str) -> Vec<ObjectRef<Guarded>> {
    select(backups, |backup| backup.spec.recorded.as_ref().is_some_and(|recorded| recorded.run_id == run_id))
}

fn labelled(backups: &Store<Guarded>, pod: &PartialObjectMeta<Pod>) -> Vec<ObjectRef<Guarded>> {
    match (pod.labels().get(labels::UID), pod.labels().get(labels::RUN)) {
        (Some(uid), _) => select(backups, |backup| backup.metadata.uid.as_ref() == Some(uid)),
        (None, Some(run_id)) => recording(backups, run_id),
        (None, None) => Vec::new(),
    }
}

fn on_claim(backups: &Store<Guarded>, claim: &PersistentVolumeClaim) -> Vec<ObjectRef<Guarded>> {
    on_claim_named(backups, &claim.name_any())
}

fn on_claim_named(backups: &Store<Guarded>, claim: &str) -> Vec<ObjectRef<Guarded>> {
    select(backups, |backup| backup.spec.pvc_name == claim && backup.spec.recorded.is_none())
}

fn unfinished(backups: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    select(backups, |_| true)
}

/// What cannot be read, so that it is told of once after each start.
fn unreadable(backups: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let found = backups.state_filter(|guarded| guarded.0.is_err());
    found.iter().map(|found| ObjectRef::from_obj(found.as_ref())).collect()
}

/// The unfinished EtcdBackups that meet a condition.
fn select(backups: &Store<Guarded>, concerned: impl Fn(&EtcdBackup) -> bool) -> Vec<ObjectRef<Guarded>> {
    let wanted = |guarded: &Guarded| match &guarded.0 {
        Ok(backup) => concerned(backup) && !backup.status.as_ref().is_some_and(status::is_final),
        Err(_) => false,
    };
    backups.state_filter(wanted).iter().map(|found| ObjectRef::from_obj(found.as_ref())).collect()
}
