//! Events: one per change of phase or reason, so that `kubectl describe` tells the story, and one for
//! each reason that a completed backup is warned of.

use std::collections::HashSet;

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::Warning;
use kube::runtime::events::EventType;

use super::decision::Verdict;
use super::kept::Kept;
use super::reason::StatusReason;
use super::triggers::Guarded;
use crate::context::Context;
use crate::events;
use crate::reconcile::Error;

/// Publishes the event of a verdict that differs from what the status said before, and counts ends.
/// An event that cannot be published is logged; the conditions say the same.
pub(crate) async fn publish(context: &Context, before: &EtcdBackup, verdict: &Verdict) {
    let (phase, reason, message) = verdict.summary();
    let status = before.status.as_ref();
    let said = status.map(|status| (status.phase.as_deref(), status.reason.as_deref()));
    if said == Some((Some(phase), Some(reason))) {
        return;
    }
    if matches!(verdict, Verdict::Completed(_) | Verdict::Failed { .. }) {
        context.metrics.runs.with_label_values(&[phase]).inc();
    }
    if let Verdict::Failed { .. } = verdict {
        context.metrics.failed_runs.with_label_values(&[reason]).inc();
    }
    let type_ = if is_warning(verdict) { EventType::Warning } else { EventType::Normal };
    events::send(&context.recorder, before, type_, phase, reason, &message).await;
    if let Verdict::Completed(report) = verdict {
        for warning in one_of_each_reason(&report.warnings) {
            let Warning { reason, message } = warning;
            events::send(&context.recorder, before, EventType::Warning, phase, reason, message).await;
        }
    }
}

/// Publishes what has become of the set of an EtcdBackup that had ended.
pub(crate) async fn publish_kept(context: &Context, backup: &EtcdBackup, kept: &Kept) {
    let type_ = if kept.verified { EventType::Normal } else { EventType::Warning };
    events::send(&context.recorder, backup, type_, "Verified", kept.reason.as_str(), &kept.message).await;
}

/// Publishes that nothing is started for an EtcdBackup.
pub(crate) async fn publish_stand_down(context: &Context, backup: &EtcdBackup, why: &str) {
    let reason = StatusReason::StandDown.as_str();
    events::send(&context.recorder, backup, EventType::Warning, "StandDown", reason, why).await;
}

/// Publishes that a stored object is no EtcdBackup; it has no status that could say so.
pub(crate) async fn publish_unreadable(context: &Context, object: &Guarded, error: &Error) {
    events::send(&context.recorder, object, EventType::Warning, "Read", error.reason(), &error.to_string()).await;
}

/// The first warning of each reason; the status has all of them.
fn one_of_each_reason(warnings: &[Warning]) -> impl Iterator<Item = &Warning> {
    let mut told = HashSet::new();
    warnings.iter().filter(move |warning| told.insert(warning.reason.as_str()))
}

fn is_warning(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Failed { .. } => true,
        Verdict::Completed(report) => report.set.as_ref().is_none_or(|set| !set.verified),
        Verdict::Pending(state) => state.reason.blocks(),
        Verdict::Running { state, .. } => state.reason != StatusReason::Saving,
    }
}
