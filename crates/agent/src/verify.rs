//! `etcd-backup verify`: a full read of a snapshot file, a set, or every set on a volume.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use etcd_backup_core::{FileRole, Manifest, Reason};
use etcd_backup_snapshot::{Description, Member};
use etcd_backup_store::{Look, StoreError, Volume, look};
use serde::Serialize;

use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::output::{Output, print, print_json};
use crate::proof::{self, ARCHIVE_CHECK, ProofError, Proving, SNAPSHOT_CHECKS};
use crate::stop::{Stop, Stopped};

/// What was found of one file or set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    path: PathBuf,
    verdict: Verdict,
    /// What passed.
    checks: Vec<&'static str>,
    /// The check that did not, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// Why not, for people; or what to know of a sound one.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Box<Description>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Sound,
    /// Proven not to be what it should be.
    Damaged,
    /// Nothing is concluded.
    Unreadable,
    /// Not a set.
    Foreign,
}

impl Finding {
    fn sound(path: &Path, description: Description, archive: bool, message: Option<String>) -> Self {
        let checks = SNAPSHOT_CHECKS.into_iter().chain(archive.then_some(ARCHIVE_CHECK)).collect();
        let snapshot = Some(Box::new(description));
        Self { path: path.to_owned(), verdict: Verdict::Sound, checks, failed: None, message, snapshot }
    }

    fn not_sound(path: &Path, verdict: Verdict, failed: &str, message: String) -> Self {
        let failed = Some(failed.to_owned());
        Self { path: path.to_owned(), verdict, checks: Vec::new(), failed, message: Some(message), snapshot: None }
    }

    /// Nothing is found where the proof was stopped.
    fn disproven(path: &Path, error: ProofError) -> Result<Self, Stopped> {
        let verdict = match error.reason() {
            Reason::VolumeIo => Verdict::Unreadable,
            _ => Verdict::Damaged,
        };
        match error {
            ProofError::Stopped(stopped) => Err(stopped),
            error => Ok(Self::not_sound(path, verdict, error.check(), error.to_string())),
        }
    }

    fn refused(path: &Path, error: &StoreError) -> Self {
        Self::not_sound(path, Verdict::Unreadable, error.reason().as_str(), error.to_string())
    }

    fn text(&self) -> String {
        let path = self.path.display();
        let message = self.message.as_deref();
        match (self.verdict, &self.snapshot) {
            (Verdict::Sound, Some(found)) => {
                let line = format!(
                    "sound: {path}: revision {}, {} keys, {} bytes; proven: {}",
                    found.current_revision(),
                    found.total_keys,
                    found.file_bytes,
                    self.checks.join(", ")
                );
                let line = message.map_or_else(|| line.clone(), |message| format!("{line}; {message}"));
                [line].into_iter().chain(details(found)).collect::<Vec<_>>().join("\n  ")
            }
            (Verdict::Sound, None) => format!("sound: {path}"),
            (Verdict::Damaged, _) => format!("DAMAGED ({}): {}", self.failed_check(), message.unwrap_or("")),
            (Verdict::Unreadable, _) => format!("unreadable ({}): {}", self.failed_check(), message.unwrap_or("")),
            (Verdict::Foreign, _) => format!("no set: {path}: {}", message.unwrap_or("")),
        }
    }

    fn failed_check(&self) -> &str {
        self.failed.as_deref().unwrap_or("-")
    }
}

/// What else an administrator wants to know of a sound snapshot, a line for each.
fn details(found: &Description) -> Vec<String> {
    let compacted = match found.finished_compact_revision {
        Some(revision) => format!("compacted at revision {revision}"),
        None => "never compacted".to_owned(),
    };
    let mut lines = vec![
        format!(
            "{} entries, {} of them revisions of keys; {compacted}; {} leases; authentication {}",
            found.total_entries,
            found.total_key_revisions,
            found.leases,
            if found.auth_enabled { "on" } else { "off" }
        ),
        format!(
            "storage version {}; {} of {} bytes in use, pages of {}; CRC-32C {:x}",
            found.storage_version.as_deref().unwrap_or("not recorded (before etcd 3.6)"),
            found.in_use_bytes,
            found.content_bytes,
            found.page_bytes,
            found.hash
        ),
    ];
    let members: Vec<_> = found.members.iter().map(member).collect();
    if !members.is_empty() {
        lines.push(format!("members: {}", members.join(", ")));
    }
    let ways = found
        .encryption
        .iter()
        .map(|way| format!("{} with {}:{}, key {}", way.values, way.provider, way.version, way.key_name));
    if found.encrypted_values > 0 {
        let ways = ways.collect::<Vec<_>>().join("; ");
        lines.push(format!("values encrypted by the API server, whose keys a restore needs too: {ways}"));
    }
    for alarm in &found.alarms {
        lines.push(format!("ALARM {} was raised by member {:x}", alarm.kind, alarm.member_id));
    }
    lines
}

fn member(member: &Member) -> String {
    let name = if member.name.is_empty() { "(never started)" } else { &member.name };
    let learner = if member.is_learner { ", a learner" } else { "" };
    format!("{name} ({:x}{learner})", member.id)
}

pub(crate) fn run(args: &VerifyArgs, output: Output, stop: &Stop) -> Result<Exit, Stopped> {
    let proving = Proving { exact_keys: args.exact_keys, ..Proving::new(stop, args.progress) };
    // Each finding is told when it is there: a volume may take hours.
    let findings = examine(&args.path, &proving, |finding| {
        if output == Output::Text {
            print(&finding.text());
        }
    })?;
    if output == Output::Json {
        print_json(&findings);
    }
    Ok(exit(&findings))
}

/// What is not a set is told, but says nothing against the volume; that there is nothing at all does.
fn exit(findings: &[Finding]) -> Exit {
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if any(Verdict::Damaged) {
        Exit::Damaged
    } else if any(Verdict::Sound) && !any(Verdict::Unreadable) {
        Exit::Success
    } else {
        Exit::Failed
    }
}

fn examine(path: &Path, proving: &Proving, mut tell: impl FnMut(&Finding)) -> Result<Vec<Finding>, Stopped> {
    let mut findings = Vec::new();
    let mut add = |finding: Finding| {
        tell(&finding);
        findings.push(finding);
    };
    match fs::metadata(path) {
        Err(source) => add(Finding::disproven(path, ProofError::Read { path: path.to_owned(), source })?),
        Ok(metadata) if metadata.is_file() => add(snapshot_file(path, proving)?),
        Ok(metadata) if !metadata.is_dir() => {
            let message = format!("{} is neither a file nor a directory", path.display());
            add(Finding::not_sound(path, Verdict::Unreadable, "ReadFailed", message));
        }
        Ok(_) if path.join(Manifest::FILE).exists() => match look(path) {
            Ok(state) => add(set(path, state, proving)?),
            Err(error) => add(Finding::refused(path, &error)),
        },
        Ok(_) => match Volume::open(path).and_then(|volume| volume.sets()) {
            Ok(sets) if sets.is_empty() => {
                let message = format!("{} holds no set and is none; is the volume mounted there?", path.display());
                add(Finding::not_sound(path, Verdict::Unreadable, "NoSets", message));
            }
            Ok(sets) => {
                for found in sets {
                    add(set(&found.path, found.state, proving)?);
                }
            }
            Err(error) => add(Finding::refused(path, &error)),
        },
    }
    Ok(findings)
}

fn snapshot_file(path: &Path, proving: &Proving) -> Result<Finding, Stopped> {
    let opened = File::open(path).map_err(|source| ProofError::Read { path: path.to_owned(), source });
    match opened.and_then(|file| proof::snapshot(path, &file, proving)) {
        Ok(description) => Ok(Finding::sound(path, description, false, None)),
        Err(error) => Finding::disproven(path, error),
    }
}

fn set(path: &Path, state: Look, proving: &Proving) -> Result<Finding, Stopped> {
    let manifest = match state {
        Look::Consistent { manifest, .. } => manifest,
        Look::Damaged { damage, .. } => {
            let damage = StoreError::from(damage).to_string();
            return Ok(Finding::not_sound(path, Verdict::Damaged, "Differs", damage));
        }
        Look::Unreadable { why, .. } => {
            let message = format!("{}: {why}", path.display());
            return Ok(Finding::not_sound(path, Verdict::Unreadable, "ReadFailed", message));
        }
        Look::Foreign { why } => return Ok(Finding::not_sound(path, Verdict::Foreign, "Foreign", why)),
    };
    match proof::set(path, &manifest, proving) {
        Ok(description) => {
            let waived = &manifest.verification.waived;
            let message =
                (!waived.is_empty()).then(|| format!("when it was made these were waived: {}", waived.join(", ")));
            let archive = manifest.file(FileRole::StaticResources).is_some();
            Ok(Finding::sound(path, description, archive, message))
        }
        Err(error) => Finding::disproven(path, error),
    }
}
