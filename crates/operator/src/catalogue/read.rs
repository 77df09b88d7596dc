//! Reads what an inventory Job has printed.

use etcd_backup_core::{IncompleteCatalogue, Origin};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};

use super::fetch;
use super::listing::{Listing, Reading};
use crate::agent_pod::CONTAINER;
use crate::context::Context;

/// Most bytes of a log that are read. Kubelet keeps 10 MiB by default, about ten thousand sets.
const MAX_LOG_BYTES: i64 = 256 << 20;

/// Why nothing is concluded from an inventory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The pod cannot be found or its log not be read.
    #[error("the log of Job {job} cannot be read: {source}")]
    Log {
        /// The Job.
        job: String,
        /// Why.
        source: kube::Error,
    },
    /// The log broke off.
    #[error("the log of Job {job} broke off: {source}")]
    BrokenOff {
        /// The Job.
        job: String,
        /// Why.
        source: std::io::Error,
    },
    /// No pod of the Job is left.
    #[error("Job {job} has ended, but its pod is gone")]
    NoPod {
        /// The Job.
        job: String,
    },
    /// What was read is not all.
    #[error(
        "what Job {job} printed is not complete: {source}. If the volume holds very many sets, raise containerLogMaxSize of the control-plane nodes' kubelets"
    )]
    Incomplete {
        /// The Job.
        job: String,
        /// What is missing.
        source: IncompleteCatalogue,
    },
}

/// Reads the output of a Job that has completed, line by line.
pub(crate) async fn listing(context: &Context, job: &str, wanted: impl Fn(&Origin) -> bool) -> Result<Listing, Error> {
    let log = |source| Error::Log { job: job.to_owned(), source };
    let incomplete = |source| Error::Incomplete { job: job.to_owned(), source };
    let pods = pods(context, job).await.map_err(log)?;
    let succeeded = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    let Some(pod) = pods.iter().rfind(succeeded) else { return Err(Error::NoPod { job: job.to_owned() }) };
    let parameters =
        LogParams { container: Some(CONTAINER.to_owned()), limit_bytes: Some(MAX_LOG_BYTES), ..LogParams::default() };
    let stream = context.pods.log_stream(&pod.name_any(), &parameters).await.map_err(log)?;
    let mut lines = stream.lines();
    let mut reading = Reading::new(wanted);
    let broken = |source| Error::BrokenOff { job: job.to_owned(), source };
    while let Some(line) = lines.try_next().await.map_err(broken)? {
        if let Some(end) = reading.line(&line) {
            return reading.close(end).map_err(incomplete);
        }
    }
    Err(incomplete(IncompleteCatalogue::NoEnd))
}

/// What the agent said of a Job that told nothing, if its pod is still there.
pub(crate) async fn agents_words(context: &Context, job: &str) -> Option<String> {
    let pods = pods(context, job).await.ok()?;
    pods.iter().rev().find_map(fetch::report).map(|report| format!("{}: {}", report.reason, report.message))
}

/// The pods of a Job, the newest last.
async fn pods(context: &Context, job: &str) -> Result<Vec<Pod>, kube::Error> {
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let mut pods = context.pods.list(&of_job).await?.items;
    pods.sort_by_key(|pod| pod.creation_timestamp());
    Ok(pods)
}
