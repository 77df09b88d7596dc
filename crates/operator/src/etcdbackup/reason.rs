//! Why an EtcdBackup is in the state it is in: the one word of its conditions, events and metrics.
//! `docs/operations/reasons.md` has a row for each.

use etcd_backup_api::InvalidSpec;
use etcd_backup_core::Reason;

/// One word for the condition's reason. What the agent reports keeps the agent's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusReason {
    /// Earlier requests on the same volume go first.
    Queued,
    /// The Job is being created or its pod is being started.
    Starting,
    /// The claim does not exist.
    PvcNotFound,
    /// The claim is being deleted.
    PvcTerminating,
    /// The claim's volume is gone.
    PvcLost,
    /// The claim asks for a raw block device.
    PvcIsBlock,
    /// The claim has no volume, and none will come by itself.
    PvcNotBound,
    /// No control-plane node can take a pod.
    NoControlPlaneNode,
    /// The volume can only be used on nodes that are not control plane.
    VolumeNotOnControlPlane,
    /// The API server refuses the Job.
    JobRefused,
    /// Somebody suspended the Job.
    JobSuspended,
    /// The Job makes no pod.
    PodNotCreated,
    /// The scheduler finds no node for the pod.
    Unschedulable,
    /// The pod is on a node but its container does not start.
    PodNotStarted,
    /// The image cannot be pulled.
    ImagePullFailed,
    /// The container cannot be created.
    ContainerCreateFailed,
    /// The agent is at work.
    Saving,
    /// An attempt ended without success and the Job makes another one.
    Retrying,
    /// The node of the running pod does not answer.
    NodeLost,
    /// The Job has gone and the volume is asked what became of the run.
    JobMissing,
    /// The Job ended without a report and the volume is asked what became of the run.
    ReportMissing,
    /// The volume cannot be asked what became of the run.
    InventoryFailed,
    /// A Job of the name that this request needs belongs to somebody else.
    JobNameTaken,
    /// The Job was deleted before it made a backup.
    JobDeleted,
    /// Nothing can be learned about what became of the run.
    OutcomeUnknown,
    /// Everything was proven.
    Verified,
    /// There was no quorum to prove that the data was not old.
    Freshness,
    /// The set is no longer on the volume.
    SetMissing,
    /// The set is proven not to be what it was.
    Damaged,
    /// The spec asks for nothing that can be done; the word is the API crate's.
    Spec(&'static str),
    /// Somebody else answers to the same resources.
    StandDown,
    /// What the agent reported.
    Run(Reason),
}

impl StatusReason {
    /// Every reason of the operator's own.
    pub(crate) const OWN: [Self; 30] = [
        Self::Queued,
        Self::Starting,
        Self::PvcNotFound,
        Self::PvcTerminating,
        Self::PvcLost,
        Self::PvcIsBlock,
        Self::PvcNotBound,
        Self::NoControlPlaneNode,
        Self::VolumeNotOnControlPlane,
        Self::JobRefused,
        Self::JobSuspended,
        Self::PodNotCreated,
        Self::Unschedulable,
        Self::PodNotStarted,
        Self::ImagePullFailed,
        Self::ContainerCreateFailed,
        Self::Saving,
        Self::Retrying,
        Self::NodeLost,
        Self::JobMissing,
        Self::ReportMissing,
        Self::InventoryFailed,
        Self::JobNameTaken,
        Self::JobDeleted,
        Self::OutcomeUnknown,
        Self::Verified,
        Self::Freshness,
        Self::SetMissing,
        Self::Damaged,
        Self::StandDown,
    ];

    /// The words of EtcdBackups that failed: the operator's own, the API crate's, and the agent's.
    pub(crate) fn of_failures() -> impl Iterator<Item = &'static str> {
        let own = [Self::NodeLost, Self::JobNameTaken, Self::JobDeleted, Self::OutcomeUnknown];
        let blocked = Self::OWN.into_iter().filter(|reason| reason.blocks());
        let specs = InvalidSpec::REASONS.into_iter().map(Self::Spec);
        own.into_iter().chain(blocked).chain(specs).chain(Reason::FAILURES.map(Self::Run)).map(Self::as_str)
    }

    /// The word.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Starting => "Starting",
            Self::PvcNotFound => "PVCNotFound",
            Self::PvcTerminating => "PVCTerminating",
            Self::PvcLost => "PVCLost",
            Self::PvcIsBlock => "PVCIsBlock",
            Self::PvcNotBound => "PVCNotBound",
            Self::NoControlPlaneNode => "NoControlPlaneNode",
            Self::VolumeNotOnControlPlane => "VolumeNotOnControlPlane",
            Self::JobRefused => "JobRefused",
            Self::JobSuspended => "JobSuspended",
            Self::PodNotCreated => "PodNotCreated",
            Self::Unschedulable => "Unschedulable",
            Self::PodNotStarted => "PodNotStarted",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::ContainerCreateFailed => "ContainerCreateFailed",
            Self::Saving => "Saving",
            Self::Retrying => "Retrying",
            Self::NodeLost => "NodeLost",
            Self::JobMissing => "JobMissing",
            Self::ReportMissing => "ReportMissing",
            Self::InventoryFailed => "InventoryFailed",
            Self::JobNameTaken => "JobNameTaken",
            Self::JobDeleted => "JobDeleted",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::Verified => "Verified",
            Self::Freshness => "Freshness",
            Self::SetMissing => "SetMissing",
            Self::Damaged => "Damaged",
            Self::StandDown => "StandDown",
            Self::Spec(word) => word,
            Self::Run(reason) => reason.as_str(),
        }
    }

    /// Whether a pending request with this reason cannot start by itself: it yields its place in
    /// the queue, warns by an event, and fails after the start limit.
    #[must_use]
    pub(crate) fn blocks(self) -> bool {
        matches!(
            self,
            Self::PvcNotFound
                | Self::PvcTerminating
                | Self::PvcLost
                | Self::PvcIsBlock
                | Self::PvcNotBound
                | Self::NoControlPlaneNode
                | Self::VolumeNotOnControlPlane
                | Self::JobRefused
                | Self::JobSuspended
                | Self::PodNotCreated
                | Self::Unschedulable
                | Self::PodNotStarted
                | Self::ImagePullFailed
                | Self::ContainerCreateFailed
        )
    }

    /// The reason of a blocked request that a stored word is, if it is one.
    #[must_use]
    pub(crate) fn blocking(word: &str) -> Option<Self> {
        Self::OWN.into_iter().find(|reason| reason.blocks() && reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_word_says_whether_the_request_is_blocked() {
        assert_eq!(StatusReason::blocking("PVCNotFound"), Some(StatusReason::PvcNotFound));
        for other in ["Queued", "Saving", "SomethingNew"] {
            assert_eq!(StatusReason::blocking(other), None);
        }
    }

    #[test]
    fn every_reason_is_documented() {
        let page = include_str!("../../../../docs/operations/reasons.md");
        for reason in StatusReason::OWN {
            let row = format!("| `{}` |", reason.as_str());
            assert!(page.contains(&row), "docs/operations/reasons.md has no row that begins with {row}");
        }
    }
}
