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

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::runtime::scheduler;
use kube::runtime::scheduler::ScheduleRequest;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use self::known::Known;
pub(crate) use self::memory::{Catalogues, Changed, VolumeSays, VolumeState};
use crate::context::Context;
use crate::etcdbackup::status::whole_seconds;
use crate::reconcile::{self, Controller, Error};

/// How long changes are collected before a claim is looked at.
const CALM: Duration = Duration::from_millis(200);

/// The pace of many records: the next [`decide::BATCH`] of them after this time.
const PACE: Duration = Duration::from_secs(1);

/// Looks at each claim that may have changed, until `shutdown` resolves.
pub(crate) async fn run(
    context: Arc<Context>,
    changed: UnboundedReceiver<Changed>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (again, later) = unbounded();
    let remembered = OnceCell::new();
    let soon = |claim| ScheduleRequest { message: claim, run_at: Instant::now() + CALM };
    let changed = changed.flat_map(|changed| stream::iter(context.runs.claims(&context.stores, changed)).map(soon));
    let mut due = pin!(scheduler(stream::select(changed, later).take_until(shutdown)));
    while let Some(claim) = due.next().await {
        let what = format!("PersistentVolumeClaim {claim}");
        let result = reconcile::bounded(
            Controller::Claim,
            what.clone(),
            &context.metrics,
            reconcile(&claim, &context, &remembered),
        )
        .await;
        let wait = result.unwrap_or_else(|error| {
            reconcile::after_error(Controller::Claim, &what, &error, &context.metrics);
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
async fn reconcile(claim: &str, context: &Context, remembered: &OnceCell<()>) -> Result<Option<Duration>, Error> {
    if !context.runs.wait_until_ready().await || !context.stores.wait_until_ready().await {
        return Err(Error::Stopping);
    }
    if context.standing_down().await?.is_some() {
        return Ok(None);
    }
    remembered.get_or_try_init(|| fetch::remember_reports(context)).await?;
    let seen = fetch::fetch(context, claim).await?;
    let now = whole_seconds(Timestamp::now());
    let decision = decide::decide(&seen, &context.config.limits, now);
    apply::apply(context, &seen, &decision, now).await?;
    if decision.more {
        return Ok(Some(PACE));
    }
    Ok(decision.look_again.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default() + PACE))
}
