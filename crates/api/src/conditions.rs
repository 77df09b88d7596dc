//! Conditions by the rules of the Kubernetes API conventions: one per type, and
//! `lastTransitionTime` moves only when `status` does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message that the API server takes in a condition, in bytes.
const MAX_MESSAGE: usize = 32_768;

/// Sets one condition in a list, keeping the time of the last transition if its status stays.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: &Time,
) {
    let status = if status { "True" } else { "False" };
    let since = get(conditions, type_).filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(MAX_MESSAGE / 4).collect(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| now.clone()),
    };
    match conditions.iter_mut().find(|old| old.type_ == type_) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// The condition of a type.
#[must_use]
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is there and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == "True")
}
