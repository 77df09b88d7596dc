use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ClusterFacts, Manifest, Owner, Reason, ReportedCatalogue, RetentionReport, RunId, SchemaVersion, SetName,
    SnapshotFacts, Warning,
};

/// A container's termination message holds this many bytes; kubelet cuts what is longer, and half a
/// JSON document is none.
pub const MAX_REPORT_BYTES: usize = 4096;

/// Stands for warnings for which a report had no room.
const MORE_WARNINGS: &str = "MoreWarnings";

/// What one run says of itself: in the container's termination message, on the volume under
/// `.etcd-backup/runs/`, and on standard output with `--output json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this document; unknown fields of the same major version are ignored.
    pub schema_version: SchemaVersion,
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people: what happened, on which object, what to do next.
    pub message: String,
    /// When the run began, UTC.
    pub start_time: Timestamp,
    /// When it ended, UTC.
    pub completion_time: Timestamp,
    /// Node of the run.
    pub node: String,
    /// Whose run it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Identity of the volume, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// The published set, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ReportedSet>,
    /// What was enforced of a policy, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionReport>,
    /// What is on the volume now, if the run had it to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<ReportedCatalogue>,
    /// The volume's file system when the run was over; absent if it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<ReportedSpace>,
    /// Version of the agent; those before report schema 1.1 do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What the reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How long each phase took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
}

/// How a run ended. There is no third way: a run without a report is unknown, not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// What was asked for is done. For a backup: the set is published; `verified` in it says whether
    /// everything was proven.
    Completed,
    /// It is not; nothing was published.
    Failed,
}

/// A published set as a report tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedSet {
    /// Its directory on the volume.
    pub name: SetName,
    /// Its place in the volume's order.
    pub sequence: u64,
    /// Whether everything was proven on the files as read back from the disk.
    pub verified: bool,
    /// All files of the set, the manifest among them.
    pub files: Vec<ReportedFile>,
    /// The snapshot in it.
    pub snapshot: SnapshotFacts,
    /// The cluster it was taken of.
    #[serde(default)]
    pub cluster: ClusterFacts,
}

impl ReportedSet {
    /// Bytes of all files together.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// A set as its manifest tells of it; `manifest_bytes` is the manifest's own size.
    #[must_use]
    pub fn new(name: SetName, manifest: &Manifest, manifest_bytes: u64) -> Self {
        let own = ReportedFile { name: Manifest::FILE.to_owned(), size_bytes: manifest_bytes };
        let files =
            manifest.files.iter().map(|file| ReportedFile { name: file.name.clone(), size_bytes: file.size_bytes });
        Self {
            name,
            sequence: manifest.sequence,
            verified: manifest.verification.complete(),
            files: files.chain([own]).collect(),
            snapshot: manifest.snapshot.clone(),
            cluster: manifest.cluster.clone(),
        }
    }
}

/// One file of a set, with its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedFile {
    /// Name in the set's directory.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// The size of a volume's file system and what the agent may still write on it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedSpace {
    /// The whole file system.
    pub total_bytes: u64,
    /// What is free for the agent.
    pub free_bytes: u64,
}

/// How long one phase of a run took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTime {
    /// Name of the phase, such as `stream`.
    pub phase: String,
    /// Milliseconds.
    pub millis: u64,
}

impl Report {
    /// The report as one line of JSON of at most [`MAX_REPORT_BYTES`]. What people read is cut
    /// first (phases, then the words of warnings, then the message, then whole warnings, which are
    /// counted, then the message again); what the operator decides by is never cut.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut report = self.clone();
        loop {
            let json = serde_json::to_string(&report).unwrap_or_default();
            if json.len() <= MAX_REPORT_BYTES || !report.cut(self.warnings.len()) {
                return json;
            }
        }
    }

    /// Takes the least important thing away; `false` when nothing is left to take. There were so many
    /// warnings at first.
    fn cut(&mut self, warnings: usize) -> bool {
        if !self.phases.is_empty() {
            self.phases.clear();
            return true;
        }
        if let Some(long) = self.warnings.iter_mut().find(|warning| warning.message.len() > 120) {
            truncate(&mut long.message, 100);
            return true;
        }
        if let Some(long) = self.retention.as_mut().filter(|retention| retention.message.len() > 300) {
            truncate(&mut long.message, 280);
            return true;
        }
        if self.message.len() > 300 {
            truncate(&mut self.message, 280);
            return true;
        }
        self.warnings.pop_if(|last| last.reason == MORE_WARNINGS);
        let left_out = self.warnings.pop().is_some();
        if left_out {
            let message = format!("{} more: see the set's backup.json, or the log", warnings - self.warnings.len());
            self.warnings.push(Warning::new(MORE_WARNINGS, message));
        }
        left_out || self.halve_longest_message()
    }

    /// A control character takes six bytes in JSON, so that even few of them may be too much.
    fn halve_longest_message(&mut self) -> bool {
        let messages = [Some(&mut self.message), self.retention.as_mut().map(|retention| &mut retention.message)];
        match messages.into_iter().flatten().max_by_key(|message| message.len()) {
            Some(longest) if longest.len() > 40 => {
                let half = longest.len() / 2;
                truncate(longest, half);
                true
            }
            _ => false,
        }
    }
}

/// Cuts text to at most `bytes` bytes and an ellipsis, at a character's edge.
fn truncate(text: &mut String, bytes: usize) {
    let edge = (0..=bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(edge);
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::REPORT_SCHEMA;

    fn report(message: String, warnings: usize) -> Report {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Report {
            schema_version: REPORT_SCHEMA,
            run_id: "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11".parse().unwrap(),
            outcome: Outcome::Failed,
            reason: Reason::Stalled,
            message,
            start_time: at,
            completion_time: at,
            node: "master-0".into(),
            owner: None,
            volume_id: None,
            set: None,
            retention: None,
            catalogue: None,
            space: Some(ReportedSpace { total_bytes: u64::MAX, free_bytes: u64::MAX }),
            agent_version: Some("0.1.0".into()),
            warnings: (0..warnings)
                .map(|i| Warning::new("KeysBesideData", format!("{i}: {}", "ü".repeat(200))))
                .collect(),
            phases: vec![PhaseTime { phase: "stream".into(), millis: 12 }],
        }
    }

    #[test]
    fn a_report_always_fits_and_always_reads_back() {
        for (length, warnings) in [(10, 0), (10_000, 0), (10, 100), (20_000, 300)] {
            let json = report("ß".repeat(length), warnings).to_json();
            assert!(json.len() <= MAX_REPORT_BYTES, "{} bytes", json.len());
            let back: Report = serde_json::from_str(&json).unwrap();
            assert_eq!((back.outcome, back.reason), (Outcome::Failed, Reason::Stalled));
        }
    }

    #[test]
    fn of_many_warnings_the_words_go_first_and_what_is_left_out_is_counted() {
        let told = |warnings| {
            let back: Report = serde_json::from_str(&report("m".into(), warnings).to_json()).unwrap();
            back.warnings
        };
        let ten = told(10);
        assert_eq!(ten.len(), 10);
        assert!(ten[0].message.starts_with("0: ü") && ten[0].message.ends_with('…'), "{ten:?}");
        let hundred = told(100);
        let more = hundred.last().unwrap();
        assert_eq!(more.reason, MORE_WARNINGS);
        assert_eq!(more.message, format!("{} more: see the set's backup.json, or the log", 101 - hundred.len()));
    }

    #[test]
    fn fields_of_a_newer_minor_version_are_ignored() {
        let mut value = serde_json::to_value(report("m".into(), 0)).unwrap();
        value["schemaVersion"] = "1.9".into();
        value["newThing"] = 1.into();
        let back: Report = serde_json::from_value(value).unwrap();
        assert!(REPORT_SCHEMA.reads(back.schema_version));
    }
}
