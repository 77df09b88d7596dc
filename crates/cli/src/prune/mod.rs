//! `prune --dry-run`: the plan of a schedule's policy. Only the volume knows its sets, and only the agent reads
//! the volume, so a Job does it.

mod plan_job;

use std::time::{Duration, Instant};

use etcd_backup_api::Backup;
use futures::AsyncReadExt as _;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::time::sleep;

use crate::cli::{Output, PruneArgs};
use crate::cluster::Cluster;
use crate::document::print_document;
use crate::error::Error;
use crate::exit::Exit;
use crate::jobs::{self, JobState, has_log, pod_state};
use crate::print;

/// How often the Job is looked at.
const PACE: Duration = Duration::from_millis(500);

/// Shows the plan. The Job goes whatever comes of it, also at Ctrl-C.
///
/// # Errors
/// If the Job cannot be made, or ends without a plan.
pub(crate) async fn run(cluster: &Cluster, args: &PruneArgs) -> Result<Exit, Error> {
    let backup = cluster.backup(&args.backup).await?;
    let cron_job = cron_job(cluster, &backup).await?;
    let json = matches!(args.output, Output::Json | Output::Yaml);
    let limit = i64::try_from(args.timeout.as_secs()).unwrap_or(i64::MAX).max(1);
    let job = cluster.create_job(&plan_job::build(&cron_job, json, limit)?).await?.name_any();
    eprintln!("Job {}/{job} reads the volume and changes nothing", cluster.namespace);
    let told = tokio::select! {
        told = told(cluster, &job, args.timeout) => told,
        _ = tokio::signal::ctrl_c() => Err(failed(&job, "was given up", "nothing was changed".to_owned())),
    };
    if let Err(error) = cluster.delete_job(&job).await {
        eprintln!("{error}; it goes by itself five minutes after it has ended");
    }
    let told = told?;
    if json {
        print_document(&document(&job, &told)?, args.output)?;
    } else {
        print(&told);
    }
    Ok(Exit::Success)
}

/// The CronJob of a schedule.
async fn cron_job(cluster: &Cluster, backup: &Backup) -> Result<CronJob, Error> {
    let absent = |why: &str| Error::NoCronJob {
        backup: backup.name_any(),
        namespace: cluster.namespace.clone(),
        why: why.to_owned(),
    };
    let named = backup.status.as_ref().and_then(|status| status.cron_job.as_ref());
    let named = named.ok_or_else(|| absent("see `kubectl etcd-backup status` for what keeps it from having one"))?;
    if named.namespace != cluster.namespace {
        return Err(absent(&format!("it is in {}, so say --namespace {0}", named.namespace)));
    }
    cluster.cron_job(&named.name).await?.ok_or_else(|| absent("the operator makes it anew within a moment"))
}

/// What the Job printed, once it has ended well.
async fn told(cluster: &Cluster, job: &str, limit: Duration) -> Result<String, Error> {
    let began = Instant::now();
    loop {
        let object = cluster.job(&cluster.namespace, job).await?;
        let object = object.ok_or_else(|| failed(job, "was deleted by somebody", "ask again".to_owned()))?;
        let pods = || cluster.pods(&cluster.namespace, job);
        match jobs::state(&object) {
            JobState::Complete => return log(cluster, job, &pods().await?).await,
            JobState::Failed(how) => {
                let pods = pods().await?;
                let told = match log(cluster, job, &pods).await {
                    Ok(log) => log.trim().to_owned(),
                    Err(Error::Job { .. }) => waiting(&pods),
                    Err(error) => error.to_string(),
                };
                return Err(failed(job, &format!("failed ({how})"), told));
            }
            JobState::Active if began.elapsed() >= limit => {
                return Err(failed(job, "did not end in time", waiting(&pods().await?)));
            }
            JobState::Active => sleep(PACE).await,
        }
    }
}

/// The whole log of the newest pod.
async fn log(cluster: &Cluster, job: &str, pods: &[Pod]) -> Result<String, Error> {
    let pod = pods.iter().rfind(|pod| has_log(pod));
    let pod = pod.ok_or_else(|| failed(job, "ended", "its pod is gone, ask again".to_owned()))?.name_any();
    let mut text = String::new();
    let read = cluster.log(&cluster.namespace, &pod, false).await?.read_to_string(&mut text).await;
    read.map_err(|error| failed(job, "ended", format!("the log of pod {pod} broke off: {error}")))?;
    Ok(text)
}

fn waiting(pods: &[Pod]) -> String {
    pods.last().map_or_else(
        || "it made no pod: a quota, pod security, or a missing ServiceAccount".to_owned(),
        |pod| format!("its pod {} is {}", pod.name_any(), pod_state(pod)),
    )
}

fn failed(job: &str, how: &str, told: String) -> Error {
    Error::Job { job: job.to_owned(), how: how.to_owned(), told }
}

/// The document in a log that may begin with other lines.
fn document(job: &str, log: &str) -> Result<serde_json::Value, Error> {
    let begin = if log.starts_with("{\n") { Some(0) } else { log.find("\n{\n") };
    let parsed = begin.and_then(|begin| serde_json::from_str(&log[begin..]).ok());
    parsed.ok_or_else(|| failed(job, "ended", format!("it printed no plan: {}", log.trim())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_found_among_other_lines() {
        for log in ["{\n  \"sets\": []\n}\n", "{\"level\":\"WARN\"}\n{\n  \"sets\": []\n}\n"] {
            assert_eq!(document("j", log).unwrap(), json!({"sets": []}));
        }
        let error = document("j", "{\"level\":\"ERROR\"}\n").unwrap_err();
        assert_eq!(error.to_string(), "Job j ended; it printed no plan: {\"level\":\"ERROR\"}");
    }
}
