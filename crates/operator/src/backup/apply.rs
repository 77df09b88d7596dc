//! All writes of a reconcile: policy, CronJob, the Job that prunes, then the status, then events.

use std::fmt::Debug;

use etcd_backup_api::{Backup, BackupStatus, FIELD_MANAGER};
use etcd_backup_core::Report;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::decide::is_suspended;
use super::decision::{CronJobStep, Decision, Found, Observed, Said};
use super::knowledge::before;
use super::pruning::PruneStep;
use super::reason::BackupReason;
use super::triggers::Guarded;
use super::{build, drift, events, names, status};
use crate::context::Context;
use crate::etcdbackup::status::whole_seconds;
use crate::reconcile::Error;

/// How long after the API server refused something it is asked again.
const REFUSED_RETRY: SignedDuration = SignedDuration::from_secs(60);

/// What became of a write.
enum Written {
    /// It is there and ours.
    Ours,
    /// One of its name is there and is somebody else's.
    Foreign,
    /// The API server will not have it.
    Refused(String),
}

/// Does what was decided. Each write is such that doing it twice is doing it once. Gives the
/// decision as it turned out.
pub(crate) async fn apply(
    context: &Context,
    seen: &Observed,
    decided: Decision,
    now: Timestamp,
) -> Result<Decision, Error> {
    let mut decision = decided;
    let mut retry = false;
    if let Some(policy) = &decision.policy {
        let wanted = build::policy(&seen.backup, policy, &context.config);
        if let Written::Refused(message) = keep(&context.config_maps, &seen.policy, &wanted).await? {
            let message = format!("the API server refuses the ConfigMap with the policy: {message}");
            decision.retention = Some(Said::no(BackupReason::PolicyRefused, message));
            (decision.prune, retry) = (PruneStep::None, true);
        }
    }
    let (has_cron_job, refused) = keep_cron_job(context, seen, &decision.cron_job).await?;
    if let Some(message) = refused {
        let message = format!("the API server refuses CronJob {}: {message}", names::cron_job(&seen.backup.name_any()));
        decision.scheduled = Said::no(BackupReason::CronJobRefused, message);
        retry = true;
    }
    if let Some(message) = start_prune(context, seen, &decision.prune).await? {
        decision.retention = Some(Said::no(BackupReason::PruneFailed, message));
        retry = true;
    }
    if retry {
        decision.look_again = decision.look_again.into_iter().chain([now + REFUSED_RETRY]).min();
    }
    share(context, seen);
    let next = status::next(seen, &decision, has_cron_job, &context.config, now);
    write_status(context, &seen.backup, &next).await?;
    events::publish(context, &seen.backup, &decision, &next).await;
    Ok(decision)
}

/// Lets the catalogue follow what a Job that pruned has reported, once: afterwards the status has it.
fn share(context: &Context, seen: &Observed) {
    let claim = &seen.backup.spec.etcd.pvc_name;
    let retained = before(&seen.backup).and_then(|status| status.retained.as_ref()?.time.as_ref());
    let is_news = |report: &Report| {
        let at = whole_seconds(report.completion_time);
        report.retention.is_some() && retained.is_none_or(|known| known.0 < at)
    };
    let on_claim = seen.prunes.iter().filter(|prune| prune.claim.as_ref() == Some(claim));
    for report in on_claim.filter_map(|prune| prune.report.as_ref()).filter(|report| is_news(report)) {
        context.catalogues.note(claim, report.clone());
    }
}

/// Whether there is a CronJob of ours afterwards, and why the API server refuses what it should be.
async fn keep_cron_job(
    context: &Context,
    seen: &Observed,
    step: &CronJobStep,
) -> Result<(bool, Option<String>), Error> {
    let live = seen.cron_job.ours();
    match step {
        CronJobStep::Leave => Ok((live.is_some(), None)),
        CronJobStep::Delete => {
            if let Some(live) = live {
                delete_cron_job(context, live).await?;
            }
            Ok((false, None))
        }
        CronJobStep::Apply { timetable, since } => {
            let owner = seen.backup.owner(&seen.cluster);
            let wanted = build::cron_job(&seen.backup, &owner, timetable, *since, &context.config);
            match keep(&context.cron_jobs, &seen.cron_job, &wanted).await? {
                Written::Ours | Written::Foreign => Ok((true, None)),
                Written::Refused(message) => Ok((live.is_some(), Some(message))),
            }
        }
    }
}

async fn delete_cron_job(context: &Context, live: &CronJob) -> Result<(), Error> {
    let name = live.name_any();
    let same = Preconditions { uid: live.uid(), ..Preconditions::default() };
    let parameters = DeleteParams { preconditions: Some(same), ..DeleteParams::background() };
    match context.cron_jobs.delete(&name, &parameters).await {
        Ok(_) => tracing::info!(cron_job = name, "deleted the CronJob"),
        Err(kube::Error::Api(answer)) if [404, 409].contains(&answer.code) => {}
        Err(source) => return Err(Error::write(format!("the deletion of CronJob {name}"))(source)),
    }
    Ok(())
}

/// Applies an object unless the one in the cluster has all that it says. What somebody else makes
/// in between is not seized: an uid that differs is refused, and so is a value that differs where
/// none was there.
async fn keep<K>(api: &Api<K>, live: &Found<K>, wanted: &K) -> Result<Written, Error>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let name = wanted.name_any();
    let what = format!("{} {name}", K::kind(&()));
    let mut patch = json_of(wanted);
    let mut parameters = PatchParams::apply(FIELD_MANAGER);
    match live {
        Found::Foreign => return Ok(Written::Foreign),
        Found::Ours(live) if drift::covers(&json_of(live), &patch) => return Ok(Written::Ours),
        Found::Ours(live) => {
            patch["metadata"]["uid"] = live.uid().into();
            parameters = parameters.force();
        }
        Found::Absent => {}
    }
    patch["apiVersion"] = K::api_version(&()).into();
    patch["kind"] = K::kind(&()).into();
    let result = api.patch(&name, &parameters, &Patch::Apply(patch)).await;
    match result {
        Ok(_) => {
            tracing::info!(object = what, "applied");
            Ok(Written::Ours)
        }
        Err(kube::Error::Api(answer)) if [403, 422].contains(&answer.code) => Ok(Written::Refused(answer.message)),
        Err(source) => Err(Error::write(what)(source)),
    }
}

/// Suspends the CronJob of a Backup, and says once for each spec why nothing is started. What the API
/// server refuses of a status is not tried again: the schema may be another one.
pub(crate) async fn stand_down(context: &Context, object: &Guarded, why: &str, now: Timestamp) -> Result<(), Error> {
    suspend(context, object).await?;
    let Ok(known) = &object.0 else { return Ok(()) };
    let name = known.name_any();
    let found = context.backups.get_opt(&name).await.map_err(Error::read(format!("Backup {name}")))?;
    let Some(backup) = found.filter(|backup| backup.metadata.deletion_timestamp.is_none()) else { return Ok(()) };
    let Some(next) = status::standing_down(&backup, why, now) else { return Ok(()) };
    events::publish_stand_down(context, &backup, why).await;
    match write_status(context, &backup, &next).await {
        Err(Error::Write { what, source: kube::Error::Api(answer) }) => {
            tracing::warn!(object = what, %answer, "standing down cannot be told");
            Ok(())
        }
        result => result,
    }
}

/// Suspends the CronJob of a Backup, also of one that cannot be read, until it is applied again.
async fn suspend(context: &Context, backup: &Guarded) -> Result<(), Error> {
    let name = names::cron_job(&backup.name_any());
    let found = context.cron_jobs.get_opt(&name).await.map_err(Error::read(format!("CronJob {name}")))?;
    let found = Found::new(found, &backup.uid().unwrap_or_default());
    let Some(live) = found.ours().filter(|live| !is_suspended(live)) else { return Ok(()) };
    let patch = Patch::Merge(json!({"metadata": {"uid": live.uid()}, "spec": {"suspend": true}}));
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match context.cron_jobs.patch(&name, &parameters, &patch).await {
        Ok(_) => tracing::warn!(cron_job = name, "suspended the CronJob"),
        Err(kube::Error::Api(answer)) if [404, 409].contains(&answer.code) => {}
        Err(source) => return Err(Error::write(format!("CronJob {name}"))(source)),
    }
    Ok(())
}

fn json_of(object: &impl Serialize) -> serde_json::Value {
    // Objects of the API can always be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

/// Creates the Job that prunes; gives why there is none.
async fn start_prune(context: &Context, seen: &Observed, step: &PruneStep) -> Result<Option<String>, Error> {
    let PruneStep::Create { name, policy_hash, ended } = step else { return Ok(None) };
    let owner = seen.backup.owner(&seen.cluster);
    let job = build::prune_job(&seen.backup, &owner, name, policy_hash, &context.config);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let what = format!("Job {name}");
    match context.jobs.create(&parameters, &job).await {
        Ok(_) => {
            tracing::info!(backup = seen.backup.name_any(), job = name, "created the Job that enforces the policy")
        }
        Err(kube::Error::Api(answer)) if answer.code == 409 && answer.reason == "AlreadyExists" => {
            let found = context.jobs.get_opt(name).await.map_err(Error::read(what))?;
            let owner = seen.backup.uid().unwrap_or_default();
            if matches!(Found::new(found, &owner), Found::Foreign) {
                let message =
                    format!("a Job named {name}, which would enforce the policy, belongs to somebody else; delete it");
                return Ok(Some(message));
            }
        }
        Err(kube::Error::Api(answer)) if [403, 404, 422].contains(&answer.code) => {
            return Ok(Some(format!(
                "the API server refuses Job {name}, which would enforce the policy: {}",
                answer.message
            )));
        }
        Err(source) => return Err(Error::write(what)(source)),
    }
    for old in ended {
        match context.jobs.delete(old, &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            Err(source) => return Err(Error::write(format!("the deletion of Job {old}"))(source)),
        }
    }
    Ok(None)
}

/// Writes the status if it differs. The uid is in the patch, so that another object of the same name
/// is not touched.
async fn write_status(context: &Context, backup: &Backup, next: &BackupStatus) -> Result<(), Error> {
    if backup.status.as_ref() == Some(next) {
        return Ok(());
    }
    let name = backup.name_any();
    let patch = json!({
        "apiVersion": Backup::api_version(&()), "kind": Backup::kind(&()),
        "metadata": {"name": name, "uid": backup.uid()}, "status": next,
    });
    match context.backups.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await {
        Ok(_) => {
            tracing::info!(backup = name, "wrote the status");
            Ok(())
        }
        // Deleted, or deleted and made anew: its status is nobody's business any more.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(source) => Err(Error::write(format!("the status of Backup {name}"))(source)),
    }
}
