use etcd_backup_core::{Action, Owner, Plan, Report, RetainedSets, RetentionReason, SetName, SetState};
use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::output::{Output, print, print_json};
use crate::retention::Finding;
use crate::table::{age, table};

/// A plan as it is shown: a table for people, one document for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    volume_id: String,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_hash: Option<String>,
    /// Every set of the volume, in sequence order.
    sets: Vec<Row>,
    /// What the plan leads to.
    reason: RetentionReason,
    message: String,
    deletions: u64,
    deletions_bytes: u64,
    retained: RetainedSets,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: SetName,
    state: SetState,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_time: Option<Timestamp>,
    /// `keep` or `delete`, with the reason in one word.
    #[serde(flatten)]
    action: Action,
    /// The reason for people.
    why: String,
}

impl View {
    pub(super) fn new(plan: &Plan<'_>, finding: Finding, volume_id: &str, dry_run: bool) -> Self {
        let rows = plan.verdicts.iter().map(|verdict| {
            let origin = verdict.set.origin.as_ref();
            Row {
                name: verdict.set.name.clone(),
                state: verdict.set.state,
                size_bytes: verdict.set.size_bytes,
                owner: origin.map(|origin| origin.owner.clone()),
                sequence: origin.map(|origin| origin.sequence),
                completion_time: origin.map(|origin| origin.completion_time),
                action: verdict.action,
                why: verdict.action.to_string(),
            }
        });
        Self {
            volume_id: volume_id.to_owned(),
            dry_run,
            policy_hash: finding.policy_hash,
            sets: rows.collect(),
            reason: finding.reason,
            message: finding.message,
            deletions: plan.deletions().count() as u64,
            deletions_bytes: plan.deletions().map(|verdict| verdict.set.size_bytes).fold(0, u64::saturating_add),
            retained: plan.retained.clone(),
            report: None,
        }
    }

    /// The same, with what came of it.
    pub(super) fn with(self, report: Report) -> Self {
        Self { report: Some(report), ..self }
    }

    pub(super) fn deletes(&self) -> bool {
        self.deletions > 0
    }

    pub(super) fn show(&self, output: Output) {
        match output {
            Output::Text => print(&self.text(Timestamp::now())),
            Output::Json => print_json(self),
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let header = ["ACTION", "NAME", "OWNER", "STATE", "SIZE", "AGE", "WHY"].map(str::to_owned);
        let rows: Vec<_> = [header].into_iter().chain(self.sets.iter().map(|row| row.cells(now))).collect();
        format!("{}\n{}", table(&rows), self.summary())
    }

    fn summary(&self) -> String {
        let Self { deletions, reason, message, .. } = self;
        let (sets, bytes) = (self.sets.len(), BinaryBytes(self.deletions_bytes));
        let done = if self.dry_run { "would be deleted; nothing was changed" } else { "are to be deleted" };
        format!("{deletions} of {sets} sets, {bytes}, {done}. Then {}: {message}", reason.as_str())
    }
}

impl Row {
    fn cells(&self, now: Timestamp) -> [String; 7] {
        let action = match self.action {
            Action::Keep(_) => "KEEP",
            Action::Delete(_) => "DELETE",
        };
        [
            action.to_owned(),
            self.name.to_string(),
            self.owner.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            self.state.as_str().to_owned(),
            BinaryBytes(self.size_bytes).to_string(),
            self.completion_time.map_or_else(|| "-".to_owned(), |completed| age(completed, now)),
            self.why.clone(),
        ]
    }
}
