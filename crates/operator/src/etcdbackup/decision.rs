//! What a decision is made of, and what it is.

use std::sync::Arc;

use etcd_backup_api::{EtcdBackup, InvalidSpec, conditions};
use etcd_backup_core::{Report, Request};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use super::job_state::ObservedJob;
use super::names;
use super::pod_state::{ObservedPod, PodState};
use super::queue::Place;
use super::reason::StatusReason;
use super::volume::{Obstacle, Volume};
use crate::catalogue::VolumeSays;
use crate::nodes;

/// Everything that a decision is made of.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// The object.
    pub(crate) backup: EtcdBackup,
    /// What it asks for.
    pub(crate) request: Result<Request, InvalidSpec>,
    /// Namespace of the claim and the Jobs.
    pub(crate) namespace: String,
    /// Name of the Job that makes the backup, whether it exists or not.
    pub(crate) job_name: String,
    /// Name of the Job that asks the volume, whether it exists or not.
    pub(crate) inventory_name: String,
    /// The Job that makes the backup.
    pub(crate) save: ObservedJob,
    /// The Job that asks the volume what became of the run.
    pub(crate) inventory: ObservedJob,
    /// The volume; not read once there is a Job.
    pub(crate) volume: Volume,
    /// All nodes.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The place among the requests on the volume.
    pub(crate) place: Place,
    /// What the volume's catalogue says of a recorded run.
    pub(crate) volume_says: VolumeSays,
}

/// What to do, what to say, and when to look again if nothing changes until then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// What to do.
    pub(crate) step: Step,
    /// What to say.
    pub(crate) verdict: Verdict,
    /// When to decide again, UTC.
    pub(crate) look_again: Option<Timestamp>,
}

/// What to do in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing but to write the status.
    Wait,
    /// Write the Job's name into the status, then create it.
    CreateSave,
    /// Create the Job that asks the volume.
    CreateInventory,
    /// Delete the Job that makes the backup, with its pods.
    DeleteSave,
    /// Delete the Job that asks the volume, with its pods.
    DeleteInventory,
    /// Delete these pods without waiting for their node.
    ForceDelete(Vec<String>),
}

/// What to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The agent has not begun.
    Pending(Obstacle),
    /// The agent is at work, or what it did is being found out.
    Running {
        /// Why, in one word and for people.
        state: Obstacle,
        /// The pod's node and start, once there is one.
        pod: Option<(Option<String>, Timestamp)>,
    },
    /// A set is published.
    Completed(Box<Report>),
    /// There will be no set.
    Failed {
        /// Why, in one word and for people.
        state: Obstacle,
        /// The agent's report, if there is one.
        report: Option<Box<Report>>,
    },
}

impl Decision {
    /// A decision that holds until something changes.
    pub(crate) fn new(step: Step, verdict: Verdict) -> Self {
        Self { step, verdict, look_again: None }
    }

    /// The decision, to be made again at a time.
    pub(crate) fn at(self, time: Timestamp) -> Self {
        Self { look_again: Some(time), ..self }
    }

    /// There will be no set.
    pub(crate) fn failed(step: Step, reason: StatusReason, message: impl Into<String>) -> Self {
        Self::new(step, Verdict::Failed { state: Obstacle::new(reason, message), report: None })
    }

    /// The agent is at work in `pod`, or what it did is being found out.
    pub(crate) fn running(
        step: Step,
        reason: StatusReason,
        message: impl Into<String>,
        pod: Option<&ObservedPod>,
    ) -> Self {
        let pod = pod.and_then(|pod| match pod.state {
            PodState::Running { since } => Some((pod.node.clone(), since)),
            _ => None,
        });
        Self::new(step, Verdict::Running { state: Obstacle::new(reason, message), pod })
    }
}

impl Verdict {
    /// A Job of the needed name is somebody else's.
    #[must_use]
    pub(crate) fn name_taken(job: &str) -> Self {
        let message =
            format!("a Job named {job} exists and belongs to somebody else; delete it and make another EtcdBackup");
        Self::Failed { state: Obstacle::new(StatusReason::JobNameTaken, message), report: None }
    }
}

impl Observed {
    /// Whether the object records a run of a schedule, and starts nothing.
    #[must_use]
    pub(crate) fn is_record(&self) -> bool {
        self.backup.spec.recorded.is_some()
    }

    /// Whether the record was made from a set, because there was no Job any more.
    #[must_use]
    pub(crate) fn never_had_a_job(&self) -> bool {
        self.is_record() && names::recorded_job(&self.backup).is_none()
    }

    /// What to do after a failure.
    #[must_use]
    pub(crate) fn next_step(&self) -> &'static str {
        if self.is_record() { "the next run of the schedule makes another backup" } else { "make another EtcdBackup" }
    }

    /// The message of a condition of the status, if it is there for the given reason.
    #[must_use]
    pub(crate) fn said(&self, condition: &str, reason: StatusReason) -> Option<&str> {
        let conditions = &self.backup.status.as_ref()?.conditions;
        let said = conditions::get(conditions, condition).filter(|said| said.status == "True");
        said.filter(|said| said.reason == reason.as_str()).map(|said| said.message.as_str())
    }

    /// Whether a pod is bound to a node that does not answer.
    #[must_use]
    pub(crate) fn is_on_lost_node(&self, pod: &ObservedPod) -> bool {
        let Some(name) = &pod.node else { return false };
        !self.nodes.iter().any(|node| node.metadata.name.as_ref() == Some(name) && nodes::is_ready(node))
    }
}
