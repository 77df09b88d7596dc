//! `describe`: everything about one EtcdBackup on one screen.

mod advice;
mod screen;

use etcd_backup_api::{BackupJob, EtcdBackup};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;

use crate::cli::NameArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::exit::Exit;
use crate::logs::job_of;
use crate::paint::Paint;
use crate::print;

/// What was read.
pub(crate) struct Observed {
    pub(crate) backup: EtcdBackup,
    /// Its Job by name, and the Job if it is there.
    pub(crate) job: Option<(BackupJob, Option<Job>)>,
    /// The Job's pods, the newest last.
    pub(crate) pods: Vec<Pod>,
    /// About the EtcdBackup, the Job and the pods, the newest last.
    pub(crate) events: Vec<Event>,
    /// What may not be seen.
    pub(crate) hidden: Vec<String>,
}

/// Shows everything that may be seen.
///
/// # Errors
/// If the EtcdBackup cannot be read.
pub(crate) async fn run(cluster: &Cluster, args: &NameArgs) -> Result<Exit, Error> {
    let observed = observe(cluster, &args.name).await?;
    print(&screen::text(&observed, Timestamp::now(), Paint::of_stdout()));
    Ok(Exit::Success)
}

async fn observe(cluster: &Cluster, name: &str) -> Result<Observed, Error> {
    let backup = cluster.etcd_backup(name).await?;
    let mut hidden = Vec::new();
    let mut events = seen(cluster.events(None, "EtcdBackup", name).await, &mut hidden)?;
    // An object of the same name, deleted and made anew, has other events.
    events
        .retain(|event| event.regarding.as_ref().is_none_or(|about| about.uid.is_none() || about.uid == backup.uid()));
    let mut pods = Vec::new();
    let mut job = None;
    if let Some(named) = job_of(&backup, &cluster.namespace) {
        let found = seen(cluster.job(&named.namespace, &named.name).await, &mut hidden)?;
        pods = seen(cluster.pods(&named.namespace, &named.name).await, &mut hidden)?;
        events.extend(seen(cluster.events(Some(&named.namespace), "Job", &named.name).await, &mut hidden)?);
        for pod in &pods {
            events.extend(seen(cluster.events(Some(&named.namespace), "Pod", &pod.name_any()).await, &mut hidden)?);
        }
        job = Some((named, found));
    }
    events.sort_by_key(screen::time_of);
    hidden.dedup();
    Ok(Observed { backup, job, pods, events, hidden })
}

/// What was read; if it may not be read, that is noted, and the rest is shown all the same.
fn seen<T: Default>(read: Result<T, Error>, hidden: &mut Vec<String>) -> Result<T, Error> {
    match read {
        Err(Error::Forbidden { reason, .. }) => {
            hidden.push(reason);
            Ok(T::default())
        }
        read => read,
    }
}

#[cfg(test)]
mod tests;
