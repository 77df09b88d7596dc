//! How a Job and its pods are: what `describe`, `logs` and `prune` read of them. Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// The agent's container in every pod of the operator's.
pub(crate) const CONTAINER: &str = "etcd-backup";

/// How a Job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobState {
    /// It has not ended.
    Active,
    /// A pod succeeded.
    Complete,
    /// It ended otherwise, in Kubernetes' words.
    Failed(String),
}

/// How a Job is.
#[must_use]
pub(crate) fn state(job: &Job) -> JobState {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.filter(|condition| condition.status == "True");
    let ended = conditions.find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"));
    match ended {
        None => JobState::Active,
        Some(condition) if condition.type_ == "Complete" => JobState::Complete,
        Some(condition) => JobState::Failed(words(condition.reason.as_deref(), condition.message.as_deref())),
    }
}

/// How a pod is, with what keeps it from starting or how it ended.
#[must_use]
pub(crate) fn pod_state(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "Pending".to_owned() };
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let why = container(pod).and_then(container_state).or_else(|| unscheduled(pod)).or_else(|| {
        let said = words(status.reason.as_deref(), status.message.as_deref());
        Some(said).filter(|said| !said.is_empty())
    });
    why.map_or_else(|| phase.to_owned(), |why| format!("{phase} ({why})"))
}

/// Whether the pod's agent has begun, so that there is a log.
#[must_use]
pub(crate) fn has_log(pod: &Pod) -> bool {
    let state = container(pod).and_then(|container| container.state.as_ref());
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

/// What the agent left as its last words: its report.
#[must_use]
pub(crate) fn last_words(pod: &Pod) -> Option<&str> {
    let state = container(pod)?.state.as_ref()?;
    state.terminated.as_ref()?.message.as_deref().map(str::trim).filter(|message| !message.is_empty())
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    containers.find(|container| container.name == CONTAINER)
}

fn container_state(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        return Some(words(waiting.reason.as_deref(), waiting.message.as_deref())).filter(|said| !said.is_empty());
    }
    let ended = state.terminated.as_ref()?;
    Some(match ended.reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!("exit code {}, {reason}", ended.exit_code),
        _ => format!("exit code {}", ended.exit_code),
    })
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(words(condition.reason.as_deref(), condition.message.as_deref()))
}

/// `Reason: message`, or the one that is there.
fn words(reason: Option<&str>, message: Option<&str>) -> String {
    let said: Vec<&str> = [reason, message].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_final_conditions_end_a_job() {
        let condition =
            |type_: &str, status: &str| json!([{"type": type_, "status": status, "reason": "R", "message": "M"}]);
        for (conditions, expected) in [
            (json!([]), JobState::Active),
            (condition("FailureTarget", "True"), JobState::Active),
            (condition("Failed", "False"), JobState::Active),
            (condition("Complete", "True"), JobState::Complete),
            (condition("Failed", "True"), JobState::Failed("R: M".into())),
        ] {
            let job = serde_json::from_value(json!({"status": {"conditions": conditions}})).unwrap();
            assert_eq!(state(&job), expected);
        }
    }

    #[test]
    fn a_pod_says_why() {
        let container = |state: Value| json!([{"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
        let pending = |conditions: Value| json!({"phase": "Pending", "conditions": conditions});
        for (status, expected, log) in [
            (json!({"phase": "Running", "containerStatuses": container(json!({"running": {}}))}), "Running", true),
            (
                json!({"phase": "Failed", "containerStatuses": container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))}),
                "Failed (exit code 137, OOMKilled)",
                true,
            ),
            (
                json!({"phase": "Pending", "containerStatuses": container(json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}))}),
                "Pending (ErrImagePull: no such image)",
                false,
            ),
            (
                pending(
                    json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]),
                ),
                "Pending (Unschedulable: 0/3 nodes)",
                false,
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
                "Failed (Evicted: low on memory)",
                false,
            ),
            (json!({}), "Pending", false),
        ] {
            let pod: Pod = serde_json::from_value(json!({"status": status})).unwrap();
            assert_eq!((pod_state(&pod).as_str(), has_log(&pod)), (expected, log), "{status}");
        }
    }

    #[test]
    fn an_agents_last_words_are_its_report() {
        let ended = |message: &str| -> Pod {
            let state = json!({"terminated": {"exitCode": 1, "message": message}});
            let container = json!({"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            serde_json::from_value(json!({"status": {"containerStatuses": [container]}})).unwrap()
        };
        assert_eq!(last_words(&ended("{}\n")), Some("{}"));
        assert_eq!(last_words(&ended("")), None);
    }
}
