use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AcceptedLineage, CatalogueDigest};

/// What a run says of retention: what it enforced, whether that holds now, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionReport {
    /// Whether the promise holds, and why not.
    pub reason: RetentionReason,
    /// The same for people, with the numbers and what to do.
    pub message: String,
    /// [`crate::Policy::hash_on`] of the policy that was enforced; absent if there was none to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// Sets deleted by this run.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// What remains of this owner.
    pub retained: RetainedSets,
    /// Most bytes of this owner (published, staged, in the trash) at any moment of the run.
    pub peak_bytes: u64,
    /// What accepts a changed lineage, if that is what holds the policy up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_lineage: Option<AcceptedLineage>,
}

/// Whether the retention promise holds, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RetentionReason {
    /// It holds.
    Satisfied,
    /// More bytes than allowed are or were there: what may not be deleted alone exceeds the limit.
    SizeExceeded,
    /// The data on the volume is of another etcd cluster, or of one before a restore: nothing is
    /// deleted until somebody accepts it.
    LineageChanged,
    /// The volume is another one than before: nothing is deleted until somebody accepts it.
    VolumeChanged,
    /// The policy became stricter during the run: the laxer one was applied.
    PolicyChanged,
    /// The policy cannot be read: nothing is deleted.
    PolicyInvalid,
    /// The set that the deletions rely on could not be proven, or a deletion failed.
    PruneFailed,
    /// A reason of a newer version.
    #[serde(other)]
    Other,
}

impl RetentionReason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Satisfied => "Satisfied",
            Self::SizeExceeded => "SizeExceeded",
            Self::LineageChanged => "LineageChanged",
            Self::VolumeChanged => "VolumeChanged",
            Self::PolicyChanged => "PolicyChanged",
            Self::PolicyInvalid => "PolicyInvalid",
            Self::PruneFailed => "PruneFailed",
            Self::Other => "Other",
        }
    }
}

/// What is on the volume of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetainedSets {
    /// Verified sets.
    pub verified: u64,
    /// All sets with a manifest of this owner, whatever their state.
    pub sets: u64,
    /// Bytes of all of them, and of unreadable ones that by their name may be this owner's.
    pub size_bytes: u64,
    /// Completion of the oldest verified one, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Completion of the newest verified one, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
}

/// The volume's sets when a run was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedCatalogue {
    /// All sets of the volume.
    pub digest: CatalogueDigest,
    /// The highest sequence on it.
    pub last_sequence: u64,
}
