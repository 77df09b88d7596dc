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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Time {
        serde_json::from_value(time.into()).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let (first, second, third) =
            (at("2026-01-02T03:04:05Z"), at("2026-01-02T04:00:00Z"), at("2026-01-02T05:00:00Z"));
        let mut conditions = Vec::new();
        set(&mut conditions, "Completed", false, "Queued", "place 2 of 2", Some(1), &first);
        set(&mut conditions, "Completed", false, "Saving", "", Some(2), &second);
        let condition = get(&conditions, "Completed").unwrap();
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("Saving", ""));
        assert_eq!((&condition.last_transition_time, condition.observed_generation), (&first, Some(2)));
        assert!(!is_true(&conditions, "Completed"));

        set(&mut conditions, "Completed", true, "Published", "", Some(2), &third);
        assert_eq!(get(&conditions, "Completed").unwrap().last_transition_time, third);
        assert!(is_true(&conditions, "Completed"));
    }

    #[test]
    fn one_condition_per_type_in_the_order_they_came() {
        let now = at("2026-01-02T03:04:05Z");
        let mut conditions = Vec::new();
        for type_ in ["Pending", "Running", "Pending", "Completed", "Running"] {
            set(&mut conditions, type_, true, "Reason", "", None, &now);
        }
        let types: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, ["Pending", "Running", "Completed"]);
        assert!(get(&conditions, "Failed").is_none() && !is_true(&conditions, "Failed"));
    }

    #[test]
    fn a_message_is_cut_to_what_the_api_server_takes() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Failed", true, "Reason", &"🦀".repeat(20_000), None, &at("2026-01-02T03:04:05Z"));
        let message = &conditions[0].message;
        assert_eq!(message.len(), MAX_MESSAGE);
    }
}
