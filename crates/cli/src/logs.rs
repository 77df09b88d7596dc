//! `logs`: what the agent said while it made a backup.

use std::io::{self, Write as _};
use std::time::Duration;

use etcd_backup_api::{BackupJob, EtcdBackup};
use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::sleep;

use crate::cli::LogsArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::exit::Exit;
use crate::jobs::{has_log, pod_state};

/// How often is looked for a pod that has not started.
const PACE: Duration = Duration::from_millis(500);

/// Prints the log of the newest attempt; earlier ones are named on standard error.
///
/// # Errors
/// If there is no log, or it cannot be read.
pub(crate) async fn run(cluster: &Cluster, args: &LogsArgs) -> Result<Exit, Error> {
    let (job, pod) = newest_attempt(cluster, args).await?;
    let mut log = cluster.log(&job.namespace, &pod, args.follow).await?;
    let broken = |error: io::Error| Error::Unreachable {
        verb: "read",
        what: format!("the log of pod {}/{pod}", job.namespace),
        reason: error.to_string(),
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = log.read(&mut buffer).await.map_err(broken)?;
        // Whoever reads the output may have seen enough.
        if read == 0 || io::stdout().lock().write_all(&buffer[..read]).is_err() {
            return Ok(Exit::Success);
        }
    }
}

/// The Job, and its newest pod that has a log. With `--follow` it may still have to start.
async fn newest_attempt(cluster: &Cluster, args: &LogsArgs) -> Result<(BackupJob, String), Error> {
    loop {
        let backup = cluster.etcd_backup(&args.name).await?;
        let job = job_of(&backup, &cluster.namespace);
        let pods = match &job {
            Some(job) => cluster.pods(&job.namespace, &job.name).await?,
            None => Vec::new(),
        };
        if let (Some(job), Some(pod)) = (&job, choose(&pods, args.follow)) {
            for other in pods.iter().filter(|other| other.name_any() != pod) {
                eprintln!("another attempt: pod {}/{} {}", job.namespace, other.name_any(), pod_state(other));
            }
            return Ok((job.clone(), pod));
        }
        if !args.follow || is_over(&backup) {
            return Err(Error::NoLog(no_log(&backup, job.as_ref(), &pods)));
        }
        sleep(PACE).await;
    }
}

/// The Job of a backup: as the status tells, or what it says of the name before the Job is there.
pub(crate) fn job_of(backup: &EtcdBackup, namespace: &str) -> Option<BackupJob> {
    let status = backup.status.as_ref()?;
    let named = || Some(BackupJob { namespace: namespace.to_owned(), name: status.job_name.clone()? });
    status.backup_job.clone().or_else(named)
}

/// The newest pod with a log. Who follows waits for the newest of all.
fn choose(pods: &[Pod], follow: bool) -> Option<String> {
    let newest = if follow { pods.last().filter(|pod| has_log(pod)) } else { pods.iter().rfind(|pod| has_log(pod)) };
    newest.map(ResourceExt::name_any)
}

fn is_over(backup: &EtcdBackup) -> bool {
    let phase = backup.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Completed" | "Failed"))
}

/// Why there is no log.
fn no_log(backup: &EtcdBackup, job: Option<&BackupJob>, pods: &[Pod]) -> String {
    let name = backup.name_any();
    match (job, pods.last()) {
        (None, _) => {
            format!("EtcdBackup {name} has no Job yet, so there is no log; see `kubectl etcd-backup describe {name}`")
        }
        (Some(_), Some(pod)) => format!("pod {} has not started: {}", pod.name_any(), pod_state(pod)),
        (Some(job), None) => format!(
            "no pod of Job {}/{} is left, so there is no log; what it reported is in `kubectl etcd-backup describe {name}`",
            job.namespace, job.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jobs::CONTAINER;

    fn pod(name: &str, started: bool) -> Pod {
        let state = if started { json!({"running": {}}) } else { json!({"waiting": {"reason": "ErrImagePull"}}) };
        let container =
            json!({"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        serde_json::from_value(
            json!({"metadata": {"name": name}, "status": {"phase": "Pending", "containerStatuses": [container]}}),
        )
        .unwrap()
    }

    #[test]
    fn who_follows_waits_for_the_newest_attempt() {
        let pods = [pod("first", true), pod("second", false)];
        assert_eq!(choose(&pods, false).as_deref(), Some("first"));
        assert_eq!(choose(&pods, true), None);
        assert_eq!(choose(&[pod("second", true)], true).as_deref(), Some("second"));
    }

    #[test]
    fn what_has_no_log_says_why() {
        let backup = |status| -> EtcdBackup {
            let object = json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": "b"}, "spec": {}, "status": status});
            serde_json::from_value(object).unwrap()
        };
        let (new, begun) = (backup(json!({})), backup(json!({"phase": "Pending", "jobName": "j"})));
        assert_eq!(job_of(&new, "ns"), None);
        let job = job_of(&begun, "ns").unwrap();
        assert_eq!((job.namespace.as_str(), job.name.as_str()), ("ns", "j"));
        assert!(no_log(&new, None, &[]).contains("has no Job yet"));
        assert!(no_log(&begun, Some(&job), &[]).contains("no pod of Job ns/j is left"));
        assert_eq!(no_log(&begun, Some(&job), &[pod("p", false)]), "pod p has not started: Pending (ErrImagePull)");
    }
}
