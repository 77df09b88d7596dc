//! `etcd-backup prune`: a policy enforced by itself, or what it would do.

mod view;

use std::io::{self, IsTerminal, Write};

use etcd_backup_core::{Reason, Report, Situation, Stage, plan};
use etcd_backup_store::{LockedVolume, StoreError, Volume};
use jiff::Timestamp;

use crate::catalogue;
use crate::cli::PruneArgs;
use crate::exit::Exit;
use crate::journal::{Journal, host_name, random_run_id};
use crate::lock::lock_volume;
use crate::output::{self, Output, print};
use crate::retention::{Finding, PolicyError, Retention};
use crate::stop::{Stop, Stopped};
use view::View;

/// Why nothing was pruned, or not all.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Policy(String),
    #[error(
        "the policy file is the one of hash {found}, to be enforced is {expected}: the mounted ConfigMap is not yet current; run it again in a minute"
    )]
    NotCurrent { found: String, expected: String },
    #[error("{message}")]
    Incomplete { reason: Reason, message: String },
    #[error("it was not confirmed, so nothing was deleted")]
    NotConfirmed,
}

impl PruneError {
    fn reason(&self) -> Reason {
        match self {
            Self::Stopped(stopped) => stopped.reason(),
            Self::Store(error) => error.reason(),
            Self::Policy(_) => Reason::PolicyInvalid,
            Self::NotCurrent { .. } => Reason::PolicyNotCurrent,
            Self::Incomplete { reason, .. } => *reason,
            Self::NotConfirmed => Reason::Interrupted,
        }
    }
}

impl From<&PolicyError> for PruneError {
    fn from(error: &PolicyError) -> Self {
        Self::Policy(error.to_string())
    }
}

pub(crate) async fn run(args: Box<PruneArgs>, output: Output, stop: &Stop) -> Exit {
    if args.dry_run {
        return match stop.blocking(move || dry_run(&args)).await.map_err(PruneError::from).flatten() {
            Ok(view) => {
                view.show(output);
                Exit::Success
            }
            Err(error) => {
                tracing::error!(reason = %error.reason(), "{error}");
                Exit::of_failure(error.reason())
            }
        };
    }
    if !args.yes && (output == Output::Json || !io::stdin().is_terminal() || !io::stdout().is_terminal()) {
        tracing::error!(
            "nobody can be asked here: give --yes to delete what the policy does not keep, or --dry-run to see it"
        );
        return Exit::Usage;
    }
    let (report, view) = enforce(&args, output, stop).await;
    output::write_report(&report, args.report_file.as_deref());
    let exit = Exit::of(&report);
    match (output, view) {
        (Output::Text, _) => print(&output::text(&report)),
        (Output::Json, Some(view)) => view.with(report).show(output),
        (Output::Json, None) => print(&report.to_json()),
    }
    exit
}

/// What would be deleted now. Needs no lock and leaves nothing on the volume.
fn dry_run(args: &PruneArgs) -> Result<View, PruneError> {
    let policy = args.policy().read().map_err(|error| PruneError::from(&error))?;
    let volume = Volume::open(&args.volume)?;
    let volume_id = volume.id()?.map(|id| id.to_string()).unwrap_or_default();
    expect(args, &policy.hash_on(&volume_id))?;
    let sets = catalogue::summaries(&volume)?;
    let owner = args.owner();
    let plan = plan(&sets, &policy, &Situation { owner: &owner, volume_id: &volume_id, stage: Stage::Alone });
    let finding = Finding::of(&plan, &policy, &owner, &volume_id);
    Ok(View::new(&plan, finding, &volume_id, true))
}

/// Enforces the policy; the report tells of it, and the view of what was planned, if it came to that.
async fn enforce(args: &PruneArgs, output: Output, stop: &Stop) -> (Report, Option<View>) {
    let run_id = args.run_id.clone().unwrap_or_else(random_run_id);
    let mut journal = Journal::begin(run_id, args.node.clone().unwrap_or_else(host_name), Timestamp::now());
    journal.owner = Some(args.owner());
    journal.enter("lock");
    let locked = match lock_volume(args.volume.clone(), args.lock_timeout, stop).await {
        Ok(Ok(locked)) => locked,
        Ok(Err(error)) => return (failed(journal, &error.into()), None),
        Err(stopped) => return (failed(journal, &stopped.into()), None),
    };
    journal.volume_id = Some(locked.id().to_string());
    let mut view = None;
    let report = match prune(args, output, stop, &locked, &mut journal, &mut view).await {
        Ok(message) => journal.done(Reason::Pruned, message, Timestamp::now()),
        Err(error) => failed(journal, &error),
    };
    if let Err(error) = locked.write_report(&report) {
        tracing::warn!(%error, "the report cannot be kept on the volume");
    }
    (report, view)
}

fn failed(journal: Journal, error: &PruneError) -> Report {
    journal.failed(error.reason(), error.to_string(), Timestamp::now())
}

async fn prune(
    args: &PruneArgs,
    output: Output,
    stop: &Stop,
    locked: &LockedVolume,
    journal: &mut Journal,
    shown: &mut Option<View>,
) -> Result<String, PruneError> {
    journal.enter("prune");
    let mut retention = Retention::begin(locked, args.owner(), args.policy())?;
    let done = settle(args, output, stop, &mut retention, shown).await;
    journal.retention = retention.report();
    journal.catalogue = Some(retention.catalogue());
    journal.space = catalogue::space(locked.volume());
    done?;
    match retention.finding() {
        Some(Finding { failure: Some(reason), message, .. }) => {
            Err(PruneError::Incomplete { reason: *reason, message: message.clone() })
        }
        _ => Ok(format!("{} sets of {} were deleted", retention.deleted(), args.owner())),
    }
}

/// The plan is shown when nothing stands in its way any more; what then happens is the plan, or less.
async fn settle(
    args: &PruneArgs,
    output: Output,
    stop: &Stop,
    retention: &mut Retention<'_>,
    shown: &mut Option<View>,
) -> Result<(), PruneError> {
    expect(args, &retention.policy()?.hash_on(retention.volume_id()))?;
    if !retention.prove(&Stage::Alone, stop).await? {
        return Ok(());
    }
    let Some(view) = retention.plan(&Stage::Alone).zip(retention.policy().ok()).map(|(plan, policy)| {
        let finding = Finding::of(&plan, policy, &args.owner(), retention.volume_id());
        View::new(&plan, finding, retention.volume_id(), false)
    }) else {
        return Ok(());
    };
    if output == Output::Text {
        view.show(output);
    }
    let to_ask = !args.yes && view.deletes();
    *shown = Some(view);
    if to_ask && !stop.blocking(confirmed).await? {
        return Err(PruneError::NotConfirmed);
    }
    retention.carry_out(&Stage::Alone, stop).await;
    Ok(())
}

fn expect(args: &PruneArgs, found: &str) -> Result<(), PruneError> {
    match &args.expect_policy {
        Some(expected) if expected != found => {
            Err(PruneError::NotCurrent { found: found.to_owned(), expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

/// Asks on the terminal; anything but yes is no.
fn confirmed() -> bool {
    let mut answer = String::new();
    let mut terminal = io::stderr();
    let asked = write!(terminal, "Delete these sets? [y/N] ").and_then(|()| terminal.flush());
    asked.and_then(|()| io::stdin().read_line(&mut answer)).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
