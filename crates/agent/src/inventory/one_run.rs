use etcd_backup_core::{Outcome, Reason, Report, RunId};
use etcd_backup_store::{LockedVolume, StoreError};
use jiff::Timestamp;

use super::InventoryError;
use crate::catalogue;
use crate::cli::InventoryArgs;
use crate::exit::Exit;
use crate::journal::{Journal, host_name};
use crate::lock::lock_volume;
use crate::progress::ProgressMode;
use crate::proof::{self, ProofError, Proving};
use crate::stop::Stop;

/// The report, and whether it answers the question.
pub(super) struct Answer {
    pub(super) report: Report,
    /// Success for every answer, also for one that tells of a failed run: whoever waits for this
    /// process must not take a failure to ask for a failure of the run.
    pub(super) exit: Exit,
}

/// Waits until no run has the volume, then tells what is known of the run. Nothing is written: the
/// run's own report, if it left one, stays what it is.
pub(super) async fn run(args: &InventoryArgs, run_id: &RunId, stop: &Stop) -> Answer {
    let node = args.node.clone().unwrap_or_else(host_name);
    let mut journal = Journal::begin(run_id.clone(), node, Timestamp::now());
    journal.enter("lock");
    let found = match lock_volume(args.volume.clone(), args.lock_timeout, stop).await {
        Ok(Ok(locked)) => {
            journal.volume_id = Some(locked.id().to_string());
            journal.catalogue = catalogue::of(locked.volume());
            look_up(run_id, &locked, stop, &mut journal).await
        }
        Ok(Err(error)) => Err(error.into()),
        Err(stopped) => Err(stopped.into()),
    };
    let now = Timestamp::now();
    match found {
        Ok(Found::Set(set)) => {
            Answer { report: journal.published(Reason::AlreadyPublished, *set, now), exit: Exit::Success }
        }
        Ok(Found::Report(report)) => Answer { report: *report, exit: Exit::Success },
        Ok(Found::Failed(reason, message)) => {
            Answer { report: journal.failed(reason, message, now), exit: Exit::Success }
        }
        Err(error) => {
            let exit = Exit::of_failure(error.reason());
            let message = format!("what became of run {run_id} could not be found out: {error}");
            Answer { report: journal.failed(error.reason(), message, now), exit }
        }
    }
}

/// What is known of a run.
enum Found {
    /// It published this, which is still sound.
    Set(Box<etcd_backup_core::ReportedSet>),
    /// It published nothing, and said this.
    Report(Box<Report>),
    /// What it published is damaged or gone, or nothing is known.
    Failed(Reason, String),
}

async fn look_up(
    run_id: &RunId,
    locked: &LockedVolume,
    stop: &Stop,
    journal: &mut Journal,
) -> Result<Found, InventoryError> {
    journal.enter("verify");
    let set = match locked.find_run(run_id) {
        Err(StoreError::Damaged(damage)) => {
            let error = StoreError::Damaged(damage);
            return Ok(Found::Failed(error.reason(), error.to_string()));
        }
        found => found?,
    };
    if let Some(set) = set {
        journal.recall(&set.manifest.warnings);
        journal.owner = Some(set.manifest.owner.clone());
        let reported = set.reported();
        // Standard error ends up between the answer's lines where a pod's log is read.
        let proving = Proving::new(stop, ProgressMode::None);
        return match stop.blocking(move || proof::set(&set.path, &set.manifest, &proving)).await? {
            Ok(_) => Ok(Found::Set(Box::new(reported))),
            Err(ProofError::Stopped(stopped)) => Err(stopped.into()),
            Err(error) if error.reason() == Reason::VolumeIo => Err(InventoryError::Unreadable(error)),
            Err(error) => Ok(Found::Failed(error.reason(), error.to_string())),
        };
    }
    Ok(match locked.volume().read_report(run_id)? {
        Some(report) if report.outcome == Outcome::Failed => Found::Report(Box::new(report)),
        Some(report) => {
            let set = report.set.map_or_else(|| "its set".to_owned(), |set| set.name.to_string());
            let message =
                format!("run {run_id} published {set}, which is no longer on the volume: it was pruned or deleted");
            Found::Failed(Reason::RunNotFound, message)
        }
        None => {
            let message = format!(
                "run {run_id} left neither a set nor a report on the volume: it never got the volume's lock, or was killed; start a new backup"
            );
            Found::Failed(Reason::RunNotFound, message)
        }
    })
}
