//! `etcd-backup save`: one run, from the lock to the report.

mod archive;
mod attempt;
mod cluster_state;
mod connection;
mod encryption;
mod error;
mod manifest;
mod overdue;
mod room;

use std::sync::Arc;

use etcd_backup_core::{Layout, Owner, Reason, Report, ReportedSet, RetentionReason, SetName, Stage, Stamp, Warning};
use etcd_backup_etcd::{Connection, Limits, Quorum, candidates, survey};
use etcd_backup_store::{LockedVolume, Staging};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::catalogue;
use crate::cli::{LayoutChoice, SaveArgs};
use crate::journal::{Journal, host_name, random_run_id};
use crate::lock::lock_volume;
use crate::progress::ProgressMode;
use crate::proof::{self, Proving};
use crate::retention::{PolicySource, Retention};
use crate::static_resources::detect_layout;
use crate::stop::{Stop, Stopped};
use archive::StaticResources;
use attempt::Saved;
use encryption::EncryptedValues;
use error::SaveError;
use overdue::{LAST_WORDS, Reached, overdue};

/// Bytes that a manifest nearly always stays below. Its own size is looked at before it is written.
const MANIFEST_BYTES: u64 = 16 * 1024;

/// What every step of a run needs.
struct Context<'a> {
    locked: &'a LockedVolume,
    stop: &'a Stop,
    connection: Connection,
    limits: Limits,
    quorum: Quorum,
    /// Whether a cluster that is being changed is not saved.
    require_settled: bool,
    reserve_percent: u8,
    /// Whether the set will have an archive of static pod resources.
    archives: bool,
    /// Most bytes of the set's other files.
    beside_the_snapshot: u64,
    progress: ProgressMode,
}

/// What a run learns as it goes on.
struct Run<'a> {
    journal: Journal,
    /// What is to be kept, if there is a policy.
    retention: Option<Retention<'a>>,
}

impl Run<'_> {
    /// Takes note of the bytes that are staged now.
    fn observe(&mut self) {
        self.retention.iter_mut().for_each(|retention| retention.observe(0));
    }
}

/// Takes a backup. Whatever happens, the report tells it; it is on the volume too if the lock was had.
///
/// The work has a thread and a runtime of its own, so that it can be reported also when the volume keeps that thread.
pub(crate) async fn run(args: Arc<SaveArgs>, stop: &Stop) -> Report {
    let run_id = args.run.run_id.clone().unwrap_or_else(random_run_id);
    let node = args.run.node.clone().unwrap_or_else(host_name);
    let mut journal = Journal::begin(run_id, node, Timestamp::now());
    journal.owner = Some(Owner { cluster: args.run.cluster.clone(), ..args.run.owner.clone() });
    let unfinished = journal.clone();
    let (reached, watched) = watch::channel(Reached::Lock);
    let overdue = overdue(stop, args.limits.lock_timeout, LAST_WORDS, watched);
    let volume = args.volume.clone();
    let own = stop.clone();
    let working = spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(work(&args, &own, journal, &reached));
        // What was left behind because it does not return ends with the process.
        runtime.shutdown_background();
        Ok::<_, std::io::Error>(report)
    });
    let (reason, message) = tokio::select! {
        biased;
        done = working => match done {
            Ok(Ok(report)) => return report,
            Ok(Err(error)) => (Reason::Internal, format!("the system gives no event queue: {error}")),
            Err(error) => (Reason::Internal, Stopped::Panicked(error.to_string()).to_string()),
        },
        stopped = overdue => {
            let volume = volume.display();
            (stopped.reason(), format!("{stopped}. A file operation on {volume} does not return: check the volume and its server"))
        }
    };
    unfinished.failed(reason, message, Timestamp::now())
}

async fn work(args: &SaveArgs, stop: &Stop, mut journal: Journal, reached: &watch::Sender<Reached>) -> Report {
    let locked = match lock(args, stop, &mut journal).await {
        Ok(locked) => locked,
        Err(error) => return journal.failed(error.reason(), error.to_string(), Timestamp::now()),
    };
    let stop = stop.within(args.limits.deadline);
    reached.send_replace(Reached::Saving(stop.clone()));
    let owner = Owner { cluster: args.run.cluster.clone(), ..args.run.owner.clone() };
    let mut run = Run { journal, retention: None };
    let saved = save(args, owner, &stop, &locked, &mut run).await;
    if saved.is_ok() {
        reached.send_replace(Reached::Published);
    }
    if let (Ok((_, set)), Some(retention)) = (&saved, &mut run.retention) {
        run.journal.enter("prune");
        prune(retention, &set.name, &stop, &mut run.journal).await;
    }
    let report = run.report(saved, &locked);
    if let Err(error) = locked.write_report(&report) {
        tracing::warn!(%error, "the report cannot be kept on the volume");
    }
    report
}

impl Run<'_> {
    fn report(self, saved: Result<(Reason, ReportedSet), SaveError>, locked: &LockedVolume) -> Report {
        let Self { mut journal, retention } = self;
        journal.retention = retention.as_ref().and_then(Retention::report);
        journal.catalogue = match &retention {
            Some(retention) => Some(retention.catalogue()),
            None => catalogue::of(locked.volume()),
        };
        journal.space = catalogue::space(locked.volume());
        match saved {
            Ok((reason, set)) => journal.published(reason, set, Timestamp::now()),
            Err(error) => journal.failed(error.reason(), error.to_string(), Timestamp::now()),
        }
    }
}

/// Enforces the policy after a set was published. Whatever comes of it, the backup is good.
async fn prune(retention: &mut Retention<'_>, set: &SetName, stop: &Stop, journal: &mut Journal) {
    if let Err(stopped) = retention.enforce(&Stage::Published { set }, stop).await {
        let why = format!("the set is published, but nothing was deleted after it: {stopped}");
        retention.has_failed(stopped.reason(), why);
    }
    match retention.finding() {
        Some(finding) if finding.failure.is_some() => {
            journal.warn(Warning::new(finding.reason.as_str(), finding.message.clone()));
        }
        Some(finding) if finding.reason != RetentionReason::Satisfied => {
            tracing::warn!(reason = finding.reason.as_str(), "{}", finding.message);
        }
        _ => {}
    }
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

async fn save<'a>(
    args: &SaveArgs,
    owner: Owner,
    stop: &Stop,
    locked: &'a LockedVolume,
    run: &mut Run<'a>,
) -> Result<(Reason, ReportedSet), SaveError> {
    if let Some(path) = args.policy.clone() {
        let source = PolicySource::File { path, accepted: None };
        run.retention = Some(Retention::begin(locked, owner.clone(), source)?);
    }
    if let Some(set) = locked.find_run(run.journal.run_id())? {
        run.journal.enter("verify");
        let reported = set.reported();
        run.journal.recall(&set.manifest.warnings);
        let proving = Proving::new(stop, args.progress);
        let proven = stop.blocking(move || proof::set(&set.path, &set.manifest, &proving)).await?;
        proven.map_err(SaveError::published_unsound)?;
        run.retention.iter_mut().for_each(|retention| retention.has_proven(&reported.name));
        return Ok((Reason::AlreadyPublished, reported));
    }
    let layout = layout(args)?;
    let resources = layout.map(|layout| StaticResources { layout, kubernetes_dir: args.source.kubernetes_dir.clone() });
    let archive_bytes = match &resources {
        Some(resources) => {
            run.journal.enter("static-resources");
            resources.select(stop).await?.most_bytes()
        }
        None => {
            let message = "the snapshot alone was asked for (--layout none): a control plane cannot be restored from it without its static pod resources";
            run.journal.warn(Warning::new("NoStaticResources", message));
            0
        }
    };
    let context = Context {
        locked,
        stop,
        connection: connection::connection(&args.etcd, layout, &args.source.kubernetes_dir, run.journal.node())?,
        limits: Limits {
            progress_timeout: args.limits.progress_timeout,
            floor_bytes_per_second: args.limits.min_rate,
            deadline: stop.deadline(),
            ..Limits::default()
        },
        quorum: if args.etcd.allow_no_quorum { Quorum::NotRequired } else { Quorum::Required },
        require_settled: args.etcd.require_settled,
        reserve_percent: args.limits.reserve_percent,
        archives: resources.is_some(),
        beside_the_snapshot: archive_bytes.saturating_add(MANIFEST_BYTES),
        progress: args.progress,
    };
    make_set(&context, owner, resources.as_ref(), run).await
}

/// Stages the files of a set, proves them, and publishes it.
///
/// The archive comes after the snapshot: by then it is known which etcd data this is, so whether the
/// policy may make room, and every key that the snapshot's values are encrypted with is in it.
async fn make_set(
    context: &Context<'_>,
    owner: Owner,
    resources: Option<&StaticResources>,
    run: &mut Run<'_>,
) -> Result<(Reason, ReportedSet), SaveError> {
    let Context { locked, stop, .. } = context;
    let stamp = Stamp::new(run.journal.start_time());
    let mut staging = locked.stage(&SetName::new(&owner, &stamp, run.journal.run_id()))?;
    let saved = snapshot(context, &stamp, &mut staging, run).await?;
    let coming = saved.coming(context);
    let (archive, collected) = match resources {
        Some(resources) => {
            let archived = archive::archive(context, resources, &stamp, &coming, &mut staging, run).await?;
            (Some(archived.0), Some(archived.1))
        }
        None => (None, None),
    };

    run.journal.enter("publish");
    let encryption_config = collected.as_ref().is_some_and(|collected| collected.encryption_config);
    let of_values = EncryptedValues::of(&saved.description).warnings(encryption_config);
    let of_data = cluster_state::continues_last_set(locked.volume(), &owner, &coming.lineage);
    of_values.into_iter().chain(of_data).for_each(|warning| run.journal.warn(warning));
    let collected_version = collected.and_then(|collected| collected.cluster_version);
    let manifest = manifest::build(manifest::Parts {
        owner,
        sequence: locked.next_sequence()?,
        journal: &run.journal,
        stamp: &stamp,
        cluster_version: saved.cluster_version.clone().or(collected_version),
        saved,
        archive,
        now: Timestamp::now(),
    });
    let bytes = manifest::bytes(&manifest);
    if !room::is_there(context, run, bytes, &coming)? {
        room::make(context, run, bytes, &coming).await?;
        run.journal.enter("publish");
    }
    run.retention.iter_mut().for_each(|retention| retention.observe(bytes));
    stop.check()?;
    let published = staging.publish(&manifest)?;
    run.retention.iter_mut().for_each(|retention| retention.has_published(&published));
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

/// Brings a proven snapshot into the staged set, from the best member that can give one.
async fn snapshot(
    context: &Context<'_>,
    stamp: &Stamp,
    staging: &mut Staging,
    run: &mut Run<'_>,
) -> Result<Saved, SaveError> {
    run.journal.enter("survey");
    let survey = context.stop.or(survey(&context.connection)).await??;
    if let Some(mixed) = cluster_state::mixed_versions(&survey) {
        cluster_state::require_settled(context, [&mixed])?;
        run.journal.warn(mixed);
    }
    let choice = candidates(&survey, context.quorum);
    let mut last = SaveError::from(choice.refusal());
    for candidate in choice.ordered {
        let member = candidate.to_string();
        match attempt::attempt(context, candidate, &stamp.snapshot_file(), staging, run).await {
            Ok(saved) => return Ok(saved),
            Err(error) if error.is_the_members_fault() => {
                let message = format!("etcd member {member} gave no snapshot: {error}");
                run.journal.warn(Warning::new("MemberDropped", message));
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
