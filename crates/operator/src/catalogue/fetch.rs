//! All reads of a reconcile: from the watches' stores, the shared memory, and once the pods.

use std::sync::Arc;

use etcd_backup_core::{REPORT_SCHEMA, Report};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;

use super::decide::Observed;
use super::triggers;
use crate::agent_pod::CONTAINER;
use crate::context::Context;
use crate::labels;
use crate::reconcile::Error;

/// Pods that are read at a time.
const PAGE: u32 = 100;

/// Reads everything that a decision about a claim needs.
pub(crate) async fn fetch(context: &Context, claim: &str) -> Result<Observed, Error> {
    let jobs = context.runs.jobs.state_filter(|job| triggers::claim_of(job) == Some(claim));
    let mut seen = Observed {
        claim: claim.to_owned(),
        cluster: context.cluster_uid().await?.to_owned(),
        bound: is_bound(context, claim),
        schedules: context.runs.schedules.state(),
        objects: context.stores.backups.state(),
        jobs,
        memory: context.catalogues.of_claim(claim),
        asked: context.catalogues.asked(),
    };
    let used = seen.bound && seen.users().next().is_some();
    seen.memory.used = used;
    context.catalogues.update(claim, |claim| claim.used = used);
    Ok(seen)
}

fn is_bound(context: &Context, claim: &str) -> bool {
    let namespace = &context.config.backup_namespace;
    let found = context.stores.claims.get(&ObjectRef::new(claim).within(namespace));
    found.is_some_and(|claim| {
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none()
    })
}

/// The newest reports of the Backups, from the pods that are still there: what an earlier process
/// may have died over.
pub(super) async fn remember_reports(context: &Context) -> Result<(), Error> {
    let of_schedules = format!("{}={}", labels::COMPONENT, labels::SCHEDULED_SAVE);
    let mut page = ListParams::default().labels(&of_schedules).limit(PAGE);
    loop {
        let pods = context.pods.list(&page).await.map_err(Error::read("pods of scheduled runs"))?;
        for report in pods.items.iter().filter_map(report) {
            context.catalogues.remember(Arc::new(report));
        }
        match pods.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// The report that a pod has ended with, of whichever run.
pub(super) fn report(pod: &Pod) -> Option<Report> {
    let containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let container = containers.into_iter().find(|container| container.name == CONTAINER)?;
    let message = container.state.as_ref()?.terminated.as_ref()?.message.as_deref()?;
    serde_json::from_str(message).ok().filter(|report: &Report| REPORT_SCHEMA.reads(report.schema_version))
}
