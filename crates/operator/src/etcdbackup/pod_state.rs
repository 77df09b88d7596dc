//! What a Job's pod says: why it does not start, that it runs, or how it ended and with what report.

use etcd_backup_core::{Outcome, REPORT_SCHEMA, Reason, Report, RunId};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::reason::StatusReason;
use super::volume::Obstacle;
use crate::agent_pod::CONTAINER;

/// One pod of a Job.
#[derive(Debug, Clone)]
pub(crate) struct ObservedPod {
    /// Its name.
    pub(crate) name: String,
    /// When it was created, UTC.
    pub(crate) created: Timestamp,
    /// The node that it is bound to.
    pub(crate) node: Option<String>,
    /// What it says.
    pub(crate) state: PodState,
}

/// What a pod says.
#[derive(Debug, Clone)]
pub(crate) enum PodState {
    /// It cannot start unless somebody changes something.
    Blocked(Obstacle),
    /// It waits for the scheduler or kubelet.
    Starting,
    /// The agent runs.
    Running {
        /// Since when, UTC.
        since: Timestamp,
    },
    /// The agent has ended, or the pod ended before it began.
    Ended {
        /// When, UTC; the epoch if the pod does not say.
        at: Timestamp,
        /// What the agent reported of this very run.
        report: Option<Box<Report>>,
        /// What Kubernetes says of the end.
        why: String,
    },
}

impl ObservedPod {
    /// Reads a pod of the given run.
    #[must_use]
    pub(crate) fn new(pod: &Pod, run: &RunId) -> Self {
        Self {
            name: pod.name_any(),
            created: pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            state: PodState::new(pod, run),
        }
    }

    /// Whether it has ended for good.
    #[must_use]
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, PodState::Ended { .. })
    }
}

impl PodState {
    fn new(pod: &Pod, run: &RunId) -> Self {
        let status = pod.status.as_ref();
        let containers = status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let container = containers.into_iter().find(|container| container.name == CONTAINER);
        let state = container.and_then(|container| container.state.as_ref());
        if let Some(ended) = ended(pod, container, run) {
            return ended;
        }
        if let Some(running) = state.and_then(|state| state.running.as_ref()) {
            let since = running.started_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            return Self::Running { since };
        }
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let waiting =
            waiting.map(|waiting| (waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref()));
        blocked(pod, waiting).map_or(Self::Starting, Self::Blocked)
    }
}

/// The end of the pod or of its container; with restartPolicy Never one is the other.
fn ended(pod: &Pod, container: Option<&ContainerStatus>, run: &RunId) -> Option<PodState> {
    let status = pod.status.as_ref()?;
    let terminated = container.and_then(|container| container.state.as_ref()?.terminated.as_ref());
    if terminated.is_none() && !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let pod_says =
        status.reason.as_ref().map(|reason| format!("{reason}: {}", status.message.as_deref().unwrap_or_default()));
    let disruption =
        status.conditions.iter().flatten().find(|one| one.type_ == "DisruptionTarget" && one.status == "True");
    let disrupted = disruption.map(|one| format!("disrupted: {}", one.message.as_deref().unwrap_or_default()));
    let container_says = terminated
        .map(|end| format!("exit code {} ({})", end.exit_code, end.reason.as_deref().unwrap_or("no reason given")));
    let report = terminated.and_then(|end| end.message.as_deref()).and_then(|message| read_report(message, run));
    Some(PodState::Ended {
        at: terminated.and_then(|end| end.finished_at.as_ref()).map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        report: report.map(Box::new),
        why: disrupted.or(pod_says).or(container_says).unwrap_or_else(|| "no reason given".to_owned()),
    })
}

/// The report in a termination message, if it is one of this run and of a schema known here.
fn read_report(message: &str, run: &RunId) -> Option<Report> {
    let report: Report = serde_json::from_str(message).ok()?;
    let makes_no_set = report.outcome != Outcome::Completed || matches!(report.reason, Reason::Pruned | Reason::Listed);
    let whole = makes_no_set || report.set.is_some();
    (whole && REPORT_SCHEMA.reads(report.schema_version) && report.run_id == *run).then_some(report)
}

fn blocked(pod: &Pod, waiting: Option<(&str, Option<&str>)>) -> Option<Obstacle> {
    let name = pod.name_any();
    if let Some((word, detail)) = waiting {
        let detail = detail.unwrap_or("no further message");
        let obstacle =
            |reason, advice: &str| Some(Obstacle::new(reason, format!("pod {name}: {word}: {detail}; {advice}")));
        match word {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => {
                return obstacle(
                    StatusReason::ImagePullFailed,
                    "make the image available to the node, or set another one with the operator's --image",
                );
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                return obstacle(
                    StatusReason::ContainerCreateFailed,
                    "make what it names available on the node or in the namespace",
                );
            }
            _ => {}
        }
    }
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let scheduled = conditions.into_iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let detail = scheduled.message.as_deref().unwrap_or_default();
    Some(Obstacle::new(StatusReason::Unschedulable, format!("no node can take pod {name}: {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const RUN: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

    fn state(status: Value) -> PodState {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
        ObservedPod::new(&pod, &RUN.parse().unwrap()).state
    }

    fn container(state: Value) -> Value {
        json!({"containerStatuses": [{"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]})
    }

    fn report(run: &str, version: &str) -> String {
        json!({"schemaVersion": version, "runId": run, "outcome": "Failed", "reason": "NoSpace", "message": "full",
               "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z", "node": "n"})
        .to_string()
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_named() {
        let waiting = |reason: &str| container(json!({"waiting": {"reason": reason, "message": "because"}}));
        let rows = [
            (waiting("ErrImagePull"), Some(StatusReason::ImagePullFailed)),
            (waiting("ImagePullBackOff"), Some(StatusReason::ImagePullFailed)),
            (waiting("ErrImageNeverPull"), Some(StatusReason::ImagePullFailed)),
            (waiting("InvalidImageName"), Some(StatusReason::ImagePullFailed)),
            (waiting("CreateContainerConfigError"), Some(StatusReason::ContainerCreateFailed)),
            (waiting("ContainerCreating"), None),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}),
                Some(StatusReason::Unschedulable),
            ),
            (json!({"conditions": [{"type": "PodScheduled", "status": "True"}]}), None),
            (json!({}), None),
        ];
        for (status, expected) in rows {
            let found = match state(status.clone()) {
                PodState::Blocked(obstacle) => Some(obstacle.reason),
                PodState::Starting => None,
                other => panic!("{status}: {other:?}"),
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_running_agent_says_since_when() {
        let state = state(container(json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})));
        assert!(matches!(state, PodState::Running { since } if since == "2026-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn only_a_whole_report_of_this_run_and_a_known_schema_counts() {
        let rows = [
            (report(RUN, "1.0"), true),
            (report(RUN, "1.7"), true),
            (report(RUN, "2.0"), false),
            (report("11111111-5c1b-4b4e-9c1f-1f5a3e2d7c11", "1.0"), false),
            (report(RUN, "1.0")[..60].to_owned(), false),
            ("panicked at main.rs".to_owned(), false),
            (String::new(), false),
        ];
        for (message, expected) in rows {
            let end = container(json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}}));
            let PodState::Ended { report, why, .. } = state(end) else { panic!("not ended: {message}") };
            assert_eq!(report.is_some(), expected, "{message}");
            assert_eq!(why, "exit code 1 (Error)");
        }
    }

    #[test]
    fn an_end_without_a_container_is_an_end_too() {
        let rows = [
            (json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), "Evicted: low on memory"),
            (
                json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "message": "drained"}]}),
                "disrupted: drained",
            ),
            (json!({"phase": "Failed"}), "no reason given"),
        ];
        for (status, expected) in rows {
            let PodState::Ended { report: None, why, .. } = state(status.clone()) else { panic!("{status}") };
            assert_eq!(why, expected);
        }
        let killed = container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
        assert!(matches!(state(killed), PodState::Ended { why, .. } if why == "exit code 137 (OOMKilled)"));
    }
}
