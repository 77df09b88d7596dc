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
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::{Config as ControllerConfig, applier};

use self::triggers::Guarded;
use crate::context::Context;
use crate::reconcile::{self, Controller, Error};

/// Runs the controller until the triggers end, and then until the reconciles that are under way do.
pub(crate) async fn run(
    context: Arc<Context>,
    triggers: impl futures::TryStream<Ok = kube::runtime::reflector::ObjectRef<Guarded>, Error = std::convert::Infallible>,
) {
    let store = context.stores.backups.clone();
    let reconcile = |object: Arc<Guarded>, context: Arc<Context>| {
        async move {
            reconcile::bounded(Controller::EtcdBackup, what(&object), &context.metrics, reconcile(&object, &context))
                .await
        }
        .boxed()
    };
    applier(reconcile, error_policy, context, store, triggers, ControllerConfig::default().concurrency(8))
        .for_each(reconcile::over)
        .await;
}

async fn reconcile(object: &Guarded, context: &Context) -> Result<Action, Error> {
    if let Some(why) = context.standing_down().await? {
        apply::stand_down(context, object, &why, status::whole_seconds(Timestamp::now())).await?;
        return Ok(Action::await_change());
    }
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
    reconcile::after_error(Controller::EtcdBackup, &what(&object), error, &context.metrics)
}

/// Kind and name, for people.
fn what(object: &Guarded) -> String {
    format!("EtcdBackup {}", object.name_any())
}
