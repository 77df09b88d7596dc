//! The EtcdBackup controller: fetch, decide (pure), build (pure), apply, status (pure).

mod apply;
mod build;
mod decide;
mod decision;
mod events;
pub(crate) mod fetch;
pub(crate) mod job_state;
pub(crate) mod kept;
mod names;
pub(crate) mod pod_state;
mod queue;
pub(crate) mod reason;
pub(crate) mod status;
pub(crate) mod triggers;
pub(crate) mod volume;

use std::sync::Arc;

use etcd_backup_api::EtcdBackup;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::Recorder;
use kube::runtime::{Config as ControllerConfig, applier};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::OnceCell;

use self::triggers::{Guarded, Stores};
use crate::catalogue::Catalogues;
use crate::config::Config;
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
    backups: Api<EtcdBackup>,
    jobs: Api<Job>,
    pods: Api<Pod>,
}

impl Context {
    /// A context over a client and the stores that [`triggers::watch`] fills.
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
            backups: Api::all(client.clone()),
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
    triggers: impl futures::TryStream<Ok = kube::runtime::reflector::ObjectRef<Guarded>, Error = std::convert::Infallible>,
) {
    let store = context.stores.backups.clone();
    let reconcile = |object: Arc<Guarded>, context: Arc<Context>| {
        async move { reconcile::bounded(what(&object), &context.metrics, reconcile(&object, &context)).await }.boxed()
    };
    applier(reconcile, error_policy, Arc::new(context), store, triggers, ControllerConfig::default().concurrency(8))
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
    let known = match &object.0 {
        Ok(backup) => backup,
        Err(invalid) => {
            let error = Error::Unreadable { what: what(object), problem: invalid.error.clone() };
            events::publish_unreadable(context, object, &error).await;
            return Err(error);
        }
    };
    if !context.stores.wait_until_ready().await {
        return Err(Error::Stopping);
    }
    if !fetch::needs_a_decision(known) {
        return recheck(known, context).await;
    }
    let Some(seen) = fetch::fetch(context, &known.name_any()).await? else { return Ok(Action::await_change()) };
    let now = status::whole_seconds(Timestamp::now());
    let decision = decide::decide(&seen, &context.config.limits, now);
    apply::apply(context, &seen, &decision, now).await?;
    Ok(reconcile::until(decision.look_again, now))
}

/// Looks again at an EtcdBackup that has ended, if the volume's catalogue contradicts it.
async fn recheck(known: &EtcdBackup, context: &Context) -> Result<Action, Error> {
    let catalogue = context.catalogues.current(&known.spec.pvc_name);
    if catalogue.is_some_and(|catalogue| kept::contradiction(known, &catalogue).is_some()) {
        apply::recheck(context, &known.name_any(), status::whole_seconds(Timestamp::now())).await?;
    }
    Ok(Action::await_change())
}

#[allow(clippy::needless_pass_by_value, reason = "the applier's signature")]
fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    reconcile::after_error(&what(&object), error, &context.metrics)
}

/// Kind and name, for people.
fn what(object: &Guarded) -> String {
    format!("EtcdBackup {}", object.name_any())
}
