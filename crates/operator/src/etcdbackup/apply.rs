//! All writes of a reconcile: the step's, then the status, then the event.

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus, FIELD_MANAGER};
use etcd_backup_core::Report;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::decision::{Decision, Observed, Step, Verdict};
use super::fetch::needs_a_decision;
use super::job_state::JobState;
use super::reason::StatusReason;
use super::triggers::Guarded;
use super::volume::Obstacle;
use super::{build, events, kept, status};
use crate::catalogue::VolumeSays;
use crate::context::Context;
use crate::reconcile::Error;

/// What became of a Job's creation.
enum Created {
    /// It is there and ours.
    Ours,
    /// One of its name is there and is somebody else's.
    Foreign,
    /// The API server will not have it.
    Refused(String),
}

/// Does what was decided. Each write is such that doing it twice is doing it once.
pub(crate) async fn apply(
    context: &Context,
    seen: &Observed,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), Error> {
    let namespace = &context.config.backup_namespace;
    let mut verdict = decision.verdict.clone();
    let mut next = status::next(seen, namespace, &verdict, now);
    let mut current = seen.backup.clone();
    match (&decision.step, &seen.request) {
        (Step::CreateSave, Ok(request)) => {
            // Named before it is created: whatever happens in between, the Job is found again.
            next.job_name = Some(seen.job_name.clone());
            current = write_status(context, current, &next).await?;
            let job = build::save_job(&seen.backup, request, &seen.job_name, &context.config);
            match create(context, &seen.backup, &job).await? {
                Created::Ours => {
                    next.backup_job = Some(status::job_reference(namespace, &seen.job_name));
                }
                Created::Foreign => verdict = Verdict::name_taken(&seen.job_name),
                Created::Refused(message) => {
                    let message = format!("the API server refuses Job {}: {message}", seen.job_name);
                    verdict = Verdict::Pending(Obstacle::new(StatusReason::JobRefused, message));
                }
            }
        }
        (Step::CreateInventory, Ok(request)) => {
            let name = seen.inventory_name.clone();
            let job = build::inventory_job(&seen.backup, request, &name, &context.config);
            if let Created::Refused(message) = create(context, &seen.backup, &job).await? {
                let message = format!(
                    "the volume cannot be asked what became of the run, the API server refuses Job {name}: {message}"
                );
                let state = Obstacle::new(StatusReason::InventoryFailed, message);
                verdict = Verdict::Running { state, pod: None };
            }
        }
        (Step::DeleteSave, _) => delete(context, &seen.job_name).await?,
        (Step::DeleteInventory, _) => delete(context, &seen.inventory_name).await?,
        (Step::ForceDelete(pods), _) => force_delete(context, pods).await?,
        (Step::Wait | Step::CreateSave | Step::CreateInventory, _) => {}
    }
    if verdict != decision.verdict {
        next = status::next(&Observed { backup: current.clone(), ..seen.clone() }, namespace, &verdict, now);
    }
    if let Some(report) = told_by_a_pod(seen, &verdict) {
        context.catalogues.note(&seen.backup.spec.pvc_name, report.clone());
    }
    write_status(context, current, &next).await?;
    // What became of a run long ago, as its set tells, is no news.
    if !seen.never_had_a_job() {
        events::publish(context, &seen.backup, &verdict).await;
    }
    Ok(())
}

/// The report of a run that has just ended.
fn told_by_a_pod<'a>(seen: &Observed, verdict: &'a Verdict) -> Option<&'a Report> {
    match (&seen.volume_says, verdict) {
        (VolumeSays::Set(_), _) => None,
        (_, Verdict::Completed(report)) => Some(report),
        (_, Verdict::Failed { report, .. }) => report.as_deref(),
        _ => None,
    }
}

/// Says of an EtcdBackup that has not ended why nothing is done for it, once for each spec. What the API
/// server refuses is not tried again: the schema may be another one.
pub(crate) async fn stand_down(context: &Context, object: &Guarded, why: &str, now: Timestamp) -> Result<(), Error> {
    // A record tells of a run that a CronJob started, and what cannot be read is not meant for us.
    let Some(name) = object.0.as_ref().ok().filter(|known| known.spec.recorded.is_none()).map(|one| one.name_any())
    else {
        return Ok(());
    };
    let found = context.etcdbackups.get_opt(&name).await.map_err(Error::read(format!("EtcdBackup {name}")))?;
    let Some(backup) = found.filter(needs_a_decision) else { return Ok(()) };
    let Some(next) = status::standing_down(&backup, why, now) else { return Ok(()) };
    events::publish_stand_down(context, &backup, why).await;
    match write_status(context, backup, &next).await {
        Err(Error::Write { what, source: kube::Error::Api(answer) }) => {
            tracing::warn!(object = what, %answer, "standing down cannot be told");
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Says of an EtcdBackup that has ended what the volume's catalogue tells of its set.
pub(crate) async fn recheck(context: &Context, name: &str, now: Timestamp) -> Result<(), Error> {
    let found = context.etcdbackups.get_opt(name).await.map_err(Error::read(format!("EtcdBackup {name}")))?;
    let Some(backup) = found else { return Ok(()) };
    let known = context.catalogues.current(&backup.spec.pvc_name);
    let Some(kept) = known.and_then(|known| kept::contradiction(&backup, &known)) else { return Ok(()) };
    let next = status::kept(&backup, &kept, now);
    write_status(context, backup.clone(), &next).await?;
    events::publish_kept(context, &backup, &kept).await;
    Ok(())
}

async fn create(context: &Context, backup: &EtcdBackup, job: &Job) -> Result<Created, Error> {
    let name = job.name_any();
    let what = format!("Job {name}");
    match context
        .jobs
        .create(&PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }, job)
        .await
    {
        Ok(_) => {
            tracing::info!(etcdbackup = backup.name_any(), job = name, "created the Job");
            Ok(Created::Ours)
        }
        Err(kube::Error::Api(answer)) if answer.code == 409 && answer.reason == "AlreadyExists" => {
            let found = context.jobs.get_opt(&name).await.map_err(Error::read(what))?;
            let owner = backup.uid().unwrap_or_default();
            let state = JobState::new(found.as_ref(), &owner, context.config.limits.job_deadline());
            Ok(if state.is_ours() { Created::Ours } else { Created::Foreign })
        }
        Err(kube::Error::Api(answer)) if [403, 404, 422].contains(&answer.code) => Ok(Created::Refused(answer.message)),
        Err(source) => Err(Error::Write { what, source }),
    }
}

async fn delete(context: &Context, job: &str) -> Result<(), Error> {
    match context.jobs.delete(job, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(source) => Err(Error::Write { what: format!("the deletion of Job {job}"), source }),
    }
}

async fn force_delete(context: &Context, pods: &[String]) -> Result<(), Error> {
    for pod in pods {
        match context.pods.delete(pod, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => tracing::warn!(pod, "force-deleted a pod whose node is lost"),
            Err(kube::Error::Api(answer)) if answer.code == 404 => {}
            Err(source) => return Err(Error::Write { what: format!("the deletion of Pod {pod}"), source }),
        }
    }
    Ok(())
}

/// Writes the status if it differs, and gives the object with it. The uid is in the patch, so that
/// another object of the same name is not touched.
async fn write_status(context: &Context, backup: EtcdBackup, next: &EtcdBackupStatus) -> Result<EtcdBackup, Error> {
    if backup.status.as_ref() == Some(next) {
        return Ok(backup);
    }
    let written = EtcdBackup { status: Some(next.clone()), ..backup };
    let name = written.name_any();
    let patch = json!({
        "apiVersion": EtcdBackup::api_version(&()), "kind": EtcdBackup::kind(&()),
        "metadata": {"name": name, "uid": written.uid()}, "status": next,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match context.etcdbackups.patch_status(&name, &parameters, &Patch::Apply(patch)).await {
        Ok(_) => {
            tracing::info!(etcdbackup = name, phase = next.phase, reason = next.reason, "wrote the status");
            Ok(written)
        }
        // Deleted, or deleted and made anew: its status is nobody's business any more.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(written),
        Err(source) => Err(Error::Write { what: format!("the status of EtcdBackup {name}"), source }),
    }
}
