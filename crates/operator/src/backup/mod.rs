//! The Backup controller: fetch, decide (pure), build (pure), apply, status (pure). A Backup is a
//! CronJob, a ConfigMap with its policy, and what their runs report.

mod apply;
mod build;
mod decide;
mod decision;
mod drift;
mod events;
mod fetch;
pub(crate) mod knowledge;
pub(crate) mod names;
#[cfg(test)]
mod observed;
mod pruning;
mod reason;
mod runs;
mod status;
pub(crate) mod timetable;
pub(crate) mod triggers;

use std::convert::Infallible;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Config as ControllerConfig, applier};

use self::triggers::Guarded;
use crate::context::Context;
use crate::etcdbackup::status::whole_seconds;
use crate::reconcile::{self, Controller, Error};

/// Runs the controller until the triggers end, and then until the reconciles that are under way do.
pub(crate) async fn run(
    context: Arc<Context>,
    triggers: impl futures::TryStream<Ok = ObjectRef<Guarded>, Error = Infallible>,
) {
    let schedules = context.runs.schedules.clone();
    let reconcile = |object: Arc<Guarded>, context: Arc<Context>| {
        async move {
            reconcile::bounded(Controller::Backup, what(&object), &context.metrics, reconcile(&object, &context)).await
        }
        .boxed()
    };
    let config = ControllerConfig::default().concurrency(4);
    applier(reconcile, error_policy, context, schedules, triggers, config).for_each(reconcile::over).await;
}

async fn reconcile(object: &Guarded, context: &Context) -> Result<Action, Error> {
    if let Some(why) = context.standing_down().await? {
        apply::stand_down(context, object, &why, whole_seconds(Timestamp::now())).await?;
        return Ok(Action::await_change());
    }
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
    reconcile::after_error(Controller::Backup, &what(&object), error, &context.metrics)
}

/// Kind and name, for people.
fn what(object: &Guarded) -> String {
    format!("Backup {}", object.name_any())
}
