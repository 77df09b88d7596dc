//! The catalogue: per claim, what is on its volume, which of it is recorded, and when to ask. One
//! claim after the other, each by fetch, decide (pure), build (pure), apply.

mod apply;
mod build;
pub(crate) mod decide;
mod fetch;
pub(crate) mod known;
mod listing;
mod memory;
mod read;
pub(crate) mod triggers;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use etcd_backup_api::EtcdBackup;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::events::Recorder;
use kube::runtime::scheduler;
use kube::runtime::scheduler::ScheduleRequest;
use kube::{Api, Client};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use self::known::Known;
use self::memory::Changed;
pub(crate) use self::memory::{Catalogues, VolumeSays};
use self::triggers::Stores;
use crate::config::Config;
use crate::etcdbackup::status::whole_seconds;
use crate::etcdbackup::triggers::Stores as ClusterStores;
use crate::metrics::Metrics;
use crate::reconcile::{self, Error};

/// How long changes are collected before a claim is looked at.
const CALM: Duration = Duration::from_millis(200);

/// The pace of many records: the next [`decide::BATCH`] of them after this time.
const PACE: Duration = Duration::from_secs(1);

/// What every reconcile works with.
pub(crate) struct Context {
    client: Client,
    config: Config,
    stores: Stores,
    cluster: ClusterStores,
    catalogues: Arc<Catalogues>,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    cluster_uid: OnceCell<String>,
    remembered: OnceCell<()>,
    backups: Api<EtcdBackup>,
    jobs: Api<Job>,
    pods: Api<Pod>,
}

impl Context {
    /// A context over a client and the stores that the watches fill.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        config: Config,
        stores: Stores,
        cluster: ClusterStores,
        catalogues: Arc<Catalogues>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let namespace = &config.backup_namespace;
        Self {
            recorder: Recorder::new(client.clone(), etcd_backup_api::FIELD_MANAGER.into()),
            cluster_uid: OnceCell::new(),
            remembered: OnceCell::new(),
            backups: Api::all(client.clone()),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            config,
            stores,
            cluster,
            catalogues,
            metrics,
        }
    }
}

/// Looks at each claim that may have changed, until `shutdown` resolves.
pub(crate) async fn run(
    context: Context,
    changed: UnboundedReceiver<Changed>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (again, later) = unbounded();
    let soon = |claim| ScheduleRequest { message: claim, run_at: Instant::now() + CALM };
    let changed = changed.flat_map(|changed| stream::iter(context.stores.claims(&context.cluster, changed)).map(soon));
    let mut due = pin!(scheduler(stream::select(changed, later).take_until(shutdown)));
    while let Some(claim) = due.next().await {
        let what = format!("PersistentVolumeClaim {claim}");
        let result = reconcile::bounded(what.clone(), &context.metrics, reconcile(&claim, &context)).await;
        let wait = result.unwrap_or_else(|error| {
            reconcile::after_error(&what, &error, &context.metrics);
            Some(reconcile::RETRY)
        });
        if let Some(wait) = wait {
            let request = ScheduleRequest { message: claim, run_at: Instant::now() + wait };
            // The other end lives as long as this function.
            let _ = again.unbounded_send(request);
        }
    }
}

/// Looks at one claim; gives when to look again.
async fn reconcile(claim: &str, context: &Context) -> Result<Option<Duration>, Error> {
    if !context.stores.wait_until_ready().await || !context.cluster.wait_until_ready().await {
        return Err(Error::Stopping);
    }
    let seen = fetch::fetch(context, claim).await?;
    let now = whole_seconds(Timestamp::now());
    let decision = decide::decide(&seen, &context.config.limits, now);
    apply::apply(context, &seen, &decision, now).await?;
    if decision.more {
        return Ok(Some(PACE));
    }
    Ok(decision.look_again.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default() + PACE))
}
