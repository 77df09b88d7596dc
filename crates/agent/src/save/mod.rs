//! `etcd-backup save`: one run, from the lock to the report.

mod attempt;
mod connection;
mod error;
mod manifest;

use std::fs::File;

use etcd_backup_core::{FileRole, Layout, Owner, Reason, Report, ReportedSet, RunId, SetFile, SetName, Stamp, Warning};
use etcd_backup_etcd::{Connection, Limits, Quorum, candidates, survey};
use etcd_backup_store::{LockedVolume, Staging, Volume};
use jiff::Timestamp;

use crate::cli::{LayoutChoice, SaveArgs};
use crate::journal::{Journal, host_name};
use crate::lock::lock_volume;
use crate::progress::ProgressMode;
use crate::proof;
use crate::static_resources::{Collected, collect, detect_layout};
use crate::stop::Stop;
use attempt::Saved;
use error::SaveError;

/// What every attempt of a run needs.
struct Context<'a> {
    volume: &'a Volume,
    stop: &'a Stop,
    connection: Connection,
    limits: Limits,
    quorum: Quorum,
    reserve_percent: u8,
    progress: ProgressMode,
}

/// Takes a backup. Whatever happens, the report tells it; it is on the volume too if the lock was had.
pub(crate) async fn run(args: &SaveArgs, stop: &Stop) -> Report {
    let run_id = args.run.run_id.clone().unwrap_or_else(random_run_id);
    let node = args.run.node.clone().unwrap_or_else(host_name);
    let mut journal = Journal::begin(run_id, node, Timestamp::now());
    let locked = match lock(args, stop, &mut journal).await {
        Ok(locked) => locked,
        Err(error) => return journal.failed(error.reason(), error.to_string(), Timestamp::now()),
    };
    let stop = stop.within(args.limits.deadline);
    let report = match save(args, &stop, &locked, &mut journal).await {
        Ok((reason, set)) => journal.completed(reason, set, Timestamp::now()),
        Err(error) => journal.failed(error.reason(), error.to_string(), Timestamp::now()),
    };
    if let Err(error) = locked.write_report(&report) {
        tracing::warn!(%error, "the report cannot be kept on the volume");
    }
    report
}

fn random_run_id() -> RunId {
    #[expect(clippy::expect_used, reason = "a UUID is 36 characters of a run id's alphabet")]
    uuid::Uuid::new_v4().to_string().parse().expect("a UUID is a run id")
}

async fn lock(args: &SaveArgs, stop: &Stop, journal: &mut Journal) -> Result<LockedVolume, SaveError> {
    journal.enter("lock");
    let locked = lock_volume(args.volume.clone(), args.limits.lock_timeout, stop).await??;
    let id = locked.id();
    journal.volume_id = Some(id.to_string());
    if let Some(expected) = args.limits.expect_volume.filter(|expected| *expected != id) {
        let message = format!(
            "{} is volume {id}, expected was {expected}: is the disk not mounted, or was the claim made anew? The backup is made all the same, and nothing is pruned",
            args.volume.display()
        );
        journal.warn(Warning::new("VolumeChanged", message));
    }
    Ok(locked)
}

async fn save(
    args: &SaveArgs,
    stop: &Stop,
    locked: &LockedVolume,
    journal: &mut Journal,
) -> Result<(Reason, ReportedSet), SaveError> {
    if let Some(set) = locked.find_run(journal.run_id())? {
        journal.enter("verify");
        let reported = set.reported();
        journal.recall(&set.manifest.warnings);
        stop.blocking(move || proof::set(&set.path, &set.manifest)).await?.map_err(SaveError::PublishedUnsound)?;
        return Ok((Reason::AlreadyPublished, reported));
    }
    let layout = layout(args)?;
    let context = Context {
        volume: locked.volume(),
        stop,
        connection: connection::connection(&args.etcd, layout, &args.source.kubernetes_dir, journal.node())?,
        limits: Limits {
            progress_timeout: args.limits.progress_timeout,
            sink_floor_bytes_per_second: args.limits.min_rate,
            deadline: stop.deadline(),
            ..Limits::default()
        },
        quorum: if args.etcd.allow_no_quorum { Quorum::NotRequired } else { Quorum::Required },
        reserve_percent: args.limits.reserve_percent,
        progress: args.progress,
    };
    let owner = Owner { cluster: args.run.cluster.clone(), ..args.run.owner.clone() };
    let stamp = Stamp::new(journal.start_time());
    let mut staging = locked.stage(&SetName::new(&owner, &stamp, journal.run_id()))?;

    let collected = match layout {
        Some(layout) => Some(static_resources(args, layout, stop, &stamp, &mut staging, journal).await?),
        None => {
            let message = "the snapshot alone was asked for (--layout none): a control plane cannot be restored from it without its static pod resources";
            journal.warn(Warning::new("NoStaticResources", message));
            None
        }
    };
    let (staging, saved) = snapshot(&context, &stamp, staging, journal).await?;
    let (archive, collected) = match collected {
        Some((name, collected)) => (Some(prove_archive(stop, &staging, name).await?), Some(collected)),
        None => (None, None),
    };

    journal.enter("publish");
    let encryption_config = collected.as_ref().is_some_and(|collected| collected.encryption_config);
    if let Some(warning) = manifest::encryption_warning(saved.description.encrypted_values, encryption_config) {
        journal.warn(warning);
    }
    let manifest = manifest::build(manifest::Parts {
        owner,
        sequence: locked.next_sequence()?,
        journal,
        stamp: &stamp,
        saved,
        archive,
        cluster_version: collected.and_then(|collected| collected.cluster_version),
        now: Timestamp::now(),
    });
    stop.check()?;
    let published = staging.publish(&manifest)?;
    Ok((Reason::Completed, published.reported()))
}

/// The layout to collect static resources by; `None` if none are wanted.
fn layout(args: &SaveArgs) -> Result<Option<Layout>, SaveError> {
    let dir = &args.source.kubernetes_dir;
    match args.source.layout {
        LayoutChoice::Openshift => Ok(Some(Layout::OpenShift)),
        LayoutChoice::Kubeadm => Ok(Some(Layout::Kubeadm)),
        LayoutChoice::None => Ok(None),
        LayoutChoice::Auto => match detect_layout(dir) {
            Some(layout) => Ok(Some(layout)),
            None => Err(SaveError::NoLayout { dir: dir.clone() }),
        },
    }
}

/// Collects the static resources into the staged set; gives the archive's name and what is in it.
async fn static_resources(
    args: &SaveArgs,
    layout: Layout,
    stop: &Stop,
    stamp: &Stamp,
    staging: &mut Staging,
    journal: &mut Journal,
) -> Result<(String, Collected), SaveError> {
    journal.enter("static-resources");
    let name = stamp.static_resources_file();
    let mut file = staging.create(&name)?;
    let dir = args.source.kubernetes_dir.clone();
    let collected = stop.blocking(move || collect(layout, &dir, &mut file)).await??;
    tracing::info!(?layout, files = collected.files, "static pod resources are collected");
    for warning in &collected.warnings {
        journal.warn(warning.clone());
    }
    Ok((name, collected))
}

/// Brings a proven snapshot into the staged set, from the best member that can give one.
async fn snapshot(
    context: &Context<'_>,
    stamp: &Stamp,
    mut staging: Staging,
    journal: &mut Journal,
) -> Result<(Staging, Saved), SaveError> {
    journal.enter("survey");
    let survey = context.stop.or(survey(&context.connection)).await??;
    let choice = candidates(&survey, context.quorum);
    let mut last = SaveError::from(choice.refusal());
    for candidate in choice.ordered {
        let member = candidate.to_string();
        let file = stamp.snapshot_file();
        match attempt::attempt(context, candidate, &file, &mut staging, journal).await {
            Ok(saved) => return Ok((staging, saved)),
            Err(error) if error.is_the_members_fault() => {
                let message = format!("etcd member {member} gave no snapshot: {error}");
                journal.warn(Warning::new("MemberDropped", message));
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

async fn prove_archive(stop: &Stop, staging: &Staging, name: String) -> Result<SetFile, SaveError> {
    let path = staging.path().join(&name);
    let file: File = staging.open(&name)?;
    let proven = stop.blocking(move || proof::archive(&path, &file)).await?;
    let (sha256, size_bytes) = proven.map_err(SaveError::Unsound)?;
    Ok(SetFile { role: FileRole::StaticResources, name, size_bytes, sha256 })
}
