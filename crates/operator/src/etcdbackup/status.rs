//! The status that follows from a decision: conditions, the facts of a report, and the columns.

use etcd_backup_api::{BackupFile, BackupJob, EtcdBackup, EtcdBackupStatus, SnapshotStatus, StatusWarning, conditions};
use etcd_backup_core::{Report, ReportedSet, Request, SnapshotFacts};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::decision::{Observed, Verdict};
use super::kept::Kept;
use super::reason::StatusReason;
use super::volume::Obstacle;

/// Whether nothing will ever change again but whether the set is still there.
#[must_use]
pub(crate) fn is_final(status: &EtcdBackupStatus) -> bool {
    ["Completed", "Failed"].iter().any(|type_| conditions::is_true(&status.conditions, type_))
}

/// The status after a verdict. Equal to the one before if nothing new is to be said.
#[must_use]
pub(crate) fn next(seen: &Observed, namespace: &str, verdict: &Verdict, now: Timestamp) -> EtcdBackupStatus {
    let mut status = seen.backup.status.clone().unwrap_or_default();
    status.observed_generation = seen.backup.metadata.generation;
    if seen.save.state.is_ours() {
        status.job_name = Some(seen.job_name.clone());
        status.backup_job = Some(job_reference(namespace, &seen.job_name));
    }
    match verdict {
        Verdict::Running { pod: Some((node, since)), .. } => {
            status.node_name = node.clone().or(status.node_name);
            status.start_time = status.start_time.or(Some(Time(*since)));
        }
        Verdict::Completed(report) => tell_report(&mut status, report, seen.request.as_ref().ok()),
        Verdict::Failed { report, .. } => {
            status.completion_time =
                Some(Time(report.as_ref().map_or(now, |report| whole_seconds(report.completion_time))));
            if let Some(report) = report {
                tell_run(&mut status, report);
            }
        }
        Verdict::Pending(_) | Verdict::Running { pod: None, .. } => {}
    }
    tell_conditions(&mut status, &seen.backup, verdict, &Time(now));
    status
}

/// The status of an EtcdBackup that has ended, after what the volume's catalogue told of its set.
#[must_use]
pub(crate) fn kept(backup: &EtcdBackup, kept: &Kept, now: Timestamp) -> EtcdBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    let (reason, message) = (kept.reason.as_str(), &kept.message);
    let generation = backup.metadata.generation;
    conditions::set(&mut status.conditions, "Verified", kept.verified, reason, message, generation, &Time(now));
    status
}

/// The status while nothing is started; none if it has been told of this spec. A run that has begun
/// goes on, and what became of it is told afterwards.
#[must_use]
pub(crate) fn standing_down(backup: &EtcdBackup, why: &str, now: Timestamp) -> Option<EtcdBackupStatus> {
    let old = backup.status.clone().unwrap_or_default();
    let generation = backup.metadata.generation;
    let reason = StatusReason::StandDown;
    let told = conditions::get(&old.conditions, "Ready")
        .is_some_and(|ready| ready.reason == reason.as_str() && ready.observed_generation == generation);
    if told {
        return None;
    }
    let began = old.phase.as_deref().is_some_and(|phase| phase != "Pending");
    let mut status = EtcdBackupStatus { observed_generation: generation, ..old };
    if !began {
        tell_conditions(&mut status, backup, &Verdict::Pending(Obstacle::new(reason, why)), &Time(now));
    }
    for (type_, value) in [("Ready", false), ("Stalled", true)] {
        conditions::set(&mut status.conditions, type_, value, reason.as_str(), why, generation, &Time(now));
    }
    Some(status)
}

/// Reference to a Job in the status.
#[must_use]
pub(crate) fn job_reference(namespace: &str, name: &str) -> BackupJob {
    BackupJob { namespace: namespace.to_owned(), name: name.to_owned() }
}

impl Verdict {
    /// Phase, reason and message.
    #[must_use]
    pub(crate) fn summary(&self) -> (&'static str, &'static str, String) {
        let of = |phase, state: &Obstacle| (phase, state.reason.as_str(), state.message.clone());
        match self {
            Self::Pending(state) => of("Pending", state),
            Self::Running { state, .. } => of("Running", state),
            Self::Failed { state, .. } => of("Failed", state),
            Self::Completed(report) => ("Completed", StatusReason::Run(report.reason).as_str(), report.message.clone()),
        }
    }
}

fn tell_conditions(status: &mut EtcdBackupStatus, backup: &EtcdBackup, verdict: &Verdict, now: &Time) {
    let (phase, reason, message) = verdict.summary();
    let generation = backup.metadata.generation;
    let ended = matches!(phase, "Completed" | "Failed");
    let truths = [
        ("Pending", phase == "Pending"),
        ("Running", phase == "Running"),
        ("Completed", phase == "Completed"),
        ("Failed", phase == "Failed"),
        ("Ready", phase == "Completed"),
        ("Stalled", phase == "Failed"),
        ("BackupPending", !ended),
        ("BackupCompleted", phase == "Completed"),
        ("BackupFailed", phase == "Failed"),
    ];
    for (type_, truth) in truths {
        // Ready is what people read first, so it has the message also while it is False.
        let said = if truth || type_ == "Ready" { message.as_str() } else { "" };
        conditions::set(&mut status.conditions, type_, truth, reason, said, generation, now);
    }
    if let Verdict::Completed(report) = verdict {
        let verified = report.set.as_ref().is_some_and(|set| set.verified);
        let (reason, message) = if verified {
            (StatusReason::Verified, "everything was proven on the files as read back from the volume")
        } else {
            (StatusReason::Freshness, "the files are sound, but there was no quorum to prove that the data was not old")
        };
        conditions::set(&mut status.conditions, "Verified", verified, reason.as_str(), message, generation, now);
    }
    status.phase = Some(phase.to_owned());
    status.reason = Some(reason.to_owned());
}

/// What every report tells of its run.
fn tell_run(status: &mut EtcdBackupStatus, report: &Report) {
    status.node_name = Some(report.node.clone()).filter(|node| !node.is_empty()).or(status.node_name.take());
    status.start_time = Some(Time(whole_seconds(report.start_time)));
    status.completion_time = Some(Time(whole_seconds(report.completion_time)));
    status.duration = Some(duration(report.completion_time.duration_since(report.start_time)));
    status.volume_id.clone_from(&report.volume_id);
    status.warnings = report
        .warnings
        .iter()
        .map(|warning| StatusWarning { reason: warning.reason.clone(), message: warning.message.clone() })
        .collect();
}

fn tell_report(status: &mut EtcdBackupStatus, report: &Report, request: Option<&Request>) {
    tell_run(status, report);
    let Some(set) = &report.set else { return };
    let set_name = set.name.as_str();
    let path = |file: &str| format!("{set_name}/{file}");
    status.files = set
        .files
        .iter()
        .map(|file| BackupFile { path: path(&file.name), size_bytes: to_i64(file.size_bytes) })
        .collect();
    status.size = Some(size(ReportedSet::size_bytes(set)));
    status.location = request.map(|request| request.destination.location(set_name));
    status.snapshot = Some(snapshot(&set.snapshot));
    status.cluster_version.clone_from(&set.cluster.version);
}

fn snapshot(facts: &SnapshotFacts) -> SnapshotStatus {
    SnapshotStatus {
        revision: facts.revision,
        size_bytes: to_i64(facts.size_bytes),
        sha256: facts.sha256.clone(),
        total_keys: facts.total_keys.map(to_i64),
        etcd_version: facts.etcd_version.clone(),
        storage_version: facts.storage_version.clone(),
        cluster_id: facts.cluster_id.clone(),
        member_id: facts.member_id.clone(),
        raft_term: to_i64(facts.raft_term),
    }
}

/// Numbers of the API are signed; nothing here comes near the end of their range.
fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Times of the API have whole seconds.
#[must_use]
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `12s`, `1m 5s`; under a second `0s`.
fn duration(time: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(time.as_secs().max(0)))
}

/// Bytes for people: `512 B`, `1.4 GiB`, `121 MiB`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit != "B" && tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests;
