//! All reads of a reconcile. The Backup and what it made are read from the API server itself,
//! because what a cache has not seen yet would be made again.

use std::sync::Arc;

use etcd_backup_api::{Backup, EtcdBackup, conditions};
use etcd_backup_core::Report;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

use super::decision::{Found, History, Observed};
use super::names;
use super::pruning::Prune;
use super::runs::{End, Run};
use crate::catalogue::triggers::claim_of;
use crate::context::Context;
use crate::etcdbackup::fetch::volume;
use crate::etcdbackup::job_state::JobState;
use crate::etcdbackup::pod_state::{ObservedPod, PodState};
use crate::labels;
use crate::reconcile::Error;

/// Reads everything that a decision needs; `None` if the object has gone or is going.
pub(crate) async fn fetch(context: &Context, name: &str) -> Result<Option<Observed>, Error> {
    let found = context.backups.get_opt(name).await.map_err(Error::read(format!("Backup {name}")))?;
    let Some(backup) = found.filter(|backup| backup.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let cluster = context.cluster_uid().await?.to_owned();
    let uid = backup.uid().unwrap_or_default();
    let (cron_job, policy) = (names::cron_job(name), names::policy(name));
    let cron_job = context.cron_jobs.get_opt(&cron_job).await.map_err(Error::read(format!("CronJob {cron_job}")))?;
    let policy = context.config_maps.get_opt(&policy).await.map_err(Error::read(format!("ConfigMap {policy}")))?;
    let cron_job = Found::new(cron_job, &uid);
    let jobs = jobs(context, &backup).await?;
    let records = records(context, name);
    let claim = &backup.spec.etcd.pvc_name;
    let prunes = prunes(context, &jobs, &uid).await?;
    Ok(Some(Observed {
        cluster,
        runs: cron_job.ours().map(|cron_job| runs(&jobs, cron_job, &records)).unwrap_or_default(),
        reports: reports(context, name, claim, &records, &prunes),
        catalogue: context.catalogues.current(claim),
        history: history(&records),
        volume: volume(&context.client, &context.stores, &context.config.backup_namespace, claim).await?,
        nodes: context.stores.nodes.state(),
        policy: Found::new(policy, &uid),
        prunes,
        awake: context.awake,
        cron_job,
        backup,
    }))
}

async fn jobs(context: &Context, backup: &Backup) -> Result<Vec<Job>, Error> {
    let name = backup.name_any();
    let ours = ListParams::default().labels(&format!("{}={}", labels::BACKUP, labels::cut(&name)));
    let mut jobs = context.jobs.list(&ours).await.map_err(Error::read(format!("the Jobs of Backup {name}")))?.items;
    jobs.sort_by_key(ResourceExt::creation_timestamp);
    Ok(jobs)
}

/// The runs among the Jobs: those that the CronJob owns. One whose record has ended is over, also if its
/// Job does not say so: without kube-controller-manager no Job does.
fn runs(jobs: &[Job], cron_job: &CronJob, records: &[Arc<EtcdBackup>]) -> Vec<Run> {
    let uid = cron_job.uid().unwrap_or_default();
    let owned = jobs.iter().filter(|job| job.owner_references().iter().any(|owner| owner.uid == uid));
    let runs = owned.map(|job| run(job, &cron_job.name_any()));
    runs.map(|run| Run { end: run.end.or_else(|| recorded_end(&run.id, records)), ..run }).collect()
}

fn recorded_end(run: &str, records: &[Arc<EtcdBackup>]) -> Option<End> {
    let of_run = |record: &&Arc<EtcdBackup>| record.spec.recorded.as_ref().is_some_and(|told| told.run_id == run);
    let status = records.iter().find(of_run)?.status.as_ref()?;
    let at = status.completion_time.as_ref()?.0;
    let is = |type_| conditions::is_true(&status.conditions, type_);
    (is("Completed") || is("Failed")).then(|| End { at, succeeded: is("Completed") })
}

fn run(job: &Job, cron_job: &str) -> Run {
    let due = names::due(&job.name_any(), cron_job);
    let status = job.status.as_ref();
    let ended = status.into_iter().flat_map(|status| status.conditions.iter().flatten()).find_map(|condition| {
        let succeeded = condition.type_ == "Complete";
        let ended = (succeeded || condition.type_ == "Failed") && condition.status == "True";
        let at = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        ended.then_some(End { at, succeeded })
    });
    let created = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Run { id: job.uid().unwrap_or_default(), created, due, end: ended }
}

/// The Jobs that enforce the policy, the newest last; its pods tell what it reported.
async fn prunes(context: &Context, jobs: &[Job], owner: &str) -> Result<Vec<Prune>, Error> {
    let of_ours = |job: &&Job| job.labels().get(labels::COMPONENT).is_some_and(|component| component == labels::PRUNE);
    let mut prunes = Vec::new();
    for job in jobs.iter().filter(of_ours) {
        let state = JobState::new(Some(job), owner, context.config.limits.job_deadline());
        let ended = matches!(state, JobState::Complete | JobState::Failed { .. });
        let report = if ended { prune_report(context, job).await? } else { None };
        prunes.push(Prune { name: job.name_any(), claim: claim_of(job).map(str::to_owned), state, report });
    }
    Ok(prunes)
}

async fn prune_report(context: &Context, job: &Job) -> Result<Option<Report>, Error> {
    let name = job.name_any();
    let uid = job.uid().unwrap_or_default();
    let Ok(run) = uid.parse() else { return Ok(None) };
    let ours = ListParams::default().labels(&format!("{}={uid}", labels::RUN));
    let mut pods = context.pods.list(&ours).await.map_err(Error::read(format!("the pods of Job {name}")))?.items;
    pods.sort_by_key(ResourceExt::creation_timestamp);
    let reported = |pod: &Pod| match ObservedPod::new(pod, &run).state {
        PodState::Ended { report, .. } => report.map(|report| *report),
        _ => None,
    };
    Ok(pods.iter().rev().find_map(reported))
}

/// The records of the Backup's runs.
fn records(context: &Context, backup: &str) -> Vec<Arc<EtcdBackup>> {
    let all = context.stores.backups.state();
    let known = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    let records = known.filter(|one| one.spec.recorded.as_ref().is_some_and(|recorded| recorded.backup == backup));
    records.map(|record| Arc::new(record.clone())).collect()
}

/// The newest reports that are about the claim: a run's claim is its record's.
fn reports(
    context: &Context,
    backup: &str,
    claim: &str,
    records: &[Arc<EtcdBackup>],
    prunes: &[Prune],
) -> Vec<Arc<Report>> {
    let is_on_claim = |report: &Arc<Report>| {
        let run = |record: &EtcdBackup| record.spec.recorded.as_ref().map(|recorded| recorded.run_id.clone());
        let record = records.iter().find(|record| run(record).as_deref() == Some(report.run_id.as_str()));
        record.is_some_and(|record| record.spec.pvc_name == claim)
    };
    let newest = context.catalogues.newest_report(backup).filter(is_on_claim);
    let on_claim = prunes.iter().filter(|prune| prune.claim.as_deref() == Some(claim));
    newest.into_iter().chain(on_claim.filter_map(|prune| prune.report.clone().map(Arc::new))).collect()
}

/// What the records say: the newest that is good, and those that failed since.
fn history(records: &[Arc<EtcdBackup>]) -> History {
    let ended = |type_: &str| {
        let mut ended: Vec<(Timestamp, String, String)> = records
            .iter()
            .filter_map(|record| {
                let status = record.status.as_ref()?;
                let condition = conditions::get(&status.conditions, type_).filter(|said| said.status == "True")?;
                Some((status.completion_time.as_ref()?.0, record.name_any(), condition.reason.clone()))
            })
            .collect();
        ended.sort();
        ended
    };
    let last_success = ended("Completed").last().map(|(at, ..)| *at);
    let failed: Vec<_> =
        ended("Failed").into_iter().filter(|(at, ..)| last_success.is_none_or(|good| *at > good)).collect();
    let last_failure = failed.last().map(|(_, name, reason)| (name.clone(), reason.clone()));
    History { last_success, failures: failed.len(), last_failure }
}

#[cfg(test)]
mod tests;
