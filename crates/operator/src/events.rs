//! Events about the operator's objects. What they say is also in the conditions.

use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Resource, ResourceExt as _};

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Publishes an event; one that cannot be published is logged.
pub(crate) async fn send<K>(
    recorder: &Recorder,
    object: &K,
    type_: EventType,
    action: &str,
    reason: &str,
    message: &str,
) where
    K: Resource<DynamicType = ()>,
{
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(message[..message.floor_char_boundary(MAX_NOTE)].to_owned()),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
        tracing::warn!(kind = %K::kind(&()), name = object.name_any(), reason, %error, "cannot publish an event");
    }
}
