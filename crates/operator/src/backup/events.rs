//! Events: one for each condition that changes, and one for runs that did not start.

use etcd_backup_api::{Backup, BackupStatus, conditions};
use kube::runtime::events::EventType;

use super::decision::Decision;
use super::reason::BackupReason;
use crate::context::Context;
use crate::events;

/// An event that is to be published.
#[derive(Debug, PartialEq, Eq)]
struct News<'a> {
    warns: bool,
    type_: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// Publishes what differs between two statuses, and what became of runs that were due.
pub(crate) async fn publish(context: &Context, backup: &Backup, decision: &Decision, next: &BackupStatus) {
    for news in news(backup.status.as_ref(), next) {
        let type_ = if news.warns { EventType::Warning } else { EventType::Normal };
        events::send(&context.recorder, backup, type_, news.type_, news.reason, news.message).await;
    }
    let missed = BackupReason::Missed.as_str();
    if let Some(skipped) = &decision.account.skipped {
        let message = format!("{} did not start; runs are being started again", skipped.describe());
        events::send(&context.recorder, backup, EventType::Warning, "Scheduled", missed, &message).await;
    }
    let new = u64::try_from(decision.account.new).unwrap_or_default();
    context.metrics.missed_runs.inc_by(new);
}

/// Publishes that nothing is started for a Backup.
pub(crate) async fn publish_stand_down(context: &Context, backup: &Backup, why: &str) {
    let reason = BackupReason::StandDown.as_str();
    events::send(&context.recorder, backup, EventType::Warning, "StandDown", reason, why).await;
}

/// The conditions that changed; Ready only where it says what no other one does.
fn news<'a>(before: Option<&BackupStatus>, next: &'a BackupStatus) -> Vec<News<'a>> {
    let mut told: Vec<News<'a>> = Vec::new();
    for type_ in ["Scheduled", "RetentionSatisfied", "Ready"] {
        let Some(condition) = conditions::get(&next.conditions, type_) else { continue };
        let old = before.and_then(|before| conditions::get(&before.conditions, type_));
        let same = old.is_some_and(|old| (&old.status, &old.reason) == (&condition.status, &condition.reason));
        let said_elsewhere = ["Scheduled", "RetentionSatisfied"]
            .iter()
            .filter_map(|other| conditions::get(&next.conditions, other))
            .any(|other| type_ == "Ready" && other.reason == condition.reason);
        if same || said_elsewhere {
            continue;
        }
        let warns = condition.status != "True" && !BackupReason::is_expected(&condition.reason);
        told.push(News { warns, type_, reason: &condition.reason, message: &condition.message });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn status(said: &[(&str, bool, &str)]) -> BackupStatus {
        let mut status = BackupStatus::default();
        for (type_, value, reason) in said {
            let now = Time(jiff::Timestamp::UNIX_EPOCH);
            conditions::set(&mut status.conditions, type_, *value, reason, "m", None, &now);
        }
        status
    }

    #[test]
    fn only_changes_are_told_and_each_once() {
        let fine = status(&[
            ("Scheduled", true, "Scheduled"),
            ("RetentionSatisfied", true, "Satisfied"),
            ("Ready", true, "Ready"),
        ]);
        let told = |before: Option<&BackupStatus>, next: &BackupStatus| -> Vec<(bool, String)> {
            news(before, next).iter().map(|news| (news.warns, news.reason.to_owned())).collect()
        };
        let all = ["Scheduled", "Satisfied", "Ready"].map(|reason| (false, reason.to_owned()));
        assert_eq!(told(None, &fine), all);
        assert_eq!(told(Some(&fine), &fine), []);
        let missed = status(&[
            ("Scheduled", false, "Missed"),
            ("RetentionSatisfied", true, "Satisfied"),
            ("Ready", false, "Missed"),
        ]);
        assert_eq!(told(Some(&fine), &missed), [(true, "Missed".to_owned())]);
        let failed = status(&[
            ("Scheduled", true, "Scheduled"),
            ("RetentionSatisfied", true, "Satisfied"),
            ("Ready", false, "LastRunFailed"),
        ]);
        assert_eq!(told(Some(&fine), &failed), [(true, "LastRunFailed".to_owned())]);
        let suspended = status(&[("Scheduled", false, "Suspended"), ("Ready", true, "Suspended")]);
        assert_eq!(told(Some(&fine), &suspended), [(false, "Suspended".to_owned())]);
    }
}
