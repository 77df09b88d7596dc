//! How a backup goes, in lines. Pure.

use std::time::Duration;

use etcd_backup_api::{EtcdBackup, conditions};

use crate::etcdbackup;
use crate::exit::Exit;
use crate::paint::Paint;

/// What is shown of a status: nothing is printed twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    phase: String,
    reason: String,
    message: String,
}

impl Progress {
    /// Reads a status.
    pub(super) fn of(backup: &EtcdBackup) -> Self {
        let Some(status) = etcdbackup::seen(backup) else {
            let message = "the operator has not seen it yet".to_owned();
            return Self { phase: "Pending".to_owned(), message, ..Self::default() };
        };
        Self {
            phase: status.phase.clone().unwrap_or_default(),
            reason: status.reason.clone().unwrap_or_default(),
            message: etcdbackup::message(status).to_owned(),
        }
    }

    /// One line, with the time since the request.
    pub(super) fn line(&self, elapsed: Duration, paint: Paint) -> String {
        let Self { phase, reason, message } = self;
        let word = if reason.is_empty() || reason == phase { phase.clone() } else { format!("{phase}/{reason}") };
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        format!("[{:>5.1} s] {}{said}", elapsed.as_secs_f64(), paint.of(etcdbackup::tone(phase), &word))
    }

    /// How the command ends, if the backup has ended.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self.phase.as_str() {
            "Completed" => Some(Exit::Success),
            "Failed" => Some(Exit::Unwell),
            _ => None,
        }
    }
}

/// What has come of it.
pub(super) fn summary(backup: &EtcdBackup) -> String {
    let status = backup.status.clone().unwrap_or_default();
    let mut lines = Vec::new();
    if let Some(snapshot) = &status.snapshot {
        let size = status.size.as_deref().unwrap_or("?");
        let duration = status.duration.as_deref().unwrap_or("?");
        let etcd = snapshot.etcd_version.as_deref().unwrap_or("?");
        lines.push(format!("  snapshot  revision {}, {size}, etcd {etcd}, in {duration}", snapshot.revision));
        lines.push(format!("  sha256    {}", snapshot.sha256));
    }
    if let Some(location) = &status.location {
        lines.push(format!("  location  {location}"));
    }
    if let Some(condition) = conditions::get(&status.conditions, "Verified") {
        lines.push(format!("  verified  {}: {}", condition.status, condition.message));
    }
    lines.extend(status.warnings.iter().map(|warning| format!("  warning   {}: {}", warning.reason, warning.message)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backup(status: Value) -> EtcdBackup {
        serde_json::from_value(json!({
            "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": "b"}, "spec": {}, "status": status,
        }))
        .unwrap()
    }

    fn said(phase: &str, reason: &str, message: &str) -> Value {
        let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        json!({"phase": phase, "reason": reason, "conditions": [ready]})
    }

    #[test]
    fn each_state_is_a_line_and_only_an_end_ends() {
        for (status, line, exit) in [
            (Value::Null, "[  1.5 s] Pending: the operator has not seen it yet", None),
            (json!({"observedGeneration": -1}), "[  1.5 s] Pending: the operator has not seen it yet", None),
            (said("Pending", "Queued", "place 2 of 2"), "[  1.5 s] Pending/Queued: place 2 of 2", None),
            (said("Running", "Saving", ""), "[  1.5 s] Running/Saving", None),
            (said("Completed", "Completed", "saved"), "[  1.5 s] Completed: saved", Some(Exit::Success)),
            (said("Failed", "NoSpace", "make room"), "[  1.5 s] Failed/NoSpace: make room", Some(Exit::Unwell)),
        ] {
            let progress = Progress::of(&backup(status));
            assert_eq!(
                (progress.line(Duration::from_millis(1500), Paint::OFF).as_str(), progress.exit()),
                (line, exit)
            );
        }
    }

    #[test]
    fn the_summary_has_what_came_of_it() {
        let completed = json!({
            "phase": "Completed", "size": "7.5 MiB", "duration": "2s", "location": "pvc://n/c/set",
            "snapshot": {"revision": 7, "sizeBytes": 1, "sha256": "ab12", "clusterId": "1", "memberId": "2", "raftTerm": 3, "etcdVersion": "3.6.4"},
            "conditions": [{"type": "Verified", "status": "True", "reason": "Verified", "message": "proven", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "warnings": [{"reason": "KeysBesideData", "message": "keep them apart"}],
        });
        let text = summary(&backup(completed));
        for part in
            ["revision 7, 7.5 MiB, etcd 3.6.4, in 2s", "ab12", "pvc://n/c/set", "True: proven", "KeysBesideData: keep"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(summary(&backup(Value::Null)), "");
    }
}
