//! Everything about a backup, as text. Pure.

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;

use super::Observed;
use super::advice::advice;
use crate::age::{age, ago};
use crate::etcdbackup::{schedule_of, tone};
use crate::jobs::{self, JobState, last_words, pod_state};
use crate::paint::{Paint, Tone};
use crate::table::{Cell, table};

/// The whole text.
pub(super) fn text(observed: &Observed, now: Timestamp, paint: Paint) -> String {
    let backup = &observed.backup;
    let status = backup.status.clone().unwrap_or_default();
    let mut parts = vec![facts(&summary(backup, &status, now, paint), paint)];
    let snapshot = snapshot(&status);
    if !snapshot.is_empty() {
        parts.push(section("Set", &facts(&snapshot, paint), paint));
    }
    let warnings = status.warnings.iter().map(|warning| format!("{}: {}", warning.reason, warning.message));
    parts.extend(listed("Warnings", warnings.collect(), paint));
    let run = run(observed);
    if !run.is_empty() {
        parts.push(section("Run", &facts(&run, paint), paint));
    }
    if !status.conditions.is_empty() {
        parts.push(section("Conditions", &conditions(&status, now, paint), paint));
    }
    if !observed.events.is_empty() {
        parts.push(section("Events", &events(&observed.events, now, paint), paint));
    }
    parts.extend(listed("Not shown, for want of rights", observed.hidden.clone(), paint));
    parts.extend(listed("What to do", advice(backup), paint));
    parts.join("\n\n")
}

type Fact = (&'static str, String);

fn summary(backup: &EtcdBackup, status: &EtcdBackupStatus, now: Timestamp, paint: Paint) -> Vec<Fact> {
    let phase = status.phase.clone().unwrap_or_else(|| "Pending".to_owned());
    let reason = status.reason.clone().filter(|reason| *reason != phase);
    let asked = backup.creation_timestamp().map(|time| format!("{}, {}", time.0, ago(time.0, now)));
    let what = match schedule_of(backup) {
        Some(schedule) => format!("record of a run of Backup {schedule}"),
        None => "one-shot backup".to_owned(),
    };
    let painted = paint.of(tone(&phase), &phase);
    let facts = [
        ("Name", Some(backup.name_any())),
        ("Kind", Some(what)),
        ("Status", Some(reason.map_or(painted.clone(), |reason| format!("{painted} ({reason})")))),
        ("Created", asked),
        ("Run id", backup.run_id().map(str::to_owned)),
        ("Claim", Some(backup.spec.pvc_name.clone())),
    ];
    told(facts)
}

fn snapshot(status: &EtcdBackupStatus) -> Vec<Fact> {
    let mut facts = told([
        ("Location", status.location.clone()),
        ("Volume id", status.volume_id.clone().filter(|_| status.location.is_some())),
        ("Size", status.size.clone()),
        ("Cluster version", status.cluster_version.clone()),
    ]);
    if let Some(snapshot) = &status.snapshot {
        let etcd = snapshot.etcd_version.as_ref().map(|version| match &snapshot.storage_version {
            Some(storage) => format!("{version}, storage version {storage}"),
            None => version.clone(),
        });
        facts.extend(told([
            ("Revision", Some(snapshot.revision.to_string())),
            ("Keys", snapshot.total_keys.map(|keys| keys.to_string())),
            ("SHA-256", Some(snapshot.sha256.clone())),
            ("Etcd", etcd),
            ("Etcd cluster", Some(format!("{}, raft term {}", snapshot.cluster_id, snapshot.raft_term))),
            ("Etcd member", Some(snapshot.member_id.clone())),
        ]));
    }
    let file = |file: &etcd_backup_api::BackupFile| ("File", format!("{} ({} bytes)", file.path, file.size_bytes));
    facts.extend(status.files.iter().map(file));
    facts
}

fn run(observed: &Observed) -> Vec<Fact> {
    let status = observed.backup.status.clone().unwrap_or_default();
    let mut facts = told([
        ("Node", status.node_name.clone()),
        ("Started", status.start_time.as_ref().map(|time| time.0.to_string())),
        ("Ended", status.completion_time.as_ref().map(|time| time.0.to_string())),
        ("Duration", status.duration.clone()),
    ]);
    if let Some((named, job)) = &observed.job {
        facts.push(("Job", format!("{}/{}: {}", named.namespace, named.name, how(job.as_ref()))));
    }
    for pod in &observed.pods {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
        facts.push(("Pod", format!("{} on {node}: {}", pod.name_any(), pod_state(pod))));
        // Of a run that went well, the status tells the same.
        let words = last_words(pod).filter(|_| status.phase.as_deref() != Some("Completed"));
        facts.extend(words.map(|words| ("Its report", words.to_owned())));
    }
    facts
}

fn how(job: Option<&Job>) -> String {
    match job.map(jobs::state) {
        None => "gone".to_owned(),
        Some(JobState::Active) => "active".to_owned(),
        Some(JobState::Complete) => "complete".to_owned(),
        Some(JobState::Failed(why)) => format!("failed ({why})"),
    }
}

fn conditions(status: &EtcdBackupStatus, now: Timestamp, paint: Paint) -> String {
    // The mirrors for clients of OpenShift's own operator say nothing more.
    let own = status.conditions.iter().filter(|condition| !condition.type_.starts_with("Backup"));
    let rows: Vec<Vec<Cell>> = own
        .map(|condition| {
            let since = age(condition.last_transition_time.0, now);
            let bad = condition.type_ == "Verified" && condition.status == "False";
            let status = Cell::new(condition.status.as_str(), if bad { Tone::Bad } else { Tone::Plain });
            let [type_, reason, message] =
                [&condition.type_, &condition.reason, &condition.message].map(|text| Cell::from(text.as_str()));
            vec![type_, status, reason, since.into(), message]
        })
        .collect();
    table(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], &rows, paint)
}

fn events(events: &[Event], now: Timestamp, paint: Paint) -> String {
    let rows: Vec<Vec<Cell>> = events
        .iter()
        .map(|event| {
            let about = event.regarding.as_ref();
            let about = about.map(|about| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{}/{}", text(&about.kind), text(&about.name))
            });
            let type_ = event.type_.clone().unwrap_or_default();
            let tone = if type_ == "Warning" { Tone::Notice } else { Tone::Plain };
            let age = time_of(event).map(|time| age(time, now));
            let [age, reason, about, note] =
                [age, event.reason.clone(), about, event.note.clone()].map(|text| Cell::from(text.unwrap_or_default()));
            vec![age, Cell::new(type_, tone), reason, about, note]
        })
        .collect();
    table(&["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"], &rows, paint)
}

/// When an event was last seen.
pub(super) fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let seen = series.or_else(|| event.event_time.as_ref().map(|time| time.0));
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    seen.or(old).or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Those that are known.
fn told<const N: usize>(facts: [(&'static str, Option<String>); N]) -> Vec<Fact> {
    facts.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?))).collect()
}

fn facts(facts: &[Fact], paint: Paint) -> String {
    let width = 18;
    let line = |(name, value): &Fact| {
        let gap = width - name.chars().count().min(width - 2) - 1;
        format!("{}{:gap$}{value}", paint.of(Tone::Heading, &format!("{name}:")), "")
    };
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn section(title: &str, body: &str, paint: Paint) -> String {
    let indented: Vec<String> = body.lines().map(|line| format!("  {line}")).collect();
    format!("{}\n{}", paint.of(Tone::Heading, &format!("{title}:")), indented.join("\n"))
}

fn listed(title: &str, lines: Vec<String>, paint: Paint) -> Option<String> {
    let lines: Vec<String> = lines.into_iter().map(|line| format!("- {line}")).collect();
    (!lines.is_empty()).then(|| section(title, &lines.join("\n"), paint))
}
