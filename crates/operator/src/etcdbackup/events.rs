//! Events: one per change of phase or reason, so that `kubectl describe` tells the story.

use etcd_backup_api::EtcdBackup;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt as _};

use super::decision::Verdict;
use super::triggers::Guarded;
use super::{Context, Error};

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

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
    let type_ = if is_warning(verdict) { EventType::Warning } else { EventType::Normal };
    send(context, before, type_, phase, reason, &message).await;
}

/// Publishes that a stored object is no EtcdBackup; it has no status that could say so.
pub(crate) async fn publish_unreadable(context: &Context, object: &Guarded, error: &Error) {
    send(context, object, EventType::Warning, "Read", error.reason(), &error.to_string()).await;
}

async fn send<K>(context: &Context, object: &K, type_: EventType, action: &str, reason: &str, message: &str)
where
    K: Resource<DynamicType = ()>,
{
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(message.chars().take(MAX_NOTE / 4).collect()),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &object.object_ref(&())).await {
        tracing::warn!(etcdbackup = object.name_any(), reason, %error, "cannot publish an event");
    }
}

fn is_warning(verdict: &Verdict) -> bool {
    use super::reason::StatusReason as Reason;
    match verdict {
        Verdict::Failed { .. } => true,
        Verdict::Completed(report) => report.set.as_ref().is_none_or(|set| !set.verified),
        Verdict::Pending(state) => state.reason.blocks(),
        Verdict::Running { state, .. } => state.reason != Reason::Saving,
    }
}
