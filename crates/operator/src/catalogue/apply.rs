//! All writes of a reconcile: records, the inventory Job, the shared memory.

use etcd_backup_api::{Backup, FIELD_MANAGER};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::events::EventType;

use super::decide::{Decision, Dropped, Inventory, NewRecord, Observed, Phase};
use super::memory::{Asked, Changed};
use super::{build, read};
use crate::context::Context;
use crate::events;
use crate::reconcile::Error;

/// Does what was decided. Each write is such that doing it twice is doing it once.
pub(crate) async fn apply(
    context: &Context,
    seen: &Observed,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), Error> {
    context.catalogues.update(&seen.claim, |claim| {
        claim.whole.retain(|run, _| !decision.done.contains(run));
        claim.dropped.retain(|run| seen.jobs.iter().any(|job| job.metadata.uid.as_ref() == Some(run)));
    });
    decision.recheck.iter().for_each(|name| context.catalogues.wake_etcdbackup(name));
    for new in &decision.create {
        create_record(context, seen, new).await?;
    }
    for gone in &decision.drop {
        drop_record(context, seen, gone).await?;
    }
    match &decision.inventory {
        Inventory::Wait => Ok(()),
        Inventory::Create => ask(context, seen, now).await,
        Inventory::Read(job) => match read::listing(context, job, seen.wanted()).await {
            Ok(listing) => {
                tracing::info!(claim = seen.claim, job, sets = listing.known.sets.len(), "read the volume's catalogue");
                context.metrics.inventories.with_label_values(&["complete"]).inc();
                context.catalogues.read(&seen.claim, listing, now);
                tell(context, seen);
                Ok(())
            }
            Err(error) => {
                fail(context, seen, &error.to_string(), now).await;
                Ok(())
            }
        },
        Inventory::Failed { job, why, delete } => {
            let words = read::agents_words(context, job).await.map(|words| format!(" ({words})")).unwrap_or_default();
            if *delete {
                delete_job(context, job).await?;
            }
            fail(context, seen, &format!("Job {job}: {why}{words}"), now).await;
            Ok(())
        }
        Inventory::Delete(job) => delete_job(context, job).await,
    }
}

async fn create_record(context: &Context, seen: &Observed, new: &NewRecord) -> Result<(), Error> {
    let record = build::record(new, &seen.claim);
    let name = record.name_any();
    let what = format!("EtcdBackup {name}");
    match context.etcdbackups.create(&post(), &record).await {
        Ok(_) => {
            tracing::info!(etcdbackup = name, backup = new.backup, run = new.run_id, "recorded a run");
            Ok(())
        }
        Err(kube::Error::Api(answer)) if answer.code == 409 => {
            let found = context.etcdbackups.get_opt(&name).await.map_err(Error::read(&what))?;
            let other = found.filter(|found| found.spec.recorded != record.spec.recorded);
            if let Some((_, schedule)) = other.zip(seen.readable_schedules().find(|one| one.name_any() == new.backup)) {
                let message = format!(
                    "run {} cannot be recorded: {what} exists and is something else; delete it, and the run is recorded",
                    new.run_id
                );
                warn(context, schedule, "RecordNameTaken", &message).await;
            }
            Ok(())
        }
        Err(source) => Err(Error::Write { what, source }),
    }
}

async fn drop_record(context: &Context, seen: &Observed, gone: &Dropped) -> Result<(), Error> {
    let only = Preconditions { uid: Some(gone.uid.clone()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
    context.catalogues.update(&seen.claim, |claim| {
        claim.dropped.insert(gone.run_id.clone());
    });
    match context.etcdbackups.delete(&gone.name, &parameters).await {
        Ok(_) => {
            tracing::info!(etcdbackup = gone.name, run = gone.run_id, "dropped a record");
            Ok(())
        }
        // Gone already, or another one of that name.
        Err(kube::Error::Api(answer)) if [404, 409].contains(&answer.code) => Ok(()),
        Err(source) => Err(Error::Write { what: format!("the deletion of EtcdBackup {}", gone.name), source }),
    }
}

/// Creates the Job that lists the sets, owned by the first by name of the Backups that use the claim.
async fn ask(context: &Context, seen: &Observed, now: Timestamp) -> Result<(), Error> {
    let Some(user) = first_user(seen) else { return Ok(()) };
    let job = build::listing_job(&seen.claim, user, &context.config);
    match context.jobs.create(&post(), &job).await {
        Ok(created) => {
            let job = created.name_any();
            tracing::info!(claim = seen.claim, job, "created the Job that lists the sets");
            context.catalogues.update(&seen.claim, |claim| claim.asked = Some(Asked { job, at: now }));
            Ok(())
        }
        Err(kube::Error::Api(answer)) if [403, 404, 422].contains(&answer.code) => {
            fail(context, seen, &format!("the API server refuses the Job: {}", answer.message), now).await;
            Ok(())
        }
        Err(source) => Err(Error::Write { what: format!("the Job that lists the sets on {}", seen.claim), source }),
    }
}

/// The volume stays unknown for now; whoever waited for it goes on without.
async fn fail(context: &Context, seen: &Observed, why: &str, now: Timestamp) {
    context.metrics.inventories.with_label_values(&["failed"]).inc();
    context.catalogues.update(&seen.claim, |claim| (claim.asked, claim.failed) = (None, Some(now)));
    tell(context, seen);
    let Some(user) = first_user(seen) else { return };
    let message = format!(
        "the sets on claim {} cannot be listed: {why}. Records stay as they are; it is tried again after the next run, or in ten minutes",
        seen.claim
    );
    warn(context, user, "InventoryFailed", &message).await;
}

/// Has everybody looked at for whom it matters that the volume is known now, or that it is not.
fn tell(context: &Context, seen: &Observed) {
    let unfinished = seen.on_claim().filter(|backup| Phase::of(backup) == Phase::Unfinished);
    unfinished.for_each(|backup| context.catalogues.wake_etcdbackup(&backup.name_any()));
    seen.users().for_each(|user| context.catalogues.wake_schedule(&user.name_any()));
    context.catalogues.wake(Changed::Claim(seen.claim.clone()));
}

fn first_user(seen: &Observed) -> Option<&Backup> {
    seen.users().min_by_key(|user| user.name_any())
}

async fn warn(context: &Context, schedule: &Backup, reason: &str, message: &str) {
    tracing::warn!(backup = schedule.name_any(), reason, message);
    events::send(&context.recorder, schedule, EventType::Warning, "Record", reason, message).await;
}

async fn delete_job(context: &Context, job: &str) -> Result<(), Error> {
    match context.jobs.delete(job, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(source) => Err(Error::Write { what: format!("the deletion of Job {job}"), source }),
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
