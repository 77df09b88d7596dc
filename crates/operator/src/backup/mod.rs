//! The Backup controller: fetch, decide (pure), build (pure), apply, status (pure). A Backup is a
//! CronJob, a ConfigMap with its policy, and what their runs report.

mod apply;
mod build;
mod decide;
mod decision;
mod drift;
mod events;
mod fetch;
mod knowledge;
mod names;
#[cfg(test)]
mod observed;
mod pruning;
mod reason;
mod runs;
mod status;
mod timetable;
pub(crate) mod triggers;

use std::convert::Infallible;
use std::sync::Arc;

use etcd_backup_api::Backup;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::runtime::controller::{self, Action};
use kube::runtime::events::{EventType, Recorder};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Config as ControllerConfig, applier};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::OnceCell;

use self::triggers::Guarded;
use crate::catalogue::Catalogues;
use crate::config::Config;
use crate::etcdbackup::status::whole_seconds;
use crate::etcdbackup::triggers::Stores;
use crate::metrics::Metrics;
use crate::reconcile::{self, Error};

/// What every reconcile works with.
pub(crate) struct Context {
    client: Client,
    config: Config,
    stores: Stores,
    catalogues: Arc<Catalogues>,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    cluster_uid: OnceCell<String>,
    awake: Timestamp,
    backups: Api<Backup>,
    cron_jobs: Api<CronJob>,
    config_maps: Api<ConfigMap>,
    jobs: Api<Job>,
    pods: Api<Pod>,
}

impl Context {
    /// A context over a client, and over what the other controllers keep.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        config: Config,
        stores: Stores,
        catalogues: Arc<Catalogues>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let namespace = &config.backup_namespace;
        Self {
            recorder: Recorder::new(client.clone(), etcd_backup_api::FIELD_MANAGER.into()),
            cluster_uid: OnceCell::new(),
            awake: whole_seconds(Timestamp::now()),
            backups: Api::all(client.clone()),
            cron_jobs: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            config,
            stores,
            catalogues,
            metrics,
        }
    }
}

/// Runs the controller until the triggers end, and then until the reconciles that are under way do.
pub(crate) async fn run(
    context: Context,
    schedules: Store<Guarded>,
    triggers: impl futures::TryStream<Ok = ObjectRef<Guarded>, Error = Infallible>,
) {
    let reconcile = |object: Arc<Guarded>, context: Arc<Context>| {
        async move { reconcile::bounded(what(&object), &context.metrics, reconcile(&object, &context)).await }.boxed()
    };
    let config = ControllerConfig::default().concurrency(4);
    applier(reconcile, error_policy, Arc::new(context), schedules, triggers, config)
        .for_each(|result| async {
            match result {
                // A trigger for an object that was deleted meanwhile.
                Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => {}
                Err(error) => tracing::error!(%error, "the controller's queue failed"),
            }
        })
        .await;
}

async fn reconcile(object: &Guarded, context: &Context) -> Result<Action, Error> {
    if let Err(invalid) = &object.0 {
        let error = Error::Unreadable { what: what(object), problem: invalid.error.clone() };
        let (reason, message) = (error.reason(), error.to_string());
        crate::events::send(&context.recorder, object, EventType::Warning, "Read", reason, &message).await;
        return Err(error);
    }
    if !context.stores.wait_until_ready().await {
        return Err(Error::Stopping);
    }
    let Some(seen) = fetch::fetch(context, &object.name_any()).await? else { return Ok(Action::await_change()) };
    let now = whole_seconds(Timestamp::now());
    let decision = apply::apply(context, &seen, decide::decide(&seen, now), now).await?;
    Ok(reconcile::until(decision.look_again, now))
}

#[allow(clippy::needless_pass_by_value, reason = "the applier's signature")]
fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    reconcile::after_error(&what(&object), error, &context.metrics)
}

/// Kind and name, for people.
fn what(object: &Guarded) -> String {
    format!("Backup {}", object.name_any())
}
