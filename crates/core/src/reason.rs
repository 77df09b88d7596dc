use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a run ended as it did: one static CamelCase word for metric label, event and condition.
/// The documentation has a section for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A verified set was published.
    Completed,
    /// A verified set of this very run was already there; it was verified again.
    AlreadyPublished,
    /// The policy was enforced, or nothing was to be done for it.
    Pruned,
    /// The volume's sets were listed.
    Listed,
    /// The policy cannot be read, or makes no sense.
    PolicyInvalid,
    /// The mounted policy is not yet the one that is to be enforced.
    PolicyNotCurrent,
    /// Another run kept the volume's lock for too long.
    LockTimeout,
    /// The file system cannot lock.
    LockUnsupported,
    /// The volume's own files (identity, lock, working directories) are missing or unusable.
    VolumeInvalid,
    /// The volume cannot be read or written.
    VolumeIo,
    /// The volume is full, or the share to be kept free would be used.
    NoSpace,
    /// Static pod resources are missing or cannot be read.
    StaticResources,
    /// Static pod resources kept changing while they were read: a rollout is under way.
    StaticResourcesChanging,
    /// TLS files are missing, unreadable or refused.
    Tls,
    /// etcd refused the client's identity.
    PermissionDenied,
    /// No member could be reached.
    NoMember,
    /// Members answer, but none of them may serve a backup.
    NoHealthyMember,
    /// There is no quorum: nothing can prove that the data is not old.
    NoQuorum,
    /// The cluster is being changed, and it was asked that a backup waits until that is over.
    NotSettled,
    /// The stream made no progress, or too little.
    Stalled,
    /// The volume is too slow to take the stream without harm to etcd.
    SinkTooSlow,
    /// The stream was slow enough that the member's database grew too much meanwhile.
    DatabaseGrowth,
    /// The stream broke or did not keep to etcd's protocol.
    StreamBroken,
    /// The run took longer than it may.
    DeadlineExceeded,
    /// The snapshot as read back from the disk is not sound.
    SnapshotInvalid,
    /// The snapshot is older than the cluster was when the run began.
    SnapshotStale,
    /// The archive as read back from the disk is not sound.
    ArchiveInvalid,
    /// Nothing is known of this run on the volume: it left neither a set nor a report.
    RunNotFound,
    /// The run was ended from outside.
    Interrupted,
    /// A fault of ours.
    Internal,
    /// A reason of a newer version.
    #[serde(other)]
    Other,
}

/// Whether the same request may succeed if it is simply run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Circumstances may change by themselves.
    MayHelp,
    /// Somebody has to change something first.
    Useless,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::AlreadyPublished => "AlreadyPublished",
            Self::Pruned => "Pruned",
            Self::Listed => "Listed",
            Self::PolicyInvalid => "PolicyInvalid",
            Self::PolicyNotCurrent => "PolicyNotCurrent",
            Self::LockTimeout => "LockTimeout",
            Self::LockUnsupported => "LockUnsupported",
            Self::VolumeInvalid => "VolumeInvalid",
            Self::VolumeIo => "VolumeIo",
            Self::NoSpace => "NoSpace",
            Self::StaticResources => "StaticResources",
            Self::StaticResourcesChanging => "StaticResourcesChanging",
            Self::Tls => "Tls",
            Self::PermissionDenied => "PermissionDenied",
            Self::NoMember => "NoMember",
            Self::NoHealthyMember => "NoHealthyMember",
            Self::NoQuorum => "NoQuorum",
            Self::NotSettled => "NotSettled",
            Self::Stalled => "Stalled",
            Self::SinkTooSlow => "SinkTooSlow",
            Self::DatabaseGrowth => "DatabaseGrowth",
            Self::StreamBroken => "StreamBroken",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::SnapshotInvalid => "SnapshotInvalid",
            Self::SnapshotStale => "SnapshotStale",
            Self::ArchiveInvalid => "ArchiveInvalid",
            Self::RunNotFound => "RunNotFound",
            Self::Interrupted => "Interrupted",
            Self::Internal => "Internal",
            Self::Other => "Other",
        }
    }

    /// The words of runs that failed.
    pub const FAILURES: [Self; 27] = [
        Self::PolicyInvalid,
        Self::PolicyNotCurrent,
        Self::LockTimeout,
        Self::LockUnsupported,
        Self::VolumeInvalid,
        Self::VolumeIo,
        Self::NoSpace,
        Self::StaticResources,
        Self::StaticResourcesChanging,
        Self::Tls,
        Self::PermissionDenied,
        Self::NoMember,
        Self::NoHealthyMember,
        Self::NoQuorum,
        Self::NotSettled,
        Self::Stalled,
        Self::SinkTooSlow,
        Self::DatabaseGrowth,
        Self::StreamBroken,
        Self::DeadlineExceeded,
        Self::SnapshotInvalid,
        Self::SnapshotStale,
        Self::ArchiveInvalid,
        Self::RunNotFound,
        Self::Interrupted,
        Self::Internal,
        Self::Other,
    ];

    /// Whether running the same request again may help.
    #[must_use]
    pub fn retry(self) -> RetryAdvice {
        match self {
            Self::LockUnsupported
            | Self::VolumeInvalid
            | Self::PolicyInvalid
            | Self::StaticResources
            | Self::Tls
            | Self::PermissionDenied
            | Self::RunNotFound => RetryAdvice::Useless,
            _ => RetryAdvice::MayHelp,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_is_stored() {
        for reason in [Reason::Completed, Reason::Tls, Reason::RunNotFound, Reason::Other] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn a_reason_of_a_newer_version_reads_as_other() {
        assert_eq!(serde_json::from_str::<Reason>("\"FluxCapacitorEmpty\"").unwrap(), Reason::Other);
    }
}
